//! Tasks that wait for one another (Tornado's `tornado.locks`).
//!
//! All of these are for tasks of one loop and are shared with [`Rc`](std::rc::Rc). They hand out turns in the order in
//! which tasks asked, and a future that is dropped while it waits gives its turn to the next: all of them may be used in
//! `select!` and under a timeout.
//!
//! ```
//! use std::rc::Rc;
//! use squall::locks::Semaphore;
//!
//! # squall::IoLoop::current().run_sync(async {
//! let three_at_once = Rc::new(Semaphore::new(3));
//! let workers: Vec<_> = (0..10)
//!     .map(|_| {
//!         let semaphore = Rc::clone(&three_at_once);
//!         tokio::task::spawn_local(async move {
//!             let _permit = semaphore.acquire().await;
//!             tokio::task::yield_now().await; // some work
//!         })
//!     })
//!     .collect();
//! for worker in workers {
//!     worker.await.unwrap();
//! }
//! # }, None).unwrap();
//! ```

mod semaphore;
#[cfg(test)]
mod tests;
mod waiters;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::time::Duration;

pub use semaphore::{BoundedSemaphore, Lock, Permit, Semaphore};

use crate::ioloop::TimeoutError;
pub(crate) use waiters::Waiters;

/// Wakes tasks that wait for something to happen; nothing is remembered for those that come later.
#[derive(Default)]
pub struct Condition {
    waiters: Waiters<(), ()>,
}

impl Condition {
    /// Nobody waits yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for a [`notify`](Self::notify) that comes after the first poll.
    ///
    /// Cancel safe: a notification that came in vain goes to the next.
    pub async fn wait(&self) {
        self.waiters.wait((), |()| self.notify(1)).await;
    }

    /// As [`wait`](Self::wait), for no longer than this. Whether there was a notification.
    pub async fn wait_timeout(&self, timeout: Duration) -> bool {
        within(timeout, self.wait()).await.is_ok()
    }

    /// Wakes the `n` tasks that have waited longest, or as many as there are.
    pub fn notify(&self, n: usize) {
        for _ in 0..n {
            if !self.waiters.serve(|()| ()) {
                return;
            }
        }
    }

    /// Wakes all tasks that wait.
    pub fn notify_all(&self) {
        self.notify(usize::MAX);
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").field("waiters", &self.waiters.len()).finish()
    }
}

/// A flag that tasks wait for.
#[derive(Default)]
pub struct Event {
    is_set: Cell<bool>,
    waiters: Waiters<(), ()>,
}

impl Event {
    /// Not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.is_set.get()
    }

    /// Sets the flag and wakes all tasks that wait, even if it is cleared before they run.
    pub fn set(&self) {
        self.is_set.set(true);
        while self.waiters.serve(|()| ()) {}
    }

    /// Takes the flag back: tasks wait again from here on.
    pub fn clear(&self) {
        self.is_set.set(false);
    }

    /// Waits until the flag is set. Cancel safe.
    pub async fn wait(&self) {
        if !self.is_set.get() {
            self.waiters.wait((), drop).await;
        }
    }

    /// As [`wait`](Self::wait), for no longer than this.
    ///
    /// # Errors
    /// The flag was not set in time.
    pub async fn wait_timeout(&self, timeout: Duration) -> Result<(), TimeoutError> {
        within(timeout, self.wait()).await
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set).field("waiters", &self.waiters.len()).finish()
    }
}

/// What `work` gives; with a timeout of zero only if that is there at once, as since Tornado 6.6.
pub(crate) async fn within<T>(after: Duration, work: impl Future<Output = T>) -> Result<T, TimeoutError> {
    tokio::time::timeout(after, work).await.map_err(|_| TimeoutError { after })
}
