//! The reverse proxy between squall's client and squall's server, and what takes time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use squall::httpclient::{AsyncHttpClient, BodyWriter, HttpRequest};
use squall::iostream::StreamError;
use squall::netutil::BindOptions;
use squall::testing::{TestServer, serve};
use squall::web::{ReverseProxy, UrlSpec, any, proxy};
use squall::websocket::websocket_connect;
use squall::{
    Application, Context, HttpServer, Message, RequestHandler, Result, Site, WebSocket, WebSocketHandler,
    get, handler, url, ws,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::uploads::{Count, drip};

fn front(proxy: ReverseProxy) -> TestServer {
    serve(Application::new([url("/.*", proxy)]))
}

fn base(server: &TestServer) -> String {
    server.url("/").trim_end_matches('/').to_owned()
}

/// Answers with what it was asked.
fn mirror() -> UrlSpec {
    any("/mirror", async |ctx: &Context| {
        let request = ctx.request();
        let mut text = format!("{} {}\n", request.method(), request.uri());
        for (name, value) in request.headers().iter() {
            text += &format!("{name}: {value}\n");
        }
        ctx.write(text);
        ctx.write(format!("\n{}", String::from_utf8_lossy(request.body())));
        ctx.add_header("Set-Cookie", "a=1")?;
        ctx.add_header("Set-Cookie", "b=2")?;
        ctx.set_header("X-Upstream", "yes")?;
        Ok(())
    })
}

#[squall::test]
async fn requests_and_responses_pass() {
    let back = serve(Application::new([mirror()]));
    let front = front(proxy(base(&back)));
    let request = HttpRequest::post(front.url("/mirror?a=b"))
        .header("X-Thing", "1")
        .header("Connection", "X-Secret")
        .header("X-Secret", "2")
        .header("X-Real-Ip", "6.6.6.6")
        .body("the body");
    let response = AsyncHttpClient::new().fetch(request).await.unwrap();
    let text = response.text();
    assert!(text.starts_with("POST /mirror?a=b\n") && text.ends_with("\n\nthe body"), "{text}");
    let host = front.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    for line in [
        "X-Thing: 1",
        "X-Real-Ip: 127.0.0.1",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: http",
        "Content-Length: 8",
        "Via: 1.1 squall",
        &format!("Host: {host}"),
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line} is not in {text}");
    }
    assert!(!text.contains("X-Secret") && !text.contains("6.6.6.6"), "{text}");
    assert_eq!(response.headers().get("X-Upstream"), Some("yes"));
    assert_eq!(response.headers().list("Set-Cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(response.headers().get("Via"), Some("1.1 squall"));
    assert_eq!(response.headers().list("Date").count(), 1);
    assert_eq!(response.headers().list("Server").count(), 1);
}

struct Strict;

impl Site for Strict {
    type User = ();

    fn set_default_headers(&self, ctx: &Context) -> Result {
        ctx.set_header("X-Frame-Options", "DENY")?;
        Ok(ctx.set_header("X-Upstream", "no")?)
    }
}

#[squall::test]
async fn the_response_is_the_upstreams() {
    let back = serve(Application::new([mirror()]));
    let own = any("/own", async |ctx: &Context| {
        ctx.write("own");
        Ok(())
    });
    let front = Application::new([own]).site(Strict).xsrf_cookies(true).cookie_secret("not for anybody");
    let front = serve(front.fallback(proxy(base(&back))));
    let client = AsyncHttpClient::new();
    let answer = client.fetch(front.url("/own")).await.unwrap();
    assert_eq!(answer.headers().get("X-Frame-Options"), Some("DENY"));
    // The token of this form is in a body that is not for us.
    let answer = client.fetch(HttpRequest::post(front.url("/mirror")).body("_xsrf=1")).await.unwrap();
    assert_eq!(answer.headers().list("X-Upstream").collect::<Vec<_>>(), ["yes"]);
    assert_eq!(answer.headers().get("X-Frame-Options"), None);
    let refused = client.fetch(HttpRequest::post(front.url("/own")).body("")).await.unwrap_err();
    assert_eq!(refused.code(), 403);
}

#[squall::test]
async fn methods_statuses_and_empty_bodies() {
    let back = serve(Application::new([
        mirror(),
        get("/none", async |ctx: &Context| {
            ctx.set_status(204);
            Ok(())
        }),
        get("/teapot", async |ctx: &Context| {
            ctx.set_status_reason(418, "Short and Stout");
            ctx.write("tea");
            Ok(())
        }),
        get("/tagged", async |ctx: &Context| {
            ctx.write("tagged");
            Ok(())
        }),
    ]));
    let front = front(proxy(base(&back)));
    let client = AsyncHttpClient::new();
    let fetch = async |request: HttpRequest| client.fetch(request.raise_error(false)).await.unwrap();
    for method in ["GET", "DELETE", "OPTIONS", "PUT", "PATCH", "PROPFIND"] {
        let request = HttpRequest::new(method, front.url("/mirror")).allow_nonstandard_methods(true);
        let text = fetch(request).await.text();
        assert!(text.starts_with(&format!("{method} /mirror\n")), "{method}: {text}");
    }
    let head = fetch(HttpRequest::head(front.url("/tagged"))).await;
    assert_eq!((head.status(), head.headers().get("Content-Length")), (200, Some("6")));
    assert_eq!(fetch(HttpRequest::get(front.url("/none"))).await.status(), 204);
    let teapot = fetch(HttpRequest::get(front.url("/teapot"))).await;
    assert_eq!((teapot.status(), teapot.reason(), teapot.text()), (418, "Short and Stout", "tea".to_owned()));
    let tag = head.headers().get("Etag").unwrap();
    let same = fetch(HttpRequest::get(front.url("/tagged")).header("If-None-Match", tag)).await;
    assert_eq!((same.status(), same.body().len()), (304, 0));
    assert_eq!(fetch(HttpRequest::get(front.url("/nothing"))).await.status(), 404);
}

#[squall::test]
async fn bodies_are_streamed_both_ways() {
    let back = serve(Application::new([url("/count", Count::default()), drip()]));
    let front = front(proxy(base(&back)));
    let client = AsyncHttpClient::new();
    let large = HttpRequest::put(front.url("/count")).body(vec![b'x'; 30_000_000]);
    assert_eq!(client.fetch(large).await.unwrap().text(), "30000000");
    let pieces = async |writer: BodyWriter| {
        for _ in 0..100 {
            writer.write([b'y'; 1000]).await?;
        }
        Ok::<(), StreamError>(())
    };
    let chunked = HttpRequest::put(front.url("/count")).body_producer(pieces);
    assert_eq!(client.fetch(chunked).await.unwrap().text(), "100000");
    let response = client.fetch(front.url("/drip")).await.unwrap();
    assert_eq!(
        (response.text(), response.headers().get("Transfer-Encoding")),
        ("01234".to_owned(), Some("chunked"))
    );
}

#[squall::test]
async fn events_arrive_when_they_are_sent() {
    let (release, gate) = tokio::sync::watch::channel(0);
    let back = serve(Application::new([get("/events", async move |ctx: &Context| {
        let mut gate = gate.clone();
        ctx.set_header("Content-Type", "text/event-stream")?;
        for n in 0..2 {
            ctx.write(format!("data: {n}\n\n"));
            ctx.flush().await?;
            gate.changed().await?;
        }
        Ok(())
    })]));
    let front = front(proxy(base(&back)).response_timeout(None));
    let mut response = AsyncHttpClient::new().fetch_stream(front.url("/events")).await.unwrap();
    for n in 0..2 {
        let piece = response.chunk().await.unwrap().unwrap();
        assert_eq!(piece, format!("data: {n}\n\n"));
        release.send(n + 1).unwrap();
    }
    assert_eq!(response.chunk().await.unwrap(), None);
}

#[squall::test]
async fn bytes_pass_after_an_upgrade() {
    // Speaks a protocol of its own after the head: sends back what it gets, in capitals.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::task::spawn_local(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        let head = String::from_utf8_lossy(&buffer[..count]).into_owned();
        assert!(
            head.contains("Connection: Upgrade\r\n") && head.contains("Upgrade: websocket\r\n"),
            "{head}"
        );
        let agreed =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nHELLO";
        stream.write_all(agreed.as_bytes()).await.unwrap();
        loop {
            let count = stream.read(&mut buffer).await.unwrap();
            if count == 0 {
                return;
            }
            stream.write_all(&buffer[..count].to_ascii_uppercase()).await.unwrap();
        }
    });
    let front = front(proxy(upstream));
    let request =
        HttpRequest::get(front.url("/")).header("Connection", "Upgrade").header("Upgrade", "websocket");
    let response = AsyncHttpClient::new().fetch_stream(request).await.unwrap();
    assert_eq!((response.status(), response.headers().get("Upgrade")), (101, Some("websocket")));
    let stream = response.into_upgraded().unwrap();
    assert_eq!(&stream.read_bytes(5).await.unwrap()[..], b"HELLO");
    for word in ["there", "and back"] {
        stream.write(word).await.unwrap();
        assert_eq!(&stream.read_bytes(word.len()).await.unwrap()[..], word.to_uppercase().as_bytes());
    }
}

#[squall::test]
async fn upstreams_that_fail() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = AsyncHttpClient::new();
    let status = async |front: &TestServer| {
        client.fetch(front.url("/mirror")).await.map_or_else(|e| e.code(), |r| r.status())
    };

    assert_eq!(status(&front(proxy(&nobody))).await, 502);
    let back = serve(Application::new([mirror()]));
    let second = front(proxy(&nobody).upstream(base(&back), 1));
    for _ in 0..4 {
        assert_eq!(status(&second).await, 200);
    }

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let slow = front(proxy(url).response_timeout(Duration::from_millis(50)));
    assert_eq!(status(&slow).await, 504);

    // Breaks off in the middle: so does the proxy, rather than to make it look whole.
    let broken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", broken.local_addr().unwrap());
    tokio::task::spawn_local(async move {
        let (mut stream, _) = broken.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await.unwrap();
    });
    let mut response = client.fetch_stream(front(proxy(url)).url("/")).await.unwrap();
    assert_eq!(&response.chunk().await.unwrap().unwrap()[..], b"half");
    response.chunk().await.unwrap_err();
}

#[squall::test]
async fn requests_are_shared_by_weight_and_upstreams_drained() {
    let asked: Rc<RefCell<String>> = Rc::default();
    let named = |name: &'static str| {
        let asked = Rc::clone(&asked);
        serve(Application::new([get("/", async move |_: &Context| {
            asked.borrow_mut().push_str(name);
            Ok(())
        })]))
    };
    let (a, b) = (named("a"), named("b"));
    let both = proxy(base(&a)).upstream(base(&b), 2);
    let handle = both.handle();
    let front = front(both);
    let client = AsyncHttpClient::new();
    for _ in 0..6 {
        client.fetch(front.url("/")).await.unwrap();
    }
    assert_eq!(*asked.borrow(), "babbab");
    assert!(handle.drain(&base(&b), true) && !handle.drain("http://other", true));
    asked.borrow_mut().clear();
    for _ in 0..3 {
        client.fetch(front.url("/")).await.unwrap();
    }
    assert_eq!(*asked.borrow(), "aaa");
}

#[squall::test]
async fn an_upstream_that_is_ill_gets_no_requests() {
    let healthy = Rc::new(Cell::new(true));
    let asked: Rc<RefCell<String>> = Rc::default();
    let server = |name: &'static str, healthy: Rc<Cell<bool>>| {
        let asked = Rc::clone(&asked);
        let health = get("/health", async move |ctx: &Context| {
            ctx.set_status(if healthy.get() { 200 } else { 503 });
            Ok(())
        });
        let page = get("/", async move |_: &Context| {
            asked.borrow_mut().push_str(name);
            Ok(())
        });
        serve(Application::new([health, page]))
    };
    let (a, b) = (server("a", Rc::clone(&healthy)), server("b", Rc::new(Cell::new(true))));
    let front =
        front(proxy(base(&a)).upstream(base(&b), 1).health_check("/health", Duration::from_millis(10)));
    let client = AsyncHttpClient::new();
    let wait_for = async |wanted: &str| loop {
        asked.borrow_mut().clear();
        for _ in 0..4 {
            client.fetch(front.url("/")).await.unwrap();
        }
        let mut seen: Vec<char> = asked.borrow().chars().collect();
        seen.sort_unstable();
        if seen.iter().collect::<String>() == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    wait_for("aabb").await;
    healthy.set(false);
    wait_for("bbbb").await;
    healthy.set(true);
    wait_for("aabb").await;
}

#[squall::test(timeout = 30)]
async fn a_client_that_leaves_takes_its_upstream_request_along() {
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let back = serve(Application::new([get("/poll", async move |ctx: &Context| {
        arrived.send("came")?;
        ctx.closed().await;
        arrived.send("left")?;
        Ok(())
    })]));
    let front = front(proxy(base(&back)).response_timeout(None));
    let client = AsyncHttpClient::new();
    let mut polling = Box::pin(client.fetch(front.url("/poll")));
    tokio::select! {
        _ = &mut polling => unreachable!("nobody answers"),
        word = arrivals.recv() => assert_eq!(word, Some("came")),
    }
    drop(polling);
    assert_eq!(arrivals.recv().await, Some("left"));
}

#[squall::test(timeout = 30)]
async fn a_client_that_closes_its_half_gets_no_made_up_response() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = front(proxy(format!("http://{}", silent.local_addr().unwrap())));
    let mut client = tokio::net::TcpStream::connect(("127.0.0.1", front.port())).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let (mut upstream, _) = silent.accept().await.unwrap();
    upstream.read_u8().await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "");
    // Its request is given up as well.
    let mut rest = Vec::new();
    upstream.read_to_end(&mut rest).await.unwrap();
}

#[squall::test]
async fn an_upload_that_breaks_off_is_not_taken_for_a_whole_one() {
    let finished = Rc::new(Cell::new(false));
    let (gone, mut notice) = tokio::sync::mpsc::unbounded_channel();

    #[derive(Clone)]
    struct Store {
        finished: Rc<Cell<bool>>,
        gone: tokio::sync::mpsc::UnboundedSender<()>,
    }

    #[handler(stream_body)]
    impl RequestHandler for Store {
        async fn put(&mut self, _ctx: &Context) -> Result {
            self.finished.set(true);
            Ok(())
        }

        fn on_connection_close(&mut self, _ctx: &Context) {
            let _ = self.gone.send(());
        }
    }

    let back = serve(Application::new([url("/", Store { finished: Rc::clone(&finished), gone })]));
    let front = front(proxy(base(&back)));
    let address = front.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    for head in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        stream
            .write_all(format!("PUT / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n10000\r\n").as_bytes())
            .await
            .unwrap();
        stream.write_all(&[b'x'; 0x8000]).await.unwrap();
        drop(stream);
        notice.recv().await.unwrap();
        assert!(!finished.get(), "{head}");
    }
}

/// An upstream that keeps what it is sent and answers with nothing.
async fn recorder() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (sender, received) = tokio::sync::mpsc::unbounded_channel();
    tokio::task::spawn_local(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            sender.send(String::from_utf8(head).unwrap()).unwrap();
            socket.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.unwrap();
        }
    });
    (base, received)
}

#[squall::test]
async fn a_target_is_passed_on_byte_for_byte() {
    let (upstream, mut received) = recorder().await;
    for (prefix, asked, expected) in [
        ("", "/public/../admin", "/public/../admin"),
        ("", "/public/%2e%2E/admin", "/public/%2e%2E/admin"),
        ("", "/a/./b//c", "/a/./b//c"),
        ("", "//evil.example/x", "//evil.example/x"),
        ("", "/\\x?y=\\&z=<'>", "/\\x?y=\\&z=<'>"),
        ("", "/q?a=%00%2f&b", "/q?a=%00%2f&b"),
        ("", "/q?", "/q?"),
        ("", "http://localhost/absolute/../form?x=1", "/absolute/../form?x=1"),
        ("/prefix", "/public/../../admin?x", "/prefix/public/../../admin?x"),
        ("/prefix/", "/a", "/prefix/a"),
    ] {
        let front = front(proxy(format!("{upstream}{prefix}")));
        let mut client = tokio::net::TcpStream::connect(("127.0.0.1", front.port())).await.unwrap();
        let request = format!("POST {asked} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let head = tokio::time::timeout(Duration::from_secs(10), received.recv()).await.unwrap().unwrap();
        assert!(head.starts_with(&format!("POST {expected} HTTP/1.1\r\n")), "{asked}: {head}");
        for added in ["User-Agent", "Content-Type", "Accept-Encoding"] {
            assert!(!head.contains(added), "{added} in {head}");
        }
    }
}

#[derive(Clone)]
struct Echo;

impl WebSocketHandler for Echo {
    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        match message.as_text() {
            Some("close") => ws.close(4001, "as you wish"),
            _ => ws.write_message(message).await?,
        }
        Ok(())
    }
}

#[squall::test]
async fn websockets_pass() {
    let back = serve(Application::new([ws("/ws", Echo)]));
    let front = front(proxy(base(&back)));
    let url = front.url("/ws").replace("http://", "ws://");
    let mut connection = websocket_connect(url).await.unwrap();
    for message in [Message::from("there"), Message::from(&b"\xff\0"[..]), Message::from("x".repeat(300_000))]
    {
        connection.write_message(message.clone()).await.unwrap();
        assert_eq!(connection.read_message().await, Some(message));
    }
    connection.write_message("close").await.unwrap();
    assert_eq!(connection.read_message().await, None);
    assert_eq!(
        (connection.close_code(), connection.close_reason().as_deref()),
        (Some(4001), Some("as you wish"))
    );
    // The other side sees that the proxy's client has gone.
    let connection = websocket_connect(front.url("/ws").replace("http://", "ws://")).await.unwrap();
    drop(connection);
}

/// Waits until a count does not change any more: everybody is stuck.
async fn settled(count: &Cell<usize>) -> usize {
    loop {
        let before = count.get();
        tokio::time::sleep(Duration::from_millis(300)).await;
        if before == count.get() && before > 0 {
            return before;
        }
    }
}

/// What four socket buffers and both programs may hold; much less than what is sent.
const HELD: usize = 40_000_000;
const LARGE: usize = 200_000_000;

#[squall::test(timeout = 60)]
async fn a_client_that_does_not_read_stops_the_upstream() {
    let sent = Rc::new(Cell::new(0));
    let counter = Rc::clone(&sent);
    let back = serve(Application::new([get("/", async move |ctx: &Context| {
        let piece = vec![b'x'; 100_000];
        while counter.get() < LARGE {
            ctx.write(&piece);
            ctx.flush().await?;
            counter.set(counter.get() + piece.len());
        }
        Ok(())
    })]));
    let front = front(proxy(base(&back)));
    let mut client = tokio::net::TcpStream::connect(("127.0.0.1", front.port())).await.unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let stuck = settled(&sent).await;
    assert!(stuck < HELD, "{stuck} bytes were taken from the upstream");
    let mut total = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match client.read(&mut buffer).await.unwrap() {
            0 => break,
            count => total += count,
        }
    }
    assert!(total > LARGE, "{total}");
}

#[squall::test(timeout = 60)]
async fn an_upstream_that_does_not_read_stops_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    tokio::task::spawn_local(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        gone.await.unwrap();
        let mut total = 0;
        let mut buffer = vec![0; 1 << 20];
        while total < LARGE {
            total += stream.read(&mut buffer).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    });
    let back = HttpServer::new({
        let upstream = upstream.clone();
        move || Application::new([url("/.*", proxy(&upstream))])
    });
    let back = back.max_body_size(1 << 30);
    back.listen_on(0, &BindOptions::new().address("127.0.0.1")).unwrap();
    let port = back.local_addrs()[0].port().unwrap();
    let client = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut reader, mut writer) = client.into_split();
    let sent = Rc::new(Cell::new(0));
    let counter = Rc::clone(&sent);
    tokio::task::spawn_local(async move {
        let head = format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGE}\r\n\r\n");
        writer.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![b'x'; 100_000];
        while counter.get() < LARGE {
            writer.write_all(&piece).await.unwrap();
            counter.set(counter.get() + piece.len());
        }
        // Half a connection that is closed is one that is given up.
        std::mem::forget(writer);
    });
    let stuck = settled(&sent).await;
    assert!(stuck < HELD, "{stuck} bytes were taken from the client");
    go.send(()).unwrap();
    let mut buffer = [0; 100];
    let count = reader.read(&mut buffer).await.unwrap();
    assert!(buffer[..count].starts_with(b"HTTP/1.1 204 "), "{}", String::from_utf8_lossy(&buffer[..count]));
    assert_eq!(sent.get(), LARGE);
}

#[squall::test]
async fn an_upstream_that_takes_no_connection_is_a_504() {
    // With a full queue of connections that nobody accepts, the kernel drops further ones.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    let connect =
        || tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address));
    while let Ok(connected) = connect().await {
        held.push(connected.unwrap());
    }
    let timeout = Duration::from_millis(50);
    let url = format!("http://{address}");
    let client = AsyncHttpClient::new();
    let status = async |front: &TestServer| {
        client.fetch(front.url("/mirror")).await.map_or_else(|e| e.code(), |r| r.status())
    };
    assert_eq!(status(&front(proxy(&url).connect_timeout(timeout))).await, 504);
    // Another one is asked instead.
    let back = serve(Application::new([mirror()]));
    let both = front(proxy(&url).connect_timeout(timeout).upstream(base(&back), 1));
    for _ in 0..3 {
        assert_eq!(status(&both).await, 200);
    }
}

#[squall::test]
async fn draining_lets_requests_in_flight_go_on() {
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let (release, gate) = tokio::sync::watch::channel(false);
    let back = serve(Application::new([get("/", async move |ctx: &Context| {
        arrived.send(())?;
        gate.clone().wait_for(|open| *open).await?;
        ctx.write("whole");
        Ok(())
    })]));
    let proxy = proxy(base(&back));
    let handle = proxy.handle();
    let front = front(proxy);
    let client = AsyncHttpClient::new();
    let fetching = tokio::task::spawn_local({
        let (client, url) = (client.clone(), front.url("/"));
        async move { client.fetch(url).await.unwrap().text() }
    });
    arrivals.recv().await.unwrap();
    assert!(handle.drain(&base(&back), true));
    // Nobody is left to ask.
    assert_eq!(client.fetch(front.url("/")).await.unwrap_err().code(), 502);
    release.send(true).unwrap();
    assert_eq!(fetching.await.unwrap(), "whole");
    assert!(handle.drain(&base(&back), false));
    assert_eq!(client.fetch(front.url("/")).await.unwrap().text(), "whole");
}
