//! Ends of a connection that say more than [`close`](IoStream::close).

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use super::IoStream;
use super::transport::Link;

impl IoStream {
    /// Tells the peer that nothing more will be sent, and goes on reading (`shutdown(SHUT_WR)`).
    ///
    /// Writes that are still queued are lost: [`flush`](Self::flush) first.
    ///
    /// # Errors
    ///
    /// When the stream is closed or not connected.
    pub fn shutdown_write(&self) -> io::Result<()> {
        match &*self.0.link.borrow() {
            Link::Open(transport) => transport.shutdown(Shutdown::Write),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Closes the stream so that the peer sees an error rather than an end: a TCP connection is reset, and over TLS
    /// nothing says that it was meant (`close_notify`). For what must not look complete.
    pub fn abort(&self) {
        if let Link::Open(transport) = &*self.0.link.borrow() {
            transport.forgo_end();
            if transport.is_tcp() {
                // Without the option the close is an ordinary one, which is the best that is left.
                let _ = transport.socket().set_linger(Some(Duration::ZERO));
            }
        }
        self.close();
    }
}
