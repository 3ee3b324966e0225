//! A reverse proxy as a handler: routes that another server still answers.
//!
//! ```
//! use squall::web::proxy;
//! use squall::{Application, Context, get, url};
//!
//! # fn make_app() -> Application {
//! Application::new([
//!     get("/ported", async |ctx: &Context| { ctx.write("answered here"); Ok(()) }),
//!     url("/.*", proxy("http://127.0.0.1:8889")), // everything else
//! ])
//! # }
//! # make_app();
//! ```

mod headers;
mod upstreams;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use tokio::sync::mpsc;

use self::headers::Forwarded;
use self::upstreams::Upstreams;
use super::context::Context;
use super::disconnected::Disconnected;
use super::error::{HttpError, Result};
use super::handler::RequestHandler;
use crate::http1::head_writer;
use crate::httpclient::{AsyncHttpClient, BodyWriter, HttpClientError, HttpRequest, StreamingResponse};
use crate::httputil::{EntityTag, HttpHeaders, HttpServerRequest};
use crate::iostream::IoStream;
use crate::log;

/// Hands requests to another server and its responses to the client (see [`proxy`]).
///
/// Bodies are streamed in both directions, no faster than the other side takes them; server-sent events and WebSockets
/// pass. Hop-by-hop headers stay behind, `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`, `X-Real-Ip` and
/// `Via` are set, so that a Tornado behind it runs with `xheaders=True`. The client's `Host` is passed on.
///
/// The response is the upstream's: [`Site::set_default_headers`](super::Site::set_default_headers) and headers set before
/// are left out of it, what is added to every head ([`Application::cors`](super::Application::cors),
/// [`after`](super::Application::after) hooks) is not. XSRF tokens are the upstream's to check.
///
/// An upstream that cannot be reached is a 502, one that takes too long a 504. Connections to it are kept.
pub struct ReverseProxy {
    shared: Rc<Shared>,
    /// The request in hand.
    state: State,
}

struct Shared {
    client: AsyncHttpClient,
    upstreams: RefCell<Upstreams>,
    connect_timeout: Duration,
    response_timeout: Option<Duration>,
    health: Option<(String, Duration)>,
    checking: Cell<bool>,
}

#[derive(Default)]
struct State {
    /// Where the pieces of the request's body go.
    body: Option<mpsc::Sender<Piece>>,
    /// A body that is small enough to be sent with the head.
    small: Option<Vec<u8>>,
    response: Option<Answering>,
}

/// A request on its way, and the head of the response.
type Answering = Pin<Box<dyn Future<Output = Result<StreamingResponse, HttpClientError>>>>;

/// The end is told, so that a body that broke off is not taken for a whole one.
enum Piece {
    Data(Bytes),
    End,
}

/// Bodies up to this length are collected before they are sent on.
const SMALL_BODY: u64 = 64 * 1024;

/// A handler that hands every request to the server at `upstream`, such as `http://127.0.0.1:8889`. A path in it is
/// put before the request's.
pub fn proxy(upstream: impl AsRef<str>) -> ReverseProxy {
    let mut upstreams = Upstreams::default();
    upstreams.add(upstream.as_ref(), 1);
    let defaults = HttpRequest::get("")
        .follow_redirects(false)
        .decompress_response(false)
        .allow_nonstandard_methods(true)
        .request_timeout(None)
        .max_body_size(u64::MAX);
    let client =
        AsyncHttpClient::builder().max_clients(1 << 20).max_idle_per_host(256).defaults(defaults).build();
    ReverseProxy {
        shared: Rc::new(Shared {
            client,
            upstreams: RefCell::new(upstreams),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Some(Duration::from_secs(60)),
            health: None,
            checking: Cell::new(false),
        }),
        state: State::default(),
    }
}

impl ReverseProxy {
    /// Another server that takes its share of the requests: `weight` of the sum of all weights, the first one's being
    /// 1. A weight of 0 takes none.
    ///
    /// # Panics
    /// When called after the proxy was cloned or put into an application.
    #[must_use]
    pub fn upstream(mut self, url: impl AsRef<str>, weight: u32) -> Self {
        self.shared_mut().upstreams.get_mut().add(url.as_ref(), weight);
        self
    }

    /// How long a connection to an upstream may take. Default: 5 s. Then the next upstream is tried, or the answer is
    /// 504.
    ///
    /// # Panics
    /// As [`upstream`](Self::upstream).
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.shared_mut().connect_timeout = timeout;
        self
    }

    /// How long an upstream may take from the end of the request to the head of its response. `None`: as long as it
    /// likes, which long polling needs. Default: 60 s. Then the answer is 504.
    ///
    /// # Panics
    /// As [`upstream`](Self::upstream).
    #[must_use]
    pub fn response_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.shared_mut().response_timeout = timeout.into();
        self
    }

    /// Fetches `path` from each upstream at this interval; one that does not answer with 200 to 399 gets no requests
    /// while another does. Default: off; upstreams that cannot be reached then rest for ten seconds.
    ///
    /// # Panics
    /// As [`upstream`](Self::upstream).
    #[must_use]
    pub fn health_check(mut self, path: impl Into<String>, interval: Duration) -> Self {
        self.shared_mut().health = Some((path.into(), interval));
        self
    }

    /// Lets one change the upstreams while the proxy works.
    pub fn handle(&self) -> ProxyHandle {
        ProxyHandle(Rc::clone(&self.shared))
    }

    fn shared_mut(&mut self) -> &mut Shared {
        Rc::get_mut(&mut self.shared).expect("a proxy is set up before it is cloned")
    }
}

/// Changes the upstreams of a [`ReverseProxy`] at work.
#[derive(Clone)]
pub struct ProxyHandle(Rc<Shared>);

impl ProxyHandle {
    /// Sends an upstream no further requests (`true`), or lets it take them again; requests in flight go on. Says
    /// whether there is an upstream of that URL.
    pub fn drain(&self, upstream: &str, on: bool) -> bool {
        self.0.upstreams.borrow_mut().drain(upstream, on)
    }
}

impl fmt::Debug for ProxyHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProxyHandle").field(&self.0.upstreams).finish()
    }
}

impl Clone for ReverseProxy {
    /// For the next request.
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared), state: State::default() }
    }
}

impl fmt::Debug for ReverseProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReverseProxy").field("upstreams", &self.shared.upstreams).finish_non_exhaustive()
    }
}

impl RequestHandler for ReverseProxy {
    const DEFAULT_HEADERS: bool = false;
    const METHODS: &'static [&'static str] = &["*"];
    const STREAM_BODY: bool = true;
    /// The token is in a body that is not read here: the upstream checks it.
    const XSRF_EXEMPT: bool = true;

    async fn prepare(&mut self, ctx: &Context) -> Result {
        start_health_checks(&self.shared);
        let request = ctx.request();
        let length = request.headers().get("Content-Length").and_then(|length| length.parse::<u64>().ok());
        match (length, request.headers().contains("Transfer-Encoding")) {
            (None | Some(0), false) => self.send(ctx, length.map(|_| Sent::Whole(Bytes::new()))),
            (Some(length @ 1..=SMALL_BODY), _) => {
                self.state.small = Some(Vec::with_capacity(length as usize));
            }
            _ => {
                let (sender, receiver) = mpsc::channel(1);
                self.state.body = Some(sender);
                self.send(ctx, Some(Sent::Stream(receiver)));
            }
        }
        Ok(())
    }

    async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        if let Some(small) = &mut self.state.small {
            small.extend_from_slice(&chunk);
            return Ok(());
        }
        let Some(body) = &self.state.body else { return Ok(()) };
        if body.send(Piece::Data(chunk)).await.is_err() {
            // The upstream has answered, or failed, and wants no more.
            return self.respond(ctx).await;
        }
        Ok(())
    }

    async fn other(&mut self, ctx: &Context) -> Result {
        self.complete(ctx).await
    }

    /// The upstream's tag, or none.
    fn compute_etag(_ctx: &Context) -> Option<EntityTag> {
        None
    }
}

/// How a request's body is sent on.
enum Sent {
    Whole(Bytes),
    Stream(mpsc::Receiver<Piece>),
}

impl ReverseProxy {
    /// The request is complete.
    async fn complete(&mut self, ctx: &Context) -> Result {
        if let Some(small) = self.state.small.take() {
            self.send(ctx, Some(Sent::Whole(small.into())));
        }
        if let Some(body) = self.state.body.take() {
            // Nobody listens any more when the upstream has answered already.
            let _ = body.send(Piece::End).await;
        }
        self.respond(ctx).await
    }

    /// Prepares to send the request on. With a body that is still received that is a task of its own, which begins at
    /// once.
    fn send(&mut self, ctx: &Context, body: Option<Sent>) {
        let request = ctx.request();
        let mut onward = request.headers().clone();
        headers::keep_end_to_end(&mut onward);
        let upgrade = headers::upgrade(request.headers()).map(str::to_owned);
        let forwarded = Forwarded {
            remote_ip: request.remote_ip(),
            protocol: request.protocol(),
            host: request.host(),
            version: request.version(),
        };
        headers::forward(&mut onward, &forwarded);
        onward.remove("Expect");
        if let Some(protocol) = &upgrade {
            // Both were headers before.
            let _ =
                onward.set("Connection", "Upgrade").and_then(|()| onward.set("Upgrade", protocol.as_str()));
        }
        let target = Target { method: request.method().clone(), uri: origin_form(request), headers: onward };
        let is_stream = matches!(body, Some(Sent::Stream(_)));
        let sending = send(Rc::clone(&self.shared), target, body);
        self.state.response = Some(if is_stream { in_background(sending) } else { Box::pin(sending) });
    }

    /// Hands on the response, as it comes.
    async fn respond(&mut self, ctx: &Context) -> Result {
        let Some(mut answering) = self.state.response.take() else { return Ok(()) };
        let head = async {
            let head = async {
                tokio::select! {
                    biased;
                    response = &mut answering => Some(response),
                    () = ctx.closed() => None,
                }
            };
            match self.shared.response_timeout {
                Some(timeout) => tokio::time::timeout(timeout, head).await,
                None => Ok(head.await),
            }
        };
        let response = match head.await {
            Err(_) => return Err(gateway_error(504, "the upstream server takes too long", "no response")),
            // The client has left, and its request to the upstream with it. If it has closed its half only, the end of
            // the connection is not mistaken for a response.
            Ok(None) => return Err(Disconnected::gone().into()),
            Ok(Some(Err(error))) => return Err(refusal(&error)),
            Ok(Some(Ok(response))) => response,
        };
        drop(answering);
        if response.status() == 101 { tunnel(ctx, response) } else { relay(ctx, response).await }
    }
}

/// Runs as a task of its own; one whose result nobody will take is ended, and so is its request.
fn in_background(
    sending: impl Future<Output = Result<StreamingResponse, HttpClientError>> + 'static,
) -> Answering {
    let task = tokio::task::spawn_local(sending);
    let abort = AbortOnDrop(task.abort_handle());
    Box::pin(async move {
        let _abort = abort;
        task.await.unwrap_or_else(|failed| Err(HttpClientError::Proxy(failed.to_string())))
    })
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Path and query as they came: what a route or a check has let through must mean the same to the upstream. Only these
/// of the absolute form, since the authority in it is ours (RFC 9112 §3.2.2).
fn origin_form(request: &HttpServerRequest) -> String {
    match request.query() {
        _ if request.uri().starts_with('/') => request.uri().to_owned(),
        "" => request.path().to_owned(),
        query => format!("{}?{query}", request.path()),
    }
}

struct Target {
    method: Method,
    uri: String,
    headers: HttpHeaders,
}

/// Sends a request to the upstreams, one after the other, until one can be reached.
async fn send(
    shared: Rc<Shared>,
    target: Target,
    body: Option<Sent>,
) -> Result<StreamingResponse, HttpClientError> {
    let (whole, stream) = match body {
        None => (None, None),
        Some(Sent::Whole(bytes)) => (Some(bytes), None),
        Some(Sent::Stream(receiver)) => (None, Some(Rc::new(RefCell::new(Some(receiver))))),
    };
    let mut tried = Vec::new();
    loop {
        let next = shared.upstreams.borrow_mut().next(Instant::now(), &tried);
        let Some(index) = next else {
            return Err(HttpClientError::Proxy("there is no upstream server to ask".to_owned()));
        };
        let mut request = {
            let upstreams = shared.upstreams.borrow();
            let upstream = upstreams.get(index);
            let method = target.method.as_str();
            let request = match &upstream.url {
                Some(url) => HttpRequest::new(method, url),
                None => HttpRequest::new(method, &upstream.base),
            };
            request.verbatim(format!("{}{}", upstream.prefix, target.uri))
        };
        request = request.with_headers(target.headers.clone()).connect_timeout(shared.connect_timeout);
        if let Some(bytes) = &whole {
            request = request.body(bytes.clone());
        } else if let Some(receiver) = &stream {
            let receiver = Rc::clone(receiver);
            request = request.body_producer(async move |writer| produce(&receiver, writer).await);
        }
        match shared.client.fetch_stream(request).await {
            Ok(response) => {
                shared.upstreams.borrow_mut().answered(index);
                return Ok(response);
            }
            // Nothing has been sent yet, so another may be asked.
            Err(error) if error.is_connect() => {
                tracing::warn!(target: log::GENERAL, "upstream: {error}");
                shared.upstreams.borrow_mut().failed(index, Instant::now());
                tried.push(index);
                let others = shared.upstreams.borrow_mut().next(Instant::now(), &tried).is_some();
                if !others {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

type Receiver = Rc<RefCell<Option<mpsc::Receiver<Piece>>>>;

/// Passes the pieces of a body on.
async fn produce(receiver: &Receiver, writer: BodyWriter) -> Result<(), Box<dyn std::error::Error>> {
    // What has been passed on once is gone.
    let taken = receiver.borrow_mut().take();
    let Some(mut pieces) = taken else { return Err("the body cannot be sent twice".into()) };
    loop {
        match pieces.recv().await {
            Some(Piece::Data(bytes)) => writer.write(bytes).await?,
            Some(Piece::End) => return Ok(()),
            None => return Err("the client left in the middle of the body".into()),
        }
    }
}

/// Hands on a response that is HTTP.
async fn relay(ctx: &Context, mut response: StreamingResponse) -> Result {
    ctx.set_status_reason(response.status(), response.reason());
    ctx.update_headers(|own| {
        // RFC 9110 §6.6.1: who forwards a response without a date adds one.
        let has_date = response.headers().contains("Date");
        let date = own.get("Date").filter(|_| !has_date).map(str::to_owned);
        own.copy_from(response.headers());
        headers::keep_end_to_end(own);
        date.map(|date| own.set("Date", date.as_str())).transpose()?;
        own.set("Via", &*headers::add_via(own, http::Version::HTTP_11))
    })?;
    if *ctx.method() == Method::HEAD || matches!(response.status(), 204 | 304) {
        return ctx.flush().await;
    }
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => {
                ctx.write(piece);
                ctx.flush().await?;
            }
            Ok(None) => return Ok(()),
            // The head is out, or about to be: what follows must not look complete.
            Err(error) if ctx.headers_sent() => {
                tracing::warn!(target: log::GENERAL, "upstream broke off: {error}");
                return Err(refusal(&error));
            }
            Err(error) => return Err(refusal(&error)),
        }
    }
}

/// Hands on the agreement to change the protocol, and then bytes, until one side closes.
fn tunnel(ctx: &Context, response: StreamingResponse) -> Result {
    let mut head = Vec::with_capacity(512);
    head_writer::status_line(&mut head, 101, response.reason());
    head_writer::fields(&mut head, response.headers());
    head_writer::end(&mut head);
    let Some(upstream) = response.into_upgraded() else {
        return Err(gateway_error(502, "the upstream server failed", "no connection after 101"));
    };
    let client = ctx.detach()?;
    drop(client.write_bytes(head.into()));
    tokio::task::spawn_local(shovel(client, upstream));
    Ok(())
}

async fn shovel(mut client: IoStream, mut upstream: IoStream) {
    let _ = upstream.set_nodelay(true);
    let _ = client.set_nodelay(true);
    // However it ends, both are closed.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
    client.close();
    upstream.close();
}

fn refusal(error: &HttpClientError) -> super::Error {
    if error.is_timeout() {
        return gateway_error(504, "the upstream server cannot be reached in time", &error.to_string());
    }
    gateway_error(502, "the upstream server cannot be reached", &error.to_string())
}

fn gateway_error(status: u16, what: &'static str, cause: &str) -> super::Error {
    HttpError::new(status).with_log_message(format!("{what}: {cause}")).into()
}

/// Starts the checks with the first request: there is a loop then.
fn start_health_checks(shared: &Rc<Shared>) {
    let Some((path, interval)) = shared.health.clone() else { return };
    if shared.checking.replace(true) {
        return;
    }
    let weak = Rc::downgrade(shared);
    tokio::task::spawn_local(async move {
        while let Some(shared) = weak.upgrade() {
            let bases: Vec<String> =
                shared.upstreams.borrow().iter().map(|upstream| upstream.base.clone()).collect();
            for base in bases {
                let request = HttpRequest::get(format!("{base}{path}"))
                    .request_timeout(shared.connect_timeout)
                    .raise_error(false);
                let healthy =
                    matches!(shared.client.fetch(request).await, Ok(response) if response.status() < 400);
                shared.upstreams.borrow_mut().checked(&base, healthy);
            }
            drop(shared);
            tokio::time::sleep(interval).await;
        }
    });
}
