//! HTTPS.

use std::rc::Rc;

use super::{HttpServer, ServerError};
use crate::tls::SslOptions;

/// What a client is told that speaks HTTP without TLS to a port that has it.
const CLEAR_TEXT_ANSWER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 70\r\n\
    Connection: close\r\n\r\nThe request came in clear text, but this port takes HTTPS (TLS) only.\n";

impl HttpServer {
    /// Serves HTTPS (Tornado's `HTTPServer(ssl_options=…)`): every connection begins with a TLS handshake, on a task of
    /// its own. Requests have `https` for their [`protocol`](crate::httputil::HttpServerRequest::protocol).
    ///
    /// A handshake that fails is a line in the log and reaches no handler; plain HTTP is answered with 400. Set it before
    /// [`bind`](Self::bind): the keys of session tickets are drawn here, so that all processes have the same. What is
    /// wrong with the options is the error of the next [`bind`](Self::bind), [`listen`](Self::listen) or
    /// [`start`](Self::start).
    #[must_use]
    pub fn ssl_options(self, options: SslOptions) -> Self {
        self.set_ssl_options(options);
        self
    }

    pub(super) fn set_ssl_options(&self, options: SslOptions) {
        let result = self.tcp.ssl_options(options.clone().for_http(self.protocols(), CLEAR_TEXT_ANSWER));
        let mut config = self.tcp.handler().config.borrow_mut();
        config.ssl_options = Some(options);
        if let Err(error) = result {
            config.mistake = Some(Rc::new(move || ServerError::Option(Box::new(error.clone()))));
        }
    }

    /// What is offered has changed.
    #[cfg(feature = "http2")]
    pub(super) fn renew_ssl_options(&self) {
        let options = self.tcp.handler().config.borrow().ssl_options.clone();
        if let Some(options) = options {
            self.set_ssl_options(options);
        }
    }

    /// What is offered by ALPN, the preferred first.
    fn protocols(&self) -> &'static [&'static [u8]] {
        #[cfg(feature = "http2")]
        if self.tcp.handler().config.borrow().http2.is_some() {
            return &[b"h2", b"http/1.1"];
        }
        &[b"http/1.1"]
    }
}
