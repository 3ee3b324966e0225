//! Who the client is, by its certificate.

use super::HttpServerRequest;
use crate::iostream::TlsInfo;
use crate::tls::Certificate;

impl HttpServerRequest {
    /// The client's certificate and those that it sent with it (Tornado's `get_ssl_certificate`). Empty when it sent none
    /// or the connection is not TLS, and once the client has left. They have been checked as
    /// [`cert_reqs`](crate::tls::SslOptions::cert_reqs) says.
    #[doc(alias = "get_ssl_certificate")]
    pub fn ssl_certificate(&self) -> Vec<Certificate> {
        let chain = self.tls_info().map(|info| info.peer_certificates).unwrap_or_default();
        chain.iter().filter_map(|certificate| Certificate::parse(certificate).ok()).collect()
    }

    /// What the TLS handshake of the connection has agreed on; `None` without TLS, and once the client has left.
    pub fn tls_info(&self) -> Option<TlsInfo> {
        self.connection().stream()?.tls_info()
    }
}
