//! HPACK's integers (RFC 7541 §5.1).

use super::decode::DecodeError;

/// Reads the integer whose prefix is the low `bits` of `first`, and whose other bytes, if there are some, begin `rest`.
#[inline]
pub(super) fn read(first: u8, bits: u32, rest: &mut &[u8]) -> Result<usize, DecodeError> {
    let most = largest_prefix(bits);
    let prefix = first & most;
    if prefix < most { Ok(usize::from(prefix)) } else { read_rest(prefix, rest) }
}

/// Appends an integer behind the bits of `flags`, which the prefix leaves alone.
#[inline]
pub(super) fn write(integer: usize, bits: u32, flags: u8, out: &mut Vec<u8>) {
    let most = largest_prefix(bits);
    if integer < usize::from(most) {
        out.push(flags | integer as u8);
        return;
    }
    out.push(flags | most);
    let mut left = integer - usize::from(most);
    while left >= 0x80 {
        out.push(0x80 | left as u8);
        left >>= 7;
    }
    out.push(left as u8);
}

/// The prefix that says that more bytes follow.
const fn largest_prefix(bits: u32) -> u8 {
    0xff >> (8 - bits)
}

/// Nothing longer than 32 bits need is taken, however many of its bytes are zeros.
#[inline(never)]
fn read_rest(prefix: u8, rest: &mut &[u8]) -> Result<usize, DecodeError> {
    let mut integer = u64::from(prefix);
    for shift in [0, 7, 14, 21, 28] {
        let (byte, after) = rest.split_first().ok_or(DecodeError)?;
        *rest = after;
        integer += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let integer = u32::try_from(integer).map_err(|_| DecodeError)?;
            return usize::try_from(integer).map_err(|_| DecodeError);
        }
    }
    Err(DecodeError)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541 §C.1, and the edges.
    #[test]
    fn integers_there_and_back() {
        #[rustfmt::skip] // one row, one line
        let rows: &[(usize, u32, &[u8])] = &[
            (10, 5, &[0x0a]),
            (1337, 5, &[0x1f, 0x9a, 0x0a]),
            (42, 8, &[0x2a]),
            (0, 7, &[0]),
            (30, 5, &[30]),
            (31, 5, &[31, 0]),
            (126, 7, &[126]),
            (127, 7, &[127, 0]),
            (254, 7, &[127, 127]),
            (255, 7, &[127, 0x80, 1]),
            (255, 8, &[255, 0]),
            (u32::MAX as usize, 8, &[255, 0x80, 0xfe, 0xff, 0xff, 0x0f]),
        ];
        for (integer, bits, bytes) in rows {
            let mut out = Vec::new();
            write(*integer, *bits, 0, &mut out);
            assert_eq!(&out, bytes, "{integer}");
            let flags = !largest_prefix(*bits);
            let mut rest = &out[1..];
            assert_eq!(read(out[0] | flags, *bits, &mut rest), Ok(*integer));
            assert!(rest.is_empty());
            for end in 1..out.len() {
                assert_eq!(
                    read(out[0], *bits, &mut &out[1..end]),
                    Err(DecodeError),
                    "{integer} cut at {end}"
                );
            }
        }
    }

    #[test]
    fn too_large_and_too_long() {
        for rest in [
            &[0x81, 0xfe, 0xff, 0xff, 0x0f][..],
            &[0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0],
            &[0xff; 100],
        ] {
            assert_eq!(read(0xff, 8, &mut &rest[..]), Err(DecodeError), "{rest:?}");
        }
        let mut rest = &[0x80, 0x80, 0x80, 0x80, 0, 7][..];
        assert_eq!(read(0xff, 8, &mut rest), Ok(255), "zeros that fit");
        assert_eq!(rest, [7]);
    }
}
