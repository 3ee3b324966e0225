//! Streamed request bodies, detached connections, clients that leave.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use squall::testing::{TestServer, serve, serve_on};
use squall::{Application, Context, HttpError, HttpServer, RequestHandler, Result, get, handler, url};
use tokio::sync::Notify;

use super::support::{
    Client, bad, body_too_large, closes, closes_early, closing, ok, ok_untagged, page, page_saying, probe,
    stays, table,
};
use crate::waiting::Seen;

#[derive(Clone)]
struct Upload {
    log: Seen,
    received: usize,
}

#[handler(stream_body)]
impl RequestHandler for Upload {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        self.log.add("prepare");
        match ctx.request().query() {
            "deny" => return Err(HttpError::new(401).into()),
            "finish" => ctx.finish_with("early").await?,
            "small" => ctx.request().connection().set_max_body_size(4),
            "large" => ctx.request().connection().set_max_body_size(1_000),
            "panic" => panic!("in prepare, on purpose"),
            _ => {}
        }
        Ok(())
    }

    async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        // Anything that waits delays the reading.
        tokio::task::yield_now().await;
        self.received += chunk.len();
        self.log.add(format!("data {}", String::from_utf8_lossy(&chunk)));
        match ctx.request().query() {
            "data-error" => Err(HttpError::new(422).into()),
            "data-finish" => ctx.finish_with("enough").await,
            "data-panic" => panic!("in data_received, on purpose"),
            _ => Ok(()),
        }
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        self.log.add("post");
        ctx.write(format!("{} {}", self.received, ctx.request().body().len()));
        Ok(())
    }

    async fn get(&mut self, ctx: &Context) -> Result {
        self.log.add("get");
        ctx.write(self.received.to_string());
        Ok(())
    }

    fn on_connection_close(&mut self, _ctx: &Context) {
        self.log.add("on_connection_close");
    }

    fn on_finish(&mut self, _ctx: &Context) {
        self.log.add("on_finish");
    }
}

fn make_app(log: &Seen) -> Application {
    Application::new([url("/", Upload { log: log.clone(), received: 0 }), probe()])
}

fn server(log: &Seen) -> TestServer {
    let log = log.clone();
    serve_on(HttpServer::new(move || make_app(&log)).max_body_size(100))
}

fn post(query: &str, body: &str) -> String {
    format!("POST /?{query} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[squall::test(timeout = 60)]
async fn order_is_prepare_data_received_method() {
    let log = Seen::default();
    let server = server(&log);
    let mut client = Client::connect(&server).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n").await;
    // prepare runs when the headers are read, before any of the body has come.
    log.wait_for("prepare").await;
    client.send("abc").await;
    log.wait_for("data abc").await;
    client.send("def").await;
    client.expect(ok_untagged("6 0")).await;
    client.alive().await;
    assert_eq!(log.take(), ["prepare", "data abc", "data def", "post", "on_finish"]);
    // Chunks of the wire are not merged when they come apart; the last says nothing.
    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n")
        .await;
    log.wait_for("data bc").await;
    client.send("0\r\n\r\n").await;
    client.expect(ok_untagged("3 0")).await;
    assert_eq!(log.take(), ["prepare", "data a", "data bc", "post", "on_finish"]);
}

#[squall::test(timeout = 60)]
async fn streamed_requests_on_the_wire() {
    let log = Seen::default();
    let server = server(&log);
    let too_large = body_too_large(4);
    let allow = "Allow: POST, GET, HEAD, OPTIONS\r\n";
    table(
        &server,
        [
            stays("Content-Length", post("", "abc"), ok_untagged("3 0")),
            stays("no body", post("", ""), ok_untagged("0 0")),
            stays("GET", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", ok("0")),
            stays("pipelined", post("", "abc") + &post("", "d"), ok_untagged("3 0") + &ok_untagged("1 0")),
            closes("early answer in prepare", post("finish", "abc"), closing(&ok_untagged("early"))),
            closes("error in prepare", post("deny", "abc"), closing(&page("401 Unauthorized", ""))),
            stays("error in prepare without a body", post("deny", ""), page("401 Unauthorized", "")),
            closes("nothing is answered after an early answer", post("deny", "abc") + &post("", "a"), closing(&page("401 Unauthorized", ""))),
            closes("panic in prepare", post("panic", "abc"), closing(&page("500 Internal Server Error", ""))),
            closes_early("early answer in data_received", post("data-finish", "abc"), ok_untagged("enough")),
            stays("answer to the last piece", post("data-finish", "a"), ok_untagged("enough")),
            closes_early("error in data_received", post("data-error", "abc"), page("422 Unprocessable Entity", "")),
            closes_early("panic in data_received", post("data-panic", "abc"), page("500 Internal Server Error", "")),
            closes("a method that it lacks", post("", "abc").replace("POST", "PUT"), closing(&page_saying("405 Method Not Allowed", allow, "Allowed methods: POST, GET, HEAD, OPTIONS"))),
            stays("set_max_body_size in prepare: enough", post("small", "abcd"), ok_untagged("4 0")),
            closes("set_max_body_size in prepare: too small", post("small", "abcde"), &*too_large),
            closes(
                "set_max_body_size in prepare: too small for a chunked body",
                "POST /?small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
                &*too_large,
            ),
            stays("set_max_body_size above the server's", post("large", &"x".repeat(500)), ok_untagged("500 0")),
            closes("... only for that request", post("large", &"x".repeat(500)) + &post("", &"x".repeat(500)),
                ok_untagged("500 0") + &body_too_large(100)),
            closes(
                "a malformed chunk after data",
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nx\r\n",
                bad("Invalid chunk size"),
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn an_early_answer_reaches_a_client_that_sends_on() {
    let log = Seen::default();
    let server = server(&log);
    let mut client = Client::connect(&server).await;
    let body = "x".repeat(1 << 20);
    client.send(format!("POST /?deny HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n{body}")).await;
    client.expect(closing(&page("401 Unauthorized", ""))).await;
    client.closed().await;
    assert_eq!(log.take(), ["prepare", "on_finish"]);
}

#[squall::test(timeout = 60)]
async fn an_early_answer_calls_for_no_100() {
    let log = Seen::default();
    let server = server(&log);
    let mut client = Client::connect(&server).await;
    client.send("POST /?deny HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
    client.expect(closing(&page("401 Unauthorized", ""))).await;
    client.closed().await;
    // Without one it comes after prepare.
    let mut client = Client::connect(&server).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
    client.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("abc").await;
    client.expect(ok_untagged("3 0")).await;
}

#[squall::test(timeout = 60)]
async fn client_disconnect_mid_body() {
    let log = Seen::default();
    let server = server(&log);
    let mut client = Client::connect(&server).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc").await;
    log.wait_for("data abc").await;
    client.leave().await;
    log.wait_for("on_connection_close").await;
    assert_eq!(log.take(), ["prepare", "data abc", "on_connection_close"], "the method never runs");
    Client::connect(&server).await.alive().await;
}

#[squall::test(timeout = 60)]
async fn chunk_size_bounds_the_pieces() {
    let log = Seen::default();
    let logged = log.clone();
    let server = serve_on(HttpServer::new(move || make_app(&logged)).chunk_size(4));
    let mut client = Client::connect(&server).await;
    client.send(post("", "0123456789")).await;
    client.expect(ok_untagged("10 0")).await;
    assert_eq!(log.take(), ["prepare", "data 0123", "data 4567", "data 89", "post", "on_finish"]);
}

/// Sends back each piece as it comes.
#[derive(Clone)]
struct Echo;

#[handler(stream_body)]
impl RequestHandler for Echo {
    async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        ctx.write(chunk);
        ctx.flush().await
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write("end");
        Ok(())
    }
}

const STREAMED: &str = "HTTP/1.1 200 OK\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\n\
    Date: <date>\r\nTransfer-Encoding: chunked\r\n\r\n";

#[squall::test(timeout = 60)]
async fn a_response_may_begin_before_the_body_ends() {
    let server = serve(Application::new([url("/", Echo), probe()]));
    let mut client = Client::connect(&server).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    client.expect(STREAMED.to_owned() + "3\r\nabc\r\n").await;
    client.send("2\r\nde\r\n").await;
    client.expect("2\r\nde\r\n").await;
    client.send("0\r\n\r\n").await;
    client.expect("3\r\nend\r\n0\r\n\r\n").await;
    client.alive().await;
    // When the rest turns out to be malformed the response has begun: it is cut, without an end and without a 400.
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    client.expect(STREAMED.to_owned() + "3\r\nabc\r\n").await;
    client.send("x\r\n").await;
    client.closed().await;
}

#[squall::test(timeout = 60)]
async fn reading_waits_for_data_received() {
    // Back-pressure: while a piece is worked on no more than the buffers hold is read.
    #[derive(Clone)]
    struct Slow(Rc<Notify>, Rc<Cell<usize>>);
    #[handler(stream_body)]
    impl RequestHandler for Slow {
        async fn data_received(&mut self, _ctx: &Context, chunk: Bytes) -> Result {
            self.1.set(self.1.get() + chunk.len());
            self.0.notified().await;
            Ok(())
        }
        async fn post(&mut self, ctx: &Context) -> Result {
            ctx.write("end");
            Ok(())
        }
    }
    let (go, seen) = (Rc::new(Notify::new()), Rc::new(Cell::new(0)));
    let server = serve(Application::new([url("/", Slow(Rc::clone(&go), Rc::clone(&seen)))]));
    let size = 64 << 20;
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n");
    stream.writable().await.unwrap();
    assert_eq!(stream.try_write(head.as_bytes()).unwrap(), head.len());
    let piece = vec![b'x'; 1 << 20];
    let mut written = 0;
    // Writes until the kernel takes no more although the server's task has had many turns.
    let mut refused = 0;
    while refused < 1_000 && written < size {
        match stream.try_write(&piece) {
            Ok(n) => (written, refused) = (written + n, 0),
            Err(_) => {
                refused += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    assert!(written < size, "all {size} bytes were taken from a handler that has had {}", seen.get());
    assert!(seen.get() > 0 && seen.get() <= 65_536, "one piece was handed over, not {} bytes", seen.get());
}

#[squall::test(timeout = 60)]
async fn closed_resolves_when_the_client_leaves() {
    let log = Seen::default();
    let logged = log.clone();
    let server = serve(Application::new([get("/", async move |ctx: &Context| {
        logged.add("waiting");
        ctx.closed().await;
        logged.add("left");
        Ok(())
    })]));
    let mut client = Client::connect(&server).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    log.wait_for("waiting").await;
    client.leave().await;
    log.wait_for("left").await;
}

#[squall::test(timeout = 60)]
async fn closed_waits_while_the_client_does() {
    // Another pipelined request is no end.
    let log = Seen::default();
    let (logged, go) = (log.clone(), Rc::new(Notify::new()));
    let goes = Rc::clone(&go);
    let server = serve(Application::new([
        get("/", async move |ctx: &Context| {
            logged.add("waiting");
            let first = tokio::select! {
                biased;
                () = ctx.closed() => "closed",
                () = goes.notified() => "go",
            };
            ctx.write(first);
            Ok(())
        }),
        probe(),
    ]));
    let mut client = Client::connect(&server).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    log.wait_for("waiting").await;
    client.send("GET /probe HTTP/1.1\r\nHost: h\r\n\r\n").await;
    Client::connect(&server).await.alive().await;
    go.notify_one();
    client.expect(ok("go") + &ok("alive")).await;
    client.alive().await;
}

#[squall::test(timeout = 60)]
async fn detach() {
    let finished = Seen::default();
    let log = finished.clone();
    let server = serve(Application::new([get("/", async move |ctx: &Context| {
        let stream = ctx.detach()?;
        stream.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\nhello ").await?;
        let name = stream.read_until(b"\n", None).await?;
        stream.write(name).await?;
        stream.close();
        log.add("done");
        Ok(())
    })]));
    // What comes with the request, and what comes later, belongs to the stream.
    for pieces in [&["ann\n"][..], &["", "bo", "b\n"]] {
        let mut client = Client::connect(&server).await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned() + pieces[0]).await;
        client.expect("HTTP/1.1 101 Switching Protocols\r\n\r\nhello ").await;
        for piece in &pieces[1..] {
            client.send(piece).await;
        }
        client.expect(pieces.concat()).await;
        client.closed().await;
        finished.wait_for("done").await;
        finished.take();
    }
    // Not a second request: the connection is no longer HTTP.
    let mut client = Client::connect(&server).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.expect("HTTP/1.1 101 Switching Protocols\r\n\r\nhello GET / HTTP/1.1\r\n").await;
    client.closed().await;
}

#[squall::test(timeout = 60)]
async fn a_stream_detached_outlives_the_handler() {
    let server = serve(Application::new([get("/", async |ctx: &Context| {
        let stream = ctx.detach()?;
        tokio::task::spawn_local(async move {
            while let Ok(line) = stream.read_until(b"\n", None).await {
                if stream.write(line).await.is_err() {
                    break;
                }
            }
        });
        Ok(())
    })]));
    let mut client = Client::connect(&server).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    for line in ["one\n", "two\n"] {
        client.send(line).await;
        client.expect(line).await;
    }
}
