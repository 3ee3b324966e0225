//! WebSockets, servers and clients (RFC 6455, RFC 7692; Tornado's `tornado.websocket`).
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

// The machines: bytes in, events out.
mod deflate;
mod extension;
mod frame;
mod handshake;
mod mask;
mod message;
mod options;
mod outgoing;
mod protocol;
mod slices;

// What drives them over a stream.
mod broadcast;
mod client;
mod compressing;
mod connect;
mod connection;
mod farewell;
mod pool;
mod queue;
mod random;
mod sender;
mod set;
mod socket;
mod stream;

mod handler;

#[doc(hidden)]
pub mod __fuzz;

#[cfg(test)]
mod tests;

pub use broadcast::{Broadcaster, Membership};
pub use client::{WebSocketClientConnection, WebSocketConnectError, WebSocketRequest, websocket_connect};
pub use extension::CompressionOptions;
pub use handler::{WebSocketHandler, upgrade, websocket, ws};
pub use handshake::accept_key;
pub use message::{Message, PreparedMessage};
pub use options::{WebSocketOptions, WhenFull};
pub use outgoing::{Outgoing, TryWriteError, WebSocketClosedError};
pub use sender::{SendError, WebSocketSender};
pub use socket::WebSocket;
pub use stream::WebSocketStream;

pub(crate) use handler::WebSockets;
