//! Fields behind bodies, in requests and responses (RFC 9113 §8.1).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use squall::{Application, Context, RequestHandler, Result, get, handler, post, url};

use super::support::{
    CONTINUATION, Client, DATA, HEADERS, PING, Raw, answer, get as asks, request, send, serve,
};

fn app() -> Application {
    Application::new([
        get("/early", async |ctx: &Context| {
            ctx.set_trailer("Grpc-Status", 0)?;
            ctx.add_trailer("X-B", "2")?;
            ctx.write("body");
            Ok(())
        }),
        get("/late", async |ctx: &Context| {
            ctx.write("bo");
            ctx.flush().await?;
            ctx.write("dy");
            ctx.set_trailer("Grpc-Status", 0)?;
            Ok(())
        }),
        get("/told", async |ctx: &Context| {
            ctx.set_header("Content-Length", 4)?;
            ctx.write("body");
            ctx.flush().await?;
            ctx.set_trailer("Grpc-Status", 0)
        }),
        get("/large", async |ctx: &Context| {
            ctx.write(vec![b'x'; 300_000]);
            ctx.flush().await?;
            ctx.set_trailer("Grpc-Status", 0)
        }),
        get("/empty", async |ctx: &Context| {
            ctx.flush().await?;
            ctx.set_trailer("Grpc-Status", 0)
        }),
        get("/nothing", async |ctx: &Context| {
            ctx.set_status(204);
            ctx.set_trailer("Grpc-Status", 0)
        }),
        post("/whole", async |ctx: &Context| {
            ctx.write(format!("{:?}", ctx.request_trailers().map(|all| all.iter().collect::<Vec<_>>())));
            Ok(())
        }),
        url("/streamed", Streamed),
    ])
}

/// Answers a body before the fields behind it have come.
#[derive(Clone)]
struct Streamed;

#[handler(stream_body)]
impl RequestHandler for Streamed {
    async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        ctx.write(format!("{} ", chunk.len()));
        ctx.flush().await
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write(format!("{:?}", ctx.request_trailers().map(|all| all.iter().collect::<Vec<_>>())));
        Ok(())
    }
}

fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    pairs.iter().map(field).collect()
}

#[squall::test]
async fn trailers_of_responses() {
    let (_server, port) = serve(app, |server| server);
    let mut client = Client::new(port).await;
    let zero = || Some(fields(&[("grpc-status", "0")]));
    for (path, length, body, trailers) in [
        ("/early", None, 4, Some(fields(&[("grpc-status", "0"), ("x-b", "2")]))),
        ("/late", None, 4, zero()),
        ("/told", Some("4"), 4, zero()),
        ("/large", None, 300_000, zero()),
        ("/empty", None, 0, zero()),
        ("/nothing", None, 0, None),
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.header("content-length"), length, "{path}");
        assert_eq!((answer.body.len(), answer.trailers), (body, trailers), "{path}");
        assert_eq!(answer.head.headers().contains_key("trailer"), path == "/early", "{path}");
    }
    let head = client.exchange(request("HEAD", "/early").body(()).unwrap(), b"").await;
    assert_eq!((head.status(), head.trailers), (200, None));
    assert_eq!(client.exchange(asks("/early"), b"").await.text(), "body", "the connection goes on");
}

#[squall::test]
async fn trailers_of_requests() {
    let (_server, port) = serve(app, |server| server.max_header_count(20));
    let mut client = Client::new(port).await;
    let many: HeaderMap =
        (0..21).map(|i| (HeaderName::try_from(format!("x-{i}")).unwrap(), "1".parse().unwrap())).collect();
    for (name, path, trailers, status, expected) in [
        (
            "two",
            "/whole",
            fields(&[("x-a", "1"), ("x-b", "2")]),
            200,
            r#"Some([("X-A", "1"), ("X-B", "2")])"#,
        ),
        ("a host", "/whole", fields(&[("host", "evil"), ("cookie", "a=b")]), 200, "None"),
        ("streamed", "/streamed", fields(&[("x-a", "1")]), 200, r#"3 Some([("X-A", "1")])"#),
        ("too many", "/whole", many, 400, "Invalid or excessive trailer\n"),
        ("white space", "/whole", fields(&[("x-a", " 1")]), 400, "Invalid or excessive trailer\n"),
    ] {
        let (response, mut sink) = client.open(request("POST", path).body(()).unwrap(), false).await;
        send(&mut sink, b"abc", false).await;
        sink.send_trailers(trailers).unwrap();
        let answer = answer(response).await.unwrap();
        assert_eq!((answer.status(), answer.text()), (status, expected), "{name}");
    }
    // No body at all before them.
    let (response, mut sink) = client.open(request("POST", "/whole").body(()).unwrap(), false).await;
    sink.send_trailers(fields(&[("x-a", "1")])).unwrap();
    assert_eq!(answer(response).await.unwrap().text(), r#"Some([("X-A", "1")])"#);
}

/// `POST` to a path for `x`.
fn post_to(path: &str) -> Vec<u8> {
    [&b"\x83\x86\x04"[..], &[path.len() as u8], path.as_bytes(), b"\x41\x01x"].concat()
}

/// Its kind, its flags, what it carries.
type Frame<'a> = (u8, u8, &'a [u8]);

/// RFC 9113 §8.1: the stream is malformed, and no other.
#[squall::test]
async fn pseudo_header_fields_in_trailers_reset_the_stream() {
    const PROTOCOL_ERROR: u32 = 1;
    let (_server, port) = serve(app, |server| server);
    let mut raw = Raw::new(port).await;
    let mut stream = 1;
    for path in ["/whole", "/streamed"] {
        let rows: &[(&[Frame<'_>], Result<(), u32>)] = &[
            (&[(HEADERS, 5, b"\x00\x03x-a\x01b")], Ok(())),
            (&[(HEADERS, 5, b"\x82")], Err(PROTOCOL_ERROR)),
            (&[(HEADERS, 5, b"\x00\x05:path\x01/")], Err(PROTOCOL_ERROR)),
            (&[(HEADERS, 5, b"\x82\x00\x03x-a\x01b")], Err(PROTOCOL_ERROR)),
            (&[(HEADERS, 5, b"\x00\x03x-a\x01b\x82")], Err(PROTOCOL_ERROR)),
            (&[(HEADERS, 1, b""), (CONTINUATION, 4, b"\x82")], Err(PROTOCOL_ERROR)),
            (&[(HEADERS, 1, b"\x00\x05"), (CONTINUATION, 4, b":path\x01/")], Err(PROTOCOL_ERROR)),
            (&[(HEADERS, 1, b"\x00\x03"), (CONTINUATION, 4, b"x-a\x01b")], Ok(())),
            (&[(HEADERS, 13, b"\x02\x82\x00\x00")], Err(PROTOCOL_ERROR)),
        ];
        for (frames, expected) in rows {
            raw.frame(HEADERS, 4, stream, &post_to(path)).await;
            if path == "/whole" {
                raw.frame(DATA, 0, stream, b"abc").await;
            }
            for (kind, flags, block) in *frames {
                raw.frame(*kind, *flags, stream, block).await;
            }
            assert_eq!(raw.verdict(stream).await, *expected, "{path} {frames:?}");
            stream += 2;
        }
    }
    raw.frame(PING, 0, 0, b"12345678").await;
    assert!(raw.find(PING).await.is_some(), "the connection lives");
}
