//! The floor under TLS: the raw server's loop around rustls' own connection. Level-triggered epoll; per event one read, one
//! write.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustls::{ServerConfig, ServerConnection};

use super::Settings;
use super::raw::key;
use crate::{Result, tls};

/// What squall answers to `GET /json`, byte for byte but for date and tag.
const ANSWER: &str = "HTTP/1.1 200 OK\r\n\
    Server: squall/0.1.0\r\n\
    Content-Type: application/json; charset=UTF-8\r\n\
    Date: Sat, 21 Nov 2026 01:27:48 GMT\r\n\
    Etag: \"0123456789abcdef\"\r\n\
    Content-Length: 27\r\n\
    \r\n";

struct Connection {
    stream: TcpStream,
    session: ServerConnection,
}

pub(super) fn serve(listener: TcpListener, _: &Settings) -> Result {
    let config = Arc::new(tls::server()?);
    let answer = format!("{ANSWER}{}", tls::JSON);
    listener.set_nonblocking(true)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, key(&listener), epoll::EventFlags::IN)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Vec::with_capacity(256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            if event.data.u64() == key(&listener).u64() {
                accept(&listener, &poll, &config, &mut connections)?;
                continue;
            }
            let slot = &mut connections[usize::try_from(event.data.u64())?];
            let Some(connection) = slot else { continue };
            if !connection.ready(&mut buffer, answer.as_bytes()) {
                *slot = None;
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &OwnedFd,
    config: &Arc<ServerConfig>,
    connections: &mut Vec<Option<Connection>>,
) -> Result {
    let (stream, _) = match listener.accept() {
        Ok(accepted) => accepted,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    epoll::add(poll, &stream, key(&stream), epoll::EventFlags::IN)?;
    let slot = usize::try_from(stream.as_raw_fd())?;
    if connections.len() <= slot {
        connections.resize_with(slot + 1, || None);
    }
    connections[slot] = Some(Connection { stream, session: ServerConnection::new(Arc::clone(config))? });
    Ok(())
}

impl Connection {
    /// Whether the connection goes on. A request is small enough to come in one record.
    fn ready(&mut self, buffer: &mut [u8], answer: &[u8]) -> bool {
        match self.session.read_tls(&mut self.stream) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
        if self.session.process_new_packets().is_err() {
            return false;
        }
        let goes_on = match self.session.reader().read(buffer) {
            // The client has said that it closes.
            Ok(0) => false,
            Ok(_) => self.session.writer().write_all(answer).is_ok(),
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        if !goes_on {
            self.session.send_close_notify();
        }
        while self.session.wants_write() {
            if self.session.write_tls(&mut self.stream).is_err() {
                return false;
            }
        }
        goes_on
    }
}
