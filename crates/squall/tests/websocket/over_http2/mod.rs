//! WebSockets over the streams of HTTP/2 (RFC 8441): the cases of `cases.rs` over this carrier, and what only it has.

#[path = "../cases.rs"]
#[expect(clippy::duplicate_mod, reason = "the same cases, with another `support`")]
mod cases;
pub(crate) mod client;
pub(crate) mod support;
pub(crate) mod tunnels;
