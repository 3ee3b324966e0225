//! When a child that crashed is started again, and when that is given up.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// When a child that crashed is started again, and when that is given up: numbers and times only.
///
/// The child itself waits, not the parent: forked at once, it is there for signals, and the parent need not know of
/// time.
pub(super) struct RestartPolicy {
    /// Within [`WINDOW`](Self::WINDOW).
    most: usize,
    /// The restarts of the last `WINDOW`, at most `most`.
    recent: VecDeque<Instant>,
    children: BTreeMap<usize, Life>,
}

/// One child, or rather its number.
struct Life {
    /// When the present child begins, or began.
    since: Instant,
    /// Crashes in a row, none of them after a life of [`RestartPolicy::STABLE`].
    crashes: u32,
}

impl RestartPolicy {
    const WINDOW: Duration = Duration::from_secs(600);
    /// A child that has lived so long does work, whatever ended it.
    const STABLE: Duration = Duration::from_secs(60);
    const FIRST_DELAY: Duration = Duration::from_millis(100);
    const LONGEST_DELAY: Duration = Duration::from_secs(10);

    pub(super) fn new(most: usize) -> Self {
        Self { most, recent: VecDeque::new(), children: BTreeMap::new() }
    }

    /// A child begins for the first time.
    pub(super) fn started(&mut self, id: usize, now: Instant) {
        self.children.insert(id, Life { since: now, crashes: 0 });
    }

    /// How long the successor of a child that crashed is to wait; `None` when there were too many.
    pub(super) fn crashed(&mut self, id: usize, now: Instant) -> Option<Duration> {
        while self.recent.front().is_some_and(|&at| now.saturating_duration_since(at) >= Self::WINDOW) {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.most {
            return None;
        }
        self.recent.push_back(now);
        let life = self.children.entry(id).or_insert(Life { since: now, crashes: 0 });
        if now.saturating_duration_since(life.since) >= Self::STABLE {
            life.crashes = 0;
        }
        // The first is most likely bad luck, and a worker is missing.
        let delay = match life.crashes {
            0 => Duration::ZERO,
            again => Self::FIRST_DELAY.saturating_mul(1 << (again - 1).min(16)).min(Self::LONGEST_DELAY),
        };
        life.crashes += 1;
        life.since = now + delay;
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn crashes_are_counted_within_ten_minutes() {
        let mut policy = RestartPolicy::new(3);
        let mut now = Instant::now();
        policy.started(0, now);
        // One in four minutes, a year long.
        for _ in 0..131_400 {
            now += 240 * SECOND;
            assert_eq!(policy.crashed(0, now), Some(Duration::ZERO));
        }
        // The third and the fourth within ten minutes; what children have in common counts together.
        assert!(policy.crashed(0, now + SECOND).is_none());
        assert!(policy.crashed(1, now + SECOND).is_none());
        assert!(policy.crashed(1, now + 121 * SECOND).is_some());
        assert!(RestartPolicy::new(0).crashed(0, now).is_none());
    }

    #[test]
    fn who_crashes_again_waits_longer() {
        let mut policy = RestartPolicy::new(usize::MAX);
        let mut now = Instant::now();
        policy.started(0, now);
        let mut crash_after = |id, life: Duration| {
            now += life;
            let delay = policy.crashed(id, now).unwrap();
            now += delay;
            delay.as_millis()
        };
        let delays: Vec<_> = (0..10).map(|_| crash_after(0, SECOND)).collect();
        assert_eq!(delays, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        // Each child by itself.
        assert_eq!(crash_after(1, SECOND), 0);
        // A minute of work, and all is forgotten.
        assert_eq!(crash_after(0, 60 * SECOND), 0);
        assert_eq!(crash_after(0, SECOND), 100);
        for _ in 0..100 {
            assert!(crash_after(0, SECOND) <= 10_000);
        }
    }
}
