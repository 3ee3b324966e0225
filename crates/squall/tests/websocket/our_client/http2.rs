//! Over HTTP/2 (RFC 8441), whose server is the `h2` crate's.

#[path = "../cases.rs"]
#[expect(clippy::duplicate_mod, reason = "the same cases, with another `support`")]
mod cases;

use squall::testing::TestServer;
use squall::websocket::WebSocketRequest;
use tokio::net::TcpListener;

use super::script;
use crate::over_http2::client::Peer;
use crate::over_http2::support::bridge;
use crate::support::{Client, Way};

mod support {
    pub(super) type Client = crate::support::Via<super::OverHttp2>;
    pub(super) use super::script::{close, raw_frame};
    pub(super) use crate::support::{server_close, server_frame};
}

enum OverHttp2 {}

impl Way for OverHttp2 {
    async fn open(_: &TestServer, path: &str) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}{path}", listener.local_addr().unwrap());
        script::echo(WebSocketRequest::new(url).http2_prior_knowledge(true));
        let (sink, body) = Peer::accept(&listener).await.agree(&[]).await;
        script::server(bridge(sink, body))
    }
}
