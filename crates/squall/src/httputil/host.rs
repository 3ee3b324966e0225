//! The Host header and request targets (RFC 9112 §3.2, RFC 3986 §3.2.2).

/// Whether `value` is `uri-host [ ":" port ]`. The empty value is one: RFC 9110 §7.2 asks for it when the target
/// has no authority.
pub(crate) fn is_valid(value: &[u8]) -> bool {
    // Nearly every Host is a plain name, or one with a port.
    let name = value.iter().position(|&b| !PLAIN[usize::from(b)]).unwrap_or(value.len());
    match &value[name..] {
        [] => return true,
        [b':', port @ ..] if port.iter().all(u8::is_ascii_digit) => return true,
        _ => {}
    }
    let Ok(value) = std::str::from_utf8(value) else { return false };
    let (host, port) = split_port(value);
    port.bytes().all(|b| b.is_ascii_digit()) && is_host(host)
}

/// What names of hosts are made of.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut b = 0_u8;
    while b < 128 {
        plain[b as usize] = b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        b += 1;
    }
    plain
};

fn is_host(host: &str) -> bool {
    if let Some(literal) = host.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(|ip| {
            !ip.is_empty()
                && ip.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'v' | b'%'))
        });
    }
    // unreserved, percent-encodings and sub-delims but the comma, which joins repeated fields.
    host.bytes().all(|b| {
        b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'%'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b';'
                    | b'='
            )
    })
}

/// The host without its port; a colon inside brackets belongs to the address.
pub(crate) fn split_port(value: &str) -> (&str, &str) {
    let end = value.rfind(']').map_or(0, |at| at + 1);
    match value[end..].find(':') {
        Some(colon) => (&value[..end + colon], &value[end + colon + 1..]),
        None => (value, ""),
    }
}

/// The authority and the rest of an absolute-form target (`http://host/path`), when it is one.
#[inline]
pub(crate) fn split_absolute(target: &str) -> Option<(&str, &str)> {
    if target.starts_with('/') {
        return None;
    }
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some(rest.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in ["", "a", "A.b-c_d:80", "127.0.0.1", "[::1]:8888", "xn--bcher-kva.example", "a:", "%41"] {
            assert!(is_valid(good.as_bytes()), "{good:?}");
        }
        for bad in [
            "a,b", "a b", "a/b", "a@b", "a:b", "::1", "[::1", "[]", "[g]", "a:80:80", "é", "<script>", "a?b",
            "a#b",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn absolute_targets() {
        assert_eq!(split_absolute("http://h:1/p?q"), Some(("h:1", "/p?q")));
        assert_eq!(split_absolute("HTTPS://h"), Some(("h", "")));
        assert_eq!(split_absolute("http://h?x"), Some(("h", "?x")));
        assert_eq!(split_absolute("/http://h"), None);
        assert_eq!(split_absolute("ftp://h/"), None);
    }
}
