//! What a program brings that it made with rustls itself: settings which [`SslOptions`](super::SslOptions) and
//! [`TlsConfig`](crate::httpclient::TlsConfig) do not have, such as keys in hardware or a verifier of its own.
//!
//! This is the only file with types of rustls in its public signatures, and socket2 has none: everywhere else they would make
//! every major version of theirs one of squall's. `tests/toolbox/vocabulary.rs` looks at all signatures for that.

use std::io;
use std::sync::Arc;

/// The library behind it, of the version that squall takes settings of.
pub use rustls;

use rustls::{ClientConfig, ServerConfig};

use crate::iostream::TlsRole;
use crate::tcpclient::SslConnectOptions;

impl TlsRole {
    /// Begins the handshake (Tornado's `server_side=False`), with a server that must have a certificate for `host`, unless
    /// the settings name another. It is sent as SNI unless it is an address.
    ///
    /// # Errors
    /// `InvalidInput` when no certificate can have that name.
    pub fn client(options: impl Into<SslConnectOptions>, host: &str) -> io::Result<Self> {
        options.into().role(host)
    }
}

/// Answers the handshake (Tornado's `server_side=True`).
impl From<Arc<ServerConfig>> for TlsRole {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self::of_server(config)
    }
}

/// For an HTTP client make a [`TlsConfig`](crate::httpclient::TlsConfig) of the result.
impl From<Arc<ClientConfig>> for SslConnectOptions {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self::new(config, None)
    }
}

/// As of an `Arc`.
impl From<ClientConfig> for SslConnectOptions {
    fn from(config: ClientConfig) -> Self {
        Self::new(Arc::new(config), None)
    }
}
