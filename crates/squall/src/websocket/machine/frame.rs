//! Frame heads (RFC 6455 §5.2): from bytes and to bytes.

use std::fmt;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::websocket) enum OpCode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

impl OpCode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    pub(in crate::websocket) fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// Most bytes in the payload of a control frame (§5.5).
pub(in crate::websocket) const MAX_CONTROL: usize = 125;

/// What stands before the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::websocket) struct FrameHead {
    pub(in crate::websocket) fin: bool,
    /// In the first frame of a message: it is compressed (RFC 7692 §6).
    pub(in crate::websocket) rsv1: bool,
    pub(in crate::websocket) opcode: OpCode,
    pub(in crate::websocket) mask: Option<[u8; 4]>,
    pub(in crate::websocket) length: u64,
}

impl FrameHead {
    /// The head of a whole message or of a control frame.
    pub(in crate::websocket) fn whole(opcode: OpCode, length: usize) -> Self {
        Self { fin: true, rsv1: false, opcode, mask: None, length: length as u64 }
    }

    /// The head at the start of `bytes` and its length; `None` until it is complete.
    ///
    /// Fails as soon as the bytes that are there cannot be right, so that a wrong frame is not waited for.
    pub(in crate::websocket) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Failure> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        if first & 0x30 != 0 {
            return Err(Failure::protocol("reserved bits are set"));
        }
        let Some(opcode) = OpCode::from_bits(first & 0x0f) else {
            return Err(Failure::protocol("unknown opcode"));
        };
        let (fin, rsv1) = (first & 0x80 != 0, first & 0x40 != 0);
        if opcode.is_control() && !fin {
            return Err(Failure::protocol("fragmented control frame"));
        }
        if rsv1 && (opcode.is_control() || opcode == OpCode::Continuation) {
            return Err(Failure::protocol("reserved bits are set"));
        }
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > MAX_CONTROL {
            return Err(Failure::protocol("control frame is too long"));
        }
        let Some((length, used)) = parse_length(short, &bytes[2..])? else { return Ok(None) };
        let rest = &bytes[2 + used..];
        let mask = match (second & 0x80 != 0, rest.first_chunk()) {
            (false, _) => None,
            (true, Some(mask)) => Some(*mask),
            (true, None) => return Ok(None),
        };
        let size = 2 + used + if mask.is_some() { 4 } else { 0 };
        Ok(Some((Self { fin, rsv1, opcode, mask, length }, size)))
    }

    /// Appends the head as it goes on the wire.
    pub(in crate::websocket) fn encode(&self, out: &mut Vec<u8>) {
        let flags = if self.fin { 0x80 } else { 0 } | if self.rsv1 { 0x40 } else { 0 };
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        let first = flags | self.opcode as u8;
        // Appended with lengths that are known to the compiler: a copy of an unknown length is a call.
        match self.length {
            short @ 0..=125 => out.extend_from_slice(&[first, masked | short as u8]),
            medium @ 126..=0xffff => {
                let [a, b] = (medium as u16).to_be_bytes();
                out.extend_from_slice(&[first, masked | 126, a, b]);
            }
            long => {
                out.extend_from_slice(&[first, masked | 127]);
                out.extend_from_slice(&long.to_be_bytes());
            }
        }
        if let Some(mask) = &self.mask {
            out.extend_from_slice(mask);
        }
    }
}

/// The length and how many bytes after the second it takes. It must be written in the shortest way (§5.2).
fn parse_length(short: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, Failure> {
    let (length, used, least) = match short {
        126 => match rest.first_chunk() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 2, 126),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 8, 0x1_0000),
            None => return Ok(None),
        },
        short => (u64::from(short), 0, 0),
    };
    if length < least {
        return Err(Failure::protocol("length is not in its shortest form"));
    }
    if length > i64::MAX as u64 {
        return Err(Failure::protocol("length has its highest bit set"));
    }
    Ok(Some((length, used)))
}

/// Why a connection has to be failed: the code and reason to close it with (RFC 6455 §7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::websocket) struct Failure {
    pub(in crate::websocket) code: u16,
    pub(in crate::websocket) reason: &'static str,
}

impl Failure {
    pub(in crate::websocket) const fn protocol(reason: &'static str) -> Self {
        Self { code: 1002, reason }
    }

    pub(in crate::websocket) const fn not_utf8(reason: &'static str) -> Self {
        Self { code: 1007, reason }
    }

    pub(in crate::websocket) const fn too_big(reason: &'static str) -> Self {
        Self { code: 1009, reason }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.code)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(hex: &[u8]) -> Result<Option<(FrameHead, usize)>, Failure> {
        FrameHead::parse(hex)
    }

    #[test]
    fn heads_that_are_right() {
        let head = |fin, opcode, mask, length| FrameHead { fin, rsv1: false, opcode, mask, length };
        for (bytes, expected) in [
            (&[0x81, 0x05][..], head(true, OpCode::Text, None, 5)),
            (&[0x01, 0x03], head(false, OpCode::Text, None, 3)),
            (&[0x80, 0x02], head(true, OpCode::Continuation, None, 2)),
            (&[0x89, 0x00], head(true, OpCode::Ping, None, 0)),
            (
                &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d],
                head(true, OpCode::Text, Some([0x37, 0xfa, 0x21, 0x3d]), 5),
            ),
            (&[0x82, 0x7e, 0x01, 0x00], head(true, OpCode::Binary, None, 256)),
            (&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], head(true, OpCode::Binary, None, 65_536)),
        ] {
            assert_eq!(parse(bytes), Ok(Some((expected, bytes.len()))));
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "{bytes:02x?} cut at {cut}");
            }
            let mut out = Vec::new();
            expected.encode(&mut out);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn heads_that_are_wrong_are_refused_at_their_first_wrong_byte() {
        for bytes in [
            &[0x91][..], // RSV3
            &[0xa1],     // RSV2
            &[0xc8],     // RSV1 on a control frame
            &[0xc0],     // RSV1 on a continuation
            &[0x83],     // reserved opcodes
            &[0x87],
            &[0x8b],
            &[0x8f],
            &[0x09], // fragmented control frames
            &[0x08],
            &[0x89, 0x7e], // long control frame
            &[0x89, 0xff],
            &[0x82, 0x7e, 0x00, 0x7d], // not the shortest form
            &[0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            &[0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0], // highest bit
        ] {
            assert_eq!(parse(bytes).map_err(|f| f.code), Err(1002), "{bytes:02x?}");
            assert_eq!(parse(&bytes[..bytes.len() - 1]), Ok(None), "{bytes:02x?} is refused too early");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fin: bool, text: bool, mask: Option<[u8; 4]>, length in 0..=i64::MAX as u64) {
            let opcode = if text { OpCode::Text } else { OpCode::Binary };
            let head = FrameHead { fin, rsv1: fin, opcode, mask, length };
            let mut out = Vec::new();
            head.encode(&mut out);
            prop_assert_eq!(FrameHead::parse(&out), Ok(Some((head, out.len()))));
        }
    }
}
