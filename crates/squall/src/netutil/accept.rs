//! Accepting connections.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::context::spawn_here;
use super::{Address, Listener};
use crate::ioloop::log_panic;
use crate::log;

/// Most connections that are accepted before other tasks have their turn.
const ACCEPTS_PER_WAKEUP: usize = 128;

/// The pause after an error such as "too many open files": from the first to, doubling, the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Most connections that are taken from the queue of a socket that is to be closed: Linux queues 4,096 unless told
/// otherwise, and clients that go on connecting must not keep a server from its end.
const MOST_QUEUED: usize = 4_096;

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
    shared: Rc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    source: RefCell<Source>,
    /// The queue is to be emptied and the socket closed.
    finishing: Cell<bool>,
    waker: Cell<Option<Waker>>,
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
        let source = RefCell::new(Source::Waiting(listener));
        let shared = Rc::new(Shared { source, finishing: Cell::new(false), waker: Cell::default() });
        let task = spawn_here(accept_all(Rc::clone(&shared), callback));
        Self { shared, task }
    }

    /// Closes the listening socket. Connections that were accepted go on.
    pub(crate) fn stop(&self) {
        self.shared.close();
        self.task.abort();
    }

    /// Accepts the connections that the kernel has queued already, then closes the listening socket: to close it at once
    /// would reset them. Not cancel safe: the socket stays open then.
    pub(crate) async fn finish(self) {
        self.shared.finishing.set(true);
        if let Some(waker) = self.shared.waker.take() {
            waker.wake();
        }
        // It fails when the loop ends.
        let _ = self.task.await;
        self.shared.close();
    }

    /// The address it listens on; `None` once stopped.
    pub(crate) fn local_addr(&self) -> Option<Address> {
        match &*self.shared.source.borrow() {
            Source::Waiting(listener) => listener.local_addr().ok(),
            Source::Tcp(listener) => listener.local_addr().ok().map(Address::from),
            Source::Unix(listener) => listener.local_addr().ok().map(Address::from),
            Source::Stopped => None,
        }
    }
}

async fn accept_all(shared: Rc<Shared>, mut callback: impl FnMut(Connection, Address)) {
    let attached = shared.source.borrow_mut().attach();
    if let Err(error) = attached {
        tracing::error!(target: log::GENERAL, "Cannot accept connections: {error}");
        return;
    }
    let mut pause = BACK_OFF.0;
    loop {
        let mut accepted = 0;
        let ended = poll_fn(|cx| accept_ready(&shared, cx, &mut callback, &mut accepted)).await;
        let Err(error) = ended else { break };
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
    let source = shared.source.replace(Source::Stopped);
    for (connection, address) in source.into_queued() {
        guarded(&mut callback, connection, address);
    }
}

impl Shared {
    fn close(&self) {
        let source = self.source.replace(Source::Stopped);
        drop(source);
    }
}

/// Accepts what is there; ready when this is to end, or with an error that calls for a pause.
fn accept_ready(
    shared: &Shared,
    cx: &mut Context<'_>,
    callback: &mut impl FnMut(Connection, Address),
    accepted: &mut usize,
) -> Poll<io::Result<()>> {
    for _ in 0..ACCEPTS_PER_WAKEUP {
        if shared.finishing.get() {
            return Poll::Ready(Ok(()));
        }
        let polled = {
            let source = shared.source.borrow();
            if matches!(*source, Source::Stopped) {
                return Poll::Ready(Ok(()));
            }
            let polled = source.poll_accept(cx);
            if polled.is_pending() {
                shared.waker.set(Some(cx.waker().clone()));
            }
            ready!(polled)
        };
        match polled {
            Ok((connection, address)) => {
                *accepted += 1;
                guarded(callback, connection, address);
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

fn guarded(callback: &mut impl FnMut(Connection, Address), connection: Connection, address: Address) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| callback(connection, address))) {
        log_panic("connection callback", &*payload);
    }
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

    /// Asks the kernel itself for what is queued: the loop may not have been told of the last ones.
    fn into_queued(self) -> impl Iterator<Item = (Connection, Address)> {
        let listener = match self {
            Self::Tcp(listener) => listener.into_std().map(Listener::Tcp).ok(),
            Self::Unix(listener) => listener.into_std().map(Listener::Unix).ok(),
            Self::Waiting(listener) => Some(listener),
            Self::Stopped => None,
        };
        (0..MOST_QUEUED).map_while(move |_| accept_now(listener.as_ref()?).transpose()).filter_map(Result::ok)
    }
}

/// The next connection in the queue; `None` when there is none, or none can be accepted.
fn accept_now(listener: &Listener) -> io::Result<Option<(Connection, Address)>> {
    let accepted = match listener {
        Listener::Tcp(listener) => listener.accept().and_then(|(stream, address)| {
            stream.set_nonblocking(true)?;
            Ok((Connection::Tcp(TcpStream::from_std(stream)?), Address::from(address)))
        }),
        Listener::Unix(listener) => listener.accept().and_then(|(stream, address)| {
            stream.set_nonblocking(true)?;
            let address = Address::from(tokio::net::unix::SocketAddr::from(address));
            Ok((Connection::Unix(UnixStream::from_std(stream)?), address))
        }),
    };
    match accepted {
        Ok(accepted) => Ok(Some(accepted)),
        Err(error) if concerns_one_connection(&error) => Err(error),
        Err(_) => Ok(None),
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
