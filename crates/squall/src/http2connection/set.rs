//! All HTTP/2 connections of one server, to end them together.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

use tokio::sync::Notify;

use super::connection::Connection;

/// The open connections of a server.
#[derive(Default)]
pub(crate) struct ConnectionSet {
    connections: RefCell<BTreeMap<u64, Rc<Connection>>>,
    next: Cell<u64>,
    /// Clients are to come back elsewhere.
    leaving: Cell<bool>,
    draining: Cell<bool>,
    drained: Notify,
    served: Cell<u64>,
}

impl ConnectionSet {
    /// Adds a connection for as long as the member lives.
    pub(super) fn enter(self: &Rc<Self>, connection: Rc<Connection>) -> Member {
        let key = self.next.get();
        self.next.set(key + 1);
        if self.draining.get() {
            connection.drain();
        }
        self.connections.borrow_mut().insert(key, connection);
        Member { set: Rc::clone(self), key }
    }

    /// How many connections are open.
    pub(crate) fn len(&self) -> usize {
        self.connections.borrow().len()
    }

    /// How many requests there have been.
    pub(crate) fn served(&self) -> u64 {
        self.served.get()
    }

    pub(super) fn count_request(&self) {
        self.served.set(self.served.get() + 1);
    }

    /// Whether a connection that has had a request is to end.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    /// No connection is kept that has a request from now on.
    pub(crate) fn announce_end(&self) {
        self.leaving.set(true);
    }

    /// Resolves when the server drains.
    pub(super) async fn draining(self: Rc<Self>) {
        let mut told = pin!(self.drained.notified());
        told.as_mut().enable();
        if !self.draining.get() {
            told.await;
        }
    }

    /// Lets every connection end when its streams have; new ones are refused (GOAWAY).
    pub(crate) fn drain(&self) {
        self.leaving.set(true);
        self.draining.set(true);
        self.drained.notify_waiters();
        self.all().iter().for_each(|connection| connection.drain());
    }

    /// Ends every connection now. Says how many there were, and how many requests were under way.
    pub(crate) fn cut_all(&self) -> (usize, usize) {
        let connections = self.all();
        let requests = connections.iter().map(|connection| connection.cut()).sum();
        (connections.len(), requests)
    }

    fn all(&self) -> Vec<Rc<Connection>> {
        self.connections.borrow().values().map(Rc::clone).collect()
    }
}

/// Takes its connection out of the set when it is dropped.
pub(super) struct Member {
    set: Rc<ConnectionSet>,
    key: u64,
}

impl Drop for Member {
    fn drop(&mut self) {
        let connection = self.set.connections.borrow_mut().remove(&self.key);
        drop(connection); // outside the borrow: closing may run user code
    }
}
