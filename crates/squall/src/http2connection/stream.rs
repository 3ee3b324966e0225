//! One stream: a request, and the response to it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::Connection;
use super::output::Output;
use crate::http1connection::HttpOutputError;
use crate::httputil::{HttpConnection, HttpHeaders, HttpTransport, Pending, ResponseStartLine, StreamId};
use crate::ioloop::log_panic;
use crate::iostream::{IoStream, StreamClosedError, StreamError};
use crate::log;

pub(super) struct Stream {
    connection: Rc<Connection>,
    id: StreamId,
    output: RefCell<Output>,
    pub(super) max_body_size: Cell<u64>,
    pub(super) body_deadline: Cell<Option<Instant>>,
    /// The task that drives the exchange.
    task: Cell<Option<Waker>>,
    /// Nobody is left who could answer.
    abandoned: Cell<bool>,
    end: Rc<End>,
    /// Since a look found output waiting: how much had been handed on then.
    stall: Cell<Option<(u64, Instant)>>,
}

/// Whether the exchange is over or the client has left, and who waits for that.
#[derive(Default)]
struct End {
    over: Cell<bool>,
    notify: Notify,
}

impl End {
    fn tell(&self) {
        if !self.over.replace(true) {
            self.notify.notify_waiters();
        }
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
    pub(super) fn new(connection: Rc<Connection>, respond: SendResponse<Bytes>, is_head: bool) -> Rc<Self> {
        let params = &connection.server().params;
        let body_deadline = params.body_timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Rc::new(Self {
            id: u64::from(u32::from(respond.stream_id())),
            output: RefCell::new(Output::new(respond, is_head)),
            max_body_size: Cell::new(params.max_body_size),
            body_deadline: Cell::new(body_deadline),
            task: Cell::default(),
            abandoned: Cell::new(false),
            end: Rc::default(),
            stall: Cell::new(None),
            connection,
        })
    }

    /// The application's way back to the client.
    pub(super) fn handle(self: &Rc<Self>) -> HttpConnection {
        HttpConnection::new(Rc::new(Handle(Rc::clone(self))), self.id)
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether nothing more can be written.
    pub(super) fn is_over(&self) -> bool {
        self.output.borrow().is_over()
    }

    pub(super) fn is_lost(&self) -> bool {
        self.output.borrow().is_lost()
    }

    /// Ends the stream so that its response does not look complete.
    pub(super) fn reset(&self) {
        self.output.borrow_mut().abort();
        self.wake();
    }

    /// The connection is gone.
    pub(super) fn lose(&self) {
        self.output.borrow_mut().lose();
        self.end.tell();
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
                    self.output.borrow_mut().cancel();
                    self.end.tell();
                    self.wake();
                }
            }
            _ => self.stall.set(Some((taken, now))),
        }
    }

    /// A response of squall's own, unless one has begun.
    pub(super) fn refuse(&self, status: u16, text: &str) {
        self.output.borrow_mut().refuse(status, text);
        self.wake();
    }

    pub(super) fn write_continue(&self) {
        let start = ResponseStartLine { status: 100, reason: "Continue" };
        // Who cannot be told does not wait for it any longer.
        let _ = self.output.borrow_mut().write_interim(start, &HttpHeaders::new());
    }

    fn change<R>(
        &self,
        change: impl FnOnce(&mut Output) -> Result<R, HttpOutputError>,
    ) -> Result<R, HttpOutputError> {
        let result = change(&mut self.output.borrow_mut());
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
        let (done, flushed) = {
            let mut output = self.output.borrow_mut();
            let done = output.pump(cx);
            (done, output.take_flushed())
        };
        if done {
            self.end.tell();
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

    /// The handler; not dropped when the client leaves.
    fn poll_work(&mut self, cx: &mut Context<'_>) {
        let Some(work) = &mut self.work else { return };
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => self.work = None,
            Err(payload) => {
                log_panic("request handler", &*payload);
                self.work = None;
                self.stream.output.borrow_mut().abort();
            }
        }
    }
}

impl Future for StreamTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_work(cx);
        let stream = Rc::clone(&self.stream);
        if self.work.is_none() && stream.abandoned.get() && !stream.is_over() {
            if !stream.is_lost() {
                tracing::error!(target: log::APPLICATION, "Request callback dropped its request without an answer");
            }
            stream.output.borrow_mut().abort();
        }
        // After the handler, which may have written; before it is left, so that a write from elsewhere wakes this.
        stream.task.set(Some(cx.waker().clone()));
        let done = stream.pump(cx);
        if done && self.work.is_none() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for StreamTask {
    fn drop(&mut self) {
        self.stream.end.tell();
        if self.entered {
            self.stream.connection.leave();
        }
    }
}

/// What applications hold of a stream. Without any, it cannot be answered any longer.
struct Handle(Rc<Stream>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.abandoned.set(true);
        self.0.wake();
    }
}

impl HttpTransport for Handle {
    fn write_headers(
        &self,
        _id: StreamId,
        start: ResponseStartLine<'_>,
        headers: &HttpHeaders,
        body: &[u8],
    ) -> Result<(), HttpOutputError> {
        self.0.change(|output| output.write_head(start, headers, body))
    }

    fn write_interim(
        &self,
        _id: StreamId,
        start: ResponseStartLine<'_>,
        headers: &HttpHeaders,
    ) -> Result<(), HttpOutputError> {
        self.0.change(|output| output.write_interim(start, headers))
    }

    fn write(&self, _id: StreamId, data: &[u8]) -> Result<(), HttpOutputError> {
        self.0.change(|output| output.write(data))
    }

    /// A stream has frames, and no bytes of its own.
    fn write_raw(&self, _id: StreamId, _data: &[u8]) -> Result<(), HttpOutputError> {
        Err(HttpOutputError::OutOfOrder)
    }

    fn finish(&self, _id: StreamId) -> Result<(), HttpOutputError> {
        self.0.change(Output::finish)
    }

    fn abort(&self, _id: StreamId) {
        self.0.reset();
    }

    fn poll_flush(&self, _id: StreamId, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let polled = self.0.output.borrow_mut().poll_flushed(cx);
        self.0.wake();
        polled.map(|taken| if taken { Ok(()) } else { Err(StreamClosedError::new(None).into()) })
    }

    fn closed(&self, _id: StreamId) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(Rc::clone(&self.0.end).wait())
    }

    fn is_shutting_down(&self) -> bool {
        self.0.connection.server().set.is_leaving()
    }

    fn shutdown(&self) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(Rc::clone(&self.0.connection.server().set).draining())
    }

    fn set_max_body_size(&self, _id: StreamId, bytes: u64) {
        self.0.max_body_size.set(bytes);
    }

    fn max_body_size(&self, _id: StreamId) -> u64 {
        self.0.max_body_size.get()
    }

    fn write_timeout(&self) -> Option<Duration> {
        self.0.connection.server().params.write_timeout
    }

    fn set_body_timeout(&self, _id: StreamId, timeout: Option<Duration>) {
        self.0.body_deadline.set(timeout.and_then(|timeout| Instant::now().checked_add(timeout)));
    }

    fn detach(&self, _id: StreamId) -> io::Result<IoStream> {
        let what = "a stream of HTTP/2 cannot be taken out of its connection";
        Err(io::Error::new(io::ErrorKind::Unsupported, what))
    }

    fn stream(&self) -> Option<IoStream> {
        Some(self.0.connection.stream().clone())
    }
}
