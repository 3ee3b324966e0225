//! Keep-alive, pipelining, body framing and limits.

use std::rc::Rc;

use squall::testing::{TestServer, serve, serve_on};
use squall::{Application, Context, HttpServer, get, post};
use tokio::sync::Notify;

use super::support::{
    Client, bad, body_too_large, closes, closing, echo_route, ok, ok_untagged, ok_with, probe, stays, table,
    within,
};

fn app() -> Application {
    Application::new([
        probe(),
        echo_route(),
        get("/stream", async |ctx: &Context| {
            ctx.write("one");
            ctx.flush().await?;
            ctx.flush().await?; // nothing was written: no chunk, which would end the body
            ctx.write("three and twenty bytes");
            ctx.flush().await?;
            Ok(())
        }),
        get("/length/{n}", async |ctx: &Context| {
            let n: usize = ctx.path_arg("n")?;
            ctx.write("x".repeat(n));
            Ok(())
        }),
    ])
}

fn server() -> TestServer {
    serve(app())
}

/// What `POST /echo` answers.
fn echo(body: &str) -> String {
    ok_untagged(body)
}

/// The request that most rows of this file are about.
fn request(line: &str, fields: &str, body: &str) -> String {
    format!("{line}\r\nHost: h\r\n{fields}\r\n{body}")
}

#[squall::test(timeout = 60)]
async fn keep_alive_http_1_1() {
    let get = |connection: &str| request("GET /echo HTTP/1.1", connection, "");
    let close = ok_with("Connection: close\r\n", "");
    table(
        &server(),
        [
            stays("open by default", get(""), ok("")),
            stays("Connection: keep-alive", get("Connection: keep-alive\r\n"), ok("")),
            stays("Connection: something else", get("Connection: x\r\n"), ok("")),
            stays("a token that only contains close", get("Connection: closed\r\n"), ok("")),
            closes("Connection: close", get("Connection: close\r\n"), &*close),
            closes("case-insensitive", get("connection: CLOSE\r\n"), &*close),
            closes("Connection: close, x", get("Connection: close, x\r\n"), &*close),
            closes("Connection: x,close", get("Connection: x,close\r\n"), &*close),
            closes("close wins over keep-alive", get("Connection: keep-alive, close\r\n"), &*close),
            closes("on a second line", get("Connection: x\r\nConnection: close\r\n"), &*close),
            closes(
                "with the body read",
                request("POST /echo HTTP/1.1", "Connection: close\r\nContent-Length: 2\r\n", "ab"),
                ok_with("Connection: close\r\n", "ab").replace("Etag: <etag>\r\n", ""),
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn keep_alive_http_1_0() {
    let keep = "Connection: keep-alive\r\n";
    let kept = |text: String| text.replace("\r\n\r\n", "\r\nConnection: Keep-Alive\r\n\r\n");
    let get = |line: &str, fields: &str, body: &str| request(&format!("{line} HTTP/1.0"), fields, body);
    table(
        &server(),
        [
            closes("closed by default", get("GET /echo", "", ""), ok("")),
            stays("with keep-alive", get("GET /echo", keep, ""), kept(ok(""))),
            stays("case-insensitive", get("GET /echo", "connection: Keep-ALIVE\r\n", ""), kept(ok(""))),
            closes("close wins", get("GET /echo", "Connection: keep-alive, close\r\n", ""), ok("")),
            stays("HEAD", get("HEAD /echo", keep, ""), kept(ok(""))),
            stays(
                "POST with Content-Length",
                get("POST /echo", &format!("{keep}Content-Length: 2\r\n"), "ab"),
                kept(echo("ab")),
            ),
            // Tornado says Keep-Alive and closes. Here what is said is what happens.
            stays("POST without Content-Length", get("POST /echo", keep, ""), kept(echo(""))),
            closes(
                "streamed response without Content-Length: until close",
                get("GET /stream", keep, ""),
                "HTTP/1.1 200 OK\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\n\
                 Date: <date>\r\n\r\nonethree and twenty bytes",
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn no_keep_alive() {
    let server = serve_on(HttpServer::new(app).no_keep_alive(true));
    table(
        &server,
        [
            closes("HTTP/1.1", request("GET /echo HTTP/1.1", "", ""), ok_with("Connection: close\r\n", "")),
            closes(
                "HTTP/1.0: no Keep-Alive is promised",
                request("GET /echo HTTP/1.0", "Connection: keep-alive\r\n", ""),
                ok(""),
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn pipelining() {
    let one = request("GET /length/1 HTTP/1.1", "", "");
    let post = request("POST /echo HTTP/1.1", "Content-Length: 3\r\n", "abc");
    let chunked = request("POST /echo HTTP/1.1", "Transfer-Encoding: chunked\r\n", "2\r\nde\r\n0\r\n\r\n");
    let missing = request("GET /nowhere HTTP/1.1", "", "");
    let close = request("GET /length/1 HTTP/1.1", "Connection: close\r\n", "");
    let not_found = super::support::page("404 Not Found", "");
    table(
        &server(),
        [
            stays("in order", [&*one, &post, &one].concat(), [ok("x"), echo("abc"), ok("x")].concat()),
            stays("chunked between", [&*chunked, &one].concat(), [echo("de"), ok("x")].concat()),
            stays(
                "error pages keep the connection",
                [&*missing, &one].concat(),
                [&*not_found, &ok("x")].concat(),
            ),
            closes(
                "a malformed request ends it, after the answers before",
                [&*one, &post, "nonsense\r\n\r\n", &one].concat(),
                [ok("x"), echo("abc"), bad("Malformed request line")].concat(),
            ),
            closes(
                "a body that is too long is taken for a request",
                [&*post, "d\r\n\r\n", &one].concat(),
                [echo("abc"), bad("Malformed request line")].concat(),
            ),
            closes(
                "nothing is answered after Connection: close",
                [&*one, &close, &one].concat(),
                [ok("x"), ok_with("Connection: close\r\n", "x")].concat(),
            ),
            closes(
                "nothing is answered after HTTP/1.0",
                [&*one, &request("GET /length/1 HTTP/1.0", "", ""), &one].concat(),
                ok("x").repeat(2),
            ),
            closes(
                "an error inside of a body",
                [&*one, &request("POST /echo HTTP/1.1", "Transfer-Encoding: chunked\r\n", "x\r\n"), &one]
                    .concat(),
                [ok("x"), bad("Invalid chunk size")].concat(),
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn a_hundred_pipelined_requests_of_different_sizes() {
    let server = server();
    let (mut sent, mut expected) = (String::new(), String::new());
    for i in 0..100 {
        // Bodies from 0 to some 40,000 bytes both ways, across all buffer sizes.
        let size = i * i * 4;
        if i % 2 == 0 {
            sent += &request(&format!("GET /length/{size} HTTP/1.1"), "", "");
            expected += &ok(&"x".repeat(size));
        } else {
            let body = "y".repeat(size);
            sent += &request("POST /echo HTTP/1.1", &format!("Content-Length: {size}\r\n"), &body);
            expected += &echo(&body);
        }
    }
    let mut client = Client::connect(&server).await;
    client.send(&sent).await;
    client.expect(&expected).await;
    client.alive().await;
}

#[squall::test(timeout = 60)]
async fn a_slow_request_does_not_overtake() {
    let go = Rc::new(Notify::new());
    let waits = Rc::clone(&go);
    let server = serve(Application::new([
        get("/slow", async move |ctx: &Context| {
            waits.notified().await;
            ctx.write("slow");
            Ok(())
        }),
        probe(),
    ]));
    let mut client = Client::connect(&server).await;
    client.send(request("GET /slow HTTP/1.1", "", "") + &request("GET /probe HTTP/1.1", "", "")).await;
    // Another connection is served meanwhile.
    Client::connect(&server).await.alive().await;
    go.notify_one();
    client.expect(ok("slow") + &ok("alive")).await;
    client.alive().await;
}

#[squall::test(timeout = 60)]
async fn content_length() {
    let invalid = bad("Invalid Content-Length");
    let post = |fields: &str, body: &str| request("POST /echo HTTP/1.1", fields, body);
    let wrong =
        ["-1", "+1", "1_0", "", "0x1", "1a", "1.0", "1 1", "99999999999999999999", "\u{661}", "1;", "\"1\""];
    table(
        &server(),
        wrong.map(|v| {
            closes(&format!("not [0-9]+: {v:?}"), post(&format!("Content-Length: {v}\r\n"), "a"), &*invalid)
        }),
    )
    .await;
    table(
        &server(),
        [
            stays("plain", post("Content-Length: 3\r\n", "abc"), echo("abc")),
            stays("leading zeros", post("Content-Length: 0003\r\n", "abc"), echo("abc")),
            stays("zero", post("Content-Length: 0\r\n", ""), echo("")),
            stays(
                "several, all equal",
                post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
                echo("abc"),
            ),
            stays("several in one line, all equal", post("Content-Length: 3, 3\r\n", "abc"), echo("abc")),
            closes(
                "several, different",
                post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"),
                &*invalid,
            ),
            closes("several in one line, different", post("Content-Length: 3,4\r\n", "abcd"), &*invalid),
            closes("an empty one in a list", post("Content-Length: 3,\r\n", "abc"), &*invalid),
            closes("in a GET", request("GET /echo HTTP/1.1", "Content-Length: x\r\n", ""), &*invalid),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn transfer_encoding() {
    let post = |fields: &str| request("POST /echo HTTP/1.1", fields, "3\r\nabc\r\n0\r\n\r\n");
    let unsupported = bad("Unsupported Transfer-Encoding");
    let both = bad("Both Content-Length and Transfer-Encoding");
    table(
        &server(),
        [
            stays("chunked", post("Transfer-Encoding: chunked\r\n"), echo("abc")),
            stays("any case", post("transfer-encoding: cHUNKed\r\n"), echo("abc")),
            closes(
                "with Content-Length",
                post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
                &*both,
            ),
            closes(
                "the other way round",
                post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
                &*both,
            ),
            closes(
                "with Content-Length: 0",
                post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
                &*both,
            ),
            closes("gzip", post("Transfer-Encoding: gzip\r\n"), &*unsupported),
            closes("gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n"), &*unsupported),
            closes(",chunked", post("Transfer-Encoding: ,chunked\r\n"), &*unsupported),
            closes("chunked, identity", post("Transfer-Encoding: chunked, identity\r\n"), &*unsupported),
            closes("identity", post("Transfer-Encoding: identity\r\n"), &*unsupported),
            closes("xchunked", post("Transfer-Encoding: xchunked\r\n"), &*unsupported),
            closes("empty", post("Transfer-Encoding:\r\n"), &*unsupported),
            closes("quoted", post("Transfer-Encoding: \"chunked\"\r\n"), &*unsupported),
            closes(
                "twice",
                post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
                &*unsupported,
            ),
            closes("in a GET", request("GET / HTTP/1.1", "Transfer-Encoding: gzip\r\n", ""), &*unsupported),
            // Tornado takes it; RFC 9112 section 6.1 calls it a framing fault.
            closes(
                "chunked in an HTTP/1.0 request",
                request("POST /echo HTTP/1.0", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
                unsupported,
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn chunks() {
    let post = |body: &str| request("POST /echo HTTP/1.1", "Transfer-Encoding: chunked\r\n", body);
    let size = bad("Invalid chunk size");
    let wrong = [
        "\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        " 1\r\n",
        "1 \r\n",
        "1_0\r\n",
        "g\r\n",
        ";x\r\n",
        "1\n",
        "1\rx",
        "10000000000000000\r\n",
        "\u{661}\r\n",
    ];
    table(&server(), wrong.map(|s| closes(&format!("chunk size {s:?}"), post(s), &*size))).await;
    let end = bad("Chunk data not followed by CRLF");
    let extension = bad("Invalid or excessive chunk extensions");
    let trailer = bad("Invalid or excessive trailer");
    table(
        &server(),
        [
            stays("several", post("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), echo("abc")),
            stays("none", post("0\r\n\r\n"), echo("")),
            stays(
                "upper-case and leading zeros",
                post("00A\r\n0123456789\r\n000\r\n\r\n"),
                echo("0123456789"),
            ),
            stays("data that looks like a chunk", post("5\r\n0\r\n\r\n\r\n0\r\n\r\n"), echo("0\r\n\r\n")),
            stays("extensions are ignored", post("3;a=b;c=\"d e\"\r\nabc\r\n0;last\r\n\r\n"), echo("abc")),
            stays(
                "a size line of 1,000 bytes",
                post(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(1_000))),
                echo("abc"),
            ),
            closes("extensions without end", post(&format!("3;{}\r\n", "x".repeat(20_000))), &*extension),
            closes(
                "extensions without end, in small pieces",
                post(&format!("1;{}\r\na\r\n", "x".repeat(30)).repeat(600)),
                &*extension,
            ),
            closes("size without end", post(&"0".repeat(20_000)), &*extension),
            closes("LF in an extension", post("3;a\nb\r\nabc\r\n"), &*extension),
            closes("data after chunk not CRLF", post("3\r\nabcX\r\n"), &*end),
            closes("chunk ends in LF", post("3\r\nabc\n0\r\n\r\n"), &*end),
            closes("chunk longer than its size", post("3\r\nabcd\r\n0\r\n\r\n"), &*end),
            stays("trailers are ignored", post("3\r\nabc\r\n0\r\nX: 1\r\nHost: evil\r\n\r\n"), echo("abc")),
            closes("trailer without colon", post("0\r\nnocolon\r\n\r\n"), &*trailer),
            closes("trailer with a control character", post("0\r\nX: \0\r\n\r\n"), &*trailer),
            closes("trailer without end", post(&format!("0\r\n{}", "X: 1\r\n".repeat(4_000))), &*trailer),
            closes("bare LF for the last line", post("0\r\n\n"), trailer),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn bodies_without_framing() {
    table(
        &server(),
        [
            stays("POST with neither length nor chunked", request("POST /echo HTTP/1.1", "", ""), echo("")),
            stays(
                "GET with a body",
                request("GET /echo HTTP/1.1", "Content-Length: 3\r\n", "abc"),
                ok("abc"),
            ),
            stays(
                "GET with a chunked body",
                request("GET /echo HTTP/1.1", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
                ok("abc"),
            ),
            stays(
                "a body for an unknown path is read",
                request("POST /nowhere HTTP/1.1", "Content-Length: 3\r\n", "abc"),
                super::support::page("404 Not Found", ""),
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn max_body_size() {
    let server = serve_on(HttpServer::new(app).max_body_size(5));
    let post = |fields: &str, body: &str| request("POST /echo HTTP/1.1", fields, body);
    let too_large = body_too_large(5);
    table(
        &server,
        [
            stays("as large as allowed", post("Content-Length: 5\r\n", "abcde"), echo("abcde")),
            closes(
                "Content-Length larger, before reading the body",
                post("Content-Length: 6\r\n", ""),
                &*too_large,
            ),
            closes("a huge one", post("Content-Length: 18446744073709551615\r\n", ""), &*too_large),
            stays(
                "chunked as large as allowed",
                post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
                echo("abcde"),
            ),
            closes(
                "chunked total larger",
                post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"),
                &*too_large,
            ),
            closes(
                "also for an unknown path",
                request("POST /nowhere HTTP/1.1", "Content-Length: 6\r\n", ""),
                &*too_large,
            ),
            closes("no 100 for it", post("Expect: 100-continue\r\nContent-Length: 6\r\n", ""), &*too_large),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn expect_100_continue() {
    let server = server();
    for (row, expect) in [("exactly this", "100-continue"), ("any case", "100-Continue")] {
        let mut client = Client::connect(&server).await;
        let fields = format!("Expect: {expect}\r\nContent-Length: 3\r\n");
        client.send(request("POST /echo HTTP/1.1", &fields, "")).await;
        client.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
        client.send("abc").await;
        client.expect(echo("abc")).await;
        client.alive().await;
        println!("{row}: ok");
    }
    // Chunked, and behind another request.
    let mut client = Client::connect(&server).await;
    let fields = "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n";
    client
        .send(request("GET /length/1 HTTP/1.1", "", "") + &request("POST /echo HTTP/1.1", fields, ""))
        .await;
    client.expect(ok("x") + "HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("3\r\nabc\r\n0\r\n\r\n").await;
    client.expect(echo("abc")).await;
    client.alive().await;
}

#[squall::test(timeout = 60)]
async fn other_expectations_are_ignored() {
    let post = |line: &str, expect: &str, body: &str| {
        request(line, &format!("Expect: {expect}\r\nContent-Length: {}\r\n", body.len()), body)
    };
    table(
        &server(),
        [
            stays("unknown", post("POST /echo HTTP/1.1", "200-ok", "abc"), echo("abc")),
            stays("no body to wait for", post("POST /echo HTTP/1.1", "100-continue", ""), echo("")),
            closes("HTTP/1.0", post("POST /echo HTTP/1.0", "100-continue", "abc"), echo("abc")),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn a_client_that_leaves_inside_of_a_body_stops_nothing() {
    let server = server();
    for part in ["POST /ec", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"] {
        let mut client = Client::connect(&server).await;
        client.send(part).await;
        client.leave().await;
    }
    Client::connect(&server).await.alive().await;
}

#[squall::test(timeout = 60)]
async fn requests_before_a_half_close_are_answered() {
    // The client has sent all and says so; what it asked before still counts.
    let server = server();
    let mut client = Client::connect(&server).await;
    client.send(request("GET /length/1 HTTP/1.1", "", "") + &request("GET /stream HTTP/1.1", "", "")).await;
    client.half_close().await;
    client
        .expect(
            ok("x")
                + "HTTP/1.1 200 OK\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\nDate: <date>\r\n\
                   Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n16\r\nthree and twenty bytes\r\n0\r\n\r\n",
        )
        .await;
    client.closed().await;
}

#[squall::test(timeout = 60)]
async fn a_response_ends_before_the_body_is_read() {
    // The handler does not stream, so the body is read; a refusal does not wait for it.
    let server = serve_on(
        HttpServer::new(|| Application::new([post("/", async |_: &Context| Ok(()))])).max_body_size(10),
    );
    let mut client = Client::connect(&server).await;
    client.send(request("POST / HTTP/1.1", "Content-Length: 11\r\n", "abc")).await;
    client.expect(body_too_large(10)).await;
    client.closed().await;
}

#[squall::test(timeout = 60)]
async fn draining_ends_idle_connections_and_lets_others_finish() {
    let go = Rc::new(Notify::new());
    let entered = Rc::new(Notify::new());
    let (waits, enters) = (Rc::clone(&go), Rc::clone(&entered));
    let server = HttpServer::new(move || {
        let (waits, enters) = (Rc::clone(&waits), Rc::clone(&enters));
        Application::new([
            get("/slow", async move |ctx: &Context| {
                enters.notify_one();
                waits.notified().await;
                ctx.write("slow");
                Ok(())
            }),
            probe(),
        ])
    });
    let options = squall::netutil::BindOptions::new().address("127.0.0.1");
    server.listen_on(0, &options).expect("a port");
    let port = server.local_addrs()[0].port().expect("a TCP port");
    let mut idle = Client::connect_to(port).await;
    idle.alive().await;
    let mut busy = Client::connect_to(port).await;
    busy.send(request("GET /slow HTTP/1.1", "", "")).await;
    within("the handler", entered.notified()).await;
    assert_eq!(server.connection_count(), 2);
    server.stop();
    server.drain();
    idle.closed().await;
    go.notify_one();
    busy.expect(closing(&ok("slow"))).await;
    busy.closed().await;
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
}
