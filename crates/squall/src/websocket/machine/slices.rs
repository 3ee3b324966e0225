//! Long messages are worked on in slices, so that everybody else is served in between. Pure.

/// Messages of this size are compressed in slices: what is shorter takes some milliseconds.
pub(in crate::websocket) const LONG: usize = 256 * 1024;

/// So much is compressed at a time: 1 to 3 ms.
const SLICE: usize = 64 * 1024;

/// So many bytes, those that came and those that they became together, are decompressed at a time: 1 to 3 ms.
pub(in crate::websocket) const INFLATED_SLICE: usize = 512 * 1024;

/// A message in slices, and whether each is the last.
pub(in crate::websocket) fn parts(message: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let count = message.len().div_ceil(SLICE);
    message.chunks(SLICE).enumerate().map(move |(index, part)| (part, index + 1 == count))
}
