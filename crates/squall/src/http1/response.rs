//! Response heads, as a client reads them: from bytes to a [`ResponseHead`] and to what follows it.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::ops::Range;

use http::Version;
use httparse::Status;

use super::body::BodyLength;
use super::error::ParseError;
use super::head::{head_end, keep_one_length, mixes_line_ends, parse_length};
use crate::httputil::{ConnectionLimits, HttpHeaders, ows, reason_phrase};

/// Status line and headers of a response.
#[derive(Debug, Clone)]
pub(crate) struct ResponseHead {
    pub(crate) version: Version,
    pub(crate) status: u16,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) headers: HttpHeaders,
}

/// How a response's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseBody {
    Framed(BodyLength),
    /// With the connection.
    UntilClose,
}

/// What the head says about the rest of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResponseFacts {
    pub(crate) body: ResponseBody,
    /// The server takes another request on this connection.
    pub(crate) keep_alive: bool,
}

/// What was asked, as far as it decides how the answer ends (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Head,
    Connect,
    Other,
    /// A proxy asks for somebody else: what a status without a body says of one is dropped rather than refused, and a
    /// reason that is not there stays away.
    Forwarded {
        is_head: bool,
    },
}

impl Asked {
    fn is_head(self) -> bool {
        matches!(self, Self::Head | Self::Forwarded { is_head: true })
    }

    fn is_forwarded(self) -> bool {
        matches!(self, Self::Forwarded { .. })
    }
}

/// Parses the head at the start of `bytes`: its length, itself and its facts; `None` when its end has not arrived.
pub(crate) fn parse(
    bytes: &[u8],
    limits: &ConnectionLimits,
    asked: Asked,
) -> Result<Option<(usize, ResponseHead, ResponseFacts)>, ParseError> {
    // The parser would skip an empty line, as before a request (RFC 9112 §2.2).
    if let Some(b'\r' | b'\n') = bytes.first() {
        return Err(ParseError::StatusLine);
    }
    let Some(end) = head_end(bytes) else {
        check_start(bytes)?;
        let too_large = bytes.len() > limits.max_header_size;
        return if too_large { Err(ParseError::HeadTooLarge) } else { Ok(None) };
    };
    if end > limits.max_header_size {
        return Err(ParseError::HeadTooLarge);
    }
    if mixes_line_ends(&bytes[..end]) {
        return Err(ParseError::LineEnd);
    }
    let head = &bytes[..end];
    let parsed = match parse_lines(&as_known_version(head.into()), limits, asked) {
        // What a folded line goes on with is no name. Few servers still send such.
        Err(ParseError::HeaderName) => parse_lines(&as_known_version(unfold(head)?), limits, asked),
        parsed => parsed,
    };
    let (head, facts) = parsed?;
    Ok(Some((end, head, facts)))
}

/// Parses a whole head without folded lines.
fn parse_lines(
    lines: &[u8],
    limits: &ConnectionLimits,
    asked: Asked,
) -> Result<(ResponseHead, ResponseFacts), ParseError> {
    // A line takes four bytes at least. Most heads have few, for which no memory is needed.
    let most = limits.max_header_count.min(lines.len() / 4 + 1);
    let (mut few, mut many) = ([const { MaybeUninit::uninit() }; 64], Vec::new());
    let headers = match few.get_mut(..most) {
        Some(few) => few,
        None => {
            many.resize(most, MaybeUninit::uninit());
            &mut many[..]
        }
    };
    let mut response = httparse::Response::new(&mut []);
    let mut parser = httparse::ParserConfig::default();
    // RFC 9112 §5.1: removed, whereas a request with it is refused.
    parser.allow_spaces_after_header_name_in_responses(true);
    let parsed = parser.parse_response_with_uninit_headers(&mut response, lines, headers);
    match parsed {
        Ok(Status::Complete(_)) => {}
        Err(httparse::Error::HeaderName) => return Err(ParseError::HeaderName),
        Err(httparse::Error::HeaderValue) => return Err(ParseError::HeaderValue),
        Err(httparse::Error::NewLine) => return Err(ParseError::LineEnd),
        Err(httparse::Error::TooManyHeaders) => return Err(ParseError::TooManyHeaders),
        Err(httparse::Error::Version) => return Err(ParseError::Version),
        Ok(Status::Partial) | Err(_) => return Err(ParseError::StatusLine),
    }
    let (Some(status @ 100..), Some(minor)) = (response.code, response.version) else {
        return Err(ParseError::StatusLine);
    };
    let mut head = ResponseHead {
        version: if minor == 1 { Version::HTTP_11 } else { Version::HTTP_10 },
        status,
        reason: reason(lines, response.reason, status, asked),
        headers: HttpHeaders::new(),
    };
    let ranges = response.headers.iter().map(|h| (range(lines, h.name.as_bytes()), range(lines, h.value)));
    head.headers.load(lines, ranges);
    let facts = framing(response.headers, &mut head, asked)?;
    Ok((head, facts))
}

/// The reason as it was sent, if it is UTF-8; else the usual one. The parser leaves out those with octets beyond ASCII.
fn reason(lines: &[u8], parsed: Option<&str>, status: u16, asked: Asked) -> Cow<'static, str> {
    let sent = match parsed {
        Some("") => {
            let line = lines.split(|&octet| octet == b'\n').next().unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            line.get("HTTP/1.1 200 ".len()..).and_then(|octets| std::str::from_utf8(octets).ok())
        }
        parsed => parsed,
    };
    match (sent.unwrap_or_default(), reason_phrase(status)) {
        ("", "Unknown") if asked.is_forwarded() => Cow::Borrowed(""),
        ("", usual) => Cow::Borrowed(usual),
        (sent, usual) if sent == usual => Cow::Borrowed(usual),
        (sent, _) => Cow::Owned(sent.to_owned()),
    }
}

/// Something else than HTTP/1 is told apart by its first bytes, without waiting for the end of a head.
fn check_start(bytes: &[u8]) -> Result<(), ParseError> {
    const START: &[u8] = b"HTTP/1.";
    let length = bytes.len().min(START.len());
    if bytes[..length] == START[..length] { Ok(()) } else { Err(ParseError::StatusLine) }
}

/// Folded lines, which old servers still send, joined with a space (RFC 9112 §5.2).
///
/// # Errors
/// The status line cannot be continued.
fn unfold(head: &[u8]) -> Result<Cow<'_, [u8]>, ParseError> {
    let folded = |at: usize| matches!(head.get(at + 1), Some(b' ' | b'\t'));
    let mut ends = memchr::memchr_iter(b'\n', head);
    if ends.next().is_some_and(folded) {
        return Err(ParseError::StatusLine);
    }
    if !ends.any(folded) {
        return Ok(Cow::Borrowed(head));
    }
    let mut joined = Vec::with_capacity(head.len());
    for line in head.split_inclusive(|&b| b == b'\n') {
        if let [b' ' | b'\t', rest @ ..] = line {
            let kept = joined.strip_suffix(b"\n").unwrap_or(&joined);
            let kept = kept.strip_suffix(b"\r").unwrap_or(kept).len();
            joined.truncate(kept);
            joined.push(b' ');
            let blanks = rest.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
            joined.extend_from_slice(&rest[blanks..]);
        } else {
            joined.extend_from_slice(line);
        }
    }
    Ok(Cow::Owned(joined))
}

/// HTTP/1.2 to HTTP/1.9, which do not exist, are read as HTTP/1.1 (RFC 9110 §2.5).
fn as_known_version(head: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match head.get(..9) {
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9', b' ']) => {
            let mut head = head.into_owned();
            head[7] = b'1';
            head.into()
        }
        _ => head,
    }
}

fn range(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

/// RFC 9112 §6.3, with every ambiguity refused: a message of which two parsers disagree where it ends would desynchronise
/// the connection.
fn framing(
    lines: &[httparse::Header<'_>],
    head: &mut ResponseHead,
    asked: Asked,
) -> Result<ResponseFacts, ParseError> {
    let http11 = head.version == Version::HTTP_11;
    let (mut close, mut keep) = (false, false);
    for line in lines.iter().filter(|line| {
        line.name.eq_ignore_ascii_case("connection") || line.name.eq_ignore_ascii_case("proxy-connection")
    }) {
        for token in tokens(line.value) {
            close |= token.eq_ignore_ascii_case(b"close");
            keep |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    let nothing = [ResponseBody::UntilClose, ResponseBody::Framed(BodyLength::Empty)];
    // A protocol that is changed to begins behind the head: there a body would be more than a word too much.
    let forgiven = asked.is_forwarded() && matches!(head.status, 100 | 102..=199 | 204);
    let announced = match announced(lines, http11) {
        // These end with their head, whatever it says of a body (rule 1). But who errs there is not asked again, and what
        // is not understood is not handed on.
        Err(_) if asked.is_head() || head.status == 304 || forgiven => {
            close = true;
            unframe(head)
        }
        Ok(announced) if forgiven && !nothing.contains(&announced) => {
            close = true;
            unframe(head)
        }
        announced => announced?,
    };
    let lengths = lines.iter().filter(|line| line.name.eq_ignore_ascii_case("content-length"));
    if lengths.flat_map(|line| tokens(line.value)).count() > 1 {
        match announced {
            ResponseBody::Framed(BodyLength::Length(length)) => {
                keep_one_length(&mut head.headers, Some(length));
            }
            ResponseBody::Framed(BodyLength::Empty) => keep_one_length(&mut head.headers, Some(0)),
            ResponseBody::Framed(BodyLength::Chunked) | ResponseBody::UntilClose => {}
        }
    }
    // What announces it may also send it, and then it would be taken for the next response.
    if matches!(head.status, 100..=199 | 204) && !nothing.contains(&announced) {
        return Err(ParseError::UnexpectedBody);
    }
    let bodiless = asked.is_head()
        || matches!(head.status, 100..=199 | 204 | 304)
        || (asked == Asked::Connect && (200..300).contains(&head.status));
    let body = if bodiless { ResponseBody::Framed(BodyLength::Empty) } else { announced };
    let keep_alive = !close && (http11 || keep) && body != ResponseBody::UntilClose;
    Ok(ResponseFacts { body, keep_alive })
}

/// Removes what is said of a body that is none.
fn unframe(head: &mut ResponseHead) -> ResponseBody {
    head.headers.remove("Content-Length");
    head.headers.remove("Transfer-Encoding");
    ResponseBody::UntilClose
}

/// The body that the headers announce.
fn announced(lines: &[httparse::Header<'_>], http11: bool) -> Result<ResponseBody, ParseError> {
    let (mut length, mut chunked) = (None, false);
    for line in lines {
        if line.name.eq_ignore_ascii_case("content-length") {
            for value in tokens(line.value) {
                let value = parse_length(value)?;
                if length.is_some_and(|former| former != value) {
                    return Err(ParseError::ContentLength);
                }
                length = Some(value);
            }
        } else if line.name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked || !http11 || !line.value.eq_ignore_ascii_case(b"chunked") {
                return Err(ParseError::TransferEncoding);
            }
            chunked = true;
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err(ParseError::LengthAndEncoding),
        (None, true) => Ok(ResponseBody::Framed(BodyLength::Chunked)),
        (Some(0), false) => Ok(ResponseBody::Framed(BodyLength::Empty)),
        (Some(length), false) => Ok(ResponseBody::Framed(BodyLength::Length(length))),
        (None, false) => Ok(ResponseBody::UntilClose),
    }
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(ows::trim_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, asked: Asked) -> Result<Option<(usize, ResponseHead, ResponseFacts)>, ParseError> {
        parse(text.as_bytes(), &ConnectionLimits::default(), asked)
    }

    #[test]
    fn the_end_of_a_response_is_known() {
        use BodyLength::{Chunked, Empty, Length};
        use ResponseBody::{Framed, UntilClose};
        for (text, asked, body, keep_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Asked::Other, Framed(Length(5)), true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", Asked::Other, Framed(Length(5)), true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Asked::Head, Framed(Empty), true),
            ("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n", Asked::Other, Framed(Chunked), true),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                Asked::Other,
                Framed(Empty),
                false,
            ),
            ("HTTP/1.1 200 OK\r\n\r\n", Asked::Other, UntilClose, false),
            ("HTTP/1.0 200 OK\r\n\r\n", Asked::Other, UntilClose, false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", Asked::Other, Framed(Length(1)), false),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n",
                Asked::Other,
                Framed(Length(1)),
                true,
            ),
            ("HTTP/1.2 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Asked::Other, Framed(Chunked), true),
            ("HTTP/1.1 204 No Content\r\n\r\n", Asked::Other, Framed(Empty), true),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", Asked::Other, Framed(Empty), true),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Asked::Other, Framed(Empty), true),
            ("HTTP/1.1 100 Continue\r\n\r\n", Asked::Other, Framed(Empty), true),
            ("HTTP/1.1 200 Connection established\r\n\r\n", Asked::Connect, Framed(Empty), true),
            ("HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\n", Asked::Connect, Framed(Length(2)), true),
            // What ends with its head has no length to be wrong about.
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Asked::Head, Framed(Empty), false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n", Asked::Head, Framed(Empty), false),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Asked::Head, Framed(Empty), false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Asked::Head, Framed(Empty), false),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n\r\n", Asked::Other, Framed(Empty), false),
        ] {
            let (length, _, facts) = parsed(text, asked).unwrap().unwrap();
            assert_eq!((length, facts), (text.len(), ResponseFacts { body, keep_alive }), "{text:?}");
        }
    }

    #[test]
    fn what_is_forwarded_need_not_be_flawless() {
        const ASKED: Asked = Asked::Forwarded { is_head: false };
        for (text, keep_alive) in [
            ("HTTP/1.1 204 No Content\r\n\r\n", true),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false),
            ("HTTP/1.1 204 No Content\r\nContent-Length: x\r\n\r\n", false),
            ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n", false),
        ] {
            let (length, head, facts) = parsed(text, ASKED).unwrap().unwrap();
            let body = ResponseBody::Framed(BodyLength::Empty);
            assert_eq!((length, facts), (text.len(), ResponseFacts { body, keep_alive }), "{text:?}");
            let told = ["Content-Length", "Transfer-Encoding"].map(|name| head.headers.contains(name));
            assert!(keep_alive || told == [false; 2], "{text:?}");
        }
        let changed = "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(parsed(changed, ASKED).map(|_| ()), Err(ParseError::UnexpectedBody));
        for (line, forwarded, own) in [
            ("200", "OK", "OK"),
            ("200 ", "OK", "OK"),
            ("299 ", "", "Unknown"),
            ("299", "", "Unknown"),
            ("200 \u{e9}t\u{e9}", "\u{e9}t\u{e9}", "\u{e9}t\u{e9}"),
            ("200  two  blanks ", " two  blanks ", " two  blanks "),
        ] {
            for (asked, expected) in [(ASKED, forwarded), (Asked::Other, own)] {
                let (_, head, _) = parsed(&format!("HTTP/1.1 {line}\r\n\r\n"), asked).unwrap().unwrap();
                assert_eq!(head.reason, expected, "{line:?}");
            }
        }
    }

    #[test]
    fn each_broken_rule_has_its_error() {
        for (text, expected) in [
            ("HTTP/1.1 OK\r\n\r\n", ParseError::StatusLine),
            ("HTTP/1.1 99x OK\r\n\r\n", ParseError::StatusLine),
            ("HTTP/1.1 200 OK\r\n folded\r\nA: b\r\n\r\n", ParseError::StatusLine),
            ("HTTP/1.1 200\r\n\tOK\r\n\r\n", ParseError::StatusLine),
            ("HTTP/1.1 200 OK\r\nA: b\n\n", ParseError::LineEnd),
            ("HTTP/2.0 200 OK\r\n\r\n", ParseError::Version),
            ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", ParseError::HeaderName),
            ("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", ParseError::HeaderValue),
            ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", ParseError::ContentLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", ParseError::ContentLength),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                ParseError::LengthAndEncoding,
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", ParseError::TransferEncoding),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ParseError::TransferEncoding),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", ParseError::UnexpectedBody),
            ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", ParseError::UnexpectedBody),
            ("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", ParseError::UnexpectedBody),
            // Told apart before a whole head is there.
            ("SSH-2.0-OpenSSH", ParseError::StatusLine),
            ("HTTX", ParseError::StatusLine),
            // A request may have an empty line before it, a response not (RFC 9112 §2.2).
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", ParseError::StatusLine),
            ("HTTP/1.1 099 OK\r\n\r\n", ParseError::StatusLine),
            (
                "HTTP/1.1 101 Switching Protocols\r\nTransfer-Encoding: chunked\r\n\r\n",
                ParseError::UnexpectedBody,
            ),
        ] {
            assert_eq!(parsed(text, Asked::Other).map(|_| ()), Err(expected), "{text:?}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(70_000));
        assert_eq!(parsed(&long, Asked::Other).map(|_| ()), Err(ParseError::HeadTooLarge));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(1_001));
        assert_eq!(parsed(&many, Asked::Other).map(|_| ()), Err(ParseError::TooManyHeaders));
    }

    #[test]
    fn what_old_servers_send_is_read() {
        let (_, head, _) = parsed("HTTP/1.1 200 OK\nX-Foo: a\n  b\r\n\tc\r\nX-Bar: d\r\n\r\n", Asked::Other)
            .unwrap()
            .unwrap();
        assert_eq!(head.headers.get("X-Foo"), Some("a b c"));
        assert_eq!(head.headers.get("X-Bar"), Some("d"));
        let (_, head, _) = parsed("HTTP/1.1 404\r\n\r\n", Asked::Other).unwrap().unwrap();
        assert_eq!(head.reason, "Not Found");
    }

    #[test]
    fn no_prefix_of_a_head_is_a_head() {
        let text = "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 3\r\n\r\n";
        for end in 0..text.len() {
            assert!(parsed(&text[..end], Asked::Other).unwrap().is_none(), "{end}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), start: bool) {
            let bytes = if start { [b"HTTP/1.1 200 OK\r\n".as_slice(), &bytes].concat() } else { bytes };
            let _ = parse(&bytes, &ConnectionLimits::default(), Asked::Other);
        }
    }
}
