//! One stream: a request, and the response to it.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::{Connection, InTunnel};
use super::output::Output;
use super::tunnel::{Sides, Tunnel};
use super::window::Window;
use crate::http1::ParseError;
use crate::http2::Reason;
use crate::http2::server::{Machine, Piece};
use crate::httputil::exchange::{BodyRefusal, Carrier};
use crate::httputil::{
    ConnectionLimits, HttpConnection, HttpHeaders, HttpOutputError, HttpTransport, Pending, RequestHead,
    ResponseStartLine, SealedTransport, StreamId,
};
use crate::iostream::{IoStream, StreamClosedError, StreamError};
use crate::log;
use crate::metrics::{Counted, Value};

pub(super) struct Stream {
    connection: Rc<Connection>,
    id: u32,
    output: RefCell<Output>,
    max_body_size: Cell<u64>,
    /// The client waits to be told that its body is wanted.
    expects_continue: bool,
    /// When the whole body must have come, and when the piece that is waited for.
    body_deadline: Cell<Option<Instant>>,
    piece_deadline: Cell<Option<Instant>>,
    /// The task that drives the exchange.
    task: Cell<Option<Waker>>,
    /// How many are left who could answer.
    handles: Cell<usize>,
    /// The exchange is over or the client has left.
    is_over: Cell<bool>,
    /// Who waits for that, if anybody does.
    end: OnceCell<Rc<End>>,
    /// Since a look found output waiting: how much had been handed on then.
    stall: Cell<Option<(u64, Instant)>>,
    /// A tunnel is asked for (RFC 8441), and it is none yet.
    asks_for_tunnel: Cell<bool>,
    /// The stream is somebody else's: that tunnel's.
    is_handed_on: Cell<bool>,
    _counted: Counted,
}

/// The end of an exchange, for those who wait for it.
#[derive(Default)]
struct End {
    over: Cell<bool>,
    notify: Notify,
}

impl End {
    fn tell(&self) {
        self.over.set(true);
        self.notify.notify_waiters();
    }

    async fn wait(self: Rc<Self>) {
        loop {
            let told = self.notify.notified();
            if self.over.get() {
                return;
            }
            told.await;
        }
    }
}

impl Stream {
    pub(super) fn new(
        connection: Rc<Connection>,
        id: u32,
        head: &RequestHead,
        asks_for_tunnel: bool,
    ) -> Rc<Self> {
        let expects = head.headers.get("Expect");
        Rc::new(Self {
            id,
            output: RefCell::new(Output::new(id, head.method == http::Method::HEAD, asks_for_tunnel)),
            max_body_size: Cell::new(connection.server().limits.max_body_size),
            expects_continue: expects.is_some_and(|value| value.eq_ignore_ascii_case("100-continue")),
            body_deadline: Cell::default(),
            piece_deadline: Cell::default(),
            task: Cell::default(),
            handles: Cell::new(0),
            is_over: Cell::new(false),
            end: OnceCell::new(),
            stall: Cell::new(None),
            asks_for_tunnel: Cell::new(asks_for_tunnel),
            is_handed_on: Cell::new(false),
            _counted: Counted::new(Value::RequestsInFlight),
            connection,
        })
    }

    /// The application's way back to the client.
    pub(super) fn handle(self: &Rc<Self>) -> HttpConnection {
        let transport: Rc<Self> = Rc::clone(self);
        HttpConnection::new(transport, self.id.into())
    }

    /// The exchange is over, or the client has left.
    fn tell_end(&self) {
        if !self.is_over.replace(true)
            && let Some(end) = self.end.get()
        {
            end.tell();
        }
    }

    /// Nobody answers any longer, or takes what still comes.
    fn let_go(&self) {
        if !self.is_handed_on.get() {
            self.connection.with(|machine| machine.let_go(self.id));
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.output.borrow().is_lost()
    }

    /// When the piece of the body that is waited for must have come.
    ///
    /// Once the response has begun, both sides may be silent for as long as they like, as the client of an event stream or a
    /// WebSocket may: whether a body goes on in such a conversation (gRPC's streams in both directions) is its
    /// application's business. The time for the whole body goes on.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let is_conversation = self.output.borrow().has_begun();
        let piece = self.piece_deadline.get().filter(|_| !is_conversation);
        [self.body_deadline.get(), piece].into_iter().flatten().min()
    }

    pub(super) fn begin_body(&self) {
        self.connection.with(|machine| machine.want(self.id));
        self.connection.change_window(Window::begin);
    }

    pub(super) fn poll_piece(&self, most: usize, cx: &Context<'_>) -> Poll<Piece> {
        self.connection.with(|machine| machine.poll_piece(self.id, most, cx))
    }

    pub(super) fn take_body(&self, bytes: usize) {
        self.connection.change_window(|window| window.take(bytes));
        self.connection.with(|machine| machine.release(self.id, bytes));
    }

    pub(super) fn end_body(&self) {
        self.connection.change_window(Window::end);
    }

    /// Ends the stream so that its response does not look complete.
    fn reset(&self) {
        self.output.borrow_mut().abort();
        self.wake();
    }

    /// The connection is gone.
    pub(super) fn lose(&self) {
        self.output.borrow_mut().lose();
        self.tell_end();
        self.wake();
    }

    /// Gives up a client that takes none of this response, whatever it does with others.
    pub(super) fn check_stalled(&self, now: Instant, patience: Duration) {
        let Some(taken) = self.output.borrow().waits_for_room() else {
            self.stall.set(None);
            return;
        };
        match self.stall.get() {
            Some((before, since)) if before == taken => {
                if now.duration_since(since) >= patience {
                    let remote = self.connection.remote_ip();
                    tracing::info!(target: log::GENERAL, "{remote} takes no output of stream {}", self.id);
                    self.connection.with(|machine| self.output.borrow_mut().cancel(machine));
                    self.tell_end();
                    self.wake();
                }
            }
            _ => self.stall.set(Some((taken, now))),
        }
    }

    fn change<R>(
        &self,
        change: impl FnOnce(&mut Output, &mut Machine) -> Result<R, HttpOutputError>,
    ) -> Result<R, HttpOutputError> {
        let result = self.connection.with(|machine| change(&mut self.output.borrow_mut(), machine));
        self.wake();
        result
    }

    fn wake(&self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    /// Hands on what there is room for; true when the response is complete or given up, and the client knows.
    fn pump(&self, cx: &mut Context<'_>) -> bool {
        let (done, flushed) = self.connection.with(|machine| {
            let mut output = self.output.borrow_mut();
            let done = output.pump(machine, cx);
            (done, output.take_flushed())
        });
        if done {
            self.tell_end();
        }
        flushed.into_iter().for_each(Waker::wake);
        done
    }
}

/// Drives one exchange to its end.
pub(super) struct StreamTask {
    stream: Rc<Stream>,
    work: Pending<'static>,
    /// It is one of those that the connection waits for.
    entered: bool,
}

impl StreamTask {
    /// Goes as far as possible at once; a task is made for the rest, if there is any.
    pub(super) fn start(stream: Rc<Stream>, work: Pending<'static>, cx: &mut Context<'_>) {
        let mut task = Self { stream, work, entered: false };
        if Pin::new(&mut task).poll(cx).is_pending() {
            task.stream.connection.enter(&task.stream);
            task.entered = true;
            tokio::task::spawn_local(task);
        }
    }
}

impl Future for StreamTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Not dropped when the client leaves.
        if let Some(work) = &mut self.work
            && work.as_mut().poll(cx).is_ready()
        {
            self.work = None;
        }
        // After the handler, which may have written.
        if self.stream.pump(cx) && self.work.is_none() {
            return Poll::Ready(());
        }
        // What is written from elsewhere wakes this.
        self.stream.task.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for StreamTask {
    fn drop(&mut self) {
        self.stream.tell_end();
        self.stream.let_go();
        if self.entered {
            self.stream.connection.leave();
        }
    }
}

impl Carrier for Stream {
    type Refusal = BodyRefusal;

    fn limits(&self) -> &ConnectionLimits {
        &self.connection.server().limits
    }

    fn max_body_size(&self) -> u64 {
        self.max_body_size.get()
    }

    fn is_open(&self) -> bool {
        self.output.borrow().is_open()
    }

    fn is_abandoned(&self) -> bool {
        self.handles.get() == 0
    }

    /// The task does that whenever it is polled.
    fn push_out(&self) {}

    fn abort(&self) {
        self.reset();
    }

    fn refuse(&self, refusal: BodyRefusal) {
        let error = ParseError::from(refusal);
        let remote = self.connection.remote_ip();
        tracing::info!(target: log::GENERAL, "Malformed HTTP message from {remote}: {error}");
        let text = error.explain(self.limits(), self.max_body_size.get());
        self.connection.with(|machine| self.output.borrow_mut().refuse(machine, error.status(), &text));
        self.wake();
    }

    fn want_body(&self) {
        if self.expects_continue {
            let start = ResponseStartLine { status: 100, reason: "Continue" };
            // Who cannot be told does not wait for it any longer.
            let _ = self.change(|output, machine| output.write_interim(machine, start, &HttpHeaders::new()));
        }
    }

    fn set_body_timeout(&self, timeout: Option<Duration>) {
        self.body_deadline.set(timeout.and_then(|timeout| Instant::now().checked_add(timeout)));
    }

    fn begin_wait(&self, at_most: Option<Duration>) {
        self.piece_deadline.set(at_most.and_then(|timeout| Instant::now().checked_add(timeout)));
    }

    fn end_wait(&self) {
        self.piece_deadline.set(None);
    }

    fn has_left(&self, _cx: &mut Context<'_>) -> bool {
        self.is_lost()
    }

    /// The task that polls this is woken by whatever changes.
    async fn gone(&self) {
        poll_fn(|_| if self.is_lost() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl SealedTransport for Stream {}

/// What applications hold of it.
impl HttpTransport for Stream {
    fn write_headers(
        &self,
        _id: StreamId,
        start: ResponseStartLine<'_>,
        headers: &HttpHeaders,
        body: &[u8],
    ) -> Result<(), HttpOutputError> {
        self.change(|output, machine| output.write_head(machine, start, headers, body))
    }

    fn write_interim(
        &self,
        _id: StreamId,
        start: ResponseStartLine<'_>,
        headers: &HttpHeaders,
    ) -> Result<(), HttpOutputError> {
        self.change(|output, machine| output.write_interim(machine, start, headers))
    }

    fn write(&self, _id: StreamId, data: &[u8]) -> Result<(), HttpOutputError> {
        self.change(|output, machine| output.write(machine, data))
    }

    fn write_bytes(&self, _id: StreamId, data: Bytes) -> Result<(), HttpOutputError> {
        self.change(|output, machine| output.write_bytes(machine, data))
    }

    /// A stream has frames, and no bytes of its own.
    fn write_raw(&self, _id: StreamId, _data: &[u8]) -> Result<(), HttpOutputError> {
        Err(HttpOutputError::OutOfOrder)
    }

    fn finish(&self, _id: StreamId) -> Result<(), HttpOutputError> {
        self.change(|output, _| output.finish())
    }

    fn finish_with(&self, _id: StreamId, trailers: &HttpHeaders) -> Result<(), HttpOutputError> {
        self.change(|output, _| output.finish_with(trailers))
    }

    fn abort(&self, _id: StreamId) {
        self.reset();
    }

    fn poll_flush(&self, _id: StreamId, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let polled = self.output.borrow_mut().poll_flushed(cx);
        self.wake();
        polled.map(|taken| if taken { Ok(()) } else { Err(StreamClosedError::new(None).into()) })
    }

    fn closed(&self, _id: StreamId) -> Pin<Box<dyn Future<Output = ()>>> {
        if self.is_over.get() {
            return Box::pin(std::future::ready(()));
        }
        Box::pin(Rc::clone(self.end.get_or_init(Rc::default)).wait())
    }

    fn remote_address(&self) -> Option<SocketAddr> {
        self.connection.remote_address()
    }

    fn retain(&self, _id: StreamId) {
        self.handles.set(self.handles.get() + 1);
    }

    fn release(&self, _id: StreamId) {
        self.handles.set(self.handles.get().saturating_sub(1));
        if self.handles.get() == 0 {
            // Nobody is left who could answer.
            self.wake();
        }
    }

    fn is_shutting_down(&self) -> bool {
        self.connection.server().set.is_leaving()
    }

    fn shutdown(&self) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(Rc::clone(&self.connection.server().set).draining())
    }

    fn set_max_body_size(&self, _id: StreamId, bytes: u64) {
        self.max_body_size.set(bytes);
    }

    fn max_body_size(&self, _id: StreamId) -> u64 {
        self.max_body_size.get()
    }

    fn write_timeout(&self) -> Option<Duration> {
        self.connection.server().limits.write_timeout
    }

    fn set_body_timeout(&self, _id: StreamId, timeout: Option<Duration>) {
        Carrier::set_body_timeout(self, timeout);
    }

    fn detach(&self, _id: StreamId) -> io::Result<IoStream> {
        let what = "a stream of HTTP/2 cannot be taken out of its connection";
        Err(io::Error::new(io::ErrorKind::Unsupported, what))
    }

    fn tunnel(&self, _id: StreamId, headers: &HttpHeaders) -> Option<io::Result<IoStream>> {
        if !self.asks_for_tunnel.take() {
            return None;
        }
        let opened = self.change(|output, machine| output.tunnel(machine, headers)).map_err(io::Error::other);
        Some(opened.map(|()| {
            self.is_handed_on.set(true);
            let connection = &self.connection;
            let sides = Ends {
                _place: connection.enter_tunnel(self.id),
                connection: Rc::clone(connection),
                id: self.id,
            };
            Tunnel::open(connection.stream().clone(), sides)
        }))
    }

    fn stream(&self) -> Option<IoStream> {
        Some(self.connection.stream().clone())
    }
}

/// Both sides of a stream that was taken out of HTTP.
struct Ends {
    connection: Rc<Connection>,
    id: u32,
    /// The stream is let go of with it.
    _place: InTunnel,
}

fn is_reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the stream has been reset")
}

impl Sides for Ends {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let polled = self.connection.with(|machine| machine.poll_piece(self.id, usize::MAX, cx));
        polled.map(|piece| match piece {
            Piece::Data(data) => Some(Ok(data)),
            // What stands behind the data is nobody's.
            Piece::Trailers(_) | Piece::End => None,
            Piece::Gone => Some(Err(is_reset())),
        })
    }

    fn release(&mut self, bytes: usize) {
        self.connection.with(|machine| machine.release(self.id, bytes));
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.connection.with(|machine| machine.poll_room(self.id, cx));
        polled.map(|room| room.map(|_| ()).ok_or_else(is_reset))
    }

    fn room(&mut self, wanted: usize) -> usize {
        self.connection.with(|machine| machine.room_of(self.id)).map_or(wanted, |room| room.min(wanted))
    }

    fn send(&mut self, data: Bytes) -> io::Result<()> {
        self.connection.with(|machine| {
            if !machine.is_known(self.id) {
                return Err(is_reset());
            }
            machine.send_data(self.id, data, false);
            Ok(())
        })
    }

    fn end(&mut self) {
        self.connection.with(|machine| machine.send_end(self.id));
    }

    fn reset(&mut self) {
        self.connection.with(|machine| machine.reset(self.id, Reason::CANCEL));
    }
}
