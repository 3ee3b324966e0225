//! Clients that leave, stall or lie at the worst moment; what handlers notice of it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use squall::httpserver::Http2Options;
use squall::websocket::{WebSocket, WebSocketHandler, ws};
use squall::{Application, Context, Message, Result, get, post};
use tokio::sync::{Notify, mpsc};

use super::support::{
    self, Client, DATA, GET_ROOT, HEADERS, PING, RST_STREAM, Raw, SETTINGS, answer, code, literals, request,
    send, serve,
};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const REFUSED_STREAM: u32 = 7;

/// A window of nothing for every stream.
const NO_WINDOW: &[u8] = b"\x00\x04\x00\x00\x00\x00";

/// Waits until the server has seen all that was sent.
async fn sync(raw: &mut Raw) {
    raw.frame(PING, 0, 0, b"seen it?").await;
    while !matches!(raw.find(PING).await, Some((1, _, _))) {}
}

#[squall::test]
async fn a_handler_whose_client_takes_nothing_is_told() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let make = move || {
        let told = told.clone();
        Application::new([get("/", async move |ctx: &Context| {
            let connection = ctx.request().connection().clone();
            ctx.flush().await?;
            let mut failed = false;
            for _ in 0..3 {
                failed |= connection.write(b"more").is_err() || connection.flush().await.is_err();
            }
            told.send(failed).unwrap();
            Ok(())
        })])
    };
    let (_server, port) = serve(make, |server| server.write_timeout(Duration::from_millis(200)));
    let mut raw = Raw::new(port).await;
    raw.frame(SETTINGS, 0, 0, NO_WINDOW).await;
    raw.frame(HEADERS, 5, 1, GET_ROOT).await;
    raw.find(RST_STREAM).await.unwrap();
    let failed = tokio::time::timeout(support::DEADLINE, heard.recv()).await.expect("the handler ends");
    assert_eq!(failed, Some(true));
}

#[squall::test]
async fn all_who_wait_for_a_flush_are_woken() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let make = move || {
        let told = told.clone();
        Application::new([get("/", async move |ctx: &Context| {
            ctx.flush().await?;
            ctx.request().connection().write(b"Hello")?;
            for _ in 0..3 {
                let (connection, told) = (ctx.request().connection().clone(), told.clone());
                tokio::task::spawn_local(async move { told.send(connection.flush().await.is_ok()) });
            }
            ctx.closed().await;
            Ok(())
        })])
    };
    let (_server, port) = serve(make, |server| server);
    let mut raw = Raw::new(port).await;
    raw.frame(SETTINGS, 0, 0, NO_WINDOW).await;
    raw.frame(HEADERS, 5, 1, GET_ROOT).await;
    raw.find(HEADERS).await.unwrap();
    sync(&mut raw).await;
    raw.frame(support::WINDOW_UPDATE, 0, 1, b"\x00\x00\x01\x00").await;
    for _ in 0..3 {
        let flushed = tokio::time::timeout(support::DEADLINE, heard.recv()).await.expect("each is woken");
        assert_eq!(flushed, Some(true));
    }
}

/// Counts those that live.
struct Alive(Rc<Cell<usize>>);

impl Alive {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[squall::test]
async fn a_client_that_resets_has_no_more_handlers_at_work_than_one_that_waits() {
    let alive = Rc::new(Cell::new(0));
    let gate = Rc::new(Notify::new());
    let (inner_alive, inner_gate) = (Rc::clone(&alive), Rc::clone(&gate));
    let make = move || {
        let (alive, gate) = (Rc::clone(&inner_alive), Rc::clone(&inner_gate));
        Application::new([get("/", async move |_: &Context| {
            let _alive = Alive::new(&alive);
            gate.notified().await;
            Ok(())
        })])
    };
    let options = Http2Options::new().max_concurrent_streams(5);
    let (_server, port) = serve(make, |server| server.http2(options));
    let mut raw = Raw::new(port).await;
    let mut refused = 0;
    for id in (1..100).step_by(2) {
        raw.frame(HEADERS, 5, id, GET_ROOT).await;
        raw.frame(PING, 0, 0, b"12345678").await;
        loop {
            match raw.next().await.expect("the connection lives") {
                (PING, 1, ..) => break,
                (RST_STREAM, _, _, payload) => {
                    assert_eq!(code(&payload), REFUSED_STREAM);
                    refused += 1;
                }
                _ => {}
            }
        }
        raw.frame(RST_STREAM, 0, id, b"\0\0\0\x08").await;
    }
    sync(&mut raw).await;
    assert_eq!(alive.get(), 10);
    assert!(refused >= 39, "{refused}");
    // When they have ended, others are served.
    gate.notify_waiters();
    while alive.get() > 0 {
        tokio::task::yield_now().await;
    }
    raw.frame(HEADERS, 5, 101, GET_ROOT).await;
    sync(&mut raw).await;
    assert_eq!(alive.get(), 1);
}

fn hello() -> Application {
    Application::new([
        get("/", async |ctx: &Context| {
            ctx.write("Hello");
            Ok(())
        }),
        get("/echo", async |ctx: &Context| {
            let value = ctx.request().headers().get_bytes("X-Echo").unwrap_or_default().to_vec();
            ctx.set_header("X-Echo", &value[..])?;
            ctx.set_header("Connection", "close")?;
            ctx.set_header("Keep-Alive", "5")?;
            Ok(())
        }),
        get("/too-little", async |ctx: &Context| {
            ctx.set_header("Content-Length", 10)?;
            ctx.write("Hello");
            ctx.flush().await?;
            Ok(())
        }),
        get("/too-much", async |ctx: &Context| {
            ctx.set_header("Content-Length", 3)?;
            ctx.write("Hello");
            ctx.flush().await?;
            Ok(())
        }),
        get("/not-modified", async |ctx: &Context| {
            ctx.set_status(304);
            Ok(())
        }),
        ws("/websocket", Socket),
    ])
}

#[derive(Clone)]
pub(super) struct Socket;

impl WebSocketHandler for Socket {
    async fn on_message(&mut self, _: &WebSocket, _: Message) -> Result {
        Ok(())
    }
}

#[squall::test]
async fn a_connection_that_says_nothing_belongs_to_the_server() {
    // Told to end, or cut.
    for cut in [false, true] {
        let (server, port) = serve(hello, |server| server);
        let mut silent = support::connect(port).await;
        let mut half = support::connect(port).await;
        tokio::io::AsyncWriteExt::write_all(&mut half, b"PRI * HT").await.unwrap();
        while server.connection_count() < 2 {
            tokio::task::yield_now().await;
        }
        server.stop();
        if cut {
            server.close_all_connections();
        } else {
            server.drain();
        }
        for socket in [&mut silent, &mut half] {
            let mut rest = Vec::new();
            let reading = tokio::io::AsyncReadExt::read_to_end(socket, &mut rest);
            let _ = tokio::time::timeout(support::DEADLINE, reading).await.expect("it is closed");
            assert!(rest.is_empty());
        }
        while server.connection_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[squall::test]
async fn targets_are_those_of_http1() {
    let (_server, port) = serve(hello, |server| server);
    let mut raw = Raw::new(port).await;
    let rows: [(&str, &[u8], bool); 12] = [
        ("GET", b"/", true),
        ("GET", b"/a?b", true),
        ("GET", b"/a?b#c", false),
        ("GET", b"?b", false),
        ("OPTIONS", b"*", true),
        ("GET", b"*", false),
        ("GET", b"", false),
        ("GET", b"path", false),
        ("GET", b"http://x/", false),
        ("GET", b"/\xc3\xa4", false),
        ("GET", b"/ a", false),
        ("GET", b"/\x7f", false),
    ];
    for (i, (method, path, good)) in rows.into_iter().enumerate() {
        let id = 2 * i as u32 + 1;
        let fields: [(&str, &[u8]); 4] =
            [(":method", method.as_bytes()), (":scheme", b"http"), (":path", path), (":authority", b"x")];
        raw.frame(HEADERS, 5, id, &literals(&fields)).await;
        let expected = if good { Ok(()) } else { Err(PROTOCOL_ERROR) };
        assert_eq!(raw.verdict(id).await, expected, "{method} {}", path.escape_ascii());
    }
}

#[squall::test]
async fn there_is_one_host_whatever_says_so() {
    let (_server, port) = serve(hello, |server| server);
    let mut raw = Raw::new(port).await;
    let rows: [(&[&[u8]], bool); 7] = [
        (&[], true),
        (&[b"x"], true),
        (&[b"X"], true),
        (&[b"evil"], false),
        (&[b"x", b"evil"], false),
        (&[b"evil", b"x"], false),
        (&[b"x", b"x"], false),
    ];
    for (i, (hosts, good)) in rows.into_iter().enumerate() {
        let id = 2 * i as u32 + 1;
        let mut fields: Vec<(&str, &[u8])> =
            vec![(":method", b"GET"), (":scheme", b"http"), (":path", b"/"), (":authority", b"x")];
        fields.extend(hosts.iter().map(|host| ("host", *host)));
        raw.frame(HEADERS, 5, id, &literals(&fields)).await;
        let expected = if good { Ok(()) } else { Err(PROTOCOL_ERROR) };
        assert_eq!(raw.verdict(id).await, expected, "{hosts:?}");
    }
}

#[squall::test]
async fn answers_that_http2_has_otherwise() {
    let (_server, port) = serve(hello, |server| server);
    let mut client = Client::new(port).await;
    let octets = http::HeaderValue::from_bytes(b"a\xff\x80b").unwrap();
    let echo =
        client.exchange(request("GET", "/echo").header("x-echo", &octets).body(()).unwrap(), b"").await;
    assert_eq!(echo.head.headers().get("x-echo"), Some(&octets));
    assert_eq!((echo.header("connection"), echo.header("keep-alive")), (None, None));
    // A response that is not what it said it were does not look complete.
    let (response, _) = client.open(support::get("/too-little"), true).await;
    answer(response).await.unwrap_err();
    assert_eq!(client.get("/too-much").await.status(), 500);
    let unchanged = client.get("/not-modified").await;
    assert_eq!((unchanged.status(), unchanged.body.len()), (304, 0));
    // A WebSocket takes HTTP/1.1.
    let socket = request("GET", "/websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(client.exchange(socket.body(()).unwrap(), b"").await.status(), 400);
    assert_eq!(client.get("/").await.status(), 200);
}

#[squall::test]
async fn many_uploads_that_are_answered_early_are_no_abuse() {
    let make = || {
        Application::new([post("/", async |ctx: &Context| {
            ctx.write(ctx.request().body());
            Ok(())
        })])
    };
    let (_server, port) = serve(make, |server| server.max_body_size(1_000));
    let mut raw = Raw::new(port).await;
    // The connection's window is small until the server has said otherwise.
    raw.find(support::WINDOW_UPDATE).await.unwrap();
    // All of their windows is on its way when the first answer arrives.
    let ids: Vec<u32> = (0..100).map(|i| 2 * i + 1).collect();
    let mut flight: Vec<u8> = Vec::new();
    for &id in &ids {
        flight.extend(support::frame(HEADERS, 4, id, b"\x83\x86\x84\x41\x01x"));
        flight.extend(support::frame(DATA, 0, id, &[b'x'; 2_000]));
    }
    tokio::io::AsyncWriteExt::write_all(&mut raw.socket, &flight).await.unwrap();
    let mut answers = 0;
    while answers < ids.len() {
        let (kind, ..) = raw.next().await.expect("the connection lives");
        answers += usize::from(kind == HEADERS);
    }
    for _ in 0..4 {
        let late = ids.iter().flat_map(|&id| support::frame(DATA, 0, id, &[b'x'; 10_000]));
        let late: Vec<u8> = late.collect();
        tokio::io::AsyncWriteExt::write_all(&mut raw.socket, &late).await.unwrap();
    }
    sync(&mut raw).await;
}

#[squall::test]
async fn a_body_that_nobody_takes_gives_its_room_back() {
    let (_server, port) = serve(hello, |server| server.max_body_size(1_000));
    let mut client = Client::new(port).await;
    // More than the window of the connection in all, none of which any handler wants.
    for _ in 0..150 {
        let (response, mut sink) = client.open(request("POST", "/").body(()).unwrap(), false).await;
        send(&mut sink, &[0; 65_000], false).await;
        assert_eq!(answer(response).await.unwrap().status(), 413);
    }
    assert_eq!(client.get("/").await.status(), 200);
}

#[squall::test]
async fn a_connect_is_answered_though_its_stream_stays_open() {
    let (_server, port) = serve(hello, |server| server);
    let mut raw = Raw::new(port).await;
    raw.frame(HEADERS, 4, 1, &literals(&[(":method", b"CONNECT"), (":authority", b"x:80")])).await;
    let (_, stream, _) = raw.find(HEADERS).await.unwrap();
    assert_eq!(stream, 1);
    let (_, stream, _) = raw.find(RST_STREAM).await.unwrap();
    assert_eq!(stream, 1);
}

#[squall::test]
async fn white_space_around_a_field_value_is_malformed() {
    let (_server, port) = serve(hello, |server| server);
    let mut raw = Raw::new(port).await;
    let rows: [(&str, &[u8], bool); 9] = [
        ("x-echo", b"a", true),
        ("x-echo", b"a \tb", true),
        ("x-echo", b"", true),
        ("x-echo", b" a", false),
        ("x-echo", b"a ", false),
        ("x-echo", b"\ta", false),
        ("x-echo", b"a\t", false),
        ("x-echo", b" ", false),
        ("cookie", b"a=1; ", false),
    ];
    for (i, (name, value, good)) in rows.into_iter().enumerate() {
        let id = 2 * i as u32 + 1;
        let fields: [(&str, &[u8]); 5] = [
            (":method", b"GET"),
            (":scheme", b"http"),
            (":path", b"/echo"),
            (":authority", b"x"),
            (name, value),
        ];
        raw.frame(HEADERS, 5, id, &literals(&fields)).await;
        let expected = if good { Ok(()) } else { Err(PROTOCOL_ERROR) };
        assert_eq!(raw.verdict(id).await, expected, "{name} {}", value.escape_ascii());
    }
}

const POST: &[u8] = b"\x83\x86\x84\x41\x01x";

#[squall::test(timeout = 60)]
async fn the_window_of_a_body_that_comes_alone_grows_while_it_is_taken() {
    let make = || {
        Application::new([post("/", async |ctx: &Context| {
            ctx.write(ctx.request().body().len().to_string());
            Ok(())
        })])
    };
    let (_server, port) = serve(make, |server| server);
    let mut raw = Raw::new(port).await;
    let mut account = Account::default();
    while account.left == 0 {
        account.next(&mut raw).await;
    }
    assert_eq!(account.left, 65_536);
    raw.frame(HEADERS, 4, 1, POST).await;
    // It doubles each time that as much as it is was taken.
    assert!((65_536..=131_072).contains(&account.send(&mut raw, 131_072).await));
    assert!((524_288..=1 << 20).contains(&account.send(&mut raw, 8 << 20).await));
    // Another beside it, and it is as before when what may come has come.
    raw.frame(HEADERS, 4, 3, POST).await;
    account.sync(&mut raw).await;
    account.send(&mut raw, 1 << 20).await;
    assert!((32_768..=65_536).contains(&account.send(&mut raw, 2 << 20).await));
    raw.frame(DATA, 1, 3, b"").await;
    loop {
        match account.next(&mut raw).await {
            HEADERS => break,
            kind => assert_ne!(kind, RST_STREAM),
        }
    }
    // Alone again.
    assert!((524_288..=1 << 20).contains(&account.send(&mut raw, 8 << 20).await));
}

/// What a client may send on its first stream.
#[derive(Default)]
struct Account {
    left: i64,
}

impl Account {
    /// Sends so much, as there is room for it. Says how much room there was at the most, when there was more of it.
    async fn send(&mut self, raw: &mut Raw, bytes: usize) -> i64 {
        let (mut sent, mut most) = (0, 0);
        while sent < bytes {
            let frame = (bytes - sent).min(16_384);
            if self.left < frame as i64 {
                let before = self.left;
                self.next(raw).await;
                if self.left > before {
                    most = most.max(self.left);
                }
                continue;
            }
            raw.frame(DATA, 0, 1, &vec![0; frame]).await;
            (sent, self.left) = (sent + frame, self.left - frame as i64);
        }
        most
    }

    /// The kind of the next frame, which is booked.
    async fn next(&mut self, raw: &mut Raw) -> u8 {
        let (kind, flags, stream, payload) = raw.next().await.expect("the connection lives");
        match kind {
            SETTINGS if flags & 1 == 0 => {
                raw.frame(SETTINGS, 1, 0, b"").await;
                let window = payload.chunks(6).find(|setting| setting[..2] == [0, 4]).expect("a window");
                self.left += i64::from(u32::from_be_bytes(window[2..].try_into().unwrap()));
            }
            support::WINDOW_UPDATE if stream == 1 => self.left += i64::from(code(&payload)),
            _ => {}
        }
        kind
    }

    /// The server has read everything.
    async fn sync(&mut self, raw: &mut Raw) {
        raw.frame(PING, 0, 0, b"seen it?").await;
        while self.next(raw).await != PING {}
    }
}

/// However much may still come when the window is small again: no body stands still.
#[squall::test(timeout = 60)]
async fn a_window_that_shrinks_stops_nobody() {
    let make = || Application::new([post("/", async |_: &Context| Ok(()))]);
    let (_server, port) = serve(make, |server| server);
    for left in [0, 40_000, 70_000, 200_000, 500_000, 800_000] {
        let mut raw = Raw::new(port).await;
        let mut account = Account::default();
        raw.frame(HEADERS, 4, 1, POST).await;
        account.send(&mut raw, 4 << 20).await;
        // Whatever the server says meanwhile is read later.
        while account.left >= left + 1_000 {
            raw.frame(DATA, 0, 1, &[0; 1_000]).await;
            account.left -= 1_000;
        }
        raw.frame(HEADERS, 4, 3, POST).await;
        account.send(&mut raw, 4 << 20).await;
    }
}

/// RFC 9113 §6.9.2: what is sent before the client knows a smaller window is no fault.
#[squall::test]
async fn a_small_window_holds_from_when_it_is_known() {
    let make = || {
        Application::new([post("/", async |ctx: &Context| {
            ctx.write(ctx.request().body().len().to_string());
            Ok(())
        })])
    };
    let options = Http2Options::new().stream_window(1_000).max_stream_window(1_000);
    let (_server, port) = serve(make, |server| server.http2(options));
    let mut raw = Raw::new(port).await;
    raw.frame(HEADERS, 4, 1, POST).await;
    raw.frame(DATA, 0, 1, &[0; 16_384]).await;
    raw.frame(DATA, 1, 1, &[0; 16_384]).await;
    assert_eq!(raw.find(DATA).await.unwrap().2, b"32768");
    raw.frame(SETTINGS, 1, 0, b"").await;
    for (id, bytes, expected) in [(3, 1_000, Ok(())), (5, 1_001, Err(FLOW_CONTROL_ERROR))] {
        raw.frame(HEADERS, 4, id, POST).await;
        raw.frame(DATA, 1, id, &vec![0; bytes]).await;
        assert_eq!(raw.verdict(id).await, expected);
    }
}
