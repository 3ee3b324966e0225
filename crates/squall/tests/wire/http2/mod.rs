//! HTTP/2 on real sockets: the same handlers as over HTTP/1.1, and what only streams have.

mod abuse;
mod carriers;
mod client;
mod client_peers;
#[cfg(feature = "tls")]
mod client_tls;
mod crowded;
mod ends;
mod hostile;
mod informational;
mod messages;
mod proxying;
mod support;
#[cfg(feature = "tls")]
mod tls;
mod trailers;
