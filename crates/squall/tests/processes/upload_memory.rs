//! A hundred clients upload a hundred megabytes each, all at once, and the server's memory stays below 32 MB more than it
//! had before: whatever it cannot deal with yet stays with the clients.
//!
//! Once to a handler that looks at the bytes as they come, and once, with `SQUALL_UPLOAD_FORM_MB` megabytes each (10
//! unless it is set), as forms whose files go to disk. `SQUALL_UPLOAD_MB` changes the hundred of the former.
//!
//! The server is a process of its own, this binary started anew, so that what the system says of it is about nothing else.

use std::io::Read as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use squall::ioloop::IoLoop;
use squall::netutil::BindOptions;
use squall::web::MultipartReader;
use squall::{Application, Bytes, Context, HttpServer, RequestHandler, Result, handler, url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;

use super::server::Server;

const CLIENTS: usize = 100;
const LIMIT_KB: usize = 32 * 1024;
/// How long all uploads of one kind may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(600);
/// Uploads are made of such blocks, each with its number in the first eight bytes.
const BLOCK: usize = 64 * 1024;
const BLOCKS_PER_MB: usize = (1 << 20) / BLOCK;

pub(crate) const TESTS: &[(&str, fn())] = &[("upload_memory", upload_memory)];

fn upload_memory() {
    if cfg!(not(target_os = "linux")) {
        return println!(
            "test upload_memory ... SKIPPED: only Linux tells how much memory another process has had"
        );
    }
    upload("/raw", megabytes("SQUALL_UPLOAD_MB", 100));
    upload("/form", megabytes("SQUALL_UPLOAD_FORM_MB", 10));
}

fn megabytes(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |value| value.parse().unwrap())
}

fn upload(path: &'static str, megabytes: usize) {
    let server = Server::start("upload_memory");
    let before = server.status_kb("VmRSS:");
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    let barrier = Rc::new(Barrier::new(CLIENTS));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            tasks.spawn_local(client(server.address, path, megabytes * BLOCKS_PER_MB, Rc::clone(&barrier)))
        })
        .collect();
    let all = async {
        for client in clients {
            client.await.unwrap();
        }
    };
    tasks
        .block_on(&runtime, async { tokio::time::timeout(DEADLINE, all).await.expect("the uploads to end") });
    let (took, peak) = (began.elapsed(), server.status_kb("VmHWM:"));
    let more = peak.saturating_sub(before);
    assert!(
        more < LIMIT_KB,
        "{path}: {before} KB before, {peak} KB at the most: {more} KB more, of {LIMIT_KB}"
    );
    println!(
        "test upload_memory {path} ... ok: {CLIENTS} x {megabytes} MB in {took:.1?}, {before} KB before, {more} KB more at \
         the most"
    );
}

/// Sends half of its upload, waits until all have, sends the rest and reads the answer.
async fn client(address: SocketAddr, path: &str, blocks: usize, barrier: Rc<Barrier>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (start, end) = match path {
        "/form" => ("--b\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n", "\r\n--b--"),
        _ => ("", ""),
    };
    let length = start.len() + blocks * BLOCK + end.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{start}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut block = vec![b'x'; BLOCK];
    for number in 0..blocks {
        if number == blocks / 2 {
            barrier.wait().await;
        }
        block[..8].copy_from_slice(&(number as u64).to_be_bytes());
        stream.write_all(&block).await.unwrap();
    }
    stream.write_all(end.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let expected = format!("\r\n\r\n{} bytes", blocks * BLOCK);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(&expected), "{answer}");
}

// ---- the server

impl Server {
    /// `VmRSS`: what is in memory now; `VmHWM`: the most that ever was.
    fn status_kb(&self, name: &str) -> usize {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }
}

pub(crate) fn serve() {
    // The end of the standard input is the end of the test, however it ended.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let app = || {
        let form = MultipartReader::new().max_body_size(u64::MAX);
        Application::new([url("/raw", Raw { bytes: 0 }), url("/form", Form { form })])
    };
    let server = HttpServer::new(app);
    server.listen_on(0, &BindOptions::new().address("127.0.0.1")).unwrap();
    println!("{}", server.local_addrs()[0]);
    IoLoop::current().start().unwrap();
}

#[derive(Clone)]
struct Raw {
    bytes: u64,
}

#[handler(stream_body)]
impl RequestHandler for Raw {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        ctx.set_max_body_size(u64::MAX);
        Ok(())
    }

    async fn data_received(&mut self, _ctx: &Context, chunk: Bytes) -> Result {
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write(format!("{} bytes", self.bytes));
        Ok(())
    }
}

#[derive(Clone)]
struct Form {
    form: MultipartReader,
}

#[handler(stream_body)]
impl RequestHandler for Form {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        self.form.start(ctx)
    }

    async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        self.form.data_received(ctx, chunk).await
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        let form = self.form.finish()?;
        let file = form.file("f")?;
        for number in 0..file.len() / BLOCK as u64 {
            let block = file.read_at(number * BLOCK as u64, 9).await?;
            assert_eq!(block[..], [&number.to_be_bytes()[..], b"x"].concat()[..]);
        }
        ctx.write(format!("{} bytes", file.len()));
        Ok(())
    }
}
