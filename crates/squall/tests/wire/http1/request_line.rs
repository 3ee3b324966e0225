//! The request line, headers and Host.

use squall::httpserver::callback;
use squall::routing::{Matcher, Rule, RuleRouter};
use squall::testing::{TestServer, serve, serve_on};
use squall::web::any;
use squall::{Application, Context, HttpServer, RequestHandler, Result, handler, url};

use super::support::{
    Case, bad, closes, head_too_large, ok, ok_with, page, page_saying, probe, refused, stays, table,
    target_too_long, too_many_headers,
};

/// Writes what was understood of the request line and of the header `X`.
async fn show(ctx: &Context) -> Result {
    let request = ctx.request();
    ctx.write(format!(
        "{} {} ? {} @ {}",
        request.method(),
        request.path(),
        request.query(),
        request.host_name()
    ));
    for value in request.headers().list("X") {
        ctx.write(format!(" [{value}]"));
    }
    if let Some(joined) = request.headers().joined("X") {
        ctx.write(format!(" {joined}"));
    }
    Ok(())
}

#[derive(Clone)]
struct Plain;

#[handler]
impl RequestHandler for Plain {
    async fn get(&mut self, ctx: &Context) -> Result {
        show(ctx).await
    }
}

#[derive(Clone)]
struct PostOnly;

#[handler]
impl RequestHandler for PostOnly {
    async fn post(&mut self, ctx: &Context) -> Result {
        show(ctx).await
    }
}

fn app() -> Application {
    Application::new([probe(), url("/", Plain), url("/p", Plain), url("/post", PostOnly), any("/any", show)])
}

fn server() -> TestServer {
    serve(app())
}

#[squall::test(timeout = 60)]
async fn malformed_request_line() {
    let line = "Malformed request line";
    let version = "Unsupported HTTP version";
    let end = "Malformed line end in the header";
    table(
        &server(),
        [
            ("double space", "GET  / HTTP/1.1", line),
            ("double space before the version", "GET /  HTTP/1.1", version),
            ("missing version", "GET /", line),
            ("missing target", "GET HTTP/1.1", line),
            ("method alone", "GET", line),
            ("missing method", "/ HTTP/1.1", line),
            ("space before the method", " GET / HTTP/1.1", line),
            ("tab as separator", "GET\t/ HTTP/1.1", line),
            ("text behind the version", "GET / HTTP/1.1 x", end),
            ("space in the target", "GET /a b HTTP/1.1", version),
            ("lower-case http/1.1", "GET / http/1.1", version),
            ("HTTP/2.0", "GET / HTTP/2.0", version),
            ("HTTP/0.9", "GET / HTTP/0.9", version),
            ("other protocol", "GET / XTTP/1.1", version),
            ("version of two digits", "GET / HTTP/1.10", end),
            ("empty target", "GET  HTTP/1.1", line),
            ("control character in the method", "G\x01T / HTTP/1.1", line),
            ("control character in the target", "GET /\x01 HTTP/1.1", line),
            ("DEL in the target", "GET /\x7f HTTP/1.1", line),
            ("NUL in the target", "GET /\0 HTTP/1.1", line),
            ("bare CR in the target", "GET /\rx HTTP/1.1", line),
            ("separator in the method", "G(T / HTTP/1.1", line),
        ]
        .map(|(row, first, text)| closes(row, format!("{first}\r\nHost: h\r\n\r\n"), bad(text))),
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn a_tls_greeting_is_no_request_line() {
    // A client that speaks TLS to the plain port.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n";
    table(&server(), [closes("TLS", hello, bad("Malformed request line"))]).await;
}

/// RFC 9110 §2.5. (Tornado takes them for HTTP/1.0.)
#[squall::test(timeout = 60)]
async fn newer_minor_versions_are_http_1_1() {
    let chunked = "POST /post HTTP/1.2\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    table(
        &server(),
        [
            stays("HTTP/1.7", "GET /p HTTP/1.7\r\nHost: h\r\n\r\n", ok("GET /p ?  @ h")),
            stays("HTTP/1.2", "GET /p HTTP/1.2\r\nHost: h\r\n\r\n", ok("GET /p ?  @ h")),
            stays("HTTP/1.2 with a chunked body", chunked, super::support::ok_untagged("POST /post ?  @ h")),
            closes(
                "HTTP/1.2 that closes",
                "GET /p HTTP/1.2\r\nHost: h\r\nConnection: close\r\n\r\n",
                ok_with("Connection: close\r\n", "GET /p ?  @ h"),
            ),
            closes("HTTP/1.2 without Host", "GET /p HTTP/1.2\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n"),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn leading_crlf() {
    let request = "GET /p HTTP/1.1\r\nHost: h\r\n\r\n";
    table(
        &server(),
        [
            stays("one leading CRLF", format!("\r\n{request}"), ok("GET /p ?  @ h")),
            stays("one leading LF", format!("\n{request}"), ok("GET /p ?  @ h")),
            closes("two", format!("\r\n\r\n{request}"), bad("Empty lines before the request line")),
            stays(
                "one between pipelined requests",
                format!("{request}\r\n{request}"),
                ok("GET /p ?  @ h").repeat(2),
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn line_ends() {
    let value = "Control character in a header value";
    let end = "Malformed line end in the header";
    table(
        &server(),
        [
            stays("bare LF line ends", "GET /p HTTP/1.1\nHost: h\nX: 1\n\n", ok("GET /p ?  @ h [1] 1")),
            stays("mixed line ends", "GET /p HTTP/1.1\r\nHost: h\nX: 1\r\n\r\n", ok("GET /p ?  @ h [1] 1")),
            closes("CRLF, then LF LF", "GET /p HTTP/1.1\r\nHost: h\nX: 1\n\n", bad(end)),
            closes("CRLF, then CRLF LF", "GET /p HTTP/1.1\r\nHost: h\nX: 1\r\n\n", bad(end)),
            closes("bare CR in a header", "GET /p HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", bad(value)),
            closes("bare CR as line end", "GET /p HTTP/1.1\r\nX: a\rHost: h\r\n\r\n", bad(value)),
            closes(
                "bare CR behind the request line",
                "GET /p HTTP/1.1\rHost: h\r\n\r\n",
                bad("Malformed line end in the header"),
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn obs_fold() {
    let head = |lines: &str| format!("GET /p HTTP/1.1\r\n{lines}\r\n");
    let name = "Malformed header line";
    let bare = "HTTP/1.1 400 Bad Request\r\n\r\n";
    table(
        &server(),
        [
            closes("a continuation", head("X: a\r\n \t b\r\nHost: h\r\n"), bare),
            closes("with a tab", head("Host: h\r\nX: a\r\n\tb\r\n"), bare),
            closes("first header line beginning with space", head(" X: a\r\nHost: h\r\n"), bad(name)),
            closes("first header line beginning with tab", head("\tX: a\r\nHost: h\r\n"), bad(name)),
            closes("folded Host", head("Host: h\r\n x\r\n"), bare),
            closes("folded Content-Length", head("Host: h\r\nContent-Length: 1\r\n 0\r\n"), bare),
            closes("folded Transfer-Encoding", head("Host: h\r\nTransfer-Encoding:\r\n chunked\r\n"), bare),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn malformed_headers() {
    let name = "Malformed header line";
    let value = "Control character in a header value";
    table(
        &server(),
        [
            ("header without colon", "nocolon", name),
            ("empty name", ": x", name),
            ("non-token name: space", "a b: x", name),
            ("non-token name: parenthesis", "a(b): x", name),
            ("non-token name: non-ASCII", "caf\u{e9}: x", name),
            ("non-token name: control character", "a\x01: x", name),
            ("space before the colon", "X : x", name),
            ("tab before the colon", "X\t: x", name),
            ("NUL in the value", "X: a\0b", value),
            ("control character in the value", "X: a\x01b", value),
            ("DEL in the value", "X: a\x7fb", value),
            ("vertical tab in the value", "X: a\x0bb", value),
        ]
        .map(|(row, line, text)| {
            closes(row, format!("GET /p HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n"), bad(text))
        }),
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn header_values() {
    let with = |row: &str, line: &[u8], shown: &str| {
        let request = [b"GET /p HTTP/1.1\r\nHost: h\r\n", line, b"\r\n\r\n"].concat();
        stays(row, request, ok(&format!("GET /p ?  @ h {shown}")))
    };
    table(
        &server(),
        [
            with("bytes >= 0x80 are latin1", b"X: caf\xe9", "[caf\u{e9}] caf\u{e9}"),
            with("bytes that are UTF-8 are read as such", "X: caf\u{e9}".as_bytes(), "[caf\u{e9}] caf\u{e9}"),
            with("duplicate headers", b"X: 1\r\nx: 2", "[1] [2] 1,2"),
            with("tab inside a value", b"X: a\tb", "[a\tb] a\tb"),
            with("white space around a value", b"X:  \t a \t ", "[a] a"),
            with("no white space", b"X:a", "[a] a"),
            with("empty value", b"X:", "[] "),
            with("unusual token characters in a name", b"!#$%&'*+-.^_`|~09: 1\r\nX: 1", "[1] 1"),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn max_header_size() {
    let server = serve_on(HttpServer::new(app).max_header_size(100).max_header_count(4));
    let exactly = |size: usize| {
        let rest = "GET /p HTTP/1.1\r\nHost: h\r\nA: \r\n\r\n".len();
        format!("GET /p HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "x".repeat(size - rest))
    };
    assert_eq!(exactly(100).len(), 100);
    let large = head_too_large(100);
    let lines = |count: usize| format!("GET /p HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: 1\r\n".repeat(count - 1));
    let many = too_many_headers(4);
    table(
        &server,
        [
            stays("start line and headers of max_header_size", exactly(100), ok("GET /p ?  @ h")),
            closes("start line + headers > max_header_size", exactly(101), &*large),
            closes("a target without end", "GET /".to_owned() + &"x".repeat(200), target_too_long(100)),
            closes(
                "a target too long",
                format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(100)),
                target_too_long(100),
            ),
            closes(
                "a method without end",
                "G".repeat(200),
                refused("501 Not Implemented", "Request method too long"),
            ),
            closes(
                "a head without end",
                "GET / HTTP/1.1\r\nHost: h\r\nX: ".to_owned() + &"x".repeat(200),
                &*large,
            ),
            stays("as many lines as max_header_count", lines(4), ok("GET /p ?  @ h")),
            closes("one line more", lines(5), many),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn the_default_header_limit_is_65536() {
    let server = server();
    let head = |size: usize| {
        let rest = "GET /p HTTP/1.1\r\nHost: h\r\nA: \r\n\r\n".len();
        format!("GET /p HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "x".repeat(size - rest))
    };
    let mut client = super::support::Client::connect(&server).await;
    client.send(head(65_536)).await;
    client.expect(ok("GET /p ?  @ h")).await;
    client.send(head(65_537)).await;
    client.expect(head_too_large(65_536)).await;
    client.closed().await;
}

#[squall::test(timeout = 60)]
async fn host() {
    let bare = "HTTP/1.1 400 Bad Request\r\n\r\n";
    let get = |lines: &str| format!("GET /p HTTP/1.1\r\n{lines}\r\n");
    let good = |row: &str, host: &str, name: &str| {
        stays(row, get(&format!("Host: {host}\r\n")), ok(&format!("GET /p ?  @ {name}")))
    };
    let wrong = |row: &str, lines: &str| closes(row, get(lines), bare);
    table(
        &server(),
        [
            wrong("HTTP/1.1 without Host", ""),
            closes("HTTP/1.0 without Host", "GET /p HTTP/1.0\r\n\r\n", ok("GET /p ?  @ 127.0.0.1")),
            wrong("two Host headers", "Host: a\r\nHost: b\r\n"),
            wrong("two equal Host headers", "Host: a\r\nHost: a\r\n"),
            wrong("Host with comma", "Host: a,b\r\n"),
            wrong("Host with space", "Host: a b\r\n"),
            wrong("Host with slash", "Host: a/b\r\n"),
            wrong("Host with user", "Host: u@a\r\n"),
            wrong("Host with markup", "Host: <script>\r\n"),
            wrong("Host with a port that is none", "Host: a:b\r\n"),
            wrong("Host with two ports", "Host: a:1:2\r\n"),
            wrong("Host with a bare IPv6 address", "Host: ::1\r\n"),
            closes("two Hosts in HTTP/1.0", "GET /p HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", bare),
            good("empty Host value accepted", "", ""),
            good("host_name is lower case and has no port", "ExAmple.COM:8888", "example.com"),
            good("IPv6", "[::1]:80", "[::1]"),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn absolute_form_target() {
    let bare = "HTTP/1.1 400 Bad Request\r\n\r\n";
    table(
        &server(),
        [
            stays(
                "absolute-form is parsed; its authority wins over Host",
                "GET http://Other:81/p?q=1 HTTP/1.1\r\nHost: h\r\n\r\n",
                ok("GET /p ? q=1 @ other"),
            ),
            stays("without a path", "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", ok("GET / ?  @ h")),
            stays("https", "GET HTTPS://h/p HTTP/1.1\r\nHost: h\r\n\r\n", ok("GET /p ?  @ h")),
            closes("still needs Host", "GET http://h/p HTTP/1.1\r\n\r\n", bare),
            closes("bad authority", "GET http://a,b/p HTTP/1.1\r\nHost: h\r\n\r\n", bare),
            closes("user in the authority", "GET http://u@a/p HTTP/1.1\r\nHost: h\r\n\r\n", bare),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn methods() {
    let not_allowed = |allow: &str| {
        let cause = format!("Allowed methods: {allow}");
        page_saying("405 Method Not Allowed", &format!("Allow: {allow}\r\n"), &cause)
    };
    let not_found = page("404 Not Found", "");
    let case = |row: &str, line: &str, get: &str| -> Case {
        stays(row, format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"), get)
    };
    let head = |text: &str| text.split_inclusive("\r\n\r\n").next().unwrap().to_owned();
    let plain = not_allowed("GET, HEAD, OPTIONS");
    let options =
        "HTTP/1.1 204 No Content\r\nServer: <server>\r\nDate: <date>\r\nAllow: GET, HEAD, OPTIONS\r\n\r\n";
    table(
        &server(),
        [
            case(
                "OPTIONS *",
                "OPTIONS *",
                &options.replace("GET, HEAD, OPTIONS", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            ),
            case("OPTIONS of a resource", "OPTIONS /p", options),
            case("unknown method CONNECT", "CONNECT /p", &plain),
            case("unknown method TRACE", "TRACE /p", &plain),
            case("unknown method FOO", "FOO /p", &plain),
            case("get in lower case", "get /p", &plain),
            case("unknown method on an unknown path", "FOO /nowhere", &not_found),
            case("CONNECT with authority", "CONNECT h:443", &not_found),
            case("known method the handler lacks", "POST /p", &plain),
            case("... PUT", "PUT /p", &plain),
            case("GET the handler lacks", "GET /post", &not_allowed("POST, OPTIONS")),
            case("HEAD from get()", "HEAD /p", &head(&ok("HEAD /p ?  @ h"))),
            case("HEAD without get(): no body", "HEAD /post", &head(&not_allowed("POST, OPTIONS"))),
            case(
                "a resource that takes any method",
                "FOO /any?x",
                &super::support::ok_untagged("FOO /any ? x @ h"),
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn unknown_path_is_404_for_every_known_method() {
    let methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    let request = |method: &str| format!("{method} /nowhere HTTP/1.1\r\nHost: h\r\n\r\n");
    table(&server(), methods.map(|m| stays(m, request(m), page("404 Not Found", "")))).await;
    let page = page("404 Not Found", "");
    assert!(page.contains("Content-Length: 69\r\n"), "{page}");
    let head = page.split_inclusive("\r\n\r\n").next().unwrap();
    table(&server(), [stays("HEAD", request("HEAD"), head)]).await;
}

#[squall::test(timeout = 60)]
async fn unknown_path_with_a_bare_router() {
    let router = || {
        let never = callback(|_request| unreachable!("no request has this path"));
        RuleRouter::new([Rule::new(Matcher::path("/other").unwrap(), never)])
    };
    let server = serve_on(HttpServer::new(router));
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n";
    table(
        &server,
        [closes(
            "404 Not Found with no body",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            format!("{answer}Connection: close\r\n\r\n"),
        )],
    )
    .await;
}

/// Tornado takes it for UTF-8. Here it is a 400, since servers disagree on what it means.
#[squall::test(timeout = 60)]
async fn what_a_target_cannot_hold() {
    let server = serve(Application::new([any("/.*", show)]));
    let invalid = bad("Invalid request target");
    let case = |row: &str, target: &[u8]| {
        let request = [b"GET ", target, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
        closes(row, request, invalid.clone())
    };
    table(
        &server,
        [
            case("raw UTF-8", "/c/caf\u{e9}".as_bytes()),
            case("raw UTF-8 in the query", "/c?x=\u{e9}".as_bytes()),
            case("a fragment", b"/p#f"),
            case("a fragment of an absolute URL", b"http://h/p#f"),
            case("a fragment alone", b"#"),
            case("GET *", b"*"),
            closes("POST *", "POST * HTTP/1.1\r\nHost: h\r\n\r\n", invalid.clone()),
        ],
    )
    .await;
}
