//! The HTTP client over HTTP/2, against squall's own server.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use squall::httpclient::{
    AsyncHttpClient, BodyWriter, CookieJar, HttpClientBuilder, HttpClientError, HttpRequest,
};
use squall::httpserver::HttpServer;
use squall::iostream::StreamError;
use squall::{Application, Bytes, Context, RequestHandler, Result, get, handler, post, url};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::support::serve;
pub(crate) use crate::waiting::until;

/// What tests and handlers share.
#[derive(Default)]
struct Shared {
    /// Handlers at work, and the most there were.
    at_work: Cell<usize>,
    most: Cell<usize>,
    go: Notify,
    /// How many clients have left.
    left: Cell<usize>,
    received: Cell<usize>,
}

fn app(shared: &Rc<Shared>) -> Application {
    let with = |shared: &Rc<Shared>| Rc::clone(shared);
    let (held, left, reading) = (with(shared), with(shared), with(shared));
    Application::new([
        get("/", async |ctx: &Context| {
            let request = ctx.request();
            let host = request.headers().get("Host").unwrap_or_default().to_owned();
            ctx.write(format!("{:?} {} {host}", request.version(), request.protocol()));
            Ok(())
        }),
        post("/echo", async |ctx: &Context| {
            ctx.write(ctx.request().body());
            Ok(())
        }),
        get("/fields", async |ctx: &Context| {
            let headers = ctx.request().headers();
            let fields: Vec<String> =
                headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            ctx.write(fields.join("\n"));
            Ok(())
        }),
        get("/held", async move |ctx: &Context| {
            held.at_work.set(held.at_work.get() + 1);
            held.most.set(held.most.get().max(held.at_work.get()));
            held.go.notified().await;
            held.at_work.set(held.at_work.get() - 1);
            ctx.write("held");
            Ok(())
        }),
        get("/never", async move |ctx: &Context| {
            left.at_work.set(left.at_work.get() + 1);
            ctx.closed().await;
            left.left.set(left.left.get() + 1);
            Ok(())
        }),
        get("/large", async |ctx: &Context| {
            for _ in 0..100 {
                ctx.write(vec![b'x'; 50_000]);
                ctx.flush().await?;
            }
            Ok(())
        }),
        url("/slow", Slow(reading)),
        get("/moved", async |ctx: &Context| ctx.redirect("/cookie")),
        get("/cookie", async |ctx: &Context| {
            let seen = ctx.cookie("seen").unwrap_or_default();
            ctx.set_cookie("seen", "yes")?;
            ctx.write(format!("seen {seen}"));
            Ok(())
        }),
        get("/zipped", async |ctx: &Context| {
            ctx.write("compressible ".repeat(10_000));
            Ok(())
        }),
        get("/none", async |ctx: &Context| {
            ctx.set_status(204);
            Ok(())
        }),
        get("/many", async |ctx: &Context| {
            for n in 0..50 {
                ctx.add_header("X-Field", format!("{n} {}", "v".repeat(100)).as_str())?;
            }
            Ok(())
        }),
    ])
    .compress_response(squall::web::Compression::new())
}

/// Takes its body when it is told to.
#[derive(Clone)]
struct Slow(Rc<Shared>);

#[handler(stream_body)]
impl RequestHandler for Slow {
    async fn prepare(&mut self, _ctx: &Context) -> Result {
        self.0.at_work.set(self.0.at_work.get() + 1);
        self.0.go.notified().await;
        Ok(())
    }

    async fn data_received(&mut self, _ctx: &Context, piece: Bytes) -> Result {
        self.0.received.set(self.0.received.get() + piece.len());
        Ok(())
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write(self.0.received.get().to_string());
        Ok(())
    }
}

struct Served {
    _server: HttpServer,
    shared: Rc<Shared>,
    url: String,
    connections: Rc<Cell<usize>>,
    /// Those that are open.
    open: Rc<Cell<usize>>,
}

impl Served {
    async fn new() -> Self {
        Self::with(|server| server).await
    }

    async fn with(options: impl FnOnce(HttpServer) -> HttpServer) -> Self {
        let shared = Rc::<Shared>::default();
        let given = Rc::clone(&shared);
        let (server, port) = serve(move || app(&given), options);
        let counted = Counted::before(SocketAddr::from(([127, 0, 0, 1], port))).await;
        Self {
            _server: server,
            shared,
            url: format!("http://{}", counted.address),
            connections: counted.made,
            open: counted.open,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    async fn until(&self, what: impl Fn(&Shared) -> bool) {
        until(|| what(&self.shared)).await;
    }
}

/// Passes connections on and counts them.
pub(crate) struct Counted {
    pub(crate) address: SocketAddr,
    pub(crate) made: Rc<Cell<usize>>,
    pub(crate) open: Rc<Cell<usize>>,
}

impl Counted {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (made, open) = (Rc::<Cell<usize>>::default(), Rc::<Cell<usize>>::default());
        let (counts, opens) = (Rc::clone(&made), Rc::clone(&open));
        tokio::task::spawn_local(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                counts.set(counts.get() + 1);
                opens.set(opens.get() + 1);
                let opens = Rc::clone(&opens);
                tokio::task::spawn_local(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    opens.set(opens.get() - 1);
                });
            }
        });
        Self { address, made, open }
    }
}

fn builder() -> HttpClientBuilder {
    AsyncHttpClient::builder().http2_prior_knowledge(true)
}

fn client() -> AsyncHttpClient {
    builder().build()
}

#[squall::test(timeout = 60)]
async fn it_is_spoken_without_asking_where_that_is_said() {
    let served = Served::new().await;
    let client = client();
    let host = served.url.strip_prefix("http://").unwrap();
    for _ in 0..3 {
        let response = client.fetch(served.url("/")).await.unwrap();
        assert_eq!((response.version(), response.reason()), (http::Version::HTTP_2, "OK"));
        assert_eq!(response.text(), format!("HTTP/2.0 http {host}"));
    }
    assert_eq!((served.connections.get(), client.idle_connections()), (1, 1));
    let other = HttpRequest::get(served.url("/")).http2_prior_knowledge(false);
    let response = client.fetch(other).await.unwrap();
    assert_eq!(
        (response.version(), response.text()),
        (http::Version::HTTP_11, format!("HTTP/1.1 http {host}"))
    );
    // What would be another protocol can be asked for over HTTP/1 only.
    let upgrade = HttpRequest::get(served.url("/")).header("Connection", "Upgrade").header("Upgrade", "x");
    assert_eq!(client.fetch(upgrade).await.unwrap().version(), http::Version::HTTP_11);
}

#[squall::test(timeout = 60)]
async fn bodies_of_both_directions_are_whole() {
    let served = Served::new().await;
    let client = client();
    for length in [0, 1, 16_384, 65_535, 65_536, 3_000_000] {
        let body: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        let post =
            || HttpRequest::post(served.url("/echo")).header("Content-Type", "application/octet-stream");
        let request = post().body(body.clone());
        let echoed = client.fetch(request).await.unwrap();
        assert!(echoed.body()[..] == body[..], "{length}");
        // Made piece by piece, of a length that is told or not.
        for told in [false, true] {
            let pieces = body.clone();
            let mut request = post().body_producer(async move |writer: BodyWriter| {
                for piece in pieces.chunks(100_000) {
                    writer.write(piece).await?;
                }
                Ok::<_, StreamError>(())
            });
            if told {
                request = request.header("Content-Length", length.to_string().as_str());
            }
            let echoed = client.fetch(request).await.unwrap();
            assert!(echoed.body()[..] == body[..], "{length} {told}");
        }
    }
    let wrong = HttpRequest::post(served.url("/echo"))
        .header("Content-Length", "3")
        .body_producer(async |writer: BodyWriter| writer.write("ab").await);
    assert!(matches!(client.fetch(wrong).await, Err(HttpClientError::Request(_))));
    let failing = HttpRequest::post(served.url("/echo"))
        .body_producer(async |_: BodyWriter| Err::<(), _>("no such file"));
    assert!(matches!(client.fetch(failing).await, Err(HttpClientError::Body(_))));
    assert_eq!(client.fetch(served.url("/none")).await.unwrap().status(), 204);
    let head =
        client.fetch(HttpRequest::head(served.url("/zipped")).decompress_response(false)).await.unwrap();
    assert_eq!((head.headers().get("Content-Length"), head.body().len()), (Some("130000"), 0));
    let awaited = HttpRequest::post(served.url("/echo")).expect_100_continue(true).body("after all");
    assert_eq!(client.fetch(awaited).await.unwrap().text(), "after all");
    assert_eq!(served.connections.get(), 1, "an exchange that failed takes no other along");
}

#[squall::test(timeout = 60)]
async fn many_requests_share_one_connection() {
    let served = Served::new().await;
    let client = builder().max_clients(64).build();
    let fetches = join_all((0..200).map(|_| client.fetch(served.url("/held"))));
    let let_go = async {
        served.until(|shared| shared.at_work.get() == 64).await;
        assert_eq!(client.active_requests(), 64);
        while served.shared.most.get() > 0 && client.active_requests() > 0 {
            served.shared.go.notify_waiters();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (all, ()) = tokio::join!(fetches, let_go);
    assert!(all.into_iter().all(|response| response.unwrap().text() == "held"));
    assert_eq!((served.connections.get(), served.shared.most.get()), (1, 64));
}

#[squall::test(timeout = 60)]
async fn a_server_that_allows_few_has_the_others_wait() {
    let options = squall::httpserver::Http2Options::new().max_concurrent_streams(3);
    let served = Served::with(|server| server.http2(options)).await;
    let client = builder().max_clients(50).build();
    let fetches = join_all((0..50).map(|_| client.fetch(served.url("/held"))));
    let let_go = async {
        served.until(|shared| shared.at_work.get() == 3).await;
        while client.active_requests() > 0 {
            served.shared.go.notify_waiters();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (all, ()) = tokio::join!(fetches, let_go);
    assert!(all.into_iter().all(|response| response.unwrap().text() == "held"));
    assert_eq!((served.connections.get(), served.shared.most.get()), (1, 3));
    // Not for as long as a connection may take, which is there: for as long as the request may.
    let held = tokio::task::spawn_local(join_all((0..3).map(|_| {
        let (client, url) = (client.clone(), served.url("/held"));
        async move { client.fetch(url).await.unwrap().text() }
    })));
    served.until(|shared| shared.at_work.get() == 3).await;
    let quick = Duration::from_millis(20);
    let late = HttpRequest::get(served.url("/")).request_timeout(quick);
    let error = client.fetch(late).await.unwrap_err();
    assert!(error.is_timeout() && !error.is_connect(), "{error}");
    let patient = client.fetch(HttpRequest::get(served.url("/")).connect_timeout(quick));
    let later = async {
        tokio::time::sleep(2 * quick).await;
        served.shared.go.notify_waiters();
    };
    let (patient, ()) = tokio::join!(patient, later);
    assert_eq!(patient.unwrap().status(), 200);
    assert_eq!(held.await.unwrap(), ["held"; 3]);
    assert_eq!(served.connections.get(), 1);
}

/// One after the other, in every way that a response can end; with pauses in which the connection is idle.
#[squall::test(timeout = 60)]
async fn a_connection_is_kept_for_the_next_request() {
    let served = Served::new().await;
    let client = client();
    for path in ["/", "/none", "/moved", "/zipped", "/large", "/missing", "/"] {
        let response = client.fetch(HttpRequest::get(served.url(path)).raise_error(false)).await.unwrap();
        assert_eq!(format!("{:?}", response.version()), "HTTP/2.0", "{path}");
        assert_eq!((client.idle_connections(), served.connections.get()), (1, 1), "{path}");
    }
    let head = client.fetch(HttpRequest::head(served.url("/"))).await.unwrap();
    assert_eq!((head.status(), head.body().len()), (200, 0));
    let echo = HttpRequest::post(served.url("/echo")).body(vec![b'x'; 300_000]);
    assert_eq!(client.fetch(echo).await.unwrap().body().len(), 300_000);
    // Responses that are left before their end, and requests that are never answered.
    drop(client.fetch_stream(served.url("/large")).await.unwrap());
    let never = HttpRequest::get(served.url("/never")).request_timeout(Duration::from_millis(20));
    assert!(client.fetch(never).await.unwrap_err().is_timeout());
    assert_eq!(client.fetch(served.url("/")).await.unwrap().status(), 200);
    assert_eq!((client.idle_connections(), served.connections.get()), (1, 1));
    // Another client has another.
    builder().build().fetch(served.url("/")).await.unwrap();
    assert_eq!(served.connections.get(), 2);
}

#[squall::test(timeout = 60)]
async fn bodies_that_are_not_taken_block_no_other() {
    let served = Served::new().await;
    let client = client();
    // All but one of `max_clients`.
    let mut stalled = Vec::new();
    for _ in 0..9 {
        let mut response = client.fetch_stream(served.url("/large")).await.unwrap();
        assert!(response.chunk().await.unwrap().is_some());
        stalled.push(response);
    }
    for _ in 0..3 {
        assert_eq!(client.fetch(served.url("/large")).await.unwrap().body().len(), 5_000_000);
    }
    for response in stalled {
        assert!(response.into_response().await.unwrap().body().len() > 4_000_000);
    }
    assert_eq!(served.connections.get(), 1);
}

#[squall::test(timeout = 60)]
async fn a_server_that_does_not_read_stops_the_producer() {
    let served = Served::new().await;
    let client = client();
    let written = Rc::new(Cell::new(0));
    let counts = Rc::clone(&written);
    let request = HttpRequest::post(served.url("/slow")).body_producer(async move |writer: BodyWriter| {
        for _ in 0..100 {
            writer.write(vec![b'x'; 100_000]).await?;
            counts.set(counts.get() + 1);
        }
        Ok::<_, StreamError>(())
    });
    let fetch = client.fetch(request);
    let watch = async {
        served.until(|shared| shared.at_work.get() == 1).await;
        // Others are served meanwhile, and time enough to send it all passes.
        for _ in 0..5 {
            assert_eq!(client.fetch(served.url("/large")).await.unwrap().body().len(), 5_000_000);
        }
        assert!(written.get() < 50, "{}", written.get());
        served.shared.go.notify_one();
    };
    let (response, ()) = tokio::join!(fetch, watch);
    assert_eq!((response.unwrap().text(), written.get()), ("10000000".to_owned(), 100));
    assert_eq!(served.connections.get(), 1);
}

#[squall::test(timeout = 60)]
async fn a_fetch_that_is_dropped_takes_its_stream_along_and_no_other() {
    let served = Served::new().await;
    let client = client();
    let held = client.fetch(served.url("/held"));
    let drops = async {
        served.until(|shared| shared.at_work.get() == 1).await;
        for n in 1..=20 {
            let mut never = Box::pin(client.fetch(served.url("/never")));
            let at_work = served.shared.at_work.get();
            poll_fn(|cx| {
                let _ = never.as_mut().poll(cx);
                if served.shared.at_work.get() > at_work { Poll::Ready(()) } else { wake_soon(cx) }
            })
            .await;
            drop(never);
            served.until(|shared| shared.left.get() == n).await;
        }
        let late = HttpRequest::get(served.url("/never")).request_timeout(Duration::from_millis(50));
        assert!(client.fetch(late).await.unwrap_err().is_timeout());
        // Unless it was over before it had begun. One of those at work is held.
        served.until(|shared| shared.left.get() + 1 == shared.at_work.get()).await;
        served.shared.go.notify_one();
    };
    let (response, ()) = tokio::join!(held, drops);
    assert_eq!(response.unwrap().text(), "held");
    assert_eq!((served.connections.get(), client.active_requests()), (1, 0));
    // In the middle of a body too.
    let mut response = client.fetch_stream(served.url("/large")).await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    assert_eq!(client.fetch(served.url("/none")).await.unwrap().status(), 204);
    assert_eq!(served.connections.get(), 1);
}

fn wake_soon(cx: &std::task::Context<'_>) -> Poll<()> {
    let waker = cx.waker().clone();
    tokio::task::spawn_local(async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        waker.wake();
    });
    Poll::Pending
}

#[squall::test(timeout = 60)]
async fn what_stands_above_does_not_notice() {
    let served = Served::new().await;
    let client = builder().cookie_jar(CookieJar::new()).build();
    let moved = client.fetch(served.url("/moved")).await.unwrap();
    assert_eq!((moved.text(), moved.effective_url()), ("seen ".to_owned(), &*served.url("/cookie")));
    assert_eq!(client.fetch(served.url("/moved")).await.unwrap().text(), "seen yes");
    let zipped = client.fetch(served.url("/zipped")).await.unwrap();
    assert!(zipped.headers().contains("X-Consumed-Content-Encoding"));
    assert_eq!(zipped.body().len(), 130_000);
    assert_eq!(client.fetch(served.url("/missing")).await.unwrap_err().code(), 404);
    let fields = HttpRequest::get(served.url("/fields"))
        .basic_auth("ann", "secret")
        .header("Connection", "close, X-Mine")
        .header("X-Mine", "1")
        .header("Keep-Alive", "5")
        .header("TE", "gzip, trailers")
        .header("Host", "elsewhere.test:1");
    let text = client.fetch(fields).await.unwrap().text();
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("User-Agent: squall/")).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "Accept-Encoding: gzip, br",
            "Authorization: Basic YW5uOnNlY3JldA==",
            "Cookie: seen=yes",
            "Host: elsewhere.test:1",
            "Te: trailers",
        ]
        .map(|line| if line.starts_with("Accept") { accepted(&text) } else { line })
    );
    assert_eq!(served.connections.get(), 1);
}

fn accepted(text: &str) -> &str {
    text.lines().find(|line| line.starts_with("Accept-Encoding: gzip")).unwrap()
}

#[squall::test(timeout = 60)]
async fn limits_hold() {
    let served = Served::new().await;
    let client = client();
    for small in [100, 129_999] {
        let request = HttpRequest::get(served.url("/zipped")).max_body_size(small);
        assert!(matches!(client.fetch(request).await, Err(HttpClientError::BodyTooLarge)), "{small}");
    }
    let fits = HttpRequest::get(served.url("/zipped")).max_body_size(130_000);
    assert_eq!(client.fetch(fits).await.unwrap().body().len(), 130_000);
    assert_eq!(client.fetch(served.url("/many")).await.unwrap().headers().list("X-Field").count(), 50);
    // Somewhat too large, and too large by far.
    for limit in [4_000, 1_000] {
        let client = builder().max_header_size(limit).build();
        let error = client.fetch(served.url("/many")).await.unwrap_err();
        assert!(matches!(error, HttpClientError::Protocol(_)), "{limit} {error}");
        assert_eq!(client.fetch(served.url("/none")).await.unwrap().status(), 204);
    }
    assert_eq!(served.connections.get(), 3);
}

#[squall::test(timeout = 60)]
async fn connections_end_when_nobody_has_use_for_them() {
    let served = Served::new().await;
    let ended = || until(|| served.open.get() == 0);
    // Dropped,
    let first = client();
    first.fetch(served.url("/")).await.unwrap();
    drop(first);
    ended().await;
    // closed, where what is under way goes on,
    let second = client();
    let held = second.fetch(served.url("/held"));
    let close = async {
        served.until(|shared| shared.at_work.get() == 1).await;
        second.close();
        assert!(matches!(second.fetch(served.url("/")).await, Err(HttpClientError::ClientClosed)));
        served.shared.go.notify_one();
    };
    assert_eq!(tokio::join!(held, close).0.unwrap().text(), "held");
    ended().await;
    // idle for too long,
    let third = builder().idle_timeout(Duration::from_millis(100)).build();
    third.fetch(served.url("/")).await.unwrap();
    ended().await;
    assert_eq!(third.idle_connections(), 0);
    // and not kept at all.
    let fourth = builder().max_idle_per_host(0).build();
    assert_eq!(fourth.fetch(served.url("/")).await.unwrap().status(), 200);
    ended().await;
    assert_eq!(fourth.fetch(served.url("/")).await.unwrap().status(), 200);
    assert_eq!(served.connections.get(), 5);
}

#[squall::test(timeout = 60)]
async fn a_server_that_drains_loses_no_request() {
    let shared = Rc::<Shared>::default();
    let given = Rc::clone(&shared);
    let (server, port) = serve(move || app(&given), |server| server);
    let client = client();
    let url = format!("http://127.0.0.1:{port}");
    let answers = RefCell::new(Vec::new());
    let held = async {
        let response = client.fetch(format!("{url}/held")).await;
        answers.borrow_mut().push(response.unwrap().text());
    };
    let drain = async {
        until(|| shared.at_work.get() == 1).await;
        server.stop();
        shared.go.notify_one();
    };
    tokio::join!(held, drain);
    assert_eq!(*answers.borrow(), ["held"]);
}

#[squall::test(timeout = 60)]
async fn the_test_client_speaks_it() {
    let shared = Rc::<Shared>::default();
    let app = squall::testing::serve(app(&shared));
    let http2 = app.http2();
    let port = app.port();
    http2.get("/").await.assert_status(200).assert_text(&format!("HTTP/2.0 http 127.0.0.1:{port}"));
    http2.post("/echo").json(&[1, 2]).await.assert_json([1, 2]);
    http2.request("OPTIONS", "*").await.assert_status(204);
    http2.get("/moved").await.assert_status(302).assert_header("Location", "/cookie");
    let jar = CookieJar::new();
    http2.get("/cookie").cookie_jar(&jar).await.assert_text("seen ");
    http2.get("/cookie").cookie_jar(&jar).await.assert_text("seen yes");
    let (one, other) = tokio::join!(http2.get("/held"), async {
        until(|| shared.at_work.get() == 1).await;
        shared.go.notify_one();
        http2.get("/missing").await
    });
    one.assert_text("held");
    other.assert_status(404);
    app.get("/").await.assert_text(&format!("HTTP/1.1 http 127.0.0.1:{port}"));
}
