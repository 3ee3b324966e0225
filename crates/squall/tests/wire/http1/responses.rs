//! What a handler's response looks like, and the framing of responses.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use squall::testing::{TestServer, serve};
use squall::web::{Error, Finish, any, options};
use squall::{Application, Context, HttpError, RequestHandler, Result, Site, get, handler, post, url};
use tokio::sync::Notify;

use super::support::{Case, Client, closes, ok, ok_with, page, page_body, page_saying, probe, stays, table};

fn request(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

/// Serves one function on `/` for every method.
fn serving<F: AsyncFn(&Context) -> Result + 'static>(function: F) -> TestServer {
    serve(Application::new([probe(), any("/", function)]))
}

/// One row with `GET /?<query>`.
fn get_row(row: &str, query: &str, answer: impl Into<String>) -> Case {
    stays(row, request(&format!("GET /?{query}"), ""), answer)
}

#[squall::test(timeout = 60)]
async fn header_order() {
    let server = serving(async |ctx: &Context| {
        ctx.set_header("X-Mine", "1")?;
        ctx.set_header("x-lower-case", 2)?;
        ctx.write("Hello, world");
        Ok(())
    });
    table(
        &server,
        [closes(
            "Server, Content-Type, Date, own ones, Etag, Content-Length, Connection",
            request("GET /", "Connection: close\r\n"),
            "HTTP/1.1 200 OK\r\n\
             Server: <server>\r\n\
             Content-Type: text/html; charset=UTF-8\r\n\
             Date: <date>\r\n\
             X-Mine: 1\r\n\
             X-Lower-Case: 2\r\n\
             Etag: <etag>\r\n\
             Content-Length: 12\r\n\
             Connection: close\r\n\
             \r\n\
             Hello, world",
        )],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn header_changes() {
    let server = serving(async |ctx: &Context| {
        ctx.clear_header("server");
        ctx.clear_header("X-Never");
        ctx.set_header("Content-Type", "text/plain")?;
        ctx.add_header("X", "1")?;
        ctx.add_header("x", "2")?;
        ctx.set_header("Etag", "W/\"mine\"")?;
        ctx.write("text");
        Ok(())
    });
    table(
        &server,
        [get_row(
            "replaced, removed and repeated",
            "",
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: <date>\r\nX: 1\r\nX: 2\r\nEtag: W/\"mine\"\r\n\
             Content-Length: 4\r\n\r\ntext",
        )],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn json() {
    let server = serving(async |ctx: &Context| {
        let value = serde_json::json!({"a": "</x>"});
        ctx.write_json(&value)
    });
    table(
        &server,
        [get_row(
            "</ is written <\\/",
            "",
            "HTTP/1.1 200 OK\r\nServer: <server>\r\nContent-Type: application/json; charset=UTF-8\r\nDate: <date>\r\n\
             Etag: <etag>\r\nContent-Length: 13\r\n\r\n{\"a\":\"<\\/x>\"}",
        )],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn etag() {
    let server = serving(async |ctx: &Context| {
        ctx.set_header("Etag", "\"v1\"")?;
        ctx.set_header("Content-Language", "en")?;
        ctx.set_header("Cache-Control", "max-age=5")?;
        match ctx.request().query() {
            "created" => ctx.set_status(201),
            "flushed" => {
                ctx.write("da");
                ctx.flush().await?;
                ctx.write("ta");
                return Ok(());
            }
            _ => {}
        }
        ctx.write("data");
        Ok(())
    });
    let full = |status: &str| {
        format!(
            "HTTP/1.1 {status}\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\nDate: <date>\r\n\
             Etag: \"v1\"\r\nContent-Language: en\r\nCache-Control: max-age=5\r\nContent-Length: 4\r\n\r\n"
        )
    };
    let (ok, created) = (full("200 OK"), full("201 Created"));
    let same = "HTTP/1.1 304 Not Modified\r\nServer: <server>\r\nDate: <date>\r\nEtag: \"v1\"\r\n\
        Cache-Control: max-age=5\r\n\r\n";
    let streamed =
        ok.replace("Content-Length: 4", "Transfer-Encoding: chunked") + "2\r\nda\r\n2\r\nta\r\n0\r\n\r\n";
    let case = |row: &str, line: &str, wanted: &str, answer: &str| {
        stays(row, request(line, &format!("If-None-Match: {wanted}\r\n")), answer)
    };
    let ok_data = ok.clone() + "data";
    table(
        &server,
        [
            case("match", "GET /", "\"v1\"", same),
            case("weak comparison", "GET /", "W/\"v1\"", same),
            case("in a list", "GET /", "\"v0\", W/\"v1\" ,\"v2\"", same),
            case("* matches", "GET /", "*", same),
            case("HEAD", "HEAD /", "\"v1\"", same),
            case("HEAD without match", "HEAD /", "\"v2\"", &ok),
            case("no match", "GET /", "\"v2\"", &ok_data),
            case("several, strong and weak", "GET /", "W/\"v0\", \"v1\", W/\"v2\"", same),
            case("several, none of them", "GET /", "W/\"v0\", \"v2\", W/\"v3\"", &ok_data),
            case("not a prefix", "GET /", "\"v\"", &ok_data),
            case("no quotes", "GET /", "v1", &ok_data),
            case("empty", "GET /", "", &ok_data),
            case("only checked for GET and HEAD", "POST /", "\"v1\"", &ok_data),
            case("only checked for 200", "GET /?created", "\"v1\"", &(created + "data")),
            case("not with a flushed body", "GET /?flushed", "\"v1\"", &streamed),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn the_default_etag_is_a_hash_of_the_body() {
    let server = serving(async |ctx: &Context| {
        ctx.write(ctx.request().query());
        Ok(())
    });
    let tag = async |query: &str| {
        let response = server.get(&format!("/?{query}")).await;
        response.header("Etag").expect("an entity tag").to_owned()
    };
    let (one, again, other) = (tag("one").await, tag("one").await, tag("other").await);
    assert_eq!(one, again);
    assert_ne!(one, other);
    server.get("/?one").header("If-None-Match", &one).await.assert_status(304).assert_text("");
    server.get("/?one").header("If-None-Match", &other).await.assert_status(200);
}

#[squall::test(timeout = 60)]
async fn compute_etag_of_a_handler() {
    #[derive(Clone)]
    struct Untagged;
    #[handler]
    impl RequestHandler for Untagged {
        async fn get(&mut self, ctx: &Context) -> Result {
            ctx.write("x");
            Ok(())
        }
        fn compute_etag(_ctx: &Context) -> Option<squall::httputil::EntityTag> {
            None
        }
    }
    let server = serve(Application::new([probe(), url("/", Untagged)]));
    table(&server, [get_row("None: no Etag", "", super::support::ok_untagged("x"))]).await;
}

#[squall::test(timeout = 60)]
async fn error_pages() {
    let server = serving(async |ctx: &Context| {
        ctx.set_header("X-Lost", "1")?;
        ctx.write("lost");
        match ctx.request().query() {
            "status" => {
                ctx.set_status(503);
                ctx.write(" is kept");
                Ok(())
            }
            "403" => Err(HttpError::new(403).log_message("secret").into()),
            "reason" => Err(HttpError::new(403).reason("No & Never").into()),
            "header" => Err(HttpError::new(429).header("Retry-After", "5").into()),
            "io" => Err(io::Error::other("secret").into()),
            "panic" => panic!("in a handler, on purpose"),
            "204" => Err(HttpError::new(204).into()),
            "304" => Err(HttpError::new(304).into()),
            "odd" => Err(HttpError::new(42).into()),
            "send" => ctx.send_error(410).await,
            other => panic!("no row has {other}"),
        }
    });
    let bare = |status: &str| format!("HTTP/1.1 {status}\r\nServer: <server>\r\nDate: <date>\r\n\r\n");
    let escaped = "HTTP/1.1 403 No & Never\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\n\
        Date: <date>\r\nContent-Length: 79\r\n\r\n\
        <html><title>403: No &amp; Never</title><body>403: No &amp; Never</body></html>";
    table(
        &server,
        [
            get_row("HttpError", "403", page("403 Forbidden", "")),
            get_row("the reason is HTML-escaped on the page", "reason", escaped),
            get_row("with a header", "header", page("429 Too Many Requests", "Retry-After: 5\r\n")),
            get_row("uncaught error", "io", page("500 Internal Server Error", "")),
            get_row("panic", "panic", page("500 Internal Server Error", "")),
            get_row("HttpError(204) is answered", "204", bare("204 No Content")),
            get_row("HttpError(304) is answered", "304", bare("304 Not Modified")),
            get_row("a status that is none", "odd", page("500 Internal Server Error", "")),
            get_row("send_error", "send", page("410 Gone", "")),
            get_row(
                "set_status alone drops nothing",
                "status",
                "HTTP/1.1 503 Service Unavailable\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\n\
                 Date: <date>\r\nX-Lost: 1\r\nContent-Length: 12\r\n\r\nlost is kept",
            ),
            stays(
                "HEAD of an error page",
                request("HEAD /?403", ""),
                page("403 Forbidden", "").split_inclusive("\r\n\r\n").next().unwrap(),
            ),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn custom_status() {
    let server = serving(async |ctx: &Context| {
        let reason = ctx.argument("r")?.to_owned();
        match ctx.request().query().split('&').next().unwrap_or_default() {
            "set" => ctx.set_status_reason(682, &reason),
            "plain" => ctx.set_status(682),
            _ => return Err(HttpError::new(682).reason(reason).into()),
        }
        Ok(())
    });
    let set = |reason: &str| {
        format!(
            "HTTP/1.1 682 {reason}\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\nDate: <date>\r\n\
             Content-Length: 0\r\n\r\n"
        )
    };
    table(
        &server,
        [
            get_row("682 Foo", "set&r=Foo", set("Foo")),
            get_row("code without known reason", "plain&r=", set("Unknown")),
            get_row("reason with CR LF", "set&r=Foo%0D%0AX-Evil:1", set("Unknown")),
            get_row("reason with LF", "set&r=Foo%0AX-Evil:1", set("Unknown")),
            get_row("reason with <", "set&r=%3Cscript%3E", set("Unknown")),
            get_row("reason beyond latin1", "set&r=%E2%98%83", set("Unknown")),
            get_row("empty reason", "set&r=", set("Unknown")),
            get_row("HttpError with CR LF", "raise&r=Foo%0D%0AX-Evil:1", page("682 Unknown", "")),
            get_row("HttpError with <", "raise&r=%3Cscript%3E", page("682 Unknown", "")),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn missing_argument_and_bad_utf8() {
    let server = serve(Application::new([
        probe(),
        get("/", async |ctx: &Context| {
            ctx.write(ctx.argument("a")?);
            Ok(())
        }),
        get("/g/(.*)", async |ctx: &Context| {
            ctx.write(ctx.path_args().next().flatten().unwrap_or("none"));
            Ok(())
        }),
    ]));
    let bad = |cause: &str| page_saying("400 Bad Request", "", cause);
    table(
        &server,
        [
            get_row("missing argument", "b=1", &*bad("Missing argument a")),
            get_row("bad UTF-8 in an argument", "a=%FF", &*bad("Invalid unicode in a")),
            stays(
                "bad UTF-8 in a path group",
                request("GET /g/%FF", ""),
                &*bad("path argument 1 is not valid UTF-8"),
            ),
            stays(
                "cut UTF-8 in a path group",
                request("GET /g/%C3", ""),
                &*bad("path argument 1 is not valid UTF-8"),
            ),
            get_row("more than 1,000 arguments", &"a=1&".repeat(1_001), &*bad("Too many arguments")),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn arguments() {
    let server = serving(async |ctx: &Context| {
        let all = ctx.arguments("a")?.join("|");
        let last = ctx.argument_or("a", "none")?;
        ctx.write(format!("[{last}] {all} ({})", ctx.query_argument("a").unwrap_or("none")));
        Ok(())
    });
    let form = |body: &str| {
        format!(
            "POST /?a=q HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    table(
        &server,
        [
            get_row("+ and %XX are decoded", "a=b+c%20d%2B", ok("[b c d+] b c d+ (b c d+)")),
            get_row("in the name too", "%61=1", ok("[1] 1 (1)")),
            get_row("a gives the empty text", "a", ok("[]  ()")),
            get_row("a= as well", "a=", ok("[]  ()")),
            get_row("control characters become spaces", "a=b%00c%1Fd", ok("[b c d] b c d (b c d)")),
            get_row("stripped", "a=%20b%20", ok("[b] b (b)")),
            get_row("last value wins", "a=1&a=2", ok("[2] 1|2 (2)")),
            get_row("a broken %zz stays", "a=%zz%4", ok("[%zz%4] %zz%4 (%zz%4)")),
            get_row("none", "", ok("[none]  (none)")),
            stays("body after query", form("a=b&a=c"), super::support::ok_untagged("[c] q|b|c (q)")),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn arguments_of_the_query_or_the_form() {
    let server = serving(async |ctx: &Context| {
        let query = (ctx.query_argument_or("a", "none")?, ctx.query_argument_opt("a")?);
        let body = (ctx.body_argument_or("a", "none")?, ctx.body_argument_opt("a")?);
        let untrimmed = (ctx.untrimmed_query_arguments("a")?, ctx.untrimmed_body_arguments("a")?);
        ctx.write(format!("{query:?} {body:?} {untrimmed:?}"));
        Ok(())
    });
    let form = |query: &str, body: &str| {
        let head = format!("POST /?{query} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n", body.len());
        format!("{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}")
    };
    let ok = |shown: &str| super::support::ok_untagged(shown);
    table(
        &server,
        [
            stays("none", form("", ""), ok(r#"("none", None) ("none", None) ([], [])"#)),
            stays("query", form("a=+1&a=", ""), ok(r#"("", Some("")) ("none", None) ([" 1", ""], [])"#)),
            stays("form", form("", "a=+1+"), ok(r#"("none", None) ("1", Some("1")) ([], [" 1 "])"#)),
            stays("both", form("a=q", "a=b"), ok(r#"("q", Some("q")) ("b", Some("b")) (["q"], ["b"])"#)),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn path_groups() {
    let server = serve(Application::new([
        probe(),
        get("/g/([^/]*)/end", async |ctx: &Context| {
            ctx.write(ctx.path_args().next().flatten().unwrap_or("none"));
            Ok(())
        }),
    ]));
    let case = |row: &str, group: &str, value: &str| {
        stays(row, request(&format!("GET /g/{group}/end"), ""), ok(value))
    };
    table(
        &server,
        [
            case("%2F is decoded inside the group", "a%2Fb", "a/b"),
            case("+ is kept", "a+b", "a+b"),
            case("%zz stays", "%zz", "%zz"),
            case("UTF-8", "caf%C3%A9", "caf\u{e9}"),
            case("decoded once", "%2525", "%25"),
            case("empty", "", ""),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn redirect() {
    let server = serving(async |ctx: &Context| {
        ctx.write("lost?");
        ctx.clear();
        match ctx.request().query() {
            "" => ctx.redirect("/a?b=c"),
            "301" => ctx.redirect_with("https://example.com/", 301),
            "303" => ctx.redirect_with("relative", 303),
            "utf8" => ctx.redirect("/caf\u{e9}"),
            _ => ctx.redirect_with("/", 200),
        }
    });
    let answer = |status: &str, location: &str| {
        format!(
            "HTTP/1.1 {status}\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\nDate: <date>\r\n\
             Location: {location}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    table(
        &server,
        [
            get_row("302, Location as given", "", answer("302 Found", "/a?b=c")),
            get_row("301", "301", answer("301 Moved Permanently", "https://example.com/")),
            get_row("303", "303", answer("303 See Other", "relative")),
            get_row("non-ASCII is percent-encoded", "utf8", answer("302 Found", "/caf%C3%A9")),
            get_row("not a redirect", "x", page("500 Internal Server Error", "")),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn access_log() {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let writes = Rc::clone(&lines);
    let app = Application::new([get("/x", async |_: &Context| Ok(()))]).log_function(move |ctx| {
        let request = ctx.request();
        let line =
            format!("{} {} {} ({})", ctx.status(), request.method(), request.uri(), request.remote_ip());
        writes.borrow_mut().push(line);
    });
    let server = serve(app);
    server.get("/x?y").await.assert_status(200);
    server.head("/nowhere").await.assert_status(404);
    server.post("/x").await.assert_status(405);
    assert_eq!(
        lines.take(),
        ["200 GET /x?y (127.0.0.1)", "404 HEAD /nowhere (127.0.0.1)", "405 POST /x (127.0.0.1)"]
    );
}

#[squall::test(timeout = 60)]
async fn response_framing() {
    let server = serving(async |ctx: &Context| {
        match ctx.request().query() {
            "204" => ctx.set_status(204),
            "304" => ctx.set_status(304),
            "flush" => {
                ctx.write("ab");
                ctx.flush().await?;
                ctx.write("cd");
            }
            "flush-length" => {
                ctx.set_header("Content-Length", 4)?;
                ctx.write("ab");
                ctx.flush().await?;
                ctx.write("cd");
            }
            "empty-flush" => ctx.flush().await?,
            "finish" => ctx.finish_with("done").await?,
            "Finish" => {
                ctx.write("do");
                return Err(Finish::with("ne").into());
            }
            "close" => {
                ctx.set_header("Connection", "close")?;
                ctx.write("bye");
            }
            "204-body" => {
                ctx.set_status(204);
                ctx.write("x");
            }
            "204-length" => {
                ctx.set_status(204);
                ctx.set_header("Content-Length", 0)?;
            }
            "204-flush" => {
                ctx.set_status(204);
                ctx.flush().await?;
            }
            _ => ctx.write("abcd"),
        }
        Ok(())
    });
    let chunked = "HTTP/1.1 200 OK\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\nDate: <date>\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    let until_close = chunked.replace("Transfer-Encoding: chunked\r\n", "");
    let length = chunked.replace("Transfer-Encoding: chunked", "Content-Length: 4");
    let no_content = "HTTP/1.1 204 No Content\r\nServer: <server>\r\nDate: <date>\r\n\r\n";
    let head = |text: &str| text.split_inclusive("\r\n\r\n").next().unwrap().to_owned();
    let old = |query: &str| format!("GET /?{query} HTTP/1.0\r\n\r\n");
    let head_request = |query: &str| request(&format!("HEAD /?{query}"), "");
    table(
        &server,
        [
            get_row("Content-Length", "", ok("abcd")),
            get_row("flushed: chunked", "flush", chunked.to_owned() + "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"),
            get_row("flushed with Content-Length: not chunked", "flush-length", length.clone() + "abcd"),
            get_row("an empty flush sends no chunk", "empty-flush", chunked.to_owned() + "0\r\n\r\n"),
            get_row("finish", "finish", ok("done")),
            get_row("Finish", "Finish", ok("done")),
            get_row("204: no Content-Type, no Content-Length, no body", "204", no_content),
            get_row("204 with a body: refused", "204-body", page("500 Internal Server Error", "")),
            get_row("204 with a Content-Length: left out", "204-length", no_content),
            get_row("204 flushed: no Content-Type either", "204-flush", no_content),
            get_row("304", "304", "HTTP/1.1 304 Not Modified\r\nServer: <server>\r\nDate: <date>\r\n\r\n"),
            stays("HEAD: same headers as GET, no body", head_request(""), head(&ok("abcd"))),
            stays("HEAD flushed: never chunked", head_request("flush"), &*until_close),
            stays("HEAD flushed with Content-Length", head_request("flush-length"), &*length),
            stays("HEAD with 204", head_request("204"), no_content),
            closes("HTTP/1.0", old(""), ok("abcd")),
            closes("HTTP/1.0 flushed: until close", old("flush"), until_close.clone() + "abcd"),
            closes("HTTP/1.0 flushed with Content-Length", old("flush-length"), length.clone() + "abcd"),
            closes("HTTP/1.0 204", old("204"), no_content),
            closes(
                "Connection: close by the handler",
                request("GET /?close", ""),
                ok("bye").replace("Date: <date>\r\n", "Date: <date>\r\nConnection: close\r\n"),
            ),
        ],
    )
    .await;
    let mut client = Client::connect(&server).await;
    client.send(request("GET /?204-flush", "")).await;
    assert_eq!(client.head().await, no_content);
    client.alive().await;
}

#[squall::test(timeout = 60)]
async fn wrong_content_length() {
    let server = serving(async |ctx: &Context| {
        for length in ctx.arguments("length")? {
            ctx.add_header("Content-Length", length)?;
        }
        ctx.write("abcd");
        if ctx.argument_opt("flush")?.is_some() {
            ctx.flush().await?;
        }
        if ctx.argument_opt("more")?.is_some() {
            ctx.write("ef");
        }
        Ok(())
    });
    let begun = "HTTP/1.1 200 OK\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\nDate: <date>\r\n\
        Content-Length: 5\r\n\r\nabcd";
    let get = |query: &str| request(&format!("GET /?{query}"), "");
    let wrong = page("500 Internal Server Error", "");
    let head = "HTTP/1.1 200 OK\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\nDate: <date>\r\n\
        Content-Length: 9\r\nEtag: <etag>\r\n\r\n";
    table(
        &server,
        [
            // Nothing has been sent, so it can be said. Tornado closes.
            stays("wrote more", get("length=3"), &wrong),
            stays("wrote more than zero", get("length=0"), &wrong),
            stays("wrote more in a flush", get("length=3&flush"), &wrong),
            stays("wrote less", get("length=5"), &wrong),
            stays("not a number", get("length=x"), &wrong),
            stays("a number with a sign", get("length=%2B4"), &wrong),
            stays("not a number in a flush", get("length=4.0&flush"), &wrong),
            stays("more than any number", get("length=99999999999999999999"), &wrong),
            stays("twice", get("length=4&length=4"), &wrong),
            stays("twice, in a flush", get("length=4&length=5&flush"), &wrong),
            stays("pipelined", request("GET /probe", "") + &get("length=3"), ok("alive") + &wrong),
            stays("HEAD, whose body nobody needs to write", request("HEAD /?length=9", ""), head),
        ],
    )
    .await;
    // What was flushed is out; the rest is missing, or too much, and the connection is cut.
    for query in ["length=5&flush", "length=5&flush&more"] {
        let mut client = Client::connect(&server).await;
        client.send(get(query)).await;
        let rest = client.rest().await;
        assert!(begun.starts_with(&rest), "{rest}");
    }
    Client::connect(&server).await.alive().await;
}

#[squall::test(timeout = 60)]
async fn an_error_after_flush_cuts() {
    let go = Rc::new(Notify::new());
    let waits = Rc::clone(&go);
    let server = serving(async move |ctx: &Context| {
        ctx.write("part");
        ctx.flush().await?;
        waits.notified().await;
        ctx.write("never sent");
        match ctx.request().query() {
            "panic" => panic!("after a flush, on purpose"),
            "finish" => Err(Error::finish()),
            "status" => ctx.send_error(404).await,
            _ => Err(HttpError::new(404).into()),
        }
    });
    let chunked = "HTTP/1.1 200 OK\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\nDate: <date>\r\n\
        Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n";
    for query in ["", "panic", "status"] {
        let mut client = Client::connect(&server).await;
        client.send(request(&format!("GET /?{query}"), "")).await;
        client.expect(chunked).await;
        go.notify_one();
        client.closed().await; // without 0\r\n\r\n
    }
    let mut client = Client::connect(&server).await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    client
        .expect(chunked.replace("Transfer-Encoding: chunked\r\n", "").replace("4\r\npart\r\n", "part"))
        .await;
    go.notify_one();
    client.reset().await; // a mere end would be the end of the body
    // `Finish` is no error.
    let mut client = Client::connect(&server).await;
    client.send(request("GET /?finish", "")).await;
    client.expect(chunked).await;
    go.notify_one();
    client.expect("a\r\nnever sent\r\n0\r\n\r\n").await;
    client.alive().await;
}

#[squall::test(timeout = 60)]
async fn errors_after_finish_change_nothing() {
    let server = serving(async |ctx: &Context| {
        ctx.finish_with("done").await?;
        match ctx.request().query() {
            "error" => Err(HttpError::new(500).into()),
            "panic" => panic!("after finish, on purpose"),
            "write" => {
                ctx.write("too late");
                Ok(())
            }
            "finish" => ctx.finish().await,
            _ => ctx.flush().await,
        }
    });
    let rows = ["error", "panic", "write", "finish", "flush"];
    table(&server, rows.map(|row| get_row(row, row, ok("done")))).await;
}

struct Branded;

impl Site for Branded {
    type User = ();

    async fn prepare(&self, ctx: &Context) -> Result {
        match ctx.request().query() {
            "closed" => ctx.finish_with("closed for today").await,
            "denied" => Err(HttpError::new(403).into()),
            _ => Ok(()),
        }
    }

    async fn write_error(&self, ctx: &Context, error: &Error) -> Result {
        if ctx.request().query() == "broken" {
            return Err(io::Error::other("the error page is broken").into());
        }
        ctx.set_header("Content-Type", "text/plain")?;
        ctx.write(format!("sorry: {}", error.status()));
        Ok(())
    }

    fn set_default_headers(&self, ctx: &Context) -> Result {
        ctx.set_header("Server", "brand")?;
        ctx.set_header("X-Frame-Options", "DENY")?;
        Ok(())
    }
}

#[squall::test(timeout = 60)]
async fn the_site_shapes_every_response() {
    let app = Application::new([
        get("/", async |ctx: &Context| {
            ctx.set_header("X-Lost", "1")?;
            if ctx.request().query().is_empty() {
                ctx.write("fine");
                Ok(())
            } else {
                Err(HttpError::new(404).into())
            }
        }),
        options("/o", async |_: &Context| Ok(())),
        post("/o", async |_: &Context| Ok(())),
    ])
    .site(Branded);
    let server = serve(app);
    let close = "Connection: close\r\n";
    let answer = |status: &str, kind: &str, lines: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nServer: brand\r\nContent-Type: {kind}\r\nDate: <date>\r\nX-Frame-Options: DENY\r\n\
             {lines}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let html = "text/html; charset=UTF-8";
    let get = |target: &str| request(&format!("GET {target}"), close);
    table(
        &server,
        [
            closes(
                "default headers",
                get("/"),
                answer("200 OK", html, "X-Lost: 1\r\nEtag: <etag>\r\n", "fine"),
            ),
            closes(
                "error page, default headers kept",
                get("/?x"),
                answer("404 Not Found", "text/plain", "", "sorry: 404"),
            ),
            closes("unknown path", get("/nowhere"), answer("404 Not Found", "text/plain", "", "sorry: 404")),
            closes(
                "prepare finishes",
                get("/?closed"),
                answer("200 OK", html, "Etag: <etag>\r\n", "closed for today"),
            ),
            closes("prepare fails", get("/?denied"), answer("403 Forbidden", "text/plain", "", "sorry: 403")),
            closes(
                "broken error page: the plain one",
                get("/?broken"),
                answer("404 Not Found", html, "", &page_body("404 Not Found")),
            ),
            closes("OPTIONS by a function", request("OPTIONS /o", close), answer("200 OK", html, "", "")),
        ],
    )
    .await;
}

#[squall::test(timeout = 60)]
async fn large_responses() {
    let server = serving(async |ctx: &Context| {
        let size: usize = ctx.query_argument("n")?.parse().unwrap();
        ctx.write("x".repeat(size));
        Ok(())
    });
    // Around the marks at which output is handed over, and far above what the kernel buffers.
    for size in [0, 1, 65_000, 65_535, 65_536, 65_537, 200_000, 20_000_000] {
        let mut client = Client::connect(&server).await;
        client.send(request(&format!("GET /?n={size}"), "")).await;
        client.expect(ok(&"x".repeat(size))).await;
        client.alive().await;
        client.send(request(&format!("GET /?n={size}"), "Connection: close\r\n")).await;
        client.expect(ok_with("Connection: close\r\n", &"x".repeat(size))).await;
        client.closed().await;
    }
}
