//! WebSockets over real sockets: bytes in, bytes out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handshake;
mod support;
