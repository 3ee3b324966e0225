//! The dynamic table of HPACK (RFC 7541 §2.3.2 and §4).

use std::collections::VecDeque;

/// Fields in the order of their insertion. The bytes of all stand in one buffer, each field's in one piece: new ones are
/// appended, those of evicted ones make room when the buffer would have to grow. It has at most twice the table's bytes.
///
/// `T` is what the encoder keeps with a field.
pub(super) struct Table<T> {
    /// In the RFC's count, as are all sizes.
    max_size: usize,
    size: usize,
    /// The newest first, as indices count.
    entries: VecDeque<Entry<T>>,
    bytes: Vec<u8>,
    /// The position of `bytes[0]`.
    base: u32,
}

/// Where a field of the table stands.
pub(super) struct Entry<T> {
    /// Of the name, which the value follows. Positions count all bytes that were ever inserted, and wrap.
    position: u32,
    name_len: u32,
    value_len: u32,
    pub(super) tag: T,
}

impl<T> Table<T> {
    /// Allocates nothing until a field is inserted.
    pub(super) fn new(max_size: usize) -> Self {
        let max_size = max_size.min(LARGEST);
        Self { max_size, size: 0, entries: VecDeque::new(), bytes: Vec::new(), base: 0 }
    }

    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    /// The field of this index, counted from zero.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        self.field(self.entries.get(index)?)
    }

    /// The field of this index too, and what is kept with it.
    #[inline]
    pub(super) fn entry(&self, index: usize) -> Option<&Entry<T>> {
        self.entries.get(index)
    }

    #[inline]
    pub(super) fn field(&self, entry: &Entry<T>) -> Option<(&[u8], &[u8])> {
        let start = self.offset(entry.position);
        let field = self.bytes.get(start..start + entry.name_len as usize + entry.value_len as usize)?;
        field.split_at_checked(entry.name_len as usize)
    }

    /// The newest first.
    pub(super) fn tags(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|entry| &entry.tag)
    }

    /// Inserts a field. One that is larger than the table only empties it (RFC 7541 §4.4).
    pub(super) fn insert(&mut self, name: impl ExactSizeIterator<Item = u8>, value: &[u8], tag: T) {
        let name_len = name.len();
        if self.admits(name_len, value.len()) {
            self.bytes.extend(name);
            self.insert_appended(name_len, value, tag);
        }
    }

    /// Inserts a field with the name of another, which may be evicted for it.
    pub(super) fn insert_with_name_of(&mut self, index: usize, value: &[u8], tag: T) {
        let Some(&Entry { position, name_len, .. }) = self.entries.get(index) else {
            return;
        };
        let name_len = name_len as usize;
        if self.admits(name_len, value.len()) {
            let start = self.offset(position);
            self.bytes.extend_from_within(start..start + name_len);
            self.insert_appended(name_len, value, tag);
        }
    }

    /// Evicts what is above the new size.
    pub(super) fn set_max_size(&mut self, max_size: usize) {
        self.max_size = max_size.min(LARGEST);
        self.evict_to(self.max_size);
        let most = self.most_bytes();
        if self.bytes.capacity() > most {
            self.drop_evicted();
            self.bytes.shrink_to(most);
            self.entries.shrink_to(self.max_size / ENTRY_OVERHEAD);
        }
    }

    /// Whether such a field fits, and room for its bytes. Empties the table if not.
    fn admits(&mut self, name_len: usize, value_len: usize) -> bool {
        let fits = entry_size(name_len, value_len) <= self.max_size;
        if fits {
            self.reserve(name_len + value_len);
        } else {
            self.evict_to(0);
        }
        fits
    }

    /// Inserts the field whose name are the last bytes.
    fn insert_appended(&mut self, name_len: usize, value: &[u8], tag: T) {
        let position = self.base.wrapping_add((self.bytes.len() - name_len) as u32);
        self.bytes.extend_from_slice(value);
        let size = entry_size(name_len, value.len());
        self.evict_to(self.max_size - size);
        self.size += size;
        // Neither is longer than the table may be.
        let (name_len, value_len) = (name_len as u32, value.len() as u32);
        self.entries.push_front(Entry { position, name_len, value_len, tag });
    }

    fn evict_to(&mut self, size: usize) {
        while self.size > size
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry_size(entry.name_len as usize, entry.value_len as usize);
        }
    }

    /// Makes room for so many bytes, at most the table's. Costs no more steps than there are bytes inserted: evicted ones
    /// are dropped only if no more than those stay, or if as many as the table may have were appended since the last time.
    fn reserve(&mut self, bytes: usize) {
        let (wanted, most) = (self.bytes.len() + bytes, self.most_bytes());
        if wanted <= self.bytes.capacity() {
            return;
        }
        if wanted > most || self.evicted() >= self.bytes.len() / 2 {
            self.drop_evicted();
        }
        let len = self.bytes.len();
        if len + bytes > self.bytes.capacity() {
            let capacity = (2 * self.bytes.capacity()).min(most).max(len + bytes);
            self.bytes.reserve_exact(capacity - len);
        }
    }

    /// How many of the first bytes are of no field any more.
    fn evicted(&self) -> usize {
        self.entries.back().map_or(self.bytes.len(), |oldest| self.offset(oldest.position))
    }

    fn drop_evicted(&mut self) {
        let evicted = self.evicted();
        self.bytes.drain(..evicted);
        self.base = self.base.wrapping_add(evicted as u32);
    }

    fn most_bytes(&self) -> usize {
        2 * self.max_size
    }

    fn offset(&self, position: u32) -> usize {
        position.wrapping_sub(self.base) as usize
    }
}

/// The size of a field in the table (RFC 7541 §4.1).
pub(super) fn entry_size(name_len: usize, value_len: usize) -> usize {
    name_len.saturating_add(value_len).saturating_add(ENTRY_OVERHEAD)
}

const ENTRY_OVERHEAD: usize = 32;

/// So that positions and lengths fit.
const LARGEST: usize = 1 << 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(table: &mut Table<u8>, name: &str, value: &str) {
        table.insert(name.bytes(), value.as_bytes(), 0);
    }

    fn fields(table: &Table<u8>) -> Vec<(&str, &str)> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        (0..).map_while(|index| table.get(index)).map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn the_oldest_are_evicted() {
        let mut table = Table::new(100);
        assert_eq!((table.bytes.capacity(), table.entries.capacity()), (0, 0));
        insert(&mut table, "a", "1");
        insert(&mut table, "b", "2");
        assert_eq!((fields(&table), table.size), (vec![("b", "2"), ("a", "1")], 68));
        insert(&mut table, "c", "");
        assert_eq!((fields(&table), table.size), (vec![("c", ""), ("b", "2")], 67));
        insert(&mut table, "d", &"3".repeat(67));
        assert_eq!((fields(&table).len(), table.size), (1, 100));
        insert(&mut table, "e", &"4".repeat(68));
        assert_eq!((fields(&table), table.size), (vec![], 0), "larger than the table");
        insert(&mut table, "f", "5");
        assert_eq!(fields(&table), [("f", "5")]);
        table.set_max_size(33);
        assert_eq!(fields(&table), []);
        table.set_max_size(0);
        insert(&mut table, "", "");
        assert_eq!((fields(&table), table.bytes.capacity()), (vec![], 0));
    }

    /// RFC 7541 §4.4.
    #[test]
    fn a_name_of_an_evicted_field() {
        let mut table = Table::new(80);
        insert(&mut table, "name", "1");
        for round in 0..1000 {
            let value = "2".repeat(round % 44);
            table.insert_with_name_of(0, value.as_bytes(), 0);
            assert_eq!(fields(&table)[0], ("name", &value[..]));
        }
        table.insert_with_name_of(1, b"3", 0);
        assert_eq!(fields(&table)[0].1.len(), 999 % 44, "there is no such field");
        table.insert_with_name_of(0, &[b'2'; 45], 0);
        assert_eq!(fields(&table), []);
    }

    #[test]
    fn the_buffer_stays_small_and_positions_wrap() {
        let mut table = Table::new(4096);
        table.base = u32::MAX - 100_000;
        let mut random = 1_u32;
        for round in 0..20_000_u32 {
            random = random.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            let value = round.to_string().repeat((random >> 28) as usize * (random >> 26) as usize % 800);
            match table.get(1).map(|(name, _)| name.to_vec()) {
                Some(name) if round % 3 == 0 => {
                    table.insert_with_name_of(1, value.as_bytes(), 0);
                    assert!(table.get(0).is_none_or(|field| field == (&name, value.as_bytes())));
                }
                _ => {
                    insert(&mut table, "some-name", &value);
                    assert!(table.get(0).is_none_or(|field| field == (b"some-name", value.as_bytes())));
                }
            }
            let sizes =
                fields(&table).iter().map(|(name, value)| entry_size(name.len(), value.len())).sum::<usize>();
            assert_eq!(table.size, sizes);
            assert!(table.size <= 4096 && table.bytes.capacity() <= 8192, "{}", table.bytes.capacity());
        }
        assert!(table.base < u32::MAX / 2, "has wrapped");
    }
}
