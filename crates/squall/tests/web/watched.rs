//! What a server tells of its requests: numbers, and fields in the log.

use std::io;

use squall::httpclient::{AsyncHttpClient, HttpRequest};
use squall::log::{StructuredFields, StructuredFormatter};
use squall::testing::{serve, serve_on};
use squall::web::{self, metrics};
use squall::websocket::{Message, WebSocket, WebSocketHandler, websocket_connect, ws};
use squall::{Application, Context, HttpServer, Result, get, post, url};

use crate::log::Lines;

/// The numbers after these texts, which begin lines; 0 for what is not there.
fn numbers<const N: usize>(text: &str, names: [&str; N]) -> [f64; N] {
    names.map(|name| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.map_or(0.0, |number| number.parse().unwrap())
    })
}

#[squall::test(timeout = 60)]
async fn requests_are_counted_by_what_they_matched() {
    let app = serve(Application::new([
        get("/counted/{id}", async |ctx: &Context| {
            ctx.write("x");
            Ok(())
        }),
        post("/counted-and/fails", async |_: &Context| Err(io::Error::other("the cause"))?),
        url("/metrics", metrics()),
    ]));
    for path in ["/counted/1", "/counted/2", "/counted/3"] {
        app.get(path).await.assert_status(200);
    }
    app.post("/counted-and/fails").await.assert_status(500);
    app.post("/counted/4").await.assert_status(405);
    let response = app.get("/metrics").await;
    response
        .assert_status(200)
        .assert_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        .assert_header("Cache-Control", "no-store");
    let found = numbers(
        response.text(),
        [
            r#"squall_http_requests_total{route="/counted/{id}",method="GET",status="200",version="1.1"}"#,
            r#"squall_http_requests_total{route="/counted-and/fails",method="POST",status="500",version="1.1"}"#,
            r#"squall_http_requests_total{route="/counted/{id}",method="POST",status="405",version="1.1"}"#,
            r#"squall_http_request_duration_seconds_count{route="/counted/{id}",method="GET"}"#,
            r#"squall_http_request_duration_seconds_bucket{route="/counted/{id}",method="GET",le="+Inf"}"#,
        ],
    );
    assert_eq!(found, [3., 1., 1., 3., 3.], "{}", response.text());
    let gauges = ["squall_http_requests_in_flight", "squall_connections{kind=\"http\"}", "squall_processes"];
    assert!(numbers(response.text(), gauges).iter().all(|number| *number >= 1.0), "{}", response.text());
    assert!(numbers(response.text(), ["squall_network_bytes_total{direction=\"out\"}"])[0] > 500.0);
    let head = app.head("/metrics").await;
    head.assert_status(200).assert_text("");
}

#[derive(Clone)]
struct Echo;

impl WebSocketHandler for Echo {
    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        ws.write_message(message).await
    }
}

#[squall::test(timeout = 60)]
async fn websockets_and_fetches_are_counted() {
    let server = HttpServer::new(|| Application::new([ws("/ws", Echo), url("/metrics", metrics())]));
    #[cfg(feature = "http2")]
    let server = server.h2c(true);
    let app = serve_on(server);
    // Of this process, other tests included: compared before and after.
    let names = [
        "squall_connections_opened_total{kind=\"websocket\"}",
        "squall_connections_opened_total{kind=\"client_websocket\"}",
        "squall_websocket_messages_total{direction=\"in\"}",
        "squall_websocket_messages_total{direction=\"out\"}",
        "squall_client_fetch_duration_seconds_count{method=\"DELETE\",status=\"4xx\",version=\"1.1\"}",
        "squall_client_fetch_duration_seconds_count{method=\"DELETE\",status=\"error\",version=\"none\"}",
        #[cfg(feature = "http2")]
        "squall_client_fetch_duration_seconds_count{method=\"DELETE\",status=\"4xx\",version=\"2\"}",
    ];
    let before = numbers(app.get("/metrics").await.text(), names);
    let mut ws = websocket_connect(app.url("/ws").replace("http:", "ws:")).await.unwrap();
    for _ in 0..3 {
        ws.write_message("hello").await.unwrap();
        assert_eq!(ws.read_message().await.unwrap().as_text(), Some("hello"));
    }
    let client = AsyncHttpClient::new();
    let request = |url: String| HttpRequest::new("DELETE", url);
    assert!(client.fetch(request(app.url("/metrics"))).await.is_err());
    assert!(client.fetch(request("http://127.0.0.1:1/".to_owned())).await.is_err());
    #[cfg(feature = "http2")]
    assert!(client.fetch(request(app.url("/metrics")).http2_prior_knowledge(true)).await.is_err());
    let after = numbers(app.get("/metrics").await.text(), names);
    let more: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    // Both sides are in this process.
    assert_eq!(
        more,
        [&[1., 1., 6., 6., 1., 1.][..], if cfg!(feature = "http2") { &[1.] } else { &[] }].concat()
    );
}

#[squall::test(timeout = 60)]
async fn every_event_of_a_request_says_whose_it_is() {
    let (lines, _guard) = Lines::capture_by(|lines| {
        let builder = tracing_subscriber::fmt().fmt_fields(StructuredFields);
        builder.event_format(StructuredFormatter::json()).with_writer(lines).finish()
    });
    let app = serve(
        Application::new([get("/of/{id}", async |ctx: &Context| {
            tokio::task::yield_now().await;
            tracing::info!(step = 7, "looking");
            if ctx.path_arg_str("id")? == "fails" {
                return Err(io::Error::other("the cause"))?;
            }
            Ok(())
        })])
        .around(web::request_id()),
    );
    // Whether a line is wanted is remembered when it is first met, perhaps by a test on another thread that wants none.
    app.get("/of/first").await;
    app.get("/of/fails").await;
    tracing::callsite::rebuild_interest_cache();
    lines.take();
    app.get("/of/a?q=1").header("X-Request-Id", "id-1").await.assert_status(200);
    app.get("/of/fails").header("X-Request-Id", "id-2").await.assert_status(500);

    let text = lines.text();
    let parsed: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |message: &str, id: &str| {
        let is_it = |line: &&serde_json::Value| {
            line["message"].as_str().unwrap().contains(message) && line["request_id"] == id
        };
        parsed.iter().find(is_it).unwrap_or_else(|| panic!("{message} {id} in {text}"))
    };
    for (message, id, path) in [
        ("looking", "id-1", "/of/a?q=1"),
        ("200 GET", "id-1", "/of/a?q=1"),
        ("looking", "id-2", "/of/fails"),
        ("the cause", "id-2", "/of/fails"),
        ("500 GET", "id-2", "/of/fails"),
    ] {
        let line = find(message, id);
        for (field, expected) in [
            ("method", "GET"),
            ("path", path),
            ("peer", "127.0.0.1"),
            ("version", "HTTP/1.1"),
            ("route", "/of/{id}"),
        ] {
            assert_eq!(line[field], expected, "{line}");
        }
        assert!(line.get("spans").is_none(), "{line}");
    }
    assert_eq!(find("looking", "id-1")["step"], 7);
    let last = find("500 GET", "id-2");
    assert!(last["status"] == 500 && last["duration_ms"].as_f64().unwrap() > 0.0, "{last}");
}
