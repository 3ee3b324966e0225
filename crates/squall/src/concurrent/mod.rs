//! Several things at a time: what `tornado.concurrent` and `tornado.gen` offer beside `async` and `await`.
//!
//! Tornado's coroutines are `async fn`s here. What a decorator or a generator did needs no counterpart; what is left are the
//! tools: [`multi`] waits for many, [`WaitIterator`] for one after the other as they finish, [`with_timeout`] for a limited
//! time; [`Future`] is a result that somebody else will set.
//!
//! ```
//! use std::time::Duration;
//! use squall::IoLoop;
//! use squall::concurrent::{multi, sleep, with_timeout};
//! use squall::ioloop::TimeoutError;
//!
//! async fn square(n: u64) -> Result<u64, std::io::Error> {
//!     sleep(Duration::from_millis(n)).await;
//!     Ok(n * n)
//! }
//!
//! IoLoop::current().run_sync(async {
//!     assert_eq!(multi((1..=3).map(square)).await.unwrap(), [1, 4, 9]);
//!     let late = with_timeout(Duration::from_millis(1), square(10_000)).await;
//!     assert!(matches!(late, Err(TimeoutError { .. })));
//! }, None).unwrap();
//! ```
//!
//! A future of Rust's runs only while somebody waits for it, where a coroutine of Tornado's has begun when it was called: what is
//! to run meanwhile is [spawned](crate::IoLoop::spawn).

mod future;
mod multi;
mod wait_iterator;
mod with_timeout;

use std::time::{Duration, Instant};

use crate::ioloop::{Executor, Job, later};

pub use self::future::{Future, FutureError, InvalidStateError, chain_future, run_on_executor};
pub use self::multi::{Multi, MultiMap, multi, multi_map};
pub use self::wait_iterator::WaitIterator;
pub use self::with_timeout::{WithTimeout, with_timeout};

/// Waits for `duration`, to a precision of a millisecond. Cancel safe.
#[doc(alias = "gen.sleep")]
pub async fn sleep(duration: Duration) {
    tokio::time::sleep_until(later(Instant::now().into(), duration)).await;
}

/// Waits until everything else that is ready has run once: for long computations, which must let others have a turn.
#[doc(alias = "gen.moment")]
pub async fn moment() {
    tokio::task::yield_now().await;
}

/// An executor that runs each job at once, on the loop's thread: for tests.
#[doc(alias = "dummy_executor")]
#[derive(Clone, Copy, Debug, Default)]
pub struct DummyExecutor;

impl Executor for DummyExecutor {
    fn submit(&self, job: Job) {
        job();
    }
}
