//! The HTTP server (Tornado's `tornado.httpserver`).
//!
//! Two levels: an application, made by a function so that every process gets its own,
//!
//! ```no_run
//! use squall::httpserver::HttpServer;
//! use squall::{Application, Context, get};
//!
//! fn make_app() -> Application {
//!     Application::new([get("/", async |ctx: &Context| {
//!         ctx.write("Hello, world");
//!         Ok(())
//!     })])
//! }
//!
//! fn main() -> squall::Result {
//!     HttpServer::new(make_app).xheaders(true).bind(8888)?.run() // one process per core, until a signal
//! }
//! ```
//!
//! or a bare function on each request, which writes the bytes of the response itself:
//!
//! ```no_run
//! use squall::IoLoop;
//! use squall::httpserver::HttpServer;
//! use squall::httputil::HttpServerRequest;
//!
//! let server = HttpServer::with_callback(|request: HttpServerRequest| {
//!     let message = format!("You requested {}\n", request.uri());
//!     // Without a type a browser guesses, and takes what somebody put into the link for HTML.
//!     let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", message.len());
//!     let _ = request.write(head).and_then(|()| request.write(message));
//!     let _ = request.finish();
//! });
//! server.listen(8888)?;
//! IoLoop::current().start()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod drain;
mod retire;
mod run;
#[cfg(feature = "tls")]
mod tls;

use std::cell::{OnceCell, RefCell};
use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use self::retire::Retirement;
use crate::http1connection::{ConnectionSet, ConnectionTask, Http1ConnectionParameters, Server};
use crate::httputil::{
    HttpMessageDelegate, HttpServerConnectionDelegate, HttpServerRequest, Pending, RequestContext, Shutdown,
    ows,
};
use crate::iostream::IoStream;
use crate::netutil::{Address, BindError, BindOptions, Listener, spawn_here};
use crate::tcpserver::{BoxError, StartError, StreamHandler, TcpServer};

/// An HTTP/1.1 server (Tornado's `HTTPServer`).
///
/// Options are set before [`listen`](Self::listen) or [`start`](Self::start). The server goes on until
/// [`stop`](Self::stop), also when this handle is dropped.
#[doc(alias = "HTTPServer")]
pub struct HttpServer {
    tcp: TcpServer<HttpService>,
}

impl HttpServer {
    /// A server of what `make` makes, usually an [`Application`](crate::Application). It is made when the server
    /// starts, once in each process.
    pub fn new<D: IntoDelegate>(make: impl Fn() -> D + 'static) -> Self {
        Self::with_factory(Box::new(move || make().into_delegate()))
    }

    /// A server that calls a function with each complete request (Tornado's `HTTPServer(handle_request)`).
    pub fn with_callback(callback: impl Fn(HttpServerRequest) + 'static) -> Self {
        Self::for_delegate(Rc::new(self::callback(callback)))
    }

    pub(crate) fn for_delegate(delegate: Rc<dyn HttpServerConnectionDelegate>) -> Self {
        Self::with_factory(Box::new(move || Ok(Rc::clone(&delegate))))
    }

    fn with_factory(factory: Factory) -> Self {
        let service = HttpService { config: RefCell::default(), factory, running: OnceCell::new() };
        Self { tcp: TcpServer::new(service) }
    }

    /// Close each connection after one response. Default: off.
    #[must_use]
    pub fn no_keep_alive(self, on: bool) -> Self {
        self.with(|c| c.params.no_keep_alive = on)
    }

    /// Take the client's address from `X-Real-Ip` or `X-Forwarded-For`, and the scheme from `X-Scheme` or
    /// `X-Forwarded-Proto`. Only behind a proxy that sets them: anyone can send these headers. Default: off.
    #[must_use]
    pub fn xheaders(self, on: bool) -> Self {
        self.with(|c| c.xheaders = on)
    }

    /// Proxies whose addresses are skipped, from the right, in `X-Forwarded-For`. Default: none.
    ///
    /// With [`xheaders`](Self::xheaders) only. An `X-Real-Ip` goes before it, as in Tornado: the proxy in front must set or
    /// remove that too.
    #[must_use]
    pub fn trusted_downstream(self, proxies: impl IntoIterator<Item = IpAddr>) -> Self {
        self.with(|c| c.trusted_downstream = proxies.into_iter().collect())
    }

    /// The scheme of all requests, for a server behind a proxy that ends TLS and says nothing about it.
    /// Default: `https` when the server speaks TLS itself, else `http`.
    #[must_use]
    pub fn protocol(self, protocol: &'static str) -> Self {
        self.with(|c| c.protocol = Some(protocol))
    }

    /// Decompress request bodies that come with `Content-Encoding: gzip`. Default: off.
    ///
    /// A small body can inflate to a thousand times its size. So there is a limit of its own for what comes out,
    /// [`max_decompressed_size`](Self::max_decompressed_size), and beyond 1 MiB no more than 100 times what has come in is
    /// taken; either is answered with 413. JSON and CSV as programs write them inflate to 5 to 40 times their size.
    #[must_use]
    pub fn decompress_request(self, on: bool) -> Self {
        self.with(|c| c.params.decompress = on)
    }

    /// The most bytes of a body handed to a streaming handler at once. Default: 65,536.
    #[must_use]
    pub fn chunk_size(self, bytes: usize) -> Self {
        self.with(|c| c.params.chunk_size = bytes.max(1))
    }

    /// The most bytes of request line and headers; more is answered with 431. Default: 65,536.
    #[must_use]
    pub fn max_header_size(self, bytes: usize) -> Self {
        self.with(|c| c.params.max_header_size = bytes)
    }

    /// The most header lines; more are answered with 431. Default: 1,000.
    #[must_use]
    pub fn max_header_count(self, lines: usize) -> Self {
        self.with(|c| c.params.max_header_count = lines)
    }

    /// The most bytes of a body, compressed or not; more is answered with 413. Default: 104,857,600.
    #[must_use]
    pub fn max_body_size(self, bytes: u64) -> Self {
        self.with(|c| c.params.max_body_size = bytes)
    }

    /// The most bytes that a compressed body may inflate to; more is answered with 413. Beside
    /// [`max_body_size`](Self::max_body_size), and as that one changed by
    /// [`Context::set_max_body_size`](crate::Context::set_max_body_size). Default: 10,485,760 (10 MiB).
    #[must_use]
    pub fn max_decompressed_size(self, bytes: u64) -> Self {
        self.with(|c| c.params.max_decompressed_size = bytes)
    }

    /// How long a head may take from its first byte; slower is answered with 408. Default: 60 s.
    #[must_use]
    pub fn header_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|c| c.params.header_timeout = timeout.into())
    }

    /// How long a body may be waited for until it has come forward by 14,400 bytes, or to its end; slower is answered with
    /// 408. With the default, 60 s, the least rate is 240 bytes a second, and nobody can hold what has come of a body for
    /// longer than two minutes without sending more.
    ///
    /// Only the time counts in which the server waits for the client, not that in which a handler deals with what has come.
    #[must_use]
    pub fn body_stall_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|c| c.params.body_stall_timeout = timeout.into())
    }

    /// How long a whole body may take; slower is answered with 408. Default: none, as large uploads may take hours.
    #[must_use]
    pub fn body_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|c| c.params.body_timeout = timeout.into())
    }

    /// How long a connection may wait for a request. Default: 3,600 s.
    #[must_use]
    pub fn idle_connection_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|c| c.params.idle_connection_timeout = timeout.into())
    }

    /// How long a client may take none of the output that waits for it, not a single byte, before its connection is
    /// reset; this also ends a handler's wait in [`flush`](crate::Context::flush). A slow client that goes on reading is
    /// never cut off, since what waits for it is bounded. Default: 60 s, as in nginx.
    #[must_use]
    pub fn write_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|c| c.params.write_timeout = timeout.into())
    }

    /// The most bytes of input held for one connection. Default: 104,857,600; never less than `max_header_size`.
    #[must_use]
    pub fn max_buffer_size(self, bytes: usize) -> Self {
        self.tcp.set_max_buffer_size(bytes);
        self
    }

    /// Serves on a port of all interfaces, on the current loop. May be called several times.
    ///
    /// # Errors
    /// [`ServerError`] when the port cannot be had, or the application is wrong.
    pub fn listen(&self, port: u16) -> Result<(), ServerError> {
        self.listen_on(port, &BindOptions::new())
    }

    /// [`listen`](Self::listen) with an address and other options.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub fn listen_on(&self, port: u16, options: &BindOptions) -> Result<(), ServerError> {
        self.prepare()?;
        Ok(self.tcp.listen_on(port, options)?)
    }

    /// Binds a port of all interfaces, to be served by [`run`](Self::run) or [`start`](Self::start).
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn bind(&self, port: u16) -> Result<&Self, ServerError> {
        self.bind_on(port, &BindOptions::new())
    }

    /// [`bind`](Self::bind) with an address and other options.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_on(&self, port: u16, options: &BindOptions) -> Result<&Self, ServerError> {
        self.tcp.handler().check_options()?;
        self.tcp.bind(port, options)?;
        Ok(self)
    }

    /// Serves sockets that were made elsewhere.
    ///
    /// # Errors
    /// When the application is wrong.
    pub fn add_sockets(&self, listeners: impl IntoIterator<Item = Listener>) -> Result<(), ServerError> {
        self.prepare()?;
        self.tcp.add_sockets(listeners);
        Ok(())
    }

    /// Takes what has changed in the files of its options, which are certificates and keys: for SIGHUP. Connections go
    /// on.
    ///
    /// # Errors
    /// When something is wrong with them; what was there before stays in use.
    pub fn reload(&self) -> Result<(), BoxError> {
        self.tcp.reload()
    }

    /// Stops listening. Open connections go on.
    pub fn stop(&self) {
        self.tcp.stop();
    }

    /// Lets every connection end after the response that it is at, idle ones at once; one that was busy less than a second
    /// ago is given a second for a request that may be on its way. WebSockets are closed with 1001.
    /// [`serve`](Self::serve) does this and more when the process is to end.
    pub fn drain(&self) {
        if let Some(running) = self.tcp.handler().running.get() {
            running.delegate.on_shutdown(&Shutdown::new(Duration::ZERO));
            running.set.drain();
        }
    }

    /// Closes every connection, whatever it is doing; WebSockets with 1001, which takes as long as their clients take to
    /// answer, at most 5 s.
    pub fn close_all_connections(&self) {
        if let Some(running) = self.tcp.handler().running.get() {
            running.delegate.on_shutdown(&Shutdown::new(Duration::ZERO));
            running.set.close_all();
        }
    }

    /// How many connections are open, those apart that were taken out of HTTP, as WebSockets are.
    pub fn connection_count(&self) -> usize {
        self.tcp.handler().running.get().map_or(0, |running| running.set.len())
    }

    /// The addresses that the server listens on.
    pub fn local_addrs(&self) -> Vec<Address> {
        self.tcp.local_addrs()
    }

    fn prepare(&self) -> Result<(), ServerError> {
        if self.tcp.handler().prepare()? {
            drain::register(&self.tcp);
        }
        Ok(())
    }

    fn with(self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.tcp.handler().config.borrow_mut());
        self
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer").field("local_addrs", &self.local_addrs()).finish_non_exhaustive()
    }
}

/// What an [`HttpServer`] can be made of: an [`Application`](crate::Application), or any
/// [`HttpServerConnectionDelegate`], such as a [`RuleRouter`](crate::routing::RuleRouter).
pub trait IntoDelegate {
    /// Checks it and makes it ready to serve.
    ///
    /// # Errors
    /// When it was put together wrongly.
    fn into_delegate(self) -> Result<Rc<dyn HttpServerConnectionDelegate>, ServerError>;
}

impl<D: HttpServerConnectionDelegate + 'static> IntoDelegate for D {
    fn into_delegate(self) -> Result<Rc<dyn HttpServerConnectionDelegate>, ServerError> {
        Ok(Rc::new(self))
    }
}

/// Why a server could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// The port cannot be had.
    Bind(BindError),
    /// The server runs already, or processes cannot be forked.
    Start(StartError),
    /// A process did not end as it was asked to.
    Unclean,
    /// `--certfile` or `--keyfile` was given, and this cannot serve TLS.
    NoTls,
    /// The application is wrong; the text names each mistake and its line.
    Application(Box<dyn Error>),
    /// An option of the server is wrong, such as a certificate's file; the error is that option's own.
    Option(Box<dyn Error>),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
            Self::Unclean => f.write_str("a process did not end as it was asked to"),
            Self::NoTls => {
                f.write_str("this program cannot serve TLS: --certfile and --keyfile are of no use")
            }
            Self::Application(error) | Self::Option(error) => error.fmt(f),
        }
    }
}

impl Error for ServerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Bind(error) => error.source(),
            Self::Start(error) => error.source(),
            Self::Unclean | Self::NoTls => None,
            Self::Application(error) | Self::Option(error) => error.source(),
        }
    }
}

impl From<BindError> for ServerError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<StartError> for ServerError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

type Factory = Box<dyn Fn() -> Result<Rc<dyn HttpServerConnectionDelegate>, ServerError>>;

/// What the TCP server calls with each connection.
struct HttpService {
    config: RefCell<Config>,
    factory: Factory,
    /// Made when the server starts: in a child, if it forks.
    running: OnceCell<Rc<Server>>,
}

struct Config {
    params: Http1ConnectionParameters,
    xheaders: bool,
    trusted_downstream: Vec<IpAddr>,
    /// `None`: `https` if it is that, else `http`.
    protocol: Option<&'static str>,
    /// The server speaks TLS.
    secure: bool,
    /// What is wrong with an option, found when it was set.
    mistake: Option<Rc<dyn Fn() -> ServerError>>,
    processes: usize,
    worker_timeout: Option<Duration>,
    retirement: Retirement,
    drain_timeout: Duration,
    drain_delay: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            params: Http1ConnectionParameters::default(),
            xheaders: false,
            trusted_downstream: Vec::new(),
            protocol: None,
            secure: false,
            mistake: None,
            processes: 0,
            worker_timeout: None,
            retirement: Retirement::default(),
            drain_timeout: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
        }
    }
}

impl HttpService {
    fn check_options(&self) -> Result<(), ServerError> {
        let mistake = self.config.borrow().mistake.clone();
        mistake.map_or(Ok(()), |mistake| Err(mistake()))
    }

    /// False when it was ready before.
    fn prepare(&self) -> Result<bool, ServerError> {
        if self.running.get().is_some() {
            return Ok(false);
        }
        self.check_options()?;
        let mut delegate = (self.factory)()?;
        let config = self.config.borrow();
        if config.xheaders {
            delegate = Rc::new(ProxyHeaders { inner: delegate, trusted: config.trusted_downstream.clone() });
        }
        let params = config.params.clone();
        let set = ConnectionSet::new();
        let timeouts = [
            params.header_timeout,
            params.body_timeout,
            params.body_stall_timeout,
            params.idle_connection_timeout,
            params.write_timeout,
        ];
        for timeout in timeouts {
            set.allow_for(timeout.unwrap_or(Duration::MAX));
        }
        let protocol = config.protocol.unwrap_or(if config.secure { "https" } else { "http" });
        let _ = self.running.set(Rc::new(Server { delegate, params, set, protocol }));
        Ok(true)
    }
}

impl StreamHandler for HttpService {
    fn connection_made(handler: &Rc<Self>, stream: IoStream, address: Address) {
        let Some(server) = handler.running.get() else { return };
        // Responses leave in whole batches, so there is nothing to wait for; not an inet socket is fine too.
        let _ = stream.set_nodelay(true);
        spawn_here(ConnectionTask::new(stream, Rc::clone(server), address.inet()));
    }

    async fn handle_stream(&self, _stream: IoStream, _address: Address) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Believes what a proxy says about the client (`xheaders`).
struct ProxyHeaders {
    inner: Rc<dyn HttpServerConnectionDelegate>,
    trusted: Vec<IpAddr>,
}

impl ProxyHeaders {
    fn apply(&self, request: &HttpServerRequest) -> RequestContext {
        let mut context = request.context();
        let headers = request.headers();
        let forwarded = headers.joined("X-Forwarded-For");
        let mut addresses = forwarded.as_deref().unwrap_or_default().rsplit(',').map(ows::trim);
        let first = addresses.clone().next_back();
        // When all are trusted proxies it is the first who asked.
        let last = addresses
            .find(|a| {
                a.parse().is_ok_and(|ip: IpAddr| !self.trusted.contains(&ip)) || a.parse::<IpAddr>().is_err()
            })
            .or(first);
        let claimed = headers.get("X-Real-Ip").or(last);
        if let Some(ip) = claimed.and_then(|text| text.parse().ok()) {
            context.remote_ip = ip;
        }
        let scheme = headers.get("X-Scheme").or_else(|| headers.get("X-Forwarded-Proto"));
        match scheme.and_then(|s| s.rsplit(',').next()).map(ows::trim) {
            Some("http") => context.protocol = "http",
            Some("https") => context.protocol = "https",
            _ => {}
        }
        context
    }
}

impl HttpServerConnectionDelegate for ProxyHeaders {
    fn start_request(&self, mut request: HttpServerRequest) -> Box<dyn HttpMessageDelegate> {
        let context = self.apply(&request);
        request.set_context(context);
        self.inner.start_request(request)
    }

    fn on_close(&self) {
        self.inner.on_close();
    }

    fn on_shutdown(&self, shutdown: &Shutdown) {
        self.inner.on_shutdown(shutdown);
    }
}

/// A function on each complete request, as delegate: for rules, routes and [`HttpServer::new`].
///
/// The function may answer at once or keep the request and answer later. A request that is dropped without an answer
/// closes its connection, with a line in the log (within a second if it was kept first); so does a panic.
pub fn callback<F: Fn(HttpServerRequest) + 'static>(function: F) -> Callback<F> {
    Callback { function: Rc::new(function) }
}

/// Made by [`callback`].
pub struct Callback<F> {
    function: Rc<F>,
}

impl<F: Fn(HttpServerRequest) + 'static> HttpServerConnectionDelegate for Callback<F> {
    fn start_request(&self, request: HttpServerRequest) -> Box<dyn HttpMessageDelegate> {
        Box::new(CallbackMessage { request, body: BytesMut::new(), function: Rc::clone(&self.function) })
    }
}

struct CallbackMessage<F> {
    request: HttpServerRequest,
    body: BytesMut,
    function: Rc<F>,
}

impl<F: Fn(HttpServerRequest)> HttpMessageDelegate for CallbackMessage<F> {
    fn data_received(&mut self, chunk: Bytes) -> Pending<'_> {
        self.body.extend_from_slice(&chunk);
        None
    }

    fn finish(self: Box<Self>) -> Pending<'static> {
        let Self { mut request, body, function } = *self;
        request.set_body(body.freeze());
        function(request);
        None
    }
}
