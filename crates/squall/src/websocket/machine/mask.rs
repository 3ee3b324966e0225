//! Masking (RFC 6455 §5.3).

/// What is masked in one step, by a few vector instructions on any machine.
const BLOCK: usize = 32;

/// A shorter payload is copied first: that fits its memory exactly, so that `Bytes` can be made of it without more.
const SHORT: usize = 256;

/// Masks or unmasks `data`, which begins `offset` bytes into the payload.
pub(in crate::websocket) fn apply(data: &mut [u8], mask: [u8; 4], offset: usize) {
    let mask = rotated(mask, offset);
    let key = repeated(mask);
    let (blocks, rest) = data.as_chunks_mut();
    for block in blocks {
        *block = xor(*block, key);
    }
    let (words, rest) = rest.as_chunks_mut();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}

/// A masked or unmasked copy of a payload, made in one pass.
pub(in crate::websocket) fn copy(data: &[u8], mask: [u8; 4]) -> Vec<u8> {
    if data.len() < SHORT {
        let mut copy = data.to_vec();
        apply(&mut copy, mask, 0);
        return copy;
    }
    let key = repeated(mask);
    let (blocks, rest) = data.as_chunks();
    let mut copy = Vec::with_capacity(data.len().div_ceil(BLOCK));
    copy.extend(blocks.iter().map(|block| xor(*block, key)));
    let mut copy = copy.into_flattened();
    let start = copy.len();
    copy.extend_from_slice(rest);
    // A block is a multiple of the mask.
    apply(&mut copy[start..], mask, 0);
    copy
}

#[inline]
fn xor(mut block: [u8; BLOCK], key: [u8; BLOCK]) -> [u8; BLOCK] {
    for (byte, key) in block.iter_mut().zip(key) {
        *byte ^= key;
    }
    block
}

fn repeated(mask: [u8; 4]) -> [u8; BLOCK] {
    std::array::from_fn(|i| mask[i % 4])
}

/// The mask as it falls on bytes from `offset` on.
fn rotated(mut mask: [u8; 4], offset: usize) -> [u8; 4] {
    mask.rotate_left(offset % 4);
    mask
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(mask: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut data = data.to_vec();
        apply(&mut data, *mask, 0);
        data
    }

    #[test]
    fn tornados_vectors() {
        assert_eq!(masked(b"abcd", b""), b"");
        assert_eq!(masked(b"abcd", b"b"), [0x03]);
        assert_eq!(masked(b"abcd", b"54321"), b"TVPVP");
        assert_eq!(masked(b"ZXCV", b"98765432"), b"c`t`olpd");
        assert_eq!(
            masked(&[0, 1, 2, 3], &[0xff, 0xfb, 0xfd, 0xfc, 0xfe, 0xfa]),
            [0xff, 0xfa, 0xff, 0xff, 0xfe, 0xfb]
        );
        assert_eq!(
            masked(&[0xff, 0xfb, 0xfd, 0xfc], &[0, 1, 2, 3, 4, 5]),
            [0xff, 0xfa, 0xff, 0xff, 0xfb, 0xfe]
        );
    }

    proptest! {
        #[test]
        fn is_byte_by_byte_and_may_be_split(
            data in proptest::collection::vec(any::<u8>(), 0..600),
            mask: [u8; 4],
            at: prop::sample::Index,
        ) {
            let plain: Vec<u8> = data.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
            prop_assert_eq!(&masked(&mask, &data), &plain);
            prop_assert_eq!(&copy(&data, mask), &plain);
            let (mut pieces, at) = (data, at.index(601).min(plain.len()));
            apply(&mut pieces[..at], mask, 0);
            apply(&mut pieces[at..], mask, at);
            prop_assert_eq!(pieces, plain);
        }
    }
}
