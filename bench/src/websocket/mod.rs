//! `bench websocket`: echoes, one message to many, what an idle socket costs, and who suffers from those who do not read.

mod client;

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use flate2::Decompress;
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::Result;
use crate::idle::{allow_descriptors, settled_memory};
use crate::measure::{Spread, machine_cpu_time, micros, print_table, private_memory};
use crate::options::Options;
use crate::peers::{self, Server};
use crate::sys::cpu_time;

use client::{Expected, client_frame, open, open_slow, server_frame};

/// In the order of the tables; the others are compared with the first.
const PEERS: [&str; 5] = ["squall-ws", "tokio-tungstenite", "fastwebsockets", "actix-ws", "tornado-ws"];
const COMPRESSING: [&str; 2] = ["squall-ws:deflate=1", "tornado-ws:deflate=1"];
const WARM_UP: Duration = Duration::from_millis(300);
/// The echoes: what they are called, bytes of a message, open sockets, and messages in flight on each.
const ECHOES: [(&str, usize, usize, usize); 7] = [
    ("echo of 16 B over 1,000 sockets", 16, 1000, 1),
    ("echo of 1 KB over 1,000 sockets", 1024, 1000, 1),
    ("echo of 64 KB over 1,000 sockets", 65_536, 1000, 1),
    ("echo of 16 B over 64 sockets", 16, 64, 1),
    ("echo of 1 KB over 64 sockets", 1024, 64, 1),
    ("echo of 64 KB over 64 sockets", 65_536, 64, 1),
    ("echo of 16 B over 64 sockets, 16 in flight", 16, 64, 16),
];
/// Of those that are sent one message, or idle.
const MANY: usize = 10_000;

pub fn run(options: &Options) -> Result {
    peers::pin(peers::LOAD_CORE)?;
    let many = options.connections.unwrap_or(MANY);
    allow_descriptors(many as u64 + 200)?;
    let peers: Vec<String> = options.peers.clone().unwrap_or_else(|| PEERS.map(str::to_owned).to_vec());
    let wanted = |case: &str| options.case.as_ref().is_none_or(|part| case.contains(part.as_str()));
    for (case, size, sockets, in_flight) in ECHOES {
        if wanted(case) {
            let text = text(size);
            let echo = |server: &Server, window| echo(server, &text, sockets, in_flight, window);
            compare(case, "message", &peers, options, echo)?;
        }
    }
    let message = text(1024);
    if wanted("fan-out") {
        compare("fan-out of 1 KB", "delivery", &peers, options, |server, window| {
            fan_out(server, Crowd { readers: many, slow: 0 }, &message, false, window)
        })?;
        let peers = COMPRESSING.map(str::to_owned);
        compare("fan-out of 1 KB, compressed", "delivery", &peers, options, |server, window| {
            fan_out(server, Crowd { readers: many, slow: 0 }, &message, true, window)
        })?;
    }
    if wanted("slow") {
        slow_readers(many, &message, options)?;
    }
    if wanted("idle") {
        idle(&peers, many, options)?;
    }
    Ok(())
}

/// Text that compresses as JSON does.
fn text(size: usize) -> Vec<u8> {
    let words = (0..)
        .flat_map(|n: u32| format!("{{\"id\":{n},\"name\":\"user {}\"}},", n * 7919 % 1000).into_bytes());
    words.take(size).collect()
}

struct Window {
    messages: u64,
    elapsed: Duration,
    cpu: Duration,
    others: Duration,
    latency: Histogram<u64>,
}

/// Runs each peer in each round and prints a table.
fn compare(
    case: &str,
    unit: &str,
    peers: &[String],
    options: &Options,
    measure: impl Fn(&Server, Duration) -> Result<Window>,
) -> Result {
    let rounds = options.rounds.unwrap_or(5);
    let mut seen: Vec<Vec<Option<Window>>> = Vec::new();
    for round in 0..rounds {
        eprintln!("{case}, round {} of {rounds}", round + 1);
        let mut windows: Vec<Option<Window>> = peers.iter().map(|_| None).collect();
        for turn in 0..peers.len() {
            let index = (round + turn) % peers.len();
            let spec = &peers[index];
            let Some(server) = Server::start(spec)? else {
                eprintln!("SKIPPED: {spec} is not installed");
                continue;
            };
            let window = measure(&server, options.window);
            windows[index] = Some(window.map_err(|error| format!("{spec}: {error}"))?);
        }
        seen.push(windows);
    }
    println!("\n{case}; {rounds} rounds of {} s\n", options.window.as_secs_f64());
    report(unit, peers, &seen);
    Ok(())
}

fn report(unit: &str, peers: &[String], rounds: &[Vec<Option<Window>>]) {
    let row = |index: usize| {
        let windows: Vec<&Window> = rounds.iter().filter_map(|round| round[index].as_ref()).collect();
        if windows.is_empty() {
            return [peers[index].clone()].into_iter().chain((0..6).map(|_| "skipped".to_owned())).collect();
        }
        let median =
            |value: &dyn Fn(&Window) -> f64| Spread::of(windows.iter().map(|window| value(window))).median;
        let ratios =
            rounds.iter().filter_map(|round| Some(cost(round[index].as_ref()?) / cost(round[0].as_ref()?)));
        let ratio = Spread::of(ratios);
        vec![
            peers[index].clone(),
            format!("{:.0}", median(&|window| window.messages as f64 / window.elapsed.as_secs_f64())),
            format!("{:.0}", median(&|window| window.latency.value_at_quantile(0.5) as f64 / 1e3)),
            format!("{:.0}", median(&|window| window.latency.value_at_quantile(0.99) as f64 / 1e3)),
            format!("{:.2}", median(&cost)),
            format!("{:.2}", ratio.median),
            format!("{:.2}..{:.2}", ratio.min, ratio.max),
        ]
    };
    let head =
        ["server", "per s", "p50 µs", "p99 µs", &format!("CPU µs/{unit}"), "ratio to squall", "min..max"];
    print_table(&head, &(0..peers.len()).map(row).collect::<Vec<_>>());
    let windows = rounds.iter().flatten().flatten();
    let others = Spread::of(windows.map(|window| window.others.as_secs_f64() / window.elapsed.as_secs_f64()));
    println!("\nOther processes took {:.0} % of one core in the median window.", others.median * 100.0);
}

/// CPU µs per message.
fn cost(window: &Window) -> f64 {
    micros(window.cpu) / window.messages as f64
}

/// Sockets with one epoll.
struct Sockets<'a> {
    poll: std::os::fd::OwnedFd,
    events: Vec<epoll::Event>,
    all: Vec<(TcpStream, Expected<'a>)>,
    buffer: Vec<u8>,
}

impl<'a> Sockets<'a> {
    fn new() -> Result<Self> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { poll, events: Vec::with_capacity(1024), all: Vec::new(), buffer: vec![0; 256 * 1024] })
    }

    fn add(&mut self, stream: TcpStream, expected: Expected<'a>) -> Result {
        let key = epoll::EventData::new_u64(self.all.len() as u64);
        epoll::add(&self.poll, &stream, key, epoll::EventFlags::IN)?;
        self.all.push((stream, expected));
        Ok(())
    }

    /// Looks once at all, and calls `done` for each whose frame is complete.
    fn turn(&mut self, mut done: impl FnMut(&mut TcpStream) -> Result) -> Result {
        epoll::wait(&self.poll, spare_capacity(&mut self.events), Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        for event in self.events.drain(..) {
            let (stream, expected) = &mut self.all[usize::try_from(event.data.u64())?];
            if expected.read(stream, &mut self.buffer)? {
                done(stream)?;
            }
        }
        Ok(())
    }
}

impl Drop for Sockets<'_> {
    /// Closed with resets: ten thousand sockets in TIME_WAIT would be in the way of the next server.
    fn drop(&mut self) {
        for (stream, _) in &self.all {
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
    }
}

/// Runs `turn` through the warm-up, then through the window; it gives the messages of a turn.
fn watch(
    server: &Server,
    span: Duration,
    mut turn: impl FnMut(&mut Histogram<u64>) -> Result<u64>,
) -> Result<Window> {
    let mut latency = Histogram::new(3)?;
    let mut run_for = |span: Duration, latency: &mut Histogram<u64>| -> Result<(u64, Duration)> {
        let (since, mut messages) = (Instant::now(), 0);
        while since.elapsed() < span {
            messages += turn(latency)?;
        }
        Ok((messages, since.elapsed()))
    };
    run_for(WARM_UP, &mut latency)?;
    latency.reset();
    let own = || cpu_time(std::process::id());
    let (cpu, own_before, all) = (cpu_time(server.pid)?, own()?, machine_cpu_time()?);
    let (messages, elapsed) = run_for(span, &mut latency)?;
    let cpu = cpu_time(server.pid)? - cpu;
    let others = (machine_cpu_time()? - all).saturating_sub(own()? - own_before + cpu);
    if messages == 0 {
        return Err("no message in the whole window".into());
    }
    Ok(Window { messages, elapsed, cpu, others, latency })
}

/// Some messages in flight on each of some connections: the next are sent, at once, when all of them are back.
fn echo(
    server: &Server,
    text: &[u8],
    connections: usize,
    in_flight: usize,
    window: Duration,
) -> Result<Window> {
    let (question, answer) = (client_frame(text).repeat(in_flight), server_frame(text).repeat(in_flight));
    let mut sockets = Sockets::new()?;
    for _ in 0..connections {
        let mut stream = open(server.address, "/", false)?;
        send(&mut stream, &question)?;
        sockets.add(stream, Expected::Frame { frame: &answer, at: 0 })?;
    }
    let mut since = Instant::now();
    watch(server, window, |latency| {
        let mut echoes = 0;
        sockets.turn(|stream| {
            echoes += in_flight as u64;
            send(stream, &question)
        })?;
        // All are in flight at once: the time of a message is that of a turn of all.
        if echoes > 0 {
            latency
                .record((since.elapsed().as_nanos() as u64) * (connections * in_flight) as u64 / echoes)?;
            since = Instant::now();
        }
        Ok(echoes)
    })
}

fn send(stream: &mut TcpStream, bytes: &[u8]) -> Result {
    Ok(std::io::Write::write_all(stream, bytes)?)
}

/// Who is in the room.
#[derive(Clone, Copy)]
struct Crowd {
    readers: usize,
    /// These do not read.
    slow: usize,
}

/// One message after the other to everyone in the room; the next when all who read have the last.
fn fan_out(server: &Server, crowd: Crowd, text: &[u8], deflate: bool, window: Duration) -> Result<Window> {
    let (question, answer) = (client_frame(text), server_frame(text));
    let mut sockets = Sockets::new()?;
    let mut slow = Vec::new();
    for number in 0..crowd.readers {
        let stream = open(server.address, "/room", deflate)?;
        let expected = if deflate {
            // One of them is enough to see that it is the message.
            let inflate = (number == 0).then(|| Box::new(Decompress::new(false)));
            Expected::Compressed { text, seen: Vec::new(), inflate }
        } else {
            Expected::Frame { frame: &answer, at: 0 }
        };
        sockets.add(stream, expected)?;
        // Spread among the others.
        if number * crowd.slow / crowd.readers >= slow.len() && slow.len() < crowd.slow {
            slow.push(open_slow(server.address, "/room")?);
        }
    }
    let mut publisher = open(server.address, "/publish", false)?;
    let window = watch(server, window, |latency| {
        send(&mut publisher, &question)?;
        let since = Instant::now();
        let mut missing = crowd.readers;
        while missing > 0 {
            sockets.turn(|_| {
                missing -= 1;
                latency.record(since.elapsed().as_nanos() as u64)?;
                Ok(())
            })?;
            if since.elapsed() > Duration::from_secs(20) {
                return Err(format!("{missing} deliveries are missing after 20 s").into());
            }
        }
        Ok(crowd.readers as u64)
    });
    for stream in &slow {
        rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
    }
    window
}

/// A tenth of the room does not read: what the others see of it, and what it costs the server.
fn slow_readers(many: usize, message: &[u8], options: &Options) -> Result {
    let slow = many / 10;
    let crowds = [
        ("all read", Crowd { readers: many - slow, slow: 0 }),
        ("a tenth more does not", Crowd { readers: many - slow, slow }),
    ];
    let mut rows = Vec::new();
    for (name, crowd) in crowds {
        let mut windows = Vec::new();
        let mut grown = Vec::new();
        for round in 0..options.rounds.unwrap_or(5) {
            eprintln!("slow readers, {name}, round {}", round + 1);
            let server = Server::start("squall-ws")?.ok_or("squall is always there")?;
            // The slow ones' buffers, in the kernel and in the server, are full after a while.
            let before = private_memory(server.pid)?;
            let window = fan_out(&server, crowd, message, false, options.window)?;
            grown.push((private_memory(server.pid)? - before) as f64 / 1e6);
            windows.push(window);
        }
        let median = |value: &dyn Fn(&Window) -> f64| Spread::of(windows.iter().map(value)).median;
        rows.push(vec![
            name.to_owned(),
            format!("{:.1}", median(&|window| window.latency.value_at_quantile(0.5) as f64 / 1e6)),
            format!("{:.1}", median(&|window| window.latency.value_at_quantile(0.99) as f64 / 1e6)),
            format!("{:.2}", median(&cost)),
            format!("{:.0}", Spread::of(grown).median),
        ]);
    }
    println!("\nslow readers: {} who read, with and without {slow} who do not\n", many - slow);
    print_table(&["room", "p50 ms", "p99 ms", "CPU µs/delivery to a reader", "MB grown"], &rows);
    Ok(())
}

/// How much the server's private memory grows with sockets that have echoed one message, divided by them.
fn idle(peers: &[String], count: usize, options: &Options) -> Result {
    let text = text(16);
    let (question, answer) = (client_frame(&text), server_frame(&text));
    let mut rows = Vec::new();
    for spec in peers {
        let mut seen = Vec::new();
        for round in 0..options.rounds.unwrap_or(5).min(3) {
            eprintln!("idle, {spec}, round {}", round + 1);
            let Some(server) = Server::start(spec)? else {
                eprintln!("SKIPPED: {spec} is not installed");
                continue;
            };
            drop(echoed(server.address, 1, &question, &answer)?);
            let before = settled_memory(server.pid)?;
            let sockets = echoed(server.address, count, &question, &answer)?;
            let after = settled_memory(server.pid)?;
            seen.push((after as f64 - before as f64) / count as f64);
            drop(sockets);
        }
        rows.push(if seen.is_empty() {
            vec![spec.clone(), "skipped".to_owned(), String::new()]
        } else {
            let spread = Spread::of(seen);
            vec![
                spec.clone(),
                format!("{:.0}", spread.median),
                format!("{:.0}..{:.0}", spread.min, spread.max),
            ]
        });
    }
    println!("\n{count} idle sockets, each after one echo\n");
    print_table(&["server", "bytes/socket", "min..max"], &rows);
    Ok(())
}

/// Sockets that have each sent a message and got it back.
fn echoed<'a>(server: SocketAddr, count: usize, question: &[u8], answer: &'a [u8]) -> Result<Sockets<'a>> {
    let mut sockets = Sockets::new()?;
    while sockets.all.len() < count {
        let mut missing = 100.min(count - sockets.all.len());
        for _ in 0..missing {
            let mut stream = open(server, "/", false)?;
            send(&mut stream, question)?;
            sockets.add(stream, Expected::Frame { frame: answer, at: 0 })?;
        }
        while missing > 0 {
            sockets.turn(|_| {
                missing -= 1;
                Ok(())
            })?;
        }
    }
    Ok(sockets)
}
