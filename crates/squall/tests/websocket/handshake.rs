//! Tornado's handshake: every verdict, and its text.

use squall::websocket::{Message, WebSocket, WebSocketHandler, ws};
use squall::{Application, Context, Result};

use crate::support::{ACCEPT, Client, close, handshake, raw_frame, server_frame, text};

/// The oracle's handler.
#[derive(Clone)]
struct Echo;

impl WebSocketHandler for Echo {
    fn select_subprotocol(&mut self, _ctx: &Context, offered: &[&str]) -> Option<String> {
        offered.contains(&"chat.v2").then(|| "chat.v2".to_owned())
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        ws.write_message(message).await
    }
}

fn app() -> Application {
    Application::new([ws("/ws", Echo)])
}

#[squall::test]
async fn the_101_is_tornados() {
    let server = squall::testing::serve(app());
    let (_client, head) =
        Client::open_with(&server, "/ws", "Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n").await;
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    lines.retain(|line| !line.starts_with("Date: ") && !line.starts_with("Server: "));
    assert_eq!(
        lines,
        [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            &format!("Sec-Websocket-Accept: {ACCEPT}"),
            "Sec-Websocket-Protocol: chat.v2",
        ]
    );
}

#[squall::test]
async fn refusals() {
    let server = squall::testing::serve(app());
    let good = handshake("/ws", "");
    for (row, request, status, body) in [
        (
            "no upgrade",
            good.replace("Upgrade: websocket\r\n", ""),
            "400",
            "Can \"Upgrade\" only to \"WebSocket\".",
        ),
        (
            "another upgrade",
            good.replace("Upgrade: websocket", "Upgrade: h2c"),
            "400",
            "Can \"Upgrade\" only to \"WebSocket\".",
        ),
        (
            "no connection",
            good.replace("Connection: Upgrade", "Connection: keep-alive"),
            "400",
            "\"Connection\" must be \"Upgrade\".",
        ),
        (
            "another origin",
            handshake("/ws", "Origin: http://evil.example\r\n"),
            "403",
            "Cross origin websockets not allowed",
        ),
        (
            "another origin's port",
            handshake("/ws", "Origin: http://localhost:81\r\n"),
            "403",
            "Cross origin websockets not allowed",
        ),
        ("old version", good.replace("Version: 13", "Version: 12"), "426", ""),
        ("no key", good.replace("Sec-WebSocket-Key", "X-Key"), "400", "Missing/Invalid WebSocket headers"),
        ("HTTP/1.0", good.replace("HTTP/1.1", "HTTP/1.0"), "400", "WebSocket needs HTTP/1.1"),
        ("POST", good.replace("GET ", "POST "), "405", "<html>"),
        ("HEAD", good.replace("GET ", "HEAD "), "405", ""),
    ] {
        let (mut client, head) =
            Client::ask(&server, request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(&head[9..12], status, "{row}");
        let rest = String::from_utf8(client.rest().await).unwrap();
        if body == "<html>" {
            assert!(rest.starts_with(body), "{row}");
        } else {
            assert_eq!(rest, body, "{row}");
        }
        assert_eq!(status == "426", head.contains("\r\nSec-Websocket-Version: 13\r\n"), "{row}");
    }
}

#[squall::test]
async fn what_is_let_in() {
    let server = squall::testing::serve(app());
    for lines in
        ["", "Origin: http://localhost\r\n", "Origin: HTTPS://LOCALHOST/\r\n", "Connection: keep-alive\r\n"]
    {
        Client::open_with(&server, "/ws", lines).await;
    }
}

#[squall::test]
async fn frames_sent_with_the_handshake_are_not_lost() {
    let server = squall::testing::serve(app());
    let early = [handshake("/ws", "").into_bytes(), text("early"), raw_frame(0x89, b"p")].concat();
    let (mut client, head) = Client::ask(&server, early).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client.expect([server_frame(0x81, b"early"), server_frame(0x8a, b"p")].concat()).await;
}

#[squall::test]
async fn echoes() {
    let server = squall::testing::serve(app());
    let mut client = Client::open(&server, "/ws").await;
    client.send(text("hé")).await;
    client.expect(server_frame(0x81, "hé".as_bytes())).await;
    client.send([raw_frame(0x01, b"ab"), raw_frame(0x89, b"p"), raw_frame(0x80, b"cd")].concat()).await;
    client.expect([server_frame(0x8a, b"p"), server_frame(0x81, b"abcd")].concat()).await;
    client.send(close(1000, "ok")).await;
    client.expect([0x88, 0x02, 0x03, 0xe8]).await;
    client.closed().await;
}
