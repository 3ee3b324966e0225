//! All WebSockets of one application or of the clients of a thread: their deadlines, and closing them together.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::socket::WebSocket;
use crate::metrics::{self, Counted, Value};
use crate::netutil::spawn;

/// Open sockets, swept for pings and deadlines at a coarse interval.
///
/// As with HTTP connections one task looks at all of them: a timer of its own would be the largest part of an idle
/// socket.
pub(crate) struct SocketSet {
    sockets: RefCell<Slots>,
    started: Instant,
    tick: Cell<Duration>,
    sweeping: Cell<bool>,
    next_rest: Cell<Millis>,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Option<WebSocket>>,
    free: Vec<u32>,
}

/// Milliseconds since the set was made; `NEVER` for no deadline.
pub(super) type Millis = u64;
pub(super) const NEVER: Millis = u64::MAX;

/// Sockets are told so often to give back what they have not used since the last time.
const REST: Millis = 30_000;

const SLOWEST_TICK: Duration = Duration::from_secs(1);
const FASTEST_TICK: Duration = Duration::from_millis(5);

impl SocketSet {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            sockets: RefCell::default(),
            started: Instant::now(),
            tick: Cell::new(SLOWEST_TICK),
            sweeping: Cell::new(false),
            next_rest: Cell::new(REST),
        })
    }

    /// The set of this thread's client connections.
    pub(super) fn of_clients() -> Rc<Self> {
        thread_local! {
            static CLIENTS: Rc<SocketSet> = SocketSet::new();
        }
        CLIENTS.with(Rc::clone)
    }

    /// Adds a socket until the guard is dropped.
    pub(super) fn insert(self: &Rc<Self>, socket: WebSocket) -> Registered {
        let (open, opened) = if socket.is_server() {
            (Value::WebSocketsOpen, Value::WebSocketsOpened)
        } else {
            (Value::ClientWebSocketsOpen, Value::ClientWebSocketsOpened)
        };
        metrics::add(opened, 1);
        let key = {
            let Slots { slots, free } = &mut *self.sockets.borrow_mut();
            let key = free.pop().unwrap_or(slots.len() as u32);
            match slots.get_mut(key as usize) {
                Some(slot) => *slot = Some(socket),
                None => slots.push(Some(socket)),
            }
            key
        };
        if !self.sweeping.replace(true) {
            spawn(Sweep(Rc::clone(self)).run());
        }
        Registered { set: Rc::clone(self), key, _counted: Counted::new(open) }
    }

    /// Makes the sweep fine enough for deadlines of this length.
    pub(super) fn allow_for(&self, timeout: Duration) {
        let wanted = (timeout / 8).clamp(FASTEST_TICK, SLOWEST_TICK);
        self.tick.set(self.tick.get().min(wanted));
    }

    pub(super) fn now(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }

    /// When something that may take so long is overdue.
    pub(super) fn deadline(&self, timeout: Option<Duration>) -> Millis {
        let Some(timeout) = timeout else { return NEVER };
        self.now().saturating_add(u64::try_from(timeout.as_millis()).unwrap_or(NEVER))
    }

    /// How many sockets are open.
    pub(crate) fn len(&self) -> usize {
        let sockets = self.sockets.borrow();
        sockets.slots.len() - sockets.free.len()
    }

    /// Closes every socket with this code.
    pub(crate) fn close_all(&self, code: u16, reason: &str) {
        for socket in self.all() {
            socket.close(code, reason);
        }
    }

    pub(super) fn all(&self) -> Vec<WebSocket> {
        self.sockets.borrow().slots.iter().flatten().cloned().collect()
    }

    fn sweep(&self) {
        let now = self.now();
        if now >= self.next_rest.get() {
            self.next_rest.set(now + REST);
            self.sockets.borrow().slots.iter().flatten().for_each(WebSocket::rest);
        }
        // One by one: what a deadline leads to may add and remove sockets.
        for key in 0.. {
            let socket = match self.sockets.borrow().slots.get(key) {
                None => return,
                Some(None) => continue,
                Some(Some(socket)) if !socket.is_due(now) => continue,
                Some(Some(socket)) => socket.clone(),
            };
            socket.look_at_the_clock(now);
        }
    }
}

/// The task that looks at the sockets while there are any. It notes its end also when the loop drops it.
struct Sweep(Rc<SocketSet>);

impl Sweep {
    async fn run(self) {
        while self.0.len() > 0 {
            tokio::time::sleep(self.0.tick.get()).await;
            self.0.sweep();
        }
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.0.sweeping.set(false);
    }
}

/// A socket's place in its set.
pub(super) struct Registered {
    set: Rc<SocketSet>,
    key: u32,
    _counted: Counted,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let socket = {
            let Slots { slots, free } = &mut *self.set.sockets.borrow_mut();
            free.push(self.key);
            slots.get_mut(self.key as usize).and_then(Option::take)
        };
        drop(socket); // outside of the borrow
    }
}
