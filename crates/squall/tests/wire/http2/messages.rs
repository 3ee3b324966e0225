//! Requests and responses.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use h2::Reason;
use squall::{Application, Context, RequestHandler, Result, get, handler, post, url};

use super::support::{self, Client, answer, request, send, serve};

fn app() -> Application {
    Application::new([
        get("/", async |ctx: &Context| {
            ctx.write("Hello");
            Ok(())
        }),
        get("/what", async |ctx: &Context| {
            let request = ctx.request();
            ctx.write(format!(
                "{:?} {} {} {} {:?} {:?}",
                request.version(),
                request.host(),
                request.protocol(),
                request.uri(),
                request.headers().list("Cookie").collect::<Vec<_>>(),
                ctx.argument("a").ok(),
            ));
            Ok(())
        }),
        post("/echo", async |ctx: &Context| {
            ctx.write(ctx.request().body());
            Ok(())
        }),
        get("/large/{size}", async |ctx: &Context| {
            let size: usize = ctx.path_arg("size")?;
            let piece = vec![b'x'; 100_000];
            let mut left = size;
            while left > 0 {
                let part = left.min(piece.len());
                ctx.write(&piece[..part]);
                ctx.flush().await?;
                left -= part;
            }
            Ok(())
        }),
        get("/panic", async |_: &Context| panic!("on purpose")),
        get("/detach", async |ctx: &Context| {
            let error = ctx.detach().unwrap_err();
            ctx.write(error.to_string());
            Ok(())
        }),
        get("/empty", async |ctx: &Context| {
            ctx.set_status(204);
            Ok(())
        }),
        url("/stream", Upload { seen: 0 }),
    ])
}

/// Takes a body as it comes.
#[derive(Clone)]
struct Upload {
    seen: usize,
}

#[handler(stream_body)]
impl RequestHandler for Upload {
    async fn data_received(&mut self, _ctx: &Context, chunk: Bytes) -> Result {
        self.seen += chunk.len();
        Ok(())
    }

    async fn put(&mut self, ctx: &Context) -> Result {
        ctx.write(self.seen.to_string());
        Ok(())
    }
}

#[squall::test]
async fn a_request_is_what_http1_would_have_brought() {
    let (_server, port) = serve(app, |server| server);
    let mut client = Client::new(port).await;
    let hello = client.get("/").await;
    assert_eq!((hello.status(), hello.text()), (200, "Hello"));
    assert_eq!(hello.header("content-length"), Some("5"));
    assert_eq!(hello.header("connection"), None);
    assert!(hello.header("etag").is_some() && hello.header("server").is_some());

    let asked =
        request("GET", "/what?a=b%20c").header("cookie", "a=1").header("cookie", "b=2").body(()).unwrap();
    let what = client.exchange(asked, b"").await;
    let expected = r#"HTTP/2.0 server.test http /what?a=b%20c ["a=1; b=2"] Some("b c")"#;
    assert_eq!(what.text(), expected);
    for (path, status) in [("/missing", 404), ("/empty", 204), ("/panic", 500)] {
        assert_eq!(client.get(path).await.status(), status, "{path}");
    }
    assert_eq!(client.exchange(request("DELETE", "/").body(()).unwrap(), b"").await.status(), 405);
    // Of its own: what cannot be had, and a HEAD.
    assert!(client.get("/detach").await.text().contains("HTTP/2"));
    let head = client.exchange(request("HEAD", "/").body(()).unwrap(), b"").await;
    assert_eq!((head.status(), head.body.len(), head.header("content-length")), (200, 0, Some("5")));
}

#[squall::test]
async fn http1_goes_on_at_the_same_port() {
    let (_server, port) = serve(app, |server| server);
    let body =
        squall::httpclient::AsyncHttpClient::new().fetch(format!("http://127.0.0.1:{port}/")).await.unwrap();
    assert_eq!(body.body(), "Hello");
}

#[squall::test]
async fn bodies_go_both_ways_beyond_every_window() {
    let (_server, port) = serve(app, |server| server);
    let mut client = Client::new(port).await;
    let large: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
    let echo = client.exchange(request("POST", "/echo").body(()).unwrap(), &large).await;
    assert!(echo.body == large, "{} bytes", echo.body.len());
    let upload = client.exchange(request("PUT", "/stream").body(()).unwrap(), &large).await;
    assert_eq!(upload.text(), "1000000");
    let download = client.get("/large/3000000").await;
    assert_eq!(download.body.len(), 3_000_000);
    assert_eq!(download.header("content-length"), None);
    // An empty one, with a length and without.
    for length in [None, Some("0")] {
        let asked =
            length.into_iter().fold(request("POST", "/echo"), |asked, n| asked.header("content-length", n));
        let (response, mut sink) = client.open(asked.body(()).unwrap(), false).await;
        sink.send_data(Bytes::new(), true).unwrap();
        assert_eq!(answer(response).await.unwrap().status(), 200);
    }
}

#[squall::test]
async fn streams_do_not_wait_for_each_other() {
    let gate = Rc::new(tokio::sync::Notify::new());
    let order = Rc::new(RefCell::new(Vec::new()));
    let (inner_gate, inner_order) = (Rc::clone(&gate), Rc::clone(&order));
    let make = move || {
        let (gate, order) = (Rc::clone(&inner_gate), Rc::clone(&inner_order));
        let slow = get("/slow", async move |ctx: &Context| {
            gate.notified().await;
            order.borrow_mut().push("slow");
            ctx.write("slow");
            Ok(())
        });
        Application::new([
            slow,
            get("/fast", async |ctx: &Context| {
                ctx.write("fast");
                Ok(())
            }),
        ])
    };
    let (_server, port) = serve(make, |server| server);
    let mut client = Client::new(port).await;
    let (slow, _) = client.open(support::get("/slow"), true).await;
    for _ in 0..20 {
        assert_eq!(client.get("/fast").await.text(), "fast");
    }
    assert!(order.borrow().is_empty());
    gate.notify_one();
    assert_eq!(answer(slow).await.unwrap().text(), "slow");
}

#[squall::test]
async fn what_is_wrong_with_a_request_is_the_stream_s_matter() {
    let (_server, port) = serve(app, |server| server.max_body_size(1_000).max_header_count(20));
    let mut client = Client::new(port).await;
    let rows: [(&str, http::request::Builder, Result<u16, Reason>); 4] = [
        ("two hosts", request("GET", "/").header("host", "other.test"), Err(Reason::PROTOCOL_ERROR)),
        ("one host, twice", request("GET", "/").header("host", "server.test"), Ok(200)),
        (
            "too many fields",
            (0..30).fold(request("GET", "/"), |asked, i| asked.header(format!("x-{i}"), "y")),
            Ok(431),
        ),
        (
            "two lengths",
            request("POST", "/echo").header("content-length", "1").header("content-length", "2"),
            Err(Reason::PROTOCOL_ERROR),
        ),
    ];
    for (name, asked, expected) in rows {
        let (response, _sink) = client.open(asked.body(()).unwrap(), true).await;
        let got = answer(response).await.map(|answer| answer.status());
        match expected {
            Ok(status) => assert_eq!(got.unwrap(), status, "{name}"),
            Err(reason) => assert_eq!(got.unwrap_err().reason(), Some(reason), "{name}"),
        }
    }
    // Too long a body, announced or not.
    let announced = request("POST", "/echo").header("content-length", "5000").body(()).unwrap();
    let (response, _sink) = client.open(announced, false).await;
    let refused = answer(response).await.unwrap();
    assert_eq!(
        (refused.status(), refused.text()),
        (413, "Request body too large: the limit is 1000 bytes\n")
    );
    let (response, mut sink) = client.open(request("POST", "/echo").body(()).unwrap(), false).await;
    send(&mut sink, &[0; 2_000], false).await;
    assert_eq!(answer(response).await.unwrap().status(), 413);
    assert_eq!(client.get("/").await.status(), 200);
}

#[squall::test]
async fn gzip_bodies_are_inflated_and_bounded() {
    use std::io::Write as _;
    let pack = |data: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(data).unwrap();
        writer.finish().unwrap()
    };
    let (_server, port) = serve(app, |server| server.decompress_request(true));
    let mut client = Client::new(port).await;
    let gzip = || request("POST", "/echo").header("content-encoding", "gzip").body(()).unwrap();
    assert_eq!(client.exchange(gzip(), &pack(b"hello hello")).await.text(), "hello hello");
    assert_eq!(client.exchange(gzip(), b"nonsense").await.status(), 400);
    assert_eq!(client.exchange(gzip(), &pack(&vec![0; 3 << 20])).await.status(), 413);
}

#[squall::test]
async fn a_client_that_leaves_is_noticed() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let make = move || {
        let told = told.clone();
        Application::new([get("/wait", async move |ctx: &Context| {
            ctx.closed().await;
            told.send(()).unwrap();
            Ok(())
        })])
    };
    let (_server, port) = serve(make, |server| server);
    let mut client = Client::new(port).await;
    let (response, mut sink) = client.open(support::get("/wait"), true).await;
    // The server has it when it has answered what came after it.
    assert_eq!(client.get("/other").await.status(), 404);
    sink.send_reset(Reason::CANCEL);
    drop(response);
    tokio::time::timeout(support::DEADLINE, heard.recv()).await.unwrap().unwrap();
    // And with the whole connection.
    let (_response, _sink) = client.open(support::get("/wait"), true).await;
    assert_eq!(client.get("/other").await.status(), 404);
    client.driver.abort();
    tokio::time::timeout(support::DEADLINE, heard.recv()).await.unwrap().unwrap();
}

#[squall::test]
async fn bytes_and_files_are_framed_like_all_else() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let large: Vec<u8> = (0..300_000u32).map(|i| (i % 253) as u8).collect();
    std::fs::write(file.path(), &large).unwrap();
    let path = file.path().to_owned();
    let make = move || {
        let path = path.clone();
        Application::new([
            get("/file", async move |ctx: &Context| {
                let opened = std::fs::File::open(&path).unwrap();
                let part = squall::iostream::FilePart::new(opened.into(), 0..300_000);
                ctx.set_header("Content-Length", 300_000)?;
                ctx.write_file(part).await
            }),
            get("/bytes/{length}", async |ctx: &Context| {
                let length: usize = ctx.path_arg("length")?;
                ctx.set_header("Content-Length", length)?;
                ctx.flush().await?;
                let connection = ctx.request().connection();
                connection.write_bytes(Bytes::new())?;
                connection.write_bytes(Bytes::from_static(b"Hello"))?;
                Ok(())
            }),
        ])
    };
    let (_server, port) = serve(make, |server| server);
    let mut client = Client::new(port).await;
    let whole = client.get("/file").await;
    assert!(whole.body == large, "{} bytes", whole.body.len());
    assert_eq!(client.get("/bytes/5").await.text(), "Hello");
    // Too little, too much: neither looks complete.
    for path in ["/bytes/6", "/bytes/4"] {
        let (response, _) = client.open(support::get(path), true).await;
        answer(response).await.unwrap_err();
    }
}

/// However many come at once, the same or not the same as the one before, in turns of the connection's task.
#[squall::test]
async fn each_request_of_a_burst_gets_its_own_answer() {
    let make = || {
        Application::new([get("/", async |ctx: &Context| {
            let number: usize = ctx.argument("n")?.parse().unwrap();
            // Three in a row say the same, of the next two only one field is another.
            ctx.set_header("X-Number", number / 3 % 7)?;
            ctx.set_cookie("number", &(number / 9).to_string())?;
            ctx.set_header("Content-Type", if number % 5 == 4 { "text/other" } else { "text/plain" })?;
            ctx.write("x".repeat(number / 3));
            Ok(())
        })])
    };
    let (_server, port) = serve(make, |server| server);
    let mut client = Client::new(port).await;
    for burst in [1, 3, 64, 2, 65, 100, 1] {
        let mut responses = Vec::new();
        for number in 0..burst {
            responses.push(client.open(support::get(&format!("/?n={number}")), true).await.0);
        }
        for (number, response) in responses.into_iter().enumerate() {
            let answer = answer(response).await.unwrap();
            let length = number / 3;
            let expected = [
                ("x-number", (length % 7).to_string()),
                ("set-cookie", format!("number={}; Path=/", number / 9)),
                ("content-type", if number % 5 == 4 { "text/other" } else { "text/plain" }.to_owned()),
                ("content-length", length.to_string()),
            ];
            for (name, value) in expected {
                assert_eq!(answer.header(name), Some(value.as_str()), "{number} of {burst}");
            }
            assert_eq!(answer.body.len(), length, "{number} of {burst}");
        }
    }
}
