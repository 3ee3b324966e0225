//! What the macros expand to calls of. Not a public interface.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use crate::ioloop::{IoLoop, RunSyncError};
use crate::log;
use crate::web::Error;

/// Runs `async fn main` on a loop; an error is one line and status 1.
pub fn run_main<F: Future<Output = Result<(), Error>>>(main: F) -> ExitCode {
    match IoLoop::current().run_sync(with_fallback(main, false), None) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(&error),
        Err(error) => fail(&error),
    }
}

/// Has errors logged somewhere if nobody else does; the future gets a chance to choose first.
async fn with_fallback<F: Future>(future: F, in_test: bool) -> F::Output {
    let mut future = pin!(future);
    let first = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    match first {
        Poll::Ready(output) => output,
        Poll::Pending => {
            log::enable_fallback(in_test);
            future.await
        }
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    log::say_fatal(error);
    ExitCode::FAILURE
}

/// How long `#[squall::test]` waits when nothing else is said.
const TEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a test on a loop of its own.
///
/// # Panics
/// When the test fails, or takes longer than `limit`, `ASYNC_TEST_TIMEOUT` seconds, or five seconds.
pub fn run_test<F: Future<Output = Result<(), Error>>>(name: &str, limit: Option<Duration>, test: F) {
    let from_environment =
        || std::env::var("ASYNC_TEST_TIMEOUT").ok()?.parse().ok().map(Duration::from_secs_f64);
    let limit = limit.or_else(from_environment).unwrap_or(TEST_TIMEOUT);
    let former = IoLoop::current_opt();
    let io_loop = match IoLoop::new() {
        Ok(io_loop) => io_loop,
        Err(error) => panic!("test {name}: no loop: {error}"),
    };
    io_loop.make_current();
    let outcome = io_loop.run_sync(with_fallback(test, true), Some(limit));
    io_loop.close(false);
    match former {
        Some(former) => former.make_current(),
        None => IoLoop::clear_current(),
    }
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => panic!("test {name}: {error}"),
        Err(RunSyncError::Timeout(_)) => panic!("test {name}: not done after {limit:?}"),
        Err(error) => panic!("test {name}: {error}"),
    }
}

/// The method that a generated `other` looks at.
pub fn method(ctx: &crate::Context) -> &str {
    ctx.method().as_str()
}

/// What a generated `other` returns for a method that it does not know.
///
/// # Errors
/// Always: 405.
pub fn method_not_allowed(ctx: &crate::Context) -> Result<(), Error> {
    Err(ctx.method_not_allowed())
}
