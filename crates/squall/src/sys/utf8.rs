//! Text from bytes, checked with vector instructions.

/// `String::from_utf8`, several times as fast on text that is long and not ASCII; `None` for what is not UTF-8.
pub(crate) fn string(bytes: Vec<u8>) -> Option<String> {
    simdutf8::basic::from_utf8(&bytes).ok()?;
    // SAFETY: these bytes were found to be UTF-8 above, by a function that promises what `str::from_utf8` does.
    Some(unsafe { String::from_utf8_unchecked(bytes) })
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
            prop_assert_eq!(string(bytes.clone()), String::from_utf8(bytes).ok());
        }
    }
}
