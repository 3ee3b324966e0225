//! SIGTERM while there is something to do: who is let finish, who is told, and who is cut.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use squall::netutil::BindOptions;
use squall::web::{Event, Next, health, proxy, ready};
use squall::{
    Application, Bytes, Context, HttpServer, IoLoop, Message, RequestHandler, Result, WebSocket,
    WebSocketHandler, get, handler, url, ws,
};
use tokio::sync::watch;
use tracing::{Instrument, info_span};

#[cfg(feature = "tls")]
#[path = "drain_tls.rs"]
mod tls;

use super::{LONG, SOCKET, Test};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("what_is_in_flight_is_answered", what_is_in_flight_is_answered),
    (
        "readiness_turns_503_and_a_second_signal_ends_at_once",
        readiness_turns_503_and_a_second_signal_ends_at_once,
    ),
    ("what_goes_on_is_cut_when_the_time_is_up", what_goes_on_is_cut_when_the_time_is_up),
    ("a_second_signal_cuts", a_second_signal_cuts),
    ("a_tunnel_goes_on_until_the_time_is_up", a_tunnel_goes_on_until_the_time_is_up),
    ("connections_in_the_queue_are_served", connections_in_the_queue_are_served),
    ("workers_drain_and_are_signalled_twice", workers_drain_and_are_signalled_twice),
    ("a_thousand_websockets_are_told", a_thousand_websockets_are_told),
    #[cfg(feature = "tls")]
    ("handshakes_are_let_finish", tls::handshakes_are_let_finish),
    #[cfg(feature = "tls")]
    ("handshakes_that_stall_do_not_keep_a_server", tls::handshakes_that_stall_do_not_keep_a_server),
];

fn what_is_in_flight_is_answered() {
    let (t, server) = serving("listen 60000 0");
    let mut poll = server.get("/poll");
    let mut slow = server.get("/slow");
    slow.expect("begin\n");
    let mut held = server.get("/hold");
    let mut upload = server.connect();
    upload.send("PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
    upload.expect("100 Continue");
    upload.send("12345");
    let mut events = server.get("/events");
    events.expect("data: hello\n");
    let mut sockets: Vec<Client> = (0..20).map(|_| server.websocket()).collect();
    let mut idle = server.get("/plain");
    idle.expect("plain");
    server.barrier();

    t.signal(Signal::TERM);
    let answer = poll.rest();
    assert!(answer.contains("\r\nConnection: close\r\n") && answer.ends_with("told"), "{answer}");
    let answer = events.rest();
    assert!(answer.contains("data: bye\n") && answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).is_err(), "the port is closed");
    assert_eq!(idle.rest(), "");
    for socket in &mut sockets {
        socket.expect_going_away();
    }

    upload.send("67890");
    let answer = upload.rest();
    assert!(answer.contains("\r\nConnection: close\r\n") && answer.ends_with("10 bytes"), "{answer}");
    server.order("release");
    let answer = slow.rest();
    assert!(answer.ends_with("end\n\r\n0\r\n\r\n"), "{answer}");
    let answer = held.rest();
    assert!(answer.contains("\r\nConnection: close\r\n") && answer.ends_with("held"), "{answer}");
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("SIGTERM: shutting down, "), "{log}");
    assert!(!log.contains("Cut off"), "{log}");
}

fn readiness_turns_503_and_a_second_signal_ends_at_once() {
    let (t, server) = serving("listen 600000 600000");
    let answer = server.get("/readyz").answer("ready");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && !answer.contains("Connection: close"), "{answer}");
    t.signal(Signal::TERM);
    // The signal is handled some time after it was sent.
    while !server.get("/plain").answer("plain").contains("Connection: close") {}
    let answer = server.get("/readyz").rest();
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.ends_with("shutting down"), "{answer}");
    let answer = server.get("/healthz").rest();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok"), "{answer}");
    t.signal(Signal::INT);
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(0), "{log}");
}

fn what_goes_on_is_cut_when_the_time_is_up() {
    let (t, server) = serving("listen 300 0");
    let mut slow = server.get("/slow");
    slow.expect("begin\n");
    let mut held = server.get("/hold");
    let mut deaf = server.websocket();
    server.barrier();
    t.signal(Signal::TERM);
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    assert!(log.contains("(the time to drain is up): 2 connections with 2 requests, 1 WebSocket\n"), "{log}");
    assert_eq!(log.matches("Cut off after ").count(), 1, "{log}");
    assert!(!slow.rest().contains("\r\n0\r\n"), "a response that was cut does not look complete");
    assert_eq!(held.rest(), "");
    assert!(deaf.raw_rest().starts_with(&[0x88, 2, 3, 0xe9]), "it was told");
}

fn a_second_signal_cuts() {
    let (t, server) = serving("listen 600000 0");
    let mut held = server.get("/hold");
    let mut poll = server.get("/poll");
    server.barrier();
    t.signal(Signal::TERM);
    assert!(poll.rest().ends_with("told"));
    t.signal(Signal::TERM);
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains(" s (SIGTERM): ") && log.contains(" with 1 request\n"), "{log}");
    assert_eq!(held.rest(), "");
}

fn a_tunnel_goes_on_until_the_time_is_up() {
    for (millis, second_signal) in [(600_000, true), (300, false)] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (t, server) = serving(&format!("listen {millis} 0 {port}"));
        let mut client = server.connect();
        client.send("GET /tunnel HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
        let mut upstream = Client { stream: listener.accept().unwrap().0, got: Vec::new() };
        upstream.expect("\r\n\r\n");
        upstream.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello",
        );
        client.expect("hello");
        t.signal(Signal::TERM);
        if second_signal {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).is_ok() {}
            client.send("still there?");
            upstream.expect("still there?");
            upstream.send("yes");
            client.expect("yes");
            t.signal(Signal::TERM);
        }
        let (status, log) = t.finish();
        assert_eq!(status.code(), Some(0), "{log}");
        assert_eq!(log.matches("Cut off after ").count(), 1, "{log}");
        assert!(log.contains(", 1 WebSocket\n"), "{log}");
        assert_eq!((client.rest(), upstream.rest()), (String::new(), String::new()));
    }
}

fn connections_in_the_queue_are_served() {
    let (t, server) = serving("listen 60000 0");
    let mut blocking = server.get("/block");
    server.expect("blocked");
    // The loop stands still: these wait in the kernel, with the signal.
    let mut queued: Vec<Client> = (0..20).map(|_| server.get("/plain")).collect();
    t.signal(Signal::TERM);
    server.order("go on");
    for client in &mut queued {
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("plain"), "{answer}");
    }
    assert!(blocking.rest().ends_with("went on"));
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(0), "{log}");
}

fn workers_drain_and_are_signalled_twice() {
    let (t, server) = serving("run 2");
    let other = Server::greet(&t);
    let mut held: Vec<Client> = (0..8).map(|_| server.get("/hold")).collect();
    let mut polls: Vec<Client> = (0..8).map(|_| server.get("/poll")).collect();
    server.barrier();
    // As a terminal or a service manager does it: all processes of the group.
    t.signal(Signal::TERM);
    for worker in [&server, &other] {
        kill_process(Pid::from_raw(worker.pid).unwrap(), Signal::TERM).unwrap();
    }
    for poll in &mut polls {
        assert!(poll.rest().ends_with("told"));
    }
    // One that has no request is gone already.
    for worker in [&server, &other] {
        let _ = writeln!(worker.control.get_ref(), "release");
    }
    for client in &mut held {
        assert!(client.rest().ends_with("held"));
    }
    assert_ne!(server.pid, other.pid);
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("Cut off"), "{log}");
    assert_eq!(log.matches("exited normally").count(), 2, "{log}");
}

fn a_thousand_websockets_are_told() {
    allow_files();
    let (t, server) = serving("listen 60000 0");
    let mut sockets: Vec<Client> = (0..1000).map(|_| server.websocket()).collect();
    t.signal(Signal::TERM);
    for socket in &mut sockets {
        socket.expect_going_away();
    }
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("Cut off"), "{log}");
}

/// 1,000 sockets are more than a process may open by default.
fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

fn serving(role: &str) -> (Test, Server) {
    let t = Test::start(role);
    let server = Server::greet(&t);
    (t, server)
}

/// A serving process that has said where.
struct Server {
    port: u16,
    pid: i32,
    control: BufReader<UnixStream>,
}

impl Server {
    fn greet(t: &Test) -> Self {
        let mut control = t.accept();
        let mut line = String::new();
        control.read_line(&mut line).unwrap();
        let (port, pid) = line.trim().split_once(' ').unwrap();
        Self { port: port.parse().unwrap(), pid: pid.parse().unwrap(), control }
    }

    /// Waits until the server has what was sent before: it answers a connection that came later.
    fn barrier(&self) {
        for _ in 0..4 {
            assert!(self.get("/plain").answer("plain").starts_with("HTTP/1.1 200"));
        }
    }

    fn order(&self, order: &str) {
        writeln!(self.control.get_ref(), "{order}").unwrap();
    }

    fn expect(&self, expected: &str) {
        let mut line = String::new();
        BufReader::new(self.control.get_ref()).read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected);
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Client { stream, got: Vec::new() }
    }

    fn get(&self, path: &str) -> Client {
        let mut client = self.connect();
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client
    }

    fn websocket(&self) -> Client {
        let mut client = self.connect();
        client.send(
            "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        client.expect("\r\n\r\n");
        client
    }
}

struct Client {
    stream: TcpStream,
    got: Vec<u8>,
}

impl Client {
    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `text` has come, and drops everything up to its end.
    fn expect(&mut self, text: &str) {
        loop {
            if let Some(at) = String::from_utf8_lossy(&self.got).find(text) {
                self.got.drain(..at + text.len());
                return;
            }
            let mut more = [0; 4096];
            let length = self.stream.read(&mut more).unwrap();
            assert!(length > 0, "the end instead of {text:?} after {:?}", String::from_utf8_lossy(&self.got));
            self.got.extend_from_slice(&more[..length]);
        }
    }

    /// Everything up to `last`, which is the end of the body.
    fn answer(&mut self, last: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.got).into_owned();
            if text.ends_with(last) {
                return text;
            }
            let mut more = [0; 4096];
            let length = self.stream.read(&mut more).unwrap();
            assert!(length > 0, "the end instead of {last:?} after {text:?}");
            self.got.extend_from_slice(&more[..length]);
        }
    }

    /// Everything up to the end of the connection, or its reset.
    fn raw_rest(&mut self) -> Vec<u8> {
        let mut got = std::mem::take(&mut self.got);
        match self.stream.read_to_end(&mut got) {
            Ok(_) => got,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => got,
            Err(error) => panic!("{error}"),
        }
    }

    fn rest(&mut self) -> String {
        String::from_utf8(self.raw_rest()).unwrap()
    }

    /// A close frame with 1001, which is answered as the protocol asks.
    fn expect_going_away(&mut self) {
        while self.got.len() < 4 {
            let mut more = [0; 16];
            let length = self.stream.read(&mut more).unwrap();
            assert!(length > 0, "a close frame");
            self.got.extend_from_slice(&more[..length]);
        }
        assert_eq!(self.got, [0x88, 2, 3, 0xe9], "1001");
        self.got.clear();
        self.stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 3, 0xe9]).unwrap();
        assert!(self.raw_rest().is_empty());
    }
}

/// What [`Test`] starts: a server that says on the control socket where it listens.
pub(crate) fn server(role: &str) {
    squall::log::enable_pretty_logging();
    let words: Vec<&str> = role.split(' ').collect();
    let local = BindOptions::new().address("127.0.0.1");
    match words[..] {
        ["listen", timeout, delay, ref upstream @ ..] => {
            if let Some(port) = upstream.first() {
                UPSTREAM.store(port.parse().unwrap(), std::sync::atomic::Ordering::Relaxed);
            }
            let millis = |text: &str| Duration::from_millis(text.parse().unwrap());
            let server = HttpServer::new(make_app).drain_timeout(millis(timeout)).drain_delay(millis(delay));
            IoLoop::current()
                .run_sync(
                    async move {
                        server.listen_on(0, &local).unwrap();
                        report(server.local_addrs()[0].port().unwrap());
                        server.serve().await.unwrap();
                    },
                    None,
                )
                .unwrap();
        }
        #[cfg(feature = "tls")]
        ["tls", folder] => tls::serve(std::path::Path::new(folder), &local),
        ["run", processes] => {
            let server = HttpServer::new(move || {
                IoLoop::current().add_callback(|| report(0));
                make_app()
            });
            let server = server.processes(processes.parse().unwrap());
            server.bind_on(0, &local).unwrap();
            PORT.store(server.local_addrs()[0].port().unwrap(), std::sync::atomic::Ordering::Relaxed);
            server.run().unwrap();
        }
        _ => panic!("unknown role {role:?}"),
    }
}

/// For the workers, which are made before they can know.
static PORT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);

/// Where `/tunnel` leads.
static UPSTREAM: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);

thread_local! {
    static RELEASED: watch::Sender<bool> = watch::Sender::new(false);
    static CONTROL: UnixStream = UnixStream::connect(std::env::var(SOCKET).unwrap()).unwrap();
}

/// Says who this is, and waits for "release".
fn report(port: u16) {
    let port = if port == 0 { PORT.load(std::sync::atomic::Ordering::Relaxed) } else { port };
    let control = CONTROL.with(|control| control.try_clone().unwrap());
    writeln!(&control, "{port} {}", std::process::id()).unwrap();
    control.set_nonblocking(true).unwrap();
    let released = RELEASED.with(watch::Sender::clone);
    IoLoop::current().spawn_callback(async move {
        let control = tokio::net::UnixStream::from_std(control).unwrap();
        let mut order = [0; 16];
        loop {
            control.readable().await.unwrap();
            match control.try_read(&mut order) {
                Ok(0) => return,
                Ok(length) if order[..length].starts_with(b"release") => {
                    released.send_replace(true);
                }
                _ => {}
            }
        }
    });
}

#[derive(Clone, Default)]
struct Upload(usize);

#[handler(stream_body)]
impl RequestHandler for Upload {
    async fn data_received(&mut self, _ctx: &Context, chunk: Bytes) -> Result {
        self.0 += chunk.len();
        Ok(())
    }

    async fn put(&mut self, ctx: &Context) -> Result {
        ctx.write(format!("{} bytes", self.0));
        Ok(())
    }
}

#[derive(Clone)]
struct Echo;

impl WebSocketHandler for Echo {
    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        ws.write_message(message).await
    }
}

fn make_app() -> Application {
    let released = async || {
        let mut told = RELEASED.with(watch::Sender::subscribe);
        told.wait_for(|released| *released).await.unwrap();
    };
    Application::new([
        url("/healthz", health()),
        url("/readyz", ready()),
        url("/upload", Upload::default()),
        ws("/ws", Echo),
        url(
            "/tunnel",
            proxy(format!("http://127.0.0.1:{}", UPSTREAM.load(std::sync::atomic::Ordering::Relaxed))),
        ),
        get("/plain", async |ctx: &Context| {
            ctx.write("plain");
            Ok(())
        }),
        get("/slow", async move |ctx: &Context| {
            ctx.write("begin\n");
            ctx.flush().await?;
            released().await;
            ctx.write("end\n");
            Ok(())
        }),
        get("/hold", async move |ctx: &Context| {
            released().await;
            ctx.write("held");
            Ok(())
        })
        // What ends with the process may look at thread-locals, as a span does.
        .around(async |ctx: &Context, next: Next<'_>| next.run(ctx).instrument(info_span!("held")).await),
        get("/poll", async |ctx: &Context| {
            ctx.shutdown().await;
            ctx.write("told");
            Ok(())
        }),
        get("/events", async |ctx: &Context| {
            let events = ctx.event_stream()?;
            events.send(&Event::new().data("hello")).await?;
            assert!(events.while_open(std::future::pending::<()>()).await.is_none());
            events.send(&Event::new().data("bye")).await
        }),
        get("/block", async |ctx: &Context| {
            let control = CONTROL.with(|control| control.try_clone().unwrap());
            control.set_nonblocking(false).unwrap();
            writeln!(&control, "blocked").unwrap();
            BufReader::new(&control).read_line(&mut String::new()).unwrap();
            control.set_nonblocking(true).unwrap();
            ctx.write("went on");
            Ok(())
        }),
    ])
}
