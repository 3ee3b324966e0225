//! Response bodies that come compressed: gzip and deflate, with the feature `compression` brotli and zstd too, undone in
//! pieces of bounded size. Pure.

#[cfg(feature = "compression")]
mod brotli_zstd;

use std::fmt;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

use crate::httputil::ows;

pub(super) use self::brotli_zstd::ACCEPT_ENCODING;

/// The most bytes of one piece.
const PIECE: usize = 64 * 1024;

/// The compressed data is broken, or ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Corrupt;

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response body does not decompress")
    }
}

/// Undoes one content coding.
pub(super) struct Decoder {
    machine: Box<dyn Machine>,
    state: State,
    /// What has come since the last member, while it may be the start of another.
    start: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has been read: an empty body is fine whatever its coding.
    Start,
    Inside,
    /// Everything so far makes whole members.
    Whole,
    /// What follows the last member is not looked at.
    Over,
}

impl Decoder {
    /// The decoder for a `Content-Encoding`; `None` for one that is not known, or several.
    pub(super) fn for_coding(coding: &str) -> Option<Self> {
        let machine: Box<dyn Machine> = match ows::trim(coding).to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Box::new(Gzip(Decompress::new_gzip(15))),
            "deflate" => Box::new(Deflate { machine: Decompress::new(true), begun: false }),
            other => brotli_zstd::machine(other)?,
        };
        Some(Self { machine, state: State::Start, start: Vec::new() })
    }

    /// The next piece that can be made of `input`, from which it drops what was used. An empty piece means that more
    /// input is needed.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Bytes, Corrupt> {
        let mut out = Vec::with_capacity(PIECE);
        loop {
            let (before, made) = (input.len(), out.len());
            if self.state == State::Whole && !self.begins_another(input)? {
                break;
            }
            if self.state == State::Over {
                *input = &[];
                break;
            }
            self.step(input, &mut out)?;
            if out.len() == out.capacity() || (input.len() == before && out.len() == made) {
                break;
            }
        }
        Ok(out.into())
    }

    /// The body has ended: so must the compressed data.
    pub(super) fn finish(&self) -> Result<(), Corrupt> {
        if self.state == State::Inside { Err(Corrupt) } else { Ok(()) }
    }

    /// After the end of a member: takes what begins another, or is over. gzip may have several in a row (RFC 1952 §2.2),
    /// zstd several frames (RFC 8878 §3); whatever else follows the end is ignored, as browsers do.
    fn begins_another(&mut self, input: &mut &[u8]) -> Result<bool, Corrupt> {
        while let Some((&byte, rest)) = input.split_first() {
            self.start.push(byte);
            *input = rest;
            match self.machine.begins(&self.start) {
                Begin::Perhaps => {}
                Begin::Never => {
                    (self.state, *input) = (State::Over, &[]);
                    return Ok(false);
                }
                Begin::Yes => {
                    self.machine.begin_another();
                    self.state = State::Inside;
                    // No output comes of these few.
                    let start = std::mem::take(&mut self.start);
                    self.step(&mut &start[..], &mut Vec::with_capacity(1))?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
        if input.is_empty() && self.state == State::Start {
            return Ok(());
        }
        let ended = self.machine.step(input, out)?;
        self.state = if ended { State::Whole } else { State::Inside };
        Ok(())
    }
}

/// What undoes one coding, member by member.
trait Machine {
    /// Makes what fits into the capacity of `out`, and drops from `input` what it used; whether the member has ended.
    /// There is input the first time.
    fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Corrupt>;

    /// Whether these bytes, after a member, are the start of another. Not unless the coding knows several in a row.
    fn begins(&self, _start: &[u8]) -> Begin {
        Begin::Never
    }

    fn begin_another(&mut self) {}
}

/// Whether some bytes are the start of a member.
enum Begin {
    Yes,
    Perhaps,
    Never,
}

impl Begin {
    fn by_magic(magic: &[u8], start: &[u8]) -> Self {
        match magic.starts_with(start) {
            true if magic.len() == start.len() => Self::Yes,
            true => Self::Perhaps,
            false => Self::Never,
        }
    }
}

struct Gzip(Decompress);

impl Machine for Gzip {
    fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Corrupt> {
        inflate(&mut self.0, input, out)
    }

    fn begins(&self, start: &[u8]) -> Begin {
        Begin::by_magic(&[0x1f, 0x8b, 8], start)
    }

    fn begin_another(&mut self) {
        self.0 = Decompress::new_gzip(15);
    }
}

/// Both kinds are sent: with the zlib header that RFC 9110 §8.4.1.2 asks for, and bare.
struct Deflate {
    machine: Decompress,
    begun: bool,
}

impl Machine for Deflate {
    fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Corrupt> {
        // A zlib header has 8 in its low nibble; a bare stream that begins so would be of a reserved kind.
        if !std::mem::replace(&mut self.begun, true) && input.first().is_some_and(|byte| byte & 0x0f != 8) {
            self.machine = Decompress::new(false);
        }
        inflate(&mut self.machine, input, out)
    }
}

fn inflate(machine: &mut Decompress, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Corrupt> {
    let before = machine.total_in();
    let status = machine.decompress_vec(input, out, FlushDecompress::None);
    *input = &input[(machine.total_in() - before) as usize..];
    match status {
        Ok(status) => Ok(status == Status::StreamEnd),
        Err(_) => Err(Corrupt),
    }
}

/// Neither is there without the feature `compression`.
#[cfg(not(feature = "compression"))]
mod brotli_zstd {
    use super::Machine;

    pub(in crate::httpclient) const ACCEPT_ENCODING: &str = "gzip, deflate";

    pub(super) fn machine(_coding: &str) -> Option<Box<dyn Machine>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn encode(coding: &str, data: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::default();
        match coding {
            "gzip" => {
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
                writer.write_all(data).unwrap();
                writer.finish().unwrap()
            }
            "deflate" => {
                let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
                writer.write_all(data).unwrap();
                writer.finish().unwrap()
            }
            "bare" => {
                let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), level);
                writer.write_all(data).unwrap();
                writer.finish().unwrap()
            }
            "br" => {
                let mut out = Vec::new();
                brotli::CompressorWriter::new(&mut out, 4096, 5, 22).write_all(data).unwrap();
                out
            }
            _ => zstd::encode_all(data, 3).unwrap(),
        }
    }

    fn decode(coding: &str, input: &[u8], step: usize) -> Result<Vec<u8>, Corrupt> {
        let mut decoder = Decoder::for_coding(if coding == "bare" { "deflate" } else { coding }).unwrap();
        let mut out = Vec::new();
        for mut piece in input.chunks(step) {
            loop {
                let made = decoder.next(&mut piece)?;
                assert!(made.len() <= PIECE);
                if made.is_empty() {
                    break;
                }
                out.extend_from_slice(&made);
            }
            assert!(piece.is_empty(), "input is left over");
        }
        decoder.finish().map(|()| out)
    }

    #[cfg(feature = "compression")]
    const CODINGS: [&str; 5] = ["gzip", "deflate", "bare", "br", "zstd"];
    #[cfg(not(feature = "compression"))]
    const CODINGS: [&str; 3] = ["gzip", "deflate", "bare"];

    /// Those that know several members in a row.
    fn of_members() -> impl Iterator<Item = &'static str> {
        CODINGS.into_iter().filter(|coding| matches!(*coding, "gzip" | "zstd"))
    }

    #[test]
    fn any_split_gives_the_same_body() {
        let data: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(n) % 251) as u8).collect();
        for coding in CODINGS {
            let encoded = encode(coding, &data);
            for step in [1, 7, 1000, encoded.len()] {
                assert!(
                    decode(coding, &encoded, step).as_deref() == Ok(&data[..]),
                    "{coding} in steps of {step}"
                );
            }
        }
    }

    #[test]
    fn members_one_after_the_other() {
        for coding in of_members() {
            let encoded = [encode(coding, b"one "), encode(coding, b"two")].concat();
            for step in [1, 5, encoded.len()] {
                assert_eq!(decode(coding, &encoded, step).unwrap(), b"one two", "{coding}");
            }
        }
    }

    #[test]
    fn what_is_cut_short_or_broken_is_corrupt() {
        for coding in CODINGS {
            let encoded = encode(coding, &b"some text ".repeat(100));
            for end in 1..encoded.len() {
                assert_eq!(decode(coding, &encoded[..end], 3), Err(Corrupt), "{coding} cut at {end}");
            }
        }
        for coding in of_members() {
            assert_eq!(decode(coding, b"this is not compressed", 4), Err(Corrupt), "{coding}");
        }
        // Also of a member after the first.
        for coding in of_members() {
            let (one, two) = (encode(coding, b"one "), encode(coding, &b"some text ".repeat(100)));
            for end in 4..two.len() {
                let cut = [&one[..], &two[..end]].concat();
                assert_eq!(decode(coding, &cut, 3), Err(Corrupt), "{coding} cut at {end}");
            }
        }
    }

    /// As browsers do; the issue's number 26.
    #[test]
    fn what_follows_the_end_is_ignored() {
        let rests: [&[u8]; 8] = [
            b"\0",
            &[0; 1000],
            b"more",
            b"\r\n",
            b"\x1f",
            b"\x1f\x8b",
            b"\x1f\x8b\x07more",
            b"\x28\xb5\x2f\xfe",
        ];
        for coding in CODINGS {
            for rest in rests {
                let members = if matches!(coding, "gzip" | "zstd") { 2 } else { 1 };
                for members in 1..=members {
                    let encoded = [encode(coding, b"text ").repeat(members), rest.to_vec()].concat();
                    for step in [1, 5, encoded.len()] {
                        let expected = b"text ".repeat(members);
                        assert_eq!(decode(coding, &encoded, step), Ok(expected), "{coding} {rest:x?}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_empty_body_is_fine() {
        for coding in CODINGS {
            assert_eq!(decode(coding, b"", 1).unwrap(), b"");
        }
    }

    #[test]
    fn a_bomb_comes_in_pieces() {
        let data = vec![0; 5_000_000];
        for coding in CODINGS {
            let encoded = encode(coding, &data);
            assert_eq!(decode(coding, &encoded, encoded.len()).unwrap().len(), data.len(), "{coding}");
        }
    }

    #[test]
    fn unknown_codings_are_left_alone() {
        for coding in ["identity", "compress", "gzip, br", ""] {
            assert!(Decoder::for_coding(coding).is_none(), "{coding}");
        }
        for coding in ["br", "zstd"] {
            assert_eq!(Decoder::for_coding(coding).is_some(), cfg!(feature = "compression"), "{coding}");
            assert_eq!(ACCEPT_ENCODING.contains(coding), cfg!(feature = "compression"), "{coding}");
        }
        assert!(Decoder::for_coding(" GZIP ").is_some());
    }
}
