//! Accepting connections.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::context::spawn;
use super::{Address, Listener};
use crate::ioloop::log_panic;
use crate::log;

/// Most connections that are accepted before other tasks have their turn.
const ACCEPTS_PER_WAKEUP: usize = 128;

/// The pause after an error such as "too many open files": from the first to, doubling, the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// A connection that was just accepted; `IoStream::from` makes a stream of it.
#[derive(Debug)]
pub enum Connection {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

/// Accepts connections on `listener` and calls `callback` with each, until the returned function is called, which
/// closes the listener (but for clones of it).
///
/// At most 128 connections are accepted per wake-up. Errors are survived: connections that the peer has given up
/// already are skipped, and when the process is out of file descriptors (or the like) a pause is made and logged. A
/// panic of the callback is logged. Works before the loop runs, and starts with it.
pub fn add_accept_handler(
    listener: impl Into<Listener>,
    callback: impl FnMut(Connection, Address) + 'static,
) -> impl FnOnce() {
    let acceptor = Acceptor::start(listener.into(), callback);
    move || acceptor.stop()
}

/// A listening socket and the task that accepts on it. It goes on when this is dropped without `stop`.
pub(crate) struct Acceptor {
    source: Rc<RefCell<Source>>,
    task: JoinHandle<()>,
}

/// The socket, shared so that `stop` can close it at once, even from inside the callback.
enum Source {
    /// Not attached to the loop yet.
    Waiting(Listener),
    Tcp(TcpListener),
    Unix(UnixListener),
    Stopped,
}

impl Acceptor {
    pub(crate) fn start(listener: Listener, callback: impl FnMut(Connection, Address) + 'static) -> Self {
        let source = Rc::new(RefCell::new(Source::Waiting(listener)));
        let task = spawn(accept_all(source.clone(), callback));
        Self { source, task }
    }

    /// Closes the listening socket. Connections that were accepted go on.
    pub(crate) fn stop(&self) {
        let source = self.source.replace(Source::Stopped);
        drop(source);
        self.task.abort();
    }

    /// The address it listens on; `None` once stopped.
    pub(crate) fn local_addr(&self) -> Option<Address> {
        match &*self.source.borrow() {
            Source::Waiting(listener) => listener.local_addr().ok(),
            Source::Tcp(listener) => listener.local_addr().ok().map(Address::from),
            Source::Unix(listener) => listener.local_addr().ok().map(Address::from),
            Source::Stopped => None,
        }
    }
}

async fn accept_all(source: Rc<RefCell<Source>>, mut callback: impl FnMut(Connection, Address)) {
    if let Err(error) = source.borrow_mut().attach() {
        tracing::error!(target: log::GENERAL, "Cannot accept connections: {error}");
        return;
    }
    let mut pause = BACK_OFF.0;
    loop {
        let mut accepted = 0;
        let ended = poll_fn(|cx| accept_ready(&source, cx, &mut callback, &mut accepted)).await;
        let Err(error) = ended else { return };
        if accepted > 0 {
            pause = BACK_OFF.0;
        }
        tracing::error!(
            target: log::GENERAL,
            "Cannot accept a connection: {error}; trying again in {} ms",
            pause.as_millis(),
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(BACK_OFF.1);
    }
}

/// Accepts what is there; ready when stopped, or with an error that calls for a pause.
fn accept_ready(
    source: &RefCell<Source>,
    cx: &mut Context<'_>,
    callback: &mut impl FnMut(Connection, Address),
    accepted: &mut usize,
) -> Poll<io::Result<()>> {
    for _ in 0..ACCEPTS_PER_WAKEUP {
        let polled = {
            let source = source.borrow();
            if matches!(*source, Source::Stopped) {
                return Poll::Ready(Ok(()));
            }
            ready!(source.poll_accept(cx))
        };
        match polled {
            Ok((connection, address)) => {
                *accepted += 1;
                let call = AssertUnwindSafe(|| callback(connection, address));
                if let Err(payload) = catch_unwind(call) {
                    log_panic("connection callback", &*payload);
                }
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

impl Source {
    fn attach(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Stopped) {
            Self::Waiting(Listener::Tcp(listener)) => {
                listener.set_nonblocking(true)?;
                Self::Tcp(TcpListener::from_std(listener)?)
            }
            Self::Waiting(Listener::Unix(listener)) => {
                listener.set_nonblocking(true)?;
                Self::Unix(UnixListener::from_std(listener)?)
            }
            attached => attached,
        };
        Ok(())
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Connection, Address)>> {
        match self {
            Self::Tcp(listener) => listener
                .poll_accept(cx)
                .map_ok(|(connection, address)| (Connection::Tcp(connection), Address::from(address))),
            Self::Unix(listener) => listener
                .poll_accept(cx)
                .map_ok(|(connection, address)| (Connection::Unix(connection), Address::from(address))),
            Self::Waiting(_) | Self::Stopped => Poll::Pending,
        }
    }
}

/// Whether only the connection that would have been accepted is affected: the peer hung up while it waited, or (see
/// accept(2) on Linux) it brings a network error with it.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::ECONNRESET
                | libc::EINTR
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENOPROTOOPT
                | libc::EPERM
        )
    )
}
