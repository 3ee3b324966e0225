//! How connections end, and what takes too long.

use std::time::Duration;

use squall::httpserver::Http2Options;
use squall::{Application, Context, get, post};

use super::support::{self, Client, GET_ROOT, HEADERS, PING, RST_STREAM, Raw, SETTINGS, answer, read, serve};

fn app() -> Application {
    Application::new([
        get("/", async |ctx: &Context| {
            ctx.write("Hello");
            Ok(())
        }),
        get("/until-told", async |ctx: &Context| {
            ctx.flush().await?;
            ctx.shutdown().await;
            ctx.write("the end");
            Ok(())
        }),
        get("/endless", async |ctx: &Context| {
            loop {
                ctx.write([b'x'; 10_000]);
                ctx.flush().await?;
            }
        }),
        post("/echo", async |ctx: &Context| {
            ctx.write(ctx.request().body());
            Ok(())
        }),
    ])
}

#[squall::test]
async fn a_drain_lets_streams_end_and_refuses_new_ones() {
    let (server, port) = serve(app, |server| server);
    let mut client = Client::new(port).await;
    let mut idle = Client::new(port).await;
    assert_eq!(idle.get("/").await.status(), 200);
    let (response, _) = client.open(support::get("/until-told"), true).await;
    let mut response = response.await.unwrap();
    assert_eq!(server.connection_count(), 2);
    server.stop();
    server.drain();
    assert_eq!(read(response.body_mut()).await.unwrap(), b"the end");
    for client in [client, idle] {
        tokio::time::timeout(support::DEADLINE, client.driver).await.unwrap().unwrap().unwrap();
    }
    while server.connection_count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[squall::test]
async fn close_all_connections_cuts() {
    let (server, port) = serve(app, |server| server);
    let mut client = Client::new(port).await;
    let (response, _) = client.open(support::get("/endless"), true).await;
    let mut response = response.await.unwrap();
    server.close_all_connections();
    assert!(read(response.body_mut()).await.is_err(), "a cut response does not look complete");
}

#[squall::test]
async fn an_idle_connection_is_told_and_ends() {
    let (_server, port) = serve(app, |server| server.idle_connection_timeout(Duration::from_millis(100)));
    let mut client = Client::new(port).await;
    assert_eq!(client.get("/").await.status(), 200);
    tokio::time::timeout(support::DEADLINE, client.driver).await.unwrap().unwrap().unwrap();
}

#[squall::test]
async fn an_old_connection_is_told_and_ends() {
    let options = Http2Options::new().max_connection_age(Duration::from_millis(100));
    let (_server, port) = serve(app, |server| server.http2(options));
    let client = Client::new(port).await;
    tokio::time::timeout(support::DEADLINE, client.driver).await.unwrap().unwrap().unwrap();
}

#[squall::test]
async fn a_client_that_answers_no_ping_is_given_up() {
    let options = Http2Options::new()
        .keep_alive_interval(Duration::from_millis(50))
        .keep_alive_timeout(Duration::from_millis(200));
    let (_server, port) = serve(app, |server| server.http2(options));
    // One that does answer lives on.
    let mut client = Client::new(port).await;
    let mut raw = Raw::new(port).await;
    while raw.next().await.is_some() {}
    assert_eq!(client.get("/").await.status(), 200);
}

#[squall::test]
async fn a_preface_that_stays_away() {
    let (_server, port) = serve(app, |server| server.header_timeout(Duration::from_millis(100)));
    for begun in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n"[..], b"PRI"] {
        let mut raw = Raw { socket: support::connect(port).await };
        tokio::io::AsyncWriteExt::write_all(&mut raw.socket, begun).await.unwrap();
        while raw.next().await.is_some() {}
    }
}

#[squall::test]
async fn a_body_that_stays_away_is_answered() {
    let (_server, port) = serve(app, |server| server.body_stall_timeout(Duration::from_millis(100)));
    let mut client = Client::new(port).await;
    let (response, _sink) = client.open(support::request("POST", "/echo").body(()).unwrap(), false).await;
    assert_eq!(answer(response).await.unwrap().status(), 408);
    assert_eq!(client.get("/").await.status(), 200);
}

#[squall::test]
async fn a_stream_that_is_not_read_ends_alone() {
    let (_server, port) = serve(app, |server| server.write_timeout(Duration::from_millis(200)));
    let mut raw = Raw::new(port).await;
    // A window of nothing for every stream.
    raw.frame(SETTINGS, 0, 0, b"\x00\x04\x00\x00\x00\x00").await;
    raw.frame(HEADERS, 5, 1, GET_ROOT).await;
    let (_, stream, _) = raw.find(RST_STREAM).await.unwrap();
    assert_eq!(stream, 1);
    // The connection lives.
    raw.frame(PING, 0, 0, b"12345678").await;
    let (flags, _, payload) = raw.find(PING).await.unwrap();
    assert_eq!((flags, &payload[..]), (1, &b"12345678"[..]));
}
