//! The PROXY protocol before HTTP and before TLS.

use std::sync::Arc;

use squall::iostream::IoStream;
use squall::netutil::{BindOptions, Network};
use squall::{Application, Context, HttpServer, get};

use super::support::{Authority, ask, plain, role};
use crate::log::Lines;

fn app() -> Application {
    Application::new([get("/", async |ctx: &Context| {
        let request = ctx.request();
        ctx.write(format!("{} {}", request.protocol(), request.remote_ip()));
        Ok(())
    })])
}

/// A server behind these proxies, and its port.
fn listen(server: HttpServer, proxies: &[&str]) -> (HttpServer, u16) {
    let proxies = proxies.iter().map(|text| text.parse::<Network>().unwrap());
    let options = BindOptions::new().address("127.0.0.1").proxy_protocol(proxies);
    server.listen_on(0, &options).unwrap();
    let port = server.local_addrs()[0].port().unwrap();
    (server, port)
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family, 0, block.len() as u8][..], block].concat()
}

#[squall::test(timeout = 60)]
async fn who_the_client_is() {
    let (server, port) = listen(HttpServer::new(app), &["10.0.0.0/8", "127.0.0.1"]);
    let v4 = [1, 2, 3, 4, 5, 6, 7, 8, 0x30, 0x39, 0, 80];
    for (header, expected) in [
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 12345 443\r\n".to_vec(), "http 1.2.3.4"),
        (b"PROXY TCP6 2001:db8::7 ::1 12345 443\r\n".to_vec(), "http 2001:db8::7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "http 127.0.0.1"),
        (v2(0x21, 0x11, &v4), "http 1.2.3.4"),
        (v2(0x20, 0, &[]), "http 127.0.0.1"),
    ] {
        // In one piece with the request, and byte by byte.
        let stream = plain(port).await;
        stream.write([&header[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await.unwrap();
        assert!(stream.read_until(expected, Some(4096)).await.is_ok(), "{}", header.escape_ascii());
        let stream = plain(port).await;
        for byte in &header {
            stream.write([*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(&stream, "/").await.unwrap(), expected);
    }
    server.stop();
}

/// Spoofed, missing, malformed, oversize, cut off: closed, without an answer, with a line in the log.
#[squall::test(timeout = 60)]
async fn refused() {
    let good = b"PROXY TCP4 1.2.3.4 5.6.7.8 12345 443\r\n";
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let with = |header: &[u8]| [header, &request[..]].concat();
    for (case, proxies, bytes) in [
        ("from elsewhere", &["10.0.0.1"][..], with(good)),
        ("from elsewhere, without", &["10.0.0.1"], request.to_vec()),
        ("from nowhere", &[], with(good)),
        ("none", &["127.0.0.1"], request.to_vec()),
        ("malformed", &["127.0.0.1"], with(b"PROXY TCP4 1.2.3.4 5.6.7.8 12345\r\n")),
        ("cut off", &["127.0.0.1"], good[..20].to_vec()),
        ("cut off in the middle of version 2", &["127.0.0.1"], v2(0x21, 0x11, &[0; 12])[..20].to_vec()),
        ("oversize", &["127.0.0.1"], with(&[b"PROXY UNKNOWN ", &[b'x'; 200][..], b"\r\n"].concat())),
        ("oversize version 2", &["127.0.0.1"], [&v2(0x21, 0x11, &[])[..14], &[0xff, 0xff]].concat()),
    ] {
        let (log, _guard) = Lines::capture();
        let (server, port) = listen(HttpServer::new(app), proxies);
        let stream = plain(port).await;
        let _ = stream.write(bytes).await;
        let _ = stream.shutdown_write();
        let answer = stream.read_until_close().await.unwrap_or_default();
        assert_eq!(answer, "", "{case}");
        assert_eq!(log.count("PROXY header"), 1, "{case}: {}", log.text());
        server.stop();
    }
}

/// The header stands before the handshake, and what follows it may come in the same piece.
#[squall::test(timeout = 60)]
async fn before_tls() {
    let authority = Authority::new();
    let options = authority.certify(&["server.test"]).options();
    let (server, port) = listen(HttpServer::new(app).ssl_options(options), &["127.0.0.1"]);
    let secure =
        async |stream: IoStream| stream.start_tls(role(Arc::new(authority.config()), "server.test")).await;
    for header in [&b"PROXY TCP4 1.2.3.4 5.6.7.8 12345 443\r\n"[..], &v2(0x20, 0, &[])] {
        let stream = plain(port).await;
        stream.write(header).await.unwrap();
        let expected = if header[0] == b'P' { "https 1.2.3.4" } else { "https 127.0.0.1" };
        assert_eq!(ask(&secure(stream).await.unwrap(), "/").await.unwrap(), expected);
    }
    assert!(secure(plain(port).await).await.is_err(), "without a header");
    server.stop();
}

/// Another port of the same server takes clients as they come.
#[squall::test(timeout = 60)]
async fn per_listener() {
    let (server, port) = listen(HttpServer::new(app), &["127.0.0.1"]);
    server.listen_on(0, &BindOptions::new().address("127.0.0.1")).unwrap();
    let other =
        server.local_addrs().iter().filter_map(squall::netutil::Address::port).find(|p| *p != port).unwrap();
    assert_eq!(ask(&plain(other).await, "/").await.unwrap(), "http 127.0.0.1");
    server.stop();
}
