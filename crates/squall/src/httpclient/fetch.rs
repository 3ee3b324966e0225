//! From a request to its final response: slot, connection, redirects, authentication, one retry.

use std::fmt;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use url::Url;

use super::auth::{Credentials, DigestChallenge};
use super::body::{ResponseBody, Rest, within};
use super::builder::ProxyChoice;
use super::decode::{ACCEPT_ENCODING, Decoder};
use super::error::TimedOut;
use super::exchange::{Again, Answer, Failed, exchange};
use super::http2::{self, Place};
use super::origins::{Course, Lead};
use super::pool::{Key, Lease, Offer};
use super::proxy::Proxy;
use super::redirect::{redirect, strip_headers};
use super::reference;
use super::request::{Auth, Body, HttpRequest, RequestUrl, Target};
use super::response::{Parts, StreamingResponse, TimeInfo};
use super::time_limits::TimeLimits;
use super::tls::TlsConfig;
use super::wire::{Outgoing, request_target};
use super::{HttpClientError, Inner};
use crate::http1::response::ResponseHead;
use crate::httputil::HttpHeaders;
use crate::iostream::IoStream;
use crate::log;
use crate::metrics::{self, Counted, Value};
use crate::netutil::Family;
use crate::tcpclient::ConnectOptions;

const DEFAULT_REDIRECTS: usize = 5;
/// So many times a request is sent again, redirects and challenges aside.
const MOST_AGAIN: usize = 3;

/// One fetch on its way; changed by redirects.
struct Fetch<'a> {
    client: &'a Inner,
    /// With the client's defaults, and only what still applies of its headers, body and credentials.
    request: Box<HttpRequest>,
    /// The first URL, once there has been a redirect.
    original: Option<Url>,
    url: Url,
    method: Method,
    proxy: Option<Proxy>,
    /// What answers a digest challenge of the current URL.
    digest: Option<Vec<u8>>,
    times: TimeInfo,
    limits: TimeLimits,
    permit: Option<OwnedSemaphorePermit>,
}

pub(super) async fn run(
    client: &Inner,
    mut request: Box<HttpRequest>,
) -> Result<StreamingResponse, HttpClientError> {
    if client.closed.get() {
        return Err(HttpClientError::ClientClosed);
    }
    request.options.or(&client.config.defaults);
    let method = request.check()?;
    let url = take_url(&mut request.url)?;
    let start = Instant::now();
    let limits = TimeLimits::new(&request.options, start);
    let proxy = match (&request.proxy, &client.config.proxy) {
        (Some(proxy), _) => proxy.clone(),
        (None, ProxyChoice::None) => None,
        (None, ProxyChoice::Fixed(proxy)) => Some(proxy.clone()),
        (None, ProxyChoice::Environment(environment)) => environment.for_url(&url)?.cloned(),
    };
    let times = TimeInfo {
        start: start.into_std(),
        queue: Duration::ZERO,
        connect: Duration::ZERO,
        start_transfer: Duration::ZERO,
        redirects: 0,
    };
    let mut fetch = Fetch {
        client,
        request,
        original: None,
        url,
        method,
        proxy,
        digest: None,
        times,
        limits,
        permit: None,
    };
    let waiting = Counted::new(Value::FetchesInFlight);
    let ran = fetch.run(start).await;
    drop(waiting);
    if metrics::is_on() {
        let answer = ran.as_ref().ok().map(|answer| (answer.head.status, answer.head.version));
        metrics::fetch(fetch.method.as_str(), answer, start.elapsed());
    }
    fetch.respond(ran?)
}

/// What a request is sent on.
enum Carrier {
    Http1(Lease),
    Http2(Place),
}

fn is_http2(key: &Key, stream: &IoStream) -> bool {
    match key.offer {
        Offer::Http1 => false,
        Offer::Both => http2::is_agreed(stream),
        Offer::Http2 => true,
    }
}

/// # Errors
/// [`HttpClientError::Request`] for what is no URL that is spoken here.
fn take_url(given: &mut RequestUrl) -> Result<Url, HttpClientError> {
    let url = match std::mem::replace(&mut given.0, Target::Text(String::new())) {
        Target::Parsed(url) => url,
        Target::Text(text) => {
            let wrong = |error: &dyn fmt::Display| HttpClientError::Request(format!("{text:?}: {error}"));
            reference::check(&text).map_err(|error| wrong(&error))?;
            Url::parse(&text).map_err(|error| wrong(&error))?
        }
    };
    check_url(&url).map_err(HttpClientError::Request)?;
    Ok(url)
}

fn check_url(url: &Url) -> Result<(), String> {
    match url.scheme() {
        "http" if url.host_str().is_some_and(|host| !host.is_empty()) => Ok(()),
        "https" if cfg!(feature = "tls") => Ok(()),
        "https" => Err("https is spoken with squall's feature `tls` only".to_owned()),
        scheme => Err(format!("Unsupported url scheme: {scheme}")),
    }
}

impl Fetch<'_> {
    /// One of `max_clients` slots, in the order of asking; and when it was there.
    async fn slot(&self, start: Instant) -> Result<(OwnedSemaphorePermit, Instant), HttpClientError> {
        let slots = &self.client.slots;
        if let Some(permit) = slots.try_enter() {
            return Ok((permit, start));
        }
        tracing::debug!(
            target: log::GENERAL,
            "max_clients limit reached, request queued. {} active, {} queued requests.",
            slots.taken(),
            slots.waiting() + 1
        );
        let permit = async { slots.enter().await.ok_or(HttpClientError::ClientClosed) };
        let permit = within(self.limits.connecting(start), TimedOut::Queue, pin!(permit)).await?;
        Ok((permit, Instant::now()))
    }

    /// The final response, but for its body.
    async fn run(&mut self, start: Instant) -> Result<Answer<Rest>, HttpClientError> {
        let (permit, mut now) = self.slot(start).await?;
        self.permit = Some(permit);
        self.times.queue = now - start;
        loop {
            let mut answer = within(self.limits.whole, TimedOut::Request, pin!(self.send(now))).await?;
            now = Instant::now();
            self.times.start_transfer = now - start;
            if let Some(jar) = &self.client.config.cookie_jar {
                jar.learn(&self.url, &answer.head.headers);
            }
            if self.answer_challenge(&answer.head) || self.follow(&answer.head)? {
                Box::pin(self.discard(answer.rest)).await;
                continue;
            }
            answer.rest.hold(self.permit.take());
            return Ok(answer);
        }
    }

    /// Sends the request as it now is. Once more on a new connection if a kept one turns out to be dead, and a few times if
    /// the server does not look at it.
    async fn send(&mut self, now: Instant) -> Result<Answer<Rest>, HttpClientError> {
        let mut key = self.key()?;
        let mut tries = 0;
        loop {
            let found = if tries == 0 { self.client.pool.take(&key, now) } else { None };
            // Boxed: what makes a connection is large and rare, and need not make the future of every fetch larger.
            let (carrier, reused) = match found {
                Some(lease) => (Carrier::Http1(lease), true),
                None if key.offer == Offer::Http1 => (Box::pin(self.make(&key)).await?, false),
                None => self.choose(&key).await?,
            };
            self.times.connect = if reused && tries == 0 {
                now.into_std() - self.times.start
            } else {
                self.times.start.elapsed()
            };
            tries += 1;
            let failed = match self.exchange(carrier).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            match failed.again {
                // The server closed a connection that it had kept, just when the request went out. RFC 9110 §9.2.2: what
                // is idempotent may be sent again.
                Again::Unanswered if reused && self.method.is_idempotent() && tries <= MOST_AGAIN => {}
                // RFC 9113 §8.7: whatever it asks for.
                Again::Unprocessed if tries <= MOST_AGAIN => {}
                Again::OverHttp1 if key.offer == Offer::Both || self.request.websocket => {
                    key = key.over_http1();
                }
                _ => return Err(failed.error),
            }
        }
    }

    async fn exchange(&self, carrier: Carrier) -> Result<Answer<Rest>, Failed> {
        let extra = self.extra_headers()?;
        let request = &*self.request;
        let outgoing = Outgoing {
            method: &self.method,
            url: &self.url,
            verbatim: request.verbatim.as_deref(),
            headers: &request.headers,
            extra: &extra,
            accept_encoding: (request.options.decompress_response != Some(false)).then_some(ACCEPT_ENCODING),
            body: &request.body,
            absolute: self.forwarding().is_some(),
            on_interim: request.on_interim.as_deref(),
            send_timeout: request.send_timeout,
            websocket: request.websocket,
            expect_continue: request.options.expect_100_continue == Some(true)
                && !matches!(request.body, Body::None),
        };
        match carrier {
            Carrier::Http1(lease) => {
                let answer = exchange(lease.stream(), &outgoing, &self.client.config.limits).await?;
                Ok(answer.with_rest(|facts| Rest::Http1(lease, facts)))
            }
            Carrier::Http2(place) => {
                let answer = http2::exchange(place, &outgoing).await?;
                Ok(answer.with_rest(Rest::Http2))
            }
        }
    }

    /// A connection of a server that may speak HTTP/2, and whether it was there before. Of those who ask at the same time
    /// one makes it, and the others wait.
    async fn choose(&self, key: &Key) -> Result<(Carrier, bool), HttpClientError> {
        let pool = &self.client.pool;
        let deadline = self.limits.connecting(Instant::now());
        loop {
            match pool.origins.course(key) {
                Course::Go(place) => return Ok((Carrier::Http2(place), true)),
                Course::Http1 => return Ok((Box::pin(self.make(key)).await?, false)),
                Course::Lead(lead) => {
                    if let Some(carrier) = Box::pin(self.lead(key, lead)).await? {
                        return Ok((carrier, false));
                    }
                }
                // No socket waits for another to end.
                Course::Wait(full) if self.request.websocket && full.is_told() => {
                    return Ok((Box::pin(self.make(&key.over_http1())).await?, false));
                }
                // The connection is there, so its time limit is not that of this wait.
                Course::Wait(full) => {
                    let place = async { Ok(full.place().await) };
                    if let Some(place) = within(self.limits.whole, TimedOut::Queue, pin!(place)).await? {
                        return Ok((Carrier::Http2(place), true));
                    }
                }
                Course::Follow(following) => {
                    let connected = async {
                        following.wait().await;
                        Ok(())
                    };
                    within(deadline, TimedOut::Connecting, pin!(connected)).await?;
                }
            }
            if self.client.closed.get() {
                return Err(HttpClientError::ClientClosed);
            }
        }
    }

    /// The first connection of a server that may speak HTTP/2, unless it has ended already.
    async fn lead(&self, key: &Key, lead: Lead) -> Result<Option<Carrier>, HttpClientError> {
        self.client.pool.start_sweeping();
        let stream = self.connect(key).await?;
        if !is_http2(key, &stream) {
            lead.settle_http1();
            return Ok(Some(self.lease(key, stream)));
        }
        let session = http2::begin(stream, self.client.config.http2()).await?;
        Ok(lead.settle(session).map(Carrier::Http2))
    }

    /// A new connection.
    async fn make(&self, key: &Key) -> Result<Carrier, HttpClientError> {
        let stream = self.connect(key).await?;
        if !is_http2(key, &stream) {
            return Ok(self.lease(key, stream));
        }
        let session = http2::begin(stream, self.client.config.http2()).await?;
        let Some(place) = session.try_place() else { return Err(HttpClientError::Closed(None)) };
        self.client.pool.origins.settle(key, session);
        Ok(Carrier::Http2(place))
    }

    fn lease(&self, key: &Key, stream: IoStream) -> Carrier {
        Carrier::Http1(Lease::new(stream, Rc::new(key.clone()), Rc::clone(&self.client.pool)))
    }

    /// What the request can be sent over.
    fn offer(&self) -> Offer {
        let options = &self.request.options;
        let changes = self.request.headers.contains("Upgrade") && !self.request.websocket;
        let only_http1 = self.forwarding().is_some() || changes;
        match self.url.scheme() {
            _ if !http2::IS_SPOKEN || only_http1 => Offer::Http1,
            "https" if options.http2 != Some(false) => Offer::Both,
            "http" if options.http2_prior_knowledge == Some(true) => Offer::Http2,
            _ => Offer::Http1,
        }
    }

    fn key(&self) -> Result<Key, HttpClientError> {
        let (host, port) = match self.forwarding() {
            // One connection to a proxy that forwards requests serves them all.
            Some(proxy) => (proxy.host(), proxy.port()),
            None => {
                let host = self.url.host_str().unwrap_or_default();
                (host, self.url.port_or_known_default().unwrap_or(80))
            }
        };
        Ok(Key {
            host: host.to_owned(),
            port,
            proxy: self.proxy.clone(),
            interface: self.request.options.network_interface,
            allow_ipv6: self.request.options.allow_ipv6 != Some(false),
            tls: self.tls()?,
            offer: self.offer(),
        })
    }

    /// The proxy, if it is given whole requests. What is secret is not for it to read: for https it makes a tunnel.
    fn forwarding(&self) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|proxy| proxy.forwards() && self.url.scheme() == "http")
    }

    #[cfg(feature = "tls")]
    fn tls(&self) -> Result<Option<TlsConfig>, HttpClientError> {
        if self.url.scheme() != "https" {
            return Ok(None);
        }
        self.request.options.tls.clone().map_or_else(TlsConfig::system, Ok).map(Some)
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "as with the feature")]
    fn tls(&self) -> Result<Option<TlsConfig>, HttpClientError> {
        Ok(None)
    }

    async fn connect(&self, key: &Key) -> Result<IoStream, HttpClientError> {
        let deadline = self.limits.connecting(Instant::now());
        let mut options =
            ConnectOptions::new().max_buffer_size(self.client.config.max_buffer_size).deadline(deadline);
        if let Some(ip) = key.interface {
            options = options.source_ip(ip);
        }
        if !key.allow_ipv6 {
            options = options.family(Family::Inet);
        }
        let (host, port) = match &key.proxy {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (key.host.as_str(), key.port),
        };
        let stream = self.client.tcp.connect_with(host, port, &options).await?;
        // Requests are written whole; waiting for more to send with them only costs time.
        let _ = stream.set_nodelay(true);
        let stream = match &key.proxy {
            Some(proxy) => within(deadline, TimedOut::Handshake, pin!(proxy.secure(stream))).await?,
            None => stream,
        };
        if let Some(proxy) = key.proxy.as_ref().filter(|_| self.forwarding().is_none()) {
            let establishing = proxy.establish(&stream, &key.host, key.port);
            within(deadline, TimedOut::Connecting, pin!(establishing)).await?;
        }
        match &key.tls {
            Some(tls) => {
                let securing = tls.connect(&stream, &key.host, key.offer == Offer::Both);
                within(deadline, TimedOut::Handshake, pin!(securing)).await
            }
            None => Ok(stream),
        }
    }

    /// The headers that are neither the caller's nor always the same; usually none.
    fn extra_headers(&self) -> Result<HttpHeaders, HttpClientError> {
        let mut extra = HttpHeaders::new();
        let mut add = |name: &str, value: &[u8]| {
            extra.add(name, value).map_err(|error| HttpClientError::Request(error.to_string()))
        };
        let config = &self.client.config;
        let agent = self.request.options.user_agent.as_deref().or(config.defaults.user_agent.as_deref());
        if let Some(agent) = agent.filter(|_| self.request.verbatim.is_none()) {
            add("User-Agent", agent.as_bytes())?;
        }
        if let Some(cookies) = config.cookie_jar.as_ref().and_then(|jar| jar.for_url(&self.url)) {
            add("Cookie", cookies.as_bytes())?;
        }
        if let Some(value) = self.authorization() {
            add("Authorization", &value)?;
        }
        if let Some(value) = self.forwarding().and_then(Proxy::authorization) {
            add("Proxy-Authorization", value.as_bytes())?;
        }
        Ok(extra)
    }

    /// The user of the URL, else the request's; neither after a redirect to another origin.
    fn authorization(&self) -> Option<Vec<u8>> {
        if self.digest.is_some() {
            return self.digest.clone();
        }
        let given = match &self.request.auth {
            Some(Auth::Basic(credentials)) => Some(credentials),
            _ => None,
        };
        match (Credentials::of_url(&self.url), given) {
            (Some(own), _) => Some(own.basic().into_bytes()),
            (None, given) => given.map(|given| given.basic().into_bytes()),
        }
    }

    /// Prepares the answer to a digest challenge; only the first one is answered.
    fn answer_challenge(&mut self, head: &ResponseHead) -> bool {
        let Some(Auth::Digest(credentials)) = &self.request.auth else { return false };
        if head.status != 401 || self.digest.is_some() {
            return false;
        }
        let fields = head.headers.list_bytes("WWW-Authenticate");
        let Some(challenge) = DigestChallenge::strongest(fields) else { return false };
        let cnonce = format!("{:032x}", super::random());
        let uri = self.request.verbatim.as_deref().unwrap_or_else(|| request_target(&self.url));
        self.digest = Some(challenge.answer(self.method.as_str(), uri, credentials, &cnonce));
        true
    }

    /// Turns the request into the one that a redirect asks for.
    ///
    /// # Errors
    /// When it leads nowhere.
    fn follow(&mut self, head: &ResponseHead) -> Result<bool, HttpClientError> {
        let limit = self.request.options.max_redirects.unwrap_or(DEFAULT_REDIRECTS);
        if self.request.options.follow_redirects == Some(false) || self.times.redirects >= limit {
            return Ok(false);
        }
        let location = head.headers.get_bytes("Location").map(reference::text);
        let original = self.original.as_ref().unwrap_or(&self.url);
        let next = redirect(head.status, location.as_deref(), &self.method, &self.url, original)
            .map_err(|error| HttpClientError::Redirect(format!("redirected to what is no URL: {error}")))?;
        let Some(next) = next else { return Ok(false) };
        check_url(&next.url).map_err(HttpClientError::Redirect)?;
        let request = &mut *self.request;
        strip_headers(&mut request.headers, &next);
        if next.other_origin {
            request.auth = None;
        }
        if !next.keep_body {
            request.body = Body::None;
        }
        request.verbatim = None;
        self.digest = None;
        let left = std::mem::replace(&mut self.url, next.url);
        self.original.get_or_insert(left);
        self.method = next.method;
        self.times.redirects += 1;
        if let ProxyChoice::Environment(environment) = &self.client.config.proxy {
            self.proxy = environment.for_url(&self.url)?.cloned();
        }
        Ok(true)
    }

    /// Reads a response that nobody wants to its end, so that its connection can be used again.
    async fn discard(&mut self, rest: Rest) {
        let body = ResponseBody::new(rest, None, None, u64::MAX, self.limits.whole);
        if let Ok(body) = body {
            body.drain().await;
        }
    }

    fn respond(self, answer: Answer<Rest>) -> Result<StreamingResponse, HttpClientError> {
        let Answer { mut head, rest, upload } = answer;
        let mut decoder = None;
        if self.request.options.decompress_response != Some(false)
            && let Some(coding) = head.headers.get("Content-Encoding").map(str::to_owned)
        {
            decoder = Decoder::for_coding(&coding).map(Box::new);
            if decoder.is_some() {
                head.headers.remove("Content-Encoding");
                // Its value was a header before.
                let _ = head.headers.set("X-Consumed-Content-Encoding", coding.as_str());
            }
        }
        let max_body_size = self.request.options.max_body_size.unwrap_or(u64::MAX);
        let body = match head.status {
            101 => ResponseBody::upgraded(rest),
            _ if rest.is_tunnel() => ResponseBody::upgraded(rest),
            _ => ResponseBody::new(rest, upload, decoder, max_body_size, self.limits.whole)?,
        };
        let mut url = self.url;
        // Whoever logs the URL that answered need not log a password.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        Ok(StreamingResponse { parts: Parts { head, effective_url: url.into(), times: self.times }, body })
    }
}
