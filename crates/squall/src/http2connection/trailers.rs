//! Looks for pseudo-header fields behind a body, where none may be (RFC 9113 §8.1). The `h2` crate passes over them.

/// What is read of the fields behind a body: as much as it takes to know the first of them. Pseudo-header fields that
/// stand behind others are found by `h2`.
///
/// A name that stands for itself, or in HPACK's static table (RFC 7541 §6, Appendix A), is seen. One that the client has
/// put into the table of the connection is not: to know that table would take decoding every head twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FirstField {
    /// The stream they belong to.
    pub(super) stream: u32,
    /// Bytes before the fields: the length of a padding, a priority.
    before: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A field comes, or what the size of the table is.
    Start,
    /// In the size.
    Size,
    /// The length of a name, and then the name.
    NameLength,
    Name {
        is_huffman: bool,
    },
}

/// Flags of HEADERS.
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// The last place of a pseudo-header field in the static table.
const LAST_PSEUDO: u8 = 14;
/// A colon as it is, and in the first seven bits of a text in Huffman's code.
const COLON: u8 = b':';
const HUFFMAN_COLON: u8 = 0x5c;

impl FirstField {
    /// The fields of a HEADERS frame with these flags.
    pub(super) fn new(stream: u32, flags: u8) -> Self {
        let padding = usize::from(flags & PADDED != 0);
        let priority = if flags & PRIORITY != 0 { 5 } else { 0 };
        Self { stream, before: padding + priority, state: State::Start }
    }

    /// Takes the next bytes of the frame, or of those that continue it. Says whether the first field is a pseudo-header
    /// field once that is known.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<bool> {
        let skipped = self.before.min(bytes.len());
        self.before -= skipped;
        for &byte in &bytes[skipped..] {
            self.state = match self.state {
                // Indexed.
                State::Start if byte & 0x80 != 0 => return Some(is_pseudo(byte & 0x7f)),
                // Literal, and put into the table.
                State::Start if byte & 0x40 != 0 => match byte & 0x3f {
                    0 => State::NameLength,
                    name => return Some(is_pseudo(name)),
                },
                State::Start if byte & 0x20 != 0 => match byte & 0x1f {
                    0x1f => State::Size,
                    _ => State::Start,
                },
                // Literal.
                State::Start => match byte & 0x0f {
                    0 => State::NameLength,
                    name => return Some(is_pseudo(name)),
                },
                State::Size if byte & 0x80 != 0 => State::Size,
                State::Size => State::Start,
                State::NameLength if byte & 0x7f == 0 => return Some(false),
                // No pseudo-header field is called that long.
                State::NameLength if byte & 0x7f == 0x7f => return Some(false),
                State::NameLength => State::Name { is_huffman: byte & 0x80 != 0 },
                State::Name { is_huffman: true } => return Some(byte >> 1 == HUFFMAN_COLON),
                State::Name { is_huffman: false } => return Some(byte == COLON),
            };
        }
        None
    }
}

fn is_pseudo(place: u8) -> bool {
    (1..=LAST_PSEUDO).contains(&place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_field_is_known_however_it_is_written() {
        for (flags, block, expected) in [
            (0, &b"\x82"[..], Some(true)),
            (0, b"\x8e", Some(true)),
            (0, b"\x8f", Some(false)),
            // :authority from the static table, in the three kinds of literals.
            (0, b"\x41\x01x", Some(true)),
            (0, b"\x01\x01x", Some(true)),
            (0, b"\x11\x01x", Some(true)),
            // accept-charset.
            (0, b"\x4f\x01x", Some(false)),
            (0, b"\x0f\x00\x01x", Some(false)),
            (0, b"\x00\x05:path\x01/", Some(true)),
            (0, b"\x40\x05:path\x01/", Some(true)),
            (0, b"\x10\x05:path\x01/", Some(true)),
            (0, b"\x00\x84\xb9\x58\xd3\x3f\x01/", Some(true)), // `:path` by Huffman's code
            (0, b"\x00\x03x-a\x01b", Some(false)),
            (0, b"\x00\x82\xf2\xb1\x01b", Some(false)),
            (0, b"\x00\x00\x01b", Some(false)),
            (0, b"\x00\x7f\x01:", Some(false)),
            // The table's size before it.
            (0, b"\x20\x82", Some(true)),
            (0, b"\x3f\xe1\x1f\x82", Some(true)),
            (0, b"\x3f\xe1\x1f\x00\x03x-a\x01b", Some(false)),
            // Padding and priority.
            (PADDED, b"\x01\x82\x00", Some(true)),
            (PRIORITY, b"\x00\x00\x00\x00\x10\x82", Some(true)),
            (PADDED | PRIORITY, b"\x82\x82\x82\x82\x82\x82\x00\x03x-a\x01b", Some(false)),
            // Nothing, or not enough.
            (0, b"", None),
            (0, b"\x00\x05", None),
            (PADDED, b"\x01", None),
        ] {
            for size in [1, 2, block.len().max(1)] {
                let mut first = FirstField::new(3, flags);
                let known = block.chunks(size).find_map(|piece| first.read(piece));
                assert_eq!(known, expected, "{flags} {block:?} in pieces of {size}");
            }
        }
    }
}
