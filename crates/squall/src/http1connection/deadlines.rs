//! What a connection waits for in vain: deadlines, and clients that stop reading.

use std::cell::Cell;
use std::time::Duration;

use super::connection::{Http1Connection, Waiting};
use super::set::{LAST_REQUEST, Millis};
use crate::log;

/// The moments that the set's sweep looks at.
#[derive(Default)]
pub(super) struct Deadlines {
    /// When the current wait is over.
    wait: Cell<Option<Millis>>,
    /// When the body that is being received must have ended.
    body: Cell<Option<Millis>>,
    /// The wait is over, or was interrupted.
    expired: Cell<bool>,
    /// Since a sweep found output waiting: how much had been taken then, and when the client is given up.
    stall: Cell<Option<Stall>>,
}

/// A client that may have stopped reading.
#[derive(Clone, Copy)]
struct Stall {
    /// The count of bytes that the kernel had taken, or rather its end, which is enough to see it change.
    flushed: u32,
    give_up: Millis,
}

impl Deadlines {
    pub(super) fn has_expired(&self) -> bool {
        self.expired.get()
    }
}

impl Http1Connection {
    pub(super) fn set_deadline(&self, timeout: Option<Duration>) {
        self.deadlines.expired.set(false);
        self.deadlines.wait.set(timeout.and_then(|t| self.server.set.deadline(t)));
    }

    /// For the whole body, from now on.
    pub(super) fn set_body_deadline(&self, timeout: Option<Duration>) {
        self.set_deadline(timeout);
        self.deadlines.body.set(self.deadlines.wait.get());
    }

    /// The deadline for the wait that begins: that of the body, or this if it is earlier.
    pub(super) fn begin_body_wait(&self, at_most: Option<Duration>) {
        let step = at_most.and_then(|left| self.server.set.deadline(left));
        let whole = self.deadlines.body.get();
        self.deadlines.wait.set(match (step, whole) {
            (Some(step), Some(whole)) if whole.is_due(step) => Some(whole),
            _ => step.or(whole),
        });
    }

    pub(super) fn end_body_wait(&self) {
        self.deadlines.wait.set(self.deadlines.body.get());
    }

    pub(super) fn check_deadline(&self, now: Millis) {
        if self.deadlines.wait.get().is_some_and(|deadline| deadline.is_due(now)) {
            self.deadlines.wait.set(None);
            self.interrupt();
        }
    }

    /// The server drains.
    pub(super) fn leave_if_idle(&self) {
        if self.waiting.get() != Waiting::Idle {
            return;
        }
        let quiet = self.server.set.nanos().saturating_sub(self.received.get());
        if u128::from(quiet) < LAST_REQUEST.as_nanos() {
            self.set_deadline(Some(LAST_REQUEST));
        } else {
            self.interrupt();
        }
    }

    /// Ends the connection; what was sent of a response does not look complete. Says whether there was a request.
    pub(super) fn cut_now(&self) -> bool {
        let is_busy = self.abort_exchange();
        if is_busy {
            self.cut();
        } else {
            self.stream.close();
        }
        self.interrupt();
        is_busy
    }

    /// Gives up a client that takes none of its output. Called by the set's sweep, so that a client that does read
    /// costs nothing.
    pub(super) fn check_stalled(&self, now: Millis) {
        let Some(timeout) = self.limits().write_timeout else { return };
        if !self.stream.is_writing() {
            self.deadlines.stall.set(None);
            return;
        }
        let flushed = self.stream.flushed() as u32;
        match self.deadlines.stall.get() {
            Some(stall) if stall.flushed == flushed => {
                if stall.give_up.is_due(now) {
                    tracing::info!(target: log::GENERAL, "{} takes no output", self.remote_ip());
                    // A reset, since the kernel would keep what it has for such a client much longer.
                    self.stream.abort();
                    self.interrupt();
                }
            }
            _ => {
                let give_up = self.server.set.deadline(timeout);
                self.deadlines.stall.set(give_up.map(|give_up| Stall { flushed, give_up }));
            }
        }
    }

    /// Closes the connection, whatever it is doing.
    pub(super) fn close_now(&self) {
        self.stream.close();
        self.interrupt();
    }

    pub(super) fn interrupt(&self) {
        self.deadlines.expired.set(true);
        self.stream.wake_reader();
    }
}
