//! Tower services inside squall, and squall as a tower service.

mod random;
mod trailers;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use axum::body::Body as AxumBody;
use axum::extract::{Path, State};
use axum::routing::{get as axum_get, post as axum_post};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use squall::HttpServer;
use squall::httpclient::{AsyncHttpClient, BodyWriter, HttpRequest};
use squall::httputil::{
    BodyKind, HttpHeaders, HttpMessageDelegate, HttpServerConnectionDelegate, HttpServerRequest, Pending,
    ResponseStartLine, Started,
};
use squall::iostream::StreamError;
use squall::testing::serve;
use squall::web::{AppService, FallbackHandler, RequestBody};
use squall::{Application, Bytes, Context, RequestHandler, Result, get, handler, post, url};
use tower::{ServiceExt, service_fn};

use super::proxy::heads;
use super::proxy::uploads::{Count, drip};

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

fn service() -> AppService {
    Application::new([
        get("/", async |ctx: &Context| {
            ctx.write(format!("{} {}", ctx.request().remote_ip(), ctx.argument_or("a", "-")?));
            ctx.set_header("X-Thing", "é")?;
            Ok(())
        }),
        drip(),
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
    assert_eq!(headers["x-thing"].as_bytes(), b"\xe9", "text goes out in ISO-8859-1");
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

/// A service whose response is its request's body.
async fn echo(request: Request<RequestBody>) -> Result<Response<RequestBody>, std::io::Error> {
    Ok(Response::new(request.into_body()))
}

/// A client that writes and reads as the test says.
struct Raw(tokio::net::TcpStream);

impl Raw {
    async fn connect(app: &squall::testing::TestServer) -> Self {
        Self(tokio::net::TcpStream::connect(("127.0.0.1", app.port())).await.unwrap())
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        use tokio::io::AsyncWriteExt;
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until what has come ends with `end`; gives all of it.
    async fn until(&mut self, end: &str) -> String {
        use tokio::io::AsyncReadExt;
        let mut all = Vec::new();
        while !all.ends_with(end.as_bytes()) {
            let mut byte = [0];
            let read = self.0.read(&mut byte).await.unwrap();
            assert_ne!(read, 0, "the end after {:?}", String::from_utf8_lossy(&all));
            all.push(byte[0]);
        }
        String::from_utf8(all).unwrap()
    }

    /// Reads to the end of the connection.
    async fn rest(&mut self) -> String {
        use tokio::io::AsyncReadExt;
        let mut all = Vec::new();
        self.0.read_to_end(&mut all).await.unwrap();
        String::from_utf8(all).unwrap()
    }
}

#[squall::test(timeout = 60)]
async fn a_response_may_depend_on_the_rest_of_the_request() {
    let app = serve(Application::new([]).fallback(FallbackHandler::new(service_fn(echo))));
    let mut raw = Raw::connect(&app).await;
    raw.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    // The head comes before any of the body, then each piece before the next is sent.
    let head = raw.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for piece in ["one", "two", "three"] {
        raw.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
        assert_eq!(raw.until(&format!("{piece}\r\n")).await, format!("{:x}\r\n{piece}\r\n", piece.len()));
    }
    raw.send("0\r\n\r\n").await;
    assert_eq!(raw.until("0\r\n\r\n").await, "0\r\n\r\n");
    // The connection goes on.
    raw.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi").await;
    assert!(raw.until("0\r\n\r\n").await.contains("\r\nhi\r\n"));
    // More than all buffers hold, both ways at once.
    let body: Vec<u8> = (0..20_000_000_u32).map(|n| n as u8).collect();
    let client = AsyncHttpClient::builder().build();
    let answer = client.fetch(HttpRequest::post(app.url("/")).body(body.clone())).await.unwrap();
    assert!(*answer.body() == body, "20 MB came back changed");
}

#[squall::test(timeout = 60)]
async fn a_response_goes_out_while_the_request_is_quiet() {
    // It depends on nothing but time, and the client has not sent all of its body.
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
    let receiver = Rc::new(Cell::new(Some(receiver)));
    let service = service_fn(move |request: Request<RequestBody>| {
        let mut receiver = receiver.take().unwrap();
        async move {
            // Not read, but not given up either.
            let mut body = Some(request.into_body());
            let pieces = futures_util::stream::poll_fn(move |cx| {
                assert!(!http_body::Body::is_end_stream(body.as_mut().unwrap()));
                receiver.poll_recv(cx).map(|piece| {
                    piece.map(|piece| Ok::<_, std::io::Error>(http_body::Frame::data(piece.as_bytes())))
                })
            });
            Ok::<_, std::io::Error>(Response::new(StreamBody::new(pieces)))
        }
    });
    let app = serve(Application::new([url("/", FallbackHandler::new(service))]));
    let mut raw = Raw::connect(&app).await;
    raw.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc").await;
    raw.until("\r\n\r\n").await;
    for piece in ["tick", "tock"] {
        sender.send(piece).unwrap();
        assert_eq!(raw.until("ck\r\n").await, format!("4\r\n{piece}\r\n"));
    }
    drop(sender);
    // Answered before the end of the body: what follows cannot be told from it.
    assert_eq!(raw.rest().await, "0\r\n\r\n");
}

#[squall::test(timeout = 60)]
async fn a_client_that_has_only_closed_its_side_gets_the_response() {
    use tokio::io::AsyncWriteExt;
    // Answers when it is told that the client has closed its side.
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let wait = Rc::new(Cell::new(Some(wait)));
    let service = service_fn(move |_: Request<RequestBody>| {
        let wait = wait.take();
        async move {
            wait.unwrap().await.unwrap();
            Ok::<_, std::io::Error>(Response::new(Full::new(Bytes::from_static(b"the real one"))))
        }
    });
    let closed = Rc::new(tokio::sync::Notify::new());
    let told = Rc::clone(&closed);
    let app =
        Application::new([url("/", FallbackHandler::new(service))]).before(async move |ctx: &Context| {
            let (connection, told) = (ctx.request().connection().clone(), Rc::clone(&told));
            tokio::task::spawn_local(async move {
                connection.closed().await;
                told.notify_one();
            });
            Ok(())
        });
    let app = serve(app);
    let mut raw = Raw::connect(&app).await;
    raw.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    raw.0.shutdown().await.unwrap();
    closed.notified().await;
    go.send(()).unwrap();
    let answer = raw.rest().await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nthe real one"),
        "{answer}"
    );
}

/// Tells when it is dropped.
struct Dropped(Option<tokio::sync::oneshot::Sender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

#[squall::test(timeout = 60)]
async fn a_quiet_response_is_dropped_when_the_client_leaves() {
    let (sender, dropped) = tokio::sync::oneshot::channel();
    let sender = Rc::new(Cell::new(Some(sender)));
    let service = service_fn(move |_: Request<RequestBody>| {
        let guard = Dropped(sender.take());
        async move {
            let mut first = Some(Bytes::from_static(b"first"));
            let pieces = futures_util::stream::poll_fn(move |_| {
                let _ = &guard;
                match first.take() {
                    Some(piece) => {
                        std::task::Poll::Ready(Some(Ok::<_, std::io::Error>(http_body::Frame::data(piece))))
                    }
                    None => std::task::Poll::Pending,
                }
            });
            Ok::<_, std::io::Error>(Response::new(StreamBody::new(pieces)))
        }
    });
    let app = serve(Application::new([url("/", FallbackHandler::new(service))]));
    let mut raw = Raw::connect(&app).await;
    raw.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    raw.until("first\r\n").await;
    drop(raw);
    dropped.await.unwrap();
}

#[squall::test(timeout = 60)]
async fn an_unread_body_costs_the_connection_only_when_it_is_still_coming() {
    let deaf = service_fn(async |_: Request<RequestBody>| {
        Ok::<_, std::io::Error>(Response::new(Full::new(Bytes::from_static(b"no"))))
    });
    let app = serve(Application::new([url("/", FallbackHandler::new(deaf))]));
    let mut raw = Raw::connect(&app).await;
    for _ in 0..2 {
        raw.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello").await;
        let head = raw.until("\r\n\r\nno").await;
        assert!(!head.contains("Connection: close"), "{head}");
    }
    // Answered at once when the rest is not here, however much that is.
    let mut uploading = Raw::connect(&app).await;
    uploading.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel").await;
    assert!(uploading.until("\r\n\r\nno").await.contains("Connection: close\r\n"));
    let mut uploading = Raw::connect(&app).await;
    uploading.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000\r\n\r\n").await;
    assert_eq!(uploading.until("\r\n").await, "HTTP/1.1 413 Payload Too Large\r\n");
    // HEAD says nothing of a length that is not known.
    raw.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let head = raw.until("\r\n\r\n").await;
    assert!(!head.contains("Content-Length"), "{head}");
    // Nobody says `100 Continue` to a body that nobody wants.
    raw.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    let head = raw.until("\r\n\r\nno").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Connection: close\r\n"), "{head}");
}

/// Says what it sees of the framing.
async fn framing(request: Request<RequestBody>) -> Result<Response<Full<Bytes>>, std::io::Error> {
    use http_body::Body;
    let (head, body) = request.into_parts();
    let hint = body.size_hint().exact();
    let length: Vec<_> = head.headers.get_all("content-length").iter().collect();
    let others =
        ["content-encoding", "transfer-encoding", "connection"].map(|name| head.headers.contains_key(name));
    let body = body.collect().await.unwrap().to_bytes();
    Ok(Response::new(Full::new(format!("{length:?} {hint:?} {others:?} {}", body.len()).into())))
}

#[squall::test(timeout = 60)]
async fn a_service_sees_one_length_and_it_is_the_bodys() {
    use std::io::Write;
    let app = || Application::new([]).fallback(FallbackHandler::new(service_fn(framing)));
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zipped.write_all(&[b'x'; 5000]).unwrap();
    let zipped = zipped.finish().unwrap();
    let gzip = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", zipped.len());
    for (decompress, fields, body, expected) in [
        (false, "Content-Length: 2, 2\r\n", &b"hi"[..], r#"["2"] Some(2) [false, false, false] 2"#),
        (
            false,
            "Content-Length: 2\r\nContent-Length: 2\r\n",
            b"hi",
            r#"["2"] Some(2) [false, false, false] 2"#,
        ),
        (false, "Content-Length: 0, 0\r\n", b"", r#"["0"] Some(0) [false, false, false] 0"#),
        (false, "", b"", "[] Some(0) [false, false, false] 0"),
        (
            false,
            "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n",
            b"2\r\nhi\r\n0\r\n\r\n",
            "[] None [false, false, false] 2",
        ),
        (true, &gzip, &zipped, "[] None [false, false, false] 5000"),
    ] {
        let app = squall::testing::serve_on(HttpServer::new(app).decompress_request(decompress));
        let mut raw = Raw::connect(&app).await;
        raw.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n")).await;
        raw.send(body).await;
        let answer = raw.until(expected).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

/// What a service's caller sends while it waits for the response.
fn fed()
-> (tokio::sync::mpsc::UnboundedSender<Bytes>, impl http_body::Body<Data = Bytes, Error = std::io::Error>) {
    let (sender, mut pieces) = tokio::sync::mpsc::unbounded_channel();
    let pieces = futures_util::stream::poll_fn(move |cx| {
        pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(http_body::Frame::data(piece))))
    });
    (sender, StreamBody::new(pieces))
}

#[derive(Clone, Default)]
struct Echo {
    left: Rc<tokio::sync::Notify>,
}

#[handler(stream_body)]
impl RequestHandler for Echo {
    async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        ctx.write(chunk);
        ctx.flush().await
    }

    async fn post(&mut self, _ctx: &Context) -> Result {
        Ok(())
    }

    fn on_connection_close(&mut self, _ctx: &Context) {
        self.left.notify_one();
    }
}

#[squall::test(timeout = 60)]
async fn a_services_response_may_depend_on_the_rest_of_the_request() {
    let left = Rc::new(tokio::sync::Notify::new());
    // A handler of ours, and a service inside a service.
    let ours = Application::new([url("/", Echo { left: Rc::clone(&left) })]);
    let nested = Application::new([]).fallback(FallbackHandler::new(service_fn(echo)));
    for app in [ours, nested] {
        let (sender, body) = fed();
        let request = Request::post("/").header("Host", "x").body(body).unwrap();
        let call = tokio::task::spawn_local(app.into_service().unwrap().oneshot(request));
        let mut response = None;
        let mut call = Some(call);
        for piece in ["one", "two"] {
            sender.send(Bytes::from_static(piece.as_bytes())).unwrap();
            if let Some(call) = call.take() {
                response = Some(call.await.unwrap().unwrap());
            }
            let frame = response.as_mut().unwrap().body_mut().frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), piece);
        }
        drop(sender);
        assert!(response.unwrap().body_mut().frame().await.is_none());
    }
    // A caller that leaves in the middle, with a body that never ends.
    let app = Application::new([url("/", Echo { left: Rc::clone(&left) })]).into_service().unwrap();
    let (sender, body) = fed();
    sender.send(Bytes::from_static(b"piece")).unwrap();
    let request = Request::post("/").header("Host", "x").body(body).unwrap();
    let mut response = app.oneshot(request).await.unwrap();
    assert!(response.body_mut().frame().await.is_some());
    drop(response);
    left.notified().await;
}

#[squall::test(timeout = 60)]
async fn dropping_a_call_tells_the_handler() {
    let (started, told) = (Rc::new(tokio::sync::Notify::new()), Rc::new(tokio::sync::Notify::new()));
    let (begun, left) = (Rc::clone(&started), Rc::clone(&told));
    let wait = get("/", async move |ctx: &Context| {
        begun.notify_one();
        ctx.closed().await;
        left.notify_one();
        Ok(())
    });
    let service = Application::new([wait]).into_service().unwrap();
    let mut call = Box::pin(service.clone().oneshot(request("GET", "/", "")));
    tokio::select! {
        _ = &mut call => panic!("there is no response"),
        () = started.notified() => {}
    }
    drop(call);
    told.notified().await;
    // Not even asked for once.
    use tower::Service as _;
    drop(service.clone().call(request("GET", "/", "")));
    told.notified().await;
}

#[squall::test]
async fn a_service_knows_its_host() {
    let host = get("/.*", async |ctx: &Context| {
        ctx.write(format!("{} {:?}", ctx.request().host(), ctx.request().headers().get("Host")));
        Ok(())
    });
    let service = Application::new([host]).into_service().unwrap();
    for (uri, version, hosts, expected) in [
        (
            "https://example.com:8443/a",
            http::Version::HTTP_2,
            &[][..],
            "example.com:8443 Some(\"example.com:8443\")",
        ),
        ("https://example.com/a", http::Version::HTTP_2, &["other"], "example.com Some(\"example.com\")"),
        (
            "http://user@example.com/a",
            http::Version::HTTP_11,
            &["other", "more"],
            "example.com Some(\"example.com\")",
        ),
        ("/a", http::Version::HTTP_11, &["example.com"], "example.com Some(\"example.com\")"),
        ("/a", http::Version::HTTP_11, &["one", "two"], ""),
        ("/a", http::Version::HTTP_11, &["a,b"], ""),
    ] {
        let mut request = Request::get(uri).version(version);
        for host in hosts {
            request = request.header("Host", *host);
        }
        let response = service.clone().oneshot(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap();
        assert_eq!(response.status(), if expected.is_empty() { 400 } else { 200 }, "{uri} {hosts:?}");
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, expected, "{uri} {hosts:?}");
    }
}

#[squall::test]
async fn a_service_says_that_it_has_no_connection_to_give() {
    let errors = Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = Rc::clone(&errors);
    let app = Application::new([
        get("/detach", async |ctx: &Context| ctx.detach().map(drop)),
        squall::websocket::websocket("/ws", async |_, _| Ok(())),
    ])
    .map_error(move |error: &std::io::Error| {
        seen.borrow_mut().push(error.to_string());
        None
    });
    let service = app.into_service().unwrap();
    for path in ["/detach", "/ws"] {
        let request = Request::get(path)
            .header("Host", "x")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==");
        let response = service.clone().oneshot(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap();
        assert_eq!(response.status(), 500, "{path}");
    }
    assert_eq!(*errors.borrow(), ["a tower service has no connection of its own to take over"; 2]);
}

/// An application below the level of handlers, as it should not be.
struct Bad;

impl HttpServerConnectionDelegate for Bad {
    fn start_request(&self, request: HttpServerRequest, _body: BodyKind) -> Started {
        assert_ne!(request.path(), "/panics", "on purpose");
        let body = if request.path() == "/long" { "longer than it says" } else { "l" };
        let mut headers = HttpHeaders::new();
        headers.set("Content-Length", 2).unwrap();
        let start = ResponseStartLine { status: 200, reason: "OK" };
        let written = request.connection().write_headers(start, &headers, body.as_bytes());
        assert_eq!(written.is_err(), request.path() == "/long");
        assert!(request.connection().finish().is_err());
        Started::Message(Box::new(Ignore))
    }
}

struct Ignore;

impl HttpMessageDelegate for Ignore {
    fn data_received(&mut self, _chunk: Bytes) -> Pending<'_> {
        None
    }

    fn finish(self: Box<Self>) -> Pending<'static> {
        None
    }
}

#[squall::test]
async fn a_response_that_is_wrong_does_not_look_right() {
    let service = Application::new([]).fallback(Bad).into_service().unwrap();
    for (path, begins) in [("/panics", false), ("/long", false), ("/short", true)] {
        let response = service.clone().oneshot(request("GET", path, "")).await;
        assert_eq!(response.is_ok(), begins, "{path}");
        if let Ok(response) = response {
            assert!(response.into_body().collect().await.is_err(), "{path}");
        }
    }
}

fn gzip(data: &[u8]) -> Bytes {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut writer, data).unwrap();
    writer.finish().unwrap().into()
}

#[squall::test(timeout = 60)]
async fn bodies_are_decompressed_where_asked() {
    let app = Application::new([post("/", async |ctx: &Context| {
        let encoding = ctx.request().headers().get("Content-Encoding").unwrap_or("none").to_owned();
        ctx.write(format!("{} {encoding}", ctx.request().body().len()));
        Ok(())
    })]);
    let plain = app.into_service().unwrap();
    let inflating = plain.clone().decompress_request(true);
    let hello = gzip(b"hello");
    let as_it_came = format!("{} gzip", hello.len());
    for (service, body, status, text) in [
        (&plain, hello.clone(), 200, as_it_came.as_str()),
        (&inflating, hello.clone(), 200, "5 none"),
        (&inflating, gzip(&vec![0; 2 << 20]), 413, ""),
        (&inflating, Bytes::from_static(b"no gzip"), 400, ""),
        (&inflating, hello.slice(..hello.len() - 3), 400, ""),
    ] {
        let request = Request::post("/").header("Host", "x").header("Content-Encoding", "gzip");
        let answer = service.clone().oneshot(request.body(Full::new(body)).unwrap()).await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), text);
    }
}

#[squall::test(timeout = 60)]
async fn an_answer_may_come_later_or_never() {
    let later = squall::httpserver::callback(|request: HttpServerRequest| {
        if request.path() == "/later" {
            tokio::task::spawn_local(async move {
                tokio::task::yield_now().await;
                let headers: HttpHeaders = [("Content-Length", "2")].into_iter().collect();
                let start = ResponseStartLine { status: 200, reason: "OK" };
                request.connection().write_headers(start, &headers, b"ok").unwrap();
                request.finish().unwrap();
            });
        } else if request.path() == "/dropped-later" {
            tokio::task::spawn_local(async move {
                tokio::task::yield_now().await;
                drop(request);
            });
        }
    });
    let service = Application::new([]).fallback(later).into_service().unwrap();
    for body in ["", "body"] {
        let answer = service.clone().oneshot(request("POST", "/later", body)).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
        for path in ["/dropped", "/dropped-later"] {
            assert!(service.clone().oneshot(request("POST", path, body)).await.is_err(), "{path}");
        }
    }
}

/// Every octet that a field's value may hold, after a letter so that none of it is white space around the value.
fn all_octets() -> Vec<u8> {
    let octets = (0..=255).filter(|&octet: &u8| octet == b'\t' || (octet >= b' ' && octet != 0x7f));
    let mut value = vec![b'a'];
    value.extend(octets);
    // Characters whose last octets, or whose numbers' last octets, are CR, LF, NUL, `:` or a space.
    value.extend("\u{10d}\u{10a}\u{100}\u{13a}\u{120}é€".as_bytes());
    value.push(b'z');
    value
}

#[squall::test(timeout = 60)]
async fn fields_are_octets_in_all_directions() {
    let value = all_octets();
    // What comes is sent back, with what else there is.
    let back = service_fn(async |request: Request<RequestBody>| {
        let mut response = Response::new(Full::new(Bytes::new()));
        response.headers_mut().extend(
            request.headers().get("x-a").map(|value| (http::HeaderName::from_static("x-b"), value.clone())),
        );
        Ok::<_, std::io::Error>(response)
    });
    let app = serve(Application::new([]).fallback(FallbackHandler::new(back)));
    let mut raw = Raw::connect(&app).await;
    raw.send([b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-A: ", &value[..], b"\r\n\r\n"].concat())
        .await;
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut raw.0, &mut answer).await.unwrap();
    let sent = [b"\r\nX-B: ", &value[..], b"\r\n"].concat();
    assert!(answer.windows(sent.len()).any(|part| part == sent), "{}", answer.escape_ascii());

    let ours = get("/", async |ctx: &Context| {
        ctx.set_header("X-B", ctx.request().headers().get_bytes("X-A").unwrap_or_default())?;
        Ok(())
    });
    let service = Application::new([ours]).into_service().unwrap();
    let request = Request::get("/").header("Host", "x").header("X-A", &value[..]);
    let response = service.oneshot(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap();
    assert_eq!(response.headers()["x-b"].as_bytes(), value);
}
