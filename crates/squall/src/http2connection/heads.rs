//! Frames in a stream of bytes, which comes in whatever pieces: their heads and how long they are (RFC 9113 §4.1).

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
/// Of no frame that there is: one for experiments (RFC 9113 §11.2), which whoever gets it discards (§4.1).
pub(super) const UNKNOWN: u8 = 0xff;

/// END_STREAM of HEADERS and DATA, ACK of SETTINGS.
pub(super) const FIRST_FLAG: u8 = 1;
/// Of HEADERS and CONTINUATION.
pub(super) const END_HEADERS: u8 = 4;

pub(super) const HEAD: usize = 9;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    /// Of what follows.
    pub(super) length: usize,
}

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

    /// Whether a part of a head has come.
    pub(super) fn is_in_head(&self) -> bool {
        self.have > 0
    }

    /// Whether some of a payload is yet to come.
    pub(super) fn is_in_payload(&self) -> bool {
        self.payload > 0
    }

    /// The payload is read elsewhere, this much of it.
    pub(super) fn take_payload(&mut self) -> usize {
        std::mem::take(&mut self.payload)
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
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.payload = length;
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        (taken, Some(Head { kind, flags, stream, length }))
    }
}

/// A frame, for the tests of those who read them.
#[cfg(test)]
pub(in crate::http2connection) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short one").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
