//! WebSockets, servers and clients (RFC 6455, RFC 7692; Tornado's `tornado.websocket`). With the feature `websocket`, a
//! default one; `websocket_connect` needs `client` too.
//!
//! Over HTTP/2 (RFC 8441; feature `http2`) handlers serve whoever asks that way, as browsers do that have such a connection,
//! and notice nothing. The client does when it is told to: `WebSocketRequest::http2` and
//! `WebSocketRequest::http2_prior_knowledge`. The reverse proxy passes WebSockets on between any two versions.
//!
//! A [`WebSocketHandler`] is a type, as with HTTP: each connection is served by a fresh clone of the value in the
//! routing table.
//!
//! ```
//! use squall::websocket::{Message, WebSocket, WebSocketHandler, ws};
//! use squall::{Application, Result};
//!
//! #[derive(Clone)]
//! struct Echo;
//!
//! impl WebSocketHandler for Echo {
//!     async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
//!         ws.write_message(message).await
//!     }
//! }
//!
//! fn make_app() -> Application {
//!     Application::new([ws("/echo", Echo)])
//! }
//! # squall::IoLoop::current().run_sync(async {
//! # let app = squall::testing::serve(make_app());
//! use squall::websocket::websocket_connect;
//!
//! # let url = format!("ws://127.0.0.1:{}/echo", app.port());
//! let mut connection = websocket_connect(url.as_str()).await.unwrap();
//! connection.write_message("Hello").await.unwrap();
//! assert_eq!(connection.read_message().await, Some(Message::from("Hello")));
//! # }, None).unwrap();
//! ```

#[cfg(feature = "client")]
mod client;
#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "both roles are one protocol"))]
mod connection;
mod handler;
#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "as `connection`"))]
mod machine;

#[cfg(feature = "client")]
pub use client::{WebSocketClientConnection, WebSocketConnectError, WebSocketRequest, websocket_connect};
pub use connection::broadcast::{Broadcaster, Membership};
pub use connection::outgoing::{Outgoing, TryWriteError, WebSocketClosedError};
pub use connection::sender::{SendError, WebSocketSender};
pub use connection::socket::WebSocket;
pub use connection::stream::WebSocketStream;
pub use handler::{WebSocketHandler, upgrade, websocket, ws};
pub use machine::extension::CompressionOptions;
pub use machine::handshake::accept_key;
pub use machine::message::{Message, PreparedMessage};
pub use machine::options::{WebSocketOptions, WhenFull};

#[doc(hidden)]
pub use machine::__fuzz;

pub(crate) use handler::WebSockets;
#[cfg(feature = "client")]
pub(crate) use machine::handshake::{check_key, check_response, new_key};
