//! What a connection waits for in vain: deadlines, and clients that stop reading.

use std::time::Duration;

use super::connection::{Http1Connection, Waiting};
use super::set::{LAST_REQUEST, Millis, Nanos};
use crate::httputil::limits::BODY_STEP;
use crate::log;

/// A client that may have stopped reading.
#[derive(Clone, Copy)]
pub(super) struct Stall {
    /// The count of bytes that the kernel had taken, or rather its end, which is enough to see it change.
    flushed: u32,
    give_up: Millis,
}

/// How a body comes forward. The time that counts is that in which it is waited for, not that in which a handler works on
/// what has come.
pub(super) struct BodyPace {
    /// For each step.
    timeout: Option<Duration>,
    /// What is left of it.
    left: Duration,
    /// What has come of the step.
    bytes: usize,
}

impl BodyPace {
    pub(super) fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, left: timeout.unwrap_or_default(), bytes: 0 }
    }

    /// How long may be waited now.
    fn left(&self) -> Option<Duration> {
        self.timeout.map(|_| self.left)
    }

    fn received(&mut self, bytes: usize, waited: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.left = self.left.saturating_sub(waited);
        if self.bytes >= BODY_STEP {
            *self = Self::new(self.timeout);
        }
    }
}

impl Http1Connection {
    /// For the whole body, from now on.
    pub(super) fn set_body_deadline(&self, timeout: Option<Duration>) {
        self.set_deadline(timeout);
        self.body_deadline.set(self.deadline.get());
    }

    /// The deadline for the wait that begins: that of the body, or its next step's if that is earlier. Gives the time.
    pub(super) fn begin_body_wait(&self, pace: &BodyPace) -> Nanos {
        let set = &self.server.set;
        let step = pace.left().and_then(|left| set.deadline(left));
        let whole = self.body_deadline.get();
        self.deadline.set(match (step, whole) {
            (Some(step), Some(whole)) if whole.is_due(step) => Some(whole),
            _ => step.or(whole),
        });
        set.nanos()
    }

    pub(super) fn end_body_wait(&self, pace: &mut BodyPace, began: Nanos, bytes: usize) {
        self.deadline.set(self.body_deadline.get());
        pace.received(bytes, Duration::from_nanos(self.received.get().saturating_sub(began)));
    }

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
        let Some(timeout) = self.limits().write_timeout else { return };
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_body_must_come_forward() {
        let mut pace = BodyPace::new(Some(60 * SECOND));
        assert_eq!(pace.left(), Some(60 * SECOND));
        // Too slow: 239 bytes a second.
        for second in 1..=60 {
            pace.received(239, SECOND);
            assert_eq!(pace.left(), Some((60 - second) * SECOND));
        }
        pace.received(1, SECOND);
        assert_eq!(pace.left(), Some(Duration::ZERO));
        // Just fast enough, for ever.
        let mut pace = BodyPace::new(Some(60 * SECOND));
        for _ in 0..10_000 {
            pace.received(240, SECOND);
            assert!(pace.left() > Some(Duration::ZERO));
        }
        let mut endless = BodyPace::new(None);
        endless.received(0, Duration::MAX);
        assert_eq!(endless.left(), None);
    }
}
