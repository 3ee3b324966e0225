//! Which version servers speak, and the connections of those that speak HTTP/2: one for each.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use rapidhash::fast::RandomState;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::http2::{Place, Session};
use super::pool::Key;

/// What is known of servers that may speak HTTP/2.
#[derive(Default)]
pub(super) struct Origins {
    known: RefCell<HashMap<Rc<Key>, Rc<Origin>, RandomState>>,
}

/// What is known of one server.
#[derive(Default)]
struct Origin {
    /// Its connection, which may have ended.
    session: RefCell<Option<Rc<Session>>>,
    /// When a connection was made to it that speaks HTTP/1.1.
    http1: Cell<Option<Instant>>,
    /// Somebody makes the first connection.
    connecting: Cell<bool>,
    connected: Notify,
}

impl Origin {
    fn session(&self) -> Option<Rc<Session>> {
        self.session.borrow().as_ref().filter(|session| session.is_open()).map(Rc::clone)
    }
}

/// How a request comes to a connection.
pub(super) enum Course {
    /// It has its place.
    Go(Place),
    /// The connection has as many requests as the server allows.
    Wait(Full),
    /// Another request makes the connection.
    Follow(Following),
    /// It makes the connection, of which the others wait to hear.
    Lead(Lead),
    /// The server is known to speak HTTP/1.1, and has a connection for each.
    Http1,
}

impl Origins {
    pub(super) fn course(&self, key: &Key) -> Course {
        let known = self.known.borrow().get(key).map(Rc::clone);
        let origin = known.unwrap_or_else(|| {
            let origin = Rc::<Origin>::default();
            self.known.borrow_mut().insert(Rc::new(key.clone()), Rc::clone(&origin));
            origin
        });
        if let Some(session) = origin.session() {
            return session.try_place().map_or(Course::Wait(Full(session)), Course::Go);
        }
        if origin.http1.get().is_some() {
            return Course::Http1;
        }
        if origin.connecting.replace(true) {
            Course::Follow(Following(origin))
        } else {
            Course::Lead(Lead(origin))
        }
    }

    /// A connection by HTTP/1.1 was to be made, and the server has changed its mind.
    pub(super) fn settle(&self, key: &Key, session: Rc<Session>) {
        if let Some(origin) = self.known.borrow().get(key) {
            origin.http1.set(None);
            drop(origin.session.replace(Some(session)));
        }
    }

    /// Forgets what nobody has used for so long; says whether anything is left.
    pub(super) fn sweep(&self, now: Instant, longest: Duration) -> bool {
        let is_old = |since: Instant| now.saturating_duration_since(since) >= longest;
        let mut ended = Vec::new();
        let mut known = self.known.borrow_mut();
        known.retain(|_, origin| {
            let is_over = origin
                .session
                .borrow()
                .as_ref()
                .is_some_and(|session| !session.is_open() || session.idle_since().is_some_and(is_old));
            if is_over {
                ended.push(origin.session.take());
            }
            if origin.http1.get().is_some_and(is_old) {
                origin.http1.set(None);
            }
            // Those who wait for it have it, too.
            let is_used = Rc::strong_count(origin) > 1 || origin.connecting.get();
            is_used || origin.http1.get().is_some() || origin.session.borrow().is_some()
        });
        let is_any_left = !known.is_empty();
        drop(known);
        drop(ended); // outside of the borrow
        is_any_left
    }

    /// Keeps no connection any longer; requests under way go on.
    pub(super) fn clear(&self) {
        drop(self.known.take());
    }

    /// How many connections have nothing under way.
    pub(super) fn idle(&self) -> usize {
        let known = self.known.borrow();
        let sessions = known.values().filter_map(|origin| origin.session());
        sessions.filter(|session| session.idle_since().is_some()).count()
    }
}

/// A connection without room.
pub(super) struct Full(Rc<Session>);

impl Full {
    /// Whether the server has said how many requests there may be: before, there is room for one.
    pub(super) fn is_told(&self) -> bool {
        self.0.is_told()
    }

    /// A place, or `None` when the connection takes no more requests.
    pub(super) async fn place(self) -> Option<Place> {
        self.0.place().await
    }
}

/// One who waits for the first connection.
pub(super) struct Following(Rc<Origin>);

impl Following {
    /// Waits until it is made, or was not.
    pub(super) async fn wait(self) {
        let connected = self.0.connected.notified();
        if self.0.connecting.get() {
            connected.await;
        }
    }
}

/// One who makes the first connection. Dropped without one, the next may try.
pub(super) struct Lead(Rc<Origin>);

impl Lead {
    /// The server speaks HTTP/2. A place on the connection, which is this one's first.
    pub(super) fn settle(self, session: Rc<Session>) -> Option<Place> {
        let place = session.try_place();
        drop(self.0.session.replace(Some(session)));
        place
    }

    /// The server speaks HTTP/1.1: everybody makes a connection of their own.
    pub(super) fn settle_http1(self) {
        self.0.http1.set(Some(Instant::now()));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.0.connecting.set(false);
        self.0.connected.notify_waiters();
    }
}
