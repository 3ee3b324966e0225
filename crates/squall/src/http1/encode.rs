//! Response heads and bodies as bytes, and the rules of their framing (RFC 9112 §6).
//!
//! What frames a response is the connection's to say, whoever made
//! its fields: an application's `Transfer-Encoding` is left out, as is a length where there is no body, and two lengths
//! are an error. So a handler that sends on the fields of another message cannot frame its own twice.

use super::head_writer;
use crate::httputil::{HttpHeaders, HttpOutputError, ResponseStartLine, ows, trailers};

/// What a response must know of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForResponse {
    /// HTTP/1.1 framing may be used.
    pub(crate) http11: bool,
    /// The method is HEAD: no body is sent.
    pub(crate) is_head: bool,
    /// Another request may follow on the connection.
    pub(crate) keep_alive: bool,
}

/// How the body of one response is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEncoder {
    /// HEAD: body bytes are dropped.
    Suppressed,
    /// 1xx, 204, 304: body bytes are an error.
    Forbidden(u16),
    /// So many bytes are still to come.
    Length(u64),
    Chunked,
    /// The end of the connection ends the body.
    UntilClose,
}

/// What [`encode_head`] decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResponseFacts {
    pub(crate) body: BodyEncoder,
    /// The connection may serve another request afterwards.
    pub(crate) keep_alive: bool,
}

/// Appends the status line and headers, with those that the framing needs instead of an application's own
/// `Transfer-Encoding`. A 1xx or 204 has no length (RFC 9110 §8.6).
pub(crate) fn encode_head(
    out: &mut Vec<u8>,
    request: ForResponse,
    start: ResponseStartLine<'_>,
    headers: &HttpHeaders,
) -> Result<ResponseFacts, HttpOutputError> {
    let framing = Framing::of(headers)?;
    let mut body = framing.body(request, start.status)?;
    let asked_to_close = framing.close;
    let keep_alive = request.keep_alive && !asked_to_close && body != BodyEncoder::UntilClose;
    head_writer::status_line(out, start.status, start.reason);
    let lengthless = framing.length.is_some() && is_lengthless(start.status);
    if framing.encoded || lengthless {
        headers.write_some(out, |name| !frames(name) || (name == "Content-Length" && !lengthless));
    } else {
        head_writer::fields(out, headers);
    }
    if body == BodyEncoder::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    } else if body == BodyEncoder::UntilClose && request.is_head {
        body = BodyEncoder::Suppressed;
    }
    if !asked_to_close {
        match (request.http11, keep_alive) {
            _ if start.status < 200 => {}
            (true, true) | (false, false) => {}
            (false, true) => out.extend_from_slice(b"Connection: Keep-Alive\r\n"),
            (true, false) => out.extend_from_slice(b"Connection: close\r\n"),
        }
    }
    head_writer::end(out);
    Ok(ResponseFacts { body, keep_alive })
}

/// How the body of a response is framed where that is not HTTP/1's: by its length or its end.
#[cfg(feature = "http2")]
pub(crate) fn body_without_chunks(
    is_head: bool,
    status: u16,
    headers: &HttpHeaders,
) -> Result<BodyEncoder, HttpOutputError> {
    Framing::of(headers)?.body(ForResponse { http11: false, is_head, keep_alive: true }, status)
}

/// Appends an interim response (RFC 9110 §15.2), which has a head and nothing else.
pub(crate) fn encode_interim(out: &mut Vec<u8>, start: ResponseStartLine<'_>, headers: &HttpHeaders) {
    head_writer::status_line(out, start.status, start.reason);
    headers.write_some(out, |name| !frames(name));
    head_writer::end(out);
}

/// Whether a field, named in Title-Case, says where a message ends.
fn frames(name: &str) -> bool {
    matches!(name, "Content-Length" | "Transfer-Encoding")
}

fn is_lengthless(status: u16) -> bool {
    matches!(status, 100..=199 | 204)
}

/// The headers that decide the framing, found in one pass.
#[derive(Default)]
struct Framing<'a> {
    length: Option<&'a [u8]>,
    encoded: bool,
    close: bool,
}

impl<'a> Framing<'a> {
    fn of(headers: &'a HttpHeaders) -> Result<Self, HttpOutputError> {
        let mut framing = Self::default();
        // Names are in Title-Case; most differ in length already.
        for (name, value) in headers.with_lengths(|length| matches!(length, 10 | 14 | 17)) {
            match name {
                b"Content-Length" if framing.length.is_some() => return Err(HttpOutputError::ContentLength),
                b"Content-Length" => framing.length = Some(value),
                b"Transfer-Encoding" => framing.encoded = true,
                b"Connection" => {
                    framing.close |= value
                        .split(|&b| b == b',')
                        .any(|token| ows::trim_bytes(token).eq_ignore_ascii_case(b"close"));
                }
                _ => {}
            }
        }
        Ok(framing)
    }

    fn body(&self, request: ForResponse, status: u16) -> Result<BodyEncoder, HttpOutputError> {
        Ok(match (status, self.length) {
            (status @ (100..=199 | 204 | 304), _) => BodyEncoder::Forbidden(status),
            _ if request.is_head => BodyEncoder::Suppressed,
            (_, Some(length)) => BodyEncoder::Length(
                super::head::parse_length(length).map_err(|_| HttpOutputError::ContentLength)?,
            ),
            (_, None) if request.http11 => BodyEncoder::Chunked,
            (_, None) => BodyEncoder::UntilClose,
        })
    }
}

impl BodyEncoder {
    /// Appends body bytes in their frame. An empty `data` adds nothing: an empty chunk would end the body.
    pub(crate) fn encode(&mut self, out: &mut Vec<u8>, data: &[u8]) -> Result<(), HttpOutputError> {
        if data.is_empty() {
            return Ok(());
        }
        match self {
            Self::Suppressed => {}
            Self::Forbidden(status) => return Err(HttpOutputError::BodyNotAllowed(*status)),
            Self::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(HttpOutputError::TooMuchData)?;
                out.extend_from_slice(data);
            }
            Self::Chunked => {
                chunk_size(out, data.len() as u64);
                out.extend_from_slice(data);
                out.extend_from_slice(b"\r\n");
            }
            Self::UntilClose => out.extend_from_slice(data),
        }
        Ok(())
    }

    /// Begins a piece of `length` body bytes that are sent behind `out` rather than in it; false when they are not to
    /// be sent at all. [`end_piece`](Self::end_piece) follows.
    pub(crate) fn begin_piece(&mut self, out: &mut Vec<u8>, length: u64) -> Result<bool, HttpOutputError> {
        if length == 0 {
            return Ok(false);
        }
        match self {
            Self::Suppressed => return Ok(false),
            Self::Forbidden(status) => return Err(HttpOutputError::BodyNotAllowed(*status)),
            Self::Length(left) => *left = left.checked_sub(length).ok_or(HttpOutputError::TooMuchData)?,
            Self::Chunked => chunk_size(out, length),
            Self::UntilClose => {}
        }
        Ok(true)
    }

    /// Ends what [`begin_piece`](Self::begin_piece) began.
    pub(crate) fn end_piece(&self, out: &mut Vec<u8>) {
        if *self == Self::Chunked {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// As [`finish`](Self::finish), with trailers where the framing has a place for them.
    pub(crate) fn finish_with(&self, out: &mut Vec<u8>, fields: &HttpHeaders) -> Result<(), HttpOutputError> {
        if *self != Self::Chunked {
            return self.finish(out);
        }
        out.extend_from_slice(b"0\r\n");
        fields.write_some(out, |name| !trailers::is_forbidden(name));
        head_writer::end(out);
        Ok(())
    }

    /// Appends what ends the body.
    pub(crate) fn finish(&self, out: &mut Vec<u8>) -> Result<(), HttpOutputError> {
        match self {
            Self::Length(0) | Self::Suppressed | Self::Forbidden(_) | Self::UntilClose => Ok(()),
            Self::Length(left) => Err(HttpOutputError::TooLittleData(*left)),
            Self::Chunked => {
                out.extend_from_slice(b"0\r\n\r\n");
                Ok(())
            }
        }
    }
}

/// The size line of a chunk, in lower-case hexadecimal.
fn chunk_size(out: &mut Vec<u8>, mut n: u64) {
    let mut line = [0; 18];
    let mut at = line.len() - 2;
    line[at..].copy_from_slice(b"\r\n");
    while n > 0 {
        at -= 1;
        line[at] = b"0123456789abcdef"[(n & 15) as usize];
        n >>= 4;
    }
    out.extend_from_slice(&line[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: ForResponse = ForResponse { http11: true, is_head: false, keep_alive: true };

    fn head(request: ForResponse, status: u16, fields: &[(&str, &str)]) -> (String, ResponseFacts) {
        let mut out = Vec::new();
        let headers = fields.iter().copied().collect();
        let facts =
            encode_head(&mut out, request, ResponseStartLine { status, reason: "R" }, &headers).unwrap();
        (String::from_utf8(out).unwrap(), facts)
    }

    #[test]
    fn framing_follows_request_and_status() {
        let old = ForResponse { http11: false, ..GET };
        let old_close = ForResponse { keep_alive: false, ..old };
        let close = ForResponse { keep_alive: false, ..GET };
        let is_head = ForResponse { is_head: true, ..GET };
        let length = [("Content-Length", "3")];
        #[rustfmt::skip] // one row, one line
        let table = [
            (GET, 200, &[][..], "Transfer-Encoding: chunked\r\n", BodyEncoder::Chunked, true),
            (GET, 200, &length, "Content-Length: 3\r\n", BodyEncoder::Length(3), true),
            (GET, 204, &[], "", BodyEncoder::Forbidden(204), true),
            (GET, 304, &[], "", BodyEncoder::Forbidden(304), true),
            (is_head, 200, &[], "", BodyEncoder::Suppressed, true),
            (is_head, 200, &length, "Content-Length: 3\r\n", BodyEncoder::Suppressed, true),
            (close, 200, &length, "Content-Length: 3\r\nConnection: close\r\n", BodyEncoder::Length(3), false),
            (GET, 200, &[("Connection", "close")], "Connection: close\r\nTransfer-Encoding: chunked\r\n", BodyEncoder::Chunked, false),
            (old, 200, &length, "Content-Length: 3\r\nConnection: Keep-Alive\r\n", BodyEncoder::Length(3), true),
            (old, 200, &[], "", BodyEncoder::UntilClose, false),
            (old_close, 200, &length, "Content-Length: 3\r\n", BodyEncoder::Length(3), false),
        ];
        for (request, status, fields, added, body, keep_alive) in table {
            let (text, facts) = head(request, status, fields);
            assert_eq!(text, format!("HTTP/1.1 {status} R\r\n{added}\r\n"));
            assert_eq!(facts, ResponseFacts { body, keep_alive }, "{request:?} {status} {fields:?}");
        }
    }

    #[test]
    fn an_application_cannot_frame_its_response_itself() {
        let is_head = ForResponse { is_head: true, ..GET };
        #[rustfmt::skip] // one row, one line
        let table = [
            (GET, 200, &[("Transfer-Encoding", "chunked")][..], "Transfer-Encoding: chunked\r\n", BodyEncoder::Chunked),
            (GET, 200, &[("Transfer-Encoding", "gzip"), ("A", "b")], "A: b\r\nTransfer-Encoding: chunked\r\n", BodyEncoder::Chunked),
            (GET, 200, &[("Content-Length", "3"), ("Transfer-Encoding", "chunked")], "Content-Length: 3\r\n", BodyEncoder::Length(3)),
            (is_head, 200, &[("Transfer-Encoding", "chunked")], "", BodyEncoder::Suppressed),
            (GET, 304, &[("Content-Length", "3"), ("Transfer-Encoding", "chunked")], "Content-Length: 3\r\n", BodyEncoder::Forbidden(304)),
            (GET, 204, &[("Content-Length", "3"), ("A", "b")], "A: b\r\n", BodyEncoder::Forbidden(204)),
        ];
        for (request, status, fields, sent, body) in table {
            let (text, facts) = head(request, status, fields);
            assert_eq!(text, format!("HTTP/1.1 {status} R\r\n{sent}\r\n"));
            assert_eq!(facts, ResponseFacts { body, keep_alive: true }, "{request:?} {status} {fields:?}");
        }
        let twice = [("Content-Length", "3"), ("Content-Length", "3")].into_iter().collect();
        let start = ResponseStartLine { status: 200, reason: "R" };
        assert_eq!(encode_head(&mut Vec::new(), GET, start, &twice), Err(HttpOutputError::ContentLength));
    }

    #[test]
    fn bodies() {
        let mut out = Vec::new();
        let mut chunked = BodyEncoder::Chunked;
        chunked.encode(&mut out, b"").unwrap();
        chunked.encode(&mut out, &[b'x'; 26]).unwrap();
        chunked.finish(&mut out).unwrap();
        assert_eq!(out, [b"1a\r\n".as_slice(), &[b'x'; 26], b"\r\n0\r\n\r\n"].concat());

        let mut out = Vec::new();
        let trailers = [("X-A", "1"), ("Content-Length", "5"), ("X-B", "2")].into_iter().collect();
        chunked.finish_with(&mut out, &trailers).unwrap();
        assert_eq!(out, b"0\r\nX-A: 1\r\nX-B: 2\r\n\r\n");
        out.clear();
        BodyEncoder::UntilClose.finish_with(&mut out, &trailers).unwrap();
        assert_eq!(
            BodyEncoder::Length(1).finish_with(&mut out, &trailers),
            Err(HttpOutputError::TooLittleData(1))
        );
        assert_eq!(out, b"", "there is no place for them");

        let mut out = Vec::new();
        assert_eq!(chunked.begin_piece(&mut out, 0), Ok(false), "an empty chunk would end the body");
        assert_eq!(chunked.begin_piece(&mut out, 0x1_2345_6789), Ok(true));
        chunked.end_piece(&mut out);
        assert_eq!(out, b"123456789\r\n\r\n");

        let mut out = Vec::new();
        let mut length = BodyEncoder::Length(3);
        length.encode(&mut out, b"ab").unwrap();
        assert_eq!(length.finish(&mut out), Err(HttpOutputError::TooLittleData(1)));
        assert_eq!(length.encode(&mut out, b"cd"), Err(HttpOutputError::TooMuchData));
        assert_eq!(out, b"ab");
        assert_eq!(
            BodyEncoder::Forbidden(204).encode(&mut out, b"x"),
            Err(HttpOutputError::BodyNotAllowed(204))
        );
        assert_eq!(BodyEncoder::Suppressed.encode(&mut out, b"x"), Ok(()));
        assert_eq!(length.begin_piece(&mut out, 2), Err(HttpOutputError::TooMuchData));
        assert_eq!(BodyEncoder::Suppressed.begin_piece(&mut out, 2), Ok(false));
        assert_eq!(
            BodyEncoder::Forbidden(304).begin_piece(&mut out, 2),
            Err(HttpOutputError::BodyNotAllowed(304))
        );
        assert_eq!(out, b"ab");
    }
}
