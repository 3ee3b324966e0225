//! HTTP/2.

use super::HttpServer;
use crate::http2connection::Http2Options;

impl HttpServer {
    /// How HTTP/2 is spoken, or `None` for HTTP/1.1 only. Default: [`Http2Options::new()`].
    ///
    /// With TLS a client that can is served HTTP/2 (ALPN `h2`); in clear text it takes [`h2c`](Self::h2c). Handlers do not
    /// notice, but that [`detach`](crate::Context::detach) is an error: a stream has no connection of its own to give.
    #[must_use]
    pub fn http2(self, options: impl Into<Option<Http2Options>>) -> Self {
        let options = options.into();
        let server = self.with(|c| c.http2 = options);
        #[cfg(feature = "tls")]
        server.renew_ssl_options();
        server
    }

    /// Serve HTTP/2 in clear text too, to clients that begin with its preface ("prior knowledge", RFC 9113 §3.3), on the
    /// same port as HTTP/1.1. `Upgrade: h2c` is not answered, as RFC 9113 has done away with it. Default: off.
    ///
    /// For a proxy or a service mesh in front; browsers speak HTTP/2 over TLS only.
    #[must_use]
    pub fn h2c(self, on: bool) -> Self {
        self.with(|c| c.h2c.set(on))
    }

    /// Has one that serves already take [`h2c`](Self::h2c) from the next connection on.
    #[cfg(feature = "client")]
    pub(crate) fn take_h2c(&self) {
        self.tcp.handler().config.borrow().h2c.set(true);
    }

    /// Whether clients must speak TLS.
    #[cfg(feature = "client")]
    pub(crate) fn is_over_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tcp.handler().config.borrow().ssl_options.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }
}
