//! Closing the sockets of a server that goes away, a few at a time.

use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::random;
use super::set::SocketSet;
use super::socket::WebSocket;
use crate::httputil::Detached;
use crate::netutil::spawn;

/// "Going away" (RFC 6455 §7.4.1).
const GOING_AWAY: u16 = 1001;

/// So many sockets are closed in a second, unless the window is too short for that: each of them comes back, to a server
/// that has just been started perhaps.
const PER_SECOND: u32 = 500;

/// How often sockets are looked for that were opened after the end began.
const LATE: Duration = Duration::from_millis(100);

impl SocketSet {
    /// Closes all sockets with 1001, at random moments of `window` (less if they are few), and those that are opened
    /// later as they come.
    pub(crate) fn leave(self: &Rc<Self>, window: Duration) {
        let count = u32::try_from(self.len()).unwrap_or(u32::MAX);
        let window = window.min(Duration::from_secs(1).saturating_mul(count) / PER_SECOND);
        if window.is_zero() {
            self.close_all(GOING_AWAY, "");
        }
        spawn(leave(Rc::downgrade(self), window));
    }
}

impl Detached for SocketSet {
    fn count(&self) -> usize {
        self.len()
    }

    fn cut(&self) {
        self.all().iter().for_each(WebSocket::abort);
    }
}

async fn leave(set: Weak<SocketSet>, window: Duration) {
    let started = Instant::now();
    let mut departures: Vec<(Instant, WebSocket)> = set.upgrade().map_or_else(Vec::new, |set| {
        set.all().into_iter().map(|socket| (started + window.mul_f64(random::fraction()), socket)).collect()
    });
    departures.sort_by_key(|(at, _)| *at);
    for (at, socket) in departures {
        tokio::time::sleep_until(at).await;
        socket.close(GOING_AWAY, "");
    }
    loop {
        match set.upgrade() {
            Some(set) => set.close_all(GOING_AWAY, ""),
            None => return,
        }
        tokio::time::sleep(LATE).await;
    }
}
