//! Connections that wait for their next request.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};

use super::origins::Origins;
use super::proxy::Proxy;
use super::tls::TlsConfig;
use crate::iostream::IoStream;
use crate::metrics::{Counted, Value};
use crate::netutil;
use crate::pool::Pool;

/// Whatever makes two connections interchangeable: a request never travels on a connection that was made with other
/// settings (Tornado 6.5.7).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) proxy: Option<Proxy>,
    pub(super) interface: Option<IpAddr>,
    pub(super) allow_ipv6: bool,
    pub(super) tls: Option<TlsConfig>,
    pub(super) offer: Offer,
}

impl Key {
    /// The key of connections to the same place that speak HTTP/1.1, whatever else the server can.
    pub(super) fn over_http1(&self) -> Self {
        Self { offer: Offer::Http1, ..self.clone() }
    }
}

/// What a request can be sent over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Offer {
    /// HTTP/1.1 only.
    Http1,
    /// What the server chooses by ALPN.
    Both,
    /// HTTP/2, without asking (RFC 9113 §3.3).
    Http2,
}

/// A connection that waits for its next request.
struct Kept {
    stream: IoStream,
    _counted: Counted,
}

impl Kept {
    fn is_alive(&self) -> bool {
        is_alive(&self.stream)
    }
}

/// The connections of a client.
pub(super) struct Connections {
    idle: RefCell<Pool<Key, Kept>>,
    pub(super) origins: Origins,
    /// Whether a task is there that closes what has been idle for too long.
    sweeping: Cell<bool>,
}

impl Connections {
    pub(super) fn new(most_per_key: usize, longest: Duration) -> Rc<Self> {
        let idle = RefCell::new(Pool::new(most_per_key, longest));
        Rc::new(Self { idle, origins: Origins::default(), sweeping: Cell::new(false) })
    }

    /// The connection that was used last and is still alive.
    ///
    /// The kernel is asked whether something has come on it: that may have been since the loop last waited, and would be
    /// read as the response to the next request. So octets behind a response that has no body (to HEAD, a 204, a 304),
    /// however late they come, do no harm up to this moment. Those that come when the next request has been sent cannot be
    /// told from its response: HTTP/1.1 numbers nothing. (nginx, HAProxy and hyper keep such connections too.)
    pub(super) fn take(self: &Rc<Self>, key: &Key, now: Instant) -> Option<Lease> {
        let is_fit =
            |kept: &Kept| is_free(&kept.stream) && kept.stream.is_at_rest() && kept.stream.is_quiet();
        let (key, kept) = self.idle.borrow_mut().take(key, now, is_fit)?;
        Some(Lease::new(kept.stream, key, Rc::clone(self)))
    }

    fn put(self: &Rc<Self>, key: Rc<Key>, stream: IoStream) {
        if !is_alive(&stream) {
            return;
        }
        let kept = Kept { stream, _counted: Counted::new(Value::ClientConnectionsIdle) };
        let displaced = self.idle.borrow_mut().put(key, kept, Instant::now());
        drop(displaced);
        if self.idle.borrow().len() > 0 {
            self.start_sweeping();
        }
    }

    /// Something is there that is not to be kept for ever.
    pub(super) fn start_sweeping(self: &Rc<Self>) {
        if !self.sweeping.replace(true) {
            let idle = self.idle.borrow();
            drop(netutil::spawn(sweep(Rc::downgrade(self), idle.interval(), idle.longest())));
        }
    }

    pub(super) fn clear(&self) {
        self.idle.borrow_mut().clear();
        self.origins.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.idle.borrow().len() + self.origins.idle()
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("idle", &self.len()).finish_non_exhaustive()
    }
}

async fn sweep(connections: Weak<Connections>, interval: Duration, longest: Duration) {
    loop {
        sleep(interval).await;
        let Some(connections) = connections.upgrade() else { return };
        let now = Instant::now();
        let is_any_idle = connections.idle.borrow_mut().sweep(now, Kept::is_alive);
        if !connections.origins.sweep(now, longest) && !is_any_idle {
            connections.sweeping.replace(false);
            return;
        }
    }
}

/// Whether a connection on which nothing is outstanding can take a request: bytes that wait on it belong to nobody, so
/// the next response could not be told from them. From now on it wakes nobody.
fn is_alive(stream: &IoStream) -> bool {
    is_free(stream) && stream.poll_fill(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// Whether nothing is left of what was sent and received.
fn is_free(stream: &IoStream) -> bool {
    !stream.is_closed() && stream.read_buffer().is_empty() && !stream.is_writing()
}

/// A connection in use, and what it takes up: closed when dropped, kept when [given back](Self::give_back).
pub(super) struct Lease {
    stream: IoStream,
    key: Rc<Key>,
    connections: Rc<Connections>,
    /// One of `max_clients`.
    permit: Option<OwnedSemaphorePermit>,
    counted: Counted,
}

impl Lease {
    pub(super) fn new(stream: IoStream, key: Rc<Key>, connections: Rc<Connections>) -> Self {
        let counted = Counted::new(Value::ClientConnectionsBusy);
        Self { stream, key, connections, permit: None, counted }
    }

    pub(super) fn stream(&self) -> &IoStream {
        &self.stream
    }

    /// From now on the connection holds the slot of its request.
    pub(super) fn hold(&mut self, permit: Option<OwnedSemaphorePermit>) {
        self.permit = permit;
    }

    /// The exchange is complete; the connection may serve the next.
    pub(super) fn give_back(self) {
        let Self { stream, key, connections, permit, counted } = self;
        drop(counted);
        connections.put(key, stream);
        // The slot is free once the connection can be had: whoever waits for it finds it.
        drop(permit);
    }
}
