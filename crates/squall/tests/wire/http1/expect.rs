//! `Expect: 100-continue`, clients that have shut their sending side, and responses that applications frame themselves.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use squall::httputil::{HttpHeaders, HttpServerRequest, ResponseStartLine};
use squall::netutil::BindOptions;
use squall::testing::serve;
use squall::{Application, Bytes, Context, HttpServer, RequestHandler, Result, get, handler, url};

use super::support::Client;

#[derive(Clone)]
struct OnlyGet;

#[handler]
impl RequestHandler for OnlyGet {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write("got");
        Ok(())
    }
}

#[derive(Clone)]
struct Put {
    body: Vec<u8>,
}

#[handler(stream_body)]
impl RequestHandler for Put {
    async fn data_received(&mut self, _ctx: &Context, chunk: Bytes) -> Result {
        self.body.extend_from_slice(&chunk);
        Ok(())
    }

    async fn put(&mut self, ctx: &Context) -> Result {
        ctx.write(&self.body);
        Ok(())
    }
}

/// RFC 9110 §10.1.1: who will refuse the request anyway says so instead.
#[squall::test]
async fn nobody_is_told_to_go_on_with_what_is_refused() {
    let server = serve(Application::new([
        url("/handler", OnlyGet),
        url("/streamed", Put { body: Vec::new() }),
        get("/function", async |ctx: &Context| {
            ctx.write("got");
            Ok(())
        }),
    ]));
    for (line, status) in [
        ("POST /handler", "405 Method Not Allowed"),
        ("PROPFIND /handler", "405 Method Not Allowed"),
        ("POST /streamed", "405 Method Not Allowed"),
        ("POST /function", "405 Method Not Allowed"),
        ("POST /nowhere", "404 Not Found"),
        ("OPTIONS /function", "204 No Content"),
    ] {
        let mut client = Client::connect(&server).await;
        client
            .send(format!("{line} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"))
            .await;
        // What is not read of the request ends the connection, and that is told.
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{line}: {head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{line}: {head}");
    }
    let mut client = Client::connect(&server).await;
    client
        .send("PUT /streamed HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        .await;
    client.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("abc").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
    client.expect("abc").await;
}

/// A server whose callback does this with each request.
fn callback(answer: impl Fn(HttpServerRequest) + 'static) -> (HttpServer, u16) {
    let server = HttpServer::with_callback(answer);
    server.listen_on(0, &BindOptions::new().address("127.0.0.1")).expect("a free port");
    let port = server.local_addrs()[0].port().expect("a TCP port");
    (server, port)
}

fn head(fields: &[(&str, &str)]) -> HttpHeaders {
    fields.iter().copied().collect()
}

const OK: ResponseStartLine<'static> = ResponseStartLine { status: 200, reason: "OK" };

#[squall::test(timeout = 60)]
async fn a_client_that_has_shut_its_sending_side_gets_an_answer_that_comes_later() {
    let kept: Rc<RefCell<Option<HttpServerRequest>>> = Rc::default();
    let keep = Rc::clone(&kept);
    let (_server, port) = callback(move |request| drop(keep.replace(Some(request))));
    let mut client = Client::connect_to(port).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.half_close().await;
    let request = loop {
        if let Some(request) = kept.take() {
            break request;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    request.connection().closed().await;
    request
        .connection()
        .write_headers(OK, &head(&[("Content-Length", "5")]), b"later")
        .expect("it is still there");
    request.finish().expect("so it is");
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlater").await;
    client.closed().await;
}

#[squall::test]
async fn an_application_cannot_frame_its_response_itself() {
    let fields: Rc<RefCell<(u16, HttpHeaders)>> = Rc::default();
    let answer = Rc::clone(&fields);
    let (_server, port) = callback(move |request| {
        let (status, headers) = &*answer.borrow();
        let start = ResponseStartLine { status: *status, reason: "R" };
        let body: &[u8] = if *status == 204 { b"" } else { b"abc" };
        let _ = request.connection().write_headers(start, headers, body).and_then(|()| request.finish());
    });
    for (status, own, expected) in [
        (
            200,
            head(&[("Transfer-Encoding", "chunked")]),
            "HTTP/1.1 200 R\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            200,
            head(&[("Transfer-Encoding", "gzip")]),
            "HTTP/1.1 200 R\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            200,
            head(&[("Transfer-Encoding", "chunked"), ("Content-Length", "3"), ("Transfer-Encoding", "x")]),
            "HTTP/1.1 200 R\r\nContent-Length: 3\r\n\r\nabc",
        ),
        (204, head(&[("Content-Length", "3")]), "HTTP/1.1 204 R\r\n\r\n"),
    ] {
        *fields.borrow_mut() = (status, own);
        let mut client = Client::connect_to(port).await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.expect(expected).await;
    }
    // What cannot be framed is not sent.
    for own in
        [head(&[("Content-Length", "3"), ("Content-Length", "4")]), head(&[("Content-Length", "3, 3")])]
    {
        *fields.borrow_mut() = (200, own);
        let mut client = Client::connect_to(port).await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.closed().await;
    }
}

#[squall::test]
async fn a_length_that_came_several_times_is_one() {
    let (_server, port) = callback(|request| {
        let lengths: Vec<_> = request.headers().list("Content-Length").collect();
        let text = format!("{} {}", lengths.join(";"), request.body().len());
        let headers = head(&[("Content-Length", &text.len().to_string())]);
        let _ =
            request.connection().write_headers(OK, &headers, text.as_bytes()).and_then(|()| request.finish());
    });
    for fields in
        ["Content-Length: 3, 3", "Content-Length: 3\r\nContent-Length: 3", "Content-Length: 03,3,003"]
    {
        let mut client = Client::connect_to(port).await;
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\nabc")).await;
        client.expect("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n3 3").await;
    }
}
