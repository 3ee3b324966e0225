//! The client of these tests: it sends bytes and compares bytes.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use squall::testing::TestServer;
use squall::web::{UrlSpec, any};
use squall::{Context, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) use crate::waiting::within;

/// How long a client waits for bytes before the test fails.
const DEADLINE: Duration = Duration::from_secs(10);

/// What [`Then::Open`] asks for.
pub(crate) fn probe() -> UrlSpec {
    get("/probe", async |ctx: &Context| {
        ctx.write("alive");
        Ok(())
    })
}

/// `/echo`: the request's body.
pub(crate) fn echo_route() -> UrlSpec {
    any("/echo", async |ctx: &Context| {
        ctx.write(ctx.request().body());
        Ok(())
    })
}

/// One row of a table.
pub(crate) struct Case {
    pub(crate) row: String,
    pub(crate) send: Vec<u8>,
    pub(crate) get: String,
    pub(crate) then: Then,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The server closes it, and nothing more has come.
    Close,
    /// Another request is answered on it, and nothing has come in between. Needs a server that answers `GET /probe`.
    Open,
}

/// A row after which the connection is closed.
pub(crate) fn closes(row: &str, send: impl AsRef<[u8]>, get: impl Into<String>) -> Case {
    Case { row: row.to_owned(), send: send.as_ref().to_vec(), get: get.into(), then: Then::Close }
}

/// A row after which the connection serves on.
pub(crate) fn stays(row: &str, send: impl AsRef<[u8]>, get: impl Into<String>) -> Case {
    Case { row: row.to_owned(), send: send.as_ref().to_vec(), get: get.into(), then: Then::Open }
}

/// A row whose request lacks its last byte when it is answered: that is announced, and the connection ends.
pub(crate) fn closes_early(row: &str, send: impl AsRef<[u8]>, get: impl AsRef<str>) -> Case {
    let send = send.as_ref();
    closes(row, &send[..send.len() - 1], closing(get.as_ref()))
}

/// The answer to a request whose body has not been read.
pub(crate) fn closing(response: &str) -> String {
    response.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)
}

/// Sends every row, whole and byte by byte, each on a connection of its own.
///
/// # Panics
/// With all rows that failed.
pub(crate) async fn table(server: &TestServer, cases: impl IntoIterator<Item = Case>) {
    let mut failures = String::new();
    let mut count = 0;
    for case in cases {
        count += 1;
        for piece in [usize::MAX, 1] {
            if let Err(problem) = case.run(server, piece).await {
                let _ = write!(failures, "\n--- {} (in pieces of {piece}): {problem}\n", case.row);
                break;
            }
        }
    }
    assert!(count > 0, "an empty table proves nothing");
    assert!(failures.is_empty(), "{failures}");
}

impl Case {
    async fn run(&self, server: &TestServer, piece: usize) -> Result<(), String> {
        let mut client = Client::connect(server).await;
        for bytes in self.send.chunks(piece) {
            client.send(bytes).await;
            tokio::task::yield_now().await;
        }
        client.try_expect(&self.get).await?;
        match self.then {
            Then::Close => client.try_closed().await,
            Then::Open => client.try_alive().await,
        }
    }
}

/// A connection to the server.
pub(crate) struct Client {
    stream: TcpStream,
    /// What has come and was not expected yet, with markers.
    got: Vec<u8>,
    /// Up to here it has been looked through for what markers replace.
    marked: usize,
    ended: bool,
}

impl Client {
    pub(crate) async fn connect(server: &TestServer) -> Self {
        Self::connect_to(server.port()).await
    }

    pub(crate) async fn connect_to(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Self { stream, got: Vec::new(), marked: 0, ended: false }
    }

    /// Sends, reading what comes meanwhile so that neither side waits for the other. A server that does not take it
    /// all is no failure here: its answer says why.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let (mut reader, mut writer) = self.stream.split();
        let (got, ended) = (&mut self.got, &mut self.ended);
        let write = writer.write_all(bytes.as_ref());
        tokio::pin!(write);
        let sent = async {
            loop {
                tokio::select! {
                    biased;
                    _ = &mut write => return,
                    read = reader.read_buf(got), if !*ended => *ended = !matches!(read, Ok(1..)),
                }
            }
        };
        within("the server to take what is sent", sent).await;
    }

    /// Reads exactly this, markers for what varies.
    pub(crate) async fn expect(&mut self, text: impl AsRef<str>) {
        if let Err(problem) = self.try_expect(text.as_ref()).await {
            panic!("{problem}");
        }
    }

    /// Asserts that the server closes and that nothing comes before.
    pub(crate) async fn closed(&mut self) {
        if let Err(problem) = self.try_closed().await {
            panic!("{problem}");
        }
    }

    /// Asserts that the connection serves another request and that nothing comes before its answer.
    pub(crate) async fn alive(&mut self) {
        if let Err(problem) = self.try_alive().await {
            panic!("{problem}");
        }
    }

    /// Asserts that the connection is reset, which no client takes for the end of a body.
    pub(crate) async fn reset(&mut self) {
        let mut rest = Vec::new();
        let end = within("a reset", self.stream.read_to_end(&mut rest)).await;
        assert_eq!(
            end.map_err(|error| error.kind()),
            Err(std::io::ErrorKind::ConnectionReset),
            "{}",
            shown(&rest)
        );
    }

    /// Waits for a [reset](Self::reset) without reading anything.
    pub(crate) async fn reset_unread(&mut self) {
        within("a reset", self.stream.ready(tokio::io::Interest::ERROR)).await.expect("a socket");
        let error = self.stream.take_error().expect("a socket");
        assert_eq!(error.map(|error| error.kind()), Some(std::io::ErrorKind::ConnectionReset));
    }

    /// All that comes until the end.
    pub(crate) async fn rest(&mut self) -> String {
        while self.read_some().await.expect("an end of the stream") {}
        String::from_utf8_lossy(&std::mem::take(&mut self.got)).into_owned()
    }

    /// The next head, with its empty line and with markers.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(at) = find(&self.got, b"\r\n\r\n") {
                let rest = self.got.split_off(at + 4);
                let head = std::mem::replace(&mut self.got, rest);
                return String::from_utf8(head).expect("a head is ASCII");
            }
            assert!(
                self.read_some().await.expect("a head"),
                "the end instead of a head: {}",
                shown(&self.got)
            );
        }
    }

    /// The next line, with its end and with markers.
    pub(crate) async fn line(&mut self) -> String {
        String::from_utf8(self.bytes_line().await).expect("a line of text")
    }

    /// The data of the next chunk; none at the last.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let line = self.line().await;
        let length = usize::from_str_radix(line.trim_end(), 16).expect("the size of a chunk");
        self.read_until(length + 2).await;
        let rest = self.got.split_off(length + 2);
        let mut chunk = std::mem::replace(&mut self.got, rest);
        chunk.truncate(length);
        chunk
    }

    /// Reads so many bytes and forgets them.
    pub(crate) async fn take(&mut self, mut bytes: usize) {
        while bytes > 0 {
            self.read_until(1).await;
            let used = self.got.len().min(bytes);
            self.got.drain(..used);
            self.marked = 0;
            bytes -= used;
        }
    }

    async fn bytes_line(&mut self) -> Vec<u8> {
        loop {
            if let Some(at) = find(&self.got, b"\n") {
                let rest = self.got.split_off(at + 1);
                self.marked = 0;
                return std::mem::replace(&mut self.got, rest);
            }
            self.read_until(self.got.len() + 1).await;
        }
    }

    async fn read_until(&mut self, length: usize) {
        while self.got.len() < length {
            let more = self.read_some().await.expect("more bytes");
            assert!(more, "the end, after {}", shown(&self.got));
        }
    }

    /// Says to the server that nothing more comes, as a client that leaves does.
    pub(crate) async fn leave(mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Reads for a while; true when the server has closed meanwhile.
    pub(crate) async fn ended_early(&mut self, pause: Duration) -> bool {
        let reading = async { while self.read_some().await.unwrap_or(false) {} };
        tokio::time::timeout(pause, reading).await.is_ok()
    }

    /// Says that nothing more comes, and goes on reading.
    pub(crate) async fn half_close(&mut self) {
        self.stream.shutdown().await.expect("the connection is open");
    }

    async fn try_expect(&mut self, text: &str) -> Result<(), String> {
        let text = text.as_bytes();
        loop {
            if self.got.starts_with(text) {
                self.got.drain(..text.len());
                self.marked = 0;
                return Ok(());
            }
            // A partial Date line may be longer than its marker.
            let hopeless = self.got.len() >= text.len() + 64;
            if hopeless || !self.read_some().await.unwrap_or(false) {
                let end = if self.ended { "" } else { " (and it is still open)" };
                return Err(format!("expected\n{}\ngot{end}\n{}", shown(text), shown(&self.got)));
            }
        }
    }

    async fn try_closed(&mut self) -> Result<(), String> {
        while self.read_some().await? {}
        if self.got.is_empty() {
            Ok(())
        } else {
            Err(format!("more than expected came:\n{}", shown(&self.got)))
        }
    }

    async fn try_alive(&mut self) -> Result<(), String> {
        self.send("GET /probe HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let expected = ok("alive");
        self.try_expect(&expected).await.map_err(|problem| format!("the connection should go on: {problem}"))
    }

    /// A line may have come in two pieces; none that is replaced is longer than what is looked at twice.
    fn mark(&mut self) {
        let from = self.marked.min(self.got.len()).saturating_sub(100);
        mark(&mut self.got, from);
        self.marked = self.got.len();
    }

    /// Reads what is there; false at the end.
    async fn read_some(&mut self) -> Result<bool, String> {
        if self.ended {
            return Ok(false);
        }
        match tokio::time::timeout(DEADLINE, self.stream.read_buf(&mut self.got)).await {
            Ok(Ok(1..)) => {
                self.mark();
                Ok(true)
            }
            // A reset is an end too, and the only one a cut response may have.
            Ok(_) => {
                self.ended = true;
                self.mark();
                Ok(false)
            }
            Err(_) => Err(format!("nothing more came in {DEADLINE:?}, after\n{}", shown(&self.got))),
        }
    }
}

/// What a route that writes `body` to `GET` answers.
pub(crate) fn ok(body: &str) -> String {
    ok_with("", body)
}

/// [`ok`] with lines, each ended by CRLF, behind the Content-Length.
pub(crate) fn ok_with(lines: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\nDate: <date>\r\n\
         Etag: <etag>\r\nContent-Length: {}\r\n{lines}\r\n{body}",
        body.len()
    )
}

/// What a route that writes `body` to a method other than `GET` and `HEAD` answers: as [`ok`] without entity tag.
pub(crate) fn ok_untagged(body: &str) -> String {
    ok(body).replace("Etag: <etag>\r\n", "")
}

/// An error page; `lines` stand before the Content-Length.
pub(crate) fn page(status: &str, lines: &str) -> String {
    let body = page_body(status);
    format!(
        "HTTP/1.1 {status}\r\nServer: <server>\r\nContent-Type: text/html; charset=UTF-8\r\nDate: <date>\r\n\
         {lines}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// [`page`] with the cause behind the reason.
pub(crate) fn page_saying(status: &str, lines: &str, cause: &str) -> String {
    let (without, with) =
        (page_body(status), page_body(status).replace("</body>", &format!(": {cause}</body>")));
    page(status, lines).replace(&without, &with).replace(
        &format!("Content-Length: {}\r\n", without.len()),
        &format!("Content-Length: {}\r\n", with.len()),
    )
}

/// `<html><title>404: Not Found</title>...`
pub(crate) fn page_body(status: &str) -> String {
    let (code, reason) = status.split_once(' ').expect("code and reason");
    format!("<html><title>{code}: {reason}</title><body>{code}: {reason}</body></html>")
}

/// What the connection itself answers to what is not a request that it takes.
pub(crate) fn refused(status: &str, text: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}\n",
        text.len() + 1
    )
}

/// [`refused`] with 400.
pub(crate) fn bad(text: &str) -> String {
    refused("400 Bad Request", text)
}

/// What a body over this limit is answered with.
pub(crate) fn body_too_large(limit: u64) -> String {
    refused("413 Payload Too Large", &format!("Request body too large: the limit is {limit} bytes"))
}

/// What a head over this limit is answered with.
pub(crate) fn head_too_large(limit: usize) -> String {
    let text = format!("Request header too large: the limit is {limit} bytes");
    refused("431 Request Header Fields Too Large", &text)
}

/// What a target over this limit is answered with (RFC 9112 §3).
pub(crate) fn target_too_long(limit: usize) -> String {
    refused("414 URI Too Long", &format!("Request target too long: the limit is {limit} bytes"))
}

/// What more header lines than this limit are answered with.
pub(crate) fn too_many_headers(limit: usize) -> String {
    refused("431 Request Header Fields Too Large", &format!("Too many header fields: the limit is {limit}"))
}

/// Replaces what varies from run to run by markers.
fn mark(bytes: &mut Vec<u8>, from: usize) {
    mark_line(bytes, from, b"\r\nDate: ", b"<date>", |v| v.len() == 29 && v.ends_with(b" GMT"));
    mark_line(bytes, from, b"\r\nEtag: ", b"<etag>", |v| {
        v.len() == 18
            && v[0] == b'"'
            && v[17] == b'"'
            && v[1..17].iter().all(|b| b"0123456789abcdef".contains(b))
    });
    let server = concat!("squall/", env!("CARGO_PKG_VERSION")).as_bytes();
    mark_line(bytes, from, b"\r\nServer: ", b"<server>", |v| v == server);
}

fn mark_line(
    bytes: &mut Vec<u8>,
    mut from: usize,
    name: &[u8],
    marker: &[u8],
    is_one: impl Fn(&[u8]) -> bool,
) {
    while let Some(at) = find(&bytes[from..], name) {
        let start = from + at + name.len();
        let Some(length) = find(&bytes[start..], b"\r\n") else { return };
        if is_one(&bytes[start..start + length]) {
            bytes.splice(start..start + length, marker.iter().copied());
        }
        from = start;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}

fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(3000)];
    format!("    {}", cut.escape_ascii().to_string().replace("\\r\\n", "\\r\\n\n    "))
}

#[test]
fn markers_replace_what_varies_and_nothing_else() {
    let version = env!("CARGO_PKG_VERSION");
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nServer: squall/{version}\r\nDate: Sun, 27 Jan 2013 18:43:20 GMT\r\nEtag: \"mine\"\r\n\r\n\
         HTTP/1.1 200 OK\r\nServer: squall\r\nEtag: \"0123456789abcdef\"\r\nDate: today\r\n\r\nDate"
    )
    .into_bytes();
    mark(&mut bytes, 0);
    let expected = "HTTP/1.1 200 OK\r\nServer: <server>\r\nDate: <date>\r\nEtag: \"mine\"\r\n\r\n\
         HTTP/1.1 200 OK\r\nServer: squall\r\nEtag: <etag>\r\nDate: today\r\n\r\nDate";
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}
