//! What a client is to get: frames in one piece, and large pieces of data where they are.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::http2::frame::FLAGS;
use crate::httputil::out_pool;

/// A system call takes so many pieces.
const MOST_SLICES: usize = 1_000;

/// Data of this length on is not copied: a slice of its own costs less than the copy.
const LARGE: usize = 2_048;

/// Bytes in their order.
#[derive(Default)]
pub(crate) struct Outgoing {
    frames: Vec<u8>,
    /// What is sent between them, and behind which of them.
    large: Vec<(usize, Bytes)>,
    /// Of all that is large.
    large_len: usize,
    /// How often it was emptied.
    round: u64,
}

impl Outgoing {
    /// Frames are appended to it.
    #[inline]
    pub(super) fn frames(&mut self) -> &mut Vec<u8> {
        if self.frames.capacity() == 0 {
            // An idle connection owns none.
            self.frames = out_pool::take();
        }
        &mut self.frames
    }

    /// Where the next frame begins.
    pub(super) fn here(&self) -> (u64, usize) {
        (self.round, self.frames.len())
    }

    /// Sets a flag of a frame, if that has not gone out.
    pub(super) fn set_flag(&mut self, (round, start): (u64, usize), flag: u8) -> bool {
        match self.frames.get_mut(start + FLAGS) {
            Some(flags) if round == self.round => {
                *flags |= flag;
                true
            }
            _ => false,
        }
    }

    pub(super) fn push(&mut self, data: Bytes) {
        if data.len() < LARGE {
            self.frames.extend_from_slice(&data);
        } else {
            self.large_len += data.len();
            self.large.push((self.frames.len(), data));
        }
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.frames.len() + self.large_len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.large.is_empty()
    }

    /// All of it when it is one piece.
    pub(crate) fn as_one(&self) -> Option<&[u8]> {
        self.large.is_empty().then_some(&self.frames)
    }

    /// All of it in pieces, but no more than a system call takes.
    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(2 * self.large.len() + 1);
        let mut start = 0;
        for (end, data) in &self.large {
            if *end > start {
                slices.push(IoSlice::new(&self.frames[start..*end]));
            }
            slices.push(IoSlice::new(data));
            start = *end;
        }
        if start < self.frames.len() {
            slices.push(IoSlice::new(&self.frames[start..]));
        }
        slices.truncate(MOST_SLICES);
        slices
    }

    /// Gives what stands behind the first `taken` bytes, piece by piece, and is empty.
    pub(crate) fn drain_behind(&mut self, mut taken: usize, mut rest: impl FnMut(Bytes)) {
        let mut give = |mut piece: Bytes| {
            let passed = taken.min(piece.len());
            taken -= passed;
            piece.advance(passed);
            if !piece.is_empty() {
                rest(piece);
            }
        };
        let mut start = 0;
        for (end, data) in self.large.drain(..) {
            give(Bytes::copy_from_slice(&self.frames[start..end]));
            give(data);
            start = end;
        }
        give(Bytes::copy_from_slice(&self.frames[start..]));
        self.clear();
    }

    /// All of it was sent.
    pub(crate) fn clear(&mut self) {
        let mut frames = std::mem::take(&mut self.frames);
        frames.clear();
        if frames.capacity() > 0 {
            out_pool::put(frames);
        }
        self.large.clear();
        self.large_len = 0;
        self.round += 1;
    }

    /// Gives back the memory of a burst.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            self.large = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_its_order_whatever_was_taken() {
        let build = || {
            let mut outgoing = Outgoing::default();
            let mut expected = Vec::new();
            for (head, data) in
                [("a", 3), ("", LARGE), ("b", LARGE + 1), ("c", 0), ("", LARGE - 1), ("d", LARGE)]
            {
                outgoing.frames().extend_from_slice(head.as_bytes());
                outgoing.push(vec![b'x'; data].into());
                expected.extend_from_slice(head.as_bytes());
                expected.extend(vec![b'x'; data]);
            }
            (outgoing, expected)
        };
        let (outgoing, expected) = build();
        assert_eq!(outgoing.len(), expected.len());
        assert_eq!(outgoing.slices().concat_all(), expected);
        for taken in [0, 1, 3, 4, 5, LARGE, 2 * LARGE + 10, expected.len() - 1, expected.len()] {
            let (mut outgoing, _) = build();
            let mut rest = Vec::new();
            outgoing.drain_behind(taken, |piece| rest.extend_from_slice(&piece));
            assert_eq!(rest, expected[taken..], "{taken}");
            assert_eq!((outgoing.is_empty(), outgoing.len()), (true, 0));
        }
    }

    trait ConcatAll {
        fn concat_all(&self) -> Vec<u8>;
    }

    impl ConcatAll for Vec<IoSlice<'_>> {
        fn concat_all(&self) -> Vec<u8> {
            self.iter().flat_map(|slice| slice.to_vec()).collect()
        }
    }
}
