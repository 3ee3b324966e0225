//! The test client against servers that answer with given bytes.

use std::panic::AssertUnwindSafe;

use serde_json::json;
use squall::testing::{TestResponse, TestServer, serve_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use panics::catch;

/// Stops the server when the `TestServer` goes.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers every request with `answer`, piece by piece, and closes the connection. The receiver gets the requests.
fn scripted(answer: &'static [&'static str]) -> (TestServer, UnboundedReceiver<String>) {
    let (sender, receiver) = unbounded_channel();
    let server = serve_with(|listener| {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        AbortOnDrop(tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let mut received = Vec::new();
                while !complete(&received) {
                    assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0, "an unfinished request");
                }
                for piece in answer {
                    stream.write_all(piece.as_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                }
                // Not every test looks at them.
                let _ = sender.send(String::from_utf8(received).unwrap());
            }
        }))
    });
    (server, receiver)
}

/// Whether a head and as many bytes as its `Content-Length` says have come.
fn complete(received: &[u8]) -> bool {
    let text = std::str::from_utf8(received).unwrap();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

async fn answer(pieces: &'static [&'static str]) -> TestResponse {
    scripted(pieces).0.get("/").await
}

#[tokio::test]
async fn requests_are_written_as_expected() {
    let (app, mut requests) = scripted(&["HTTP/1.1 204 No Content\r\n\r\n"]);
    let host = format!("Host: 127.0.0.1:{}\r\nConnection: close\r\n", app.port());
    let response = app.get("/x?a=1").header("X-Two", 2).query(&[("b", "ä &"), ("c", "")]).await;
    assert_eq!((response.status(), response.reason(), response.bytes()), (204, "No Content", &b""[..]));
    assert_eq!(
        requests.recv().await.unwrap(),
        format!("GET /x?a=1&b=%C3%A4+%26&c= HTTP/1.1\r\nX-Two: 2\r\n{host}\r\n")
    );
    app.post("/f").form(&[("n", 1)]).await;
    assert_eq!(
        requests.recv().await.unwrap(),
        format!(
            "POST /f HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n{host}Content-Length: 3\r\n\r\nn=1"
        )
    );
    app.put("/j").header("content-type", "text/json").json(&json!({"a": [1]})).await;
    assert_eq!(
        requests.recv().await.unwrap(),
        format!("PUT /j HTTP/1.1\r\ncontent-type: text/json\r\n{host}Content-Length: 9\r\n\r\n{{\"a\":[1]}}")
    );
    app.patch("/p").header("Host", "a.example").await;
    assert_eq!(
        requests.recv().await.unwrap(),
        "PATCH /p HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    app.delete("/d").await;
    assert_eq!(requests.recv().await.unwrap(), format!("DELETE /d HTTP/1.1\r\n{host}\r\n"));
    app.options("*").body("x").await;
    assert_eq!(
        requests.recv().await.unwrap(),
        format!("OPTIONS * HTTP/1.1\r\n{host}Content-Length: 1\r\n\r\nx")
    );
    assert_eq!(app.url("/x"), format!("http://127.0.0.1:{}/x", app.port()));
}

#[tokio::test]
async fn all_framings_are_read() {
    for pieces in [
        &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"][..],
        &["HTTP/1.1 200 OK\r\nContent-Length: 5\r", "\n\r\nhe", "llo"],
        &["HTTP/1.1 200 OK\r\n\r\nhel", "lo"],
        &[
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n",
            "2\r",
            "\nlo\r\n0\r\nA: b\r\n\r\n",
        ],
        &[
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello",
        ],
    ] {
        let response = answer(pieces).await;
        response.assert_status(200).assert_text("hello").assert_text_contains("ell");
        assert_eq!(response.reason(), "OK", "{pieces:?}");
    }
    let (app, _requests) = scripted(&["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"]);
    app.head("/").await.assert_status(200).assert_header("content-length", "5").assert_text("");
}

#[tokio::test]
async fn badly_framed_responses_are_refused() {
    for (pieces, message) in [
        (&[][..], "the connection was closed before a response, after \"\""),
        (&["HTTP/1.1 200 OK\r\n"], "the connection was closed before a response"),
        (&["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"], "1 bytes before the end of the body"),
        (&["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhello"], "1 bytes follow the response: \"o\""),
        (&["HTTP/1.1 304 Not Modified\r\n\r\nhello"], "5 bytes follow the response"),
        (&["HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"], "Content-Length \"+5\""),
        (&["HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n"], "Content-Length \"\""),
        (&["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"], "ambiguous length"),
        (
            &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
            "ambiguous length",
        ),
        (&["HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"], "ambiguous length"),
        (&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"], "chunk size \"x\""),
        (
            &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"],
            "longer than its size",
        ),
        (
            &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"],
            "closed within a chunked body",
        ),
        (&["HTTP/1.0 200 OK\r\n\r\n"], "not an HTTP/1.1 head"),
        (&["200 OK\r\n\r\n"], "bad response: "),
        (&["HTTP/1.1 200 OK\r\nA b: c\r\n\r\n"], "bad response: "),
    ] {
        let panic = catch(answer(pieces)).await.unwrap_err();
        assert!(panic.contains(message), "{pieces:?}: {panic}");
        assert!(panic.starts_with("GET / at crates/squall/tests/web/testing.rs:"), "{panic}");
    }
}

#[tokio::test]
async fn a_refused_connection_names_the_request() {
    let app = serve_with(drop);
    let panic = catch(app.get("/x").into_future()).await.unwrap_err();
    assert!(panic.starts_with("GET /x at crates/squall/tests/web/testing.rs:"), "{panic}");
    assert!(panic.contains(&format!("cannot connect to port {}", app.port())), "{panic}");
}

#[tokio::test]
async fn an_early_answer_to_a_large_body_is_read() {
    let app = serve_with(|listener| {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        AbortOnDrop(tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            // Not reading is what makes the client's write stall.
            std::future::pending::<()>().await;
        }))
    });
    app.post("/").body(vec![b'x'; 16 << 20]).await.assert_status(413);
}

#[tokio::test]
async fn raw_returns_all_until_close() {
    let (app, mut requests) = scripted(&["HTTP/1.1 200 OK\r\n\r\n", "any", "thing"]);
    let answer = app.raw("G / X\r\n\r\n").await;
    assert_eq!(answer, b"HTTP/1.1 200 OK\r\n\r\nanything");
    assert_eq!(requests.recv().await.unwrap(), "G / X\r\n\r\n");
}

#[tokio::test]
async fn assertions_hold_or_show_the_response() {
    let json = answer(&["HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nB: 3\r\n\r\n{\"b\": [1], \"a\": null}"]).await;
    json.assert_json(json!({"a": null, "b": [1]})).assert_header("a", "1");
    assert_eq!(json.json::<serde_json::Value>()["b"][0], 1);
    assert_eq!((json.header("b"), json.header("c")), (Some("2"), None));
    assert_eq!(json.headers().get_all("b").iter().count(), 2);
    let redirect = answer(&["HTTP/1.1 302 Found\r\nLocation: /login?next=%2F\r\n\r\n"]).await;
    redirect.assert_redirect("/login?next=%2F");

    let failing: [(&dyn Fn(), &str); 8] = [
        (
            &|| {
                json.assert_status(404);
            },
            "expected status 404",
        ),
        (
            &|| {
                json.assert_text("x");
            },
            "expected the body \"x\"",
        ),
        (
            &|| {
                json.assert_text_contains("x");
            },
            "expected \"x\" in the body",
        ),
        (
            &|| {
                json.assert_header("A", "2");
            },
            "expected the header A: 2, found [\"1\"]",
        ),
        (
            &|| {
                json.assert_header("B", "2");
            },
            "found [\"2\", \"3\"]",
        ),
        (
            &|| {
                json.assert_json(json!({}));
            },
            "expected the JSON {}",
        ),
        (&|| drop(json.json::<Vec<u8>>()), "the body is not the expected JSON"),
        (
            &|| {
                json.assert_redirect("/");
            },
            "expected a redirect to /",
        ),
    ];
    for (assertion, message) in failing {
        let panic = std::panic::catch_unwind(AssertUnwindSafe(assertion)).unwrap_err();
        let panic = panic.downcast::<String>().unwrap();
        assert!(panic.contains(message), "{panic}");
        assert!(panic.contains("the response to GET / was:\n200 OK\na: 1\n"), "{panic}");
    }
    let panic = std::panic::catch_unwind(AssertUnwindSafe(|| {
        redirect.assert_redirect("/login");
    }));
    assert!(panic.is_err());
}

mod panics {
    //! The panic of a future, as its message.

    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::pin;
    use std::task::Poll;

    pub(crate) async fn catch<T>(future: impl Future<Output = T>) -> Result<T, String> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(*panic.downcast::<String>().expect("a formatted message"))),
        })
        .await
    }
}

#[squall::test]
async fn a_header_is_set_and_another_of_its_name_is_added() {
    use squall::{Application, Context, get};

    let app = squall::testing::serve(Application::new([get("/", async |ctx: &Context| {
        ctx.write_json(&ctx.request().headers().list("X-A").collect::<Vec<_>>())
    })]));
    app.get("/").header("X-A", 1).header("x-a", 2).await.assert_json(json!(["2"]));
    app.get("/").header("X-A", 1).add_header("x-a", 2).await.assert_json(json!(["1", "2"]));
}
