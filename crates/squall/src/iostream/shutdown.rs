//! Ends of a connection that say more than [`close`](IoStream::close).

use std::future::poll_fn;
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
    /// When the stream is closed or not connected, or over a pipe, which ends by being closed.
    pub fn shutdown_write(&self) -> io::Result<()> {
        match &*self.0.link.borrow() {
            Link::Open(transport) => transport.shutdown(Shutdown::Write),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// [`shutdown_write`](Self::shutdown_write) once all that is queued has been sent, and over TLS also the word that this
    /// is the end. It waits as long as the peer takes nothing: put a time limit around it. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the stream is or gets closed before that.
    pub async fn finish_write(&self) -> io::Result<()> {
        self.flush().await?;
        let transport = self.transport().ok_or(io::ErrorKind::NotConnected)?;
        poll_fn(|cx| transport.poll_end(cx)).await
    }

    /// Closes the stream so that the peer sees an error rather than an end: a TCP connection is reset, and over TLS
    /// nothing says that it was meant (`close_notify`). For what must not look complete.
    pub fn abort(&self) {
        if let Link::Open(transport) = &*self.0.link.borrow() {
            transport.forgo_end();
            if transport.is_tcp() {
                // Without the option the close is an ordinary one, which is the best that is left.
                let _ = transport.socket().and_then(|socket| socket.set_linger(Some(Duration::ZERO)));
            }
        }
        self.close();
    }
}
