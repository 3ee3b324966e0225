//! `bench http2`: answers over HTTP/2 in clear text (prior knowledge) and over TLS, and idle connections.
//!
//! The load comes from `h2load` of nghttp2, which is nobody's library here; it runs on the generator's core. It is slower
//! than the generator of the other commands, so that servers may wait for it: the CPU of the server per request is what is
//! compared, not requests/s.

use std::io::{Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::measure::{Spread, machine_cpu_time, micros, print_table};
use crate::options::Options;
use crate::peers::{self, Server};
use crate::sys::cpu_time;
use crate::tls::{Carrier, make_files};
use crate::{Result, idle, static_files};

struct Case {
    name: &'static str,
    path: &'static str,
    /// Streams at once on each of the 64 connections.
    streams: usize,
    tls: bool,
    /// hyper first where it takes part: the others are compared with the first.
    peers: &'static [&'static str],
}

const ALL: [&str; 5] = ["hyper", "squall", "actix-web", "nghttpd", "nginx"];
const FILES: [&str; 3] = ["nginx:files=1", "squall:files=1", "nghttpd"];

const CASES: [Case; 6] = [
    Case { name: "JSON, h2c, 64 x 1", path: "/json", streams: 1, tls: false, peers: &ALL },
    Case { name: "JSON, h2c, 64 x 32", path: "/json", streams: 32, tls: false, peers: &ALL },
    Case { name: "JSON, TLS, 64 x 1", path: "/json", streams: 1, tls: true, peers: &ALL },
    Case { name: "JSON, TLS, 64 x 32", path: "/json", streams: 32, tls: true, peers: &ALL },
    Case { name: "file of 1 KB, h2c, 64 x 32", path: "/small.txt", streams: 32, tls: false, peers: &FILES },
    Case { name: "file of 1 KB, TLS, 64 x 32", path: "/small.txt", streams: 32, tls: true, peers: &FILES },
];

const CONNECTIONS: usize = 64;

/// What a run of `h2load` cost.
struct Run {
    requests: u64,
    elapsed: Duration,
    cpu: Duration,
    others: Duration,
}

pub fn run(options: &Options) -> Result {
    make_files()?;
    static_files::make_files()?;
    peers::pin(peers::LOAD_CORE)?;
    if Command::new("h2load").arg("--version").output().is_err() {
        return Err("h2load is needed (apt-get install nghttp2-client)".into());
    }
    let wanted = |name: &str| options.case.as_ref().is_none_or(|part| name.contains(part.as_str()));
    CASES.iter().filter(|case| wanted(case.name)).try_for_each(|case| compare(options, case))?;
    if wanted("idle") { idle_connections(options) } else { Ok(()) }
}

fn compare(options: &Options, case: &Case) -> Result {
    let names: Vec<&str> = case.peers.to_vec();
    let rounds = options.rounds.unwrap_or(5);
    let mut seen: Vec<Vec<Option<Run>>> = Vec::new();
    for round in 0..rounds {
        eprintln!("{}, round {} of {rounds}", case.name, round + 1);
        let mut runs: Vec<Option<Run>> = names.iter().map(|_| None).collect();
        for turn in 0..names.len() {
            let index = (round + turn) % names.len();
            let spec = spec(names[index], case.tls);
            let Some(server) = Server::start(&spec)? else {
                eprintln!("SKIPPED: {spec} is not installed");
                continue;
            };
            let run = load(&server, case, options.window).map_err(|error| format!("{spec}: {error}"))?;
            runs[index] = Some(run);
        }
        seen.push(runs);
    }
    println!("\n{}; {rounds} rounds of about {} s\n", case.name, options.window.as_secs_f64());
    report(&names, &seen);
    Ok(())
}

fn spec(name: &str, tls: bool) -> String {
    format!("{name}:http2=1{}", if tls { ":tls=1" } else { "" })
}

/// A short run that says how many requests fill the window, then that many.
fn load(server: &Server, case: &Case, window: Duration) -> Result<Run> {
    let warm_up = h2load(server, case, 20_000)?;
    let rate = warm_up.requests as f64 / warm_up.elapsed.as_secs_f64();
    h2load(server, case, (rate * window.as_secs_f64()) as u64)
}

fn h2load(server: &Server, case: &Case, requests: u64) -> Result<Run> {
    let url = format!("{}://{}{}", if case.tls { "https" } else { "http" }, server.address, case.path);
    let (machine, cpu, began) = (machine_cpu_time()?, cpu_time(server.pid)?, Instant::now());
    let numbers = [requests, CONNECTIONS as u64, case.streams as u64].map(|number| number.to_string());
    let output = Command::new("h2load")
        .args(["-n", &numbers[0], "-c", &numbers[1], "-m", &numbers[2], &url])
        .output()?;
    let elapsed = began.elapsed();
    let cpu = cpu_time(server.pid)? - cpu;
    let text = String::from_utf8_lossy(&output.stdout);
    if !text.contains(&format!("{requests} succeeded, 0 failed, 0 errored, 0 timeout"))
        || !text.contains(&format!("status codes: {requests} 2xx"))
    {
        return Err(format!("h2load: {text}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    // The generator's own time, which is nearly all of its core, is among it.
    let others = (machine_cpu_time()? - machine).saturating_sub(cpu + elapsed);
    Ok(Run { requests, elapsed, cpu, others })
}

fn report(names: &[&str], seen: &[Vec<Option<Run>>]) {
    let cost = |run: &Run| micros(run.cpu) / run.requests as f64;
    let row = |index: usize| {
        let name = names[index].split(':').next().unwrap_or_default().to_owned();
        let runs: Option<Vec<&Run>> = seen.iter().map(|round| round[index].as_ref()).collect();
        let Some(runs) = runs else {
            return [name].into_iter().chain((0..6).map(|_| "skipped".into())).collect();
        };
        let ratios: Option<Vec<f64>> =
            seen.iter().map(|round| Some(cost(round[index].as_ref()?) / cost(round[0].as_ref()?))).collect();
        let ratio = ratios.map(Spread::of);
        let rate = |run: &&Run| run.requests as f64 / run.elapsed.as_secs_f64();
        let busy = |run: &&Run| run.cpu.as_secs_f64() / run.elapsed.as_secs_f64() * 100.0;
        vec![
            name,
            format!("{:.0}", Spread::of(runs.iter().map(rate)).median),
            format!("{:.0} %", Spread::of(runs.iter().map(busy)).median),
            format!("{:.2}", Spread::of(runs.iter().map(|run| cost(run))).median),
            format!("{:.2}", Spread::of(runs.iter().map(|run| cost(run))).min),
            ratio.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median)),
            ratio.map_or_else(String::new, |ratio| format!("{:.2}..{:.2}", ratio.min, ratio.max)),
        ]
    };
    let rows: Vec<Vec<String>> = (0..names.len()).map(row).collect();
    let base = names[0].split(':').next().unwrap_or_default();
    print_table(
        &[
            "server",
            "requests/s",
            "core busy",
            "CPU µs/request",
            "least",
            &format!("ratio to {base}"),
            "min..max",
        ],
        &rows,
    );
    let others = seen.iter().flatten().flatten();
    let others = Spread::of(others.map(|run| run.others.as_secs_f64() / run.elapsed.as_secs_f64() * 100.0));
    println!(
        "\nOther processes took {:.0} % of one core in the median run, {:.0} % in the worst.",
        others.median, others.max
    );
}

/// The preface, empty SETTINGS, and a request on stream 1 for `/` that ends it (HPACK: two static fields of the request
/// line, `/`, and the authority as a literal).
const REQUEST: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\0\x04\0\0\0\0\0\
    \0\0\x0e\x01\x05\0\0\0\x01\x82\x86\x84\x41\x09localhost";
const SETTINGS_ACK: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";

fn idle_connections(options: &Options) -> Result {
    let (rounds, connections) = (options.rounds.unwrap_or(3), options.connections.unwrap_or(2000));
    idle::allow_descriptors(connections as u64 + 100)?;
    for tls in [false, true] {
        let mut rows = Vec::new();
        for name in ALL {
            let mut seen = Vec::new();
            for _ in 0..rounds {
                let Some(server) = Server::start(&spec(name, tls))? else {
                    eprintln!("SKIPPED: {name} is not installed");
                    continue;
                };
                seen.push(
                    idle::per_connection_of(&server, connections, answered)
                        .map_err(|e| format!("{name}: {e}"))?,
                );
            }
            if seen.is_empty() {
                rows.push(vec![name.to_owned(), "skipped".to_owned(), String::new()]);
                continue;
            }
            let spread = Spread::of(seen);
            rows.push(vec![
                name.to_owned(),
                format!("{:.0}", spread.median),
                format!("{:.0}..{:.0}", spread.min, spread.max),
            ]);
        }
        let carrier = if tls { "TLS" } else { "h2c" };
        println!(
            "\n{connections} idle connections over {carrier}, each after one answered request; {rounds} rounds\n"
        );
        print_table(&["server", "bytes/connection", "min..max"], &rows);
    }
    Ok(())
}

/// A connection on which one request was answered.
fn answered(server: &Server) -> Result<Carrier> {
    let mut stream = Carrier::open(server)?;
    stream.socket().set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(REQUEST)?;
    stream.write_all(SETTINGS_ACK)?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let mut payload =
            vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload)?;
        let (kind, flags, stream_id) = (head[3], head[4], head[8]);
        match kind {
            // DATA or HEADERS that end the stream
            0 | 1 if stream_id == 1 && flags & 1 == 1 => return Ok(stream),
            3 | 7 => return Err(format!("a frame of type {kind}: {payload:?}").into()),
            _ => {}
        }
    }
}
