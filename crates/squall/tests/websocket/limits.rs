//! Peers that hold a connection: they begin messages and end none, or take nothing of what is sent to them. What is asserted
//! is how it ends, never how long that took.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use squall::testing::TestServer;
use squall::websocket::{
    CompressionOptions, Message, TryWriteError, WebSocket, WebSocketHandler, WebSocketOptions,
    WebSocketRequest, accept_key, websocket_connect, ws,
};
use squall::{Application, Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Client, handshake, raw_frame, server_close, server_frame, text, within};

const SHORT: Duration = Duration::from_millis(200);

/// Echoes, and hands its socket out.
#[derive(Clone)]
struct Echo {
    options: WebSocketOptions,
    compression: Option<CompressionOptions>,
    sockets: Rc<RefCell<Vec<WebSocket>>>,
}

impl Echo {
    fn new(options: WebSocketOptions) -> Self {
        Self { options, compression: None, sockets: Rc::default() }
    }

    fn serve(&self) -> TestServer {
        squall::testing::serve(Application::new([ws("/ws", self.clone())]))
    }

    async fn socket(&self) -> WebSocket {
        within("the handler to open", async {
            loop {
                if let Some(socket) = self.sockets.borrow_mut().pop() {
                    return socket;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

impl WebSocketHandler for Echo {
    fn options(&self, _ctx: &Context, _defaults: WebSocketOptions) -> WebSocketOptions {
        self.options
    }

    fn compression_options(&self, _ctx: &Context) -> Option<CompressionOptions> {
        self.compression
    }

    async fn open(&mut self, ws: &WebSocket) -> Result {
        self.sockets.borrow_mut().push(ws.clone());
        Ok(())
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        ws.write_message(message).await
    }
}

fn too_slow() -> Vec<u8> {
    server_close(1008, "message took too long")
}

#[squall::test(timeout = 60)]
async fn a_message_that_does_not_end() {
    let server = Echo::new(WebSocketOptions::new().message_timeout(SHORT)).serve();
    let mut idle = Client::open(&server, "/ws").await;
    let large = raw_frame(0x82, &[b'x'; 100_000]);
    let first = raw_frame(0x01, b"begun");
    for (what, sent, answers) in [
        ("a byte of a head", &[0x81][..], &[][..]),
        ("a head", &large[..14], &[]),
        ("part of a payload", &text("hello")[..8], &[]),
        ("part of a large payload", &large[..90_000], &[]),
        ("part of a ping", &raw_frame(0x89, b"ping")[..8], &[]),
        ("a first fragment", &first, &[]),
        ("a message before it", &[text("hello"), first.clone()].concat(), &server_frame(0x81, b"hello")),
        ("pings in between", &[&first[..], &raw_frame(0x89, b"p")].concat(), &server_frame(0x8a, b"p")),
    ] {
        let mut client = Client::open(&server, "/ws").await;
        client.send(sent).await;
        println!("{what}");
        client.expect([answers, &too_slow()].concat()).await;
        client.send(raw_frame(0x88, &1008u16.to_be_bytes())).await;
        client.closed().await;
    }
    // A connection on which no message has begun may be silent for as long as it likes.
    idle.send(text("still here")).await;
    idle.expect(server_frame(0x81, b"still here")).await;
}

#[squall::test(timeout = 60)]
async fn a_message_that_goes_on_and_on() {
    let server = Echo::new(WebSocketOptions::new().message_timeout(SHORT)).serve();
    let mut client = Client::open(&server, "/ws").await;
    client.send(raw_frame(0x01, b"begun")).await;
    // Fragments give no more time.
    let dripping = async {
        while !client.ended_early(Duration::from_millis(10)).await {
            client.send(raw_frame(0x00, b"more")).await;
        }
    };
    within("the server to lose patience", dripping).await;
    client.expect(too_slow()).await;
}

#[squall::test(timeout = 60)]
async fn a_peer_that_takes_nothing_is_reset_and_its_memory_is_free() {
    let handler = Echo::new(WebSocketOptions::new().write_timeout(SHORT));
    let server = handler.serve();
    let mut idle = Client::open(&server, "/ws").await;
    let _ = handler.socket().await;
    let mut client = Client::open(&server, "/ws").await;
    let socket = handler.socket().await;
    client.send(raw_frame(0x82, &vec![b'x'; 10_000_000])).await;
    within("the server to give it up", socket.closed()).await;
    assert_eq!(socket.buffered_amount(), 0);
    assert_eq!(socket.close_code(), None);
    // For whom nothing waits nothing is expected of.
    idle.send(text("still here")).await;
    idle.expect(server_frame(0x81, b"still here")).await;
}

#[squall::test(timeout = 60)]
async fn without_the_limits_it_is_kept() {
    let handler = Echo::new(WebSocketOptions::new().write_timeout(None).message_timeout(None));
    let server = handler.serve();
    let mut unending = Client::open(&server, "/ws").await;
    unending.send(&raw_frame(0x81, b"hello")[..8]).await;
    let _ = handler.socket().await;
    let mut unread = Client::open(&server, "/ws").await;
    let socket = handler.socket().await;
    let message = vec![b'x'; 10_000_000];
    unread.send(raw_frame(0x82, &message)).await;
    // By the time that others have been given up, twice, these would have been too.
    let strict = Echo::new(WebSocketOptions::new().write_timeout(SHORT).message_timeout(SHORT)).serve();
    for _ in 0..2 {
        let mut other = Client::open(&strict, "/ws").await;
        other.send([0x81]).await;
        other.expect(too_slow()).await;
    }
    assert!(!socket.is_closed());
    assert_eq!(unread.frame().await, (0x82, message));
    unending.send(&raw_frame(0x81, b"hello")[8..]).await;
    unending.expect(server_frame(0x81, b"hello")).await;
}

/// A server that does the handshake and then what it likes.
async fn scripted() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("ws://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    (listener, url)
}

async fn shake_hands(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_buf(&mut head).await.unwrap();
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-Websocket-Key: ")).expect(&head);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(key)
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream
}

#[squall::test(timeout = 60)]
async fn clients_have_the_same_limits() {
    let (listener, url) = scripted().await;
    let options = WebSocketOptions::new().write_timeout(SHORT).message_timeout(SHORT);
    let connect = || websocket_connect(WebSocketRequest::new(&url).options(options.close_timeout(SHORT)));
    // A server that ends no message ...
    let (connection, mut server) = tokio::join!(connect(), shake_hands(&listener));
    let mut connection = connection.unwrap();
    server.write_all(&server_frame(0x01, b"begun")).await.unwrap();
    assert_eq!(within("the end", connection.read_message()).await, None);
    let mut frame = [0; 8];
    server.read_exact(&mut frame).await.unwrap();
    assert_eq!((frame[0], frame[1]), (0x88, 0x80 | 23), "a close frame with code and reason");
    assert_eq!([frame[6] ^ frame[2], frame[7] ^ frame[3]], 1008u16.to_be_bytes());
    // ... and one that takes nothing.
    let (connection, server) = tokio::join!(connect(), shake_hands(&listener));
    let connection = connection.unwrap();
    assert!(within("the end", connection.write_message(vec![b'x'; 20_000_000])).await.is_err());
    within("the end", connection.closed()).await;
    assert_eq!(connection.buffered_amount(), 0);
    drop(server);
}

#[squall::test(timeout = 60)]
async fn a_large_message_waits_until_nothing_else_does() {
    let handler = Echo::new(WebSocketOptions::new());
    let server = handler.serve();
    let mut client = Client::open(&server, "/ws").await;
    let socket = handler.socket().await;
    let large = |byte: u8| vec![byte; 10_000_000];
    socket.try_write(large(b'1')).expect("nothing else waits");
    assert!(socket.buffered_amount() <= 10_000_010, "{}", socket.buffered_amount());
    // One is being sent: what else waits is in the queue, and this is larger.
    assert_eq!(socket.try_write(large(b'2')), Err(TryWriteError::Full));
    socket.try_write("small").expect("it fits in the queue");
    let writer = socket.clone();
    let waiting = tokio::task::spawn_local(async move { writer.write_message(large(b'3')).await });
    for expected in [large(b'1'), b"small".to_vec(), large(b'3')] {
        assert!(client.frame().await.1 == expected, "in the order of the calls");
    }
    within("the writer to end", waiting).await.unwrap().unwrap();
}

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

#[squall::test(timeout = 60)]
async fn contexts_are_kept_only_for_as_many_as_there_is_memory_for() {
    let mut handler = Echo::new(WebSocketOptions::new());
    // For two, of 328 KiB each, and not for three.
    handler.compression = Some(CompressionOptions::new().max_context_memory(900_000));
    let server = handler.serve();
    let open = async || {
        let (client, head) = Client::ask(&server, handshake("/ws", OFFER)).await;
        let line = head.lines().find_map(|line| line.strip_prefix("Sec-Websocket-Extensions: "));
        (client, line.expect(&head).to_owned())
    };
    let with = "permessage-deflate";
    let without = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let (first, answer) = open().await;
    assert_eq!(answer, with);
    let (_second, answer) = open().await;
    assert_eq!(answer, with);
    let (mut third, answer) = open().await;
    assert_eq!(answer, without);
    // It compresses nevertheless, each message on its own.
    third.send(text(&"hello ".repeat(100))).await;
    let (first_byte, payload) = third.frame().await;
    assert_eq!(first_byte, 0xc1);
    third.send(text(&"hello ".repeat(100))).await;
    assert_eq!(third.frame().await, (0xc1, payload));
    // A connection that ends makes room.
    let open_before = handler.sockets.borrow().len();
    assert_eq!(open_before, 3);
    let socket = handler.sockets.borrow_mut().remove(0);
    drop(first);
    within("the server to notice", socket.closed()).await;
    drop(socket);
    let room = async {
        loop {
            if open().await.1 == with {
                return;
            }
        }
    };
    within("room for another", room).await;
}

#[squall::test(timeout = 60)]
async fn a_client_asks_for_no_context_when_there_is_no_memory_for_it() {
    let (listener, url) = scripted().await;
    for (bytes, offer) in [
        (1_000_000, "permessage-deflate; client_max_window_bits"),
        (
            0,
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
        ),
    ] {
        let compression = CompressionOptions::new().max_context_memory(bytes);
        let request = WebSocketRequest::new(&url).compression(compression);
        let asked = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut head).await.unwrap();
            }
            String::from_utf8(head).unwrap()
        };
        let (_, head) = tokio::join!(websocket_connect(request), asked);
        assert!(head.contains(&format!("\r\nSec-Websocket-Extensions: {offer}\r\n")), "{head}");
    }
}
