//! Timeouts, lingering close and compressed bodies, with small values: what is asserted is the answer
//! and the close, never how long it took.

use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use squall::testing::{TestServer, serve_on};
use squall::web::any;
use squall::{Application, Context, HttpServer, RequestHandler, Result, get, handler, url};
use tokio::sync::Notify;

use super::support::{
    Client, bad, body_too_large, closes, echo_route, ok, ok_untagged, probe, refused, stays, table,
    target_too_long, within,
};

const SHORT: Duration = Duration::from_millis(100);

fn app() -> Application {
    Application::new([
        probe(),
        echo_route(),
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

#[squall::test(timeout = 60)]
async fn a_body_that_does_not_come_forward() {
    let server = with(|s| s.body_stall_timeout(SHORT));
    let large = format!("Content-Length: 100000\r\n\r\n{}", "x".repeat(50_000));
    for body in [
        "Content-Length: 3\r\n\r\n",
        "Content-Length: 3\r\n\r\nab",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        // What came before gives no more time.
        &large,
    ] {
        let mut client = Client::connect(&server).await;
        client.send(format!("POST /echo HTTP/1.1\r\nHost: h\r\n{body}")).await;
        client.expect(timeout_of("body")).await;
        client.closed().await;
    }
    // A byte now and then is not enough: it is below the least rate.
    let mut client = Client::connect(&server).await;
    client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n").await;
    let dripping = async {
        while !client.ended_early(Duration::from_millis(20)).await {
            client.send("x").await;
        }
    };
    within("the server to lose patience", dripping).await;
    client.expect(timeout_of("body")).await;
    client.closed().await;
    let in_time = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    table(&server, [stays("in time", in_time, ok_untagged("abc"))]).await;
}

/// Deals with the first piece of a body when it is told to.
#[derive(Clone)]
struct Slow {
    go: Rc<Notify>,
}

#[handler(stream_body)]
impl RequestHandler for Slow {
    async fn data_received(&mut self, _ctx: &Context, _chunk: squall::Bytes) -> Result {
        self.go.notified().await;
        Ok(())
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write("done");
        Ok(())
    }
}

#[squall::test(timeout = 60)]
async fn the_stall_timeout_is_no_limit_on_handlers() {
    let go = Rc::new(Notify::new());
    let slow = Slow { go: Rc::clone(&go) };
    let server = serve_on(
        HttpServer::new(move || Application::new([url("/", slow.clone())])).body_stall_timeout(SHORT),
    );
    let mut client = Client::connect(&server).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc").await;
    // By the time that another body has timed out, twice, this one would have too.
    for _ in 0..2 {
        let mut other = Client::connect(&server).await;
        other.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n").await;
        other.expect(timeout_of("body")).await;
    }
    client.send("def").await;
    // The body may come in two pieces or three.
    tokio::task::spawn_local(async move {
        loop {
            go.notify_one();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    client.expect(ok_untagged("done")).await;
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
    let app = || Application::new([url("/", Patient), echo_route()]);
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
    client.expect(target_too_long(65_536)).await;
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

/// JSON as programs write it.
fn records(lines: usize) -> String {
    (0..lines)
        .map(|i| format!("{{\"id\": {i}, \"name\": \"item\", \"price\": {}}}\n", i * 7919 % 1000))
        .collect()
}

/// Takes a body of 20 MiB, in pieces.
#[derive(Clone, Default)]
struct Counting {
    bytes: usize,
}

#[handler(stream_body)]
impl RequestHandler for Counting {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        ctx.set_max_body_size(20 << 20);
        Ok(())
    }

    async fn data_received(&mut self, _ctx: &Context, chunk: squall::Bytes) -> Result {
        self.bytes += chunk.len();
        Ok(())
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write(format!("{} bytes", self.bytes));
        Ok(())
    }
}

#[squall::test(timeout = 60)]
async fn what_a_body_may_inflate_to() {
    let app = || {
        Application::new([
            any("/len", async |ctx: &Context| {
                ctx.write(format!("{} bytes", ctx.request().body().len()));
                Ok(())
            }),
            url("/stream", Counting::default()),
            probe(),
        ])
    };
    let inflates = |limit: u64| {
        let text =
            format!("Request body inflates to too much: the limits are {limit} bytes and 100 times its size");
        refused("413 Payload Too Large", &text)
    };
    // By default 10 MiB ...
    let server = serve_on(HttpServer::new(app).decompress_request(true));
    let mut client = Client::connect(&server).await;
    let long = records(240_000);
    assert!(long.len() > 10 << 20);
    client.send(post("/len", GZIP, &gzip(long.as_bytes()))).await;
    client.expect(inflates(10 << 20)).await;
    client.closed().await;
    // ... or as much as is wanted.
    let server = serve_on(HttpServer::new(app).decompress_request(true).max_decompressed_size(2 << 20));
    let (two, three) = (records(40_000), records(60_000));
    assert!(two.len() < 2 << 20 && three.len() > 2 << 20);
    let length = |text: &str| ok_untagged(&format!("{} bytes", text.len()));
    let zeros = |count: usize| gzip(&vec![0; count]);
    for (what, path, packed, answer, closes) in [
        ("honest", "/len", gzip(two.as_bytes()), length(&two), false),
        ("honest, and too long", "/len", gzip(three.as_bytes()), inflates(2 << 20), true),
        ("a handler that streams takes more", "/stream", gzip(three.as_bytes()), length(&three), false),
        ("small and monotonous", "/len", zeros(1 << 20), ok_untagged("1048576 bytes"), false),
        ("more than 100 times", "/len", zeros((2 << 20) - 1), inflates(2 << 20), true),
        ("more than 100 times, in pieces", "/stream", zeros((2 << 20) - 1), inflates(2 << 20), true),
    ] {
        println!("{what}");
        let mut client = Client::connect(&server).await;
        client.send(post(path, GZIP, &packed)).await;
        client.expect(answer).await;
        if closes {
            client.closed().await;
        }
    }
    let server = serve_on(HttpServer::new(app).decompress_request(true).max_decompressed_size(50));
    table(
        &server,
        [
            stays("50 bytes", post("/len", GZIP, &gzip(&[b'x'; 50])), ok_untagged("50 bytes")),
            stays("not compressed", post("/len", "", &[b'x'; 51]), ok_untagged("51 bytes")),
            closes("51 bytes", post("/len", GZIP, &gzip(&[b'x'; 51])), &*inflates(50)),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn json_in_memory_has_a_limit() {
    let app = |max_size: Option<usize>| {
        let mut config = squall::httputil::ParseBodyConfig::default();
        if let Some(max_size) = max_size {
            config.json.max_size = max_size;
        }
        Application::new([any("/", async |ctx: &Context| {
            let values: Vec<u64> = ctx.json()?;
            ctx.write(format!("{} values", values.len()));
            Ok(())
        })])
        .parse_body_config(config)
    };
    let numbers = |bytes: usize| {
        format!("[{}1]{}", "1,".repeat((bytes - 3) / 2), if bytes.is_multiple_of(2) { " " } else { "" })
    };
    for (limit, max_size) in [(10 << 20, None), (100, Some(100))] {
        let server = squall::testing::serve(app(max_size));
        let mut client = Client::connect(&server).await;
        client.send(post("/", "", numbers(limit).as_bytes())).await;
        client.expect(ok_untagged(&format!("{} values", limit / 2 - 1))).await;
        client.send(post("/", "", numbers(limit + 1).as_bytes())).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    }
}

#[squall::test(timeout = 60)]
async fn a_form_that_does_not_say_so_has_the_limits_of_one() {
    let app = || {
        Application::new([any("/", async |ctx: &Context| {
            let form: std::collections::BTreeMap<String, String> = ctx.form()?;
            ctx.write(format!("{form:?}"));
            Ok(())
        })])
    };
    let server = squall::testing::serve(app());
    let mut client = Client::connect(&server).await;
    client.send(post("/", "", "&a=1&&".repeat(1_000).as_bytes())).await;
    client.expect(ok_untagged("{\"a\": \"1\"}")).await;
    client.send(post("/", "", "a=1&".repeat(1_001).as_bytes())).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
}

#[squall::test(timeout = 60)]
async fn large_forms_are_read_in_pieces() {
    let app = || {
        Application::new([any("/", async |ctx: &Context| {
            let (x, y) = (ctx.argument("x")?, ctx.argument("y")?);
            let ends = |text: &str| format!("{}..{} {}", &text[..4], &text[text.len() - 4..], text.len());
            ctx.write(format!("{}, {}", ends(x), ends(y)));
            Ok(())
        })])
    };
    let server = squall::testing::serve(app());
    let near = "\r\n--bx".repeat(200_000);
    let part = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name={name}\r\n\r\n{value}\r\n")
    };
    let multipart = "Content-Type: multipart/form-data; boundary=b\r\n";
    let urlencoded = "Content-Type: application/x-www-form-urlencoded\r\n";
    let both = part("x", &format!("1234{near}5678")) + &part("y", "12345678") + "--b--";
    let encoded = format!("x=1234{}5678&y=%31%32%33%34{}", "%41+".repeat(200_000), "%C3%A9".repeat(100_000));
    let answers = [
        (multipart, both.as_bytes(), format!("1234..5678 {}, 1234..5678 8", near.len() + 8)),
        (urlencoded, encoded.as_bytes(), "1234..5678 400008, 1234..éé 200004".to_owned()),
    ];
    let mut client = Client::connect(&server).await;
    for (fields, body, answer) in answers {
        client.send(post("/", fields, body)).await;
        client.expect(ok_untagged(&answer)).await;
    }
    // Cleaned, and refused, as in a small one: far from the start, and where pieces meet.
    let long = "é".repeat(300_000);
    let controls = format!("x=1234%00{long}%01%09678&y=12345678");
    client.send(post("/", urlencoded, controls.as_bytes())).await;
    client.expect(ok_untagged("1234..\t678 600010, 1234..5678 8")).await;
    client.send(post("/", urlencoded, format!("y=1&x={long}%C3").as_bytes())).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    client = Client::connect(&server).await;
    // What is wrong is told as for a small one.
    for (fields, body) in [(multipart, &both.as_bytes()[..600_000]), (urlencoded, &b"a=1&".repeat(200_000))] {
        client.send(post("/", fields, body)).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        client = Client::connect(&server).await;
    }
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
