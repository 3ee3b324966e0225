//! Handshakes that go wrong, or nowhere: bounded, one line in the log, and nobody else's trouble.

use std::sync::Arc;
use std::time::Duration;

use squall::httpclient::HttpRequest;
use squall::iostream::IoStream;
use squall::testing::{TestServer, serve_on};
use squall::tls::SslOptions;
use squall::{Application, Context, HttpServer, get};

use super::support::{Authority, ask, connect, plain};
use crate::log::Lines;

pub(crate) fn serve_https(options: SslOptions) -> TestServer {
    let make = || {
        Application::new([get("/", async |ctx: &Context| {
            ctx.write("ok");
            Ok(())
        })])
    };
    serve_on(HttpServer::new(make).ssl_options(options))
}

/// A client's first message, as it is sent.
pub(crate) async fn client_hello(authority: &Authority) -> Vec<u8> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = plain(listener.local_addr().unwrap().port()).await;
    let server = IoStream::from(listener.accept().await.unwrap().0);
    let config = Arc::new(authority.config());
    let handshake = stream.start_tls(super::support::role(config, "server.test"));
    let hello = async {
        let start = server.read_bytes(5).await.unwrap();
        let length = usize::from(u16::from_be_bytes([start[3], start[4]]));
        [start, server.read_bytes(length).await.unwrap()].concat()
    };
    tokio::select! {
        _ = handshake => unreachable!("nobody answers"),
        hello = hello => hello,
    }
}

/// What a server says until it closes; reset or not.
pub(crate) async fn until_close(stream: &IoStream) -> Vec<u8> {
    stream.read_until_close().await.map(|bytes| bytes.to_vec()).unwrap_or_default()
}

/// Tornado's test_error_logging: a line, no more.
#[squall::test(timeout = 60)]
async fn bad_bytes_are_one_line_each() {
    let authority = Authority::new();
    let hello = client_hello(&authority).await;
    let mut old = hello.clone();
    old[9..11].copy_from_slice(&[3, 0]); // SSL 3.0, and what offers TLS 1.3 is cut off
    let cut = hello.len() / 2;
    let garbage = vec![0xff; 1024 * 1024];
    let mut flood = vec![22, 3, 1, 0x3f, 0xff];
    flood.extend([vec![1, 0xff, 0xff, 0xff], vec![0; 0x3ffb]].concat());
    let endless = flood.repeat(40);
    for (case, bytes, line) in [
        ("garbage", &b"\x00\x01\x02\x03\x04\x05\x06\x07"[..], "failed"),
        ("SSL 2.0", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", "failed"),
        ("clear text", b"GET / HTTP/1.1\r\n\r\n", "clear text"),
        ("an empty record", b"\x16\x03\x01\x00\x00", "failed"),
        ("a record that is too long", b"\x16\x03\x01\xff\xff", "failed"),
        ("an alert", b"\x15\x03\x01\x00\x02\x02\x28", "failed"),
        ("application data", b"\x17\x03\x03\x00\x05hello", "failed"),
        ("an endless handshake message", &endless, "failed"),
        ("a flood of garbage", &garbage, "failed"),
        ("nothing", b"", "No TLS handshake"),
        ("half a hello", &hello[..cut], "No TLS handshake"),
    ] {
        let (log, _guard) = Lines::capture();
        let lines = told_of(&authority, bytes, &log).await;
        assert!(matches!(&lines[..], [only] if only.contains(line)), "{case}: {lines:?}");
        assert_eq!(log.count("ERROR"), 0, "{case}: {}", log.text());
    }
}

/// What the log says of TLS when these bytes begin a connection. Another client is served after it.
pub(crate) async fn told_of(authority: &Authority, bytes: &[u8], log: &Lines) -> Vec<String> {
    let server = serve_https(authority.certify(&["server.test"]).options());
    let stream = plain(server.port()).await;
    let _ = stream.write(bytes).await;
    let _ = stream.shutdown_write();
    until_close(&stream).await;
    let told = String::from_utf8_lossy(bytes);
    let told: String = told.chars().take(40).collect();
    assert_eq!(authority.client().fetch(url(&server)).await.unwrap().text(), "ok", "{told:?}");
    log.text().lines().filter(|line| line.contains("TLS")).map(str::to_owned).collect()
}

pub(crate) fn url(server: &TestServer) -> String {
    format!("https://server.test:{}/", server.port())
}

/// Half a hello and silence, a hello and silence, no byte at all: closed when the time is over; others are served.
#[squall::test(timeout = 120)]
async fn stalled_handshakes_end() {
    let authority = Authority::new();
    let hello = client_hello(&authority).await;
    let options = authority.certify(&["server.test"]).options().handshake_timeout(Duration::from_millis(500));
    let (log, _guard) = Lines::capture();
    let server = serve_https(options);
    let mut stalled = Vec::new();
    for number in 0..300 {
        let stream = plain(server.port()).await;
        let part = [0, 1, hello.len() / 2, hello.len()][number % 4];
        stream.write(&hello[..part]).await.unwrap();
        stalled.push(stream);
    }
    let client = authority.client();
    for _ in 0..10 {
        let request = HttpRequest::get(url(&server)).header("Connection", "close");
        assert_eq!(client.fetch(request).await.unwrap().text(), "ok");
    }
    for stream in &stalled {
        until_close(stream).await;
    }
    assert_eq!(log.count("it takes too long"), 300);
}

/// At the limit the oldest make room: a crowd of stalled ones keeps nobody out.
#[squall::test(timeout = 120)]
async fn the_oldest_handshakes_make_room() {
    let authority = Authority::new();
    let options = authority.certify(&["server.test"]).options();
    let server = serve_https(options.max_handshakes(8).handshake_timeout(Duration::from_secs(3600)));
    let mut stalled = Vec::new();
    for _ in 0..50 {
        stalled.push(plain(server.port()).await);
    }
    let client = authority.client();
    assert_eq!(client.fetch(url(&server)).await.unwrap().text(), "ok");
    for stream in &stalled[..42] {
        until_close(stream).await;
    }
    // Those that are left are not the ones that block the next.
    let request = HttpRequest::get(url(&server)).header("Connection", "close");
    assert_eq!(client.fetch(request).await.unwrap().text(), "ok");
}

/// As Tornado's `close_all_connections`, which has them among its connections from the start.
#[squall::test(timeout = 60)]
async fn closing_all_connections_ends_handshakes() {
    let authority = Authority::new();
    let options = authority.certify(&["server.test"]).options();
    let server = HttpServer::new(|| Application::new([]));
    let server = server.ssl_options(options.handshake_timeout(Duration::from_secs(3600)));
    server.listen_on(0, &squall::netutil::BindOptions::new().address("127.0.0.1")).unwrap();
    let port = server.local_addrs()[0].port().unwrap();
    let stalled = plain(port).await;
    // Accepted after it.
    connect(&Arc::new(authority.config()), port).await.unwrap();
    server.close_all_connections();
    until_close(&stalled).await;
    server.stop();
}

/// A handshake and silence, like any connection that is idle or never reads.
#[squall::test(timeout = 120)]
async fn silence_and_deafness_after_the_handshake_end() {
    let authority = Authority::new();
    let make = || {
        Application::new([get("/", async |ctx: &Context| {
            ctx.write(vec![b'x'; 30_000_000]);
            Ok(())
        })])
    };
    let server = HttpServer::new(make)
        .idle_connection_timeout(Duration::from_millis(400))
        .write_timeout(Duration::from_millis(400))
        .ssl_options(authority.certify(&["server.test"]).options());
    let server = serve_on(server);
    let config = Arc::new(authority.config());
    let silent = connect(&config, server.port()).await.unwrap();
    assert_eq!(silent.read_until_close().await.unwrap(), "", "the end is announced");
    let deaf = connect(&config, server.port()).await.unwrap();
    deaf.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // It is reset, which a client that reads nothing sees at some point.
    deaf.closed_by_peer().await;
}

/// Tornado's clients and servers that have no version, cipher or protocol in common are told so.
#[squall::test(timeout = 60)]
async fn nothing_in_common() {
    let authority = Authority::new();
    let options = || authority.certify(&["server.test"]).options();
    let only_13 = serve_https(options().min_version(squall::tls::TlsVersion::Tls13));
    let only_chacha = serve_https(options().ciphers("ECDHE-ECDSA-CHACHA20-POLY1305"));
    let usual = serve_https(options());

    let old = Arc::new(authority.config_with(&[&rustls::version::TLS12], None));
    assert!(connect(&old, only_13.port()).await.is_err());
    let stream = connect(&old, only_chacha.port()).await.unwrap();
    let cipher = stream.tls_info().unwrap().cipher_suite.unwrap();
    assert_eq!(cipher, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");

    let new = Arc::new(authority.config());
    for port in [only_13.port(), only_chacha.port(), usual.port()] {
        assert_eq!(ask(&connect(&new, port).await.unwrap(), "/").await.unwrap(), "ok");
    }
    // RFC 7301 §3.2: no_application_protocol.
    for (offered, agreed) in [
        (&[][..], Some(None)),
        (&[&b"http/1.1"[..]], Some(Some(&b"http/1.1"[..]))),
        #[cfg(feature = "http2")]
        (&[b"http/1.1", b"h2"], Some(Some(b"h2"))),
        (&[b"h3", b"http/1.1"], Some(Some(b"http/1.1"))),
        (&[b"h3"], None),
    ] {
        let mut config = authority.config();
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let stream = connect(&Arc::new(config), usual.port()).await;
        let seen = stream.as_ref().ok().map(|stream| stream.tls_info().unwrap().alpn_protocol);
        assert_eq!(seen.as_ref().map(Option::as_deref), agreed, "{offered:?}: {stream:?}");
    }
}

/// Which certificate is shown for which name.
#[squall::test(timeout = 60)]
async fn certificates_by_name() {
    let authority = Authority::new();
    let [one, two, wild] = [&["one.test", "also-one.test"][..], &["two.test"], &["*.wild.test"]]
        .map(|names| authority.certify(names));
    let options = one.options().certificate_pem(two.cert, two.key).certificate_pem(wild.cert, wild.key);
    let server = serve_https(options);
    let config = Arc::new(authority.config());
    for (host, shown) in [
        ("one.test", Some("CN=one.test")),
        ("also-one.test", Some("CN=one.test")),
        ("two.test", Some("CN=two.test")),
        ("TWO.test", Some("CN=two.test")),
        ("a.wild.test", Some("CN=*.wild.test")),
        // Those are shown the first, which they do not like.
        ("wild.test", None),
        ("three.test", None),
        ("127.0.0.1", None),
    ] {
        let stream = super::support::connect_to(&config, server.port(), host).await;
        let subject = stream.ok().map(|stream| {
            let info = stream.tls_info().unwrap();
            squall::tls::Certificate::parse(&info.peer_certificates[0]).unwrap().subject().to_owned()
        });
        assert_eq!(subject.as_deref(), shown, "{host}");
    }
}

/// RFC 8446 §2.2, RFC 5077: a second connection takes up the session of the first, in both versions.
#[squall::test(timeout = 60)]
async fn sessions_are_taken_up_again() {
    let authority = Authority::new();
    for tickets in [true, false] {
        let server = serve_https(authority.certify(&["server.test"]).options().session_tickets(tickets));
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = Arc::new(authority.config_with(&[version], None));
            let mut resumed = Vec::new();
            for _ in 0..3 {
                let stream = connect(&config, server.port()).await.unwrap();
                assert_eq!(ask(&stream, "/").await.unwrap(), "ok");
                resumed.push(stream.tls_info().unwrap().resumed);
            }
            assert_eq!(resumed, [false, tickets, tickets], "{version:?}");
        }
    }
}

/// By aws-lc-rs keys are agreed on that a quantum computer would not break, with clients that can; with ring by X25519.
#[squall::test(timeout = 60)]
async fn how_keys_are_agreed_on() {
    let authority = Authority::new();
    let server = serve_https(authority.certify(&["server.test"]).options());
    let group =
        async |config| connect(&config, server.port()).await.unwrap().tls_info().unwrap().key_exchange_group;
    assert_eq!(group(Arc::new(authority.config())).await, Some("X25519"));
    #[cfg(feature = "tls-aws-lc")]
    {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        let pem = authority.pem();
        roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let config = Arc::new(builder.with_no_client_auth());
        assert_eq!(group(config).await, Some("X25519MLKEM768"));
    }
}
