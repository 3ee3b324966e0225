//! The border between connections and applications, neutral to the protocol version.
//!
//! A connection calls up through [`HttpServerConnectionDelegate`] and [`HttpMessageDelegate`]; the application
//! answers down through the [`HttpConnection`] that came with the request. HTTP/1 implements [`HttpTransport`] once
//! per connection, HTTP/2 will too: an exchange is told apart by its [`StreamId`].

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::headers::HttpHeaders;
use super::output_error::HttpOutputError;
use super::request::{HttpServerRequest, ResponseStartLine};
use super::shutdown::Shutdown;
use crate::iostream::{FilePart, IoStream, StreamError};
use crate::sys::RecycledFuture;

/// Work that the connection drives before it goes on; `None` when there is nothing to wait for.
pub type Pending<'a> = Option<Pin<Box<dyn Future<Output = ()> + 'a>>>;

/// What a server connection hands its requests to (Tornado's `HTTPServerConnectionDelegate`).
///
/// Tornado makes the delegate of a message before its head is known and hands the head over later; here it is
/// made from the request, so that no delegate exists without one.
#[doc(alias = "HTTPServerConnectionDelegate")]
pub trait HttpServerConnectionDelegate {
    /// A request's head has arrived, and `body` tells what follows it. A wrapper looks at the request or changes it, and
    /// forwards this one call.
    fn start_request(&self, request: HttpServerRequest, body: BodyKind) -> Started;

    /// The connection is closed.
    fn on_close(&self) {}

    /// The server closes its connections, now or as they become idle: end what was taken out of HTTP with
    /// [`HttpConnection::detach`], which the server does not know, and have it wait for them. A wrapper passes it on.
    fn on_shutdown(&self, _shutdown: &Shutdown) {}
}

/// What follows the head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// Nothing: the request is complete.
    None,
    /// A body of so many bytes.
    Length(u64),
    /// A body whose end is known when it comes.
    Unknown,
}

/// What becomes of a request ([`HttpServerConnectionDelegate::start_request`]).
pub enum Started {
    /// The work of answering it, usually the handler, which does not wait for a body: there is none, or it cannot matter.
    /// The connection drives it as the result of [`HttpMessageDelegate::finish`]. A body that was not received ends the
    /// connection.
    Work(Pending<'static>),
    /// [`Work`](Self::Work) of an application's handler.
    Handler(HandlerWork),
    /// Somebody who receives the body. Where none follows, its [`finish`](HttpMessageDelegate::finish) does.
    Message(Box<dyn HttpMessageDelegate>),
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Work(_) => "Work",
            Self::Handler(_) => "Handler",
            Self::Message(_) => "Message",
        })
    }
}

/// A handler at work, in memory that former ones have used: an [`Application`](crate::Application) makes it.
pub struct HandlerWork(RecycledFuture<'static, ()>);

impl HandlerWork {
    #[inline]
    pub(crate) fn new<F: Future<Output = ()> + 'static>(make: impl FnOnce() -> F) -> Self {
        Self(RecycledFuture::new(make))
    }
}

impl Future for HandlerWork {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl fmt::Debug for HandlerWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerWork").finish_non_exhaustive()
    }
}

impl<D: HttpServerConnectionDelegate + ?Sized> HttpServerConnectionDelegate for Rc<D> {
    fn start_request(&self, request: HttpServerRequest, body: BodyKind) -> Started {
        (**self).start_request(request, body)
    }

    fn on_close(&self) {
        (**self).on_close();
    }

    fn on_shutdown(&self, shutdown: &Shutdown) {
        (**self).on_shutdown(shutdown);
    }
}

/// What receives the rest of one message (Tornado's `HTTPMessageDelegate`).
#[doc(alias = "HTTPMessageDelegate")]
pub trait HttpMessageDelegate {
    /// Called once before the body is read, which waits for the result: here limits may still be changed.
    fn headers_received(&mut self) -> Pending<'_> {
        None
    }

    /// A piece of the body; the next is not read until the result is done.
    fn data_received(&mut self, chunk: Bytes) -> Pending<'_>;

    /// The fields behind the body (RFC 9110 §6.5), without those that may not be there; called once all of the body was
    /// received, and not when there are none. Default: they are dropped.
    fn trailers_received(&mut self, _trailers: HttpHeaders) -> Pending<'_> {
        None
    }

    /// The connection has to wait for more of the body; called whenever its task is polled meanwhile. Whoever has
    /// something to do beside the body, such as to hand on an answer that comes before its end, does it here, wakes by `cx`,
    /// and waits for nothing: a response that is finished then ends the exchange. Default: nothing.
    fn poll_beside(&mut self, _cx: &mut Context<'_>) {}

    /// The message is complete. The connection drives the result, usually the handler, until it is done; it is not
    /// dropped when the client leaves.
    fn finish(self: Box<Self>) -> Pending<'static>;

    /// The client left before the message was complete; neither `data_received` nor `finish` follows.
    fn on_connection_close(self: Box<Self>) {}
}

/// Names one exchange of a connection: a count in HTTP/1, the stream in HTTP/2.
pub type StreamId = u64;

mod sealed {
    pub trait Sealed {}
}

/// Only protocols of this crate implement [`HttpTransport`].
pub(crate) use sealed::Sealed as SealedTransport;

/// What a protocol implements to carry responses. Applications use [`HttpConnection`]; the protocols are this crate's, so
/// that what they have to do may grow.
pub trait HttpTransport: SealedTransport {
    /// See [`HttpConnection::write_headers`].
    ///
    /// # Errors
    /// As there.
    fn write_headers(
        &self,
        id: StreamId,
        start: ResponseStartLine<'_>,
        headers: &HttpHeaders,
        body: &[u8],
    ) -> Result<(), HttpOutputError>;

    /// See [`HttpConnection::write_interim`]. The default drops it, as everybody may (RFC 9110 §15.2).
    ///
    /// # Errors
    /// As there.
    fn write_interim(
        &self,
        _id: StreamId,
        _start: ResponseStartLine<'_>,
        _headers: &HttpHeaders,
    ) -> Result<(), HttpOutputError> {
        Ok(())
    }

    /// See [`HttpConnection::write`].
    ///
    /// # Errors
    /// As there.
    fn write(&self, id: StreamId, data: &[u8]) -> Result<(), HttpOutputError>;

    /// See [`HttpConnection::write_bytes`]. The default copies them.
    ///
    /// # Errors
    /// As there.
    fn write_bytes(&self, id: StreamId, data: Bytes) -> Result<(), HttpOutputError> {
        self.write(id, &data)
    }

    /// See [`HttpConnection::write_file`]. The default takes no files.
    ///
    /// # Errors
    /// As there.
    fn write_file(&self, _id: StreamId, _part: &FilePart) -> Result<bool, HttpOutputError> {
        Ok(false)
    }

    /// See [`HttpConnection::write_raw`].
    ///
    /// # Errors
    /// As there.
    fn write_raw(&self, id: StreamId, data: &[u8]) -> Result<(), HttpOutputError>;

    /// See [`HttpConnection::finish`].
    ///
    /// # Errors
    /// As there.
    fn finish(&self, id: StreamId) -> Result<(), HttpOutputError>;

    /// See [`HttpConnection::finish_with`]. The default leaves the trailers out, as everybody may (RFC 9110 §6.5).
    ///
    /// # Errors
    /// As there.
    fn finish_with(&self, id: StreamId, _trailers: &HttpHeaders) -> Result<(), HttpOutputError> {
        self.finish(id)
    }

    /// See [`HttpConnection::abort`].
    fn abort(&self, id: StreamId);

    /// See [`HttpConnection::flush`].
    fn poll_flush(&self, id: StreamId, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>>;

    /// See [`HttpConnection::closed`].
    fn closed(&self, id: StreamId) -> Pin<Box<dyn Future<Output = ()>>>;

    /// See [`HttpConnection::remote_address`]. By default nobody knows.
    fn remote_address(&self) -> Option<SocketAddr> {
        None
    }

    /// See [`HttpConnection::is_shutting_down`]. By default it never is.
    fn is_shutting_down(&self) -> bool {
        false
    }

    /// See [`HttpConnection::shutdown`]. By default it never comes.
    fn shutdown(&self) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(std::future::pending())
    }

    /// There is one more handle of this exchange. By default they are not counted.
    fn retain(&self, _id: StreamId) {}

    /// There is one handle less. When none is left the exchange can no longer be answered.
    fn release(&self, _id: StreamId) {}

    /// See [`HttpConnection::set_max_body_size`].
    fn set_max_body_size(&self, id: StreamId, bytes: u64);

    /// The limit on this request's body. By default there is none.
    fn max_body_size(&self, _id: StreamId) -> u64 {
        u64::MAX
    }

    /// How long a client may take none of the output that waits for it; `None` for as long as it likes. By default 60 s.
    fn write_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(60))
    }

    /// See [`HttpConnection::set_body_timeout`].
    fn set_body_timeout(&self, id: StreamId, timeout: Option<Duration>);

    /// See [`HttpConnection::detach`].
    ///
    /// # Errors
    /// As there.
    fn detach(&self, id: StreamId) -> io::Result<IoStream>;

    /// See [`HttpConnection::tunnel`]. By default there is none.
    fn tunnel(&self, _id: StreamId, _headers: &HttpHeaders) -> Option<io::Result<IoStream>> {
        None
    }

    /// The stream below, to ask it things; not to read or write. The default has none.
    fn stream(&self) -> Option<IoStream> {
        None
    }
}

/// The way back to the client for one request (Tornado's `HTTPConnection`).
///
/// Writes are buffered and go out when the handler waits or ends; [`flush`](Self::flush) sends them now and waits
/// until they are handed to the kernel. A handle that outlives its exchange gets [`HttpOutputError::Closed`].
#[doc(alias = "HTTPConnection")]
pub struct HttpConnection {
    transport: Rc<dyn HttpTransport>,
    id: StreamId,
}

impl HttpConnection {
    /// The exchange `id` of `transport`.
    #[inline]
    pub fn new(transport: Rc<dyn HttpTransport>, id: StreamId) -> Self {
        transport.retain(id);
        Self { transport, id }
    }

    /// The stream below, to ask it things.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "TLS is what there is to ask about"))]
    pub(crate) fn stream(&self) -> Option<IoStream> {
        self.transport.stream()
    }

    /// Address and port of the other end of the connection: the client, or the proxy before this server, whatever
    /// `xheaders` made of [`HttpServerRequest::remote_ip`]. A PROXY header does count. `None` over a Unix socket.
    #[must_use]
    #[doc(alias = "address")]
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.transport.remote_address()
    }

    /// Writes the head of the response and perhaps the first piece of its body.
    ///
    /// The framing is the connection's: without a Content-Length an HTTP/1.1 response is chunked, and a
    /// `Transfer-Encoding` among the headers is not sent, nor the length of a 204.
    ///
    /// # Errors
    /// [`HttpOutputError`], for two Content-Lengths too; the connection is then cut unless it is `Closed` or
    /// `OutOfOrder`.
    #[inline]
    pub fn write_headers(
        &self,
        start: ResponseStartLine<'_>,
        headers: &HttpHeaders,
        body: &[u8],
    ) -> Result<(), HttpOutputError> {
        self.transport.write_headers(self.id, start, headers, body)
    }

    /// Writes an interim response (RFC 9110 §15.2), such as 103 Early Hints. A client of HTTP/1.0 gets none.
    ///
    /// A 101 is one too, when [`detach`](Self::detach) follows.
    ///
    /// # Errors
    /// [`HttpOutputError::OutOfOrder`] when the status is not from 100 to 199, or the final response was begun.
    pub fn write_interim(
        &self,
        start: ResponseStartLine<'_>,
        headers: &HttpHeaders,
    ) -> Result<(), HttpOutputError> {
        if !(100..200).contains(&start.status) {
            return Err(HttpOutputError::OutOfOrder);
        }
        self.transport.write_interim(self.id, start, headers)
    }

    /// Writes a piece of the body.
    ///
    /// # Errors
    /// As [`write_headers`](Self::write_headers).
    pub fn write(&self, data: &[u8]) -> Result<(), HttpOutputError> {
        self.transport.write(self.id, data)
    }

    /// [`write`](Self::write) for data that HTTP/2 and the tower adapter pass on without a copy; HTTP/1 has it copied.
    ///
    /// # Errors
    /// As [`write_headers`](Self::write_headers).
    pub fn write_bytes(&self, data: Bytes) -> Result<(), HttpOutputError> {
        self.transport.write_bytes(self.id, data)
    }

    /// Writes a part of a file as a piece of the body, by the kernel's own means where there are such (`sendfile`).
    /// False when the protocol has none: read it and [`write`](Self::write).
    ///
    /// The file goes out when its turn comes, without being read into memory; [`flush`](Self::flush) waits for that.
    /// Should it have become shorter by then, the connection is cut.
    ///
    /// # Errors
    /// As [`write_headers`](Self::write_headers).
    pub fn write_file(&self, part: &FilePart) -> Result<bool, HttpOutputError> {
        self.transport.write_file(self.id, part)
    }

    /// Writes bytes as they are, instead of [`write_headers`](Self::write_headers) and [`write`](Self::write).
    ///
    /// # Errors
    /// [`HttpOutputError::OutOfOrder`] when a framed response was begun.
    pub fn write_raw(&self, data: &[u8]) -> Result<(), HttpOutputError> {
        self.transport.write_raw(self.id, data)
    }

    /// Ends the response.
    ///
    /// # Errors
    /// [`HttpOutputError::TooLittleData`] when bytes are missing; the connection is then cut.
    #[inline]
    pub fn finish(&self) -> Result<(), HttpOutputError> {
        self.transport.finish(self.id)
    }

    /// Ends the response with fields behind its body (RFC 9110 §6.5).
    ///
    /// Those that may not be there, such as `Content-Length` or `Set-Cookie`, are left out. HTTP/1.1 has a place for
    /// trailers behind a body in chunks only, HTTP/1.0 none; without a place they are left out, all of them. Whether the
    /// client has said that it takes them (`TE: trailers`) is not looked at here.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_with(&self, trailers: &HttpHeaders) -> Result<(), HttpOutputError> {
        self.transport.finish_with(self.id, trailers)
    }

    /// Cuts the connection, so that a response that has been begun does not look complete.
    pub fn abort(&self) {
        self.transport.abort(self.id);
    }

    /// Sends what has been written and waits until the kernel has it: flow control for long responses.
    ///
    /// Cancel safe: dropping the future loses no bytes.
    ///
    /// # Errors
    /// [`StreamError`] when the client has left.
    pub async fn flush(&self) -> Result<(), StreamError> {
        poll_fn(|cx| self.transport.poll_flush(self.id, cx)).await
    }

    /// Resolves when the client has left; at once when this exchange is over. Cancel safe.
    pub async fn closed(&self) {
        self.transport.closed(self.id).await;
    }

    /// Whether the server is about to end: no new work should be sent to it, and its connections end after the response
    /// that they are at.
    pub fn is_shutting_down(&self) -> bool {
        self.transport.is_shutting_down()
    }

    /// Resolves when the server drains, at once if it does already: what would go on for ever, such as a long poll or a
    /// stream of events, is to end now. Cancel safe.
    pub async fn shutdown(&self) {
        self.transport.shutdown().await;
    }

    /// Changes the limit on this request's body; only before the body is read.
    pub fn set_max_body_size(&self, bytes: u64) {
        self.transport.set_max_body_size(self.id, bytes);
    }

    /// The limit on this request's body, in bytes.
    #[cfg(feature = "client")]
    pub(crate) fn max_body_size(&self) -> u64 {
        self.transport.max_body_size(self.id)
    }

    /// How long the client may take none of the output that waits for it.
    #[cfg(feature = "client")]
    pub(crate) fn write_timeout(&self) -> Option<Duration> {
        self.transport.write_timeout()
    }

    /// Changes how long this request's body may take from now on; `None` for as long as it likes.
    pub fn set_body_timeout(&self, timeout: Option<Duration>) {
        self.transport.set_body_timeout(self.id, timeout);
    }

    /// Takes the stream out of HTTP: for WebSocket, CONNECT, and protocols of one's own. What was written before is
    /// sent first; bytes that the client sent early can be read from the stream.
    ///
    /// The connection keeps nothing of it: [`IoStream::detach`] gives the socket itself and what was read early at once,
    /// unless output still waits for the kernel, or somebody for [`closed`](Self::closed).
    ///
    /// # Errors
    /// When the exchange is over, or the protocol has no stream of its own to give (HTTP/2).
    pub fn detach(&self) -> io::Result<IoStream> {
        self.transport.detach(self.id)
    }

    /// Agrees to the tunnel that the request asks for, with these fields, and takes it out of HTTP: over HTTP/2 (RFC 8441)
    /// the answer is a 200, and the tunnel the rest of the stream. `None` when the protocol has another way for that, as
    /// HTTP/1 has with 101 and [`detach`](Self::detach), or no tunnel was asked for.
    ///
    /// # Errors
    /// When the response was begun, or the client has left.
    pub fn tunnel(&self, headers: &HttpHeaders) -> Option<io::Result<IoStream>> {
        self.transport.tunnel(self.id, headers)
    }
}

impl Clone for HttpConnection {
    fn clone(&self) -> Self {
        Self::new(Rc::clone(&self.transport), self.id)
    }
}

impl Drop for HttpConnection {
    #[inline]
    fn drop(&mut self) {
        self.transport.release(self.id);
    }
}

impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConnection").field("id", &self.id).finish_non_exhaustive()
    }
}
