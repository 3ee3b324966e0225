//! The one line per request.

use std::cell::{Cell, OnceCell};
use std::fmt::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use super::request_id::RequestId;
use crate::httputil::HttpServerRequest;
use crate::log;
use crate::web::context::Context;

/// How long a request took: the clock is read once, for whoever asks first.
pub(in crate::web) struct Took<'a> {
    request: &'a HttpServerRequest,
    time: OnceCell<Duration>,
}

impl<'a> Took<'a> {
    pub(in crate::web) fn of(request: &'a HttpServerRequest) -> Self {
        Self { request, time: OnceCell::new() }
    }

    pub(in crate::web) fn time(&self) -> Duration {
        *self.time.get_or_init(|| self.request.request_time())
    }
}

/// Logs a request as in Tornado: `200 GET /x (127.0.0.1) 0.55ms`.
pub(in crate::web) fn write(ctx: &Context, took: &Took<'_>) {
    let (status, request) = (ctx.status(), ctx.request());
    // What stands in the fields is found out if somebody wants it, and only then.
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: log::ACCESS,
                request_id = ctx.get::<RequestId>().as_ref().map(tracing::field::display),
                status,
                method = request.method().as_str(),
                path = request.uri(),
                duration_ms = crate::log::millis(took.time()),
                peer = %request.remote_ip(),
                version = ?request.version(),
                route = ctx.route().pattern().as_str(),
                "{}",
                Text::of(status, request, took.time()).as_str(),
            )
        };
    }
    match status {
        0..400 => line!(info),
        // Methods and versions that are not spoken here are the client's choice, as often as it likes.
        400..=499 | 501 | 505 => line!(warn),
        _ => line!(error),
    }
}

impl Context {
    /// Which request this is, as logs say it: `GET /path (127.0.0.1)` (Tornado's `_request_summary`).
    pub fn request_summary(&self) -> impl fmt::Display + '_ {
        Summary(self.request())
    }
}

struct Summary<'a>(&'a HttpServerRequest);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.0.method(), self.0.uri(), self.0.remote_ip())
    }
}

/// A line, in the memory of the one before. It is put together at once: as arguments of a format, each with a format of its
/// own, it took four times as many instructions.
struct Text(String);

thread_local! {
    static FORMER: Cell<String> = const { Cell::new(String::new()) };
}

impl Text {
    /// `200 GET /x (127.0.0.1) 0.55ms`
    fn of(status: u16, request: &HttpServerRequest, took: Duration) -> Self {
        let mut text = Self(FORMER.try_with(Cell::take).unwrap_or_default());
        text.0.clear();
        text.push_small(status);
        text.0.push(' ');
        text.0.push_str(request.method().as_str());
        text.0.push(' ');
        text.0.push_str(request.uri());
        text.push_two(' ', '(');
        match request.remote_ip() {
            IpAddr::V4(ip) => {
                let [first, rest @ ..] = ip.octets();
                text.push_small(first.into());
                for octet in rest {
                    text.0.push('.');
                    text.push_small(octet.into());
                }
            }
            // A `String` takes all.
            IpAddr::V6(ip) => _ = write!(text.0, "{ip}"),
        }
        text.push_two(')', ' ');
        text.push_millis(took);
        text.push_two('m', 's');
        text
    }

    fn as_str(&self) -> &str {
        &self.0
    }

    /// For a few of them this is cheaper than a copy of memory.
    fn push_two(&mut self, first: char, second: char) {
        self.0.push(first);
        self.0.push(second);
    }

    /// A number below 1,000.
    fn push_small(&mut self, number: u16) {
        let digit = |number: u16| char::from(b'0' + (number % 10) as u8);
        if number >= 100 {
            self.0.push(digit(number / 100));
        }
        if number >= 10 {
            self.0.push(digit(number / 10));
        }
        self.0.push(digit(number));
    }

    /// To hundredths, `0.55`, by integers: a float is dear to print to a given place.
    fn push_millis(&mut self, time: Duration) {
        let of_second = (time.subsec_nanos() + 5_000) / 10_000;
        let hundredths = time.as_secs().saturating_mul(100_000).saturating_add(of_second.into());
        match hundredths / 100 {
            small @ 0..1000 => self.push_small(small as u16),
            large => self.0.push_str(itoa::Buffer::new().format(large)),
        }
        let rest = (hundredths % 100) as u8;
        self.0.push('.');
        self.push_two(char::from(b'0' + rest / 10), char::from(b'0' + rest % 10));
    }
}

/// A longer one gives its memory back.
const LONGEST_KEPT: usize = 4096;

impl Drop for Text {
    fn drop(&mut self) {
        if self.0.capacity() <= LONGEST_KEPT {
            // The thread may be ending.
            let _ = FORMER.try_with(|former| former.set(std::mem::take(&mut self.0)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_to_hundredths_of_milliseconds() {
        let shown = |time| {
            let mut text = Text(String::new());
            text.push_millis(time);
            text.as_str().to_owned()
        };
        for (nanos, expected) in [
            (0, "0.00"),
            (4_999, "0.00"),
            (5_000, "0.01"),
            (550_000, "0.55"),
            (999_995_000, "1000.00"),
            (61_002_000_000, "61002.00"),
        ] {
            assert_eq!(shown(Duration::from_nanos(nanos)), expected, "{nanos}");
        }
        assert!(shown(Duration::MAX).ends_with(".15"));
    }
}
