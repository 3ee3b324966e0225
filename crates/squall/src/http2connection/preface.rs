//! Which version a client in clear text speaks.

use std::time::Duration;

use tokio::time::timeout;

use crate::httputil::ConnectionLimits;
use crate::iostream::IoStream;

/// What a connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preface {
    Http2,
    /// Something else, as HTTP/1 is.
    Other,
    /// It closed, or was silent for too long.
    Nothing,
}

impl Preface {
    /// Reads as much as it takes to know, and leaves it in the stream.
    pub(crate) async fn listen(stream: &IoStream, limits: &ConnectionLimits) -> Self {
        let mut patience = limits.idle_connection_timeout;
        loop {
            if let Some(known) = Self::of(stream.read_buffer().as_slice()) {
                return known;
            }
            match timeout(patience.unwrap_or(Duration::MAX), stream.fill()).await {
                Ok(Ok(1..)) => patience = limits.header_timeout,
                _ => return Self::Nothing,
            }
        }
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let length = bytes.len().min(PREFACE.len());
        if bytes[..length] != PREFACE[..length] {
            return Some(Self::Other);
        }
        (length == PREFACE.len()).then_some(Self::Http2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_as_soon_as_it_can_be() {
        assert_eq!(Preface::of(b""), None);
        assert_eq!(Preface::of(b"P"), None);
        assert_eq!(Preface::of(b"PO"), Some(Preface::Other));
        assert_eq!(Preface::of(b"GET / HTTP/1.1\r\n"), Some(Preface::Other));
        assert_eq!(Preface::of(&PREFACE[..23]), None);
        assert_eq!(Preface::of(PREFACE), Some(Preface::Http2));
        assert_eq!(Preface::of(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0"), Some(Preface::Http2));
    }
}
