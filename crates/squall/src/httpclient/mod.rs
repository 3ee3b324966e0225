//! A client for HTTP/1.1 and HTTP/2 (Tornado's `tornado.httpclient`). With the feature `client`, a default one.
//!
//! ```
//! use squall::httpclient::{AsyncHttpClient, HttpClientError, HttpRequest};
//! # use squall::{Application, Context, get, post};
//!
//! # squall::IoLoop::current().run_sync(async {
//! # let app = squall::testing::serve(Application::new([
//! #     get("/", async |ctx: &Context| { ctx.write("Hello"); Ok(()) }),
//! #     post("/stories", async |ctx: &Context| { ctx.set_status(201); ctx.write_json(&ctx.json::<Vec<u32>>()?) }),
//! # ]));
//! # let url = |path: &str| app.url(path);
//! let client = AsyncHttpClient::new();
//! let response = client.fetch(url("/")).await?;
//! assert_eq!(response.text(), "Hello");
//!
//! let response = client.fetch(HttpRequest::post(url("/stories")).json(&[1, 2])).await?;
//! assert_eq!((response.status(), response.json::<Vec<u32>>().unwrap()), (201, vec![1, 2]));
//!
//! let error = client.fetch(url("/nothing")).await.unwrap_err();
//! assert_eq!((error.code(), error.to_string()), (404, "HTTP 404: Not Found".to_owned()));
//! # Ok::<(), HttpClientError>(())
//! # }, None).unwrap().unwrap();
//! ```
//!
//! Unlike Tornado's it keeps connections open for the next request, goes through proxies, and streams responses with
//! back-pressure. It speaks `https://` with the feature `tls`.
//!
//! With the feature `http2` it speaks HTTP/2 with https servers that choose it, and with http servers that are
//! [known to understand it](HttpRequest::http2_prior_knowledge). Nothing else changes, but that all requests to a server
//! share one connection; [`HttpResponse::version`] tells. What the server has not looked at (`REFUSED_STREAM`, `GOAWAY`) is
//! sent again by itself, up to three times, and a producer is called again for that.

mod auth;
mod blocking;
mod body;
mod builder;
mod challenge;
mod cookie_jar;
mod decode;
mod environment;
mod error;
mod exchange;
mod fetch;
#[cfg_attr(not(feature = "http2"), path = "no_http2.rs")]
mod http2;
mod multipart;
mod origins;
mod pool;
mod proxy;
mod redirect;
mod reference;
mod request;
mod response;
mod set_cookie;
mod time_limits;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod wire;

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

#[cfg(feature = "websocket")]
pub(crate) use auth::Credentials;
pub use blocking::HttpClient;
pub use body::BodyWriter;
pub use builder::HttpClientBuilder;
pub use cookie_jar::CookieJar;
pub use error::{HttpClientError, TimedOut};
#[cfg(feature = "websocket")]
pub(crate) use http2::is_agreed as has_chosen_http2;
pub use multipart::MultipartForm;
pub use proxy::Proxy;
#[cfg(feature = "websocket")]
pub(crate) use reference::{check as check_reference, follow as follow_reference, text as reference_text};
pub(crate) use request::Relayed;
pub use request::{HttpRequest, RequestUrl};
pub use response::{HttpResponse, StreamingResponse, TimeInfo};
#[doc(hidden)]
pub use set_cookie::__fuzz as __fuzz_set_cookie;
#[cfg(all(feature = "websocket", not(feature = "tls")))]
pub(crate) use tls::TlsConfig;
#[cfg(feature = "websocket")]
pub(crate) use tls::secured;
#[cfg(feature = "tls")]
pub use tls::{TlsConfig, TlsConfigBuilder};
pub use url::Url;

use self::builder::Config;
use self::pool::Connections;
use crate::pool::Places;
use crate::tcpclient::TcpClient;

/// An HTTP client (Tornado's `AsyncHTTPClient`).
///
/// A handle: clones share connections and limits. It belongs to the loop on which it is used first. Unlike Tornado's,
/// which is one per loop, a new client is a new one; give handlers a clone.
#[doc(alias = "AsyncHTTPClient")]
#[doc(alias = "SimpleAsyncHTTPClient")]
#[derive(Clone)]
pub struct AsyncHttpClient(Rc<Inner>);

struct Inner {
    config: Config,
    tcp: TcpClient,
    pool: Rc<Connections>,
    /// `max_clients` of them.
    slots: Places,
    closed: Cell<bool>,
}

impl Inner {
    /// How many requests are in flight.
    fn active(&self) -> usize {
        self.slots.taken()
    }
}

impl AsyncHttpClient {
    /// A client with the defaults of [`HttpClientBuilder`].
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Makes a client with other settings.
    pub fn builder() -> HttpClientBuilder {
        HttpClientBuilder::default()
    }

    fn with_config(config: Config, tcp: TcpClient) -> Self {
        let pool = Connections::new(config.max_idle_per_host, config.idle_timeout);
        let slots = Places::new(config.max_clients);
        Self(Rc::new(Inner { config, tcp, pool, slots, closed: Cell::new(false) }))
    }

    /// Sends a request, follows redirects, and gives the response with its whole body.
    ///
    /// Takes a URL or an [`HttpRequest`]. Dropping the future cancels the request and closes its connection,
    /// or of HTTP/2 its stream.
    ///
    /// # Errors
    /// [`HttpClientError`]; a status other than 200 to 299 is one too, unless
    /// [`raise_error(false)`](HttpRequest::raise_error) is set.
    pub fn fetch(
        &self,
        request: impl Into<HttpRequest>,
    ) -> impl Future<Output = Result<HttpResponse, HttpClientError>> {
        // In a box, and before the future is made: it is handed on a few times and large.
        let request = Box::new(request.into());
        let raise = request.options.raise_error.or(self.0.config.defaults.raise_error).unwrap_or(true);
        async move {
            let response = fetch::run(&self.0, request).await?.into_response().await?;
            if raise { response.error_for_status() } else { Ok(response) }
        }
    }

    /// Sends a request, follows redirects, and gives the response as soon as its head has arrived. The body is read
    /// piece by piece, no faster than the caller takes it.
    ///
    /// A status that is no success is no error here. The request's time limit holds until the end of the body.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    #[doc(alias = "streaming_callback")]
    #[doc(alias = "header_callback")]
    pub fn fetch_stream(
        &self,
        request: impl Into<HttpRequest>,
    ) -> impl Future<Output = Result<StreamingResponse, HttpClientError>> {
        fetch::run(&self.0, Box::new(request.into()))
    }

    /// Closes the connections that are kept; requests in flight go on, new ones are refused. Closing twice does
    /// nothing.
    pub fn close(&self) {
        self.0.closed.set(true);
        self.0.pool.clear();
    }

    /// How many requests are in flight; at most `max_clients`.
    pub fn active_requests(&self) -> usize {
        self.0.active()
    }

    /// How many requests wait for one in flight to end.
    pub fn queued_requests(&self) -> usize {
        self.0.slots.waiting()
    }

    /// How many connections wait for a request.
    pub fn idle_connections(&self) -> usize {
        self.0.pool.len()
    }
}

impl Default for AsyncHttpClient {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for AsyncHttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncHttpClient")
            .field("active", &self.0.active())
            .field("queued", &self.0.slots.waiting())
            .field("pool", &self.0.pool)
            .finish_non_exhaustive()
    }
}

/// A number that nobody can guess.
fn random() -> u128 {
    let mut bytes = [0; 16];
    // Without entropy the number is only less random: nothing here rests on it being secret.
    let _ = getrandom::fill(&mut bytes);
    u128::from_ne_bytes(bytes)
}
