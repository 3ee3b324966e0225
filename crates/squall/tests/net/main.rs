//! The loop, and what is below HTTP: streams, sockets, names, TLS.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/events.rs"]
mod events;
#[cfg(all(feature = "client", feature = "hickory"))]
mod hickory;
mod ioloop;
mod iostream;
mod netutil;
mod tcpclient;
mod tcpserver;
#[cfg(all(feature = "client", feature = "tls", feature = "websocket"))]
mod tls;
