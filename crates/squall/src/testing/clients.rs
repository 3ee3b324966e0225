//! squall's own clients, for tests of what they do together with the server.

use super::TestServer;
use crate::httpclient::{AsyncHttpClient, HttpClientError, HttpRequest, HttpResponse};
use crate::websocket::{
    WebSocketClientConnection, WebSocketConnectError, WebSocketRequest, websocket_connect,
};

impl TestServer {
    /// Fetches with an [`AsyncHttpClient`] and every option that an [`HttpRequest`] has (Tornado's `self.fetch`). A URL that
    /// begins with a slash is this server's. Redirects are followed unless the request says otherwise, and a status that is no
    /// success is no error unless it says so, too.
    ///
    /// ```
    /// # use squall::httpclient::HttpRequest;
    /// # async fn test(app: squall::testing::TestServer) {
    /// let response = app.fetch(HttpRequest::post("/login").form(&[("name", "ann")])).await.unwrap();
    /// assert_eq!(response.status(), 200);
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`AsyncHttpClient::fetch`].
    pub async fn fetch(&self, request: impl Into<HttpRequest>) -> Result<HttpResponse, HttpClientError> {
        self.fetch_with(&AsyncHttpClient::new(), request).await
    }

    /// As [`fetch`](Self::fetch) with a client of one's own, which may have a cookie jar.
    ///
    /// # Errors
    /// As [`AsyncHttpClient::fetch`].
    pub async fn fetch_with(
        &self,
        client: &AsyncHttpClient,
        request: impl Into<HttpRequest>,
    ) -> Result<HttpResponse, HttpClientError> {
        client.fetch(request.into().for_test(&self.url(""))).await
    }

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
