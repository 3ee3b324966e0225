//! WebSockets over real sockets: bytes in, bytes out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod client;
mod closing;
mod compression;
mod handler;
mod handshake;
mod hostile;
mod limits;
mod our_client;
#[cfg(feature = "http2")]
mod over_http2;
mod queue;
mod slices;
mod support;
#[cfg(feature = "http2")]
mod through_proxy;
#[path = "../support/waiting.rs"]
mod waiting;
