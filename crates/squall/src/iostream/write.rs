//! Writing: at once when possible, through an ordered queue and a background task otherwise.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::error::{Side, is_connection_reset};
use super::file::{FilePart, FileSegment};
use super::transport::{Link, Transport};
use super::{IoStream, StreamBufferFullError, StreamError};
use crate::log;
use crate::netutil::spawn;

/// Queued data is gathered into segments of up to this size.
const SEGMENT_SIZE: usize = 64 * 1024;

/// Most segments that one system call sends.
const MAX_SLICES: usize = 16;

/// How much [`AsyncWrite::poll_write`] queues before it waits.
const HIGH_WATER: u64 = 64 * 1024;

impl IoStream {
    /// Writes `data` after everything written before. Nothing has to be awaited for the data to be sent; the future
    /// is for flow control and resolves when the kernel has taken the data. Dropping it loses nothing.
    ///
    /// When nothing is queued the system call is made at once, and only what it leaves over is copied. Before the
    /// stream is connected everything is queued. The queue is bounded by
    /// [`set_max_write_buffer_size`](Self::set_max_write_buffer_size) only, so await the future when writing much.
    ///
    /// # Errors
    ///
    /// The future gives [`StreamError::Closed`] when the stream is or gets closed before the data was taken, and
    /// [`StreamError::BufferFull`] when the write was refused.
    pub fn write(&self, data: impl AsRef<[u8]>) -> WriteFuture {
        self.write_data(Data::Slice(data.as_ref()))
    }

    /// [`write`](Self::write) for data that need not be copied when it has to be queued, such as one message that goes
    /// to many streams.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_bytes(&self, data: Bytes) -> WriteFuture {
        self.write_data(Data::Shared(data))
    }

    /// Sends a part of a file after everything written before, by `sendfile`: it is never copied into this process.
    /// The future resolves as that of [`write`](Self::write).
    ///
    /// A disk that is slow stalls nobody: what is not in the system's page cache is read in by a thread of the loop's
    /// executor first, half a MiB at a time. A file that turns out to be shorter closes the stream with an error of
    /// kind `UnexpectedEof`. The part counts in [`write_buffer_len`](Self::write_buffer_len), but not for
    /// [`set_max_write_buffer_size`](Self::set_max_write_buffer_size), since it occupies no memory.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_file(&self, part: FilePart) -> WriteFuture {
        let total = part.len();
        if self.is_closed() {
            return WriteFuture(State::Done(Some(Err(self.closed_error()))));
        }
        let mut segment = FileSegment::new(part);
        let taken = match self.send_file_now(&mut segment) {
            Ok(taken) => taken,
            Err(error) => {
                self.fail_write(error);
                return WriteFuture(State::Done(Some(Err(self.closed_error()))));
            }
        };
        self.count(total, taken);
        if self.write_buffer_len() == 0 {
            return WriteFuture(State::Done(Some(Ok(()))));
        }
        segment.advance(taken.bytes as u64);
        if segment.left() > 0 {
            self.enqueue_segment(Segment::File(Box::new(segment)));
        }
        WriteFuture(State::Waiting { stream: self.clone(), target: self.0.queued.get() })
    }

    /// Makes one `send` call if nothing is queued, and says how much of `data` the kernel took: `Ok(0)` when it is
    /// not able to take more now, earlier writes are still queued, or the stream is not connected yet. Hand the rest to [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// What the system call gives, which also closes the stream; `NotConnected` when it is closed.
    #[inline]
    pub fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.try_send(|transport| transport.send(data))
    }

    /// [`try_write`](Self::try_write) of several pieces with one `sendmsg`.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write).
    #[inline]
    pub fn try_write_vectored(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_send(|transport| transport.send_vectored(data))
    }

    /// Ready when the kernel has taken all that was written before the call.
    ///
    /// # Errors
    ///
    /// [`StreamError::Closed`] when the stream was closed before that.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.poll_flushed(cx, self.0.queued.get())
    }

    /// Waits until the kernel has taken all that was written before the call. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`StreamError::Closed`] when the stream was closed before that.
    pub async fn flush(&self) -> Result<(), StreamError> {
        let target = self.0.queued.get();
        poll_fn(|cx| self.poll_flushed(cx, target)).await
    }

    /// How many written bytes wait to be taken by the kernel.
    pub fn write_buffer_len(&self) -> usize {
        (self.0.queued.get() - self.0.flushed.get()) as usize
    }

    /// How many bytes the kernel has taken from the queue so far.
    pub(crate) fn flushed(&self) -> u64 {
        self.0.flushed.get()
    }

    fn write_data(&self, data: Data<'_>) -> WriteFuture {
        let total = data.as_slice().len();
        if self.is_closed() {
            return WriteFuture(State::Done(Some(Err(self.closed_error()))));
        }
        let limit = super::limit(self.0.limits.get().max_write_buffer_size);
        if limit != usize::MAX && self.queued_memory().saturating_add(total) > limit {
            let full = StreamBufferFullError { side: Side::Write };
            return WriteFuture(State::Done(Some(Err(full.into()))));
        }
        let taken = match self.send_now(data.as_slice()) {
            Ok(taken) => taken,
            Err(error) => {
                self.fail_write(error);
                return WriteFuture(State::Done(Some(Err(self.closed_error()))));
            }
        };
        self.count(total as u64, taken);
        if taken.bytes < total {
            self.enqueue(data.skip(taken.bytes));
        }
        if self.write_buffer_len() == 0 {
            return WriteFuture(State::Done(Some(Ok(()))));
        }
        WriteFuture(State::Waiting { stream: self.clone(), target: self.0.queued.get() })
    }

    /// Counts a write of `total` bytes of which some have been taken.
    #[inline]
    fn count(&self, total: u64, taken: Taken) {
        self.0.queued.set(self.0.queued.get() + total);
        self.0.flushed.set(self.0.flushed.get() + (taken.bytes - taken.held) as u64);
    }

    /// How many of the bytes that wait are in memory rather than in a file.
    fn queued_memory(&self) -> usize {
        let in_files = self.0.write.borrow().as_ref().map_or(0, |queue| queue.file_bytes());
        self.write_buffer_len().saturating_sub(in_files as usize)
    }

    fn try_send(&self, send: impl FnOnce(&Transport) -> io::Result<usize>) -> io::Result<usize> {
        if self.0.write.borrow().is_some() {
            return Ok(0);
        }
        let result = match &*self.0.link.borrow() {
            Link::Open(transport) => self.take(transport, send(transport)),
            Link::Unconnected(_) | Link::Connecting(_) => return Ok(0),
            Link::Closed => return Err(io::ErrorKind::NotConnected.into()),
        };
        match result {
            Ok(taken) => {
                self.count(taken.bytes as u64, taken);
                Ok(taken.bytes)
            }
            Err(error) => {
                let report = duplicate(&error);
                self.fail_write(error);
                Err(report)
            }
        }
    }

    /// Sends what the kernel takes at once: nothing if there is a queue or no connection yet.
    fn send_now(&self, data: &[u8]) -> io::Result<Taken> {
        if data.is_empty() || self.0.write.borrow().is_some() {
            return Ok(Taken::default());
        }
        let link = self.0.link.borrow();
        let Some(transport) = link.open() else { return Ok(Taken::default()) };
        self.take(transport, transport.send(data))
    }

    /// After a `send` with nothing in the queue: what the transport has taken and holds is for somebody to send.
    #[inline]
    fn take(&self, transport: &Transport, sent: io::Result<usize>) -> io::Result<Taken> {
        let bytes = match sent {
            Err(error) if would_block(&error) => return Ok(Taken::default()),
            result => result?,
        };
        let held = transport.held();
        if held > 0 {
            self.0.write.borrow_mut().get_or_insert_default().held = held as u64;
            self.spawn_flusher();
        }
        Ok(Taken { bytes, held })
    }

    /// As [`send_now`](Self::send_now), of a file: nothing if the disk would have to be waited for.
    fn send_file_now(&self, segment: &mut FileSegment) -> io::Result<Taken> {
        if segment.left() == 0 || self.0.write.borrow().is_some() {
            return Ok(Taken::default());
        }
        let link = self.0.link.borrow();
        let Some(transport) = link.open() else { return Ok(Taken::default()) };
        if !segment.is_at_hand() {
            return Ok(Taken::default());
        }
        self.take(transport, segment.send(transport))
    }

    fn enqueue(&self, data: Data<'_>) {
        self.enqueue_with(|queue| queue.push(data));
    }

    fn enqueue_segment(&self, segment: Segment) {
        self.enqueue_with(|queue| queue.segments.push_back(segment));
    }

    fn enqueue_with(&self, push: impl FnOnce(&mut WriteQueue)) {
        let connected = self.0.link.borrow().open().is_some();
        let mut slot = self.0.write.borrow_mut();
        let first = slot.is_none();
        push(slot.get_or_insert_default());
        drop(slot);
        if first && connected {
            self.spawn_flusher();
        }
    }

    /// Starts the task that sends the queue. There is one while there is a queue; the task goes on although every
    /// other handle on the stream is dropped.
    pub(super) fn spawn_flusher(&self) {
        let stream = self.clone();
        spawn(async move { poll_fn(|cx| stream.poll_send_queue(cx)).await });
    }

    fn poll_send_queue(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(queue) = &mut *self.0.write.borrow_mut() {
                queue.park_driver(cx);
            }
            if let Err(error) = ready!(self.poll_file(cx)) {
                self.fail_write(error);
                return Poll::Ready(());
            }
            let result = {
                let link = self.0.link.borrow();
                let Some(transport) = link.open() else { return Poll::Ready(()) };
                match ready!(transport.poll_write_ready(cx)) {
                    Ok(()) => self.send_queue(transport),
                    Err(error) => Err(error),
                }
            };
            match result {
                Ok(progress) => {
                    progress.woken.into_iter().for_each(Waker::wake);
                    if progress.done {
                        return Poll::Ready(());
                    }
                }
                Err(error) if would_block(&error) => {}
                Err(error) => {
                    self.fail_write(error);
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Ready when the next bytes of the queue can be sent without waiting for a disk.
    fn poll_file(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Taken out while it is polled: an executor is the user's code, and must not meet a borrow.
        let taken = match self.0.write.borrow_mut().as_mut().and_then(|queue| queue.segments.front_mut()) {
            Some(Segment::File(segment)) => segment.start_polling(),
            _ => None,
        };
        let Some(mut polling) = taken else { return Poll::Ready(Ok(())) };
        let polled = polling.poll(cx);
        if let Some(Segment::File(segment)) =
            self.0.write.borrow_mut().as_mut().and_then(|queue| queue.segments.front_mut())
        {
            segment.end_polling(polling, polled.is_ready());
        }
        polled
    }

    /// One system call.
    fn send_queue(&self, transport: &Transport) -> io::Result<Progress> {
        let mut slot = self.0.write.borrow_mut();
        let Some(queue) = slot.as_mut() else { return Ok(Progress { done: true, woken: Vec::new() }) };
        let sent = if queue.held > 0 {
            let sent = transport.try_write_io(|| transport.send_held())? as u64;
            queue.held -= sent;
            sent
        } else {
            let taken = transport.try_write_io(|| queue.send(transport))? as u64;
            queue.advance(taken);
            queue.held = transport.held() as u64;
            taken - queue.held
        };
        let flushed = self.0.flushed.get() + sent;
        self.0.flushed.set(flushed);
        let woken = queue.waiters_up_to(flushed);
        let done = queue.is_empty();
        if done {
            *slot = None;
        }
        Ok(Progress { done, woken })
    }

    /// Closes the stream because of a failed write, after taking in what the peer had sent before: often the answer
    /// that says why it hung up.
    fn fail_write(&self, error: io::Error) {
        while matches!(self.try_fill(), Ok(n) if n > 0) {}
        if !is_connection_reset(&error) {
            tracing::info!(target: log::GENERAL, "Write error on {self:?}: {error}");
        }
        self.close_with(error);
    }

    fn poll_flushed(&self, cx: &mut Context<'_>, target: u64) -> Poll<Result<(), StreamError>> {
        if self.0.flushed.get() >= target {
            return Poll::Ready(Ok(()));
        }
        match &mut *self.0.write.borrow_mut() {
            Some(queue) => queue.wait(target, cx),
            None => return Poll::Ready(Err(self.closed_error())),
        }
        Poll::Pending
    }
}

/// The flow control of a [`write`](IoStream::write): resolves when the kernel has taken that data.
///
/// The data is sent whether or not this is awaited. Cancel safe.
pub struct WriteFuture(State);

enum State {
    Done(Option<Result<(), StreamError>>),
    Waiting { stream: IoStream, target: u64 },
}

impl Future for WriteFuture {
    type Output = Result<(), StreamError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Done(result) => Poll::Ready(result.take().unwrap_or(Ok(()))),
            State::Waiting { stream, target } => stream.poll_flushed(cx, *target),
        }
    }
}

impl fmt::Debug for WriteFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Done(_) => "WriteFuture(done)",
            State::Waiting { .. } => "WriteFuture(waiting)",
        })
    }
}

/// Accepts data until 64 KiB are queued, then waits: `flush` before relying on it having left.
impl AsyncWrite for IoStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let high_water = HIGH_WATER.min(super::limit(self.0.limits.get().max_write_buffer_size) as u64);
        if self.write_buffer_len() as u64 >= high_water.max(1) {
            let room_again = self.0.queued.get() - high_water + 1;
            ready!(self.poll_flushed(cx, room_again))?;
        }
        let sent = self.try_write(data)?;
        if sent > 0 || data.is_empty() {
            return Poll::Ready(Ok(sent));
        }
        let room = high_water.saturating_sub(self.write_buffer_len() as u64).max(1) as usize;
        let accepted = &data[..data.len().min(room)];
        match self.write(accepted).0 {
            State::Done(Some(Err(error))) => Poll::Ready(Err(error.into())),
            State::Done(_) | State::Waiting { .. } => Poll::Ready(Ok(accepted.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        IoStream::poll_flush(&self, cx).map_err(Into::into)
    }

    /// Flushes and closes the sending side; reading goes on.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(IoStream::poll_flush(&self, cx))?;
        let Some(transport) = self.transport() else { return Poll::Ready(Ok(())) };
        Poll::Ready(match ready!(transport.poll_end(cx)) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        })
    }
}

/// What became of a first attempt to send.
#[derive(Clone, Copy, Default)]
struct Taken {
    bytes: usize,
    /// So many of them wait in the transport.
    held: usize,
}

/// What sending a part of the queue has brought about.
struct Progress {
    /// The queue is empty.
    done: bool,
    /// Whose data has been sent; woken when nothing is borrowed.
    woken: Vec<Waker>,
}

/// Data on its way into the queue.
enum Data<'a> {
    Slice(&'a [u8]),
    Shared(Bytes),
}

impl Data<'_> {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Slice(slice) => slice,
            Self::Shared(bytes) => bytes,
        }
    }

    fn skip(self, n: usize) -> Self {
        match self {
            Self::Slice(slice) => Self::Slice(&slice[n..]),
            Self::Shared(bytes) => Self::Shared(bytes.slice(n..)),
        }
    }
}

/// Written data that the kernel has not taken, and who waits for it.
#[derive(Default)]
pub(super) struct WriteQueue {
    segments: VecDeque<Segment>,
    /// How much of the first segment has been sent, unless it is a file, which knows by itself.
    front_sent: usize,
    /// Bytes before the first segment that the transport has taken and not sent.
    held: u64,
    /// Tasks to wake once that many bytes of the stream have been flushed.
    waiters: Vec<(u64, Waker)>,
    /// The task that makes progress on the queue: `connect` until the stream is connected, the flusher from then on.
    driver: Option<Waker>,
}

enum Segment {
    /// Small writes are gathered here.
    Gathered(BytesMut),
    Shared(Bytes),
    File(Box<FileSegment>),
}

impl WriteQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.held == 0
    }

    pub(super) fn park_driver(&mut self, cx: &Context<'_>) {
        match &mut self.driver {
            Some(driver) => driver.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Wakes everyone: the stream has been closed.
    pub(super) fn wake_all(self) {
        self.driver.into_iter().for_each(Waker::wake);
        self.waiters.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn push(&mut self, data: Data<'_>) {
        let slice = data.as_slice();
        if let Some(Segment::Gathered(last)) = self.segments.back_mut()
            && last.len() + slice.len() <= SEGMENT_SIZE
        {
            last.extend_from_slice(slice);
            return;
        }
        self.segments.push_back(match data {
            // Small data is copied even if shared: the next write can then join it.
            Data::Shared(bytes) if bytes.len() > SEGMENT_SIZE / 16 => Segment::Shared(bytes),
            small => Segment::Gathered(BytesMut::from(small.as_slice())),
        });
    }

    fn send(&self, transport: &Transport) -> io::Result<usize> {
        if let Some(Segment::File(segment)) = self.segments.front() {
            return segment.send(transport);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut used = 0;
        let in_memory = self.segments.iter().take_while(|segment| !matches!(segment, Segment::File(_)));
        for (slot, segment) in slices.iter_mut().zip(in_memory) {
            let skip = if used == 0 { self.front_sent } else { 0 };
            *slot = IoSlice::new(&segment.as_slice()[skip..]);
            used += 1;
        }
        match &slices[..used] {
            [] => Ok(0),
            [one] => transport.send(one),
            many => transport.send_vectored(many),
        }
    }

    fn file_bytes(&self) -> u64 {
        let files = self.segments.iter().map(|segment| match segment {
            Segment::File(segment) => segment.left(),
            Segment::Gathered(_) | Segment::Shared(_) => 0,
        });
        files.sum()
    }

    fn advance(&mut self, mut sent: u64) {
        while let Some(front) = self.segments.front_mut() {
            let left = match &*front {
                Segment::File(segment) => segment.left(),
                other => (other.as_slice().len() - self.front_sent) as u64,
            };
            if sent < left {
                match front {
                    Segment::File(segment) => segment.advance(sent),
                    Segment::Gathered(_) | Segment::Shared(_) => self.front_sent += sent as usize,
                }
                return;
            }
            sent -= left;
            self.front_sent = 0;
            self.segments.pop_front();
        }
    }

    pub(super) fn wait(&mut self, target: u64, cx: &Context<'_>) {
        let waits = |(at, waker): &(u64, Waker)| *at == target && waker.will_wake(cx.waker());
        if !self.waiters.iter().any(waits) {
            self.waiters.push((target, cx.waker().clone()));
        }
    }

    pub(super) fn waiters_up_to(&mut self, flushed: u64) -> Vec<Waker> {
        self.waiters.extract_if(.., |(target, _)| *target <= flushed).map(|(_, waker)| waker).collect()
    }
}

impl Segment {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Gathered(bytes) => bytes,
            Self::Shared(bytes) => bytes,
            Self::File(_) => &[],
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The same system error once more: one copy closes the stream, the other is returned.
fn duplicate(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}
