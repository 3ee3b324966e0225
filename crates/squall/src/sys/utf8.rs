//! Text from bytes, checked with vector instructions.

/// `String::from_utf8`, several times as fast on text that is long and not ASCII; `None` for what is not UTF-8.
pub(crate) fn string(bytes: Vec<u8>) -> Option<String> {
    text(&bytes)?;
    // SAFETY: these bytes were found to be UTF-8 above.
    Some(unsafe { String::from_utf8_unchecked(bytes) })
}

/// `str::from_utf8`, in the same way; `None` for what is not UTF-8.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    // Vectors take over at 64 bytes. Most of what is shorter is ASCII: heads, names, tags.
    if bytes.len() < 64 && bytes.is_ascii() {
        // SAFETY: ASCII is UTF-8.
        return Some(unsafe { str::from_utf8_unchecked(bytes) });
    }
    simdutf8::basic::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_the_standard_library(text in "\\PC{0,100}", noise: Vec<u8>, at: prop::sample::Index) {
            prop_assert_eq!(string(text.clone().into_bytes()), Some(text.clone()));
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, noise);
            prop_assert_eq!(super::text(&bytes), std::str::from_utf8(&bytes).ok());
            prop_assert_eq!(string(bytes.clone()), String::from_utf8(bytes).ok());
        }
    }
}
