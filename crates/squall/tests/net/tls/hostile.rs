//! Peers that speak TLS and mean no good: each is bounded, ends with itself, and nobody else notices.

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection};
use squall::testing::serve_on;
use squall::{Application, Context, HttpServer, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::handshakes::{client_hello, serve_https, told_of, url};
use super::support::{Authority, name};
use crate::log::Lines;

/// A client whose records are at hand, one by one.
struct Peer {
    socket: TcpStream,
    session: ClientConnection,
}

impl Peer {
    async fn connect(config: ClientConfig, port: u16) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let session = ClientConnection::new(Arc::new(config), name("server.test")).unwrap();
        let mut peer = Self { socket, session };
        while peer.session.is_handshaking() {
            peer.send().await.unwrap();
            if peer.session.is_handshaking() {
                assert!(peer.receive().await.unwrap() > 0, "the server closed");
            }
        }
        peer.send().await.unwrap();
        peer
    }

    /// What the session has to say, as it is sent.
    fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut records).unwrap();
        }
        records
    }

    async fn send(&mut self) -> std::io::Result<()> {
        let records = self.records();
        self.socket.write_all(&records).await
    }

    async fn receive(&mut self) -> std::io::Result<usize> {
        let mut block = [0; 4096];
        let count = self.socket.read(&mut block).await?;
        let mut left = &block[..count];
        while !left.is_empty() {
            self.session.read_tls(&mut left)?;
            self.session.process_new_packets().map_err(std::io::Error::other)?;
        }
        Ok(count)
    }

    async fn ask(&mut self) -> std::io::Result<()> {
        self.session.writer().write_all(b"GET / HTTP/1.1\r\nHost: server.test\r\n\r\n")?;
        self.send().await
    }

    /// All that the server says, up to its close_notify, its end, or a reset.
    async fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let mut block = vec![0; 16 * 1024];
            match self.session.reader().read(&mut block) {
                Ok(0) => return all,
                Ok(count) => all.extend_from_slice(&block[..count]),
                Err(_) if !matches!(self.receive().await, Ok(1..)) => return all,
                Err(_) => {}
            }
        }
    }
}

/// Records that are none, and more than a client has any reason to send, after a handshake: one line at most, never an error,
/// and no request.
#[squall::test(timeout = 120)]
async fn after_the_handshake() {
    let authority = Authority::new();
    let versions: [&'static rustls::SupportedProtocolVersion; 2] =
        [&rustls::version::TLS12, &rustls::version::TLS13];
    for version in versions {
        let (log, _guard) = Lines::capture();
        let seen = Rc::new(Cell::new(0));
        let make = {
            let seen = Rc::clone(&seen);
            move || {
                let seen = Rc::clone(&seen);
                Application::new([get("/", async move |ctx: &Context| {
                    seen.set(seen.get() + 1);
                    ctx.write("ok");
                    Ok(())
                })])
            }
        };
        let options = authority.certify(&["server.test"]).options();
        let server = serve_on(HttpServer::new(make).ssl_options(options));
        let change_cipher_spec = b"\x14\x03\x03\x00\x01\x01".repeat(50_000);
        let alerts = b"\x15\x03\x03\x00\x02\x01\x5a".repeat(50_000);
        let forged = [&b"\x17\x03\x03\x01\x00"[..], &[7; 256]].concat();
        for (case, bytes) in [
            ("garbage", &vec![0xff; 300_000][..]),
            ("clear text", b"GET / HTTP/1.1\r\nHost: server.test\r\n\r\n"),
            ("a forged record", &forged),
            ("a record that is too long", b"\x17\x03\x03\xff\xff"),
            ("another hello in the clear", &client_hello(&authority).await),
            ("a flood of change_cipher_spec", &change_cipher_spec),
            ("a flood of warnings", &alerts),
            ("a flood of empty records", &b"\x17\x03\x03\x00\x00".repeat(50_000)),
        ] {
            let mut peer = Peer::connect(authority.config_with(&[version], None), server.port()).await;
            let _ = peer.socket.write_all(bytes).await;
            assert_eq!(peer.rest().await, b"", "{case}, {version:?}");
        }
        // Nobody else is worse off, and of all the above nothing was taken for a request.
        assert_eq!(authority.client().fetch(url(&server)).await.unwrap().text(), "ok", "{version:?}");
        assert_eq!((seen.get(), log.count("ERROR")), (1, 0), "{version:?}: {}", log.text());
        assert!(log.text().lines().count() <= 10, "{version:?}: {}", log.text());
    }
}

/// RFC 8446 §4.6.3: each new key costs an answer. There is no reason for many in a row.
#[squall::test(timeout = 60)]
async fn a_flood_of_new_keys() {
    let authority = Authority::new();
    let (log, _guard) = Lines::capture();
    let server = serve_https(authority.certify(&["server.test"]).options());
    let mut peer = Peer::connect(authority.config(), server.port()).await;
    // A few are fine.
    for _ in 0..3 {
        peer.session.refresh_traffic_keys().unwrap();
        peer.ask().await.unwrap();
    }
    let mut answers = Vec::new();
    while memchr::memmem::find_iter(&answers, b"\r\n\r\nok").count() < 3 {
        let mut block = [0; 4096];
        match peer.session.reader().read(&mut block) {
            Ok(count) => answers.extend_from_slice(&block[..count]),
            Err(_) => assert!(peer.receive().await.unwrap() > 0, "the server closed"),
        }
    }
    let mut flood = Vec::new();
    for _ in 0..5_000 {
        peer.session.refresh_traffic_keys().unwrap();
        flood.extend(peer.records());
    }
    let _ = peer.socket.write_all(&flood).await;
    assert_eq!(peer.rest().await, b"");
    assert_eq!(authority.client().fetch(url(&server)).await.unwrap().text(), "ok");
    assert_eq!(log.count("ERROR"), 0, "{}", log.text());
}

/// A first message in pieces that no client sends: honest or not, it ends, and the connection with it or the handshake.
#[squall::test(timeout = 120)]
async fn strange_hellos() {
    let authority = Authority::new();
    let hello = client_hello(&authority).await;
    let message = &hello[5..];
    let one_by_one: Vec<u8> = message.iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect();
    let with = |extensions: &[u8]| hello_with(extensions);
    let long_name = vec![b'a'; 60_000];
    let server_name = |name: &[u8]| {
        let entry = [&[0][..], &length(name.len())[..], name].concat();
        let list = [&length(entry.len())[..], &entry].concat();
        [&[0, 0][..], &length(list.len())[..], &list].concat()
    };
    let early_data = [&with(&[0, 42, 0, 0])[..], &b"\x17\x03\x03\x00\x20"[..], &[0; 32]].concat();
    let endless_early_data =
        [&with(&[0, 42, 0, 0])[..], &[&b"\x17\x03\x03\x3f\xff"[..], &[0; 0x3fff]].concat().repeat(100)]
            .concat();
    for (case, bytes, line) in [
        ("a byte at a time", &one_by_one[..], None),
        (
            "empty records before it",
            &[&b"\x16\x03\x01\x00\x00".repeat(20_000)[..], &hello].concat(),
            Some("failed"),
        ),
        ("warnings before it", &b"\x15\x03\x01\x00\x02\x01\x5a".repeat(20_000), Some("failed")),
        ("two of them", &[&hello[..], &hello].concat(), None),
        ("a name of 60,000 letters", &with(&server_name(&long_name)), Some("failed")),
        ("a name of other bytes", &with(&server_name(b"\xff\x00\r\n")), Some("failed")),
        ("early data", &early_data, Some("failed")),
        ("endless early data", &endless_early_data, Some("failed")),
        ("no extension", &with(&[]), Some("failed")),
        (
            "a flood of change_cipher_spec",
            &[&hello[..], &b"\x14\x03\x03\x00\x01\x01".repeat(60_000)].concat(),
            Some("failed"),
        ),
    ] {
        let (log, _guard) = Lines::capture();
        let told = told_of(&authority, bytes, &log).await;
        assert_eq!(told.len(), 1, "{case}: {told:?}");
        if let Some(line) = line {
            assert!(told[0].contains(line), "{case}: {told:?}");
        }
        assert!(told[0].len() < 400, "{case}: {told:?}");
        assert_eq!(log.count("ERROR"), 0, "{case}: {}", log.text());
    }
}

fn length(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap().to_be_bytes()
}

/// A ClientHello for TLS 1.2 with these extensions only, in as many records as it needs.
fn hello_with(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]); // random
    body.push(0); // no session
    body.extend([0, 2, 0xc0, 0x2b, 1, 0]); // one cipher, no compression
    if !extensions.is_empty() {
        body.extend(length(extensions.len()));
        body.extend(extensions);
    }
    let [_, high, middle, low] = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1, high, middle, low][..], &body].concat();
    message.chunks(16_000).flat_map(|part| [&[22, 3, 1][..], &length(part.len()), part].concat()).collect()
}

/// RFC 8446 §6.1: who has said that it sends no more may still read.
#[squall::test(timeout = 60)]
async fn a_request_and_the_end_of_what_is_sent() {
    let authority = Authority::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let server = serve_https(authority.certify(&["server.test"]).options());
        let mut peer = Peer::connect(authority.config_with(&[version], None), server.port()).await;
        peer.session.writer().write_all(b"GET / HTTP/1.1\r\nHost: server.test\r\n\r\n").unwrap();
        peer.session.send_close_notify();
        peer.send().await.unwrap();
        peer.socket.shutdown().await.unwrap();
        let answer = String::from_utf8(peer.rest().await).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"),
            "{version:?}: {answer:?}"
        );
    }
}

/// A cut in the middle of a request reaches no handler.
#[squall::test(timeout = 60)]
async fn a_request_that_is_cut_is_none() {
    let authority = Authority::new();
    let seen = Rc::new(Cell::new(0));
    let make = {
        let seen = Rc::clone(&seen);
        move || {
            let seen = Rc::clone(&seen);
            Application::new([squall::post("/", async move |_: &Context| {
                seen.set(seen.get() + 1);
                Ok(())
            })])
        }
    };
    let options = authority.certify(&["server.test"]).options();
    let server = serve_on(HttpServer::new(make).ssl_options(options));
    for notify in [false, true] {
        let mut peer = Peer::connect(authority.config(), server.port()).await;
        let request = b"POST / HTTP/1.1\r\nHost: server.test\r\nContent-Length: 10\r\n\r\n12345";
        peer.session.writer().write_all(request).unwrap();
        if notify {
            peer.session.send_close_notify();
        }
        peer.send().await.unwrap();
        peer.socket.shutdown().await.unwrap();
        peer.rest().await;
        assert_eq!(seen.get(), 0);
    }
}
