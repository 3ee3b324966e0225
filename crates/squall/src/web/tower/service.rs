//! An application as a tower service.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::sync::Notify;
use tower_service::Service;

use crate::http1connection::HttpOutputError;
use crate::httpserver::{IntoDelegate, ServerError};
use crate::httputil::{
    HttpConnection, HttpHeaders, HttpServerConnectionDelegate, HttpServerRequest, HttpTransport,
    RequestContext, RequestHead, ResponseStartLine, StreamId,
};
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
        tokio::task::spawn_local(drive(delegate, Rc::clone(&exchange), request));
        Box::pin(async move {
            let head = poll_fn(|cx| exchange.poll_head(cx)).await.ok_or(ServiceError(()))?;
            Ok(head.map(|()| ResponseBody(exchange)))
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
    let extension = parts.extensions.get::<SocketAddr>().map(SocketAddr::ip);
    let context = RequestContext {
        remote_ip: extension
            .or_else(|| parts.extensions.get::<IpAddr>().copied())
            .unwrap_or(RequestContext::default().remote_ip),
        protocol: if parts.uri.scheme_str() == Some("https") { "https" } else { "http" },
    };
    let mut headers = HttpHeaders::new();
    for (name, value) in &parts.headers {
        let text: String = value.as_bytes().iter().map(|&byte| char::from(byte)).collect();
        // They were checked when they were made.
        let _ = headers.add(name.as_str(), text.as_str());
    }
    exchange.is_head.set(parts.method == http::Method::HEAD);
    let target = parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let head = RequestHead { method: parts.method, target, version: parts.version, headers };
    let connection = HttpConnection::new(Rc::clone(&exchange) as Rc<dyn HttpTransport>, 0);
    let request = HttpServerRequest::new(head, context, connection, Instant::now());
    let mut message = delegate.start_request(request);
    if let Some(pending) = message.headers_received() {
        pending.await;
    }
    let mut body = std::pin::pin!(body);
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                tracing::warn!(target: crate::log::GENERAL, "the body of a request broke off: {error}");
                return message.on_connection_close();
            }
        };
        let Ok(mut data) = frame.into_data() else { continue };
        seen += data.remaining() as u64;
        if seen > exchange.max_body_size.get() {
            exchange.refuse_body();
            return message.on_connection_close();
        }
        if let Some(pending) = message.data_received(data.copy_to_bytes(data.remaining())) {
            pending.await;
        }
        if exchange.state.borrow().finished {
            break;
        }
    }
    if let Some(pending) = message.finish() {
        pending.await;
    }
}

/// The response half of one request, between the application and the service's caller.
struct Exchange {
    state: RefCell<State>,
    max_body_size: Cell<u64>,
    /// A response to `HEAD` has no body.
    is_head: Cell<bool>,
    caller: Rc<Caller>,
}

/// Whether the service's caller still wants the response.
#[derive(Default)]
struct Caller {
    gone: Cell<bool>,
    left: Notify,
}

#[derive(Default)]
struct State {
    head: Option<Response<()>>,
    begun: bool,
    pieces: VecDeque<Bytes>,
    finished: bool,
    aborted: bool,
    /// The caller left without having taken everything.
    lost: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            state: RefCell::default(),
            max_body_size: Cell::new(104_857_600),
            is_head: Cell::new(false),
            caller: Rc::default(),
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

    fn refuse_body(&self) {
        let mut state = self.state.borrow_mut();
        if !state.begun {
            state.begun = true;
            let mut head = Response::new(());
            *head.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            state.head = Some(head);
            state.finished = true;
        } else {
            state.aborted = true;
        }
        wake(state.reader.take());
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
        if self.caller.gone.get() {
            return Err(HttpOutputError::Closed);
        }
        if state.begun {
            return Err(HttpOutputError::OutOfOrder);
        }
        let mut head = Response::new(());
        // The application's statuses are from 200 to 999, which are all that there are.
        *head.status_mut() = StatusCode::from_u16(start.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in headers.iter() {
            let bytes: Vec<u8> = value.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect();
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&bytes))
                && name != header::TRANSFER_ENCODING
                && name != header::CONNECTION
            {
                head.headers_mut().append(name, value);
            }
        }
        state.begun = true;
        state.head = Some(head);
        if !body.is_empty() && !self.is_head.get() {
            state.pieces.push_back(Bytes::copy_from_slice(body));
        }
        wake(state.reader.take());
        Ok(())
    }

    fn write(&self, _id: StreamId, data: &[u8]) -> Result<(), HttpOutputError> {
        let mut state = self.state.borrow_mut();
        match () {
            () if self.caller.gone.get() || state.aborted => return Err(HttpOutputError::Closed),
            () if !state.begun || state.finished => return Err(HttpOutputError::OutOfOrder),
            () => {}
        }
        if !data.is_empty() && !self.is_head.get() {
            state.pieces.push_back(Bytes::copy_from_slice(data));
            wake(state.reader.take());
        }
        Ok(())
    }

    /// There is no wire to be raw on.
    fn write_raw(&self, _id: StreamId, _data: &[u8]) -> Result<(), HttpOutputError> {
        Err(HttpOutputError::OutOfOrder)
    }

    fn finish(&self, _id: StreamId) -> Result<(), HttpOutputError> {
        let mut state = self.state.borrow_mut();
        if !state.begun || state.finished {
            return Err(HttpOutputError::OutOfOrder);
        }
        state.finished = true;
        wake(state.reader.take());
        Ok(())
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
        let caller = Rc::clone(&self.caller);
        Box::pin(async move {
            loop {
                let left = caller.left.notified();
                if caller.gone.get() {
                    return;
                }
                left.await;
            }
        })
    }

    fn set_max_body_size(&self, _id: StreamId, bytes: u64) {
        self.max_body_size.set(bytes);
    }

    /// The time limits are the outer server's.
    fn set_body_timeout(&self, _id: StreamId, _timeout: Option<Duration>) {}

    fn detach(&self, _id: StreamId) -> io::Result<IoStream> {
        let what = "a tower service has no connection of its own to take over";
        Err(io::Error::new(io::ErrorKind::Unsupported, what))
    }
}

/// The body of an application's response. Dropping it tells the handler that the client has left.
pub struct ResponseBody(Rc<Exchange>);

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ServiceError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ServiceError>>> {
        Poll::Ready(ready!(self.0.poll_piece(cx)).map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.state.borrow();
        state.finished && state.pieces.is_empty()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let mut state = self.0.state.borrow_mut();
        self.0.caller.gone.set(true);
        state.lost = !state.pieces.is_empty();
        state.pieces.clear();
        wake(state.writer.take());
        self.0.caller.left.notify_waiters();
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
