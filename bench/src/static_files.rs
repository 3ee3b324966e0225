//! `bench static`: a small file, a large one and one that the client has already, beside nginx.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use memchr::memmem;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::Result;
use crate::measure::{Spread, machine_cpu_time, micros, print_table};
use crate::options::Options;
use crate::peers::{self, Server};
use crate::sys::cpu_time;
use crate::tls::Carrier;

/// In the order of the table; the others are compared with the first.
const PEERS: [&str; 3] = ["nginx:files=1", "nginx:files=1:cache=1", "squall:files=1"];
const WARM_UP: Duration = Duration::from_millis(300);

pub struct Case {
    name: &'static str,
    path: &'static str,
    /// Sends what the first answer says in `Last-Modified`.
    conditional: bool,
    connections: usize,
}

pub const LARGE: Case = Case { name: "10 MB", path: "/large.bin", conditional: false, connections: 4 };

const CASES: [Case; 3] = [
    Case { name: "1 KB", path: "/small.txt", conditional: false, connections: 64 },
    Case { name: "304", path: "/small.txt", conditional: true, connections: 64 },
    LARGE,
];

/// Where the peers look for the files.
pub fn folder() -> PathBuf {
    std::env::temp_dir().join("squall-bench-static")
}

pub fn run(options: &Options) -> Result {
    let peers = PEERS.map(str::to_owned);
    let wanted = |case: &&Case| options.case.as_ref().is_none_or(|part| case.name.contains(part.as_str()));
    CASES.iter().filter(wanted).try_for_each(|case| compare(options, case, &peers))
}

/// Each of the servers in turn, round after round; they are compared with the first.
pub fn compare(options: &Options, case: &Case, peers: &[String]) -> Result {
    make_files()?;
    peers::pin(peers::LOAD_CORE)?;
    let mut rounds = Vec::new();
    for round in 0..options.rounds.unwrap_or(5) {
        eprintln!("{}, round {}", case.name, round + 1);
        let mut costs = vec![None; peers.len()];
        for turn in 0..peers.len() {
            let index = (round + turn) % peers.len();
            let spec = &peers[index];
            let Some(server) = Server::start(spec)? else {
                eprintln!("SKIPPED: {spec} is not installed");
                continue;
            };
            let window = measure(case, &server, options.window);
            costs[index] = Some(window.map_err(|error| format!("{spec}: {error}"))?);
        }
        rounds.push(costs);
    }
    report(case, peers, &rounds);
    Ok(())
}

/// Written once, and long enough ago that no server takes them for files that are being written.
pub fn make_files() -> Result {
    fs::create_dir_all(folder())?;
    for (name, size) in [("small.txt", 1024), ("large.bin", 10 * 1024 * 1024)] {
        let path = folder().join(name);
        fs::write(&path, vec![b'x'; size])?;
        let past = SystemTime::now() - Duration::from_secs(86_400);
        File::options().write(true).open(&path)?.set_modified(past)?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Window {
    requests: u64,
    bytes: u64,
    elapsed: Duration,
    cpu: Duration,
    others: Duration,
}

fn measure(case: &Case, server: &Server, span: Duration) -> Result<Window> {
    let request = request(case, server.address)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut connections = Vec::new();
    for key in 0..case.connections {
        let mut connection = Connection::open(server)?;
        let data = epoll::EventData::new_u64(key as u64);
        epoll::add(&poll, &connection.stream, data, epoll::EventFlags::IN)?;
        connection.stream.write_all(&request)?;
        connections.push(connection);
    }
    let mut events = Vec::with_capacity(case.connections);
    let mut buffer = vec![0; 256 * 1024];
    let mut run_for = |span: Duration| -> Result<(u64, u64, Duration)> {
        let (since, mut requests, mut bytes) = (Instant::now(), 0, 0);
        loop {
            epoll::wait(&poll, spare_capacity(&mut events), Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
            for event in events.drain(..) {
                let connection = &mut connections[usize::try_from(event.data.u64())?];
                let (read, done) = connection.read(&mut buffer, case.conditional)?;
                bytes += read;
                if done {
                    requests += 1;
                    connection.stream.write_all(&request)?;
                }
            }
            if since.elapsed() >= span {
                return Ok((requests, bytes, since.elapsed()));
            }
        }
    };
    run_for(WARM_UP)?;
    let own = || cpu_time(std::process::id());
    let (cpu, own_before, all) = (cpu_time(server.pid)?, own()?, machine_cpu_time()?);
    let (requests, bytes, elapsed) = run_for(span)?;
    let cpu = cpu_time(server.pid)? - cpu;
    let others = (machine_cpu_time()? - all).saturating_sub(own()? - own_before + cpu);
    if requests == 0 {
        return Err("no answer in the whole window".into());
    }
    Ok(Window { requests, bytes, elapsed, cpu, others })
}

fn request(case: &Case, server: SocketAddr) -> Result<Vec<u8>> {
    let plain = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", case.path);
    if !case.conditional {
        return Ok(plain.into_bytes());
    }
    let mut stream = TcpStream::connect(server)?;
    stream.write_all(format!("HEAD {} HTTP/1.0\r\nHost: localhost\r\n\r\n", case.path).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let tag =
        answer.lines().find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case("etag")));
    let (_, tag) = tag.ok_or("no entity tag")?;
    Ok(format!("{}If-None-Match: {tag}\r\n\r\n", plain.trim_end_matches("\r\n").to_owned() + "\r\n")
        .into_bytes())
}

struct Connection {
    stream: Carrier,
    head: Vec<u8>,
    /// Body bytes to come; `None` while the head does.
    left: Option<usize>,
}

impl Connection {
    fn open(server: &Server) -> Result<Self> {
        let stream = Carrier::open(server)?;
        stream.socket().set_nonblocking(true)?;
        Ok(Self { stream, head: Vec::new(), left: None })
    }

    /// How much was read, and whether that completes an answer.
    fn read(&mut self, buffer: &mut [u8], conditional: bool) -> Result<(u64, bool)> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err("the server closed a keep-alive connection".into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((0, false)),
            Err(error) => return Err(error.into()),
        };
        let mut body = count;
        if self.left.is_none() {
            self.head.extend_from_slice(&buffer[..count]);
            let Some(end) = memmem::find(&self.head, b"\r\n\r\n") else { return Ok((count as u64, false)) };
            let head = str::from_utf8(&self.head[..end])?;
            let status = if conditional { "HTTP/1.1 304" } else { "HTTP/1.1 200" };
            if !head.starts_with(status) {
                return Err(format!("not {status}: {head}").into());
            }
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            self.left = Some(if conditional { 0 } else { length.ok_or("no length")?.parse()? });
            body = self.head.len() - end - 4;
            self.head.clear();
        }
        let left = self.left.unwrap_or(0).checked_sub(body).ok_or("more than the answer")?;
        self.left = if left == 0 { None } else { Some(left) };
        Ok((count as u64, left == 0))
    }
}

fn report(case: &Case, peers: &[String], rounds: &[Vec<Option<Window>>]) {
    let cost = |window: &Window| micros(window.cpu) / window.requests as f64;
    let rows = (0..peers.len()).map(|index| {
        let windows: Option<Vec<Window>> = rounds.iter().map(|round| round[index]).collect();
        let name = peers[index]
            .replace(":files=1", "")
            .replace(":tls=1", "")
            .replace(":cache=1", ", open_file_cache");
        let Some(windows) = windows else {
            return [name].into_iter().chain((0..5).map(|_| "skipped".to_owned())).collect();
        };
        let median = |value: &dyn Fn(&Window) -> f64| Spread::of(windows.iter().map(value)).median;
        let ratios: Option<Vec<f64>> = rounds
            .iter()
            .map(|round| Some(cost(round[index].as_ref()?) / cost(round[0].as_ref()?)))
            .collect();
        let ratio = ratios.map(Spread::of);
        vec![
            name,
            format!("{:.0}", median(&|w| w.requests as f64 / w.elapsed.as_secs_f64())),
            format!("{:.2}", median(&cost)),
            format!("{:.3}", median(&|w| w.cpu.as_secs_f64() * 1e9 / w.bytes as f64)),
            ratio.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median)),
            ratio.map_or_else(String::new, |ratio| format!("{:.2}..{:.2}", ratio.min, ratio.max)),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    println!("\n{}, {} connections; {} rounds\n", case.name, case.connections, rounds.len());
    print_table(
        &["server", "requests/s", "CPU µs/request", "CPU ns/byte", "ratio to nginx", "min..max"],
        &rows,
    );
    let windows = rounds.iter().flatten().flatten();
    let others = Spread::of(windows.map(|w| w.others.as_secs_f64() / w.elapsed.as_secs_f64() * 100.0));
    println!("\nOther processes took {:.0} % of one core in the median window.", others.median);
}
