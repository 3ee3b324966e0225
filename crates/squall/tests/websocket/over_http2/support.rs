//! A client whose connection is one stream of HTTP/2's, by the `h2` crate: squall's own code has no part in it.

use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::ops::{Deref, DerefMut};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use squall::testing::TestServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;

pub(super) use crate::support::{close, raw_frame, server_close, server_frame, text, within};

/// A WebSocket on a connection of its own.
pub(crate) struct Client(pub(crate) crate::support::Client);

impl Deref for Client {
    type Target = crate::support::Client;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Client {
    pub(super) async fn open(server: &TestServer, path: &str) -> Self {
        let mut connection = Connection::new(server.port()).await;
        connection.open(path).await
    }
}

/// A connection, and streams of it.
pub(crate) struct Connection(pub(crate) SendRequest<Bytes>);

impl Connection {
    pub(crate) async fn new(port: u16) -> Self {
        Self::with(port, &h2::client::Builder::new()).await
    }

    /// One whose window no stream can use up alone.
    pub(crate) async fn roomy(port: u16) -> Self {
        Self::with(port, h2::client::Builder::new().initial_connection_window_size(1 << 20)).await
    }

    /// One whose streams may have so much under way, as browsers' may.
    pub(super) async fn of_window(port: u16, window: u32) -> Self {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(1 << 24);
        Self::with(port, &builder).await
    }

    async fn with(port: u16, builder: &h2::client::Builder) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("it listens");
        stream.set_nodelay(true).expect("a TCP socket");
        let (requests, connection) = builder.handshake(stream).await.expect("a connection");
        tokio::task::spawn_local(connection);
        let settings = async {
            while !requests.is_extended_connect_protocol_enabled() {
                tokio::task::yield_now().await;
            }
        };
        within("the server to allow extended CONNECT", settings).await;
        Self(requests)
    }

    /// What comes of a request, and both sides of its stream.
    pub(crate) async fn ask(
        &mut self,
        request: Request<()>,
    ) -> Result<(Response<()>, SendStream<Bytes>, RecvStream), h2::Error> {
        let mut ready = self.0.clone().ready().await?;
        let (response, sink) = ready.send_request(request, false)?;
        let (head, body) = within("an answer", response).await?.into_parts();
        Ok((Response::from_parts(head, ()), sink, body))
    }

    /// A WebSocket on a stream.
    pub(crate) async fn open(&mut self, path: &str) -> Client {
        let asked = connect("websocket", path).header("sec-websocket-version", "13");
        let (head, sink, body) = self.ask(asked.body(()).unwrap()).await.expect("a tunnel");
        assert_eq!(head.status(), 200, "{head:?}");
        Client(crate::support::Client::over(bridge(sink, body)))
    }
}

/// An extended CONNECT (RFC 8441 §4).
pub(crate) fn connect(protocol: &'static str, path: &str) -> http::request::Builder {
    Request::builder()
        .method("CONNECT")
        .uri(format!("http://localhost{path}"))
        .version(http::Version::HTTP_2)
        .extension(Protocol::from_static(protocol))
}

/// The two sides as one that is read and written.
pub(crate) fn bridge(mut sink: SendStream<Bytes>, mut body: RecvStream) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (mut reader, mut writer) = tokio::io::split(theirs);
    tokio::task::spawn_local(async move {
        let mut block = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = reader.read(&mut block).await {
            let mut left = &block[..length];
            while !left.is_empty() {
                sink.reserve_capacity(left.len());
                let Some(Ok(room)) = poll_fn(|cx| sink.poll_capacity(cx)).await else { return };
                let (now, later) = left.split_at(room.min(left.len()));
                if sink.send_data(Bytes::copy_from_slice(now), false).is_err() {
                    return;
                }
                left = later;
            }
        }
        let _ = sink.send_data(Bytes::new(), true);
    });
    tokio::task::spawn_local(async move {
        while let Some(Ok(data)) = body.data().await {
            if writer.write_all(&data).await.is_err() {
                return;
            }
            let _ = body.flow_control().release_capacity(data.len());
        }
        let _ = writer.shutdown().await;
    });
    ours
}
