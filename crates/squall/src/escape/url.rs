//! Percent-encoding.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// Percent-encodes text or bytes for the value of a query argument: a space becomes `+`, `/` becomes `%2F`.
///
/// Only the unreserved characters of RFC 3986 §2.3 stay (`A-Z a-z 0-9 - . _ ~`).
///
/// ```
/// use squall::escape::url_escape;
/// assert_eq!(url_escape("/auth?x=1 é"), "%2Fauth%3Fx%3D1+%C3%A9");
/// ```
pub fn url_escape<T: AsRef<[u8]> + ?Sized>(value: &T) -> Cow<'_, str> {
    let bytes = value.as_ref();
    if memchr::memchr(b' ', bytes).is_none() {
        return percent_encode(bytes, UNRESERVED).into();
    }
    let mut escaped = String::with_capacity(bytes.len() + 16);
    for (index, word) in bytes.split(|&b| b == b' ').enumerate() {
        if index > 0 {
            escaped.push('+');
        }
        escaped.extend(percent_encode(word, UNRESERVED));
    }
    Cow::Owned(escaped)
}

/// Percent-encodes text or bytes for a path: a space becomes `%20`, `/` stays (Tornado's `url_escape` with
/// `plus=False`).
///
/// ```
/// use squall::escape::url_escape_path;
/// assert_eq!(url_escape_path("a b/c?"), "a%20b/c%3F");
/// ```
pub fn url_escape_path<T: AsRef<[u8]> + ?Sized>(value: &T) -> Cow<'_, str> {
    percent_encode(value.as_ref(), UNRESERVED_OR_SLASH).into()
}

/// Decodes `%XX` and `+`, as in queries and forms. A broken escape stays as it is; bytes that are no UTF-8 become
/// U+FFFD.
///
/// ```
/// use squall::escape::url_unescape;
/// assert_eq!(url_unescape("caf%C3%A9+1%zz"), "café 1%zz");
/// ```
pub fn url_unescape<T: AsRef<[u8]> + ?Sized>(value: &T) -> Cow<'_, str> {
    to_text(url_unescape_bytes(value))
}

/// Decodes `%XX`, as in paths; `+` stays (Tornado's `url_unescape` with `plus=False`). Otherwise as [`url_unescape`].
pub fn url_unescape_path<T: AsRef<[u8]> + ?Sized>(value: &T) -> Cow<'_, str> {
    to_text(url_unescape_path_bytes(value))
}

/// As [`url_unescape`], giving the bytes (Tornado's `encoding=None`).
///
/// Other encodings begin here; for Latin-1: `url_unescape_bytes(x).iter().map(|&b| char::from(b))`.
pub fn url_unescape_bytes<T: AsRef<[u8]> + ?Sized>(value: &T) -> Cow<'_, [u8]> {
    let bytes = value.as_ref();
    if memchr::memchr(b'+', bytes).is_none() {
        return percent_decode(bytes).into();
    }
    let spaced: Vec<u8> = bytes.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    let decoded = match Cow::from(percent_decode(&spaced)) {
        Cow::Owned(decoded) => Some(decoded),
        Cow::Borrowed(_) => None,
    };
    Cow::Owned(decoded.unwrap_or(spaced))
}

/// As [`url_unescape_path`], giving the bytes (Tornado's `encoding=None, plus=False`).
pub fn url_unescape_path_bytes<T: AsRef<[u8]> + ?Sized>(value: &T) -> Cow<'_, [u8]> {
    percent_decode(value.as_ref()).into()
}

/// Everything but the unreserved characters of RFC 3986 §2.3.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const UNRESERVED_OR_SLASH: &AsciiSet = &UNRESERVED.remove(b'/');

fn to_text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_do_costs_nothing() {
        assert!(matches!(url_escape("a-b.c_d~"), Cow::Borrowed("a-b.c_d~")));
        assert!(matches!(url_escape_path("/a/b"), Cow::Borrowed("/a/b")));
        assert!(matches!(url_unescape("a/é"), Cow::Borrowed("a/é")));
        assert!(matches!(url_unescape_path("a+b"), Cow::Borrowed("a+b")));
    }

    #[test]
    fn spaces_at_the_ends_are_kept() {
        assert_eq!(url_escape(" a  b "), "+a++b+");
        assert_eq!(url_unescape("+a++b+"), " a  b ");
    }

    #[test]
    fn broken_escapes_stay_and_bytes_that_are_no_text_are_replaced() {
        assert_eq!(url_unescape("%%41%zz%4"), "%A%zz%4");
        assert_eq!(url_unescape("%E9 %C3"), "\u{fffd} \u{fffd}");
        assert_eq!(*url_unescape_bytes("%E9+%2B"), b"\xe9 +"[..]);
        assert_eq!(url_escape(b"\xe9".as_slice()), "%E9");
    }
}
