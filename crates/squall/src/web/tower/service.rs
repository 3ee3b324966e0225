//! An application as a tower service.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::sync::Notify;
use tower_service::Service;

use super::fields;
use crate::http1::encode::{BodyEncoder, ForResponse, encode_head};
use crate::httpserver::{IntoDelegate, ServerError};
use crate::httputil::{
    BodyKind, HttpConnection, HttpHeaders, HttpOutputError, HttpMessageDelegate, HttpServerConnectionDelegate, HttpServerRequest,
    HttpTransport, RequestContext, RequestHead, ResponseStartLine, Started, StreamId, host,
};
use crate::ioloop::{catch_panic, log_panic};
use crate::iostream::{IoStream, StreamClosedError, StreamError};
use crate::web::Application;

/// An application as a tower service: what [`Application::into_service`] makes. Clones are the same application.
///
/// Like everything here it stays on its thread: it is not `Send`, and has to be called on a current-thread runtime where
/// `spawn_local` works ([`IoLoop`](crate::IoLoop), tokio's `LocalSet` or `LocalRuntime`). The address of the client is
/// taken from an extension of type [`SocketAddr`] or [`IpAddr`] of the request, if there is one.
#[derive(Clone)]
pub struct AppService(Rc<dyn HttpServerConnectionDelegate>);

impl Application {
    /// The application as a tower service, for servers other than [`HttpServer`](crate::HttpServer) (feature `tower`).
    ///
    /// ```
    /// use http_body_util::{BodyExt, Full};
    /// use squall::{Application, Bytes, Context, get};
    /// use tower::ServiceExt;
    ///
    /// # squall::IoLoop::current().run_sync(async {
    /// let app = Application::new([get("/", async |ctx: &Context| { ctx.write("Hello"); Ok(()) })]);
    /// let service = app.into_service().unwrap();
    /// let request = http::Request::get("/").header("Host", "x").body(Full::new(Bytes::new())).unwrap();
    /// let response = service.oneshot(request).await.unwrap();
    /// assert_eq!(response.status(), 200);
    /// assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "Hello");
    /// # }, None).unwrap();
    /// ```
    ///
    /// # Errors
    /// What is wrong with the application.
    pub fn into_service(self) -> Result<AppService, ServerError> {
        Ok(AppService(self.into_delegate()?))
    }
}

impl fmt::Debug for AppService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppService").finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for AppService
where
    B: Body + 'static,
    B::Error: fmt::Display,
{
    type Response = Response<ResponseBody>;
    type Error = ServiceError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, ServiceError>>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ServiceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let delegate = Rc::clone(&self.0);
        let exchange = Rc::new(Exchange::default());
        let caller = Caller(Rc::clone(&exchange));
        tokio::task::spawn_local(async move {
            if let Err(payload) = catch_panic(drive(delegate, exchange, request)).await {
                log_panic("request callback", &*payload);
            }
        });
        Box::pin(async move {
            let head = poll_fn(|cx| caller.0.poll_head(cx)).await.ok_or(ServiceError(()))?;
            Ok(head.map(|()| ResponseBody(caller)))
        })
    }
}

/// The application gave no response, as after a panic below its handlers.
#[derive(Debug)]
pub struct ServiceError(());

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the application gave no response")
    }
}

impl Error for ServiceError {}

/// Runs one request through the application.
async fn drive<B>(delegate: Rc<dyn HttpServerConnectionDelegate>, exchange: Rc<Exchange>, request: Request<B>)
where
    B: Body,
    B::Error: fmt::Display,
{
    // However this ends, the caller is told.
    let _end = EndOnDrop(Rc::clone(&exchange));
    let (parts, body) = request.into_parts();
    let has_body = !body.is_end_stream();
    let (head, length) = match convert(&parts, &body) {
        Ok(converted) => converted,
        Err(what) => {
            tracing::info!(target: crate::log::GENERAL, "a request for the application is refused: {what}");
            return exchange.refuse(StatusCode::BAD_REQUEST);
        }
    };
    exchange.is_head.set(head.method == http::Method::HEAD);
    let connection = HttpConnection::new(Rc::clone(&exchange) as Rc<dyn HttpTransport>, 0);
    let request = HttpServerRequest::new(head, context(&parts), connection, Instant::now());
    let kind = match length {
        _ if !has_body => BodyKind::None,
        Some(length) => BodyKind::Length(length),
        None => BodyKind::Unknown,
    };
    let mut message = match delegate.start_request(request, kind) {
        Started::Message(message) => message,
        Started::Work(None) => return,
        Started::Work(Some(work)) => return work.await,
    };
    if let Some(pending) = message.headers_received() {
        pending.await;
    }
    if has_body {
        match feed(&exchange, &mut *message, body, length).await {
            Fed::Whole => {}
            Fed::Answered => return,
            Fed::CutOff => return message.on_connection_close(),
        }
    }
    if let Some(pending) = message.finish() {
        pending.await;
    }
}

/// How the feeding of a request's body ended.
enum Fed {
    Whole,
    /// The application's response is complete, and the rest of the body of no use.
    Answered,
    CutOff,
}

/// Hands the body to the application, piece by piece, and lets it go on beside that.
async fn feed<B>(
    exchange: &Exchange,
    message: &mut dyn HttpMessageDelegate,
    body: B,
    length: Option<u64>,
) -> Fed
where
    B: Body,
    B::Error: fmt::Display,
{
    let limit = exchange.max_body_size.get();
    if length.is_some_and(|length| length > limit) && !exchange.is_over() {
        exchange.refuse(StatusCode::PAYLOAD_TOO_LARGE);
        return Fed::CutOff;
    }
    let mut body = pin!(body);
    let mut left = pin!(exchange.caller_left());
    let mut seen = 0;
    loop {
        let mut frame = pin!(body.frame());
        let frame = poll_fn(|cx| {
            if exchange.is_over() {
                return Poll::Ready(Next::Answered);
            }
            if let Poll::Ready(frame) = frame.as_mut().poll(cx) {
                return Poll::Ready(Next::Frame(frame));
            }
            message.poll_beside(cx);
            match () {
                () if exchange.is_over() => Poll::Ready(Next::Answered),
                () if left.as_mut().poll(cx).is_ready() => Poll::Ready(Next::CallerLeft),
                () => Poll::Pending,
            }
        })
        .await;
        let frame = match frame {
            Next::Frame(Some(Ok(frame))) => frame,
            Next::Frame(None) => return Fed::Whole,
            Next::Frame(Some(Err(error))) => {
                tracing::warn!(target: crate::log::GENERAL, "the body of a request broke off: {error}");
                return Fed::CutOff;
            }
            Next::Answered => return Fed::Answered,
            Next::CallerLeft => return Fed::CutOff,
        };
        let Ok(mut data) = frame.into_data() else { continue };
        seen += data.remaining() as u64;
        if seen > limit {
            exchange.refuse(StatusCode::PAYLOAD_TOO_LARGE);
            return Fed::CutOff;
        }
        if data.has_remaining()
            && let Some(pending) = message.data_received(data.copy_to_bytes(data.remaining()))
        {
            pending.await;
        }
    }
}

/// What ends the waiting for the next frame of a request's body.
enum Next<F> {
    Frame(F),
    Answered,
    CallerLeft,
}

/// Who asks, and how.
fn context(parts: &http::request::Parts) -> RequestContext {
    let address = parts.extensions.get::<SocketAddr>().map(SocketAddr::ip);
    RequestContext {
        remote_ip: address
            .or_else(|| parts.extensions.get::<IpAddr>().copied())
            .unwrap_or(RequestContext::default().remote_ip),
        remote_port: parts.extensions.get::<SocketAddr>().map(SocketAddr::port),
        protocol: if parts.uri.scheme_str() == Some("https") { "https" } else { "http" },
    }
}

/// The head as HTTP/1.1 would have brought it, whatever version did; and how long the body is, if that is known.
///
/// The authority of the target, which HTTP/2 has instead of a `Host`, takes precedence over one (RFC 9112 §3.2.2, RFC
/// 9113 §8.3.1).
fn convert(
    parts: &http::request::Parts,
    body: &impl Body,
) -> Result<(RequestHead, Option<u64>), &'static str> {
    let lengths = parts.headers.get_all(header::CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let told = fields::content_length(lengths).map_err(|_| "Invalid Content-Length")?;
    let length = match told {
        None if body.is_end_stream() => Some(0),
        None => body.size_hint().exact(),
        told => told,
    };
    let mut headers = HttpHeaders::new();
    let framed = match length {
        Some(0) if told.is_none() => Ok(()),
        Some(length) => headers.set("Content-Length", length),
        None => headers.set("Transfer-Encoding", "chunked"),
    };
    framed
        .and_then(|()| fields::add_request_fields(&mut headers, &parts.headers))
        .map_err(|_| "Invalid header")?;
    if let Some(authority) = parts.uri.authority() {
        let authority = authority.as_str();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        headers.set("Host", host).map_err(|_| "Invalid authority")?;
    }
    if headers.list("Host").count() > 1 || !headers.get_bytes("Host").is_none_or(host::is_valid) {
        return Err("Invalid Host");
    }
    let target = match (parts.uri.path_and_query(), parts.uri.authority()) {
        (Some(target), _) => target.to_string(),
        (None, Some(authority)) => authority.to_string(),
        (None, None) => "/".to_owned(),
    };
    Ok((RequestHead { method: parts.method.clone(), target, version: parts.version, headers }, length))
}

/// The caller's end of an exchange: the call itself, then the body of the response. Dropping it tells the application
/// that the client has left.
struct Caller(Rc<Exchange>);

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
struct Exchange {
    state: RefCell<State>,
    max_body_size: Cell<u64>,
    /// A response to `HEAD` has no body.
    is_head: Cell<bool>,
    leaving: Rc<Leaving>,
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
    finished: bool,
    aborted: bool,
    /// The caller left without having taken everything.
    lost: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    /// Adds a piece of the body, by the rules of its framing.
    fn push(&mut self, data: &[u8]) -> Result<(), HttpOutputError> {
        let Some(framing) = &mut self.framing else { return Err(HttpOutputError::OutOfOrder) };
        let mut piece = Vec::new();
        if let Err(error) = framing.encode(&mut piece, data) {
            self.aborted = true;
            wake(self.reader.take());
            return Err(error);
        }
        if !piece.is_empty() {
            self.pieces.push_back(piece.into());
            wake(self.reader.take());
        }
        Ok(())
    }
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            state: RefCell::default(),
            max_body_size: Cell::new(104_857_600),
            is_head: Cell::new(false),
            leaving: Rc::default(),
        }
    }
}

impl Exchange {
    fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Option<Response<()>>> {
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

    fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ServiceError>>> {
        let mut state = self.state.borrow_mut();
        if let Some(piece) = state.pieces.pop_front() {
            if state.pieces.is_empty() {
                wake(state.writer.take());
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        if state.aborted {
            state.finished = true;
            state.aborted = false;
            return Poll::Ready(Some(Err(ServiceError(()))));
        }
        if state.finished {
            return Poll::Ready(None);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Answers what the application is not to see, or no more of.
    fn refuse(&self, status: StatusCode) {
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

    /// Whether nothing more can be written.
    fn is_over(&self) -> bool {
        let state = self.state.borrow();
        state.finished || state.aborted
    }

    fn caller_left(&self) -> impl Future<Output = ()> + use<> {
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

struct EndOnDrop(Rc<Exchange>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

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
        state.push(body)?;
        let length = headers.list("Content-Length");
        // Checked with the framing; what cannot be read there is an error, what is told for HEAD is passed on.
        let length = fields::content_length(length).ok().flatten();
        let mut head = Response::new(());
        // The application's statuses are from 200 to 999, which are all that there are.
        *head.status_mut() = StatusCode::from_u16(start.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *head.headers_mut() = fields::to_map(headers, length).map_err(|_| HttpOutputError::OutOfOrder)?;
        state.head = Some(head);
        wake(state.reader.take());
        Ok(())
    }

    fn write(&self, _id: StreamId, data: &[u8]) -> Result<(), HttpOutputError> {
        let mut state = self.state.borrow_mut();
        match () {
            () if self.leaving.gone.get() || state.aborted => Err(HttpOutputError::Closed),
            () if state.finished => Err(HttpOutputError::OutOfOrder),
            () => state.push(data),
        }
    }

    /// There is no wire to be raw on.
    fn write_raw(&self, _id: StreamId, _data: &[u8]) -> Result<(), HttpOutputError> {
        Err(HttpOutputError::OutOfOrder)
    }

    fn finish(&self, _id: StreamId) -> Result<(), HttpOutputError> {
        let mut state = self.state.borrow_mut();
        let framing = match state.framing {
            _ if state.aborted => return Err(HttpOutputError::Closed),
            Some(framing) if !state.finished => framing,
            _ => return Err(HttpOutputError::OutOfOrder),
        };
        let finished = framing.finish(&mut Vec::new());
        match finished {
            Ok(()) => state.finished = true,
            Err(_) => state.aborted = true,
        }
        wake(state.reader.take());
        finished
    }

    fn abort(&self, _id: StreamId) {
        let mut state = self.state.borrow_mut();
        state.aborted = true;
        wake(state.reader.take());
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

/// The body of an application's response. Dropping it tells the handler that the client has left.
pub struct ResponseBody(Caller);

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ServiceError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ServiceError>>> {
        Poll::Ready(ready!(self.0.0.poll_piece(cx)).map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.0.state.borrow();
        state.finished && state.pieces.is_empty()
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
