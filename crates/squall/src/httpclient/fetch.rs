//! From a request to its final response: slot, connection, redirects, authentication, one retry.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use url::Url;

use super::auth::{self, Challenge};
use super::body::{ResponseBody, within};
use super::builder::ProxyChoice;
use super::decode::{ACCEPT_ENCODING, Decoder};
use super::error::TIMEOUT_CONNECTING;
use super::exchange::{Incoming, Outgoing, authority, exchange, request_target};
use super::pool::{Key, Lease};
use super::proxy::Proxy;
use super::redirect::{redirect, strip_headers};
use super::request::{Auth, Body, HttpRequest, Options};
use super::response::{Parts, StreamingResponse, TimeInfo};
use super::{HttpClientError, Inner};
use crate::httputil::HttpHeaders;
use crate::log;
use crate::netutil::Family;
use crate::tcpclient::ConnectOptions;

const USER_AGENT: &str = concat!("squall/", env!("CARGO_PKG_VERSION"));
const DEFAULT_REDIRECTS: usize = 5;

/// One fetch on its way; changed by redirects.
struct Fetch<'a> {
    client: &'a Inner,
    options: Options,
    original: Url,
    url: Url,
    method: Method,
    /// The caller's headers, as far as they still apply.
    headers: HttpHeaders,
    body: Body,
    auth: Option<Auth>,
    proxy: Option<Proxy>,
    verbatim: Option<String>,
    /// What answers a digest challenge of the current URL.
    digest: Option<String>,
    times: TimeInfo,
    deadline: Option<Instant>,
    connect_deadline: Option<Instant>,
    permit: Option<OwnedSemaphorePermit>,
}

pub(super) async fn run(client: &Inner, request: HttpRequest) -> Result<StreamingResponse, HttpClientError> {
    if client.closed.get() {
        return Err(HttpClientError::ClientClosed);
    }
    let options = request.options.or(&client.config.defaults);
    let method = request.check(&options)?;
    let url = parse_url(&request.url)?;
    let start = Instant::now();
    let after = |timeout: Option<Option<Duration>>| {
        let timeout = timeout.flatten().filter(|timeout| !timeout.is_zero()); // Tornado's 0 is no limit
        timeout.and_then(|timeout| start.checked_add(timeout))
    };
    let deadline = after(options.request_timeout);
    let connect_deadline = [after(options.connect_timeout), deadline].into_iter().flatten().min();
    let proxy = match (&request.proxy, &client.config.proxy) {
        (Some(proxy), _) => proxy.clone(),
        (None, ProxyChoice::None) => None,
        (None, ProxyChoice::Fixed(proxy)) => Some(proxy.clone()),
        (None, ProxyChoice::Environment(environment)) => environment.for_url(&url).cloned(),
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
        options,
        original: url.clone(),
        url,
        method,
        headers: request.headers,
        body: request.body,
        auth: request.auth,
        proxy,
        verbatim: request.verbatim,
        digest: None,
        times,
        deadline,
        connect_deadline,
        permit: None,
    };
    fetch.permit = Some(fetch.slot().await?);
    fetch.times.queue = fetch.times.start.elapsed();
    fetch.run().await
}

/// # Errors
/// [`HttpClientError::Request`] for what is no `http` URL.
fn parse_url(text: &str) -> Result<Url, HttpClientError> {
    let url = Url::parse(text).map_err(|error| HttpClientError::Request(format!("{text:?}: {error}")))?;
    check_url(&url).map_err(HttpClientError::Request)?;
    Ok(url)
}

fn check_url(url: &Url) -> Result<(), String> {
    match url.scheme() {
        "http" if url.host_str().is_some_and(|host| !host.is_empty()) => Ok(()),
        scheme => Err(format!("Unsupported url scheme: {scheme}")),
    }
}

/// Counts a fetch that waits for a slot.
struct Queued<'a>(&'a Cell<usize>);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Fetch<'_> {
    /// One of `max_clients` slots, in the order of asking.
    async fn slot(&self) -> Result<OwnedSemaphorePermit, HttpClientError> {
        let slots = &self.client.slots;
        if let Ok(permit) = slots.clone().try_acquire_owned() {
            return Ok(permit);
        }
        self.client.queued.set(self.client.queued.get() + 1);
        let _queued = Queued(&self.client.queued);
        tracing::debug!(
            target: log::GENERAL,
            "max_clients limit reached, request queued. {} active, {} queued requests.",
            self.client.active(),
            self.client.queued.get()
        );
        let permit = async { slots.clone().acquire_owned().await.map_err(|_| HttpClientError::ClientClosed) };
        within(self.connect_deadline, "Timeout in request queue", permit).await
    }

    async fn run(mut self) -> Result<StreamingResponse, HttpClientError> {
        loop {
            let (mut lease, incoming) = within(self.deadline, "Timeout during request", self.send()).await?;
            self.times.start_transfer = self.times.start.elapsed();
            if let Some(jar) = &self.client.config.cookie_jar {
                jar.learn(&self.url, &incoming.head.headers);
            }
            if self.answer_challenge(&incoming) {
                self.discard(lease, incoming).await;
                continue;
            }
            if self.follow(&incoming)? {
                self.discard(lease, incoming).await;
                continue;
            }
            lease.hold(self.permit.take());
            return self.respond(lease, incoming);
        }
    }

    /// Sends the request as it now is, once more on a new connection if a kept one turns out to be dead.
    async fn send(&mut self) -> Result<(Lease, Incoming), HttpClientError> {
        let headers = self.wire_headers()?;
        let expect_continue =
            self.options.expect_100_continue == Some(true) && !matches!(self.body, Body::None);
        let target = self.target();
        let key = self.key();
        let mut kept = self.client.pool.take(&key);
        loop {
            let reused = kept.is_some();
            let stream = match kept.take() {
                Some(stream) => stream,
                None => self.connect(&key).await?,
            };
            self.times.connect = self.times.start.elapsed();
            let lease = Lease::new(stream, key.clone(), Rc::clone(&self.client.pool));
            let outgoing = Outgoing {
                method: &self.method,
                url: &self.url,
                target: &target,
                headers: &headers,
                body: &self.body,
                absolute: self.proxy.as_ref().is_some_and(Proxy::forwards),
                expect_continue,
            };
            match exchange(lease.stream(), &outgoing, &self.client.config.limits).await {
                Ok(incoming) => return Ok((lease, incoming)),
                // The server closed a connection that it had kept, just when the request went out. RFC 9110 §9.2.2:
                // what is idempotent may be sent again.
                Err(failed) if reused && failed.unanswered && self.method.is_idempotent() => {}
                Err(failed) => return Err(failed.error),
            }
        }
    }

    fn target(&self) -> String {
        self.verbatim.clone().unwrap_or_else(|| request_target(&self.url))
    }

    fn key(&self) -> Key {
        let host = self.url.host_str().unwrap_or_default().to_owned();
        let port = self.url.port_or_known_default().unwrap_or(80);
        let interface = self.options.network_interface;
        let allow_ipv6 = self.options.allow_ipv6 != Some(false);
        match &self.proxy {
            // One connection to a proxy that forwards requests serves them all.
            Some(proxy) if proxy.forwards() => Key {
                host: proxy.host().to_owned(),
                port: proxy.port(),
                proxy: Some(proxy.clone()),
                interface,
                allow_ipv6,
            },
            proxy => Key { host, port, proxy: proxy.clone(), interface, allow_ipv6 },
        }
    }

    async fn connect(&self, key: &Key) -> Result<crate::iostream::IoStream, HttpClientError> {
        let mut options = ConnectOptions::new()
            .max_buffer_size(self.client.config.max_buffer_size)
            .deadline(self.connect_deadline);
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
        if let Some(proxy) = &key.proxy {
            let establishing = proxy.establish(&stream, &key.host, key.port);
            within(self.connect_deadline, TIMEOUT_CONNECTING, establishing).await?;
        }
        Ok(stream)
    }

    /// The caller's headers and those that the client adds.
    fn wire_headers(&self) -> Result<HttpHeaders, HttpClientError> {
        let mistake = |error: crate::httputil::InvalidHeader| HttpClientError::Request(error.to_string());
        let mut headers = HttpHeaders::new();
        let host = self.headers.get("Host").map_or_else(|| authority(&self.url), str::to_owned);
        headers.add("Host", host.as_str()).map_err(mistake)?;
        for (name, value) in self.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("Host")) {
            headers.add(name, value).map_err(mistake)?;
        }
        let mut default = |name: &str, value: &str| {
            if headers.contains(name) { Ok(()) } else { headers.add(name, value).map_err(mistake) }
        };
        if self.verbatim.is_none() {
            default("User-Agent", self.options.user_agent.as_deref().unwrap_or(USER_AGENT))?;
        }
        if self.options.decompress_response != Some(false) {
            default("Accept-Encoding", ACCEPT_ENCODING)?;
        }
        if let Some(jar) = &self.client.config.cookie_jar
            && let Some(cookies) = jar.for_url(&self.url)
        {
            default("Cookie", &cookies)?;
        }
        if let Some(value) = self.authorization() {
            default("Authorization", &value)?;
        }
        if let Some(proxy) = self.proxy.as_ref().filter(|proxy| proxy.forwards())
            && let Some(value) = proxy.authorization()
        {
            default("Proxy-Authorization", &value)?;
        }
        match &self.body {
            Body::None => {
                // A POST without a body still says so (RFC 9110 §8.6).
                if matches!(self.method, Method::POST | Method::PUT | Method::PATCH) {
                    default("Content-Length", "0")?;
                }
            }
            Body::Bytes(body) => {
                if self.method == Method::POST && self.verbatim.is_none() {
                    default("Content-Type", "application/x-www-form-urlencoded")?;
                }
                let length = body.len().to_string();
                headers.remove("Transfer-Encoding");
                headers.set("Content-Length", length.as_str()).map_err(mistake)?;
            }
            Body::Producer(_) if headers.contains("Content-Length") => {}
            Body::Producer(_) => headers.set("Transfer-Encoding", "chunked").map_err(mistake)?,
        }
        if self.options.expect_100_continue == Some(true) && !matches!(self.body, Body::None) {
            headers.set("Expect", "100-continue").map_err(mistake)?;
        }
        Ok(headers)
    }

    /// The user of the URL, else the request's; neither after a redirect to another origin.
    fn authorization(&self) -> Option<String> {
        if let Some(digest) = &self.digest {
            return Some(digest.clone());
        }
        if !self.url.username().is_empty() {
            let decode =
                |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            return Some(auth::basic(
                &decode(self.url.username()),
                &decode(self.url.password().unwrap_or_default()),
            ));
        }
        match &self.auth {
            Some(Auth::Basic { user, password }) => Some(auth::basic(user, password)),
            _ => None,
        }
    }

    /// Prepares the answer to a digest challenge; only the first one is answered.
    fn answer_challenge(&mut self, incoming: &Incoming) -> bool {
        let Some(Auth::Digest { user, password }) = &self.auth else { return false };
        if incoming.head.status != 401 || self.digest.is_some() {
            return false;
        }
        let challenges = incoming.head.headers.list("WWW-Authenticate");
        let Some(challenge) = challenges.filter_map(Challenge::parse).next() else { return false };
        let cnonce = format!("{:032x}", super::random());
        let uri = self.target();
        self.digest = Some(challenge.answer(self.method.as_str(), &uri, user, password, &cnonce));
        true
    }

    /// Turns the request into the one that a redirect asks for.
    ///
    /// # Errors
    /// When it leads nowhere.
    fn follow(&mut self, incoming: &Incoming) -> Result<bool, HttpClientError> {
        let limit = self.options.max_redirects.unwrap_or(DEFAULT_REDIRECTS);
        if self.options.follow_redirects == Some(false) || self.times.redirects >= limit {
            return Ok(false);
        }
        let head = &incoming.head;
        let location = head.headers.get("Location");
        let next = redirect(head.status, location, &self.method, &self.url, &self.original)
            .map_err(|error| HttpClientError::Redirect(format!("redirected to what is no URL: {error}")))?;
        let Some(next) = next else { return Ok(false) };
        check_url(&next.url).map_err(HttpClientError::Redirect)?;
        strip_headers(&mut self.headers, &next);
        if next.other_origin {
            self.auth = None;
        }
        if !next.keep_body {
            self.body = Body::None;
        }
        self.digest = None;
        self.verbatim = None;
        self.url = next.url;
        self.method = next.method;
        self.times.redirects += 1;
        if let ProxyChoice::Environment(environment) = &self.client.config.proxy {
            self.proxy = environment.for_url(&self.url).cloned();
        }
        Ok(true)
    }

    /// Reads a response that nobody wants to its end, so that its connection can be used again.
    async fn discard(&mut self, lease: Lease, incoming: Incoming) {
        let body = ResponseBody::new(lease, incoming.facts, None, u64::MAX, self.deadline);
        if let Ok(body) = body {
            body.drain().await;
        }
    }

    fn respond(self, lease: Lease, incoming: Incoming) -> Result<StreamingResponse, HttpClientError> {
        let Incoming { mut head, facts } = incoming;
        let mut decoder = None;
        if self.options.decompress_response != Some(false)
            && let Some(coding) = head.headers.get("Content-Encoding").map(str::to_owned)
        {
            decoder = Decoder::for_coding(&coding);
            if decoder.is_some() {
                head.headers.remove("Content-Encoding");
                // Its value was a header before.
                let _ = head.headers.set("X-Consumed-Content-Encoding", coding.as_str());
            }
        }
        let max_body_size = self.options.max_body_size.unwrap_or(u64::MAX);
        let body = match head.status {
            101 => ResponseBody::upgraded(lease),
            _ => ResponseBody::new(lease, facts, decoder, max_body_size, self.deadline)?,
        };
        let mut url = self.url;
        // Whoever logs the URL that answered need not log a password.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        Ok(StreamingResponse { parts: Parts { head, effective_url: url.into(), times: self.times }, body })
    }
}
