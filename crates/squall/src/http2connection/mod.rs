//! HTTP/2 (RFC 9113) on sockets: the server over `http2::server`, the client over the `h2` crate, which nothing else names (a test
//! looks, `tests/toolbox/layers.rs`).
//!
//! Applications do not notice. Each stream is an exchange of the same delegates as in HTTP/1.1, with the same limits;
//! handlers of one connection run beside each other, as those of several do.

pub(crate) mod __fuzz;
mod body;
#[cfg(feature = "client")]
pub(crate) mod client;
mod connection;
mod convert;
mod doorbell;
mod options;
mod output;
mod preface;
mod server;
mod set;
mod stream;
mod tunnel;
mod window;

pub use options::Http2Options;
pub(crate) use preface::Preface;
pub(crate) use server::{Server, serve};
pub(crate) use set::ConnectionSet;
