//! Tornado's `simple_httpclient_test.py`, case by case under its names; `README.md` beside this file lists them all. Done in
//! the clear, and by `over_tls.rs` over TLS.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use squall::http1connection::ParseError;
use squall::httpclient::{AsyncHttpClient, BodyWriter, HttpClientError, HttpRequest, TimedOut};
use squall::iostream::StreamError;
use squall::netutil::{Family, OverrideResolver, Resolver, Resolving, SystemResolver};
use squall::testing::{TestServer, serve};
use squall::{Application, Context, get, post};
use tokio::sync::oneshot;

use super::wire::{SCHEME, builder, front};
use crate::httpclient::script::{Server, Stall, Until, answer, send};
use crate::waiting::until;

/// What holds the answers to `/trigger` back, in the order of arrival.
type Triggers = Rc<std::cell::RefCell<VecDeque<oneshot::Sender<()>>>>;

fn app(triggers: &Triggers) -> TestServer {
    let triggers = Rc::clone(triggers);
    let ok = async |ctx: &Context| {
        assert!(ctx.request().body().is_empty(), "a body came along");
        ctx.write("ok");
        Ok(())
    };
    serve(
        Application::new([
            get("/trigger", async move |ctx: &Context| {
                let (sender, released) = oneshot::channel();
                triggers.borrow_mut().push_back(sender);
                let _ = released.await;
                ctx.write("released");
                Ok(())
            }),
            get("/countdown/{n}", async |ctx: &Context| {
                match ctx.path_arg::<u32>("n")? {
                    0 => ctx.write("Zero"),
                    n => ctx.redirect(&format!("/countdown/{}", n - 1))?,
                }
                Ok(())
            }),
            get("/hello", async |ctx: &Context| {
                ctx.write("Hello world!");
                Ok(())
            }),
            get("/chunk", async |ctx: &Context| {
                ctx.write("asdf");
                ctx.flush().await?;
                ctx.write("qwer");
                Ok(())
            }),
            squall::web::any("/options", async |ctx: &Context| {
                ctx.set_header("Access-Control-Allow-Origin", "*")?;
                ctx.write("ok");
                Ok(())
            }),
            get("/no_content", async |ctx: &Context| {
                ctx.set_status(204);
                Ok(())
            }),
            post("/see_other_post", async |ctx: &Context| {
                let status = std::str::from_utf8(ctx.request().body()).unwrap().parse().unwrap();
                ctx.redirect_with("/see_other_get", status)
            }),
            get("/see_other_get", ok),
            get("/host_echo", async |ctx: &Context| {
                ctx.write(ctx.request().headers().get("Host").unwrap());
                Ok(())
            }),
            post("/echo_post", async |ctx: &Context| {
                ctx.write(ctx.request().body());
                Ok(())
            }),
            get("/user_agent", async |ctx: &Context| {
                ctx.write(ctx.request().headers().get("User-Agent").unwrap());
                Ok(())
            }),
            get("/redirect", async |ctx: &Context| ctx.redirect(ctx.query_argument("url")?)),
        ])
        .compress_response(true),
    )
}

struct Case {
    _app: TestServer,
    /// Where it is reached.
    front: SocketAddr,
    client: AsyncHttpClient,
    triggers: Triggers,
}

fn case() -> Case {
    let triggers = Triggers::default();
    let app = app(&triggers);
    let front = front(([127, 0, 0, 1], app.port()).into());
    Case { _app: app, front, client: client(), triggers }
}

fn client() -> AsyncHttpClient {
    builder().build()
}

fn url(server: &Server, path: &str) -> String {
    format!("{SCHEME}://{}{path}", front(server.address))
}

impl Case {
    fn url(&self, path: &str) -> String {
        format!("{SCHEME}://{}{path}", self.front)
    }

    fn release(&self) {
        self.triggers.borrow_mut().pop_front().unwrap().send(()).unwrap();
    }
}

fn protocol_error(result: Result<squall::httpclient::HttpResponse, HttpClientError>) -> ParseError {
    match result {
        Err(HttpClientError::Protocol(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[squall::test]
async fn connection_limit() {
    let case = case();
    let client = builder().max_clients(2).build();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (client, url) = (client.clone(), case.url("/trigger"));
            tokio::task::spawn_local(async move { client.fetch(url).await.unwrap().text() })
        })
        .collect();
    until(|| case.triggers.borrow().len() == 2).await;
    assert_eq!((client.active_requests(), client.queued_requests()), (2, 2));
    case.release();
    case.release();
    until(|| case.triggers.borrow().len() == 2).await;
    assert_eq!((client.active_requests(), client.queued_requests()), (2, 0));
    assert_eq!(
        tasks.iter().map(tokio::task::JoinHandle::is_finished).collect::<Vec<_>>(),
        [true, true, false, false]
    );
    case.release();
    case.release();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "released");
    }
    assert_eq!((client.active_requests(), case.triggers.borrow().len()), (0, 0));
}

#[squall::test]
async fn redirect_connection_limit() {
    let case = case();
    let client = builder().max_clients(1).build();
    let request = HttpRequest::get(case.url("/countdown/3")).max_redirects(3);
    assert_eq!(client.fetch(request).await.unwrap().text(), "Zero");
}

#[squall::test]
async fn max_redirects() {
    let case = case();
    let request = HttpRequest::get(case.url("/countdown/5")).max_redirects(3).raise_error(false);
    let response = case.client.fetch(request).await.unwrap();
    assert_eq!((response.status(), response.headers().get("Location")), (302, Some("/countdown/1")));
    assert!(response.effective_url().ends_with("/countdown/2"));
}

#[squall::test]
async fn redirect_unsupported_scheme() {
    let case = case();
    for location in ["ftp://example.com/", "h:5", "http://[bad"] {
        let error = case.client.fetch(case.url(&format!("/redirect?url={location}"))).await.unwrap_err();
        assert!(matches!(error, HttpClientError::Redirect(_)), "{location}: {error:?}");
        let said = if location.starts_with("http:") { "no URL" } else { "Unsupported url scheme" };
        assert!(error.to_string().contains(said), "{location}: {error}");
    }
    assert_eq!(case.client.active_requests(), 0);
}

#[squall::test]
async fn header_reuse() {
    let case = case();
    let request = HttpRequest::get(case.url("/hello")).header("User-Agent", "Foo");
    case.client.fetch(request.clone()).await.unwrap();
    assert_eq!(request.headers().iter().collect::<Vec<_>>(), [("User-Agent", "Foo")]);
}

#[squall::test]
async fn default_user_agent() {
    let case = case();
    let response = case.client.fetch(case.url("/user_agent")).await.unwrap();
    assert_eq!(response.text(), concat!("squall/", env!("CARGO_PKG_VERSION")));
}

#[squall::test]
async fn see_other_redirect() {
    let case = case();
    for status in ["302", "303"] {
        let request = HttpRequest::post(case.url("/see_other_post")).body(status);
        let response = case.client.fetch(request).await.unwrap();
        assert_eq!((response.status(), response.text()), (200, "ok".to_owned()));
        assert!(response.effective_url().ends_with("/see_other_get"));
    }
}

struct NeverResolves;

impl Resolver for NeverResolves {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16, _family: Family) -> Resolving<'a> {
        Box::pin(std::future::pending())
    }
}

#[squall::test]
async fn connect_timeout_and_resolve_timeout() {
    let client = builder().resolver(NeverResolves).build();
    let soon = Duration::from_millis(100);
    for request in [
        HttpRequest::get(format!("{SCHEME}://example.com/hello")).connect_timeout(soon).request_timeout(None),
        HttpRequest::get(format!("{SCHEME}://example.com/hello")).request_timeout(soon),
    ] {
        let error = client.fetch(request).await.unwrap_err();
        assert!(error.is_timeout() && error.is_connect(), "{error:?}");
        assert_eq!(error.to_string(), "Timeout while resolving example.com");
    }
}

#[squall::test]
async fn request_timeout() {
    let case = case();
    let request = HttpRequest::get(case.url("/trigger")).request_timeout(Duration::from_millis(100));
    let error = case.client.fetch(request).await.unwrap_err();
    assert!(matches!(error, HttpClientError::Timeout(TimedOut::Request)), "{error:?}");
    assert_eq!((error.code(), case.client.active_requests()), (599, 0));
}

#[squall::test]
async fn ipv6() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let server = Server::listening("[::1]:0", vec![answer(ok)]).await;
    let (client, url) = (client(), url(&server, "/"));
    let error = client.fetch(HttpRequest::get(url.as_str()).allow_ipv6(false)).await.unwrap_err();
    assert!(matches!(error, HttpClientError::Connect(_)), "{error:?}");
    assert_eq!(client.fetch(url.as_str()).await.unwrap().text(), "ok");
    let host = url.trim_start_matches(SCHEME).trim_start_matches("://").trim_end_matches('/');
    assert!(server.seen()[0].contains(&format!("Host: {host}\r\n")));
}

#[squall::test]
async fn multiple_content_length_accepted() {
    let response = |length: &str| answer(format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\nok"));
    let client = client();
    for good in ["2,2", "2, 2,2", "2\r\nContent-Length: 2"] {
        let server = Server::playing(response(good)).await;
        assert_eq!(client.fetch(url(&server, "/")).await.unwrap().text(), "ok", "{good:?}");
    }
    for bad in ["2,4", "2, 2,3", "2\r\nContent-Length: 3"] {
        let server = Server::playing(response(bad)).await;
        let error = protocol_error(client.fetch(url(&server, "/")).await);
        assert_eq!(error, ParseError::ContentLength, "{bad:?}");
    }
}

#[squall::test]
async fn head_request() {
    let server = Server::playing(answer("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")).await;
    let response = client().fetch(HttpRequest::head(url(&server, "/"))).await.unwrap();
    assert_eq!((response.status(), response.headers().get("Content-Length")), (200, Some("7")));
    assert!(response.body().is_empty());
}

#[squall::test]
async fn options_request() {
    let case = case();
    let response = case.client.fetch(HttpRequest::options(case.url("/options"))).await.unwrap();
    assert_eq!((response.status(), response.text()), (200, "ok".to_owned()));
    assert_eq!(response.headers().get("content-length"), Some("2"));
    assert_eq!(response.headers().get("access-control-allow-origin"), Some("*"));
}

#[squall::test]
async fn no_content() {
    let case = case();
    let response = case.client.fetch(case.url("/no_content")).await.unwrap();
    assert_eq!((response.status(), response.headers().get("Content-Length")), (204, None));
}

#[squall::test]
async fn host_header() {
    let case = case();
    let expected = format!("127.0.0.1:{}", case.front.port());
    let plain = case.url("/host_echo");
    for url in [plain.clone(), plain.replace("://", "://me:secret@")] {
        assert_eq!(case.client.fetch(url).await.unwrap().text(), expected);
    }
}

#[squall::test]
async fn connection_refused() {
    let (listener, port) = squall::testing::bind_unused_port();
    drop(listener);
    let error = client().fetch(format!("{SCHEME}://127.0.0.1:{port}/")).await.unwrap_err();
    let HttpClientError::Connect(refused) = &error else { panic!("{error:?}") };
    assert_eq!(refused.io_error().unwrap().kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[squall::test]
async fn queue_timeout() {
    let case = case();
    let client = builder().max_clients(1).build();
    let (first, url) = (client.clone(), case.url("/trigger"));
    let blocking = tokio::task::spawn_local(async move { first.fetch(url).await.unwrap().text() });
    until(|| case.triggers.borrow().len() == 1).await;
    let impatient = HttpRequest::get(case.url("/hello")).connect_timeout(Duration::from_millis(100));
    let error = client.fetch(impatient).await.unwrap_err();
    assert_eq!((error.is_timeout(), error.to_string()), (true, "Timeout in request queue".to_owned()));
    assert_eq!(client.queued_requests(), 0);
    case.release();
    assert_eq!(blocking.await.unwrap(), "released");
}

#[squall::test]
async fn no_content_length() {
    let server = Server::playing(answer("HTTP/1.0 200 OK\r\n\r\nhello")).await;
    assert_eq!(client().fetch(url(&server, "/")).await.unwrap().text(), "hello");
}

/// Chunked and with a length, at once and with a pause.
#[squall::test]
async fn body_producers() {
    let case = case();
    for pause in [false, true] {
        let producer = async move |writer: BodyWriter| {
            writer.write("1234").await?;
            if pause {
                tokio::task::yield_now().await;
            }
            writer.write("5678").await
        };
        let request = HttpRequest::post(case.url("/echo_post"));
        for request in [request.clone(), request.header("Content-Length", "8")] {
            let response = case.client.fetch(request.body_producer(producer)).await.unwrap();
            assert_eq!(response.text(), "12345678");
        }
    }
}

#[squall::test]
async fn status_100_continue() {
    let case = case();
    let request = HttpRequest::post(case.url("/echo_post")).body("1234").expect_100_continue(true);
    assert_eq!(case.client.fetch(request).await.unwrap().text(), "1234");
}

#[squall::test]
async fn status_100_continue_early_response() {
    let server =
        Server::playing(answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nforbidden")).await;
    let never = async |_: BodyWriter| -> Result<(), StreamError> { panic!("should not be called") };
    let request = HttpRequest::post(url(&server, "/")).body_producer(never).expect_100_continue(true);
    assert_eq!(client().fetch(request).await.unwrap_err().code(), 403);
}

/// Nothing of the redirect itself is seen by whoever streams.
#[squall::test]
async fn streaming_follow_redirects() {
    let case = case();
    let mut response = case.client.fetch_stream(case.url("/redirect?url=/hello")).await.unwrap();
    assert_eq!((response.status(), response.headers().get("Location")), (200, None));
    assert_eq!(response.chunk().await.unwrap().as_deref(), Some(b"Hello world!".as_slice()));
    assert_eq!(response.chunk().await.unwrap(), None);
}

/// The reader waits between the pieces, and nothing is lost.
#[squall::test]
async fn streaming_callback_coroutine() {
    let case = case();
    let mut response = case.client.fetch_stream(case.url("/chunk")).await.unwrap();
    let mut all = Vec::new();
    while let Some(piece) = response.chunk().await.unwrap() {
        tokio::task::yield_now().await;
        all.extend_from_slice(&piece);
    }
    assert_eq!(all, b"asdfqwer");
}

/// Whoever fails while streaming drops the response: its connection is closed and its slot free.
#[squall::test]
async fn streaming_callback_error() {
    let case = case();
    let response = case.client.fetch_stream(case.url("/hello")).await.unwrap();
    assert_eq!(case.client.active_requests(), 1);
    drop(response);
    assert_eq!((case.client.active_requests(), case.client.idle_connections()), (0, 0));
}

#[squall::test]
async fn max_clients() {
    for (given, expected) in [(None, 10), (Some(11), 11)] {
        let server = Server::playing(vec![Until("\r\n\r\n"), Stall]).await;
        let mut builder = builder();
        if let Some(count) = given {
            builder = builder.max_clients(count);
        }
        let client = builder.build();
        for _ in 0..12 {
            let (client, url) = (client.clone(), url(&server, "/"));
            tokio::task::spawn_local(async move { client.fetch(url).await.map(|_| ()) });
        }
        until(|| client.active_requests() + client.queued_requests() == 12).await;
        assert_eq!(client.active_requests(), expected);
    }
}

#[squall::test]
async fn server_sends_100_continue_unasked() {
    let response = "HTTP/1.1 100 CONTINUE\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA";
    let server = Server::playing(answer(response)).await;
    assert_eq!(client().fetch(url(&server, "/")).await.unwrap().text(), "A");
}

#[squall::test]
async fn status_1xx_within_limit_and_too_many_1xx() {
    let response = |interim: usize| {
        let interim = "HTTP/1.1 100 CONTINUE\r\n\r\n".repeat(interim);
        answer(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nA"))
    };
    let client = client();
    let server = Server::playing(response(10)).await;
    assert_eq!(client.fetch(url(&server, "/")).await.unwrap().text(), "A");
    let server = Server::playing(response(11)).await;
    assert_eq!(protocol_error(client.fetch(url(&server, "/")).await), ParseError::TooManyInterim);
}

fn gzip_members() -> [Vec<u8>; 2] {
    let mut state = 1u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    [noise.take(100_000).collect(), b"hello ".repeat(20_000)]
}

fn gzip_response(tail: &[u8], cut: usize) -> Vec<u8> {
    let mut body: Vec<u8> = gzip_members()
        .iter()
        .flat_map(|member| {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            writer.write_all(member).unwrap();
            writer.finish().unwrap()
        })
        .collect();
    body.extend_from_slice(tail);
    body.truncate(body.len() - cut);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body].concat()
}

#[squall::test]
async fn gzip_concatenated_and_head() {
    let server = Server::playing(answer(gzip_response(b"", 0))).await;
    let response = client().fetch(url(&server, "/")).await.unwrap();
    assert!(response.body()[..] == gzip_members().concat()[..]);
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n";
    let server = Server::playing(answer(head)).await;
    let response = client().fetch(HttpRequest::head(url(&server, "/"))).await.unwrap();
    assert_eq!((response.status(), response.body().len()), (200, 0));
}

#[squall::test]
async fn gzip_invalid() {
    // Tornado refuses the first two; what follows the end is ignored here, as browsers do.
    for (what, response) in
        [("trailing_nul", gzip_response(b"\0", 0)), ("trailing_garbage", gzip_response(b"garbage", 0))]
    {
        let server = Server::playing(answer(response)).await;
        let response = client().fetch(url(&server, "/")).await.unwrap();
        assert!(response.body()[..] == gzip_members().concat()[..], "{what}");
    }
    for (what, response) in [
        ("truncated", gzip_response(b"", 1)),
        ("truncated_trailing_member", gzip_response(b"\x1f\x8b\x08\0", 0)),
    ] {
        let server = Server::playing(answer(response)).await;
        let error = client().fetch(url(&server, "/")).await.unwrap_err();
        assert!(matches!(error, HttpClientError::Decode), "{what}: {error:?}");
    }
}

#[squall::test]
async fn status_204() {
    let client = client();
    for head in ["Content-Length: 0\r\n", ""] {
        // Without a length and without an end of the connection: there is no body to wait for.
        let head = format!("HTTP/1.1 204 No content\r\n{head}\r\n");
        let server = Server::playing(vec![Until("\r\n\r\n"), send(head), Stall]).await;
        assert_eq!(client.fetch(url(&server, "/")).await.unwrap().status(), 204);
    }
    let server = Server::playing(answer("HTTP/1.1 204 No content\r\nContent-Length: 5\r\n\r\n")).await;
    assert_eq!(protocol_error(client.fetch(url(&server, "/")).await), ParseError::UnexpectedBody);
}

#[squall::test]
async fn hostname_mapping_and_port_mapping() {
    let case = case();
    let resolver = OverrideResolver::new(SystemResolver).host("www.example.com", "127.0.0.1").port(
        "foo.example.com",
        8000,
        ("127.0.0.1", case.front.port()),
    );
    let client = builder().resolver(resolver).build();
    for host in [&format!("www.example.com:{}", case.front.port()), "foo.example.com:8000"] {
        let url = format!("{SCHEME}://{host}/hello");
        assert_eq!(client.fetch(url).await.unwrap().text(), "Hello world!");
    }
}

#[squall::test]
async fn max_header_size() {
    let response = |length: usize| {
        format!("HTTP/1.1 200 OK\r\nX-Filler: {}\r\nContent-Length: 2\r\n\r\nok", "a".repeat(length))
    };
    let client = builder().max_header_size(1024).build();
    let server = Server::playing(answer(response(100))).await;
    assert_eq!(client.fetch(url(&server, "/")).await.unwrap().text(), "ok");
    let server = Server::playing(answer(response(1000))).await;
    assert_eq!(protocol_error(client.fetch(url(&server, "/")).await), ParseError::HeadTooLarge);
}

/// A body may be larger than the buffer that it passes through.
#[squall::test]
async fn max_buffer_size() {
    let body = "a".repeat(100 * 1024);
    let client = builder().max_buffer_size(64 * 1024).build();
    for head in [
        "HTTP/1.0 200 OK\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()),
    ] {
        let server = Server::playing(answer(head + &body)).await;
        assert!(client.fetch(url(&server, "/")).await.unwrap().text() == body);
    }
}

#[squall::test]
async fn max_body_size_until_close() {
    let response = format!("HTTP/1.0 200 OK\r\n\r\n{}", "a".repeat(100 * 1024));
    let server = Server::playing(answer(response)).await;
    let client = builder().max_body_size(64 * 1024).build();
    let error = client.fetch(url(&server, "/")).await.unwrap_err();
    assert!(matches!(error, HttpClientError::BodyTooLarge), "{error:?}");
}

#[squall::test]
async fn chunked_with_content_length() {
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 11\r\n\r\nHello world";
    let server = Server::playing(answer(response)).await;
    let error = protocol_error(client().fetch(url(&server, "/")).await);
    assert_eq!(error, ParseError::LengthAndEncoding);
}
