//! Requests to be sent.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use url::Url;

use super::auth::Credentials;
use super::body::BodyWriter;
use super::error::HttpClientError;
use super::proxy::Proxy;
#[cfg(feature = "tls")]
use super::tls::TlsConfig;
use crate::http1::response::ResponseHead;
use crate::httputil::{HeaderValue, HttpHeaders, format_timestamp};

/// A request (Tornado's `HTTPRequest`). What is wrong with it is reported when it is fetched.
///
/// Options that are not set take the client's [defaults](super::HttpClientBuilder::defaults).
#[doc(alias = "HTTPRequest")]
#[derive(Clone)]
pub struct HttpRequest {
    pub(super) url: RequestUrl,
    /// What is no method is kept to be complained about.
    pub(super) method: Result<Method, String>,
    pub(super) headers: HttpHeaders,
    pub(super) body: Body,
    pub(super) auth: Option<Auth>,
    pub(super) proxy: Option<Option<Proxy>>,
    /// What goes on the wire in place of the URL's path and query (see `verbatim`).
    pub(super) verbatim: Option<String>,
    pub(super) on_interim: Option<OnInterim>,
    /// See `send_timeout`.
    pub(super) send_timeout: Option<Duration>,
    /// See `websocket`.
    pub(super) websocket: bool,
    pub(super) options: Options,
    /// The first mistake made while it was put together.
    pub(super) mistake: Option<String>,
}

/// What has a default. `None` is unset.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) connect_timeout: Option<Option<Duration>>,
    pub(super) request_timeout: Option<Option<Duration>>,
    pub(super) follow_redirects: Option<bool>,
    pub(super) max_redirects: Option<usize>,
    pub(super) decompress_response: Option<bool>,
    pub(super) user_agent: Option<String>,
    pub(super) expect_100_continue: Option<bool>,
    pub(super) allow_nonstandard_methods: Option<bool>,
    pub(super) allow_ipv6: Option<bool>,
    pub(super) network_interface: Option<IpAddr>,
    pub(super) max_body_size: Option<u64>,
    pub(super) raise_error: Option<bool>,
    pub(super) http2: Option<bool>,
    pub(super) http2_prior_knowledge: Option<bool>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<TlsConfig>,
}

impl Options {
    /// What is unset here, from `defaults`; but for the user agent, which is looked up when it is sent.
    pub(super) fn or(&mut self, defaults: &Self) {
        *self = Self {
            connect_timeout: self.connect_timeout.or(defaults.connect_timeout),
            request_timeout: self.request_timeout.or(defaults.request_timeout),
            follow_redirects: self.follow_redirects.or(defaults.follow_redirects),
            max_redirects: self.max_redirects.or(defaults.max_redirects),
            decompress_response: self.decompress_response.or(defaults.decompress_response),
            user_agent: self.user_agent.take(),
            expect_100_continue: self.expect_100_continue.or(defaults.expect_100_continue),
            allow_nonstandard_methods: self.allow_nonstandard_methods.or(defaults.allow_nonstandard_methods),
            allow_ipv6: self.allow_ipv6.or(defaults.allow_ipv6),
            network_interface: self.network_interface.or(defaults.network_interface),
            max_body_size: self.max_body_size.or(defaults.max_body_size),
            raise_error: self.raise_error.or(defaults.raise_error),
            http2: self.http2.or(defaults.http2),
            http2_prior_knowledge: self.http2_prior_knowledge.or(defaults.http2_prior_knowledge),
            #[cfg(feature = "tls")]
            tls: self.tls.take().or_else(|| defaults.tls.clone()),
        };
    }
}

/// See [`HttpRequest::on_interim`].
pub(crate) type OnInterim = Rc<dyn Fn(&ResponseHead)>;

/// User and password, and how they are told.
#[derive(Clone)]
pub(super) enum Auth {
    Basic(Credentials),
    Digest(Credentials),
}

type Producing = Pin<Box<dyn Future<Output = Result<(), Box<dyn Error>>>>>;

/// A request's body.
#[derive(Clone)]
pub(super) enum Body {
    None,
    Bytes(Bytes),
    /// Called again when the request has to be sent again.
    Producer(Rc<dyn Fn(BodyWriter) -> Producing>),
}

macro_rules! methods {
    ($($name:ident $method:literal)*) => {$(
        #[doc = concat!("A `", $method, "` request.")]
        #[must_use]
        pub fn $name(url: impl Into<RequestUrl>) -> Self {
            Self::new($method, url)
        }
    )*};
}

impl HttpRequest {
    /// For a test's server: a URL that is a path only is below `base`, and no status is an error unless that was asked for.
    pub(crate) fn for_test(mut self, base: &str) -> Self {
        if self.url().starts_with('/') {
            self.url = format!("{base}{}", self.url()).into();
        }
        self.options.raise_error.get_or_insert(false);
        self
    }

    methods! { get "GET" head "HEAD" post "POST" put "PUT" patch "PATCH" delete "DELETE" options "OPTIONS" }

    /// A request with any method.
    ///
    /// Beyond `GET HEAD POST PUT PATCH DELETE OPTIONS` a method needs
    /// [`allow_nonstandard_methods`](Self::allow_nonstandard_methods).
    #[must_use]
    pub fn new(method: impl AsRef<str>, url: impl Into<RequestUrl>) -> Self {
        let method = method.as_ref();
        Self::with_method(Method::from_bytes(method.as_bytes()).map_err(|_| method.to_owned()), url.into())
    }

    fn with_method(method: Result<Method, String>, url: RequestUrl) -> Self {
        Self {
            url,
            method,
            headers: HttpHeaders::new(),
            body: Body::None,
            auth: None,
            proxy: None,
            verbatim: None,
            on_interim: None,
            send_timeout: None,
            websocket: false,
            options: Options::default(),
            mistake: None,
        }
    }

    /// The URL as given.
    pub fn url(&self) -> &str {
        match &self.url.0 {
            Target::Text(text) => text,
            Target::Parsed(url) => url.as_str(),
        }
    }

    /// The method.
    pub fn method(&self) -> &str {
        self.method.as_ref().map_or_else(String::as_str, Method::as_str)
    }

    /// The headers as given; the client adds more.
    pub fn headers(&self) -> &HttpHeaders {
        &self.headers
    }

    /// Sets a header. One with control characters fails the fetch.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl HeaderValue) -> Self {
        if let Err(error) = self.headers.set(name, value) {
            self.mistake.get_or_insert(error.to_string());
        }
        self
    }

    /// Adds a header beside those of that name.
    #[must_use]
    pub fn add_header(mut self, name: &str, value: impl HeaderValue) -> Self {
        if let Err(error) = self.headers.add(name, value) {
            self.mistake.get_or_insert(error.to_string());
        }
        self
    }

    /// The body. A `POST` without a Content-Type is sent as `application/x-www-form-urlencoded`, as in Tornado.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Body::Bytes(body.into());
        self
    }

    /// A value as JSON body, with its Content-Type.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => self.header("Content-Type", "application/json").body(json),
            Err(error) => {
                self.mistake.get_or_insert(format!("the body cannot be JSON: {error}"));
                self
            }
        }
    }

    /// A value as `application/x-www-form-urlencoded` body, with its Content-Type.
    #[must_use]
    pub fn form<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_urlencoded::to_string(value) {
            Ok(form) => self.header("Content-Type", "application/x-www-form-urlencoded").body(form),
            Err(error) => {
                self.mistake.get_or_insert(format!("the body cannot be a form: {error}"));
                self
            }
        }
    }

    /// A `multipart/form-data` body, with its Content-Type.
    #[must_use]
    pub fn multipart(self, form: super::MultipartForm) -> Self {
        let (content_type, body) = form.encode();
        self.header("Content-Type", content_type.as_str()).body(body)
    }

    /// A body that is made while it is sent (Tornado's `body_producer`): in chunks, unless a Content-Length is set.
    ///
    /// Called once more when the request is sent again, after a redirect for example.
    #[must_use]
    pub fn body_producer<F, E>(mut self, producer: F) -> Self
    where
        F: AsyncFn(BodyWriter) -> Result<(), E> + 'static,
        E: Into<Box<dyn Error>>,
    {
        let producer = Rc::new(producer);
        self.body = Body::Producer(Rc::new(move |writer| {
            let producer = Rc::clone(&producer);
            Box::pin(async move { producer(writer).await.map_err(Into::into) })
        }));
        self
    }

    /// User and password for HTTP Basic authentication (RFC 7617). A user in the URL takes precedence.
    #[must_use]
    #[doc(alias = "auth_username")]
    #[doc(alias = "auth_password")]
    pub fn basic_auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.auth = Some(Auth::Basic(Credentials::new(user, password)));
        self
    }

    /// User and password for HTTP Digest authentication (RFC 7616): MD5, SHA-256 and SHA-512-256. The request is sent once
    /// without them, and again when the server asks; of several challenges the strongest is answered.
    #[must_use]
    pub fn digest_auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.auth = Some(Auth::Digest(Credentials::new(user, password)));
        self
    }

    /// Asks for the resource only if it has changed since then: the answer may be a 304.
    #[must_use]
    pub fn if_modified_since(self, time: SystemTime) -> Self {
        self.header("If-Modified-Since", format_timestamp(time).as_str())
    }

    /// The way through a proxy, or, with `None`, past the client's.
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<Option<Proxy>>) -> Self {
        self.proxy = Some(proxy.into());
        self
    }

    /// The time for resolving and connecting, TLS and a proxy's answer included, of each connection that is made; and before
    /// that for the wait for a free slot. `None`: no limit. Default: 20 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.connect_timeout = Some(timeout.into());
        self
    }

    /// The time for the whole request with its redirects, until the body is complete. `None`: no limit. Default: 20 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.request_timeout = Some(timeout.into());
        self
    }

    /// Whether redirects are followed. Default: yes.
    #[must_use]
    pub fn follow_redirects(mut self, on: bool) -> Self {
        self.options.follow_redirects = Some(on);
        self
    }

    /// How many redirects are followed; the one after that is the response. Default: 5.
    #[must_use]
    pub fn max_redirects(mut self, count: usize) -> Self {
        self.options.max_redirects = Some(count);
        self
    }

    /// Whether compressed responses are asked for and decompressed. Default: yes.
    #[must_use]
    pub fn decompress_response(mut self, on: bool) -> Self {
        self.options.decompress_response = Some(on);
        self
    }

    /// The `User-Agent`. Default: `squall/` and the version.
    #[must_use]
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.options.user_agent = Some(name.into());
        self
    }

    /// Sends `Expect: 100-continue` and the body only when the server has agreed, or has said nothing for a second: not every
    /// server knows the header (RFC 9110 §10.1.1). Default: no.
    #[must_use]
    pub fn expect_100_continue(mut self, on: bool) -> Self {
        self.options.expect_100_continue = Some(on);
        self
    }

    /// Lifts the rules which methods there are and which have a body. Default: no.
    #[must_use]
    pub fn allow_nonstandard_methods(mut self, on: bool) -> Self {
        self.options.allow_nonstandard_methods = Some(on);
        self
    }

    /// Whether IPv6 addresses are tried. Default: yes.
    #[must_use]
    pub fn allow_ipv6(mut self, on: bool) -> Self {
        self.options.allow_ipv6 = Some(on);
        self
    }

    /// The local address to connect from.
    #[must_use]
    pub fn network_interface(mut self, ip: IpAddr) -> Self {
        self.options.network_interface = Some(ip);
        self
    }

    /// The most bytes of the response's body, decompressed. Default: the client's.
    #[must_use]
    pub fn max_body_size(mut self, bytes: u64) -> Self {
        self.options.max_body_size = Some(bytes);
        self
    }

    /// Whether a status that is no success is an error of [`fetch`](super::AsyncHttpClient::fetch). Default: yes.
    #[must_use]
    pub fn raise_error(mut self, on: bool) -> Self {
        self.options.raise_error = Some(on);
        self
    }

    /// Settings of https connections (feature `tls`). Default: servers must have a certificate of an authority that the
    /// system trusts.
    #[cfg(feature = "tls")]
    #[must_use]
    #[doc(alias = "ca_certs")]
    #[doc(alias = "ssl_options")]
    pub fn tls(mut self, config: TlsConfig) -> Self {
        self.options.tls = Some(config);
        self
    }

    /// Whether the server's certificate is looked at (feature `tls`); if not, anybody on the way can read and change
    /// everything. Replaces the settings of [`tls`](Self::tls). Default: yes.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn validate_cert(mut self, on: bool) -> Self {
        if !on {
            return self.tls(TlsConfig::unverified());
        }
        match TlsConfig::system() {
            Ok(config) => self.tls(config),
            Err(error) => {
                self.mistake.get_or_insert(error.to_string());
                self
            }
        }
    }

    /// Whether HTTP/2 is spoken with https servers that choose it (by ALPN; feature `http2`). Default: yes.
    ///
    /// A request that asks for an `Upgrade`, and one that is handed to a proxy with its whole URL, goes over HTTP/1.1.
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn http2(mut self, on: bool) -> Self {
        self.options.http2 = Some(on);
        self
    }

    /// Whether HTTP/2 is spoken with http servers, in clear text and without asking (RFC 9113 §3.3; feature `http2`): they
    /// are known to understand it. For https nothing is changed. Default: no.
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn http2_prior_knowledge(mut self, on: bool) -> Self {
        self.options.http2_prior_knowledge = Some(on);
        self
    }

    /// Whether this is the handshake of a WebSocket, with the headers of HTTP/1.1 (RFC 6455 §4.1). Where HTTP/2 is spoken and
    /// the server makes tunnels, it asks for one (RFC 8441): the answer is a 2xx then. It goes over HTTP/1.1 else.
    #[must_use]
    pub(crate) fn websocket(mut self, on: bool) -> Self {
        self.websocket = on;
        self
    }

    /// Somebody else's request: sent with this target, byte for byte, and no header added but what frames the body.
    ///
    /// A `Url` would take `/a/../admin` for `/admin`, and a proxy that rewrites targets asks for another resource than
    /// the one that it let through.
    #[must_use]
    pub(crate) fn verbatim(mut self, target: String) -> Self {
        self.set_verbatim(target);
        self
    }

    fn set_verbatim(&mut self, target: String) {
        if target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            self.mistake.get_or_insert(format!("{target:?} is no request target"));
        }
        self.verbatim = Some(target);
    }

    /// One that a proxy hands on, as yet without a body.
    pub(crate) fn relayed(relayed: Relayed) -> Self {
        let mut request = Self::with_method(Ok(relayed.method), relayed.url);
        request.set_verbatim(relayed.target);
        request.headers = relayed.headers;
        request.options.connect_timeout = Some(Some(relayed.connect_timeout));
        request.send_timeout = relayed.send_timeout;
        request.on_interim = relayed.on_interim;
        request
    }

    /// All headers at once.
    #[must_use]
    pub(crate) fn with_headers(mut self, headers: HttpHeaders) -> Self {
        self.headers = headers;
        self
    }

    /// Checks what Tornado checks before anything is sent.
    pub(super) fn check(&self) -> Result<Method, HttpClientError> {
        let refuse = |what: String| Err(HttpClientError::Request(what));
        if let Some(mistake) = &self.mistake {
            return refuse(mistake.clone());
        }
        let method = match &self.method {
            Ok(method) => method.clone(),
            Err(text) => return refuse(format!("{text:?} is no method")),
        };
        if self.options.allow_nonstandard_methods == Some(true) {
            return Ok(method);
        }
        let takes_body = match method.as_str() {
            "POST" | "PUT" | "PATCH" => true,
            "GET" | "HEAD" | "DELETE" | "OPTIONS" => false,
            other => return refuse(format!("unknown method {other}")),
        };
        let has_body = !matches!(self.body, Body::None);
        if takes_body != has_body {
            let not = if takes_body { "not " } else { "" };
            return refuse(format!(
                "Body must {not}be None for method {} (unless allow_nonstandard_methods is true)",
                method.as_str()
            ));
        }
        Ok(method)
    }
}

/// What a proxy hands on.
pub(crate) struct Relayed {
    pub(crate) method: Method,
    pub(crate) url: RequestUrl,
    /// As in [`HttpRequest::verbatim`].
    pub(crate) target: String,
    pub(crate) headers: HttpHeaders,
    pub(crate) connect_timeout: Duration,
    /// How long the server may take nothing of a body that is [produced](HttpRequest::body_producer).
    pub(crate) send_timeout: Option<Duration>,
    /// Is told of every interim response (RFC 9110 §15.2) but a 101.
    pub(crate) on_interim: Option<OnInterim>,
}

/// Where a request goes: text, or a [`Url`] that was parsed before, which is worth it for one that is fetched often.
#[derive(Clone)]
pub struct RequestUrl(pub(super) Target);

#[derive(Clone)]
pub(super) enum Target {
    Text(String),
    Parsed(Url),
}

macro_rules! urls {
    ($($from:ty: $url:ident => $target:expr;)*) => {$(
        impl From<$from> for RequestUrl {
            fn from($url: $from) -> Self {
                Self($target)
            }
        }

        impl From<$from> for HttpRequest {
            fn from(url: $from) -> Self {
                Self::get(url)
            }
        }
    )*};
}

urls! {
    &str: text => Target::Text(text.to_owned());
    String: text => Target::Text(text);
    &String: text => Target::Text(text.clone());
    Url: url => Target::Parsed(url);
    &Url: url => Target::Parsed(url.clone());
}

impl fmt::Debug for RequestUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Target::Text(text) => text.fmt(f),
            Target::Parsed(url) => url.as_str().fmt(f),
        }
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The headers may hold credentials.
        f.debug_struct("HttpRequest")
            .field("method", &self.method())
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}
