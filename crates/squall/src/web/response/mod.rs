//! The response half of a [`Context`](super::Context): what has been set and written and not yet sent.

pub(in crate::web) mod cookies;
pub(in crate::web) mod disconnected;
pub(in crate::web) mod https;
pub(in crate::web) mod informational;
pub(in crate::web) mod send;
pub(in crate::web) mod send_file;
pub(in crate::web) mod signed_value;
pub(in crate::web) mod sse;
pub(in crate::web) mod trailers;
pub(in crate::web) mod xsrf;

use std::cell::RefCell;
use std::ops::Deref;
use std::time::{Duration, Instant};

use super::context::misuse;
use super::error::Result;
use crate::httputil::{HttpHeaders, date, reason_phrase};

/// How far a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has been sent; everything can still be changed.
    Buffering,
    /// The head is out.
    Streaming,
    Finished,
}

/// A response as the handler shapes it.
pub(super) struct Response {
    pub(super) status: u16,
    /// `None` for the usual one.
    pub(super) reason: Option<Box<str>>,
    pub(super) headers: HttpHeaders,
    pub(super) body: Vec<u8>,
    /// What is to be sent behind the body.
    pub(super) trailers: Option<Box<HttpHeaders>>,
    pub(super) phase: Phase,
    /// What was sent before it.
    pub(super) interim: Interim,
    /// The head is another server's, handed on: nothing in it is made to fit what was written, and no transform changes
    /// the body.
    pub(super) relayed: bool,
}

/// How much was sent of interim responses.
#[derive(Default)]
pub(super) struct Interim {
    pub(super) count: u8,
    pub(super) bytes: usize,
}

/// What `Server` says.
const SERVER: &str = concat!("squall/", env!("CARGO_PKG_VERSION"));
/// Larger bodies give their memory back.
const LARGEST_KEPT: usize = 64 * 1024;
const KEPT: usize = 32;

thread_local! {
    /// Memory of former responses: a request costs no allocation for its headers and a small body.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    static POOL: RefCell<Vec<Box<RefCell<Response>>>> = const { RefCell::new(Vec::new()) };
    static DEFAULTS: RefCell<Defaults> =
        const { RefCell::new(Defaults { good_until: None, second: 0, headers: HttpHeaders::new() }) };
}

/// The headers that every response starts with.
struct Defaults {
    /// When the clock is to be asked for the date again.
    good_until: Option<Instant>,
    /// The second for which the date is right.
    second: u64,
    headers: HttpHeaders,
}

/// The clock is asked for the date so often at the most: it costs a request 25 ns on the machine of `bench/`.
const DATE_INTERVAL: Duration = Duration::from_millis(50);

impl Response {
    /// Back to the beginning: status 200, the default headers, no body (Tornado's `clear`).
    pub(super) fn clear(&mut self) {
        self.clear_at(Instant::now());
    }

    /// [`clear`](Self::clear), when it is `now`.
    fn clear_at(&mut self, now: Instant) {
        self.status = 200;
        self.reason = None;
        self.relayed = false;
        self.trailers = None;
        self.body.clear();
        DEFAULTS.with_borrow_mut(|defaults| {
            if defaults.good_until.is_none_or(|until| now >= until) {
                defaults.good_until = Some(now + DATE_INTERVAL);
                let second = date::unix_seconds();
                if defaults.second != second {
                    defaults.second = second;
                    defaults.headers = default_headers();
                }
            }
            self.headers.copy_from(&defaults.headers);
        });
    }

    /// A reason that could break out of the status line, or be markup on an error page, becomes `Unknown`
    /// (CVE-2025-67724).
    pub(super) fn set_status(&mut self, status: u16, reason: Option<&str>) {
        self.status = status;
        self.reason = reason.map(|reason| {
            let sound = !reason.is_empty()
                && reason.chars().all(|c| c != '<' && matches!(c, '\t' | ' '..='~' | '\u{80}'..='\u{ff}'));
            if sound { reason.into() } else { "Unknown".into() }
        });
    }

    pub(super) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_else(|| match self.status {
            200 => "OK",
            other => reason_phrase(other),
        })
    }

    /// Removes what describes a body from a response that has none.
    pub(super) fn remove_body_headers(&mut self) {
        for name in ["Content-Encoding", "Content-Language", "Content-Type"] {
            self.headers.remove(name);
        }
        // A 304 may tell the length of what it stands for, a 204 must not (RFC 9110 §8.6).
        if self.status != 304 {
            self.headers.remove("Content-Length");
        }
    }

    /// Refuses a Content-Length that is no number, does not fit or stands there twice: nothing has been sent, so this can be an error page.
    pub(super) fn check_length(&self, fits: impl FnOnce(u64) -> bool) -> Result {
        let Some(told) = self.headers.get("Content-Length") else { return Ok(()) };
        // RFC 9110 §8.6: digits and nothing else, such as a sign.
        let length = told.parse().ok().filter(|_| told.bytes().all(|b| b.is_ascii_digit()));
        let once = self.headers.list("Content-Length").nth(1).is_none();
        if once && length.is_some_and(fits) {
            return Ok(());
        }
        let (told, written) = (told.to_owned(), self.body.len());
        Err(misuse(format!("Content-Length is {told}, but {written} bytes have been written")))
    }

    /// 1xx, 204 and 304 have no body (RFC 9110 §6.4.1).
    pub(super) fn has_no_body(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }
}

/// A response in pooled memory.
pub(super) struct ResponseCell {
    /// Invariant: `Some` until it is dropped.
    cell: Option<Box<RefCell<Response>>>,
}

impl ResponseCell {
    /// A response as after [`Response::clear`], for a request that arrived just now, at `start`.
    pub(super) fn new(start: Instant) -> Self {
        let mut cell = POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            Box::new(RefCell::new(Response {
                status: 200,
                reason: None,
                headers: HttpHeaders::new(),
                body: Vec::new(),
                trailers: None,
                phase: Phase::Buffering,
                interim: Interim::default(),
                relayed: false,
            }))
        });
        let response = cell.get_mut();
        response.phase = Phase::Buffering;
        response.interim = Interim::default();
        response.clear_at(start);
        Self { cell: Some(cell) }
    }
}

impl Deref for ResponseCell {
    type Target = RefCell<Response>;

    #[inline]
    fn deref(&self) -> &RefCell<Response> {
        self.cell.as_deref().expect("a response has its memory until it is dropped")
    }
}

impl Drop for ResponseCell {
    fn drop(&mut self) {
        let Some(mut cell) = self.cell.take() else { return };
        if cell.get_mut().body.capacity() <= LARGEST_KEPT {
            // Without a pool the thread is ending.
            let _ = POOL.try_with(|pool| {
                let mut pool = pool.borrow_mut();
                if pool.len() < KEPT {
                    pool.push(cell);
                }
            });
        }
    }
}

/// In Tornado's order.
fn default_headers() -> HttpHeaders {
    date::with_now(|_, now| {
        [("Server", SERVER), ("Content-Type", "text/html; charset=UTF-8"), ("Date", now)]
            .into_iter()
            .collect()
    })
}
