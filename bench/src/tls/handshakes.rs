//! A generator of handshakes: a closed loop over one epoll, as `load.rs` has it for requests.
//!
//! Each connection is opened, makes its handshake, says that it closes, reads what the server still has to say (the tickets
//! among it) until the server has closed, and ends with a reset, so that nobody keeps it in TIME_WAIT. Then the next is
//! opened in its place.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, SupportedProtocolVersion};

use super::carrier;
use crate::Result;
use crate::load::Window;
use crate::measure::machine_cpu_time;
use crate::peers::Server;
use crate::sys::cpu_time;

pub struct Handshakes {
    pub version: &'static SupportedProtocolVersion,
    /// Each but the first of a place takes up the session of the one before.
    pub resumed: bool,
    /// So many at a time.
    pub together: usize,
    pub warm_up: Duration,
    pub window: Duration,
}

impl Handshakes {
    /// # Errors
    /// When one fails, or is a full one where it was to be resumed.
    pub fn run(&self, server: &Server) -> Result<Window> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut places = (0..self.together).map(|_| self.place(server)).collect::<Result<Vec<_>>>()?;
        for (key, place) in places.iter().enumerate() {
            register(&poll, place, key)?;
        }
        let mut latency = Histogram::<u64>::new(3)?;
        let mut events = Vec::with_capacity(self.together);
        let mut run_for = |span: Duration, latency: &mut Histogram<u64>| -> Result<Duration> {
            let since = Instant::now();
            loop {
                epoll::wait(&poll, spare_capacity(&mut events), Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
                for event in events.drain(..) {
                    let key = usize::try_from(event.data.u64())?;
                    if let Some(took) = places[key].ready(self.resumed)? {
                        latency.record(u64::try_from(took.as_nanos())?)?;
                        places[key].again(server)?;
                        register(&poll, &places[key], key)?;
                    }
                }
                let elapsed = since.elapsed();
                if elapsed >= span {
                    return Ok(elapsed);
                }
            }
        };
        run_for(self.warm_up, &mut latency)?;
        latency.reset();
        let own = || -> Result<Duration> { Ok(cpu_time(std::process::id())?) };
        let (cpu, own_before, all) = (cpu_time(server.pid)?, own()?, machine_cpu_time()?);
        let elapsed = run_for(self.window, &mut latency)?;
        let cpu = cpu_time(server.pid)? - cpu;
        let others = (machine_cpu_time()? - all).saturating_sub(own()? - own_before + cpu);
        if latency.is_empty() {
            return Err("no handshake in the whole window".into());
        }
        Ok(Window { requests: latency.len(), elapsed, cpu, others, latency })
    }

    fn place(&self, server: &Server) -> Result<Place> {
        // A store of its own: a ticket is taken once, and each handshake brings the next.
        let resumption =
            if self.resumed { Resumption::in_memory_sessions(8) } else { Resumption::disabled() };
        let config = carrier::client(self.version, resumption)?;
        let (stream, session) = open(server, &config)?;
        Ok(Place { config, stream, session, began: Instant::now(), done: None, first: true })
    }
}

fn register(poll: &impl std::os::fd::AsFd, place: &Place, key: usize) -> Result {
    let data = epoll::EventData::new_u64(key as u64);
    Ok(epoll::add(poll, &place.stream, data, epoll::EventFlags::IN)?)
}

/// Where one handshake follows the other.
struct Place {
    config: Arc<ClientConfig>,
    stream: TcpStream,
    session: ClientConnection,
    began: Instant,
    /// How long the handshake took.
    done: Option<Duration>,
    first: bool,
}

impl Place {
    /// Goes on; how long the handshake took, once the server has closed.
    fn ready(&mut self, resumed: bool) -> Result<Option<Duration>> {
        let count = match self.session.read_tls(&mut self.stream) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.session.process_new_packets()?;
        if self.done.is_none() && !self.session.is_handshaking() {
            let kind = if resumed && !self.first { HandshakeKind::Resumed } else { HandshakeKind::Full };
            if self.session.handshake_kind() != Some(kind) {
                return Err(format!("a handshake was {:?}", self.session.handshake_kind()).into());
            }
            self.done = Some(self.began.elapsed());
            self.session.send_close_notify();
        }
        write(&mut self.session, &mut self.stream)?;
        match (count, self.done) {
            (0, None) => Err("the server closed during a handshake".into()),
            (0, done) => Ok(done),
            _ => Ok(None),
        }
    }

    fn again(&mut self, server: &Server) -> Result {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?;
        (self.stream, self.session) = open(server, &self.config)?;
        (self.began, self.done, self.first) = (Instant::now(), None, false);
        Ok(())
    }
}

/// Opens a connection and sends the first message of its handshake.
fn open(server: &Server, config: &Arc<ClientConfig>) -> Result<(TcpStream, ClientConnection)> {
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut session = ClientConnection::new(Arc::clone(config), carrier::server_name())?;
    write(&mut session, &mut stream)?;
    Ok((stream, session))
}

/// What a handshake sends fits the socket's buffer.
fn write(session: &mut ClientConnection, stream: &mut TcpStream) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(stream)?;
    }
    Ok(())
}
