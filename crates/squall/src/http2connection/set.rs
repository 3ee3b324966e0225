//! All HTTP/2 connections of one server, to end them together.

use std::rc::Rc;

use super::connection::Connection;
use crate::http1connection::End;
use crate::sweep::{self, Member, Millis, Set};

/// The connections of a server, swept for deadlines.
pub(crate) type ConnectionSet = Set<Rc<Connection>, End>;

/// The place of a connection in its server's set.
pub(super) type Place = sweep::Place<Rc<Connection>, End>;

impl Member for Rc<Connection> {
    fn is_due(&self, now: Millis) -> bool {
        Connection::is_due(self, now)
    }

    fn fire(&self, _now: Millis) {
        self.call_to_look();
    }
}

impl ConnectionSet {
    /// Adds a connection for as long as its place is kept.
    pub(super) fn enter(self: &Rc<Self>, connection: Rc<Connection>) -> Place {
        if self.is_draining() {
            connection.drain();
        }
        self.place(connection)
    }

    /// Lets every connection end when its streams have; new ones are refused (GOAWAY).
    pub(crate) fn drain(&self) {
        self.begin_drain();
        self.all().iter().for_each(|connection| connection.drain());
    }

    /// Ends every connection now. Says how many there were, and how many requests were under way.
    pub(crate) fn cut_all(&self) -> (usize, usize) {
        let connections = self.all();
        let requests = connections.iter().map(|connection| connection.cut()).sum();
        (connections.len(), requests)
    }
}
