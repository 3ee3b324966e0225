//! What the fuzz targets in `fuzz/` call, of heads and bodies as they come over a connection. Not a public interface.
//!
//! Each function takes any bytes whatever, and panics when what must hold of the machines does not. The first byte
//! chooses settings, the second says how the rest is cut.

use std::fmt::Debug;
use std::io::Write;

use http::Version;

use crate::http1::body::{BodyDecoder, BodyLength};
use crate::http1::response::{self, Asked, ResponseBody, ResponseHead};
use crate::http1::{ParseError, head, head_writer};
use crate::httputil::exchange::BodyRefusal;
use crate::httputil::inflate::Inflater;
use crate::httputil::limits::{INFLATION_FLOOR, MAX_INFLATION};
use crate::httputil::{ConnectionLimits, HttpHeaders, RequestHead, is_token, ows};

/// What may follow a head, none of which is part of it.
const FOLLOWING: [&[u8]; 5] =
    [b"", b"\n", b"\r\n\r\n", b" folded\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"];

/// What a parser has found: the head, for comparisons as its parts, and what is read from it.
#[derive(Debug, PartialEq)]
struct Found<F> {
    length: usize,
    start: String,
    fields: Vec<(String, Vec<u8>)>,
    facts: F,
}

type Outcome<F> = Result<Option<Found<F>>, ParseError>;

/// Small limits or the usual ones.
fn limits(settings: u8) -> ConnectionLimits {
    let usual = ConnectionLimits::default();
    ConnectionLimits {
        max_header_size: if settings & 1 != 0 { 200 } else { usual.max_header_size },
        max_header_count: if settings & 2 != 0 { 3 } else { usual.max_header_count },
        ..usual
    }
}

/// So much that a head which is written again is not refused for its size.
fn no_limits() -> ConnectionLimits {
    ConnectionLimits { max_header_size: usize::MAX, ..ConnectionLimits::default() }
}

/// The lengths of what has arrived, when it comes in pieces of this size.
fn arrivals(length: usize, cut: u8) -> impl Iterator<Item = usize> {
    let step = usize::from(cut).max(1);
    (1..=length.div_ceil(step)).map(move |count| (count * step).min(length))
}

/// The fields, of which none could end before its end.
fn checked(headers: &HttpHeaders) -> Vec<(String, Vec<u8>)> {
    let fields = headers.iter_bytes().map(|(name, value)| (name.to_owned(), value.to_vec()));
    fields
        .inspect(|(name, value)| {
            assert!(is_token(name), "{name:?} is no name");
            let control = value.iter().any(|octet| octet.is_ascii_control() && *octet != b'\t');
            assert!(!control && ows::trim_bytes(value) == value, "{name}: {}", value.escape_ascii());
        })
        .collect()
}

/// What has come in pieces is read as what came whole; of what is wrong the end may not have been worth reading.
fn assert_same<F: Debug + PartialEq>(whole: &Outcome<F>, pieces: &Outcome<F>) {
    if whole.is_err() {
        assert!(!matches!(pieces, Ok(Some(_))), "{whole:?}, but in pieces {pieces:?}");
    } else {
        assert_eq!(whole, pieces, "it depends on how the bytes are cut");
    }
}

/// A head that was found is found in itself, and whatever follows.
fn assert_ends<F: Debug + PartialEq>(bytes: &[u8], whole: &Outcome<F>, parse: impl Fn(&[u8]) -> Outcome<F>) {
    let Ok(Some(found)) = whole else { return };
    assert!(found.length <= bytes.len());
    for following in FOLLOWING {
        let again = parse(&[&bytes[..found.length], following].concat());
        assert_eq!(again, *whole, "followed by {}", following.escape_ascii());
    }
}

/// The parser of request heads.
///
/// # Panics
/// When a head depends on how its bytes are cut or on what follows it, or is not read back as it is written.
pub fn request_head(data: &[u8]) {
    let &[settings, cut, ref bytes @ ..] = data else { return };
    let limits = limits(settings);
    let parse = |bytes: &[u8]| parse_request(bytes, &limits).map(|found| found.map(|(_, found)| found));
    let whole = parse(bytes);
    assert_ends(bytes, &whole, parse);

    let (mut pieces, mut seen) = (Ok(None), 0);
    for end in arrivals(bytes.len(), cut) {
        if matches!(pieces, Ok(None)) && head::worth_parsing(&bytes[..end], seen, limits.max_header_size) {
            pieces = parse(&bytes[..end]);
            seen = end;
        }
    }
    assert_same(&whole, &pieces);

    let Ok(Some((head, found))) = parse_request(bytes, &limits) else { return };
    assert_ne!(found.facts.body, BodyLength::Length(0));
    let framed = ["Content-Length", "Transfer-Encoding"].map(|name| head.headers.list(name).count());
    assert!(framed[0] + framed[1] <= 1, "framed twice");
    if head.version != Version::HTTP_11 {
        return;
    }
    assert_eq!(head.headers.list("Host").count(), 1);
    let mut out = Vec::new();
    head_writer::request_line(&mut out, &head.method, &[&head.target]);
    head_writer::fields(&mut out, &head.headers);
    head_writer::end(&mut out);
    let expected = Found { length: out.len(), ..found };
    let again = parse_request(&out, &no_limits()).map(|found| found.map(|(_, found)| found));
    assert_eq!(again, Ok(Some(expected)), "{}", out.escape_ascii());
}

fn parse_request(
    bytes: &[u8],
    limits: &ConnectionLimits,
) -> Result<Option<(RequestHead, Found<head::RequestFacts>)>, ParseError> {
    let mut head = RequestHead::default();
    let Some((length, facts)) = head::parse(bytes, limits, &mut head)? else { return Ok(None) };
    assert!(head.target.bytes().all(|octet| octet.is_ascii_graphic()), "{}", head.target);
    let start = format!("{} {} {:?}", head.method, head.target, head.version);
    let found = Found { length, start, fields: checked(&head.headers), facts };
    Ok(Some((head, found)))
}

/// The parser of response heads.
///
/// # Panics
/// As [`request_head`].
pub fn response_head(data: &[u8]) {
    let &[settings, cut, ref bytes @ ..] = data else { return };
    let limits = limits(settings);
    let asked = [Asked::Other, Asked::Head, Asked::Connect][usize::from(settings >> 2) % 3];
    let parse =
        |bytes: &[u8]| parse_response(bytes, &limits, asked).map(|found| found.map(|(_, found)| found));
    let whole = parse(bytes);
    assert_ends(bytes, &whole, parse);

    let mut pieces = Ok(None);
    for end in arrivals(bytes.len(), cut) {
        if matches!(pieces, Ok(None)) {
            pieces = parse(&bytes[..end]);
        }
    }
    assert_same(&whole, &pieces);

    let Ok(Some((head, found))) = parse_response(bytes, &limits, asked) else { return };
    assert_ne!(found.facts.body, ResponseBody::Framed(BodyLength::Length(0)));
    assert!((100..1000).contains(&head.status));
    if head.version != Version::HTTP_11 {
        return;
    }
    let mut out = Vec::new();
    head_writer::status_line(&mut out, head.status, &head.reason);
    head_writer::fields(&mut out, &head.headers);
    head_writer::end(&mut out);
    let again = parse_response(&out, &no_limits(), asked);
    let Ok(Some((_, again))) = again else { panic!("{} gives {:?}", out.escape_ascii(), again.err()) };
    assert_eq!((again.length, &again.start), (out.len(), &found.start));
    assert_eq!((&again.fields, again.facts.body), (&found.fields, found.facts.body));
    // Framing that was in doubt, and taken out, ends the connection.
    assert!(again.facts.keep_alive || !found.facts.keep_alive);
}

type FoundResponse = Found<response::ResponseFacts>;

fn parse_response(
    bytes: &[u8],
    limits: &ConnectionLimits,
    asked: Asked,
) -> Result<Option<(ResponseHead, FoundResponse)>, ParseError> {
    let Some((length, head, facts)) = response::parse(bytes, limits, asked)? else { return Ok(None) };
    assert!(!head.reason.chars().any(|c| c.is_control() && c != '\t'), "{:?}", head.reason);
    let start = format!("{:?} {} {}", head.version, head.status, head.reason);
    let found = Found { length, start, fields: checked(&head.headers), facts };
    Ok(Some((head, found)))
}

/// The decoder of chunked bodies.
///
/// # Panics
/// When more comes out than went in or than the limit, when it depends on how the bytes are cut, or when a body that is
/// framed by the book is not read.
pub fn chunked(data: &[u8]) {
    let &[settings, cut, ref bytes @ ..] = data else { return };
    let limit = if settings & 1 != 0 { 100 } else { u64::MAX };
    let (max, step) = (usize::from(settings).max(1), usize::from(cut).max(1));
    let whole = decode(limit, max, [bytes]);
    let pieces = decode(limit, max, bytes.chunks(step));
    assert_eq!(whole.error, pieces.error, "it depends on how the bytes are cut");
    if whole.error.is_none() {
        assert_eq!(whole, pieces, "it depends on how the bytes are cut");
    }
    assert!(whole.data.len() as u64 <= limit && whole.data.len() <= bytes.len());
    if whole.done {
        let body = &bytes[..whole.consumed];
        // Each chunk takes five bytes beside its data, and the end five more.
        assert!(body.ends_with(b"\r\n") && whole.data.len() + 5 <= body.len(), "{}", body.escape_ascii());
        assert_eq!(decode(limit, max, [body]), whole);
    }
    let mut framed = Vec::new();
    for chunk in bytes.chunks(step) {
        framed.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\n\r\n");
    let consumed = framed.len();
    framed.extend_from_slice(bytes);
    let expected = Decoded { data: bytes.to_vec(), consumed, done: true, error: None };
    assert_eq!(decode(u64::MAX, max, framed.chunks(step)), expected);
}

#[derive(Debug, PartialEq)]
struct Decoded {
    data: Vec<u8>,
    consumed: usize,
    done: bool,
    error: Option<ParseError>,
}

fn decode<'a>(limit: u64, max: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoded = Decoded { data: Vec::new(), consumed: 0, done: false, error: None };
    let mut decoder = BodyDecoder::new(BodyLength::Chunked, limit).expect("no length is announced");
    for mut piece in pieces {
        while !piece.is_empty() && !decoded.done {
            let step = match decoder.decode(piece, max) {
                Ok(step) => step,
                Err(error) => return Decoded { error: Some(error), ..decoded },
            };
            assert!(step.consumed > 0 && step.data.end <= step.consumed && step.data.len() <= max);
            decoded.data.extend_from_slice(&piece[step.data]);
            decoded.consumed += step.consumed;
            decoded.done = step.done;
            piece = &piece[step.consumed..];
        }
    }
    decoded
}

/// The reader of compressed request bodies.
///
/// # Panics
/// When more comes out than the limits allow, when it depends on how the bytes are cut, or when what was compressed by
/// the book is not read back.
pub fn gzip_body(data: &[u8]) {
    let &[settings, cut, ref bytes @ ..] = data else { return };
    // So much that the ratio counts takes long, and so is rare.
    let limit = if settings == 255 {
        2 * INFLATION_FLOOR
    } else {
        [1_000, 20_000, 60_000][usize::from(settings) % 3]
    };
    let inflated_limit = if settings & 4 != 0 { limit / 2 } else { limit };
    let (max, step) = (1_000 + 100 * usize::from(settings), usize::from(cut).max(1));
    let whole = inflate((limit, inflated_limit), max, [bytes]);
    let pieces = inflate((limit, inflated_limit), max, bytes.chunks(step));
    // Beyond this the verdict is of how much came in for what has come out, and that is known to a few bytes only.
    if limit <= INFLATION_FLOOR {
        assert_eq!(whole.as_ref().ok(), pieces.as_ref().ok(), "it depends on how the bytes are cut");
    }
    // An encoder is large, and not always worth its while.
    if settings & 24 != 0 {
        return;
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let packed =
        packed.write_all(bytes).and_then(|()| packed.finish()).expect("memory takes what it is given");
    let back = inflate((u64::MAX, u64::MAX), max, packed.chunks(step));
    assert!(back.is_ok_and(|back| back == bytes), "what is read is not what was written");
}

/// Reads a body as a connection does.
fn inflate<'a>(
    (limit, inflated_limit): (u64, u64),
    max: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, BodyRefusal> {
    let mut head = RequestHead::default();
    let added = head.headers.add("Content-Encoding", "gzip");
    let reader = added.ok().and_then(|()| Inflater::for_request(&mut head));
    let mut reader = reader.expect("the request says gzip");
    reader.set_limits(limit, inflated_limit);
    let (mut out, mut fed) = (Vec::new(), 0);
    let mut take = |piece: &[u8], fed: usize| {
        assert!(piece.len() <= max, "{} bytes at once", piece.len());
        out.extend_from_slice(piece);
        let ratio = INFLATION_FLOOR.max(fed as u64 * MAX_INFLATION);
        assert!(out.len() as u64 <= limit.min(inflated_limit).min(ratio), "{} bytes", out.len());
    };
    for mut piece in pieces {
        fed += piece.len();
        while !piece.is_empty() {
            take(&reader.next(&mut piece, max)?, fed);
        }
    }
    loop {
        let rest = reader.rest(max)?;
        if rest.is_empty() {
            break;
        }
        take(&rest, fed);
    }
    reader.finish()?;
    Ok(out)
}
