//! What can be wrong with a response.

use std::fmt;

/// The application broke the framing of its own response. The connection is cut, so that the client sees an
/// incomplete response rather than a wrong one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "HTTPOutputError")]
pub enum HttpOutputError {
    /// More body bytes than Content-Length says.
    TooMuchData,
    /// The response was finished with so many bytes missing.
    TooLittleData(u64),
    /// A body for HEAD is dropped, but 1xx, 204 and 304 have none at all.
    BodyNotAllowed(u16),
    /// The Content-Length that was set is not one number.
    ContentLength,
    /// Head, body and end were not written in that order.
    OutOfOrder,
    /// The client has left, or the exchange is over.
    Closed,
}

impl fmt::Display for HttpOutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMuchData => f.write_str("Tried to write more data than Content-Length"),
            Self::TooLittleData(n) => write!(f, "Tried to write {n} bytes less than Content-Length"),
            Self::BodyNotAllowed(status) => write!(f, "A {status} response has no body"),
            Self::ContentLength => f.write_str("Content-Length is not one number"),
            Self::OutOfOrder => f.write_str("Response written out of order"),
            Self::Closed => f.write_str("Connection is closed"),
        }
    }
}

impl std::error::Error for HttpOutputError {}
