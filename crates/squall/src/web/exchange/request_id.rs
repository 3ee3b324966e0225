//! The name of a request, in its response and in the log.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use tracing::{Instrument, Span};

use crate::log;
use crate::web::around::Next;
use crate::web::context::Context;
use crate::web::error::Result;
use crate::web::span::RequestSpan;

/// The name of a request, where [`request_id`] stands around it: `ctx.get::<RequestId>()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Rc<str>);

impl RequestId {
    /// Its text: 1 to 128 ASCII letters, digits and `-._~+/=:@`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn taken_over(ctx: &Context) -> Option<Self> {
        let given = ctx.request().headers().get(HEADER)?;
        let sound = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=:@".contains(&b);
        ((1..=128).contains(&given.len()) && given.bytes().all(sound)).then(|| Self(given.into()))
    }

    /// One that no other request has: 64 random bits of the thread, and a count.
    fn fresh() -> Self {
        thread_local! {
            static NEXT: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
        }
        let (thread, count) = NEXT.get().unwrap_or_else(|| {
            let mut random = [0; 8];
            // Without randomness there still is the process.
            if getrandom::fill(&mut random).is_err() {
                random = u64::from(std::process::id()).to_ne_bytes();
            }
            (u64::from_ne_bytes(random), 0)
        });
        NEXT.set(Some((thread, count.wrapping_add(1))));
        Self(format!("{thread:016x}-{count:x}").into())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const HEADER: &str = "X-Request-Id";

/// Names each request: by its `X-Request-Id` where that is 1 to 128 letters, digits and `-._~+/=:@`, else anew. For
/// [`around`](crate::web::Application::around).
///
/// The name is in the response's `X-Request-Id`, error pages included, in every line that is logged while the request is
/// served (as the field `request_id` of a span), in its line of the access log and in that of its error;
/// [`Context::get`] gives the [`RequestId`].
///
/// A client can choose the name. Where it must not, take the header away in front of squall, or put a layer around that does.
///
/// ```
/// use squall::{Application, Context, get, web};
///
/// let app = Application::new([get("/", async |ctx: &Context| { ctx.write("named"); Ok(()) })])
///     .around(web::request_id());
/// # let _ = app;
/// ```
pub fn request_id() -> impl AsyncFn(&Context, Next<'_>) -> Result + 'static {
    async |ctx: &Context, next: Next<'_>| {
        let id = RequestId::taken_over(ctx).unwrap_or_else(RequestId::fresh);
        let span = match ctx.get::<RequestSpan>() {
            Some(span) => {
                span.0.record("request_id", tracing::field::display(&id));
                // What runs is inside of it already.
                Span::none()
            }
            // The name is wanted in each line also where nothing else is.
            None => {
                let span = tracing::error_span!(target: log::GENERAL, "request", request_id = %id);
                ctx.insert(RequestSpan(span.clone()));
                span
            }
        };
        ctx.insert(id);
        ctx.set_request_id_header();
        next.run(ctx).instrument(span).await
    }
}

impl Context {
    /// Puts the name of the request into the response, if it has one: anew when the response begins anew.
    pub(in crate::web) fn set_request_id_header(&self) {
        if let Some(id) = self.get::<RequestId>() {
            // Its characters are those of a header.
            let _ = self.set_header(HEADER, id.as_str());
        }
    }
}
