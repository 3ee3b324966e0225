//! Both ends of a proxy: a client that sends bytes, and an upstream that follows a script and keeps what it was sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use squall::testing::{TestServer, serve};
use squall::web::proxy;
use squall::{Application, url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How long an end waits before the test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// What the upstream answers when the script says nothing.
pub(crate) const OK: &str = "HTTP/1.1 200 OK|Content-Length: 2||ok";

/// Bytes as rows write them: `|` is CR LF, `│` (U+2502) is `|`, and every character up to U+00FF is one octet.
pub(crate) fn octets(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '|' => bytes.extend_from_slice(b"\r\n"),
            '│' => bytes.push(b'|'),
            c => bytes.push(u8::try_from(u32::from(c)).expect("a row is written in octets")),
        }
    }
    bytes
}

/// The other way round, with the date left out.
pub(crate) fn text(bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|&b| if b == b'|' { '│' } else { char::from(b) }).collect();
    let mut lines: Vec<_> = text.split("\r\n").collect();
    for line in &mut lines {
        if line.starts_with("Date: ") && line.ends_with(" GMT") {
            *line = "Date: <date>";
        }
    }
    lines.join("|")
}

/// One answer of the upstream.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    /// It comes when the head of the request is there.
    pub(crate) early: bool,
    /// The upstream closes after it.
    pub(crate) close: bool,
}

impl Reply {
    pub(crate) fn new(text: &str) -> Self {
        Self { bytes: octets(text), early: false, close: false }
    }

    pub(crate) fn then_close(self) -> Self {
        Self { close: true, ..self }
    }

    pub(crate) fn early(self) -> Self {
        Self { early: true, ..self }
    }
}

/// A request that has come to the upstream, as far as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The count of connections before this one.
    pub(crate) connection: usize,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) replies: Rc<RefCell<VecDeque<Reply>>>,
    pub(crate) seen: Rc<RefCell<Vec<Seen>>>,
    connections: Rc<RefCell<Vec<tokio::task::AbortHandle>>>,
}

impl Script {
    pub(crate) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let script = Self::default();
        script.replies.borrow_mut().extend(replies);
        script
    }

    /// Serves until the test ends.
    pub(crate) fn serve(&self, listener: TcpListener) {
        let script = self.clone();
        tokio::task::spawn_local(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let task = tokio::task::spawn_local(script.clone().connection(stream, connection));
                script.connections.borrow_mut().push(task.abort_handle());
            }
        });
    }

    /// Starts anew, with no connection left.
    pub(crate) fn reset(&self, replies: impl IntoIterator<Item = Reply>) {
        self.connections.take().iter().for_each(tokio::task::AbortHandle::abort);
        self.seen.borrow_mut().clear();
        let mut all = self.replies.borrow_mut();
        all.clear();
        all.extend(replies);
    }

    async fn connection(self, mut stream: TcpStream, connection: usize) {
        let mut buffer = Vec::new();
        loop {
            let head = loop {
                if let Some(end) = find(&buffer, b"\r\n\r\n") {
                    break end + 4;
                }
                if !read_some(&mut stream, &mut buffer).await {
                    return self.keep(connection, buffer);
                }
            };
            let reply = self.replies.borrow_mut().pop_front().unwrap_or_else(|| Reply::new(OK));
            if reply.early && stream.write_all(&reply.bytes).await.is_err() {
                return;
            }
            let end = loop {
                match body_end(&buffer, head) {
                    Some(end) => break end,
                    None if read_some(&mut stream, &mut buffer).await => {}
                    None => return self.keep(connection, buffer),
                }
            };
            let rest = buffer.split_off(end);
            self.keep(connection, std::mem::replace(&mut buffer, rest));
            if !reply.early && stream.write_all(&reply.bytes).await.is_err() {
                return;
            }
            if reply.close {
                let _ = stream.shutdown().await;
                return;
            }
        }
    }

    fn keep(&self, connection: usize, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.seen.borrow_mut().push(Seen { connection, bytes });
        }
    }

    /// What came, in this notation, one after the other.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.borrow().iter().map(|seen| text(&seen.bytes)).collect()
    }

    /// On which connection each came.
    pub(crate) fn connections(&self) -> Vec<usize> {
        self.seen.borrow().iter().map(|seen| seen.connection).collect()
    }
}

/// A proxy before a scripted upstream.
pub(crate) struct Setup {
    pub(crate) front: TestServer,
    pub(crate) script: Script,
    upstream: String,
}

impl Setup {
    pub(crate) async fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap().to_string();
        let script = Script::new(replies);
        script.serve(listener);
        let proxy = proxy(format!("http://{upstream}"));
        // One pool for both: what is no path is matched by no pattern.
        let app = Application::new([url("/.*", proxy.clone())]).fallback(proxy);
        Self { front: serve(app), script, upstream }
    }

    /// Host and port of the upstream.
    pub(crate) fn upstream(&self) -> String {
        self.upstream.clone()
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.front.port()).await
    }
}

/// A client that sends bytes.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// How long it waits for the end.
    pub(crate) patience: Duration,
    got: Vec<u8>,
}

/// Stands behind what came, when that was not all in time.
pub(crate) const NO_END: &str = "<and no end>";

impl Client {
    pub(crate) async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, patience: DEADLINE, got: Vec::new() }
    }

    /// A server that does not take it all says why.
    pub(crate) async fn send(&mut self, row: &str) {
        let _ = self.stream.write_all(&octets(row)).await;
    }

    /// What comes until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut got = std::mem::take(&mut self.got);
        let reading = async { while read_some(&mut self.stream, &mut got).await {} };
        if tokio::time::timeout(self.patience, reading).await.is_err() {
            got.extend_from_slice(NO_END.as_bytes());
        }
        got
    }

    /// Reads up to and with `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let reading = take_until(&mut self.stream, &mut self.got, end);
        let read = tokio::time::timeout(DEADLINE, reading).await.expect("an answer comes");
        read.unwrap_or_else(|all| format!("{all}<end>"))
    }
}

/// Reads up to and with `end`; what came instead, if the other side closes before.
pub(crate) async fn take_until(
    stream: &mut TcpStream,
    got: &mut Vec<u8>,
    end: &str,
) -> Result<String, String> {
    let end = octets(end);
    loop {
        if let Some(at) = find(got, &end) {
            let rest = got.split_off(at + end.len());
            return Ok(text(&std::mem::replace(got, rest)));
        }
        if !read_some(stream, got).await {
            return Err(text(&std::mem::take(got)));
        }
    }
}

pub(crate) async fn read_some(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    matches!(stream.read_buf(buffer).await, Ok(1..))
}

pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The first value of a field.
pub(crate) fn field(head: &[u8], name: &str) -> Option<String> {
    let head: String = head.iter().map(|&byte| char::from(byte)).collect();
    head.split("\r\n").skip(1).find_map(|line| {
        let (own, value) = line.split_once(':')?;
        own.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// Where a request ends whose head ends at `head`; `None` when it is not there yet.
pub(crate) fn body_end(bytes: &[u8], head: usize) -> Option<usize> {
    if field(&bytes[..head], "Transfer-Encoding").is_some() {
        let mut at = head;
        loop {
            let line = at + find(&bytes[at..], b"\r\n")?;
            let size = std::str::from_utf8(&bytes[at..line]).ok()?.split(';').next()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            at = line + 2;
            if size == 0 {
                loop {
                    let line = at + find(&bytes[at..], b"\r\n")?;
                    let is_last = line == at;
                    at = line + 2;
                    if is_last {
                        return Some(at);
                    }
                }
            }
            at += size + 2;
            if at > bytes.len() {
                return None;
            }
        }
    }
    let length: usize = field(&bytes[..head], "Content-Length").map_or(0, |length| length.parse().unwrap());
    (bytes.len() >= head + length).then_some(head + length)
}
