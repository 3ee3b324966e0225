//! Tornado for Rust: the event loop, streams, HTTP server and class-based handlers of the Tornado framework,
//! rebuilt on tokio with Tornado's names, behaviour and wire formats.

pub mod ioloop;
pub mod iostream;
pub mod log;
pub mod netutil;
pub mod process;
pub mod routing;
pub mod tcpserver;
pub mod testing;

#[allow(unsafe_code, reason = "the one place where system calls without a safe wrapper are made")]
pub(crate) mod sys;
