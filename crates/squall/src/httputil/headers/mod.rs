//! Header fields: case-insensitive, in the order they were added, several values per name.

mod case;
mod given;
mod parse;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use self::case::title_case;
pub(crate) use self::given::GivenHeaders;
pub use self::parse::ParseHeadersError;
pub(crate) use self::value::is_field_value;
pub use self::value::{HeaderValue, InvalidHeader, is_token};
use crate::sys::utf8;

/// The header fields of one message (Tornado's `HTTPHeaders`).
///
/// Names are compared without regard to case and kept as `Title-Case`. A value is octets (RFC 9110 §5.5): what came in
/// is compared, stored and sent as it came. [`get`](Self::get), [`list`](Self::list), [`joined`](Self::joined) and
/// [`iter`](Self::iter) show it as text: UTF-8 where it is that, else each octet read as ISO-8859-1, which is what RFC 9110
/// says they historically were and what Tornado does. [`get_bytes`](Self::get_bytes) and its kin give the octets.
///
/// Text that is set goes out in ISO-8859-1, as in Tornado: to hand on what came in, take its octets.
///
/// No value holds a control character but the tab, wherever it came from: whatever is put in, a message of these fields
/// cannot become two.
///
/// All fields live in one block, as they look on the wire; the list beside it says where each begins and ends.
/// Sending a head is therefore one copy, and a message costs two allocations however many fields it has.
#[doc(alias = "HTTPHeaders")]
#[derive(Default)]
pub struct HttpHeaders {
    /// `Name: value\r\n` for each field, in order.
    block: Vec<u8>,
    fields: Vec<Field>,
    /// Those of the fields, and perhaps of some that have been removed.
    names: NameSet,
    /// The block came from a peer and may hold other line ends or spacing than ours, so it is not sent as it is.
    foreign: bool,
    /// How ISO-8859-1 reads the values that are not UTF-8, by the place of the field. Nearly always empty.
    latin1: Vec<(usize, Box<str>)>,
}

/// Which names there may be, by their lengths and first letters: that one is not there is mostly known at once, and for a
/// name that is a constant it takes two instructions instead of some six for each field.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct NameSet(u64);

impl NameSet {
    pub(crate) const fn of(names: &[&str]) -> Self {
        let mut set = Self(0);
        let mut i = 0;
        while i < names.len() {
            set.insert(names[i].as_bytes());
            i += 1;
        }
        set
    }

    #[inline]
    const fn insert(&mut self, name: &[u8]) {
        self.0 |= Self::bit(name);
    }

    #[inline]
    const fn may_hold(self, name: &[u8]) -> bool {
        self.0 & Self::bit(name) != 0
    }

    #[inline]
    const fn bit(name: &[u8]) -> u64 {
        match name {
            // In any case.
            [first, ..] => 1 << (((*first | 0x20) as usize + 5 * name.len()) % 64),
            [] => 0,
        }
    }
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
        Self { block: Vec::new(), fields: Vec::new(), names: NameSet(0), foreign: false, latin1: Vec::new() }
    }

    /// Makes room for so many fields more, of so many bytes in all.
    #[cfg(any(feature = "client", feature = "tower"))]
    pub(crate) fn reserve(&mut self, fields: usize, bytes: usize) {
        self.fields.reserve(fields);
        // `: ` and the end of the line.
        self.block.reserve(bytes + 4 * fields);
    }

    /// The first value of `name`, as text.
    ///
    /// A field that came several times is better read with [`list`](Self::list) or [`joined`](Self::joined).
    #[inline]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.position(name).map(|at| self.value(at))
    }

    /// The first value of `name`, as it came or will be sent.
    #[inline]
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.position(name).map(|at| self.octets(at))
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

    /// [`joined`](Self::joined), as octets.
    pub fn joined_bytes(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let mut values = self.list_bytes(name);
        let first = values.next()?;
        let Some(second) = values.next() else { return Some(Cow::Borrowed(first)) };
        let mut all = [first, b",", second].concat();
        for value in values {
            all.push(b',');
            all.extend_from_slice(value);
        }
        Some(Cow::Owned(all))
    }

    /// Every value of `name` as text, in the order of arrival.
    #[doc(alias = "get_list")]
    pub fn list<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.positions(name).map(|at| self.value(at))
    }

    /// Every value of `name` as octets, in the order of arrival.
    pub fn list_bytes<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.positions(name).map(|at| self.octets(at))
    }

    /// Whether a field of that name is present.
    #[inline]
    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// Every field as name and text, in order. Names are in `Title-Case`.
    #[doc(alias = "get_all")]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        (0..self.fields.len()).map(|at| (self.name(at), self.value(at)))
    }

    /// Every field as name and octets, in order.
    pub fn iter_bytes(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        (0..self.fields.len()).map(|at| (self.name(at), self.octets(at)))
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
    /// [`InvalidHeader`] when the name is not a token (RFC 9110 §5.1), or the value holds a control character
    /// (CR, LF and NUL above all) or, as text, a character beyond ISO-8859-1. Nothing is changed then.
    pub fn set(&mut self, name: &str, value: impl HeaderValue) -> Result<(), InvalidHeader> {
        let Some(at) = self.position(name) else { return self.add(name, value) };
        // Behind all fields, until it is known to be a value.
        let start = self.block.len();
        value.append_to(&mut self.block);
        if !is_field_value(&self.block[start..]) {
            self.block.truncate(start);
            return Err(InvalidHeader::Value(name.into()));
        }
        if self.position_from(name, at + 1).is_some() {
            let octets = self.block.split_off(start);
            while let Some(later) = self.position_from(name, at + 1) {
                self.remove_at(later);
            }
            self.block.extend_from_slice(&octets);
            self.replace_by_last(at, octets.len());
        } else {
            self.replace_by_last(at, self.block.len() - start);
        }
        self.latin1.retain(|(place, _)| *place != at);
        self.note_latin1(at);
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
        self.block.extend_from_slice(name.as_bytes());
        title_case(&mut self.block[start..]);
        self.block.extend_from_slice(b": ");
        let value_start = self.block.len();
        value.append_to(&mut self.block);
        if !is_field_value(&self.block[value_start..]) {
            self.block.truncate(start);
            return Err(InvalidHeader::Value(name.into()));
        }
        let value_len = self.block.len() - value_start;
        self.block.extend_from_slice(b"\r\n");
        self.names.insert(name.as_bytes());
        self.fields.push(Field {
            name: start as u32,
            name_len: name.len() as u32,
            value: value_start as u32,
            value_len: value_len as u32,
        });
        self.note_latin1(self.fields.len() - 1);
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
        self.names = NameSet(0);
        self.foreign = false;
        self.latin1.clear();
    }

    /// The fields whose names have one of these lengths, in bytes: that spares looking at most names.
    #[inline]
    pub(crate) fn with_lengths(&self, wanted: impl Fn(u32) -> bool) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut fields = self.fields.iter();
        // Not `filter`, which calls `wanted` by reference: that is not inlined, and there are several passes per response.
        std::iter::from_fn(move || {
            loop {
                let field = fields.next()?;
                if wanted(field.name_len) {
                    return Some((&self.block[field.name_range()], &self.block[field.value_range()]));
                }
            }
        })
    }

    /// Whether there may be a field of one of these names.
    #[inline]
    pub(crate) fn may_have(&self, names: NameSet) -> bool {
        self.names.0 & names.0 != 0
    }

    /// How many bytes of text fit without asking for memory.
    pub(crate) fn capacity(&self) -> usize {
        self.block.capacity()
    }

    /// Adds a line that needs no checking: a name in Title-Case that is not there yet, and a printable ASCII value.
    #[inline(always)] // as `push_line`
    pub(crate) fn push_trusted(&mut self, name: &'static str, value: &str) {
        #[cfg(debug_assertions)]
        assert!(
            is_token(name) && case::is_title_case(name.as_bytes()) && is_field_value(value.as_bytes()),
            "{name}: {value:?}"
        );
        self.push_line(name, value.as_bytes());
    }

    /// [`set`](Self::set), of what needs no checking: a name in Title-Case, and a printable ASCII value.
    pub(crate) fn set_trusted(&mut self, name: &'static str, value: &str) {
        let Some(at) = self.position(name) else { return self.push_trusted(name, value) };
        if self.position_from(name, at + 1).is_some() || !self.latin1.is_empty() {
            // There is more to be done, and nothing wrong with either.
            let _ = self.set(name, value);
            return;
        }
        self.block.extend_from_slice(value.as_bytes());
        self.replace_by_last(at, value.len());
    }

    /// [`push_trusted`](Self::push_trusted) of octets that were a field's value before, or are made of such.
    #[cfg(feature = "client")]
    pub(crate) fn push_trusted_octets(&mut self, name: &'static str, value: &[u8]) {
        debug_assert!(is_token(name) && is_field_value(value), "{name}: {}", value.escape_ascii());
        self.push_line(name, value);
        self.note_latin1(self.fields.len() - 1);
    }

    /// Adds those fields of another message that are wanted. They need no checking again.
    #[cfg(feature = "client")]
    pub(crate) fn add_some(&mut self, other: &Self, wanted: impl Fn(&str, &[u8]) -> bool) {
        self.block.reserve(other.block.len());
        self.fields.reserve(other.fields.len());
        for at in 0..other.fields.len() {
            let (name, value) = (other.name(at), other.octets(at));
            if !wanted(name, value) {
                continue;
            }
            self.push_line(name, value);
            if let Some((_, reading)) = other.latin1.iter().find(|(place, _)| *place == at) {
                self.latin1.push((self.fields.len() - 1, reading.clone()));
            }
        }
    }

    #[inline(always)] // so that a name that is a constant is one here: 60 instructions instead of 90
    fn push_line(&mut self, name: &str, value: &[u8]) {
        let start = self.block.len();
        self.block.reserve(name.len() + value.len() + 4);
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.block.extend_from_slice(part);
        }
        self.names.insert(name.as_bytes());
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
        self.block.extend_from_slice(&other.block);
        self.fields.extend_from_slice(&other.fields);
        self.names = other.names;
        self.foreign = other.foreign;
        if !other.latin1.is_empty() {
            self.latin1.clone_from(&other.latin1);
        }
    }

    /// Appends the fields as they go on the wire, without the empty line that ends a head.
    #[inline]
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        if self.foreign {
            self.write_some(out, |_| true);
        } else {
            out.extend_from_slice(&self.block);
        }
    }

    /// [`write_to`](Self::write_to) for the fields whose names are wanted.
    pub(crate) fn write_some(&self, out: &mut Vec<u8>, wanted: impl Fn(&str) -> bool) {
        out.reserve(self.block.len());
        for (name, value) in self.iter_bytes().filter(|(name, _)| wanted(name)) {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
    }

    /// Takes over a head that has been parsed: `head` is its text, `fields` say where names and values are in it.
    ///
    /// The parser vouches for tokens and for values without control characters.
    pub(crate) fn load(&mut self, head: &[u8], fields: impl Iterator<Item = (Range<usize>, Range<usize>)>) {
        self.clear();
        self.foreign = true;
        self.block.extend_from_slice(head);
        self.fields.reserve(fields.size_hint().0);
        for (name, value) in fields {
            debug_assert!(is_field_value(&self.block[value.clone()]));
            title_case(&mut self.block[name.clone()]);
            self.names.insert(&self.block[name.clone()]);
            self.fields.push(Field {
                name: name.start as u32,
                name_len: name.len() as u32,
                value: value.start as u32,
                value_len: value.len() as u32,
            });
        }
        if utf8::text(&self.block).is_none() {
            for at in 0..self.fields.len() {
                self.note_latin1(at);
            }
        }
    }

    /// Keeps the reading of a value that is not UTF-8.
    #[inline]
    fn note_latin1(&mut self, at: usize) {
        if utf8::text(self.octets(at)).is_none() {
            let reading = self.octets(at).iter().map(|&octet| char::from(octet)).collect::<String>();
            self.latin1.push((at, reading.into()));
        }
    }

    #[inline]
    fn position(&self, name: &str) -> Option<usize> {
        self.position_from(name, 0)
    }

    /// Mostly it is asked for what is not there: that much is found out without a call.
    #[inline]
    fn position_from(&self, name: &str, start: usize) -> Option<usize> {
        if self.names.may_hold(name.as_bytes()) { self.find(name, start) } else { None }
    }

    fn find(&self, name: &str, start: usize) -> Option<usize> {
        let found = self.fields[start..].iter().position(|f| self.is_named(*f, name))?;
        Some(start + found)
    }

    fn positions<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = usize> + use<'a, 'n> {
        let fields = if self.names.may_hold(name.as_bytes()) { &self.fields[..] } else { &[] };
        fields.iter().enumerate().filter(move |(_, f)| self.is_named(**f, name)).map(|(at, _)| at)
    }

    #[inline]
    fn is_named(&self, field: Field, name: &str) -> bool {
        if field.name_len as usize != name.len() {
            return false;
        }
        let own = &self.block[field.name_range()];
        // Mostly it is asked for in its own case, which is the cheaper comparison.
        own == name.as_bytes() || own.eq_ignore_ascii_case(name.as_bytes())
    }

    fn name(&self, at: usize) -> &str {
        // A token is ASCII.
        utf8::text(&self.block[self.fields[at].name_range()]).unwrap_or_default()
    }

    #[inline]
    fn octets(&self, at: usize) -> &[u8] {
        &self.block[self.fields[at].value_range()]
    }

    #[inline]
    fn value(&self, at: usize) -> &str {
        utf8::text(self.octets(at)).unwrap_or_else(|| {
            self.latin1.iter().find(|(place, _)| *place == at).map_or("", |(_, reading)| reading)
        })
    }

    /// Makes the last `length` bytes of the block, which belong to no field, the value of one.
    fn replace_by_last(&mut self, at: usize, length: usize) {
        let old = self.fields[at].value_range();
        self.block[old.start..].rotate_right(length);
        self.block.drain(old.start + length..old.end + length);
        self.fields[at].value_len = length as u32;
        self.shift(at + 1, length as i64 - old.len() as i64);
    }

    fn remove_at(&mut self, at: usize) {
        let field = self.fields.remove(at);
        let start = field.name as usize;
        let end = self.fields.get(at).map_or(self.block.len(), |next| next.name as usize);
        self.block.drain(start..end);
        self.shift(at, -((end - start) as i64));
        self.latin1.retain(|(place, _)| *place != at);
        for (place, _) in &mut self.latin1 {
            *place -= usize::from(*place > at);
        }
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
            names: self.names,
            foreign: self.foreign,
            latin1: self.latin1.clone(),
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
