//! All connections of one server: closing them together, and the order of its end.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

use super::connection::Http1Connection;
use crate::sweep::{Member, Set};

pub(super) use crate::sweep::Millis;

/// The connections of a server, swept for deadlines.
pub(crate) type ConnectionSet = Set<Rc<Http1Connection>, End>;

/// What the connections of a server have in common: whether it goes on.
pub(crate) struct End {
    leaving: Cell<Leaving>,
    /// Told when the drain begins.
    drained: Notify,
    /// How many requests there have been.
    served: Cell<u64>,
    /// When the set was made, as [`monotonic`] says.
    began: Nanos,
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

/// Nanoseconds since the set was made, for 584 years.
pub(super) type Nanos = u64;

/// The clock of an `Instant`, as a number: the checked difference of two of them takes 45 instructions more.
#[inline]
fn monotonic() -> Nanos {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as Nanos * 1_000_000_000 + now.tv_nsec as Nanos
}

/// A connection that drains and was busy so short a while ago waits so long for one more request: its client may have
/// sent one before it learns of the end, and could not know whether it was served.
pub(crate) const LAST_REQUEST: Duration = Duration::from_secs(1);

impl Member for Rc<Http1Connection> {
    fn fire(&self, now: Millis) {
        self.check_deadline(now);
        self.check_stalled(now);
    }
}

impl ConnectionSet {
    pub(crate) fn of_server() -> Rc<Self> {
        let (leaving, served) = (Cell::new(Leaving::Not), Cell::new(0));
        Self::new(End { leaving, drained: Notify::new(), served, began: monotonic() })
    }

    /// The time, exactly.
    #[inline]
    pub(super) fn nanos(&self) -> Nanos {
        monotonic() - self.common.began
    }

    #[inline]
    pub(super) fn instant(&self, nanos: Nanos) -> Instant {
        self.started() + Duration::from_nanos(nanos)
    }

    #[inline]
    pub(super) fn count_request(&self) {
        self.common.served.set(self.common.served.get() + 1);
    }

    /// How many requests there have been.
    pub(crate) fn served(&self) -> u64 {
        self.common.served.get()
    }

    /// Whether connections are to end after the response that they are at.
    pub(crate) fn is_draining(&self) -> bool {
        self.common.leaving.get() != Leaving::Not
    }

    /// No connection is kept after the response that it is at, or the next one.
    pub(crate) fn announce_end(&self) {
        self.common.leaving.set(self.common.leaving.get().max(Leaving::Announced));
    }

    /// Lets every connection end after the response that it is at; idle ones end now, or soon if a request may be on
    /// its way.
    pub(crate) fn drain(&self) {
        self.look_at_the_clock();
        self.allow_for(LAST_REQUEST);
        self.common.leaving.set(Leaving::Draining);
        self.common.drained.notify_waiters();
        for connection in self.all() {
            connection.leave_if_idle();
        }
    }

    /// Resolves when the server drains.
    pub(super) async fn draining(self: Rc<Self>) {
        let mut told = pin!(self.common.drained.notified());
        told.as_mut().enable();
        if self.common.leaving.get() != Leaving::Draining {
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
}
