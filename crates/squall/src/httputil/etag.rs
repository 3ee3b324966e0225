//! Entity tags (RFC 9110 §8.8.3).

use std::fmt;

use smallvec::SmallVec;

use super::headers::HeaderValue;
use crate::escape::hex;
use crate::sys::utf8;

/// An entity tag: what changes when the body does.
///
/// Made from the text of the header, quotes and all: `EntityTag::from("\"v7\"")`, `EntityTag::from("W/\"v7\"")`. Text
/// that could not be sent is refused when it is set.
#[derive(Debug, Clone)]
pub struct EntityTag {
    /// Short ones, as those of a hash, are not allocated.
    text: SmallVec<[u8; 24]>,
    /// Made here, so that it needs no checking.
    of_hash: bool,
}

impl EntityTag {
    /// The text, quotes and all.
    pub fn as_str(&self) -> &str {
        // It is made from text only.
        utf8::text(&self.text).unwrap_or_default()
    }

    /// Whether [`of_hash`](Self::of_hash) made it.
    pub(crate) fn is_of_hash(&self) -> bool {
        self.of_hash
    }

    /// A strong tag of sixteen digits.
    pub(crate) fn of_hash(hash: u64) -> Self {
        let mut text = [b'"'; 18];
        let (digits, _) = text[1..17].as_chunks_mut();
        for (digits, byte) in digits.iter_mut().zip(hash.to_be_bytes()) {
            *digits = hex::DIGITS[usize::from(byte)];
        }
        Self { text: SmallVec::from_slice(&text), of_hash: true }
    }
}

impl PartialEq for EntityTag {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for EntityTag {}

impl From<&str> for EntityTag {
    fn from(text: &str) -> Self {
        Self { text: SmallVec::from_slice(text.as_bytes()), of_hash: false }
    }
}

impl From<String> for EntityTag {
    fn from(text: String) -> Self {
        Self { text: SmallVec::from_vec(text.into_bytes()), of_hash: false }
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl HeaderValue for EntityTag {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_str().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        assert_eq!(EntityTag::of_hash(0xabc).as_str(), "\"0000000000000abc\"");
        assert_eq!(EntityTag::from("\"x\"").to_string(), "\"x\"");
    }
}
