//! How connections end: codes, the closing handshake, pings that are not answered, the server's end.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use squall::testing::TestServer;
use squall::websocket::{Message, WebSocket, WebSocketHandler, WebSocketOptions, ws};
use squall::{Application, Context, HttpServer, Result};

use crate::support::{Client, close, raw_frame, server_close, server_frame, text, within};

/// Echoes, does what some messages say, and writes down what happens.
#[derive(Clone, Default)]
struct Handler {
    log: Rc<RefCell<Vec<String>>>,
}

impl Handler {
    fn note(&self, what: impl Into<String>) {
        self.log.borrow_mut().push(what.into());
    }
}

impl WebSocketHandler for Handler {
    async fn open(&mut self, _ws: &WebSocket) -> Result {
        self.note("open");
        Ok(())
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        match message.as_text() {
            Some("close") => ws.close(4001, "bye"),
            Some("close twice") => {
                ws.close(4001, "first");
                ws.close(4002, "second");
                assert!(ws.write_message("late").await.is_err());
                assert!(ws.ping("late").is_err());
            }
            Some("close silently") => ws.close_without_code(),
            Some("abort") => ws.abort(),
            Some("panic") => panic!("on purpose"),
            Some("error") => return Err(std::io::Error::other("on purpose").into()),
            _ => ws.write_message(message).await?,
        }
        Ok(())
    }

    async fn on_ping(&mut self, _ws: &WebSocket, data: bytes::Bytes) -> Result {
        self.note(format!("ping {}", data.escape_ascii()));
        Ok(())
    }

    async fn on_pong(&mut self, _ws: &WebSocket, data: bytes::Bytes) -> Result {
        self.note(format!("pong {}", data.escape_ascii()));
        Ok(())
    }

    async fn on_close(&mut self, ws: &WebSocket) -> Result {
        self.note(format!("close {:?} {:?}", ws.close_code(), ws.close_reason()));
        Ok(())
    }
}

fn serve(handler: &Handler) -> TestServer {
    squall::testing::serve(Application::new([ws("/ws", handler.clone())]).websocket_max_message_size(1000))
}

/// Waits until the log is this.
async fn logged(handler: &Handler, expected: &[&str]) {
    let there = async {
        while handler.log.borrow().len() < expected.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(10), there).await.is_err() {
        panic!("expected {expected:?}, got {:?}", handler.log.borrow());
    }
    assert_eq!(*handler.log.borrow(), expected);
}

#[squall::test]
async fn what_a_client_does_wrong_is_told() {
    let unmasked = [0x81, 0x01, b'x'];
    for (row, bytes, answer) in [
        ("unmasked", unmasked.to_vec(), server_close(1002, "frame is not masked")),
        ("RSV1", raw_frame(0xc1, b"x"), server_close(1002, "reserved bits are set")),
        ("opcode 3", raw_frame(0x83, b""), server_close(1002, "unknown opcode")),
        ("opcode 11", raw_frame(0x8b, b""), server_close(1002, "unknown opcode")),
        ("a fragmented ping", raw_frame(0x09, b""), server_close(1002, "fragmented control frame")),
        ("a long ping", raw_frame(0x89, &[0; 126]), server_close(1002, "control frame is too long")),
        ("a lone continuation", raw_frame(0x80, b"x"), server_close(1002, "continuation of nothing")),
        (
            "a message in a message",
            [raw_frame(0x01, b"a"), raw_frame(0x81, b"b")].concat(),
            server_close(1002, "new message inside a fragmented one"),
        ),
        ("bad UTF-8", raw_frame(0x81, b"\xff\xfe"), server_close(1007, "text is not UTF-8")),
        ("too big", raw_frame(0x82, &[0; 1001]), server_close(1009, "message too big")),
        (
            "too big in parts",
            [raw_frame(0x02, &[0; 600]), raw_frame(0x80, &[0; 401])].concat(),
            server_close(1009, "message too big"),
        ),
        ("a close of one byte", raw_frame(0x88, b"\x03"), server_close(1002, "close frame of one byte")),
        ("close 999", close(999, ""), server_close(1002, "invalid close code")),
        ("close 1005", close(1005, ""), server_close(1002, "invalid close code")),
        (
            "a bad close reason",
            raw_frame(0x88, b"\x03\xe8\xff"),
            server_close(1007, "close reason is not UTF-8"),
        ),
    ] {
        let handler = Handler::default();
        let server = serve(&handler);
        let mut client = Client::open(&server, "/ws").await;
        // What follows is not looked at, and does not reset the connection before the close frame is read.
        client.send([&bytes[..], &text("ignored"), &vec![0; 100_000]].concat()).await;
        client.expect(&answer).await;
        client.shutdown().await;
        client.closed().await;
        logged(&handler, &["open", "close None None"]).await;
        println!("{row}: fine");
    }
}

/// Waits for what never comes, and for the end; a task beside it waits for the end only.
#[derive(Clone, Default)]
struct Patient {
    log: Handler,
    pinging: bool,
}

impl WebSocketHandler for Patient {
    fn options(&self, _ctx: &Context, defaults: WebSocketOptions) -> WebSocketOptions {
        if self.pinging { defaults.ping_interval(Duration::from_millis(20)) } else { defaults }
    }

    async fn open(&mut self, ws: &WebSocket) -> Result {
        let (log, ws) = (self.log.clone(), ws.clone());
        squall::IoLoop::current().spawn_callback(async move {
            ws.closed().await;
            log.note("the end");
        });
        Ok(())
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        if message.as_text() == Some("wait") {
            ws.write_message("waiting").await?;
            ws.closed().await;
        }
        self.log.note(message.as_text().unwrap_or_default());
        Ok(())
    }

    async fn on_close(&mut self, ws: &WebSocket) -> Result {
        self.log.on_close(ws).await
    }
}

#[squall::test(timeout = 60)]
async fn a_callback_that_waits_hears_that_the_client_has_left() {
    let patient = Patient::default();
    let server = squall::testing::serve(Application::new([ws("/ws", patient.clone())]));
    let mut client = Client::open(&server, "/ws").await;
    client.send([text("wait"), text("unread")].concat()).await;
    client.expect(&server_frame(0x81, b"waiting")).await;
    drop(client);
    let log = &patient.log;
    let there = async {
        while log.log.borrow().len() < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("the end", there).await;
    let mut seen = log.log.borrow().clone();
    seen.sort();
    assert_eq!(seen, ["close None None", "the end", "unread", "wait"]);
}

/// Nothing tells of a client that is gone without a word but that it does not answer.
#[squall::test(timeout = 60)]
async fn a_callback_that_waits_hears_that_pings_are_not_answered() {
    let patient = Patient { pinging: true, ..Patient::default() };
    let server = squall::testing::serve(Application::new([ws("/ws", patient.clone())]));
    let mut client = Client::open(&server, "/ws").await;
    client.send(text("wait")).await;
    client.expect(&server_frame(0x81, b"waiting")).await;
    let there = async {
        while patient.log.log.borrow().len() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("the end", there).await;
}

#[squall::test(timeout = 60)]
async fn the_end_comes_after_what_was_sent_before() {
    let patient = Patient::default();
    let server = squall::testing::serve(Application::new([ws("/ws", patient.clone())]));
    let mut client = Client::open(&server, "/ws").await;
    client.send([text("a"), text("b"), close(1000, "")].concat()).await;
    client.shutdown().await;
    client.expect(&server_close(1000, "")).await;
    client.closed().await;
    logged(&patient.log, &["a", "b", "close Some(1000) Some(\"\")", "the end"]).await;
}

#[squall::test]
async fn a_client_closes() {
    for (bytes, answer, noted) in [
        (close(1000, "ok"), &[0x88, 0x02, 0x03, 0xe8][..], "close Some(1000) Some(\"ok\")"),
        (close(4999, ""), &[0x88, 0x02, 0x13, 0x87], "close Some(4999) Some(\"\")"),
        (raw_frame(0x88, b""), &[0x88, 0x00], "close None None"),
    ] {
        let handler = Handler::default();
        let server = serve(&handler);
        let mut client = Client::open(&server, "/ws").await;
        client.send(bytes).await;
        client.expect(answer).await;
        client.closed().await;
        logged(&handler, &["open", noted]).await;
    }
}

#[squall::test]
async fn a_server_closes() {
    for (what, frame) in [
        ("close", server_close(4001, "bye")),
        ("close twice", server_close(4001, "first")),
        ("close silently", vec![0x88, 0x00]),
        ("panic", server_close(1011, "")),
        ("error", server_close(1011, "")),
    ] {
        let handler = Handler::default();
        let server = serve(&handler);
        let mut client = Client::open(&server, "/ws").await;
        client.send(text(what)).await;
        client.expect(frame).await;
        // It waits for the answer, and delivers nothing that comes before it.
        client.send([text("late"), close(1000, "")].concat()).await;
        client.closed().await;
        logged(&handler, &["open", "close Some(1000) Some(\"\")"]).await;
    }
}

#[squall::test]
async fn on_close_is_called_once_on_every_other_path() {
    for what in ["abort", "gone", "half"] {
        let handler = Handler::default();
        let server = serve(&handler);
        let mut client = Client::open(&server, "/ws").await;
        match what {
            "abort" => {
                client.send(text("abort")).await;
                client.closed().await;
            }
            "half" => {
                client.send(&raw_frame(0x01, b"half a message")[..9]).await;
                client.shutdown().await;
                client.closed().await;
            }
            _ => drop(client),
        }
        logged(&handler, &["open", "close None None"]).await;
    }
}

#[squall::test]
async fn pings_are_answered_between_fragments() {
    let handler = Handler::default();
    let server = serve(&handler);
    let mut client = Client::open(&server, "/ws").await;
    client.send([raw_frame(0x01, b"a"), raw_frame(0x89, b"p"), raw_frame(0x80, b"b")].concat()).await;
    client.expect([server_frame(0x8a, b"p"), server_frame(0x81, b"ab")].concat()).await;
    client.send(raw_frame(0x8a, b"q")).await;
    logged(&handler, &["open", "ping p", "pong q"]).await;
}

#[squall::test]
async fn a_client_that_does_not_answer_pings_is_closed() {
    let handler = Handler::default();
    let interval = Duration::from_millis(40);
    let application = Application::new([ws("/ws", handler.clone())]).websocket_ping_interval(interval);
    let server = squall::testing::serve(application);
    let mut client = Client::open(&server, "/ws").await;
    for _ in 0..3 {
        client.expect([0x89, 0x00]).await;
        client.send(raw_frame(0x8a, b"")).await;
    }
    loop {
        match client.frame().await {
            (0x89, payload) => assert_eq!(payload, b""),
            (0x88, payload) => break assert_eq!(payload, b"\x03\xe8ping timed out"),
            other => panic!("{other:?}"),
        }
    }
    client.send(close(1000, "")).await;
    client.closed().await;
}

#[squall::test]
async fn no_time_out_without_a_limit() {
    let handler = Handler::default();
    let application = Application::new([ws("/ws", handler.clone())])
        .websocket_ping_interval(Duration::from_millis(5))
        .websocket_ping_timeout(Duration::ZERO);
    let server = squall::testing::serve(application);
    let mut client = Client::open(&server, "/ws").await;
    for _ in 0..20 {
        client.expect([0x89, 0x00]).await;
    }
    client.send(text("still here")).await;
    while client.frame().await.0 != 0x81 {}
}

#[squall::test]
async fn a_server_that_ends_says_so() {
    let handler = Handler::default();
    let application = Application::new([ws("/ws", handler.clone())]);
    let made = std::cell::Cell::new(Some(application));
    let server = HttpServer::new(move || made.take().expect("made once"));
    server.listen_on(0, &squall::netutil::BindOptions::new().address("127.0.0.1")).unwrap();
    let port = server.local_addrs()[0].inet().unwrap().port();
    let mut client = Client::open_at(port, "/ws").await;
    client.send(text("x")).await;
    client.expect(server_frame(0x81, b"x")).await;
    assert_eq!(server.connection_count(), 0, "what was taken out of HTTP does not count");
    server.stop();
    server.drain();
    client.expect(server_close(1001, "")).await;
    client.send(close(1001, "")).await;
    client.closed().await;
    logged(&handler, &["open", "close Some(1001) Some(\"\")"]).await;
}

#[squall::test]
async fn an_answer_to_a_close_is_not_waited_for_for_ever() {
    let handler = Handler::default();
    let options = WebSocketOptions::new().close_timeout(Duration::from_millis(100));
    let application = Application::new([ws("/ws", handler.clone())]).websocket_options(options);
    let server = squall::testing::serve(application);
    let mut client = Client::open(&server, "/ws").await;
    let start = std::time::Instant::now();
    client.send(text("close")).await;
    client.expect(server_close(4001, "bye")).await;
    within("the server to give up", client.closed()).await;
    assert!(start.elapsed() >= Duration::from_millis(100));
    logged(&handler, &["open", "close None None"]).await;
}
