//! What can be wrong with a peer's bytes, and what it is told.

use std::borrow::Cow;
use std::fmt;

use crate::httputil::ConnectionLimits;
use crate::httputil::exchange::BodyRefusal;
use crate::httputil::limits::MAX_INFLATION;

/// A message that HTTP does not allow, or that is larger than this server takes.
///
/// One variant per rule, so that tests can name the rule that was broken. [`status`](Self::status) is the answer;
/// the text is sent as its body and never repeats what the peer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// The request line is not `method SP target SP HTTP/1.x` (RFC 9112 §3).
    RequestLine,
    /// The status line is not `HTTP/1.x SP status SP reason` (RFC 9112 §4).
    StatusLine,
    /// More than one empty line stands before the request line (RFC 9112 §2.2).
    LeadingLines,
    /// The protocol version is not HTTP/1.
    Version,
    /// A header line has no colon, or its name is not a token (RFC 9112 §5.1).
    HeaderName,
    /// A header value holds a control character.
    HeaderValue,
    /// A line of the head does not end in CRLF or LF.
    LineEnd,
    /// A folded line (RFC 9112 §5.2 lets a server refuse it; proxies disagree on what it means).
    Folded,
    /// HTTP/1.1 without Host, more than one Host, or a Host that is none (RFC 9112 §3.2).
    Host,
    /// The target is neither a path, an absolute URL, `*` nor an authority (RFC 9112 §3.2).
    Target,
    /// Start line and headers are longer than `max_header_size`.
    HeadTooLarge,
    /// The request line alone is longer than `max_header_size`, for its target (RFC 9112 §3).
    TargetTooLong,
    /// The request line alone is longer than `max_header_size`, for its method (RFC 9112 §3).
    MethodTooLong,
    /// More header lines than `max_header_count`.
    TooManyHeaders,
    /// Content-Length is not a number, or comes several times with different numbers (RFC 9112 §6.3).
    ContentLength,
    /// Content-Length and Transfer-Encoding in one message (RFC 9112 §6.3 rule 3: an attack).
    LengthAndEncoding,
    /// A Transfer-Encoding other than `chunked` alone, or in an HTTP/1.0 message (RFC 9112 §6.1).
    TransferEncoding,
    /// The body is longer than `max_body_size`.
    BodyTooLarge,
    /// A compressed body inflates to more than `max_decompressed_size`, or to more than 100 times its size.
    BodyInflates,
    /// A chunk's size line is not hexadecimal digits, or too long for a number.
    ChunkSize,
    /// Chunk extensions take more than their budget, or hold control characters.
    ChunkExtension,
    /// A chunk's data is not followed by CRLF.
    ChunkEnd,
    /// The trailer is malformed or larger than its budget.
    Trailer,
    /// The head did not arrive in time.
    HeadTimeout,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The connection ended before the message did.
    Truncated,
    /// A compressed body does not decompress.
    ContentEncoding,
    /// A body is announced with a status that has none (RFC 9110 §15.2, §15.3.5).
    UnexpectedBody,
    /// More interim responses (1xx) than anybody needs came before the final one.
    TooManyInterim,
    /// A 101 that was not asked for (RFC 9110 §15.2.2): what would follow is no HTTP.
    UnaskedUpgrade,
    /// Frames or fields that HTTP/2 does not allow (RFC 9113 §5.4, §8.1.1), or no HTTP/2 at all.
    Http2,
}

impl ParseError {
    /// The status that answers it.
    pub fn status(self) -> u16 {
        match self {
            Self::HeadTooLarge | Self::TooManyHeaders => 431,
            Self::TargetTooLong => 414,
            Self::MethodTooLong => 501,
            Self::BodyTooLarge | Self::BodyInflates => 413,
            Self::HeadTimeout | Self::BodyTimeout => 408,
            _ => 400,
        }
    }

    /// Whether it is answered with a status line and nothing else, byte for byte as Tornado does: whoever cannot say
    /// which host is meant, or writes as HTTP/1.0 clients did, does not read an explanation.
    pub(crate) fn is_bare(self) -> bool {
        matches!(self, Self::Host | Self::Folded)
    }

    /// One line for the peer that names the limit, where it is one.
    pub(crate) fn explain(self, limits: &ConnectionLimits, max_body_size: u64) -> Cow<'static, str> {
        let text = self.message();
        match self {
            Self::HeadTooLarge | Self::TargetTooLong => {
                format!("{text}: the limit is {} bytes", limits.max_header_size).into()
            }
            Self::TooManyHeaders => format!("{text}: the limit is {}", limits.max_header_count).into(),
            Self::BodyTooLarge => format!("{text}: the limit is {max_body_size} bytes").into(),
            Self::BodyInflates => {
                let bytes = limits.max_decompressed_size.min(max_body_size);
                format!("{text}: the limits are {bytes} bytes and {MAX_INFLATION} times its size").into()
            }
            _ => text.into(),
        }
    }

    /// What is wrong, in one line.
    pub fn message(self) -> &'static str {
        match self {
            Self::RequestLine => "Malformed request line",
            Self::StatusLine => "Malformed status line",
            Self::LeadingLines => "Empty lines before the request line",
            Self::Version => "Unsupported HTTP version",
            Self::HeaderName => "Malformed header line",
            Self::HeaderValue => "Control character in a header value",
            Self::LineEnd => "Malformed line end in the header",
            Self::Folded => "Folded header line",
            Self::Host => "Missing, repeated or invalid Host header",
            Self::Target => "Invalid request target",
            Self::HeadTooLarge => "Request header too large",
            Self::TargetTooLong => "Request target too long",
            Self::MethodTooLong => "Request method too long",
            Self::TooManyHeaders => "Too many header fields",
            Self::ContentLength => "Invalid Content-Length",
            Self::LengthAndEncoding => "Both Content-Length and Transfer-Encoding",
            Self::TransferEncoding => "Unsupported Transfer-Encoding",
            Self::BodyTooLarge => "Request body too large",
            Self::BodyInflates => "Request body inflates to too much",
            Self::ChunkSize => "Invalid chunk size",
            Self::ChunkExtension => "Invalid or excessive chunk extensions",
            Self::ChunkEnd => "Chunk data not followed by CRLF",
            Self::Trailer => "Invalid or excessive trailer",
            Self::HeadTimeout => "Timeout while waiting for the request header",
            Self::BodyTimeout => "Timeout while waiting for the request body",
            Self::Truncated => "Connection closed inside a message",
            Self::ContentEncoding => "Request body does not decompress",
            Self::UnexpectedBody => "A body with a status that has none",
            Self::TooManyInterim => "Too many 1xx responses",
            Self::UnaskedUpgrade => "A change of protocol that was not asked for",
            Self::Http2 => "Not HTTP/2 as it should be",
        }
    }
}

impl From<BodyRefusal> for ParseError {
    fn from(refusal: BodyRefusal) -> Self {
        match refusal {
            BodyRefusal::TooLarge => Self::BodyTooLarge,
            BodyRefusal::Inflates => Self::BodyInflates,
            BodyRefusal::Encoding => Self::ContentEncoding,
            BodyRefusal::Late => Self::BodyTimeout,
            BodyRefusal::Trailers => Self::Trailer,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for ParseError {}
