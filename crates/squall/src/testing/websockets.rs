//! squall's own WebSocket client, for tests of what it does together with the server.

use super::TestServer;
use crate::websocket::{
    WebSocketClientConnection, WebSocketConnectError, WebSocketRequest, websocket_connect,
};

/// With the features `client` and `websocket`, default ones.
impl TestServer {
    /// Connects to a WebSocket of this server. For headers, subprotocols and options make a [`WebSocketRequest`] of
    /// [`ws_url`](Self::ws_url).
    ///
    /// # Errors
    /// As [`websocket_connect`].
    pub async fn websocket(&self, path: &str) -> Result<WebSocketClientConnection, WebSocketConnectError> {
        websocket_connect(WebSocketRequest::new(self.ws_url(path))).await
    }

    /// The `ws:` URL of a path that starts with a slash.
    #[must_use]
    pub fn ws_url(&self, path: &str) -> String {
        format!("ws://127.0.0.1:{}{path}", self.port)
    }
}
