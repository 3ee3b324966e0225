//! Proxies, and both ends of what goes through them.

use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use squall::testing::{TestServer, serve_on};
use squall::web::proxy;
use squall::websocket::accept_key;
use squall::{Application, Context, HttpServer, get, url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::over_http2::client::Peer;
use crate::over_http2::support::{Connection, connect};
use crate::support::{Client, Way, handshake, within};

/// A proxy before what listens on a port, which is known to speak HTTP/2 or is asked over HTTP/1.1. `/own` is its own.
pub(super) fn proxy_before(port: u16, http2: bool) -> TestServer {
    let handler = proxy(format!("http://127.0.0.1:{port}")).http2_prior_knowledge(http2);
    let make = move || {
        let own = async |ctx: &Context| {
            ctx.write("own");
            Ok(())
        };
        Application::new([get("/own", own), url("/.*", handler.clone())])
    };
    serve_on(HttpServer::new(make).h2c(true))
}

pub(super) enum FromHttp1 {}
pub(super) enum FromHttp2 {}
pub(super) enum OverHttp2 {}

impl Way for FromHttp1 {
    async fn open(server: &TestServer, path: &str) -> Client {
        let proxy = proxy_before(server.port(), true);
        Client::open(&proxy, path).await.keeping(proxy)
    }
}

impl Way for FromHttp2 {
    async fn open(server: &TestServer, path: &str) -> Client {
        let proxy = proxy_before(server.port(), false);
        Connection::new(proxy.port()).await.open(path).await.0.keeping(proxy)
    }
}

impl Way for OverHttp2 {
    async fn open(server: &TestServer, path: &str) -> Client {
        let proxy = proxy_before(server.port(), true);
        Connection::new(proxy.port()).await.open(path).await.0.keeping(proxy)
    }
}

/// One end of a tunnel.
pub(super) enum End {
    Http1(TcpStream),
    Http2(SendStream<Bytes>, RecvStream),
}

impl End {
    /// A client of a proxy.
    pub(super) async fn of_client(http2: bool, port: u16) -> Self {
        if http2 {
            let mut connection = Connection::roomy(port).await;
            let asked = connect("websocket", "/").header("sec-websocket-version", "13");
            let (head, sink, body) = connection.ask(asked.body(()).unwrap()).await.unwrap();
            assert_eq!(head.status(), 200, "{head:?}");
            return Self::Http2(sink, body);
        }
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        socket.write_all(handshake("/", "").as_bytes()).await.unwrap();
        let head = head(&mut socket).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self::Http1(socket)
    }

    /// A server, which agrees.
    pub(super) async fn of_server(http2: bool, listener: &TcpListener) -> Self {
        if http2 {
            let (sink, body) = Peer::accept(listener).await.agree(&[]).await;
            return Self::Http2(sink, body);
        }
        let (mut socket, _) = within("a connection", listener.accept()).await.unwrap();
        let head = head(&mut socket).await;
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-Websocket-Key: ")).unwrap();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            accept_key(key)
        );
        socket.write_all(answer.as_bytes()).await.unwrap();
        Self::Http1(socket)
    }

    /// Writes as much of this as is taken now, after it has been waited for that anything is.
    pub(super) async fn write(&mut self, data: &[u8]) -> usize {
        match self {
            Self::Http1(socket) => socket.write(data).await.unwrap(),
            Self::Http2(sink, _) => {
                sink.reserve_capacity(data.len());
                let room = std::future::poll_fn(|cx| sink.poll_capacity(cx)).await.unwrap().unwrap();
                let length = room.min(data.len());
                sink.send_data(Bytes::copy_from_slice(&data[..length]), false).unwrap();
                length
            }
        }
    }

    /// Sends no more.
    pub(super) async fn finish(&mut self) {
        match self {
            Self::Http1(socket) => socket.shutdown().await.unwrap(),
            Self::Http2(sink, _) => sink.send_data(Bytes::new(), true).unwrap(),
        }
    }

    /// Gives up, so that it does not look like an end.
    pub(super) fn reset(self) {
        match self {
            Self::Http1(socket) => {
                socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
            }
            Self::Http2(mut sink, _) => sink.send_reset(Reason::CANCEL),
        }
    }

    /// How much comes next; nothing at the end, `None` when that is a reset.
    pub(super) async fn read(&mut self) -> Option<usize> {
        match self {
            Self::Http1(socket) => {
                let mut block = vec![0; 64 * 1024];
                within("bytes, or the end", socket.read(&mut block)).await.ok()
            }
            Self::Http2(_, body) => match within("data, or the end", body.data()).await {
                Some(Ok(data)) => {
                    body.flow_control().release_capacity(data.len()).unwrap();
                    Some(data.len())
                }
                Some(Err(error)) => {
                    assert_eq!(error.reason(), Some(Reason::CANCEL));
                    None
                }
                None => Some(0),
            },
        }
    }
}

/// Up to the empty line.
pub(super) async fn head(socket: &mut TcpStream) -> String {
    socket.set_nodelay(true).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a head", socket.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}
