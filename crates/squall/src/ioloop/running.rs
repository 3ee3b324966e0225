//! Which loop is current on a thread, and which one is running there.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use tokio::runtime::LocalRuntime;

use super::{Inner, IoLoop, StartError, State, watchdog};

thread_local! {
    static CURRENT: RefCell<Option<IoLoop>> = const { RefCell::new(None) };
    /// Whether a loop is running on this thread; tokio panics when a runtime is entered twice.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    static STOPPED: Stopped = const { Stopped(RefCell::new(Weak::new())) };
}

/// The loop that stopped last, which is closed when its thread ends, should it still be there.
///
/// What tasks hold may use thread-locals when it is dropped, as the spans of `tracing` do. Those are destroyed in the reverse
/// order of first use, and this one is first used after a loop has run: so its tasks end before what they use.
struct Stopped(RefCell<Weak<Inner>>);

impl Drop for Stopped {
    fn drop(&mut self) {
        let left = self.0.take().upgrade().map(|inner| IoLoop { inner });
        // It still runs if it was what ended the process.
        if let Some(io_loop) = left.filter(|io_loop| !io_loop.is_running()) {
            io_loop.close(false);
        }
    }
}

/// The thread's current loop.
pub(super) fn current() -> Option<IoLoop> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// Returns the former current loop, so that it is dropped while the cell is not borrowed.
///
/// While the thread ends, code in destructors may still ask for a loop, but it is no longer remembered.
pub(super) fn set_current(io_loop: Option<IoLoop>) -> Option<IoLoop> {
    CURRENT.try_with(|current| current.replace(io_loop)).ok().flatten()
}

/// A loop that is running: its runtime is taken out of it, and it is the thread's current loop, until this is dropped.
pub(super) struct Running<'a> {
    io_loop: &'a IoLoop,
    runtime: Option<LocalRuntime>,
    former: Option<IoLoop>,
}

impl<'a> Running<'a> {
    pub(super) fn enter(io_loop: &'a IoLoop) -> Result<Self, StartError> {
        let mut state = io_loop.inner.state.borrow_mut();
        match &*state {
            State::Running => return Err(StartError::AlreadyRunning),
            State::Closed => return Err(StartError::Closed),
            State::Idle(_) if RUNNING.get() => return Err(StartError::AnotherRunning),
            State::Idle(_) => {}
        }
        let runtime = match std::mem::replace(&mut *state, State::Running) {
            State::Idle(runtime) => Some(runtime),
            State::Running | State::Closed => None,
        };
        RUNNING.set(true);
        drop(state);
        let former = set_current(Some(io_loop.clone()));
        io_loop.start_watching();
        Ok(Running { io_loop, runtime, former })
    }

    pub(super) fn runtime(&self) -> &LocalRuntime {
        self.runtime.as_ref().expect("it is taken out by drop alone")
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        watchdog::stop_watching();
        RUNNING.set(false);
        self.io_loop.inner.stop_asked.set(false);
        if let Some(runtime) = self.runtime.take() {
            *self.io_loop.inner.state.borrow_mut() = State::Idle(runtime);
        }
        set_current(self.former.take());
        let _ = STOPPED.try_with(|stopped| stopped.0.replace(Rc::downgrade(&self.io_loop.inner)));
    }
}
