//! Servers of a bare function: bytes that the function writes itself, or a framed response without handlers.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::Duration;

use squall::httputil::{
    BodyKind, HttpHeaders, HttpMessageDelegate, HttpOutputError, HttpServerConnectionDelegate,
    HttpServerRequest, Pending, ResponseStartLine, Started,
};
use squall::netutil::BindOptions;
use squall::testing::{TestServer, serve_on};
use squall::{Bytes, HttpServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::support::{Client, bad, closes, stays, table, within};
use crate::log::Lines;

type Kept = Rc<RefCell<Vec<HttpServerRequest>>>;

/// Answers `GET /probe` as the tables want, and leaves the rest to `callback`.
fn serving(callback: impl Fn(HttpServerRequest) + 'static) -> TestServer {
    serve_on(HttpServer::with_callback(move |request| {
        if request.path() == "/probe" {
            let probe = "HTTP/1.1 200 OK\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\n\
                 Date: <date>\r\nEtag: <etag>\r\nContent-Length: 5\r\n\r\nalive";
            request.write(probe).and_then(|()| request.finish()).expect("the client is there");
        } else {
            callback(request);
        }
    }))
}

/// A server that answers nothing by itself: what it keeps, and word of each request.
fn keeping() -> (TestServer, Kept, Rc<Notify>) {
    let (kept, came) = (Kept::default(), Rc::new(Notify::new()));
    let (keeps, comes) = (Rc::clone(&kept), Rc::clone(&came));
    let server = serving(move |request| {
        keeps.borrow_mut().push(request);
        comes.notify_one();
    });
    (server, kept, came)
}

fn framed(
    request: &HttpServerRequest,
    status: u16,
    fields: &[(&str, &str)],
    body: &[u8],
) -> Result<(), HttpOutputError> {
    let headers: HttpHeaders = fields.iter().copied().collect();
    let start = ResponseStartLine { status, reason: squall::httputil::reason_phrase(status) };
    request.connection().write_headers(start, &headers, body)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

#[squall::test(timeout = 60)]
async fn raw_bytes() {
    let server = serving(|request| {
        let body = format!("{} {} {}", request.method(), request.uri(), request.body().len());
        request.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())).unwrap();
        request.write(body).unwrap();
        request.finish().unwrap();
    });
    let answer = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    table(
        &server,
        [
            stays("nothing is added", get("/a?b"), answer("GET /a?b 0")),
            stays(
                "the body is complete",
                "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                answer("PUT / 3"),
            ),
            stays("pipelined", get("/a") + &get("/b"), answer("GET /a 0") + &answer("GET /b 0")),
            closes("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", answer("GET / 0")),
            closes("Connection: close", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", answer("GET / 0")),
            closes("malformed", "GET\r\n\r\n", bad("Malformed request line")),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn framed_responses() {
    let server = serving(|request| {
        let connection = request.connection().clone();
        match request.path() {
            "/length" => framed(&request, 200, &[("Content-Length", "4")], b"ab").unwrap(),
            "/none" => framed(&request, 204, &[], b"").unwrap(),
            "/not-modified" => framed(&request, 304, &[("Etag", "\"x\"")], b"").unwrap(),
            "/closing" => {
                framed(&request, 200, &[("Content-Length", "4"), ("Connection", "close")], b"ab").unwrap();
            }
            _ => framed(&request, 200, &[], b"ab").unwrap(),
        }
        if !matches!(request.path(), "/none" | "/not-modified") {
            connection.write(b"").unwrap();
            connection.write(b"cd").unwrap();
        }
        connection.finish().unwrap();
        assert_eq!(connection.finish(), Err(HttpOutputError::OutOfOrder), "finished twice");
        assert_eq!(connection.write(b"x"), Err(HttpOutputError::OutOfOrder), "written after the end");
    });
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n";
    let head = |path: &str| get(path).replace("GET", "HEAD");
    let old = |path: &str, fields: &str| format!("GET {path} HTTP/1.0\r\n{fields}\r\n");
    let keep = "Connection: keep-alive\r\n";
    table(
        &server,
        [
            stays("chunked", get("/"), chunked),
            stays("Content-Length", get("/length"), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd"),
            stays("HEAD is never chunked", head("/"), "HTTP/1.1 200 OK\r\n\r\n"),
            stays(
                "HEAD with Content-Length",
                head("/length"),
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
            ),
            stays("204", get("/none"), "HTTP/1.1 204 No Content\r\n\r\n"),
            stays("304", get("/not-modified"), "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n"),
            closes("HTTP/1.0: until close", old("/", ""), "HTTP/1.1 200 OK\r\n\r\nabcd"),
            closes(
                "HTTP/1.0 keep-alive without length: until close",
                old("/", keep),
                "HTTP/1.1 200 OK\r\n\r\nabcd",
            ),
            stays(
                "HTTP/1.0 keep-alive with length",
                old("/length", keep),
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: Keep-Alive\r\n\r\nabcd",
            ),
            closes(
                "Connection: close by the application",
                get("/closing"),
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nabcd",
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn wrong_framing_by_the_application() {
    let server = serving(|request| {
        let connection = request.connection();
        match request.path() {
            "/too-much" => {
                let written = framed(&request, 200, &[("Content-Length", "3")], b"abcd");
                assert_eq!(written, Err(HttpOutputError::TooMuchData));
            }
            "/too-little" => {
                framed(&request, 200, &[("Content-Length", "3")], b"ab").unwrap();
                assert_eq!(connection.finish(), Err(HttpOutputError::TooLittleData(1)));
            }
            "/no-number" => {
                let written = framed(&request, 200, &[("Content-Length", "-3")], b"ab");
                assert_eq!(written, Err(HttpOutputError::ContentLength));
            }
            "/body-of-204" => {
                assert_eq!(framed(&request, 204, &[], b"ab"), Err(HttpOutputError::BodyNotAllowed(204)));
            }
            "/twice" => {
                framed(&request, 200, &[("Content-Length", "2")], b"ab").unwrap();
                assert_eq!(framed(&request, 200, &[], b""), Err(HttpOutputError::OutOfOrder));
                assert_eq!(request.write("raw"), Err(HttpOutputError::OutOfOrder));
                connection.finish().unwrap();
            }
            "/body-first" => {
                assert_eq!(connection.write(b"ab"), Err(HttpOutputError::OutOfOrder));
                framed(&request, 200, &[("Content-Length", "2")], b"ok").unwrap();
                connection.finish().unwrap();
            }
            other => panic!("no test has the path {other}"),
        }
    });
    table(
        &server,
        [
            closes("more than its Content-Length: closed with nothing sent", get("/too-much"), ""),
            closes("less than its Content-Length: closed", get("/too-little"), ""),
            closes("a Content-Length that is no number: closed with nothing sent", get("/no-number"), ""),
            closes("a body for 204: closed with nothing sent", get("/body-of-204"), ""),
            stays(
                "two heads: the second is refused",
                get("/twice"),
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
            ),
            stays(
                "body before head: refused",
                get("/body-first"),
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            ),
            closes(
                "the answers before it are sent",
                get("/twice") + &get("/too-much") + &get("/twice"),
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn a_request_kept_and_answered_later() {
    let (server, kept, came) = keeping();
    let mut client = Client::connect(&server).await;
    client.send(get("/1") + &get("/probe")).await;
    within("the request", came.notified()).await;
    // Others are served meanwhile.
    Client::connect(&server).await.alive().await;
    let request = kept.borrow_mut().pop().unwrap();
    framed(&request, 200, &[], b"la").unwrap();
    request.connection().flush().await.unwrap();
    client.expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nla\r\n").await;
    request.connection().write(b"te").unwrap();
    request.finish().unwrap();
    let probe = super::support::ok("alive");
    client.expect("2\r\nte\r\n0\r\n\r\n".to_owned() + &probe).await;
    client.alive().await;
    // The exchange is over: whoever still has the handle does no harm.
    assert_eq!(request.connection().write(b"x"), Err(HttpOutputError::Closed));
    assert_eq!(request.finish(), Err(HttpOutputError::Closed));
    request.connection().abort();
    within("closed() of an exchange that is over", request.connection().closed()).await;
    client.alive().await;
}

#[squall::test(timeout = 60)]
async fn a_request_dropped_without_an_answer() {
    let server = serving(drop);
    table(
        &server,
        [
            closes("closed with nothing sent", get("/"), ""),
            closes("the answers before it are sent", get("/probe") + &get("/"), super::support::ok("alive")),
        ],
    )
    .await;
    // Kept first, and dropped later.
    let (server, kept, came) = keeping();
    let mut client = Client::connect(&server).await;
    client.send(get("/")).await;
    within("the request", came.notified()).await;
    kept.borrow_mut().clear();
    client.closed().await;
}

/// An error in the log is an application's: a client that leaves causes none, whatever became of its request.
#[squall::test(timeout = 60)]
async fn a_client_that_leaves_is_no_error() {
    let (lines, _guard) = Lines::capture();
    // Answers nothing once the client has left; to `/forget` it gives no answer in any case.
    let server = HttpServer::with_callback(|request| {
        if request.path() == "/flood" {
            tokio::task::spawn_local(async move {
                let start = framed(&request, 200, &[], b"");
                while start.is_ok() && request.connection().write(&[b'x'; 65_536]).is_ok() {
                    let _ = request.connection().flush().await;
                }
            });
        } else if request.path() == "/wait" {
            tokio::task::spawn_local(async move { request.connection().closed().await });
        }
    });
    server.listen_on(0, &BindOptions::new().address("127.0.0.1")).unwrap();
    let connect = async || {
        let port = server.local_addrs()[0].port().unwrap();
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap()
    };
    // Whether a line is wanted is remembered when it is first met, perhaps by a test on another thread that wants none.
    for _ in 0..2 {
        lines.take();
        let mut stream = connect().await;
        stream.write_all(get("/forget").as_bytes()).await.unwrap();
        assert_eq!(within("the end", stream.read(&mut [0; 10])).await.unwrap(), 0);
        tracing::callsite::rebuild_interest_cache();
    }
    let log = lines.take();
    assert!(log.contains("ERROR") && log.contains("dropped its request without an answer"), "{log}");
    for (path, resets) in [("/wait", false), ("/wait", true), ("/flood", true)] {
        let mut stream = connect().await;
        stream.write_all(get(path).as_bytes()).await.unwrap();
        if path == "/flood" {
            assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 10);
        }
        within("the request", async {
            while server.connection_count() == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        // Until it is being served.
        tokio::time::sleep(Duration::from_millis(50)).await;
        if resets {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(stream);
        within("the end of the connection", async {
            while server.connection_count() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let log = lines.take();
        assert!(!log.contains("ERROR") && !log.contains("WARN"), "{path}: {log}");
    }
}

#[squall::test(timeout = 60)]
async fn a_request_whose_client_leaves() {
    let (server, kept, came) = keeping();
    let mut client = Client::connect(&server).await;
    client.send(get("/")).await;
    within("the request", came.notified()).await;
    client.leave().await;
    let request = kept.borrow_mut().pop().unwrap();
    within("closed()", request.connection().closed()).await;
    // The connection's task sees it too; from then on the answer has nowhere to go.
    let refused = async {
        while request.write("HTTP/1.1 200 OK\r\n\r\n").is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within("a write to be refused", refused).await;
}

#[squall::test(timeout = 60)]
async fn panic() {
    let server = serving(|request| {
        if request.path() == "/late" {
            framed(&request, 200, &[], b"ab").unwrap();
        }
        panic!("in the callback, on purpose");
    });
    table(
        &server,
        [
            closes("closed with nothing sent", get("/"), ""),
            closes("also when a response was begun", get("/late"), ""),
            closes("the answers before it are sent", get("/probe") + &get("/"), super::support::ok("alive")),
        ],
    )
    .await;
    Client::connect(&server).await.alive().await;
}

/// Panics where the path says.
struct Panics;

impl HttpServerConnectionDelegate for Panics {
    fn start_request(&self, request: HttpServerRequest, _body: BodyKind) -> Started {
        let message = PanickingMessage(request.path().to_owned(), request);
        message.maybe("/start");
        Started::Message(Box::new(message))
    }
}

struct PanickingMessage(String, HttpServerRequest);

impl PanickingMessage {
    fn maybe(&self, at: &str) {
        assert_ne!(self.0, at, "on purpose");
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the delegate has it")]
    fn later(&self, at: &str) -> Pending<'_> {
        let panics = self.0 == at;
        Some(Box::pin(async move { assert!(!panics, "on purpose") }))
    }
}

impl HttpMessageDelegate for PanickingMessage {
    fn headers_received(&mut self) -> Pending<'_> {
        self.maybe("/headers");
        self.later("/headers-later")
    }

    fn data_received(&mut self, _chunk: Bytes) -> Pending<'_> {
        self.maybe("/data");
        self.later("/data-later")
    }

    fn poll_beside(&mut self, _cx: &mut std::task::Context<'_>) {
        self.maybe("/beside");
    }

    fn finish(self: Box<Self>) -> Pending<'static> {
        self.maybe("/finish");
        framed(&self.1, 200, &[("Content-Length", "2")], b"ok").and_then(|()| self.1.finish()).unwrap();
        None
    }

    fn on_connection_close(self: Box<Self>) {
        self.maybe("/left");
    }
}

#[squall::test(timeout = 60)]
async fn wherever_a_delegate_panics_its_connection_is_cut_and_the_server_goes_on() {
    let server = serve_on(HttpServer::new(|| Panics));
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for place in
        ["start", "headers", "headers-later", "data", "data-later", "finish", "beside", "left", "nowhere"]
    {
        let head = format!("POST /{place} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
        let mut client = Client::connect(&server).await;
        client.send(head).await;
        match place {
            "beside" => {}
            "left" => client.send("ab").await,
            _ => client.send("abcd").await,
        }
        match place {
            "nowhere" => client.expect(ok).await,
            "left" => client.leave().await,
            _ => client.closed().await,
        }
    }
    let mut client = Client::connect(&server).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab").await;
    client.expect(ok).await;
}

#[squall::test(timeout = 60)]
async fn abort_after_a_flush_cuts() {
    let go = Rc::new(Notify::new());
    let waits = Rc::clone(&go);
    let server = serving(move |request| {
        let waits = Rc::clone(&waits);
        tokio::task::spawn_local(async move {
            framed(&request, 200, &[], b"ab").unwrap();
            request.connection().flush().await.unwrap();
            waits.notified().await;
            request.connection().abort();
        });
    });
    let mut client = Client::connect(&server).await;
    client.send(get("/")).await;
    client.expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n").await;
    go.notify_one();
    client.closed().await;
}

/// Speaks over the socket itself.
fn take_over(request: &HttpServerRequest) {
    request.write("HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
    let stream = request.connection().detach().unwrap();
    let (socket, early) = stream.detach().unwrap();
    let mut socket = std::net::TcpStream::from(socket);
    socket.set_nonblocking(false).unwrap();
    let mut line = early.to_vec();
    let read = line.len();
    line.resize(6, 0);
    socket.read_exact(&mut line[read..]).unwrap();
    socket.write_all(&line).unwrap();
}

#[squall::test(timeout = 60)]
async fn detach_gives_the_socket_at_once() {
    let kept = Kept::default();
    let (keeps, came) = (Rc::clone(&kept), Rc::new(Notify::new()));
    let comes = Rc::clone(&came);
    let server = serving(move |request| {
        if request.path() == "/now" {
            return take_over(&request);
        }
        keeps.borrow_mut().push(request);
        comes.notify_one();
    });
    for path in ["/now", "/later"] {
        let mut client = Client::connect(&server).await;
        client.send(get(path) + "hello\n").await;
        if path == "/later" {
            within("the request", came.notified()).await;
            take_over(&kept.borrow()[0]);
        }
        client.expect("HTTP/1.1 101 Switching Protocols\r\n\r\nhello\n").await;
        client.closed().await;
    }
}

#[squall::test(timeout = 60)]
async fn detach() {
    let server = serving(|request| {
        tokio::task::spawn_local(async move {
            request.write("HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
            let stream = request.connection().detach().unwrap();
            let line = stream.read_until(b"\n", None).await.unwrap();
            stream.write(line).await.unwrap();
        });
    });
    let mut client = Client::connect(&server).await;
    client.send(get("/") + "hello\n").await;
    client.expect("HTTP/1.1 101 Switching Protocols\r\n\r\nhello\n").await;
    client.closed().await;
}
