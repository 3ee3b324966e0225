//! Buffered, non-blocking streams over sockets (Tornado's `tornado.iostream`).
//!
//! An [`IoStream`] is read by saying where a message ends ([`read_until`](IoStream::read_until),
//! [`read_bytes`](IoStream::read_bytes), …) and written without waiting ([`write`](IoStream::write) returns a future
//! for flow control that may be dropped).
//!
//! ```
//! # use squall::iostream::{IoStream, StreamError};
//! async fn ask(stream: &IoStream) -> Result<bytes::Bytes, StreamError> {
//!     stream.write(b"GET / HTTP/1.0\r\n\r\n");
//!     stream.read_until(b"\r\n\r\n", None).await
//! }
//! ```
//!
//! Underneath are the calls that protocol code is built on: [`poll_fill`](IoStream::poll_fill),
//! [`read_buffer`](IoStream::read_buffer) and [`try_write`](IoStream::try_write). They never allocate, and a request
//! and its response cost one `recv` and one `send`.

mod buffer;
mod connect;
mod error;
mod file;
mod pipe;
mod read;
mod shutdown;
#[cfg(feature = "client")]
mod stall;
#[cfg(feature = "tls")]
mod tls;
mod transport;
#[cfg(feature = "http2")]
mod tunnel;
mod write;

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::error::Error;
use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpStream, UnixStream};

use crate::ioloop::{catch_panic, log_panic};
use crate::netutil::{Address, Connection, spawn, within};
use crate::stack_context::Captured;

pub use self::buffer::{PoolStats, ReadBuffer, pool_stats};
pub use self::error::{
    RealError, StreamBufferFullError, StreamClosedError, StreamError, UnsatisfiableReadError,
};
pub use self::file::FilePart;
pub use self::pipe::PipeIoStream;
pub use self::read::Chunks;
#[cfg(feature = "client")]
pub(crate) use self::stall::Stalled;
#[cfg(feature = "tls")]
pub(crate) use self::tls::Refusal;
#[cfg(feature = "tls")]
pub use self::tls::{TlsInfo, TlsRole};
#[cfg(feature = "http2")]
pub(crate) use self::tunnel::Tunnel;
pub use self::write::WriteFuture;

use self::transport::{Link, Transport};
use self::write::WriteQueue;

/// Default of [`IoStream::set_max_buffer_size`]: 100 MiB.
pub const DEFAULT_MAX_BUFFER_SIZE: usize = 104_857_600;

/// Default of [`IoStream::set_read_chunk_size`]: 64 KiB.
pub const DEFAULT_READ_CHUNK_SIZE: usize = 65_536;

/// A buffered stream over a TCP or Unix socket.
///
/// A handle: clones share one connection, which is closed by [`close`](Self::close) or when the last clone is
/// dropped (writes that are still queued are sent first in that case). Every method takes `&self`; one read and any
/// number of writes may be outstanding at the same time, from different tasks of one thread.
///
/// An idle stream owns no buffer: it waits for data first and only then borrows a block from a pool.
#[doc(alias = "IOStream")]
#[doc(alias = "BaseIOStream")]
#[derive(Clone)]
pub struct IoStream(Rc<Inner>);

struct Inner {
    link: RefCell<Link>,
    read: RefCell<ReadBuffer>,
    /// `Some` exactly while bytes are queued (or a connection is being made), so that an idle stream owns no queue.
    write: RefCell<Option<Box<WriteQueue>>>,
    /// The task in [`IoStream::poll_fill`]; a local close wakes it, which the kernel would not.
    reader: Cell<Option<Waker>>,
    /// In boxes, thin ones, since most streams never have either.
    close_callback: Cell<Option<Box<CloseCallback>>>,
    error: OnceCell<Box<RealError>>,
    /// All bytes ever handed to `write`, and those of them that the kernel has taken.
    queued: Cell<u64>,
    flushed: Cell<u64>,
    limits: Cell<Limits>,
    reading: Cell<bool>,
    /// [`IoStream::poll_fill`] has told its task to wait.
    parked: Cell<bool>,
}

type CloseCallback = Box<dyn FnOnce()>;

/// The limits of a stream, as small as an idle connection wants them: `u32::MAX` stands for no limit.
#[derive(Clone, Copy)]
struct Limits {
    max_buffer_size: u32,
    read_chunk_size: u32,
    max_write_buffer_size: u32,
}

fn clamp(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn limit(bytes: u32) -> usize {
    if bytes == u32::MAX { usize::MAX } else { bytes as usize }
}

impl IoStream {
    /// A stream over any TCP or Unix stream socket, of std, socket2 or as a bare descriptor, connected or still to be
    /// [`connect`](Self::connect)ed. The socket is made non-blocking.
    ///
    /// # Errors
    ///
    /// When the socket cannot be registered with the loop.
    pub fn new(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        let socket = Socket::from(socket.into());
        if socket.peer_addr().is_ok() {
            return Ok(Self::open(within(|| Transport::register(socket))?));
        }
        socket.set_nonblocking(true)?;
        Ok(Self::with_link(Link::Unconnected(socket)))
    }

    /// A stream over a new socket that can be [`connect`](Self::connect)ed to `address`.
    ///
    /// # Errors
    ///
    /// When the system has no such sockets, or the process no file descriptor left.
    pub fn for_address(address: &Address) -> io::Result<Self> {
        let domain = address.inet().map_or(Domain::UNIX, Domain::for_address);
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        Ok(Self::with_link(Link::Unconnected(socket)))
    }

    /// A stream over a connected TCP socket, which is made non-blocking.
    ///
    /// # Errors
    ///
    /// When the socket cannot be registered with the loop.
    pub fn from_std_tcp(socket: std::net::TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::from(within(|| TcpStream::from_std(socket))?))
    }

    /// A stream over a connected Unix socket, which is made non-blocking.
    ///
    /// # Errors
    ///
    /// When the socket cannot be registered with the loop.
    pub fn from_std_unix(socket: std::os::unix::net::UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::from(within(|| UnixStream::from_std(socket))?))
    }

    fn open(transport: Transport) -> Self {
        Self::with_link(Link::Open(Rc::new(transport)))
    }

    fn with_link(link: Link) -> Self {
        Self(Rc::new(Inner {
            link: RefCell::new(link),
            read: RefCell::default(),
            write: RefCell::new(None),
            reader: Cell::new(None),
            close_callback: Cell::new(None),
            error: OnceCell::new(),
            queued: Cell::new(0),
            flushed: Cell::new(0),
            limits: Cell::new(Limits {
                max_buffer_size: clamp(DEFAULT_MAX_BUFFER_SIZE),
                read_chunk_size: clamp(DEFAULT_READ_CHUNK_SIZE),
                max_write_buffer_size: u32::MAX,
            }),
            reading: Cell::new(false),
            parked: Cell::new(false),
        }))
    }

    /// The received bytes that have not been consumed. Do not hold it across an `await`.
    ///
    /// # Panics
    ///
    /// When another borrow of it is still held.
    #[inline]
    #[track_caller]
    pub fn read_buffer(&self) -> RefMut<'_, ReadBuffer> {
        self.0.read.borrow_mut()
    }

    /// Closes the stream. Queued writes are discarded; received data stays readable. Outstanding operations fail with
    /// [`StreamClosedError`], except reads that the buffered data satisfies. Closing twice does nothing.
    pub fn close(&self) {
        self.close_shared(None);
    }

    /// Closes the stream, as [`close`](Self::close), because of `error`, which becomes the real error of every
    /// operation that fails because of it.
    pub fn close_with(&self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        self.close_shared(Some(Arc::from(error.into())));
    }

    /// Whether the stream has been closed. A close by the peer counts once a read, a write or the watch that
    /// [`set_close_callback`](Self::set_close_callback) starts has come across it.
    #[inline]
    #[doc(alias = "closed")]
    pub fn is_closed(&self) -> bool {
        matches!(*self.0.link.borrow(), Link::Closed)
    }

    /// The error that closed the stream; `None` while it is open and after an orderly close.
    pub fn error(&self) -> Option<RealError> {
        self.0.error.get().map(|error| RealError::clone(error))
    }

    /// Whether a read is outstanding.
    #[doc(alias = "reading")]
    pub fn is_reading(&self) -> bool {
        self.0.reading.get()
    }

    /// Whether written data waits to be taken by the kernel.
    #[doc(alias = "writing")]
    pub fn is_writing(&self) -> bool {
        self.0.queued.get() > self.0.flushed.get() && !self.is_closed()
    }

    /// Calls `callback` from the loop once the stream has been closed by either side.
    ///
    /// When the peer closes, it is called after the data that has been received was consumed. It replaces an earlier
    /// callback; on a closed stream it is called soon. As in Tornado the loop holds on to a stream that has a close
    /// callback, so that it stays open although every handle is dropped, until the peer closes it.
    pub fn set_close_callback(&self, callback: impl FnOnce() + 'static) {
        let contexts = Captured::now();
        let callback: CloseCallback = if contexts.is_null() {
            Box::new(callback)
        } else {
            Box::new(move || {
                contexts.run(|| {
                    if let Err(payload) = catch_unwind(AssertUnwindSafe(callback))
                        && !contexts.handles(&*payload)
                    {
                        resume_unwind(payload);
                    }
                });
            })
        };
        let watched = self.0.close_callback.replace(Some(Box::new(callback))).is_some();
        if self.is_closed() {
            self.run_close_callback();
        } else if !watched {
            self.watch_for_close();
        }
    }

    /// Resolves when the peer has closed or reset the connection, even if there is unread data, or when the stream is
    /// closed here. It reads nothing, so what the peer sent before stays available. Resolves at once on a stream that
    /// is not connected.
    ///
    /// A peer that only shuts down its sending side cannot be told from one that has closed.
    ///
    /// Cancel safe. Any number of tasks may wait. To poll it from a hand-written future, pin it there; it allocates
    /// nothing.
    pub async fn closed_by_peer(&self) {
        let Some(transport) = self.transport() else { return };
        transport.read_closed().await;
    }

    /// Sends small writes at once (`TCP_NODELAY`) rather than gathering them. Does nothing on a Unix socket.
    ///
    /// # Errors
    ///
    /// When the system refuses, or the stream is closed.
    pub fn set_nodelay(&self, value: bool) -> io::Result<()> {
        match &*self.0.link.borrow() {
            Link::Open(transport) | Link::Connecting(transport) if transport.is_tcp() => {
                transport.socket()?.set_tcp_nodelay(value)
            }
            Link::Unconnected(socket) if !socket.local_addr()?.is_unix() => socket.set_tcp_nodelay(value),
            Link::Closed => Err(io::ErrorKind::NotConnected.into()),
            Link::Open(_) | Link::Connecting(_) | Link::Unconnected(_) => Ok(()),
        }
    }

    /// Most bytes to buffer for reading (default 100 MiB). A read that needs more closes the stream with
    /// [`StreamBufferFullError`].
    pub fn set_max_buffer_size(&self, bytes: usize) {
        self.change_limits(|limits| limits.max_buffer_size = clamp(bytes));
    }

    /// Most bytes to ask the kernel for at a time (default 64 KiB, at least 1).
    pub fn set_read_chunk_size(&self, bytes: usize) {
        self.change_limits(|limits| limits.read_chunk_size = clamp(bytes.max(1)));
    }

    /// Most bytes to queue for writing (default `None`: no limit). A write beyond it is refused with
    /// [`StreamBufferFullError`].
    pub fn set_max_write_buffer_size(&self, bytes: Option<usize>) {
        self.change_limits(|limits| limits.max_write_buffer_size = clamp(bytes.unwrap_or(usize::MAX)));
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// When the stream is closed.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.with_socket(|socket| Address::from_sock_addr(&socket.local_addr()?))
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// When the stream is closed or not connected.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.with_socket(|socket| Address::from_sock_addr(&socket.peer_addr()?))
    }

    /// Whether the stream is over TLS. False once it is closed.
    pub fn is_tls(&self) -> bool {
        self.0.link.borrow().open().is_some_and(|transport| transport.is_tls())
    }

    /// Takes the (non-blocking) socket out of the loop, for std's `TcpStream` or `UnixStream`, together with the data that has been received and not been
    /// consumed. The stream counts as closed afterwards, but its close callback is dropped.
    ///
    /// # Errors
    ///
    /// When the stream is closed, or over TLS, or in use: a read, a write or a
    /// [`closed_by_peer`](Self::closed_by_peer) is outstanding. The stream is unchanged then.
    pub fn detach(&self) -> io::Result<(OwnedFd, Bytes)> {
        if let Some(reason) = self.0.link.borrow().open().and_then(|transport| transport.no_socket()) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
        let unconnected = matches!(*self.0.link.borrow(), Link::Unconnected(_));
        let socket = match (unconnected && !self.is_busy()).then(|| self.0.link.replace(Link::Closed)) {
            Some(Link::Unconnected(socket)) => socket,
            _ => self.take_transport()?.into_socket()?,
        };
        let mut buffer = self.read_buffer();
        let received = buffer.len();
        Ok((socket.into(), buffer.take(received)))
    }

    fn is_busy(&self) -> bool {
        self.is_reading() || self.0.write.borrow().is_some()
    }

    /// Takes what carries the connection out of an idle stream, which counts as closed afterwards.
    fn take_transport(&self) -> io::Result<Transport> {
        if self.is_busy() {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "IOStream is not idle"));
        }
        let transport = match self.0.link.replace(Link::Closed) {
            Link::Open(transport) | Link::Connecting(transport) => match Rc::try_unwrap(transport) {
                Ok(transport) => transport,
                Err(shared) => {
                    self.0.link.replace(Link::Open(shared));
                    return Err(io::Error::new(io::ErrorKind::ResourceBusy, "the stream is being watched"));
                }
            },
            other => {
                self.0.link.replace(other);
                return Err(io::ErrorKind::NotConnected.into());
            }
        };
        self.0.close_callback.take();
        if let Some(reader) = self.0.reader.take() {
            reader.wake();
        }
        Ok(transport)
    }

    fn with_socket<R>(&self, query: impl FnOnce(&Socket) -> io::Result<R>) -> io::Result<R> {
        match &*self.0.link.borrow() {
            Link::Open(transport) | Link::Connecting(transport) => match transport.whole() {
                Some(connection) => connection.with_socket(query),
                None => query(&*transport.socket()?),
            },
            Link::Unconnected(socket) => query(socket),
            Link::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn transport(&self) -> Option<Rc<Transport>> {
        self.0.link.borrow().open().cloned()
    }

    fn closed_error(&self) -> StreamError {
        StreamError::Closed(StreamClosedError::new(self.error()))
    }

    fn close_shared(&self, error: Option<RealError>) {
        if !self.is_closed() {
            let link = self.0.link.replace(Link::Closed);
            self.finish_close(link, error);
        }
    }

    /// Lets go of what was taken out of a stream that is closed now, and tells everyone.
    fn finish_close(&self, link: Link, error: Option<RealError>) {
        if let Some(error) = error {
            // The first error is the one that closed the stream.
            let _ = self.0.error.set(Box::new(error));
        }
        let queue = self.0.write.take();
        if let Link::Open(transport) | Link::Connecting(transport) = link {
            if queue.is_some() {
                transport.forgo_end();
            }
            if Rc::strong_count(&transport) > 1 {
                // A waiter for the peer's close still holds the socket: this ends its wait, and the connection right
                // now. An error says that the connection is gone already.
                let _ = transport.shutdown(Shutdown::Both);
            }
        }
        if let Some(reader) = self.0.reader.take() {
            reader.wake();
        }
        if let Some(queue) = queue {
            queue.wake_all();
        }
        let watcher = self.read_buffer().emptied.take();
        if let Some(watcher) = watcher {
            watcher.wake();
        }
        self.run_close_callback();
    }

    fn run_close_callback(&self) {
        if let Some(callback) = self.0.close_callback.take() {
            spawn(async move {
                if let Err(payload) = catch_panic(async { callback() }).await {
                    log_panic("close callback", &*payload);
                }
            });
        }
    }

    /// Starts the task that notices the peer's close while nothing is being read.
    fn watch_for_close(&self) {
        let stream = self.clone();
        spawn(async move {
            stream.connected().await;
            loop {
                stream.closed_by_peer().await;
                stream.consumed().await;
                if stream.is_closed() {
                    return;
                }
                if stream.transport().is_some_and(|transport| transport.is_broken_pipe()) {
                    // There is nothing to read at that end.
                    return stream.close();
                }
                // A pending read sees the close by itself, and closes the stream if it is left unsatisfied.
                if !stream.is_reading() {
                    match stream.fill().await {
                        Ok(0) => stream.close(),
                        Ok(_) => {}
                        Err(error) => stream.close_with(error),
                    }
                }
            }
        });
    }

    /// Waits until the read buffer is empty and nobody reads, or the stream is closed.
    async fn consumed(&self) {
        std::future::poll_fn(|cx| {
            if self.is_closed() {
                return Poll::Ready(());
            }
            let mut buffer = self.read_buffer();
            if buffer.is_empty() && !self.is_reading() {
                return Poll::Ready(());
            }
            buffer.emptied = Some(Box::new(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    fn change_limits(&self, change: impl FnOnce(&mut Limits)) {
        let mut limits = self.0.limits.get();
        change(&mut limits);
        self.0.limits.set(limits);
    }

    /// Wakes the task that [`park_reader`](Self::park_reader) remembered.
    pub(crate) fn wake_reader(&self) {
        if let Some(reader) = self.0.reader.take() {
            reader.wake();
        }
    }

    /// Remembers the task that waits in `poll_fill`, for a close from this side.
    #[inline]
    pub(crate) fn park_reader(&self, cx: &Context<'_>) {
        let parked = self.0.reader.take().filter(|waker| waker.will_wake(cx.waker()));
        self.0.reader.set(Some(parked.unwrap_or_else(|| cx.waker().clone())));
    }
}

/// The stream of a connection that tokio made or accepted.
impl From<TcpStream> for IoStream {
    fn from(stream: TcpStream) -> Self {
        Self::open(Transport::Tcp(stream))
    }
}

/// The stream of a connection that tokio made or accepted.
impl From<UnixStream> for IoStream {
    fn from(stream: UnixStream) -> Self {
        Self::open(Transport::Unix(stream))
    }
}

impl fmt::Debug for IoStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fd = self.with_socket(|socket| Ok(socket.as_fd().as_raw_fd())).ok();
        f.debug_struct("IoStream").field("fd", &fd).field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// The stream of a connection that [`add_accept_handler`](crate::netutil::add_accept_handler) accepted.
impl From<Connection> for IoStream {
    fn from(connection: Connection) -> Self {
        match connection {
            Connection::Tcp(stream) => Self::from(stream),
            Connection::Unix(stream) => Self::from(stream),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_small() {
        // What an idle connection costs here, apart from tokio's registration: this and the transport. With the counts of
        // its `Rc` and what the allocator adds, 176 bytes: one more, and it takes 192.
        assert!(size_of::<Inner>() <= 152, "{}", size_of::<Inner>());
        assert!(size_of::<Transport>() <= 48, "{}", size_of::<Transport>());
    }
}
