//! Frames (RFC 9113 §4.1, §6): their heads read, and whole ones written.

use super::Reason;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags of DATA and HEADERS.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const PADDED: u8 = 8;
/// Of HEADERS and CONTINUATION.
pub(crate) const END_HEADERS: u8 = 4;
/// Of HEADERS: a priority stands before the fields.
pub(crate) const HAS_PRIORITY: u8 = 0x20;
/// Of SETTINGS and PING.
pub(crate) const ACK: u8 = 1;

/// Settings (RFC 9113 §6.5.2, RFC 8441 §3).
pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
pub(crate) const ENABLE_PUSH: u16 = 2;
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(crate) const MAX_FRAME_SIZE: u16 = 5;
pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;
pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// What a client's connection begins with (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A window and a frame before anything is said of them (§6.5.2), and the largest that there may be (§6.9.1, §4.2).
pub(crate) const DEFAULT_WINDOW: u32 = 65_535;
pub(crate) const LARGEST_WINDOW: u32 = 0x7fff_ffff;
pub(crate) const DEFAULT_FRAME_SIZE: u32 = 16_384;
pub(crate) const LARGEST_FRAME_SIZE: u32 = 0x00ff_ffff;

/// The highest number of a stream.
pub(crate) const LAST_STREAM: u32 = 0x7fff_ffff;

/// Where the flags stand in a frame's head.
pub(crate) const FLAGS: usize = 4;

/// Bytes of a frame's head.
pub(crate) const HEAD: usize = 9;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    /// Of what follows.
    pub(crate) length: usize,
}

impl Head {
    /// The head that these bytes begin with, if all of it is there.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEAD>()?;
        Some(Self {
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & LAST_STREAM,
            length: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
        })
    }

    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// The number that a payload begins with, without the reserved bit. The payload has been seen to be long enough.
pub(crate) fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes) & LAST_STREAM)
}

/// Appends the head of a frame with this much payload.
#[inline]
pub(crate) fn write_head(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, length: usize) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, d, e, f, g]);
}

/// Says how long the payload is of the frame that begins at `start`, now that it is there.
#[inline]
pub(crate) fn patch_length(out: &mut [u8], start: usize) {
    let length = out.len() - start - HEAD;
    let [_, a, b, c] = (length as u32).to_be_bytes();
    out[start..start + 3].copy_from_slice(&[a, b, c]);
}

pub(crate) fn write_reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    write_head(out, RST_STREAM, 0, stream, 4);
    out.extend_from_slice(&reason.0.to_be_bytes());
}

pub(crate) fn write_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    write_head(out, WINDOW_UPDATE, 0, stream, 4);
    out.extend_from_slice(&increment.to_be_bytes());
}

pub(crate) fn write_ping(out: &mut Vec<u8>, flags: u8, data: [u8; 8]) {
    write_head(out, PING, flags, 0, 8);
    out.extend_from_slice(&data);
}

pub(crate) fn write_goaway(out: &mut Vec<u8>, last_stream: u32, reason: Reason) {
    write_head(out, GOAWAY, 0, 0, 8);
    out.extend_from_slice(&last_stream.to_be_bytes());
    out.extend_from_slice(&reason.0.to_be_bytes());
}

pub(crate) fn write_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    write_head(out, SETTINGS, 0, 0, 6 * settings.len());
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_are_written() {
        let mut out = Vec::new();
        write_head(&mut out, HEADERS, END_STREAM | END_HEADERS, 0x7654_3210, 0x0012_3456);
        assert_eq!(out, b"\x12\x34\x56\x01\x05\x76\x54\x32\x10");
        let head = Head { kind: 1, flags: 5, stream: 0x7654_3210, length: 0x0012_3456 };
        assert_eq!(Head::read(&out), Some(head));
        assert_eq!(Head::read(&out[..8]), None);
        // The reserved bit means nothing.
        out[5] |= 0x80;
        assert_eq!(Head::read(&out), Some(head));
    }

    #[test]
    fn whole_frames() {
        let mut out = Vec::new();
        write_reset(&mut out, 3, Reason::CANCEL);
        assert_eq!(std::mem::take(&mut out), b"\0\0\x04\x03\0\0\0\0\x03\0\0\0\x08");
        write_window_update(&mut out, 0, 256);
        assert_eq!(std::mem::take(&mut out), b"\0\0\x04\x08\0\0\0\0\0\0\0\x01\0");
        write_ping(&mut out, ACK, *b"12345678");
        assert_eq!(std::mem::take(&mut out), b"\0\0\x08\x06\x01\0\0\0\x0012345678");
        write_goaway(&mut out, 5, Reason::ENHANCE_YOUR_CALM);
        assert_eq!(std::mem::take(&mut out), b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x05\0\0\0\x0b");
        write_settings(&mut out, &[(INITIAL_WINDOW_SIZE, 1)]);
        assert_eq!(std::mem::take(&mut out), b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\x01");
        write_head(&mut out, HEADERS, 0, 1, 0);
        out.extend_from_slice(b"block");
        patch_length(&mut out, 0);
        assert_eq!(out, b"\0\0\x05\x01\0\0\0\0\x01block");
    }
}
