//! Timeouts: callbacks that run at or after an instant, in the order of their deadlines.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::callbacks::Callback;

/// When a timeout is due: an [`Instant`], or a [`Duration`] from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The point in time.
    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }
}

impl From<Instant> for Deadline {
    fn from(instant: Instant) -> Self {
        Deadline(instant)
    }
}

impl From<Duration> for Deadline {
    /// `delay` from now. A sum beyond the clock's range is capped at thirty years from now.
    fn from(delay: Duration) -> Self {
        Deadline(later(Instant::now(), delay))
    }
}

/// `delay` after `start`; far in the future where the clock does not reach, which a plain sum would panic at
/// (`Duration::MAX` is how "never" is written). For the instants of `std` and of tokio.
pub(crate) fn later<I: From<Instant> + Into<Instant>>(start: I, delay: Duration) -> I {
    const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
    let start = start.into();
    start.checked_add(delay).or_else(|| start.checked_add(FAR)).unwrap_or(start).into()
}

/// Names a timeout, for [`IoLoop::remove_timeout`](super::IoLoop::remove_timeout).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timeout {
    deadline: Instant,
    /// Breaks ties, so that timeouts of one deadline run in the order in which they were added.
    seq: u64,
}

/// The pending timeouts of a loop.
#[derive(Default)]
pub(super) struct Timeouts {
    pending: BTreeMap<Timeout, Callback>,
    next_seq: u64,
}

impl Timeouts {
    pub(super) fn add(&mut self, deadline: Instant, callback: Callback) -> Timeout {
        let timeout = Timeout { deadline, seq: self.next_seq };
        self.next_seq += 1;
        self.pending.insert(timeout, callback);
        timeout
    }

    /// The callback is returned rather than dropped: its captures may call back into the loop.
    #[must_use]
    pub(super) fn remove(&mut self, timeout: Timeout) -> Option<Callback> {
        self.pending.remove(&timeout)
    }

    /// The next timeout that was due at `now` and was there before the one numbered `before`.
    pub(super) fn pop_due(&mut self, now: Instant, before: u64) -> Option<Callback> {
        let due = self.pending.keys().take_while(|t| t.deadline <= now).find(|t| t.seq < before).copied()?;
        self.pending.remove(&due)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.pending.keys().next().map(|timeout| timeout.deadline)
    }

    /// The number of the next timeout to be added.
    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }
}
