//! Reading: filling the buffer, and Tornado's reads on top of that.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use memchr::memmem::Finder;
use regex::bytes::Regex;
use tokio::io::{AsyncRead, ReadBuf};

use super::error::{Side, is_connection_reset};
use super::transport::{Link, Transport};
use super::{IoStream, ReadBuffer, StreamBufferFullError, StreamError, UnsatisfiableReadError};
use crate::log;

impl IoStream {
    /// Waits for data, then makes one `recv` call that appends it to the [`read_buffer`](Self::read_buffer).
    ///
    /// Gives the number of bytes added; `Ok(0)` is the end: the peer has closed its side, or the stream is closed. It
    /// does not close the stream, except when the buffer is full. A buffer is borrowed only once there is data, so
    /// waiting with an empty buffer holds no memory. Before the stream is connected it waits for that.
    ///
    /// Only the last task that polled is woken. On a stream with a
    /// [close callback](Self::set_close_callback) data can also be added by the watch that it starts, once the peer has
    /// closed: look at the buffer before taking `Ok(0)` for the end.
    ///
    /// # Errors
    ///
    /// What the system call gives; or [`StreamBufferFullError`] when the buffer holds more than
    /// [`max_buffer_size`](Self::set_max_buffer_size), which also closes the stream.
    ///
    /// # Panics
    ///
    /// When a borrow of the read buffer is still held.
    #[inline]
    pub fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let filled = match &*self.0.link.borrow() {
                // Who waited is woken when there is something: to ask first would cost a request 150 instructions.
                Link::Open(transport) if self.0.parked.take() && transport.is_socket() => {
                    self.fill_from(transport)
                }
                Link::Open(transport) => {
                    if let Poll::Ready(ready) = transport.poll_read_ready(cx) {
                        ready?;
                    } else {
                        self.0.parked.set(true);
                        self.park_reader(cx);
                        return Poll::Pending;
                    }
                    self.fill_from(transport)
                }
                Link::Closed => return Poll::Ready(Ok(0)),
                Link::Unconnected(_) | Link::Connecting(_) => {
                    self.park_reader(cx);
                    return Poll::Pending;
                }
            };
            match filled.unwrap_or_else(|| self.overflow()) {
                Err(error) if would_block(&error) => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// [`poll_fill`](Self::poll_fill) as a future. Cancel safe: what was received is in the buffer.
    ///
    /// # Errors
    ///
    /// As [`poll_fill`](Self::poll_fill).
    pub async fn fill(&self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// Reads up to and including the first occurrence of `delimiter`.
    ///
    /// Cancel safe: the data stays in the buffer. Searches every byte once, however slowly it arrives.
    ///
    /// # Errors
    ///
    /// [`StreamError::Closed`] when the stream ends before the delimiter; also when the delimiter does not end within
    /// the first `max_bytes` bytes: that closes the stream, with an [`UnsatisfiableReadError`] as the real error.
    /// [`StreamError::AlreadyReading`] when another read is outstanding.
    pub async fn read_until(
        &self,
        delimiter: impl AsRef<[u8]>,
        max_bytes: Option<usize>,
    ) -> Result<Bytes, StreamError> {
        let delimiter = delimiter.as_ref();
        let finder = Finder::new(delimiter);
        let mut searched = 0;
        self.read_matching(
            max_bytes,
            || format!("delimiter {}", quoted(delimiter)),
            |data| {
                let found = finder
                    .find(data.get(searched..).unwrap_or_default())
                    .map(|at| searched + at + delimiter.len());
                searched = (data.len() + 1).saturating_sub(delimiter.len().max(1));
                found
            },
        )
        .await
    }

    /// Reads up to and including the first match of `regex`.
    ///
    /// The match is looked for whenever data has arrived, and then from the start of the buffer: bound it with
    /// `max_bytes` when the peer is not trusted. A pattern whose match could go on, such as `a+`, matches what is
    /// there. Cancel safe: the data stays in the buffer.
    ///
    /// # Errors
    ///
    /// As [`read_until`](Self::read_until).
    pub async fn read_until_regex(
        &self,
        regex: &Regex,
        max_bytes: Option<usize>,
    ) -> Result<Bytes, StreamError> {
        self.read_matching(
            max_bytes,
            || format!("regex {:?}", regex.as_str()),
            |data| {
                // As in Tornado an empty buffer is not searched: data has to arrive first.
                if data.is_empty() { None } else { regex.find(data).map(|found| found.end()) }
            },
        )
        .await
    }

    /// Reads exactly `n` bytes. Cancel safe: the data stays in the buffer.
    ///
    /// # Errors
    ///
    /// [`StreamError::Closed`] when the stream ends before that, [`StreamError::AlreadyReading`] when another read is
    /// outstanding.
    pub async fn read_bytes(&self, n: usize) -> Result<Bytes, StreamError> {
        self.read_when(|buffer| (buffer.len() >= n).then_some(n)).await
    }

    /// Reads at least one byte and at most `n`, as soon as there are any. Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`read_bytes`](Self::read_bytes).
    pub async fn read_bytes_partial(&self, n: usize) -> Result<Bytes, StreamError> {
        self.read_when(|buffer| (n == 0 || !buffer.is_empty()).then(|| buffer.len().min(n))).await
    }

    /// Reads into `target` until it is full or, if `partial`, until there is any data in it; gives the number of bytes
    /// read. Bytes that have not been buffered go straight from the system call into `target`.
    ///
    /// Cancel safe: what had been read goes back to the stream.
    ///
    /// # Errors
    ///
    /// As [`read_bytes`](Self::read_bytes); what had been read goes back to the stream.
    pub async fn read_into(&self, target: &mut [u8], partial: bool) -> Result<usize, StreamError> {
        let _reading = self.start_read()?;
        let mut read = PartialRead { stream: self, target, filled: 0 };
        let wanted = if partial { read.target.len().min(1) } else { read.target.len() };
        poll_fn(|cx| {
            loop {
                if read.filled < read.target.len() {
                    read.filled += self.copy_buffered(&mut read.target[read.filled..]);
                }
                if read.filled >= wanted {
                    return Poll::Ready(Ok::<_, StreamError>(()));
                }
                let received = ready!(self.poll_receive(cx, &mut read.target[read.filled..]));
                read.filled += self.close_at_end(received)?;
            }
        })
        .await?;
        Ok(std::mem::take(&mut read.filled))
    }

    /// Reads everything until the stream ends, on a closed stream what is still buffered.
    ///
    /// All of it is held in memory, up to [`set_max_buffer_size`](Self::set_max_buffer_size): use
    /// [`chunks`](Self::chunks) for flow control. Cancel safe: the data stays in the buffer.
    ///
    /// # Errors
    ///
    /// [`StreamError::Closed`] when an error ends the stream while this reads. A reset by the peer is an end like any
    /// other, as in Tornado. [`StreamError::AlreadyReading`] when another read is outstanding.
    pub async fn read_until_close(&self) -> Result<Bytes, StreamError> {
        let _reading = self.start_read()?;
        if !self.is_closed() {
            let result = poll_fn(|cx| {
                loop {
                    let received = ready!(self.poll_fill(cx));
                    if let Err(error) = self.close_at_end(received) {
                        return Poll::Ready(Err(error));
                    }
                }
            });
            let Err::<(), _>(error) = result.await else { unreachable!("it loops until the end") };
            if error.real_error().is_some_and(|real| !is_reset(real)) {
                return Err(error);
            }
        }
        let mut buffer = self.read_buffer();
        let rest = buffer.len();
        Ok(buffer.take(rest))
    }

    /// The rest of the stream as a series of chunks, in the pace in which they are asked for.
    pub fn chunks(&self) -> Chunks<'_> {
        Chunks { stream: self, failed: false }
    }

    /// Whether the peer has sent nothing that was not read, and has not ended, as far as can be known at this moment: one
    /// system call. What has come over TLS and is no data counts as well until it was read.
    #[cfg(feature = "client")]
    pub(crate) fn is_quiet(&self) -> bool {
        self.read_buffer().is_empty() && self.transport().is_some_and(|transport| transport.is_quiet())
    }

    /// Whether nothing has come that was not read, and no end, as far as the loop has heard.
    #[cfg(feature = "client")]
    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self.try_fill(), Err(error) if would_block(&error))
    }

    /// One `recv` without waiting.
    pub(super) fn try_fill(&self) -> io::Result<usize> {
        let filled = match self.0.link.borrow().open() {
            Some(transport) => self.fill_from(transport),
            None => return Ok(0),
        };
        filled.unwrap_or_else(|| self.overflow())
    }

    /// One `recv`; `None` when the buffer holds more than it may.
    #[inline]
    fn fill_from(&self, transport: &Transport) -> Option<io::Result<usize>> {
        let limits = self.0.limits.get();
        let max = super::limit(limits.max_buffer_size);
        let mut buffer = self.0.read.borrow_mut();
        // Only a full buffer is read into further, by one byte: that tells the end of the stream from an overflow.
        let limit = if buffer.len() < max { max } else { max.saturating_add(1) };
        let room = buffer.room(limit, limits.read_chunk_size as usize)?;
        let result = transport.try_read(room);
        buffer.commit(*result.as_ref().unwrap_or(&0));
        if buffer.len() > max { None } else { Some(result) }
    }

    #[cold]
    fn overflow(&self) -> io::Result<usize> {
        // No error of this program: it is the peer that sent so much.
        tracing::info!(target: log::GENERAL, "Reached maximum read buffer size");
        let full = StreamBufferFullError { side: Side::Read };
        self.close_with(full);
        Err(io::Error::new(io::ErrorKind::OutOfMemory, full))
    }

    /// Reads until `find` says how many bytes of the buffered data make up the result.
    async fn read_matching(
        &self,
        max_bytes: Option<usize>,
        wanted: impl Fn() -> String,
        mut find: impl FnMut(&[u8]) -> Option<usize>,
    ) -> Result<Bytes, StreamError> {
        let max_bytes = max_bytes.unwrap_or(usize::MAX);
        let mut unsatisfiable = false;
        let result = self
            .read_when(|buffer| {
                let found = find(buffer.as_slice());
                unsatisfiable = found.unwrap_or(buffer.len()) > max_bytes;
                // Nothing is taken when the read cannot be satisfied.
                if unsatisfiable { Some(0) } else { found }
            })
            .await;
        if !unsatisfiable {
            return result;
        }
        let error = UnsatisfiableReadError { wanted: wanted(), max_bytes };
        if self.is_closed() {
            return Err(self.closed_error());
        }
        tracing::info!(target: log::GENERAL, "Unsatisfiable read, closing connection: {error}");
        self.close_with(error);
        Err(self.closed_error())
    }

    async fn read_when(
        &self,
        mut satisfied: impl FnMut(&ReadBuffer) -> Option<usize>,
    ) -> Result<Bytes, StreamError> {
        let _reading = self.start_read()?;
        poll_fn(|cx| {
            loop {
                {
                    let mut buffer = self.read_buffer();
                    if let Some(n) = satisfied(&buffer) {
                        return Poll::Ready(Ok(buffer.take(n)));
                    }
                }
                let received = ready!(self.poll_fill(cx));
                self.close_at_end(received)?;
            }
        })
        .await
    }

    fn start_read(&self) -> Result<Reading<'_>, StreamError> {
        if self.0.reading.replace(true) {
            return Err(if self.is_closed() { self.closed_error() } else { StreamError::AlreadyReading });
        }
        Ok(Reading(self))
    }

    /// Closes the stream when a read met its end, and then gives the error for that.
    fn close_at_end(&self, received: io::Result<usize>) -> Result<usize, StreamError> {
        match received {
            Ok(0) => self.close(),
            Ok(n) => return Ok(n),
            Err(error) => {
                // A TLS connection that ends without a word is common, and the reader is told.
                let is_cut = is_connection_reset(&error) || error.kind() == io::ErrorKind::UnexpectedEof;
                if !is_cut && !self.is_closed() {
                    tracing::info!(target: log::GENERAL, "error on read: {error}");
                }
                self.close_with(error);
            }
        }
        Err(self.closed_error())
    }

    fn copy_buffered(&self, target: &mut [u8]) -> usize {
        let mut buffer = self.read_buffer();
        let n = buffer.len().min(target.len());
        target[..n].copy_from_slice(&buffer.as_slice()[..n]);
        buffer.consume(n);
        n
    }

    /// Gives back what [`poll_receive_more`](Self::poll_receive_more) received too much.
    #[cfg(feature = "websocket")]
    pub(crate) fn put_back(&self, bytes: &[u8]) {
        self.0.read.borrow_mut().put_back(bytes);
    }

    /// One `recv` into `target`, past the (empty) buffer, once there is data; `Ok(0)` at the end.
    fn poll_receive(&self, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_try_read(cx, |transport| transport.try_read(target))
    }

    /// [`poll_receive`](Self::poll_receive) to the end of `target`, as far as there is room. If that is less than `least`,
    /// room for `most` is made once there is data.
    #[cfg(feature = "websocket")]
    pub(crate) fn poll_receive_more(
        &self,
        cx: &mut Context<'_>,
        target: &mut Vec<u8>,
        least: usize,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_try_read(cx, |transport| {
            if target.capacity() - target.len() < least {
                target.reserve_exact(most);
            }
            transport.try_read_more(target)
        })
    }

    fn poll_try_read(
        &self,
        cx: &mut Context<'_>,
        mut try_read: impl FnMut(&Transport) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let link = self.0.link.borrow();
            let transport = match &*link {
                Link::Open(transport) => transport,
                Link::Closed => return Poll::Ready(Ok(0)),
                Link::Unconnected(_) | Link::Connecting(_) => {
                    self.park_reader(cx);
                    return Poll::Pending;
                }
            };
            if let Poll::Ready(ready) = transport.poll_read_ready(cx) {
                ready?;
            } else {
                self.park_reader(cx);
                return Poll::Pending;
            }
            match try_read(transport) {
                Err(error) if would_block(&error) => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

/// The rest of a stream, chunk by chunk: Tornado's `read_until_close(streaming_callback)`.
#[derive(Debug)]
pub struct Chunks<'a> {
    stream: &'a IoStream,
    failed: bool,
}

impl Chunks<'_> {
    /// The next chunk (at most the stream's read chunk size); `None` at the end. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`StreamError::Closed`] once, when an error ends the stream, and [`StreamError::AlreadyReading`] while another
    /// read is outstanding.
    pub async fn next(&mut self) -> Option<Result<Bytes, StreamError>> {
        if self.failed {
            return None;
        }
        match self.stream.read_bytes_partial(self.stream.0.limits.get().read_chunk_size as usize).await {
            Err(error) if error.is_closed() => {
                self.failed = true;
                error.real_error().is_some().then_some(Err(error))
            }
            result => Some(result),
        }
    }
}

/// As much as is received at once for a target that nobody has initialized. To write zeros over all of it took 10 % of the
/// instructions of a small HTTP/2 request; a copy of what came costs its length.
const SCRATCH_SIZE: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Buffered data first, then straight from the socket. An end does not close the stream.
impl AsyncRead for IoStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_reading() {
            return Poll::Ready(Err(StreamError::AlreadyReading.into()));
        }
        let mut buffer = self.read_buffer();
        let n = buffer.len().min(target.remaining());
        target.put_slice(&buffer.as_slice()[..n]);
        buffer.consume(n);
        drop(buffer);
        if n > 0 || target.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(SCRATCH_SIZE, 0);
            let room = target.remaining().min(SCRATCH_SIZE);
            let n = ready!(self.poll_receive(cx, &mut scratch[..room]))?;
            target.put_slice(&scratch[..n]);
            Poll::Ready(Ok(()))
        })
    }
}

/// Marks the stream as being read.
struct Reading<'a>(&'a IoStream);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let stream = self.0;
        stream.0.reading.set(false);
        // The watch for the peer's close may have waited for this read to end.
        let mut buffer = stream.read_buffer();
        let watcher = if buffer.is_empty() { buffer.emptied.take() } else { None };
        drop(buffer);
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }
}

/// A `read_into` under way; gives back what it has when it is not completed.
struct PartialRead<'a> {
    stream: &'a IoStream,
    target: &'a mut [u8],
    filled: usize,
}

impl Drop for PartialRead<'_> {
    fn drop(&mut self) {
        self.stream.read_buffer().put_back(&self.target[..self.filled]);
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn is_reset(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(is_connection_reset)
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}
