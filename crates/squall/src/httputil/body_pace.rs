//! The least rate of a body.

use std::time::Duration;

use super::limits::BODY_STEP;

/// How a body comes forward. The time that counts is that in which it is waited for, not that in which a handler works on
/// what has come.
pub(crate) struct BodyPace {
    /// For each step.
    timeout: Option<Duration>,
    /// What is left of it.
    left: Duration,
    /// What has come of the step.
    bytes: usize,
}

impl BodyPace {
    pub(crate) fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, left: timeout.unwrap_or_default(), bytes: 0 }
    }

    /// How long may be waited now.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.timeout.map(|_| self.left)
    }

    pub(crate) fn received(&mut self, bytes: usize, waited: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.left = self.left.saturating_sub(waited);
        if self.bytes >= BODY_STEP {
            *self = Self::new(self.timeout);
        }
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
