//! The response half of a [`Context`](super::Context): what has been set and written and not yet sent.

use std::cell::RefCell;

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
    pub(super) phase: Phase,
}

/// What `Server` says.
const SERVER: &str = concat!("squall/", env!("CARGO_PKG_VERSION"));
/// Larger bodies give their memory back.
const LARGEST_KEPT: usize = 64 * 1024;
const KEPT: usize = 32;

thread_local! {
    /// Memory of former responses: a request costs no allocation for its headers and a small body.
    static POOL: RefCell<Vec<(HttpHeaders, Vec<u8>)>> = const { RefCell::new(Vec::new()) };
    /// The headers that every response starts with, and the second for which their date is right.
    static DEFAULTS: RefCell<(u64, HttpHeaders)> = const { RefCell::new((0, HttpHeaders::new())) };
}

impl Response {
    /// Status 200, the default headers, no body.
    pub(super) fn new() -> Self {
        let (headers, body) = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
        let mut response = Self { status: 200, reason: None, headers, body, phase: Phase::Buffering };
        response.clear();
        response
    }

    /// Back to the beginning (Tornado's `clear`).
    pub(super) fn clear(&mut self) {
        self.status = 200;
        self.reason = None;
        self.body.clear();
        DEFAULTS.with_borrow_mut(|(second, defaults)| {
            let now = date::unix_seconds();
            if *second != now {
                *defaults = default_headers();
                *second = now;
            }
            self.headers.copy_from(defaults);
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
        self.reason.as_deref().unwrap_or_else(|| reason_phrase(self.status))
    }

    /// 1xx, 204 and 304 have no body (RFC 9110 §6.4.1).
    pub(super) fn has_no_body(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        if self.body.capacity() <= LARGEST_KEPT {
            let mut memory = (std::mem::take(&mut self.headers), std::mem::take(&mut self.body));
            memory.1.clear();
            POOL.with_borrow_mut(|pool| {
                if pool.len() < KEPT {
                    pool.push(memory);
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
