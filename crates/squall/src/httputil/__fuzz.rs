//! What the fuzz targets in `fuzz/` call. Not a public interface.
//!
//! Each function takes any bytes whatever, and panics when what must hold of the machines does not.

use std::time::SystemTime;

use bytes::Bytes;

use super::ranges::ContentRange;
use super::{
    ByteRange, Cookie, MultipartError, MultipartEvent, MultipartParser, ParseMultipartConfig, Selection, ows,
    parse_cookie,
};

const MAX_PARTS: usize = 4;
const MAX_PART_SIZE: u64 = 300;

/// The parser of `multipart/form-data`: a byte of settings, one that says how the rest is cut, a line that is the
/// Content-Type, and the body.
///
/// # Panics
/// When it depends on how the body is cut, gives what was not sent, or does not keep to its limits.
pub fn multipart(data: &[u8]) {
    let &[settings, cut, ref rest @ ..] = data else { return };
    let Some(end) = rest.iter().position(|&octet| octet == b'\n') else { return };
    let (content_type, body) = (String::from_utf8_lossy(&rest[..end]), &rest[end + 1..]);
    let mut config = ParseMultipartConfig { max_parts: MAX_PARTS, ..ParseMultipartConfig::default() };
    if settings & 1 != 0 {
        (config.max_part_header_size, config.max_part_size) = (100, MAX_PART_SIZE);
    }
    let Ok(parser) = MultipartParser::new(&content_type, &config) else { return };
    let whole = parts(parser, [body]);
    let Ok(parser) = MultipartParser::new(&content_type, &config) else { panic!("it was taken just now") };
    let mut pieces = parts(parser, body.chunks(usize::from(cut).max(1)));
    if let (Some(MultipartError::PartTooLarge(_)), Some(one), Some(other)) =
        (whole.error, whole.parts.last(), pieces.parts.last_mut())
    {
        // How much of it came first is up to the cuts.
        other.data.clone_from(&one.data);
    }
    assert_eq!(whole, pieces, "it depends on how the bytes are cut");

    assert!(whole.parts.len() <= MAX_PARTS);
    let taken: usize = whole.parts.iter().map(|part| part.data.len()).sum();
    assert!(taken <= body.len(), "more than was sent");
    for part in &whole.parts {
        assert!(part.data.len() as u64 <= config.max_part_size);
        assert!(!part.name.is_empty() && part.filename.as_deref() != Some(""));
        let texts = [Some(&part.name), part.filename.as_ref(), part.content_type.as_ref()];
        for text in texts.into_iter().flatten() {
            assert!(!text.contains(|c: char| c.is_ascii_control() && c != '\t'), "{text:?}");
        }
        if let Some(name) = &part.file_name {
            assert!(!name.contains(['/', '\\', '\0']) && !matches!(&**name, "" | "." | ".."), "{name:?}");
        }
    }
}

/// What a parser has given.
#[derive(Debug, Default, PartialEq)]
struct Parsed {
    parts: Vec<ParsedPart>,
    error: Option<MultipartError>,
    ended: bool,
}

#[derive(Debug, Default, PartialEq)]
struct ParsedPart {
    name: String,
    filename: Option<String>,
    file_name: Option<String>,
    content_type: Option<String>,
    data: Vec<u8>,
    ended: bool,
}

fn parts<'a>(mut parser: MultipartParser, pieces: impl IntoIterator<Item = &'a [u8]>) -> Parsed {
    let mut parsed = Parsed::default();
    for piece in pieces {
        parser.feed(Bytes::copy_from_slice(piece));
        loop {
            let event = match parser.event() {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(error) => {
                    assert_eq!((parser.event().err(), parser.finish().err()), (Some(error), Some(error)));
                    return Parsed { error: Some(error), ..parsed };
                }
            };
            assert!(!parsed.ended, "{event:?} behind the end");
            let open = parsed.parts.last_mut().filter(|part| !part.ended);
            match (event, open) {
                (MultipartEvent::Part(head), None) => parsed.parts.push(ParsedPart {
                    file_name: head.safe_filename().map(str::to_owned),
                    name: head.name,
                    filename: head.filename,
                    content_type: head.content_type,
                    ..ParsedPart::default()
                }),
                (MultipartEvent::Data(data), Some(part)) => {
                    assert!(!data.is_empty());
                    part.data.extend_from_slice(&data);
                }
                (MultipartEvent::PartEnd, Some(part)) => part.ended = true,
                (MultipartEvent::End, None) => parsed.ended = true,
                (event, part) => panic!("{event:?} in {part:?}"),
            }
        }
    }
    assert_eq!(parser.finish().is_ok(), parsed.ended);
    parsed
}

/// The parser of `Cookie`, and the writer of `Set-Cookie`.
///
/// # Panics
/// When a name comes twice, there is white space around one or around a value that was not quoted, or what is set is not
/// what comes back.
pub fn cookies(data: &[u8]) {
    let header = String::from_utf8_lossy(data);
    let cookies = parse_cookie(&header);
    let mut names: Vec<_> = cookies.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cookies.len(), "a name comes twice");
    for (name, value) in &cookies {
        assert!(ows::trim(name) == *name && !name.contains([';', '=']), "{name:?}");
        assert!(header.contains('"') || ows::trim(value) == value, "{value:?}");
        assert!(value.len() <= header.len());
        let cookie = Cookie::new(*name, value.to_string()).secure(true);
        let Ok(set) = cookie.header_value(SystemTime::UNIX_EPOCH) else { continue };
        assert!(set.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{set}");
        let sent_back = set.split_once("; ").map_or(&*set, |(pair, _)| pair);
        assert_eq!(parse_cookie(sent_back), [(*name, value.clone())], "{set}");
    }
}

/// `Range`, for contents of several sizes.
///
/// # Panics
/// When a selection is not within the content, or not what was asked for.
pub fn ranges(data: &[u8]) {
    let header = String::from_utf8_lossy(data);
    let Some(range) = ByteRange::parse(&header) else { return };
    let written = match range {
        ByteRange::From { first, last: Some(last) } => format!("bytes={first}-{last}"),
        ByteRange::From { first, last: None } => format!("bytes={first}-"),
        ByteRange::Suffix(length) => format!("bytes=-{length}"),
        ByteRange::All => "bytes=-".to_owned(),
    };
    assert_eq!(ByteRange::parse(&written), Some(range));
    for size in [0, 1, 2, 10, 1_000, 1 << 32, u64::MAX - 1, u64::MAX] {
        match (range.select(size), range) {
            (Selection::Part(part), range) => {
                assert!(part.start < part.end && part.end <= size && part != (0..size), "{part:?} of {size}");
                let sound = match range {
                    ByteRange::From { first, last } => {
                        part.start == first && (part.end == size || Some(part.end - 1) == last)
                    }
                    ByteRange::Suffix(length) => part.end == size && part.end - part.start == length,
                    ByteRange::All => false,
                };
                assert!(sound, "{part:?} of {size} for {range:?}");
                let told = ContentRange { part: Some(&part), size }.to_string();
                assert_eq!(told, format!("bytes {}-{}/{size}", part.start, part.end - 1));
            }
            (Selection::Whole, ByteRange::From { first, last }) => {
                assert!(first == 0 && size > 0 && last.is_none_or(|last| last >= size - 1), "{range:?}");
            }
            (Selection::Whole, ByteRange::Suffix(length)) => assert!(length >= size && length > 0),
            (Selection::Whole, ByteRange::All) => {}
            (Selection::Unsatisfiable, ByteRange::From { first, last }) => {
                assert!(first >= size || last.is_some_and(|last| last < first), "{range:?} of {size}");
            }
            (Selection::Unsatisfiable, range) => assert_eq!(range, ByteRange::Suffix(0)),
        }
    }
}
