//! The event loop: Tornado's `IOLoop` as an interface to tokio's current-thread runtime.
//!
//! A loop belongs to the thread that made it, and one thread has one *current* loop, which is made on first use.
//! Whatever runs on a loop, runs on its thread, one piece at a time; so none of it need be `Send`, and none of it
//! may block. Every tokio crate works inside: its timers, `tokio::net`, `tokio::task::spawn_local`.
//!
//! One iteration runs the tasks that are ready, among them the callbacks that were added before it began and the
//! timeouts that are due, and then asks the operating system for events.
//!
//! ```
//! use squall::ioloop::IoLoop;
//!
//! let io_loop = IoLoop::current();
//! io_loop.call_later(std::time::Duration::from_millis(10), || IoLoop::current().stop());
//! io_loop.add_callback(|| println!("in the first iteration"));
//! io_loop.start().unwrap();
//! ```

mod callbacks;
mod error;
mod executor;
mod handlers;
mod lag;
mod panics;
mod periodic;
mod running;
mod signal;
mod timeouts;
mod turn;
mod watchdog;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalRuntime};
use tokio::task::JoinHandle;

pub use callbacks::Handle;
pub use error::{RunSyncError, StartError, TimeoutError};
pub use executor::{Executor, ExecutorError, Job, ThreadPool};
pub use handlers::{Events, HandlerError};
pub use panics::CallbackPanic;
pub use periodic::PeriodicCallback;
pub use signal::shutdown_signal;
pub use timeouts::{Deadline, Timeout};
pub use turn::Turn;
pub use watchdog::Blocked;

pub(crate) use lag::measure_lag;
pub(crate) use panics::{catch_panic, log_panic, panic_message};
pub(crate) use signal::ShutdownSignals;
pub(crate) use timeouts::later;
pub(crate) use watchdog::{Place, at};

use callbacks::{Callback, Local, Shared};
use handlers::Registration;
use panics::Origin;
use running::{Running, set_current};
use timeouts::Timeouts;
use turn::{Hooks, Host};
use watchdog::Watchdog;

use crate::stack_context::{Captured, NullContext, Scoped};

static INITIALIZED: AtomicBool = AtomicBool::new(false);

/// How many tasks the runtime polls before it looks for new events. tokio's 61 suits many small tasks; a loop that
/// serves connections finds more of its events in one `epoll_wait` when it asks less often.
const EVENT_INTERVAL: u32 = 256;

/// A handle to an event loop; cheap to clone, usable on the loop's own thread only.
///
/// See [`Handle`] for what other threads may do.
#[doc(alias = "IOLoop")]
#[derive(Clone)]
pub struct IoLoop {
    inner: Rc<Inner>,
}

/// What a loop is made of. User code runs only while none of the cells is borrowed.
pub(crate) struct Inner {
    tokio: tokio::runtime::Handle,
    state: RefCell<State>,
    stop: tokio::sync::Notify,
    /// Reset when the loop ends, so that two calls of `stop` during one run do not end the next one.
    stop_asked: Cell<bool>,
    shared: Arc<Shared>,
    callbacks: Local,
    /// Whether callbacks are being run; what they add is seen at the end of the batch.
    in_batch: Cell<bool>,
    timeouts: RefCell<Timeouts>,
    handlers: RefCell<HashMap<RawFd, Rc<Registration>>>,
    executor: RefCell<Option<Rc<dyn Executor>>>,
    on_panic: RefCell<Option<PanicHook>>,
    host: Host,
    hooks: Option<Hooks>,
    /// `None` as long as nobody has said anything.
    watchdog: RefCell<Option<Watchdog>>,
}

enum State {
    Idle(LocalRuntime),
    Running,
    Closed,
}

type PanicHook = Rc<dyn Fn(&CallbackPanic<'_>)>;

/// The loop of a thread.
impl IoLoop {
    /// The thread's current loop, made if there is none.
    ///
    /// While a loop runs, it is the current one of its thread.
    ///
    /// # Panics
    /// If there is none and the operating system refuses to make one; see [`new`](Self::new).
    #[must_use]
    #[track_caller]
    pub fn current() -> IoLoop {
        if let Some(current) = Self::current_opt() {
            return current;
        }
        match IoLoop::new() {
            Ok(io_loop) => {
                io_loop.make_current();
                io_loop
            }
            Err(error) => panic!("cannot create an event loop: {error}"),
        }
    }

    /// The thread's current loop, if there is one (Tornado's `current(instance=False)`).
    #[must_use]
    pub fn current_opt() -> Option<IoLoop> {
        running::current()
    }

    /// The same as [`current`](Self::current), by its older name.
    ///
    /// # Panics
    /// As [`current`](Self::current).
    #[must_use]
    #[track_caller]
    pub fn instance() -> IoLoop {
        Self::current()
    }

    /// Whether this *process* has ever made a loop, on whatever thread.
    ///
    /// Processes can be forked only before that; a child of
    /// [`fork_processes`](crate::process::fork_processes) therefore starts with `false`.
    #[must_use]
    pub fn initialized() -> bool {
        INITIALIZED.load(Ordering::Relaxed)
    }

    /// Makes a loop without making it current.
    ///
    /// # Errors
    /// When the system has no file descriptors left for an epoll instance and its waker.
    pub fn new() -> io::Result<IoLoop> {
        Self::build(None)
    }

    fn build(hooks: Option<Hooks>) -> io::Result<IoLoop> {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().event_interval(EVENT_INTERVAL);
        if hooks.is_some() {
            Hooks::install(&mut builder);
        } else {
            builder.on_thread_park(watchdog::waits).on_thread_unpark(watchdog::goes_on);
        }
        let runtime = builder.build_local(Default::default())?;
        INITIALIZED.store(true, Ordering::Relaxed);
        let shared = Shared::new();
        let inner = Rc::new_cyclic(|weak| {
            runtime.spawn_local(callbacks::pump(shared.clone(), weak.clone()));
            Inner {
                tokio: runtime.handle().clone(),
                state: RefCell::new(State::Idle(runtime)),
                stop: tokio::sync::Notify::new(),
                stop_asked: Cell::new(false),
                shared,
                callbacks: Local::default(),
                in_batch: Cell::new(false),
                timeouts: RefCell::default(),
                handlers: RefCell::default(),
                executor: RefCell::new(None),
                on_panic: RefCell::new(None),
                host: Host::default(),
                hooks,
                watchdog: RefCell::new(None),
            }
        });
        Ok(IoLoop { inner })
    }

    /// Makes this the current loop of its thread.
    pub fn make_current(&self) {
        set_current(Some(self.clone()));
    }

    /// Leaves the thread without a current loop; harmless when there is none.
    pub fn clear_current() {
        set_current(None);
    }
}

/// Running.
impl IoLoop {
    /// Runs the loop until [`stop`](Self::stop) is called. When `stop` was called before, returns at once.
    ///
    /// The loop is the thread's current one meanwhile; afterwards the former one is current again.
    ///
    /// # Errors
    /// When this or another loop is running on the thread, or the loop was closed.
    ///
    /// # Panics
    /// In code that runs on a tokio runtime which is not an `IoLoop`, such as under `#[tokio::main]`.
    #[track_caller]
    pub fn start(&self) -> Result<(), StartError> {
        let running = Running::enter(self)?;
        // What the loop runs is not in the contexts of whoever starts it.
        NullContext::run(|| running.runtime().block_on(self.inner.stopped()));
        Ok(())
    }

    /// Ends [`start`](Self::start) after the current iteration, or makes the next `start` return at once.
    ///
    /// What was not finished stays as it is and goes on when the loop is started again.
    pub fn stop(&self) {
        self.inner.stop_asked.set(true);
        self.inner.stop.notify_one();
    }

    /// Runs the loop until `future` is done and returns its result.
    ///
    /// A panic of `future` goes on to the caller.
    ///
    /// # Errors
    /// When `future` takes longer than `timeout` or the loop is stopped before it is done (it is dropped then), and
    /// as [`start`](Self::start).
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[track_caller]
    pub fn run_sync<F: Future>(
        &self,
        future: F,
        timeout: Option<Duration>,
    ) -> Result<F::Output, RunSyncError> {
        let running = Running::enter(self)?;
        let future = Scoped::captured(Captured::now(), future);
        let result = async {
            let timed_out = async {
                match timeout {
                    Some(after) => tokio::time::sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                output = future => Ok(output),
                () = self.inner.stopped() => Err(RunSyncError::Stopped),
                () = timed_out => {
                    Err(RunSyncError::Timeout(TimeoutError { after: timeout.unwrap_or_default() }))
                }
            }
        };
        NullContext::run(|| running.runtime().block_on(result))
    }

    /// Whether [`start`](Self::start) or [`run_sync`](Self::run_sync) is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(*self.inner.state.borrow(), State::Running)
    }

    /// Closes the loop: drops its callbacks, timeouts, handlers and tasks, and stops accepting new ones.
    ///
    /// The objects that handlers were added with are dropped, which closes them unless they are shared. Whoever wants
    /// a descriptor to be closed with the loop adds it as an [`OwnedFd`](std::os::fd::OwnedFd): one that was added as a
    /// bare number stays open, since the loop does not own it. So `all_fds`, Tornado's argument, changes nothing. Work
    /// that an executor has begun is not waited for. Closing a closed loop does nothing.
    ///
    /// # Panics
    /// If the loop is running.
    #[track_caller]
    pub fn close(&self, all_fds: bool) {
        // What the loop owns goes with it in any case; what it does not own may be somebody else's by now.
        let _ = all_fds;
        assert!(!self.is_running(), "Cannot close a running IOLoop");
        let state = self.inner.state.replace(State::Closed);
        let State::Idle(runtime) = state else { return };
        self.inner.shared.close();
        self.inner.callbacks.clear();
        drop(self.inner.timeouts.take());
        let handlers = self.inner.handlers.take();
        for registration in handlers.into_values() {
            registration.remove();
        }
        runtime.shutdown_background();
        drop(self.inner.executor.take());
        if Self::current_opt().is_some_and(|current| current == *self) {
            Self::clear_current();
        }
    }

    /// The clock against which the deadlines of timeouts are compared.
    #[must_use]
    pub fn time(&self) -> Instant {
        Instant::now()
    }

    /// Makes the loop's runtime available until the guard is dropped, for constructors which need one, such as
    /// `tokio::net::TcpStream::from_std`, while the loop is not running.
    ///
    /// # Panics
    /// When guards are not dropped in the reverse order of their making.
    #[track_caller]
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.inner.tokio.enter()
    }
}

/// Callbacks and futures.
impl IoLoop {
    /// Runs `callback` in the next iteration of the loop.
    ///
    /// Callbacks run in the order in which they were added; those added by a callback run one iteration later. A
    /// panic is logged and the loop goes on. After [`close`](Self::close) this does nothing. From other threads,
    /// use the loop's [`handle`](Self::handle).
    #[track_caller]
    pub fn add_callback(&self, callback: impl FnOnce() + 'static) {
        let callback = Callback::new(Origin::here("callback"), Box::new(callback));
        if !self.is_closed() {
            self.inner.push_callback(callback);
        }
    }

    /// The same as [`add_callback`](Self::add_callback); see [`Handle::add_callback_from_signal`].
    #[track_caller]
    pub fn add_callback_from_signal(&self, callback: impl FnOnce() + 'static) {
        self.add_callback(callback);
    }

    /// Runs `future` on the loop; the handle waits for its result or aborts it.
    ///
    /// Dropping the handle lets the future run on. After [`close`](Self::close) the future is dropped and the
    /// handle reports it as cancelled. It runs in the [contexts](crate::stack_context) of whoever spawns it.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let _context = self.enter();
        let contexts = Captured::now();
        if contexts.is_null() {
            return tokio::task::spawn_local(future);
        }
        tokio::task::spawn_local(Scoped::captured(contexts, future))
    }

    /// Runs `callback` on the loop with the result of `future`, in the iteration after it was done.
    #[track_caller]
    pub fn add_future<F: Future + 'static>(&self, future: F, callback: impl FnOnce(F::Output) + 'static) {
        let origin = Origin::here("callback");
        let weak = Rc::downgrade(&self.inner);
        self.spawn(async move {
            let output = catch_panic(future).await;
            let Some(inner) = weak.upgrade() else { return };
            match output {
                Ok(output) => inner.push_callback(Callback::new(origin, Box::new(move || callback(output)))),
                Err(payload) => inner.report_panic(&origin.to_string(), &*payload),
            }
        });
    }

    /// What adds callbacks from other threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.inner.shared.clone())
    }

    /// Replaces what is done with a panic in a callback, timeout, handler or spawned callback: by default it is
    /// logged at error level to [`log::APPLICATION`](crate::log::APPLICATION).
    #[doc(alias = "handle_callback_exception")]
    pub fn set_callback_exception_handler(&self, handler: impl Fn(&CallbackPanic<'_>) + 'static) {
        let former = self.inner.on_panic.replace(Some(Rc::new(handler)));
        drop(former);
    }
}

/// Timeouts.
impl IoLoop {
    /// Runs `callback` once, at `deadline` (an [`Instant`]) or after it (a [`Duration`] from now), to a precision of
    /// a millisecond.
    ///
    /// Due timeouts run in the order of their deadlines, and of their adding when these are equal. After
    /// [`close`](Self::close) this does nothing.
    #[track_caller]
    pub fn add_timeout(&self, deadline: impl Into<Deadline>, callback: impl FnOnce() + 'static) -> Timeout {
        let callback = Callback::new(Origin::here("timeout"), Box::new(callback));
        let deadline = deadline.into().instant();
        let timeout = self.inner.timeouts.borrow_mut().add(deadline, callback);
        if self.is_closed() {
            self.remove_timeout(&timeout);
        }
        self.inner.wake();
        timeout
    }

    /// Runs `callback` once, `delay` from now; see [`add_timeout`](Self::add_timeout).
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + 'static) -> Timeout {
        self.add_timeout(delay, callback)
    }

    /// Runs `callback` once, at `when` by the clock of [`time`](Self::time); see [`add_timeout`](Self::add_timeout).
    #[track_caller]
    pub fn call_at(&self, when: Instant, callback: impl FnOnce() + 'static) -> Timeout {
        self.add_timeout(when, callback)
    }

    /// Cancels a timeout of this loop, even one that is due already; harmless when it has run.
    pub fn remove_timeout(&self, timeout: &Timeout) {
        let removed = self.inner.timeouts.borrow_mut().remove(*timeout);
        drop(removed);
    }
}

/// Handlers for file descriptors.
impl IoLoop {
    /// Calls `handler(&source, events)` whenever one of `events`, or an error, holds for `source`.
    ///
    /// `source` is a socket, pipe or the like, or its number ([`RawFd`]). An object is kept alive until the handler
    /// is removed; share it through an [`Rc`] to keep it longer. A bare number must stay open until the handler is
    /// removed, and is never closed by the loop; hand it over as an [`OwnedFd`](std::os::fd::OwnedFd) for that. The
    /// descriptor should be non-blocking.
    ///
    /// As in Tornado the handler is called again, once per iteration, for as long as the condition holds. It may
    /// remove or update itself and other handlers, which then are not called for events that were pending.
    ///
    /// # Errors
    /// When the descriptor has a handler already, is of a kind that cannot be polled (a regular file), or is not
    /// open, and when the loop is closed.
    pub fn add_handler<S, H>(&self, source: S, mut handler: H, events: Events) -> Result<(), HandlerError>
    where
        S: AsRawFd + 'static,
        H: FnMut(&S, Events) + 'static,
    {
        let fd = source.as_raw_fd();
        if self.is_closed() {
            return Err(HandlerError::Closed);
        }
        if self.inner.handlers.borrow().contains_key(&fd) {
            return Err(HandlerError::AddedTwice(fd));
        }
        let call = Box::new(move |events| handler(&source, events));
        let registration = {
            let _context = self.enter();
            Registration::new(fd, events, call)?
        };
        self.inner.handlers.borrow_mut().insert(fd, registration.clone());
        // Which puts the handler into the present contexts, too.
        self.spawn(handlers::drive(registration, Rc::downgrade(&self.inner)));
        Ok(())
    }

    /// Watches for other conditions from now on.
    ///
    /// # Errors
    /// When `source` has no handler.
    pub fn update_handler(&self, source: &impl AsRawFd, events: Events) -> Result<(), HandlerError> {
        let fd = source.as_raw_fd();
        match self.inner.handlers.borrow().get(&fd) {
            Some(registration) => {
                registration.set_events(events);
                Ok(())
            }
            None => Err(HandlerError::NotAdded(fd)),
        }
    }

    /// Stops watching `source` and drops its handler; harmless when it has none.
    ///
    /// It must be called before the descriptor is closed.
    pub fn remove_handler(&self, source: &impl AsRawFd) {
        let removed = self.inner.handlers.borrow_mut().remove(&source.as_raw_fd());
        if let Some(registration) = removed {
            registration.remove();
        }
    }
}

impl IoLoop {
    fn is_closed(&self) -> bool {
        matches!(*self.inner.state.borrow(), State::Closed)
    }
}

impl Inner {
    /// Resolves once the loop was asked to stop.
    async fn stopped(&self) {
        while !self.stop_asked.get() {
            self.stop.notified().await;
        }
    }

    fn push_callback(&self, callback: Callback) {
        self.callbacks.push(&self.shared, callback);
        self.wake();
    }

    /// Has the pump look at callbacks and timeouts again.
    fn wake(&self) {
        if !self.in_batch.get() {
            self.shared.wake.notify_one();
        }
    }

    fn run_callback(&self, callback: Callback) {
        let Callback { origin, contexts, run } = callback;
        self.host.runs();
        watchdog::at_origin(origin, || {
            if contexts.is_null() {
                return self.run_guarded(|| origin.to_string(), run);
            }
            // Entering and leaving a context is an application's code, too.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| contexts.run(run))) {
                contexts.adopt(|| self.report_panic(&origin.to_string(), &*payload));
            }
        });
    }

    /// Runs user code; a panic is reported under the name that `what` makes.
    fn run_guarded(&self, what: impl FnOnce() -> String, run: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            self.report_panic(&what(), &*payload);
        }
    }

    fn report_panic(&self, what: &str, payload: &(dyn Any + Send)) {
        if Captured::now().handles(payload) {
            return;
        }
        let hook = self.on_panic.borrow().clone();
        match hook {
            None => log_panic(what, payload),
            Some(hook) => {
                let panic = CallbackPanic { what, payload };
                if let Err(second) = catch_unwind(AssertUnwindSafe(|| hook(&panic))) {
                    log_panic("callback exception handler", &*second);
                }
            }
        }
    }

    /// Drops the entry of a registration that ended by itself, unless its number has been added anew.
    fn forget_handler(&self, registration: &Rc<Registration>) {
        self.handlers.borrow_mut().retain(|_, added| !Rc::ptr_eq(added, registration));
    }
}

impl Drop for Inner {
    /// A runtime that is simply dropped waits for its blocking threads, and panics inside another runtime.
    fn drop(&mut self) {
        if let State::Idle(runtime) = self.state.replace(State::Closed) {
            runtime.shutdown_background();
        }
        self.shared.close();
    }
}

impl PartialEq for IoLoop {
    /// Whether both are the same loop.
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for IoLoop {}

impl fmt::Debug for IoLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoLoop").field("running", &self.is_running()).finish_non_exhaustive()
    }
}
