//! `bench tls`: what TLS costs a server: handshakes, answers, a large file, idle connections, and a crowd that stalls.

mod carrier;
mod handshakes;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use rustls::{SupportedProtocolVersion, version};

use self::handshakes::Handshakes;
use crate::answer::Expected;
use crate::http::{self, Round};
use crate::load::{Load, Window};
use crate::options::Options;
use crate::peers::{self, Server};
use crate::sys::cpu_time;
use crate::{Result, idle, static_files};

pub use self::carrier::{Carrier, certfile, keyfile, make_files, server};

const WARM_UP: Duration = Duration::from_millis(300);

/// `GET /json`, and what every server answers to it.
const REQUEST: &[u8] = b"GET /json HTTP/1.1\r\nHost: localhost\r\n\r\n";
pub const JSON: &str = r#"{"message":"Hello, World!"}"#;

/// So many clients begin a handshake and fall silent.
const STALLED: usize = 1_000;

struct Case {
    name: &'static str,
    /// The others are compared with the first.
    peers: &'static [&'static str],
    run: fn(&Options, &Case) -> Result,
}

const CASES: [Case; 8] = [
    Case {
        name: "full handshakes, TLS 1.3",
        peers: &HANDSHAKES,
        run: |o, c| shake_hands(o, c, false, &version::TLS13),
    },
    Case {
        name: "resumed handshakes, TLS 1.3",
        peers: &HANDSHAKES,
        run: |o, c| shake_hands(o, c, true, &version::TLS13),
    },
    Case {
        name: "full handshakes, TLS 1.2",
        peers: &HANDSHAKES,
        run: |o, c| shake_hands(o, c, false, &version::TLS12),
    },
    Case {
        name: "resumed handshakes, TLS 1.2",
        peers: &HANDSHAKES,
        run: |o, c| shake_hands(o, c, true, &version::TLS12),
    },
    Case {
        name: "GET /json over TLS 1.3",
        peers: &["nginx:tls=1", "actix-web:tls=1", "squall:tls=1", "rustls:tls=1"],
        run: json,
    },
    Case { name: "10 MB over TLS 1.3", peers: &["nginx:files=1:tls=1", "squall:files=1:tls=1"], run: file },
    Case { name: "idle", peers: &["squall:tls=1", "nginx:tls=1", "hyper:tls=1"], run: idle_connections },
    Case { name: "stalled handshakes", peers: &["squall:tls=1"], run: stalled },
];

const HANDSHAKES: [&str; 3] = ["rustls:tls=1", "squall:tls=1", "nginx:tls=1"];

pub fn run(options: &Options) -> Result {
    make_files()?;
    peers::pin(peers::LOAD_CORE)?;
    let wanted = |case: &&Case| options.case.as_ref().is_none_or(|part| case.name.contains(part.as_str()));
    CASES.iter().filter(wanted).try_for_each(|case| (case.run)(options, case))
}

impl Case {
    fn names(&self, options: &Options) -> Vec<String> {
        let own = || self.peers.iter().map(|&peer| peer.to_owned()).collect();
        options.peers.clone().unwrap_or_else(own)
    }
}

fn shake_hands(
    options: &Options,
    case: &Case,
    resumed: bool,
    version: &'static SupportedProtocolVersion,
) -> Result {
    let names = case.names(options);
    let handshakes = Handshakes { version, resumed, together: 16, warm_up: WARM_UP, window: options.window };
    let rounds =
        http::rounds(&names, options.rounds.unwrap_or(7), case.name, |server| handshakes.run(server))?;
    println!("\n{}, {} at a time; {} rounds\n", case.name, handshakes.together, rounds.len());
    http::report(&names, &rounds, &names[0], "handshake");
    Ok(())
}

fn json(options: &Options, case: &Case) -> Result {
    let options = Options { depths: vec![1], ..options.clone() };
    let names = case.names(&options);
    let base = names[0].clone();
    http::compare(&options, names, REQUEST, Expected(JSON.as_bytes()), case.name, &base)
}

fn file(options: &Options, case: &Case) -> Result {
    static_files::compare(options, &static_files::LARGE, &case.names(options))
}

fn idle_connections(options: &Options, case: &Case) -> Result {
    idle::run(&Options { peers: Some(case.names(options)), ..options.clone() })
}

/// Requests over connections that are there and handshakes of newcomers, without and with a crowd that has sent half of its
/// first message.
fn stalled(options: &Options, case: &Case) -> Result {
    idle::allow_descriptors(STALLED as u64 + 200)?;
    let spec = &case.names(options)[0];
    let newcomers = Handshakes {
        version: &version::TLS13,
        resumed: false,
        together: 8,
        warm_up: WARM_UP,
        window: options.window,
    };
    for (what, unit) in [("GET /json over 8 connections", "request"), ("8 handshakes at a time", "handshake")]
    {
        let mut seen: Vec<Round> = Vec::new();
        for round in 0..options.rounds.unwrap_or(7) {
            eprintln!("{what}, round {}", round + 1);
            let mut windows: Round = vec![None, None];
            // Each round begins with the other.
            for crowd in [round % 2 == 0, round % 2 == 1] {
                let server = Server::start(spec)?.ok_or_else(|| format!("{spec} is not installed"))?;
                let _crowd = if crowd { stall(&server)? } else { Vec::new() };
                windows[usize::from(crowd)] = Some(match unit {
                    "request" => requests(&server, options.window)?,
                    _ => newcomers.run(&server)?,
                });
            }
            seen.push(windows);
        }
        println!("\n{what} of squall's, {} rounds\n", seen.len());
        let names = ["alone".to_owned(), format!("beside {STALLED} stalled handshakes")];
        http::report(&names, &seen, &names[0], unit);
        let p99 = |window: &Option<Window>| {
            window.as_ref().map_or(0.0, |w| w.latency.value_at_quantile(0.99) as f64)
        };
        let ratios = seen.iter().map(|windows| p99(&windows[1]) / p99(&windows[0]));
        let ratio = crate::measure::Spread::of(ratios);
        println!("\np99 with them to p99 without: {:.2} ({:.2}..{:.2})", ratio.median, ratio.min, ratio.max);
    }
    Ok(())
}

/// Over a few connections, so that the server is not busy all the time.
fn requests(server: &Server, window: Duration) -> Result<Window> {
    let expected = Expected(JSON.as_bytes());
    let load =
        Load { server, connections: 8, depth: 1, request: REQUEST, expected, warm_up: WARM_UP, window };
    load.run(|| cpu_time(server.pid))
}

/// Clients that have sent half of a ClientHello.
fn stall(server: &Server) -> Result<Vec<TcpStream>> {
    let config = carrier::client(&version::TLS13, rustls::client::Resumption::disabled())?;
    let mut hello = Vec::new();
    rustls::ClientConnection::new(config, carrier::server_name())?.write_tls(&mut hello)?;
    (0..STALLED)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address)?;
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
            stream.write_all(&hello[..hello.len() / 2])?;
            Ok(stream)
        })
        .collect()
}
