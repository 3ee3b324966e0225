//! The servers that are compared, one file each. Every one runs as a process of its own, on one thread.

mod actix;
mod axum;
mod canned;
mod hyper;
mod nghttpd;
mod nginx;
mod ntex;
mod raw;
mod rustls;
mod squall;
mod tokio;
mod tornado;
mod web;
mod websocket;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use rustix::thread::CpuSet;

use crate::Result;

/// The load generator stays on the first core, the server on the second.
pub const LOAD_CORE: usize = 0;
pub const SERVER_CORE: usize = 1;

pub struct Peer {
    pub name: &'static str,
    start: Start,
}

enum Start {
    /// Served by this executable, started again as `bench serve <peer>`; or by that of the setting `exe`, such as one
    /// built before a change that is to be judged.
    Own(fn(TcpListener, &Settings) -> Result),
    /// A program that may not be installed: `Ok(None)` then. It serves on the given port.
    Program { command: fn(u16, &Settings) -> Result<Option<Command>>, serves: Serves },
}

#[derive(Clone, Copy)]
enum Serves {
    Itself,
    /// In its only child, which may come to life after the port is open.
    InChild,
}

/// `key=value` pairs that follow a peer's name on the command line.
pub type Settings = HashMap<String, String>;

/// In the order of the tables. `raw` comes first: the others are compared with it.
const PEERS: &[Peer] = &[
    Peer { name: "raw", start: Start::Own(raw::serve) },
    // The same server once more: how far its ratio strays from 1 is the noise of this machine.
    Peer { name: "raw-again", start: Start::Own(raw::serve) },
    Peer { name: "raw-parse", start: Start::Own(raw::serve_parsing) },
    Peer { name: "rustls", start: Start::Own(rustls::serve) },
    Peer { name: "squall", start: Start::Own(squall::serve) },
    Peer { name: "tokio", start: Start::Own(tokio::serve) },
    Peer { name: "hyper", start: Start::Own(hyper::serve) },
    Peer { name: "axum", start: Start::Own(axum::serve) },
    Peer { name: "actix-web", start: Start::Own(actix::serve) },
    Peer { name: "ntex", start: Start::Own(ntex::serve) },
    Peer { name: "nginx", start: Start::Program { command: nginx::command, serves: Serves::InChild } },
    Peer { name: "nghttpd", start: Start::Program { command: nghttpd::command, serves: Serves::Itself } },
    Peer { name: "squall-web", start: Start::Own(web::squall::serve) },
    Peer { name: "axum-web", start: Start::Own(web::axum::serve) },
    Peer { name: "actix-web-web", start: Start::Own(web::actix::serve) },
    Peer { name: "squall-ws", start: Start::Own(websocket::squall::serve) },
    Peer { name: "tokio-tungstenite", start: Start::Own(websocket::tungstenite::serve) },
    Peer { name: "fastwebsockets", start: Start::Own(websocket::fast::serve) },
    Peer { name: "actix-ws", start: Start::Own(websocket::actix::serve) },
    Peer {
        name: "tornado-ws",
        start: Start::Program { command: tornado::websocket, serves: Serves::Itself },
    },
    Peer { name: "tornado", start: Start::Program { command: tornado::command, serves: Serves::Itself } },
];

pub fn names() -> Vec<&'static str> {
    PEERS.iter().map(|peer| peer.name).collect()
}

/// The peer that `spec` (`name` or `name:key=value:…`) names, with its settings.
///
/// # Errors
/// When there is no such peer or a setting is not of the form `key=value`.
pub fn find(spec: &str) -> Result<(&'static Peer, Settings)> {
    let mut parts = spec.split(':');
    let name = parts.next().unwrap_or_default();
    let peer = PEERS.iter().find(|peer| peer.name == name);
    let peer = peer.ok_or_else(|| format!("no peer {name:?}; there are {}", names().join(", ")))?;
    let pairs =
        parts.map(|part| part.split_once('=').ok_or_else(|| format!("{spec}: {part} is not key=value")));
    let settings = pairs.map(|pair| pair.map(|(key, value)| (key.to_owned(), value.to_owned())));
    Ok((peer, settings.collect::<std::result::Result<_, _>>()?))
}

/// Binds a free port, prints it and serves until killed.
pub fn serve(spec: &str) -> Result {
    let (peer, settings) = find(spec)?;
    let Start::Own(serve) = peer.start else { return Err(format!("{spec} is a program of its own").into()) };
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    serve(listener, &settings)
}

/// A running server; dropping it ends the process.
pub struct Server {
    pub address: SocketAddr,
    /// The process that serves: for nginx the worker, not its parent.
    pub pid: u32,
    /// It wants TLS.
    pub tls: bool,
    /// It is to speak HTTP/2.
    pub http2: bool,
    child: Child,
    end_with: Signal,
}

impl Server {
    /// Starts `spec` on the server's core and waits until it accepts; `None` when it is not installed.
    pub fn start(spec: &str) -> Result<Option<Server>> {
        Self::start_on(SERVER_CORE, spec)
    }

    /// [`start`](Self::start) on this core.
    pub fn start_on(core: usize, spec: &str) -> Result<Option<Server>> {
        let (peer, settings) = find(spec)?;
        let [tls, http2] = ["tls", "http2"].map(|key| settings.contains_key(key));
        let (mut command, port, end_with) = match peer.start {
            Start::Own(_) => {
                let own = || std::env::current_exe();
                let mut command = Command::new(settings.get("exe").map_or_else(own, |exe| Ok(exe.into()))?);
                command.args(["serve", spec]).stdout(Stdio::piped());
                (command, None, Signal::KILL)
            }
            Start::Program { command, .. } => {
                let port = free_port()?;
                let Some(command) = command(port, &settings)? else { return Ok(None) };
                (command, Some(port), Signal::TERM)
            }
        };
        // A child inherits the affinity of the thread that starts it.
        pin(core)?;
        let child = command.stdin(Stdio::null()).spawn();
        pin(LOAD_CORE)?;
        let child = child?;
        let mut server =
            Server { address: (Ipv4Addr::LOCALHOST, 0).into(), pid: child.id(), tls, http2, child, end_with };
        let port = match port {
            Some(port) => port,
            None => server.printed_port()?,
        };
        server.address.set_port(port);
        server.wait_until_it_accepts()?;
        if matches!(peer.start, Start::Program { serves: Serves::InChild, .. }) {
            server.pid = server.only_child()?;
        }
        Ok(Some(server))
    }

    fn printed_port(&mut self) -> Result<u16> {
        let stdout = self.child.stdout.take().ok_or("the server's output is not piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(line.trim().parse().map_err(|_| "the server ended without printing its port")?)
    }

    fn wait_until_it_accepts(&mut self) -> Result {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(self.address).is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(format!("the server does not accept on {}", self.address).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn only_child(&self) -> Result<u32> {
        let pid = self.child.id();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
            if let Ok(child) = children.trim().parse() {
                return Ok(child);
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err(format!("process {pid} does not have one child").into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(Pid::from_child(&self.child), self.end_with);
        let _ = self.child.wait();
    }
}

/// Keeps the calling thread, and what it starts, on `core`.
pub fn pin(core: usize) -> Result {
    let mut cores = CpuSet::new();
    cores.set(core);
    rustix::thread::sched_setaffinity(None, &cores)
        .map_err(|error| format!("cannot pin to core {core} (two cores are needed): {error}").into())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
