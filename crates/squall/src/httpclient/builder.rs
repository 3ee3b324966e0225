//! Settings of a client.

use std::time::Duration;

use super::cookie_jar::CookieJar;
use super::environment::ProxyEnvironment;
use super::http2::Settings;
use super::proxy::Proxy;
use super::request::{HttpRequest, Options};
use super::{AsyncHttpClient, HttpClientError};
use crate::httputil::ConnectionLimits;
use crate::netutil::Resolver;
use crate::tcpclient::TcpClient;

/// Makes an [`AsyncHttpClient`] (the arguments of Tornado's `AsyncHTTPClient.configure`).
#[derive(Debug)]
#[must_use]
pub struct HttpClientBuilder {
    config: Config,
    tcp: TcpClient,
}

#[derive(Debug)]
pub(super) struct Config {
    pub(super) max_clients: usize,
    pub(super) max_idle_per_host: usize,
    pub(super) idle_timeout: Duration,
    pub(super) max_buffer_size: usize,
    pub(super) limits: ConnectionLimits,
    pub(super) defaults: Options,
    pub(super) proxy: ProxyChoice,
    pub(super) cookie_jar: Option<CookieJar>,
    pub(super) http2_stream_window: u32,
    pub(super) http2_keep_alive: Option<Duration>,
}

impl Config {
    /// What holds for connections of HTTP/2.
    pub(super) fn http2(&self) -> Settings {
        Settings {
            max_header_size: self.limits.max_header_size,
            max_header_count: self.limits.max_header_count,
            stream_window: self.http2_stream_window,
            max_streams: self.max_clients,
            keep_alive_interval: self.http2_keep_alive,
            keeps: self.max_idle_per_host > 0,
        }
    }
}

#[derive(Debug)]
pub(super) enum ProxyChoice {
    None,
    Fixed(Proxy),
    Environment(ProxyEnvironment),
}

impl Default for HttpClientBuilder {
    fn default() -> Self {
        let config = Config {
            max_clients: 10,
            max_idle_per_host: 10,
            idle_timeout: Duration::from_secs(60),
            max_buffer_size: 104_857_600,
            limits: ConnectionLimits::default(),
            defaults: Options {
                connect_timeout: Some(Some(Duration::from_secs(20))),
                request_timeout: Some(Some(Duration::from_secs(20))),
                max_body_size: Some(104_857_600),
                ..Options::default()
            },
            proxy: ProxyChoice::None,
            cookie_jar: None,
            http2_stream_window: 262_144,
            http2_keep_alive: None,
        };
        Self { config, tcp: TcpClient::new() }
    }
}

impl HttpClientBuilder {
    /// How many requests may be in flight at the same time; more wait, first come, first served. At least 1.
    /// Default: 10.
    ///
    /// Over HTTP/2 they share one connection per server, where no more are under way than the server allows.
    pub fn max_clients(mut self, count: usize) -> Self {
        self.config.max_clients = count.clamp(1, 1 << 20);
        self
    }

    /// How many idle connections are kept to one server; 0 keeps none. Default: 10.
    pub fn max_idle_per_host(mut self, count: usize) -> Self {
        self.config.max_idle_per_host = count;
        self
    }

    /// How long a connection may be idle before it is closed. Default: 60 s. It should be shorter than the servers'.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = timeout;
        self
    }

    /// The most bytes that a connection buffers. Default: 104,857,600.
    pub fn max_buffer_size(mut self, bytes: usize) -> Self {
        self.config.max_buffer_size = bytes;
        self
    }

    /// The most bytes of a response's status line and headers. Default: 65,536.
    pub fn max_header_size(mut self, bytes: usize) -> Self {
        self.config.limits.max_header_size = bytes;
        self
    }

    /// The most bytes of a response's body, decompressed. Default: 104,857,600.
    pub fn max_body_size(mut self, bytes: u64) -> Self {
        self.config.defaults.max_body_size = Some(bytes);
        self
    }

    /// Asks `resolver` for the addresses of hosts. Default: the system's, off the loop. Tornado's `hostname_mapping`
    /// is an [`OverrideResolver`](crate::netutil::OverrideResolver).
    #[doc(alias = "hostname_mapping")]
    pub fn resolver(mut self, resolver: impl Resolver + 'static) -> Self {
        self.tcp = TcpClient::with_resolver(resolver);
        self
    }

    /// What requests that leave an option open take: the options of this request; its URL, headers and body do not
    /// matter.
    ///
    /// ```
    /// use std::time::Duration;
    /// use squall::httpclient::{AsyncHttpClient, HttpRequest};
    ///
    /// let defaults = HttpRequest::get("").user_agent("my-service").request_timeout(Duration::from_secs(5));
    /// let client = AsyncHttpClient::builder().defaults(defaults).build();
    /// ```
    pub fn defaults(mut self, request: HttpRequest) -> Self {
        let mut options = request.options;
        let agent = self.config.defaults.user_agent.take();
        options.or(&self.config.defaults);
        options.user_agent = options.user_agent.or(agent);
        self.config.defaults = options;
        if let Some(proxy) = request.proxy {
            self.config.proxy = proxy.map_or(ProxyChoice::None, ProxyChoice::Fixed);
        }
        self
    }

    /// Whether http servers are spoken to over HTTP/2 without asking: the default of
    /// [`HttpRequest::http2_prior_knowledge`]. Default: no.
    #[cfg(feature = "http2")]
    pub fn http2_prior_knowledge(mut self, on: bool) -> Self {
        self.config.defaults.http2_prior_knowledge = Some(on);
        self
    }

    /// The most bytes of an HTTP/2 response's body that may be under way before they are taken. Default: 262,144. From
    /// 1 byte to 1 GiB.
    ///
    /// It bounds the speed of a download to one window per round trip. The window of the connection has room for as many of
    /// them as there may be requests, so that a body that is not taken never blocks another.
    #[cfg(feature = "http2")]
    pub fn http2_stream_window(mut self, bytes: u32) -> Self {
        self.config.http2_stream_window = bytes.clamp(1, 1 << 30);
        self
    }

    /// How often an HTTP/2 server that has requests to answer is asked for a sign of life (PING); one that gives none
    /// within 10 s loses its connection. `None`: never, though a server is asked once when a request is given up and
    /// nothing was heard since it was sent. Default: `None`.
    #[cfg(feature = "http2")]
    pub fn http2_keep_alive(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.config.http2_keep_alive = interval.into();
        self
    }

    /// Sends requests through a proxy, unless they say otherwise.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.config.proxy = ProxyChoice::Fixed(proxy);
        self
    }

    /// Sends requests through the proxies that the environment names: `http_proxy` and `https_proxy`, for each `all_proxy`
    /// in its place, all but the first also in capitals. Read once, here; an empty variable is none.
    ///
    /// `no_proxy` lists, between commas or blanks, what is reached without: names (`example.com`, with all below it),
    /// addresses, networks (`10.0.0.0/8`, `fe80::/10`), each but the last perhaps with a port; or `*`.
    ///
    /// A variable that is no proxy is logged, and passed over where another one serves. Requests for which none does fail.
    ///
    /// # Errors
    /// When there are variables, but none that is a proxy.
    pub fn proxy_from_environment(mut self) -> Result<Self, HttpClientError> {
        self.config.proxy = ProxyChoice::Environment(ProxyEnvironment::read()?);
        Ok(self)
    }

    /// Keeps the cookies that responses set, and sends them with further requests. Default: none are kept.
    pub fn cookie_jar(mut self, jar: CookieJar) -> Self {
        self.config.cookie_jar = Some(jar);
        self
    }

    /// The client.
    pub fn build(self) -> AsyncHttpClient {
        AsyncHttpClient::with_config(self.config, self.tcp)
    }
}
