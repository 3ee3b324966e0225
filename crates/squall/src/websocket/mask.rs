//! Masking (RFC 6455 §5.3).

/// Masks or unmasks `data`, which begins `offset` bytes into the payload.
///
/// Eight bytes at a time in a loop that the compiler vectorises.
pub(super) fn apply(data: &mut [u8], mask: [u8; 4], offset: usize) {
    let [a, b, c, d] = rotated(mask, offset);
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = data.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
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
            data in proptest::collection::vec(any::<u8>(), 0..300),
            mask: [u8; 4],
            at: prop::sample::Index,
        ) {
            let plain: Vec<u8> = data.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
            prop_assert_eq!(&masked(&mask, &data), &plain);
            let (mut pieces, at) = (data, at.index(301).min(plain.len()));
            apply(&mut pieces[..at], mask, 0);
            apply(&mut pieces[at..], mask, at);
            prop_assert_eq!(pieces, plain);
        }
    }
}
