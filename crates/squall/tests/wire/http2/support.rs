//! A server of the application under test, and clients of HTTP/2.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use squall::Application;
use squall::httpserver::HttpServer;
use squall::netutil::BindOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Serves in clear text, HTTP/1.1 and HTTP/2.
pub(crate) fn serve(
    make: impl Fn() -> Application + 'static,
    options: impl FnOnce(HttpServer) -> HttpServer,
) -> (HttpServer, u16) {
    let server = options(HttpServer::new(make).h2c(true));
    server.listen_on(0, &BindOptions::new().address("127.0.0.1")).unwrap();
    let port = server.local_addrs()[0].port().unwrap();
    (server, port)
}

pub(crate) async fn connect(port: u16) -> TcpStream {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// A connection whose frames go by themselves.
pub(crate) struct Client {
    pub(crate) requests: SendRequest<Bytes>,
    pub(crate) driver: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    pub(crate) async fn new(port: u16) -> Self {
        Self::with(port, &h2::client::Builder::new()).await
    }

    pub(crate) async fn with(port: u16, builder: &h2::client::Builder) -> Self {
        let (requests, connection) = builder.handshake(connect(port).await).await.unwrap();
        Self { requests, driver: tokio::spawn(connection) }
    }

    /// Sends the head of a request; the body goes into what comes back.
    pub(crate) async fn open(
        &mut self,
        request: Request<()>,
        is_all: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut ready = self.requests.clone().ready().await.unwrap();
        ready.send_request(request, is_all).unwrap()
    }

    /// A whole exchange.
    pub(crate) async fn exchange(&mut self, request: Request<()>, body: &[u8]) -> Answer {
        let (response, mut sink) = self.open(request, body.is_empty()).await;
        if !body.is_empty() {
            send(&mut sink, body, true).await;
        }
        answer(response).await.unwrap()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.exchange(get(path), b"").await
    }
}

/// Sends as the windows allow.
pub(crate) async fn send(sink: &mut SendStream<Bytes>, mut data: &[u8], end: bool) {
    while !data.is_empty() {
        sink.reserve_capacity(data.len());
        let Some(Ok(room)) = std::future::poll_fn(|cx| sink.poll_capacity(cx)).await else { return };
        let part = &data[..room.min(data.len())];
        data = &data[part.len()..];
        if sink.send_data(Bytes::copy_from_slice(part), end && data.is_empty()).is_err() {
            return;
        }
    }
}

pub(crate) fn get(path: &str) -> Request<()> {
    request("GET", path).body(()).unwrap()
}

pub(crate) fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://server.test{path}")).version(http::Version::HTTP_2)
}

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Response<()>,
    pub(crate) body: Vec<u8>,
    #[allow(dead_code, reason = "not every test looks at them")]
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) async fn answer(response: ResponseFuture) -> Result<Answer, h2::Error> {
    tokio::time::timeout(DEADLINE, async {
        let (head, mut stream) = response.await?.into_parts();
        let body = read(&mut stream).await?;
        let trailers = stream.trailers().await?;
        Ok(Answer { head: Response::from_parts(head, ()), body, trailers })
    })
    .await
    .expect("an answer in time")
}

pub(crate) async fn read(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        body.extend_from_slice(&data);
        stream.flow_control().release_capacity(data.len())?;
    }
    Ok(body)
}

/// Frames by hand (RFC 9113 §4.1).
pub(crate) struct Raw {
    pub(crate) socket: TcpStream,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// `GET /` for `x`, by indexes of HPACK's static table and one literal.
pub(crate) const GET_ROOT: &[u8] = b"\x82\x86\x84\x41\x01x";

/// Fields as HPACK literals that name themselves.
pub(crate) fn literals(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        assert!(name.len() < 127 && value.len() < 127);
        block.extend([0, name.len() as u8]);
        block.extend(name.as_bytes());
        block.push(value.len() as u8);
        block.extend(*value);
    }
    block
}

impl Raw {
    pub(crate) async fn new(port: u16) -> Self {
        Self::over(connect(port).await).await
    }

    pub(crate) async fn over(socket: TcpStream) -> Self {
        let mut raw = Self { socket };
        raw.socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        raw.frame(SETTINGS, 0, 0, b"").await;
        raw
    }

    /// Sends a frame; whether the server still takes it does not matter.
    pub(crate) async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let _ = self.socket.write_all(&frame(kind, flags, stream, payload)).await;
    }

    /// The next frame: its type, flags, stream and payload; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        tokio::time::timeout(DEADLINE, async {
            let mut head = [0; 9];
            self.socket.read_exact(&mut head).await.ok()?;
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            self.socket.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Some((head[3], head[4], stream, payload))
        })
        .await
        .expect("a frame or the end in time")
    }

    /// What the server says of a request: that it is answered, or the code of its reset.
    pub(crate) async fn verdict(&mut self, id: u32) -> Result<(), u32> {
        loop {
            match self.next().await.expect("the connection lives") {
                (HEADERS, _, stream, _) if stream == id => return Ok(()),
                (RST_STREAM, _, stream, payload) if stream == id => return Err(code(&payload)),
                _ => {}
            }
        }
    }

    /// The first frame of a kind; `None` if the connection ends before.
    pub(crate) async fn find(&mut self, kind: u8) -> Option<(u8, u32, Vec<u8>)> {
        loop {
            let (found, flags, stream, payload) = self.next().await?;
            if found == kind {
                return Some((flags, stream, payload));
            }
        }
    }
}

/// The error of a stream's RST_STREAM.
pub(crate) fn code(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload.try_into().unwrap())
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
