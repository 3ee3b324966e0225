//! What can be a field's value, and what may stand in one.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;

use super::super::date;

/// What can be the value of a header field: text, octets, integers, and points in time (as an HTTP date).
///
/// Text is sent in ISO-8859-1, one octet for each character, and text with a character beyond it is refused, as in
/// Tornado (RFC 9110 §5.5: what is beyond ASCII has no meaning of its own). Bytes are sent as they are: for UTF-8, and to
/// hand on what came from a peer.
pub trait HeaderValue {
    /// Appends the value's octets.
    fn append_to(&self, out: &mut Vec<u8>);
}

impl HeaderValue for str {
    fn append_to(&self, out: &mut Vec<u8>) {
        if self.is_ascii() {
            out.extend_from_slice(self.as_bytes());
        } else {
            // What has no octet becomes NUL, which no field may hold.
            out.extend(self.chars().map(|c| u8::try_from(c).unwrap_or(0)));
        }
    }
}

impl HeaderValue for String {
    fn append_to(&self, out: &mut Vec<u8>) {
        self.as_str().append_to(out);
    }
}

impl HeaderValue for Cow<'_, str> {
    fn append_to(&self, out: &mut Vec<u8>) {
        (**self).append_to(out);
    }
}

impl HeaderValue for [u8] {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl<const N: usize> HeaderValue for [u8; N] {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl HeaderValue for Vec<u8> {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl HeaderValue for Cow<'_, [u8]> {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl HeaderValue for Bytes {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl HeaderValue for http::HeaderValue {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl HeaderValue for SystemTime {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(date::format_timestamp(*self).as_bytes());
    }
}

impl<T: HeaderValue + ?Sized> HeaderValue for &T {
    fn append_to(&self, out: &mut Vec<u8>) {
        (**self).append_to(out);
    }
}

macro_rules! integer_values {
    ($($t:ty)*) => {$(
        impl HeaderValue for $t {
            fn append_to(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
            }
        }
    )*};
}
integer_values!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

/// A header that must not be sent; the message names the field, never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidHeader {
    /// The name is not a token.
    Name(String),
    /// The value of this field holds a control character, which would break the head apart, or is text with a character
    /// beyond ISO-8859-1.
    Value(String),
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "Invalid header name {name:?}"),
            Self::Value(name) => write!(f, "Unsafe header value for {name}"),
        }
    }
}

impl std::error::Error for InvalidHeader {}

/// Whether `text` is a token of RFC 9110 §5.6.2, as field names and methods are.
pub const fn is_token(text: &str) -> bool {
    let text = text.as_bytes();
    let mut i = 0;
    while i < text.len() && CLASSES[text[i] as usize] & TOKEN != 0 {
        i += 1;
    }
    i == text.len() && i > 0
}

/// RFC 9110 §5.5: visible characters, space, tab and obs-text; no other control character.
#[inline]
pub(crate) fn is_field_value(octets: &[u8]) -> bool {
    octets.iter().all(|&b| CLASSES[usize::from(b)] & VALUE != 0)
}

/// Octets that may stand in a token.
const TOKEN: u8 = 1;
/// Octets that may stand in a field value.
const VALUE: u8 = 2;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut b = 0;
    while b <= 0xff {
        let byte = b as u8;
        let mark = matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        if byte.is_ascii_alphanumeric() || mark {
            classes[b] |= TOKEN;
        }
        if matches!(byte, b'\t' | b' '..=b'~' | 0x80..) {
            classes[b] |= VALUE;
        }
        b += 1;
    }
    classes
};
