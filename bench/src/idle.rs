//! `bench idle`: what an idle keep-alive connection costs a server in userland memory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Result;
use crate::answer::{Checker, HELLO};
use crate::http::NAMES;
use crate::load::request;
use crate::measure::{Spread, print_table, private_memory};
use crate::options::{Headers, Options};
use crate::peers::{self, Server};
use crate::tls::Carrier;

/// So many connections open, ask and are answered together.
const TOGETHER: usize = 100;

pub fn run(options: &Options) -> Result {
    let (rounds, connections) = (options.rounds.unwrap_or(3), options.connections.unwrap_or(10_000));
    allow_descriptors(connections as u64 + 100)?;
    peers::pin(peers::LOAD_CORE)?;
    let names = options.peers.clone().unwrap_or_else(|| NAMES.map(str::to_owned).to_vec());
    let mut seen: Vec<Vec<f64>> = names.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        for (spec, seen) in names.iter().zip(&mut seen) {
            match Server::start(spec)? {
                Some(server) => seen
                    .push(per_connection(&server, connections).map_err(|error| format!("{spec}: {error}"))?),
                None => eprintln!("SKIPPED: {spec} is not installed"),
            }
        }
    }
    println!(
        "\n{connections} idle keep-alive connections, each after one answered request; {rounds} rounds\n"
    );
    let row = |(name, seen): (&String, Vec<f64>)| {
        if seen.is_empty() {
            return vec![name.trim_end_matches(":tls=1").to_owned(), "skipped".to_owned(), String::new()];
        }
        let spread = Spread::of(seen);
        vec![
            name.trim_end_matches(":tls=1").to_owned(),
            format!("{:.0}", spread.median),
            format!("{:.0}..{:.0}", spread.min, spread.max),
        ]
    };
    print_table(
        &["server", "bytes/connection", "min..max"],
        &names.iter().zip(seen).map(row).collect::<Vec<_>>(),
    );
    Ok(())
}

fn per_connection(server: &Server, count: usize) -> Result<f64> {
    growth(server, count, |together| answered(server, together))
}

/// As [`per_connection`], over connections that `answered` makes one by one.
pub fn per_connection_of(
    server: &Server,
    count: usize,
    answered: impl Fn(&Server) -> Result<Carrier>,
) -> Result<f64> {
    growth(server, count, |together| (0..together).map(|_| Ok(answered(server)?.into_socket())).collect())
}

/// How much the server's private memory grows, divided by the connections.
fn growth(server: &Server, count: usize, answered: impl Fn(usize) -> Result<Vec<TcpStream>>) -> Result<f64> {
    // What the first request allocates once is no cost of a connection.
    drop(answered(1)?);
    let before = settled_memory(server.pid)?;
    let mut open = Vec::with_capacity(count);
    while open.len() < count {
        open.extend(answered(TOGETHER.min(count - open.len()))?);
    }
    let after = settled_memory(server.pid)?;
    // Closed with a reset: ten thousand sockets in TIME_WAIT would be in the way of the next server.
    for stream in &open {
        rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
    }
    Ok((after as f64 - before as f64) / count as f64)
}

/// Opens `count` connections, asks on all of them, then reads all the answers.
fn answered(server: &Server, count: usize) -> Result<Vec<TcpStream>> {
    let mut streams = (0..count).map(|_| Carrier::open(server)).collect::<Result<Vec<_>>>()?;
    for stream in &mut streams {
        stream.write_all(request(Headers::Minimal))?;
    }
    let mut checker = Checker::new(HELLO);
    for stream in &mut streams {
        stream.socket().set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while checker.next(&answer)? != Some(answer.len()) {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Err("the server closed a keep-alive connection".into());
            }
            answer.extend_from_slice(&buffer[..count]);
        }
    }
    Ok(streams.into_iter().map(Carrier::into_socket).collect())
}

/// The server's memory once two looks at it, half a second apart, see the same.
pub fn settled_memory(pid: u32) -> Result<u64> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut last = private_memory(pid)?;
    loop {
        thread::sleep(Duration::from_millis(500));
        let now = private_memory(pid)?;
        if now == last || Instant::now() > deadline {
            return Ok(now);
        }
        last = now;
    }
}

/// Raises the limit of open files; servers inherit it.
pub fn allow_descriptors(needed: u64) -> Result {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(needed));
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
        .map_err(|error| format!("{needed} open files are needed (ulimit -n): {error}").into())
}
