//! The chunked transfer coding (RFC 9112 §7.1), read.

use std::ops::Range;

use super::error::ParseError;
use super::limits::{MAX_CHUNK_EXTENSIONS, MAX_TRAILER};
use crate::httputil::{HttpHeaders, ows};

/// Where in the coding the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first digit of a chunk size.
    SizeStart,
    /// After at least one digit.
    Size,
    /// After white space behind the size, which belongs to an extension (RFC 9112 §7.1.1) and is nothing without one.
    SizeEnd,
    /// Between an extension and what follows it.
    ExtensionEnd,
    /// Inside an extension, which a semicolon begins.
    Extension(Extension),
    /// After the CR of a size line.
    SizeLf,
    /// Inside the data; `left` bytes to go.
    Data,
    /// After the data.
    DataCr,
    DataLf,
    /// At the start of a trailer line.
    TrailerStart,
    /// Inside a trailer line.
    Trailer,
    /// After the CR of a trailer line.
    TrailerLf,
    /// After the CR of the line that ends the body.
    EndLf,
    Done,
}

/// Where in `";" name [ "=" ( token / quoted-string ) ]` (RFC 9112 §7.1.1) the next byte stands; white space may stand
/// between the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    /// Before the first character of the name.
    NameStart,
    Name,
    /// After white space behind the name.
    NameEnd,
    /// After the equals sign.
    ValueStart,
    Token,
    Quoted,
    /// After a backslash inside quotes.
    Escaped,
}

/// What one step found: bytes to drop from the input, and data among them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// So many bytes of the input are done with.
    pub(crate) consumed: usize,
    /// Where among them is data of the body; may be empty.
    pub(crate) data: Range<usize>,
    /// The body has ended.
    pub(crate) done: bool,
}

/// Decodes one chunked body. Lines end in CRLF and nothing else: a lone LF is where parsers disagree.
#[derive(Debug)]
pub(crate) struct ChunkedDecoder {
    state: State,
    left: u64,
    extension_bytes: usize,
    /// The trailer lines so far, as they came.
    trailer: Vec<u8>,
    /// A trailer line must have a colon, and a name before it.
    trailer_name: TrailerName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TrailerName {
    Empty,
    Some,
    Ended,
}

impl ChunkedDecoder {
    pub(crate) fn new() -> Self {
        Self {
            state: State::SizeStart,
            left: 0,
            extension_bytes: 0,
            trailer: Vec::new(),
            trailer_name: TrailerName::Empty,
        }
    }

    /// The trailers of a body that has ended, once; `None` when there are none.
    ///
    /// # Errors
    /// [`ParseError::Trailer`] for more than `most` of them.
    pub(crate) fn take_trailers(&mut self, most: usize) -> Result<Option<HttpHeaders>, ParseError> {
        let section = std::mem::take(&mut self.trailer);
        if section.is_empty() {
            return Ok(None);
        }
        let mut trailers = HttpHeaders::new();
        // Each line has been seen to be `name ":" value CR`; the LF was not kept.
        for line in section.split(|&byte| byte == b'\r').filter(|line| !line.is_empty()) {
            let colon = memchr::memchr(b':', line).ok_or(ParseError::Trailer)?;
            let name = std::str::from_utf8(&line[..colon]).map_err(|_| ParseError::Trailer)?;
            trailers.add(name, ows::trim_bytes(&line[colon + 1..])).map_err(|_| ParseError::Trailer)?;
            if trailers.len() > most {
                return Err(ParseError::Trailer);
            }
        }
        Ok(Some(trailers))
    }

    /// Reads on: up to the end of the input, of the body, or of the next run of at most `max` data bytes.
    pub(crate) fn decode(&mut self, input: &[u8], max: usize) -> Result<Step, ParseError> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                let available = (input.len() - at).min(max);
                let take = usize::try_from(self.left).map_or(available, |left| left.min(available));
                self.left -= take as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                return Ok(Step { consumed: at + take, data: at..at + take, done: false });
            }
            self.state = self.next(input[at])?;
            at += 1;
        }
        Ok(Step { consumed: at, data: at..at, done: self.state == State::Done })
    }

    fn next(&mut self, byte: u8) -> Result<State, ParseError> {
        match self.state {
            State::SizeStart | State::Size => self.size(byte),
            State::SizeEnd => match byte {
                b' ' | b'\t' => self.spend_extension().map(|()| State::SizeEnd),
                b';' => Ok(State::Extension(Extension::NameStart)),
                _ => Err(ParseError::ChunkSize),
            },
            State::ExtensionEnd => self.extension_end(byte),
            State::Extension(at) => self.extension(at, byte),
            State::SizeLf if byte != b'\n' => Err(ParseError::ChunkSize),
            State::SizeLf if self.left == 0 => Ok(State::TrailerStart),
            State::SizeLf => Ok(State::Data),
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => Ok(State::SizeStart),
            State::DataCr | State::DataLf => Err(ParseError::ChunkEnd),
            State::TrailerStart if byte == b'\r' => Ok(State::EndLf),
            State::TrailerStart | State::Trailer => self.trailer(byte),
            State::TrailerLf if byte == b'\n' => Ok(State::TrailerStart),
            State::EndLf if byte == b'\n' => Ok(State::Done),
            State::TrailerLf | State::EndLf => Err(ParseError::Trailer),
            // Not reached: `decode` takes data in runs and stops when done.
            State::Data | State::Done => Ok(self.state),
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, ParseError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b';' if self.state == State::Size => return Ok(State::Extension(Extension::NameStart)),
            b'\r' if self.state == State::Size => return Ok(State::SizeLf),
            b' ' | b'\t' if self.state == State::Size => {
                self.spend_extension()?;
                return Ok(State::SizeEnd);
            }
            _ => return Err(ParseError::ChunkSize),
        };
        if self.state == State::SizeStart {
            self.left = 0;
        }
        // Leading zeros are budgeted with the extensions, or a size line could go on for ever.
        if self.state == State::Size && self.left == 0 {
            self.spend_extension()?;
        }
        self.left = self.left.checked_mul(16).ok_or(ParseError::ChunkSize)? + u64::from(digit);
        Ok(State::Size)
    }

    /// Extensions mean nothing to us (RFC 9112 §7.1.1: ignore those not understood), but one that is none may be another
    /// parser's line end.
    fn extension(&mut self, at: Extension, byte: u8) -> Result<State, ParseError> {
        use Extension::{Escaped, Name, NameEnd, NameStart, Quoted, Token, ValueStart};
        self.spend_extension()?;
        let next = match (at, byte) {
            (NameStart | ValueStart, b' ' | b'\t') => at,
            (Name | NameEnd, b' ' | b'\t') => NameEnd,
            (NameStart | Name, _) if is_token_byte(byte) => Name,
            (Name | NameEnd, b'=') => ValueStart,
            (ValueStart, b'"') => Quoted,
            (ValueStart | Token, _) if is_token_byte(byte) => Token,
            (Quoted, b'"') => return Ok(State::ExtensionEnd),
            (Quoted, b'\\') => Escaped,
            (Quoted | Escaped, b'\t' | b' '..=b'~' | 0x80..) => Quoted,
            (Name | NameEnd | Token, _) => return self.extension_end(byte),
            _ => return Err(ParseError::ChunkExtension),
        };
        Ok(State::Extension(next))
    }

    fn extension_end(&mut self, byte: u8) -> Result<State, ParseError> {
        self.spend_extension()?;
        match byte {
            b' ' | b'\t' => Ok(State::ExtensionEnd),
            b';' => Ok(State::Extension(Extension::NameStart)),
            b'\r' => Ok(State::SizeLf),
            _ => Err(ParseError::ChunkExtension),
        }
    }

    fn spend_extension(&mut self) -> Result<(), ParseError> {
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_CHUNK_EXTENSIONS { Err(ParseError::ChunkExtension) } else { Ok(()) }
    }

    /// Trailers are kept apart: merging them into the headers is how they become an attack (RFC 9110 §6.5.1).
    fn trailer(&mut self, byte: u8) -> Result<State, ParseError> {
        if self.trailer.len() == MAX_TRAILER {
            return Err(ParseError::Trailer);
        }
        self.trailer.push(byte);
        if self.state == State::TrailerStart {
            self.trailer_name = TrailerName::Empty;
        }
        match (byte, self.trailer_name) {
            (b'\r', TrailerName::Ended) => return Ok(State::TrailerLf),
            (b'\t' | b' '..=b'~' | 0x80.., TrailerName::Ended) => {}
            (b':', TrailerName::Some) => self.trailer_name = TrailerName::Ended,
            (_, TrailerName::Empty | TrailerName::Some) if is_token_byte(byte) => {
                self.trailer_name = TrailerName::Some;
            }
            _ => return Err(ParseError::Trailer),
        }
        Ok(State::Trailer)
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input` handed over in pieces of `step` bytes; gives the body and what was left unread.
    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), ParseError> {
        let mut decoder = ChunkedDecoder::new();
        let (mut body, mut at) = (Vec::new(), 0);
        for piece in 1.. {
            let end = (piece * step).min(input.len());
            loop {
                let found = decoder.decode(&input[at..end], usize::MAX)?;
                body.extend_from_slice(&input[at..end][found.data.clone()]);
                at += found.consumed;
                if found.done {
                    return Ok((body, input.len() - at, true));
                }
                if found.consumed == 0 || at == end {
                    break;
                }
            }
            if end == input.len() {
                break;
            }
        }
        Ok((body, input.len() - at, false))
    }

    #[test]
    fn any_split_gives_the_same_body() {
        let input = b"4\r\nWiki\r\n00A;name=\"v\"\r\n0123456789\r\n0;x\r\nX-T: 1\r\n\r\nGET";
        for step in 1..input.len() {
            assert_eq!(decode(input, step), Ok((b"Wiki0123456789".to_vec(), 3, true)), "step {step}");
        }
        for end in 0..input.len() - 3 {
            assert!(!decode(&input[..end], 7).unwrap().2, "complete after {end} bytes");
        }
    }

    #[test]
    fn data_comes_in_runs_of_at_most_max() {
        let mut decoder = ChunkedDecoder::new();
        assert_eq!(
            decoder.decode(b"6\r\nabcdef\r\n0\r\n\r\n", 4),
            Ok(Step { consumed: 7, data: 3..7, done: false })
        );
        assert_eq!(decoder.decode(b"ef\r\n0\r\n\r\n", 4), Ok(Step { consumed: 2, data: 0..2, done: false }));
        assert_eq!(decoder.decode(b"\r\n0\r\n\r\n", 4), Ok(Step { consumed: 7, data: 7..7, done: true }));
    }

    #[test]
    fn each_broken_rule_has_its_error() {
        for (input, expected) in [
            (&b"\r\n"[..], ParseError::ChunkSize),
            (b";x\r\n", ParseError::ChunkSize),
            (b"-1\r\n", ParseError::ChunkSize),
            (b"+1\r\n", ParseError::ChunkSize),
            (b"0x5\r\nhello\r\n", ParseError::ChunkSize),
            (b"1_0\r\n", ParseError::ChunkSize),
            (b" 5\r\n", ParseError::ChunkSize),
            (b"5 \r\nhello\r\n", ParseError::ChunkSize),
            (b"5 5\r\nhello\r\n", ParseError::ChunkSize),
            (b"5\nhello\r\n", ParseError::ChunkSize),
            (b"5\rhello\r\n", ParseError::ChunkSize),
            (b"10000000000000000\r\n", ParseError::ChunkSize),
            (b"5;a\nb\r\nhello\r\n", ParseError::ChunkExtension),
            (b"5;\0\r\nhello\r\n", ParseError::ChunkExtension),
            (b"5;\r\nhello\r\n", ParseError::ChunkExtension),
            (b"5; \r\nhello\r\n", ParseError::ChunkExtension),
            (b"5;;a\r\nhello\r\n", ParseError::ChunkExtension),
            (b"5;=a\r\nhello\r\n", ParseError::ChunkExtension),
            (b"5;a=\r\nhello\r\n", ParseError::ChunkExtension),
            (b"5;a=b c\r\nhello\r\n", ParseError::ChunkExtension),
            (b"5;a b\r\nhello\r\n", ParseError::ChunkExtension),
            (b"5;a=\"b\r\nhello\r\n", ParseError::ChunkExtension),
            (b"5;a=\"b\\\"\r\nhello\r\n", ParseError::ChunkExtension),
            (b"5;a=\"b\"c\r\nhello\r\n", ParseError::ChunkExtension),
            (b"5;a\"b\"\r\nhello\r\n", ParseError::ChunkExtension),
            (b"5;(\r\nhello\r\n", ParseError::ChunkExtension),
            (b"5\r\nhelloX\r\n", ParseError::ChunkEnd),
            (b"5\r\nhello\n0\r\n", ParseError::ChunkEnd),
            (b"5\r\nhello\rX", ParseError::ChunkEnd),
            (b"0\r\n\n", ParseError::Trailer),
            (b"0\r\n\rX", ParseError::Trailer),
            (b"0\r\nnocolon\r\n\r\n", ParseError::Trailer),
            (b"0\r\n: x\r\n\r\n", ParseError::Trailer),
            (b"0\r\n x: y\r\n\r\n", ParseError::Trailer),
            (b"0\r\nA: \0\r\n\r\n", ParseError::Trailer),
            (b"0\r\nA: b\rc\r\n\r\n", ParseError::Trailer),
            (b"0\r\nA : b\r\n\r\n", ParseError::Trailer),
            (b"0\r\nA(: b\r\n\r\n", ParseError::Trailer),
            (b"0\r\nA\xe9: b\r\n\r\n", ParseError::Trailer),
        ] {
            assert_eq!(decode(input, 1), Err(expected), "{:?}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn trailers_are_kept_apart() {
        let trailers = |section: &str, most| {
            let mut decoder = ChunkedDecoder::new();
            let input = format!("0\r\n{section}\r\n");
            assert!(decoder.decode(input.as_bytes(), usize::MAX).unwrap().done);
            let found = decoder.take_trailers(most);
            assert!(matches!(decoder.take_trailers(0), Ok(None)), "they are given once");
            let show =
                |fields: HttpHeaders| fields.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>();
            found.map(|fields| fields.map(show).unwrap_or_default().join("|"))
        };
        assert_eq!(trailers("", 0), Ok(String::new()));
        assert_eq!(trailers("x-a: 1\r\nX-A:\t2 3 \r\ny:\r\n", 3), Ok("X-A=1|X-A=2 3|Y=".to_owned()));
        assert_eq!(trailers("a: 1\r\nb: 2\r\n", 1), Err(ParseError::Trailer));
    }

    #[test]
    fn extensions_are_read_over() {
        for extension in [
            ";a",
            " ;a",
            " \t;a=b",
            ";a=b",
            "; a = b ",
            ";a;b=c;d",
            ";a=\"\"",
            ";a=\"b;\\\"\\\\c\td\"",
            ";a=\"b\" ; c",
            ";!#$%&'*+-.^_`|~09=~",
            ";a \t;b",
        ] {
            let input = format!("5{extension}\r\nhello\r\n0\r\n\r\n");
            assert_eq!(decode(input.as_bytes(), 1), Ok((b"hello".to_vec(), 0, true)), "{extension:?}");
        }
    }

    #[test]
    fn budgets_end_what_has_no_end() {
        let extension = [b"1;".as_slice(), &vec![b'x'; MAX_CHUNK_EXTENSIONS + 1]].concat();
        assert_eq!(decode(&extension, 4096), Err(ParseError::ChunkExtension));
        assert_eq!(decode(&vec![b'0'; MAX_CHUNK_EXTENSIONS + 2], 4096), Err(ParseError::ChunkExtension));
        let small = b"1;xxxxxxxxxxxxxxx\r\na\r\n".repeat(MAX_CHUNK_EXTENSIONS / 15 + 1);
        assert_eq!(decode(&small, 4096), Err(ParseError::ChunkExtension));
        let trailer = [b"0\r\n".as_slice(), &b"A: b\r\n".repeat(MAX_TRAILER / 4)].concat();
        assert_eq!(decode(&trailer, 4096), Err(ParseError::Trailer));
    }
}
