//! Workers that are replaced before they grow old.

use std::fmt;
use std::time::{Duration, Instant};

/// When a worker lets another take its place; each limit is stretched by up to a tenth at random, so that not all workers
/// go at once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Retirement {
    pub(super) requests: Option<u64>,
    pub(super) age: Option<Duration>,
    /// Resident, in bytes.
    pub(super) memory: Option<u64>,
}

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

impl Retirement {
    pub(super) fn is_none(&self) -> bool {
        self.requests.is_none() && self.age.is_none() && self.memory.is_none()
    }

    /// Resolves when one of the limits is reached; `served` counts requests.
    pub(super) async fn reached(self, served: impl Fn() -> u64) -> Why {
        if self.is_none() {
            return std::future::pending().await;
        }
        let Self { requests, age, memory } = self.stretched();
        let started = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            if requests.is_some_and(|most| served() >= most) {
                return Why::Requests(served());
            }
            if age.is_some_and(|most| started.elapsed() >= most) {
                return Why::Age(started.elapsed());
            }
            if let Some(bytes) = resident().filter(|bytes| memory.is_some_and(|most| *bytes >= most)) {
                return Why::Memory(bytes);
            }
        }
    }

    fn stretched(self) -> Self {
        let mut random = [0; 2];
        // Without chance they merely go together.
        let _ = getrandom::fill(&mut random);
        let tenth = f64::from(u16::from_ne_bytes(random)) / f64::from(u16::MAX) / 10.0;
        let stretch = |limit: u64| limit.saturating_add((limit as f64 * tenth) as u64);
        Self {
            requests: self.requests.map(stretch),
            age: self.age.map(|age| age.saturating_add(age.mul_f64(tenth))),
            memory: self.memory.map(stretch),
        }
    }
}

/// Why a worker goes.
pub(super) enum Why {
    Requests(u64),
    Age(Duration),
    Memory(u64),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests(count) => write!(f, "{count} requests"),
            Self::Age(age) => write!(f, "{} s", age.as_secs()),
            Self::Memory(bytes) => write!(f, "{} MiB", bytes >> 20),
        }
    }
}

/// How much memory of this process is resident (Linux).
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_stretched_by_up_to_a_tenth() {
        let limits =
            Retirement { requests: Some(1000), age: Some(Duration::from_secs(1000)), memory: Some(u64::MAX) };
        for _ in 0..100 {
            let stretched = limits.stretched();
            assert!((1000..=1100).contains(&stretched.requests.unwrap()));
            assert!((1000..=1100).contains(&stretched.age.unwrap().as_secs()));
            assert_eq!(stretched.memory, Some(u64::MAX));
        }
        assert!(Retirement { age: Some(Duration::MAX), ..limits }.stretched().age.is_some());
    }

    #[test]
    fn a_process_has_some_memory() {
        assert!(resident().unwrap() > 100_000);
    }
}
