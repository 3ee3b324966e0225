//! What a connection waits for in vain: deadlines, and clients that stop reading.

use std::time::Duration;

use super::connection::{Http1Connection, Waiting};
use super::set::{LAST_REQUEST, Millis};
use crate::log;

/// A client that may have stopped reading.
#[derive(Clone, Copy)]
pub(super) struct Stall {
    /// The count of bytes that the kernel had taken, or rather its end, which is enough to see it change.
    flushed: u32,
    give_up: Millis,
}

impl Http1Connection {
    pub(super) fn set_deadline(&self, timeout: Option<Duration>) {
        self.expired.set(false);
        self.deadline.set(timeout.and_then(|t| self.server.set.deadline(t)));
    }

    pub(super) fn check_deadline(&self, now: Millis) {
        if self.deadline.get().is_some_and(|deadline| deadline.is_due(now)) {
            self.deadline.set(None);
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
        let is_busy = self.exchange.borrow().open;
        if is_busy {
            self.abort_exchange();
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
        let Some(timeout) = self.params().write_timeout else { return };
        if !self.stream.writing() {
            self.stall.set(None);
            return;
        }
        let flushed = self.stream.flushed() as u32;
        match self.stall.get() {
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
                self.stall.set(give_up.map(|give_up| Stall { flushed, give_up }));
            }
        }
    }

    /// Closes the connection, whatever it is doing.
    pub(super) fn close_now(&self) {
        self.stream.close();
        self.interrupt();
    }

    pub(super) fn interrupt(&self) {
        self.expired.set(true);
        self.stream.wake_reader();
    }
}
