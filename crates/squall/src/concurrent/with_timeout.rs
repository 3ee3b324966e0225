//! Waiting for a limited time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::ioloop::{Deadline, IoLoop, TimeoutError, catch_panic, log_panic};
use crate::log;

/// Waits for `future` until `deadline` (an [`Instant`]) or so long (a [`Duration`]).
///
/// When the time is over, `future` is not cancelled: it goes on as a task of its own, and an error it ends with is logged,
/// unless [`quiet_exceptions`](WithTimeout::quiet_exceptions) says otherwise. To have it cancelled use
/// [`tokio::time::timeout`]. Dropping the result before that drops `future`.
///
/// The result is one within another: whether it was in time, and what `future` gave. `.await??` is for those who do not care.
///
/// # Errors
/// [`TimeoutError`] when the deadline has come and `future` is not ready.
#[doc(alias = "gen.with_timeout")]
pub fn with_timeout<F, T, E>(deadline: impl Into<Deadline>, future: F) -> WithTimeout<F, E>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: fmt::Display + 'static,
{
    let deadline = deadline.into().instant();
    let after = deadline.saturating_duration_since(Instant::now());
    WithTimeout { future: Some(Box::pin(future)), deadline, after, sleep: None, quiet: Box::new(|_| false) }
}

/// The future of [`with_timeout`].
#[must_use = "futures do nothing unless polled"]
pub struct WithTimeout<F, E> {
    /// Taken when the time is over.
    future: Option<Pin<Box<F>>>,
    deadline: Instant,
    after: Duration,
    /// Made when it is polled first, which is in a loop.
    sleep: Option<Pin<Box<Sleep>>>,
    quiet: Box<dyn Fn(&E) -> bool>,
}

impl<F, E> WithTimeout<F, E> {
    /// Late errors for which `quiet` says true are not logged.
    pub fn quiet_exceptions(mut self, quiet: impl Fn(&E) -> bool + 'static) -> Self {
        self.quiet = Box::new(quiet);
        self
    }
}

impl<F, E> Unpin for WithTimeout<F, E> {}

impl<F, T, E> Future for WithTimeout<F, E>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: fmt::Display + 'static,
{
    type Output = Result<Result<T, E>, TimeoutError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(future) = &mut this.future
            && let Poll::Ready(output) = future.as_mut().poll(cx)
        {
            return Poll::Ready(Ok(output));
        }
        let deadline = this.deadline;
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        if let Some(future) = this.future.take() {
            let quiet = std::mem::replace(&mut this.quiet, Box::new(|_| true));
            IoLoop::current().spawn(run_on(future, quiet));
        }
        Poll::Ready(Err(TimeoutError { after: this.after }))
    }
}

impl<F, E> fmt::Debug for WithTimeout<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithTimeout").field("after", &self.after).finish_non_exhaustive()
    }
}

/// What nobody waits for any more.
async fn run_on<F, T, E>(future: Pin<Box<F>>, quiet: Box<dyn Fn(&E) -> bool>)
where
    F: Future<Output = Result<T, E>>,
    E: fmt::Display,
{
    match catch_panic(future).await {
        Ok(Err(error)) if !quiet(&error) => {
            tracing::error!(target: log::APPLICATION, "Exception in Future after timeout: {error}");
        }
        Ok(_) => {}
        Err(payload) => log_panic("Future after timeout", &*payload),
    }
}
