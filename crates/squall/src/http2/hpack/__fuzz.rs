//! What the fuzz target in `fuzz/` calls, of the compression of fields. Not a public interface.
//!
//! Any bytes whatever are blocks: they are decoded or refused. And they are fields, which come back as they were.

use super::{Decoder, Encoder, Field};

/// What must come of all blocks, and of all fields.
///
/// # Panics
/// When it does not.
pub fn hpack(data: &[u8]) {
    decode(data);
    encode(data);
}

/// Blocks with their length before them.
fn decode(mut data: &[u8]) {
    let mut decoder = Decoder::new(4_096);
    while let [length, rest @ ..] = data {
        let (block, rest) = rest.split_at((8 * usize::from(*length)).min(rest.len()));
        let mut fields = 0;
        let decoded = decoder.decode(block, |Field { name, value }| {
            fields += 1;
            // Of a table, or of the block, where the Huffman code makes at most eight of five bytes.
            assert!(name.len() + value.len() <= 4_096 + 2 * block.len(), "a field out of nothing");
        });
        assert!(fields <= block.len(), "more fields than bytes");
        if decoded.is_err() {
            break;
        }
        data = rest;
    }
}

/// Fields with a byte before each that says how long its name and its value are, and a byte before that for what happens before.
fn encode(mut data: &[u8]) {
    let (mut encoder, mut decoder) = (Encoder::new(4_096), Decoder::new(4_096));
    while !data.is_empty() {
        let mut block = Vec::new();
        let mut fields = Vec::new();
        encoder.begin(&mut block);
        while let [what, lengths, rest @ ..] = data {
            data = rest;
            match what {
                0..=9 => {
                    encoder.set_max_size(usize::from(*lengths) * 20);
                    // Is said before the next block.
                    break;
                }
                10..=19 => break,
                20..=29 if fields.is_empty() => {
                    let status = 100 + 3 * u16::from(*lengths);
                    encoder.status(status, &mut block);
                    fields.push((b":status".to_vec(), status.to_string().into_bytes()));
                }
                _ => {
                    let (name, rest) = rest.split_at(usize::from(lengths >> 5).min(rest.len()));
                    let (value, rest) = rest.split_at(usize::from(lengths & 0x1f).min(rest.len()));
                    // Some are long.
                    let value = value.repeat(if *what > 240 { usize::from(*what) } else { 1 });
                    data = rest;
                    encoder.field(name, &value, &mut block);
                    fields.push((name.to_ascii_lowercase(), value));
                }
            }
        }
        if data.len() < 2 {
            data = &[];
        }
        let mut decoded = Vec::new();
        let told =
            decoder.decode(&block, |Field { name, value }| decoded.push((name.to_vec(), value.to_vec())));
        assert!(told.is_ok(), "what was encoded is no block");
        assert!(decoded == fields, "the fields are others");
    }
}
