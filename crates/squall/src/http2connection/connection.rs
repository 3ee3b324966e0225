//! One HTTP/2 connection, as its streams and its server's set see it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{FlowControl, Reason, RecvStream};
use http::Method;
use tokio::time::Instant;

use super::body::Data;
use super::convert::{self, Refusal};
use super::frames::Frames;
use super::server::Server;
use super::stream::{Stream, StreamTask};
use super::window::Window;
use crate::http1::ParseError;
use crate::http1connection::kinds;
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
    /// What is seen of them before the machine gets them.
    frames: Rc<RefCell<Frames>>,
    window: Window,
    /// Streams whose data is taken as it comes, bodies and tunnels, by their numbers.
    receiving: RefCell<Vec<(u32, FlowControl)>>,
    /// The task that drives the machine.
    task: Cell<Option<Waker>>,
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
        Rc::new(Self {
            stream,
            server,
            context,
            order: Cell::new(Order::Serve),
            frames: Rc::default(),
            window,
            receiving: RefCell::default(),
            task: Cell::default(),
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

    pub(super) fn frames(&self) -> Rc<RefCell<Frames>> {
        Rc::clone(&self.frames)
    }

    /// Whether what stands behind a stream's body is malformed. Asked once, when it is taken.
    pub(super) fn has_malformed_trailers(&self, stream: u32) -> bool {
        self.frames.borrow_mut().take_malformed(stream)
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

    /// The window that each stream should have.
    pub(super) fn window(&self) -> u32 {
        self.window.wanted()
    }

    /// The data of a stream is taken from here on.
    pub(super) fn receive(&self, body: &mut RecvStream) {
        let mut flow = body.flow_control().clone();
        let _ = flow.release_capacity(0);
        self.receiving.borrow_mut().push((body.stream_id().into(), flow));
    }

    pub(super) fn stop_receiving(&self, stream: u32) {
        let mut receiving = self.receiving.borrow_mut();
        let found = receiving.iter().position(|&(receives, _)| receives == stream);
        let flow = found.map(|at| receiving.swap_remove(at));
        drop(receiving);
        drop(flow);
    }

    /// The client has new windows. A smaller one takes away what a stream had, and may leave it with nothing though all was
    /// taken that came: `h2` opens the window for what is taken from then on, and then none of it would come.
    pub(super) fn reopen_windows(&self) {
        for (_, flow) in self.receiving.borrow_mut().iter_mut() {
            // An error is that of the stream, which is told where it is read.
            let _ = flow.release_capacity(0);
        }
    }

    pub(super) fn change_window(&self, change: impl FnOnce(&Window) -> bool) {
        if change(&self.window) {
            self.wake();
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
    pub(super) fn enter_tunnel(self: &Rc<Self>, body: &mut RecvStream) -> InTunnel {
        self.tunnels.set(self.tunnels.get() + 1);
        self.receive(body);
        InTunnel(Rc::clone(self), body.stream_id().into())
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
        request: http::Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        now: Instant,
        cx: &mut Context<'_>,
    ) {
        if self.is_overrun() {
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        if self.server.set.is_leaving() {
            // As HTTP/1 keeps no connection after the response.
            self.drain();
        }
        self.server.set.count_request();
        self.last_busy.set(now);
        let (mut parts, body) = request.into_parts();
        // A tunnel for another protocol (RFC 8441 §4): a GET that asks for an upgrade, as over HTTP/1.1.
        let protocol = parts.extensions.remove::<Protocol>();
        if let Some(protocol) = &protocol {
            if protocol.as_str() != "websocket" {
                // RFC 9220 §3.
                return Self::answer(respond, 501, "Unknown :protocol", false);
            }
            parts.method = Method::GET;
        }
        let is_head = parts.method == Method::HEAD;
        let limits = &self.server.limits;
        // What follows a CONNECT is the tunnel's, and no body that an answer has to wait for (RFC 9113 §8.5).
        let is_empty = body.is_end_stream() || protocol.is_some() || parts.method == Method::CONNECT;
        let mut request = HttpServerRequest::pooled();
        let head = request.head_mut();
        match convert::request_head(&parts, is_empty, limits.max_header_count, head) {
            Ok(_) if protocol.is_some() => {
                convert::ask_for_websocket(&mut head.headers);
                let stream = Stream::new(Rc::clone(self), respond, head, Some(body));
                self.serve(stream, request, BodyKind::None, None, cx);
            }
            Ok(kind) => {
                let stream = Stream::new(Rc::clone(self), respond, head, None);
                self.serve(stream, request, kind, Some(body), cx);
            }
            Err(refusal) => self.refuse(refusal, respond, is_head),
        }
    }

    fn serve(
        &self,
        stream: Rc<Stream>,
        mut request: HttpServerRequest,
        kind: BodyKind,
        body: Option<RecvStream>,
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
                Some(Rest::Message(message)) => body.map(|body| -> Pin<Box<dyn Future<Output = ()>>> {
                    Box::pin(async move {
                        let source = Data::new(&carrier, body);
                        exchange::receive(&*carrier, message, Incoming { kind, source, inflater }).await;
                    })
                }),
            };
        StreamTask::start(stream, work, cx);
    }

    /// Answers what is not passed on.
    fn refuse(&self, refusal: Refusal, mut respond: SendResponse<Bytes>, is_head: bool) {
        let remote = self.remote_ip();
        match refusal {
            Refusal::Malformed(what) => {
                tracing::info!(target: log::GENERAL, "Malformed HTTP/2 request from {remote}: {what}");
                respond.send_reset(Reason::PROTOCOL_ERROR);
            }
            Refusal::TooManyFields => {
                let error = ParseError::TooManyHeaders;
                tracing::info!(target: log::GENERAL, "Malformed HTTP message from {remote}: {error}");
                Self::answer(respond, error.status(), &error.explain(&self.server.limits, 0), is_head);
            }
        }
    }

    fn answer(mut respond: SendResponse<Bytes>, status: u16, text: &str, is_head: bool) {
        let Some((head, body)) = convert::refusal(status, text, is_head) else { return };
        // Small enough for what every stream has room for; if not, the client sees the end of it missing.
        let sent = respond.send_response(head, body.is_empty());
        let _ = sent.and_then(|mut rest| if body.is_empty() { Ok(()) } else { rest.send_data(body, true) });
    }
}

/// A place among the tunnels of a connection.
pub(super) struct InTunnel(Rc<Connection>, u32);

impl Drop for InTunnel {
    fn drop(&mut self) {
        self.0.tunnels.set(self.0.tunnels.get().saturating_sub(1));
        self.0.stop_receiving(self.1);
        self.0.last_busy.set(Instant::now());
        // What it waits for may be this.
        self.0.wake();
    }
}
