//! Content-Length (RFC 9110 §8.6).

/// Digits only: no sign, underscore, space or `0x` (smuggling: GHSA-qppv-j76h-2rpx).
pub(crate) fn parse(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let add = |number: u64, digit: &u8| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    };
    digits.iter().try_fold(0, add)
}
