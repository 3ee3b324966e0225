//! Fields behind bodies, in requests and responses (RFC 9110 §6.5, RFC 9112 §7.1.2).

use bytes::Bytes;
use squall::httputil::HttpHeaders;
use squall::testing::{TestServer, serve_on};
use squall::{Application, Context, HttpServer, RequestHandler, Result, get, handler, post, url};

use super::support::{bad, closes, ok, ok_untagged, probe, stays, table};

fn shown(trailers: Option<&HttpHeaders>) -> String {
    let Some(trailers) = trailers else { return "none".to_owned() };
    trailers.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("|")
}

/// Takes its body in pieces, of which no trailer is one.
#[derive(Clone)]
struct Streamed {
    seen: usize,
}

#[handler(stream_body)]
impl RequestHandler for Streamed {
    async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        assert!(ctx.request_trailers().is_none(), "they come behind the body");
        self.seen += chunk.len();
        Ok(())
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write(format!("{} then {}", self.seen, shown(ctx.request_trailers())));
        Ok(())
    }
}

fn server() -> TestServer {
    serve_on(HttpServer::new(app).max_header_count(20))
}

fn app() -> Application {
    Application::new([
        probe(),
        post("/whole", async |ctx: &Context| {
            let host = ctx.request().headers().get("Host").unwrap_or_default();
            ctx.write(format!("{host} {}", shown(ctx.request_trailers())));
            Ok(())
        }),
        url("/streamed", Streamed { seen: 0 }),
        get("/early", async |ctx: &Context| {
            ctx.set_trailer("X-Sum", "1")?;
            ctx.add_trailer("x-sum", "2")?;
            ctx.set_trailer("X-More", "3")?;
            ctx.write("body");
            Ok(())
        }),
        get("/late", async |ctx: &Context| {
            ctx.set_header("Trailer", "X-Sum")?;
            ctx.write("bo");
            ctx.flush().await?;
            ctx.write("dy");
            ctx.set_trailer("X-Sum", 4)
        }),
        get("/told", async |ctx: &Context| {
            ctx.set_header("Content-Length", 4)?;
            ctx.write("bo");
            ctx.flush().await?;
            ctx.set_trailer("X-Sum", 4)?;
            ctx.write("dy");
            Ok(())
        }),
        get("/nothing", async |ctx: &Context| {
            ctx.set_status(204);
            ctx.set_trailer("X-Sum", 4)
        }),
        get("/refused", async |ctx: &Context| {
            for name in
                ["Content-Length", "te", "Host", "Set-Cookie", "authorization", "a b", "Transfer-Encoding"]
            {
                assert!(ctx.set_trailer(name, "1").is_err() && ctx.add_trailer(name, "1").is_err(), "{name}");
            }
            assert!(ctx.set_trailer("X-Sum", "a\r\nb").is_err());
            ctx.write("none");
            Ok(())
        }),
        get("/failed", async |ctx: &Context| {
            ctx.set_trailer("X-Sum", 4)?;
            Err(squall::HttpError::new(404).into())
        }),
    ])
}

#[squall::test(timeout = 60)]
async fn trailers_of_requests_reach_their_handlers() {
    let server = server();
    let post = |path: &str, end: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{end}\r\n"
        )
    };
    let many = "X: 1\r\n".repeat(21);
    table(
        &server,
        [
            stays("none", post("/whole", ""), ok_untagged("h none")),
            stays("two of a name", post("/whole", "x-a: 1\r\nX-A:2 \r\n"), ok_untagged("h X-A=1|X-A=2")),
            stays(
                "what decides about a message",
                post("/whole", "Host: evil\r\nContent-Length: 5\r\nAuthorization: x\r\nX-A: 1\r\n"),
                ok_untagged("h X-A=1"),
            ),
            stays("only those", post("/whole", "Host: evil\r\n"), ok_untagged("h none")),
            stays("streamed", post("/streamed", "X-A: 1\r\n"), ok_untagged("3 then X-A=1")),
            stays("streamed, none", post("/streamed", ""), ok_untagged("3 then none")),
            closes("too many", post("/whole", &many), bad("Invalid or excessive trailer")),
            closes("no token", post("/whole", "X(A): 1\r\n"), bad("Invalid or excessive trailer")),
            stays(
                "a request without a body",
                "POST /whole HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
                ok_untagged("h none"),
            ),
        ],
    )
    .await;
}

#[squall::test]
async fn trailers_of_responses_go_to_clients_that_take_them() {
    let server = server();
    let get = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let te = "TE: trailers\r\nConnection: TE\r\n";
    let chunked = |lines: &str, chunks: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\nDate: <date>\r\n\
             {lines}Transfer-Encoding: chunked\r\n\r\n{chunks}"
        )
    };
    let empty = "HTTP/1.1 204 No Content\r\nServer: <server>\r\nDate: <date>\r\n\r\n";
    let head = |connection: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\nDate: <date>\r\n\
             {connection}\r\n"
        )
    };
    table(
        &server,
        [
            stays(
                "set before the head",
                get("/early", te),
                chunked(
                    "Trailer: X-Sum, X-More\r\n",
                    "4\r\nbody\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\nX-More: 3\r\n\r\n",
                ),
            ),
            stays("not asked for", get("/early", ""), ok("body")),
            stays("another coding", get("/early", "TE: gzip\r\n"), ok("body")),
            closes("HTTP/1.0", "GET /early HTTP/1.0\r\nHost: h\r\nTE: trailers\r\n\r\n", ok("body")),
            stays(
                "HEAD",
                format!("HEAD /early HTTP/1.1\r\nHost: h\r\n{te}\r\n"),
                head("Trailer: X-Sum, X-More\r\n"),
            ),
            stays(
                "set behind the head",
                get("/late", te),
                chunked("Trailer: X-Sum\r\n", "2\r\nbo\r\n2\r\ndy\r\n0\r\nX-Sum: 4\r\n\r\n"),
            ),
            stays(
                "set behind the head, not asked for",
                get("/late", ""),
                chunked("Trailer: X-Sum\r\n", "2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"),
            ),
            stays("no place behind a length", get("/told", te), head("Content-Length: 4\r\n") + "body"),
            stays("no body", get("/nothing", te), empty),
            stays("names that may not be there", get("/refused", te), ok("none")),
            stays("an error has none", get("/failed", te), super::support::page("404 Not Found", "")),
        ],
    )
    .await;
}
