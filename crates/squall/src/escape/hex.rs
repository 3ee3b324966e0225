//! Bytes as lower-case hexadecimal digits, and back.

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|&byte| DIGITS[usize::from(byte)].map(char::from)).collect()
}

/// The two digits of each byte.
pub(crate) const DIGITS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut all = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        all[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    all
};

/// `None` for what is not pairs of digits.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    if text.len() % 2 == 1 {
        return None;
    }
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}
