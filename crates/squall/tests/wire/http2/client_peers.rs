//! The HTTP client against servers that play a script, frame by frame.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use squall::http1connection::ParseError;
use squall::httpclient::{AsyncHttpClient, BodyWriter, HttpClientError, HttpRequest};
use squall::iostream::StreamError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::support::{CONTINUATION, DATA, HEADERS, PING, RST_STREAM, Raw, SETTINGS};

const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200`, 204.
const OK: &[u8] = b"\x88";
const NO_CONTENT: &[u8] = b"\x89";

const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const INTERNAL_ERROR: u32 = 2;

struct Server {
    listener: TcpListener,
    url: String,
}

impl Server {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// A connection, with these SETTINGS.
    async fn accept(&self, settings: &[u8]) -> Peer {
        let (mut socket, _) = self.listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut preface = [0; 24];
        socket.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut raw = Raw { socket };
        raw.frame(SETTINGS, 0, 0, settings).await;
        Peer { raw, requests: VecDeque::new(), resets: Vec::new() }
    }
}

/// The server's end of a connection.
struct Peer {
    raw: Raw,
    /// Requests that were read and not asked for, and whether their head was all.
    requests: VecDeque<(u32, bool)>,
    /// Streams that were given up, and why.
    resets: Vec<(u32, u32)>,
}

impl Peer {
    async fn frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        self.raw.frame(kind, flags, id, payload).await;
    }

    async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let (kind, flags, id, payload) = self.raw.next().await?;
        match kind {
            HEADERS => self.requests.push_back((id, flags & END_STREAM != 0)),
            RST_STREAM => self.resets.push((id, super::support::code(&payload))),
            _ => {}
        }
        Some((kind, flags, id, payload))
    }

    async fn head(&mut self) -> (u32, bool) {
        loop {
            if let Some(request) = self.requests.pop_front() {
                return request;
            }
            self.next().await.expect("a request");
        }
    }

    /// The stream of the next request.
    async fn request(&mut self) -> u32 {
        self.head().await.0
    }

    /// The stream of the next request, when all of its body is there, and the body.
    async fn whole(&mut self) -> (u32, Vec<u8>) {
        let (id, mut ended) = self.head().await;
        let mut body = Vec::new();
        while !ended {
            let (kind, flags, stream, payload) = self.next().await.expect("the rest of the request");
            if kind == DATA && stream == id {
                body.extend_from_slice(&payload);
                ended = flags & END_STREAM != 0;
            }
        }
        (id, body)
    }

    async fn answer(&mut self, id: u32, body: &[u8]) {
        self.frame(HEADERS, END_HEADERS, id, OK).await;
        self.frame(DATA, END_STREAM, id, body).await;
    }

    async fn reset(&mut self, id: u32, code: u32) {
        self.frame(RST_STREAM, 0, id, &code.to_be_bytes()).await;
    }

    async fn goaway(&mut self, last: u32, code: u32) {
        self.frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat()).await;
    }

    /// The code with which the client gives a stream up.
    async fn given_up(&mut self, id: u32) -> u32 {
        loop {
            if let Some((_, code)) = self.resets.iter().find(|(stream, _)| *stream == id) {
                return *code;
            }
            self.next().await.expect("a reset");
        }
    }

    /// Reads on until the client closes.
    async fn closed(&mut self) {
        while self.next().await.is_some() {}
    }
}

/// A field that is in no table.
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| {
        // An integer with a prefix of seven bits (RFC 7541 §5.1).
        let mut left = text.len();
        if left < 127 {
            return vec![left as u8];
        }
        let mut octets = vec![127];
        left -= 127;
        while left >= 128 {
            octets.push((left % 128 + 128) as u8);
            left /= 128;
        }
        octets.push(left as u8);
        octets
    };
    [vec![0], length(name), name.as_bytes().to_vec(), length(value), value.as_bytes().to_vec()].concat()
}

fn client() -> AsyncHttpClient {
    AsyncHttpClient::builder().http2_prior_knowledge(true).build()
}

/// Plays a server and a client beside each other.
async fn play<T>(server: impl Future<Output = ()>, client: impl Future<Output = T>) -> T {
    tokio::join!(server, client).1
}

fn protocol(result: Result<squall::httpclient::HttpResponse, HttpClientError>) -> ParseError {
    match result {
        Err(HttpClientError::Protocol(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn made() -> impl AsyncFn(BodyWriter) -> Result<(), StreamError> {
    async |writer: BodyWriter| writer.write("body").await
}

#[squall::test(timeout = 60)]
async fn what_was_refused_is_sent_again_whatever_it_asks_for() {
    for post in [false, true] {
        let server = Server::new().await;
        let client = client();
        let request = || {
            if post {
                HttpRequest::post(&*server.url).body_producer(made())
            } else {
                HttpRequest::get(&*server.url)
            }
        };
        let script = async {
            let mut raw = server.accept(b"").await;
            for id in [1, 3] {
                assert_eq!(raw.request().await, id);
                raw.reset(id, REFUSED_STREAM).await;
            }
            let (id, body) = raw.whole().await;
            assert_eq!((id, &body[..]), (5, if post { &b"body"[..] } else { b"" }));
            raw.answer(5, b"done").await;
            // Not for ever.
            for id in [7, 9, 11, 13] {
                assert_eq!(raw.request().await, id);
                raw.reset(id, REFUSED_STREAM).await;
            }
            // And nothing that the server may have begun with.
            assert_eq!(raw.request().await, 15);
            raw.reset(15, INTERNAL_ERROR).await;
        };
        let fetches = async {
            assert_eq!(client.fetch(request()).await.unwrap().text(), "done");
            for _ in 0..2 {
                let error = client.fetch(request()).await.unwrap_err();
                assert!(matches!(error, HttpClientError::Closed(Some(_))), "{error:?}");
            }
        };
        play(script, fetches).await;
    }
}

#[squall::test(timeout = 60)]
async fn after_goaway_requests_go_over_another_connection() {
    let server = Server::new().await;
    let client = client();
    let script = async {
        let mut first = server.accept(b"").await;
        assert_eq!((first.request().await, first.request().await), (1, 3));
        // It has looked at the first, and not at the second.
        first.goaway(1, 0).await;
        let mut second = server.accept(b"").await;
        let (id, body) = second.whole().await;
        assert_eq!((id, &body[..]), (1, &b"body"[..]));
        second.answer(1, b"again").await;
        first.answer(1, b"still").await;
        // It is not needed any longer.
        first.closed().await;
        assert_eq!(second.request().await, 3);
        second.answer(3, b"later").await;
    };
    let fetches = async {
        let (still, again) = tokio::join!(client.fetch(&*server.url), async {
            client.fetch(HttpRequest::post(&*server.url).body("body")).await
        });
        assert_eq!((still.unwrap().text(), again.unwrap().text()), ("still".to_owned(), "again".to_owned()));
        assert_eq!(client.fetch(&*server.url).await.unwrap().text(), "later");
    };
    play(script, fetches).await;
}

#[squall::test(timeout = 60)]
async fn a_kept_connection_that_was_closed_costs_idempotent_requests_nothing() {
    let server = Server::new().await;
    let client = client();
    let script = async {
        let mut first = server.accept(b"").await;
        let id = first.request().await;
        first.answer(id, b"one").await;
        first.request().await;
        drop(first);
        let mut second = server.accept(b"").await;
        let id = second.request().await;
        second.answer(id, b"two").await;
        second.request().await;
        drop(second);
        // On a new connection it is the server's mistake.
        let mut third = server.accept(b"").await;
        third.request().await;
        drop(third);
    };
    let fetches = async {
        assert_eq!(client.fetch(&*server.url).await.unwrap().text(), "one");
        assert_eq!(client.fetch(&*server.url).await.unwrap().text(), "two");
        let error = client.fetch(HttpRequest::post(&*server.url).body("x")).await.unwrap_err();
        assert!(matches!(error, HttpClientError::Closed(_)), "{error:?}");
        let error = client.fetch(&*server.url).await.unwrap_err();
        assert!(matches!(error, HttpClientError::Closed(_)), "{error:?}");
    };
    play(script, fetches).await;
}

#[squall::test(timeout = 60)]
async fn the_first_request_does_not_wait_for_the_settings_and_the_others_heed_them() {
    let server = Server::new().await;
    let client = client();
    let script = async {
        // Two at once, as it turns out.
        let mut raw = server.accept(b"\0\x03\0\0\0\x02").await;
        assert_eq!((raw.request().await, raw.request().await), (1, 3));
        raw.answer(3, b"3").await;
        assert_eq!(raw.request().await, 5);
        raw.answer(1, b"1").await;
        raw.answer(5, b"5").await;
        assert_eq!(raw.request().await, 7);
        // And then more.
        raw.frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64").await;
        raw.answer(7, b"7").await;
    };
    let fetches = async {
        let fetch = || async { client.fetch(&*server.url).await.unwrap().text() };
        let mut said = futures_util::future::join_all([fetch(), fetch(), fetch(), fetch()]).await;
        said.sort();
        assert_eq!(said, ["1", "3", "5", "7"]);
    };
    play(script, fetches).await;
}

#[squall::test(timeout = 60)]
async fn malformed_responses_are_errors_of_their_request() {
    let long = "v".repeat(60_000);
    let heads: [(Vec<u8>, &[u8], ParseError); 10] = [
        (field("x", "y"), b"", ParseError::Http2), // no :status
        ([OK, OK].concat(), b"", ParseError::Http2),
        ([OK, &field("connection", "close")].concat(), b"", ParseError::Http2),
        ([OK, &field("transfer-encoding", "chunked")].concat(), b"", ParseError::Http2),
        ([OK, &field("content-length", "3x")].concat(), b"", ParseError::Http2),
        ([OK, &field("content-length", "3")].concat(), b"ab", ParseError::Http2),
        ([OK, &field("content-length", "3")].concat(), b"abcd", ParseError::Http2),
        ([OK, &field("x", " padded ")].concat(), b"", ParseError::HeaderValue),
        (NO_CONTENT.to_vec(), b"body", ParseError::UnexpectedBody),
        (
            [OK, &field("x", &long[..50_000]), &field("y", &long[..15_600])].concat(),
            b"",
            ParseError::HeadTooLarge,
        ),
    ];
    let server = Server::new().await;
    let client = client();
    let script = async {
        let mut raw = server.accept(b"").await;
        for (head, body, _) in &heads {
            let id = raw.request().await;
            let mut parts = head.chunks(16_000).enumerate().peekable();
            while let Some((n, part)) = parts.next() {
                let kind = if n == 0 { HEADERS } else { CONTINUATION };
                let flags = if parts.peek().is_none() { END_HEADERS } else { 0 };
                raw.frame(kind, flags, id, part).await;
            }
            raw.frame(DATA, END_STREAM, id, body).await;
            // The connection goes on.
            let id = raw.request().await;
            raw.answer(id, b"fine").await;
        }
    };
    let fetches = async {
        for (head, _, expected) in &heads {
            let shown = String::from_utf8_lossy(&head[..head.len().min(40)]).into_owned();
            assert_eq!(protocol(client.fetch(&*server.url).await), *expected, "{shown}");
            assert_eq!(client.fetch(&*server.url).await.unwrap().text(), "fine", "{shown}");
        }
    };
    play(script, fetches).await;
}

/// RFC 9113 §8.1: there are none in trailers. Those that are there are passed over with the names that they have.
#[squall::test(timeout = 60)]
async fn pseudo_fields_in_trailers_reach_nobody() {
    let server = Server::new().await;
    let client = client();
    // `:status: 500`, and a name that is none.
    let trailers = [&b"\x8e"[..], &field("x-sum", "7")].concat();
    let script = async {
        let mut raw = server.accept(b"").await;
        let id = raw.request().await;
        raw.frame(HEADERS, END_HEADERS, id, OK).await;
        raw.frame(DATA, 0, id, b"body").await;
        raw.frame(HEADERS, END_HEADERS | END_STREAM, id, &trailers).await;
        let id = raw.request().await;
        raw.answer(id, b"fine").await;
    };
    let fetches = async {
        let response = client.fetch(&*server.url).await.unwrap();
        assert_eq!((response.status(), response.text().as_str()), (200, "body"));
        let fields: Vec<_> =
            response.trailers().into_iter().flat_map(squall::httputil::HttpHeaders::iter).collect();
        assert_eq!(fields, [("X-Sum", "7")]);
        assert!(response.headers().iter().all(|(name, _)| !name.contains(':')));
        assert_eq!(client.fetch(&*server.url).await.unwrap().text(), "fine");
    };
    play(script, fetches).await;
}

#[squall::test(timeout = 60)]
async fn heads_without_measure_end_the_connection() {
    let server = Server::new().await;
    let client = client();
    let script = async {
        let mut first = server.accept(b"").await;
        let id = first.request().await;
        first.frame(HEADERS, 0, id, OK).await;
        let piece = field("x", &"v".repeat(16_000));
        for _ in 0..1_000 {
            if first.raw.socket.write_all(&super::support::frame(CONTINUATION, 0, id, &piece)).await.is_err()
            {
                break;
            }
        }
        let mut second = server.accept(b"").await;
        let id = second.request().await;
        second.answer(id, b"fine").await;
        // Names in capitals break the connection.
        let id = second.request().await;
        second.frame(HEADERS, END_HEADERS | END_STREAM, id, &[OK, &field("X-Upper", "y")].concat()).await;
        second.closed().await;
        // What is not HTTP/2 at all.
        let (mut third, _) = server.listener.accept().await.unwrap();
        third.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = third.read_to_end(&mut rest).await;
    };
    let fetches = async {
        assert_eq!(protocol(client.fetch(&*server.url).await), ParseError::Http2);
        assert_eq!(client.fetch(&*server.url).await.unwrap().text(), "fine");
        assert_eq!(protocol(client.fetch(&*server.url).await), ParseError::Http2);
        let other = AsyncHttpClient::builder().http2_prior_knowledge(true).build();
        assert_eq!(protocol(other.fetch(&*server.url).await), ParseError::Http2);
    };
    play(script, fetches).await;
}

#[squall::test(timeout = 60)]
async fn interim_responses_are_passed_over_and_counted() {
    const EARLY_HINTS: &[u8] = b"\x08\x03103";
    let server = Server::new().await;
    let client = client();
    let script = async {
        let mut raw = server.accept(b"").await;
        let id = raw.request().await;
        for _ in 0..10 {
            raw.frame(HEADERS, END_HEADERS, id, EARLY_HINTS).await;
        }
        raw.answer(id, b"ten").await;
        let id = raw.request().await;
        for _ in 0..11 {
            raw.frame(HEADERS, END_HEADERS, id, EARLY_HINTS).await;
        }
        assert_eq!(raw.given_up(id).await, CANCEL);
        let id = raw.request().await;
        raw.frame(HEADERS, END_HEADERS, id, b"\x08\x03101").await;
        assert_eq!(raw.given_up(id).await, CANCEL);
    };
    let fetches = async {
        assert_eq!(client.fetch(&*server.url).await.unwrap().text(), "ten");
        assert_eq!(protocol(client.fetch(&*server.url).await), ParseError::TooManyInterim);
        assert_eq!(protocol(client.fetch(&*server.url).await), ParseError::UnaskedUpgrade);
    };
    play(script, fetches).await;
}

#[squall::test(timeout = 60)]
async fn bodies_that_break_off_are_no_whole_ones() {
    let server = Server::new().await;
    let client = client();
    let length = [OK, &field("content-length", "4")].concat();
    let script = async {
        let mut raw = server.accept(b"").await;
        // That nothing is wrong says nothing before the end.
        for code in [CANCEL, INTERNAL_ERROR, REFUSED_STREAM, NO_ERROR] {
            let id = raw.request().await;
            raw.frame(HEADERS, END_HEADERS, id, OK).await;
            raw.frame(DATA, 0, id, b"half").await;
            raw.reset(id, code).await;
        }
        // All was said that was announced, or ended by END_STREAM and the rest of the request is not wanted (RFC 9113 §8.1).
        let id = raw.request().await;
        raw.frame(HEADERS, END_HEADERS, id, &length).await;
        raw.frame(DATA, 0, id, b"full").await;
        raw.reset(id, CANCEL).await;
        let (id, _) = raw.whole().await;
        raw.answer(id, b"full").await;
        raw.reset(id, NO_ERROR).await;
        // With the connection.
        let id = raw.request().await;
        raw.frame(HEADERS, END_HEADERS, id, OK).await;
        raw.frame(DATA, 0, id, b"half").await;
    };
    let fetches = async {
        let broken = || async {
            let error = client.fetch(&*server.url).await.unwrap_err();
            assert!(matches!(error, HttpClientError::Closed(_)), "{error:?}");
        };
        for _ in 0..4 {
            broken().await;
        }
        assert_eq!(client.fetch(&*server.url).await.unwrap().text(), "full");
        assert_eq!(client.fetch(&*server.url).await.unwrap().text(), "full");
        broken().await;
    };
    play(script, fetches).await;
}

#[squall::test(timeout = 60)]
async fn an_early_answer_ends_the_upload() {
    let server = Server::new().await;
    let client = client();
    let large = HttpRequest::post(&*server.url).body(vec![b'x'; 1_000_000]);
    let script = async {
        let mut raw = server.accept(b"").await;
        let id = raw.request().await;
        // 413, and no room for the body.
        raw.frame(HEADERS, END_HEADERS | END_STREAM, id, b"\x08\x03413").await;
        assert_eq!(raw.given_up(id).await, CANCEL);
        let id = raw.request().await;
        raw.answer(id, b"fine").await;
        // One that is no error goes down while the body goes up.
        let id = raw.request().await;
        raw.answer(id, b"early").await;
        raw.reset(id, NO_ERROR).await;
    };
    let fetches = async {
        assert_eq!(client.fetch(large.clone()).await.unwrap_err().code(), 413);
        assert_eq!(client.fetch(&*server.url).await.unwrap().text(), "fine");
        assert_eq!(client.fetch(large).await.unwrap().text(), "early");
    };
    play(script, fetches).await;
}

#[squall::test(timeout = 60)]
async fn a_stream_without_room_stalls_alone() {
    let server = Server::new().await;
    let client = client();
    let stalled = HttpRequest::post(&*server.url)
        .body(vec![b'x'; 1_000_000])
        .request_timeout(Duration::from_millis(300));
    // A window of 16 bytes for each stream.
    let script = async {
        let mut raw = server.accept(b"\0\x04\0\0\0\x10").await;
        let first = raw.request().await;
        let second = raw.request().await;
        raw.answer(second, b"fine").await;
        assert_eq!(raw.given_up(first).await, CANCEL);
    };
    let fetches = async {
        let (late, fine) = tokio::join!(client.fetch(stalled), client.fetch(&*server.url));
        assert!(late.unwrap_err().is_timeout());
        assert_eq!(fine.unwrap().text(), "fine");
    };
    play(script, fetches).await;
}

#[squall::test(timeout = 60)]
async fn a_silent_server_is_asked_whether_it_is_there() {
    let server = Server::new().await;
    let client = client();
    let script = async {
        let mut raw = server.accept(b"").await;
        let id = raw.request().await;
        raw.answer(id, b"once").await;
        let id = raw.request().await;
        let mut asked = None;
        let mut given_up = false;
        while asked.is_none() || !given_up {
            let (kind, flags, stream, payload) = raw.next().await.unwrap();
            match kind {
                PING if flags == 0 => asked = Some(payload),
                RST_STREAM => given_up = stream == id,
                _ => {}
            }
        }
        // It is.
        raw.frame(PING, 1, 0, &asked.unwrap()).await;
        let id = raw.request().await;
        raw.answer(id, b"again").await;
    };
    let fetches = async {
        assert_eq!(client.fetch(&*server.url).await.unwrap().text(), "once");
        let late = HttpRequest::get(&*server.url).request_timeout(Duration::from_millis(100));
        assert!(client.fetch(late).await.unwrap_err().is_timeout());
        assert_eq!(client.fetch(&*server.url).await.unwrap().text(), "again");
    };
    play(script, fetches).await;
}

#[squall::test(timeout = 60)]
async fn of_those_who_ask_at_once_one_connects() {
    // The first is given up before there is an answer, and another takes its place.
    let server = Server::new().await;
    let client = client();
    let accepted = Rc::new(RefCell::new(0));
    let script = async {
        let mut raw = server.accept(b"\0\x03\0\0\0\x64").await;
        *accepted.borrow_mut() += 1;
        for _ in 0..8 {
            let id = raw.request().await;
            raw.answer(id, b"here").await;
        }
    };
    let fetches = async {
        drop(client.fetch(&*server.url));
        let all = futures_util::future::join_all((0..8).map(|_| client.fetch(&*server.url))).await;
        assert!(all.into_iter().all(|response| response.unwrap().text() == "here"));
    };
    play(script, fetches).await;
    assert_eq!(*accepted.borrow(), 1);
    // Nobody listens: everybody learns it.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", gone.local_addr().unwrap());
    drop(gone);
    let all = futures_util::future::join_all((0..4).map(|_| client.fetch(&*url))).await;
    assert!(all.into_iter().all(|response| response.unwrap_err().is_connect()));
}

#[squall::test(timeout = 60)]
async fn connections_say_goodbye() {
    let server = Server::new().await;
    let script = async {
        let mut raw = server.accept(b"").await;
        let id = raw.request().await;
        raw.answer(id, b"fine").await;
        let (_, _, payload) = raw.raw.find(GOAWAY).await.expect("a goodbye");
        assert_eq!(&payload[4..8], [0; 4]);
        raw.closed().await;
    };
    let fetches = async {
        let client = client();
        assert_eq!(client.fetch(&*server.url).await.unwrap().text(), "fine");
        drop(client);
    };
    play(script, fetches).await;
}
