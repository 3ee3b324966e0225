//! All connections of one server: closing them together, and the order of its end.

use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::connection::Http1Connection;
use super::end::End;
use crate::sweep::{Member, Set};

pub(super) use crate::sweep::Millis;

/// The connections of a server, swept for deadlines.
pub(crate) type ConnectionSet = Set<Rc<Http1Connection>, End>;

/// Nanoseconds since the set was made, for 584 years.
pub(super) type Nanos = u64;

/// The clock of an `Instant`, as a number: the checked difference of two of them takes 45 instructions more.
#[inline]
pub(super) fn monotonic() -> Nanos {
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
    /// The time, exactly.
    #[inline]
    pub(super) fn nanos(&self) -> Nanos {
        monotonic() - self.common.began
    }

    #[inline]
    pub(super) fn instant(&self, nanos: Nanos) -> Instant {
        self.started() + Duration::from_nanos(nanos)
    }

    /// Lets every connection end after the response that it is at; idle ones end now, or soon if a request may be on
    /// its way.
    pub(crate) fn drain(&self) {
        self.look_at_the_clock();
        self.allow_for(LAST_REQUEST);
        self.begin_drain();
        for connection in self.all() {
            connection.leave_if_idle();
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
