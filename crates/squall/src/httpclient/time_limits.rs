//! How long a fetch may take, and its parts. Pure.

use std::time::Duration;

use tokio::time::Instant;

use super::request::Options;

/// The time limits of one fetch, and from when each of them counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimits {
    /// The end of the whole fetch, redirects, challenges and bodies included.
    pub(super) whole: Option<Instant>,
    /// For the wait for a slot, and again for each connection that is made: what a server took to redirect is not the
    /// next server's to make up for.
    connect: Option<Duration>,
}

impl TimeLimits {
    /// Those of a fetch that began at `start`. As in Tornado, a limit of 0 is none.
    pub(super) fn new(options: &Options, start: Instant) -> Self {
        let given =
            |timeout: Option<Option<Duration>>| timeout.flatten().filter(|timeout| !timeout.is_zero());
        let whole = given(options.request_timeout).and_then(|timeout| start.checked_add(timeout));
        Self { whole, connect: given(options.connect_timeout) }
    }

    /// The deadline of a connection, or of the wait for a slot, that began at `since`.
    pub(super) fn connecting(&self, since: Instant) -> Option<Instant> {
        let connect = self.connect.and_then(|timeout| since.checked_add(timeout));
        [connect, self.whole].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_its_own_time() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let limits = |connect: Option<Duration>, request: Option<Duration>| {
            let options = Options {
                connect_timeout: Some(connect),
                request_timeout: Some(request),
                ..Options::default()
            };
            TimeLimits::new(&options, start)
        };
        for (connect, request, whole, at_start, after_8) in [
            (Some(5), Some(20), Some(20), Some(5), Some(13)),
            (Some(5), Some(10), Some(10), Some(5), Some(10)),
            (Some(20), Some(5), Some(5), Some(5), Some(5)),
            (Some(5), None, None, Some(5), Some(13)),
            (None, Some(5), Some(5), Some(5), Some(5)),
            (Some(0), Some(0), None, None, None),
            (Some(u32::MAX), None, None, Some(u32::MAX), None),
        ] {
            let limits = limits(connect.map(|n| second * n), request.map(|n| second * n));
            let at = |seconds: Option<u32>| seconds.map(|n| start + second * n);
            assert_eq!(limits.whole, at(whole), "{connect:?} {request:?}");
            assert_eq!(limits.connecting(start), at(at_start), "{connect:?} {request:?}");
            let late = limits.connecting(start + second * 8);
            if connect != Some(u32::MAX) {
                assert_eq!(late, at(after_8), "{connect:?} {request:?}");
            }
        }
        let forever = limits(Some(Duration::MAX), Some(Duration::MAX));
        assert_eq!((forever.whole, forever.connecting(start)), (None, None));
    }
}
