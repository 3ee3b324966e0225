//! The load generator: a closed loop over one epoll on one thread.
//!
//! Each connection keeps `depth` requests in flight: they leave in one write, and when the last answer is in, the next
//! ones leave. The loop polls epoll without ever sleeping, so a server never pays for waking it up.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::Result;
use crate::answer::{Checker, Expected};
use crate::measure::machine_cpu_time;
use crate::options::Headers;
use crate::peers::Server;
use crate::sys::cpu_time;
use crate::tls::Carrier;

pub struct Load<'a> {
    pub server: &'a Server,
    pub connections: usize,
    pub depth: usize,
    /// One request, and the body of its answer.
    pub request: &'a [u8],
    pub expected: Expected,
    pub warm_up: Duration,
    pub window: Duration,
}

/// What one measured window saw.
pub struct Window {
    pub requests: u64,
    pub elapsed: Duration,
    /// CPU time of the server in the window.
    pub cpu: Duration,
    /// CPU time of everybody else but this generator and the server, all cores together.
    pub others: Duration,
    /// Nanoseconds from the write of a request to the read of its answer.
    pub latency: Histogram<u64>,
}

pub fn request(headers: Headers) -> &'static [u8] {
    match headers {
        Headers::Minimal => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        Headers::Browser => BROWSER,
    }
}

const BROWSER: &[u8] = b"GET / HTTP/1.1\r\n\
    Host: localhost:8888\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.5\r\n\
    Accept-Encoding: identity\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=2|1:0|10:1700000000|7:session|12:YWxpY2UgYm9i|4f2c1d\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: none\r\n\
    Sec-Fetch-User: ?1\r\n\
    Priority: u=0, i\r\n\r\n";

impl Load<'_> {
    /// Runs the warm-up and the window; `cpu` reads the server's CPU clock.
    ///
    /// # Errors
    /// When a connection fails or a server's answer is wrong.
    pub fn run(&self, cpu: impl Fn() -> std::io::Result<Duration>) -> Result<Window> {
        let batch = self.request.repeat(self.depth);
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for key in 0..self.connections {
            let connection = Connection::open(self.server, self.depth)?;
            epoll::add(
                &poll,
                &connection.stream,
                epoll::EventData::new_u64(key as u64),
                epoll::EventFlags::IN,
            )?;
            connections.push(connection);
        }
        for connection in &mut connections {
            connection.send(&batch, Instant::now())?;
        }

        let mut tally = Tally::new(self.expected)?;
        let mut buffer = vec![0; 64 * 1024];
        let mut events = Vec::with_capacity(self.connections);
        let mut run_for = |span: Duration, tally: &mut Tally| -> Result<Duration> {
            let since = Instant::now();
            loop {
                epoll::wait(&poll, spare_capacity(&mut events), Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
                for event in events.drain(..) {
                    let key = usize::try_from(event.data.u64())?;
                    connections[key].ready(&mut buffer, &batch, tally)?;
                }
                let elapsed = since.elapsed();
                if elapsed >= span {
                    return Ok(elapsed);
                }
            }
        };
        run_for(self.warm_up, &mut tally)?;
        tally.clear();
        let own = || -> Result<Duration> { Ok(cpu_time(std::process::id())?) };
        let (cpu_before, own_before, all_before) = (cpu()?, own()?, machine_cpu_time()?);
        let elapsed = run_for(self.window, &mut tally)?;
        let (cpu, own, all) = (cpu()? - cpu_before, own()? - own_before, machine_cpu_time()? - all_before);
        if tally.latency.is_empty() {
            return Err("no answer in the whole window".into());
        }
        if cpu.is_zero() {
            return Err("the process that is measured used no CPU: it is not the one that serves".into());
        }
        let others = all.saturating_sub(own + cpu);
        Ok(Window { requests: tally.latency.len(), elapsed, cpu, others, latency: tally.latency })
    }
}

/// The answers since the last `clear`.
struct Tally {
    checker: Checker,
    latency: Histogram<u64>,
}

impl Tally {
    fn new(expected: Expected) -> Result<Tally> {
        const LONGEST: u64 = Duration::from_secs(60).as_nanos() as u64;
        let mut latency = Histogram::new_with_bounds(1, LONGEST, 3)?;
        latency.auto(true);
        Ok(Tally { checker: Checker::new(expected), latency })
    }

    fn clear(&mut self) {
        self.latency.reset();
    }
}

struct Connection {
    stream: Carrier,
    depth: usize,
    in_flight: usize,
    sent_at: Instant,
    /// The start of an answer whose end has not come yet.
    partial: Vec<u8>,
}

impl Connection {
    fn open(server: &Server, depth: usize) -> Result<Connection> {
        let stream = Carrier::open(server)?;
        stream.socket().set_nonblocking(true)?;
        Ok(Connection { stream, depth, in_flight: 0, sent_at: Instant::now(), partial: Vec::new() })
    }

    /// Writes the next requests; they fit a socket buffer that is empty, so a short write is an error.
    fn send(&mut self, batch: &[u8], now: Instant) -> Result {
        if self.stream.write(batch)? != batch.len() {
            return Err("the requests of one batch do not fit the socket buffer".into());
        }
        self.sent_at = now;
        self.in_flight = self.depth;
        Ok(())
    }

    fn ready(&mut self, buffer: &mut [u8], batch: &[u8], tally: &mut Tally) -> Result {
        let bytes = match self.stream.read(buffer) {
            Ok(0) => return Err("the server closed a keep-alive connection".into()),
            Ok(count) => &buffer[..count],
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let now = Instant::now();
        let answers = if self.partial.is_empty() {
            let (answers, consumed) = take_answers(bytes, &mut tally.checker)?;
            self.partial.extend_from_slice(&bytes[consumed..]);
            answers
        } else {
            self.partial.extend_from_slice(bytes);
            let (answers, consumed) = take_answers(&self.partial, &mut tally.checker)?;
            self.partial.drain(..consumed);
            answers
        };
        let nanoseconds = u64::try_from((now - self.sent_at).as_nanos())?;
        tally.latency.record_n(nanoseconds, answers as u64)?;
        self.in_flight = self.in_flight.checked_sub(answers).ok_or("more answers than requests")?;
        if self.in_flight == 0 {
            if !self.partial.is_empty() {
                return Err("bytes follow the last answer".into());
            }
            self.send(batch, now)?;
        }
        Ok(())
    }
}

/// How many whole answers `bytes` starts with, and how many bytes they take.
fn take_answers(bytes: &[u8], checker: &mut Checker) -> Result<(usize, usize)> {
    let (mut answers, mut consumed) = (0, 0);
    while consumed < bytes.len()
        && let Some(length) = checker.next(&bytes[consumed..])?
    {
        answers += 1;
        consumed += length;
    }
    Ok((answers, consumed))
}
