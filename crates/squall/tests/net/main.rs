//! The loop, and what is below HTTP: streams, sockets, names, TLS.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(all(feature = "client", feature = "hickory"))]
mod hickory;
mod ioloop;
mod iostream;
#[path = "../support/log.rs"]
mod log;
mod netutil;
mod tcpclient;
mod tcpserver;
#[cfg(all(feature = "client", feature = "tls", feature = "websocket"))]
mod tls;
