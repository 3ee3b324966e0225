//! What the fuzz target in `fuzz/` calls, of frames that a client sends. Not a public interface.
//!
//! Any bytes whatever are a conversation with a server on a socket: the connection ends soon after the client has said its last,
//! no request stays with its delegate, and each that was begun was begun once. The first byte says how the rest is read:
//! as it is, after the preface, or as frames whose lengths are right.

use std::cell::Cell;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::options::Http2Options;
use super::server::{Server, serve};
use super::set::ConnectionSet;
use crate::http2::server::__fuzz::framed;
use crate::httputil::{
    BodyKind, ConnectionLimits, HttpHeaders, HttpMessageDelegate, HttpServerConnectionDelegate,
    HttpServerRequest, Pending, RequestContext, ResponseStartLine, Started,
};
use crate::ioloop::IoLoop;
use crate::iostream::IoStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Generous: only a connection that hangs comes near it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What must come of every conversation.
///
/// # Panics
/// When it does not.
pub fn frames(data: &[u8]) {
    thread_local! {
        static LOOP: IoLoop = IoLoop::new().expect("a loop");
    }
    let [how, data @ ..] = data else { return };
    let input = match how % 4 {
        0 => data.to_vec(),
        1 => [PREFACE, data].concat(),
        _ => [PREFACE, &framed(data)].concat(),
    };
    let io_loop = LOOP.with(Clone::clone);
    let told = io_loop.run_sync(converse(input, how & 4 != 0), Some(PATIENCE));
    told.expect("the connection ends when the client has closed its side");
}

async fn converse(input: Vec<u8>, in_pieces: bool) {
    let (client, server_end) = UnixStream::pair().expect("a pair of sockets");
    let stream = IoStream::from_std_unix(server_end).expect("a stream");
    let open = Rc::new(Cell::new(0));
    let limits = ConnectionLimits {
        max_header_size: 4096,
        max_header_count: 20,
        max_body_size: 1000,
        ..ConnectionLimits::default()
    };
    let server = Rc::new(Server {
        delegate: Rc::new(Echo { open: Rc::clone(&open) }),
        limits,
        options: Http2Options::new(),
        set: ConnectionSet::of_server(),
    });
    let set = Rc::clone(&server.set);
    client.set_nonblocking(true).expect("a socket that does not block");
    let client = tokio::net::UnixStream::from_std(client).expect("a stream");
    let (mut reader, mut writer) = client.into_split();
    let talk = async {
        let size = if in_pieces { 7 } else { input.len().max(1) };
        for piece in input.chunks(size) {
            // The server may have had enough of it.
            if writer.write_all(piece).await.is_err() {
                break;
            }
        }
        let _ = writer.shutdown().await;
    };
    let listen = async {
        let mut answers = Vec::new();
        let _ = reader.read_to_end(&mut answers).await;
    };
    tokio::join!(serve(stream, server, RequestContext::default()), talk, listen);
    assert_eq!(set.len(), 0, "the connection is in the set of the open ones");
    assert_eq!(open.get(), 0, "requests are kept after the end");
}

/// Answers each request with its body.
struct Echo {
    open: Rc<Cell<i32>>,
}

struct Message {
    request: HttpServerRequest,
    body: Vec<u8>,
    _open: Open,
}

/// Counts a request for as long as it is kept.
struct Open(Rc<Cell<i32>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl HttpServerConnectionDelegate for Echo {
    fn start_request(&self, request: HttpServerRequest, _body: BodyKind) -> Started {
        assert!(!request.method().as_str().is_empty());
        self.open.set(self.open.get() + 1);
        Started::Message(Box::new(Message { request, body: Vec::new(), _open: Open(Rc::clone(&self.open)) }))
    }
}

impl HttpMessageDelegate for Message {
    fn data_received(&mut self, chunk: Bytes) -> Pending<'_> {
        self.body.extend_from_slice(&chunk);
        assert!(self.body.len() <= 1000, "a body is longer than is allowed");
        None
    }

    fn finish(self: Box<Self>) -> Pending<'static> {
        let connection = self.request.connection();
        let start = ResponseStartLine { status: 200, reason: "OK" };
        // The client may have gone.
        let _ = connection.write_headers(start, &HttpHeaders::new(), &self.body);
        let _ = connection.finish();
        None
    }
}
