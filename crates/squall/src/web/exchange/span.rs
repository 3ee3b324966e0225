//! The span of a request, so that every event of it says whose it is.

use std::time::Duration;

use tracing::Span;
use tracing::field::Empty;

use crate::log;
use crate::web::context::Context;

/// Remembered by the request, so that what is logged about it elsewhere is inside of it too.
pub(in crate::web) struct RequestSpan(pub(in crate::web) Span);

impl Context {
    /// Opens the span of the request; `None` where nobody wants it, which costs nothing.
    pub(in crate::web) fn open_span(&self) -> Option<Box<Span>> {
        let request = self.request();
        let span = tracing::info_span!(
            target: log::REQUEST,
            "request",
            request_id = Empty,
            method = request.method().as_str(),
            path = request.uri(),
            peer = %request.remote_ip(),
            version = ?request.version(),
            route = self.route_pattern(),
            status = Empty,
            duration_ms = Empty,
        );
        if span.is_disabled() {
            return None;
        }
        self.core().prepare_span(self, &span);
        self.insert(RequestSpan(span.clone()));
        Some(Box::new(span))
    }

    /// Runs `f` inside of the span of the request, if there is one.
    #[inline]
    pub(in crate::web) fn in_request_span<T>(&self, f: impl FnOnce() -> T) -> T {
        match self.get::<RequestSpan>() {
            Some(span) => span.0.in_scope(f),
            None => f(),
        }
    }
}

/// What is known at the end of a request.
pub(in crate::web) fn close(span: &Span, status: u16, took: Duration) {
    // One after the other they are two ways through the subscriber.
    tracing::record_all!(span, status = status, duration_ms = log::millis(took));
}
