//! Messages in the order of a program: `while let Some(message) = ws.recv().await`.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::driver::{Events, Failed, Task, run};
use super::set::SocketSet;
use super::socket::WebSocket;
use crate::netutil::spawn;
use crate::websocket::machine::message::Message;
use crate::websocket::machine::protocol::Decoder;

/// A connection whose messages are asked for. It derefs to [`WebSocket`] for everything else.
///
/// A task of its own reads one message ahead; so pings are answered, and the peer's leaving is noticed, also while nobody
/// asks. Dropping this closes the connection, with 1001 if it is still open.
pub struct WebSocketStream {
    socket: WebSocket,
    slot: Rc<Slot>,
}

impl WebSocketStream {
    /// Starts the task of a connection.
    pub(in crate::websocket) fn start(socket: WebSocket, decoder: Decoder, set: &Rc<SocketSet>) -> Self {
        let slot = Rc::new(Slot::default());
        let place = set.register(socket.clone());
        let events = Reader(Rc::clone(&slot));
        spawn(run(Task { socket: socket.clone(), decoder, events, place }));
        Self { socket, slot }
    }

    /// The next message; `None` when the connection has ended. Cancel safe.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| {
            if let Some(message) = self.slot.message.borrow_mut().take() {
                self.slot.wake();
                return Poll::Ready(Some(message));
            }
            if self.slot.ended.get() {
                return Poll::Ready(None);
            }
            self.slot.park(cx.waker());
            Poll::Pending
        })
        .await
    }

    /// A handle that may be given to others.
    pub fn socket(&self) -> &WebSocket {
        &self.socket
    }
}

impl Deref for WebSocketStream {
    type Target = WebSocket;

    fn deref(&self) -> &WebSocket {
        &self.socket
    }
}

impl Drop for WebSocketStream {
    fn drop(&mut self) {
        self.slot.abandoned.set(true);
        self.slot.message.borrow_mut().take();
        self.slot.wake();
        self.socket.close(1001, "");
    }
}

impl fmt::Debug for WebSocketStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

/// One message on its way from the connection's task to who asks.
#[derive(Default)]
struct Slot {
    message: RefCell<Option<Message>>,
    ended: Cell<bool>,
    /// Nobody will ask any more.
    abandoned: Cell<bool>,
    /// Whoever waits: one of the two, as the slot is either full or empty.
    waker: RefCell<Option<Waker>>,
}

impl Slot {
    fn park(&self, waker: &Waker) {
        *self.waker.borrow_mut() = Some(waker.clone());
    }

    fn wake(&self) {
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The end of the slot that the connection's task has.
struct Reader(Rc<Slot>);

impl Events for Reader {
    async fn message(&mut self, socket: &WebSocket, message: Message) -> Result<(), Failed> {
        *self.0.message.borrow_mut() = Some(message);
        self.0.wake();
        // The next is not read before this one is taken, or there is nobody left on either side.
        poll_fn(|cx| {
            if self.0.abandoned.get() || socket.is_closed() || self.0.message.borrow().is_none() {
                return Poll::Ready(());
            }
            self.0.park(cx.waker());
            // Closing, and losing the connection while writing, wake the reader.
            if socket.0.stream.is_closed() {
                return Poll::Ready(());
            }
            socket.0.stream.park_reader(cx);
            Poll::Pending
        })
        .await;
        Ok(())
    }

    async fn closed(&mut self, _socket: &WebSocket) {}
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.ended.set(true);
        self.0.wake();
    }
}
