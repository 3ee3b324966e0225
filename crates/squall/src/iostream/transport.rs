//! The socket under a stream: TCP and Unix sockets behind one type, every method on `&self`.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
#[cfg(feature = "tls")]
use std::task::ready;
use std::task::{Context, Poll};

use rustix::event::PollFlags;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{SockRef, Socket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;

use super::IoStream;
#[cfg(feature = "tls")]
use super::tls::Tls;
#[cfg(feature = "http2")]
use super::tunnel::Tunnel;
use crate::metrics::{self, Value};
use crate::sys;

/// A write to a connection that the peer has closed must give EPIPE rather than a SIGPIPE.
pub(super) const SEND_FLAGS: libc::c_int = if cfg!(target_vendor = "apple") { 0 } else { libc::MSG_NOSIGNAL };

/// So much of a file is read at a time where the kernel cannot send it by itself.
#[cfg(feature = "tls")]
const FILE_BLOCK: usize = super::tls::RECORD_BUFFER;
#[cfg(all(
    not(feature = "tls"),
    any(feature = "http2", not(any(target_os = "linux", target_os = "android")))
))]
const FILE_BLOCK: usize = 32 * 1024;

/// A socket that is registered with the loop.
pub(super) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// One end of a pipe, or whatever else `read` and `write` work on.
    Pipe(Box<Pipe>),
    #[cfg(feature = "tls")]
    Tls(Box<Tls>),
    /// Part of a connection.
    #[cfg(feature = "http2")]
    Tunnel(Box<dyn Tunnel>),
}

/// A pipe that is registered with the loop.
pub(super) struct Pipe {
    fd: AsyncFd<OwnedFd>,
    /// Told to those who wait for the other side: it closes here. A pipe cannot be shut down under them, as a socket can.
    let_go: Notify,
}

/// What a stream is attached to, over its life.
pub(super) enum Link {
    /// Not connected; [`connect`](super::IoStream::connect) has not been called.
    ///
    /// The loop must not see it yet: epoll reports a fresh socket as hung up, which tokio never forgets.
    Unconnected(Socket),
    /// The kernel is connecting it.
    Connecting(Rc<Transport>),
    /// Waiters for the peer's close hold a second reference, so that no `RefCell` is borrowed while they wait.
    Open(Rc<Transport>),
    Closed,
}

impl Transport {
    pub(super) fn register(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let is_unix = socket.local_addr()?.is_unix();
        Ok(if is_unix {
            Self::Unix(UnixStream::from_std(socket.into())?)
        } else {
            Self::Tcp(TcpStream::from_std(socket.into())?)
        })
    }

    pub(super) fn into_socket(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(stream) => stream.into_std()?.into(),
            Self::Unix(stream) => stream.into_std()?.into(),
            _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "there is no socket to take out")),
        })
    }

    /// The registered descriptor of a pipe or the like.
    pub(super) fn register_pipe(pipe: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        let fd = sys::watch_owned(pipe)?;
        Ok(Self::Pipe(Box::new(Pipe { fd, let_go: Notify::new() })))
    }

    /// Why there is no socket to be taken out; `None` if there is.
    pub(super) fn no_socket(&self) -> Option<&'static str> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => None,
            Self::Pipe(_) => Some("the stream is over a pipe"),
            #[cfg(feature = "tls")]
            Self::Tls(_) => Some("the stream is over TLS"),
            #[cfg(feature = "http2")]
            Self::Tunnel(_) => Some("the stream is one of an HTTP/2 connection"),
        }
    }

    pub(super) fn is_tls(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Pipe(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(_) => true,
            #[cfg(feature = "http2")]
            Self::Tunnel(tunnel) => tunnel.connection().is_tls(),
        }
    }

    /// Whether there is nothing between the stream and its socket.
    #[inline]
    pub(super) fn is_socket(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Unix(_))
    }

    pub(super) fn is_tcp(&self) -> bool {
        matches!(self.carrier(), Self::Tcp(_))
    }

    /// What is at the bottom: a socket, unless it is part of a connection.
    fn carrier(&self) -> &Self {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Pipe(_) => self,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.under.carrier(),
            #[cfg(feature = "http2")]
            Self::Tunnel(_) => self,
        }
    }

    /// The connection ends with something unsent: over TLS its end is not announced, so that it does not look complete.
    pub(super) fn forgo_end(&self) {
        #[cfg(feature = "tls")]
        if let Self::Tls(tls) = self {
            tls.mute();
        }
        #[cfg(feature = "http2")]
        if let Self::Tunnel(tunnel) = self {
            tunnel.reset();
        }
    }

    /// The operations of sockets; on a pipe they fail.
    pub(super) fn socket(&self) -> io::Result<SockRef<'_>> {
        Ok(match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Unix(stream) => SockRef::from(stream),
            Self::Pipe(pipe) => SockRef::from(pipe.fd.get_ref()),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.under.socket()?,
            #[cfg(feature = "http2")]
            Self::Tunnel(_) => return Err(no_descriptor()),
        })
    }

    fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Pipe(pipe) => pipe.fd.get_ref().as_fd(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.under.fd()?,
            #[cfg(feature = "http2")]
            Self::Tunnel(_) => return Err(no_descriptor()),
        })
    }

    /// The connection that this is part of.
    pub(super) fn whole(&self) -> Option<&IoStream> {
        match self {
            #[cfg(feature = "http2")]
            Self::Tunnel(tunnel) => Some(tunnel.connection()),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Pipe(pipe) => pipe.fd.poll_read_ready(cx).map_ok(drop),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.poll_read_ready(cx),
            #[cfg(feature = "http2")]
            Self::Tunnel(tunnel) => tunnel.poll_read_ready(cx),
        }
    }

    #[inline]
    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
            Self::Pipe(pipe) => pipe.fd.poll_write_ready(cx).map_ok(drop),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.under.poll_write_ready(cx),
            #[cfg(feature = "http2")]
            Self::Tunnel(tunnel) => tunnel.poll_write_ready(cx),
        }
    }

    /// One `recv`, if the loop has seen the socket readable.
    ///
    /// A read that does not fill `buf` has drained the socket (edge-triggered epoll reports what comes later), so the
    /// readiness is cleared at once: without that every request would cost a second `recv` just to see EAGAIN.
    #[inline]
    pub(super) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Self::Tls(tls) = self {
            return tls.try_read(buf);
        }
        #[cfg(feature = "http2")]
        if let Self::Tunnel(tunnel) = self {
            let data = tunnel.take(buf.len())?;
            buf[..data.len()].copy_from_slice(&data);
            return Ok(data.len());
        }
        let room = buf.len();
        if let Self::Pipe(pipe) = self {
            return self.try_read_with(room, || Ok(rustix::io::read(pipe.fd.get_ref(), &mut *buf)?));
        }
        // Not the standard library's: libc's `recv` and `send` are points at which a thread may be cancelled, which
        // costs 60 instructions in a process with several threads, such as one that writes a log.
        self.try_read_with(room, || Ok(rustix::net::recv(self.fd()?, &mut *buf, RecvFlags::empty())?.0))
    }

    /// [`try_read`](Self::try_read) into the room that is left in `buf`, behind what is in it.
    #[cfg(feature = "websocket")]
    pub(super) fn try_read_more(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Self::Tls(tls) = self {
            return tls.try_read_more(buf);
        }
        #[cfg(feature = "http2")]
        if let Self::Tunnel(tunnel) = self {
            let data = tunnel.take(buf.capacity() - buf.len())?;
            buf.extend_from_slice(&data);
            return Ok(data.len());
        }
        let room = buf.capacity() - buf.len();
        self.try_read_with(room, || Ok(rustix::io::read(self.fd()?, rustix::buffer::spare_capacity(buf))?))
    }

    /// Whether the socket has nothing to read, not even an end. The kernel is asked: the loop hears of what has come only
    /// when it waits.
    #[cfg(feature = "client")]
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = self.fd().map(|fd| rustix::net::recv(fd, &mut byte, flags));
        matches!(peeked, Ok(Err(rustix::io::Errno::AGAIN)))
    }

    #[inline]
    fn try_read_with(&self, room: usize, mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        let mut drained = None;
        let result = self.try_io(Interest::READABLE, || {
            let n = read()?;
            if n > 0 && n < room {
                drained = Some(n);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(n)
        });
        let received = drained.map_or(result, Ok);
        if let Ok(bytes) = received {
            metrics::add(Value::BytesIn, bytes as u64);
        }
        received
    }

    /// One `send`, whatever the loop knows about the socket: before the first event it knows nothing.
    #[inline]
    pub(super) fn send(&self, data: &[u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Self::Tls(tls) = self {
            return tls.send(&[IoSlice::new(data)]);
        }
        #[cfg(feature = "http2")]
        if let Self::Tunnel(tunnel) = self {
            return tunnel.send(&[IoSlice::new(data)]);
        }
        if let Self::Pipe(pipe) = self {
            return Ok(rustix::io::write(pipe.fd.get_ref(), data)?);
        }
        let flags = SendFlags::from_bits_retain(SEND_FLAGS as u32);
        count_sent(rustix::net::send(self.fd()?, data, flags).map_err(io::Error::from))
    }

    /// One gathering `sendmsg`, as [`send`](Self::send).
    #[inline]
    pub(super) fn send_vectored(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Self::Tls(tls) = self {
            return tls.send(data);
        }
        #[cfg(feature = "http2")]
        if let Self::Tunnel(tunnel) = self {
            return tunnel.send(data);
        }
        if let Self::Pipe(pipe) = self {
            return Ok(rustix::io::writev(pipe.fd.get_ref(), data)?);
        }
        count_sent(self.socket()?.send_vectored_with_flags(data, SEND_FLAGS))
    }

    /// How many of the bytes that it has taken wait in it for the socket. Nothing can be sent before those; see
    /// [`send_held`](Self::send_held).
    #[inline]
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Pipe(_) => 0,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.held(),
            #[cfg(feature = "http2")]
            Self::Tunnel(_) => 0,
        }
    }

    /// Sends some of what is held; returns how much of it.
    pub(super) fn send_held(&self) -> io::Result<usize> {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Pipe(_) => Ok(0),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.send_held(),
            #[cfg(feature = "http2")]
            Self::Tunnel(_) => Ok(0),
        }
    }

    /// One `sendfile` of at most `count` bytes at `offset`, as [`send`](Self::send). 0 is the end of the file.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn send_file(&self, file: &std::fs::File, offset: u64, count: usize) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Self::Tls(_) = self {
            return self.send_block(file, offset, count);
        }
        #[cfg(feature = "http2")]
        if let Self::Tunnel(_) = self {
            return self.send_block(file, offset, count);
        }
        let mut offset = offset;
        count_sent(Ok(rustix::fs::sendfile(self.fd()?, file, Some(&mut offset), count)?))
    }

    /// Other systems' `sendfile`s differ too much to be worth it.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn send_file(&self, file: &std::fs::File, offset: u64, count: usize) -> io::Result<usize> {
        self.send_block(file, offset, count)
    }

    /// Where the kernel cannot send a file by itself: a read and a write. As much as TLS takes at a time: what it leaves
    /// would have been read in vain.
    #[cfg(any(feature = "tls", feature = "http2", not(any(target_os = "linux", target_os = "android"))))]
    fn send_block(&self, file: &std::fs::File, offset: u64, count: usize) -> io::Result<usize> {
        let mut block = Vec::with_capacity(count.min(FILE_BLOCK));
        let read = rustix::io::pread(file, rustix::buffer::spare_capacity(&mut block), offset)?;
        if read == 0 { Ok(0) } else { self.send(&block) }
    }

    /// Runs a write that the loop's knowledge of writability applies to: WouldBlock clears it.
    pub(super) fn try_write_io(&self, write: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, write)
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let (Self::Tls(tls), Shutdown::Write | Shutdown::Both) = (self, how) {
            tls.close_notify();
        }
        #[cfg(feature = "http2")]
        if let Self::Tunnel(tunnel) = self {
            if how != Shutdown::Read {
                tunnel.end();
            }
            return Ok(());
        }
        if let Self::Pipe(pipe) = self {
            if how == Shutdown::Both {
                pipe.let_go.notify_waiters();
            }
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a pipe ends by being closed"));
        }
        self.socket()?.shutdown(how)
    }

    /// Ends the sending side once the end has been said, which over TLS can take a full socket's time.
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "only TLS says it"))]
    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Pipe(_) => {}
            #[cfg(feature = "tls")]
            Self::Tls(tls) => ready!(tls.poll_close_notify(cx))?,
            #[cfg(feature = "http2")]
            Self::Tunnel(_) => {}
        }
        Poll::Ready(self.shutdown(Shutdown::Write))
    }

    /// Whether this is the end of a pipe that is written to, and nobody is left to read.
    pub(super) fn is_broken_pipe(&self) -> bool {
        let Self::Pipe(pipe) = self else { return false };
        let events = sys::poll(pipe.fd.as_raw_fd(), PollFlags::empty());
        events.is_ok_and(|events| events.contains(PollFlags::ERR))
    }

    /// Waits until the peer has closed or reset the connection (or [`shutdown`](Self::shutdown) was called here),
    /// whether or not there is unread data. Any number of tasks can wait.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) async fn read_closed(&self) {
        // tokio resolves an interest in PRIORITY on PRIORITY or READ_CLOSED, and only the second is ever reported
        // for a socket that was registered for reading and writing (EPOLLRDHUP or EPOLLHUP). It is never cleared.
        let ready = match self.carrier() {
            Self::Tcp(stream) => stream.ready(Interest::PRIORITY).await,
            Self::Unix(stream) => stream.ready(Interest::PRIORITY).await,
            // The end that is written to is told of the other's close by an error.
            Self::Pipe(pipe) => tokio::select! {
                ready = pipe.fd.ready(Interest::PRIORITY | Interest::ERROR) => ready.map(|guard| guard.ready()),
                () = pipe.let_go.notified() => return,
            },
            #[cfg(feature = "tls")]
            Self::Tls(_) => return,
            #[cfg(feature = "http2")]
            Self::Tunnel(tunnel) => return tunnel.ended().await,
        };
        // An error means that the loop is gone: as good as closed.
        drop(ready);
    }

    /// Other systems do not report the close apart from readability; unread data hides it until it is read.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) async fn read_closed(&self) {
        const RECHECK: std::time::Duration = std::time::Duration::from_millis(100);
        loop {
            let ready = match self.carrier() {
                Self::Tcp(stream) => stream.ready(Interest::READABLE).await,
                Self::Unix(stream) => stream.ready(Interest::READABLE).await,
                Self::Pipe(pipe) => tokio::select! {
                    ready = pipe.fd.ready(Interest::READABLE) => ready.map(|guard| guard.ready()),
                    () = pipe.let_go.notified() => return,
                },
                #[cfg(feature = "tls")]
                Self::Tls(_) => return,
                #[cfg(feature = "http2")]
                Self::Tunnel(tunnel) => return tunnel.ended().await,
            };
            if ready.map_or(true, |ready| ready.is_read_closed()) {
                return;
            }
            tokio::time::sleep(RECHECK).await;
        }
    }

    #[inline]
    fn try_io<R>(&self, interest: Interest, operation: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, operation),
            Self::Unix(stream) => stream.try_io(interest, operation),
            Self::Pipe(pipe) => pipe.fd.try_io(interest, |_| operation()),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.under.try_io(interest, operation),
            #[cfg(feature = "http2")]
            Self::Tunnel(_) => operation(),
        }
    }
}

#[inline]
fn count_sent(sent: io::Result<usize>) -> io::Result<usize> {
    if let Ok(bytes) = sent {
        metrics::add(Value::BytesOut, bytes as u64);
    }
    sent
}

#[cfg(feature = "http2")]
fn no_descriptor() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the stream has no socket of its own")
}

impl Link {
    pub(super) fn open(&self) -> Option<&Rc<Transport>> {
        match self {
            Self::Open(transport) => Some(transport),
            Self::Unconnected(_) | Self::Connecting(_) | Self::Closed => None,
        }
    }
}
