//! Query and form arguments (Tornado's `parse_qs_bytes` and `parse_body_arguments`).

/// Names and values in the order they came; a name may come several times.
///
/// Values are bytes, since a peer may send what is not UTF-8; it is refused when such a value is read, with the
/// name of the argument.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    pairs: Vec<(String, Vec<u8>)>,
}

impl Arguments {
    /// Every value of `name`, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    /// Every pair, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
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
        self.pairs.push((name.into(), value.into()));
    }
}

/// Reads `application/x-www-form-urlencoded` text: `+` and `%XX` decoded, blank values kept, a broken `%` left as
/// it is (Tornado's `parse_qs_bytes` with `keep_blank_values`).
///
/// Returns `None` when there are more than `max_arguments` pairs.
#[doc(alias = "parse_qs_bytes")]
pub fn parse_qs(text: &[u8], max_arguments: usize) -> Option<Arguments> {
    let mut arguments = Arguments::default();
    for pair in text.split(|&b| b == b'&').filter(|pair| !pair.is_empty()) {
        if arguments.len() == max_arguments {
            return None;
        }
        let (name, value) = match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        let name = match String::from_utf8(unquote_plus(name)) {
            Ok(name) => name,
            Err(error) => error.into_bytes().iter().map(|&b| b as char).collect(),
        };
        arguments.pairs.push((name, unquote_plus(value)));
    }
    Some(arguments)
}

fn unquote_plus(text: &[u8]) -> Vec<u8> {
    if memchr::memchr2(b'+', b'%', text).is_none() {
        return text.to_vec();
    }
    let spaced: Vec<u8> = text.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    percent_encoding::percent_decode(&spaced).collect()
}

/// Replaces control characters but tab and line ends by a space, as Tornado does with every argument.
pub(crate) fn clean(text: String) -> String {
    let unwanted = |c: char| matches!(c, '\0'..='\x08' | '\x0e'..='\x1f');
    if text.contains(unwanted) { text.replace(unwanted, " ") } else { text }
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
    fn too_many_arguments_are_refused() {
        assert!(parse_qs(b"a&b", 2).is_some());
        assert!(parse_qs(b"a&b&c", 2).is_none());
    }

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(clean("a\0b\x1f\tc\nd".into()), "a b \tc\nd");
    }
}
