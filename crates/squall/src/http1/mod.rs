//! HTTP/1.1 (RFC 9112) as pure machines: bytes in, events out; no socket, no clock, no waiting.
//!
//! * [`head`] turns bytes into a request head and decides the framing of what follows.
//! * [`response`] does the same for what a client reads.
//! * [`body`] and [`chunked`] find the body's bytes and its end.
//! * [`head_writer`] is the one place where heads become bytes.
//! * [`encode`] writes response heads and frames response bodies.
//! * [`limits`] holds what is allowed, [`error`] what can be wrong.

#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "both directions are one codec"))]
pub(crate) mod body;
pub(crate) mod chunked;
pub(crate) mod encode;
pub(crate) mod error;
pub(crate) mod head;
#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "as `body`"))]
pub(crate) mod head_writer;
pub(crate) mod limits;
#[cfg(feature = "client")]
pub(crate) mod response;

pub use error::ParseError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::body::{BodyDecoder, BodyLength};
    use super::head;
    use crate::httputil::{ConnectionLimits, RequestHead};

    /// Bytes that look like HTTP often enough to get past the first line.
    fn almost_http() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"GET / HTTP/1.1\r\n".to_vec()),
            Just(b"Host: h\r\n".to_vec()),
            Just(b"Content-Length: 3\r\n".to_vec()),
            Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\n ".to_vec()),
            Just(b"5\r\nhello\r\n0\r\n\r\n".to_vec()),
            prop::collection::vec(any::<u8>(), 0..20),
        ];
        prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_head_is_found_at_the_same_place_whatever_follows(bytes in almost_http(), more in almost_http()) {
            let limits = ConnectionLimits::default();
            let (mut first, mut second) = (RequestHead::default(), RequestHead::default());
            if let Ok(Some((length, facts))) = head::parse(&bytes, &limits, &mut first) {
                prop_assert!(length <= bytes.len());
                let whole = [bytes, more].concat();
                prop_assert_eq!(head::parse(&whole, &limits, &mut second), Ok(Some((length, facts))));
                prop_assert_eq!(format!("{first:?}"), format!("{second:?}"));
            }
        }

        #[test]
        fn bodies_never_take_more_than_there_is(bytes in almost_http(), chunked: bool, max in 1..50usize) {
            let length = if chunked { BodyLength::Chunked } else { BodyLength::Length(17) };
            let mut decoder = BodyDecoder::new(length, 40).unwrap();
            let (mut at, mut taken) = (0, 0);
            while let Ok(step) = decoder.decode(&bytes[at..], max) {
                prop_assert!(step.consumed <= bytes.len() - at && step.data.end <= step.consumed);
                prop_assert!(step.data.len() <= max);
                at += step.consumed;
                taken += step.data.len();
                if step.done || step.consumed == 0 {
                    break;
                }
            }
            prop_assert!(taken <= 40);
        }
    }
}
