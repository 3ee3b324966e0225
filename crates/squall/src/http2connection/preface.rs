//! Which version a client in clear text speaks.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::connection::Connection;
use super::server::Server;
use crate::http1connection::LAST_REQUEST;
use crate::httputil::{ConnectionLimits, RequestContext};
use crate::iostream::IoStream;

/// What a connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preface {
    Http2,
    /// Something else, as HTTP/1 is.
    Other,
    /// It closed, or was silent for too long, or the server ends.
    Nothing,
}

impl Preface {
    /// Reads as much as it takes to know, and leaves it in the stream. Meanwhile the connection is one of the server's.
    pub(crate) async fn listen(stream: &IoStream, server: &Rc<Server>, context: RequestContext) -> Self {
        let connection = Connection::new(stream.clone(), Rc::clone(server), context);
        let _member = server.set.enter(Rc::clone(&connection));
        let drained = async {
            Rc::clone(&server.set).draining().await;
            sleep(LAST_REQUEST).await;
        };
        tokio::select! {
            biased;
            known = connection.unless_cut(Self::read(stream, &server.limits)) => known.unwrap_or(Self::Nothing),
            () = drained => Self::Nothing,
        }
    }

    /// As in HTTP/1, the first byte has its time, and all others have theirs together.
    async fn read(stream: &IoStream, limits: &ConnectionLimits) -> Self {
        let mut patience = limits.idle_connection_timeout;
        let mut since = Instant::now();
        let mut begun = false;
        loop {
            if let Some(known) = Self::of(stream.read_buffer().as_slice()) {
                return known;
            }
            let left = patience.map_or(Duration::MAX, |patience| patience.saturating_sub(since.elapsed()));
            match timeout(left, stream.fill()).await {
                Ok(Ok(1..)) if begun => {}
                Ok(Ok(1..)) => {
                    begun = true;
                    (patience, since) = (limits.header_timeout, Instant::now());
                }
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
