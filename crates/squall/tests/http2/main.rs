//! HTTP/2 on real sockets: the same handlers as over HTTP/1.1, and what only streams have.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod abuse;
mod carriers;
mod ends;
mod hostile;
mod messages;
mod support;
#[cfg(feature = "tls")]
mod tls;
