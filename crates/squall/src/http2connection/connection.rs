//! One HTTP/2 connection, as its streams and its server's set see it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use super::body::Data;
use super::convert;
use super::server::Server;
use super::stream::{Stream, StreamTask};
use super::window::Window;
use crate::http1connection::kinds;
use crate::http2::Reason;
use crate::http2::server::{Asked, Machine};
use crate::httputil::exchange::{self, Incoming, Rest};
use crate::httputil::inflate::Inflater;
use crate::httputil::{BodyKind, HttpServerRequest, Pending, RequestContext};
use crate::iostream::IoStream;
use crate::log;
use crate::metrics::{self, Counted};
use crate::sweep::Millis;

pub(crate) struct Connection {
    stream: IoStream,
    server: Rc<Server>,
    context: RequestContext,
    order: Cell<Order>,
    machine: RefCell<Machine>,
    window: Window,
    /// The task that drives the machine.
    task: Cell<Option<Waker>>,
    /// It is at work, and will send whatever there is.
    is_driven: Cell<bool>,
    /// Those that wait for something.
    streams: RefCell<Vec<Weak<Stream>>>,
    /// How many exchanges wait for something.
    open: Cell<usize>,
    /// How many streams were taken out of HTTP, and are not at their end.
    tunnels: Cell<usize>,
    last_busy: Cell<Instant>,
    /// When its task is to look at the clock, and whether it is to do so now.
    next_look: Cell<Option<Millis>>,
    is_to_look: Cell<bool>,
    /// Since a look found output waiting: how much the kernel had taken then.
    stall: Cell<Option<(u64, Instant)>>,
    _counted: Counted,
}

/// What a connection is told to do, ever more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    Serve,
    /// End when the streams have.
    Drain,
    Cut,
}

impl Connection {
    pub(super) fn new(stream: IoStream, server: Rc<Server>, context: RequestContext) -> Rc<Self> {
        let (open, opened) = kinds(context.protocol);
        metrics::add(opened, 1);
        let window = Window::new(server.options.stream_window, server.options.largest_window());
        let machine = RefCell::new(Machine::new(server.options.settings(&server.limits)));
        Rc::new(Self {
            stream,
            server,
            context,
            order: Cell::new(Order::Serve),
            machine,
            window,
            task: Cell::default(),
            is_driven: Cell::new(false),
            streams: RefCell::default(),
            open: Cell::new(0),
            tunnels: Cell::new(0),
            last_busy: Cell::new(Instant::now()),
            next_look: Cell::new(None),
            is_to_look: Cell::new(false),
            stall: Cell::new(None),
            _counted: Counted::new(open),
        })
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    pub(super) fn remote_ip(&self) -> IpAddr {
        self.context.remote_ip
    }

    pub(super) fn remote_address(&self) -> Option<SocketAddr> {
        self.context.remote_port.map(|port| SocketAddr::new(self.context.remote_ip, port))
    }

    /// Does something with the machine. Nobody is woken while it is borrowed, and its task sends what there is to be sent.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Machine) -> R) -> R {
        let mut machine = self.machine.borrow_mut();
        let result = act(&mut machine);
        let is_to_send = (!machine.outgoing().is_empty() || machine.is_turn_due()) && !self.is_driven.get();
        let woken = machine.has_woken().then(|| machine.take_woken());
        drop(machine);
        woken.into_iter().flatten().for_each(Waker::wake);
        if is_to_send {
            self.wake();
        }
        result
    }

    /// The task that drives the machine begins its turn, or ends it: what it is told meanwhile it sends by itself.
    pub(super) fn set_driven(&self, is_driven: bool) {
        self.is_driven.set(is_driven);
    }

    /// Sends what there is to be sent, as much as the kernel takes; false when it has not taken all. The task is woken when it has,
    /// or when the stream is closed, of which all has been sent that ever will be.
    pub(super) fn flush(&self, cx: &mut Context<'_>) -> bool {
        if self.stream.is_writing() {
            // An error is that of the stream, which is told where it is read.
            let _ = self.stream.poll_flush(cx);
        }
        if !self.stream.is_writing() {
            self.send();
        }
        let backlog = if self.stream.is_writing() { self.stream.write_buffer_len() } else { 0 };
        let is_turn_due = self.with(|machine| {
            machine.set_backlog(backlog);
            machine.is_turn_due()
        });
        if is_turn_due {
            // Behind those that were called.
            cx.waker().wake_by_ref();
        }
        if backlog > 0 {
            let _ = self.stream.poll_flush(cx);
        }
        backlog == 0
    }

    fn send(&self) {
        let mut machine = self.machine.borrow_mut();
        let outgoing = machine.outgoing();
        if outgoing.is_empty() {
            return;
        }
        let sent = match outgoing.as_one() {
            Some(bytes) => self.stream.try_write(bytes),
            None => self.stream.try_write_vectored(&outgoing.slices()),
        };
        match sent {
            Ok(sent) if sent == outgoing.len() => outgoing.clear(),
            // What is left goes in its order, and the future is for who waits for that.
            Ok(sent) => outgoing.drain_behind(sent, |rest| drop(self.stream.write_bytes(rest))),
            // Nobody is there.
            Err(_) => outgoing.clear(),
        }
    }

    pub(super) fn stream(&self) -> &IoStream {
        &self.stream
    }

    pub(super) fn park(&self, cx: &Context<'_>) {
        let parked = self.task.take().filter(|waker| waker.will_wake(cx.waker()));
        self.task.set(Some(parked.unwrap_or_else(|| cx.waker().clone())));
    }

    pub(super) fn take_order(&self) -> Order {
        self.order.get()
    }

    pub(super) fn drain(&self) {
        self.tell(Order::Drain);
    }

    /// Says how many requests were under way.
    pub(super) fn cut(&self) -> usize {
        self.tell(Order::Cut);
        self.open.get()
    }

    fn tell(&self, order: Order) {
        self.order.set(self.order.get().max(order));
        self.wake();
    }

    fn wake(&self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    /// Has the task look at the clock after this time, up to two sweeps of the set late; `None` for never.
    pub(super) fn look_in(&self, time: Option<Duration>) {
        self.next_look.set(time.and_then(|time| self.server.set.deadline(time)));
    }

    /// As [`look_in`](Self::look_in), unless it will do so earlier.
    pub(super) fn look_within(&self, time: Duration) {
        let deadline = self.server.set.deadline(time);
        if self.next_look.get().is_none_or(|next| deadline.is_some_and(|deadline| !next.is_due(deadline))) {
            self.next_look.set(deadline);
        }
    }

    pub(super) fn is_due(&self, now: Millis) -> bool {
        self.next_look.get().is_some_and(|next| next.is_due(now))
    }

    pub(super) fn call_to_look(&self) {
        self.next_look.set(None);
        self.is_to_look.set(true);
        self.wake();
    }

    pub(super) fn take_call(&self) -> bool {
        self.is_to_look.take()
    }

    pub(super) fn change_window(&self, change: impl FnOnce(&Window) -> bool) {
        if change(&self.window) {
            self.with(|machine| machine.set_window(self.window.wanted()));
        }
    }

    /// `None` when the connection is cut before `future` is ready.
    pub(super) async fn unless_cut<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            self.park(cx);
            if self.order.get() == Order::Cut {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// The client cannot be reached any longer.
    pub(super) fn end(&self) {
        let streams = self.streams.take();
        streams.iter().filter_map(Weak::upgrade).for_each(|stream| stream.lose());
    }

    pub(super) fn abort(&self) {
        self.stream.abort();
    }

    /// Whether nothing is under way, nor anything of a response on its way to a slow client.
    pub(super) fn is_idle(&self) -> bool {
        self.open.get() == 0 && self.tunnels.get() == 0 && !self.stream.is_writing()
    }

    /// Counts a tunnel for as long as what is given lives.
    pub(super) fn enter_tunnel(self: &Rc<Self>, id: u32) -> InTunnel {
        self.tunnels.set(self.tunnels.get() + 1);
        self.with(|machine| machine.want_tunnel(id));
        InTunnel(Rc::clone(self), id)
    }

    /// When a connection has had nothing to do for too long.
    pub(super) fn idle_until(&self) -> Option<Instant> {
        let patience = self.server.limits.idle_connection_timeout?;
        self.last_busy.get().checked_add(patience)
    }

    pub(super) fn enter(&self, stream: &Rc<Stream>) {
        self.open.set(self.open.get() + 1);
        let mut streams = self.streams.borrow_mut();
        // Not each time: what has ended is swept out when it is half of all.
        if streams.len() >= 2 * self.open.get() + 8 {
            streams.retain(|stream| stream.strong_count() > 0);
        }
        streams.push(Rc::downgrade(stream));
    }

    pub(super) fn leave(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        self.last_busy.set(Instant::now());
        if self.with(|machine| machine.is_done()) {
            // Nothing but this was waited for.
            self.wake();
        }
    }

    /// Gives up what takes none of its output; false when that is the whole connection.
    pub(super) fn check(&self, now: Instant) -> bool {
        let Some(patience) = self.server.limits.write_timeout else { return true };
        let streams: Vec<Rc<Stream>> = self.streams.borrow().iter().filter_map(Weak::upgrade).collect();
        for stream in streams {
            stream.check_stalled(now, patience);
        }
        if !self.stream.is_writing() {
            self.stall.set(None);
            return true;
        }
        let flushed = self.stream.flushed();
        match self.stall.get() {
            Some((before, since)) if before == flushed => {
                let patient = now.duration_since(since) < patience;
                if !patient {
                    tracing::info!(target: log::GENERAL, "{} takes no output", self.remote_ip());
                }
                patient
            }
            _ => {
                self.stall.set(Some((flushed, now)));
                true
            }
        }
    }

    /// Whether too many handlers are at work. A stream that the client has reset counts no longer as one, but its handler
    /// goes on: without a limit, a client that asks and resets has as many of them as it likes (CVE-2023-44487).
    fn is_overrun(&self) -> bool {
        self.open.get() >= 2 * self.server.options.max_concurrent_streams as usize
    }

    /// Begins the exchange of a request, and ends it if nothing has to be waited for.
    pub(super) fn begin(
        self: &Rc<Self>,
        id: u32,
        mut request: HttpServerRequest,
        asked: Asked,
        now: Instant,
        cx: &mut Context<'_>,
    ) {
        if self.is_overrun() {
            return self.with(|machine| machine.reset(id, Reason::REFUSED_STREAM));
        }
        if self.server.set.is_leaving() {
            // As HTTP/1 keeps no connection after the response.
            self.drain();
        }
        self.server.set.count_request();
        self.last_busy.set(now);
        match asked {
            Asked::Request(kind) => {
                let stream = Stream::new(Rc::clone(self), id, request.head_mut(), false);
                self.serve(stream, request, kind, cx);
            }
            // A GET that asks for an upgrade, as over HTTP/1.1.
            Asked::Tunnel => {
                let head = request.head_mut();
                head.method = Method::GET;
                convert::ask_for_websocket(&mut head.headers);
                let stream = Stream::new(Rc::clone(self), id, head, true);
                self.serve(stream, request, BodyKind::None, cx);
            }
            Asked::UnknownProtocol => self.answer(id, 501, "Unknown :protocol", false),
            Asked::Refused(error, method) => {
                let remote = self.remote_ip();
                tracing::info!(target: log::GENERAL, "Malformed HTTP message from {remote}: {error}");
                let text = error.explain(&self.server.limits, 0);
                self.answer(id, error.status(), &text, method == Method::HEAD);
            }
            // The machine has seen to them.
            Asked::Malformed(_) | Asked::FarTooLarge => {}
        }
    }

    fn serve(
        &self,
        stream: Rc<Stream>,
        mut request: HttpServerRequest,
        kind: BodyKind,
        cx: &mut Context<'_>,
    ) {
        let inflates = kind != BodyKind::None && self.server.limits.decompress;
        let inflater = if inflates { Inflater::for_request(request.head_mut()) } else { None };
        let arrived = self.last_busy.get().into_std();
        request.arrived(self.context, stream.handle(), arrived);
        let carrier = Rc::clone(&stream);
        let work: Pending<'static> =
            match exchange::start(&*stream, &*self.server.delegate, request, kind, cx) {
                None => None,
                Some(Rest::Work(work)) => Some(Box::pin(async move {
                    exchange::work(&*carrier, work).await;
                })),
                Some(Rest::Message(message)) => Some(Box::pin(async move {
                    let source = Data::new(&carrier);
                    exchange::receive(&*carrier, message, Incoming { kind, source, inflater }).await;
                })),
            };
        StreamTask::start(stream, work, cx);
    }

    /// Answers what is not passed on.
    fn answer(&self, id: u32, status: u16, text: &str, is_head: bool) {
        self.with(|machine| {
            convert::refuse(machine, id, status, text, is_head);
            machine.let_go(id);
        });
    }
}

/// A place among the tunnels of a connection.
pub(super) struct InTunnel(Rc<Connection>, u32);

impl Drop for InTunnel {
    fn drop(&mut self) {
        self.0.tunnels.set(self.0.tunnels.get().saturating_sub(1));
        self.0.with(|machine| machine.let_go(self.1));
        self.0.last_busy.set(Instant::now());
        // What it waits for may be this.
        self.0.wake();
    }
}
