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

mod append;
mod forward;
mod headers;
mod health;
mod onward;
mod relay;
mod tunnel;
mod upload;
mod upstreams;
#[cfg_attr(not(feature = "websocket"), path = "no_websocket.rs")]
mod websocket;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;

use self::onward::{OnwardRequest, Stays};
pub(super) use self::tunnel::Tunnels;
use self::upstreams::Upstreams;
use super::context::Context;
use super::error::{HttpError, Result};
use super::handler::RequestHandler;
use super::methods::Methods;
use super::options::HandlerOptions;
use crate::httpclient::{AsyncHttpClient, HttpClientBuilder, HttpRequest};
use crate::httputil::EntityTag;

/// Hands requests to another server and its responses to the client (see [`proxy`]).
///
/// Bodies are streamed in both directions, no faster than the other side takes them and both at once where the upstream
/// answers before it has the whole request; server-sent events and WebSockets pass. Connections to upstreams are kept.
/// An upstream that cannot be reached or does not speak HTTP as it should is a 502, one that takes too long a 504.
///
/// # What passes, what is removed, set and trusted
///
/// A message is not copied: it is made anew from what was understood of it (RFC 9110 §7.6), and what could be understood
/// in two ways is refused. Field values pass as the octets that they are, in their order, several lines of a name
/// included. Bodies pass unchanged: the application's compression and other transforms leave them alone.
///
/// **Requests.** The method passes, but for CONNECT (501). The target passes byte for byte: `..`, `//`, `%2e` and `?` are
/// the upstream's to interpret; one with a fragment, or that is neither a path, an `http` URL nor the `*` of OPTIONS is a
/// 400. Of an absolute target the path goes on and its authority is `Host`, whatever that said (RFC 9112 §3.2.2);
/// otherwise the client's `Host` (`:authority`) goes on, and without one (HTTP/1.0) the upstream's own. The version is
/// HTTP/1.1, or HTTP/2 with an `https` upstream that chooses it and where
/// [`http2_prior_knowledge`](Self::http2_prior_knowledge) is set, whatever the client speaks.
///
/// * *Framing* is the decoded one: one `Content-Length`, or chunks. Chunk extensions are dropped. A length
///   above the server's [`max_body_size`](crate::HttpServer::max_body_size) is a 413 of which the upstream sees nothing.
/// * *Trailers* pass behind chunks, both ways, and with them `Trailer`; those that may not be there (RFC 9110 §6.5.1:
///   `Content-Length`, `Host`, `Set-Cookie`, …) are dropped. A client that says that it takes them (`TE: trailers`, named by
///   `Connection` in HTTP/1.1) is a reason to tell the upstream the same; one that does not gets none.
/// * *Removed:* `Connection` and what it names, `Keep-Alive`, `Proxy-Connection`, `Proxy-Authorization`,
///   `Proxy-Authenticate`, `TE`, `Trailer`, `Transfer-Encoding`, `Upgrade`, `HTTP2-Settings`, and an `Expect` of
///   `100-continue`, which this server has answered already. `Connection` cannot name what is for every recipient, such as `Host`, `Cookie`,
///   `Authorization`, `Content-…`, `Forwarded` and `X-Forwarded-…`: those stay.
/// * *Set:* `X-Real-Ip` (the client's address), `X-Forwarded-Proto`, `X-Forwarded-Host`, whatever the client sent under
///   these names; a client's `X-Scheme`, which Tornado believes, is removed. A Tornado upstream runs with `xheaders=True`.
/// * *Extended:* `X-Forwarded-For` by the client's address, `Via`, and `Forwarded` (RFC 7239) where the client sent it:
///   the last element of each is this proxy's, what stands before it is the client's word.
/// * *Twins removed:* a name that CGI or WSGI cannot tell from one of all those, since it has `_` for `-`
///   (`X_Forwarded_For`, `Content_Length`).
/// * `Max-Forwards` of OPTIONS and TRACE is counted down. At 0 this proxy is the last recipient: it answers OPTIONS with
///   204, and TRACE with the request as it came, without what may be secret in it.
///
/// The client's address and scheme are the connection's. Behind another proxy,
/// [`HttpServer::xheaders`](crate::HttpServer::xheaders) takes them from the headers that it sets, and
/// [`trusted_downstream`](crate::HttpServer::trusted_downstream) says which addresses in `X-Forwarded-For` are proxies
/// rather than the client; `X-Real-Ip` is then what these have told, not the address of the proxy before.
///
/// **Upgrades.** Only `websocket` is passed on, when an HTTP/1.1 GET without a body asks for it, or over HTTP/2 an extended
/// CONNECT (RFC 8441; 501 for another `:protocol`); every other `Upgrade` is removed, so that the upstream answers in HTTP.
/// A 101 that was not asked for, or that changes to another protocol, is a 502. Between the versions the handshake is made
/// anew (feature `websocket`): `Sec-WebSocket-Key` and `-Accept` are said and checked where HTTP/1.1 is spoken, the other
/// fields pass. An upstream of HTTP/2 is asked there if it says that it takes WebSockets
/// (`SETTINGS_ENABLE_CONNECT_PROTOCOL`), for up to half of the streams that it allows, and over HTTP/1.1 else.
///
/// With an agreement both connections, or streams, become a tunnel. When one side of it ends, what it sent is passed on,
/// and its end; the other then has three seconds to end as well. A side that is reset resets the other. A side that takes
/// nothing for the server's [`write_timeout`](crate::HttpServer::write_timeout) is given up, and the other with it; so are
/// both when nothing passes for the [`tunnel_timeout`](Self::tunnel_timeout). When the server ends
/// ([`serve`](crate::HttpServer::serve)), tunnels have all of the time to drain, since nobody in between can tell their
/// clients to come back elsewhere; those that are left are closed then, and counted.
///
/// **Time limits.** [`connect_timeout`](Self::connect_timeout) (5 s), [`send_timeout`](Self::send_timeout) (60 s without
/// progress of the request's body), [`response_timeout`](Self::response_timeout) (60 s to the head),
/// [`read_timeout`](Self::read_timeout) (60 s without progress of the response's body). Those towards the client are the
/// server's: [`body_stall_timeout`](crate::HttpServer::body_stall_timeout) and
/// [`write_timeout`](crate::HttpServer::write_timeout).
///
/// **Responses.** Status, reason (where it is UTF-8) and fields pass, the removed ones above aside, of which a 407 keeps
/// `Proxy-Authenticate` and a 426 `Upgrade`; `Via` is extended, a missing `Date` added. A 304, or the answer to HEAD, tells
/// the length that the upstream told; a 204 that tells of a body loses that word and its connection. Interim responses pass
/// to HTTP/1.1 clients, but for a 100 to one that waits for it, which gets this server's own. A response without one clear end (two lengths, a length with chunks, unknown codings), or with a malformed
/// head, is a 502; one that breaks off is broken off here too. Bytes behind a response that belong to none end the
/// upstream's connection. [`Site::set_default_headers`](super::Site::set_default_headers) and headers set before are left
/// out; what is added to every head ([`Application::cors`](super::Application::cors),
/// [`after`](super::Application::after) hooks) is not. XSRF tokens are the upstream's to check.
///
/// **Again.** A request is sent to the next upstream when no connection could be made, and once more when a kept
/// connection turns out to be closed before a byte of a response came, if its method is idempotent and its body still
/// there (the first 64 KiB of one are kept). An HTTP/2 upstream that has not looked at it (`REFUSED_STREAM`, `GOAWAY`) gets
/// it again whatever its method.
///
/// **Who leaves.** A client that closes its sending side gets its answer if the head comes within three seconds, and no
/// 30 seconds pass without a piece of the body; a longer silence is taken for its leave, and the request to the upstream
/// is given up. One of HTTP/2 that resets its stream has left at once. Where the upstream speaks HTTP/2, a request that is
/// given up resets its stream there, and no other.
pub struct ReverseProxy {
    shared: Rc<Shared>,
}

struct Shared {
    client: AsyncHttpClient,
    upstreams: RefCell<Upstreams>,
    connect_timeout: Duration,
    response_timeout: Option<Duration>,
    read_timeout: Option<Duration>,
    send_timeout: Option<Duration>,
    tunnel_timeout: Option<Duration>,
    health: Option<(String, Duration)>,
    checking: Cell<bool>,
    append_html: Option<append::Html>,
}

/// A handler that hands every request to the server at `upstream`, such as `http://127.0.0.1:8889`. A path in it is
/// put before the request's. With the feature `client`, a default one.
pub fn proxy(upstream: impl AsRef<str>) -> ReverseProxy {
    let mut upstreams = Upstreams::default();
    upstreams.add(upstream.as_ref(), 1);
    ReverseProxy {
        shared: Rc::new(Shared {
            client: client().build(),
            upstreams: RefCell::new(upstreams),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Some(Duration::from_secs(60)),
            read_timeout: Some(Duration::from_secs(60)),
            send_timeout: Some(Duration::from_secs(60)),
            tunnel_timeout: Some(Duration::from_secs(3600)),
            health: None,
            checking: Cell::new(false),
            append_html: None,
        }),
    }
}

/// What asks upstreams.
fn client() -> HttpClientBuilder {
    let defaults = HttpRequest::get("")
        .follow_redirects(false)
        .decompress_response(false)
        .allow_nonstandard_methods(true)
        .request_timeout(None)
        .max_body_size(u64::MAX);
    AsyncHttpClient::builder().max_clients(1 << 20).max_idle_per_host(256).defaults(defaults)
}

impl ReverseProxy {
    /// Another server that takes its share of the requests: `weight` of the sum of all weights, the first one's being
    /// 1. A weight of 0 takes none.
    ///
    /// # Panics
    /// When called after the proxy was cloned or put into an application.
    #[must_use]
    #[track_caller]
    pub fn upstream(mut self, url: impl AsRef<str>, weight: u32) -> Self {
        self.shared_mut().upstreams.get_mut().add(url.as_ref(), weight);
        self
    }

    /// Whether `http` upstreams are spoken to over HTTP/2, which they are then known to understand (RFC 9113 §3.3; feature
    /// `http2`). With `https` ones it is spoken if they choose it. Default: no.
    ///
    /// An upstream has one connection then, with as many requests at once as it allows; more wait for their turn, as a part
    /// of the [`response_timeout`](Self::response_timeout).
    ///
    /// # Panics
    /// As [`upstream`](Self::upstream).
    #[cfg(feature = "http2")]
    #[must_use]
    #[track_caller]
    pub fn http2_prior_knowledge(mut self, on: bool) -> Self {
        self.shared_mut().client = client().http2_prior_knowledge(on).build();
        self
    }

    /// How long a connection to an upstream may take. Default: 5 s. Then the next upstream is tried, or the answer is
    /// 504.
    ///
    /// # Panics
    /// As [`upstream`](Self::upstream).
    #[must_use]
    #[track_caller]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.shared_mut().connect_timeout = timeout;
        self
    }

    /// How long an upstream may take from the end of the request to the head of its response, whole. `None`: as long as it
    /// likes, which long polling needs. Default: 60 s. Then the answer is 504.
    ///
    /// # Panics
    /// As [`upstream`](Self::upstream).
    #[must_use]
    #[track_caller]
    pub fn response_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.shared_mut().response_timeout = timeout.into();
        self
    }

    /// How long an upstream may be silent in the middle of a response's body, once it has the whole request: the time
    /// begins anew with each piece of the body that comes, and does not count while the client is given what has come
    /// (nginx's `proxy_read_timeout`, which bounds the wait for the head as well). `None`: as long as it likes. Default:
    /// 60 s.
    ///
    /// Then the upstream's connection is closed, and the client's is cut, so that the response does not look complete: it
    /// is reset, without a last chunk. An event stream that says nothing for longer needs a proxy with `None` or a longer
    /// time on its route; better is a comment line now and then, which also shows the upstream whether the client is there
    /// (squall's [`EventStream`](super::EventStream) sends one every 15 s).
    ///
    /// # Panics
    /// As [`upstream`](Self::upstream).
    #[must_use]
    #[track_caller]
    pub fn read_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.shared_mut().read_timeout = timeout.into();
        self
    }

    /// How long an upstream may take not a byte of a request's body that waits for it (nginx's `proxy_send_timeout`).
    /// `None`: as long as it likes. Default: 60 s. Then the answer is 504, or the response is cut that has begun.
    ///
    /// # Panics
    /// As [`upstream`](Self::upstream).
    #[must_use]
    #[track_caller]
    pub fn send_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.shared_mut().send_timeout = timeout.into();
        self
    }

    /// How long nothing may pass through a tunnel (an upgraded connection), in either direction; then both sides are
    /// closed (HAProxy's `timeout tunnel`). A ping of one side's WebSocket counts as much as anything else. `None`: as long
    /// as they like. Default: one hour.
    ///
    /// # Panics
    /// As [`upstream`](Self::upstream).
    #[must_use]
    #[track_caller]
    pub fn tunnel_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.shared_mut().tunnel_timeout = timeout.into();
        self
    }

    /// Fetches `path` from each upstream at this interval; one that does not answer with 200 to 399 gets no requests
    /// while another does. Default: off; upstreams that cannot be reached then rest for ten seconds.
    ///
    /// # Panics
    /// As [`upstream`](Self::upstream).
    #[must_use]
    #[track_caller]
    pub fn health_check(mut self, path: impl Into<String>, interval: Duration) -> Self {
        self.shared_mut().health = Some((path.into(), interval));
        self
    }

    /// Puts the HTML that `html` gives, when asked at the beginning of a request, behind the body of each response that is
    /// HTML: a script for a development server, say. Upstreams are asked for the whole of a page, uncompressed and
    /// unconditionally, and pages with something behind them are not to be stored. Default: nothing.
    ///
    /// # Panics
    /// As [`upstream`](Self::upstream).
    #[must_use]
    #[track_caller]
    pub fn append_html(mut self, html: impl Fn() -> Bytes + 'static) -> Self {
        self.shared_mut().append_html = Some(Box::new(html));
        self
    }

    /// Lets one change the upstreams while the proxy works.
    pub fn handle(&self) -> ProxyHandle {
        ProxyHandle(Rc::clone(&self.shared))
    }

    #[track_caller]
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
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl fmt::Debug for ReverseProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReverseProxy").field("upstreams", &self.shared.upstreams).finish_non_exhaustive()
    }
}

impl RequestHandler for ReverseProxy {
    const METHODS: Methods = Methods::ANY;
    /// The XSRF token is in a body that is not read here: the upstream checks it.
    const OPTIONS: HandlerOptions =
        HandlerOptions::new().default_headers(false).stream_body(true).xsrf_exempt();

    /// All of it: request and response may be on their way at the same time.
    async fn prepare(&mut self, ctx: &Context) -> Result {
        health::start(&self.shared);
        match OnwardRequest::of(ctx.request()) {
            Ok(onward) => relay::pass(&self.shared, ctx, onward).await,
            Err(stays) => answer(ctx, stays),
        }
    }

    /// The upstream's tag, or none.
    fn compute_etag(_ctx: &Context) -> Option<EntityTag> {
        None
    }
}

/// Answers a request that does not go on.
fn answer(ctx: &Context, stays: Stays) -> Result {
    match stays {
        Stays::Bad(what) => return Err(HttpError::new(400).message(what).into()),
        // Nothing of it is read.
        Stays::TooLarge => return Err(HttpError::new(413).header("Connection", "close").into()),
        // What follows might be meant for whoever was to be connected to.
        Stays::Connect => return Err(HttpError::new(501).header("Connection", "close").into()),
        Stays::LastRecipient if *ctx.method() == Method::TRACE => {
            ctx.set_header("Content-Type", "message/http")?;
            ctx.write(reflection(ctx));
        }
        Stays::LastRecipient => {
            ctx.set_status(204);
            ctx.set_header("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE")?;
        }
    }
    ctx.finish_now()
}

/// RFC 9110 §9.3.8: the request as it was received, but for the fields that are likely to be secret.
fn reflection(ctx: &Context) -> Vec<u8> {
    let request = ctx.request();
    let version = if request.version() == http::Version::HTTP_10 { "1.0" } else { "1.1" };
    let mut text = format!("{} {} HTTP/{version}\r\n", request.method(), request.uri()).into_bytes();
    for (name, value) in request.headers().iter_bytes() {
        if !matches!(name, "Authorization" | "Cookie" | "Proxy-Authorization") {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                text.extend_from_slice(part);
            }
        }
    }
    text.extend_from_slice(b"\r\n");
    text
}
