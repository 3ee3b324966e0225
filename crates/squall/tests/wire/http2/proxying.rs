//! The reverse proxy between clients and upstreams of either version.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::future::join_all;
use squall::httpclient::{AsyncHttpClient, BodyWriter, HttpClientError, HttpRequest};
use squall::httpserver::HttpServer;
use squall::iostream::StreamError;
use squall::testing::{TestServer, serve_on};
use squall::web::{HttpError, proxy};
use squall::{Application, Bytes, Context, RequestHandler, Result, get, handler, post, url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::client::{Counted, until};

/// What tests and upstream share.
#[derive(Default)]
struct Shared {
    written: Cell<usize>,
    left: Cell<usize>,
    at_work: Cell<usize>,
    go: Notify,
}

/// Sends back each piece as it comes.
#[derive(Clone)]
struct Echo;

#[handler(stream_body)]
impl RequestHandler for Echo {
    async fn data_received(&mut self, ctx: &Context, piece: Bytes) -> Result {
        ctx.write(piece);
        ctx.flush().await
    }

    async fn post(&mut self, _ctx: &Context) -> Result {
        Ok(())
    }
}

/// Answers before it has read anything.
#[derive(Clone)]
struct Early;

#[handler(stream_body)]
impl RequestHandler for Early {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        ctx.set_status(413);
        ctx.write("too much");
        ctx.finish().await
    }

    async fn post(&mut self, _ctx: &Context) -> Result {
        Ok(())
    }
}

fn upstream(shared: &Rc<Shared>) -> Application {
    let (endless, never, held) = (Rc::clone(shared), Rc::clone(shared), Rc::clone(shared));
    Application::new([
        get("/", async |ctx: &Context| {
            let request = ctx.request();
            let told = |name: &str| request.headers().get(name).unwrap_or("-").to_owned();
            let names = ["Host", "Via", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Mine", "Cookie"];
            let fields: Vec<String> = names.into_iter().map(told).collect();
            ctx.set_header("X-Upstream", format!("{:?}", request.version()).as_str())?;
            ctx.write(fields.join("|"));
            Ok(())
        }),
        url("/echo", Echo),
        url("/early", Early),
        get("/endless", async move |ctx: &Context| {
            loop {
                ctx.write(vec![b'x'; 50_000]);
                if ctx.flush().await.is_err() {
                    endless.left.set(endless.left.get() + 1);
                    return Ok(());
                }
                endless.written.set(endless.written.get() + 50_000);
            }
        }),
        get("/never", async move |ctx: &Context| {
            never.at_work.set(never.at_work.get() + 1);
            ctx.closed().await;
            never.left.set(never.left.get() + 1);
            Ok(())
        }),
        get("/held", async move |ctx: &Context| {
            held.at_work.set(held.at_work.get() + 1);
            held.go.notified().await;
            ctx.write("held");
            Ok(())
        }),
        get("/broken", async |ctx: &Context| {
            ctx.write("half");
            ctx.flush().await?;
            Err(HttpError::new(500).into())
        }),
        post("/posted", async |ctx: &Context| {
            ctx.set_status(201);
            ctx.write(ctx.request().body().len().to_string());
            Ok(())
        }),
    ])
}

struct Proxied {
    shared: Rc<Shared>,
    _upstream: TestServer,
    proxy: TestServer,
    client: AsyncHttpClient,
    /// Connections to the upstream.
    made: Rc<Cell<usize>>,
}

impl Proxied {
    async fn new(client_http2: bool, upstream_http2: bool) -> Self {
        let shared = Rc::<Shared>::default();
        let given = Rc::clone(&shared);
        let upstream = serve_on(HttpServer::new(move || upstream(&given)).h2c(true));
        let counted = Counted::before(([127, 0, 0, 1], upstream.port()).into()).await;
        let handler = proxy(format!("http://{}", counted.address)).http2_prior_knowledge(upstream_http2);
        let proxied = move || Application::new([url("/.*", handler.clone())]);
        let proxy = serve_on(HttpServer::new(proxied).h2c(true));
        let client = AsyncHttpClient::builder().http2_prior_knowledge(client_http2).max_clients(50).build();
        Self { shared, _upstream: upstream, proxy, client, made: counted.made }
    }

    fn url(&self, path: &str) -> String {
        self.proxy.url(path)
    }
}

const BOTH: [(bool, bool); 3] = [(true, true), (true, false), (false, true)];

#[squall::test(timeout = 60)]
async fn requests_and_responses_pass_between_the_versions() {
    for (client_http2, upstream_http2) in BOTH {
        let proxied = Proxied::new(client_http2, upstream_http2).await;
        let request = HttpRequest::get(proxied.url("/"))
            .header("X-Mine", "1")
            .header("Cookie", "a=b; c=d")
            .header("TE", "trailers");
        let response = proxied.client.fetch(request).await.unwrap();
        let version = |http2| if http2 { ("HTTP/2.0", "2.0") } else { ("HTTP/1.1", "1.1") };
        let host = format!("127.0.0.1:{}", proxied.proxy.port());
        let came = version(client_http2).1;
        assert_eq!(response.text(), format!("{host}|{came} squall|http|{host}|1|a=b; c=d"));
        let (name, via) = version(upstream_http2);
        assert_eq!(response.headers().get("X-Upstream"), Some(name));
        assert_eq!(response.headers().get("Via"), Some(&*format!("{via} squall")));
        assert_eq!(format!("{:?}", response.version()), version(client_http2).0);
        let head = proxied.client.fetch(HttpRequest::head(proxied.url("/"))).await.unwrap();
        assert_eq!((head.status(), head.body().len()), (200, 0));
        assert_eq!(proxied.client.fetch(proxied.url("/missing")).await.unwrap_err().code(), 404);
        let posted =
            proxied.client.fetch(HttpRequest::post(proxied.url("/posted")).body("12345")).await.unwrap();
        assert_eq!((posted.status(), posted.text()), (201, "5".to_owned()));
        assert_eq!(proxied.made.get(), 1, "{client_http2} {upstream_http2}");
    }
}

/// It is the client's message that is wrong, not the upstream.
#[squall::test(timeout = 60)]
async fn what_the_next_version_cannot_say_is_a_bad_request() {
    let proxied = Proxied::new(false, true).await;
    for host in ["h%41", ""] {
        let mut socket = super::support::connect(proxied.proxy.port()).await;
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{host:?}: {answer}");
    }
}

#[squall::test(timeout = 60)]
async fn bodies_are_streamed_both_ways_at_once() {
    for (client_http2, upstream_http2) in BOTH {
        let proxied = Proxied::new(client_http2, upstream_http2).await;
        for told in [false, true] {
            let mut request =
                HttpRequest::post(proxied.url("/echo")).body_producer(async |writer: BodyWriter| {
                    for n in 0..60u8 {
                        writer.write(vec![n; 50_000]).await?;
                    }
                    Ok::<_, StreamError>(())
                });
            if told {
                request = request.header("Content-Length", "3000000");
            }
            let body = proxied.client.fetch(request).await.unwrap();
            let whole: Vec<u8> = (0..60u8).flat_map(|n| vec![n; 50_000]).collect();
            assert!(body.body()[..] == whole[..], "{client_http2} {upstream_http2} {told}");
        }
    }
}

#[squall::test(timeout = 60)]
async fn many_clients_share_the_connection_to_the_upstream() {
    for client_http2 in [true, false] {
        let proxied = Proxied::new(client_http2, true).await;
        let fetches = join_all((0..50).map(|_| proxied.client.fetch(proxied.url("/held"))));
        let let_go = async {
            until(|| proxied.shared.at_work.get() == 50).await;
            proxied.shared.go.notify_waiters();
        };
        let (all, ()) = tokio::join!(fetches, let_go);
        assert!(all.into_iter().all(|response| response.unwrap().text() == "held"));
        assert_eq!(proxied.made.get(), 1);
    }
}

#[squall::test(timeout = 60)]
async fn a_client_that_does_not_read_stops_its_upstream_and_no_other() {
    for (client_http2, upstream_http2) in BOTH {
        let proxied = Proxied::new(client_http2, upstream_http2).await;
        let mut endless = proxied.client.fetch_stream(proxied.url("/endless")).await.unwrap();
        assert!(endless.chunk().await.unwrap().is_some());
        // Until nothing moves, others being served meanwhile.
        let mut still = 0;
        while still < 100 {
            let before = proxied.shared.written.get();
            assert_eq!(proxied.client.fetch(proxied.url("/")).await.unwrap().status(), 200);
            still = if proxied.shared.written.get() == before { still + 1 } else { 0 };
        }
        assert!(proxied.shared.written.get() < 64 << 20, "{}", proxied.shared.written.get());
        drop(endless);
        until(|| proxied.shared.left.get() == 1).await;
    }
}

#[squall::test(timeout = 60)]
async fn who_gives_up_has_the_other_side_know() {
    for (client_http2, upstream_http2) in BOTH {
        let proxied = Proxied::new(client_http2, upstream_http2).await;
        let other = proxied.client.fetch(proxied.url("/held"));
        let gives_up = async {
            until(|| proxied.shared.at_work.get() == 1).await;
            let never = proxied.client.fetch(proxied.url("/never"));
            tokio::select! {
                biased;
                _ = never => panic!("there is no answer"),
                () = until(|| proxied.shared.at_work.get() == 2) => {}
            }
            until(|| proxied.shared.left.get() == 1).await;
            proxied.shared.go.notify_one();
        };
        let (held, ()) = tokio::join!(other, gives_up);
        assert_eq!(held.unwrap().text(), "held", "{client_http2} {upstream_http2}");
        let mut broken = proxied.client.fetch_stream(proxied.url("/broken")).await.unwrap();
        assert_eq!(broken.chunk().await.unwrap().unwrap(), "half");
        let error = broken.chunk().await.unwrap_err();
        assert!(matches!(error, HttpClientError::Closed(_)), "{client_http2} {upstream_http2} {error:?}");
    }
}

#[squall::test(timeout = 60)]
async fn an_upstream_that_answers_early_is_passed_on() {
    for (client_http2, upstream_http2) in BOTH {
        let proxied = Proxied::new(client_http2, upstream_http2).await;
        for _ in 0..3 {
            let large =
                HttpRequest::post(proxied.url("/early")).body(vec![b'x'; 2_000_000]).raise_error(false);
            let early = proxied.client.fetch(large).await.unwrap();
            assert_eq!((early.status(), early.text()), (413, "too much".to_owned()));
            assert_eq!(early.headers().get("Connection").is_some(), !client_http2);
            assert_eq!(proxied.client.fetch(proxied.url("/")).await.unwrap().status(), 200);
        }
    }
}
