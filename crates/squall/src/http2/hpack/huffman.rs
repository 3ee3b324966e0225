//! HPACK's Huffman code (RFC 7541 §5.2).
//!
//! It is canonical: the codes of one length follow each other, in the order of their symbols, and those of the next length
//! continue from there. So a code of up to eight bits is looked up, and a longer one is found by its length.

use super::decode::DecodeError;
use super::huffman_code::{CODES, EOS};

/// Appends what `input` stands for.
///
/// # Errors
///
/// The padding is longer than seven bits or not of ones, or EOS is inside.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let start = out.len();
    // The shortest codes have five bits.
    out.resize(start + input.len().saturating_mul(8) / 5, 0);
    let mut places = out[start..].iter_mut();
    let mut bits = Bits { next: 0, count: 0, rest: input };
    loop {
        bits.refill();
        // The padding is the beginning of EOS: with more ones behind the last bits, no symbol of so few comes of it.
        let ones = if bits.rest.is_empty() { u64::MAX >> bits.count } else { 0 };
        let (mut symbol, mut length) = match SHORT[bits.first_byte(ones)] {
            (_, 0) => long_code(bits.next | ones).unwrap_or((0, u32::MAX)),
            (symbol, length) => (symbol, u32::from(length)),
        };
        if length > bits.count {
            // Of EOS, or of one whose bits are not all there.
            if bits.count >= 8 || bits.next | ones != u64::MAX {
                return Err(DecodeError);
            }
            let left = places.len();
            out.truncate(out.len() - left);
            return Ok(());
        }
        // And those behind it, as long as they are short.
        while 0 < length && length <= bits.count {
            let Some(place) = places.next() else {
                return Err(DecodeError);
            };
            *place = symbol;
            bits.skip(length);
            let (next_symbol, next_length) = SHORT[bits.first_byte(0)];
            (symbol, length) = (next_symbol, u32::from(next_length));
        }
    }
}

/// What is left of a string.
struct Bits<'a> {
    /// The first bits, from the top.
    next: u64,
    /// So many of them are no more in `rest`. Those behind them are as in `rest`, or zeros.
    count: u32,
    rest: &'a [u8],
}

impl Bits<'_> {
    /// At least 56 bits, if there are so many.
    fn refill(&mut self) {
        if let Some(word) = self.rest.first_chunk::<8>() {
            self.next |= u64::from_be_bytes(*word) >> self.count;
            let bytes = (63 - self.count) / 8;
            self.count += 8 * bytes;
            self.rest = &self.rest[bytes as usize..];
            return;
        }
        while self.count < 56
            && let Some((byte, after)) = self.rest.split_first()
        {
            self.next |= u64::from(*byte) << (56 - self.count);
            self.count += 8;
            self.rest = after;
        }
    }

    fn first_byte(&self, or: u64) -> usize {
        ((self.next | or) >> 56) as usize
    }

    fn skip(&mut self, bits: u32) {
        self.next <<= bits;
        self.count -= bits;
    }
}

/// How many bytes [`encode`] appends for these.
pub(super) fn encoded_len(bytes: impl Iterator<Item = u8>) -> usize {
    let bits: usize = bytes.map(|byte| usize::from(CODES[usize::from(byte)].1)).sum();
    bits.div_ceil(8)
}

/// Appends the code of these bytes, padded with ones.
pub(super) fn encode(bytes: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    // The last `count` bits are to be written.
    let (mut bits, mut count) = (0_u64, 0_u32);
    for byte in bytes {
        let (code, length) = CODES[usize::from(byte)];
        bits = (bits << length) | u64::from(code);
        count += u32::from(length);
        if count >= 32 {
            count -= 32;
            out.extend_from_slice(&((bits >> count) as u32).to_be_bytes());
        }
    }
    let padding = count.wrapping_neg() % 8;
    bits = (bits << padding) | ((1 << padding) - 1);
    count += padding;
    out.extend_from_slice(&((bits << (32 - count)) as u32).to_be_bytes()[..count as usize / 8]);
}

/// The symbol of the long code that these bits begin with, and its length. EOS has none.
#[inline(never)]
fn long_code(bits: u64) -> Option<(u8, u32)> {
    let (long, at) = LONG.iter().find_map(|long| {
        let at = ((bits >> (64 - long.length)) as u32).wrapping_sub(long.first_code);
        (at < long.count).then_some((long, at))
    })?;
    let symbol = SYMBOLS.get((long.first_symbol + at) as usize)?;
    Some((*symbol, long.length))
}

/// The bits of the longest code, that of EOS and some others.
const LONGEST: u32 = 30;

/// For each first byte the symbol whose code of at most eight bits it begins with, and the code's length: zero if the code
/// is longer.
static SHORT: [(u8, u8); 256] = {
    let mut short = [(0, 0); 256];
    let mut symbol = 0;
    while symbol < EOS {
        let (code, length) = CODES[symbol];
        if length <= 8 {
            let first = (code << (8 - length)) as usize;
            let mut at = first;
            while at < first + (1 << (8 - length)) {
                short[at] = (symbol as u8, length);
                at += 1;
            }
        }
        symbol += 1;
    }
    short
};

/// The codes of one length.
#[derive(Clone, Copy)]
struct Long {
    length: u32,
    first_code: u32,
    count: u32,
    /// Where the symbol of the first stands in [`SYMBOLS`].
    first_symbol: u32,
}

/// Each length above eight.
static LONG: [Long; LONGEST as usize - 8] = {
    let mut long = [Long { length: 9, first_code: 0, count: 0, first_symbol: 0 }; LONGEST as usize - 8];
    let mut before = count_of_lengths(1, 8);
    let mut at = 0;
    while at < long.len() {
        let length = at as u32 + 9;
        let count = count_of_lengths(length, length);
        let mut symbol = 0;
        while symbol <= EOS && CODES[symbol].1 as u32 != length {
            symbol += 1;
        }
        let first_code = if count == 0 { 0 } else { CODES[symbol].0 };
        long[at] = Long { length, first_code, count, first_symbol: before };
        before += count;
        at += 1;
    }
    long
};

const fn count_of_lengths(from: u32, to: u32) -> u32 {
    let (mut count, mut symbol) = (0, 0);
    while symbol <= EOS {
        let length = CODES[symbol].1 as u32;
        if from <= length && length <= to {
            count += 1;
        }
        symbol += 1;
    }
    count
}

/// The symbols in the order of their codes, without EOS, the last.
static SYMBOLS: [u8; EOS] = {
    let mut symbols = [0; EOS];
    let (mut at, mut length) = (0, 1);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < EOS {
            if CODES[symbol].1 as u32 == length {
                symbols[at] = symbol as u8;
                at += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
};

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(input: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut out = Vec::new();
        decode(input, &mut out).map(|()| out)
    }

    fn encoded(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(bytes.iter().copied(), &mut out);
        assert_eq!(out.len(), encoded_len(bytes.iter().copied()));
        out
    }

    /// What the decoder relies on, and that no bits are without a meaning.
    #[test]
    fn the_code_is_canonical_and_complete() {
        let mut by_length: Vec<(u8, usize)> = (0..=EOS).map(|symbol| (CODES[symbol].1, symbol)).collect();
        by_length.sort_unstable();
        let (mut next, mut length_before) = (0_u64, 0);
        for (length, symbol) in by_length {
            next <<= length - length_before;
            length_before = length;
            assert_eq!(u64::from(CODES[symbol].0), next, "{symbol}");
            next += 1;
        }
        assert_eq!((next, u32::from(length_before)), (1 << LONGEST, LONGEST));
    }

    #[test]
    fn every_symbol_there_and_back() {
        for symbol in 0..=u8::MAX {
            for around in [&b""[..], b"0", b"aaaaaaaa", b"\x0a\xff", b"%X{"] {
                let text = [around, &[symbol], around, &[symbol, symbol]].concat();
                assert_eq!(decoded(&encoded(&text)), Ok(text.clone()), "{text:?}");
            }
        }
        let all: Vec<u8> = (0..=u8::MAX).chain((0..=u8::MAX).rev()).collect();
        assert_eq!(decoded(&encoded(&all)), Ok(all));
        assert_eq!(decoded(&[]), Ok(Vec::new()));
    }

    /// RFC 7541 §5.2.
    #[test]
    fn wrong_codes() {
        #[rustfmt::skip] // one row, one line
        let rows: &[(&[u8], &str)] = &[
            (&[0xff], "eight bits of padding"),
            (&[0x1f, 0xff], "`a`, and eleven bits of padding"),
            (&[0xff, 0xff, 0xff], "only padding"),
            (&[0x18], "`a`, and padding with zeros"),
            (&[0x1e], "`a`, and padding that ends in a zero"),
            (&[0xff, 0xff, 0xff, 0xff], "EOS, and two bits"),
            (&[0xff, 0xff, 0xff, 0xfc], "EOS, and two zeros"),
            (&[0x1f, 0xff, 0xff, 0xff, 0xff, 0xff], "EOS behind `a`"),
            (&[0x1f, 0xff, 0xff, 0xff, 0xfe, 0x3f, 0xff, 0xff, 0xff, 0xff], "EOS among others"),
            (&[0xfe], "a code that is cut off"),
            (&[0xff, 0xff, 0xff, 0xe0], "a long code that is cut off"),
        ];
        for (input, what) in rows {
            assert_eq!(decoded(input), Err(DecodeError), "{what}");
        }
        assert_eq!(decoded(&[0x1f]), Ok(b"a".to_vec()), "three bits of padding");
    }
}
