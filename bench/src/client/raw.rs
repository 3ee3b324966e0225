//! The floor: level-triggered epoll, one write of a canned request and one read of its answer, whose form is known.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use super::Meter;
use crate::Result;
use crate::answer::{Checker, HELLO};

pub(super) fn fetch(url: &str, concurrency: usize, meter: &Rc<Meter>) -> Result {
    let address =
        url.strip_prefix("http://").and_then(|rest| rest.strip_suffix('/')).ok_or("http://host:port/")?;
    let server: SocketAddr = address.parse()?;
    // As many headers as squall sends.
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nUser-Agent: squall/0.1.0\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\n\r\n"
    );
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut streams = Vec::new();
    for key in 0..concurrency {
        let mut stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(&poll, &stream, epoll::EventData::new_u64(key as u64), epoll::EventFlags::IN)?;
        stream.write_all(request.as_bytes())?;
        streams.push(stream);
    }
    let (mut events, mut buffer) = (Vec::with_capacity(concurrency), vec![0; 16 * 1024]);
    let mut checker = Checker::new(HELLO);
    loop {
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let stream = &mut streams[usize::try_from(event.data.u64())?];
            let count = stream.read(&mut buffer)?;
            if checker.next(&buffer[..count])? != Some(count) {
                return Err("an answer in pieces".into());
            }
            if !meter.seen(200, HELLO.0) {
                return Ok(());
            }
            stream.write_all(request.as_bytes())?;
        }
    }
}
