//! Query and form arguments (Tornado's `parse_qs_bytes` and `parse_body_arguments`).

use bytes::Bytes;

/// Names and values in the order they came; a name may come several times.
///
/// Values are bytes, since a peer may send what is not UTF-8; it is refused when such a value is read, with the
/// name of the argument.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    pairs: Vec<(String, Bytes)>,
}

impl Arguments {
    /// Every value of `name`, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| &value[..])
    }

    /// Every pair, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), &value[..]))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Adds a pair at the end.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.push_bytes(name.into(), Bytes::from(value.into()));
    }

    pub(crate) fn push_bytes(&mut self, name: String, value: Bytes) {
        self.pairs.push((name, value));
    }

    /// As [`iter`](Self::iter), with values that can be shared.
    pub(crate) fn pairs(&self) -> &[(String, Bytes)] {
        &self.pairs
    }
}

/// Reads `application/x-www-form-urlencoded` text: `+` and `%XX` decoded, blank values kept, a broken `%` left as
/// it is (Tornado's `parse_qs_bytes` with `keep_blank_values`).
///
/// Returns `None` when there are more than `max_arguments` pairs.
#[doc(alias = "parse_qs_bytes")]
pub fn parse_qs(text: &[u8], max_arguments: usize) -> Option<Arguments> {
    let mut reader = QsReader::new(max_arguments);
    (reader.take(text) && reader.end_pair()).then_some(reader.arguments)
}

/// Reads such text piece by piece, so that the loop can do other things in between.
#[derive(Debug)]
pub(crate) struct QsReader {
    arguments: Arguments,
    max_arguments: usize,
    /// Of the pair that is being read, decoded.
    name: Vec<u8>,
    /// Once its `=` has been seen.
    value: Option<Vec<u8>>,
}

impl QsReader {
    pub(crate) fn new(max_arguments: usize) -> Self {
        Self { arguments: Arguments::default(), max_arguments, name: Vec::new(), value: None }
    }

    pub(crate) fn max_arguments(&self) -> usize {
        self.max_arguments
    }

    /// How long the first piece of `text` may be, at most about `most` bytes: it ends in no broken `%XX`.
    pub(crate) fn piece(text: &[u8], most: usize) -> usize {
        let Some(piece) = text.get(..most.max(3)).filter(|piece| piece.len() < text.len()) else {
            return text.len();
        };
        let tail = piece.len() - 2;
        piece[tail..].iter().position(|&b| b == b'%').map_or(piece.len(), |at| tail + at)
    }

    /// Takes the next piece; false when there are too many arguments.
    pub(crate) fn take(&mut self, mut piece: &[u8]) -> bool {
        while !piece.is_empty() {
            if self.is_between_pairs() {
                let pair = piece.iter().position(|&b| b != b'&').unwrap_or(piece.len());
                piece = &piece[pair..];
            }
            let (into, end) = match &mut self.value {
                Some(value) => (value, memchr::memchr(b'&', piece)),
                None => (&mut self.name, memchr::memchr2(b'=', b'&', piece)),
            };
            unquote_plus(&piece[..end.unwrap_or(piece.len())], into);
            let Some(end) = end else { return true };
            if piece[end] == b'=' {
                self.value = Some(Vec::new());
            } else if !self.end_pair() {
                return false;
            }
            piece = &piece[end + 1..];
        }
        true
    }

    /// The text is complete; `None` when there are too many arguments.
    pub(crate) fn finish(mut self) -> Option<Arguments> {
        self.end_pair().then_some(self.arguments)
    }

    fn is_between_pairs(&self) -> bool {
        self.name.is_empty() && self.value.is_none()
    }

    /// False for one too many. What stands between two `&` without anything is no pair.
    fn end_pair(&mut self) -> bool {
        if self.is_between_pairs() {
            return true;
        }
        if self.arguments.len() == self.max_arguments {
            return false;
        }
        let name = match String::from_utf8(std::mem::take(&mut self.name)) {
            Ok(name) => name,
            Err(error) => error.into_bytes().iter().map(|&b| b as char).collect(),
        };
        self.arguments.push(name, self.value.take().unwrap_or_default());
        true
    }
}

/// Appends decoded text.
fn unquote_plus(mut text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len());
    while let Some((&first, rest)) = text.split_first() {
        text = match (first, rest) {
            (b'+', rest) => {
                out.push(b' ');
                rest
            }
            (b'%', rest) => {
                let decoded = rest.split_first_chunk().and_then(|(digits, rest)| Some((hex(*digits)?, rest)));
                let (byte, rest) = decoded.unwrap_or((b'%', rest));
                out.push(byte);
                rest
            }
            _ => {
                let plain = memchr::memchr2(b'+', b'%', text).unwrap_or(text.len());
                out.extend_from_slice(&text[..plain]);
                &text[plain..]
            }
        };
    }
}

fn hex([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

/// Whether there is no control character but tab and line ends in an argument.
pub(crate) fn is_clean(text: &[u8]) -> bool {
    // No early end: so it is done with vectors, and what is clean is the rule.
    !text.chunks(4096).any(|chunk| chunk.iter().fold(false, |found, &b| found | is_unwanted(b)))
}

#[inline]
fn is_unwanted(byte: u8) -> bool {
    byte < 0x20 && !(0x09..=0x0d).contains(&byte)
}

/// Replaces control characters but tab and line ends by a space, as Tornado does with every argument.
pub(crate) fn clean(text: String) -> String {
    if is_clean(text.as_bytes()) {
        return text;
    }
    text.replace(|c: char| u8::try_from(c).is_ok_and(is_unwanted), " ")
}

/// Text in which such characters are replaced, which are one byte each. So it may be a piece of text.
pub(crate) fn cleaned(text: &[u8]) -> impl Iterator<Item = u8> {
    text.iter().map(|&byte| if is_unwanted(byte) { b' ' } else { byte })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let arguments = parse_qs(text.as_bytes(), 1000).unwrap();
        arguments.iter().map(|(n, v)| (n.to_owned(), String::from_utf8_lossy(v).into_owned())).collect()
    }

    #[test]
    fn decodes_as_tornado_does() {
        let p = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(pairs("a=1&b=2&a=3"), [p("a", "1"), p("b", "2"), p("a", "3")]);
        assert_eq!(pairs("a&b=&=c&&d==e"), [p("a", ""), p("b", ""), p("", "c"), p("d", "=e")]);
        assert_eq!(pairs("a+b=c+d%20e%2B"), [p("a b", "c d e+")]);
        assert_eq!(pairs("a=%zz%4&b=%C3%A9"), [p("a", "%zz%4"), p("b", "é")]);
        assert!(pairs("").is_empty());
    }

    #[test]
    fn the_pieces_make_no_difference() {
        for text in [
            "a=1&b=2&a=3",
            "a&b=&=c&&d==e",
            "a+b=c+d%20e%2B",
            "a=%zz%4&b=%C3%A9",
            "%",
            "%4",
            "%41",
            "=%25%",
            "&&&",
            "a%3d=%26",
        ] {
            let whole = parse_qs(text.as_bytes(), 1000).unwrap();
            for most in 1..text.len() + 1 {
                let (mut reader, mut rest) = (QsReader::new(1000), text.as_bytes());
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(QsReader::piece(rest, most));
                    assert!(!piece.is_empty() && piece.len() <= most.max(3));
                    assert!(reader.take(piece));
                    rest = after;
                }
                assert_eq!(reader.finish().as_ref(), Some(&whole), "{text} by {most}");
            }
        }
    }

    #[test]
    fn too_many_arguments_are_refused() {
        assert!(parse_qs(b"a&b", 2).is_some());
        assert!(parse_qs(b"a&b&c", 2).is_none());
    }

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(clean("a\0b\x1f\tc\nd".into()), "a b \tc\nd");
    }
}
