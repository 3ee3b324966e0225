//! Connections that wait for their next request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use rapidhash::fast::RandomState;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};

use super::proxy::Proxy;
use super::tls::TlsConfig;
use crate::ioloop::later;
use crate::iostream::IoStream;
use crate::metrics::{Counted, Value};
use crate::netutil;

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
}

pub(super) struct Pool {
    /// An entry stays when its last connection is taken, until the next sweep: its memory is soon needed again.
    idle: RefCell<HashMap<Rc<Key>, Vec<Idle>, RandomState>>,
    /// Connections kept per key.
    most_per_key: usize,
    longest: Duration,
    /// Whether a task is there that closes what has been idle for too long.
    sweeping: Cell<bool>,
}

struct Idle {
    lease_key: Rc<Key>,
    stream: IoStream,
    until: Instant,
    _counted: Counted,
}

impl Pool {
    pub(super) fn new(most_per_key: usize, longest: Duration) -> Rc<Self> {
        Rc::new(Self { idle: RefCell::default(), most_per_key, longest, sweeping: Cell::new(false) })
    }

    /// The connection that was used last and is still alive.
    pub(super) fn take(self: &Rc<Self>, key: &Key, now: Instant) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        let waiting = idle.get_mut(key)?;
        while let Some(Idle { lease_key, stream, until, .. }) = waiting.pop() {
            if now < until && is_alive(&stream) {
                return Some(Lease::new(stream, lease_key, Rc::clone(self)));
            }
        }
        None
    }

    fn put(self: &Rc<Self>, key: Rc<Key>, stream: IoStream) {
        if self.most_per_key == 0 || !is_alive(&stream) {
            return;
        }
        let until = later(Instant::now(), self.longest);
        {
            let mut idle = self.idle.borrow_mut();
            let counted = Counted::new(Value::ClientConnectionsIdle);
            let idle_one = Idle { lease_key: Rc::clone(&key), stream, until, _counted: counted };
            match idle.get_mut(&*key) {
                Some(waiting) => {
                    if waiting.len() >= self.most_per_key {
                        waiting.remove(0);
                    }
                    waiting.push(idle_one);
                }
                None => {
                    idle.insert(key, vec![idle_one]);
                }
            }
        }
        if !self.sweeping.replace(true) {
            drop(netutil::spawn(sweep(Rc::downgrade(self), self.longest)));
        }
    }

    pub(super) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    pub(super) fn len(&self) -> usize {
        self.idle.borrow().values().map(Vec::len).sum()
    }

    /// Closes what has been idle for too long or has died; says whether anything is left.
    fn sweep(&self) -> bool {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        idle.retain(|_, waiting| {
            waiting.retain(|idle| now < idle.until && is_alive(&idle.stream));
            !waiting.is_empty()
        });
        !idle.is_empty()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.len()).finish_non_exhaustive()
    }
}

async fn sweep(pool: Weak<Pool>, longest: Duration) {
    // Twice per lifetime, so that nothing stays for more than one and a half.
    let interval = (longest / 2).clamp(Duration::from_millis(50), Duration::from_secs(3600));
    loop {
        sleep(interval).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.sweep() {
            pool.sweeping.replace(false);
            return;
        }
    }
}

/// Whether a connection on which nothing is outstanding can take a request: bytes that wait on it belong to nobody, so
/// the next response could not be told from them.
fn is_alive(stream: &IoStream) -> bool {
    if stream.closed() || !stream.read_buffer().is_empty() || stream.writing() {
        return false;
    }
    stream.poll_fill(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// A connection in use, and what it takes up: closed when dropped, kept when [given back](Self::give_back).
pub(super) struct Lease {
    stream: IoStream,
    key: Rc<Key>,
    pool: Rc<Pool>,
    /// One of `max_clients`.
    permit: Option<OwnedSemaphorePermit>,
    counted: Counted,
}

impl Lease {
    pub(super) fn new(stream: IoStream, key: Rc<Key>, pool: Rc<Pool>) -> Self {
        Self { stream, key, pool, permit: None, counted: Counted::new(Value::ClientConnectionsBusy) }
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
        let Self { stream, key, pool, permit, counted } = self;
        drop(counted);
        pool.put(key, stream);
        // The slot is free once the connection can be had: whoever waits for it finds it.
        drop(permit);
    }
}
