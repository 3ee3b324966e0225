//! TLS for servers (Tornado's `ssl_options`): certificates from files, chosen by the name that a client asks for,
//! exchanged without a restart; client certificates; sessions that any process of a server takes up again.
//!
//! [`SslOptions`] go to [`HttpServer::ssl_options`](crate::HttpServer::ssl_options) or
//! [`TcpServer::ssl_options`](crate::tcpserver::TcpServer::ssl_options). Below them is [`TlsAcceptor`], which makes
//! the handshake on a stream that came from elsewhere, and below that
//! [`IoStream::start_tls`](crate::iostream::IoStream::start_tls), on either side. The cryptography is rustls' (TLS 1.2
//! and 1.3 only, no compression, no renegotiation), by `ring`; with the feature `tls-aws-lc` by `aws-lc-rs`, which
//! agrees on keys that a quantum computer would not break (X25519MLKEM768) with clients that can.

mod acceptor;
mod certificate;
mod clear_text;
mod config;
mod error;
mod names;
mod options;
mod own_config;
mod pem;
#[cfg_attr(feature = "tls-aws-lc", path = "provider_aws_lc.rs")]
mod provider;
mod server;
mod tickets;
mod watch;

pub use acceptor::TlsAcceptor;
pub use certificate::{AltName, Certificate};
pub use error::SslError;
pub use options::{CertReqs, SslOptions, TlsVersion};
pub use own_config::rustls;

pub(crate) use provider::provider;
