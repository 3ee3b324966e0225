//! HTTP/2 as pure machines (RFC 9113): bytes in, frames and requests out. The sockets are `http2connection`'s.

pub(crate) mod frame;
pub(crate) mod hpack;
mod reason;
pub(crate) mod server;

pub(crate) use reason::Reason;
