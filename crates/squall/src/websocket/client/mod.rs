//! The client (Tornado's `websocket_connect`).

mod connect;
#[cfg_attr(not(feature = "http2"), path = "no_http2.rs")]
mod http2;

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use http::Method;
use url::Url;

use self::connect::{CloseOnDrop, Target, parse_url, read_head, redirect};
use crate::http1::head_writer;
use crate::http1::response::ResponseHead;
use crate::httpclient::{Proxy, TlsConfig, has_chosen_http2, secured};
use crate::httputil::{GivenHeaders, HeaderValue, HttpHeaders, InvalidHeader};
use crate::iostream::{IoStream, StreamError};
use crate::netutil::{Resolver, spawn_here};
use crate::tcpclient::{ConnectError, TcpClient};
use crate::websocket::connection::set::SocketSet;
use crate::websocket::connection::socket::{Parts, WebSocket};
use crate::websocket::connection::stream::WebSocketStream;
use crate::websocket::machine::extension::{Agreed, CompressionOptions};
use crate::websocket::machine::handshake::{check_response, new_key};
use crate::websocket::machine::message::Message;
use crate::websocket::machine::options::WebSocketOptions;
use crate::websocket::machine::protocol::{Decoder, Role};

/// Connects to a WebSocket server: to a URL such as `ws://example.com/chat?room=7`, or with the options of a
/// [`WebSocketRequest`].
///
/// `wss://` needs the feature `tls`. Redirects are errors unless [`WebSocketRequest::max_redirects`] lets them be followed.
///
/// Dropping the future closes the connection that is being made.
///
/// # Errors
/// [`WebSocketConnectError`], which says whose fault it is: the caller's (`Url`, `Header`), the network's
/// (`Connect`, `Proxy`, `Tls`, `Timeout`) or the server's (`Status`, `Handshake`, `ExtendedConnect`).
pub async fn websocket_connect(
    request: impl Into<WebSocketRequest>,
) -> Result<WebSocketClientConnection, WebSocketConnectError> {
    let request = request.into();
    match request.connect_timeout {
        None => request.connect().await,
        Some(timeout) => match tokio::time::timeout(timeout, request.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(WebSocketConnectError::Timeout),
        },
    }
}

/// What to connect to, and how.
///
/// ```
/// # use std::time::Duration;
/// # use squall::websocket::{CompressionOptions, WebSocketOptions, WebSocketRequest, websocket_connect};
/// # async fn connect(token: &str) -> squall::Result {
/// let request = WebSocketRequest::new("ws://example.com/chat")
///     .header("Authorization", format!("Bearer {token}"))
///     .subprotocols(["chat.v2", "chat.v1"])
///     .compression(CompressionOptions::new())
///     .options(WebSocketOptions::new().ping_interval(Duration::from_secs(20)))
///     .max_redirects(3);
/// let mut connection = websocket_connect(request).await?;
/// while let Some(message) = connection.read_message().await {
///     println!("{message:?}");
/// }
/// println!("closed: {:?} {:?}", connection.close_code(), connection.close_reason());
/// # Ok(())
/// # }
/// ```
pub struct WebSocketRequest {
    url: String,
    headers: GivenHeaders,
    subprotocols: Vec<String>,
    compression: Option<CompressionOptions>,
    options: WebSocketOptions,
    connect_timeout: Option<Duration>,
    max_redirects: u32,
    proxy: Option<Proxy>,
    tls: Option<TlsConfig>,
    http2: bool,
    http2_prior_knowledge: bool,
    tcp: TcpClient,
    on_message: Option<MessageCallback>,
}

type MessageCallback = Box<dyn FnMut(Option<Message>)>;

/// Tornado's default for requests.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

impl WebSocketRequest {
    /// A request without further headers and compression; 20 s to connect.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: GivenHeaders::default(),
            subprotocols: Vec::new(),
            compression: None,
            options: WebSocketOptions::new(),
            connect_timeout: Some(CONNECT_TIMEOUT),
            max_redirects: 0,
            proxy: None,
            tls: None,
            http2: false,
            http2_prior_knowledge: false,
            tcp: TcpClient::new(),
            on_message: None,
        }
    }

    /// Sets a header, such as `Authorization`, `Cookie` or `Origin`. Those of the handshake itself are not to be given. One
    /// that must not be sent fails the connection, with [`WebSocketConnectError::Header`].
    #[must_use]
    pub fn header(mut self, name: &str, value: impl HeaderValue) -> Self {
        self.headers.set(name, value);
        self
    }

    /// Adds a header beside those of that name.
    #[must_use]
    pub fn add_header(mut self, name: &str, value: impl HeaderValue) -> Self {
        self.headers.add(name, value);
        self
    }

    /// The headers added so far.
    pub fn headers_mut(&mut self) -> &mut HttpHeaders {
        &mut self.headers.headers
    }

    /// Subprotocols to offer, the favourite first. Default: none.
    #[must_use]
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Offer compression. Default: no.
    #[must_use]
    #[doc(alias = "compression_options")]
    pub fn compression(mut self, options: impl Into<Option<CompressionOptions>>) -> Self {
        self.compression = options.into();
        self
    }

    /// Limits, pings and the queue. Default: [`WebSocketOptions::new`].
    #[must_use]
    pub fn options(mut self, options: WebSocketOptions) -> Self {
        self.options = options;
        self
    }

    /// Follow up to so many redirects; after that, and by default, one is a [`WebSocketConnectError::Status`].
    /// `Authorization`, `Cookie` and `Host` do not go along to another origin. (Tornado follows none.) Default: 0.
    #[must_use]
    #[doc(alias = "follow_redirects")]
    pub fn max_redirects(mut self, count: u32) -> Self {
        self.max_redirects = count;
        self
    }

    /// Connect through a proxy: an HTTP one is asked for a tunnel (CONNECT, RFC 6455 §4.1), whatever
    /// [`Proxy::tunnel`] says. Default: none. The environment is not looked at.
    #[must_use]
    #[doc(alias = "proxy_host")]
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.proxy = proxy.into().map(|proxy| proxy.tunnel(true));
        self
    }

    /// Who is asked for the addresses of hosts. Default: the system.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolver + 'static) -> Self {
        self.tcp = TcpClient::with_resolver(resolver);
        self
    }

    /// How long it may take until the connection is open, redirects included; `None` for as long as it likes. Default: 20 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.connect_timeout = timeout.into();
        self
    }

    /// Settings of `wss://` (feature `tls`). Default: servers must have a certificate of an authority that the system
    /// trusts.
    #[cfg(feature = "tls")]
    #[must_use]
    #[doc(alias = "ssl_options")]
    pub fn tls(mut self, config: TlsConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Whether the server's certificate is looked at (feature `tls`); if not, anybody on the way can read and change
    /// everything. Replaces the settings of [`tls`](Self::tls). Default: yes.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn validate_cert(mut self, on: bool) -> Self {
        self.tls = if on { None } else { Some(TlsConfig::unverified()) };
        self
    }

    /// Whether a `wss` server is offered HTTP/2 (by ALPN; feature `http2`), over which the WebSocket then goes (RFC 8441). One
    /// that chooses HTTP/2 and takes no WebSockets there is asked over HTTP/1.1, on another connection. Default: no, since most
    /// do not (browsers use HTTP/2 only where they have such a connection already).
    ///
    /// The connection is this WebSocket's own. Nothing else changes, but that the answer's status is 200.
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn http2(mut self, on: bool) -> Self {
        self.http2 = on;
        self
    }

    /// Whether HTTP/2 is spoken with a `ws` server, in clear text and without asking (RFC 9113 §3.3, RFC 8441; feature
    /// `http2`): it must be known to understand it. One that takes no WebSockets there is a
    /// [`WebSocketConnectError::ExtendedConnect`]. Default: no.
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn http2_prior_knowledge(mut self, on: bool) -> Self {
        self.http2_prior_knowledge = on;
        self
    }

    /// Call this with each message, and at last with `None`, instead of
    /// [`read_message`](WebSocketClientConnection::read_message).
    #[must_use]
    #[doc(alias = "on_message_callback")]
    pub fn on_message(mut self, callback: impl FnMut(Option<Message>) + 'static) -> Self {
        self.on_message = Some(Box::new(callback));
        self
    }

    async fn connect(mut self) -> Result<WebSocketClientConnection, WebSocketConnectError> {
        if let Some(invalid) = self.headers.invalid() {
            return Err(invalid.clone().into());
        }
        let first = parse_url(&self.url)?;
        let mut url = first.clone();
        loop {
            let refused = match self.handshake(&url).await {
                Ok(opened) => return Ok(self.start(opened)),
                Err(error) => error,
            };
            let WebSocketConnectError::Status { status, headers } = &refused else { return Err(refused) };
            if self.max_redirects == 0 {
                return Err(refused);
            }
            let Some((next, other_origin)) = redirect(*status, headers, &url, &first)? else {
                return Err(refused);
            };
            self.max_redirects -= 1;
            if other_origin {
                for name in ["Authorization", "Cookie", "Host"] {
                    self.headers.headers.remove(name);
                }
            }
            url = next;
        }
    }

    /// Asks one server.
    async fn handshake(&self, url: &Url) -> Result<Opened, WebSocketConnectError> {
        let target = Target::of(url)?;
        let wants_http2 = if target.tls { self.http2 } else { self.http2_prior_knowledge };
        let mut stream = self.reach(&target, wants_http2).await?;
        if wants_http2 && (!target.tls || has_chosen_http2(&stream)) {
            match self.over_http2(&target, stream).await? {
                Some(opened) => return Ok(opened),
                None if target.tls => stream = self.reach(&target, false).await?,
                None => return Err(WebSocketConnectError::ExtendedConnect),
            }
        }
        self.over_http1(&target, stream).await
    }

    async fn over_http1(&self, target: &Target, stream: IoStream) -> Result<Opened, WebSocketConnectError> {
        let closing = CloseOnDrop::new(&stream);
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| WebSocketConnectError::Connect(error.into()))?;
        let key = new_key(random);
        stream.write(self.head(target, &key)?).await?;
        let ResponseHead { status, headers, .. } = read_head(&stream).await?;
        match status {
            101 => {}
            200..=299 => return Err(WebSocketConnectError::Handshake("Non-websocket response")),
            status => return Err(WebSocketConnectError::Status { status, headers: Box::new(headers) }),
        }
        check_response(&headers, &key).map_err(WebSocketConnectError::Handshake)?;
        let opened = self.agree(stream, headers)?;
        closing.disarm();
        Ok(opened)
    }

    /// The server agrees, with these headers.
    fn agree(&self, stream: IoStream, headers: HttpHeaders) -> Result<Opened, WebSocketConnectError> {
        let refused = |what| Err(WebSocketConnectError::Handshake(what));
        let subprotocol = headers.get("Sec-WebSocket-Protocol").map(str::to_owned);
        if subprotocol.as_ref().is_some_and(|chosen| !self.subprotocols.contains(chosen)) {
            return refused("the server chose a subprotocol that was not offered");
        }
        let agreed = match (headers.joined("Sec-WebSocket-Extensions"), self.offer()) {
            (None, _) => None,
            (Some(_), None) => return refused("the server uses an extension that was not offered"),
            (Some(answer), Some(offered)) => {
                Some(offered.confirm(&answer).map_err(WebSocketConnectError::Handshake)?)
            }
        };
        Ok(Opened { stream, agreed, subprotocol, headers })
    }

    /// A connection to the server, perhaps through a proxy.
    async fn reach(&self, target: &Target, offers_http2: bool) -> Result<IoStream, WebSocketConnectError> {
        let stream = match &self.proxy {
            None => self.tcp.connect(&target.host, target.port).await?,
            Some(proxy) => self.reach_through(proxy, target).await?,
        };
        if !target.tls {
            return Ok(stream);
        }
        let secured = secured(self.tls.as_ref(), &stream, &target.host, offers_http2).await;
        secured.map_err(|error| WebSocketConnectError::Tls(error.into()))
    }

    async fn reach_through(&self, proxy: &Proxy, target: &Target) -> Result<IoStream, WebSocketConnectError> {
        let stream = self.tcp.connect(proxy.host(), proxy.port()).await?;
        let stream = proxy.secure(stream).await.map_err(|error| WebSocketConnectError::Tls(error.into()))?;
        let closing = CloseOnDrop::new(&stream);
        let asked = proxy.establish(&stream, &target.host, target.port).await;
        asked.map_err(|error| WebSocketConnectError::Proxy(error.into()))?;
        closing.disarm();
        Ok(stream)
    }

    fn start(self, opened: Opened) -> WebSocketClientConnection {
        let Opened { stream, agreed, subprotocol, headers } = opened;
        let (deflater, inflater) = agreed.map(|agreed| agreed.codecs(Role::Client)).unzip();
        let set = SocketSet::of_clients();
        let parts = Parts { stream, role: Role::Client, options: self.options, deflater, subprotocol };
        let socket = WebSocket::new(parts, &set);
        let decoder = Decoder::new(Role::Client, self.options.max_message_size, inflater);
        let mut stream = WebSocketStream::start(socket.clone(), decoder, &set);
        let messages = match self.on_message {
            None => Some(stream),
            Some(mut callback) => {
                spawn_here(async move {
                    while let Some(message) = stream.recv().await {
                        callback(Some(message));
                    }
                    callback(None);
                });
                None
            }
        };
        WebSocketClientConnection { socket, messages, headers }
    }

    /// The compression that is offered.
    fn offer(&self) -> Option<CompressionOptions> {
        self.compression.map(CompressionOptions::within_memory)
    }

    /// The request of HTTP/1.1.
    fn head(&self, target: &Target, key: &str) -> Result<Vec<u8>, WebSocketConnectError> {
        let mut headers = HttpHeaders::new();
        if !self.headers.headers.contains("Host") {
            headers.add("Host", target.authority.as_str())?;
        }
        headers.add("Upgrade", "websocket")?;
        headers.add("Connection", "Upgrade")?;
        headers.add("Sec-WebSocket-Key", key)?;
        self.add_fields(&mut headers, target)?;
        let mut head = Vec::with_capacity(512);
        head_writer::request_line(&mut head, &Method::GET, &[&target.path]);
        head_writer::fields(&mut head, &headers);
        head_writer::fields(&mut head, &self.headers.headers);
        head_writer::end(&mut head);
        Ok(head)
    }

    /// What is said over HTTP/1.1 and HTTP/2 alike, the caller's headers aside.
    fn add_fields(&self, headers: &mut HttpHeaders, target: &Target) -> Result<(), InvalidHeader> {
        headers.add("Sec-WebSocket-Version", "13")?;
        if !self.subprotocols.is_empty() {
            headers.add("Sec-WebSocket-Protocol", self.subprotocols.join(", "))?;
        }
        if let Some(compression) = self.offer() {
            headers.add("Sec-WebSocket-Extensions", compression.offer())?;
        }
        if let Some(credentials) =
            target.authorization.as_ref().filter(|_| !self.headers.headers.contains("Authorization"))
        {
            headers.add("Authorization", credentials.as_str())?;
        }
        Ok(())
    }
}

/// What a successful handshake gives.
struct Opened {
    stream: IoStream,
    agreed: Option<Agreed>,
    subprotocol: Option<String>,
    headers: HttpHeaders,
}

impl From<&str> for WebSocketRequest {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for WebSocketRequest {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

impl From<Url> for WebSocketRequest {
    fn from(url: Url) -> Self {
        Self::new(url)
    }
}

impl fmt::Debug for WebSocketRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketRequest").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A client's connection. It derefs to [`WebSocket`].
///
/// Dropping it closes the connection, unless an [`on_message`](WebSocketRequest::on_message) callback has its messages.
pub struct WebSocketClientConnection {
    socket: WebSocket,
    /// `None` when a callback has them.
    messages: Option<WebSocketStream>,
    headers: HttpHeaders,
}

impl WebSocketClientConnection {
    /// The next message; `None` when the connection has ended, and always when a callback has the messages. Cancel safe.
    pub async fn read_message(&mut self) -> Option<Message> {
        self.messages.as_mut()?.recv().await
    }

    /// The headers of the server's answer.
    pub fn headers(&self) -> &HttpHeaders {
        &self.headers
    }

    /// A handle that may be given to others.
    pub fn socket(&self) -> &WebSocket {
        &self.socket
    }
}

impl Deref for WebSocketClientConnection {
    type Target = WebSocket;

    fn deref(&self) -> &WebSocket {
        &self.socket
    }
}

impl fmt::Debug for WebSocketClientConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

/// Why a connection could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum WebSocketConnectError {
    /// The URL, or that of a redirect, is not one of a WebSocket; the text says what is wrong.
    Url(String),
    /// The server could be reached, but not trusted, or its TLS is none; or the URL, or that of a redirect, is `wss://`
    /// without the feature `tls`.
    Tls(Box<dyn Error>),
    /// A header cannot be sent.
    Header(InvalidHeader),
    /// The server could not be reached, or the connection broke.
    Connect(Box<dyn Error + Send + Sync>),
    /// The proxy could be reached, but made no connection to the server.
    Proxy(Box<dyn Error>),
    /// It took longer than [`WebSocketRequest::connect_timeout`].
    Timeout,
    /// The server was to be asked over HTTP/2 and does not say that it takes WebSockets there
    /// (`SETTINGS_ENABLE_CONNECT_PROTOCOL`, RFC 8441 §3).
    ExtendedConnect,
    /// The server answered with another status than 101, or over HTTP/2 than 2xx.
    Status {
        /// The status.
        status: u16,
        /// The headers of the answer, `Location` among them for a redirect.
        headers: Box<HttpHeaders>,
    },
    /// The server's answer is not one to a WebSocket handshake; the text says why.
    Handshake(&'static str),
}

impl fmt::Display for WebSocketConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(problem) => f.write_str(problem),
            Self::Tls(error) => error.fmt(f),
            Self::Header(error) => error.fmt(f),
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Proxy(error) => error.fmt(f),
            Self::Timeout => f.write_str("connecting took too long"),
            Self::ExtendedConnect => f.write_str("the server takes no WebSockets over HTTP/2"),
            Self::Status { status, .. } => {
                write!(f, "the server answered {status} {}", crate::httputil::reason_phrase(*status))
            }
            Self::Handshake(problem) => f.write_str(problem),
        }
    }
}

impl Error for WebSocketConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect(error) => Some(&**error),
            Self::Proxy(error) | Self::Tls(error) => Some(&**error),
            Self::Header(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ConnectError> for WebSocketConnectError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error.into())
    }
}

impl From<StreamError> for WebSocketConnectError {
    fn from(error: StreamError) -> Self {
        Self::Connect(error.into())
    }
}

impl From<InvalidHeader> for WebSocketConnectError {
    fn from(error: InvalidHeader) -> Self {
        Self::Header(error)
    }
}
