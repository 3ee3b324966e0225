//! Names and values as the encoder compares them: names in any case, and both by their ends first, eight bytes at a time.

/// A name in any case, to be compared in lower case.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    bytes: &'a [u8],
    /// In lower case.
    ends: Ends,
}

impl<'a> Name<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        let ends = Ends::of(bytes);
        let ends = Ends { first: to_lower(ends.first), last: to_lower(ends.last) };
        Self { bytes, ends }
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Its bytes in lower case.
    pub(super) fn lower(&self) -> impl ExactSizeIterator<Item = u8> + Clone {
        self.bytes.iter().map(u8::to_ascii_lowercase)
    }

    /// Whether it is this one, which has no capital letters.
    pub(super) const fn is(&self, lower: &[u8]) -> bool {
        lower.len() == self.len()
            && Ends::of(lower).are(self.ends)
            && (lower.len() <= 16 || lower.eq_ignore_ascii_case(self.bytes))
    }

    /// The same in any case; the upper bits are the good ones.
    pub(super) const fn hash(&self) -> u64 {
        hash(self.len(), self.ends, 0)
    }
}

/// The value of a field.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) bytes: &'a [u8],
    ends: Ends,
}

impl<'a> Value<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, ends: Ends::of(bytes) }
    }

    #[inline]
    pub(super) fn is(&self, other: &[u8]) -> bool {
        let (a, b) = (self.bytes, other);
        if a.len() != b.len() {
            return false;
        }
        // Up to 32 bytes without a call.
        match (a.first_chunk::<16>(), b.first_chunk::<16>()) {
            (Some(first_of_a), Some(first_of_b)) => {
                first_of_a == first_of_b
                    && a.last_chunk::<16>() == b.last_chunk::<16>()
                    && (a.len() <= 32 || a == b)
            }
            _ => Ends::of(b).are(self.ends),
        }
    }

    /// The hash of a field with this value, from that of its name. Values with the same length and the same ends have the
    /// same; they are seldom enough among the few that a table has.
    pub(super) const fn hash(&self, name: u64) -> u64 {
        hash(self.bytes.len(), self.ends, name)
    }
}

/// The first and the last eight bytes, which are all if there are no more than 16.
#[derive(Clone, Copy)]
struct Ends {
    first: u64,
    last: u64,
}

impl Ends {
    /// Texts of one length and of the same ends may differ only between them.
    #[inline]
    const fn of(bytes: &[u8]) -> Self {
        let (first, last) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
                (Some(first), Some(last)) => {
                    (u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64)
                }
                _ => match bytes {
                    [a] => (*a as u64, 0),
                    [a, b] => (*a as u64, *b as u64),
                    [a, b, c] => (*a as u64, u16::from_le_bytes([*b, *c]) as u64),
                    _ => (0, 0),
                },
            },
        };
        Self { first, last }
    }

    const fn are(self, other: Self) -> bool {
        self.first == other.first && self.last == other.last
    }
}

const fn hash(len: usize, ends: Ends, seed: u64) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let hash = (seed ^ ends.first).wrapping_add(len as u64).wrapping_mul(ODD);
    (hash.rotate_left(29) ^ ends.last).wrapping_mul(ODD)
}

/// Eight bytes with ASCII's capital letters turned into small ones.
const fn to_lower(word: u64) -> u64 {
    let ascii = !word & repeat(0x80);
    let seven = word & repeat(0x7f);
    // No byte carries into the next: each sum is below 0x100.
    let from_a = seven + repeat(0x80 - b'A');
    let above_z = seven + repeat(0x7f - b'Z');
    word | ((ascii & from_a & !above_z) >> 2)
}

const fn repeat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_case_is_ascii_s() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                let mut word = *b"aZ\xff@[\0Az";
                word[at] = byte;
                let lower = to_lower(u64::from_le_bytes(word)).to_le_bytes();
                assert_eq!(lower, word.map(|b| b.to_ascii_lowercase()), "{byte:#x} at {at}");
            }
        }
    }

    #[test]
    fn names_are_compared_in_full() {
        for length in 0..40 {
            let lower: Vec<u8> = (0..length).map(|i| b"abc-xyz:"[i % 8]).collect();
            let upper = lower.to_ascii_uppercase();
            let name = Name::new(&upper);
            assert!(
                name.is(&lower) && Name::new(&lower).is(&lower) && name.lower().eq(lower.iter().copied())
            );
            assert_eq!(name.hash(), Name::new(&lower).hash());
            assert!(!Name::new(&[&upper[..], b"a"].concat()).is(&lower));
            for at in 0..length {
                for (ours, theirs) in [(b'a', b'b'), (b'@', b'`'), (b'{', b'['), (b'-', b'\r'), (b'a', 0xc1)]
                {
                    let (mut a, mut b) = (lower.clone(), upper.clone());
                    (a[at], b[at]) = (ours, theirs);
                    assert!(!Name::new(&b).is(&a), "{ours:#x} and {theirs:#x} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn values_are_compared_in_full() {
        for length in 0..40 {
            let bytes: Vec<u8> = (0..length).map(|i| b'a' + i).collect();
            let value = Value::new(&bytes);
            assert!(value.is(&bytes) && !value.is(&[&bytes[..], b"a"].concat()));
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] ^= 0x20;
                assert!(!value.is(&other), "{at} of {length}");
                let far_from_ends = (8..bytes.len().saturating_sub(8)).contains(&at);
                assert_eq!(value.hash(7) == Value::new(&other).hash(7), far_from_ends, "{at} of {length}");
            }
        }
    }
}
