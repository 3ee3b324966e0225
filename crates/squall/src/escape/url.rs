//! Percent-encoding.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode, utf8_percent_encode};

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

/// Percent-encodes what may not stand in a URL (RFC 3986) and leaves the rest, delimiters and escapes among it, as it is.
///
/// Browsers drop tabs and line ends from URLs, and read a backslash as a slash: as they stand, such characters make
/// another URL of what looks harmless. Control characters other than tabs stay, for a header to refuse them.
pub(crate) fn url_escape_whole(url: &str) -> Cow<'_, str> {
    utf8_percent_encode(url, NOT_IN_URLS).into()
}

/// Whether a URL that came from outside, such as a login page's `next`, stays on this host, whatever browser reads it.
///
/// Local are references without scheme and host (`/mine?x=1`, `page`, `?x=1`, the empty one). `//evil.example`,
/// `/\evil.example`, `https:evil.example` and `javascript:` are not, nor is anything with a control character or a
/// backslash, which browsers drop or read as something else. It has to be decoded as far as it will be when it is
/// redirected to; what [`argument`](crate::Context::argument) gives is. An absolute URL of one's own host is not
/// local either: send its path.
///
/// ```
/// use squall::escape::is_local_url;
///
/// assert!(is_local_url("/mine?x=1"));
/// assert!(!is_local_url("//evil.example/"));
/// assert!(!is_local_url("/\t/evil.example/"));
/// ```
pub fn is_local_url(url: &str) -> bool {
    let odd = |c: char| c.is_control() || c == '\\';
    if url.contains(odd) || url.starts_with(char::is_whitespace) || url.ends_with(char::is_whitespace) {
        return false;
    }
    // What the standard that browsers follow (WHATWG URL) can take for a host or a scheme, now that nothing is dropped or
    // read as something else; `url` is the judge in the tests. `http:page` is relative on a page of that scheme only.
    !url.starts_with("//") && !has_scheme(url)
}

fn has_scheme(url: &str) -> bool {
    let Some((scheme, _)) = url.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// A path that begins with one slash, so that it names no host: browsers read `//host` and `/\host` as such.
pub(crate) fn path_on_this_host(path: &str) -> String {
    let rest = path.trim_start_matches(['/', '\\']);
    format!("/{}", rest.replace('\\', "%5C"))
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

/// The printable characters that RFC 3986 has no place for, and the tab; bytes beyond ASCII are encoded anyway.
const NOT_IN_URLS: &AsciiSet = &AsciiSet::EMPTY
    .add(b'\t')
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

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
    fn whole_urls_keep_what_they_are_made_of() {
        for (url, escaped) in [
            ("https://u:p@[::1]:8/a/b;c=d?e=f&g='h'#i", "https://u:p@[::1]:8/a/b;c=d?e=f&g='h'#i"),
            ("/a%20b", "/a%20b"),
            ("/\t/evil", "/%09/evil"),
            ("/\\evil", "/%5Cevil"),
            (" /a b\"<>", "%20/a%20b%22%3C%3E"),
            ("/caf\u{e9}\u{202e}", "/caf%C3%A9%E2%80%AE"),
            ("/a\r\nb\0\x7f", "/a\r\nb\0\x7f"),
        ] {
            assert_eq!(url_escape_whole(url), escaped, "{url:?}");
        }
    }

    #[test]
    fn what_stays_on_this_host() {
        for url in [
            "/",
            "/a",
            "/a//b",
            "a",
            "a/b:c",
            "./a:b",
            "?a=//b",
            "#//a",
            "",
            "/?next=https://x/",
            "/a@b",
            "..",
            "/..",
            "/%09/evil.example",
            "/%5Cevil.example",
            "%2F%2Fevil.example",
            "/.//evil.example",
            "/caf\u{e9}",
        ] {
            assert!(is_local_url(url), "{url:?}");
        }
        for url in [
            "//evil.example",
            "///evil.example",
            "////evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            "/\r\n/evil.example",
            " //evil.example",
            "//evil.example ",
            "\u{1}//evil.example",
            "//evil.example\u{0}",
            "https:evil.example",
            "http:evil.example",
            "https:/evil.example",
            "https://evil.example",
            "HTTPS://evil.example",
            "http:/a",
            "http:///evil.example",
            "javascript:alert(1)",
            "java\tscript:alert(1)",
            "data:text/html,x",
            "mailto:a@b",
            "ftp:a",
            "//user@evil.example",
            "//a.invalid/",
            "//b.invalid/",
            "//[::1]",
            "//evil.example:80",
            "http://a.invalid/x",
            "https://b.invalid/x",
            "///",
            "//",
            "/a\u{7f}b",
            "/\u{85}/evil.example",
            "\u{a0}//evil.example",
            "x:y",
            "file:///etc/passwd",
        ] {
            assert!(!is_local_url(url), "{url:?}");
        }
    }

    proptest::proptest! {
        /// Nobody can name both hosts, or be relative to both schemes.
        #[test]
        fn the_standard_that_browsers_follow_agrees(url in r"[a-zA-Z0-9+.:/?#@%\[\] \\\\\t\u{e9}-]{0,8}") {
            let stays = ["http://a.invalid/x/y", "https://b.invalid/x/y"].into_iter().all(|page| {
                let page = url::Url::parse(page).unwrap();
                page.join(&url).is_ok_and(|target| {
                    target.origin() == page.origin()
                        && target.username().is_empty()
                        && target.password().is_none()
                })
            });
            // What has odd characters is refused whatever it means.
            let odd = url.contains(['\\', '\t']) || url.starts_with(' ') || url.ends_with(' ');
            proptest::prop_assert_eq!(is_local_url(&url), stays && !odd, "{:?}", url);
        }
    }

    #[test]
    fn no_path_names_a_host() {
        for path in ["//evil.example/", "/\\evil.example/", "/\\/evil.example/", "evil.example/"] {
            assert_eq!(path_on_this_host(path), "/evil.example/");
        }
        assert_eq!(path_on_this_host("/a//b/"), "/a//b/");
        assert_eq!(path_on_this_host("/a\\b"), "/a%5Cb");
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
