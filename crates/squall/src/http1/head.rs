//! Request heads: from bytes to a [`RequestHead`] and to what follows it.
//!
//! The lines are split by `httparse`; this file adds what a server must also refuse (RFC 9112 §§2–6) and reads,
//! in the same pass, the fields that decide the framing.

use std::mem::MaybeUninit;
use std::ops::Range;

use http::{Method, Version};
use httparse::Status;

use super::body::BodyLength;
use super::error::ParseError;
use crate::httputil::{ConnectionLimits, HttpHeaders, RequestHead, host, length, ows};

/// What the head says about the rest of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestFacts {
    /// How the body ends.
    pub(crate) body: BodyLength,
    /// HTTP/1.1 framing may be used in the answer.
    pub(crate) http11: bool,
    /// The method is HEAD: the answer has no body.
    pub(crate) is_head: bool,
    /// The client would send another request on this connection.
    pub(crate) keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(crate) expect_continue: bool,
}

/// Header lines parsed without touching the heap; heads with more take the slower way.
const USUAL_HEADERS: usize = 64;

/// Parses the head at the start of `bytes` into `head`.
///
/// Returns the head's length and facts, or `None` when its end has not arrived.
pub(crate) fn parse(
    bytes: &[u8],
    limits: &ConnectionLimits,
    head: &mut RequestHead,
) -> Result<Option<(usize, RequestFacts)>, ParseError> {
    let skipped = leading_line(bytes)?;
    let bytes = &bytes[skipped..];
    let parsed = match parse_lines(bytes, limits, head) {
        Err(ParseError::Version) => parse_newer_version(bytes, limits, head),
        other => other,
    };
    let parsed = match parsed {
        Err(ParseError::HeaderName) if has_folded_line(bytes) => return Err(ParseError::Folded),
        other => other?,
    };
    match parsed {
        Some((len, _)) if len > limits.max_header_size => Err(too_large(bytes, limits)),
        Some((len, _)) if mixes_line_ends(&bytes[..len]) => Err(ParseError::LineEnd),
        None if bytes.len() > limits.max_header_size => Err(too_large(bytes, limits)),
        other => Ok(other.map(|(len, facts)| (len + skipped, facts))),
    }
}

/// What is too large about a head that is.
fn too_large(bytes: &[u8], limits: &ConnectionLimits) -> ParseError {
    let line = &bytes[..bytes.len().min(limits.max_header_size)];
    match memchr::memchr2(b' ', b'\n', line) {
        None => ParseError::MethodTooLong,
        Some(_) if memchr::memchr(b'\n', line).is_none() => ParseError::TargetTooLong,
        Some(_) => ParseError::HeadTooLarge,
    }
}

/// Whether parsing again may tell more than it did when the first `seen` bytes were there: the end of the head has
/// come, or so much that the cost stays linear in the head's length however it is split.
pub(crate) fn worth_parsing(bytes: &[u8], seen: usize, max_header_size: usize) -> bool {
    bytes.len() >= seen * 2
        || bytes.len() > max_header_size
        || head_end(&bytes[seen.saturating_sub(3)..]).is_some()
}

/// One empty line before the request line is skipped (RFC 9112 §2.2); more are not a client's slip any longer.
fn leading_line(bytes: &[u8]) -> Result<usize, ParseError> {
    let skipped = match bytes {
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        _ => return Ok(0),
    };
    match bytes.get(skipped) {
        Some(b'\r' | b'\n') => Err(ParseError::LeadingLines),
        _ => Ok(skipped),
    }
}

#[inline]
fn parse_lines(
    bytes: &[u8],
    limits: &ConnectionLimits,
    head: &mut RequestHead,
) -> Result<Option<(usize, RequestFacts)>, ParseError> {
    let mut usual = [const { MaybeUninit::uninit() }; USUAL_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let parsed =
        request.parse_with_uninit_headers(bytes, &mut usual[..USUAL_HEADERS.min(limits.max_header_count)]);
    if parsed != Err(httparse::Error::TooManyHeaders) {
        return fill(bytes, &request, parsed, head);
    }
    if limits.max_header_count <= USUAL_HEADERS {
        return Err(ParseError::TooManyHeaders);
    }
    let mut many = vec![MaybeUninit::uninit(); limits.max_header_count];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(bytes, &mut many);
    fill(bytes, &request, parsed, head)
}

fn fill(
    bytes: &[u8],
    request: &httparse::Request<'_, '_>,
    parsed: httparse::Result<usize>,
    head: &mut RequestHead,
) -> Result<Option<(usize, RequestFacts)>, ParseError> {
    let len = match parsed {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::HeaderName) => return Err(ParseError::HeaderName),
        Err(httparse::Error::HeaderValue) => return Err(ParseError::HeaderValue),
        Err(httparse::Error::NewLine) => return Err(ParseError::LineEnd),
        Err(httparse::Error::TooManyHeaders) => return Err(ParseError::TooManyHeaders),
        Err(httparse::Error::Version) => return Err(ParseError::Version),
        Err(_) => return Err(ParseError::RequestLine),
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(ParseError::RequestLine);
    };
    head.method = Method::from_bytes(method.as_bytes()).map_err(|_| ParseError::RequestLine)?;
    head.version = if minor == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
    check_target(target, &head.method)?;
    head.target.clear();
    head.target.push_str(target);

    let start = request.headers.first().map_or(len, |h| offset(bytes, h.name.as_bytes()));
    let lines = &bytes[start..len];
    head.headers.load(
        lines,
        request.headers.iter().map(|h| (range(lines, h.name.as_bytes()), range(lines, h.value))),
    );
    let facts = framing(request.headers, head)?;
    Ok(Some((len, facts)))
}

/// Where `part`, a slice of `whole`, begins.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

fn range(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = offset(whole, part);
    start..start + part.len()
}

/// RFC 9112 §3.2: origin-form, absolute-form, authority-form (CONNECT) or `*` (OPTIONS).
///
/// A fragment has no place in it, and octets beyond ASCII only percent-encoded: what two servers read differently may
/// be two resources.
pub(crate) fn check_target(target: &str, method: &Method) -> Result<(), ParseError> {
    if !target.bytes().all(|b| matches!(b, b'!'..=b'~') && b != b'#') {
        return Err(ParseError::Target);
    }
    match target.as_bytes() {
        [b'/', ..] => Ok(()),
        b"*" if *method == Method::OPTIONS => Ok(()),
        b"*" => Err(ParseError::Target),
        _ if *method == Method::CONNECT => Ok(()),
        _ => match host::split_absolute(target) {
            Some((authority, _)) if !authority.is_empty() && host::is_valid(authority.as_bytes()) => Ok(()),
            Some(_) => Err(ParseError::Host),
            // What Tornado passes on and no route will match.
            None => Ok(()),
        },
    }
}

/// Whether the empty line that ends a head is a mere LF though other lines end in CRLF: a parser that knows only CRLF
/// does not see that end, and reads on into what follows.
pub(super) fn mixes_line_ends(head: &[u8]) -> bool {
    !head.ends_with(b"\r\n") && memchr::memchr(b'\r', head).is_some()
}

/// Reads the fields that decide framing, and refuses every ambiguity (RFC 9112 §6.3).
fn framing(lines: &[httparse::Header<'_>], head: &mut RequestHead) -> Result<RequestFacts, ParseError> {
    let http11 = head.version == Version::HTTP_11;
    let mut facts = RequestFacts {
        body: BodyLength::Empty,
        http11,
        is_head: head.method == Method::HEAD,
        keep_alive: http11,
        expect_continue: false,
    };
    let (mut hosts, mut length, mut lengths, mut chunked) = (0, None, 0, false);
    let (mut close, mut keep) = (false, false);
    for line in lines {
        let name = line.name;
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                hosts += 1;
                if hosts > 1 || !host::is_valid(line.value) {
                    return Err(ParseError::Host);
                }
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                facts.expect_continue = http11 && line.value.eq_ignore_ascii_case(b"100-continue");
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                for token in line.value.split(|&b| b == b',').map(ows::trim_bytes) {
                    close |= token.eq_ignore_ascii_case(b"close");
                    keep |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                lengths += read_lengths(line.value, &mut length)?;
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                // A second line would make the coding a list, and a list is not `chunked` alone.
                if chunked || !line.value.eq_ignore_ascii_case(b"chunked") || !http11 {
                    return Err(ParseError::TransferEncoding);
                }
                chunked = true;
            }
            _ => {}
        }
    }
    if http11 && hosts == 0 {
        return Err(ParseError::Host);
    }
    if lengths > 1 {
        keep_one_length(&mut head.headers, length);
    }
    facts.body = match (length, chunked) {
        (Some(_), true) => return Err(ParseError::LengthAndEncoding),
        (None, true) => BodyLength::Chunked,
        (None | Some(0), false) => BodyLength::Empty,
        (Some(n), false) => BodyLength::Length(n),
    };
    facts.keep_alive = !close && (http11 || keep);
    Ok(facts)
}

/// The numbers of a line of Content-Length, which are to be the same as before, and how many they are.
fn read_lengths(line: &[u8], length: &mut Option<u64>) -> Result<u32, ParseError> {
    let mut count = 0;
    for value in line.split(|&b| b == b',').map(ows::trim_bytes) {
        let value = parse_length(value)?;
        if length.is_some_and(|former| former != value) {
            return Err(ParseError::ContentLength);
        }
        *length = Some(value);
        count += 1;
    }
    Ok(count)
}

/// RFC 9110 §8.6: a length that is told several times is replaced by the one number before anybody else reads it.
pub(super) fn keep_one_length(headers: &mut HttpHeaders, length: Option<u64>) {
    if let Some(length) = length {
        // A number can stand in a header.
        let _ = headers.set("Content-Length", itoa::Buffer::new().format(length));
    }
}

/// The value of one Content-Length.
pub(crate) fn parse_length(digits: &[u8]) -> Result<u64, ParseError> {
    length::parse(digits).ok_or(ParseError::ContentLength)
}

/// Whether a line continues the header line before it.
fn has_folded_line(bytes: &[u8]) -> bool {
    let lines = memchr::memchr_iter(b'\n', bytes);
    // A first header line that begins with white space continues nothing.
    lines.skip(1).any(|at| matches!(bytes.get(at + 1), Some(b' ' | b'\t')))
}

/// HTTP/1.2 to HTTP/1.9, which do not exist, are read as HTTP/1.1 (RFC 9110 §2.5; Tornado takes them for 1.0).
fn parse_newer_version(
    bytes: &[u8],
    limits: &ConnectionLimits,
    head: &mut RequestHead,
) -> Result<Option<(usize, RequestFacts)>, ParseError> {
    let line = &bytes[..memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let [start @ .., b'2'..=b'9'] = line else { return Err(ParseError::Version) };
    // Of more words than three it is known already that no line end makes them a request line.
    let words = start.strip_suffix(b" HTTP/1.").ok_or(ParseError::Version)?;
    if memchr::memchr_iter(b' ', words).count() != 1 {
        return Err(ParseError::Version);
    }
    let Some(end) = head_end(bytes) else { return Ok(None) };
    let as_http11 = [start, b"1", &bytes[line.len()..end]].concat();
    parse_lines(&as_http11, limits, head)
}

/// The length of the head, when its closing empty line has arrived.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|at| match &bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Option<(usize, RequestFacts, RequestHead)>, ParseError> {
        let mut head = RequestHead::default();
        let found = parse(text.as_bytes(), &ConnectionLimits::default(), &mut head)?;
        Ok(found.map(|(len, facts)| (len, facts, head)))
    }

    fn error(text: &str) -> ParseError {
        match parsed(text) {
            Err(error) => error,
            Ok(other) => panic!("{text:?} gave {:?}", other.map(|(len, facts, _)| (len, facts))),
        }
    }

    #[test]
    fn a_plain_request() {
        let text = "POST /p?q=1 HTTP/1.1\r\nhost: h\r\nX-A:  1 \r\ncontent-length: 3\r\n\r\nabc";
        let (len, facts, head) = parsed(text).unwrap().unwrap();
        assert_eq!(len, text.len() - 3);
        assert_eq!((head.method, head.target.as_str()), (Method::POST, "/p?q=1"));
        assert_eq!(
            head.headers.iter().collect::<Vec<_>>(),
            [("Host", "h"), ("X-A", "1"), ("Content-Length", "3")]
        );
        assert_eq!(
            facts,
            RequestFacts {
                body: BodyLength::Length(3),
                http11: true,
                is_head: false,
                keep_alive: true,
                expect_continue: false
            }
        );
    }

    #[test]
    fn every_prefix_of_a_head_is_incomplete_and_none_is_an_error() {
        for text in [
            "\r\nGET / HTTP/1.1\r\nHost: h\r\nX: a\r\nY: 2\r\n\r\n",
            "GET / HTTP/1.7\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\nHost: h\n\n",
        ] {
            for end in 0..text.len() {
                let found = parsed(&text[..end]);
                assert!(
                    matches!(found, Ok(None)),
                    "{:?} gave {:?}",
                    &text[..end],
                    found.map(|f| f.map(|f| f.1))
                );
            }
            assert!(parsed(text).unwrap().is_some(), "{text:?}");
        }
    }

    #[test]
    fn folded_lines_are_refused() {
        assert_eq!(error("GET / HTTP/1.1\r\nX: a\r\n \t b\r\nHost: h\r\n\r\n"), ParseError::Folded);
        assert_eq!(error("GET / HTTP/1.1\r\nHost: h\r\n x\r\n\r\n"), ParseError::Folded);
        assert_eq!(error("GET / HTTP/1.7\r\nX: a\r\n b\r\n\r\n"), ParseError::Folded);
        assert_eq!(error("GET / HTTP/1.1\r\n X: 1\r\nHost: h\r\n\r\n"), ParseError::HeaderName);
    }

    #[test]
    fn newer_minor_versions_are_http_1_1() {
        let (_, facts, head) = parsed("GET / HTTP/1.7\r\nHost: h\r\n\r\n").unwrap().unwrap();
        assert!(facts.keep_alive && facts.http11);
        assert_eq!(head.version, Version::HTTP_11);
        assert_eq!(error("GET / HTTP/1.2\r\n\r\n"), ParseError::Host);
        // Known at once, not only at the end of the head.
        assert_eq!(error("GET / HT HTTP/1.7\r\n"), ParseError::Version);
    }

    #[test]
    fn a_head_ends_as_its_lines_do() {
        for good in ["\r\n|\r\n|\r\n", "\n|\n|\n", "\n|\r\n|\r\n", "\r\n|\n|\r\n"] {
            let ends: Vec<_> = good.split('|').collect();
            let text = format!("GET / HTTP/1.1{}Host: h{}{}", ends[0], ends[1], ends[2]);
            assert!(parsed(&text).unwrap().is_some(), "{text:?}");
        }
        for bad in ["\r\n|\n|\n", "\r\n|\r\n|\n", "\n|\r\n|\n"] {
            let ends: Vec<_> = bad.split('|').collect();
            let text = format!("GET / HTTP/1.1{}Host: h{}{}", ends[0], ends[1], ends[2]);
            assert_eq!(error(&text), ParseError::LineEnd);
        }
    }

    #[test]
    fn persistence() {
        for (version, connection, keep) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: x, CLOSE\r\n", false),
            ("1.1", "Connection: close, keep-alive\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
        ] {
            let text = format!("GET / HTTP/{version}\r\nHost: h\r\n{connection}\r\n");
            assert_eq!(parsed(&text).unwrap().unwrap().1.keep_alive, keep, "{text:?}");
        }
    }

    #[test]
    fn each_broken_rule_has_its_error() {
        let h = "Host: h\r\n";
        for (text, expected) in [
            ("GET /\r\n\r\n".into(), ParseError::RequestLine),
            ("GET  / HTTP/1.1\r\n\r\n".into(), ParseError::RequestLine),
            ("GET /a b HTTP/1.1\r\n\r\n".into(), ParseError::Version),
            ("G\x01T / HTTP/1.1\r\n\r\n".into(), ParseError::RequestLine),
            ("GET /\x01 HTTP/1.1\r\n\r\n".into(), ParseError::RequestLine),
            ("GET / http/1.1\r\n\r\n".into(), ParseError::Version),
            ("GET / HTTP/2.0\r\n\r\n".into(), ParseError::Version),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n".into(), ParseError::LeadingLines),
            ("GET / HTTP/1.1\r\nnocolon\r\n\r\n".into(), ParseError::HeaderName),
            ("GET / HTTP/1.1\r\n: x\r\n\r\n".into(), ParseError::HeaderName),
            ("GET / HTTP/1.1\r\nX : x\r\n\r\n".into(), ParseError::HeaderName),
            ("GET / HTTP/1.1\r\nX: a\0b\r\n\r\n".into(), ParseError::HeaderValue),
            ("GET / HTTP/1.1\r\nX: a\rb\r\n\r\n".into(), ParseError::HeaderValue),
            ("GET / HTTP/1.1\r\n\r\n".into(), ParseError::Host),
            (format!("GET / HTTP/1.1\r\n{h}{h}\r\n"), ParseError::Host),
            ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n".into(), ParseError::Host),
            (format!("GET http://a,b/ HTTP/1.1\r\n{h}\r\n"), ParseError::Host),
            (format!("POST / HTTP/1.1\r\n{h}Content-Length: +1\r\n\r\n"), ParseError::ContentLength),
            (format!("POST / HTTP/1.1\r\n{h}Content-Length: 1_0\r\n\r\n"), ParseError::ContentLength),
            (format!("POST / HTTP/1.1\r\n{h}Content-Length:\r\n\r\n"), ParseError::ContentLength),
            (format!("POST / HTTP/1.1\r\n{h}Content-Length: 0x1\r\n\r\n"), ParseError::ContentLength),
            (
                format!("POST / HTTP/1.1\r\n{h}Content-Length: 99999999999999999999\r\n\r\n"),
                ParseError::ContentLength,
            ),
            (
                format!("POST / HTTP/1.1\r\n{h}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
                ParseError::ContentLength,
            ),
            (format!("POST / HTTP/1.1\r\n{h}Content-Length: 1, 2\r\n\r\n"), ParseError::ContentLength),
            (
                format!("POST / HTTP/1.1\r\n{h}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
                ParseError::LengthAndEncoding,
            ),
            (format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding: gzip\r\n\r\n"), ParseError::TransferEncoding),
            (
                format!("POST / HTTP/1.1\r\n{h}Transfer-Encoding: gzip, chunked\r\n\r\n"),
                ParseError::TransferEncoding,
            ),
            (
                format!(
                    "POST / HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
                ),
                ParseError::TransferEncoding,
            ),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(), ParseError::TransferEncoding),
        ] {
            assert_eq!(error(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn limits() {
        let limits = ConnectionLimits { max_header_size: 100, max_header_count: 3, ..Default::default() };
        let mut head = RequestHead::default();
        let mut check = |text: &str| parse(text.as_bytes(), &limits, &mut head).map(|f| f.is_some());
        assert_eq!(check("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\n\r\n"), Ok(true));
        assert_eq!(
            check("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"),
            Err(ParseError::TooManyHeaders)
        );
        let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(100));
        assert_eq!(check(&long), Err(ParseError::TargetTooLong));
        assert_eq!(check(&long[..99]), Ok(false));
        assert_eq!(check(&long[..101]), Err(ParseError::TargetTooLong));
        assert_eq!(check(&"G".repeat(101)), Err(ParseError::MethodTooLong));
        let long = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(100));
        assert_eq!(check(&long), Err(ParseError::HeadTooLarge));
        assert_eq!(check(&long[..101]), Err(ParseError::HeadTooLarge));
    }

    #[test]
    fn many_headers_are_taken_up_to_the_limit() {
        let lines: String = (0..999).map(|i| format!("X-{i}: {i}\r\n")).collect();
        let (_, _, head) = parsed(&format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).unwrap().unwrap();
        assert_eq!(head.headers.len(), 1000);
        assert_eq!(
            error(&format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}A: 1\r\n\r\n")),
            ParseError::TooManyHeaders
        );
    }
}
