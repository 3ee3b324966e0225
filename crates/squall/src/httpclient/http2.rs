//! Requests over HTTP/2 (feature `http2`).

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Method;
use tokio::sync::OwnedSemaphorePermit;

use super::body::Way;
use super::error::HttpClientError;
use super::exchange::{Again, Answer, Failed, Heads, Upload, receive_while_sending, send_body};
use super::request::Body;
pub(crate) use super::tls::takes_http2 as is_agreed;
use super::wire::Outgoing;
use crate::http1::response::ResponseHead;
use crate::http2connection::client::{Exchange, Failure, Received, Reception, Request};
pub(super) use crate::http2connection::client::{Place, Session, Settings, Sink};
use crate::httputil::HttpHeaders;
use crate::iostream::IoStream;

/// Whether it can be spoken at all.
pub(super) const IS_SPOKEN: bool = true;

/// Begins to speak it.
pub(super) async fn begin(
    stream: IoStream,
    settings: Settings,
) -> Result<std::rc::Rc<Session>, HttpClientError> {
    Session::begin(stream, settings).await.map_err(|failure| Failed::from(failure).error)
}

/// A body that comes in frames, and the slot of its request.
pub(super) struct Arriving {
    reception: Reception,
    /// The way out of a tunnel that the server has agreed to.
    tunnel: Option<Sink>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Arriving {
    pub(super) fn hold(&mut self, permit: Option<OwnedSemaphorePermit>) {
        self.permit = permit;
    }

    /// Whether there is no body.
    ///
    /// # Errors
    /// When it is announced to be larger than this.
    pub(super) fn begin(&self, max_body_size: u64) -> Result<bool, HttpClientError> {
        let is_empty = self.reception.is_empty();
        if !is_empty && self.reception.announced().is_some_and(|length| length > max_body_size) {
            return Err(HttpClientError::BodyTooLarge);
        }
        Ok(is_empty)
    }

    /// Whether it is no body, but what comes out of a tunnel.
    pub(super) fn is_tunnel(&self) -> bool {
        self.tunnel.is_some()
    }

    pub(super) fn into_tunnel(self) -> Option<IoStream> {
        self.reception.into_tunnel(self.tunnel?)
    }

    pub(super) fn take_trailers(&mut self) -> Option<HttpHeaders> {
        self.reception.take_trailers()
    }

    pub(super) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<Result<Option<Bytes>, HttpClientError>> {
        self.reception.poll_piece(cx, most).map_err(|failure| Failed::from(failure).error)
    }
}

/// Sends the request in its place and receives the head of its final response.
pub(super) async fn exchange(mut place: Place, request: &Outgoing<'_>) -> Result<Answer<Arriving>, Failed> {
    if request.websocket && !place.take_tunnel().await {
        let error = io::Error::other("the server makes no tunnel over HTTP/2");
        return Err(Failed { error: HttpClientError::Closed(Some(error)), again: Again::OverHttp1 });
    }
    let (headers, length) = request.common_fields()?;
    let asked = Request {
        method: request.method,
        scheme: request.url.scheme(),
        authority: request.host(),
        target: request.target(),
        headers: &headers,
        length,
        is_forwarded: request.verbatim.is_some(),
        protocol: request.websocket.then_some("websocket"),
    };
    let is_all = match request.body {
        // What follows is the tunnel's.
        _ if request.websocket => false,
        Body::None => true,
        Body::Bytes(body) => body.is_empty(),
        Body::Producer(_) => false,
    };
    let (exchange, sink) = place.send(asked, is_all)?;
    let (mut tunnel, mut upload) = (None, None);
    if request.websocket {
        tunnel = Some(sink);
    } else if !is_all {
        let sending = send_body(Way::Http2(sink), request.body.clone(), length, request.send_timeout);
        upload = Some(Box::pin(sending) as Upload);
    }
    let answer = receive_while_sending(&mut Frames(exchange), request, upload).await?;
    let Answer { head, rest: Some(mut reception), upload } = answer else {
        return Err(HttpClientError::Closed(None).into());
    };
    if *request.method == Method::HEAD {
        reception.has_no_body();
    }
    if let Some(sink) = tunnel.take_if(|_| !(200..300).contains(&head.status)) {
        // There is none, and nothing to be said: this does not wait.
        let _ = sink.finish(Bytes::new(), None).await;
    }
    Ok(Answer { head, rest: Arriving { reception, tunnel, permit: None }, upload })
}

struct Frames(Exchange);

impl Heads for Frames {
    /// Of the last head.
    type Rest = Option<Reception>;

    async fn next(&mut self) -> Result<(ResponseHead, Option<Reception>), Failed> {
        match self.0.next().await {
            Ok(Received::Interim(head)) => Ok((head, None)),
            Ok(Received::Last(head, reception)) => Ok((head, Some(reception))),
            Err(failure) => {
                let mut failed = Failed::from(failure);
                if !self.0.is_unanswered() && failed.again == Again::Unanswered {
                    failed.again = Again::Never;
                }
                Err(failed)
            }
        }
    }

    /// Other streams go on.
    fn closing(rest: Option<Reception>) -> Option<Reception> {
        rest
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        let (error, again) = match failure {
            Failure::Unprocessed(error) => (HttpClientError::Closed(Some(error)), Again::Unprocessed),
            Failure::Http1Required => {
                let error = io::Error::other("the server wants the request over HTTP/1.1");
                (HttpClientError::Closed(Some(error)), Again::OverHttp1)
            }
            Failure::Ended(error) => (HttpClientError::Closed(error), Again::Unanswered),
            Failure::Reset(error) => (HttpClientError::Closed(Some(error)), Again::Never),
            Failure::Malformed(error) => (error.into(), Again::Never),
            Failure::Request(what) => (HttpClientError::Request(what), Again::Never),
        };
        Self { error, again }
    }
}
