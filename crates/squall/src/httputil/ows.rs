//! White space in messages: the space and the tab, and nothing else (`OWS`, RFC 9110 §5.6.3).
//!
//! [`str::trim`] removes what Unicode calls white space. Where a peer's bytes are compared afterwards that is a hole: with
//! a no-break space in front, `__Host-s` is another cookie to a browser and was the same to the server.
//! `tests/toolbox/layers.rs` keeps the other kind out of protocol code.

/// Without white space at both ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(OWS)
}

/// Without white space in front.
pub(crate) fn trim_start(text: &str) -> &str {
    text.trim_start_matches(OWS)
}

/// Without white space at the end.
pub(crate) fn trim_end(text: &str) -> &str {
    text.trim_end_matches(OWS)
}

/// [`trim`] for octets.
pub(crate) fn trim_bytes(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

const OWS: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_tabs_and_nothing_else() {
        for (text, trimmed) in [
            ("", ""),
            (" \t ", ""),
            (" \ta b\t ", "a b"),
            ("\u{a0}a\u{a0}", "\u{a0}a\u{a0}"),
            (" \u{2003}a\u{3000}\t", "\u{2003}a\u{3000}"),
            ("\ra\n", "\ra\n"),
            ("\x0ba\x0c", "\x0ba\x0c"),
            ("\u{85}a\x1c", "\u{85}a\x1c"),
        ] {
            assert_eq!(trim(text), trimmed, "{text:?}");
            assert_eq!(trim_bytes(text.as_bytes()), trimmed.as_bytes(), "{text:?}");
            assert_eq!(trim_end(trim_start(text)), trimmed, "{text:?}");
        }
        assert_eq!((trim_start(" a "), trim_end(" a ")), ("a ", " a"));
    }
}
