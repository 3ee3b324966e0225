//! All connections of one server: their deadlines, and closing them together.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use slab::Slab;

use super::connection::Http1Connection;

/// The connections of a server, swept for deadlines at a coarse interval.
///
/// A timer of its own would cost each idle connection more memory than all the rest of it, and each request a
/// registration; one task that looks at a few bytes per connection each second costs nothing measurable.
pub(crate) struct ConnectionSet {
    connections: RefCell<Slab<Rc<Http1Connection>>>,
    /// The time of the last sweep: what deadlines are reckoned from.
    now: Cell<Instant>,
    tick: Cell<Duration>,
    sweeping: Cell<bool>,
    draining: Cell<bool>,
}

const SLOWEST_TICK: Duration = Duration::from_secs(1);
const FASTEST_TICK: Duration = Duration::from_millis(5);

impl ConnectionSet {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            connections: RefCell::default(),
            now: Cell::new(Instant::now()),
            tick: Cell::new(SLOWEST_TICK),
            sweeping: Cell::new(false),
            draining: Cell::new(false),
        })
    }

    /// Adds a connection; the key takes it out again.
    pub(crate) fn insert(self: &Rc<Self>, connection: Rc<Http1Connection>) -> usize {
        let key = self.connections.borrow_mut().insert(connection);
        if !self.sweeping.replace(true) {
            self.now.set(Instant::now());
            tokio::task::spawn_local(Rc::clone(self).sweep());
        }
        key
    }

    pub(crate) fn remove(&self, key: usize) {
        let connection = self.connections.borrow_mut().try_remove(key);
        drop(connection); // outside the borrow: closing may run user code
    }

    /// Makes the sweep fine enough for deadlines of this length.
    pub(crate) fn allow_for(&self, timeout: Duration) {
        let wanted = (timeout / 8).clamp(FASTEST_TICK, SLOWEST_TICK);
        self.tick.set(self.tick.get().min(wanted));
    }

    /// The deadline of something that may take `timeout`; up to two ticks late, never early.
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        self.now.get().checked_add(self.tick.get())?.checked_add(timeout)
    }

    /// How many connections are open.
    pub(crate) fn len(&self) -> usize {
        self.connections.borrow().len()
    }

    /// Whether connections are to end after the response that they are at.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Lets every connection end after the response that it is at; idle ones end now.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        for connection in self.all() {
            connection.interrupt_if_idle();
        }
    }

    /// Closes every connection, whatever it is doing.
    pub(crate) fn close_all(&self) {
        for connection in self.all() {
            connection.close_now();
        }
    }

    fn all(&self) -> Vec<Rc<Http1Connection>> {
        self.connections.borrow().iter().map(|(_, c)| Rc::clone(c)).collect()
    }

    async fn sweep(self: Rc<Self>) {
        while self.len() > 0 {
            tokio::time::sleep(self.tick.get()).await;
            let now = Instant::now();
            self.now.set(now);
            for (_, connection) in self.connections.borrow().iter() {
                connection.check_deadline(now);
                connection.check_abandoned();
            }
        }
        self.sweeping.set(false);
    }
}
