//! HTTP/1.1 (RFC 9112) as pure machines: bytes in, events out; no socket, no clock, no waiting.
//!
//! * [`head`] turns bytes into a request head and decides the framing of what follows.
//! * [`body`] and [`chunked`] find the body's bytes and its end.
//! * [`encode`] writes response heads and frames response bodies.
//! * [`limits`] holds what is allowed, [`error`] what can be wrong.

pub(crate) mod body;
pub(crate) mod chunked;
pub(crate) mod encode;
pub(crate) mod error;
pub(crate) mod head;
pub(crate) mod host;
pub(crate) mod limits;

pub use error::ParseError;
pub use limits::Http1ConnectionParameters;
