//! Parts of files on their way out, and whether the disk has to be waited for.

use std::fs::File;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::transport::Transport;
use crate::ioloop::IoLoop;

/// How much of a file is looked for in the page cache, read ahead of and handed to the kernel at a time. Loopback and
/// fast networks take all of it in one call; nginx's `sendfile_max_chunk` is the same.
const STRETCH: u64 = 2 * 1024 * 1024;

/// A part of an open regular file, for [`IoStream::write_file`](super::IoStream::write_file).
#[derive(Debug, Clone)]
pub struct FilePart {
    file: Arc<File>,
    offset: u64,
    len: u64,
}

impl FilePart {
    /// The bytes of `file` in `range`, which has to lie within the file.
    pub fn new(file: Arc<File>, range: Range<u64>) -> Self {
        Self { file, offset: range.start, len: range.end.saturating_sub(range.start) }
    }

    /// How many bytes it is.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes its first bytes off: `most` at the most.
    #[must_use]
    pub fn split_front(&mut self, most: u64) -> Self {
        let len = self.len.min(most);
        let front = Self { file: Arc::clone(&self.file), offset: self.offset, len };
        self.offset += len;
        self.len -= len;
        front
    }

    /// Reads it whole into memory: from the page cache at once if it is there, else by a thread of the loop's executor.
    ///
    /// # Errors
    /// Those of reading; `UnexpectedEof` when the file has become shorter.
    pub async fn read(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.len).map_err(io::Error::other)?;
        let mut data = vec![0; length];
        if self.read_cached(&mut data) {
            return Ok(data);
        }
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        let read = move || file.read_exact_at(&mut data, offset).map(|()| data);
        IoLoop::current().run_in_executor(None, read).await.map_err(io::Error::other)?
    }

    /// Fills `data`, as long as the part, if no disk is needed for it; else its content is of no account.
    pub(crate) fn read_cached(&self, data: &mut [u8]) -> bool {
        let mut done = 0;
        while done < data.len() {
            match read_no_wait(&self.file, &mut data[done..], self.offset + done as u64) {
                Ok(n) if n > 0 => done += n,
                _ => return false,
            }
        }
        true
    }
}

/// A part of a file in the queue of a stream.
pub(super) struct FileSegment {
    part: FilePart,
    /// How many of the next bytes need no disk.
    at_hand: u64,
    waiting: Option<Polling>,
}

/// A thread of the executor reads the next bytes, so that they are in the page cache.
pub(super) struct Polling {
    /// What is to be read; nothing once that is under way.
    start: Option<FilePart>,
    work: Option<Pin<Box<dyn Future<Output = io::Result<()>>>>>,
    length: u64,
}

impl FileSegment {
    pub(super) fn new(part: FilePart) -> Self {
        Self { part, at_hand: 0, waiting: None }
    }

    pub(super) fn left(&self) -> u64 {
        self.part.len
    }

    pub(super) fn advance(&mut self, sent: u64) {
        self.part.offset += sent;
        self.part.len -= sent;
        self.at_hand = self.at_hand.saturating_sub(sent);
    }

    /// Whether the next bytes can be sent without waiting for a disk.
    ///
    /// A `sendfile` would wait, non-blocking socket or not. The first and the last byte of the stretch stand for all of
    /// it: the kernel reads ahead, and drops pages in the order of their use.
    pub(super) fn is_at_hand(&mut self) -> bool {
        if self.at_hand > 0 {
            return true;
        }
        let (file, stretch) = (&self.part.file, self.part.len.min(STRETCH));
        // The end of a file that has become shorter is for `sendfile` to find.
        let cached = |at| read_no_wait(file, &mut [0], at).is_ok();
        if stretch > 0 && cached(self.part.offset) && cached(self.part.offset + stretch - 1) {
            self.at_hand = stretch;
        }
        self.at_hand > 0
    }

    /// One `sendfile`.
    pub(super) fn send(&self, transport: &Transport) -> io::Result<usize> {
        let count = usize::try_from(self.at_hand.min(self.part.len)).unwrap_or(usize::MAX);
        match transport.send_file(&self.part.file, self.part.offset, count) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter")),
            result => result,
        }
    }

    /// What has to be polled before anything can be sent; `None` if nothing.
    pub(super) fn start_polling(&mut self) -> Option<Polling> {
        if let Some(waiting) = self.waiting.take() {
            return Some(waiting);
        }
        if self.is_at_hand() {
            return None;
        }
        let next = self.part.clone().split_front(STRETCH);
        Some(Polling { length: next.len, start: Some(next), work: None })
    }

    pub(super) fn end_polling(&mut self, polling: Polling, done: bool) {
        if done {
            self.at_hand = polling.length;
        } else {
            self.waiting = Some(polling);
        }
    }
}

impl Polling {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(part) = self.start.take() {
            let read = IoLoop::current().run_in_executor(None, move || read_through(&part));
            self.work = Some(Box::pin(async move { read.await.map_err(io::Error::other)? }));
        }
        match &mut self.work {
            Some(work) => work.as_mut().poll(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// Reads a part so that it is in the page cache. Its end is not an error here.
fn read_through(part: &FilePart) -> io::Result<()> {
    let mut block = vec![0; 64 * 1024];
    let (mut at, end) = (part.offset, part.offset + part.len);
    while at < end {
        let most = usize::try_from(end - at).map_or(block.len(), |left| left.min(block.len()));
        match part.file.read_at(&mut block[..most], at) {
            Ok(0) => break,
            Ok(n) => at += n as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads what is in the page cache; `WouldBlock` if nothing of it is, or that cannot be known.
#[cfg(target_os = "linux")]
fn read_no_wait(file: &File, data: &mut [u8], at: u64) -> io::Result<usize> {
    let mut data = [io::IoSliceMut::new(data)];
    let read = rustix::io::preadv2(file, &mut data, at, rustix::io::ReadWriteFlags::NOWAIT);
    // A file system without this answers EOPNOTSUPP.
    read.map_err(|_| io::ErrorKind::WouldBlock.into())
}

/// Other systems cannot say.
#[cfg(not(target_os = "linux"))]
fn read_no_wait(_file: &File, _data: &mut [u8], _at: u64) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}
