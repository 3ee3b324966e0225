//! Frames in a stream of bytes, which comes in whatever pieces: their heads and how long they are (RFC 9113 §4.1).

use crate::http2::frame::{HEAD, Head};

/// Where in the frames the bytes are.
pub(super) struct Heads {
    /// Bytes of a payload that are yet to come.
    payload: usize,
    /// Of a head that came in pieces.
    head: [u8; HEAD],
    have: usize,
}

impl Heads {
    /// What comes behind so many bytes of something else.
    pub(super) fn behind(bytes: usize) -> Self {
        Self { payload: bytes, head: [0; HEAD], have: 0 }
    }

    /// How many of these bytes are payload of the frame whose head came last.
    pub(super) fn payload(&mut self, bytes: &[u8]) -> usize {
        let taken = self.payload.min(bytes.len());
        self.payload -= taken;
        taken
    }

    /// Takes bytes of a head, and says how many; and the head when it is whole.
    pub(super) fn head(&mut self, bytes: &[u8]) -> (usize, Option<Head>) {
        let taken = (HEAD - self.have).min(bytes.len());
        self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
        self.have += taken;
        if self.have < HEAD {
            return (taken, None);
        }
        self.have = 0;
        let head = Head::read(&self.head);
        self.payload = head.map_or(0, |head| head.length);
        (taken, head)
    }
}

/// A frame, for the tests of those who read them.
#[cfg(test)]
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short one").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
