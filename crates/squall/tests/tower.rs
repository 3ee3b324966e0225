//! Tower services inside squall, and squall as a tower service.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use axum::body::Body as AxumBody;
use axum::extract::{Path, State};
use axum::routing::{get as axum_get, post as axum_post};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use squall::httpclient::{AsyncHttpClient, BodyWriter, HttpRequest};
use squall::iostream::StreamError;
use squall::testing::serve;
use squall::web::{AppService, FallbackHandler, RequestBody};
use squall::{Application, Bytes, Context, RequestHandler, Result, get, handler, post, url};
use tower::{ServiceExt, service_fn};

fn router() -> axum::Router {
    let drip = async || {
        let pieces = (0..5)
            .map(|n| Ok::<_, std::convert::Infallible>(http_body::Frame::data(Bytes::from(format!("{n};")))));
        AxumBody::new(StreamBody::new(futures_util::stream::iter(pieces)))
    };
    let count = async |body: AxumBody| {
        let mut total = 0;
        let mut body = body;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => total += frame.into_data().map_or(0, |data| data.len()),
                Err(_) => return "broken".to_owned(),
            }
        }
        total.to_string()
    };
    axum::Router::new()
        .route(
            "/axum/{id}",
            axum_get(async |Path(id): Path<u32>, State(name): State<&'static str>| format!("{name} {id}")),
        )
        .route("/count", axum_post(count))
        .route("/drip", axum_get(drip))
        .route("/early", axum_post(async || (http::StatusCode::CONFLICT, [("X-Early", "yes")], "no need")))
        .with_state("axum")
}

#[squall::test]
async fn an_axum_router_mounts_as_it_is() {
    let ours = get("/", async |ctx: &Context| {
        ctx.write("squall");
        Ok(())
    });
    let app = serve(Application::new([ours, url("/.*", FallbackHandler::new(router()))]));
    app.get("/").await.assert_text("squall");
    let answer = app.get("/axum/7").await;
    answer.assert_status(200).assert_text("axum 7").assert_header("Content-Length", "6");
    assert_eq!(answer.headers().get_all("Date").iter().count(), 1);
    app.head("/axum/7").await.assert_status(200).assert_header("Content-Length", "6");
    app.get("/axum/x").await.assert_status(400);
    app.get("/nothing").await.assert_status(404).assert_text("");
    app.get("/count").await.assert_status(405).assert_header("Allow", "POST");
    app.get("/drip").await.assert_text("0;1;2;3;4;");
    app.post("/count").body("four").await.assert_text("4");
    app.post("/count").await.assert_text("0");
}

#[squall::test]
async fn large_bodies_stream_through() {
    let app = serve(Application::new([]).fallback(FallbackHandler::new(router())));
    let client = AsyncHttpClient::new();
    let large = HttpRequest::post(app.url("/count")).body(vec![b'x'; 20_000_000]);
    assert_eq!(client.fetch(large).await.unwrap().text(), "20000000");
    let chunks = async |writer: BodyWriter| {
        for _ in 0..100 {
            writer.write([b'y'; 10_000]).await?;
        }
        Ok::<(), StreamError>(())
    };
    let chunked = HttpRequest::post(app.url("/count")).body_producer(chunks);
    assert_eq!(client.fetch(chunked).await.unwrap().text(), "1000000");
    // An answer that does not wait for the body.
    let early = HttpRequest::post(app.url("/early")).body(vec![b'x'; 20_000_000]).raise_error(false);
    let answer = client.fetch(early).await.unwrap();
    assert_eq!(
        (answer.status(), answer.headers().get("X-Early"), answer.text()),
        (409, Some("yes"), "no need".to_owned())
    );
}

#[squall::test]
async fn what_fails_is_a_500() {
    let failing = service_fn(async |_: Request<RequestBody>| {
        Err::<Response<Full<Bytes>>, _>(std::io::Error::other("out of order"))
    });
    let panicking =
        service_fn(async |_: Request<RequestBody>| -> Result<Response<Full<Bytes>>, std::io::Error> {
            panic!("in the service, on purpose")
        });
    let app = serve(Application::new([
        url("/fails", FallbackHandler::new(failing)),
        url("/panics", FallbackHandler::new(panicking)),
    ]));
    app.get("/fails").await.assert_status(500);
    app.get("/panics").await.assert_status(500);
    let broken = service_fn(async |_: Request<RequestBody>| {
        let pieces =
            [Ok(http_body::Frame::data(Bytes::from_static(b"half"))), Err(std::io::Error::other("broken"))];
        Ok::<_, std::io::Error>(Response::new(StreamBody::new(futures_util::stream::iter(pieces))))
    });
    let app = serve(Application::new([url("/", FallbackHandler::new(broken))]));
    let mut answer = AsyncHttpClient::new().fetch_stream(app.url("/")).await.unwrap();
    assert_eq!(answer.status(), 200);
    while let Ok(piece) = answer.chunk().await {
        assert!(piece.is_some(), "the response looks complete");
    }
}

#[derive(Clone, Default)]
struct Count {
    bytes: usize,
}

#[handler(stream_body)]
impl RequestHandler for Count {
    async fn data_received(&mut self, _ctx: &Context, chunk: Bytes) -> Result {
        self.bytes += chunk.len();
        Ok(())
    }

    async fn put(&mut self, ctx: &Context) -> Result {
        ctx.write(self.bytes.to_string());
        Ok(())
    }
}

fn service() -> AppService {
    Application::new([
        get("/", async |ctx: &Context| {
            ctx.write(format!("{} {}", ctx.request().remote_ip(), ctx.argument_or("a", "-")?));
            ctx.set_header("X-Thing", "é")?;
            Ok(())
        }),
        get("/drip", async |ctx: &Context| {
            for n in 0..5 {
                ctx.write(n.to_string());
                ctx.flush().await?;
            }
            Ok(())
        }),
        get("/detach", async |ctx: &Context| ctx.detach().map(drop)),
        get("/panics", async |_: &Context| -> Result { panic!("in the handler, on purpose") }),
        post("/echo", async |ctx: &Context| {
            ctx.write(ctx.request().body());
            Ok(())
        }),
        url("/count", Count::default()),
    ])
    .into_service()
    .unwrap()
}

fn request(method: &str, path: &str, body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path).header("Host", "x");
    request
        .extension(SocketAddr::from(([10, 0, 0, 7], 80)))
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap()
}

async fn answer(request: Request<Full<Bytes>>) -> (u16, http::HeaderMap, String) {
    let (head, body) = service().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[squall::test]
async fn an_application_as_a_service() {
    let (status, headers, body) = answer(request("GET", "/?a=b", "")).await;
    assert_eq!((status, body.as_str()), (200, "10.0.0.7 b"));
    assert_eq!(headers["content-length"], "10");
    assert_eq!(headers["x-thing"].as_bytes(), b"\xe9");
    let (status, headers, body) = answer(request("HEAD", "/?a=b", "")).await;
    assert_eq!((status, headers["content-length"].as_bytes(), body.as_str()), (200, &b"10"[..], ""));
    let (status, headers, body) = answer(request("GET", "/drip", "")).await;
    assert_eq!((status, body.as_str()), (200, "01234"));
    assert!(!headers.contains_key("transfer-encoding"), "framing is the outer server's");
    assert_eq!(answer(request("POST", "/echo", "there and back")).await.2, "there and back");
    assert_eq!(answer(request("PUT", "/count", "12345")).await.2, "5");
    assert_eq!(answer(request("GET", "/nothing", "")).await.0, 404);
    assert_eq!(answer(request("GET", "/panics", "")).await.0, 500);
    assert_eq!(answer(request("GET", "/detach", "")).await.0, 500);
}

#[squall::test]
async fn dropping_the_body_tells_the_handler() {
    let (left, notice) = tokio::sync::oneshot::channel();
    let left = Rc::new(Cell::new(Some(left)));
    let wait = get("/", async move |ctx: &Context| {
        ctx.write("first");
        ctx.flush().await?;
        ctx.closed().await;
        if let Some(left) = left.take() {
            let _ = left.send(());
        }
        Ok(())
    });
    let service = Application::new([wait]).into_service().unwrap();
    let mut response = service.oneshot(request("GET", "/", "")).await.unwrap();
    let frame = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "first");
    drop(response);
    notice.await.unwrap();
}

#[squall::test]
async fn hyper_serves_an_application() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(service());
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service);
            tokio::task::spawn_local(serving);
        }
    });
    let client = AsyncHttpClient::new();
    assert_eq!(client.fetch(format!("{url}/drip")).await.unwrap().text(), "01234");
    let large = HttpRequest::put(format!("{url}/count")).body(vec![b'x'; 5_000_000]);
    assert_eq!(client.fetch(large).await.unwrap().text(), "5000000");
}
