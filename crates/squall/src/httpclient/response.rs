//! Responses.

use std::convert::Infallible;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Version;
use serde::de::DeserializeOwned;

use super::body::ResponseBody;
use super::error::HttpClientError;
use crate::http1::response::ResponseHead;
use crate::httputil::HttpHeaders;
use crate::iostream::IoStream;

/// A response with its whole body (Tornado's `HTTPResponse`).
#[doc(alias = "HTTPResponse")]
pub struct HttpResponse {
    pub(super) parts: Parts,
    pub(super) body: Bytes,
    pub(super) trailers: Option<Box<HttpHeaders>>,
    pub(super) request_time: Duration,
}

/// A response whose body is still to be read.
pub struct StreamingResponse {
    pub(super) parts: Parts,
    pub(super) body: ResponseBody,
}

/// What both have.
pub(super) struct Parts {
    pub(super) head: ResponseHead,
    pub(super) effective_url: String,
    pub(super) times: TimeInfo,
}

/// How long the parts of a request took, each from its start (Tornado's `time_info`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeInfo {
    /// When the request was started.
    pub start: Instant,
    /// How long it waited for one of `max_clients` slots.
    pub queue: Duration,
    /// When the connection was there; soon for one that was kept open.
    pub connect: Duration,
    /// When the head of the response had arrived.
    pub start_transfer: Duration,
    /// How many redirects were followed.
    pub redirects: usize,
}

macro_rules! head_methods {
    () => {
        /// The status.
        #[doc(alias = "code")]
        pub fn status(&self) -> u16 {
            self.parts.head.status
        }

        /// The reason phrase; the usual one of the status if the server sent none.
        pub fn reason(&self) -> &str {
            &self.parts.head.reason
        }

        /// The headers. Of a body that was decompressed, `Content-Encoding` is renamed to
        /// `X-Consumed-Content-Encoding`, as in Tornado.
        pub fn headers(&self) -> &HttpHeaders {
            &self.parts.head.headers
        }

        /// The version of HTTP that the server spoke.
        #[doc(alias = "http_version")]
        pub fn version(&self) -> Version {
            self.parts.head.version
        }

        /// The URL that answered, after redirects.
        pub fn effective_url(&self) -> &str {
            &self.parts.effective_url
        }

        /// How long its parts took.
        pub fn time_info(&self) -> TimeInfo {
            self.parts.times
        }

        /// Whether the status is from 200 to 299.
        pub fn is_success(&self) -> bool {
            (200..300).contains(&self.parts.head.status)
        }
    };
}

impl HttpResponse {
    head_methods!();

    /// The body, decompressed.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The fields behind the body (RFC 9110 §6.5), without those that may not be there, such as `Content-Length`; `None`
    /// when there are none. Many servers send them only to who says `TE: trailers`.
    pub fn trailers(&self) -> Option<&HttpHeaders> {
        self.trailers.as_deref()
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it does not parse.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// From the start of the request to the end of the body.
    pub fn request_time(&self) -> Duration {
        self.request_time
    }

    /// The response, or as an error if its status is no success (Tornado's `rethrow`).
    ///
    /// # Errors
    /// [`HttpClientError::Status`] for a status other than 200 to 299.
    #[doc(alias = "rethrow")]
    pub fn error_for_status(self) -> Result<Self, HttpClientError> {
        if self.is_success() { Ok(self) } else { Err(HttpClientError::Status(Box::new(self))) }
    }
}

impl StreamingResponse {
    head_methods!();

    /// The body's next piece, decompressed; `None` at its end. The server is read no faster than this is called.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// When the connection or the time ends before the body does, or it is larger than allowed. After an error there
    /// is nothing more to come.
    #[doc(alias = "streaming_callback")]
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpClientError> {
        self.body.chunk().await
    }

    /// The fields behind the body, as [`HttpResponse::trailers`]; `None` before [`chunk`](Self::chunk) has given `None`.
    pub fn trailers(&self) -> Option<&HttpHeaders> {
        self.body.trailers()
    }

    /// Whether nothing more of it comes, neither a piece nor what stands behind the body.
    pub(crate) fn is_at_its_end(&self) -> bool {
        self.body.is_at_its_end() && self.trailers().is_none()
    }

    /// Whether the rest of the request's body is still on its way: it goes on while the response is read.
    pub(crate) fn is_uploading(&self) -> bool {
        self.body.is_uploading()
    }

    /// Sends on the request's body while the response is not read. Cancel safe.
    pub(crate) async fn keep_uploading(&mut self) -> Infallible {
        self.body.keep_uploading().await
    }

    /// Whether another protocol follows the head.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.body.is_upgraded()
    }

    /// The connection, when the server has agreed to change the protocol (101) that the request's `Connection: Upgrade`
    /// and `Upgrade` headers asked for. What it has sent since is in the stream. `None` for any other response. (Requests of
    /// one's own that ask for an upgrade go over HTTP/1.1.)
    pub fn into_upgraded(self) -> Option<IoStream> {
        self.body.into_upgraded()
    }

    /// The body as a whole.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub async fn into_response(mut self) -> Result<HttpResponse, HttpClientError> {
        let body = self.body.collect().await?;
        let trailers = self.body.take_trailers();
        let request_time = self.parts.times.start.elapsed();
        Ok(HttpResponse { parts: self.parts, body, trailers, request_time })
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status())
            .field("effective_url", &self.effective_url())
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for StreamingResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamingResponse")
            .field("status", &self.status())
            .field("effective_url", &self.effective_url())
            .finish_non_exhaustive()
    }
}
