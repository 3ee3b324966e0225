//! Header fields between squall's types and the `http` crate's. The only place where they change hands, so that octets
//! stay octets and each side has its own framing.

use std::cell::RefCell;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::connection_fields::is_of_connection;
use super::headers::{HttpHeaders, InvalidHeader};
use super::{length, ows, trailers};

/// A field that one of the two sides cannot express.
#[derive(Debug)]
pub(crate) struct InvalidField;

/// No length, or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvalidLength;

/// Whether each side writes the field itself.
fn is_written_anew(name: &str) -> bool {
    name.eq_ignore_ascii_case("Content-Length") || is_of_connection(name)
}

/// What is known of a field by its name.
enum Known {
    /// Each side writes it itself.
    WrittenAnew,
    /// It mostly says what it said last: its place in [`LAST`].
    Repeated(HeaderName, usize),
    /// Common, but each time another.
    Common(HeaderName),
    Nothing,
}

/// Names are in Title-Case.
fn known(name: &str) -> Known {
    match name {
        "Server" => Known::Repeated(header::SERVER, 0),
        "Date" => Known::Repeated(header::DATE, 1),
        "Content-Type" => Known::Repeated(header::CONTENT_TYPE, 2),
        "Vary" => Known::Repeated(header::VARY, 3),
        "Cache-Control" => Known::Repeated(header::CACHE_CONTROL, 4),
        "Content-Encoding" => Known::Repeated(header::CONTENT_ENCODING, 5),
        "Accept-Ranges" => Known::Repeated(header::ACCEPT_RANGES, 6),
        "Etag" => Known::Common(header::ETAG),
        "Last-Modified" => Known::Common(header::LAST_MODIFIED),
        "Location" => Known::Common(header::LOCATION),
        "Set-Cookie" => Known::Common(header::SET_COOKIE),
        _ if is_written_anew(name) => Known::WrittenAnew,
        _ => Known::Nothing,
    }
}

thread_local! {
    /// Values that are mostly the same from one message to the next: to clone one costs a quarter of what it costs to
    /// check, allocate and copy it.
    static LAST: RefCell<[Option<HeaderValue>; 7]> = const { RefCell::new([const { None }; 7]) };
}

/// Longer values are not kept.
const LONGEST_KEPT: usize = 128;

fn value(octets: &[u8]) -> Result<HeaderValue, InvalidField> {
    HeaderValue::from_bytes(octets).map_err(|_| InvalidField)
}

/// The value of a field that mostly says what it said last.
fn repeated(place: usize, octets: &[u8]) -> Result<HeaderValue, InvalidField> {
    let kept = LAST.try_with(|last| {
        let last = &mut last.borrow_mut()[place];
        if let Some(kept) = last
            && kept.as_bytes() == octets
        {
            return Ok(kept.clone());
        }
        let value = value(octets)?;
        *last = Some(value.clone()).filter(|_| octets.len() <= LONGEST_KEPT);
        Ok(value)
    });
    // Without the memory the thread is ending.
    kept.unwrap_or_else(|_| value(octets))
}

/// The fields without those of the connection; `length` instead of any Content-Length.
pub(crate) fn to_map(headers: &HttpHeaders, length: Option<u64>) -> Result<HeaderMap, InvalidField> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, octets) in headers.iter_bytes() {
        let (name, value) = match known(name) {
            Known::WrittenAnew => continue,
            Known::Repeated(name, place) => (name, repeated(place, octets)?),
            Known::Common(name) => (name, value(octets)?),
            Known::Nothing => {
                (HeaderName::from_bytes(name.as_bytes()).map_err(|_| InvalidField)?, value(octets)?)
            }
        };
        map.try_append(name, value).map_err(|_| InvalidField)?;
    }
    if let Some(length) = length {
        // Not `HeaderValue::from`, which allocates twice.
        map.insert(header::CONTENT_LENGTH, value(itoa::Buffer::new().format(length).as_bytes())?);
    }
    Ok(map)
}

/// Adds the fields of a response, without those of the connection and without Content-Length.
pub(crate) fn add_response_fields(headers: &mut HttpHeaders, map: &HeaderMap) -> Result<(), InvalidHeader> {
    add(headers, map, |name| is_written_anew(name.as_str()))
}

/// Adds the fields of a request, without those of the framing. That an upgrade is asked for is left to see: who cannot
/// give it says so.
#[cfg(feature = "tower")]
pub(crate) fn add_request_fields(headers: &mut HttpHeaders, map: &HeaderMap) -> Result<(), InvalidHeader> {
    add(headers, map, |name| *name == header::TRANSFER_ENCODING || *name == header::CONTENT_LENGTH)
}

/// What stands behind a body, without fields that may not.
pub(crate) fn to_trailers(fields: &HttpHeaders) -> Result<HeaderMap, InvalidField> {
    to_map(&trailers::allowed(fields), None)
}

/// All fields behind a body, as they came.
pub(crate) fn from_trailers(map: &HeaderMap) -> Result<HttpHeaders, InvalidHeader> {
    let mut fields = HttpHeaders::new();
    add(&mut fields, map, |_| false)?;
    Ok(fields)
}

fn add(
    headers: &mut HttpHeaders,
    map: &HeaderMap,
    left_out: impl Fn(&HeaderName) -> bool,
) -> Result<(), InvalidHeader> {
    headers.reserve(map.len(), map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum());
    for (name, value) in map {
        if left_out(name) {
            continue;
        }
        headers.add(name.as_str(), value)?;
    }
    Ok(())
}

/// What all lines of Content-Length say together (RFC 9110 §8.6): the same number, however often.
pub(crate) fn content_length<T: AsRef<[u8]>>(
    lines: impl IntoIterator<Item = T>,
) -> Result<Option<u64>, InvalidLength> {
    let mut all = None;
    for line in lines {
        for digits in line.as_ref().split(|&byte| byte == b',') {
            let told = length::parse(ows::trim_bytes(digits)).ok_or(InvalidLength)?;
            if all.replace(told).is_some_and(|former| former != told) {
                return Err(InvalidLength);
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_way_fields_of_the_connection() {
        let own = ["Connection", "Te", "Proxy-Connection", "Content-Length", "Upgrade", "Keep-Alive"];
        let headers: HttpHeaders = own.map(|name| (name, "1")).into_iter().chain([("A", "b")]).collect();
        let map = to_map(&headers, None).unwrap();
        assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["a"]);
        let map: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let mut back = HttpHeaders::new();
        add_response_fields(&mut back, &map).unwrap();
        assert_eq!(back.iter().collect::<Vec<_>>(), [("A", "b")]);
    }

    #[test]
    fn fields_are_handed_on_as_they_are_however_often() {
        let mut headers = HttpHeaders::new();
        for (name, value) in [
            ("Connection", "close"),
            ("Content-Length", "9"),
            ("Server", "one"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("X-Other", "x"),
            ("Content-Type", "text/plain"),
        ] {
            headers.add(name, value).unwrap();
        }
        for server in ["one", "two", "two", &"long".repeat(100), "two", "one"] {
            headers.set("Server", server).unwrap();
            let map = to_map(&headers, Some(3)).unwrap();
            let mut all: Vec<(&str, &str)> =
                map.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
            all.sort_unstable();
            let expected = [
                ("content-length", "3"),
                ("content-type", "text/plain"),
                ("server", server),
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
                ("x-other", "x"),
            ];
            assert_eq!(all, expected);
        }
    }

    #[test]
    fn one_content_length_or_none() {
        for (lines, expected) in [
            (&[][..], Ok(None)),
            (&["22"], Ok(Some(22))),
            (&["22, 22"], Ok(Some(22))),
            (&["22", "22 ,22"], Ok(Some(22))),
            (&["22, 23"], Err(InvalidLength)),
            (&["22", "23"], Err(InvalidLength)),
            (&["22,"], Err(InvalidLength)),
            (&["+1"], Err(InvalidLength)),
            (&[""], Err(InvalidLength)),
        ] {
            assert_eq!(content_length(lines.iter().copied()), expected, "{lines:?}");
        }
    }
}
