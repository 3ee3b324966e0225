//! Our client, against our server and against scripted ones.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use squall::httpclient::Proxy;
use squall::websocket::{
    CompressionOptions, Message, WebSocket, WebSocketConnectError, WebSocketHandler, WebSocketOptions,
    WebSocketRequest, accept_key, websocket_connect, ws,
};
use squall::{Application, Context, Result, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{server_frame, within};

#[derive(Clone)]
struct Echo;

impl WebSocketHandler for Echo {
    fn select_subprotocol(&mut self, _ctx: &Context, offered: &[&str]) -> Option<String> {
        offered.contains(&"b").then(|| "b".to_owned())
    }

    fn compression_options(&self, _ctx: &Context) -> Option<CompressionOptions> {
        Some(CompressionOptions::new())
    }

    async fn prepare(&mut self, ctx: &Context) -> Result {
        ctx.set_header("X-Seen", ctx.request().headers().get("X-Sent").unwrap_or("nothing"))?;
        Ok(())
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        if message.as_text() == Some("close") {
            ws.close(4000, "as you wish");
            return Ok(());
        }
        ws.write_message(message).await
    }
}

fn serve() -> (squall::testing::TestServer, String) {
    let server =
        squall::testing::serve(Application::new([ws("/ws", Echo)]).websocket_max_message_size(32 << 20));
    let url = format!("ws://127.0.0.1:{}/ws", server.port());
    (server, url)
}

#[squall::test(timeout = 60)]
async fn messages_of_all_sizes() {
    let (_server, url) = serve();
    for compression in [None, Some(CompressionOptions::new())] {
        let options = WebSocketOptions::new().max_message_size(32 << 20);
        let request = WebSocketRequest::new(&url).compression(compression).options(options);
        let mut connection = websocket_connect(request).await.unwrap();
        for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20] {
            let text = "squall ".repeat(size / 7 + 1)[..size].to_owned();
            connection.write_message(text.as_str()).await.unwrap();
            let answer = within("an answer", connection.read_message()).await.unwrap();
            assert!(answer.as_text() == Some(&text), "{size}");
            connection.write_message(text.into_bytes()).await.unwrap();
            let answer = within("an answer", connection.read_message()).await.unwrap();
            assert!(!answer.is_text() && answer.len() == size, "{size}");
        }
        connection.write_message("close").await.unwrap();
        assert_eq!(connection.read_message().await, None);
        assert_eq!(
            (connection.close_code(), connection.close_reason().as_deref()),
            (Some(4000), Some("as you wish"))
        );
        assert!(connection.write_message("late").await.is_err());
    }
}

#[squall::test]
async fn headers_and_subprotocols() {
    let (_server, url) = serve();
    let request = WebSocketRequest::new(&url).header("X-Sent", "a value").subprotocols(["a", "b"]);
    let connection = websocket_connect(request).await.unwrap();
    assert_eq!(connection.subprotocol(), Some("b"));
    assert_eq!(connection.headers().get("X-Seen"), Some("a value"));
    connection.close(1000, "done");
    within("the end", connection.closed()).await;
    assert_eq!(connection.close_code(), Some(1000));
}

#[squall::test]
async fn callbacks() {
    let (_server, url) = serve();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let request = WebSocketRequest::new(&url).on_message(move |message| log.borrow_mut().push(message));
    let connection = websocket_connect(request).await.unwrap();
    for text in ["one", "two", "close"] {
        connection.write_message(text).await.unwrap();
    }
    within("the end", async {
        while seen.borrow().last() != Some(&None) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(*seen.borrow(), [Some("one".into()), Some("two".into()), None]);
}

#[squall::test]
async fn what_cannot_be_connected_to() {
    let server = squall::testing::serve(Application::new([ws("/ws", Echo)]));
    let url = |path: &str| format!("ws://127.0.0.1:{}{path}", server.port());
    let status = async |url: String| match websocket_connect(url).await {
        Err(WebSocketConnectError::Status { status, .. }) => status,
        other => panic!("{other:?}"),
    };
    assert_eq!(status(url("/nothing")).await, 404);
    let foreign = WebSocketRequest::new(url("/ws")).header("Origin", "http://evil");
    assert!(matches!(
        websocket_connect(foreign).await,
        Err(WebSocketConnectError::Status { status: 403, .. })
    ));
    for bad in ["ftp://localhost/", "no url"] {
        assert!(matches!(websocket_connect(bad).await, Err(WebSocketConnectError::Url(_))), "{bad}");
    }
    if cfg!(not(feature = "tls")) {
        let tls = websocket_connect("wss://localhost/").await.unwrap_err();
        assert!(matches!(tls, WebSocketConnectError::Tls(_)));
        assert_eq!(tls.to_string(), "wss is spoken with squall's feature `tls` only");
    }
    let (listener, port) = squall::testing::bind_unused_port();
    drop(listener);
    let refused = websocket_connect(format!("ws://127.0.0.1:{port}/")).await;
    assert!(matches!(refused, Err(WebSocketConnectError::Connect(_))));
}

#[squall::test]
async fn a_server_that_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let request = WebSocketRequest::new(url).connect_timeout(Duration::from_millis(50));
    assert!(matches!(websocket_connect(request).await, Err(WebSocketConnectError::Timeout)));
}

/// A server that answers the handshake with `lines` and sends `then`; gives what the client sent after it.
async fn scripted(
    request: impl FnOnce(String) -> WebSocketRequest,
    answer: impl FnOnce(&str) -> String,
    then: Vec<u8>,
) -> (
    Result<squall::websocket::WebSocketClientConnection, WebSocketConnectError>,
    tokio::task::JoinHandle<Vec<u8>>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/path?query", listener.local_addr().unwrap());
    let (ready, key) = tokio::sync::oneshot::channel::<String>();
    let (answered, answer_now) = tokio::sync::oneshot::channel::<String>();
    let serving = tokio::task::spawn_local(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut head).await.unwrap();
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("GET /path?query HTTP/1.1\r\n"), "{head}");
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-Websocket-Key: ")).unwrap();
        ready.send(key.to_owned()).unwrap();
        let answer = answer_now.await.unwrap();
        stream.write_all(&[answer.as_bytes(), &then].concat()).await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        rest
    });
    let connecting = websocket_connect(request(url));
    let answering = async {
        let key = key.await.unwrap();
        answered.send(answer(&key)).unwrap();
    };
    let (connected, ()) = within("the handshake", async { tokio::join!(connecting, answering) }).await;
    (connected, serving)
}

fn accepted(key: &str, lines: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{lines}\r\n",
        accept_key(key)
    )
}

#[squall::test]
async fn handshakes_that_are_wrong() {
    for (row, answer) in [
        ("accept", accepted("another key", "")),
        ("subprotocol", "Sec-WebSocket-Protocol: x\r\n".to_owned()),
        ("extension", "Sec-WebSocket-Extensions: permessage-deflate\r\n".to_owned()),
        ("200", "HTTP/1.1 200 OK\r\n\r\n".to_owned()),
        ("garbage", "garbage\r\n\r\n".to_owned()),
    ] {
        let answer = |key: &str| if answer.starts_with("Sec-") { accepted(key, &answer) } else { answer };
        let (connected, _) = scripted(WebSocketRequest::new, answer, Vec::new()).await;
        assert!(matches!(connected, Err(WebSocketConnectError::Handshake(_))), "{row}: {connected:?}");
    }
}

#[squall::test]
async fn frames_come_with_the_answer_and_ours_are_masked() {
    let frames =
        [server_frame(0x81, b"early"), server_frame(0x89, b"p"), server_frame(0x88, b"\x03\xe8")].concat();
    let options = WebSocketOptions::new().close_timeout(Duration::from_millis(100));
    let request = move |url| WebSocketRequest::new(url).options(options);
    let (connected, serving) = scripted(request, |key| accepted(key, ""), frames).await;
    let mut connection = connected.unwrap();
    assert_eq!(connection.read_message().await, Some(Message::from("early")));
    assert_eq!(connection.read_message().await, None);
    drop(connection);
    // A server that does not close is left after a while.
    let sent = within("the client to close", serving).await.unwrap();
    assert_eq!((sent[0], sent[1]), (0x8a, 0x81), "a masked pong");
    assert_eq!(sent[6] ^ sent[2], b'p');
    assert_eq!((sent[7], sent[8]), (0x88, 0x82), "a masked close frame");
    assert_eq!(sent.len(), 15);
}

#[squall::test]
async fn a_server_that_masks_is_failed() {
    let masked = crate::support::text("x");
    let (connected, serving) = scripted(WebSocketRequest::new, |key| accepted(key, ""), masked).await;
    assert_eq!(connected.unwrap().read_message().await, None);
    let sent = within("the client to close", serving).await.unwrap();
    let (mask, payload) = (&sent[2..6], &sent[6..8]);
    assert_eq!([payload[0] ^ mask[0], payload[1] ^ mask[1]], 1002u16.to_be_bytes());
}

#[squall::test]
async fn a_client_pings_too() {
    let options = WebSocketOptions::new()
        .ping_interval(Duration::from_millis(30))
        .close_timeout(Duration::from_millis(50));
    let request = move |url| WebSocketRequest::new(url).options(options);
    let (connected, serving) = scripted(request, |key| accepted(key, ""), Vec::new()).await;
    let mut connection = connected.unwrap();
    assert_eq!(within("the ping to time out", connection.read_message()).await, None);
    let sent = within("the client to close", serving).await.unwrap();
    assert_eq!((sent[0], sent[1]), (0x89, 0x80), "a masked ping");
}

/// Redirects to `to`, and notes who came.
fn redirecting(to: String) -> (squall::testing::TestServer, Rc<RefCell<Vec<String>>>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let away = get("/away", async move |ctx: &Context| {
        let headers = ctx.request().headers();
        log.borrow_mut().push(headers.get("Authorization").unwrap_or("nobody").to_owned());
        ctx.set_status(302);
        Ok(ctx.set_header("Location", &to)?)
    });
    let near = get("/near", async |ctx: &Context| ctx.redirect("/away"));
    (squall::testing::serve(Application::new([away, near, ws("/ws", Echo)])), seen)
}

#[squall::test]
async fn redirects_are_refused_or_followed() {
    let (goal, _url) = serve();
    let last = get("/last", async |ctx: &Context| {
        ctx.write(ctx.request().headers().get("Authorization").unwrap_or("nobody"));
        ctx.set_status(403);
        Ok(())
    });
    let other = squall::testing::serve(Application::new([last]));
    for (to, end) in [(format!("ws://127.0.0.1:{}/ws", goal.port()), 101), (other.url("/last"), 403)] {
        let (server, seen) = redirecting(to);
        let request = || {
            WebSocketRequest::new(format!("ws://127.0.0.1:{}/near", server.port()))
                .header("Authorization", "secret")
        };
        for few in [0, 1] {
            match websocket_connect(request().max_redirects(few)).await {
                Err(WebSocketConnectError::Status { status: 302, headers }) => {
                    let location = headers.get("Location").unwrap();
                    assert_eq!(location == "/away", few == 0, "{location}");
                }
                other => panic!("{other:?}"),
            }
        }
        seen.borrow_mut().clear();
        match (end, websocket_connect(request().max_redirects(2)).await) {
            (101, Ok(mut connection)) => {
                connection.write_message("through").await.unwrap();
                assert_eq!(connection.read_message().await, Some("through".into()));
            }
            (403, Err(WebSocketConnectError::Status { status: 403, .. })) => {}
            (_, other) => panic!("{other:?}"),
        }
        assert_eq!(*seen.borrow(), ["secret"], "the same origin is told");
    }
    // Where it cannot go.
    let (server, _) = redirecting("ftp://localhost/".to_owned());
    let request = WebSocketRequest::new(format!("ws://127.0.0.1:{}/away", server.port())).max_redirects(5);
    assert!(matches!(websocket_connect(request).await, Err(WebSocketConnectError::Url(_))));
    // Round and round.
    let (server, seen) = redirecting("/away".to_owned());
    let request = WebSocketRequest::new(format!("ws://127.0.0.1:{}/away", server.port())).max_redirects(5);
    assert!(matches!(
        websocket_connect(request).await,
        Err(WebSocketConnectError::Status { status: 302, .. })
    ));
    assert_eq!(seen.borrow().len(), 6);
}

#[squall::test]
async fn credentials_stay_with_their_origin() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let last = get("/last", async move |ctx: &Context| {
        for name in ["Authorization", "Cookie", "Host", "X-Sent"] {
            log.borrow_mut().push(ctx.request().headers().get(name).map(str::to_owned));
        }
        Ok(())
    });
    let other = squall::testing::serve(Application::new([last]));
    let (server, _) = redirecting(other.url("/last"));
    let request = WebSocketRequest::new(format!("ws://user:pw@127.0.0.1:{}/away", server.port()))
        .header("Cookie", "a=b")
        .header("X-Sent", "yes")
        .max_redirects(1);
    // A page is no WebSocket.
    assert!(matches!(websocket_connect(request).await, Err(WebSocketConnectError::Handshake(_))));
    let host = format!("127.0.0.1:{}", other.port());
    assert_eq!(*seen.borrow(), [None, None, Some(host), Some("yes".to_owned())]);
}

/// A proxy for one connection: gives what it was asked, answers, and with a 200 passes bytes on to `port`.
async fn proxy(answer: &'static str, port: u16) -> (Proxy, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::new(&format!("http://us:pw@{}", listener.local_addr().unwrap())).unwrap();
    let serving = tokio::task::spawn_local(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        if answer.starts_with("HTTP/1.1 200 ") {
            let mut server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
        }
        String::from_utf8(head).unwrap()
    });
    (proxy, serving)
}

#[squall::test]
async fn through_a_proxy() {
    let (server, _) = serve();
    let (proxy, serving) = proxy("HTTP/1.1 200 Connection established\r\n\r\n", server.port()).await;
    // Only the proxy knows the name.
    let request = WebSocketRequest::new("ws://chat.invalid:7000/ws").proxy(proxy);
    let mut connection = within("the handshake", websocket_connect(request)).await.unwrap();
    connection.write_message("through").await.unwrap();
    assert_eq!(connection.read_message().await, Some("through".into()));
    connection.close(1000, "");
    within("the end", connection.closed()).await;
    let asked = within("the proxy", serving).await.unwrap();
    assert!(
        asked.starts_with("CONNECT chat.invalid:7000 HTTP/1.1\r\nHost: chat.invalid:7000\r\n"),
        "{asked}"
    );
    assert!(asked.contains("\r\nProxy-Authorization: Basic dXM6cHc=\r\n"), "{asked}");
}

#[squall::test]
async fn a_proxy_that_refuses() {
    let (proxy, _serving) = proxy("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 0).await;
    let request = WebSocketRequest::new("ws://chat.invalid/").proxy(proxy);
    let refused = within("the answer", websocket_connect(request)).await;
    let Err(WebSocketConnectError::Proxy(error)) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("403"), "{error}");
}

#[squall::test]
async fn answers_without_an_end_are_given_up() {
    for (row, piece) in [
        ("a head", "X-Header: value\r\n"),
        ("a line", "xxxxxxxxxxxxxxxx"),
        ("interim responses", "HTTP/1.1 102 Processing\r\n\r\n"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let serving = tokio::task::spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            if !piece.starts_with("HTTP/") {
                stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n").await.unwrap();
            }
            let mut sent = 0;
            while stream.write_all(piece.repeat(100).as_bytes()).await.is_ok() {
                sent += 100 * piece.len();
            }
            sent
        });
        let refused = within("a verdict", websocket_connect(WebSocketRequest::new(url))).await;
        assert!(
            matches!(refused, Err(WebSocketConnectError::Handshake(_) | WebSocketConnectError::Connect(_))),
            "{row}: {refused:?}"
        );
        let sent = within("the client to leave", serving).await.unwrap();
        println!("{row}: {sent} bytes were sent");
    }
}

/// A header that cannot be sent is told by the connection, the first one, and nothing is sent.
#[squall::test]
async fn a_header_that_cannot_be_sent_fails_the_connection() {
    for request in [
        WebSocketRequest::new("ws://chat.invalid/").header("X-A", "1\r\nX-B: 2").header("X-C", "3"),
        WebSocketRequest::new("ws://chat.invalid/").add_header("X A", "1").header("X-A", "a\0b"),
    ] {
        let refused = within("a verdict", websocket_connect(request)).await;
        assert!(matches!(refused, Err(WebSocketConnectError::Header(_))), "{:?}", refused.err());
    }
}
