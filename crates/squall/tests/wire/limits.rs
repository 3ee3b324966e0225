//! Timeouts, lingering close and compressed bodies (inventory 3.2), with small values: what is asserted is the answer
//! and the close, never how long it took.

use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use squall::testing::{TestServer, serve_on};
use squall::web::any;
use squall::{Application, Context, HttpServer, RequestHandler, Result, get, handler, url};
use tokio::sync::Notify;

use super::support::{
    Client, bad, body_too_large, closes, head_too_large, ok, ok_untagged, refused, stays, table, within,
};

const SHORT: Duration = Duration::from_millis(100);

fn app() -> Application {
    Application::new([
        get("/probe", async |ctx: &Context| {
            ctx.write("alive");
            Ok(())
        }),
        any("/echo", async |ctx: &Context| {
            ctx.write(ctx.request().body());
            Ok(())
        }),
        any("/encoding", async |ctx: &Context| {
            let headers = ctx.request().headers();
            ctx.write(format!(
                "{:?} {:?} {} bytes",
                headers.get("Content-Encoding"),
                headers.get("X-Consumed-Content-Encoding"),
                ctx.request().body().len()
            ));
            Ok(())
        }),
    ])
}

fn with(change: impl FnOnce(HttpServer) -> HttpServer) -> TestServer {
    serve_on(change(HttpServer::new(app)))
}

fn timeout_of(part: &str) -> String {
    refused("408 Request Timeout", &format!("Timeout while waiting for the request {part}"))
}

#[squall::test(timeout = 60)]
async fn slow_headers() {
    let server = with(|s| s.header_timeout(SHORT));
    for part in ["G", "GET / HTTP/1.1\r\nHost: h\r\n", "\r\n"] {
        let mut client = Client::connect(&server).await;
        client.send(part).await;
        client.expect(timeout_of("header")).await;
        client.closed().await;
    }
    // The second request of a connection as well.
    let mut client = Client::connect(&server).await;
    client.alive().await;
    client.send("GET / HTTP/1.1\r\n").await;
    client.expect(timeout_of("header")).await;
    client.closed().await;
}

#[squall::test(timeout = 60)]
async fn slow_headers_that_never_stop() {
    // A byte now and then does not extend the time (slowloris).
    let server = with(|s| s.header_timeout(SHORT));
    let mut client = Client::connect(&server).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX: ").await;
    let dripping = async {
        while !client.ended_early(Duration::from_millis(20)).await {
            client.send("x").await;
        }
    };
    within("the server to lose patience", dripping).await;
    client.expect(timeout_of("header")).await;
    client.closed().await;
}

#[squall::test(timeout = 60)]
async fn idle_keep_alive() {
    let server = with(|s| s.idle_connection_timeout(SHORT));
    // Closed with no bytes, before the first request and after one.
    Client::connect(&server).await.closed().await;
    let mut client = Client::connect(&server).await;
    client.alive().await;
    client.closed().await;
}

#[squall::test(timeout = 60)]
async fn the_idle_timeout_is_no_limit_on_handlers() {
    let go = Rc::new(Notify::new());
    let waits = Rc::clone(&go);
    let server = serve_on(
        HttpServer::new(move || {
            let waits = Rc::clone(&waits);
            Application::new([get("/slow", async move |ctx: &Context| {
                waits.notified().await;
                ctx.write("slow");
                Ok(())
            })])
        })
        .idle_connection_timeout(SHORT)
        .header_timeout(SHORT)
        .body_timeout(SHORT),
    );
    let mut slow = Client::connect(&server).await;
    slow.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
    // By the time that idle connections are closed, twice, the request would have been cut off too.
    Client::connect(&server).await.closed().await;
    Client::connect(&server).await.closed().await;
    go.notify_one();
    slow.expect(ok("slow")).await;
}

#[squall::test(timeout = 60)]
async fn body_slower_than_body_timeout() {
    let server = with(|s| s.body_timeout(SHORT));
    for (fields, part) in [
        ("Content-Length: 3\r\n", ""),
        ("Content-Length: 3\r\n", "ab"),
        ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"),
    ] {
        let mut client = Client::connect(&server).await;
        client.send(format!("POST /echo HTTP/1.1\r\nHost: h\r\n{fields}\r\n{part}")).await;
        client.expect(timeout_of("body")).await;
        client.closed().await;
    }
    table(
        &server,
        [stays(
            "in time",
            "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
            ok_untagged("abc"),
        )],
    )
    .await;
}

#[derive(Clone)]
struct Patient;

#[handler(stream_body)]
impl RequestHandler for Patient {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        let connection = ctx.request().connection();
        match ctx.request().query() {
            "short" => connection.set_body_timeout(Some(SHORT)),
            _ => connection.set_body_timeout(None),
        }
        Ok(())
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write("done");
        Ok(())
    }
}

#[squall::test(timeout = 60)]
async fn set_body_timeout_in_prepare() {
    let app = || {
        Application::new([
            url("/", Patient),
            any("/echo", async |ctx: &Context| {
                ctx.write(ctx.request().body());
                Ok(())
            }),
        ])
    };
    // Shorter than the server's, which is none.
    let server = serve_on(HttpServer::new(app));
    let mut client = Client::connect(&server).await;
    client.send("POST /?short HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n").await;
    client.expect(timeout_of("body")).await;
    client.closed().await;
    // Longer than the server's: by the time that another body has timed out twice, this one would have too.
    let server = serve_on(HttpServer::new(app).body_timeout(SHORT));
    let mut patient = Client::connect(&server).await;
    patient.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n").await;
    for _ in 0..2 {
        let mut other = Client::connect(&server).await;
        other.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n").await;
        other.expect(timeout_of("body")).await;
    }
    patient.send("abc").await;
    patient.expect(ok_untagged("done")).await;
}

#[squall::test(timeout = 60)]
async fn a_413_reaches_a_client_that_never_stops_sending() {
    // Without a lingering close the reset for the unread body would overtake the answer.
    let server = with(|s| s.max_body_size(1_000));
    let body = "x".repeat(1 << 20);
    for head in [
        format!("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", u64::MAX),
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n".to_owned(),
    ] {
        let mut client = Client::connect(&server).await;
        client.send(head + &body).await;
        client.expect(body_too_large(1_000)).await;
        client.closed().await;
    }
    // A 431 and a 400 too.
    let mut client = Client::connect(&server).await;
    client.send(format!("GET /{body}")).await;
    client.expect(head_too_large(65_536)).await;
    client.closed().await;
    let mut client = Client::connect(&server).await;
    client.send(format!("nonsense\r\n\r\n{body}")).await;
    client.expect(bad("Malformed request line")).await;
    client.closed().await;
}

#[squall::test(timeout = 60)]
async fn a_client_that_does_not_read_is_cut_off_and_others_are_served() {
    let server = with(|s| s.idle_connection_timeout(SHORT));
    // More than the kernel's buffers hold, pipelined by a client that reads none of it.
    let stuck = tokio::net::TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    let body = "x".repeat(1_000_000);
    let request = format!("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let write = async {
        let mut rest = request.repeat(64).into_bytes();
        while !rest.is_empty() {
            stuck.writable().await.unwrap();
            match stuck.try_write(&rest) {
                Ok(n) => drop(rest.drain(..n)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return true,
            }
        }
        false
    };
    assert!(within("the server to cut the connection", write).await, "the server buffered 64 MB");
    Client::connect(&server).await.alive().await;
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(data).expect("a vector takes all");
    writer.finish().expect("a vector takes all")
}

fn post(path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

const GZIP: &str = "Content-Encoding: gzip\r\n";

#[squall::test(timeout = 60)]
async fn decompress_request() {
    let server = with(|s| s.decompress_request(true).max_body_size(100_000));
    let plain = "0123456789".repeat(10);
    let packed = gzip(plain.as_bytes());
    let chunked = |body: &[u8]| {
        let head = format!(
            "POST /echo HTTP/1.1\r\nHost: h\r\n{GZIP}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            body.len()
        );
        [head.as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
    };
    let junk = bad("Request body does not decompress");
    let too_large = body_too_large(100_000);
    let two = [gzip(b"one "), gzip(b"two")].concat();
    table(
        &server,
        [
            stays("body handed over plain", post("/echo", GZIP, &packed), ok_untagged(&plain)),
            stays("chunked", chunked(&packed), ok_untagged(&plain)),
            stays("empty", post("/echo", GZIP, &gzip(b"")), ok_untagged("")),
            stays("two members", post("/echo", GZIP, &two), ok_untagged("one two")),
            stays(
                "header moved to X-Consumed-Content-Encoding",
                post("/encoding", GZIP, &packed),
                ok_untagged("None Some(\"gzip\") 100 bytes"),
            ),
            stays(
                "other encodings untouched",
                post("/encoding", "Content-Encoding: br\r\n", b"abc"),
                ok_untagged("Some(\"br\") None 3 bytes"),
            ),
            stays("no body", post("/echo", GZIP, b""), ok_untagged("")),
            closes("junk data", post("/echo", GZIP, b"this is not gzip"), &*junk),
            closes("truncated gzip", post("/echo", GZIP, &packed[..packed.len() - 4]), &*junk),
            closes("truncated before any data", post("/echo", GZIP, &packed[..5]), &*junk),
            closes("junk behind it", post("/echo", GZIP, &[&packed[..], b"junk"].concat()), &*junk),
            closes("broken checksum", post("/echo", GZIP, &broken(&packed)), &*junk),
            closes("chunked junk", chunked(b"this is not gzip"), &*junk),
        ],
    )
    .await;
    // Far below the limit as sent, far above it as meant.
    let mut client = Client::connect(&server).await;
    client.send(post("/echo", GZIP, &gzip(&vec![0; 10 << 20]))).await;
    client.expect(too_large).await;
    client.closed().await;
}

fn broken(packed: &[u8]) -> Vec<u8> {
    let mut broken = packed.to_vec();
    let checksum = broken.len() - 8;
    broken[checksum] ^= 1;
    broken
}

#[squall::test(timeout = 60)]
async fn without_decompress_request_bodies_stay_as_they_are() {
    let server = with(|s| s);
    let packed = gzip(b"abc");
    let shown = format!("Some(\"gzip\") None {} bytes", packed.len());
    table(&server, [stays("off by default", post("/encoding", GZIP, &packed), ok_untagged(&shown))]).await;
}
