//! HTTP dates (RFC 9110 §5.6.7).

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ows;

/// The time as in `Sun, 27 Jan 2013 18:43:20 GMT`.
///
/// Times before 1970 are shown as the first second of 1970, those after 9999 as its last.
pub fn format_timestamp(time: SystemTime) -> String {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    httpdate::fmt_http_date(time.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST))
}

/// Seconds since 1970 of a date in one of HTTP's three forms, or as in mail: with any zone, or none, which is UTC.
pub(crate) fn parse_lenient(text: &str) -> Option<i64> {
    let text = ows::trim(text);
    if let Ok(time) = httpdate::parse_http_date(text) {
        return i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok();
    }
    let mail = chrono::DateTime::parse_from_rfc2822(text)
        .or_else(|_| chrono::DateTime::parse_from_rfc2822(&format!("{text} +0000")));
    Some(mail.ok()?.timestamp())
}

thread_local! {
    static NOW: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Calls `f` with the current second and its date, which is formatted once a second.
pub(crate) fn with_now<R>(f: impl FnOnce(u64, &str) -> R) -> R {
    let second = unix_seconds();
    NOW.with_borrow_mut(|(at, text)| {
        if *at != second {
            *at = second;
            *text = format_timestamp(UNIX_EPOCH + Duration::from_secs(second));
        }
        f(second, text)
    })
}

/// Seconds since 1970; zero if the clock is before that.
///
/// From the coarse clock, which is 4 ms behind at the most and costs a fifth of the exact one.
pub(crate) fn unix_seconds() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    u64::try_from(now.tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_tornado_does() {
        let time = UNIX_EPOCH + Duration::from_secs(1_359_312_200);
        assert_eq!(format_timestamp(time), "Sun, 27 Jan 2013 18:43:20 GMT");
        assert_eq!(format_timestamp(UNIX_EPOCH - Duration::from_secs(5)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(
            format_timestamp(UNIX_EPOCH + Duration::from_secs(1 << 60)),
            "Fri, 31 Dec 9999 23:59:59 GMT"
        );
    }

    #[test]
    fn the_cached_date_is_the_current_one() {
        let before = unix_seconds();
        with_now(|second, text| {
            assert!(second >= before);
            assert_eq!(text, format_timestamp(UNIX_EPOCH + Duration::from_secs(second)));
        });
    }
}
