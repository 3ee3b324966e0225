//! Entity tags (RFC 9110 §8.8.3).

use std::fmt;

use smallvec::SmallVec;

use super::headers::HeaderValue;

/// An entity tag: what changes when the body does.
///
/// Made from the text of the header, quotes and all: `EntityTag::from("\"v7\"")`, `EntityTag::from("W/\"v7\"")`. Text
/// that could not be sent is refused when it is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag {
    /// Short ones, as those of a hash, are not allocated.
    text: SmallVec<[u8; 24]>,
}

impl EntityTag {
    /// The text, quotes and all.
    pub fn as_str(&self) -> &str {
        // It is made from text only.
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// A strong tag of sixteen digits.
    pub(crate) fn of_hash(mut hash: u64) -> Self {
        let mut text = [b'"'; 18];
        for digit in text[1..17].iter_mut().rev() {
            *digit = b"0123456789abcdef"[(hash & 15) as usize];
            hash >>= 4;
        }
        Self { text: SmallVec::from_slice(&text) }
    }

    /// Whether `tag` is in the list of an `If-None-Match`, by weak comparison (RFC 9110 §13.1.2). `*` is any.
    pub(crate) fn is_among(tag: &str, list: &str) -> bool {
        let opaque = |tag| str::strip_prefix(tag, "W/").unwrap_or(tag);
        list.trim() == "*" || list.split(',').any(|candidate| opaque(candidate.trim()) == opaque(tag))
    }
}

impl From<&str> for EntityTag {
    fn from(text: &str) -> Self {
        Self { text: SmallVec::from_slice(text.as_bytes()) }
    }
}

impl From<String> for EntityTag {
    fn from(text: String) -> Self {
        Self { text: SmallVec::from_vec(text.into_bytes()) }
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl HeaderValue for EntityTag {
    fn append_to(&self, out: &mut String) {
        out.push_str(self.as_str());
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

    #[test]
    fn weak_comparison() {
        for (list, found) in [
            ("\"a\"", true),
            ("\"b\", W/\"a\"", true),
            ("*", true),
            ("\"b\", *", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(EntityTag::is_among("\"a\"", list), found, "{list}");
            assert_eq!(EntityTag::is_among("W/\"a\"", list), found, "{list}");
        }
    }
}
