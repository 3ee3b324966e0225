//! Header fields: case-insensitive, in the order they were added, several values per name.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::time::SystemTime;

use super::date;
use crate::sys::utf8;

/// The header fields of one message (Tornado's `HTTPHeaders`).
///
/// Names are compared without regard to case and kept as `Title-Case`. Values are text: bytes that are not UTF-8
/// are read as ISO-8859-1, which is what RFC 9110 §5.5 says they historically were and what Tornado does.
///
/// All fields live in one string, as they look on the wire; the list beside it says where each begins and ends.
/// Sending a head is therefore one copy, and a message costs two allocations however many fields it has.
#[doc(alias = "HTTPHeaders")]
#[derive(Default)]
pub struct HttpHeaders {
    /// `Name: value\r\n` for each field, in order.
    block: String,
    fields: Vec<Field>,
    /// The block came from a peer and may hold other line ends or spacing than ours, so it is not sent as it is.
    foreign: bool,
    /// A value holds characters beyond ASCII, which go out as one byte each.
    latin1: bool,
}

/// Where one field stands in the block.
#[derive(Clone, Copy)]
struct Field {
    name: u32,
    name_len: u32,
    value: u32,
    value_len: u32,
}

impl Field {
    fn name_range(self) -> Range<usize> {
        self.name as usize..(self.name + self.name_len) as usize
    }

    fn value_range(self) -> Range<usize> {
        self.value as usize..(self.value + self.value_len) as usize
    }
}

impl HttpHeaders {
    /// No fields.
    pub const fn new() -> Self {
        Self { block: String::new(), fields: Vec::new(), foreign: false, latin1: false }
    }

    /// The first value of `name`.
    ///
    /// A field that came several times is better read with [`list`](Self::list) or [`joined`](Self::joined).
    #[inline]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.position(name).map(|i| self.value(i))
    }

    /// All values of `name` joined with a comma, as Tornado's `headers[name]` gives them.
    pub fn joined(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut values = self.list(name);
        let first = values.next()?;
        let Some(second) = values.next() else { return Some(Cow::Borrowed(first)) };
        let mut all = String::with_capacity(first.len() + second.len() + 1);
        all.push_str(first);
        for value in std::iter::once(second).chain(values) {
            all.push(',');
            all.push_str(value);
        }
        Some(Cow::Owned(all))
    }

    /// Every value of `name`, in the order of arrival.
    #[doc(alias = "get_list")]
    pub fn list<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether a field of that name is present.
    #[inline]
    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// Every field as name and value, in order. Names are in `Title-Case`.
    #[doc(alias = "get_all")]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.fields.iter().map(|f| (&self.block[f.name_range()], &self.block[f.value_range()]))
    }

    /// How many fields there are; a name that came twice counts twice.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Gives `name` this one value. A former value keeps its place in the order; further ones are removed.
    ///
    /// # Errors
    /// [`InvalidHeader`] when the name is not a token (RFC 9110 §5.1) or the value holds a control character
    /// (CR, LF and NUL above all) or a character beyond ISO-8859-1. Nothing is changed then.
    pub fn set(&mut self, name: &str, value: impl HeaderValue) -> Result<(), InvalidHeader> {
        let Some(at) = self.position(name) else { return self.add(name, value) };
        let mut text = String::new();
        value.append_to(&mut text);
        self.latin1 |= check_value(name, &text)? == Charset::Latin1;
        while let Some(later) = self.position_from(name, at + 1) {
            self.remove_at(later);
        }
        let field = self.fields[at];
        self.block.replace_range(field.value_range(), &text);
        self.fields[at].value_len = text.len() as u32;
        self.shift(at + 1, text.len() as i64 - i64::from(field.value_len));
        Ok(())
    }

    /// Adds a line of that name, beside those there are.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn add(&mut self, name: &str, value: impl HeaderValue) -> Result<(), InvalidHeader> {
        if !is_token(name) {
            return Err(InvalidHeader::Name(name.into()));
        }
        let start = self.block.len();
        self.block.push_str(name);
        normalize(&mut self.block, start..start + name.len());
        self.block.push_str(": ");
        let value_start = self.block.len();
        value.append_to(&mut self.block);
        match check_value(name, &self.block[value_start..]) {
            Ok(charset) => self.latin1 |= charset == Charset::Latin1,
            Err(error) => {
                self.block.truncate(start);
                return Err(error);
            }
        }
        let value_len = self.block.len() - value_start;
        self.block.push_str("\r\n");
        self.fields.push(Field {
            name: start as u32,
            name_len: name.len() as u32,
            value: value_start as u32,
            value_len: value_len as u32,
        });
        Ok(())
    }

    /// Removes every field of that name; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.fields.len();
        while let Some(at) = self.position(name) {
            self.remove_at(at);
        }
        self.fields.len() != before
    }

    /// Removes all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.block.clear();
        self.fields.clear();
        self.foreign = false;
        self.latin1 = false;
    }

    /// The fields whose names have one of these lengths, in bytes: that spares looking at most names, and looking for
    /// character boundaries.
    #[inline]
    pub(crate) fn with_lengths(&self, wanted: impl Fn(u32) -> bool) -> impl Iterator<Item = (&[u8], &[u8])> {
        let block = self.block.as_bytes();
        let fields = self.fields.iter().filter(move |f| wanted(f.name_len));
        fields.map(move |f| (&block[f.name_range()], &block[f.value_range()]))
    }

    /// How many bytes of text fit without asking for memory.
    pub(crate) fn capacity(&self) -> usize {
        self.block.capacity()
    }

    /// Adds a line that needs no checking: a name in Title-Case that is not there yet, and a printable ASCII value.
    #[inline]
    pub(crate) fn push_trusted(&mut self, name: &'static str, value: &str) {
        debug_assert!(
            is_token(name)
                && is_title_case(name.as_bytes())
                && check_value(name, value) == Ok(Charset::Ascii)
        );
        let start = self.block.len();
        self.block.reserve(name.len() + value.len() + 4);
        self.block.push_str(name);
        self.block.push_str(": ");
        self.block.push_str(value);
        self.block.push_str("\r\n");
        self.fields.push(Field {
            name: start as u32,
            name_len: name.len() as u32,
            value: (start + name.len() + 2) as u32,
            value_len: value.len() as u32,
        });
    }

    /// Makes this a copy of `other`, in the memory that is there.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.clear();
        self.block.push_str(&other.block);
        self.fields.extend_from_slice(&other.fields);
        self.foreign = other.foreign;
        self.latin1 = other.latin1;
    }

    /// Appends the fields as they go on the wire, without the empty line that ends a head.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        if !self.foreign && !self.latin1 {
            out.extend_from_slice(self.block.as_bytes());
            return;
        }
        self.write_some(out, |_| true);
    }

    /// [`write_to`](Self::write_to) for the fields whose names are wanted.
    pub(crate) fn write_some(&self, out: &mut Vec<u8>, wanted: impl Fn(&str) -> bool) {
        for (name, value) in self.iter().filter(|(name, _)| wanted(name)) {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            if value.is_ascii() {
                out.extend_from_slice(value.as_bytes());
            } else {
                // `check_value` let in nothing above U+00FF.
                out.extend(value.chars().map(|c| c as u8));
            }
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Takes over a head that has been parsed: `head` is its text, `fields` say where names and values are in it.
    ///
    /// The parser vouches for tokens and values; bytes that are not UTF-8 are read as ISO-8859-1.
    pub(crate) fn load(
        &mut self,
        head: &[u8],
        fields: impl Iterator<Item = (Range<usize>, Range<usize>)> + Clone,
    ) {
        self.clear();
        self.foreign = true;
        let mut bytes = std::mem::take(&mut self.block).into_bytes();
        bytes.extend_from_slice(head);
        self.fields.reserve(fields.size_hint().0);
        for (name, value) in fields.clone() {
            title_case(&mut bytes[name.clone()]);
            self.fields.push(Field {
                name: name.start as u32,
                name_len: name.len() as u32,
                value: value.start as u32,
                value_len: value.len() as u32,
            });
        }
        match utf8::string(bytes) {
            Some(block) => self.block = block,
            None => {
                self.fields.clear();
                for (name, value) in fields {
                    self.push_latin1(&head[name], &head[value]);
                }
            }
        }
    }

    fn push_latin1(&mut self, name: &[u8], value: &[u8]) {
        let start = self.block.len();
        self.block.extend(name.iter().map(|&b| b as char));
        let name_len = self.block.len() - start;
        normalize(&mut self.block, start..start + name_len);
        self.block.push_str(": ");
        let value_start = self.block.len();
        match std::str::from_utf8(value) {
            Ok(text) => self.block.push_str(text),
            Err(_) => self.block.extend(value.iter().map(|&b| b as char)),
        }
        let value_len = self.block.len() - value_start;
        self.block.push_str("\r\n");
        self.fields.push(Field {
            name: start as u32,
            name_len: name_len as u32,
            value: value_start as u32,
            value_len: value_len as u32,
        });
    }

    #[inline]
    fn position(&self, name: &str) -> Option<usize> {
        self.position_from(name, 0)
    }

    #[inline]
    fn position_from(&self, name: &str, start: usize) -> Option<usize> {
        let found = self.fields[start..].iter().position(|f| {
            f.name_len as usize == name.len()
                && self.block.as_bytes()[f.name_range()].eq_ignore_ascii_case(name.as_bytes())
        })?;
        Some(start + found)
    }

    fn value(&self, at: usize) -> &str {
        &self.block[self.fields[at].value_range()]
    }

    fn remove_at(&mut self, at: usize) {
        let field = self.fields.remove(at);
        let start = field.name as usize;
        let end = self.fields.get(at).map_or(self.block.len(), |next| next.name as usize);
        self.block.replace_range(start..end, "");
        self.shift(at, -((end - start) as i64));
    }

    /// Moves the places of the fields from `from` on by `by` bytes.
    fn shift(&mut self, from: usize, by: i64) {
        for field in &mut self.fields[from..] {
            field.name = (i64::from(field.name) + by) as u32;
            field.value = (i64::from(field.value) + by) as u32;
        }
    }
}

impl Clone for HttpHeaders {
    fn clone(&self) -> Self {
        Self {
            block: self.block.clone(),
            fields: self.fields.clone(),
            foreign: self.foreign,
            latin1: self.latin1,
        }
    }
}

impl fmt::Debug for HttpHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'a, V: HeaderValue> FromIterator<(&'a str, V)> for HttpHeaders {
    /// Fields that are not valid are left out; use [`add`](Self::add) to be told of them.
    fn from_iter<I: IntoIterator<Item = (&'a str, V)>>(fields: I) -> Self {
        let mut headers = Self::new();
        for (name, value) in fields {
            let _ = headers.add(name, value);
        }
        headers
    }
}

/// What can be the value of a header field: text, integers, and points in time (as an HTTP date).
pub trait HeaderValue {
    /// Appends the value's text.
    fn append_to(&self, out: &mut String);
}

impl HeaderValue for str {
    fn append_to(&self, out: &mut String) {
        out.push_str(self);
    }
}

impl HeaderValue for String {
    fn append_to(&self, out: &mut String) {
        out.push_str(self);
    }
}

impl HeaderValue for Cow<'_, str> {
    fn append_to(&self, out: &mut String) {
        out.push_str(self);
    }
}

impl HeaderValue for SystemTime {
    fn append_to(&self, out: &mut String) {
        out.push_str(&date::format_timestamp(*self));
    }
}

impl<T: HeaderValue + ?Sized> HeaderValue for &T {
    fn append_to(&self, out: &mut String) {
        (**self).append_to(out);
    }
}

macro_rules! integer_values {
    ($($t:ty)*) => {$(
        impl HeaderValue for $t {
            fn append_to(&self, out: &mut String) {
                out.push_str(itoa::Buffer::new().format(*self));
            }
        }
    )*};
}
integer_values!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

/// A header that must not be sent; the message names the field, never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidHeader {
    /// The name is not a token.
    Name(String),
    /// The value of this field holds a character that would break the head apart or cannot be sent.
    Value(String),
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "Invalid header name {name:?}"),
            Self::Value(name) => write!(f, "Unsafe header value for {name}"),
        }
    }
}

impl std::error::Error for InvalidHeader {}

/// Whether `text` is a token of RFC 9110 §5.6.2, as field names and methods are.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| CLASSES[b as usize] & TOKEN != 0)
}

/// RFC 9110 §5.5: visible characters, space, tab and obs-text; no other control character.
fn check_value(name: &str, value: &str) -> Result<Charset, InvalidHeader> {
    if value.bytes().all(|b| CLASSES[b as usize] & VALUE != 0) {
        Ok(Charset::Ascii)
    } else if value.chars().all(|c| matches!(c, '\t' | '\x20'..='\x7e' | '\u{80}'..='\u{ff}')) {
        Ok(Charset::Latin1)
    } else {
        Err(InvalidHeader::Value(name.into()))
    }
}

/// What a value needs to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Ascii,
    Latin1,
}

/// Bytes that may stand in a token.
const TOKEN: u8 = 1;
/// ASCII bytes that may stand in a field value.
const VALUE: u8 = 2;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut b = 0;
    while b < 0x7f {
        let byte = b as u8;
        let mark = matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        if byte.is_ascii_alphanumeric() || mark {
            classes[b] |= TOKEN;
        }
        if byte >= b' ' || byte == b'\t' {
            classes[b] |= VALUE;
        }
        b += 1;
    }
    classes
};

/// Makes the name in `block[range]` Title-Case.
#[inline]
fn normalize(block: &mut String, range: Range<usize>) {
    let name = &block.as_bytes()[range.clone()];
    if !is_title_case(name) {
        let mut name = name.to_vec();
        title_case(&mut name);
        // Changing the case of ASCII letters leaves text text.
        block.replace_range(range, &utf8::string(name).unwrap_or_default());
    }
}

/// Makes a name Title-Case: upper case at the start and after each hyphen, else lower.
#[inline]
fn title_case(name: &mut [u8]) {
    // Tables: computing the case takes twice as many instructions, for some 140 bytes of names in a browser's request.
    let mut case = &UPPER;
    for b in name {
        *b = case[usize::from(*b)];
        case = if *b == b'-' { &UPPER } else { &LOWER };
    }
}

static UPPER: [u8; 256] = in_case(true);
static LOWER: [u8; 256] = in_case(false);

const fn in_case(upper: bool) -> [u8; 256] {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = if upper { (b as u8).to_ascii_uppercase() } else { (b as u8).to_ascii_lowercase() };
        b += 1;
    }
    table
}

#[inline]
fn is_title_case(name: &[u8]) -> bool {
    let mut case = &UPPER;
    name.iter().all(|&b| {
        let right = case[usize::from(b)];
        case = if b == b'-' { &UPPER } else { &LOWER };
        b == right
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(headers: &HttpHeaders) -> String {
        let mut out = Vec::new();
        headers.write_to(&mut out);
        out.iter().map(|&b| b as char).collect()
    }

    #[test]
    fn names_are_title_case_and_found_in_any_case() {
        let mut h = HttpHeaders::new();
        h.add("content-TYPE", "text/plain").unwrap();
        h.add("x", "1").unwrap();
        assert_eq!(wire(&h), "Content-Type: text/plain\r\nX: 1\r\n");
        assert_eq!(h.get("CONTENT-type"), Some("text/plain"));
    }

    #[test]
    fn set_keeps_the_place_and_removes_further_values() {
        let mut h = HttpHeaders::new();
        for (name, value) in [("a", "1"), ("b", "2"), ("A", "3"), ("c", "4")] {
            h.add(name, value).unwrap();
        }
        assert_eq!(h.joined("a").as_deref(), Some("1,3"));
        assert_eq!(h.list("a").collect::<Vec<_>>(), ["1", "3"]);
        h.set("a", "longer").unwrap();
        assert_eq!(wire(&h), "A: longer\r\nB: 2\r\nC: 4\r\n");
        h.set("b", "").unwrap();
        assert!(h.remove("A"));
        assert!(!h.remove("A"));
        h.set("d", 42).unwrap();
        assert_eq!(wire(&h), "B: \r\nC: 4\r\nD: 42\r\n");
        assert_eq!(h.get("c"), Some("4"));
    }

    #[test]
    fn nothing_that_breaks_the_head_gets_in() {
        let mut h = HttpHeaders::new();
        h.add("X", "ok").unwrap();
        for bad in ["a\r\nb: c", "a\nb", "\0", "a\x7f", "snow \u{2603}"] {
            assert_eq!(h.add("Y", bad), Err(InvalidHeader::Value("Y".into())), "{bad:?}");
            assert_eq!(h.set("X", bad), Err(InvalidHeader::Value("X".into())), "{bad:?}");
        }
        for bad in ["", "a b", "a:", "é", "a\r"] {
            assert_eq!(h.add(bad, "v"), Err(InvalidHeader::Name(bad.into())), "{bad:?}");
        }
        assert_eq!(wire(&h), "X: ok\r\n");
    }

    #[test]
    fn latin1_goes_out_as_it_came_in() {
        let mut h = HttpHeaders::new();
        let head = b"X: caf\xe9\r\nhost: h\r\n";
        h.load(head, [(0..1, 3..7), (9..13, 15..16)].into_iter());
        assert_eq!(h.get("x"), Some("café"));
        assert_eq!(wire(&h), "X: café\r\nHost: h\r\n");
        let mut copy = HttpHeaders::new();
        copy.copy_from(&h);
        copy.remove("x");
        assert_eq!(wire(&copy), "Host: h\r\n");
    }
}
