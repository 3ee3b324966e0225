//! One connection to a server, as those see it who have requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::convert::Request;
use super::driver::Driver;
use super::ends::Ends;
use super::exchange::Exchange;
use super::failure::Failure;
use super::heard::Heard;
use super::settings::{MOST_STREAMS, Settings};
use super::sink::Sink;
use crate::iostream::IoStream;
use crate::metrics::{Counted, Value};
use crate::netutil;

/// A connection to a server. Takes no more requests when it is dropped; those under way go on.
pub(crate) struct Session(Rc<Link>);

/// What its users, its requests and its driver share.
pub(super) struct Link {
    stream: IoStream,
    settings: Settings,
    /// The way to new streams, until it takes no more.
    requests: RefCell<Option<SendRequest<Bytes>>>,
    /// The connection has ended.
    over: Cell<bool>,
    /// How many requests are under way.
    open: Cell<usize>,
    /// How many there may be.
    most: Cell<usize>,
    /// Who waits for a place is told when there is one, in the order of asking.
    room: Notify,
    waiting: Cell<usize>,
    /// Whether the server's first settings have come, and who waits for them.
    is_told: Cell<bool>,
    told: Notify,
    /// How many of the requests are tunnels.
    tunnels: Cell<usize>,
    /// How often something has come.
    heard: Cell<u64>,
    ends: RefCell<Ends>,
    /// Somebody doubts that the server is there.
    doubted: Cell<bool>,
    /// The task that drives the machine.
    task: Cell<Option<Waker>>,
    idle_since: Cell<Instant>,
    counted: Cell<Option<Counted>>,
}

impl Session {
    /// Begins to speak HTTP/2 on a connection. Does not wait for the server.
    ///
    /// # Errors
    /// When the connection fails.
    pub(crate) async fn begin(stream: IoStream, settings: Settings) -> Result<Rc<Self>, Failure> {
        let builder = settings.builder();
        let link = Rc::new(Link {
            stream: stream.clone(),
            settings,
            requests: RefCell::default(),
            over: Cell::new(false),
            open: Cell::new(0),
            // The first request need not wait for the server's word on how many there may be.
            most: Cell::new(1),
            room: Notify::new(),
            waiting: Cell::new(0),
            is_told: Cell::new(false),
            told: Notify::new(),
            tunnels: Cell::new(0),
            heard: Cell::new(0),
            ends: RefCell::new(Ends::new()),
            doubted: Cell::new(false),
            task: Cell::default(),
            idle_since: Cell::new(Instant::now()),
            counted: Cell::new(Some(Counted::new(Value::ClientConnectionsIdle))),
        });
        let heard = Heard::new(stream, Rc::clone(&link));
        let (requests, machine) = builder.handshake::<_, Bytes>(heard).await?;
        link.requests.replace(Some(requests));
        drop(netutil::spawn(Driver::new(Rc::clone(&link), machine).run()));
        Ok(Rc::new(Self(link)))
    }

    /// Whether it takes further requests, be it later.
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// A place for a request, unless there is none or others wait for it.
    pub(crate) fn try_place(&self) -> Option<Place> {
        if self.0.waiting.get() > 0 { None } else { self.0.try_place() }
    }

    /// A place as soon as it is this one's turn; `None` when the connection takes no more requests. Cancel safe, but for
    /// the turn.
    pub(crate) async fn place(&self) -> Option<Place> {
        self.0.waiting.set(self.0.waiting.get() + 1);
        let waiting = Waiting(&self.0);
        loop {
            let told = self.0.room.notified();
            if let Some(place) = self.0.try_place() {
                drop(waiting);
                // There may be room for the next one, too.
                self.0.tell_room();
                return Some(place);
            }
            if !self.is_open() {
                return None;
            }
            told.await;
        }
    }

    /// Whether the server has said how many requests there may be.
    pub(crate) fn is_told(&self) -> bool {
        self.0.is_told.get()
    }

    /// Since when nothing is under way.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        (self.0.open.get() == 0 && self.0.waiting.get() == 0).then(|| self.0.idle_since.get())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Counts one who waits, until it is dropped.
struct Waiting<'a>(&'a Link);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

impl Link {
    pub(super) fn stream(&self) -> &IoStream {
        &self.stream
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    pub(super) fn is_open(&self) -> bool {
        !self.over.get() && self.requests.borrow().is_some()
    }

    pub(super) fn hear(&self, bytes: &[u8]) {
        self.heard.set(self.heard.get().wrapping_add(1));
        self.ends.borrow_mut().read(bytes);
    }

    /// Whether the server is to be asked for a sign of life.
    pub(super) fn take_doubt(&self) -> bool {
        self.doubted.take()
    }

    pub(super) fn park(&self, cx: &Context<'_>) {
        let parked = self.task.take().filter(|waker| waker.will_wake(cx.waker()));
        self.task.set(Some(parked.unwrap_or_else(|| cx.waker().clone())));
    }

    fn wake(&self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    /// The server's settings have come.
    pub(super) fn tell_settings(&self) {
        if !self.is_told.replace(true) {
            self.told.notify_waiters();
        }
    }

    /// The server says how many streams there may be.
    pub(super) fn set_most(&self, most: usize) {
        let most = most.min(MOST_STREAMS);
        if self.most.replace(most) < most {
            self.tell_room();
        }
    }

    /// Whether the machine takes no more streams, for a GOAWAY or an error, or because their numbers are used up.
    pub(super) fn is_spent(&self, cx: &mut Context<'_>) -> bool {
        let mut requests = self.requests.borrow_mut();
        requests
            .as_mut()
            .is_some_and(|requests| matches!(requests.poll_ready(cx), std::task::Poll::Ready(Err(_))))
    }

    /// Takes no more requests, and ends when those under way have.
    pub(super) fn leave(&self) {
        let requests = self.requests.take();
        if requests.is_some() {
            drop(requests);
            self.room.notify_waiters();
            self.told.notify_waiters();
            self.wake();
        }
    }

    /// The connection has ended.
    pub(super) fn end(&self) {
        self.over.set(true);
        self.leave();
        drop(self.counted.take());
        self.stream.close();
    }

    fn try_place(self: &Rc<Self>) -> Option<Place> {
        if !self.is_open() || self.open.get() >= self.most.get() {
            return None;
        }
        if self.open.get() == 0 {
            drop(self.counted.replace(Some(Counted::new(Value::ClientConnectionsBusy))));
        }
        self.open.set(self.open.get() + 1);
        Some(Place { link: Rc::clone(self), heard: 0, is_complete: true, is_tunnel: false })
    }

    /// Whoever is told and finds no room waits again.
    fn tell_room(&self) {
        if self.waiting.get() > 0 && self.open.get() < self.most.get() {
            self.room.notify_one();
        }
    }

    fn free_place(&self) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.idle_since.set(Instant::now());
            if !self.over.get() {
                drop(self.counted.replace(Some(Counted::new(Value::ClientConnectionsIdle))));
            }
            if !self.settings.keeps && self.waiting.get() == 0 {
                self.leave();
            }
            // It may wait for just that.
            self.wake();
        }
        self.tell_room();
    }
}

/// Room for one request on a connection, until it is dropped.
pub(crate) struct Place {
    link: Rc<Link>,
    /// What had been heard of the server when the request went out.
    heard: u64,
    /// No answer is waited for.
    is_complete: bool,
    /// It is one of the connection's tunnels.
    is_tunnel: bool,
}

impl Place {
    /// Whether a tunnel can be asked for (RFC 8441 §3). Waits until the server has said whether it makes any; of one whose
    /// connection has ended it is left to [`send`](Self::send) to tell. Tunnels last: they are given half of the streams
    /// that the server allows, so that there is always room for requests. Cancel safe.
    pub(crate) async fn take_tunnel(&mut self) -> bool {
        let link = &self.link;
        loop {
            let told = link.told.notified();
            if !link.is_open() {
                return true;
            }
            if link.is_told.get() {
                break;
            }
            told.await;
        }
        let requests = link.requests.borrow();
        let makes_tunnels = requests.as_ref().is_some_and(SendRequest::is_extended_connect_protocol_enabled);
        let is_room = link.tunnels.get() < link.most.get().div_ceil(2);
        if makes_tunnels && is_room && !self.is_tunnel {
            self.is_tunnel = true;
            link.tunnels.set(link.tunnels.get() + 1);
        }
        self.is_tunnel
    }

    /// Sends the head of a request. Its body goes into the sink, unless there is none.
    ///
    /// # Errors
    /// When the request cannot be written, or the connection takes no more.
    pub(crate) fn send(mut self, request: Request<'_>, is_all: bool) -> Result<(Exchange, Sink), Failure> {
        let is_forwarded = request.is_forwarded;
        let head = request.into_head().map_err(Failure::Request)?;
        // A clone, since none may be borrowed while the machine works.
        let Some(mut requests) = self.link.requests.borrow().clone() else { return Err(Failure::leaving()) };
        match requests.send_request(head, is_all) {
            Ok((response, sink)) => {
                self.heard = self.link.heard.get();
                self.is_complete = false;
                Ok((Exchange::new(response, self, is_forwarded), Sink::new(sink)))
            }
            // Nothing of it was sent. That the numbers of streams are used up is one of them.
            Err(_) => {
                self.link.leave();
                Err(Failure::leaving())
            }
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.link.settings
    }

    /// Whether this stream was reset when all of its answer had come.
    pub(super) fn was_whole(&self, stream: h2::StreamId) -> bool {
        self.link.ends.borrow().was_whole(stream.into())
    }

    pub(super) fn stream(&self) -> &IoStream {
        &self.link.stream
    }

    /// The answer has come to its end.
    pub(super) fn complete(&mut self) {
        self.is_complete = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Given up, and nothing at all was heard since: the server may be gone without a word, and then the requests
        // that come after this one would find out one by one.
        if !self.is_complete && self.heard == self.link.heard.get() && !self.link.over.get() {
            self.link.doubted.set(true);
            self.link.wake();
        }
        if self.is_tunnel {
            self.link.tunnels.set(self.link.tunnels.get() - 1);
        }
        self.link.free_place();
    }
}
