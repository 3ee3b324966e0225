//! HTTP on the wire: the bytes of each version, properties of them, and the seeds of the fuzz targets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fuzz;
mod http1;
#[cfg(feature = "http2")]
mod http2;
mod properties;
