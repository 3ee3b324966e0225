//! The floor: what a C programmer writes in an afternoon. Level-triggered epoll; per event one read, one write.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use super::Settings;
use super::canned::Requests;
use crate::Result;

struct Connection {
    stream: TcpStream,
    requests: Requests,
}

pub(super) fn serve(listener: TcpListener, _: &Settings) -> Result {
    run(&listener, false)
}

/// The same, which also parses the heads as every HTTP server has to.
pub(super) fn serve_parsing(listener: TcpListener, _: &Settings) -> Result {
    run(&listener, true)
}

fn run(listener: &TcpListener, parse: bool) -> Result {
    listener.set_nonblocking(true)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, listener, key(listener), epoll::EventFlags::IN)?;
    // Indexed by descriptor, as is the custom.
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Vec::with_capacity(256);
    let mut buffer = vec![0; 64 * 1024];
    let mut answers = Vec::new();
    loop {
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            if event.data.u64() == key(listener).u64() {
                accept(listener, &poll, &mut connections, parse)?;
                continue;
            }
            let slot = &mut connections[usize::try_from(event.data.u64())?];
            let Some(connection) = slot else { continue };
            if !connection.ready(&mut buffer, &mut answers) {
                *slot = None;
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &OwnedFd,
    connections: &mut Vec<Option<Connection>>,
    parse: bool,
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
    connections[slot] = Some(Connection { stream, requests: Requests::parsing(parse) });
    Ok(())
}

impl Connection {
    /// Whether the connection goes on. A client that does not read its answers is dropped: nothing is queued here.
    fn ready(&mut self, buffer: &mut [u8], answers: &mut Vec<u8>) -> bool {
        let count = match self.stream.read(buffer) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        answers.clear();
        self.requests.answer(&buffer[..count], answers);
        answers.is_empty() || self.stream.write(answers).is_ok_and(|written| written == answers.len())
    }
}

pub(super) fn key(socket: &impl AsRawFd) -> epoll::EventData {
    epoll::EventData::new_u64(u64::from(socket.as_raw_fd().cast_unsigned()))
}
