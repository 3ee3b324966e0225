//! Semaphores and the lock made of one.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use super::{Waiters, within};
use crate::ioloop::TimeoutError;

/// Lets so many tasks in at once.
///
/// A task that has [acquired](Self::acquire) a permit gives it back by dropping it. [`release`](Self::release) without a
/// permit adds one, as in Tornado; [`BoundedSemaphore`] does not allow that.
pub struct Semaphore {
    free: Cell<usize>,
    waiters: Waiters<(), ()>,
}

impl Semaphore {
    /// With so many permits.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self { free: Cell::new(permits), waiters: Waiters::default() }
    }

    /// Waits for a permit. Those who came first get theirs first.
    ///
    /// Cancel safe.
    pub async fn acquire(&self) -> Permit<'_> {
        match self.free.get() {
            0 => self.waiters.wait((), |()| self.release()).await,
            // Nobody waits while there is one.
            free => self.free.set(free - 1),
        }
        Permit { semaphore: self, most: usize::MAX }
    }

    /// As [`acquire`](Self::acquire), for no longer than this.
    ///
    /// # Errors
    /// There was no permit in time.
    pub async fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>, TimeoutError> {
        within(timeout, self.acquire()).await
    }

    /// One permit more: of a task that [forgot](Permit::forget) its own, or an additional one.
    pub fn release(&self) {
        if !self.waiters.serve(|()| ()) {
            self.free.set(self.free.get() + 1);
        }
    }

    /// How many permits nobody has.
    pub fn free(&self) -> usize {
        self.free.get()
    }
}

impl Default for Semaphore {
    /// With one permit.
    fn default() -> Self {
        Self::new(1)
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("free", &self.free).field("waiters", &self.waiters.len()).finish()
    }
}

/// What a task holds that a semaphore or lock has let in; dropping it lets the next in.
#[derive(Debug)]
#[must_use = "dropped at once, it protects nothing"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    /// The semaphore never has more free permits than this.
    most: usize,
}

impl Permit<'_> {
    /// Keeps the permit until somebody calls `release`.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // It has been released by hand already, perhaps.
        if self.semaphore.free() < self.most {
            self.semaphore.release();
        }
    }
}

/// A [`Semaphore`] that cannot have more permits than it began with.
#[derive(Debug)]
pub struct BoundedSemaphore {
    semaphore: Semaphore,
    most: usize,
}

impl BoundedSemaphore {
    /// With so many permits.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self { semaphore: Semaphore::new(permits), most: permits }
    }

    /// As [`Semaphore::acquire`].
    pub async fn acquire(&self) -> Permit<'_> {
        let mut permit = self.semaphore.acquire().await;
        permit.most = self.most;
        permit
    }

    /// As [`Semaphore::acquire_timeout`].
    ///
    /// # Errors
    /// There was no permit in time.
    pub async fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>, TimeoutError> {
        within(timeout, self.acquire()).await
    }

    /// Gives back a permit that was [forgotten](Permit::forget).
    ///
    /// # Panics
    /// When none is missing: Tornado's "Semaphore released too many times".
    #[track_caller]
    pub fn release(&self) {
        assert!(self.semaphore.free() < self.most, "Semaphore released too many times");
        self.semaphore.release();
    }

    /// How many permits nobody has.
    pub fn free(&self) -> usize {
        self.semaphore.free()
    }
}

impl Default for BoundedSemaphore {
    /// With one permit.
    fn default() -> Self {
        Self::new(1)
    }
}

/// Lets one task in at a time, in the order in which they came.
#[derive(Debug, Default)]
pub struct Lock(BoundedSemaphore);

impl Lock {
    /// Not locked.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for the lock; it is held until the permit is dropped.
    ///
    /// Cancel safe.
    pub async fn acquire(&self) -> Permit<'_> {
        self.0.acquire().await
    }

    /// As [`acquire`](Self::acquire), for no longer than this.
    ///
    /// # Errors
    /// The lock was not free in time.
    pub async fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>, TimeoutError> {
        self.0.acquire_timeout(timeout).await
    }

    /// Unlocks what was locked with a [forgotten](Permit::forget) permit.
    ///
    /// # Panics
    /// When it is not locked: Tornado's "release unlocked lock".
    #[track_caller]
    pub fn release(&self) {
        assert!(self.is_locked(), "release unlocked lock");
        self.0.release();
    }

    /// Whether somebody holds it.
    pub fn is_locked(&self) -> bool {
        self.0.free() == 0
    }
}
