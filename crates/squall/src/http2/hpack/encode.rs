//! Fields to header blocks.

use super::table::{Entry, Table, entry_size};
use super::text::{Name, Value};
use super::{huffman, integer, statics};

/// Encodes the header blocks of a connection, in the order in which they go out.
///
/// What is likely to come again goes into the dynamic table. What names one resource or one moment, and what is a secret,
/// does not.
pub(crate) struct Encoder {
    table: Table<Tag>,
    our_most: usize,
    /// The smallest size of the table since the last block, if the peer has not been told of the present one.
    smallest_untold: Option<usize>,
    /// The number of the newest field in the table, from one, wrapping.
    newest: u16,
    /// The number of the newest field of each slot of hashes. A field that was evicted may still be named.
    slots: Option<Box<[u16; SLOTS]>>,
    /// The number of the newest `date`.
    date: u16,
}

/// How a field in the table is found again.
struct Tag {
    hash: u32,
    /// The first index of the name in the static table, or zero.
    known: u8,
    name_hash: u8,
    /// The number of the field that was the newest of its slot before.
    older: u16,
}

impl Encoder {
    /// The table is empty and at most `our_most` bytes large, whatever the peer allows. Allocates nothing until used.
    pub(crate) fn new(our_most: usize) -> Self {
        let our_most = our_most.min(LARGEST_TABLE);
        let mut encoder = Self {
            table: Table::new(DEFAULT_TABLE),
            our_most,
            smallest_untold: None,
            newest: 0,
            slots: None,
            date: 0,
        };
        encoder.set_max_size(DEFAULT_TABLE);
        encoder
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE. It is told what became of it at the start of the next block.
    pub(crate) fn set_max_size(&mut self, bytes: usize) {
        let size = bytes.min(self.our_most);
        if size != self.table.max_size() {
            self.table.set_max_size(size);
            self.smallest_untold = Some(self.smallest_untold.unwrap_or(size).min(size));
        }
    }

    /// Begins a block.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        // RFC 7541 §4.2: the smallest too, so that the peer evicts what we did.
        if let Some(smallest) = self.smallest_untold.take() {
            let size = self.table.max_size();
            if smallest < size {
                integer::write(smallest, 5, 0x20, out);
            }
            integer::write(size, 5, 0x20, out);
        }
    }

    /// `:status`.
    pub(crate) fn status(&mut self, status: u16, out: &mut Vec<u8>) {
        let index = match status {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                let digits = [status / 100, status / 10, status].map(|digits| b'0' + (digits % 10) as u8);
                return self.field(b":status", &digits, out);
            }
        };
        out.push(0x80 | index);
    }

    /// A field. The name may be in any case, and is sent in lower case; or that of a pseudo-header field.
    #[inline]
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let name = Name::new(name);
        let name_hash = name.hash();
        let known = statics::find_name(name, name_hash);
        let value = Value::new(value);
        let field = Searched { name, value, known, name_hash, hash: value.hash(name_hash) };
        let in_table = if known.is_none_or(may_be_indexed) { self.find(&field) } else { None };
        match in_table {
            Some(index) => integer::write(index, 7, 0x80, out),
            None => self.literal(&field, out),
        }
    }

    /// The index of the field in the dynamic table.
    #[inline]
    fn find(&self, field: &Searched<'_>) -> Option<usize> {
        let newest_of_slot = self.slots.as_ref()?[slot(upper_half(field.hash))];
        let index = usize::from(self.newest.wrapping_sub(newest_of_slot));
        let entry = self.table.entry(index)?;
        if self.is(entry, field) { Some(statics::LEN + 1 + index) } else { self.find_older(field, index) }
    }

    /// The same among those of its slot that are older than this one.
    #[inline(never)]
    fn find_older(&self, field: &Searched<'_>, than: usize) -> Option<usize> {
        let mut index = than;
        loop {
            let older = self.newest.wrapping_sub(self.table.entry(index)?.tag.older);
            // Numbers wrap; without this the fields of a slot might be a circle.
            if usize::from(older) <= index {
                return None;
            }
            index = usize::from(older);
            if self.is(self.table.entry(index)?, field) {
                return Some(statics::LEN + 1 + index);
            }
        }
    }

    #[inline]
    fn is(&self, entry: &Entry<Tag>, field: &Searched<'_>) -> bool {
        entry.tag.hash == upper_half(field.hash)
            && usize::from(entry.tag.known) == field.known.unwrap_or(0)
            && self.table.field(entry).is_some_and(|(name, value)| {
                field.value.is(value) && (field.known.is_some() || field.name.is(name))
            })
    }

    /// The index of some field with this name in the dynamic table.
    fn find_name(&self, field: &Searched<'_>) -> Option<usize> {
        let tags = self.table.tags().enumerate();
        let mut same_hash = tags.filter(|(_, tag)| tag.name_hash == upper_byte(field.name_hash));
        let same = |index| self.table.get(index).is_some_and(|(known, _)| field.name.is(known));
        same_hash.find(|(index, _)| same(*index)).map(|(index, _)| statics::LEN + 1 + index)
    }

    /// A field that is not in the dynamic table; it may be in the static one.
    #[inline(never)]
    fn literal(&mut self, field: &Searched<'_>, out: &mut Vec<u8>) {
        let Searched { name, value, known, .. } = *field;
        if let Some(index) = known.and_then(|first| statics::find_value(first, value.bytes)) {
            return integer::write(index, 7, 0x80, out);
        }
        let indexing = match Indexing::of(known, name) {
            // A large field would drive out all others.
            Indexing::Incremental
                if value.bytes.len() > LONGEST_INDEXED
                    || entry_size(name.len(), value.bytes.len()) > self.table.max_size() / 4 =>
            {
                Indexing::Without
            }
            indexing => indexing,
        };
        let indexed = indexing == Indexing::Incremental;
        let index = match known {
            None if indexed => self.find_name(field),
            known => known,
        };
        let (bits, flags) = match indexing {
            Indexing::Incremental => (6, 0x40),
            Indexing::Without => (4, 0),
            Indexing::Never => (4, 0x10),
        };
        integer::write(index.unwrap_or(0), bits, flags, out);
        if index.is_none() && !write_coded(name.lower(), indexed, out) {
            integer::write(name.len(), 7, 0, out);
            out.extend(name.lower());
        }
        if !write_coded(value.bytes.iter().copied(), indexed, out) {
            integer::write(value.bytes.len(), 7, 0, out);
            out.extend_from_slice(value.bytes);
        }
        if indexed {
            self.insert(field);
        }
    }

    fn insert(&mut self, field: &Searched<'_>) {
        self.newest = self.newest.wrapping_add(1);
        let slots = self.slots.get_or_insert_with(|| Box::new([0; SLOTS]));
        if field.known == Some(statics::DATE) {
            // The date before does not come again: who looks for others need not pass by each second's.
            let before = self.table.entry(usize::from(self.newest.wrapping_sub(self.date).wrapping_sub(1)));
            if let Some(Entry { tag, .. }) = before
                && slots[slot(tag.hash)] == self.date
            {
                slots[slot(tag.hash)] = tag.older;
            }
            self.date = self.newest;
        }
        let older = std::mem::replace(&mut slots[slot(upper_half(field.hash))], self.newest);
        let tag = Tag {
            hash: upper_half(field.hash),
            known: field.known.unwrap_or(0) as u8,
            name_hash: upper_byte(field.name_hash),
            older,
        };
        self.table.insert(field.name.lower(), field.value.bytes, tag);
    }
}

/// A field that is to be found in the tables.
struct Searched<'a> {
    name: Name<'a>,
    value: Value<'a>,
    /// The first index of the name in the static table.
    known: Option<usize>,
    name_hash: u64,
    hash: u64,
}

/// Appends a string in the Huffman code (RFC 7541 §5.2), unless that is no shorter or not worth its while: it costs the more
/// the longer the string is, but an indexed one is sent once for many times.
fn write_coded(bytes: impl ExactSizeIterator<Item = u8> + Clone, indexed: bool, out: &mut Vec<u8>) -> bool {
    let len = bytes.len();
    if !indexed && len < SHORTEST_CODED {
        return false;
    }
    let coded_len = huffman::encoded_len(bytes.clone());
    let shorter = coded_len < len;
    if shorter {
        integer::write(coded_len, 7, 0x80, out);
        huffman::encode(bytes, out);
    }
    shorter
}

/// Whether a field goes into the dynamic table (RFC 7541 §6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Indexing {
    Incremental,
    Without,
    /// Nor into that of anybody who passes it on (RFC 7541 §7.1.3).
    Never,
}

impl Indexing {
    /// Of a field with this name, whose index in the static table is `known`.
    fn of(known: Option<usize>, name: Name<'_>) -> Self {
        known.map_or_else(|| Self::by_name(name), |index| OF_STATICS[index - 1])
    }

    const fn by_name(name: Name<'_>) -> Self {
        if is_among(name, NEVER_INDEXED) {
            Self::Never
        } else if is_among(name, NOT_INDEXED) {
            Self::Without
        } else {
            Self::Incremental
        }
    }
}

static OF_STATICS: [Indexing; statics::LEN] = {
    let mut indexing = [Indexing::Incremental; statics::LEN];
    let mut at = 0;
    while at < statics::LEN {
        indexing[at] = Indexing::by_name(Name::new(statics::FIELDS[at].0.as_bytes()));
        at += 1;
    }
    indexing
};

/// Whether the fields with this index in the static table are ever in the dynamic one.
fn may_be_indexed(known: usize) -> bool {
    OF_STATICS[known - 1] == Indexing::Incremental
}

const fn is_among(name: Name<'_>, names: &[&str]) -> bool {
    let mut at = 0;
    while at < names.len() {
        if name.is(names[at].as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

const NEVER_INDEXED: &[&str] = &["authorization", "proxy-authorization", "set-cookie", "www-authenticate"];

/// What is another for each request, or nearly so.
const NOT_INDEXED: &[&str] = &[
    ":path",
    "age",
    "content-length",
    "content-range",
    "cookie",
    "etag",
    "if-modified-since",
    "if-none-match",
    "last-modified",
    "location",
    "traceparent",
    "tracestate",
    "x-request-id",
];

/// In bytes; the value of a field in the table.
const LONGEST_INDEXED: usize = 256;

/// In bytes; below, the Huffman code of a string that is sent once saves less than it costs.
const SHORTEST_CODED: usize = 64;

/// What SETTINGS_HEADER_TABLE_SIZE is before the peer's settings (RFC 9113 §6.5.2).
const DEFAULT_TABLE: usize = 4096;

/// So that the table never has as many fields as there are numbers.
const LARGEST_TABLE: usize = 1 << 16;

const SLOTS: usize = 64;

fn slot(hash: u32) -> usize {
    (hash >> (u32::BITS - SLOTS.ilog2())) as usize
}

fn upper_half(hash: u64) -> u32 {
    (hash >> 32) as u32
}

fn upper_byte(hash: u64) -> u8 {
    (hash >> 56) as u8
}
