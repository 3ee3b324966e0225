//! The task of one connection: takes requests from the machine, and looks at the clock.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Ping, PingPong, Reason, RecvStream};
use tokio::time::{Instant, timeout};

use super::connection::{Connection, Order};
use super::doorbell::Doorbell;
use super::frames::{Frames, Watched};
use super::options::Http2Options;
use super::set::ConnectionSet;
use crate::http1connection::linger;
use crate::httputil::{ConnectionLimits, HttpServerConnectionDelegate, RequestContext};
use crate::iostream::IoStream;
use crate::log;

/// What all HTTP/2 connections of a server share.
pub(crate) struct Server {
    pub(crate) delegate: Rc<dyn HttpServerConnectionDelegate>,
    pub(crate) limits: ConnectionLimits,
    pub(crate) options: Http2Options,
    pub(crate) set: Rc<ConnectionSet>,
}

/// How long a connection without streams may take to end that was told to, or whose client has said that it will.
const FAREWELL: Duration = Duration::from_secs(10);
/// How often a busy connection is looked at, at the least.
const SLOWEST_LOOK: Duration = Duration::from_secs(1);
const FASTEST_LOOK: Duration = Duration::from_millis(5);
/// How often an idle one is.
const FURTHEST_LOOK: Duration = Duration::from_secs(24 * 3600);
/// So many requests are begun before others get their turn.
const MOST_AT_ONCE: usize = 64;

/// Serves a connection until it is closed. What the client sends first is to be the preface of HTTP/2.
pub(crate) async fn serve(stream: IoStream, server: Rc<Server>, context: RequestContext) {
    let connection = Connection::new(stream.clone(), Rc::clone(&server), context);
    let place = server.set.enter(Rc::clone(&connection));
    // In boxes: the handshake is soon over, and each time the machine is handed on this future would have room for it again.
    if let Some(mut driver) = Box::pin(Driver::shake_hands(&connection)).await {
        let ended = poll_fn(|cx| driver.poll(cx)).await;
        drop(driver);
        connection.end();
        if ended == Ended::Told {
            // Else what the client still sends would reset the connection, and the reset overtake the last GOAWAY.
            connection.unless_cut(Box::pin(linger(&stream))).await;
        }
    }
    connection.end();
    stream.close();
    drop(place);
    server.delegate.on_close();
}

/// How a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The machine has said all that it had to, and closed its side.
    Told,
    /// There is nobody to be told, or no time.
    Gone,
}

type Machine = h2::server::Connection<Watched, Bytes>;

struct Driver {
    connection: Rc<Connection>,
    machine: Machine,
    frames: Rc<RefCell<Frames>>,
    doorbell: Arc<Doorbell>,
    /// It rings it.
    waker: Waker,
    /// The window of a stream, as the client was told last.
    window: u32,
    /// The client has been told of what is wrong with them.
    is_told: bool,
    /// Requests that are to be begun.
    accepted: Vec<(http::Request<RecvStream>, SendResponse<Bytes>)>,
    /// When it is told to end for its age.
    old_at: Option<Instant>,
    /// It was told to end.
    farewell: Option<Instant>,
    /// The client has said that it opens no more streams.
    left: Option<Instant>,
    pings: Option<PingPong>,
    /// When the last PING went out, if it is not answered yet.
    pinged: Option<Instant>,
    next_ping: Option<Instant>,
    /// What a look found begun and not whole, and since when it is.
    unfinished: Option<(u64, Instant)>,
    /// The machine knows that the client has read the settings.
    is_acknowledged: bool,
}

impl Driver {
    /// What comes of the client's preface; nothing when it is none, or does not come in time.
    async fn shake_hands(connection: &Rc<Connection>) -> Option<Box<Self>> {
        let Server { limits, options, .. } = connection.server();
        let watched = Watched::new(connection.stream().clone(), connection.frames());
        let handshake = options.builder(limits.max_header_size).handshake::<_, Bytes>(watched);
        let patience = limits.header_timeout.unwrap_or(Duration::MAX);
        match timeout(patience, connection.unless_cut(handshake)).await {
            Ok(Some(Ok(machine))) => Some(Box::new(Self::new(Rc::clone(connection), machine))),
            Ok(Some(Err(error))) => {
                let remote = connection.remote_ip();
                tracing::info!(target: log::GENERAL, "Malformed HTTP/2 preface from {remote}: {error}");
                None
            }
            Ok(None) | Err(_) => None,
        }
    }

    fn new(connection: Rc<Connection>, mut machine: Machine) -> Self {
        let now = Instant::now();
        let options = &connection.server().options;
        let old_at = options.stretched_age().and_then(|age| now.checked_add(age));
        let next_ping = options.keep_alive_interval.and_then(|interval| now.checked_add(interval));
        let pings = next_ping.and_then(|_| machine.ping_pong());
        // Nobody's, until there is a task.
        let doorbell = Doorbell::new(Waker::noop());
        let driver = Self {
            frames: connection.frames(),
            window: connection.window(),
            connection,
            machine,
            waker: Waker::from(Arc::clone(&doorbell)),
            doorbell,
            is_told: false,
            accepted: Vec::new(),
            old_at,
            farewell: None,
            left: None,
            pings,
            pinged: None,
            next_ping,
            unfinished: None,
            is_acknowledged: false,
        };
        driver.connection.server().set.allow_for(driver.interval() * 8);
        driver.plan_look(now);
        driver
    }

    /// Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if !self.doorbell.is_of(cx.waker()) {
            self.doorbell = Doorbell::new(cx.waker());
            self.waker = Waker::from(Arc::clone(&self.doorbell));
        }
        let waker = self.waker.clone();
        let polled = self.poll_turn(&mut Context::from_waker(&waker));
        self.doorbell.sleep();
        polled
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            self.doorbell.begin();
            self.connection.park(cx);
            match self.connection.take_order() {
                Order::Serve => {}
                Order::Drain => self.bid_farewell(),
                Order::Cut => {
                    self.cut(cx);
                    return Poll::Ready(Ended::Gone);
                }
            }
            let end = self.accept(cx);
            let begun = self.accepted.len();
            if self.frames.borrow_mut().take_goodbye() {
                self.left.get_or_insert_with(Instant::now);
                self.look_soon();
            }
            self.begin(cx);
            if end.is_none() && (self.tell_fault() || self.reopen_windows() || self.tell_window()) {
                continue;
            }
            match end {
                Some(end) => return Poll::Ready(end),
                None if begun == MOST_AT_ONCE => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                // What they have written goes out.
                None if begun > 0 => continue,
                None => {}
            }
            self.poll_pong(cx);
            // Answers to SETTINGS and PING too, of which no request knows: their client may take none of them. Nor does one know of
            // a head that does not come to its end.
            if self.connection.stream().is_writing() || self.frames.borrow().unfinished().is_some() {
                self.look_soon();
            }
            if !self.connection.take_call() {
                return Poll::Pending;
            }
            if !self.look() {
                return Poll::Ready(Ended::Gone);
            }
        }
    }

    /// Takes the requests that have come, before any of them is begun: each look for another writes what there is to be
    /// written, so that a response at a time would be a system call each. Nothing is looked for that has not come.
    fn accept(&mut self, cx: &mut Context<'_>) -> Option<Ended> {
        let end = self.accept_some(cx);
        // When requests were taken, there is another turn, which looks for what has come since.
        self.frames.borrow_mut().pause(false);
        end
    }

    fn accept_some(&mut self, cx: &mut Context<'_>) -> Option<Ended> {
        while self.accepted.len() < MOST_AT_ONCE {
            match self.machine.poll_accept(cx) {
                Poll::Ready(Some(Ok(accepted))) => {
                    self.accepted.push(accepted);
                    let mut frames = self.frames.borrow_mut();
                    if frames.was_last() {
                        return None;
                    }
                    // All that had come was read for the first of them.
                    frames.pause(true);
                }
                Poll::Ready(Some(Err(error))) => return Some(self.failed(&error)),
                Poll::Ready(None) => return Some(Ended::Told),
                Poll::Pending => {
                    // It has looked at all that has come.
                    let mut frames = self.frames.borrow_mut();
                    frames.forget_heads();
                    self.is_acknowledged |= frames.take_acknowledgement();
                    return None;
                }
            }
        }
        None
    }

    fn begin(&mut self, cx: &mut Context<'_>) {
        if self.accepted.is_empty() {
            return;
        }
        let now = Instant::now();
        for (request, respond) in self.accepted.drain(..) {
            self.connection.begin(request, respond, now, cx);
        }
        self.look_soon();
    }

    /// Ends a connection whose frames are wrong, with the error that they are; false when there is nothing new.
    fn tell_fault(&mut self) -> bool {
        let Some(reason) = self.frames.borrow().fault().filter(|_| !self.is_told) else { return false };
        self.is_told = true;
        let remote = self.connection.remote_ip();
        tracing::info!(target: log::GENERAL, "Malformed HTTP/2 from {remote}: {reason}");
        self.machine.abrupt_shutdown(reason);
        self.look_soon();
        true
    }

    /// Looks after the windows when the client has read what it was told of them; false when it has not.
    fn reopen_windows(&mut self) -> bool {
        let is_new = std::mem::take(&mut self.is_acknowledged);
        if is_new {
            self.connection.reopen_windows();
        }
        is_new
    }

    /// Changes the window of the streams, if it should be another. The client must have read what it was told before: till
    /// then nothing happens, and its answer leads here again.
    fn tell_window(&mut self) -> bool {
        let window = self.connection.window();
        if window == self.window || self.machine.set_initial_window_size(window).is_err() {
            return false;
        }
        self.window = window;
        true
    }

    fn failed(&self, error: &h2::Error) -> Ended {
        if error.is_io() {
            return Ended::Gone;
        }
        let remote = self.connection.remote_ip();
        tracing::info!(target: log::GENERAL, "Malformed HTTP/2 from {remote}: {error}");
        Ended::Told
    }

    /// Has the client open no more streams; those that it has go on.
    fn bid_farewell(&mut self) {
        if self.farewell.is_none() {
            self.farewell = Some(Instant::now());
            self.machine.graceful_shutdown();
            self.look_soon();
        }
    }

    /// Ends it as fast as the client can be told.
    fn cut(&mut self, cx: &mut Context<'_>) {
        self.connection.end();
        self.machine.abrupt_shutdown(Reason::NO_ERROR);
        // Once: what the kernel does not take now it does not get.
        let _ = self.machine.poll_closed(cx);
    }

    /// What the clock says; false when the connection is to be given up.
    fn look(&mut self) -> bool {
        let now = Instant::now();
        if !self.connection.check(now) {
            // A reset, since the kernel would keep what it has for such a client much longer.
            self.connection.abort();
            return false;
        }
        let is_idle = self.connection.is_idle();
        if is_idle {
            self.accepted = Vec::new();
        }
        if self.farewell.or(self.left).is_some_and(|since| is_idle && now.duration_since(since) >= FAREWELL) {
            return false;
        }
        let idle_until = self.connection.idle_until();
        if is_idle && idle_until.is_some_and(|end| end <= now) || self.old_at.is_some_and(|end| end <= now) {
            self.bid_farewell();
        }
        if self.is_head_late(now) {
            self.is_told = true;
            self.machine.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
        if !self.ping(now) {
            tracing::info!(target: log::GENERAL, "{} does not answer a PING", self.connection.remote_ip());
            self.connection.abort();
            return false;
        }
        self.plan_look(now);
        true
    }

    /// Whether a head, or another frame that belongs to no body, has been on its way for longer than the head of a request
    /// may be. Nothing else can come before its end.
    fn is_head_late(&mut self, now: Instant) -> bool {
        let unfinished = self.frames.borrow().unfinished().filter(|_| !self.is_told);
        let Some(number) = unfinished else {
            self.unfinished = None;
            return false;
        };
        let (_, since) = *self.unfinished.get_or_insert((number, now));
        if self.unfinished.is_some_and(|(known, _)| known != number) {
            self.unfinished = Some((number, now));
            return false;
        }
        self.connection
            .server()
            .limits
            .header_timeout
            .is_some_and(|longest| now.duration_since(since) >= longest)
    }

    /// The next look is when there is something to be seen, at the latest.
    fn plan_look(&self, now: Instant) {
        let is_busy = !self.connection.is_idle() || self.frames.borrow().unfinished().is_some();
        if is_busy || self.farewell.or(self.left).is_some() || self.pinged.is_some() {
            return self.connection.look_in(Some(self.interval()));
        }
        let ends = [self.connection.idle_until(), self.old_at, self.next_ping];
        let next = ends.into_iter().flatten().min();
        // As far away as the set's clock goes, where the limit is further.
        self.connection.look_in(next.map(|next| next.duration_since(now).min(FURTHEST_LOOK)));
    }

    fn look_soon(&self) {
        self.connection.look_within(self.interval());
    }

    /// Fine enough for the shortest limit.
    fn interval(&self) -> Duration {
        let Server { limits, options, .. } = self.connection.server();
        let shortest = [
            limits.write_timeout,
            limits.header_timeout,
            limits.idle_connection_timeout,
            options.keep_alive_interval.map(|interval| interval.min(options.keep_alive_timeout)),
        ];
        let shortest = shortest.into_iter().flatten().min().unwrap_or(Duration::MAX);
        (shortest / 8).clamp(FASTEST_LOOK, SLOWEST_LOOK)
    }

    /// False when the last one was not answered in time.
    fn ping(&mut self, now: Instant) -> bool {
        let options = &self.connection.server().options;
        if let Some(since) = self.pinged {
            return now.duration_since(since) < options.keep_alive_timeout;
        }
        if let (Some(pings), Some(at)) = (&mut self.pings, self.next_ping)
            && at <= now
            && pings.send_ping(Ping::opaque()).is_ok()
        {
            self.pinged = Some(now);
        }
        true
    }

    fn poll_pong(&mut self, cx: &mut Context<'_>) {
        let Some(pings) = self.pings.as_mut().filter(|_| self.pinged.is_some()) else { return };
        if pings.poll_pong(cx).is_ready() {
            self.pinged = None;
            let interval = self.connection.server().options.keep_alive_interval;
            self.next_ping = interval.and_then(|interval| Instant::now().checked_add(interval));
        }
    }
}
