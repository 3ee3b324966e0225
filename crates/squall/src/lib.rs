//! Tornado for Rust: the event loop, streams, HTTP server and class-based handlers of the Tornado framework,
//! rebuilt on tokio with Tornado's names, behaviour and wire formats.

// The macros name this crate `::squall`, here too.
extern crate self as squall;

pub mod escape;
pub mod http1connection;
pub mod httpserver;
pub mod httputil;
pub mod ioloop;
pub mod iostream;
pub mod log;
pub mod netutil;
pub mod process;
pub mod routing;
pub mod tcpserver;
pub mod testing;
pub mod web;

mod http1;
#[allow(unsafe_code, reason = "the one place where system calls without a safe wrapper are made")]
pub(crate) mod sys;

// The paved path; everything else is at its module.
pub use httpserver::HttpServer;
pub use ioloop::IoLoop;
pub use squall_macros::{handler, main, test};
pub use web::{
    Application, Context, Error, HttpError, OrStatus, RequestHandler, Result, Site, delete, get, patch, post,
    put, url,
};

#[doc(hidden)]
pub mod __private;
