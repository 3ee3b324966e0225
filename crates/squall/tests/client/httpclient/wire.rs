//! How the tests of `tornado_simple` reach their servers: in the clear. `over_tls.rs` has the other way.

use std::net::SocketAddr;

use squall::httpclient::{AsyncHttpClient, HttpClientBuilder};

pub(crate) const SCHEME: &str = "http";

pub(crate) fn builder() -> HttpClientBuilder {
    AsyncHttpClient::builder()
}

/// Where the server at `address` is reached.
pub(crate) fn front(address: SocketAddr) -> SocketAddr {
    address
}
