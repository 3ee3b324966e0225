//! Executors: where functions that block are run.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::IoLoop;
use super::panics::{log_panic, panic_message};
use crate::metrics::{Counted, Value};
use crate::sys;

/// A function to run on another thread.
pub type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs on threads of its own, in the manner of Python's `concurrent.futures.Executor`.
///
/// Implement it to use another thread pool, such as rayon's, with
/// [`IoLoop::run_in_executor`](super::IoLoop::run_in_executor).
pub trait Executor {
    /// Runs `job` on some thread, without waiting for it.
    ///
    /// Called on the loop's thread, in the context of its runtime.
    fn submit(&self, job: Job);
}

/// An executor of at most so many threads, borrowed from the loop's pool while there is work for them.
///
/// Jobs beyond that number wait, in order. It belongs to the loop on which it is used first.
#[derive(Clone)]
pub struct ThreadPool {
    shared: Arc<PoolShared>,
}

impl ThreadPool {
    /// An executor that runs up to `max_workers` jobs at a time; 0 counts as 1.
    #[must_use]
    pub fn new(max_workers: usize) -> Self {
        let max_workers = max_workers.max(1);
        ThreadPool { shared: Arc::new(PoolShared { max_workers, queue: Mutex::new(Queue::default()) }) }
    }
}

impl Executor for ThreadPool {
    fn submit(&self, job: Job) {
        let mut queue = self.shared.lock();
        queue.waiting.push_back(job);
        if queue.workers == self.shared.max_workers {
            return;
        }
        queue.workers += 1;
        drop(queue);
        let worker = Worker { shared: self.shared.clone(), counted: true };
        tokio::task::spawn_blocking(move || worker.work());
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool").field("max_workers", &self.shared.max_workers).finish_non_exhaustive()
    }
}

/// Why [`IoLoop::run_in_executor`](super::IoLoop::run_in_executor) has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExecutorError {
    /// The function panicked, with this message.
    Panicked(String),
    /// The executor dropped the function without running it, as when its loop is closed.
    Dropped,
}

impl fmt::Display for ExecutorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExecutorError::Panicked(message) => write!(f, "function in executor panicked: {message}"),
            ExecutorError::Dropped => f.write_str("executor dropped the function"),
        }
    }
}

impl std::error::Error for ExecutorError {}

struct PoolShared {
    max_workers: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    /// Workers that run, or are on their way; 0 only if nothing waits.
    workers: usize,
}

impl PoolShared {
    /// No job runs under this lock, so a poisoned one still holds a whole queue.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one borrowed thread does: run jobs until none waits.
struct Worker {
    shared: Arc<PoolShared>,
    /// Whether `Queue::workers` counts this one.
    counted: bool,
}

impl Worker {
    fn work(mut self) {
        while let Some(job) = self.next_job() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
                log_panic("job of executor", &*payload);
            }
        }
    }

    /// Leaves the count under the same lock that finds the queue empty, or a job added in between would wait forever.
    fn next_job(&mut self) -> Option<Job> {
        let mut queue = self.shared.lock();
        let job = queue.waiting.pop_front();
        if job.is_none() {
            queue.workers -= 1;
            self.counted = false;
        }
        job
    }
}

impl Drop for Worker {
    /// A worker that still counts never ran: the loop was closed. Without any worker nobody would run what waits.
    fn drop(&mut self) {
        if !self.counted {
            return;
        }
        let mut queue = self.shared.lock();
        queue.workers -= 1;
        let stranded = if queue.workers == 0 { std::mem::take(&mut queue.waiting) } else { VecDeque::new() };
        drop(queue);
        drop(stranded);
    }
}

/// Tornado's default: five threads per processor.
pub(super) fn default() -> Rc<dyn Executor> {
    Rc::new(ThreadPool::new(sys::cpu_count() * 5))
}

/// Splits `function` into a job and a future of its result.
pub(super) fn job<F, T>(function: F) -> (Job, impl Future<Output = Result<T, ExecutorError>> + use<F, T>)
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let job = Box::new(move || {
        let result = catch_unwind(AssertUnwindSafe(function)).map_err(|payload| panicked(&*payload));
        // The receiver is gone when the future was dropped; then nobody wants the result.
        let _ = sender.send(result);
    });
    let counted = Counted::new(Value::ExecutorJobs);
    let result = async move {
        let result = receiver.await.unwrap_or(Err(ExecutorError::Dropped));
        drop(counted);
        result
    };
    (job, result)
}

fn panicked(payload: &(dyn Any + Send)) -> ExecutorError {
    ExecutorError::Panicked(panic_message(payload).to_owned())
}

/// Work that blocks.
impl IoLoop {
    /// Runs `function` on a thread of `executor`, or of the default one, and resolves to its result.
    ///
    /// It is submitted right away, before the future is polled, and runs to its end even if the future is dropped.
    /// The default executor is a [`ThreadPool`] of five threads per processor.
    ///
    /// # Errors
    /// The future resolves to an error if `function` panics, or if the executor drops it without running it.
    pub fn run_in_executor<F, T>(
        &self,
        executor: Option<&dyn Executor>,
        function: F,
    ) -> impl Future<Output = Result<T, ExecutorError>> + use<F, T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (job, result) = job(function);
        let _context = self.enter();
        if let Some(executor) = executor {
            executor.submit(job);
        } else {
            let shared = self.inner.executor.borrow_mut().get_or_insert_with(default).clone();
            shared.submit(job);
        }
        result
    }

    /// Replaces the executor that [`run_in_executor`](Self::run_in_executor) uses unless it is given one.
    pub fn set_default_executor(&self, executor: impl Executor + 'static) {
        let former = self.inner.executor.replace(Some(Rc::new(executor)));
        drop(former);
    }
}
