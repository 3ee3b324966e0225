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

mod accept;
mod callback;
mod drain;
mod error;
#[cfg(feature = "http2")]
mod http2;
mod options;
mod proxy_headers;
mod retire;
mod run;
mod running;
#[cfg(feature = "tls")]
mod tls;

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use self::accept::{Factory, HttpService};
pub use self::callback::{Callback, callback};
pub use self::error::ServerError;
use self::options::Config;
use self::running::Running;
#[cfg(feature = "http2")]
#[doc(hidden)]
pub use crate::http2::hpack::__fuzz::hpack as __fuzz_hpack;
#[cfg(feature = "http2")]
#[doc(hidden)]
pub use crate::http2::server::__fuzz::machine as __fuzz_http2_machine;
#[cfg(feature = "http2")]
#[doc(hidden)]
pub use crate::http2connection::__fuzz::frames as __fuzz_http2_frames;
#[cfg(feature = "http2")]
pub use crate::http2connection::Http2Options;
use crate::httputil::{HttpServerConnectionDelegate, HttpServerRequest, Shutdown};
use crate::netutil::{Address, BindOptions, Listener};
use crate::tcpserver::{BoxError, TcpServer};

/// A server of HTTP/1.1 and HTTP/2 (Tornado's `HTTPServer`).
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
    ///
    /// It speaks HTTP/1.1 only, since such a function may write the bytes of its response itself. One that writes heads and
    /// bodies apart ([`HttpConnection::write_headers`](crate::httputil::HttpConnection::write_headers)) can have
    #[cfg_attr(feature = "http2", doc = "[HTTP/2](Self::http2).")]
    #[cfg_attr(not(feature = "http2"), doc = "HTTP/2.")]
    pub fn with_callback(callback: impl Fn(HttpServerRequest) + 'static) -> Self {
        let server = Self::for_delegate(Rc::new(self::callback(callback)));
        #[cfg(feature = "http2")]
        let server = server.with(|c| c.http2 = None);
        server
    }

    pub(crate) fn for_delegate(delegate: Rc<dyn HttpServerConnectionDelegate>) -> Self {
        Self::with_factory(Box::new(move || Ok(Rc::clone(&delegate))))
    }

    fn with_factory(factory: Factory) -> Self {
        let service = HttpService { config: RefCell::default(), factory, running: OnceCell::new() };
        Self { tcp: TcpServer::new(service) }
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
            running.on_shutdown(&Shutdown::new(Duration::ZERO));
            running.drain();
        }
    }

    /// Closes every connection, whatever it is doing, also those at their TLS handshake; WebSockets with 1001, which takes as long as their clients take to
    /// answer, at most 5 s.
    pub fn close_all_connections(&self) {
        self.tcp.give_up_preparing();
        if let Some(running) = self.tcp.handler().running.get() {
            running.on_shutdown(&Shutdown::new(Duration::ZERO));
            running.close_all();
        }
    }

    /// How many connections are open, those apart that were taken out of HTTP, as WebSockets are.
    pub fn connection_count(&self) -> usize {
        self.tcp.handler().running.get().map_or(0, Running::len)
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
