//! The task of one connection: takes requests from the machine, and looks at the clock.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Connection, Order};
use super::doorbell::Doorbell;
use super::options::Http2Options;
use super::set::ConnectionSet;
use crate::http1connection::linger;
use crate::http2::Reason;
use crate::http2::server::{Event, Machine};
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

/// Serves a connection until it is closed. What the client sends first is to be the preface of HTTP/2.
pub(crate) async fn serve(stream: IoStream, server: Rc<Server>, context: RequestContext) {
    let connection = Connection::new(stream.clone(), Rc::clone(&server), context);
    let place = server.set.enter(Rc::clone(&connection));
    let mut driver = Driver::new(Rc::clone(&connection));
    let ended = poll_fn(|cx| driver.poll(cx)).await;
    drop(driver);
    connection.end();
    if ended == Ended::Told {
        // Else what the client still sends would reset the connection, and the reset overtake the last GOAWAY.
        connection.unless_cut(Box::pin(linger(&stream))).await;
    }
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

/// How far the reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    /// Nothing more has come, and the task is woken when it does.
    All,
    /// The machine takes no more before it has been looked at.
    Some,
    /// The client has closed its side, or is gone.
    Ended,
}

struct Driver {
    connection: Rc<Connection>,
    doorbell: Arc<Doorbell>,
    /// It rings it.
    waker: Waker,
    /// A fault has been logged.
    is_told: bool,
    /// When it is told to end for its age.
    old_at: Option<Instant>,
    /// It was told to end.
    farewell: Option<Instant>,
    /// The client has said that it opens no more streams.
    left: Option<Instant>,
    /// When the last PING went out, if it is not answered yet.
    pinged: Option<Instant>,
    next_ping: Option<Instant>,
    /// What a look found begun and not whole, and since when it is.
    unfinished: Option<(u64, Instant)>,
    /// So much has come of a frame that is not whole.
    rest: usize,
}

impl Driver {
    fn new(connection: Rc<Connection>) -> Self {
        let now = Instant::now();
        let options = &connection.server().options;
        let old_at = options.stretched_age().and_then(|age| now.checked_add(age));
        let next_ping = options.keep_alive_interval.and_then(|interval| now.checked_add(interval));
        // Nobody's, until there is a task.
        let doorbell = Doorbell::new(Waker::noop());
        let driver = Self {
            connection,
            waker: Waker::from(Arc::clone(&doorbell)),
            doorbell,
            is_told: false,
            old_at,
            farewell: None,
            left: None,
            pinged: None,
            next_ping,
            unfinished: None,
            rest: 0,
        };
        driver.connection.with(Machine::greet);
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
        self.connection.set_driven(true);
        let polled = self.take_turns(cx);
        self.connection.set_driven(false);
        polled
    }

    fn take_turns(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
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
            let read = self.read(cx);
            let begun = self.begin(cx);
            let is_flushed = self.connection.flush(cx);
            if read == Read::Ended {
                return Poll::Ready(Ended::Gone);
            }
            if let Some(end) = self.end_if_done(is_flushed) {
                return Poll::Ready(end);
            }
            match read {
                // Others have their turn.
                Read::Some if begun => cx.waker().wake_by_ref(),
                // What stopped it has gone out.
                Read::Some if is_flushed && !self.is_told => continue,
                _ => {}
            }
            self.notice(is_flushed);
            if !self.connection.take_call() {
                return Poll::Pending;
            }
            if !self.look() {
                return Poll::Ready(Ended::Gone);
            }
        }
    }

    /// Has the machine read what has come.
    fn read(&mut self, cx: &mut Context<'_>) -> Read {
        let stream = self.connection.stream();
        loop {
            let (rest, is_stopped) = self.connection.with(|machine| {
                let mut buffer = stream.read_buffer();
                let taken = machine.read(buffer.as_slice());
                if taken > 0 {
                    buffer.consume(taken);
                }
                (buffer.len(), machine.is_stopped())
            });
            if is_stopped {
                return Read::Some;
            }
            match stream.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return Read::Ended,
                Poll::Pending => {
                    self.rest = rest;
                    return Read::All;
                }
            }
        }
    }

    /// Begins the requests that have come. All that had come with them was read before, so that those are not begun that
    /// were reset at once, and their answers go out together.
    fn begin(&mut self, cx: &mut Context<'_>) -> bool {
        let mut now = None;
        while let Some(event) = self.connection.with(Machine::next_event) {
            match event {
                Event::Request { id, request, asked } => {
                    let now = *now.get_or_insert_with(Instant::now);
                    self.connection.begin(id, request, asked, now, cx);
                }
                Event::Malformed(what) => {
                    let remote = self.connection.remote_ip();
                    tracing::info!(target: log::GENERAL, "Malformed HTTP/2 request from {remote}: {what}");
                }
            }
        }
        if now.is_some() {
            self.look_soon();
        }
        now.is_some()
    }

    /// Whether the connection is over, and how.
    fn end_if_done(&mut self, is_flushed: bool) -> Option<Ended> {
        let (fault, is_greeted, is_done) =
            self.connection.with(|machine| (machine.fault(), machine.is_greeted(), machine.is_done()));
        if let Some(reason) = fault.filter(|_| !self.is_told) {
            self.is_told = true;
            let remote = self.connection.remote_ip();
            let what = if is_greeted { "HTTP/2" } else { "HTTP/2 preface" };
            tracing::info!(target: log::GENERAL, "Malformed {what} from {remote}: {reason}");
            // Nobody has the time that a fault gives.
            self.connection.end();
            self.look_soon();
        }
        (is_done && is_flushed).then_some(Ended::Told)
    }

    /// Has the clock looked at where something is under way of which no request knows.
    fn notice(&mut self, is_flushed: bool) {
        let rest = self.rest;
        let (unfinished, goodbye, pong) = self.connection.with(|machine| {
            (machine.unfinished(rest).is_some(), machine.take_goodbye(), machine.take_pong())
        });
        if goodbye {
            self.left.get_or_insert_with(Instant::now);
        }
        if pong {
            self.pinged = None;
            let interval = self.connection.server().options.keep_alive_interval;
            self.next_ping = interval.and_then(|interval| Instant::now().checked_add(interval));
        }
        // Answers to SETTINGS and PING too, of which no request knows: their client may take none of them. Nor does one know of
        // a head that does not come to its end.
        if goodbye || unfinished || !is_flushed {
            self.look_soon();
        }
    }

    /// Has the client open no more streams; those that it has go on.
    fn bid_farewell(&mut self) {
        if self.farewell.is_none() {
            self.farewell = Some(Instant::now());
            self.connection.with(Machine::bid_farewell);
            self.look_soon();
        }
    }

    /// Ends it as fast as the client can be told.
    fn cut(&mut self, cx: &mut Context<'_>) {
        self.connection.end();
        self.connection.with(|machine| machine.fail(Reason::NO_ERROR));
        // Once: what the kernel does not take now it does not get.
        self.connection.flush(cx);
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
            self.connection.with(Machine::rest);
        }
        if self.farewell.or(self.left).is_some_and(|since| is_idle && now.duration_since(since) >= FAREWELL) {
            return false;
        }
        let idle_until = self.connection.idle_until();
        if is_idle && idle_until.is_some_and(|end| end <= now) || self.old_at.is_some_and(|end| end <= now) {
            self.bid_farewell();
        }
        if self.is_head_late(now) {
            self.connection.with(|machine| machine.fail(Reason::ENHANCE_YOUR_CALM));
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
        let rest = self.rest;
        let unfinished = self.connection.with(|machine| machine.unfinished(rest)).filter(|_| !self.is_told);
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
        let rest = self.rest;
        let is_unfinished = self.connection.with(|machine| machine.unfinished(rest)).is_some();
        let is_busy = !self.connection.is_idle() || is_unfinished;
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
        if self.next_ping.is_some_and(|at| at <= now) {
            self.connection.with(Machine::ping);
            self.pinged = Some(now);
        }
        true
    }
}
