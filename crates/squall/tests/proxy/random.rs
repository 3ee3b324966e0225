//! Random heads of all octets through everything that passes heads on, against a peer that sees every byte: never more
//! than one message, and the fields as they came.
//!
//! `SQUALL_SEED` and `SQUALL_ROUNDS` choose others than the usual ones.

use std::cell::RefCell;
use std::rc::Rc;

use squall::HttpServer;
use squall::httpclient::{AsyncHttpClient, HttpRequest};
use squall::httputil::ResponseStartLine;
use squall::netutil::BindOptions;
use tokio::net::TcpListener;

use super::script::{Client, Reply, Script, Setup, field, find};

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// What has broken heads before, and any octet.
    fn value(&mut self, evil: bool) -> Vec<u8> {
        const PIECES: [&[u8]; 16] = [
            b"\xc4\x8d\xc4\x8a",
            b"\xe5\x98\x8d\xe5\x98\x8a",
            b"\xc4\x80",
            b"\xc4\xba",
            b"\xc0\x8d\xc0\x8a",
            b"\xff\xfe",
            b"\xe2\x82",
            b"\xf0\x9f\x98\x80",
            b": ",
            b"\xa0",
            b"\x85",
            b"\tx",
            b", ",
            b"\"\\",
            b"GET /smuggled HTTP/1.1",
            b"Content-Length: 5",
        ];
        const EVIL: [&[u8]; 8] = [
            b"\r\n",
            b"\n",
            b"\r",
            b"\0",
            b"\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
            b"\n\n",
            b"\x7f",
            b"\x0b",
        ];
        let mut value = b"v".to_vec();
        for _ in 0..self.below(6) {
            match self.below(3) {
                0 => value.extend_from_slice(self.pick(&PIECES)),
                1 if evil => value.extend_from_slice(self.pick(&EVIL)),
                _ => value.push(match self.next() as u8 {
                    octet @ (b'\t' | b' '..=b'~' | 0x80..) => octet,
                    octet if evil => octet,
                    _ => b'.',
                }),
            }
        }
        value.push(b'v');
        value
    }

    fn fields(&mut self, evil: bool) -> Vec<(String, Vec<u8>)> {
        const NAMES: [&str; 10] = [
            "X-A",
            "X-B",
            "Cookie",
            "Accept",
            "X-Long-Name",
            "Etag",
            "Set-Cookie",
            "X-A!#$%&'*+.^`~",
            "X-1",
            "A",
        ];
        (0..1 + self.below(6)).map(|_| (self.pick(&NAMES).to_owned(), self.value(evil))).collect()
    }
}

fn start() -> (Random, usize) {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let seed = number("SQUALL_SEED", 0x5eed);
    println!("seed {seed}");
    (Random(seed | 1), number("SQUALL_ROUNDS", 150) as usize)
}

fn block(fields: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            block.extend_from_slice(part);
        }
    }
    block
}

/// The fields of the names that random heads have.
fn own_fields(message: &[u8]) -> Vec<(String, Vec<u8>)> {
    let head = &message[..find(message, b"\r\n\r\n").unwrap() + 2];
    let mut fields = Vec::new();
    let mut rest = head;
    while let Some(end) = find(rest, b"\r\n") {
        let line = &rest[..end];
        if let Some(colon) = find(line, b": ") {
            let name = String::from_utf8(line[..colon].to_vec()).unwrap();
            fields.push((name, line[colon + 2..].to_vec()));
        }
        rest = &rest[end + 2..];
    }
    fields
}

/// Those that a proxy, a server or a client adds.
fn is_added(name: &str) -> bool {
    matches!(
        name,
        "Host"
            | "Connection"
            | "Via"
            | "Date"
            | "Content-Length"
            | "Transfer-Encoding"
            | "User-Agent"
            | "Accept-Encoding"
    ) || name.starts_with("X-Forwarded-")
        || name == "X-Real-Ip"
}

fn kept(message: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut fields = own_fields(message);
    fields.retain(|(name, _)| !is_added(name));
    fields
}

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
