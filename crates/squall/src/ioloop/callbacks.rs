//! Callbacks: what runs in the next iteration of the loop, and the handle that adds them from other threads.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::panics::{Origin, catch_panic};
use super::{Inner, IoLoop, watchdog};
use crate::stack_context::{Captured, Scoped};

/// Adds callbacks to a loop from any thread; cheap to clone.
///
/// ```
/// use squall::ioloop::IoLoop;
///
/// let io_loop = IoLoop::current();
/// let handle = io_loop.handle();
/// std::thread::spawn(move || handle.add_callback(|| IoLoop::current().stop()));
/// io_loop.start().unwrap();
/// ```
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// Runs `callback` on the loop's thread in its next iteration, waking the loop when it sleeps.
    ///
    /// Callbacks run in the order in which they were added, those of [`IoLoop::add_callback`] included. After the
    /// loop was closed this does nothing. It runs in no [context](crate::stack_context).
    ///
    /// [`IoLoop::add_callback`]: super::IoLoop::add_callback
    #[track_caller]
    pub fn add_callback(&self, callback: impl FnOnce() + Send + 'static) {
        self.shared.push(Origin::here("callback"), Box::new(callback));
    }

    /// The same as [`add_callback`](Self::add_callback), by the name Tornado gives it.
    ///
    /// It allocates and locks, so it belongs in code that *waits* for signals (`tokio::signal`, the `signal-hook`
    /// iterator), not inside a handler installed with `sigaction`.
    #[track_caller]
    pub fn add_callback_from_signal(&self, callback: impl FnOnce() + Send + 'static) {
        self.shared.push(Origin::here("callback"), Box::new(callback));
    }

    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Handle { shared }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// Callbacks that may wait.
impl IoLoop {
    /// Runs `future` on the loop, beginning in the next iteration and in its place among the
    /// [callbacks](Self::add_callback) that were added before and after. Nobody waits for it, and a panic is logged.
    ///
    /// Use [`spawn`](Self::spawn) for a future whose result matters.
    #[track_caller]
    pub fn spawn_callback(&self, future: impl Future<Output = ()> + 'static) {
        let origin = Origin::here("callback");
        let weak = Rc::downgrade(&self.inner);
        let mut task = Box::pin(async move {
            if let Err(payload) = catch_panic(watchdog::watched(origin, future)).await
                && let Some(inner) = weak.upgrade()
            {
                inner.report_panic(&origin.to_string(), &*payload);
            }
        });
        self.add_callback(move || {
            // A task would begin after the callbacks that are behind this one. What waits is polled again as a task, and
            // then says again who is to be woken.
            if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                let contexts = Captured::now();
                if contexts.is_null() {
                    drop(tokio::task::spawn_local(task));
                } else {
                    drop(tokio::task::spawn_local(Scoped::captured(contexts, task)));
                }
            }
        });
    }
}

/// A callback and where it came from.
pub(super) struct Callback {
    pub(super) origin: Origin,
    /// In which it runs.
    pub(super) contexts: Captured,
    pub(super) run: Box<dyn FnOnce()>,
}

impl Callback {
    /// One that will run in the present contexts.
    pub(super) fn new(origin: Origin, run: Box<dyn FnOnce()>) -> Self {
        Callback { origin, contexts: Captured::now(), run }
    }
}

/// The half of a loop that other threads may touch.
pub(super) struct Shared {
    remote: Mutex<Remote>,
    /// One permit means: there is something to look at.
    pub(super) wake: Notify,
    /// Orders the thread's own callbacks and those of other threads among each other.
    next_seq: AtomicU64,
}

#[derive(Default)]
struct Remote {
    queue: VecDeque<(u64, RemoteCallback)>,
    closed: bool,
}

struct RemoteCallback {
    origin: Origin,
    run: Box<dyn FnOnce() + Send>,
}

impl Shared {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Shared {
            remote: Mutex::new(Remote::default()),
            wake: Notify::new(),
            next_seq: AtomicU64::new(0),
        })
    }

    fn push(&self, origin: Origin, run: Box<dyn FnOnce() + Send>) {
        let mut remote = self.lock();
        if remote.closed {
            // Dropped after the lock is released: the captures may hold a handle to this very loop.
            drop(remote);
            drop(run);
            return;
        }
        let seq = self.next_seq.fetch_add(1, Ordering::Relaxed);
        remote.queue.push_back((seq, RemoteCallback { origin, run }));
        drop(remote);
        self.wake.notify_one();
    }

    /// From now on callbacks of other threads are dropped, as are those that wait.
    pub(super) fn close(&self) {
        let mut remote = self.lock();
        remote.closed = true;
        let dropped = std::mem::take(&mut remote.queue);
        drop(remote);
        drop(dropped);
    }

    /// No user code runs under this lock, so a poisoned one still holds a whole queue.
    fn lock(&self) -> MutexGuard<'_, Remote> {
        self.remote.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The callbacks added on the loop's own thread.
#[derive(Default)]
pub(super) struct Local {
    queue: RefCell<VecDeque<(u64, Callback)>>,
}

impl Local {
    /// Does not wake the loop; that is for [`Inner::wake`].
    pub(super) fn push(&self, shared: &Shared, callback: Callback) {
        let seq = shared.next_seq.fetch_add(1, Ordering::Relaxed);
        self.queue.borrow_mut().push_back((seq, callback));
    }

    pub(super) fn clear(&self) {
        let dropped = self.queue.take();
        drop(dropped);
    }

    fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }
}

/// Everything that was waiting when an iteration began: the own callbacks and those of other threads, merged.
struct Batch {
    local: VecDeque<(u64, Callback)>,
    remote: VecDeque<(u64, RemoteCallback)>,
}

impl Batch {
    fn take(local: &Local, shared: &Shared) -> Self {
        Batch { local: local.queue.take(), remote: std::mem::take(&mut shared.lock().queue) }
    }
}

impl Iterator for Batch {
    type Item = Callback;

    fn next(&mut self) -> Option<Callback> {
        let local_first = match (self.local.front(), self.remote.front()) {
            (Some((local, _)), Some((remote, _))) => local < remote,
            (local, _) => local.is_some(),
        };
        if local_first {
            self.local.pop_front().map(|(_, callback)| callback)
        } else {
            self.remote.pop_front().map(|(_, RemoteCallback { origin, run })| Callback {
                origin,
                contexts: Captured::null(),
                run,
            })
        }
    }
}

/// The task that runs callbacks and timeouts, one batch per iteration of the loop.
///
/// Between two batches it always yields to the scheduler and the I/O driver: callbacks which keep adding callbacks
/// must starve neither I/O nor `stop`.
pub(super) async fn pump(shared: Arc<Shared>, io_loop: Weak<Inner>) {
    let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
    let mut armed = None;
    loop {
        let next = match io_loop.upgrade() {
            Some(inner) => run_batch(&inner, &shared),
            None => return,
        };
        let mut notified = pin!(shared.wake.notified());
        // `enable` tells whether something was added during the batch; awaiting that would not yield.
        let Next::At(deadline) = next.unless(notified.as_mut().enable()) else {
            tokio::task::yield_now().await;
            continue;
        };
        if deadline != armed {
            armed = deadline;
            if let Some(deadline) = deadline {
                sleep.as_mut().reset(deadline.into());
            }
        }
        tokio::select! {
            () = notified => {}
            () = sleep.as_mut(), if armed.is_some() => armed = None,
        }
    }
}

enum Next {
    /// There are callbacks for the next iteration.
    Again,
    /// Nothing to do before this instant, if any.
    At(Option<Instant>),
}

impl Next {
    fn unless(self, again: bool) -> Self {
        if again { Next::Again } else { self }
    }
}

fn run_batch(inner: &Inner, shared: &Shared) -> Next {
    inner.in_batch.set(true);
    watchdog::goes_on();
    for callback in Batch::take(&inner.callbacks, shared) {
        inner.run_callback(callback);
    }
    // A timeout added by a timeout is left to the next iteration, even if it is due.
    let now = Instant::now();
    let before = inner.timeouts.borrow().next_seq();
    loop {
        let due = inner.timeouts.borrow_mut().pop_due(now, before);
        match due {
            Some(callback) => inner.run_callback(callback),
            None => break,
        }
    }
    inner.in_batch.set(false);
    let deadline = inner.timeouts.borrow().next_deadline();
    if !inner.callbacks.is_empty() || deadline.is_some_and(|at| at <= Instant::now()) {
        Next::Again
    } else {
        Next::At(deadline)
    }
}
