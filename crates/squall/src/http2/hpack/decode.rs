//! Header blocks to fields.

use std::ops::Range;

use super::table::Table;
use super::{huffman, integer, statics};

/// Decodes the header blocks of a connection, in the order in which they came.
pub(crate) struct Decoder {
    table: Table<()>,
    /// The largest size that the peer may give the table.
    max_size: usize,
    /// What strings in the Huffman code stand for; of use within one field.
    scratch: Vec<u8>,
}

/// A field as it came: nothing is known of its name and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
}

/// What is wrong with a block: COMPRESSION_ERROR, for the whole connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DecodeError;

impl Decoder {
    /// `max_size` is our SETTINGS_HEADER_TABLE_SIZE, in bytes. Allocates nothing until it has to.
    pub(crate) fn new(max_size: usize) -> Self {
        Self { table: Table::new(max_size), max_size, scratch: Vec::new() }
    }

    /// Decodes a whole header block, and calls `field` for each field in order. A field that is in a table costs neither a
    /// copy nor memory, however often it is named.
    ///
    /// # Errors
    ///
    /// The block is wrong. The decoder is of no use any more: its table is not the peer's.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        mut field: impl FnMut(Field<'_>),
    ) -> Result<(), DecodeError> {
        let mut rest = self.resize(block)?;
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            match first {
                0x80.. => {
                    let index = integer::read(first, 7, &mut rest)?;
                    let (name, value) = self.get(index)?;
                    field(Field { name, value });
                }
                0x40..=0x7f => self.literal(first, 6, &mut rest, &mut field)?,
                // A new size may only come first (RFC 7541 §4.2).
                0x20..=0x3f => return Err(DecodeError),
                // Without indexing, and never indexed, which is of interest to those who pass fields on.
                0x00..=0x1f => self.literal(first, 4, &mut rest, &mut field)?,
            }
        }
        if self.scratch.capacity() > MAX_IDLE_SCRATCH {
            self.scratch = Vec::new();
        }
        Ok(())
    }

    /// Takes the new sizes of the table at the start of a block (RFC 7541 §6.3), and gives what follows.
    fn resize<'b>(&mut self, block: &'b [u8]) -> Result<&'b [u8], DecodeError> {
        let mut rest = block;
        while let Some((&first @ 0x20..=0x3f, after)) = rest.split_first() {
            rest = after;
            let size = integer::read(first, 5, &mut rest)?;
            if size > self.max_size {
                return Err(DecodeError);
            }
            self.table.set_max_size(size);
        }
        Ok(rest)
    }

    /// A literal field (RFC 7541 §6.2), whose name's index has a prefix of so many bits in `first`.
    fn literal(
        &mut self,
        first: u8,
        bits: u32,
        rest: &mut &[u8],
        field: &mut impl FnMut(Field<'_>),
    ) -> Result<(), DecodeError> {
        let index = integer::read(first, bits, rest)?;
        self.scratch.clear();
        let name = if index == 0 { Some(Text::read(rest, &mut self.scratch)?) } else { None };
        let value = Text::read(rest, &mut self.scratch)?;
        let value = value.bytes(&self.scratch);
        // None in the dynamic table, which changes below.
        let lasting_name = match &name {
            Some(name) => Some(name.bytes(&self.scratch)),
            None => statics::get(index).map(|(name, _)| name),
        };
        let name = match lasting_name {
            Some(name) => name,
            None => self.get(index)?.0,
        };
        field(Field { name, value });
        if first & 0x40 != 0 {
            match lasting_name {
                Some(name) => self.table.insert(name.iter().copied(), value, ()),
                None => self.table.insert_with_name_of(index - statics::LEN - 1, value, ()),
            }
        }
        Ok(())
    }

    /// The field of this index, in either table (RFC 7541 §2.3.3).
    #[inline]
    fn get(&self, index: usize) -> Result<(&[u8], &[u8]), DecodeError> {
        statics::get(index)
            // Zero becomes larger than any table.
            .or_else(|| self.table.get(index.wrapping_sub(statics::LEN + 1)))
            .ok_or(DecodeError)
    }
}

/// A string of a block (RFC 7541 §5.2).
enum Text<'b> {
    Plain(&'b [u8]),
    /// Where in the scratch it stands.
    Decoded(Range<usize>),
}

impl<'b> Text<'b> {
    fn read(rest: &mut &'b [u8], scratch: &mut Vec<u8>) -> Result<Self, DecodeError> {
        let (&first, after) = rest.split_first().ok_or(DecodeError)?;
        *rest = after;
        let length = integer::read(first, 7, rest)?;
        let (bytes, after) = rest.split_at_checked(length).ok_or(DecodeError)?;
        *rest = after;
        if first & 0x80 == 0 {
            return Ok(Self::Plain(bytes));
        }
        let start = scratch.len();
        huffman::decode(bytes, scratch)?;
        Ok(Self::Decoded(start..scratch.len()))
    }

    fn bytes<'a>(&'a self, scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Decoded(range) => &scratch[range.clone()],
        }
    }
}

/// So many bytes an idle connection may keep for its next block.
const MAX_IDLE_SCRATCH: usize = 1024;

#[cfg(test)]
impl Decoder {
    /// The dynamic table, the newest field first.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..).map_while(|index| self.table.get(index))
    }

    pub(super) fn scratch_capacity(&self) -> usize {
        self.scratch.capacity()
    }
}
