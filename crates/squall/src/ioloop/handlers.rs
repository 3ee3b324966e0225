//! Handlers: callbacks that run while a file descriptor is readable, writable or in error.
//!
//! tokio's readiness is edge-triggered and cached, Tornado's is level-triggered: a handler that does not drain its
//! descriptor is called again. So an edge only tells the handler's task to ask `poll(2)`, whose answer decides.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::{BitAnd, BitOr, BitOrAssign};
use std::os::fd::RawFd;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use rustix::event::PollFlags;
use tokio::io::Ready;
use tokio::io::unix::AsyncFd;

use super::Inner;
use super::watchdog::{self, Place};
use crate::sys;

/// A set of conditions of a file descriptor.
///
/// The values are those of Tornado (and of `poll(2)`): NONE 0, READ 1, WRITE 4, ERROR 0x18.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Events(u32);

impl Events {
    /// No condition; errors are reported all the same.
    pub const NONE: Events = Events(0);
    /// There is something to read or to accept, or the end of the stream.
    pub const READ: Events = Events(0x001);
    /// Writing would not block.
    pub const WRITE: Events = Events(0x004);
    /// An error or a hang-up (`POLLERR | POLLHUP`); always watched.
    pub const ERROR: Events = Events(0x018);

    /// The numeric value.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether no condition is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the two sets have a condition in common, as in `events.intersects(Events::ERROR)`.
    ///
    /// ERROR stands for two conditions, of which usually one is reported; so this, not
    /// [`contains`](Self::contains), is the question to ask for it.
    #[must_use]
    pub const fn intersects(self, other: Events) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether every condition of `other` is in the set.
    #[must_use]
    pub const fn contains(self, other: Events) -> bool {
        self.0 & other.0 == other.0
    }

    fn to_poll_flags(self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.intersects(Events::READ));
        flags.set(PollFlags::OUT, self.intersects(Events::WRITE));
        flags
    }

    fn from_poll_flags(flags: PollFlags) -> Self {
        const HANG_UP: u32 = 0x10;
        const ERROR: u32 = 0x08;
        let mut events = Events::NONE;
        for (flag, bits) in [
            (PollFlags::IN, Events::READ.0),
            (PollFlags::OUT, Events::WRITE.0),
            (PollFlags::ERR, ERROR),
            (PollFlags::HUP, HANG_UP),
        ] {
            if flags.contains(flag) {
                events.0 |= bits;
            }
        }
        events
    }
}

impl BitOr for Events {
    type Output = Events;

    fn bitor(self, other: Events) -> Events {
        Events(self.0 | other.0)
    }
}

impl BitOrAssign for Events {
    fn bitor_assign(&mut self, other: Events) {
        self.0 |= other.0;
    }
}

impl BitAnd for Events {
    type Output = Events;

    fn bitand(self, other: Events) -> Events {
        Events(self.0 & other.0)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = [(Events::READ, "READ"), (Events::WRITE, "WRITE"), (Events::ERROR, "ERROR")]
            .into_iter()
            .filter(|(events, _)| self.intersects(*events))
            .map(|(_, name)| name)
            .collect();
        if names.is_empty() { f.write_str("NONE") } else { f.write_str(&names.join(" | ")) }
    }
}

/// Why a handler could not be added or changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandlerError {
    /// The loop has a handler for this descriptor.
    AddedTwice(RawFd),
    /// The loop has no handler for this descriptor.
    NotAdded(RawFd),
    /// The descriptor is of a kind that is always ready, such as a regular file.
    NotPollable(RawFd),
    /// The system refused to watch the descriptor; it may not be open, or tokio watches it already.
    Register(RawFd, io::Error),
    /// The loop is closed.
    Closed,
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandlerError::AddedTwice(fd) => write!(f, "fd {fd} added twice"),
            HandlerError::NotAdded(fd) => write!(f, "fd {fd} was not added"),
            HandlerError::NotPollable(fd) => write!(f, "fd {fd} cannot be polled (is it a regular file?)"),
            HandlerError::Register(fd, error) => write!(f, "cannot watch fd {fd}: {error}"),
            HandlerError::Closed => f.write_str("IOLoop is closed"),
        }
    }
}

impl std::error::Error for HandlerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            HandlerError::Register(_, error) => Some(error),
            _ => None,
        }
    }
}

/// One watched descriptor and its handler.
pub(super) struct Registration {
    fd: RawFd,
    events: Cell<Events>,
    /// `None` once removed: dropping it takes the descriptor out of epoll at once, so that its owner may close it.
    async_fd: RefCell<Option<AsyncFd<RawFd>>>,
    /// The user's handler with the object it was added with; `None` while it runs and once removed.
    call: RefCell<Option<Call>>,
    /// The task that drives this registration, while it waits.
    waker: RefCell<Option<Waker>>,
}

pub(super) type Call = Box<dyn FnMut(Events)>;

impl Registration {
    /// Must be called in the context of the loop's runtime.
    pub(super) fn new(fd: RawFd, events: Events, call: Call) -> Result<Rc<Self>, HandlerError> {
        let async_fd = sys::watch(fd).map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM) => HandlerError::NotPollable(fd),
            _ => HandlerError::Register(fd, error),
        })?;
        Ok(Rc::new(Registration {
            fd,
            events: Cell::new(events),
            async_fd: RefCell::new(Some(async_fd)),
            call: RefCell::new(Some(call)),
            waker: RefCell::new(None),
        }))
    }

    pub(super) fn set_events(&self, events: Events) {
        self.events.set(events);
        self.wake();
    }

    /// Stops watching. Neither the handler nor its object is needed afterwards; they go unless the handler runs.
    pub(super) fn remove(&self) {
        let async_fd = self.async_fd.take();
        drop(async_fd);
        let call = self.call.take();
        drop(call);
        self.wake();
    }

    fn is_removed(&self) -> bool {
        self.async_fd.borrow().is_none()
    }

    fn wake(&self) {
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The watched conditions that hold now.
    fn ready_events(&self) -> io::Result<PollFlags> {
        sys::poll(self.fd, self.events.get().to_poll_flags())
    }

    /// Resolves when something may have changed: an edge, another mask, or the removal.
    async fn changed(&self) {
        let mut waiting = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut waiting, true) && self.waker.borrow().is_none() {
                return Poll::Ready(());
            }
            let edge = self.poll_edge(cx);
            *self.waker.borrow_mut() = edge.is_pending().then(|| cx.waker().clone());
            edge
        })
        .await;
    }

    fn poll_edge(&self, cx: &mut Context<'_>) -> Poll<()> {
        let async_fd = self.async_fd.borrow();
        let Some(async_fd) = async_fd.as_ref() else { return Poll::Ready(()) };
        let mut edge = Poll::Pending;
        for polled in [async_fd.poll_read_ready(cx), async_fd.poll_write_ready(cx)] {
            match polled {
                Poll::Ready(Ok(mut guard)) => {
                    guard.clear_ready_matching(Ready::ALL);
                    edge = Poll::Ready(());
                }
                // The driver is gone; the task is about to be dropped with its runtime.
                Poll::Ready(Err(_)) | Poll::Pending => {}
            }
        }
        edge
    }

    /// Runs the handler; a handler that was removed meanwhile does not run.
    fn dispatch(&self, events: Events, inner: &Inner) {
        let Some(mut call) = self.call.take() else { return };
        inner.host.runs();
        watchdog::at(
            || Place::descriptor(self.fd),
            || inner.run_guarded(|| format!("I/O handler for fd {}", self.fd), || call(events)),
        );
        if !self.is_removed() {
            *self.call.borrow_mut() = Some(call);
        }
    }
}

/// The task behind one handler: calls it, at most once per iteration of the loop, while its conditions hold.
pub(super) async fn drive(registration: Rc<Registration>, io_loop: Weak<Inner>) {
    while !registration.is_removed() {
        let flags = match registration.ready_events() {
            Ok(flags) if flags.contains(PollFlags::NVAL) => {
                return give_up(&registration, &io_loop, "it was closed before remove_handler");
            }
            Ok(flags) => Events::from_poll_flags(flags),
            Err(error) => return give_up(&registration, &io_loop, &error.to_string()),
        };
        if flags.is_empty() {
            registration.changed().await;
            continue;
        }
        let Some(inner) = io_loop.upgrade() else { return };
        registration.dispatch(flags, &inner);
        drop(inner);
        tokio::task::yield_now().await;
    }
}

fn give_up(registration: &Rc<Registration>, io_loop: &Weak<Inner>, reason: &str) {
    tracing::error!(target: crate::log::GENERAL, "No longer watching fd {}: {reason}", registration.fd);
    if let Some(inner) = io_loop.upgrade() {
        inner.forget_handler(registration);
    }
    registration.remove();
}
