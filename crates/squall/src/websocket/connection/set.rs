//! All WebSockets of one application or of the clients of a thread.

use std::rc::Rc;

use super::socket::WebSocket;
use crate::sweep::{Member, Place, Set};

pub(super) use crate::sweep::Millis;

/// Open sockets, swept for pings and deadlines.
pub(crate) type SocketSet = Set<WebSocket>;

/// A socket's place in its set.
pub(in crate::websocket) type Registered = Place<WebSocket>;

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

    /// Closes every socket with this code.
    pub(crate) fn close_all(&self, code: u16, reason: &str) {
        for socket in self.all() {
            socket.close(code, reason);
        }
    }
}
