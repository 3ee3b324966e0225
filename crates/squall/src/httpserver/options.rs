//! What can be set.

#[cfg(feature = "http2")]
use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::retire::Retirement;
use super::{HttpServer, ServerError};
#[cfg(feature = "http2")]
use crate::http2connection::Http2Options;
use crate::httputil::{ConnectionLimits, Scheme};
#[cfg(feature = "tls")]
use crate::tls::SslOptions;

pub(super) struct Config {
    pub(super) limits: ConnectionLimits,
    pub(super) no_keep_alive: bool,
    pub(super) xheaders: bool,
    pub(super) trusted_downstream: Vec<IpAddr>,
    /// `None`: `https` for a connection over TLS, else `http`.
    pub(super) protocol: Option<Scheme>,
    /// The server speaks TLS.
    #[cfg(feature = "tls")]
    pub(super) ssl_options: Option<SslOptions>,
    #[cfg(feature = "http2")]
    pub(super) http2: Option<Http2Options>,
    #[cfg(feature = "http2")]
    pub(super) h2c: Rc<Cell<bool>>,
    /// What is wrong with an option, found when it was set.
    pub(super) mistake: Option<Rc<dyn Fn() -> ServerError>>,
    pub(super) processes: usize,
    pub(super) worker_timeout: Option<Duration>,
    pub(super) retirement: Retirement,
    pub(super) drain_timeout: Duration,
    pub(super) drain_delay: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: ConnectionLimits::default(),
            no_keep_alive: false,
            xheaders: false,
            trusted_downstream: Vec::new(),
            protocol: None,
            #[cfg(feature = "tls")]
            ssl_options: None,
            #[cfg(feature = "http2")]
            http2: Some(Http2Options::new()),
            #[cfg(feature = "http2")]
            h2c: Rc::default(),
            mistake: None,
            processes: 0,
            worker_timeout: None,
            retirement: Retirement::default(),
            drain_timeout: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
        }
    }
}

impl HttpServer {
    /// Close each connection after one response. Default: off.
    #[must_use]
    pub fn no_keep_alive(self, on: bool) -> Self {
        self.with(|c| c.no_keep_alive = on)
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
    ///
    /// Neither `http` nor `https` is an error when the server starts.
    #[must_use]
    pub fn protocol(self, protocol: &'static str) -> Self {
        self.with(|c| match Scheme::named(protocol) {
            Some(scheme) => c.protocol = Some(scheme),
            None => {
                c.mistake = Some(Rc::new(move || {
                    ServerError::Option(format!("protocol {protocol:?} is neither http nor https").into())
                }));
            }
        })
    }

    /// Decompress request bodies that come with `Content-Encoding: gzip`. Default: off.
    ///
    /// A small body can inflate to a thousand times its size. So there is a limit of its own for what comes out,
    /// [`max_decompressed_size`](Self::max_decompressed_size), and beyond 1 MiB no more than 100 times what has come in is
    /// taken; either is answered with 413. JSON and CSV as programs write them inflate to 5 to 40 times their size.
    #[must_use]
    pub fn decompress_request(self, on: bool) -> Self {
        self.with(|c| c.limits.decompress = on)
    }

    /// The most bytes of a body handed to a streaming handler at once. Default: 65,536.
    #[must_use]
    pub fn chunk_size(self, bytes: usize) -> Self {
        self.with(|c| c.limits.chunk_size = bytes.max(1))
    }

    /// The most bytes of request line and headers; more is answered with 431. Default: 65,536.
    #[must_use]
    pub fn max_header_size(self, bytes: usize) -> Self {
        self.with(|c| c.limits.max_header_size = bytes)
    }

    /// The most header lines; more are answered with 431. Default: 1,000.
    #[must_use]
    pub fn max_header_count(self, lines: usize) -> Self {
        self.with(|c| c.limits.max_header_count = lines)
    }

    /// The most bytes of a body, compressed or not; more is answered with 413. Default: 104,857,600.
    #[must_use]
    pub fn max_body_size(self, bytes: u64) -> Self {
        self.with(|c| c.limits.max_body_size = bytes)
    }

    /// The most bytes that a compressed body may inflate to; more is answered with 413. Beside
    /// [`max_body_size`](Self::max_body_size), and as that one changed by
    /// [`Context::set_max_body_size`](crate::Context::set_max_body_size). Default: 10,485,760 (10 MiB).
    #[must_use]
    pub fn max_decompressed_size(self, bytes: u64) -> Self {
        self.with(|c| c.limits.max_decompressed_size = bytes)
    }

    /// How long a head may take from its first byte; slower is answered with 408. Over HTTP/2 it is the time for each frame that
    /// is not a body's, and its CONTINUATION frames; slower ends the connection (`ENHANCE_YOUR_CALM`). Default: 60 s.
    #[must_use]
    pub fn header_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|c| c.limits.header_timeout = timeout.into())
    }

    /// How long a body may be waited for until it has come forward by 14,400 bytes, or to its end; slower is answered with
    /// 408. With the default, 60 s, the least rate is 240 bytes a second, and nobody can hold what has come of a body for
    /// longer than two minutes without sending more.
    ///
    /// Only the time counts in which the server waits for the client, not that in which a handler deals with what has come.
    ///
    /// Over HTTP/2 it ends when the response begins: from then on both sides are in a conversation (gRPC's streams in both
    /// directions), in which each may be silent for as long as it likes, as the client of an event stream may.
    /// [`body_timeout`](Self::body_timeout) goes on. A handler that answers only what has come in full, and whose clients
    /// send it in the course of hours, needs `None` here.
    #[must_use]
    pub fn body_stall_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|c| c.limits.body_stall_timeout = timeout.into())
    }

    /// How long a whole body may take; slower is answered with 408. Default: none, as large uploads may take hours.
    #[must_use]
    pub fn body_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|c| c.limits.body_timeout = timeout.into())
    }

    /// How long a connection may wait for a request. Default: 3,600 s.
    #[must_use]
    pub fn idle_connection_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|c| c.limits.idle_connection_timeout = timeout.into())
    }

    /// How long a client may take none of the output that waits for it, not a single byte, before its connection is
    /// reset; this also ends a handler's wait in [`flush`](crate::Context::flush). A slow client that goes on reading is
    /// never cut off, since what waits for it is bounded. Default: 60 s, as in nginx.
    #[must_use]
    pub fn write_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|c| c.limits.write_timeout = timeout.into())
    }

    /// The most bytes of input held for one connection. Default: 104,857,600; never less than `max_header_size`.
    #[must_use]
    pub fn max_buffer_size(self, bytes: usize) -> Self {
        self.tcp.set_max_buffer_size(bytes);
        self
    }

    pub(super) fn with(self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.tcp.handler().config.borrow_mut());
        self
    }
}
