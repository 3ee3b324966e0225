//! Many fetches at once from a server that goes wrong in every way, at random: each gives the answer to its own request
//! or the error of what was done to it, and in the end every slot is free and every descriptor closed.
//!
//! The request says what the server shall do, so that the outcome is known. `SQUALL_FAULTY_FETCHES` is how many fetches
//! there are (10,000 by default; `scripts/ci-faults.sh` runs 100,000), `SQUALL_FAULT_SEED` where the random numbers start. A test program of its own: it counts
//! the descriptors of its process.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use squall::httpclient::{AsyncHttpClient, HttpClientError, HttpRequest, HttpResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const WORKERS: usize = 20;
const SLOTS: usize = 16;
/// Four, so that redirects lead to other origins too.
const SERVERS: usize = 4;
/// How long a fetch waits of which the server lets nothing more be heard.
const STALL: Duration = Duration::from_millis(15);
/// How long any other may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the server does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fault {
    Good,
    GoodChunked,
    GoodUntilClose,
    GoodGzip,
    /// Byte by byte at the start, the rest in pieces.
    GoodInPieces,
    /// With three 1xx before it.
    GoodAfterInterim,
    NoContent,
    /// Good, but the connection is closed after it without a word.
    GoodThenClose,
    RedirectToGood,
    /// Followed by a second response that nobody asked for, in the same packet.
    ExtraResponse,
    ExtraBytes,
    /// A length that is less than what is sent.
    LengthTooShort,
    /// An answer before the body was read.
    EarlyAnswer,
    // From here on nothing good comes of it.
    LengthTooLong,
    CutAndClose,
    CutAndReset,
    CutAndStall,
    ChunksCutAndClose,
    CloseAtOnce,
    ResetAtOnce,
    StallAtOnce,
    Garbage,
    GarbageChunk,
    TwoLengths,
    EndlessHead,
    InterimFlood,
    BodyAfter204,
    GzipCut,
    GzipGarbage,
    TooLarge,
    RedirectCircle,
    RedirectNowhere,
    /// The client gives up at some point by itself.
    Cancelled,
    /// The client drops the response after its first piece.
    Abandoned,
}

use Fault::*;

const FAULTS: [Fault; 34] = [
    Good,
    GoodChunked,
    GoodUntilClose,
    GoodGzip,
    GoodInPieces,
    GoodAfterInterim,
    NoContent,
    GoodThenClose,
    RedirectToGood,
    ExtraResponse,
    ExtraBytes,
    LengthTooShort,
    EarlyAnswer,
    LengthTooLong,
    CutAndClose,
    CutAndReset,
    CutAndStall,
    ChunksCutAndClose,
    CloseAtOnce,
    ResetAtOnce,
    StallAtOnce,
    Garbage,
    GarbageChunk,
    TwoLengths,
    EndlessHead,
    InterimFlood,
    BodyAfter204,
    GzipCut,
    GzipGarbage,
    TooLarge,
    RedirectCircle,
    RedirectNowhere,
    Cancelled,
    Abandoned,
];

impl Fault {
    /// What the fetch has to give.
    fn outcome(self) -> &'static str {
        match self {
            Good | GoodChunked | GoodUntilClose | GoodGzip | GoodInPieces | GoodAfterInterim | NoContent
            | GoodThenClose | RedirectToGood | ExtraResponse | ExtraBytes | LengthTooShort => "ok",
            EarlyAnswer | RedirectCircle => "status",
            LengthTooLong | CutAndClose | CutAndReset | ChunksCutAndClose | CloseAtOnce | ResetAtOnce => {
                "closed"
            }
            CutAndStall | StallAtOnce => "timeout",
            Garbage | GarbageChunk | TwoLengths | EndlessHead | InterimFlood | BodyAfter204 => "protocol",
            GzipCut | GzipGarbage => "decode",
            TooLarge => "too large",
            RedirectNowhere => "redirect",
            Cancelled | Abandoned => "dropped",
        }
    }
}

/// SplitMix64.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// The body that belongs to a request, which no other has.
fn body_of(id: usize) -> Vec<u8> {
    let mark = format!("<{id}>");
    let length = match id % 10 {
        0..=6 => 10 + id % 200,
        7 | 8 => 1000 + id % 3000,
        _ => 20_000 + id % 20_000,
    };
    mark.bytes().cycle().take(length).collect()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(data).unwrap();
    writer.finish().unwrap()
}

pub(crate) const TESTS: &[(&str, fn())] =
    &[("faults_at_random", || super::run(Duration::from_secs(600), faults_at_random()))];

async fn faults_at_random() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let fetches = number("SQUALL_FAULTY_FETCHES", 10_000) as usize;
    let seed = number("SQUALL_FAULT_SEED", 1);
    let servers = Rc::new(Servers::start().await);
    let files = open_files();
    let client = AsyncHttpClient::builder()
        .max_clients(SLOTS)
        .max_idle_per_host(SLOTS / 2)
        .max_header_size(4096)
        .max_body_size(100_000)
        .build();
    let (next, seen) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(HashMap::<_, usize>::new())));
    let began = Instant::now();
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (client, servers, next, seen) =
                (client.clone(), Rc::clone(&servers), Rc::clone(&next), Rc::clone(&seen));
            tokio::task::spawn_local(async move {
                while next.get() < fetches {
                    let id = next.replace(next.get() + 1);
                    let mut random = Random(seed.wrapping_mul(1 << 32).wrapping_add(id as u64));
                    let fault = one_fetch(&client, &servers, id, &mut random).await;
                    *seen.borrow_mut().entry(fault).or_default() += 1;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let took = began.elapsed();

    // No stuck slot: as many as there are can be had at the same time.
    assert_eq!((client.active_requests(), client.queued_requests()), (0, 0), "seed {seed}");
    let all = (0..SLOTS).map(|n| client.fetch_stream(servers.request(fetches + n, Good, 0)));
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(Result::is_ok), "seed {seed}: {all:?}");
    assert_eq!(client.active_requests(), SLOTS, "seed {seed}");
    drop(all);
    assert_eq!(client.active_requests(), 0, "seed {seed}");
    client.close();
    let closing = async {
        while open_files() != files {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let closed = tokio::time::timeout(Duration::from_secs(30), closing).await;
    assert!(closed.is_ok(), "seed {seed}: {files} open files before, {} after", open_files());
    let seen = seen.borrow();
    assert!(fetches < 5_000 || FAULTS.iter().all(|fault| seen.contains_key(fault)), "{seen:?}");
    println!(
        "{fetches} fetches with {} kinds of faults, seed {seed}, in {took:.1?}: {} requests on {} connections reached the \
         servers; {} fetches succeeded; {files} open files before and after; every slot is free",
        seen.len(),
        servers.requests.get(),
        servers.connections.get(),
        FAULTS
            .iter()
            .filter(|fault| fault.outcome() == "ok")
            .filter_map(|fault| seen.get(fault))
            .sum::<usize>(),
    );
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

async fn one_fetch(client: &AsyncHttpClient, servers: &Servers, id: usize, random: &mut Random) -> Fault {
    let mut fault = match random.below(3) {
        0 => FAULTS[random.below(5)],
        _ => FAULTS[random.below(FAULTS.len())],
    };
    // A stall costs its time limit, however fast the machine is.
    if fault.outcome() == "timeout" && random.below(2) == 0 {
        fault = Good;
    }
    let mut request = servers.request(id, fault, random.below(1 << 20));
    let post = fault == EarlyAnswer || random.below(4) == 0;
    if post {
        let length = if fault == EarlyAnswer { 400_000 } else { random.below(50_000) };
        request = servers.post(id, fault, random.below(1 << 20), length);
    }
    let limit = if fault.outcome() == "timeout" { STALL } else { PATIENCE };
    let request = request.request_timeout(limit).connect_timeout(limit);
    let result = match fault {
        Cancelled => {
            let patience = Duration::from_micros(random.below(3000) as u64);
            let _ = tokio::time::timeout(patience, client.fetch(request)).await;
            return fault;
        }
        Abandoned => {
            if let Ok(mut response) = client.fetch_stream(request).await {
                let _ = response.chunk().await;
            }
            return fault;
        }
        _ => client.fetch(request).await,
    };
    check(id, fault, post, result);
    let times = servers.times_seen(id);
    let most = match fault {
        RedirectCircle => 12,
        RedirectToGood => 4,
        _ => 2,
    };
    assert!(
        times <= if post && fault != RedirectToGood && fault != RedirectCircle { 1 } else { most },
        "{id} {fault:?}: sent {times} times"
    );
    fault
}

fn check(id: usize, fault: Fault, post: bool, result: Result<HttpResponse, HttpClientError>) {
    let kind = match &result {
        Ok(_) => "ok",
        Err(error) => kind(error),
    };
    // A kept connection may die just when a request is sent that must not be sent twice.
    let lost = post && kind == "closed";
    assert!(kind == fault.outcome() || lost, "{id} {fault:?}: {result:?}");
    let response = match &result {
        Ok(response) => response,
        Err(error) => match error.response() {
            Some(response) => response,
            None => return,
        },
    };
    assert_eq!(
        response.headers().get("X-Id"),
        Some(id.to_string().as_str()),
        "{fault:?}: another's response"
    );
    let expected = body_of(id);
    let body = &response.body()[..];
    match fault {
        NoContent | RedirectCircle => assert!(body.is_empty()),
        LengthTooShort => assert!(body == &expected[..expected.len() / 2], "{id} {fault:?}: another's body"),
        _ => assert!(body == expected, "{id} {fault:?}: another's body"),
    }
}

fn kind(error: &HttpClientError) -> &'static str {
    match error {
        HttpClientError::Status(_) => "status",
        HttpClientError::Closed(_) => "closed",
        HttpClientError::Protocol(_) => "protocol",
        HttpClientError::BodyTooLarge => "too large",
        HttpClientError::Decode => "decode",
        HttpClientError::Redirect(_) => "redirect",
        error if error.is_timeout() => "timeout",
        _ => "other",
    }
}

// --- The server ---

#[derive(Default)]
struct Servers {
    ports: RefCell<Vec<u16>>,
    /// How often each request has arrived.
    seen: RefCell<Vec<u8>>,
    requests: Cell<usize>,
    connections: Cell<usize>,
}

impl Servers {
    async fn start() -> Rc<Self> {
        let servers = Rc::new(Self::default());
        for _ in 0..SERVERS {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            servers.ports.borrow_mut().push(listener.local_addr().unwrap().port());
            let servers = Rc::clone(&servers);
            tokio::task::spawn_local(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    servers.connections.set(servers.connections.get() + 1);
                    let servers = Rc::clone(&servers);
                    tokio::task::spawn_local(async move { servers.serve(stream).await });
                }
            });
        }
        servers
    }

    fn url(&self, id: usize, fault: Fault, random: usize) -> String {
        let place = FAULTS.iter().position(|&f| f == fault).unwrap();
        format!("http://127.0.0.1:{}/{id}/{place}/{random}", self.ports.borrow()[random % SERVERS])
    }

    fn request(&self, id: usize, fault: Fault, random: usize) -> HttpRequest {
        HttpRequest::get(self.url(id, fault, random))
    }

    fn post(&self, id: usize, fault: Fault, random: usize, length: usize) -> HttpRequest {
        HttpRequest::post(self.url(id, fault, random)).body(vec![b'x'; length])
    }

    fn times_seen(&self, id: usize) -> u8 {
        self.seen.borrow().get(id).copied().unwrap_or(0)
    }

    fn count(&self, id: usize) {
        self.requests.set(self.requests.get() + 1);
        let mut seen = self.seen.borrow_mut();
        if seen.len() <= id {
            seen.resize(id + 1, 0);
        }
        seen[id] = seen[id].saturating_add(1);
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut unread = Vec::new();
        loop {
            let Some(head) = read_head(&mut stream, &mut unread).await else { return };
            let mut parts =
                head.split(' ').nth(1).unwrap().split('/').skip(1).map(|part| part.parse().unwrap());
            let (id, fault, random) =
                (parts.next().unwrap(), FAULTS[parts.next().unwrap()], parts.next().unwrap());
            self.count(id);
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length = length.map_or(0, |length| length.parse().unwrap());
            if fault != EarlyAnswer && !read_body(&mut stream, &mut unread, length).await {
                return;
            }
            if !self.answer(&mut stream, id, fault, random).await {
                return;
            }
        }
    }

    /// Returns whether the connection lives on.
    async fn answer(&self, stream: &mut TcpStream, id: usize, fault: Fault, random: usize) -> bool {
        let body = body_of(id);
        let with = |headers: &str, body: &[u8]| {
            [format!("HTTP/1.1 200 OK\r\nX-Id: {id}\r\n{headers}\r\n").as_bytes(), body].concat()
        };
        let sized = |body: &[u8]| with(&format!("Content-Length: {}\r\n", body.len()), body);
        let good = sized(&body);
        let evil = b"HTTP/1.1 200 OK\r\nX-Id: none\r\nContent-Length: 4\r\n\r\nevil";
        let cut = random % good.len();
        let (response, live) = match fault {
            Good => (good, true),
            GoodChunked | Cancelled | Abandoned => {
                (with("Transfer-Encoding: chunked\r\n", &chunks(&body)), true)
            }
            GoodUntilClose => (with("", &body), false),
            GoodGzip => {
                let packed = gzip(&body);
                (
                    with(&format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", packed.len()), &packed),
                    true,
                )
            }
            GoodInPieces => {
                let early = good.len().min(20);
                for piece in good[..early].chunks(1).chain(good[early..].chunks(7000)) {
                    if stream.write_all(piece).await.is_err() {
                        return false;
                    }
                    tokio::task::yield_now().await;
                }
                return true;
            }
            GoodAfterInterim => {
                ([b"HTTP/1.1 103 Early Hints\r\nX-Id: no\r\n\r\n".repeat(3), good].concat(), true)
            }
            NoContent => (format!("HTTP/1.1 204 No Content\r\nX-Id: {id}\r\n\r\n").into_bytes(), true),
            GoodThenClose => (good, false),
            RedirectToGood => (self.redirect(id, &self.url(id, Good, random / 7)), true),
            ExtraResponse => ([good, evil.to_vec()].concat(), true),
            ExtraBytes => ([&good[..], &b"\r\n\0"[..1 + random % 3]].concat(), true),
            LengthTooShort => (with(&format!("Content-Length: {}\r\n", body.len() / 2), &body), true),
            EarlyAnswer => {
                let text = String::from_utf8(good).unwrap().replacen("200 OK", "413 Too Large", 1);
                (text.into_bytes(), true)
            }
            LengthTooLong => {
                (with(&format!("Content-Length: {}\r\n", body.len() + 1 + random % 9), &body), false)
            }
            CutAndClose => (good[..cut].to_vec(), false),
            CutAndReset | CutAndStall => (good[..cut].to_vec(), true),
            ChunksCutAndClose => {
                let mut whole = with("Transfer-Encoding: chunked\r\n", &chunks(&body));
                whole.truncate(1 + random % (whole.len() - 1));
                (whole, false)
            }
            CloseAtOnce => return false,
            ResetAtOnce | StallAtOnce => (Vec::new(), true),
            Garbage => (Random(random as u64).next().to_be_bytes().map(|byte| byte | 0x80).to_vec(), true),
            GarbageChunk => (with("Transfer-Encoding: chunked\r\n", b"4\r\nevil\r\nnot hex\r\n"), true),
            TwoLengths => (with("Content-Length: 4\r\nContent-Length: 5\r\n", b"evil"), true),
            EndlessHead => (with(&"A: b\r\n".repeat(1000), b""), true),
            InterimFlood => ([b"HTTP/1.1 100 Continue\r\n\r\n".repeat(50), good].concat(), true),
            BodyAfter204 => (b"HTTP/1.1 204 No\r\nContent-Length: 4\r\n\r\nevil".to_vec(), true),
            GzipCut => {
                let mut packed = gzip(&body);
                packed.truncate(packed.len() - 1 - random % 8);
                (
                    with(&format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", packed.len()), &packed),
                    true,
                )
            }
            GzipGarbage => (with("Content-Encoding: gzip\r\nContent-Length: 4\r\n", b"evil"), true),
            TooLarge => (with("Content-Length: 100001\r\n", &body), true),
            RedirectCircle => (self.redirect(id, &self.url(id, RedirectCircle, random / 7)), true),
            RedirectNowhere => (self.redirect(id, "gopher://127.0.0.1/"), true),
        };
        if stream.write_all(&response).await.is_err() {
            return false;
        }
        match fault {
            CutAndReset | ResetAtOnce => {
                let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
                false
            }
            CutAndStall | StallAtOnce => {
                let mut end = [0; 64];
                while matches!(stream.read(&mut end).await, Ok(1..)) {}
                false
            }
            _ => live,
        }
    }

    fn redirect(&self, id: usize, to: &str) -> Vec<u8> {
        assert!(!self.ports.borrow().is_empty());
        format!("HTTP/1.1 302 Found\r\nX-Id: {id}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
            .into_bytes()
    }
}

fn chunks(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(5000) {
        write!(out, "{:x}\r\n", piece.len()).unwrap();
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

async fn read_head(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = unread.drain(..end + 4).collect();
            return Some(String::from_utf8(head).unwrap());
        }
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    }
}

async fn read_body(stream: &mut TcpStream, unread: &mut Vec<u8>, length: usize) -> bool {
    while unread.len() < length {
        if !matches!(stream.read_buf(unread).await, Ok(1..)) {
            return false;
        }
    }
    unread.drain(..length);
    true
}
