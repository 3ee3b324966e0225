//! The handshake, the ends and the limits that are HTTP/2's.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use squall::testing::{TestServer, serve_on};
use squall::websocket::{
    CompressionOptions, Message, WebSocket, WebSocketHandler, WebSocketOptions, websocket, ws,
};
use squall::{Application, Context, HttpServer, Result, get, post};

use super::support::{Connection, bridge, close, connect, server_close, server_frame, text, within};
use crate::waiting::Seen;

#[derive(Clone)]
struct Talk {
    seen: Seen,
    room: Rc<RefCell<Vec<WebSocket>>>,
}

impl WebSocketHandler for Talk {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        let request = ctx.request();
        self.seen.add(format!("{} {:?} {}", request.method(), request.version(), request.uri()));
        ctx.set_header("X-Prepared", "yes")?;
        Ok(())
    }

    fn select_subprotocol(&mut self, _ctx: &Context, offered: &[&str]) -> Option<String> {
        offered.contains(&"talk").then(|| "talk".to_owned())
    }

    fn compression_options(&self, _ctx: &Context) -> Option<CompressionOptions> {
        Some(CompressionOptions::default())
    }

    async fn open(&mut self, ws: &WebSocket) -> Result {
        self.room.borrow_mut().push(ws.clone());
        Ok(())
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        match message.as_text() {
            Some("everyone") => {
                let room = self.room.borrow().clone();
                for member in &room {
                    member.write_message("hello, everyone").await?;
                }
                Ok(())
            }
            Some("abort") => {
                ws.abort();
                Ok(())
            }
            Some("much") => {
                for _ in 0..400 {
                    ws.write_message(vec![7; 10_000]).await?;
                }
                self.seen.add("much was written");
                Ok(())
            }
            _ => ws.write_message(message).await,
        }
    }

    async fn on_close(&mut self, ws: &WebSocket) -> Result {
        self.room.borrow_mut().retain(|member| !member.is(ws));
        self.seen.add(format!("closed {:?}", ws.close_code()));
        Ok(())
    }
}

pub(crate) fn serve(options: impl FnOnce(HttpServer) -> HttpServer) -> (TestServer, Seen) {
    serve_with(WebSocketOptions::new(), options)
}

fn serve_with(
    sockets: WebSocketOptions,
    options: impl FnOnce(HttpServer) -> HttpServer,
) -> (TestServer, Seen) {
    let seen = Seen::default();
    let talk = Talk { seen: seen.clone(), room: Rc::default() };
    let make = move || {
        Application::new([
            ws("/talk", talk.clone()),
            websocket("/shout/{name}", async |ctx: &Context, ws: &mut squall::websocket::WebSocketStream| {
                let name = ctx.path_arg_str("name")?.to_owned();
                while let Some(message) = ws.recv().await {
                    ws.write_message(format!("{name}: {}", message.as_text().unwrap_or("?"))).await?;
                }
                Ok(())
            }),
            get("/page", async |ctx: &Context| {
                ctx.write("a page");
                Ok(())
            }),
            post("/posts", async |_: &Context| Ok(())),
        ])
        .websocket_options(sockets)
    };
    (serve_on(options(HttpServer::new(make).h2c(true))), seen)
}

#[squall::test]
async fn a_handshake_is_a_get_that_is_answered_with_200() {
    let (server, seen) = serve(|server| server);
    let mut connection = Connection::new(server.port()).await;
    let asked = connect("websocket", "/talk?a=b")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "other, talk")
        .header("sec-websocket-extensions", "permessage-deflate")
        .header("origin", "http://localhost");
    let (head, sink, body) = connection.ask(asked.body(()).unwrap()).await.unwrap();
    let field = |name: &str| head.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!(head.status(), 200);
    assert_eq!((field("sec-websocket-protocol"), field("x-prepared")), (Some("talk"), Some("yes")));
    assert_eq!(field("sec-websocket-extensions"), Some("permessage-deflate"));
    for name in ["sec-websocket-accept", "upgrade", "connection", "content-type", "content-length"] {
        assert_eq!(field(name), None, "{name}");
    }
    seen.wait_for("GET HTTP/2.0 /talk?a=b").await;
    let mut client = crate::support::Client::over(bridge(sink, body));
    client.send(text(&"hello ".repeat(1_000))).await;
    let (first, payload) = client.frame().await;
    assert_eq!((first, payload.len() < 1_000), (0xc1, true), "compressed, as agreed");
    client.send(close(1000, "")).await;
    client.expect(server_close(1000, "")).await;
    client.closed().await;
    seen.wait_for("closed Some(1000)").await;
}

#[squall::test]
async fn what_is_no_websocket_opens_no_tunnel() {
    let (server, _seen) = serve(|server| server);
    let mut connection = Connection::new(server.port()).await;
    let version = |asked: http::request::Builder| asked.header("sec-websocket-version", "13");
    for (name, asked, status) in [
        ("an unknown protocol", version(connect("webtransport", "/talk")), 501),
        ("no version", connect("websocket", "/talk"), 426),
        ("another version", connect("websocket", "/talk").header("sec-websocket-version", "8"), 426),
        ("another origin", version(connect("websocket", "/talk")).header("origin", "http://evil"), 403),
        ("no such path", version(connect("websocket", "/nothing")), 404),
        ("a page, which would look like what comes out of it", version(connect("websocket", "/page")), 501),
        ("another method's path", version(connect("websocket", "/posts")), 405),
    ] {
        let (head, _sink, mut body) = connection.ask(asked.body(()).unwrap()).await.unwrap();
        assert_eq!(head.status(), status, "{name}");
        let mut text = Vec::new();
        while let Some(data) = body.data().await {
            text.extend_from_slice(&data.unwrap());
        }
        assert!(!String::from_utf8_lossy(&text).contains("a page"), "{name}");
    }
    // And the connection goes on.
    connection.open("/talk").await.send(text("x")).await;
    // A CONNECT of the ordinary kind is no WebSocket either.
    let ordinary =
        http::Request::builder().method("CONNECT").uri("localhost:80").version(http::Version::HTTP_2);
    let (head, ..) = connection.ask(ordinary.body(()).unwrap()).await.unwrap();
    assert!(head.status().is_client_error() || head.status().is_server_error(), "{}", head.status());
}

#[squall::test]
async fn sockets_share_a_connection_with_requests() {
    let (server, _seen) = serve(|server| server);
    let mut connection = Connection::new(server.port()).await;
    let mut members = Vec::new();
    for _ in 0..5 {
        members.push(connection.open("/talk").await);
    }
    let mut ada = connection.open("/shout/ada").await;
    ada.send(text("hi")).await;
    ada.expect(server_frame(0x81, b"ada: hi")).await;
    let page = http::Request::get("http://localhost/page").version(http::Version::HTTP_2).body(()).unwrap();
    let (response, _) = connection.0.send_request(page, true).unwrap();
    let mut page = within("the page", response).await.unwrap();
    assert_eq!(page.body_mut().data().await.unwrap().unwrap(), Bytes::from("a page"));
    members[2].send(text("everyone")).await;
    for member in &mut members {
        member.expect(server_frame(0x81, b"hello, everyone")).await;
    }
    // One ends, in whatever way, and the others do not.
    members.remove(0).shutdown().await;
    drop(members.remove(0));
    members[0].send(text("still here")).await;
    members[0].expect(server_frame(0x81, b"still here")).await;
}

#[squall::test]
async fn how_a_socket_ends_is_how_its_stream_does() {
    let (server, seen) = serve(|server| server);
    let mut connection = Connection::new(server.port()).await;
    let version = || connect("websocket", "/talk").header("sec-websocket-version", "13").body(()).unwrap();
    // Aborted here: a reset, which no client takes for an end.
    let (_, mut sink, mut body) = connection.ask(version()).await.unwrap();
    sink.send_data(Bytes::from(text("abort")), false).unwrap();
    let error = within("a reset", async {
        loop {
            match body.data().await {
                Some(Ok(_)) => {}
                other => break other.expect("no end").unwrap_err(),
            }
        }
    })
    .await;
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    // Closed by both: an end.
    let (_, mut sink, mut body) = connection.ask(version()).await.unwrap();
    sink.send_data(Bytes::from(close(1000, "")), false).unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), server_close(1000, ""));
    while let Some(Ok(data)) = body.data().await {
        assert!(data.is_empty(), "nothing but the end");
    }
    seen.wait_for("closed Some(1000)").await;
    // Reset there: the handler is told.
    let before = seen.lines.borrow().len();
    let (_, mut sink, body) = connection.ask(version()).await.unwrap();
    sink.send_reset(Reason::CANCEL);
    drop(body);
    within("the handler to be told", async {
        while !seen.lines.borrow()[before..].iter().any(|line| line == "closed None") {
            seen.added.notified().await;
        }
    })
    .await;
}

#[squall::test(timeout = 60)]
async fn a_shut_window_holds_the_writer_back() {
    let (server, seen) = serve(|server| server);
    let mut connection = Connection::roomy(server.port()).await;
    let asked = connect("websocket", "/talk").header("sec-websocket-version", "13").body(()).unwrap();
    let (_, mut sink, mut body) = connection.ask(asked).await.unwrap();
    sink.send_data(Bytes::from(text("much")), false).unwrap();
    // 4 MB are not written while the client's window, of 64 KiB, is shut; and other streams go on.
    let mut other = connection.open("/talk").await;
    for _ in 0..50 {
        other.send(text("other")).await;
        other.expect(server_frame(0x81, b"other")).await;
    }
    assert!(!seen.lines.borrow().iter().any(|line| line == "much was written"));
    let mut come = 0;
    while come < 400 * 10_004 {
        let data = within("more", poll_fn(|cx| body.poll_data(cx))).await.unwrap().unwrap();
        come += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    seen.wait_for("much was written").await;
}

#[squall::test(timeout = 60)]
async fn messages_larger_than_what_waits_to_be_sent_arrive_whatever_the_window() {
    let (server, _seen) = serve(|server| server);
    for window in [1_000, 65_535, 131_072, 6 << 20] {
        let mut connection = Connection::of_window(server.port(), window).await;
        let mut client = connection.open("/talk").await;
        for length in [65_535, 65_536, 131_062, 131_063, 140_000, 1_000_000] {
            let message = "x".repeat(length);
            client.send(text(&message)).await;
            assert_eq!(client.frame().await, (0x81, message.into_bytes()), "{length} in windows of {window}");
        }
    }
}

#[squall::test(timeout = 60)]
async fn a_client_that_takes_nothing_is_given_up_and_others_are_not() {
    let options = WebSocketOptions::new().write_timeout(Duration::from_millis(500));
    let (server, seen) = serve_with(options, |server| server);
    let mut connection = Connection::roomy(server.port()).await;
    let asked = connect("websocket", "/talk").header("sec-websocket-version", "13").body(()).unwrap();
    let (_, mut sink, _body) = connection.ask(asked).await.unwrap();
    sink.send_data(Bytes::from(text("much")), false).unwrap();
    seen.wait_for("closed None").await;
    let mut other = connection.open("/talk").await;
    other.send(text("other")).await;
    other.expect(server_frame(0x81, b"other")).await;
}

#[squall::test(timeout = 60)]
async fn a_connection_with_sockets_is_not_idle() {
    let (server, _seen) = serve(|server| server.idle_connection_timeout(Duration::from_millis(100)));
    let mut connection = Connection::new(server.port()).await;
    let mut client = connection.open("/talk").await;
    // Longer than an idle connection lives; that another one ends shows it.
    let mut idle = Connection::new(server.port()).await;
    within("the other connection to end", async {
        while poll_fn(|cx| idle.0.poll_ready(cx)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    client.send(text("still here")).await;
    client.expect(server_frame(0x81, b"still here")).await;
    // When the last has ended, it is.
    client.send(close(1000, "")).await;
    client.expect(server_close(1000, "")).await;
    client.closed().await;
    within("the connection to end", async {
        while poll_fn(|cx| connection.0.poll_ready(cx)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
