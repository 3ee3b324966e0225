//! A result that is there later, set by whoever has it.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::ioloop::{Executor, IoLoop};
use crate::log;
use crate::stack_context::Captured;

/// A result that will be set later, for as many waiters as there are clones of it.
///
/// `await` one of them, or have the loop [call back](Self::add_done_callback). Between tasks of one thread; see
/// [`tokio::sync::oneshot`] for others.
///
/// An exception that nobody has asked for is logged when the last clone is dropped.
///
/// ```
/// # use squall::IoLoop;
/// use squall::concurrent::Future;
///
/// let answer = Future::new();
/// let setter = answer.clone();
/// IoLoop::current().add_callback(move || setter.set_result(42).unwrap());
/// assert_eq!(IoLoop::current().run_sync(answer, None).unwrap().unwrap(), 42);
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Future<T> {
    state: Rc<State<T>>,
}

struct State<T> {
    outcome: RefCell<Outcome<T>>,
    callbacks: RefCell<Vec<(Captured, Callback<T>)>>,
    waiting: RefCell<Vec<Waker>>,
    /// Whether somebody has seen the outcome.
    retrieved: Cell<bool>,
}

enum Outcome<T> {
    Pending,
    Done(Result<T, FutureError>),
}

type Callback<T> = Box<dyn FnOnce(Future<T>)>;

impl<T: 'static> Future<T> {
    /// One that has no result yet.
    pub fn new() -> Self {
        Future {
            state: Rc::new(State {
                outcome: RefCell::new(Outcome::Pending),
                callbacks: RefCell::default(),
                waiting: RefCell::default(),
                retrieved: Cell::new(false),
            }),
        }
    }

    /// Whether it has a result, an exception, or was cancelled.
    pub fn done(&self) -> bool {
        matches!(*self.state.outcome.borrow(), Outcome::Done(_))
    }

    /// Whether it was [`cancel`](Self::cancel)led.
    pub fn cancelled(&self) -> bool {
        matches!(&*self.state.outcome.borrow(), Outcome::Done(Err(error)) if error.is_cancelled())
    }

    /// Sets the result, and wakes who waits.
    ///
    /// # Errors
    /// When it is done already.
    pub fn set_result(&self, result: T) -> Result<(), InvalidStateError> {
        self.finish(Ok(result))
    }

    /// Makes it fail, and wakes who waits.
    ///
    /// # Errors
    /// When it is done already.
    pub fn set_exception(&self, error: impl Into<Box<dyn Error>>) -> Result<(), InvalidStateError> {
        self.finish(Err(FutureError(Cause::Failed(Rc::from(error.into())))))
    }

    /// Sets the result, unless nobody wants it any more.
    ///
    /// # Errors
    /// When it is done already in another way than by being cancelled.
    #[doc(alias = "future_set_result_unless_cancelled")]
    pub fn set_result_unless_cancelled(&self, result: T) -> Result<(), InvalidStateError> {
        if self.cancelled() { Ok(()) } else { self.set_result(result) }
    }

    /// Makes it fail, or if it was cancelled, logs the error.
    ///
    /// # Errors
    /// When it is done already in another way than by being cancelled.
    #[doc(alias = "future_set_exception_unless_cancelled")]
    pub fn set_exception_unless_cancelled(
        &self,
        error: impl Into<Box<dyn Error>>,
    ) -> Result<(), InvalidStateError> {
        if !self.cancelled() {
            return self.set_exception(error);
        }
        tracing::error!(target: log::APPLICATION, "Exception after Future was cancelled: {}", error.into());
        Ok(())
    }

    /// Gives up on it: who waits gets an error. Says whether it was still pending.
    pub fn cancel(&self) -> bool {
        self.finish(Err(FutureError(Cause::Cancelled))).is_ok()
    }

    /// Has the loop call `callback` once this is done, with this; never from within a call of `set_result` or of this.
    ///
    /// Callbacks run in the order in which they were added, in the [contexts](crate::stack_context) of whoever added them.
    #[doc(alias = "future_add_done_callback")]
    pub fn add_done_callback(&self, callback: impl FnOnce(Future<T>) + 'static) {
        let entry = (Captured::now(), Box::new(callback) as Callback<T>);
        self.state.callbacks.borrow_mut().push(entry);
        if self.done() {
            self.run_callbacks();
        }
    }

    /// The error that it failed with, if it is done and failed.
    pub fn exception(&self) -> Option<FutureError> {
        match &*self.state.outcome.borrow() {
            Outcome::Done(Err(error)) => {
                self.state.retrieved.set(true);
                Some(error.clone())
            }
            _ => None,
        }
    }

    fn finish(&self, outcome: Result<T, FutureError>) -> Result<(), InvalidStateError> {
        if self.done() {
            return Err(InvalidStateError);
        }
        self.state.outcome.replace(Outcome::Done(outcome));
        self.state.waiting.take().into_iter().for_each(Waker::wake);
        self.run_callbacks();
        Ok(())
    }

    fn run_callbacks(&self) {
        for (contexts, callback) in self.state.callbacks.take() {
            let future = self.clone();
            contexts.adopt(|| IoLoop::current().add_callback(move || callback(future)));
        }
    }
}

impl<T: Clone + 'static> Future<T> {
    /// The result, once it is done.
    pub fn result(&self) -> Option<Result<T, FutureError>> {
        match &*self.state.outcome.borrow() {
            Outcome::Pending => None,
            Outcome::Done(outcome) => {
                self.state.retrieved.set(true);
                Some(outcome.clone())
            }
        }
    }
}

impl<T: Clone + 'static> std::future::Future for Future<T> {
    type Output = Result<T, FutureError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.result() {
            return Poll::Ready(result);
        }
        let mut waiting = self.state.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl<T: 'static> Default for Future<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Future<T> {
    fn clone(&self) -> Self {
        Future { state: Rc::clone(&self.state) }
    }
}

impl<T> fmt::Debug for Future<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.state.outcome.borrow() {
            Outcome::Pending => "pending",
            Outcome::Done(Ok(_)) => "done",
            Outcome::Done(Err(error)) if error.is_cancelled() => "cancelled",
            Outcome::Done(Err(_)) => "failed",
        };
        f.debug_struct("Future").field("state", &state).finish_non_exhaustive()
    }
}

impl<T> Drop for State<T> {
    fn drop(&mut self) {
        if let Outcome::Done(Err(error)) = self.outcome.get_mut()
            && !error.is_cancelled()
            && !self.retrieved.get()
        {
            tracing::error!(target: log::APPLICATION, "Future exception was never retrieved: {error}");
        }
    }
}

/// What a [`Future`] failed with. Clones share one error.
#[derive(Clone, Debug)]
pub struct FutureError(Cause);

#[derive(Clone, Debug)]
enum Cause {
    Failed(Rc<dyn Error>),
    Cancelled,
}

impl FutureError {
    /// Whether the future was cancelled rather than failed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Cause::Cancelled)
    }

    /// The error that was set, if it is of this type.
    #[must_use]
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        match &self.0 {
            Cause::Failed(error) => error.downcast_ref(),
            Cause::Cancelled => None,
        }
    }
}

impl fmt::Display for FutureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Failed(error) => error.fmt(f),
            Cause::Cancelled => f.write_str("the future was cancelled"),
        }
    }
}

impl Error for FutureError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Cause::Failed(error) => error.source(),
            Cause::Cancelled => None,
        }
    }
}

/// A [`Future`] was to be set that is done already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidStateError;

impl fmt::Display for InvalidStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the future has a result already")
    }
}

impl Error for InvalidStateError {}

/// Gives `b` the outcome of `a` once there is one, unless `b` is done by then. A `b` that is cancelled leaves `a` as it is.
pub fn chain_future<T: Clone + 'static>(a: &Future<T>, b: &Future<T>) {
    let b = b.clone();
    let copy = move |a: Future<T>| {
        if !b.done()
            && let Some(outcome) = a.result()
        {
            // It cannot be done: nothing has run since it was asked.
            let _ = b.finish(outcome);
        }
    };
    if a.done() {
        copy(a.clone());
    } else {
        a.add_done_callback(copy);
    }
}

/// Begins to run `function` on a thread of `executor`, or of the loop's default one, and gives the future of its result.
///
/// In Tornado this is a decorator, which takes the executor from the method's object. It is
/// [`IoLoop::run_in_executor`] with a result that can be handed around; a panic of `function` is its error.
pub fn run_on_executor<T, E>(
    executor: Option<&dyn Executor>,
    function: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Future<T>
where
    T: Send + 'static,
    E: Error + Send + 'static,
{
    let io_loop = IoLoop::current();
    let running = io_loop.run_in_executor(executor, function);
    let future = Future::new();
    let setter = future.clone();
    io_loop.spawn(async move {
        // Nobody else sets it, and whoever cancels it does not want the result.
        let _ = match running.await {
            Ok(Ok(result)) => setter.set_result_unless_cancelled(result),
            Ok(Err(error)) => setter.set_exception_unless_cancelled(error),
            Err(error) => setter.set_exception_unless_cancelled(error),
        };
    });
    future
}
