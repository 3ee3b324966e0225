//! All connections of one server: their deadlines, and closing them together.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::connection::Http1Connection;

/// The connections of a server, swept for deadlines at a coarse interval.
///
/// A timer of its own would cost each idle connection more memory than all the rest of it, and each request a
/// registration; one task that looks at a few bytes per connection each second costs nothing measurable.
pub(crate) struct ConnectionSet {
    connections: RefCell<Slots>,
    started: Instant,
    /// The time of the last sweep: what deadlines are reckoned from.
    now: Cell<Millis>,
    tick: Cell<Duration>,
    sweeping: Cell<bool>,
    leaving: Cell<Leaving>,
    /// Told when the drain begins.
    drained: Notify,
    /// How many requests there have been.
    served: Cell<u64>,
}

/// How far a server is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Leaving {
    Not,
    /// Clients are to come back elsewhere: no connection is kept after a response.
    Announced,
    /// Nothing is waited for that could go on for ever.
    Draining,
}

/// A table with stable keys. (A `slab` of `Rc`s takes twice the memory.)
#[derive(Default)]
struct Slots {
    slots: Vec<Option<Rc<Http1Connection>>>,
    free: Vec<u32>,
}

/// A point in time in milliseconds since the set was made, or a moment before or after the wrap round: two of them
/// compare rightly when they are less than 24 days apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Millis(NonZeroU32);

impl Millis {
    /// Zero is told as one, which is early enough: an `Option` of it is then no larger than itself, and an idle
    /// connection smaller.
    fn new(millis: u32) -> Self {
        Self(NonZeroU32::new(millis).unwrap_or(NonZeroU32::MIN))
    }

    /// Whether this point has been reached at `now`.
    pub(super) fn is_due(self, now: Self) -> bool {
        now.0.get().wrapping_sub(self.0.get()) <= i32::MAX as u32
    }
}

/// Nanoseconds since the set was made, for 584 years.
pub(super) type Nanos = u64;

/// A connection that drains and was busy so short a while ago waits so long for one more request: its client may have
/// sent one before it learns of the end, and could not know whether it was served.
pub(crate) const LAST_REQUEST: Duration = Duration::from_secs(1);

const SLOWEST_TICK: Duration = Duration::from_secs(1);
const FASTEST_TICK: Duration = Duration::from_millis(5);

impl ConnectionSet {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            connections: RefCell::default(),
            started: Instant::now(),
            now: Cell::new(Millis::new(0)),
            tick: Cell::new(SLOWEST_TICK),
            sweeping: Cell::new(false),
            leaving: Cell::new(Leaving::Not),
            drained: Notify::new(),
            served: Cell::new(0),
        })
    }

    /// The time, exactly.
    #[inline]
    pub(super) fn nanos(&self) -> Nanos {
        self.started.elapsed().as_nanos() as Nanos
    }

    #[inline]
    pub(super) fn instant(&self, nanos: Nanos) -> Instant {
        self.started + Duration::from_nanos(nanos)
    }

    /// Adds a connection; the key takes it out again.
    pub(super) fn insert(self: &Rc<Self>, connection: Rc<Http1Connection>) -> u32 {
        let key = {
            let Slots { slots, free } = &mut *self.connections.borrow_mut();
            let key = free.pop().unwrap_or(slots.len() as u32);
            match slots.get_mut(key as usize) {
                Some(slot) => *slot = Some(connection),
                None => slots.push(Some(connection)),
            }
            key
        };
        if !self.sweeping.replace(true) {
            self.look_at_the_clock();
            tokio::task::spawn_local(Rc::clone(self).sweep());
        }
        key
    }

    pub(super) fn remove(&self, key: u32) {
        let connection = {
            let Slots { slots, free } = &mut *self.connections.borrow_mut();
            let connection = slots.get_mut(key as usize).and_then(Option::take);
            if connection.is_some() {
                free.push(key);
            }
            connection
        };
        drop(connection); // outside the borrow: closing may run user code
    }

    /// Makes the sweep fine enough for deadlines of this length.
    pub(crate) fn allow_for(&self, timeout: Duration) {
        let wanted = (timeout / 8).clamp(FASTEST_TICK, SLOWEST_TICK);
        self.tick.set(self.tick.get().min(wanted));
    }

    /// The deadline of something that may take `timeout`; up to two ticks late, never early. None beyond 24 days.
    pub(super) fn deadline(&self, timeout: Duration) -> Option<Millis> {
        let millis = timeout.checked_add(self.tick.get())?.as_millis();
        let millis = u32::try_from(millis).ok().filter(|m| i32::try_from(*m).is_ok())?;
        Some(Millis::new(self.now.get().0.get().wrapping_add(millis)))
    }

    #[inline]
    pub(super) fn count_request(&self) {
        self.served.set(self.served.get() + 1);
    }

    /// How many requests there have been.
    pub(crate) fn served(&self) -> u64 {
        self.served.get()
    }

    /// How many connections are open.
    pub(crate) fn len(&self) -> usize {
        let connections = self.connections.borrow();
        connections.slots.len() - connections.free.len()
    }

    /// Whether connections are to end after the response that they are at.
    pub(crate) fn is_draining(&self) -> bool {
        self.leaving.get() != Leaving::Not
    }

    /// No connection is kept after the response that it is at, or the next one.
    pub(crate) fn announce_end(&self) {
        self.leaving.set(self.leaving.get().max(Leaving::Announced));
    }

    /// Lets every connection end after the response that it is at; idle ones end now, or soon if a request may be on
    /// its way.
    pub(crate) fn drain(&self) {
        self.look_at_the_clock();
        self.allow_for(LAST_REQUEST);
        self.leaving.set(Leaving::Draining);
        self.drained.notify_waiters();
        for connection in self.all() {
            connection.leave_if_idle();
        }
    }

    /// Resolves when the server drains.
    pub(super) async fn draining(self: Rc<Self>) {
        let mut told = pin!(self.drained.notified());
        told.as_mut().enable();
        if self.leaving.get() != Leaving::Draining {
            told.await;
        }
    }

    /// Ends every connection now; what was sent of a response does not look complete. Says how many there were, and how
    /// many of them were at a request.
    pub(crate) fn cut_all(&self) -> (usize, usize) {
        let connections = self.all();
        let requests = connections.iter().filter(|connection| connection.cut_now()).count();
        (connections.len(), requests)
    }

    /// Closes every connection, whatever it is doing.
    pub(crate) fn close_all(&self) {
        for connection in self.all() {
            connection.close_now();
        }
    }

    fn all(&self) -> Vec<Rc<Http1Connection>> {
        self.connections.borrow().slots.iter().flatten().map(Rc::clone).collect()
    }

    async fn sweep(self: Rc<Self>) {
        while self.len() > 0 {
            tokio::time::sleep(self.tick.get()).await;
            let now = self.look_at_the_clock();
            for connection in self.connections.borrow().slots.iter().flatten() {
                connection.check_deadline(now);
                connection.check_abandoned();
                connection.check_stalled(now);
            }
        }
        self.sweeping.set(false);
    }

    fn look_at_the_clock(&self) -> Millis {
        // The wrap round is meant.
        let now = Millis::new(self.started.elapsed().as_millis() as u32);
        self.now.set(now);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_compare_across_the_wrap_round() {
        assert!(Millis::new(5).is_due(Millis::new(5)));
        assert!(Millis::new(5).is_due(Millis::new(6)));
        assert!(!Millis::new(6).is_due(Millis::new(5)));
        assert!(Millis::new(u32::MAX).is_due(Millis::new(3)));
        assert!(!Millis::new(3).is_due(Millis::new(u32::MAX)));
    }

    #[test]
    fn deadlines_are_never_early_and_too_long_ones_are_none() {
        let set = ConnectionSet::new();
        set.allow_for(Duration::from_millis(800));
        assert_eq!(set.deadline(Duration::from_millis(800)), Some(Millis::new(901)));
        assert_eq!(set.deadline(Duration::from_secs(30 * 24 * 3600)), None);
        assert_eq!(set.deadline(Duration::from_secs(u64::MAX / 2)), None);
    }
}
