//! Why a request has no good answer.

use std::error::Error;
use std::fmt;
use std::io;

use super::response::HttpResponse;
use crate::http1connection::{HeadError, ParseError};
use crate::iostream::StreamError;
use crate::tcpclient::ConnectError;

/// What went wrong with a [`fetch`](super::AsyncHttpClient::fetch) (Tornado's `HTTPClientError` and its kin).
///
/// One variant per culprit. Boxed inside where it is large, so that results stay small.
#[doc(alias = "HTTPClientError")]
#[doc(alias = "HTTPError")]
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpClientError {
    /// The server answered with a status that is no success. Its response is there to be read.
    Status(Box<HttpResponse>),
    /// The request cannot be sent as it is: the caller's mistake.
    Request(String),
    /// No connection: the name does not resolve, nobody listens, or the time limit was reached before.
    Connect(ConnectError),
    /// There is a connection, but no secure one: the server does not speak TLS as it should, or its certificate is not
    /// to be trusted. Inside is a [`rustls::Error`](https://docs.rs/rustls) where TLS itself failed (feature `tls`).
    Tls(io::Error),
    /// The proxy would not make a connection.
    Proxy(String),
    /// A time limit was reached.
    Timeout(TimedOut),
    /// The server redirects to what is no URL, or one that is not spoken here.
    Redirect(String),
    /// The connection, or the stream of HTTP/2, ended before the response did.
    Closed(Option<io::Error>),
    /// The server does not speak HTTP as it should.
    Protocol(ParseError),
    /// The body is larger than [`max_body_size`](super::HttpClientBuilder::max_body_size).
    BodyTooLarge,
    /// The body does not decompress.
    Decode,
    /// The producer of the request's body failed.
    Body(Box<dyn Error>),
    /// The client was closed.
    ClientClosed,
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimedOut {
    /// [`max_clients`](super::HttpClientBuilder::max_clients) others were being served.
    Queue,
    /// The connection.
    Connecting,
    /// The TLS handshake, with the server or with a proxy.
    Handshake,
    /// The whole request, its response included.
    Request,
    /// The server did not take the body of the request ([`web::proxy`](crate::web::proxy())).
    Sending,
    /// Nothing more came of the response's body ([`web::proxy`](crate::web::proxy())).
    Reading,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            // Tornado's words.
            Self::Queue => "Timeout in request queue",
            Self::Connecting => "Timeout while connecting",
            Self::Handshake => "Timeout during TLS handshake",
            Self::Request => "Timeout during request",
            Self::Sending => "the body of the request is not taken",
            Self::Reading => "nothing more came of the response's body",
        })
    }
}

impl HttpClientError {
    /// The status: the server's, or 599 when there was no response, as in Tornado.
    pub fn code(&self) -> u16 {
        match self {
            Self::Status(response) => response.status(),
            _ => 599,
        }
    }

    /// The response, when there was one.
    pub fn response(&self) -> Option<&HttpResponse> {
        match self {
            Self::Status(response) => Some(response),
            _ => None,
        }
    }

    /// Whether a time limit was reached, be it of the connection or of the request.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Timeout(_) => true,
            Self::Connect(error) => error.is_timeout(),
            _ => false,
        }
    }

    /// Whether there was no connection, so that the server has seen nothing of the request.
    pub fn is_connect(&self) -> bool {
        matches!(
            self,
            Self::Connect(_) | Self::Tls(_) | Self::Timeout(TimedOut::Connecting | TimedOut::Handshake)
        )
    }

    pub(super) fn closed_by(error: io::Error) -> Self {
        Self::Closed(Some(error))
    }
}

impl fmt::Display for HttpClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(response) => write!(f, "HTTP {}: {}", response.status(), response.reason()),
            Self::Request(what) | Self::Proxy(what) | Self::Redirect(what) => f.write_str(what),
            Self::Connect(error) => error.fmt(f),
            Self::Tls(error) => write!(f, "no secure connection: {error}"),
            Self::Timeout(what) => what.fmt(f),
            Self::Closed(None) => f.write_str("Connection closed"),
            Self::Closed(Some(error)) => write!(f, "Connection closed: {error}"),
            Self::Protocol(error) => write!(f, "not a good response: {error}"),
            Self::BodyTooLarge => f.write_str("the response body is too long"),
            Self::Decode => f.write_str("the response body does not decompress"),
            Self::Body(error) => write!(f, "the request body could not be made: {error}"),
            Self::ClientClosed => f.write_str("fetch() called on closed AsyncHttpClient"),
        }
    }
}

impl Error for HttpClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Tls(error) | Self::Closed(Some(error)) => Some(error),
            Self::Protocol(error) => Some(error),
            Self::Body(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<ConnectError> for HttpClientError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<ParseError> for HttpClientError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::BodyTooLarge => Self::BodyTooLarge,
            other => Self::Protocol(other),
        }
    }
}

impl From<HeadError> for HttpClientError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Closed(error) => Self::Closed(error),
            HeadError::Protocol(error) => error.into(),
        }
    }
}

impl From<StreamError> for HttpClientError {
    fn from(error: StreamError) -> Self {
        match &error {
            StreamError::Closed(closed) if closed.real_error().is_none() => Self::Closed(None),
            _ => Self::Closed(Some(error.into())),
        }
    }
}
