//! Over HTTP/1.1.

#[path = "../cases.rs"]
#[expect(clippy::duplicate_mod, reason = "the same cases, with another `support`")]
mod cases;

use squall::testing::TestServer;
use squall::websocket::{WebSocketRequest, accept_key};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::script;
use crate::support::{Client, Way, within};

mod support {
    pub(super) type Client = crate::support::Via<super::OverHttp1>;
    pub(super) use super::script::{close, raw_frame};
    pub(super) use crate::support::{server_close, server_frame};
}

enum OverHttp1 {}

impl Way for OverHttp1 {
    async fn open(_: &TestServer, path: &str) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        script::echo(WebSocketRequest::new(format!("ws://{}{path}", listener.local_addr().unwrap())));
        let (mut socket, _) = within("the client", listener.accept()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("the handshake", socket.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-Websocket-Key: ")).unwrap();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            accept_key(key)
        );
        socket.write_all(answer.as_bytes()).await.unwrap();
        script::server(socket)
    }
}
