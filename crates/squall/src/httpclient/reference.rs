//! URLs and references that RFC 3986 and browsers (WHATWG) do not read alike. Pure.

use std::borrow::Cow;

use url::Url;

/// Why a URL or a `Location` is refused that [`url::Url`] would read, as browsers do, but not as it is written:
/// `http:///x` and `http:x` name no host, `/\x` is a path, and none of them leads to the host `x`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(text: &str) -> Result<(), &'static str> {
    // These are dropped from the ends.
    let text = text.trim_matches(|c: char| c <= ' ');
    let rest = match text.split_once(':') {
        Some((scheme, rest)) if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => {
            Some(rest)
        }
        _ => None,
    };
    let from = rest.unwrap_or(text);
    let slashes = from.bytes().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
    let has_authority = slashes == 2 && from.starts_with("//");
    if has_authority || (rest.is_none() && slashes < 2) { Ok(()) } else { Err("it names no host") }
}

/// A `Location` as it came: UTF-8, else octets that stand for themselves (`%E9`) and for no letter of another encoding.
pub(crate) fn text(location: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(location) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(location.iter().fold(String::new(), |text, &octet| match octet {
            0..=0x7f => text + char::from(octet).encode_utf8(&mut [0; 4]),
            _ => text + &format!("%{octet:02X}"),
        })),
    }
}

/// Where a `Location` leads from `current` (RFC 9110 §10.2.2): without a fragment of its own it takes over that of the
/// URL that led there.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn follow(current: &Url, location: &str) -> Result<Url, String> {
    // `Url` leaves a tab out, wherever it stands, so that `/<TAB>/host` becomes `//host`.
    if location.trim_matches(' ').contains(|c: char| c.is_ascii_control()) {
        return Err("it has a control character".to_owned());
    }
    check(location)?;
    let mut url = current.join(location).map_err(|error| error.to_string())?;
    if url.fragment().is_none() {
        url.set_fragment(current.fragment());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_inherited() {
        let follow =
            |from: &str, location: &str| follow(&from.parse().unwrap(), location).unwrap().to_string();
        for (from, location, to) in [
            ("http://a/x#f", "/w", "http://a/w#f"),
            ("http://a/x#f", "/w#g", "http://a/w#g"),
            ("http://a/x#f", "/w#", "http://a/w#"),
            ("http://a/x#f", "http://b/", "http://b/#f"),
            ("http://a/x#f", "", "http://a/x#f"),
            ("http://a/x", "/w", "http://a/w"),
        ] {
            assert_eq!(follow(from, location), to, "{from} {location:?}");
        }
    }

    #[test]
    fn octets_of_a_location() {
        for (octets, expected) in [
            (&b"/caf\xc3\xa9"[..], "http://a/caf%C3%A9"),
            (b"/caf\xe9?\xe8", "http://a/caf%E9?%E8"),
            (b"http://b\xc3\xbccher.example/", "http://xn--bcher-kva.example/"),
        ] {
            assert_eq!(follow(&"http://a/".parse().unwrap(), &text(octets)).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn what_leads_nowhere() {
        let from: Url = "http://a/".parse().unwrap();
        for bad in
            ["http://[bad", "http:///x", "http:x", "///x", "/\\x", "/\t/x", "\\\\x", "http://", "http://:80/"]
        {
            follow(&from, bad).expect_err(bad);
        }
    }

    #[test]
    fn what_names_a_host() {
        for good in [
            "http://h",
            "HTTPS://h/x",
            " http://h ",
            "//h/x",
            "/x",
            "x",
            "",
            "?a=http:///x",
            "#a",
            "./\\x",
            "/",
            "ftp:x",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "http:///x",
            "http:x",
            "http:/x",
            "https:\\\\h",
            "///x",
            "/\\h",
            "\\\\h",
            "//\\h",
            "http:",
            "\thttp:///x",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
