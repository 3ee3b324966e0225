//! A stream that was taken out of HTTP (RFC 8441): its DATA frames carry another protocol's bytes.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use crate::iostream::{self, IoStream};

/// Both sides of a stream, as its machine has them.
pub(super) trait Sides: 'static {
    /// What comes next; `None` at its end. An error when the stream has been reset.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>>;

    /// So much of that was taken: the window opens.
    fn release(&mut self, bytes: usize);

    /// How much may be sent, once that is something.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// How much of so many bytes may be sent now.
    fn room(&mut self, wanted: usize) -> usize;

    /// Sends no more than there is room for.
    fn send(&mut self, data: Bytes) -> io::Result<()>;

    /// Nothing more is sent.
    fn end(&mut self);

    /// The stream is given up.
    fn reset(&mut self);
}

/// Such a stream. Its windows are what holds either side back.
pub(super) struct Tunnel<S: Sides> {
    connection: IoStream,
    /// The sending side is over, and the peer knows.
    is_told: Cell<bool>,
    state: RefCell<State<S>>,
    end: Rc<End>,
}

struct State<S> {
    sides: S,
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

impl<S: Sides> Tunnel<S> {
    pub(super) fn open(connection: IoStream, sides: S) -> IoStream {
        IoStream::over(Box::new(Self {
            connection,
            is_told: Cell::new(false),
            state: RefCell::new(State { sides, rest: Bytes::new() }),
            end: Rc::default(),
        }))
    }
}

impl<S: Sides> iostream::Tunnel for Tunnel<S> {
    fn connection(&self) -> &IoStream {
        &self.connection
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.state.borrow_mut();
        while state.rest.is_empty() && !self.end.has_come.get() {
            match ready!(state.sides.poll_data(cx)) {
                Some(Ok(data)) => state.rest = data,
                Some(Err(error)) => {
                    self.end.come();
                    return Poll::Ready(Err(error));
                }
                None => self.end.come(),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&self, most: usize) -> io::Result<Bytes> {
        let state = &mut *self.state.borrow_mut();
        if state.rest.is_empty() && !self.end.has_come.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let data = state.rest.split_to(most.min(state.rest.len()));
        state.sides.release(data.len());
        Ok(data)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.borrow_mut().sides.poll_room(cx)
    }

    fn send(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_told.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let sides = &mut self.state.borrow_mut().sides;
        let length: usize = data.iter().map(|piece| piece.len()).sum();
        let room = sides.room(length);
        if room == 0 && length > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // One frame of them, whatever they were.
        let mut frame = BytesMut::with_capacity(room);
        for piece in data {
            let left = room - frame.len();
            frame.extend_from_slice(&piece[..piece.len().min(left)]);
        }
        sides.send(frame.freeze())?;
        Ok(room)
    }

    fn end(&self) {
        if !self.is_told.replace(true) {
            self.state.borrow_mut().sides.end();
        }
    }

    fn reset(&self) {
        if !self.is_told.replace(true) {
            self.state.borrow_mut().sides.reset();
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

impl<S: Sides> Drop for Tunnel<S> {
    fn drop(&mut self) {
        iostream::Tunnel::end(self);
    }
}
