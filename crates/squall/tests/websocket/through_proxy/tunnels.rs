//! Handshakes, ends, and what holds a side back, between any two versions.

use std::cell::Cell;
use std::rc::Rc;

use squall::httpclient::AsyncHttpClient;
use squall::httpserver::Http2Options;
use squall::testing::TestServer;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::support::{End, head, proxy_before};
use crate::over_http2::client::Peer;
use crate::over_http2::support::{Connection, bridge, connect};
use crate::over_http2::tunnels::serve;
use crate::support::{ACCEPT, Client, close, handshake, server_close, server_frame, text, within};

/// Whether the client speaks HTTP/2, and whether the upstream does.
const WAYS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// What a proxy answers, in lines of lower case, and what goes on after that.
async fn ask(http2: bool, proxy: &TestServer, path: &str, fields: &[(&str, &str)]) -> (String, Client) {
    if !http2 {
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut request = handshake(path, &lines);
        if fields.iter().any(|(name, _)| *name == "Sec-WebSocket-Version") {
            request = request.replacen("Sec-WebSocket-Version: 13\r\n", "", 1);
        }
        let (client, head) = Client::ask(proxy, request).await;
        return (head.to_ascii_lowercase(), client);
    }
    let mut asked = connect("websocket", path);
    for (name, value) in fields {
        asked = asked.header(*name, *value);
    }
    if !fields.iter().any(|(name, _)| *name == "Sec-WebSocket-Version") {
        asked = asked.header("sec-websocket-version", "13");
    }
    let (answer, sink, body) =
        Connection::new(proxy.port()).await.ask(asked.body(()).unwrap()).await.unwrap();
    let mut head = format!("http/2 {}\r\n", answer.status().as_u16());
    for (name, value) in answer.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    (head, Client::over(bridge(sink, body)))
}

fn status(head: &str) -> u16 {
    head.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[squall::test(timeout = 60)]
async fn a_handshake_is_made_anew() {
    for way @ (client_http2, upstream_http2) in WAYS {
        let (server, seen) = serve(|server| server);
        let proxy = proxy_before(server.port(), upstream_http2);
        let fields = [
            ("Sec-WebSocket-Protocol", "other, talk"),
            ("Sec-WebSocket-Extensions", "permessage-deflate"),
            ("Origin", "http://localhost"),
        ];
        let (head, mut client) = ask(client_http2, &proxy, "/talk?a=b", &fields).await;
        assert_eq!(status(&head), if client_http2 { 200 } else { 101 }, "{way:?} {head}");
        let via = if upstream_http2 { "via: 2.0 squall" } else { "via: 1.1 squall" };
        for line in [
            "sec-websocket-protocol: talk",
            "sec-websocket-extensions: permessage-deflate",
            "x-prepared: yes",
            via,
        ] {
            assert!(head.contains(&format!("{line}\r\n")), "{way:?} {line}: {head}");
        }
        let accept = format!("sec-websocket-accept: {}\r\n", ACCEPT.to_ascii_lowercase());
        for line in [&*accept, "upgrade: websocket\r\n", "connection: upgrade\r\n"] {
            assert_eq!(head.contains(line), !client_http2, "{way:?} {line}: {head}");
        }
        assert_eq!(head.matches("sec-websocket-accept").count(), usize::from(!client_http2), "{way:?}");
        let version = if upstream_http2 { "2.0" } else { "1.1" };
        seen.wait_for(&format!("GET HTTP/{version} /talk?a=b")).await;
        client.send(text(&"hello ".repeat(1_000))).await;
        let (first, payload) = client.frame().await;
        assert_eq!((first, payload.len() < 1_000), (0xc1, true), "compressed, as agreed");
        client.send(close(1000, "")).await;
        client.expect(server_close(1000, "")).await;
        client.closed().await;
        seen.wait_for("closed Some(1000)").await;
    }
}

#[squall::test(timeout = 60)]
async fn what_is_refused_is_passed_on() {
    for way @ (client_http2, upstream_http2) in WAYS {
        let (server, seen) = serve(|server| server);
        let proxy = proxy_before(server.port(), upstream_http2);
        // A page is none where a tunnel was asked for; over HTTP/1.1 it is one.
        let page = if client_http2 || upstream_http2 { 501 } else { 200 };
        for (path, field, expected) in [
            ("/nothing", None, 404),
            ("/page", None, page),
            ("/talk", Some(("Origin", "http://evil")), 403),
            ("/talk", Some(("Sec-WebSocket-Version", "8")), 426),
            ("/talk", Some(("Sec-WebSocket-Key", "of the client's")), if client_http2 { 200 } else { 400 }),
        ] {
            let (head, _client) = ask(client_http2, &proxy, path, field.as_slice()).await;
            assert_eq!(status(&head), expected, "{way:?} {path} {field:?}: {head}");
        }
        // Another protocol does not come as far as the upstream.
        let asked = || seen.lines.borrow().iter().filter(|line| line.starts_with("GET")).count();
        let before = asked();
        if client_http2 {
            let asked = connect("webtransport", "/talk").body(()).unwrap();
            let (head, ..) = Connection::new(proxy.port()).await.ask(asked).await.unwrap();
            assert_eq!(head.status(), 501);
        } else {
            // An `Upgrade` that nobody knows is none: the handler sees a request for something else.
            let request =
                "GET /page HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: webtransport\r\n\r\n";
            let (_, head) = Client::ask(&proxy, request).await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        }
        assert_eq!(asked(), before, "{way:?}");
    }
}

#[squall::test(timeout = 60)]
async fn a_half_closed_tunnel_still_brings_the_answer() {
    for (client_http2, upstream_http2) in WAYS {
        let (server, seen) = serve(|server| server);
        let proxy = proxy_before(server.port(), upstream_http2);
        let (_, mut client) = ask(client_http2, &proxy, "/talk", &[]).await;
        client.send(text("last words")).await;
        client.shutdown().await;
        client.expect(server_frame(0x81, b"last words")).await;
        client.closed().await;
        seen.wait_for("closed None").await;
    }
}

/// Both ends of a tunnel through a proxy, and the proxy.
async fn ends(client_http2: bool, upstream_http2: bool) -> (End, End, TestServer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = proxy_before(listener.local_addr().unwrap().port(), upstream_http2);
    let (client, server) = within("the handshake", async {
        tokio::join!(End::of_client(client_http2, proxy.port()), End::of_server(upstream_http2, &listener))
    })
    .await;
    (client, server, proxy)
}

#[squall::test(timeout = 60)]
async fn an_end_is_an_end_and_a_reset_a_reset() {
    for way @ (client_http2, upstream_http2) in WAYS {
        for from_client in [true, false] {
            for is_reset in [true, false] {
                let (client, server, _proxy) = ends(client_http2, upstream_http2).await;
                let (mut one, mut other) = if from_client { (client, server) } else { (server, client) };
                one.write(b"some").await;
                assert_eq!(other.read().await, Some(4), "{way:?}");
                if is_reset {
                    one.reset();
                    assert_eq!(other.read().await, None, "{way:?} {from_client}");
                    continue;
                }
                one.finish().await;
                assert_eq!(other.read().await, Some(0), "{way:?} {from_client}");
                // The other side goes on.
                other.write(b"rest").await;
                assert_eq!(one.read().await, Some(4), "{way:?} {from_client}");
                other.finish().await;
                assert_eq!(one.read().await, Some(0), "{way:?} {from_client}");
            }
        }
    }
}

#[squall::test(timeout = 120)]
async fn who_takes_nothing_holds_the_other_side_back() {
    for way @ (client_http2, upstream_http2) in WAYS {
        for from_client in [true, false] {
            let (client, server, proxy) = ends(client_http2, upstream_http2).await;
            let (mut one, mut other) = if from_client { (client, server) } else { (server, client) };
            let written = Rc::new(Cell::new(0));
            let count = Rc::clone(&written);
            tokio::task::spawn_local(async move {
                let block = vec![b'x'; 64 * 1024];
                loop {
                    count.set(count.get() + one.write(&block).await);
                }
            });
            // Until nothing moves, while the proxy serves others.
            let others = AsyncHttpClient::new();
            let (mut still, mut before) = (0, 0);
            while still < 100 {
                assert_eq!(others.fetch(proxy.url("/own")).await.unwrap().text(), "own");
                still = if written.get() == before { still + 1 } else { 0 };
                before = written.get();
            }
            assert!(written.get() < 64 << 20, "{way:?} {from_client}: {}", written.get());
            // And it goes on.
            let mut come = 0;
            while come < before + (1 << 20) {
                come += other.read().await.unwrap();
            }
        }
    }
}

#[squall::test(timeout = 60)]
async fn an_upstream_without_tunnels_is_asked_over_http1() {
    for client_http2 in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = proxy_before(listener.local_addr().unwrap().port(), true);
        let playing = async {
            let (socket, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(socket).await.unwrap();
            tokio::task::spawn_local(async move {
                assert!(!matches!(connection.accept().await, Some(Ok(_))), "it is asked");
            });
            End::of_server(false, &listener).await
        };
        let (mut client, mut server) =
            within("it", async { tokio::join!(End::of_client(client_http2, proxy.port()), playing) }).await;
        client.write(b"up").await;
        assert_eq!(server.read().await, Some(2));
        server.write(b"down").await;
        assert_eq!(client.read().await, Some(4));
    }
}

#[squall::test(timeout = 60)]
async fn tunnels_leave_room_for_requests() {
    let (server, seen) = serve(|server| server.http2(Http2Options::new().max_concurrent_streams(4)));
    let proxy = proxy_before(server.port(), true);
    let mut clients = Vec::new();
    // Half of the streams are theirs; the others have connections of their own.
    for version in ["2.0", "2.0", "1.1", "1.1", "1.1"] {
        let before = seen.lines.borrow().len();
        let (_, mut client) = ask(false, &proxy, "/talk", &[]).await;
        client.send(text("x")).await;
        client.expect(server_frame(0x81, b"x")).await;
        assert_eq!(seen.lines.borrow()[before..], [format!("GET HTTP/{version} /talk")]);
        clients.push(client);
    }
    let page = AsyncHttpClient::new().fetch(proxy.url("/page")).await.unwrap();
    assert_eq!((page.text().as_str(), page.headers().get("Via")), ("a page", Some("2.0 squall")));
    // Those that have ended make room.
    for mut client in clients {
        client.send(close(1000, "")).await;
        client.expect(server_close(1000, "")).await;
        client.closed().await;
    }
    within("room", async {
        loop {
            let before = seen.lines.borrow().len();
            let (_, _client) = ask(false, &proxy, "/talk", &[]).await;
            if seen.lines.borrow()[before..].iter().any(|line| line == "GET HTTP/2.0 /talk") {
                return;
            }
        }
    })
    .await;
}

/// Over HTTP/1.1 the client looks at the answer, over HTTP/2 the proxy does, which has made the key.
#[squall::test(timeout = 60)]
async fn an_answer_that_belongs_to_no_key_is_the_upstream_s_mistake() {
    for (client_http2, expected) in [(true, 502), (false, 101)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = proxy_before(listener.local_addr().unwrap().port(), false);
        let playing = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let asked = head(&mut socket).await;
            assert_eq!(asked.matches("Sec-Websocket-Key: ").count(), 1, "{asked}");
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {ACCEPT}x\r\n\r\n"
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
            socket
        };
        let ((head, _client), _socket) =
            within("it", async { tokio::join!(ask(client_http2, &proxy, "/", &[]), playing) }).await;
        assert_eq!(status(&head), expected, "{head}");
    }
}

/// An upstream of HTTP/2 that ends the stream with its agreement has opened what is at its end.
#[squall::test(timeout = 60)]
async fn an_agreement_may_be_the_last_word() {
    for client_http2 in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = proxy_before(listener.local_addr().unwrap().port(), true);
        let playing = async {
            let (mut sink, _body) = Peer::accept(&listener).await.agree(&[]).await;
            sink.send_data(bytes::Bytes::new(), true).unwrap();
        };
        let (mut client, ()) =
            within("it", async { tokio::join!(End::of_client(client_http2, proxy.port()), playing) }).await;
        assert_eq!(client.read().await, Some(0));
    }
}
