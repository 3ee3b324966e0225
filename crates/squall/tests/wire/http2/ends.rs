//! How connections end, and what takes too long.

use std::time::Duration;

use bytes::Bytes;
use squall::httpserver::Http2Options;
use squall::websocket::{WebSocket, WebSocketHandler, ws};
use squall::{Application, Context, Message, RequestHandler, Result, get, handler, post, url};
use tokio::io::AsyncWriteExt;

use super::support::{
    self, Client, DATA, GET_ROOT, HEADERS, PING, RST_STREAM, Raw, SETTINGS, answer, literals, read, send,
    serve,
};

const GOAWAY: u8 = 7;
const ECHO: [(&str, &[u8]); 4] =
    [(":method", b"POST"), (":scheme", b"http"), (":path", b"/echo"), (":authority", b"x")];

fn app() -> Application {
    Application::new([
        get("/", async |ctx: &Context| {
            ctx.write("Hello");
            Ok(())
        }),
        get("/until-told", async |ctx: &Context| {
            ctx.flush().await?;
            ctx.shutdown().await;
            ctx.write("the end");
            Ok(())
        }),
        get("/endless", async |ctx: &Context| {
            loop {
                ctx.write([b'x'; 10_000]);
                ctx.flush().await?;
            }
        }),
        post("/echo", async |ctx: &Context| {
            ctx.write(ctx.request().body());
            Ok(())
        }),
        url("/conversation", Conversation),
        ws("/socket", Echo),
    ])
}

/// Answers before the body has come, and then every piece of it.
#[derive(Clone)]
struct Conversation;

#[handler(stream_body)]
impl RequestHandler for Conversation {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        ctx.write("ready");
        ctx.flush().await
    }

    async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        ctx.write(chunk);
        ctx.flush().await
    }

    async fn post(&mut self, _: &Context) -> Result {
        Ok(())
    }
}

#[derive(Clone)]
struct Echo;

impl WebSocketHandler for Echo {
    async fn on_message(&mut self, socket: &WebSocket, message: Message) -> Result {
        socket.write_message(message).await
    }
}

#[squall::test]
async fn a_drain_lets_streams_end_and_refuses_new_ones() {
    let (server, port) = serve(app, |server| server);
    let mut client = Client::new(port).await;
    let mut idle = Client::new(port).await;
    assert_eq!(idle.get("/").await.status(), 200);
    let (response, _) = client.open(support::get("/until-told"), true).await;
    let mut response = response.await.unwrap();
    assert_eq!(server.connection_count(), 2);
    server.stop();
    server.drain();
    assert_eq!(read(response.body_mut()).await.unwrap(), b"the end");
    for client in [client, idle] {
        tokio::time::timeout(support::DEADLINE, client.driver).await.unwrap().unwrap().unwrap();
    }
    while server.connection_count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[squall::test]
async fn close_all_connections_cuts() {
    let (server, port) = serve(app, |server| server);
    let mut client = Client::new(port).await;
    let (response, _) = client.open(support::get("/endless"), true).await;
    let mut response = response.await.unwrap();
    server.close_all_connections();
    assert!(read(response.body_mut()).await.is_err(), "a cut response does not look complete");
}

#[squall::test]
async fn an_idle_connection_is_told_and_ends() {
    let (_server, port) = serve(app, |server| server.idle_connection_timeout(Duration::from_millis(100)));
    let mut client = Client::new(port).await;
    assert_eq!(client.get("/").await.status(), 200);
    tokio::time::timeout(support::DEADLINE, client.driver).await.unwrap().unwrap().unwrap();
}

#[squall::test]
async fn an_old_connection_is_told_and_ends() {
    let options = Http2Options::new().max_connection_age(Duration::from_millis(100));
    let (_server, port) = serve(app, |server| server.http2(options));
    let client = Client::new(port).await;
    tokio::time::timeout(support::DEADLINE, client.driver).await.unwrap().unwrap().unwrap();
}

#[squall::test]
async fn a_client_that_answers_no_ping_is_given_up() {
    let options = Http2Options::new()
        .keep_alive_interval(Duration::from_millis(50))
        .keep_alive_timeout(Duration::from_millis(200));
    let (_server, port) = serve(app, |server| server.http2(options));
    // One that does answer lives on.
    let mut client = Client::new(port).await;
    let mut raw = Raw::new(port).await;
    while raw.next().await.is_some() {}
    assert_eq!(client.get("/").await.status(), 200);
}

#[squall::test]
async fn a_preface_that_stays_away() {
    let (_server, port) = serve(app, |server| server.header_timeout(Duration::from_millis(100)));
    for begun in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n"[..], b"PRI"] {
        let mut raw = Raw { socket: support::connect(port).await };
        raw.socket.write_all(begun).await.unwrap();
        while raw.next().await.is_some() {}
    }
}

/// Until it is whole nothing else can come.
#[squall::test(timeout = 60)]
async fn a_head_that_stays_away() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let (_server, port) = serve(app, |server| server.header_timeout(Duration::from_millis(100)));
    // These wait at the end of something, or in a body, which is another matter.
    let mut whole = Client::new(port).await;
    let mut in_body = Raw::new(port).await;
    in_body.frame(HEADERS, 4, 1, &literals(&ECHO)).await;
    let body = support::frame(DATA, 1, 1, b"a body");
    in_body.socket.write_all(&body[..12]).await.unwrap();
    let greeting = support::frame(SETTINGS, 0, 0, b"");
    let head = support::frame(HEADERS, 5, 1, GET_ROOT);
    let block = support::frame(HEADERS, 1, 1, GET_ROOT);
    for begun in [&head[..4], &head[..12], &block, &support::frame(PING, 0, 0, &[0; 8])[..10]] {
        let mut raw = Raw { socket: support::connect(port).await };
        let bytes = [PREFACE, &greeting, begun].concat();
        raw.socket.write_all(&bytes).await.unwrap();
        let (_, _, payload) = raw.find(GOAWAY).await.expect("it is told");
        assert_eq!(support::code(&payload[4..8]), ENHANCE_YOUR_CALM, "{begun:?}");
        while raw.next().await.is_some() {}
    }
    // Its preface alone.
    let mut raw = Raw { socket: support::connect(port).await };
    raw.socket.write_all(PREFACE).await.unwrap();
    while raw.next().await.is_some() {}
    assert_eq!(whole.get("/").await.status(), 200);
    in_body.socket.write_all(&body[12..]).await.unwrap();
    assert_eq!(in_body.verdict(1).await, Ok(()));
}

#[squall::test]
async fn a_body_that_stays_away_is_answered() {
    let (_server, port) = serve(app, |server| server.body_stall_timeout(Duration::from_millis(100)));
    let mut client = Client::new(port).await;
    let (response, _sink) = client.open(support::request("POST", "/echo").body(()).unwrap(), false).await;
    assert_eq!(answer(response).await.unwrap().status(), 408);
    assert_eq!(client.get("/").await.status(), 200);
}

/// Whose answer has begun is in a conversation, in which both may be silent; who only sends is not.
#[squall::test]
async fn a_conversation_may_be_silent_for_longer_than_an_upload() {
    let (_server, port) = serve(app, |server| server.body_stall_timeout(Duration::from_millis(100)));
    let mut client = Client::new(port).await;
    let ask = |path| support::request("POST", path).body(()).unwrap();
    let (response, mut sink) = client.open(ask("/conversation"), false).await;
    let mut response = response.await.unwrap();
    assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "ready");
    // An upload that began later is given up meanwhile, several times, from before its answer and after.
    for _ in 0..3 {
        let (upload, _sink) = client.open(ask("/echo"), false).await;
        assert_eq!(answer(upload).await.unwrap().status(), 408);
    }
    for said in ["one", "two"] {
        send(&mut sink, said.as_bytes(), said == "two").await;
        let heard = tokio::time::timeout(support::DEADLINE, response.body_mut().data()).await;
        assert_eq!(heard.expect("an answer in time").unwrap().unwrap(), said);
    }
    assert_eq!(read(response.body_mut()).await.unwrap(), b"");
}

/// RFC 8441: the streams that were taken out of HTTP have their WebSockets' farewell, and then end.
#[squall::test]
async fn a_drain_bids_websockets_on_streams_farewell() {
    let (server, port) = serve(app, |server| server);
    let mut raw = Raw::new(port).await;
    let connect = literals(&[
        (":method", b"CONNECT"),
        (":protocol", b"websocket"),
        (":scheme", b"http"),
        (":authority", b"x"),
        (":path", b"/socket"),
        ("sec-websocket-version", b"13"),
    ]);
    for stream in [1, 3] {
        raw.frame(HEADERS, 4, stream, &connect).await;
        assert_eq!(raw.verdict(stream).await, Ok(()));
    }
    server.stop();
    server.drain();
    let (mut goaways, mut closes, mut ends) = (Vec::new(), 0, 0);
    while let Some((kind, flags, stream, payload)) = raw.next().await {
        match kind {
            GOAWAY => goaways.push(u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]])),
            // The server wants to know which streams the client has opened before it was told.
            PING if flags & 1 == 0 => raw.frame(PING, 1, 0, &payload).await,
            // Close with 1001, unmasked.
            DATA if payload.starts_with(b"\x88") => {
                assert_eq!(&payload[2..4], 1001_u16.to_be_bytes());
                closes += 1;
                // The answer, masked with zeros.
                raw.frame(DATA, 1, stream, b"\x88\x82\0\0\0\0\x03\xe9").await;
                ends += u32::from(flags & 1);
            }
            DATA => ends += u32::from(flags & 1),
            RST_STREAM => panic!("stream {stream} is reset"),
            _ => {}
        }
    }
    assert_eq!((closes, ends), (2, 2));
    assert_eq!(goaways, [(1 << 31) - 1, 3], "first all streams may come, then none behind the last");
    while server.connection_count() > 0 {
        tokio::task::yield_now().await;
    }
}

/// It is still answered, whether that comes with its goodbye or later, and ends the connection itself.
#[squall::test]
async fn a_client_that_says_goodbye_is_heard_to_the_end() {
    for error in [0_u32, 2, 0xff] {
        let (server, port) = serve(app, |server| server);
        let mut raw = Raw::new(port).await;
        let goodbye = [[0; 4], error.to_be_bytes()].concat();
        let both = [support::frame(GOAWAY, 0, 0, &goodbye), support::frame(PING, 0, 0, b"with it.")].concat();
        raw.socket.write_all(&both).await.unwrap();
        for data in [b"with it.", b"later on"] {
            let (flags, _, payload) = raw.find(PING).await.unwrap();
            assert_eq!((flags, &payload[..]), (1, &data[..]), "{error}");
            raw.frame(PING, 0, 0, b"later on").await;
        }
        drop(raw);
        while server.connection_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// What nobody has asked for is no answer, whatever it says.
#[squall::test]
async fn an_answer_to_no_ping_ends_nothing() {
    let (_server, port) = serve(app, |server| server);
    let mut raw = Raw::new(port).await;
    for answer in [b"farewell", b"alive ??"] {
        raw.frame(PING, 1, 0, answer).await;
    }
    for id in [1, 3] {
        raw.frame(HEADERS, 5, id, GET_ROOT).await;
        raw.frame(PING, 0, 0, b"12345678").await;
        loop {
            match raw.next().await.expect("the connection lives") {
                (GOAWAY, ..) => panic!("it is told to go"),
                (PING, 1, ..) => break,
                _ => {}
            }
        }
    }
}

#[squall::test]
async fn a_stream_that_is_not_read_ends_alone() {
    let (_server, port) = serve(app, |server| server.write_timeout(Duration::from_millis(200)));
    let mut raw = Raw::new(port).await;
    // A window of nothing for every stream.
    raw.frame(SETTINGS, 0, 0, b"\x00\x04\x00\x00\x00\x00").await;
    raw.frame(HEADERS, 5, 1, GET_ROOT).await;
    let (_, stream, _) = raw.find(RST_STREAM).await.unwrap();
    assert_eq!(stream, 1);
    // The connection lives.
    raw.frame(PING, 0, 0, b"12345678").await;
    let (flags, _, payload) = raw.find(PING).await.unwrap();
    assert_eq!((flags, &payload[..]), (1, &b"12345678"[..]));
}
