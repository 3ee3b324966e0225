//! How far a server is on its way to its end, which all its connections have in common, whatever their version.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use tokio::sync::Notify;

use super::set::{Nanos, monotonic};
use crate::sweep::{Member, Set};

/// What the connections of a server have in common: whether it goes on.
pub(crate) struct End {
    leaving: Cell<Leaving>,
    /// Told when the drain begins.
    drained: Notify,
    /// How many requests there have been.
    served: Cell<u64>,
    /// When the set was made, as [`monotonic`] says.
    pub(super) began: Nanos,
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

impl<T: Member> Set<T, End> {
    pub(crate) fn of_server() -> Rc<Self> {
        let (leaving, served) = (Cell::new(Leaving::Not), Cell::new(0));
        Self::new(End { leaving, drained: Notify::new(), served, began: monotonic() })
    }

    #[inline]
    pub(crate) fn count_request(&self) {
        self.common.served.set(self.common.served.get() + 1);
    }

    /// How many requests there have been.
    pub(crate) fn served(&self) -> u64 {
        self.common.served.get()
    }

    /// Whether connections are to end after the response that they are at.
    pub(crate) fn is_leaving(&self) -> bool {
        self.common.leaving.get() != Leaving::Not
    }

    /// Whether they are to end now.
    #[cfg(feature = "http2")]
    pub(crate) fn is_draining(&self) -> bool {
        self.common.leaving.get() == Leaving::Draining
    }

    /// No connection is kept after the response that it is at, or the next one.
    pub(crate) fn announce_end(&self) {
        self.common.leaving.set(self.common.leaving.get().max(Leaving::Announced));
    }

    /// Nothing is waited for any longer; tells [`draining`](Self::draining).
    pub(crate) fn begin_drain(&self) {
        self.common.leaving.set(Leaving::Draining);
        self.common.drained.notify_waiters();
    }

    /// Resolves when the server drains.
    pub(crate) async fn draining(self: Rc<Self>) {
        let mut told = pin!(self.common.drained.notified());
        told.as_mut().enable();
        if self.common.leaving.get() != Leaving::Draining {
            told.await;
        }
    }
}
