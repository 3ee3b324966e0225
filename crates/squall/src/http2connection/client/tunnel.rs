//! Both sides of a stream that was taken out of HTTP, as the `h2` crate has them.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};

use super::session::Place;
use crate::http2connection::tunnel::Sides;

/// So much room is asked for at once, as much as a server's window mostly has.
const MOST_ROOM: usize = 65_536;

pub(super) struct Pair {
    pub(super) sink: SendStream<Bytes>,
    pub(super) body: RecvStream,
    /// Free when the stream is.
    pub(super) _place: Place,
}

fn reset(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

impl Sides for Pair {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.body.poll_data(cx).map(|data| data.map(|data| data.map_err(reset)))
    }

    fn release(&mut self, bytes: usize) {
        // An error is that of the stream, which is told where it is read.
        let _ = self.body.flow_control().release_capacity(bytes);
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was asked for last may have been used up, and what is not asked for never comes.
        self.sink.reserve_capacity(MOST_ROOM);
        while self.sink.capacity() == 0 {
            match ready!(self.sink.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(reset(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn room(&mut self, wanted: usize) -> usize {
        self.sink.reserve_capacity(wanted.min(MOST_ROOM));
        self.sink.capacity().min(wanted)
    }

    fn send(&mut self, data: Bytes) -> io::Result<()> {
        let sent = self.sink.send_data(data, false);
        sent.map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error))
    }

    fn end(&mut self) {
        // Who cannot be told has left.
        let _ = self.sink.send_data(Bytes::new(), true);
    }

    fn reset(&mut self) {
        self.sink.send_reset(Reason::CANCEL);
    }
}
