//! HTTP on the wire: the bytes of each version, properties of them, and the seeds of the fuzz targets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(all(feature = "client", feature = "templates", feature = "websocket"))]
mod fuzz;
mod http1;
#[cfg(all(feature = "client", feature = "http2", feature = "websocket"))]
mod http2;
#[path = "../support/log.rs"]
mod log;
mod properties;
#[path = "../support/waiting.rs"]
mod waiting;
