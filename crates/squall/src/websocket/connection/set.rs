//! All WebSockets of one application or of the clients of a thread.

use std::rc::Rc;

use super::socket::WebSocket;
use crate::metrics::{self, Counted, Value};
use crate::sweep::{Member, Place, Set};

pub(super) use crate::sweep::Millis;

/// Open sockets, swept for pings and deadlines.
pub(crate) type SocketSet = Set<WebSocket>;

/// A socket's place in its set.
pub(in crate::websocket) struct Registered {
    _place: Place<WebSocket>,
    _counted: Counted,
}

impl Member for WebSocket {
    fn is_due(&self, now: Millis) -> bool {
        self.has_deadline_at(now)
    }

    fn fire(&self, now: Millis) {
        self.look_at_the_clock(now);
    }

    fn rest(&self) {
        self.rest_deflater();
    }
}

impl SocketSet {
    /// The set of this thread's client connections.
    pub(in crate::websocket) fn of_clients() -> Rc<Self> {
        thread_local! {
            static CLIENTS: Rc<SocketSet> = SocketSet::new(());
        }
        CLIENTS.with(Rc::clone)
    }

    /// Adds a socket until what is given is dropped.
    pub(in crate::websocket) fn register(self: &Rc<Self>, socket: WebSocket) -> Registered {
        let (open, opened) = if socket.is_server() {
            (Value::WebSocketsOpen, Value::WebSocketsOpened)
        } else {
            (Value::ClientWebSocketsOpen, Value::ClientWebSocketsOpened)
        };
        metrics::add(opened, 1);
        Registered { _place: self.place(socket), _counted: Counted::new(open) }
    }

    /// Closes every socket with this code.
    pub(crate) fn close_all(&self, code: u16, reason: &str) {
        for socket in self.all() {
            socket.close(code, reason);
        }
    }
}
