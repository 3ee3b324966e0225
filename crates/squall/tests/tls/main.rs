//! TLS on real sockets: servers and streams, certificates from files, and what goes wrong. `README.md` beside this says
//! which of Tornado's tests each row stands for.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clients;
mod handshakes;
mod https;
mod options;
mod proxy_protocol;
mod reload;
mod streams;
mod support;
