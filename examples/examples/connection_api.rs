//! Answering through the connection: it frames what `write_headers`, `write` and `finish` are given, and `flush` waits
//! for a client that reads slowly. Below the level of handlers, above that of raw bytes (`handle_request`); what
//! seed 000 calls "the callback that handles the request object".
//!
//! `cargo run --example connection_api`, then `curl -iN localhost:8080/count/5`. Options: `--port`, `--certfile` and
//! `--keyfile` (then https), `--h2c`.

use std::time::Duration;

use squall::httpserver::Http2Options;
use squall::httputil::{HttpHeaders, HttpServerRequest, ResponseStartLine};
use squall::{HttpServer, IoLoop, Result, options};

/// `/count/N` counts, a line at a time; everything else says what was asked for.
fn handle_request(request: HttpServerRequest) {
    // A callback is no `async fn`: what takes long goes on as a task that owns the request.
    IoLoop::current().spawn_callback(async move {
        let answered = match request.path().strip_prefix("/count/").map(str::parse) {
            Some(Ok(to)) => count(&request, to).await,
            _ => describe(&request),
        };
        if let Err(error) = answered {
            // Whatever was sent must not look complete.
            request.connection().abort();
            eprintln!("{} {}: {error}", request.method(), request.uri());
        }
    });
}

/// A length that is known: the response is framed by its Content-Length.
fn describe(request: &HttpServerRequest) -> Result {
    let message = format!("You requested {}\n", request.uri());
    let mut headers = HttpHeaders::new();
    headers.set("Content-Type", "text/plain; charset=UTF-8")?;
    headers.set("Content-Length", message.len())?;
    let connection = request.connection();
    connection.write_headers(
        ResponseStartLine { status: 200, reason: "OK" },
        &headers,
        message.as_bytes(),
    )?;
    Ok(connection.finish()?)
}

/// A length that is not: the response is chunked.
async fn count(request: &HttpServerRequest, to: u32) -> Result {
    let connection = request.connection();
    let headers = [("Content-Type", "text/plain; charset=UTF-8")].into_iter().collect();
    connection.write_headers(ResponseStartLine { status: 200, reason: "OK" }, &headers, b"")?;
    for number in 1..=to {
        connection.write(format!("{number}\n").as_bytes())?;
        connection.flush().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(connection.finish()?)
}

fn main() -> Result {
    options::define("port", 8080_u16);
    options::parse_command_line()?;
    // Callbacks may write bytes as they stand, and have HTTP/1.1 only. This one lets the connection frame them.
    HttpServer::with_callback(handle_request).http2(Http2Options::new()).processes(1).run()
}
