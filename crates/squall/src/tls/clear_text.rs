//! Peers that do not speak TLS to a port that does.

use std::io;

use crate::iostream::Refusal;

/// Nothing against a peer's first bytes unless they are text, such as a request by plain HTTP: TLS begins with a 22 (RFC
/// 8446 §5.1), and if it is neither, rustls will say so.
pub(super) fn look(first: &[u8], answer: &'static [u8]) -> Result<(), Refusal> {
    match first.first() {
        Some(byte) if byte.is_ascii_alphabetic() => {
            let error = io::Error::new(io::ErrorKind::InvalidData, "the client speaks clear text");
            Err(Refusal { error, answer })
        }
        _ => Ok(()),
    }
}
