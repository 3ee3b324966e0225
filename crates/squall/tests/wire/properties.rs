//! Properties of the server over real sockets: how the bytes arrive changes nothing, and no bytes whatever make it
//! panic or hang.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::Config;
use squall::web::any;
use squall::{Application, Context, HttpServer, IoLoop};

/// Generous: only a server that hangs comes near it.
const DEADLINE: Duration = Duration::from_secs(20);

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// The port of a server on a thread of its own, shared by all cases.
fn server() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::panic::set_hook(Box::new(|info| {
            if std::thread::current().name() == Some("server") {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            eprintln!("{info}");
        }));
        let serve = move || {
            let server = HttpServer::new(|| {
                Application::new([
                    any("/echo", async |ctx: &Context| {
                        ctx.clear_header("Date");
                        ctx.set_header("X-Length", ctx.request().body().len())?;
                        ctx.write(ctx.request().body());
                        Ok(())
                    }),
                    any("/parts", async |ctx: &Context| {
                        ctx.clear_header("Date");
                        for part in ["one", "two", "three"] {
                            ctx.write(part);
                            ctx.flush().await?;
                        }
                        Ok(())
                    }),
                    any(".*", async |ctx: &Context| {
                        ctx.clear_header("Date");
                        ctx.write(ctx.request().uri());
                        Ok(())
                    }),
                ])
            })
            .decompress_request(true);
            server.add_sockets([listener.into()]).unwrap();
            IoLoop::current().start().unwrap();
        };
        std::thread::Builder::new().name("server".to_owned()).spawn(serve).unwrap();
        port
    })
}

fn connect() -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server())).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends the pieces, closes the sending side, and reads to the end.
fn exchange(pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = connect();
    let mut reader = stream.try_clone().unwrap();
    let answers = std::thread::spawn(move || {
        let mut answers = Vec::new();
        // A reset after an answer is an end too.
        match reader.read_to_end(&mut answers) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the server hangs"),
            _ => answers,
        }
    });
    for piece in pieces {
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    answers.join().unwrap()
}

/// One valid request.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof!["[A-Za-z][A-Za-z-]{0,12}", Just("X-Empty".to_owned())];
    let fields = prop::collection::vec((name, "[ -~]{0,30}"), 0..4);
    let body = prop::collection::vec(any_byte(), 0..300);
    (prop_oneof![Just("GET"), Just("POST"), Just("PUT")], "[a-z0-9/._-]{0,20}", fields, body, 0..4u8)
        .prop_map(|(method, path, fields, body, kind)| {
            let path = if kind == 1 { "parts".to_owned() } else { path };
            let path = if kind > 1 { "echo".to_owned() } else { path };
            let mut bytes = format!("{method} /{path} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
            for (name, value) in fields {
                let framing = [
                    "host",
                    "connection",
                    "content-length",
                    "transfer-encoding",
                    "expect",
                    "content-encoding",
                ];
                if !framing.contains(&name.to_ascii_lowercase().as_str()) {
                    bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
            }
            match kind {
                2 => {
                    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                    bytes.extend_from_slice(&body);
                }
                3 => {
                    bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                    for chunk in body.chunks(100) {
                        bytes.extend_from_slice(format!("{:x};x=y\r\n", chunk.len()).as_bytes());
                        bytes.extend_from_slice(chunk);
                        bytes.extend_from_slice(b"\r\n");
                    }
                    bytes.extend_from_slice(b"0\r\nX-Trailer: 1\r\n\r\n");
                }
                _ => bytes.extend_from_slice(b"\r\n"),
            }
            bytes
        })
}

fn any_byte() -> impl Strategy<Value = u8> {
    proptest::arbitrary::any::<u8>()
}

/// What a mutation does to a stream of requests.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edits =
        prop::collection::vec((proptest::arbitrary::any::<prop::sample::Index>(), any_byte(), 0..5u8), 1..8);
    (prop::collection::vec(request(), 1..4), edits).prop_map(|(requests, edits)| {
        let mut bytes = requests.concat();
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            match kind {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.insert(at, *b"\r\n :;0".get(usize::from(byte) % 6).unwrap()),
                3 => bytes.truncate(at),
                _ if at < bytes.len() => bytes[at] = byte,
                _ => {}
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(Config { cases: 96, failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_split_of_valid_requests_gives_the_same_responses(
        requests in prop::collection::vec(request(), 1..6),
        cuts in prop::collection::vec(proptest::arbitrary::any::<prop::sample::Index>(), 0..12),
    ) {
        let whole = requests.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
        let at_once = exchange(&[&whole]);
        let heads = count(&at_once, b"HTTP/1.1 200 OK\r\n");
        prop_assert!(heads >= requests.len(), "{heads} answers to {} requests", requests.len());
        prop_assert_eq!(at_once, exchange(&pieces));
    }

    #[test]
    fn no_mutation_panics_or_hangs_the_server(bytes in mutated()) {
        let before = PANICS.load(Ordering::SeqCst);
        let answers = exchange(&[&bytes]);
        prop_assert!(answers.is_empty() || answers.starts_with(b"HTTP/1.1 "));
        prop_assert!(exchange(&[b"GET /alive HTTP/1.0\r\n\r\n"]).ends_with(b"\r\n\r\n/alive"));
        prop_assert_eq!(PANICS.load(Ordering::SeqCst), before);
    }

    #[test]
    fn no_bytes_whatever_panic_or_hang_the_server(bytes in prop::collection::vec(any_byte(), 0..3000)) {
        let before = PANICS.load(Ordering::SeqCst);
        exchange(&[&bytes]);
        prop_assert!(exchange(&[b"GET /alive HTTP/1.0\r\n\r\n"]).ends_with(b"\r\n\r\n/alive"));
        prop_assert_eq!(PANICS.load(Ordering::SeqCst), before);
    }
}

fn count(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).filter(|window| *window == needle).count()
}
