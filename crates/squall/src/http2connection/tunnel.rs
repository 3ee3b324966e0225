//! A stream that was taken out of HTTP (RFC 8441): its DATA frames carry another protocol's bytes.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use tokio::sync::Notify;

use super::output::MOST_ROOM;
use crate::iostream::{self, IoStream};

/// Both sides of such a stream. Its windows are what holds either side back.
pub(super) struct Tunnel<C> {
    connection: IoStream,
    sink: RefCell<SendStream<Bytes>>,
    /// The sending side is over, and the peer knows.
    is_told: Cell<bool>,
    source: RefCell<Source>,
    end: Rc<End>,
    /// Told of its end by being dropped, last; the tunnel is one of its connection's until then.
    _place: C,
}

struct Source {
    body: RecvStream,
    /// What has come and was not taken. The window opens when it is.
    rest: Bytes,
}

/// Whether the peer has ended its side, and who waits for that.
#[derive(Default)]
struct End {
    has_come: Cell<bool>,
    notify: Notify,
}

impl End {
    fn come(&self) {
        self.has_come.set(true);
        self.notify.notify_waiters();
    }
}

impl<C: 'static> Tunnel<C> {
    pub(super) fn open(
        place: C,
        connection: IoStream,
        sink: SendStream<Bytes>,
        body: RecvStream,
    ) -> IoStream {
        IoStream::over(Box::new(Self {
            connection,
            sink: RefCell::new(sink),
            is_told: Cell::new(false),
            source: RefCell::new(Source { body, rest: Bytes::new() }),
            end: Rc::default(),
            _place: place,
        }))
    }
}

impl<C> iostream::Tunnel for Tunnel<C> {
    fn connection(&self) -> &IoStream {
        &self.connection
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let source = &mut *self.source.borrow_mut();
        while source.rest.is_empty() && !self.end.has_come.get() {
            match ready!(source.body.poll_data(cx)) {
                Some(Ok(data)) => source.rest = data,
                Some(Err(error)) => {
                    self.end.come();
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, error)));
                }
                None => self.end.come(),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&self, most: usize) -> io::Result<Bytes> {
        let source = &mut *self.source.borrow_mut();
        if source.rest.is_empty() && !self.end.has_come.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let data = source.rest.split_to(most.min(source.rest.len()));
        // An error is that of the stream, which is told where it is read.
        let _ = source.body.flow_control().release_capacity(data.len());
        Ok(data)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sink = &mut *self.sink.borrow_mut();
        // What was asked for last may have been used up, and what is not asked for never comes.
        sink.reserve_capacity(MOST_ROOM);
        while sink.capacity() == 0 {
            match ready!(sink.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, error)));
                }
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn send(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_told.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let sink = &mut *self.sink.borrow_mut();
        let length: usize = data.iter().map(|piece| piece.len()).sum();
        sink.reserve_capacity(length.min(MOST_ROOM));
        let room = sink.capacity().min(length);
        if room == 0 && length > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // One frame of them, whatever they were.
        let mut frame = BytesMut::with_capacity(room);
        for piece in data {
            let left = room - frame.len();
            frame.extend_from_slice(&piece[..piece.len().min(left)]);
        }
        let sent = sink.send_data(frame.freeze(), false);
        sent.map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error))?;
        Ok(room)
    }

    fn end(&self) {
        if !self.is_told.replace(true) {
            // Who cannot be told has left.
            let _ = self.sink.borrow_mut().send_data(Bytes::new(), true);
        }
    }

    fn reset(&self) {
        if !self.is_told.replace(true) {
            self.sink.borrow_mut().send_reset(Reason::CANCEL);
        }
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = ()>>> {
        let end = Rc::clone(&self.end);
        Box::pin(async move {
            loop {
                let told = end.notify.notified();
                if end.has_come.get() {
                    return;
                }
                told.await;
            }
        })
    }
}

impl<C> Drop for Tunnel<C> {
    fn drop(&mut self) {
        iostream::Tunnel::end(self);
    }
}
