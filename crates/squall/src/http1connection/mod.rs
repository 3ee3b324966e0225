//! HTTP/1.1 over an [`IoStream`](crate::iostream::IoStream): the loop around the pure machines of `http1`. `client` is what
//! whoever asks has in common: fetches, CONNECT through a proxy, WebSocket handshakes.
//!
//! Tornado keeps the state of a connection in a dozen flags; here it is where the driver stands (`httputil::exchange`),
//! and the `State` of the connection:
//!
//! | Tornado | here |
//! |---|---|
//! | `_write_finished`, `_response_start_line`, `_chunking_output`, `_expected_content_remaining` | `Writing` |
//! | `_read_finished`, `_finish_future` | the place in the driver |
//! | `_disconnect_on_finish` | `ResponseFacts::keep_alive` |
//! | `_clear_callbacks`, `_close_callback` | none: the handler is a future that the driver polls |

#[cfg(feature = "client")]
#[doc(hidden)]
pub mod __fuzz;
#[cfg(feature = "client")]
mod client;
mod connection;
mod deadlines;
mod end;
mod exchange_end;
mod server;
mod set;
mod state;
mod task;
mod transport;

pub use crate::http1::ParseError;
#[cfg(all(feature = "client", feature = "http2"))]
pub(crate) use client::MOST_INTERIM;
#[cfg(feature = "client")]
pub(crate) use client::{HeadError, ResponseHeads};
pub(crate) use connection::Server;
#[cfg(feature = "http2")]
pub(crate) use connection::kinds;
#[cfg(feature = "http2")]
pub(crate) use end::End;
#[cfg(feature = "http2")]
pub(crate) use server::linger;
pub(crate) use set::ConnectionSet;
#[cfg(feature = "http2")]
pub(crate) use set::LAST_REQUEST;
pub(crate) use task::ConnectionTask;
