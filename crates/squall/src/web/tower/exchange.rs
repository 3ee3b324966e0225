//! The response half of a request to an application as a tower service.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use http_body::{Body, Frame};
use tokio::sync::Notify;

use super::service::ServiceError;
use crate::http1::encode::{BodyEncoder, ForResponse, encode_head};
use crate::httputil::exchange::{BodyRefusal, Carrier};
use crate::httputil::{
    ConnectionLimits, HttpHeaders, HttpOutputError, HttpTransport, ResponseStartLine, SealedTransport,
    StreamId, field_map,
};
use crate::iostream::{IoStream, StreamClosedError, StreamError};

/// The caller's end of an exchange: the call itself, then the body of the response. Dropping it tells the application
/// that the client has left.
pub(super) struct Caller(pub(super) Rc<Exchange>);

impl Drop for Caller {
    fn drop(&mut self) {
        let exchange = &self.0;
        exchange.leaving.gone.set(true);
        let writer = {
            let mut state = exchange.state.borrow_mut();
            state.lost = !state.pieces.is_empty();
            state.pieces.clear();
            state.writer.take()
        };
        wake(writer);
        exchange.leaving.notify.notify_waiters();
    }
}

/// The response half of one request, between the application and the service's caller.
pub(super) struct Exchange {
    state: RefCell<State>,
    limits: Rc<ConnectionLimits>,
    max_body_size: Cell<u64>,
    /// A response to `HEAD` has no body.
    pub(super) is_head: Cell<bool>,
    leaving: Rc<Leaving>,
    /// So many handles are there with which it can be answered.
    handles: Cell<u32>,
    /// The task that drives it, while it waits.
    driver: Cell<Option<Waker>>,
}

/// Whether the service's caller still wants the response.
#[derive(Default)]
struct Leaving {
    gone: Cell<bool>,
    notify: Notify,
}

impl Leaving {
    async fn wait(&self) {
        loop {
            let left = self.notify.notified();
            if self.gone.get() {
                return;
            }
            left.await;
        }
    }
}

#[derive(Default)]
struct State {
    head: Option<Response<()>>,
    /// How the body is framed, once the head is written: the rules for what fits a Content-Length are HTTP/1's.
    framing: Option<BodyEncoder>,
    pieces: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    finished: bool,
    aborted: bool,
    /// The caller left without having taken everything.
    lost: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    /// Whether a piece of the body of this length is to be had, by the rules of its framing.
    fn admit(&mut self, length: usize) -> Result<bool, HttpOutputError> {
        let Some(framing) = &mut self.framing else { return Err(HttpOutputError::OutOfOrder) };
        // There are no chunks here, and so nothing around a piece.
        framing.begin_piece(&mut Vec::new(), length as u64).inspect_err(|_| {
            self.aborted = true;
            wake(self.reader.take());
        })
    }

    fn push(&mut self, piece: Bytes) {
        self.pieces.push_back(piece);
        wake(self.reader.take());
    }
}

impl Exchange {
    /// The state, while the caller takes more of a body.
    fn writable(&self) -> Result<RefMut<'_, State>, HttpOutputError> {
        let state = self.state.borrow_mut();
        match () {
            () if self.leaving.gone.get() || state.aborted => Err(HttpOutputError::Closed),
            () if state.finished => Err(HttpOutputError::OutOfOrder),
            () => Ok(state),
        }
    }

    pub(super) fn new(limits: Rc<ConnectionLimits>) -> Self {
        Self {
            state: RefCell::default(),
            max_body_size: Cell::new(limits.max_body_size),
            limits,
            is_head: Cell::new(false),
            leaving: Rc::default(),
            handles: Cell::new(0),
            driver: Cell::new(None),
        }
    }

    pub(super) fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Option<Response<()>>> {
        let mut state = self.state.borrow_mut();
        if let Some(head) = state.head.take() {
            return Poll::Ready(Some(head));
        }
        if state.finished || state.aborted {
            return Poll::Ready(None);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ServiceError>>> {
        let mut state = self.state.borrow_mut();
        if let Some(piece) = state.pieces.pop_front() {
            if state.pieces.is_empty() {
                wake(state.writer.take());
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if state.aborted {
            state.finished = true;
            state.aborted = false;
            return Poll::Ready(Some(Err(ServiceError(()))));
        }
        if state.finished {
            return Poll::Ready(state.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Answers what the application is not to see, or no more of.
    pub(super) fn answer(&self, status: StatusCode) {
        let mut state = self.state.borrow_mut();
        if state.framing.is_none() {
            let mut head = Response::new(());
            *head.status_mut() = status;
            head.headers_mut().insert(header::CONTENT_LENGTH, 0.into());
            state.framing = Some(BodyEncoder::Length(0));
            state.head = Some(head);
            state.finished = true;
        } else {
            state.aborted = true;
        }
        wake(state.reader.take());
    }

    /// Has this task woken when the response is over, or cannot be given any more.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        self.driver.set(Some(cx.waker().clone()));
    }

    pub(super) fn caller_left(&self) -> impl Future<Output = ()> + use<> {
        let leaving = Rc::clone(&self.leaving);
        async move { leaving.wait().await }
    }

    fn end(&self) {
        let mut state = self.state.borrow_mut();
        if !state.finished {
            state.aborted = true;
        }
        wake(state.reader.take());
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

pub(super) struct EndOnDrop(pub(super) Rc<Exchange>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl SealedTransport for Exchange {}

impl HttpTransport for Exchange {
    fn write_headers(
        &self,
        _id: StreamId,
        start: ResponseStartLine<'_>,
        headers: &HttpHeaders,
        body: &[u8],
    ) -> Result<(), HttpOutputError> {
        let mut state = self.state.borrow_mut();
        if self.leaving.gone.get() || state.aborted {
            return Err(HttpOutputError::Closed);
        }
        if state.framing.is_some() {
            return Err(HttpOutputError::OutOfOrder);
        }
        // The head itself is not needed, and without a chunked coding a body of any length is taken as it is.
        let request = ForResponse { http11: false, is_head: self.is_head.get(), keep_alive: false };
        let facts = match encode_head(&mut Vec::new(), request, start, headers) {
            Ok(facts) => facts,
            Err(error) => {
                state.aborted = true;
                wake(state.reader.take());
                return Err(error);
            }
        };
        state.framing = Some(facts.body);
        if state.admit(body.len())? {
            state.push(Bytes::copy_from_slice(body));
        }
        let length = headers.list("Content-Length");
        // Checked with the framing; what cannot be read there is an error, what is told for HEAD is passed on.
        let length = field_map::content_length(length).ok().flatten();
        let mut head = Response::new(());
        // The application's statuses are from 200 to 999, which are all that there are.
        *head.status_mut() = StatusCode::from_u16(start.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *head.headers_mut() = field_map::to_map(headers, length).map_err(|_| HttpOutputError::OutOfOrder)?;
        state.head = Some(head);
        wake(state.reader.take());
        Ok(())
    }

    fn write(&self, _id: StreamId, data: &[u8]) -> Result<(), HttpOutputError> {
        let mut state = self.writable()?;
        if state.admit(data.len())? {
            state.push(Bytes::copy_from_slice(data));
        }
        Ok(())
    }

    fn write_bytes(&self, _id: StreamId, data: Bytes) -> Result<(), HttpOutputError> {
        let mut state = self.writable()?;
        if state.admit(data.len())? {
            state.push(data);
        }
        Ok(())
    }

    /// There is no wire to be raw on.
    fn write_raw(&self, _id: StreamId, _data: &[u8]) -> Result<(), HttpOutputError> {
        Err(HttpOutputError::OutOfOrder)
    }

    fn finish(&self, id: StreamId) -> Result<(), HttpOutputError> {
        self.finish_with(id, &HttpHeaders::new())
    }

    fn finish_with(&self, _id: StreamId, trailers: &HttpHeaders) -> Result<(), HttpOutputError> {
        let mut state = self.state.borrow_mut();
        let framing = match state.framing {
            _ if state.aborted => return Err(HttpOutputError::Closed),
            Some(framing) if !state.finished => framing,
            _ => return Err(HttpOutputError::OutOfOrder),
        };
        let finished = framing.finish(&mut Vec::new());
        match finished {
            Ok(()) => {
                state.finished = true;
                // What has no body has nothing behind it either.
                let has_place = matches!(framing, BodyEncoder::Length(_) | BodyEncoder::UntilClose);
                let trailers = field_map::to_trailers(trailers).unwrap_or_default();
                state.trailers = Some(trailers).filter(|trailers| has_place && !trailers.is_empty());
            }
            Err(_) => state.aborted = true,
        }
        wake(state.reader.take());
        wake(self.driver.take());
        finished
    }

    fn abort(&self, _id: StreamId) {
        let mut state = self.state.borrow_mut();
        state.aborted = true;
        wake(state.reader.take());
        wake(self.driver.take());
    }

    fn poll_flush(&self, _id: StreamId, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let mut state = self.state.borrow_mut();
        if state.lost {
            return Poll::Ready(Err(StreamClosedError::new(None).into()));
        }
        if state.pieces.is_empty() || state.finished {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn closed(&self, _id: StreamId) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(self.caller_left())
    }

    fn retain(&self, _id: StreamId) {
        self.handles.set(self.handles.get() + 1);
    }

    fn release(&self, _id: StreamId) {
        self.handles.set(self.handles.get().saturating_sub(1));
        if self.handles.get() == 0 {
            wake(self.driver.take());
        }
    }

    fn set_max_body_size(&self, _id: StreamId, bytes: u64) {
        self.max_body_size.set(bytes);
    }

    fn max_body_size(&self, _id: StreamId) -> u64 {
        self.max_body_size.get()
    }

    /// The time limits are the outer server's.
    fn set_body_timeout(&self, _id: StreamId, _timeout: Option<Duration>) {}

    fn detach(&self, _id: StreamId) -> io::Result<IoStream> {
        let what = "a tower service has no connection of its own to take over";
        Err(io::Error::new(io::ErrorKind::Unsupported, what))
    }
}

impl Carrier for Exchange {
    type Refusal = BodyRefusal;

    fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    fn max_body_size(&self) -> u64 {
        self.max_body_size.get()
    }

    fn is_open(&self) -> bool {
        let state = self.state.borrow();
        !state.finished && !state.aborted
    }

    fn is_abandoned(&self) -> bool {
        self.handles.get() == 0
    }

    /// What is written is there for the caller to take.
    fn push_out(&self) {}

    fn abort(&self) {
        HttpTransport::abort(self, 0);
    }

    fn refuse(&self, refusal: BodyRefusal) {
        self.answer(match refusal {
            BodyRefusal::TooLarge | BodyRefusal::Inflates => StatusCode::PAYLOAD_TOO_LARGE,
            BodyRefusal::Late => StatusCode::REQUEST_TIMEOUT,
            BodyRefusal::Encoding | BodyRefusal::Trailers => StatusCode::BAD_REQUEST,
        });
    }

    /// The time limits are the outer server's.
    fn set_body_timeout(&self, _timeout: Option<Duration>) {}

    fn begin_wait(&self, _at_most: Option<Duration>) {}

    fn end_wait(&self) {
        self.driver.take();
    }

    fn has_left(&self, _cx: &mut Context<'_>) -> bool {
        self.leaving.gone.get()
    }

    async fn gone(&self) {
        let mut left = pin!(self.caller_left());
        poll_fn(|cx| {
            self.watch(cx);
            left.as_mut().poll(cx)
        })
        .await;
    }
}

/// The body of an application's response. Dropping it tells the handler that the client has left.
pub struct ResponseBody(Caller);

impl ResponseBody {
    pub(super) fn new(caller: Caller) -> Self {
        Self(caller)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ServiceError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ServiceError>>> {
        self.0.0.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.0.state.borrow();
        state.finished && state.pieces.is_empty() && state.trailers.is_none()
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
