//! Header fields from text.

use std::error::Error;
use std::fmt;

use super::{HttpHeaders, InvalidHeader};
use crate::httputil::ows;

impl HttpHeaders {
    /// The fields of a block of lines, each ended by CR LF or LF; an empty line ends it. A line that begins with white space
    /// goes on with the value before it (RFC 9112 §5.2), joined by a space.
    ///
    /// For text at hand, such as the headers that a mail or a cache entry has; connections read theirs otherwise.
    ///
    /// # Errors
    /// [`ParseHeadersError`] for a line without a colon, a continuation of nothing, or a name or value with characters
    /// that do not belong there.
    ///
    /// ```
    /// use squall::httputil::HttpHeaders;
    /// let headers = HttpHeaders::parse("Content-Type: text/html\r\nContent-Length: 42\r\n")?;
    /// assert_eq!(headers.get("content-length"), Some("42"));
    /// # Ok::<(), squall::httputil::ParseHeadersError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, ParseHeadersError> {
        let mut headers = Self::new();
        let mut open: Option<(&str, String)> = None;
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() {
                break;
            }
            if line.starts_with([' ', '\t']) {
                let (_, value) = open.as_mut().ok_or(ParseHeadersError::Continuation)?;
                value.push(' ');
                value.push_str(ows::trim(line));
                continue;
            }
            if let Some((name, value)) = open.take() {
                headers.add(name, value)?;
            }
            let (name, value) = line.split_once(':').ok_or(ParseHeadersError::NoColon)?;
            open = Some((name, ows::trim(value).to_owned()));
        }
        if let Some((name, value)) = open {
            headers.add(name, value)?;
        }
        Ok(headers)
    }
}

/// Why text is no block of header fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseHeadersError {
    /// A line has no colon.
    NoColon,
    /// The first line begins with white space.
    Continuation,
    /// A name or value has a character that may not be there.
    Invalid(InvalidHeader),
}

impl fmt::Display for ParseHeadersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseHeadersError::NoColon => f.write_str("no colon in header line"),
            ParseHeadersError::Continuation => f.write_str("first header line cannot start with whitespace"),
            ParseHeadersError::Invalid(error) => error.fmt(f),
        }
    }
}

impl Error for ParseHeadersError {}

impl From<InvalidHeader> for ParseHeadersError {
    fn from(error: InvalidHeader) -> Self {
        ParseHeadersError::Invalid(error)
    }
}
