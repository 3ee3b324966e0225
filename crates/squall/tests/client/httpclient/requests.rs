//! What is sent, and what is made of good responses.

use std::time::{Duration, SystemTime};

use serde_json::json;
use squall::httpclient::{AsyncHttpClient, BodyWriter, HttpClientError, HttpRequest, MultipartForm};
use squall::testing::{TestServer, serve};
use squall::{Application, Context, get, post};

use crate::httpclient::script::{Forever, Server, Stall, Until, answer, send};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn app() -> TestServer {
    let echo = async |ctx: &Context| {
        let request = ctx.request();
        ctx.write_json(&json!({
            "method": request.method().as_str(),
            "path": request.uri(),
            "body": String::from_utf8_lossy(request.body()),
            "type": request.headers().get("Content-Type"),
            "length": request.headers().get("Content-Length"),
            "coding": request.headers().get("Transfer-Encoding"),
            "authorization": request.headers().get("Authorization"),
            "agent": request.headers().get("User-Agent"),
            "x": request.headers().get("X-Thing"),
        }))
    };
    serve(Application::new([
        squall::web::any("/echo", echo),
        get("/hello", async |ctx: &Context| {
            ctx.write("Hello world!");
            Ok(())
        }),
        get("/countdown/{n}", async |ctx: &Context| {
            let n: u32 = ctx.path_arg("n")?;
            match n {
                0 => ctx.write("Zero"),
                _ => ctx.redirect(&format!("/countdown/{}", n - 1))?,
            }
            Ok(())
        }),
        squall::web::any("/see/{status}", async |ctx: &Context| {
            ctx.redirect_with("/echo", ctx.path_arg("status")?)
        }),
        get("/chunks", async |ctx: &Context| {
            for n in 0..3 {
                ctx.write(format!("{n}").repeat(1000));
                ctx.flush().await?;
            }
            Ok(())
        }),
        get("/none", async |ctx: &Context| {
            ctx.set_status(204);
            Ok(())
        }),
        get("/teapot", async |ctx: &Context| {
            ctx.set_status(418);
            ctx.write("short and stout");
            Ok(())
        }),
        post("/sum", async |ctx: &Context| {
            ctx.write(ctx.request().body().len().to_string());
            Ok(())
        }),
    ]))
}

async fn echoed(app: &TestServer, request: HttpRequest) -> serde_json::Value {
    let response = AsyncHttpClient::new().fetch(request).await.unwrap();
    assert_eq!(response.status(), 200, "{}", app.url(""));
    response.json().unwrap()
}

#[squall::test]
async fn the_bytes_of_a_plain_request() {
    let server = Server::playing(answer(OK)).await;
    let response = AsyncHttpClient::new().fetch(server.url("?a=b c#fragment")).await.unwrap();
    assert_eq!(response.text(), "ok");
    let version = env!("CARGO_PKG_VERSION");
    let codings = if cfg!(feature = "compression") { "gzip, deflate, br, zstd" } else { "gzip, deflate" };
    let expected = format!(
        "GET /?a=b%20c HTTP/1.1\r\nHost: {}\r\nUser-Agent: squall/{version}\r\nAccept-Encoding: {codings}\r\n\r\n",
        server.address
    );
    assert_eq!(server.seen(), [expected]);
}

#[squall::test]
async fn methods_bodies_and_their_headers() {
    let app = app();
    let seen = echoed(&app, HttpRequest::post(app.url("/echo")).body("a=b")).await;
    assert_eq!(seen["type"], "application/x-www-form-urlencoded");
    assert_eq!((&seen["body"], &seen["length"]), (&json!("a=b"), &json!("3")));
    let seen = echoed(&app, HttpRequest::put(app.url("/echo")).body("")).await;
    assert_eq!((&seen["method"], &seen["length"], &seen["type"]), (&json!("PUT"), &json!("0"), &json!(null)));
    let seen = echoed(&app, HttpRequest::post(app.url("/echo")).json(&json!({"a": 1}))).await;
    assert_eq!((&seen["body"], &seen["type"]), (&json!("{\"a\":1}"), &json!("application/json")));
    let seen = echoed(&app, HttpRequest::post(app.url("/echo")).form(&[("a", "b c"), ("d", "é")])).await;
    assert_eq!(seen["body"], "a=b+c&d=%C3%A9");
    let form = MultipartForm::new().text("a", "b").file("f", "x.txt", "text/plain", "content");
    let seen = echoed(&app, HttpRequest::post(app.url("/echo")).multipart(form)).await;
    assert!(seen["body"].as_str().unwrap().contains("name=\"f\"; filename=\"x.txt\""), "{seen}");
    let seen = echoed(
        &app,
        HttpRequest::new("PROPFIND", app.url("/echo")).allow_nonstandard_methods(true).header("X-Thing", "1"),
    )
    .await;
    assert_eq!((&seen["method"], &seen["x"]), (&json!("PROPFIND"), &json!("1")));
    let seen = echoed(&app, HttpRequest::delete(app.url("/echo")).user_agent("me")).await;
    assert_eq!((&seen["agent"], &seen["length"]), (&json!("me"), &json!(null)));
}

#[squall::test]
async fn requests_that_cannot_be_sent() {
    let client = AsyncHttpClient::new();
    for (request, said) in [
        (HttpRequest::post("http://localhost/"), "Body must not be None for method POST"),
        (HttpRequest::get("http://localhost/").body("x"), "Body must be None for method GET"),
        (HttpRequest::new("FOO", "http://localhost/"), "unknown method FOO"),
        (HttpRequest::new("GET / HTTP/1.1\r\nX: y", "http://localhost/"), "is no method"),
        (HttpRequest::get("http://localhost/").header("A", "b\r\nC: d"), "A"),
        (HttpRequest::get("http://localhost/").header("A\r\nB", "c"), "A"),
        (HttpRequest::get("ftp://localhost/"), "Unsupported url scheme: ftp"),
        (HttpRequest::get("/relative"), "relative"),
        (HttpRequest::get("http://"), "http"),
    ] {
        let shown = format!("{request:?}");
        let error = client.fetch(request).await.unwrap_err();
        assert!(matches!(error, HttpClientError::Request(_)), "{shown}: {error:?}");
        assert!(error.to_string().contains(said), "{shown}: {error}");
        assert_eq!(error.code(), 599);
    }
}

#[cfg(not(feature = "tls"))]
#[squall::test]
async fn https_without_the_feature() {
    let error = AsyncHttpClient::new().fetch("https://localhost/").await.unwrap_err();
    assert!(matches!(error, HttpClientError::Request(_)), "{error:?}");
    assert!(error.to_string().contains("feature `tls`"), "{error}");
    let server = Server::playing(answer("HTTP/1.1 302 Found\r\nLocation: https://localhost/\r\n\r\n")).await;
    let error = AsyncHttpClient::new().fetch(server.url("/")).await.unwrap_err();
    assert!(matches!(error, HttpClientError::Redirect(_)), "{error:?}");
}

#[squall::test]
async fn producers_send_chunks_or_what_they_announced() {
    let app = app();
    let numbers = async |writer: BodyWriter| {
        for n in 0..3 {
            writer.write(format!("{n};")).await?;
        }
        Ok::<(), squall::iostream::StreamError>(())
    };
    let seen = echoed(&app, HttpRequest::post(app.url("/echo")).body_producer(numbers)).await;
    assert_eq!(
        (&seen["body"], &seen["coding"], &seen["length"]),
        (&json!("0;1;2;"), &json!("chunked"), &json!(null))
    );
    let request = HttpRequest::post(app.url("/echo")).header("Content-Length", 6);
    let seen = echoed(&app, request.body_producer(numbers)).await;
    assert_eq!(
        (&seen["body"], &seen["coding"], &seen["length"]),
        (&json!("0;1;2;"), &json!(null), &json!("6"))
    );

    let client = AsyncHttpClient::new();
    for (length, said) in [(5, "longer"), (7, "1 bytes shorter")] {
        let request = HttpRequest::post(app.url("/echo")).header("Content-Length", length);
        let error = client.fetch(request.body_producer(numbers)).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
    let failing = async |_: BodyWriter| Err::<(), _>("out of paper");
    let error = client.fetch(HttpRequest::post(app.url("/echo")).body_producer(failing)).await.unwrap_err();
    assert_eq!(error.to_string(), "the request body could not be made: out of paper");

    // Larger than all buffers: the server reads while it is still being written.
    let large = async |writer: BodyWriter| {
        for _ in 0..100 {
            writer.write(vec![b'x'; 100_000]).await?;
        }
        Ok::<(), squall::iostream::StreamError>(())
    };
    let response = client.fetch(HttpRequest::post(app.url("/sum")).body_producer(large)).await.unwrap();
    assert_eq!(response.text(), "10000000");
    let response =
        client.fetch(HttpRequest::post(app.url("/sum")).body(vec![b'y'; 20_000_000])).await.unwrap();
    assert_eq!(response.text(), "20000000");
}

#[squall::test]
async fn redirects_are_followed_up_to_a_limit() {
    let (app, client) = (app(), AsyncHttpClient::new());
    let response = client.fetch(app.url("/countdown/5")).await.unwrap();
    assert_eq!(
        (response.text(), response.effective_url()),
        ("Zero".to_owned(), app.url("/countdown/0").as_str())
    );
    assert_eq!(response.time_info().redirects, 5);
    let error = client.fetch(app.url("/countdown/6")).await.unwrap_err();
    assert_eq!(error.code(), 302);
    let once = HttpRequest::get(app.url("/countdown/2")).max_redirects(1);
    assert!(
        client.fetch(once).await.unwrap_err().response().unwrap().effective_url().ends_with("/countdown/1")
    );
    let none = HttpRequest::get(app.url("/countdown/1")).follow_redirects(false).raise_error(false);
    let response = client.fetch(none).await.unwrap();
    assert_eq!((response.status(), response.headers().get("Location")), (302, Some("/countdown/0")));
    // All of it on one connection.
    assert_eq!(client.idle_connections(), 1);

    for (status, method, expected, body) in [
        (303, "POST", "GET", ""),
        (302, "POST", "GET", ""),
        (307, "POST", "POST", "x"),
        (303, "PUT", "GET", ""),
        (308, "PUT", "PUT", "x"),
    ] {
        let request = HttpRequest::new(method, app.url(&format!("/see/{status}"))).body("x");
        let seen: serde_json::Value = client.fetch(request).await.unwrap().json().unwrap();
        assert_eq!((&seen["method"], &seen["body"]), (&json!(expected), &json!(body)), "{status} {method}");
        if body.is_empty() {
            assert_eq!((&seen["type"], &seen["length"]), (&json!(null), &json!(null)));
        }
    }
}

#[squall::test]
async fn credentials_stay_with_their_origin() {
    let elsewhere = Server::playing(answer(OK)).await;
    let to = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", elsewhere.url("/x"));
    let first = Server::playing(answer(&to)).await;
    let request = HttpRequest::get(first.url("/").replace("http://", "http://user:pw@"))
        .header("Cookie", "a=b")
        .header("X-Kept", "yes");
    let response = AsyncHttpClient::new().fetch(request).await.unwrap();
    assert_eq!(response.effective_url(), elsewhere.url("/x"));
    assert!(first.seen()[0].contains("Authorization: Basic dXNlcjpwdw==\r\n"));
    assert!(first.seen()[0].contains("Cookie: a=b\r\n"));
    let seen = &elsewhere.seen()[0];
    assert!(!seen.contains("Authorization") && !seen.contains("Cookie"), "{seen}");
    assert!(seen.contains("X-Kept: yes\r\n") && seen.contains(&format!("Host: {}\r\n", elsewhere.address)));

    let basic = HttpRequest::get(first.url("/")).basic_auth("Aladdin", "open sesame");
    AsyncHttpClient::new().fetch(basic).await.unwrap();
    assert!(first.seen()[1].contains("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
    assert!(!elsewhere.seen()[1].contains("Authorization"));
}

#[squall::test]
async fn a_digest_challenge_is_answered_once() {
    let challenge = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"b\"\r\n\
                     WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\nContent-Length: 2\r\n\r\nno";
    let server =
        Server::playing([answer(challenge), answer(OK), answer(challenge), answer(challenge)].concat()).await;
    let client = AsyncHttpClient::new();
    let request = || HttpRequest::get(server.url("/dir?q")).digest_auth("Mufasa", "Circle of Life");
    assert_eq!(client.fetch(request()).await.unwrap().text(), "ok");
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].matches("Authorization").count(), 1);
    assert!(
        seen[0]
            .contains("Authorization: Digest username=\"Mufasa\", realm=\"r\", nonce=\"n\", uri=\"/dir?q\"")
    );
    assert_eq!(client.fetch(request()).await.unwrap_err().code(), 401);
}

#[squall::test]
async fn expect_continue_waits_for_the_server() {
    let client = AsyncHttpClient::new();
    let request =
        |server: &Server| HttpRequest::post(server.url("/")).body("payload").expect_100_continue(true);
    let agreed = Server::playing(vec![
        Until("Expect: 100-continue\r\n\r\n"),
        send("HTTP/1.1 100 Continue\r\n\r\n"),
        Until("payload"),
        send(OK),
    ])
    .await;
    assert_eq!(client.fetch(request(&agreed)).await.unwrap().text(), "ok");
    let refused = Server::playing(answer("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")).await;
    let client = AsyncHttpClient::new();
    assert_eq!(client.fetch(request(&refused)).await.unwrap_err().code(), 417);
    assert!(!refused.seen()[0].contains("payload"));
    // And the connection is not used again: the server may still wait for the body.
    assert_eq!(client.idle_connections(), 0);
}

#[squall::test]
async fn interim_responses_are_skipped() {
    let server = Server::playing(answer(format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{OK}"
    )))
    .await;
    let response = AsyncHttpClient::new().fetch(server.url("/")).await.unwrap();
    assert_eq!((response.text(), response.headers().get("Link")), ("ok".to_owned(), None));
}

#[squall::test]
async fn statuses_and_bodies() {
    let (app, client) = (app(), AsyncHttpClient::new());
    let error = client.fetch(app.url("/teapot")).await.unwrap_err();
    assert_eq!((error.code(), error.to_string()), (418, "HTTP 418: I'm a teapot".to_owned()));
    assert_eq!(error.response().unwrap().text(), "short and stout");
    let calm = HttpRequest::get(app.url("/teapot")).raise_error(false);
    assert_eq!(client.fetch(calm).await.unwrap().status(), 418);
    assert_eq!(client.fetch(app.url("/none")).await.unwrap().status(), 204);
    let head = client.fetch(HttpRequest::head(app.url("/hello"))).await.unwrap();
    assert_eq!((head.body().len(), head.headers().get("Content-Length")), (0, Some("12")));
    assert_eq!(client.fetch(app.url("/chunks")).await.unwrap().body().len(), 3000);
    let tag = client.fetch(app.url("/hello")).await.unwrap().headers().get("Etag").unwrap().to_owned();
    let again = HttpRequest::get(app.url("/hello")).header("If-None-Match", tag.as_str());
    assert_eq!(client.fetch(again).await.unwrap_err().code(), 304);
    assert_eq!(client.idle_connections(), 1);

    let server = Server::playing(answer("HTTP/1.0 200 OK\r\n\r\nuntil the end")).await;
    assert_eq!(client.fetch(server.url("/")).await.unwrap().text(), "until the end");
    let request = HttpRequest::get(server.url("/")).if_modified_since(SystemTime::UNIX_EPOCH);
    client.fetch(request).await.unwrap();
    assert!(server.seen()[1].contains("If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n"));
}

#[squall::test]
async fn a_response_can_be_read_in_pieces() {
    let (app, client) = (app(), AsyncHttpClient::new());
    let mut response = client.fetch_stream(app.url("/chunks")).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut length = 0;
    while let Some(piece) = response.chunk().await.unwrap() {
        assert_eq!(client.idle_connections(), 0);
        length += piece.len();
    }
    assert_eq!((length, client.idle_connections()), (3000, 1));
    assert_eq!(response.chunk().await.unwrap(), None);
    // Dropped in the middle: the connection is closed, and its slot is free.
    let one = AsyncHttpClient::builder().max_clients(1).build();
    drop(one.fetch_stream(app.url("/chunks")).await.unwrap());
    assert_eq!(one.idle_connections(), 0);
    assert_eq!(one.fetch(app.url("/hello")).await.unwrap().text(), "Hello world!");
}

#[squall::test]
async fn compressed_responses() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&b"squeezed ".repeat(1000)).unwrap();
    let gzip = gzip.finish().unwrap();
    let whole = [
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", gzip.len())
            .as_bytes(),
        &gzip,
    ]
    .concat();
    let server = Server::playing([answer(&whole), answer(&whole), answer(&whole)].concat()).await;
    let client = AsyncHttpClient::new();
    let response = client.fetch(server.url("/")).await.unwrap();
    assert_eq!(response.text(), "squeezed ".repeat(1000));
    assert_eq!(response.headers().get("Content-Encoding"), None);
    assert_eq!(response.headers().get("X-Consumed-Content-Encoding"), Some("gzip"));
    let raw = client.fetch(HttpRequest::get(server.url("/")).decompress_response(false)).await.unwrap();
    assert_eq!((&raw.body()[..], raw.headers().get("Content-Encoding")), (&gzip[..], Some("gzip")));
    let small = HttpRequest::get(server.url("/")).max_body_size(8999);
    assert!(matches!(client.fetch(small).await.unwrap_err(), HttpClientError::BodyTooLarge));
}

#[squall::test]
async fn defaults_apply_where_a_request_is_silent() {
    let app = app();
    let defaults = HttpRequest::get("").user_agent("default").follow_redirects(false).raise_error(false);
    let client =
        AsyncHttpClient::builder().defaults(defaults.request_timeout(Duration::from_secs(30))).build();
    let seen: serde_json::Value = client.fetch(app.url("/echo")).await.unwrap().json().unwrap();
    assert_eq!(seen["agent"], "default");
    let own = HttpRequest::get(app.url("/echo")).user_agent("own");
    let seen: serde_json::Value = client.fetch(own).await.unwrap().json().unwrap();
    assert_eq!(seen["agent"], "own");
    assert_eq!(client.fetch(app.url("/countdown/1")).await.unwrap().status(), 302);
}

#[test]
fn the_blocking_client() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        stream.write_all(OK.as_bytes()).unwrap();
    });
    let client = squall::httpclient::HttpClient::new().unwrap();
    assert_eq!(client.fetch(&url).unwrap().text(), "ok");
    server.join().unwrap();
    assert!(client.fetch(&url).is_err());
}

/// The issue's number 27: not every server knows the header.
#[squall::test(timeout = 60)]
async fn an_expectation_that_is_not_answered_is_given_up() {
    let script = vec![Until("Expect: 100-continue\r\n\r\n"), Until("payload"), send(OK), Stall];
    // One that agrees too late has its 100 passed over.
    let late = vec![
        Until("Expect: 100-continue\r\n\r\n"),
        send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 1"),
        Until("payload"),
        send("00 Continue\r\n\r\n"),
        send(OK),
        Stall,
    ];
    for script in [script, late] {
        let server = Server::playing(script).await;
        let request = HttpRequest::post(server.url("/")).body("payload").expect_100_continue(true);
        let client = AsyncHttpClient::new();
        assert_eq!(client.fetch(request.request_timeout(None)).await.unwrap().text(), "ok");
        assert_eq!(client.idle_connections(), 1);
    }
}

/// The issue's number 28.
#[squall::test]
async fn redirects_that_lead_nowhere() {
    let client = AsyncHttpClient::new();
    for location in ["http:///x", "http:x", "///x", "/\\x", "/\t/x", "http://", "https:/x"] {
        let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let server = Server::playing(answer(&redirect)).await;
        let error = client.fetch(server.url("/")).await.unwrap_err();
        assert!(matches!(error, HttpClientError::Redirect(_)), "{location:?}: {error:?}");
        assert_eq!(server.seen().len(), 1, "{location:?}");
    }
    for url in ["http:///x", "http:x", "http:/x"] {
        let error = client.fetch(url).await.unwrap_err();
        assert!(matches!(error, HttpClientError::Request(_)), "{url}: {error:?}");
    }
}

/// RFC 9110 §10.2.2.
#[squall::test]
async fn a_fragment_survives_redirects() {
    let to =
        |location: &str| format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    for (locations, from, effective) in [
        (&["/b"][..], "/a#f", "/b#f"),
        (&["/b", "/c?d"], "/a#f", "/c?d#f"),
        (&["/b#g", "/c"], "/a#f", "/c#g"),
        (&["/b#g"], "/a", "/b#g"),
        (&["/b"], "/a", "/b"),
    ] {
        let mut script: Vec<_> = locations.iter().flat_map(|location| answer(to(location))).collect();
        script.extend(answer(OK));
        let server = Server::playing(script).await;
        let response = AsyncHttpClient::new().fetch(server.url(from)).await.unwrap();
        assert_eq!(response.effective_url(), server.url(effective));
        assert!(!server.seen()[0].contains('#'), "{:?}", server.seen());
    }
}

/// What ends with its head has no length to be wrong about (RFC 9112 §6.3, rule 1).
#[squall::test]
async fn a_head_with_a_bad_length() {
    for field in
        ["Content-Length: x", "Content-Length: -1", "Content-Length: 5, 6", "Transfer-Encoding: gzip"]
    {
        let head = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
        let server = Server::playing(answer(&head)).await;
        let client = AsyncHttpClient::new();
        let response = client.fetch(HttpRequest::head(server.url("/"))).await.unwrap();
        assert_eq!((response.status(), response.text()), (200, String::new()), "{field}");
        let name = field.split(':').next().unwrap();
        assert!(!response.headers().contains(name), "{field}: what is not understood is not handed on");
        assert_eq!(client.idle_connections(), 0, "{field}");
        let error = client.fetch(server.url("/")).await.unwrap_err();
        assert!(matches!(error, HttpClientError::Protocol(_)), "{field}: {error:?}");
    }
}

/// The issue's number 25: a token for a user.
#[squall::test]
async fn a_url_with_a_password_only() {
    for (user, sent) in [
        (":token@", Some("OnRva2Vu")),
        ("user@", Some("dXNlcjo=")),
        ("%C3%A9:p%3Aw@", Some("w6k6cDp3")),
        ("@", None),
    ] {
        let server = Server::playing(answer(OK)).await;
        let url = server.url("/").replace("http://", &format!("http://{user}"));
        let response = AsyncHttpClient::new().fetch(url).await.unwrap();
        assert_eq!(response.effective_url(), server.url("/"));
        let seen = server.seen().concat();
        match sent {
            Some(sent) => {
                assert!(seen.contains(&format!("Authorization: Basic {sent}\r\n")), "{user} {seen}");
            }
            None => assert!(!seen.contains("Authorization"), "{seen}"),
        }
    }
}

/// The issue's number 23.
#[squall::test]
async fn of_several_challenges_the_strongest_is_answered() {
    let challenge = "HTTP/1.1 401 Unauthorized\r\n\
         WWW-Authenticate: Negotiate, Basic realm=\"a, b\", Digest realm=\"x, y\", nonce=\"n\", qop=\"auth-int,auth\"\r\n\
         WWW-Authenticate: Digest realm=\"z\", nonce=\"m\", algorithm=SHA-256, qop=\"auth\", Bearer\r\n\
         Content-Length: 0\r\n\r\n";
    let server = Server::playing([answer(challenge), answer(OK)].concat()).await;
    let request = HttpRequest::get(server.url("/")).digest_auth("user", "pw");
    assert_eq!(AsyncHttpClient::new().fetch(request).await.unwrap().text(), "ok");
    let seen = server.seen().concat();
    let expected = "Authorization: Digest username=\"user\", realm=\"z\", nonce=\"m\", uri=\"/\"";
    assert!(seen.contains(expected) && seen.contains("algorithm=SHA-256"), "{seen}");
}

/// What is beyond ASCII goes back as it came, and names go out as they were given: octets, as curl sends them.
#[squall::test]
async fn challenges_beyond_ascii() {
    for (realm, user, expected) in [
        (&b"r"[..], "j\u{e9}", &b"username=\"j\xc3\xa9\", realm=\"r\""[..]),
        (b"r\xc3\xa9", "j", b"username=\"j\", realm=\"r\xc3\xa9\""),
        (b"r\xe9", "j", b"username=\"j\", realm=\"r\xe9\""),
        (b"\xc4\x8d\xc4\x8a", "\u{10d}\u{10a}", b"username=\"\xc4\x8d\xc4\x8a\", realm=\"\xc4\x8d\xc4\x8a\""),
    ] {
        let challenge = [
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: Digest realm=\"",
            realm,
            b"\", nonce=\"n\"\r\n\r\n",
        ];
        let server = Server::playing([answer(challenge.concat()), answer(OK)].concat()).await;
        let request = HttpRequest::get(server.url("/")).digest_auth(user, "pw");
        assert_eq!(AsyncHttpClient::new().fetch(request).await.unwrap().text(), "ok");
        let seen = server.octets().concat();
        assert!(seen.windows(expected.len()).any(|window| window == expected), "{}", seen.escape_ascii());
    }
}

/// The issue's number 26.
#[squall::test]
async fn bytes_after_the_end_of_gzip_are_ignored() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"squeezed").unwrap();
    let member = gzip.finish().unwrap();
    for (body, expected) in [
        ([&member[..], &[0; 512]].concat(), "squeezed"),
        ([&member[..], b"\r\n<!-- served by -->"].concat(), "squeezed"),
        ([&member[..], &member, b"more"].concat(), "squeezedsqueezed"),
    ] {
        let head = |framing: String| format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n{framing}\r\n");
        let length = [head(format!("Content-Length: {}\r\n", body.len())).as_bytes(), &body].concat();
        let until_close = [head(String::new()).as_bytes(), &body].concat();
        let server = Server::playing([answer(&length), answer(&length), vec![Stall]].concat()).await;
        let client = AsyncHttpClient::new();
        for _ in 0..2 {
            assert_eq!(client.fetch(server.url("/")).await.unwrap().text(), expected);
        }
        assert_eq!((server.seen().len(), client.idle_connections()), (1, 1));
        let server = Server::playing(answer(&until_close)).await;
        assert_eq!(client.fetch(server.url("/")).await.unwrap().text(), expected);
    }
    // They count all the same: a server cannot send them without end.
    let endless = [&b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"[..], &member].concat();
    let script = [answer(&endless), vec![Forever("more and more", Duration::ZERO)]].concat();
    let server = Server::playing(script).await;
    let request = HttpRequest::get(server.url("/")).request_timeout(None).max_body_size(10_000);
    let error = AsyncHttpClient::new().fetch(request).await.unwrap_err();
    assert!(matches!(error, HttpClientError::BodyTooLarge), "{error:?}");
}
