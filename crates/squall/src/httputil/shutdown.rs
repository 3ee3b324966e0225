//! What a server that ends tells its delegates.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// The end of a server, as [`on_shutdown`](super::HttpServerConnectionDelegate::on_shutdown) is told.
///
/// Connections that speak HTTP are the server's own business. Those that were taken out of it with
/// [`HttpConnection::detach`](super::HttpConnection::detach) are known to the delegate only, which is to end them, and to
/// say with [`wait_for`](Self::wait_for) whom the server has to wait for.
pub struct Shutdown {
    window: Duration,
    detached: RefCell<Vec<Rc<dyn Detached>>>,
}

/// Connections that a delegate has taken out of HTTP.
pub trait Detached {
    /// How many are open.
    fn count(&self) -> usize;

    /// Ends them now; the time is up.
    fn cut(&self);
}

impl Shutdown {
    pub(crate) fn new(window: Duration) -> Self {
        Self { window, detached: RefCell::default() }
    }

    /// Over how long a time the ends are to be spread, so that not all clients come back elsewhere at once. Zero for
    /// none.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// Has the server wait until these are closed, and cut them when its time is up.
    pub fn wait_for(&self, detached: Rc<dyn Detached>) {
        self.detached.borrow_mut().push(detached);
    }

    /// How many are still open.
    pub(crate) fn open(&self) -> usize {
        self.detached.borrow().iter().map(|detached| detached.count()).sum()
    }

    /// Ends those that are open, and says how many there were.
    pub(crate) fn cut(&self) -> usize {
        let open = self.open();
        let detached = self.detached.take();
        detached.iter().for_each(|detached| detached.cut());
        open
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").field("window", &self.window).finish_non_exhaustive()
    }
}
