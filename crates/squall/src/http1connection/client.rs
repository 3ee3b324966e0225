//! What a client receives on a connection before the body: the heads of the responses to one request.

use std::io;

use crate::http1::ParseError;
use crate::http1::response::{self, Asked, ResponseFacts, ResponseHead};
use crate::httputil::ConnectionLimits;
use crate::iostream::IoStream;

/// More interim responses (1xx) than this before the final one are an error (Tornado's number). A server that sends nothing
/// else would otherwise keep the client until its time limit.
pub(crate) const MOST_INTERIM: usize = 10;

/// Reads the heads of the responses to one request: interim ones, of which there may be a few, and the final one.
pub(crate) struct ResponseHeads<'a> {
    stream: &'a IoStream,
    limits: &'a ConnectionLimits,
    asked: Asked,
    interim: usize,
    /// Not a byte has come.
    unanswered: bool,
    /// So many bytes of the buffer have been looked at, and are no whole head.
    seen: usize,
}

/// Why there is no head.
#[derive(Debug)]
pub(crate) enum HeadError {
    /// The connection ended before it; with the reason, unless the peer has closed it in order.
    Closed(Option<io::Error>),
    Protocol(ParseError),
}

impl<'a> ResponseHeads<'a> {
    pub(crate) fn new(stream: &'a IoStream, limits: &'a ConnectionLimits, asked: Asked) -> Self {
        Self { stream, limits, asked, interim: 0, unanswered: true, seen: 0 }
    }

    /// Whether not a byte of a response had come when the last head was asked for.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.unanswered
    }

    /// The next head, be it interim or not. What follows it is in the stream's buffer.
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<(ResponseHead, ResponseFacts), HeadError> {
        loop {
            if let Some((length, head, facts)) = self.parse().map_err(HeadError::Protocol)? {
                self.stream.read_buffer().consume(length);
                self.seen = 0;
                self.interim += usize::from(is_interim(&head));
                if self.interim > MOST_INTERIM {
                    return Err(HeadError::Protocol(ParseError::TooManyInterim));
                }
                return Ok((head, facts));
            }
            match self.stream.fill().await {
                Ok(1..) => {}
                Ok(0) => return Err(HeadError::Closed(self.stream.error().map(io::Error::other))),
                Err(error) => return Err(HeadError::Closed(Some(error))),
            }
        }
    }

    /// The next head that is not interim. One of a changed protocol (101) is not.
    ///
    /// Cancel safe.
    pub(crate) async fn last(&mut self) -> Result<(ResponseHead, ResponseFacts), HeadError> {
        loop {
            let (head, facts) = self.next().await?;
            if !is_interim(&head) {
                return Ok((head, facts));
            }
        }
    }

    fn parse(&mut self) -> Result<Option<(usize, ResponseHead, ResponseFacts)>, ParseError> {
        let buffer = self.stream.read_buffer();
        self.unanswered &= buffer.is_empty();
        if buffer.is_empty() || !self.is_worth_parsing(buffer.as_slice()) {
            return Ok(None);
        }
        self.seen = buffer.len();
        response::parse(buffer.as_slice(), self.limits, self.asked)
    }

    /// A head that arrives byte by byte is looked at when its end may be there, so that the work stays linear.
    fn is_worth_parsing(&self, bytes: &[u8]) -> bool {
        self.seen == 0
            || bytes.len() >= self.seen * 2
            || bytes.len() > self.limits.max_header_size
            || bytes.get(self.seen..).is_some_and(|new| memchr::memchr(b'\n', new).is_some())
    }
}

/// Whether another head follows (RFC 9110 §15.2).
pub(crate) fn is_interim(head: &ResponseHead) -> bool {
    matches!(head.status, 100 | 102..=199)
}
