//! Text from bytes, checked with vector instructions.

use bytes::Bytes;

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

/// Bytes that are known to be UTF-8.
#[derive(Debug, Clone)]
pub(crate) struct TextBytes(Bytes);

impl TextBytes {
    /// `None` for what is not UTF-8.
    pub(crate) fn new(bytes: Bytes) -> Option<Self> {
        text(&bytes)?;
        Some(Self(bytes))
    }

    pub(crate) fn as_str(&self) -> &str {
        // SAFETY: whoever makes one has found these bytes to be UTF-8, and nothing changes them.
        unsafe { str::from_utf8_unchecked(&self.0) }
    }
}

/// Looks at bytes piece by piece, to see whether they are UTF-8.
#[derive(Debug)]
pub(crate) struct TextChecker {
    bytes: Bytes,
    /// So many of them are whole characters.
    checked: usize,
}

impl TextChecker {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes, checked: 0 }
    }

    /// Looks at some `most` bytes more, at least a few, and gives them; nothing at the end. `None` for what is not UTF-8.
    pub(crate) fn advance(&mut self, most: usize) -> Option<&[u8]> {
        let start = self.checked;
        let end = self.bytes.len().min(start.saturating_add(most.max(4)));
        let piece = &self.bytes[start..end];
        self.checked += match simdutf8::compat::from_utf8(piece) {
            Ok(_) => piece.len(),
            // The last character is cut; what was before it is not nothing, as no character has more than four bytes.
            Err(error) if error.error_len().is_none() && end < self.bytes.len() => error.valid_up_to(),
            Err(_) => return None,
        };
        Some(&self.bytes[start..self.checked])
    }

    /// `None` unless all of it has been looked at.
    pub(crate) fn finish(self) -> Option<TextBytes> {
        (self.checked == self.bytes.len()).then_some(TextBytes(self.bytes))
    }
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
            prop_assert_eq!(string(bytes.clone()), String::from_utf8(bytes.clone()).ok());
            for most in [1, 4, 7, 1000] {
                let mut checker = TextChecker::new(bytes.clone().into());
                let checked = loop {
                    match checker.advance(most) {
                        None => break None,
                        Some([]) => break checker.finish(),
                        Some(piece) => prop_assert!(std::str::from_utf8(piece).is_ok()),
                    }
                };
                prop_assert_eq!(checked.as_ref().map(TextBytes::as_str), std::str::from_utf8(&bytes).ok());
            }
        }
    }
}
