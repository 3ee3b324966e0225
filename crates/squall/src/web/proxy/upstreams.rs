//! Which of several upstreams serves the next request: smooth weighted round robin, as nginx does it, without those that
//! have failed lately or are being drained. Pure; the time is passed in.

use std::time::{Duration, Instant};

use url::Url;

/// How long an upstream that could not be reached gets no requests, unless no other is left.
const PENALTY: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub(super) struct Upstream {
    /// Scheme, host and port, and what stands before every path; without a slash at its end.
    pub(super) base: String,
    /// `base`, if it is a URL.
    pub(super) url: Option<Url>,
    /// The path of `base`, without a slash at its end.
    pub(super) prefix: String,
    weight: i64,
    current: i64,
    down_until: Option<Instant>,
    /// What the last health check found.
    pub(super) healthy: bool,
    draining: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Upstreams {
    list: Vec<Upstream>,
}

impl Upstreams {
    pub(super) fn add(&mut self, base: &str, weight: u32) {
        // What is no URL shows at the first request.
        let url = Url::parse(base).ok();
        let prefix = url.as_ref().map(|url| url.path().trim_end_matches('/').to_owned());
        self.list.push(Upstream {
            base: base.trim_end_matches('/').to_owned(),
            url,
            prefix: prefix.unwrap_or_default(),
            weight: i64::from(weight),
            current: 0,
            down_until: None,
            healthy: true,
            draining: false,
        });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Upstream> {
        self.list.iter()
    }

    /// The upstream for the next request, other than those in `tried`.
    pub(super) fn next(&mut self, now: Instant, tried: &[usize]) -> Option<usize> {
        let takes = |upstream: &Upstream| !upstream.draining && upstream.weight > 0;
        let up = |upstream: &Upstream| {
            takes(upstream) && upstream.healthy && upstream.down_until.is_none_or(|until| until <= now)
        };
        // With all of them down, a try is better than none.
        self.pick(tried, up).or_else(|| self.pick(tried, takes))
    }

    fn pick(&mut self, tried: &[usize], fits: impl Fn(&Upstream) -> bool) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<usize> = None;
        for index in 0..self.list.len() {
            if tried.contains(&index) || !fits(&self.list[index]) {
                continue;
            }
            let upstream = &mut self.list[index];
            upstream.current += upstream.weight;
            total += upstream.weight;
            if best.is_none_or(|best| self.list[index].current > self.list[best].current) {
                best = Some(index);
            }
        }
        let best = best?;
        self.list[best].current -= total;
        Some(best)
    }

    pub(super) fn get(&self, index: usize) -> &Upstream {
        &self.list[index]
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The upstream could not be reached.
    pub(super) fn failed(&mut self, index: usize, now: Instant) {
        self.list[index].down_until = Some(now + PENALTY);
    }

    /// The upstream has answered.
    pub(super) fn answered(&mut self, index: usize) {
        self.list[index].down_until = None;
    }

    /// A health check has ended.
    pub(super) fn checked(&mut self, base: &str, healthy: bool) {
        for upstream in self.list.iter_mut().filter(|upstream| upstream.base == base) {
            upstream.healthy = healthy;
        }
    }

    /// Sends an upstream no further requests, or lets it take them again; says whether there is one of that URL.
    pub(super) fn drain(&mut self, base: &str, on: bool) -> bool {
        let base = base.trim_end_matches('/');
        let mut found = false;
        for upstream in self.list.iter_mut().filter(|upstream| upstream.base == base) {
            upstream.draining = on;
            found = true;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstreams(weights: &[(&str, u32)]) -> Upstreams {
        let mut all = Upstreams::default();
        weights.iter().for_each(|(base, weight)| all.add(base, *weight));
        all
    }

    fn sequence(all: &mut Upstreams, now: Instant, count: usize) -> String {
        (0..count)
            .map(|_| all.next(now, &[]).map_or("-".to_owned(), |index| all.get(index).base.clone()))
            .collect()
    }

    #[test]
    fn weights_are_spread_smoothly() {
        let now = Instant::now();
        assert_eq!(sequence(&mut upstreams(&[("a", 5), ("b", 1), ("c", 1)]), now, 14), "aabacaaaabacaa");
        assert_eq!(sequence(&mut upstreams(&[("a", 1), ("b", 1)]), now, 4), "abab");
        assert_eq!(sequence(&mut upstreams(&[("a", 1), ("b", 0)]), now, 3), "aaa");
        assert_eq!(sequence(&mut upstreams(&[]), now, 1), "-");
    }

    #[test]
    fn the_failed_the_ill_and_the_drained_rest() {
        let now = Instant::now();
        let mut all = upstreams(&[("a", 1), ("b", 1)]);
        all.failed(0, now);
        assert_eq!(sequence(&mut all, now, 3), "bbb");
        assert_eq!(sequence(&mut all, now + PENALTY, 2).len(), 2);
        all.answered(0);
        all.checked("b", false);
        assert_eq!(sequence(&mut all, now, 3), "aaa");
        // Nobody is well: somebody is tried.
        all.failed(0, now);
        assert!(!sequence(&mut all, now, 2).contains('-'));
        assert!(all.drain("a/", true) && !all.drain("c", true));
        assert_eq!(sequence(&mut all, now, 2), "bb");
        assert!(all.drain("b", true));
        assert_eq!(sequence(&mut all, now, 1), "-");
        assert!(all.drain("a", false));
        assert_eq!(sequence(&mut all, now, 1), "a");
    }

    #[test]
    fn none_is_tried_twice_for_one_request() {
        let now = Instant::now();
        let mut all = upstreams(&[("a", 1), ("b", 9)]);
        assert_eq!(all.next(now, &[1]), Some(0));
        assert_eq!(all.next(now, &[0, 1]), None);
    }
}
