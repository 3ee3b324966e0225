//! Requests as a server sees them, whatever the protocol version that carried them.

use std::cell::OnceCell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Version};

use super::arguments::{Arguments, parse_qs};
use super::delegate::HttpConnection;
use super::headers::HttpHeaders;
use crate::http1::host;

/// The most arguments read from a query or a form.
pub(crate) const MAX_ARGUMENTS: usize = 1_000;

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
    /// `http` or `https`.
    pub protocol: &'static str,
}

impl Default for RequestContext {
    fn default() -> Self {
        Self { remote_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), protocol: "http" }
    }
}

/// One request (Tornado's `HTTPServerRequest`).
#[doc(alias = "HTTPServerRequest")]
pub struct HttpServerRequest {
    head: RequestHead,
    /// Where the path and the query stand in the target.
    path: Range<u32>,
    query: Range<u32>,
    context: RequestContext,
    body: Bytes,
    start: Instant,
    connection: HttpConnection,
    query_arguments: OnceCell<Option<Box<Arguments>>>,
    body_arguments: OnceCell<Option<Box<Arguments>>>,
}

impl HttpServerRequest {
    /// A request whose head has arrived at `start`.
    pub fn new(
        head: RequestHead,
        context: RequestContext,
        connection: HttpConnection,
        start: Instant,
    ) -> Self {
        let (path, query) = split_target(&head.target);
        Self {
            head,
            path,
            query,
            context,
            body: Bytes::new(),
            start,
            connection,
            query_arguments: OnceCell::new(),
            body_arguments: OnceCell::new(),
        }
    }

    /// The method, case kept.
    #[inline]
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The target as it was sent.
    pub fn uri(&self) -> &str {
        &self.head.target
    }

    /// The path, still percent-encoded and not normalised.
    #[inline]
    pub fn path(&self) -> &str {
        match &self.head.target[range(&self.path)] {
            "" => "/",
            path => path,
        }
    }

    /// What stands behind the question mark, still encoded; empty without one.
    pub fn query(&self) -> &str {
        &self.head.target[range(&self.query)]
    }

    /// The protocol version of the request.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The header fields.
    #[inline]
    pub fn headers(&self) -> &HttpHeaders {
        &self.head.headers
    }

    /// The body; empty while it is not complete, and for handlers that stream it.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The client's address: that of the socket, or what a trusted proxy says with `xheaders`.
    pub fn remote_ip(&self) -> IpAddr {
        self.context.remote_ip
    }

    /// `http` or `https`.
    pub fn protocol(&self) -> &'static str {
        self.context.protocol
    }

    /// The host as the client named it, with its port: from an absolute target, else from Host, else `127.0.0.1`.
    pub fn host(&self) -> &str {
        if let Some((authority, _)) = host::split_absolute(&self.head.target) {
            return authority;
        }
        self.head.headers.get("Host").unwrap_or("127.0.0.1")
    }

    /// The host in lower case and without its port.
    pub fn host_name(&self) -> String {
        split_host_and_port(self.host()).0.to_ascii_lowercase()
    }

    /// Scheme, host and target: the URL that the client asked for.
    pub fn full_url(&self) -> String {
        if self.head.target.starts_with('/') || self.head.target == "*" {
            format!("{}://{}{}", self.protocol(), self.host(), self.uri())
        } else {
            self.head.target.clone()
        }
    }

    /// When the head arrived.
    pub fn start_time(&self) -> Instant {
        self.start
    }

    /// How long ago the head arrived.
    pub fn request_time(&self) -> Duration {
        self.start.elapsed()
    }

    /// The connection, to answer below the level of handlers.
    pub fn connection(&self) -> &HttpConnection {
        &self.connection
    }

    /// The arguments of the query; `None` when there are more than 1,000.
    pub fn query_arguments(&self) -> Option<&Arguments> {
        let parse = || parse_qs(self.query().as_bytes(), MAX_ARGUMENTS).map(Box::new);
        self.query_arguments.get_or_init(parse).as_deref()
    }

    /// The arguments of a form in the body; `None` when there are more than 1,000.
    pub fn body_arguments(&self) -> Option<&Arguments> {
        let parse = || {
            let form = self.headers().get("Content-Type").is_some_and(|t| {
                t.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
            });
            let body: &[u8] = if form { &self.body } else { &[] };
            parse_qs(body, MAX_ARGUMENTS).map(Box::new)
        };
        self.body_arguments.get_or_init(parse).as_deref()
    }

    /// Answers with raw bytes: status line, headers and body as they go on the wire (Tornado's old
    /// `HTTPRequest.write`). Nothing is added; end with [`finish`](Self::finish).
    ///
    /// # Errors
    /// When the client has left, or a response was begun with
    /// [`write_headers`](HttpConnection::write_headers).
    pub fn write(&self, bytes: impl AsRef<[u8]>) -> Result<(), crate::http1connection::HttpOutputError> {
        self.connection.write_raw(bytes.as_ref())
    }

    /// Ends the response.
    ///
    /// # Errors
    /// When the client has left, or the response is shorter than its Content-Length.
    pub fn finish(&self) -> Result<(), crate::http1connection::HttpOutputError> {
        self.connection.finish()
    }

    /// The body, once it is complete.
    pub(crate) fn set_body(&mut self, body: Bytes) {
        self.body = body;
    }

    pub(crate) fn set_context(&mut self, context: RequestContext) {
        self.context = context;
    }

    pub(crate) fn context(&self) -> RequestContext {
        self.context
    }
}

impl fmt::Debug for HttpServerRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServerRequest")
            .field("method", &self.head.method)
            .field("uri", &self.head.target)
            .field("version", &self.head.version)
            .field("remote_ip", &self.context.remote_ip)
            .field("headers", &self.head.headers)
            .finish_non_exhaustive()
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
    let end = target.find('#').unwrap_or(target.len()).max(start);
    match memchr::memchr(b'?', &target.as_bytes()[start..end]) {
        Some(at) => (start as u32..(start + at) as u32, (start + at + 1) as u32..end as u32),
        None => (start as u32..end as u32, end as u32..end as u32),
    }
}

fn range(r: &Range<u32>) -> Range<usize> {
    r.start as usize..r.end as usize
}
