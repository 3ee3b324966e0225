//! Nothing is answered wrongly and nothing is lost over many requests: clients of three kinds send 20,000 each, at once,
//! to handlers that answer, fail, panic and stall at random. Every answer is compared byte for byte; in the end the
//! memory and the open files of the server are what they were.
//!
//! The server is a process of its own, this binary started anew, so that what the system says of it is about nothing
//! else. The requests follow from fixed seeds; only how they interleave differs from run to run.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::panic_any;
use std::rc::Rc;
use std::time::{Duration, Instant};

use squall::ioloop::IoLoop;
use squall::netutil::BindOptions;
use squall::{Application, Context, HttpError, HttpServer, RequestHandler, Result, get, handler, post, url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::server::Server;

/// Requests of each kind of client.
const REQUESTS: usize = 20_000;

/// Requests of each kind of client before the first measurement: all code has run then, and the server has had to do
/// with as much at once as it will ever have.
const WARM_UP: usize = 5_000;

/// Clients of each kind, at once.
const CLIENTS: usize = 5;

/// Requests that a pipelining client sends at once.
const DEPTH: usize = 16;

/// How much more memory the server may have in the end: for the allocator, which gives back no page of which a single
/// block is in use, and took up to 520 KB more from run to run (and 44 KB more over 300,000 requests). It is 17
/// bytes per request, where malloc's smallest block has 32, and 280 for each of the rarest kind.
const GROWTH_KB: usize = 1_024;

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const TESTS: &[(&str, fn())] = &[("soak", soak)];

fn soak() {
    if cfg!(not(target_os = "linux")) {
        return println!("test soak ... SKIPPED: only Linux tells how much memory another process has");
    }
    let server = Server::start("soak");
    let files = server.files();
    load(&server, WARM_UP, 1);
    wait_for("open files after the warm-up", || server.files(), files);
    let memory = server.memory_kb();

    let began = Instant::now();
    load(&server, REQUESTS, 2);
    let took = began.elapsed();
    wait_for("open files in the end", || server.files(), files);
    wait_for("KB of memory in the end", || server.memory_kb(), memory + GROWTH_KB);
    println!(
        "test soak ... ok: {} requests in {took:.1?}, memory {memory} KB before and {} KB after, {files} open files",
        3 * REQUESTS,
        server.memory_kb()
    );
}

/// Has all clients send their share; returns when every request has been answered as it must be.
fn load(server: &Server, requests: usize, round: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    let block: Rc<[u8]> = block().into();
    let mut clients = Vec::new();
    for mode in [Mode::KeepAlive, Mode::Pipelined, Mode::OneShot] {
        for number in 0..CLIENTS {
            let seed = round * 1000 + mode as u64 * 100 + number as u64;
            let client = Client::new(mode, server.address, seed, block.clone());
            clients.push(tasks.spawn_local(client.run(requests / CLIENTS)));
        }
    }
    tasks.block_on(&runtime, async {
        for client in clients {
            client.await.unwrap();
        }
    });
}

// ---- the server

impl Server {
    fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the server runs").count()
    }

    /// What it has written to, in memory or swapped out; not what the system read from files for it.
    fn memory_kb(&self) -> usize {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let rollup = std::fs::read_to_string(path).expect("the server runs");
        let kb = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap()
        };
        kb("Anonymous:") + kb("Swap:")
    }
}

/// Waits until a number is no higher than `limit`: the server sees that a client has left only a little later.
fn wait_for(what: &str, number: impl Fn() -> usize, limit: usize) {
    let began = Instant::now();
    while number() > limit {
        assert!(began.elapsed() < DEADLINE, "{what}: {} instead of {limit} at most", number());
        std::thread::sleep(Duration::from_millis(20));
    }
}

const PANIC: &str = "a handler of the soak test panics";

pub(crate) fn serve() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&PANIC) {
            default_hook(info);
        }
    }));
    // The end of the standard input is the end of the test, however it ended.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let server = HttpServer::new(app);
    server.listen_on(0, &BindOptions::new().address("127.0.0.1")).unwrap();
    println!("{}", server.local_addrs()[0]);
    IoLoop::current().start().unwrap();
}

fn app() -> Application {
    let block: Rc<[u8]> = block().into();
    Application::new([
        url("/block/{from}/{size}", Block { block: block.clone() }),
        url("/stall/{milliseconds}/{from}/{size}", Stall { block: block.clone() }),
        url("/chunks/{from}/{size}/{count}", Chunks { block: block.clone() }),
        url("/cut/{from}/{size}/{how}", Cut { block }),
        post("/echo", async |ctx: &Context| {
            ctx.write(ctx.request().body());
            Ok(())
        }),
        get("/http/{status}", async |ctx: &Context| {
            ctx.write("dropped");
            Err(HttpError::new(ctx.path_arg("status")?).into())
        }),
        get("/error", async |ctx: &Context| {
            ctx.write("dropped");
            fail()
        }),
        get("/panic", async |ctx: &Context| {
            ctx.write("dropped");
            panic_any(PANIC)
        }),
    ])
}

#[derive(Clone)]
struct Block {
    block: Rc<[u8]>,
}

#[handler]
impl RequestHandler for Block {
    async fn get(&mut self, ctx: &Context, from: usize, size: usize) -> Result {
        ctx.write(&self.block[from..from + size]);
        Ok(())
    }
}

#[derive(Clone)]
struct Stall {
    block: Rc<[u8]>,
}

#[handler]
impl RequestHandler for Stall {
    async fn get(&mut self, ctx: &Context, milliseconds: u64, from: usize, size: usize) -> Result {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        ctx.write(&self.block[from..from + size]);
        Ok(())
    }
}

#[derive(Clone)]
struct Chunks {
    block: Rc<[u8]>,
}

#[handler]
impl RequestHandler for Chunks {
    async fn get(&mut self, ctx: &Context, from: usize, size: usize, count: usize) -> Result {
        for piece in self.block[from..from + size].chunks(size.div_ceil(count).max(1)) {
            ctx.write(piece);
            ctx.flush().await?;
        }
        Ok(())
    }
}

/// Fails when a part of the response is out already.
#[derive(Clone)]
struct Cut {
    block: Rc<[u8]>,
}

#[handler]
impl RequestHandler for Cut {
    async fn get(&mut self, ctx: &Context, from: usize, size: usize, how: &str) -> Result {
        ctx.write(&self.block[from..from + size]);
        ctx.flush().await?;
        ctx.write("dropped");
        if how == "panic" {
            panic_any(PANIC);
        }
        fail()
    }
}

fn fail() -> Result {
    let _: u32 = "no number".parse()?;
    Ok(())
}

// ---- what is asked and answered

/// What all bodies are parts of, the same in both processes: long enough for any part, and without a pattern, so that
/// a part that is out of place shows.
fn block() -> Vec<u8> {
    let mut random = Random(1);
    (0..BLOCK / 8).flat_map(|_| random.next().to_le_bytes()).collect()
}

const BLOCK: usize = 1 << 18;
const LARGEST: usize = 100_000;

/// Marsaglia's xorshift64, multiplied.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 32) as usize) % end
    }

    /// Mostly small, as most bodies are, sometimes none at all.
    fn size(&mut self) -> usize {
        match self.below(16) {
            0 => self.below(LARGEST + 1),
            1..=3 => self.below(20_000),
            _ => self.below(2_000),
        }
    }
}

struct Request {
    path: String,
    /// Where in the block the body of the answer is; for `POST`, that of the request too.
    from: usize,
    size: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Streamed,
    Echo { chunked: bool },
    Status(u16),
    Cut,
}

impl Request {
    fn any(random: &mut Random) -> Self {
        let size = random.size();
        let from = random.below(BLOCK - size);
        let (path, kind) = match random.below(16) {
            0 => ("/error".to_owned(), Kind::Status(500)),
            1 => ("/http/404".to_owned(), Kind::Status(404)),
            2 => ("/http/409".to_owned(), Kind::Status(409)),
            3 | 4 => ("/panic".to_owned(), Kind::Status(500)),
            5 => (format!("/stall/{}/{from}/{size}", random.below(21)), Kind::Whole),
            6 | 7 => ("/echo".to_owned(), Kind::Echo { chunked: random.below(2) == 0 }),
            8 | 9 => (format!("/chunks/{from}/{size}/{}", 1 + random.below(8)), Kind::Streamed),
            // With at least one byte, as nothing to flush is nothing sent.
            10 if size > 0 => {
                let how = ["error", "panic"][random.below(2)];
                (format!("/cut/{from}/{size}/{how}"), Kind::Cut)
            }
            _ => (format!("/block/{from}/{size}"), Kind::Whole),
        };
        Self { path, from, size, kind }
    }

    fn body<'a>(&self, block: &'a [u8]) -> &'a [u8] {
        &block[self.from..self.from + self.size]
    }

    fn encode(&self, how: How, block: &[u8], out: &mut Vec<u8>) {
        let (version, connection) = match how {
            How::Keep => ("1.1", ""),
            How::Close => ("1.1", "Connection: close\r\n"),
            How::Old => ("1.0", ""),
        };
        let method = if let Kind::Echo { .. } = self.kind { "POST" } else { "GET" };
        let mut head = format!(
            "{method} {} HTTP/{version}\r\nHost: localhost\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n{connection}",
            self.path
        );
        let body = self.body(block);
        match self.kind {
            Kind::Echo { chunked: true } if how != How::Old => {
                out.extend_from_slice((head + "Transfer-Encoding: chunked\r\n\r\n").as_bytes());
                for piece in body.chunks(3000) {
                    out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    out.extend_from_slice(piece);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\n\r\n");
            }
            Kind::Echo { .. } => {
                let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(body);
            }
            _ => out.extend_from_slice((head + "\r\n").as_bytes()),
        }
    }

    fn check(&self, response: &Response, how: How, block: &[u8]) -> Result<(), String> {
        let page; // of an error
        let (status, body) = match self.kind {
            Kind::Status(status) => {
                let reason = http::StatusCode::from_u16(status).unwrap().canonical_reason().unwrap();
                page =
                    format!("<html><title>{status}: {reason}</title><body>{status}: {reason}</body></html>");
                (status, page.as_bytes())
            }
            _ => (200, self.body(block)),
        };
        let same = match self.kind {
            Kind::Cut => body.starts_with(&response.body),
            _ => response.body == body,
        };
        let framing = match (self.kind, how) {
            // Nothing is flushed of no body.
            (Kind::Streamed | Kind::Cut, _) if self.size == 0 => Framing::Length,
            (Kind::Streamed | Kind::Cut, How::Old) => Framing::End,
            (Kind::Streamed | Kind::Cut, _) => Framing::Chunked,
            _ => Framing::Length,
        };
        if response.status != status {
            return Err(format!("status {} instead of {status}", response.status));
        }
        if !same {
            let (got, wanted) = (response.body.len(), body.len());
            return Err(format!("another body: {got} bytes instead of {wanted}"));
        }
        if response.framing != framing {
            return Err(format!("{:?} instead of {framing:?}", response.framing));
        }
        if response.says_close != (how == How::Close) {
            return Err(format!("Connection: close is {}", response.says_close));
        }
        if response.complete == (self.kind == Kind::Cut) {
            return Err(format!("complete is {}", response.complete));
        }
        Ok(())
    }
}

// ---- the clients

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// One connection, one request after the other, as curl does with several addresses.
    KeepAlive,
    /// Several requests in one go.
    Pipelined,
    /// A connection for each request, half of them in HTTP/1.0.
    OneShot,
}

/// What a request says about its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Keep,
    Close,
    /// Nothing, in HTTP/1.0.
    Old,
}

struct Client {
    mode: Mode,
    server: SocketAddr,
    seed: u64,
    random: Random,
    block: Rc<[u8]>,
    connection: Option<Connection>,
}

impl Client {
    fn new(mode: Mode, server: SocketAddr, seed: u64, block: Rc<[u8]>) -> Self {
        Self { mode, server, seed, random: Random::new(seed), block, connection: None }
    }

    async fn run(mut self, mut requests: usize) {
        while requests > 0 {
            let depth = match self.mode {
                Mode::Pipelined => requests.min(1 + self.random.below(DEPTH)),
                _ => 1,
            };
            requests -= depth;
            let batch: Vec<Request> = (0..depth).map(|_| Request::any(&mut self.random)).collect();
            let mut left = &batch[..];
            let mut at_once = depth;
            while !left.is_empty() {
                let sent = &left[..left.len().min(at_once)];
                let answered = tokio::time::timeout(DEADLINE, self.exchange(sent)).await;
                let answered = answered.unwrap_or_else(|_| Err("no answer".to_owned()));
                let answered = answered.unwrap_or_else(|problem| {
                    let paths: Vec<&str> = sent.iter().map(|request| &*request.path).collect();
                    panic!("{:?} client with seed {}: {problem}; sent: {paths:#?}", self.mode, self.seed)
                });
                if answered == 0 {
                    at_once = 1;
                }
                left = &left[answered..];
            }
        }
    }

    /// Sends these requests in one go and compares the answers; returns how many came. Fewer than all came when one
    /// was cut, as it was to be: it is the last then, and the others have to be sent again.
    async fn exchange(&mut self, batch: &[Request]) -> Result<usize, String> {
        let how = match self.mode {
            Mode::KeepAlive | Mode::Pipelined => How::Keep,
            Mode::OneShot => [How::Close, How::Old][self.random.below(2)],
        };
        let mut bytes = Vec::new();
        for request in batch {
            request.encode(how, &self.block, &mut bytes);
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.server).await?,
        };
        let Connection { reader, writer } = &mut connection;
        let write = writer.write_all(&bytes);
        let read = read_answers(reader, batch, how, &self.block);
        let (written, read) = tokio::join!(write, read);
        let (answered, open) = read?;
        if !open {
            return Ok(answered);
        }
        written.map_err(|error| format!("cannot send: {error}"))?;
        match how {
            How::Keep => self.connection = Some(connection),
            How::Close | How::Old => connection.reader.end().await?,
        }
        Ok(answered)
    }
}

/// How many answers came, and whether the connection goes on.
async fn read_answers(
    reader: &mut Reader,
    batch: &[Request],
    how: How,
    block: &[u8],
) -> Result<(usize, bool), String> {
    for (at, request) in batch.iter().enumerate() {
        let cut_ahead = batch[at..].iter().any(|request| request.kind == Kind::Cut);
        let response = match reader.response().await? {
            // A connection that is cut with requests unread is reset, and with it goes what is on its way, even of
            // earlier answers (RFC 9112, section 9.6). So the client has to ask again, and not all at once.
            None if cut_ahead && batch.len() > 1 => {
                return Ok((at + usize::from(request.kind == Kind::Cut), false));
            }
            None => return Err(format!("{}: the end instead of an answer", request.path)),
            Some(response) if !response.complete && request.kind != Kind::Cut && cut_ahead => {
                return Ok((at, false));
            }
            Some(response) => response,
        };
        request.check(&response, how, block).map_err(|problem| format!("{}: {problem}", request.path))?;
        if request.kind == Kind::Cut {
            return Ok((at + 1, false));
        }
    }
    Ok((batch.len(), true))
}

struct Connection {
    reader: Reader,
    writer: OwnedWriteHalf,
}

impl Connection {
    async fn open(server: SocketAddr) -> Result<Self, String> {
        assert_eq!(server.ip(), Ipv4Addr::LOCALHOST);
        let stream = TcpStream::connect(server).await.map_err(|error| format!("cannot connect: {error}"))?;
        stream.set_nodelay(true).unwrap();
        let (stream, writer) = stream.into_split();
        Ok(Self { reader: Reader { stream, buffer: Vec::new(), at: 0 }, writer })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length,
    Chunked,
    End,
}

struct Response {
    status: u16,
    framing: Framing,
    says_close: bool,
    body: Vec<u8>,
    /// False when the connection ended before the body did.
    complete: bool,
}

/// A reader of its own, so that a mistake of squall's cannot hide here.
struct Reader {
    stream: OwnedReadHalf,
    buffer: Vec<u8>,
    /// The buffer is used up to here.
    at: usize,
}

impl Reader {
    /// Nothing when the connection ends before a complete head.
    async fn response(&mut self) -> Result<Option<Response>, String> {
        let Some(head) = self.until(b"\r\n\r\n").await else { return Ok(None) };
        let head = String::from_utf8(head).map_err(|_| "a head that is not UTF-8")?;
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status: u16 = status.ok_or_else(|| format!("no status line: {line:?}"))?;
        let mut response =
            Response { status, framing: Framing::End, says_close: false, body: Vec::new(), complete: false };
        let mut length = 0;
        for line in lines {
            match line.split_once(": ").ok_or_else(|| format!("no field: {line:?}"))? {
                ("Content-Length", value) => {
                    length = value.parse().map_err(|_| format!("Content-Length {value:?}"))?;
                    response.framing = Framing::Length;
                }
                ("Transfer-Encoding", "chunked") => response.framing = Framing::Chunked,
                ("Connection", "close") => response.says_close = true,
                _ => {}
            }
        }
        response.complete = match response.framing {
            Framing::Length => self.take(length, &mut response.body).await,
            Framing::Chunked => self.chunks(&mut response.body).await?,
            Framing::End => self.rest(&mut response.body).await,
        };
        Ok(Some(response))
    }

    /// False when the connection ended first.
    async fn chunks(&mut self, body: &mut Vec<u8>) -> Result<bool, String> {
        loop {
            let Some(line) = self.until(b"\r\n").await else { return Ok(false) };
            let size = std::str::from_utf8(&line).ok().and_then(|line| usize::from_str_radix(line, 16).ok());
            let size = size.ok_or_else(|| format!("chunk size {:?}", line.escape_ascii().to_string()))?;
            let mut end = Vec::new();
            if !self.take(size, body).await || !self.take(2, &mut end).await {
                return Ok(false);
            }
            if end != b"\r\n" {
                return Err("no line end behind a chunk".to_owned());
            }
            if size == 0 {
                return Ok(true);
            }
        }
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(length) = memchr::memmem::find(&self.buffer[self.at..], end) {
                let found = self.buffer[self.at..self.at + length].to_vec();
                self.at += length + end.len();
                return Some(found);
            }
            if !self.fill().await.unwrap_or(false) {
                return None;
            }
        }
    }

    /// As many bytes, or false and what there is before the end.
    async fn take(&mut self, mut length: usize, out: &mut Vec<u8>) -> bool {
        loop {
            let there = length.min(self.buffer.len() - self.at);
            out.extend_from_slice(&self.buffer[self.at..self.at + there]);
            self.at += there;
            length -= there;
            if length == 0 {
                return true;
            }
            if !self.fill().await.unwrap_or(false) {
                return false;
            }
        }
    }

    /// All that comes before the end; false when that is a reset.
    async fn rest(&mut self, out: &mut Vec<u8>) -> bool {
        loop {
            out.extend_from_slice(&self.buffer[self.at..]);
            self.at = self.buffer.len();
            match self.fill().await {
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Nothing more comes but the end.
    async fn end(&mut self) -> Result<(), String> {
        let more = self.at < self.buffer.len() || self.fill().await.map_err(|error| error.to_string())?;
        if more { Err("more than the answer came".to_owned()) } else { Ok(()) }
    }

    /// False at the end.
    async fn fill(&mut self) -> std::io::Result<bool> {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
        }
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}
