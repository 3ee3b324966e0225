//! Sides that say nothing, or take nothing, for too long: nothing that passes through the proxy waits without a limit.

use std::time::Duration;

use squall::testing::{TestServer, serve};
use squall::web::{ReverseProxy, proxy};
use squall::{Application, url};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::live::Connection;
use super::script::{Client, OK, octets, read_some, text};
use crate::log::Lines;

/// So long a side may be silent where the test waits for the end of it.
const SHORT: Duration = Duration::from_millis(100);

/// An upstream that the test plays, and a proxy before it.
async fn before(set_up: impl FnOnce(ReverseProxy) -> ReverseProxy) -> (TcpListener, TestServer) {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = proxy(format!("http://{}", upstream.local_addr().unwrap()));
    (upstream, serve(Application::new([url("/.*", set_up(proxy))])))
}

#[squall::test(timeout = 60)]
async fn a_body_that_does_not_go_on_is_cut_off() {
    let (lines, _guard) = Lines::capture();
    for (name, head) in [
        // Whether a line is wanted is remembered when it is first met, perhaps by a test on another thread that wants none.
        ("at first", "HTTP/1.1 200 OK|Content-Length: 10||hello"),
        ("chunks", "HTTP/1.1 200 OK|Transfer-Encoding: chunked||5|hello|"),
        ("a length", "HTTP/1.1 200 OK|Content-Length: 10||hello"),
        ("until the end", "HTTP/1.1 200 OK||hello"),
    ] {
        let (upstream, front) = before(|proxy| proxy.read_timeout(SHORT)).await;
        let mut client = Client::connect(front.port()).await;
        client.send("GET /quiet HTTP/1.1|Host: h||").await;
        let mut connection = Connection::of(&upstream).await;
        connection.until("||").await;
        connection.send(head).await;
        client.until("||").await;
        // The reset may overtake what came before it; an end that looks like one must not come.
        let rest = text(&client.rest().await);
        assert!(["", "hello", "5|hello|"].contains(&&*rest), "{name}: {rest}");
        assert!(connection.is_over().await, "{name}");
        let log = lines.take();
        let line = "GET /quiet (127.0.0.1): cut off: the upstream server takes too long: ";
        assert!(log.matches(line).count() == 1 || name == "at first", "{name}: {log}");
        assert!(!log.contains("ERROR"), "{name}: {log}");
        tracing::callsite::rebuild_interest_cache();

        // The next request has another connection.
        let mut client = Client::connect(front.port()).await;
        client.send("GET / HTTP/1.1|Host: h|Connection: close||").await;
        let mut connection = Connection::of(&upstream).await;
        connection.until("||").await;
        connection.send(OK).await;
        assert!(text(&client.rest().await).ends_with("||ok"), "{name}");
    }
}

#[squall::test(timeout = 60)]
async fn a_body_may_be_quiet_where_that_is_allowed() {
    let (upstream, front) = before(|proxy| proxy.read_timeout(None).response_timeout(SHORT)).await;
    let mut client = Client::connect(front.port()).await;
    client.send("GET / HTTP/1.1|Host: h||").await;
    let mut connection = Connection::of(&upstream).await;
    connection.until("||").await;
    connection.send("HTTP/1.1 200 OK|Content-Length: 10||hello").await;
    client.until("hello").await;
    // The longer the better; less proves less, and fails nothing.
    tokio::time::sleep(3 * SHORT).await;
    connection.send("world").await;
    assert_eq!(client.until("world").await, "world");
}

/// While the client sends its request it is the client's time.
#[squall::test(timeout = 60)]
async fn an_upstream_that_waits_for_the_request_may_be_quiet() {
    let (upstream, front) = before(|proxy| proxy.read_timeout(SHORT)).await;
    let mut client = Client::connect(front.port()).await;
    client.send("POST / HTTP/1.1|Host: h|Content-Length: 2||a").await;
    let mut connection = Connection::of(&upstream).await;
    connection.until("||a").await;
    connection.send("HTTP/1.1 200 OK|Transfer-Encoding: chunked||1|A|").await;
    client.until("1|A|").await;
    tokio::time::sleep(3 * SHORT).await;
    client.send("b").await;
    assert_eq!(connection.until("b").await, "b");
    connection.send("1|B|0||").await;
    assert_eq!(client.until("0||").await, "1|B|0||");
}

#[squall::test(timeout = 60)]
async fn an_upload_that_is_not_taken_is_given_up() {
    let flood = [&octets("10000|")[..], &[b'x'; 65_536], b"\r\n"].concat();
    for answers_early in [false, true] {
        let (upstream, front) = before(|proxy| proxy.send_timeout(SHORT).response_timeout(None)).await;
        let mut client = Client::connect(front.port()).await;
        client.send("POST / HTTP/1.1|Host: h|Transfer-Encoding: chunked||").await;
        let mut connection = Connection::of(&upstream).await;
        connection.until("||").await;
        if answers_early {
            connection.send("HTTP/1.1 200 OK|Transfer-Encoding: chunked||2|ok|").await;
        }
        let (mut reader, mut writer) = client.stream.into_split();
        let answering = async {
            let mut got = Vec::new();
            let mut piece = vec![0; 4096];
            while let Ok(length @ 1..) = tokio::io::AsyncReadExt::read(&mut reader, &mut piece).await {
                got.extend_from_slice(&piece[..length]);
            }
            text(&got)
        };
        let flooding = async {
            while writer.write_all(&flood).await.is_ok() {}
            std::future::pending::<()>().await;
        };
        let got = tokio::select! {
            got = answering => got,
            () = flooding => unreachable!("it never ends"),
        };
        match answers_early {
            false => assert!(got.starts_with("HTTP/1.1 504 Gateway Timeout|"), "{got}"),
            true => assert!(!got.contains("|0||"), "{got}"),
        }
        // What the kernel has of the request is followed by the end.
        let mut taken = Vec::new();
        while read_some(&mut connection.stream, &mut taken).await {}
    }
}

#[squall::test(timeout = 60)]
async fn a_tunnel_through_which_nothing_passes_is_closed() {
    let (upstream, front) = before(|proxy| proxy.tunnel_timeout(SHORT)).await;
    let mut client = Client::connect(front.port()).await;
    client.send("GET / HTTP/1.1|Host: h|Connection: Upgrade|Upgrade: websocket||").await;
    let mut connection = Connection::of(&upstream).await;
    connection.until("||").await;
    connection.send("HTTP/1.1 101 Switching Protocols|Connection: Upgrade|Upgrade: websocket||early").await;
    client.until("||").await;
    assert_eq!(text(&client.rest().await), "early");
    assert!(connection.is_over().await);
}
