//! Connections to hosts by name (Tornado's `tornado.tcpclient`).
//!
//! ```
//! use std::time::Duration;
//! use squall::tcpclient::{ConnectOptions, TcpClient};
//! # use squall::{IoLoop, netutil::BindOptions, tcpserver::{self, TcpServer}};
//!
//! # IoLoop::current().run_sync(async {
//! # let server = TcpServer::new(async |stream: squall::iostream::IoStream, _| -> Result<(), squall::iostream::StreamError> {
//! #     stream.write("hello\n").await
//! # });
//! # server.listen_on(0, &BindOptions::new().address("127.0.0.1")).unwrap();
//! # let port = server.local_addrs()[0].port().unwrap();
//! let client = TcpClient::new();
//! let options = ConnectOptions::new().timeout(Duration::from_secs(5));
//! let stream = client.connect_with("localhost", port, &options).await.unwrap();
//! let line = stream.read_until(b"\n", None).await.unwrap();
//! # assert_eq!(&line[..], b"hello\n");
//! # }, None).unwrap();
//! ```

mod connector;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use self::connector::{Action, Connector};
#[cfg(feature = "tls")]
pub use self::tls::SslConnectOptions;
#[cfg(not(feature = "tls"))]
use self::tls::SslConnectOptions;
use crate::iostream::{IoStream, StreamError};
use crate::netutil::{Family, Resolver, SystemResolver};

/// How long the first address family has before the other joins (RFC 6555 §5 asks for 150 to 250 ms; Tornado's value).
const HEAD_START: Duration = Duration::from_millis(300);

/// Makes connections to hosts by name, trying their addresses as RFC 6555 says (Tornado's `TCPClient`).
///
/// Cheap to clone.
#[doc(alias = "TCPClient")]
#[derive(Clone)]
pub struct TcpClient {
    resolver: Rc<dyn Resolver>,
}

impl TcpClient {
    /// A client that asks the system for addresses, off the loop.
    pub fn new() -> Self {
        Self::with_resolver(SystemResolver)
    }

    /// A client that asks `resolver` for addresses.
    pub fn with_resolver(resolver: impl Resolver + 'static) -> Self {
        Self { resolver: Rc::new(resolver) }
    }

    /// Connects to a host with the default [`ConnectOptions`]: any address family, without time limit.
    ///
    /// # Errors
    /// As [`connect_with`](Self::connect_with).
    pub async fn connect(&self, host: &str, port: u16) -> Result<IoStream, ConnectError> {
        self.connect_with(host, port, &ConnectOptions::default()).await
    }

    /// Connects to a host: resolves its name, then tries its addresses. Attempts that lose the race are closed. Over TLS
    /// if the options say so: then the handshake follows, with the address that was reached.
    ///
    /// Cancel safe: when the future is dropped, so are the attempts, and a handshake's connection.
    ///
    /// # Errors
    /// [`ConnectError`], when no address can be reached; then it holds the last attempt's error. Also when the handshake
    /// fails; the connection is closed then.
    pub async fn connect_with(
        &self,
        host: &str,
        port: u16,
        options: &ConnectOptions,
    ) -> Result<IoStream, ConnectError> {
        let timeout = options.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let deadline = options.deadline.or(timeout);
        let resolving = self.resolver.resolve(host, port, options.family);
        let resolved = match deadline {
            Some(deadline) => timeout_at(deadline, resolving)
                .await
                .map_err(|_| ConnectError::timeout(format!("Timeout while resolving {host}")))?,
            None => resolving.await,
        };
        let addresses = resolved.map_err(|error| ConnectError::new(Phase::Resolve, host, port, error))?;
        let mut race = Race::new(&addresses, options);
        let connected = match deadline {
            Some(deadline) => match timeout_at(deadline, race.run()).await {
                Ok(result) => result,
                Err(_) => return Err(ConnectError::timeout(race.timeout_message())),
            },
            None => race.run().await,
        };
        let stream = connected.map_err(|error| ConnectError::new(Phase::Connect, host, port, error))?;
        let Some(tls) = &options.tls else { return Ok(stream) };
        // Boxed: most connections are without.
        let handshake = Box::pin(tls.start(&stream, host));
        let secured = match deadline {
            Some(deadline) => timeout_at(deadline, handshake).await.map_err(|_| {
                ConnectError::timeout(format!("Timeout in the TLS handshake with {host}:{port}"))
            })?,
            None => handshake.await,
        };
        secured.map_err(|error| ConnectError::new(Phase::Tls, host, port, error))
    }
}

impl Default for TcpClient {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TcpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpClient").finish_non_exhaustive()
    }
}

/// How to connect.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    family: Family,
    source_ip: Option<IpAddr>,
    source_port: Option<u16>,
    max_buffer_size: Option<usize>,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    tls: Option<SslConnectOptions>,
}

impl ConnectOptions {
    /// The defaults: any address family, the system's choice of source, no time limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only addresses of this family.
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// The address to connect from. Addresses of the other family are then out of reach.
    #[must_use]
    pub fn source_ip(mut self, ip: IpAddr) -> Self {
        self.source_ip = Some(ip);
        self
    }

    /// The port to connect from; without [`source_ip`](Self::source_ip), of the loopback address.
    #[must_use]
    pub fn source_port(mut self, port: u16) -> Self {
        self.source_port = Some(port);
        self
    }

    /// The most bytes that the stream buffers (default 100 MB).
    #[must_use]
    pub fn max_buffer_size(mut self, bytes: usize) -> Self {
        self.max_buffer_size = Some(bytes);
        self
    }

    /// The time that resolving and connecting, and a TLS handshake, may take together. Default: no limit but the system's.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// The time limit as a moment, in place of a [`timeout`](Self::timeout).
    #[must_use]
    #[cfg(feature = "client")]
    pub(crate) fn deadline(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// An unconnected stream for `address`, bound to the source.
    fn stream(&self, address: SocketAddr) -> io::Result<IoStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if self.source_ip.is_some() || self.source_port.is_some() {
            let loopback = match address {
                SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            };
            let source = SocketAddr::new(self.source_ip.unwrap_or(loopback), self.source_port.unwrap_or(0));
            socket.bind(&source.into())?;
        }
        let stream = IoStream::new(socket)?;
        if let Some(bytes) = self.max_buffer_size {
            stream.set_max_buffer_size(bytes);
        }
        Ok(stream)
    }
}

/// Why a host could not be reached.
#[derive(Debug)]
pub struct ConnectError {
    phase: Phase,
    message: String,
    source: Option<io::Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Resolve,
    Connect,
    Tls,
    Timeout,
}

impl ConnectError {
    fn new(phase: Phase, host: &str, port: u16, source: io::Error) -> Self {
        let message = match phase {
            Phase::Resolve => format!("cannot resolve {host}: {source}"),
            Phase::Tls => format!("no TLS connection to {host}:{port}: {source}"),
            Phase::Connect | Phase::Timeout => format!("cannot connect to {host}:{port}: {source}"),
        };
        Self { phase, message, source: Some(source) }
    }

    fn timeout(message: String) -> Self {
        Self { phase: Phase::Timeout, message, source: None }
    }

    /// Whether the time limit was reached; the message says in which phase.
    pub fn is_timeout(&self) -> bool {
        self.phase == Phase::Timeout
    }

    /// Whether the name could not be resolved.
    pub fn is_resolve(&self) -> bool {
        self.phase == Phase::Resolve
    }

    /// Whether the host was reached and the TLS handshake with it has failed. Where rustls refused the server,
    /// [`io_error`](Self::io_error) has its error inside.
    pub fn is_tls(&self) -> bool {
        self.phase == Phase::Tls
    }

    /// The system's error, unless it is a timeout.
    pub fn io_error(&self) -> Option<&io::Error> {
        self.source.as_ref()
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        let kind = match &error.source {
            Some(source) => source.kind(),
            None => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, error)
    }
}

/// One attempt to connect to one address. Dropping it closes its stream.
struct Attempt {
    address: SocketAddr,
    is_primary: bool,
    connecting: Pin<Box<dyn Future<Output = io::Result<IoStream>>>>,
}

/// The attempts of one [`TcpClient::connect`].
struct Race<'a> {
    options: &'a ConnectOptions,
    connector: Connector,
    first: Option<Action>,
    /// The family of the first address.
    primary_is_v4: bool,
    head_start: Option<Pin<Box<Sleep>>>,
    /// At most one per family.
    attempts: Vec<Attempt>,
    last_error: Option<io::Error>,
}

impl<'a> Race<'a> {
    fn new(addresses: &[SocketAddr], options: &'a ConnectOptions) -> Self {
        let (connector, first) = Connector::new(addresses);
        Self {
            options,
            connector,
            first: Some(first),
            primary_is_v4: addresses.first().is_some_and(SocketAddr::is_ipv4),
            head_start: None,
            attempts: Vec::new(),
            last_error: None,
        }
    }

    async fn run(&mut self) -> io::Result<IoStream> {
        self.head_start = Some(Box::pin(sleep(HEAD_START)));
        let first = self.first.take().unwrap_or(Action::Wait);
        if self.act(first) {
            return Err(self.error());
        }
        loop {
            let (address, is_primary, result) = match self.next_event().await {
                Event::Done(address, is_primary, result) => (address, is_primary, result),
                Event::HeadStartOver => {
                    let action = self.connector.head_start_over();
                    if self.act(action) {
                        return Err(self.error());
                    }
                    continue;
                }
            };
            match result {
                Ok(stream) => {
                    self.attempts.clear();
                    return Ok(stream);
                }
                Err(error) => self.last_error = Some(error),
            }
            for action in self.connector.failed(address, is_primary) {
                if self.act(action) {
                    return Err(self.error());
                }
            }
        }
    }

    /// Does as the connector says; returns whether all is lost.
    fn act(&mut self, action: Action) -> bool {
        match action {
            Action::Wait => false,
            Action::Fail => true,
            Action::Connect(address) => {
                // A stream that cannot even be made (no such family, source that does not fit) fails like any other.
                let stream = self.options.stream(address);
                let connecting = Box::pin(async move {
                    let stream = stream?;
                    stream.connect(address).await.map_err(system_error)?;
                    Ok(stream)
                });
                let is_primary = address.is_ipv4() == self.primary_is_v4;
                self.attempts.push(Attempt { address, is_primary, connecting });
                false
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        poll_fn(|cx| {
            for index in 0..self.attempts.len() {
                let attempt = &mut self.attempts[index];
                if let Poll::Ready(result) = attempt.connecting.as_mut().poll(cx) {
                    let attempt = self.attempts.swap_remove(index);
                    return Poll::Ready(Event::Done(attempt.address, attempt.is_primary, result));
                }
            }
            if self.connector.awaits_head_start()
                && let Some(head_start) = &mut self.head_start
                && head_start.as_mut().poll(cx).is_ready()
            {
                self.head_start = None;
                return Poll::Ready(Event::HeadStartOver);
            }
            Poll::Pending
        })
        .await
    }

    fn error(&mut self) -> io::Error {
        self.last_error.take().unwrap_or_else(|| io::Error::other("connection failed"))
    }

    /// Tornado's words: the addresses that were being tried, in the order of their text.
    fn timeout_message(&self) -> String {
        let mut tried: Vec<String> =
            self.attempts.iter().map(|attempt| attempt.address.to_string()).collect();
        if tried.is_empty() {
            return "Timeout while connecting".to_owned();
        }
        tried.sort_unstable();
        format!("Timeout while connecting to {}", tried.join(", "))
    }
}

/// What the system said, without the words of the stream about it.
fn system_error(error: StreamError) -> io::Error {
    let code = match &error {
        StreamError::Closed(closed) => closed.io_error().and_then(io::Error::raw_os_error),
        _ => None,
    };
    code.map_or_else(|| error.into(), io::Error::from_raw_os_error)
}

enum Event {
    Done(SocketAddr, bool, io::Result<IoStream>),
    HeadStartOver,
}
