//! TLS on the connections of a [`TcpClient`](super::TcpClient) (feature `tls`).

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::ConnectOptions;
use crate::iostream::{IoStream, TlsRole};

/// Whom a client trusts that is no HTTP client, for [`ConnectOptions::ssl_options`] and [`TlsRole::client`]: made of an HTTP
/// client's [`TlsConfig`](crate::httpclient::TlsConfig), or of rustls' `ClientConfig`.
#[derive(Debug, Clone)]
pub struct SslConnectOptions {
    config: Arc<ClientConfig>,
    server_hostname: Option<ServerName<'static>>,
}

impl ConnectOptions {
    /// Makes a TLS connection (Tornado's `ssl_options`): after connecting comes the handshake, in which the server has to
    /// have a certificate for the host, which is checked as these settings say. The time limit is for all of it.
    #[must_use]
    pub fn ssl_options(mut self, options: impl Into<SslConnectOptions>) -> Self {
        self.tls = Some(options.into());
        self
    }
}

impl SslConnectOptions {
    pub(crate) fn new(config: Arc<ClientConfig>, server_hostname: Option<ServerName<'static>>) -> Self {
        Self { config, server_hostname }
    }

    #[cfg(feature = "client")]
    pub(crate) fn into_parts(self) -> (Arc<ClientConfig>, Option<ServerName<'static>>) {
        (self.config, self.server_hostname)
    }

    /// The side of a client that is connected to `host`.
    pub(crate) fn role(&self, host: &str) -> io::Result<TlsRole> {
        let name = match &self.server_hostname {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidInput, "no certificate can have that name")
            })?,
        };
        Ok(TlsRole::of_client(Arc::clone(&self.config), name))
    }

    /// The stream over TLS of one that is connected to `host`.
    pub(super) async fn start(&self, stream: &IoStream, host: &str) -> io::Result<IoStream> {
        stream.start_tls(self.role(host)?).await
    }
}
