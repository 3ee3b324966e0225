//! Random heads of all octets through everything that passes heads on, against a peer that sees every byte: never more
//! than one message, and the fields as they came.

use std::cell::RefCell;
use std::rc::Rc;

use squall::HttpServer;
use squall::httpclient::{AsyncHttpClient, HttpRequest};
use squall::httputil::ResponseStartLine;
use squall::netutil::BindOptions;
use tokio::net::TcpListener;

use super::heads::{block, is_added, kept, start};
use super::script::{Client, Reply, Script, Setup, field, find};

#[squall::test(timeout = 120)]
async fn random_heads_through_the_proxy() {
    let (mut random, rounds) = start();
    let setup = Setup::new([]).await;
    for round in 0..rounds {
        let evil = random.below(2) == 0;
        let (up, down) = (random.fields(evil), random.fields(evil));
        let reply = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", &block(&down)[..], b"\r\nok"].concat();
        setup.script.reset([Reply { bytes: reply, early: false, close: true }]);
        let mut client = setup.connect().await;
        let request =
            [b"GET /asked HTTP/1.1\r\nHost: h\r\nConnection: close\r\n", &block(&up)[..], b"\r\n"].concat();
        let _ = tokio::io::AsyncWriteExt::write_all(&mut client.stream, &request).await;
        let got = client.rest().await;
        let seen = setup.script.seen.borrow().clone();
        let context = format!("round {round}: {:?}", String::from_utf8_lossy(&request));
        assert!(seen.len() <= 1 || evil, "{context}");
        for message in &seen {
            // What the client itself has split is several requests, each whole; nothing else splits them.
            assert_eq!(
                find(&message.bytes, b"\r\n\r\n").map(|at| at + 4),
                Some(message.bytes.len()),
                "{context}"
            );
        }
        if !evil {
            assert_eq!(kept(&seen[0].bytes), up, "{context}");
            assert_eq!(kept(&got), down, "{context}");
        }
        let is_asked = |message: &[u8]| message.starts_with(b"GET /asked ");
        assert!(seen.iter().filter(|seen| is_asked(&seen.bytes)).count() <= 1, "{context}");
    }
}

#[squall::test(timeout = 120)]
async fn random_heads_through_a_callback() {
    let (mut random, rounds) = start();
    let server = HttpServer::with_callback(|request| {
        let start = ResponseStartLine { status: 200, reason: "OK" };
        let _ = request.connection().write_headers(start, &request.headers().clone(), b"");
        let _ = request.finish();
    });
    server.listen_on(0, &BindOptions::new().address("127.0.0.1")).unwrap();
    let port = server.local_addrs()[0].port().unwrap();
    for round in 0..rounds {
        let evil = random.below(2) == 0;
        let fields = random.fields(evil);
        let mut client = Client::connect(port).await;
        let request =
            [b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n", &block(&fields)[..], b"\r\n"].concat();
        let _ = tokio::io::AsyncWriteExt::write_all(&mut client.stream, &request).await;
        let got = client.rest().await;
        let context = format!("round {round}: {:?}", String::from_utf8_lossy(&request));
        let end = find(&got, b"\r\n\r\n").expect(&context) + 4;
        // One response: an empty chunked one, or a refusal.
        if got.starts_with(b"HTTP/1.1 200 ") {
            assert_eq!(&got[end..], b"0\r\n\r\n", "{context}");
            if !evil {
                assert_eq!(kept(&got), fields, "{context}");
            }
        } else {
            assert!(evil && got.starts_with(b"HTTP/1.1 400 "), "{context}");
        }
    }
}

#[squall::test(timeout = 120)]
async fn random_heads_through_the_client() {
    let (mut random, rounds) = start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let script = Script::new([]);
    script.serve(listener);
    let client = AsyncHttpClient::new();
    let refused: Rc<RefCell<usize>> = Rc::default();
    for round in 0..rounds {
        let evil = random.below(2) == 0;
        let (up, down) = (random.fields(evil), random.fields(evil));
        let reply = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", &block(&down)[..], b"\r\nok"].concat();
        script.reset([Reply { bytes: reply, early: false, close: true }]);
        let mut request = HttpRequest::get(&url);
        for (name, value) in &up {
            request = request.add_header(name, value.as_slice());
        }
        let answer = client.fetch(request).await;
        let seen = script.seen.borrow().clone();
        let context = format!("round {round}: {up:?} {down:?}");
        assert!(seen.len() <= 1, "{context}");
        let sound = |value: &[u8]| value.iter().all(|b| matches!(b, b'\t' | b' '..=b'~' | 0x80..));
        if up.iter().all(|(_, value)| sound(value)) {
            assert_eq!(kept(&seen[0].bytes), up, "{context}");
            assert_eq!(field(&seen[0].bytes, "Content-Length"), None);
        } else {
            assert!(seen.is_empty() && answer.is_err(), "{context}");
            *refused.borrow_mut() += 1;
            continue;
        }
        if !evil {
            let answer = answer.expect(&context);
            let mut got: Vec<_> = answer
                .headers()
                .iter_bytes()
                .map(|(name, value)| (name.to_owned(), value.to_vec()))
                .collect();
            got.retain(|(name, _)| !is_added(name));
            assert_eq!(got, down, "{context}");
        }
    }
    assert!(*refused.borrow() > 0 || rounds < 50);
}
