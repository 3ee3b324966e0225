//! The first lines of messages, for those who take them apart themselves.

use std::error::Error;
use std::fmt;

use http::Version;

/// The first line of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestStartLine<'a> {
    /// The method, case kept.
    pub method: &'a str,
    /// The target.
    pub path: &'a str,
    /// HTTP/1.0 or HTTP/1.1; what a minor version beyond that says is HTTP/1.1 (RFC 9110 §2.5).
    pub version: Version,
}

/// The first line of a response, as it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusLine<'a> {
    /// As [`RequestStartLine::version`].
    pub version: Version,
    /// The status code, 100 to 999.
    #[doc(alias = "code")]
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: &'a str,
}

/// A line that is no start line of HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartLineError {
    /// It has not three parts, or one of them is not what it should be.
    Malformed,
    /// Its version is not HTTP/1.
    Version,
}

impl fmt::Display for StartLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StartLineError::Malformed => "Malformed HTTP start line",
            StartLineError::Version => "Malformed HTTP version in start line",
        })
    }
}

impl Error for StartLineError {}

/// Takes `GET /path HTTP/1.1` apart (RFC 9112 §3). The line has no line end.
///
/// # Errors
/// [`StartLineError`]; a method that is no token, spaces more than two and control characters are malformed.
pub fn parse_request_start_line(line: &str) -> Result<RequestStartLine<'_>, StartLineError> {
    let mut parts = line.split(' ');
    let (Some(method), Some(path), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(StartLineError::Malformed);
    };
    if !super::is_token(method) || path.is_empty() || line.contains(|c: char| c.is_control()) {
        return Err(StartLineError::Malformed);
    }
    Ok(RequestStartLine { method, path, version: parse_version(version)? })
}

/// Takes `HTTP/1.1 200 OK` apart (RFC 9112 §4). The line has no line end; a missing reason is as an empty one.
///
/// # Errors
/// [`StartLineError`]; a status that is not of three digits is malformed.
pub fn parse_response_start_line(line: &str) -> Result<StatusLine<'_>, StartLineError> {
    let (version, rest) = line.split_once(' ').ok_or(StartLineError::Malformed)?;
    let version = parse_version(version)?;
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    let status = status.parse().ok().filter(|&status| is_status && status >= 100);
    let is_reason = !reason.contains(|c: char| c.is_control() && c != '\t');
    let status = status.filter(|_| is_reason).ok_or(StartLineError::Malformed)?;
    Ok(StatusLine { version, status, reason })
}

fn parse_version(text: &str) -> Result<Version, StartLineError> {
    match text.strip_prefix("HTTP/1.").map(str::as_bytes) {
        Some(b"0") => Ok(Version::HTTP_10),
        Some([b'1'..=b'9']) => Ok(Version::HTTP_11),
        _ => Err(StartLineError::Version),
    }
}
