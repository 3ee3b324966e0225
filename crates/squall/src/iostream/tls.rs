//! TLS between a stream and what carries it, by rustls: what is sent is encrypted on the way down, what is received
//! decrypted on the way up. One type for both sides of a handshake.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
#[cfg(feature = "websocket")]
use std::io::BufRead;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, Connection, HandshakeKind, ProtocolVersion, ServerConfig,
    ServerConnection,
};

use super::IoStream;
use super::transport::Transport;
use crate::tls::TlsVersion;

/// The most bytes that a peer may send before the handshake is done; the longest honest ones are a chain of client
/// certificates, which rustls takes up to 64 KiB.
const MAX_HANDSHAKE_BYTES: usize = 256 * 1024;

/// So much is encrypted at a time: what a slow peer holds in memory beside the queue.
pub(super) const RECORD_BUFFER: usize = 32 * 1024;

/// How long a refused peer is given to take the alert that says why.
const ALERT_TIME: Duration = Duration::from_secs(2);

/// The side that a stream takes in [`IoStream::start_tls`], with its settings.
#[derive(Debug, Clone)]
pub struct TlsRole(Side);

#[derive(Debug, Clone)]
enum Side {
    /// Whom to trust, with what certificate, and the name that the server's certificate must be for.
    Client(Arc<ClientConfig>, ServerName<'static>),
    /// The certificates, and which clients are let in.
    Server(Arc<ServerConfig>),
}

impl TlsRole {
    pub(crate) fn of_client(config: Arc<ClientConfig>, server_name: ServerName<'static>) -> Self {
        Self(Side::Client(config, server_name))
    }

    pub(crate) fn of_server(config: Arc<ServerConfig>) -> Self {
        Self(Side::Server(config))
    }

    fn session(self) -> io::Result<Connection> {
        Ok(match self.0 {
            Side::Client(config, server_name) => {
                ClientConnection::new(config, server_name).map_err(invalid)?.into()
            }
            Side::Server(config) => ServerConnection::new(config).map_err(invalid)?.into(),
        })
    }
}

/// What a TLS handshake has agreed on: [`IoStream::tls_info`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TlsInfo {
    /// TLS 1.2 or 1.3.
    pub version: Option<TlsVersion>,
    /// The cipher suite, by its IANA name.
    pub cipher_suite: Option<&'static str>,
    /// How the keys were agreed on, by its IANA name: `X25519`, or `X25519MLKEM768` with the feature `tls-aws-lc` on both
    /// sides.
    pub key_exchange_group: Option<&'static str>,
    /// The protocol chosen by ALPN (`http/1.1`); `None` when one side named none.
    pub alpn_protocol: Option<Vec<u8>>,
    /// The name that the client asked for (SNI); known to the server only.
    pub server_name: Option<String>,
    /// The peer's certificate and those that it sent with it, in DER, which have been checked as the settings say; empty
    /// when it sent none. [`Certificate::parse`](crate::tls::Certificate::parse) reads one.
    pub peer_certificates: Vec<Vec<u8>>,
    /// A former session was taken up again.
    pub resumed: bool,
}

impl IoStream {
    /// Makes a TLS connection of this connected, idle stream, as client or as server, and gives the stream over it
    /// (Tornado's `start_tls`). This one counts as closed afterwards. A stream over TLS can be made one again, for what a
    /// TLS proxy tunnels.
    ///
    /// It waits for the peer as long as that takes: put a time limit around it. A peer that is refused is told why, by an
    /// alert. Not cancel safe: dropping the future closes the connection.
    ///
    /// # Errors
    /// `ResourceBusy` ("IOStream is not idle") when a read or a write is under way, or data has been received that nobody
    /// has read: it was sent in the clear, and must not be taken for what was encrypted. The stream is unchanged then.
    /// When the handshake fails: an error with a [`rustls::Error`] inside where rustls refused it, else that of the
    /// socket.
    pub async fn start_tls(&self, role: impl Into<TlsRole>) -> io::Result<IoStream> {
        self.start_tls_after(role.into(), |_| Ok(())).await
    }

    /// [`start_tls`](Self::start_tls) that shows the first bytes of the peer to `look`; an error of that is the handshake's,
    /// and its text, if there is one inside, the last thing that the peer hears.
    pub(crate) async fn start_tls_after(
        &self,
        role: TlsRole,
        look: impl Fn(&[u8]) -> Result<(), Refusal>,
    ) -> io::Result<IoStream> {
        if !self.read_buffer().is_empty() {
            let not_idle = "IOStream is not idle; cannot convert to SSL: there is unread data";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, not_idle));
        }
        let mut session = role.session()?;
        session.set_buffer_limit(Some(RECORD_BUFFER));
        let limits = self.0.limits.get();
        let under = self.take_transport()?;
        let tls = Tls { under, session: RefCell::new(session), held: Cell::new(0), mute: Cell::new(false) };
        if let Err(error) = tls.handshake(look).await {
            // No end of a connection that never was is to be announced.
            tls.mute();
            tls.linger().await;
            return Err(error);
        }
        let stream = Self::open(Transport::Tls(Box::new(tls)));
        stream.0.limits.set(limits);
        Ok(stream)
    }

    /// Resolves when the TLS handshake is done (Tornado's `SSLIOStream.wait_for_handshake`): a stream over TLS exists
    /// only from then on, so this is at once, and any number of times.
    ///
    /// # Errors
    /// `Unsupported` when the stream is not over TLS, `NotConnected` when it is closed.
    #[expect(clippy::unused_async, reason = "Tornado's name, awaited there")]
    pub async fn wait_for_handshake(&self) -> io::Result<()> {
        match self.transport() {
            None => Err(io::ErrorKind::NotConnected.into()),
            Some(transport) if transport.is_tls() => Ok(()),
            Some(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "the stream is not over TLS")),
        }
    }

    /// Whether this protocol was chosen by ALPN.
    #[cfg(feature = "http2")]
    pub(crate) fn has_chosen(&self, protocol: &[u8]) -> bool {
        match self.0.link.borrow().open().map(|transport| &**transport) {
            Some(Transport::Tls(tls)) => tls.session.borrow().alpn_protocol() == Some(protocol),
            _ => false,
        }
    }

    /// What the handshake has agreed on; `None` when the stream is not over TLS, or closed.
    pub fn tls_info(&self) -> Option<TlsInfo> {
        match &**self.0.link.borrow().open()? {
            Transport::Tls(tls) => Some(tls.info()),
            Transport::Tcp(_) | Transport::Unix(_) | Transport::Pipe(_) => None,
            #[cfg(feature = "http2")]
            Transport::Tunnel(tunnel) => tunnel.connection().tls_info(),
        }
    }
}

/// Why a peer that does not speak TLS is refused, and what it is told in the clear.
pub(crate) struct Refusal {
    pub(crate) error: io::Error,
    pub(crate) answer: &'static [u8],
}

/// What carries a TLS session, and the session. Between records neither holds more than rustls needs: no plaintext, no
/// block of ours.
pub(super) struct Tls {
    pub(super) under: Transport,
    session: RefCell<Connection>,
    /// So many bytes have been encrypted and not been sent.
    held: Cell<usize>,
    /// The connection ends without saying so: it must not look complete, or the end has been said.
    mute: Cell<bool>,
}

impl Tls {
    async fn handshake(&self, look: impl Fn(&[u8]) -> Result<(), Refusal>) -> io::Result<()> {
        let mut received = 0;
        loop {
            let (handshaking, flushed) = {
                let mut session = self.session.borrow_mut();
                let (_, flushed) = self.flush(&mut session)?;
                (session.is_handshaking(), flushed)
            };
            if !flushed {
                poll_fn(|cx| self.under.poll_write_ready(cx)).await?;
                // Clears the readiness if the socket is full after all.
                let written = self
                    .under
                    .try_write_io(|| self.session.borrow_mut().write_tls(&mut Carrier(&self.under)));
                if let Err(error) = written
                    && !is_momentary(&error)
                {
                    return Err(error);
                }
            } else if handshaking {
                poll_fn(|cx| self.under.poll_read_ready(cx)).await?;
                let result = match received {
                    0 => self.receive_first(&look),
                    _ => self.receive(&mut self.session.borrow_mut()),
                };
                match result {
                    Ok(0) if received == 0 => {
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without a word"));
                    }
                    Ok(0) => {
                        let cut = "closed during TLS handshake";
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut));
                    }
                    Ok(count) => received += count,
                    Err(error) if is_momentary(&error) => {}
                    Err(error) => return Err(error),
                }
                if received > MAX_HANDSHAKE_BYTES {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the TLS handshake is endless"));
                }
            } else {
                return Ok(());
            }
        }
    }

    /// Ends a connection whose peer may still be sending: closed at once, the alert on its way would be lost to a reset.
    async fn linger(&self) {
        let is_server = matches!(*self.session.borrow(), Connection::Server(_));
        if !is_server || self.under.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let drain = async {
            let (mut block, mut left) = ([0; 4096], MAX_HANDSHAKE_BYTES);
            while left > 0 && poll_fn(|cx| self.under.poll_read_ready(cx)).await.is_ok() {
                match self.under.try_read(&mut block) {
                    Ok(0) => break,
                    Ok(count) => left = left.saturating_sub(count),
                    Err(error) if is_momentary(&error) => {}
                    Err(_) => break,
                }
            }
        };
        // Boxed: rare, and its block would make every handshake's future larger. Late or not, the connection ends.
        let _ = tokio::time::timeout(ALERT_TIME, Box::pin(drain)).await;
    }

    fn info(&self) -> TlsInfo {
        let session = self.session.borrow();
        let server_name = match &*session {
            Connection::Server(server) => server.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        };
        TlsInfo {
            version: session.protocol_version().and_then(|version| match version {
                ProtocolVersion::TLSv1_2 => Some(TlsVersion::Tls12),
                ProtocolVersion::TLSv1_3 => Some(TlsVersion::Tls13),
                _ => None,
            }),
            cipher_suite: session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()),
            key_exchange_group: session
                .negotiated_key_exchange_group()
                .and_then(|group| group.name().as_str()),
            alpn_protocol: session.alpn_protocol().map(<[u8]>::to_vec),
            server_name,
            peer_certificates: session
                .peer_certificates()
                .map(|chain| chain.iter().map(|certificate| certificate.to_vec()).collect())
                .unwrap_or_default(),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What has been decrypted is not in the socket any more.
        let waiting = self.session.borrow_mut().process_new_packets();
        match waiting {
            Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {
                self.under.poll_read_ready(cx)
            }
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(invalid(error))),
        }
    }

    /// Decrypted bytes; `Ok(0)` only when the peer has said that it closes. A connection that just ends is an error
    /// (`UnexpectedEof`): anybody on the way can end it.
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

    /// [`try_read`](Self::try_read) into the room that is left in `buf`, which is not touched beyond what is read: it may
    /// be that for a message of many megabytes.
    #[cfg(feature = "websocket")]
    pub(super) fn try_read_more(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let start = buf.len();
        let mut session = self.session.borrow_mut();
        loop {
            let mut reader = session.reader();
            let room = buf.capacity() - buf.len();
            match reader.fill_buf() {
                Ok(chunk) if !chunk.is_empty() && room > 0 => {
                    let taken = chunk.len().min(room);
                    buf.extend_from_slice(&chunk[..taken]);
                    reader.consume(taken);
                }
                Ok(_) => return Ok(buf.len() - start),
                Err(_) if buf.len() > start => return Ok(buf.len() - start),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.receive(&mut session)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Encrypts and sends. What is encrypted counts as taken, for there is no way back; so much of it as could not be sent
    /// at once is [`held`](Self::held).
    pub(super) fn send(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session.borrow_mut();
        // First what is held, and what the protocol itself has to say: then rustls has room.
        if !self.progress(&mut session)?.1 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = session.writer().write_vectored(data)?;
        self.held.set(taken);
        self.progress(&mut session)?;
        Ok(taken)
    }

    /// How many bytes of those that were taken have not been sent.
    pub(super) fn held(&self) -> usize {
        self.held.get()
    }

    /// Sends what is held; returns how much of it.
    pub(super) fn send_held(&self) -> io::Result<usize> {
        match self.progress(&mut self.session.borrow_mut())? {
            (0, false) => Err(io::ErrorKind::WouldBlock.into()),
            (sent, _) => Ok(sent),
        }
    }

    /// Sends what is encrypted; returns how much less is held than before, and whether all is sent.
    ///
    /// Before all is sent, each byte counts for one of the data, so that a slow peer that takes some is seen to. The last
    /// one is kept back: it stands for all of them being sent.
    fn progress(&self, session: &mut Connection) -> io::Result<(usize, bool)> {
        let (sent, done) = self.flush(session)?;
        let held = self.held.get();
        let gone = if done { held } else { sent.min(held.saturating_sub(1)) };
        self.held.set(held - gone);
        Ok((gone, done))
    }

    /// Says that nothing more will be sent, as far as the socket takes that now.
    pub(super) fn close_notify(&self) {
        if self.mute.replace(true) {
            return;
        }
        let mut session = self.session.borrow_mut();
        session.send_close_notify();
        // The connection ends anyhow.
        let _ = self.flush(&mut session);
    }

    /// [`close_notify`](Self::close_notify), until the socket has taken it.
    pub(super) fn poll_close_notify(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.mute.replace(true) {
            self.session.borrow_mut().send_close_notify();
        }
        loop {
            if self.flush(&mut self.session.borrow_mut())?.1 {
                return Poll::Ready(Ok(()));
            }
            ready!(self.under.poll_write_ready(cx))?;
            let written = self.under.try_write_io(|| match self.flush(&mut self.session.borrow_mut())? {
                (_, true) => Ok(0),
                (_, false) => Err(io::ErrorKind::WouldBlock.into()),
            });
            if let Err(error) = written
                && !is_momentary(&error)
            {
                return Poll::Ready(Err(error));
            }
        }
    }

    /// From now on the end of the connection looks like a cut: part of what was to be sent is lost.
    pub(super) fn mute(&self) {
        self.mute.set(true);
    }

    /// Sends what is encrypted; returns how much of it, and whether that was all.
    fn flush(&self, session: &mut Connection) -> io::Result<(usize, bool)> {
        let mut sent = 0;
        while session.wants_write() {
            match session.write_tls(&mut Carrier(&self.under)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((sent, false)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => sent += result?,
            }
        }
        Ok((sent, true))
    }

    /// [`receive`](Self::receive), of what `look` has nothing against.
    fn receive_first(&self, look: impl Fn(&[u8]) -> Result<(), Refusal>) -> io::Result<usize> {
        // Most first messages fit.
        let mut block = [0; 2048];
        let count = self.under.try_read(&mut block)?;
        let mut first = &block[..count];
        if let Err(refusal) = look(first) {
            // As far as the socket takes that; it is empty.
            let _ = self.under.send(refusal.answer);
            return Err(refusal.error);
        }
        let mut session = self.session.borrow_mut();
        while !first.is_empty() {
            session.read_tls(&mut first)?;
            self.process(&mut session)?;
        }
        if count == 0 {
            // The session has to know of the end as well.
            session.read_tls(&mut first)?;
        }
        Ok(count)
    }

    /// One `recv`, decrypted.
    fn receive(&self, session: &mut Connection) -> io::Result<usize> {
        let count = session.read_tls(&mut Carrier(&self.under))?;
        self.process(session)?;
        // Answers of the protocol itself, such as new keys; what does not fit goes with the next write. That nothing can be
        // written any more is for who writes: what the peer has sent stays good.
        if !session.is_handshaking() {
            let _ = self.flush(session);
        }
        Ok(count)
    }

    fn process(&self, session: &mut Connection) -> io::Result<()> {
        session.process_new_packets().map(drop).map_err(|error| {
            // There is an alert for the peer that says why.
            let _ = self.flush(session);
            invalid(error)
        })
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.close_notify();
    }
}

/// What is below, as rustls reads and writes it: one system call each.
struct Carrier<'a>(&'a Transport);

impl Read for Carrier<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for Carrier<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.send(data)
    }

    fn write_vectored(&mut self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send_vectored(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn is_momentary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
