//! One negative test for each attack of Tornado's history that concerns what the server can do
//! so far. Each is named after the version, and the id if it has one, in which Tornado was fixed.

use std::io::{self, Write};

use squall::testing::{TestServer, serve, serve_on};
use squall::{Application, Context, HttpError, HttpServer, Result, escape, get};

use super::support::{
    Case, Client, bad, body_too_large, closes, echo_route, ok, page, probe, stays, table, too_many_headers,
};

fn app() -> Application {
    Application::new([
        probe(),
        echo_route(),
        get("/ip", async |ctx: &Context| {
            ctx.write(ctx.request().remote_ip().to_string());
            Ok(())
        }),
    ])
}

fn serving<F: AsyncFn(&Context) -> Result + 'static>(function: F) -> TestServer {
    serve(Application::new([probe(), get("/", function)]))
}

fn get_row(row: &str, query: &str, answer: impl Into<String>) -> Case {
    stays(row, format!("GET /?{query} HTTP/1.1\r\nHost: h\r\n\r\n"), answer)
}

/// A POST to `/echo` behind which an attacker hides a request that must never be answered.
fn smuggle(row: &str, fields: &str, body: &str, text: &str) -> Case {
    let hidden = "GET /probe HTTP/1.1\r\nHost: h\r\n\r\n";
    closes(row, format!("POST /echo HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}{hidden}"), bad(text))
}

#[squall::test(timeout = 60)]
async fn v2_1_errors_disclose_nothing() {
    let server = serving(async |ctx: &Context| match ctx.request().query() {
        "error" => Err(io::Error::other("password=hunter2").into()),
        "log" => Err(HttpError::new(500).log_message("password=hunter2").into()),
        "source" => Err(HttpError::new(500).caused_by(io::Error::other("password=hunter2")).into()),
        _ => panic!("password=hunter2"),
    });
    let error = page("500 Internal Server Error", "");
    table(&server, ["error", "log", "source", "panic"].map(|row| get_row(row, row, &*error))).await;
}

#[squall::test(timeout = 60)]
async fn v2_2_x_real_ip_must_look_like_an_ip() {
    let server = serve_on(HttpServer::new(app).xheaders(true));
    let case = |value: &str| {
        stays(value, format!("GET /ip HTTP/1.1\r\nHost: h\r\nX-Real-Ip: {value}\r\n\r\n"), ok("127.0.0.1"))
    };
    table(&server, ["evil", "4.4.4.4'; DROP", "<script>", "4.4.4", "04.4.4.4", "unix:"].map(case)).await;
}

#[squall::test(timeout = 60)]
async fn v2_2_1_header_injection() {
    // CVE-2012-2374
    let server = serving(async |ctx: &Context| {
        let text = ctx.untrimmed_arguments("v")?.concat();
        match ctx.query_argument("by")? {
            "set" => ctx.set_header("X", &text)?,
            "add" => ctx.add_header("X", &text)?,
            "name" => ctx.set_header(&text, "x")?,
            _ => return Err(HttpError::new(403).header("X", text).into()),
        }
        Ok(())
    });
    let error = page("500 Internal Server Error", "");
    let forbidden = page("403 Forbidden", "");
    table(
        &server,
        [
            get_row("CR LF", "by=set&v=a%0D%0AX-Evil:1", &*error),
            get_row("LF", "by=set&v=a%0AX-Evil:1", &*error),
            get_row("CR", "by=set&v=a%0DX-Evil:1", &*error),
            get_row("a whole response", "by=set&v=%0D%0A%0D%0Ahi", &*error),
            get_row("added", "by=add&v=a%0D%0AX-Evil:1", &*error),
            get_row("DEL", "by=set&v=a%7F", &*error),
            get_row("a character that would be cut to LF", "by=set&v=a%C4%8AX-Evil:1", &*error),
            get_row("in the name", "by=name&v=X-Evil:1%0D%0AX", &*error),
            get_row("a space in the name", "by=name&v=X-Evil%20", &*error),
            get_row("in the header of an error: left out", "by=error&v=a%0D%0AX-Evil:1", &*forbidden),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn v2_2_1_nul_in_a_header() {
    let server = serving(async |ctx: &Context| {
        ctx.set_header("X", "a\0b")?;
        Ok(())
    });
    table(&server, [get_row("NUL", "", page("500 Internal Server Error", ""))]).await;
}

#[squall::test(timeout = 60)]
async fn v3_1_control_characters_in_a_redirect() {
    let server = serving(async |ctx: &Context| ctx.redirect(&ctx.untrimmed_arguments("to")?.concat()));
    let error = page("500 Internal Server Error", "");
    table(
        &server,
        [
            get_row("CR LF", "to=/a%0D%0AX-Evil:1", &*error),
            get_row("LF", "to=/a%0Ab", &*error),
            get_row("DEL", "to=/a%7F", &*error),
        ],
    )
    .await;
}

/// Browsers drop tabs from a URL and read a backslash as a slash: left as they are, these would lead to another host.
#[squall::test(timeout = 60)]
async fn what_browsers_would_read_otherwise_is_escaped_in_a_redirect() {
    let server = serving(async |ctx: &Context| ctx.redirect(&ctx.untrimmed_arguments("to")?.concat()));
    for (to, location) in [
        ("/%09/evil.example", "/%09/evil.example"),
        ("%09//evil.example", "%09//evil.example"),
        ("%20//evil.example", "%20//evil.example"),
        ("/%5Cevil.example", "/%5Cevil.example"),
        ("/a%20b%22%3C%3E", "/a%20b%22%3C%3E"),
        ("/caf%C3%A9%E2%80%AE", "/caf%C3%A9%E2%80%AE"),
        ("https://x.example/%2520?a=b%26c=%5B%5D%23d", "https://x.example/%20?a=b&c=[]#d"),
    ] {
        let answer = server.get(&format!("/?to={to}")).await;
        answer.assert_status(302).assert_header("Location", location);
    }
}

#[test]
fn v3_2_the_apostrophe_is_escaped() {
    assert_eq!(escape::xhtml_escape("<a href='\"&'>"), "&lt;a href=&#x27;&quot;&amp;&#x27;&gt;");
}

#[squall::test(timeout = 60)]
async fn v4_3_content_length_and_transfer_encoding() {
    let both = "Both Content-Length and Transfer-Encoding";
    table(
        &serve(app()),
        [
            smuggle("CL.TE", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", both),
            smuggle("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n", both),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn v6_3_3_numbers_that_are_none() {
    let length = |value: &str| {
        smuggle(value, &format!("Content-Length: {value}\r\n"), "abcde", "Invalid Content-Length")
    };
    let chunk = |size: &str| {
        let body = format!("{size}\r\nabcde\r\n0\r\n\r\n");
        smuggle(size, "Transfer-Encoding: chunked\r\n", &body, "Invalid chunk size")
    };
    table(&serve(app()), ["+5", "1_0", "-1", "0x5", "5.0", "\u{ff15}", "5 5"].map(length)).await;
    table(&serve(app()), ["+5", "1_0", "-1", "0x5", "5.0", "\u{ff15}", "5 ", " 5", ""].map(chunk)).await;
}

#[squall::test(timeout = 60)]
async fn v6_4_1_unknown_transfer_encoding() {
    let case = |value: &str| {
        smuggle(
            value,
            &format!("Transfer-Encoding: {value}\r\n"),
            "0\r\n\r\n",
            "Unsupported Transfer-Encoding",
        )
    };
    table(&serve(app()), ["foo", "chunked, foo", "foo, chunked", "chunked;q=1", "chunked chunked"].map(case))
        .await;
}

#[squall::test(timeout = 60)]
async fn v6_4_1_only_space_and_tab_are_stripped() {
    let te = "Unsupported Transfer-Encoding";
    let length = "Invalid Content-Length";
    // U+00A0 and U+2003 are white space to Unicode, and none to HTTP.
    table(
        &serve(app()),
        [
            smuggle("NBSP behind chunked", "Transfer-Encoding: chunked\u{a0}\r\n", "0\r\n\r\n", te),
            smuggle("NBSP before chunked", "Transfer-Encoding: \u{a0}chunked\r\n", "0\r\n\r\n", te),
            smuggle("EM SPACE behind a length", "Content-Length: 5\u{2003}\r\n", "abcde", length),
            smuggle("form feed", "Content-Length: \x0c5\r\n", "abcde", "Control character in a header value"),
            smuggle(
                "vertical tab",
                "Transfer-Encoding: \x0bchunked\r\n",
                "",
                "Control character in a header value",
            ),
            smuggle("NBSP in the name", "Transfer-Encoding\u{a0}: chunked\r\n", "", "Malformed header line"),
            stays(
                "space and tab",
                "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: \t 5 \t\r\n\r\nabcde",
                super::support::ok_untagged("abcde"),
            ),
        ],
    )
    .await;
    // Latin-1 bytes that a naive decoder takes for white space.
    let raw = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: \xa05\r\n\r\nabcde";
    table(&serve(app()), [closes("raw A0", raw, bad(length))]).await;
}

#[squall::test(timeout = 60)]
async fn v6_5_0_control_characters_names_and_hosts() {
    let get = |line: &str, fields: &str| format!("{line}\r\n{fields}\r\n");
    let host = "HTTP/1.1 400 Bad Request\r\n\r\n".to_owned();
    table(
        &serve(app()),
        [
            closes(
                "control character in the start line",
                get("GET /\x1f HTTP/1.1", "Host: h\r\n"),
                bad("Malformed request line"),
            ),
            closes(
                "in a value",
                get("GET / HTTP/1.1", "Host: h\r\nX: \x1f\r\n"),
                bad("Control character in a header value"),
            ),
            closes(
                "invalid name",
                get("GET / HTTP/1.1", "Host: h\r\nX@Y: 1\r\n"),
                bad("Malformed header line"),
            ),
            closes("invalid Host", get("GET / HTTP/1.1", "Host: h>\r\n"), &*host),
            closes("missing Host", get("GET / HTTP/1.1", ""), &*host),
            closes("repeated Host", get("GET / HTTP/1.1", "Host: h\r\nHost: h\r\n"), &*host),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn cve_2025_67725_repeated_headers() {
    let server = serving(async |ctx: &Context| {
        let headers = ctx.request().headers();
        let joined = headers.joined("X").unwrap_or_default();
        ctx.write(format!("{} {}", headers.list("X").count(), joined.len()));
        Ok(())
    });
    let request = |count: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: 1\r\n".repeat(count));
    let mut client = Client::connect(&server).await;
    client.send(request(999)).await;
    client.expect(ok("999 1997")).await;
    client.send(request(1_000)).await;
    client.expect(too_many_headers(1_000)).await;
    client.closed().await;
}

#[squall::test(timeout = 60)]
async fn cve_2025_67724_reason() {
    let server = serving(async |ctx: &Context| {
        let reason = ctx.untrimmed_arguments("r")?.concat();
        Err(HttpError::new(400).reason(reason).into())
    });
    let unknown = page("400 Unknown", "");
    let escaped = "HTTP/1.1 400 a&\"'>\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\n\
        Date: <date>\r\nContent-Length: 95\r\n\r\n\
        <html><title>400: a&amp;&quot;&#x27;&gt;</title><body>400: a&amp;&quot;&#x27;&gt;</body></html>";
    table(
        &server,
        [
            get_row("header injection", "r=a%0D%0AX-Evil:1", &*unknown),
            get_row("markup", "r=%3Cscript%3Ealert(1)%3C/script%3E", &*unknown),
            get_row("a character that would be cut to LF", "r=a%C4%8Ab", &*unknown),
            get_row("DEL", "r=a%7F", &*unknown),
            get_row("what is left is escaped on the page", "r=a%26%22%27%3E", escaped),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn cve_2026_49855_decompression_bomb() {
    let server = serve_on(HttpServer::new(app).decompress_request(true).max_body_size(100_000));
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(&vec![0; 8 << 20]).unwrap();
    let bomb = writer.finish().unwrap();
    assert!(bomb.len() < 100_000, "as sent it is within the limit");
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    );
    let mut client = Client::connect(&server).await;
    client.send([head.as_bytes(), &bomb].concat()).await;
    client.expect(body_too_large(100_000)).await;
    client.closed().await;
}

#[squall::test(timeout = 60)]
async fn standing_advice_dns_rebinding() {
    // Routes for named hosts only, no default_host: whoever points another name here gets nothing.
    let secret = get("/", async |ctx: &Context| {
        ctx.write("secret");
        Ok(())
    });
    let app = Application::new([probe()]).add_handlers(r"(localhost|127\.0\.0\.1)", [secret]);
    let case =
        |host: &str, answer: String| stays(host, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), answer);
    let not_found = page("404 Not Found", "");
    table(
        &serve(app),
        [
            case("localhost:8888", ok("secret")),
            case("evil.example", not_found.clone()),
            case("localhost.evil.example", not_found.clone()),
            case("127.0.0.1.evil.example", not_found.clone()),
            case("evil.example:127", not_found),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn standing_advice_xheaders_are_off() {
    let fields = "X-Real-Ip: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.1\r\n";
    let request = format!("GET /ip HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    table(&serve(app()), [stays("off by default", request, ok("127.0.0.1"))]).await;
}
