//! A WebSocket client that shares no code with squall: it sends bytes and compares bytes.

use std::any::Any;
use std::marker::PhantomData;
use std::net::Ipv4Addr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use squall::testing::TestServer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) use crate::waiting::within;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A handshake for `path`, with further lines, each ended by CRLF.
pub(crate) fn handshake(path: &str, lines: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}\r\n"
    )
}

/// A masked frame: the first byte is given, so that anything can be written.
pub(crate) fn raw_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        middle @ 126..=65_535 => {
            frame.push(0xfe);
            frame.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0xff);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]));
    frame
}

pub(crate) fn text(payload: &str) -> Vec<u8> {
    raw_frame(0x81, payload.as_bytes())
}

pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    raw_frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// A frame as the server sends it.
pub(crate) fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(short as u8),
        middle @ 126..=65_535 => {
            frame.push(126);
            frame.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

pub(crate) fn server_close(code: u16, reason: &str) -> Vec<u8> {
    server_frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// What carries a WebSocket.
pub(crate) trait Carrier: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Carrier for T {}

pub(crate) struct Client {
    stream: Box<dyn Carrier>,
    got: Vec<u8>,
    /// What it needs for as long as it lives.
    _kept: Option<Box<dyn Any>>,
}

/// How the cases of `cases.rs` come to a WebSocket.
pub(crate) trait Way {
    async fn open(server: &TestServer, path: &str) -> Client;
}

/// A client that comes this way.
pub(crate) struct Via<W>(Client, PhantomData<W>);

impl<W: Way> Via<W> {
    pub(crate) async fn open(server: &TestServer, path: &str) -> Self {
        Self(W::open(server, path).await, PhantomData)
    }
}

impl<W> Deref for Via<W> {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl<W> DerefMut for Via<W> {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.0
    }
}

impl Client {
    /// What goes on over this, the handshake done.
    pub(crate) fn over(stream: impl Carrier + 'static) -> Self {
        Self { stream: Box::new(stream), got: Vec::new(), _kept: None }
    }

    #[cfg_attr(not(feature = "http2"), expect(dead_code, reason = "what is kept are proxies"))]
    pub(crate) fn keeping(self, what: impl Any) -> Self {
        Self { _kept: Some(Box::new(what)), ..self }
    }

    /// Connects and sends a handshake; the head of the answer is returned.
    pub(crate) async fn ask(server: &TestServer, request: impl AsRef<[u8]>) -> (Self, String) {
        Self::ask_at(server.port(), request).await
    }

    /// Connects to `path` of a server on a port and expects a 101.
    pub(crate) async fn open_at(port: u16, path: &str) -> Self {
        let (client, head) = Self::ask_at(port, handshake(path, "")).await;
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        client
    }

    async fn ask_at(port: u16, request: impl AsRef<[u8]>) -> (Self, String) {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("it listens");
        stream.set_nodelay(true).expect("a TCP socket");
        let mut client = Self::over(stream);
        client.send(request).await;
        let head = loop {
            if let Some(at) = client.got.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = client.got.split_off(at + 4);
                break std::mem::replace(&mut client.got, rest);
            }
            assert!(client.read().await, "the end instead of a head");
        };
        (client, String::from_utf8(head).expect("a head is ASCII"))
    }

    /// Connects to `path` and expects a 101.
    pub(crate) async fn open(server: &TestServer, path: &str) -> Self {
        Self::open_with(server, path, "").await.0
    }

    pub(crate) async fn open_with(server: &TestServer, path: &str, lines: &str) -> (Self, String) {
        let (client, head) = Self::ask(server, handshake(path, lines)).await;
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        (client, head)
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("the server to take what is sent", self.stream.write_all(bytes.as_ref())).await.expect("open");
    }

    /// Reads exactly these bytes.
    pub(crate) async fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        while self.got.len() < bytes.len() {
            assert!(
                self.read().await,
                "the end after {}, expected {}",
                self.got.escape_ascii(),
                bytes.escape_ascii()
            );
        }
        let rest = self.got.split_off(bytes.len());
        let got = std::mem::replace(&mut self.got, rest);
        assert!(got == bytes, "got {} instead of {}", shown(&got), shown(bytes));
    }

    /// The next frame: its first byte and the payload.
    pub(crate) async fn frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some((first, start, length)) = self.head()
                && self.got.len() >= start + length
            {
                let payload = self.got[start..start + length].to_vec();
                self.got.drain(..start + length);
                return (first, payload);
            }
            assert!(self.read().await, "the end instead of a frame, after {}", shown(&self.got));
        }
    }

    /// Waits until something has come.
    pub(crate) async fn until_something(&mut self) {
        while self.got.is_empty() {
            assert!(self.read().await, "the end instead of anything");
        }
    }

    /// The server closes, and nothing more has come.
    pub(crate) async fn closed(&mut self) {
        while self.read().await {}
        assert!(self.got.is_empty(), "more than expected came: {}", shown(&self.got));
    }

    /// Whether anything comes within `pause`, the end included.
    pub(crate) async fn ended_early(&mut self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.stream.read_buf(&mut self.got)).await.is_ok()
    }

    /// Everything until the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.read().await {}
        std::mem::take(&mut self.got)
    }

    pub(crate) async fn shutdown(&mut self) {
        self.stream.shutdown().await.expect("open");
    }

    fn head(&self) -> Option<(u8, usize, usize)> {
        let &[first, second, ref rest @ ..] = &self.got[..] else { return None };
        assert_eq!(second & 0x80, 0, "a server does not mask");
        Some(match second {
            126 => (first, 4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
            127 => (first, 10, u64::from_be_bytes(*rest.first_chunk()?) as usize),
            short => (first, 2, usize::from(short)),
        })
    }

    /// False at the end, a reset included.
    async fn read(&mut self) -> bool {
        let read = within("bytes from the server", self.stream.read_buf(&mut self.got)).await;
        matches!(read, Ok(1..))
    }
}

fn shown(bytes: &[u8]) -> String {
    format!("{} bytes: {}", bytes.len(), bytes[..bytes.len().min(200)].escape_ascii())
}
