//! The read buffer of a stream, and the pool its storage is borrowed from.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use bytes::Bytes;

/// Size of a pooled block. Large enough for nearly every request head and for a full 10 Gb/s segment train,
/// small enough that a thousand busy connections stay in a desktop CPU's cache hierarchy.
pub(super) const BLOCK_SIZE: usize = 16 * 1024;

/// Blocks kept for reuse; beyond this they go back to the allocator (64 blocks are one MiB).
const MAX_IDLE_BLOCKS: usize = 64;

/// When less room than this is left behind the data, the data is moved or the storage grown before reading:
/// a read system call should not be spent on a handful of bytes.
const MIN_ROOM: usize = 2048;

/// The bytes that have been received from a stream and not been consumed yet.
///
/// The storage is a block borrowed from a thread-local pool. It goes back the moment the last byte is consumed, so
/// an idle stream owns none. Data that outgrows a block moves to an allocation of its own, which doubles as needed
/// and is freed when emptied.
///
/// Obtained from [`IoStream::read_buffer`](super::IoStream::read_buffer).
#[derive(Default)]
pub struct ReadBuffer {
    /// Every byte is initialised, so that reading needs no `unsafe`. Empty when there is no data.
    storage: Box<[u8]>,
    head: usize,
    tail: usize,
    /// Woken when the last byte is consumed: a close callback waits for that. Few streams have one, so it is in a box.
    pub(super) emptied: Option<Box<Waker>>,
}

impl ReadBuffer {
    /// The unconsumed bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.storage[self.head..self.tail]
    }

    /// How many bytes are buffered.
    #[inline]
    pub fn len(&self) -> usize {
        self.tail - self.head
    }

    /// Whether nothing is buffered.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// Drops the first `n` bytes. Consuming the last byte gives the storage back.
    ///
    /// # Panics
    ///
    /// When `n` is more than [`len`](Self::len).
    #[inline]
    #[track_caller]
    pub fn consume(&mut self, n: usize) {
        assert!(n <= self.len(), "consumed more than is buffered");
        self.head += n;
        if self.head == self.tail {
            self.release();
        }
    }

    /// Takes the first `n` bytes out.
    ///
    /// # Panics
    ///
    /// When `n` is more than [`len`](Self::len).
    #[track_caller]
    pub fn take(&mut self, n: usize) -> Bytes {
        assert!(n <= self.len(), "took more than is buffered");
        let grown = self.storage.len() > BLOCK_SIZE;
        // A grown buffer that is taken whole is handed over rather than copied, unless most of it is unused.
        if grown && n == self.len() && n >= self.storage.len() / 2 {
            let range = self.head..self.tail;
            let whole = Bytes::from(std::mem::take(&mut self.storage));
            self.release();
            return whole.slice(range);
        }
        let taken = Bytes::copy_from_slice(&self.as_slice()[..n]);
        self.consume(n);
        taken
    }

    /// Room behind the data to read into: at least one byte, at most `limit - len()` and `chunk` bytes. `None` when
    /// `limit` bytes are buffered already.
    ///
    /// Follow with [`commit`](Self::commit), which also gives back storage that turned out not to be needed.
    #[inline]
    pub(super) fn room(&mut self, limit: usize, chunk: usize) -> Option<&mut [u8]> {
        let allowed = limit.saturating_sub(self.len()).min(chunk);
        if allowed == 0 {
            return None;
        }
        if self.storage.len() - self.tail < MIN_ROOM {
            self.make_room(limit);
        }
        let end = self.storage.len().min(self.tail.saturating_add(allowed));
        Some(&mut self.storage[self.tail..end])
    }

    /// Adds the `n` bytes that were just read into [`room`](Self::room).
    #[inline]
    pub(super) fn commit(&mut self, n: usize) {
        self.tail += n;
        debug_assert!(self.tail <= self.storage.len());
        if self.head == self.tail {
            self.release();
        }
    }

    /// Puts bytes back in front of the data: a cancelled read returns what it had taken.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut joined = Vec::with_capacity((bytes.len() + self.len()).max(BLOCK_SIZE + 1));
        joined.extend_from_slice(bytes);
        joined.extend_from_slice(self.as_slice());
        let tail = joined.len();
        joined.resize(joined.capacity(), 0);
        let old = std::mem::replace(&mut self.storage, joined.into_boxed_slice());
        give_back(old);
        (self.head, self.tail) = (0, tail);
    }

    fn make_room(&mut self, limit: usize) {
        let capacity = self.storage.len();
        if capacity == 0 {
            self.storage = borrow_block();
        } else if self.len() <= capacity / 2 {
            // At least half of the storage is read full between two such moves, which keeps the copying linear.
            self.storage.copy_within(self.head..self.tail, 0);
            (self.head, self.tail) = (0, self.len());
        } else {
            self.grow(limit);
        }
    }

    fn grow(&mut self, limit: usize) {
        let capacity = self.storage.len();
        let wanted = capacity.saturating_mul(2).min(limit);
        if wanted > capacity {
            let mut grown = vec![0; wanted].into_boxed_slice();
            grown[..self.len()].copy_from_slice(self.as_slice());
            give_back(std::mem::replace(&mut self.storage, grown));
        } else if self.tail == capacity {
            self.storage.copy_within(self.head..self.tail, 0);
        } else {
            return;
        }
        (self.head, self.tail) = (0, self.len());
    }

    fn release(&mut self) {
        give_back(std::mem::take(&mut self.storage));
        (self.head, self.tail) = (0, 0);
        if let Some(waker) = self.emptied.take() {
            waker.wake();
        }
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.storage));
    }
}

/// What this thread's pool of read blocks is doing; for tests and for watching memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Blocks that streams of this thread hold at the moment.
    pub lent: usize,
    /// Blocks that wait to be used again.
    pub idle: usize,
}

/// Reports on this thread's pool of read blocks (16 KiB each).
pub fn pool_stats() -> PoolStats {
    POOL.with(|pool| PoolStats { lent: pool.lent.get(), idle: pool.idle.borrow().len() })
}

struct Pool {
    idle: RefCell<Vec<Box<[u8]>>>,
    lent: Cell<usize>,
}

thread_local! {
    static POOL: Pool = const { Pool { idle: RefCell::new(Vec::new()), lent: Cell::new(0) } };
}

#[inline]
fn borrow_block() -> Box<[u8]> {
    let pooled = POOL.try_with(|pool| {
        pool.lent.set(pool.lent.get() + 1);
        pool.idle.borrow_mut().pop()
    });
    pooled.ok().flatten().unwrap_or_else(|| vec![0; BLOCK_SIZE].into_boxed_slice())
}

/// Returns a block to the pool; storage of any other size is freed.
#[inline]
fn give_back(storage: Box<[u8]>) {
    if storage.len() != BLOCK_SIZE {
        return;
    }
    // The pool may be gone when a stream is dropped while its thread ends; then the block is simply freed.
    let _ = POOL.try_with(|pool| {
        pool.lent.set(pool.lent.get() - 1);
        let mut idle = pool.idle.borrow_mut();
        if idle.len() < MAX_IDLE_BLOCKS {
            idle.push(storage);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_LIMIT: usize = usize::MAX;

    fn push(buffer: &mut ReadBuffer, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = buffer.room(NO_LIMIT, NO_LIMIT).unwrap();
            let n = room.len().min(bytes.len());
            room[..n].copy_from_slice(&bytes[..n]);
            buffer.commit(n);
            bytes = &bytes[n..];
        }
    }

    #[test]
    fn storage_is_pooled_and_returned_when_emptied() {
        let before = pool_stats();
        let mut buffer = ReadBuffer::default();
        push(&mut buffer, b"hello");
        assert_eq!(pool_stats().lent, before.lent + 1);
        buffer.consume(4);
        assert_eq!(buffer.as_slice(), b"o");
        assert_eq!(pool_stats().lent, before.lent + 1);
        buffer.consume(1);
        assert_eq!(pool_stats().lent, before.lent);
        assert!(pool_stats().idle > 0);
    }

    #[test]
    fn a_read_that_brings_nothing_returns_the_block() {
        let before = pool_stats();
        let mut buffer = ReadBuffer::default();
        assert_eq!(buffer.room(NO_LIMIT, NO_LIMIT).unwrap().len(), BLOCK_SIZE);
        buffer.commit(0);
        assert_eq!(pool_stats().lent, before.lent);
    }

    #[test]
    fn growing_returns_the_block_and_keeps_the_bytes() {
        let before = pool_stats();
        let data: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
        let mut buffer = ReadBuffer::default();
        push(&mut buffer, &data);
        assert_eq!(pool_stats().lent, before.lent);
        assert_eq!(buffer.as_slice(), data);
        assert_eq!(buffer.take(100_000), data);
        assert!(buffer.is_empty());
    }

    #[test]
    fn interleaved_pushes_and_takes_keep_order() {
        let data: Vec<u8> = (0..1_000_000u32).map(|i| (i / 7) as u8).collect();
        let (mut buffer, mut out, mut at, mut step) = (ReadBuffer::default(), Vec::new(), 0, 1);
        while at < data.len() {
            let n = (step * 7919 % 20_000).min(data.len() - at);
            push(&mut buffer, &data[at..at + n]);
            at += n;
            let n = (step * 6007 % 19_000).min(buffer.len());
            out.extend_from_slice(&buffer.take(n));
            step += 1;
        }
        let rest = buffer.len();
        out.extend_from_slice(&buffer.take(rest));
        assert_eq!(out, data);
    }

    #[test]
    fn room_never_exceeds_the_limit() {
        let mut buffer = ReadBuffer::default();
        assert_eq!(buffer.room(10, 100).unwrap().len(), 10);
        buffer.commit(10);
        assert!(buffer.room(10, 100).is_none());
        assert_eq!(buffer.room(11, 100).unwrap().len(), 1);
        assert_eq!(buffer.room(1000, 100).unwrap().len(), 100);
    }

    #[test]
    fn put_back_goes_in_front() {
        let mut buffer = ReadBuffer::default();
        push(&mut buffer, b"world");
        buffer.put_back(b"hello ");
        assert_eq!(buffer.as_slice(), b"hello world");
        push(&mut buffer, b"!");
        assert_eq!(buffer.take(12), &b"hello world!"[..]);
    }

    #[test]
    fn the_pool_keeps_a_bounded_number_of_blocks() {
        let blocks: Vec<_> = (0..MAX_IDLE_BLOCKS + 10).map(|_| borrow_block()).collect();
        blocks.into_iter().for_each(give_back);
        assert_eq!(pool_stats().idle, MAX_IDLE_BLOCKS);
    }
}
