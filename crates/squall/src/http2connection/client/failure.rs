//! Why a request has no whole answer.

use std::io;

use h2::Reason;

use crate::http1::ParseError;

/// Why a request has no whole answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server has not looked at it (RFC 9113 §8.7), so that it may be sent again whatever it asks for.
    Unprocessed(io::Error),
    /// The server wants it over HTTP/1.1 (`HTTP_1_1_REQUIRED`).
    Http1Required,
    /// The connection ended before the answer; with the reason, if there is one.
    Ended(Option<io::Error>),
    /// The server has ended the stream before the answer.
    Reset(io::Error),
    /// The server breaks a rule.
    Malformed(ParseError),
    /// It cannot be sent as it is.
    Request(String),
}

impl Failure {
    pub(super) fn leaving() -> Self {
        Self::Unprocessed(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the connection takes no requests",
        ))
    }
}

impl From<ParseError> for Failure {
    fn from(error: ParseError) -> Self {
        Self::Malformed(error)
    }
}

impl From<h2::Error> for Failure {
    fn from(error: h2::Error) -> Self {
        let reason = error.reason();
        let told = |error: &h2::Error| io::Error::new(io::ErrorKind::ConnectionReset, error.to_string());
        if error.is_remote() {
            return match reason {
                Some(Reason::HTTP_1_1_REQUIRED) => Self::Http1Required,
                // Streams beyond the last that the server names have this error, and no others.
                _ if error.is_go_away() => Self::Unprocessed(told(&error)),
                Some(Reason::REFUSED_STREAM) => Self::Unprocessed(told(&error)),
                _ => Self::Reset(told(&error)),
            };
        }
        if error.is_library() {
            return Self::Malformed(ParseError::Http2);
        }
        let text = error.to_string();
        match error.into_io() {
            // Closed, without a word.
            Some(error)
                if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof) =>
            {
                Self::Ended(None)
            }
            Some(error) => Self::Ended(Some(error)),
            None => Self::Ended(Some(io::Error::other(text))),
        }
    }
}
