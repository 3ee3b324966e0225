//! TLS between a stream and its socket, by rustls: what is sent is encrypted on the way to the socket, what is received
//! decrypted on the way from it.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::IoStream;
use super::transport::{SEND_FLAGS, Transport};
use crate::netutil::within;

impl IoStream {
    /// Makes a TLS connection as client of this connected, idle stream and gives the stream over it (Tornado's
    /// `start_tls`). This one counts as closed afterwards.
    ///
    /// Not cancel safe: dropping the future closes the connection.
    ///
    /// # Errors
    /// When the stream is in use, has received data that nobody has read (it was sent in the clear, and must not be
    /// taken for what was encrypted) or is not over TCP; when the handshake fails, with a [`rustls::Error`] inside where
    /// rustls refused it.
    pub async fn start_tls(
        &self,
        config: Arc<ClientConfig>,
        server_name: ServerName<'static>,
    ) -> io::Result<IoStream> {
        if !self.read_buffer().is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "data came before the TLS handshake"));
        }
        let session = ClientConnection::new(config, server_name).map_err(invalid)?;
        let limits = self.0.limits.get();
        let (socket, _) = self.detach()?;
        let Transport::Tcp(tcp) = within(|| Transport::register(socket))? else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "TLS is for TCP"));
        };
        let tls = Tls { tcp, session: RefCell::new(session), owed: Cell::new(0) };
        tls.handshake().await?;
        let stream = Self::open(Transport::Tls(Box::new(tls)));
        stream.0.limits.set(limits);
        Ok(stream)
    }
}

/// A socket with its TLS session.
pub(super) struct Tls {
    pub(super) tcp: TcpStream,
    session: RefCell<ClientConnection>,
    /// So many bytes have been encrypted, but not all that became of them has been sent: they have not been counted
    /// as taken yet. Whoever writes tries again with the same bytes, since it was told that the socket is full.
    owed: Cell<usize>,
}

impl Tls {
    async fn handshake(&self) -> io::Result<()> {
        loop {
            let (handshaking, flushed) = {
                let mut session = self.session.borrow_mut();
                let flushed = self.flush(&mut session)?;
                (session.is_handshaking(), flushed)
            };
            if !flushed {
                self.tcp.writable().await?;
                // Clears the readiness if the socket is full after all.
                let written = self.tcp.try_io(Interest::WRITABLE, || {
                    self.session.borrow_mut().write_tls(&mut Socket(&self.tcp))
                });
                if let Err(error) = written
                    && error.kind() != io::ErrorKind::WouldBlock
                {
                    return Err(error);
                }
            } else if handshaking {
                self.tcp.readable().await?;
                match self.receive(&mut self.session.borrow_mut()) {
                    Ok(0) => {
                        return Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            "closed during TLS handshake",
                        ));
                    }
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    _ => {}
                }
            } else {
                return Ok(());
            }
        }
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What has been decrypted is not in the socket any more.
        let waiting = self.session.borrow_mut().process_new_packets();
        match waiting {
            Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {
                self.tcp.poll_read_ready(cx)
            }
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(invalid(error))),
        }
    }

    /// Decrypted bytes; `Ok(0)` only when the peer has said that it closes. A connection that just ends is an error:
    /// anybody on the way can end it.
    pub(super) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut session = self.session.borrow_mut();
        loop {
            match session.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            self.receive(&mut session)?;
        }
    }

    /// Encrypts and sends. What could not be sent at once is `WouldBlock`, and owed.
    pub(super) fn send(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session.borrow_mut();
        if self.owed.get() == 0 {
            // rustls holds 64 KiB at most; with nothing of the protocol's own in the way it takes some of `data`.
            if !self.flush(&mut session)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.owed.set(session.writer().write_vectored(data)?);
        }
        if !self.flush(&mut session)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let given: usize = data.iter().map(|slice| slice.len()).sum();
        Ok(self.owed.take().min(given))
    }

    /// Says that nothing more will be sent, as far as the socket takes that now.
    pub(super) fn close_notify(&self) {
        let mut session = self.session.borrow_mut();
        session.send_close_notify();
        // The connection ends anyhow.
        let _ = self.flush(&mut session);
    }

    /// Sends what is encrypted; returns whether that was all.
    fn flush(&self, session: &mut ClientConnection) -> io::Result<bool> {
        while session.wants_write() {
            match session.write_tls(&mut Socket(&self.tcp)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => drop(result?),
            }
        }
        Ok(true)
    }

    /// One `recv`, decrypted.
    fn receive(&self, session: &mut ClientConnection) -> io::Result<usize> {
        let count = self.tcp.try_io(Interest::READABLE, || session.read_tls(&mut Socket(&self.tcp)))?;
        if let Err(error) = session.process_new_packets() {
            // There is an alert for the peer that says why.
            let _ = self.flush(session);
            return Err(invalid(error));
        }
        // Answers of the protocol itself, such as new keys; what does not fit goes with the next write.
        if !session.is_handshaking() {
            let _ = self.flush(session)?;
        }
        Ok(count)
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.close_notify();
    }
}

/// The socket as rustls reads and writes it: one system call each, whatever the loop knows.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*SockRef::from(self.0)).read(buf)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        SockRef::from(self.0).send_with_flags(data, SEND_FLAGS)
    }

    fn write_vectored(&mut self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        SockRef::from(self.0).send_vectored_with_flags(data, SEND_FLAGS)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
