//! Where a message body ends (RFC 9112 §6.3), and how much of it is taken.

use super::chunked::{ChunkedDecoder, Step};
use super::error::ParseError;
use crate::httputil::{BodyKind, HttpHeaders};

/// How the end of a request body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// There is none: neither length nor chunks, or a length of zero.
    Empty,
    /// So many bytes, never zero.
    Length(u64),
    /// In chunks.
    Chunked,
}

impl From<BodyLength> for BodyKind {
    fn from(length: BodyLength) -> Self {
        match length {
            BodyLength::Empty => Self::None,
            BodyLength::Length(bytes) => Self::Length(bytes),
            BodyLength::Chunked => Self::Unknown,
        }
    }
}

/// Cuts one body out of the bytes of a connection.
#[derive(Debug)]
pub(crate) struct BodyDecoder {
    kind: Kind,
    /// The body may have so many bytes in all.
    limit: u64,
    /// So many have been seen. Invariant: `seen <= limit`.
    seen: u64,
}

#[derive(Debug)]
enum Kind {
    Length { left: u64 },
    Chunked(ChunkedDecoder),
}

impl BodyDecoder {
    /// # Errors
    /// [`ParseError::BodyTooLarge`] when the announced length is over the limit: nothing of it need be read.
    pub(crate) fn new(length: BodyLength, limit: u64) -> Result<Self, ParseError> {
        match length {
            BodyLength::Length(length) if length > limit => Err(ParseError::BodyTooLarge),
            length => Ok(Self { limit, ..Self::unlimited(length) }),
        }
    }

    /// One of which somebody else counts the bytes.
    pub(crate) fn unlimited(length: BodyLength) -> Self {
        let kind = match length {
            BodyLength::Empty => Kind::Length { left: 0 },
            BodyLength::Length(left) => Kind::Length { left },
            BodyLength::Chunked => Kind::Chunked(ChunkedDecoder::new()),
        };
        Self { kind, limit: u64::MAX, seen: 0 }
    }

    /// The fields behind a body that has ended, once; at most so many.
    pub(crate) fn take_trailers(&mut self, most: usize) -> Result<Option<HttpHeaders>, ParseError> {
        match &mut self.kind {
            Kind::Length { .. } => Ok(None),
            Kind::Chunked(decoder) => decoder.take_trailers(most),
        }
    }

    /// Reads on, up to the end of the input, of the body, or of at most `max` data bytes.
    pub(crate) fn decode(&mut self, input: &[u8], max: usize) -> Result<Step, ParseError> {
        let step = match &mut self.kind {
            Kind::Length { left } => {
                let available = input.len().min(max);
                let take = usize::try_from(*left).map_or(available, |left| left.min(available));
                *left -= take as u64;
                Step { consumed: take, data: 0..take, done: *left == 0 }
            }
            Kind::Chunked(decoder) => decoder.decode(input, max)?,
        };
        self.seen = self.seen.saturating_add(step.data.len() as u64);
        if self.seen > self.limit { Err(ParseError::BodyTooLarge) } else { Ok(step) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_ends_the_body() {
        let mut body = BodyDecoder::new(BodyLength::Length(5), 5).unwrap();
        assert_eq!(body.decode(b"abc", 2), Ok(Step { consumed: 2, data: 0..2, done: false }));
        assert_eq!(body.decode(b"", 9), Ok(Step { consumed: 0, data: 0..0, done: false }));
        assert_eq!(body.decode(b"cdeGET", 9), Ok(Step { consumed: 3, data: 0..3, done: true }));
        let mut empty = BodyDecoder::new(BodyLength::Empty, 0).unwrap();
        assert_eq!(empty.decode(b"GET", 9), Ok(Step { consumed: 0, data: 0..0, done: true }));
    }

    #[test]
    fn the_limit_holds_for_both_kinds() {
        assert!(matches!(BodyDecoder::new(BodyLength::Length(6), 5), Err(ParseError::BodyTooLarge)));
        let mut body = BodyDecoder::new(BodyLength::Chunked, 5).unwrap();
        assert_eq!(body.decode(b"5\r\nabcde\r\n", 9).unwrap().data, 3..8);
        assert_eq!(body.decode(b"\r\n1\r\n", 9).unwrap().data, 5..5);
        assert_eq!(body.decode(b"f", 9), Err(ParseError::BodyTooLarge));
    }
}
