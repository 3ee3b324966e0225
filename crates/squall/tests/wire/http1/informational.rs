//! Interim responses that handlers send (RFC 9110 §15.2).

use squall::httputil::HttpHeaders;
use squall::testing::{TestServer, serve};
use squall::{Application, Context, get};

use super::support::{closes, ok, page, probe, stays, table};

fn hints() -> HttpHeaders {
    [("Link", "</a.css>; rel=preload"), ("Link", "</b.js>"), ("Content-Length", "5")].into_iter().collect()
}

fn server() -> TestServer {
    serve(Application::new([
        probe(),
        get("/hints", async |ctx: &Context| {
            ctx.set_header("X-Own", "1")?;
            ctx.send_informational(102, &HttpHeaders::new()).await?;
            ctx.send_informational(103, &hints()).await?;
            ctx.clear_header("X-Own");
            ctx.write("page");
            Ok(())
        }),
        get("/then-error", async |ctx: &Context| {
            ctx.send_informational(103, &hints()).await?;
            Err(squall::HttpError::new(404).into())
        }),
        get("/refused", async |ctx: &Context| {
            let none = HttpHeaders::new();
            for status in [99, 101, 200, 404] {
                assert!(ctx.send_informational(status, &none).await.is_err(), "{status}");
            }
            let large: HttpHeaders =
                [("X-Large", "x".repeat(16 * 1024))].iter().map(|(n, v)| (*n, v.as_str())).collect();
            assert!(ctx.send_informational(103, &large).await.is_err(), "too large");
            ctx.flush().await?;
            assert!(ctx.send_informational(103, &none).await.is_err(), "too late");
            Ok(())
        }),
        get("/many", async |ctx: &Context| {
            let mut sent = 0;
            while ctx.send_informational(102, &HttpHeaders::new()).await.is_ok() {
                sent += 1;
            }
            ctx.write(sent.to_string());
            Ok(())
        }),
    ]))
}

#[squall::test(timeout = 60)]
async fn interim_responses_come_before_the_response() {
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    let processing = "HTTP/1.1 102 Processing\r\n\r\n";
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>\r\n\r\n";
    let streamed = "HTTP/1.1 200 OK\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\nDate: <date>\r\n\
                    Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    table(
        &server(),
        [
            stays("two", ask("/hints"), format!("{processing}{early}{}", ok("page"))),
            closes("HTTP/1.0", "GET /hints HTTP/1.0\r\nHost: h\r\n\r\n", ok("page")),
            stays("before an error", ask("/then-error"), format!("{early}{}", page("404 Not Found", ""))),
            stays("what is refused", ask("/refused"), streamed),
            stays("ten", ask("/many"), format!("{}{}", processing.repeat(10), ok("10"))),
        ],
    )
    .await;
}
