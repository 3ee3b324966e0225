//! What happens to a panic in user code that the loop runs: it is caught, reported, and the loop goes on.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::log;

/// A panic caught in a callback, timeout, handler or spawned future.
///
/// Its `Display` is the line that is logged by default: what panicked, where it was given to the loop, and the
/// panic's message.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallbackPanic<'a> {
    /// What panicked, such as `callback` or `I/O handler for fd 7`.
    pub what: &'a str,
    /// The panic's payload, as [`std::thread::Result`] carries it.
    pub payload: &'a (dyn Any + Send),
}

impl CallbackPanic<'_> {
    /// The text given to `panic!`, or a placeholder when the payload is not text.
    #[must_use]
    pub fn message(&self) -> &str {
        panic_message(self.payload)
    }
}

impl fmt::Display for CallbackPanic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exception in {}: {}", self.what, self.message())
    }
}

/// Logs a caught panic at error level to [`log::APPLICATION`] as `Exception in <what>: <message>`.
pub(crate) fn log_panic(what: &str, payload: &(dyn Any + Send)) {
    tracing::error!(target: log::APPLICATION, "{}", CallbackPanic { what, payload });
}

/// The text of a panic's payload.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "panic payload is not text"
    }
}

/// Runs `future` and catches a panic of any of its polls.
///
/// # Errors
/// The panic's payload.
pub(crate) async fn catch_panic<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(payload) => Poll::Ready(Err(payload)),
    })
    .await
}

/// Where a piece of user code entered the loop; a closure has no name of its own worth printing.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) kind: &'static str,
    pub(super) location: &'static Location<'static>,
}

impl Origin {
    /// The origin of something of `kind`, added by the caller of the (`#[track_caller]`) public method.
    #[track_caller]
    pub(super) fn here(kind: &'static str) -> Self {
        Origin { kind, location: Location::caller() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} added at {}:{}", self.kind, self.location.file(), self.location.line())
    }
}
