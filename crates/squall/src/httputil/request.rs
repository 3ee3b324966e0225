//! Requests as a server sees them, whatever the protocol version that carried them.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Version};

use super::arguments::{Arguments, parse_qs};
use super::delegate::HttpConnection;
use super::form::{BodyError, Files, FormBody, FormReader, ParseBodyConfig, parse_body_arguments};
use super::headers::HttpHeaders;
use super::host;
use super::output_error::HttpOutputError;
use super::trailers;

/// The most arguments read from a query.
pub(crate) const MAX_ARGUMENTS: usize = 1_000;

/// A form of more bytes is read in pieces of this size: 1 to 5 ms of work, whatever is in it.
pub(crate) const FORM_PIECE: usize = 256 * 1024;

/// The first line of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseStartLine<'a> {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase; characters up to U+00FF.
    pub reason: &'a str,
}

/// The head of a request: what stands before its body.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method, case kept.
    pub method: Method,
    /// The target as it was sent: a path with query, or an absolute URL.
    pub target: String,
    /// HTTP/1.0, HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// The header fields.
    pub headers: HttpHeaders,
}

impl Default for RequestHead {
    fn default() -> Self {
        Self {
            method: Method::GET,
            target: String::new(),
            version: Version::HTTP_11,
            headers: HttpHeaders::new(),
        }
    }
}

/// From whom and over what a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestContext {
    /// The client's address; `0.0.0.0` for a Unix socket, as in Tornado.
    pub remote_ip: IpAddr,
    /// The client's port; `None` for a Unix socket, and for a client of whom a proxy tells the address only.
    pub remote_port: Option<u16>,
    /// Over TLS or not, as the client sees it.
    pub protocol: Scheme,
}

/// The schemes of HTTP.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    #[default]
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The scheme of that name, in lower case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }
}

impl Default for RequestContext {
    fn default() -> Self {
        Self { remote_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), remote_port: None, protocol: Scheme::Http }
    }
}

/// One request (Tornado's `HTTPServerRequest`).
///
/// A pointer to memory that former requests have used: passing it on is cheap, and so is making it.
#[doc(alias = "HTTPServerRequest")]
pub struct HttpServerRequest {
    /// Invariant: `Some` until it is dropped.
    parts: Option<Box<Parts>>,
}

#[derive(Default)]
struct Parts {
    head: RequestHead,
    /// Where the path and the query stand in the target.
    path: Range<u32>,
    query: Range<u32>,
    context: RequestContext,
    body: Bytes,
    trailers: Option<Box<HttpHeaders>>,
    start: Option<Instant>,
    connection: Option<HttpConnection>,
    query_arguments: OnceCell<Option<Box<Arguments>>>,
    form: OnceCell<Result<Box<FormBody>, BodyError>>,
}

thread_local! {
    /// Memory of former requests.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    static POOL: RefCell<Vec<Box<Parts>>> = const { RefCell::new(Vec::new()) };
}

/// So many are kept.
const KEPT: usize = 32;
/// Larger heads give their memory back.
const LARGEST_KEPT: usize = 16 * 1024;

impl HttpServerRequest {
    /// A request whose head has arrived at `start`.
    pub fn new(
        head: RequestHead,
        context: RequestContext,
        connection: HttpConnection,
        start: Instant,
    ) -> Self {
        let mut request = Self::pooled();
        *request.head_mut() = head;
        request.arrived(context, connection, start);
        request
    }

    /// A request without anything, to be filled in through [`head_mut`](Self::head_mut).
    pub(crate) fn pooled() -> Self {
        Self { parts: Some(POOL.with_borrow_mut(Vec::pop).unwrap_or_default()) }
    }

    pub(crate) fn head_mut(&mut self) -> &mut RequestHead {
        &mut self.parts_mut().head
    }

    /// The head is complete.
    pub(crate) fn arrived(&mut self, context: RequestContext, connection: HttpConnection, start: Instant) {
        let parts = self.parts_mut();
        (parts.path, parts.query) = split_target(&parts.head.target);
        parts.context = context;
        parts.connection = Some(connection);
        parts.start = Some(start);
    }

    #[inline]
    fn parts(&self) -> &Parts {
        self.parts.as_deref().expect("a request has its parts until it is dropped")
    }

    #[inline]
    fn parts_mut(&mut self) -> &mut Parts {
        self.parts.as_deref_mut().expect("a request has its parts until it is dropped")
    }

    /// The method, case kept.
    #[inline]
    pub fn method(&self) -> &Method {
        &self.parts().head.method
    }

    /// The target as it was sent.
    pub fn uri(&self) -> &str {
        &self.parts().head.target
    }

    /// The path, still percent-encoded and not normalised.
    #[inline]
    pub fn path(&self) -> &str {
        match &self.parts().head.target[range(&self.parts().path)] {
            "" => "/",
            path => path,
        }
    }

    /// What stands behind the question mark, still encoded; empty without one.
    pub fn query(&self) -> &str {
        &self.parts().head.target[range(&self.parts().query)]
    }

    /// The protocol version of the request.
    pub fn version(&self) -> Version {
        self.parts().head.version
    }

    /// The header fields.
    #[inline]
    pub fn headers(&self) -> &HttpHeaders {
        &self.parts().head.headers
    }

    /// The body; empty while it is not complete, and for handlers that stream it.
    pub fn body(&self) -> &Bytes {
        &self.parts().body
    }

    /// The fields behind the body (RFC 9110 §6.5), without those that may not be there; `None` when there are none, while
    /// the body is not complete, and for handlers that stream it: see
    /// [`Context::request_trailers`](crate::Context::request_trailers).
    pub fn trailers(&self) -> Option<&HttpHeaders> {
        self.parts().trailers.as_deref()
    }

    /// Whether the client can be sent trailers: with HTTP/2 always, with HTTP/1.1 if it says so (`TE: trailers`, RFC 9110
    /// §10.1.4).
    pub fn accepts_trailers(&self) -> bool {
        match self.version() {
            Version::HTTP_11 => trailers::are_accepted(self.headers()),
            version => version > Version::HTTP_11,
        }
    }

    /// The client's address: that of the socket, or what a trusted proxy says with `xheaders`.
    pub fn remote_ip(&self) -> IpAddr {
        self.parts().context.remote_ip
    }

    /// The client's port, where it is known: see [`RequestContext::remote_port`].
    pub fn remote_port(&self) -> Option<u16> {
        self.parts().context.remote_port
    }

    /// `http` or `https`.
    pub fn protocol(&self) -> &'static str {
        self.parts().context.protocol.as_str()
    }

    /// The host as the client named it, with its port: from an absolute target, else from Host, else `127.0.0.1`.
    pub fn host(&self) -> &str {
        if let Some((authority, _)) = host::split_absolute(&self.parts().head.target) {
            return authority;
        }
        self.parts().head.headers.get("Host").unwrap_or("127.0.0.1")
    }

    /// The host in lower case and without its port.
    pub fn host_name(&self) -> String {
        split_host_and_port(self.host()).0.to_ascii_lowercase()
    }

    /// Scheme, host and target: the URL that the client asked for.
    pub fn full_url(&self) -> String {
        if self.parts().head.target.starts_with('/') || self.parts().head.target == "*" {
            format!("{}://{}{}", self.protocol(), self.host(), self.uri())
        } else {
            self.parts().head.target.clone()
        }
    }

    /// When the head arrived.
    #[expect(clippy::missing_panics_doc, reason = "a request is public once it has arrived")]
    pub fn start_time(&self) -> Instant {
        self.parts().start.expect("a request that has arrived has its time")
    }

    /// How long ago the head arrived.
    pub fn request_time(&self) -> Duration {
        self.start_time().elapsed()
    }

    /// The connection, to answer below the level of handlers.
    #[expect(clippy::missing_panics_doc, reason = "a request is public once it has arrived")]
    pub fn connection(&self) -> &HttpConnection {
        self.parts().connection.as_ref().expect("a request that has arrived has its connection")
    }

    /// The arguments of the query; `None` when there are more than 1,000.
    pub fn query_arguments(&self) -> Option<&Arguments> {
        let parse = || parse_qs(self.query().as_bytes(), MAX_ARGUMENTS).map(Box::new);
        self.parts().query_arguments.get_or_init(parse).as_deref()
    }

    /// The arguments of a form in the body, and the fields of a multipart one that are no files. Empty for a body of
    /// another type, and for handlers that stream it.
    ///
    /// # Errors
    /// When the body is malformed, or over a limit of [`ParseBodyConfig`]. An application answers such a request
    /// before a handler sees it.
    pub fn body_arguments(&self) -> Result<&Arguments, BodyError> {
        self.form(&ParseBodyConfig::default()).map(|form| &form.arguments)
    }

    /// The files of a multipart form in the body.
    ///
    /// # Errors
    /// As [`body_arguments`](Self::body_arguments).
    pub fn files(&self) -> Result<&Files, BodyError> {
        self.form(&ParseBodyConfig::default()).map(|form| &form.files)
    }

    /// The form in the body, parsed when first asked for; the limits of that call count.
    pub(crate) fn form(&self, config: &ParseBodyConfig) -> Result<&FormBody, BodyError> {
        let parse = || {
            let headers = self.headers();
            let content_type = headers.get("Content-Type").unwrap_or_default();
            parse_body_arguments(content_type, self.body(), Some(headers), config).map(Box::new)
        };
        self.parts().form.get_or_init(parse).as_deref().map_err(|error| *error)
    }

    /// Reads the form as [`form`](Self::form) does, in pieces: after each the loop can do something else.
    pub(crate) async fn read_form(&self, config: &ParseBodyConfig) -> Result<(), BodyError> {
        let form = &self.parts().form;
        if form.get().is_some() {
            return Ok(());
        }
        let headers = self.headers();
        let content_type = headers.get("Content-Type").unwrap_or_default();
        let read = async {
            let reader = FormReader::new(content_type, self.body(), Some(headers), config)?;
            let Some(mut reader) = reader else { return Ok(FormBody::default()) };
            while !reader.advance(FORM_PIECE)? {
                tokio::task::yield_now().await;
            }
            reader.finish()
        };
        let read = read.await.map(Box::new);
        form.get_or_init(|| read).as_ref().map(drop).map_err(|error| *error)
    }

    /// Answers with raw bytes: status line, headers and body as they go on the wire (Tornado's old
    /// `HTTPRequest.write`). Nothing is added; end with [`finish`](Self::finish).
    ///
    /// # Errors
    /// When the client has left, or a response was begun with
    /// [`write_headers`](HttpConnection::write_headers).
    pub fn write(&self, bytes: impl AsRef<[u8]>) -> Result<(), HttpOutputError> {
        self.connection().write_raw(bytes.as_ref())
    }

    /// Ends the response.
    ///
    /// # Errors
    /// When the client has left, or the response is shorter than its Content-Length.
    pub fn finish(&self) -> Result<(), HttpOutputError> {
        self.connection().finish()
    }

    /// The body, once it is complete.
    pub(crate) fn set_body(&mut self, body: Bytes) {
        self.parts_mut().body = body;
    }

    /// What stood behind the body.
    pub(crate) fn set_trailers(&mut self, trailers: HttpHeaders) {
        self.parts_mut().trailers = Some(Box::new(trailers));
    }

    pub(crate) fn set_context(&mut self, context: RequestContext) {
        self.parts_mut().context = context;
    }

    pub(crate) fn context(&self) -> RequestContext {
        self.parts().context
    }
}

impl fmt::Debug for HttpServerRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServerRequest")
            .field("method", &self.parts().head.method)
            .field("uri", &self.parts().head.target)
            .field("version", &self.parts().head.version)
            .field("remote_ip", &self.parts().context.remote_ip)
            .field("headers", &self.parts().head.headers)
            .finish_non_exhaustive()
    }
}

impl Drop for HttpServerRequest {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else { return };
        parts.connection = None;
        parts.body = Bytes::new();
        parts.trailers = None;
        if parts.query_arguments.get().is_some() || parts.form.get().is_some() {
            (parts.query_arguments, parts.form) = (OnceCell::new(), OnceCell::new());
        }
        if parts.head.headers.capacity() <= LARGEST_KEPT {
            parts.head.headers.clear();
            // Without a pool the thread is ending.
            let _ = POOL.try_with(|pool| {
                let mut pool = pool.borrow_mut();
                if pool.len() < KEPT {
                    pool.push(parts);
                }
            });
        }
    }
}

/// The host and the port of `host:port`; the port is `None` when there is none or it is not a number.
///
/// Brackets round an IPv6 address stay.
pub fn split_host_and_port(netloc: &str) -> (&str, Option<u16>) {
    let (host, port) = host::split_port(netloc);
    (host, port.parse().ok())
}

/// The places of path and query in a target; a fragment, which no client should send, belongs to neither.
fn split_target(target: &str) -> (Range<u32>, Range<u32>) {
    let start = match host::split_absolute(target) {
        Some((_, rest)) => target.len() - rest.len(),
        None => 0,
    };
    let rest = &target.as_bytes()[start..];
    let path = memchr::memchr2(b'?', b'#', rest).unwrap_or(rest.len());
    let query = match &rest[path..] {
        [b'?', query @ ..] => path + 1..path + 1 + memchr::memchr(b'#', query).unwrap_or(query.len()),
        _ => path..path,
    };
    let place = |range: Range<usize>| (start + range.start) as u32..(start + range.end) as u32;
    (place(0..path), place(query))
}

fn range(r: &Range<u32>) -> Range<usize> {
    r.start as usize..r.end as usize
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn a_large_form_gives_way() {
        for (content_type, body, values) in [
            ("application/x-www-form-urlencoded", "x=%41%41&".repeat(3 * FORM_PIECE / 9), None),
            ("application/x-www-form-urlencoded", format!("x={}", "%41".repeat(FORM_PIECE)), Some(1)),
            (
                "multipart/form-data; boundary=b",
                format!(
                    "--b\r\nContent-Disposition: form-data; name=x\r\n\r\n{}\r\n--b--",
                    "\r\n--b:".repeat(FORM_PIECE / 2)
                ),
                Some(1),
            ),
        ] {
            let mut request = HttpServerRequest::pooled();
            request.head_mut().headers.add("Content-Type", content_type).unwrap();
            let pieces = body.len() / FORM_PIECE;
            request.set_body(body.into());
            let config = ParseBodyConfig::default();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _guard = runtime.enter();
            let mut reading = pin!(request.read_form(&config));
            let mut waited = 0;
            let result = loop {
                match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    std::task::Poll::Ready(result) => break result,
                    std::task::Poll::Pending => waited += 1,
                }
            };
            match values {
                Some(values) => {
                    assert_eq!(waited, pieces, "once for each piece but the last");
                    assert_eq!(request.body_arguments().unwrap().len(), values);
                }
                None => assert_eq!(result, Err(BodyError::TooManyArguments(1000))),
            }
        }
    }
}
