//! One request on its connection: the heads that answer it, and the body.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};

use super::convert;
use super::failure::Failure;
use super::session::Place;
use super::sink::Sink;
use super::tunnel::Pair;
use crate::http1::ParseError;
use crate::http1::response::ResponseHead;
use crate::http1connection::MOST_INTERIM;
use crate::http2connection::tunnel::Tunnel;
use crate::httputil::HttpHeaders;
use crate::iostream::IoStream;

/// A request that has been sent. Dropping it gives the request up (`CANCEL`).
pub(crate) struct Exchange {
    /// Before the place, which is free when the stream is.
    response: Option<ResponseFuture>,
    place: Option<Place>,
    interim: usize,
    is_forwarded: bool,
}

/// What has come of the answer.
pub(crate) enum Received {
    /// A 1xx.
    Interim(ResponseHead),
    Last(ResponseHead, Reception),
}

impl Exchange {
    pub(super) fn new(response: ResponseFuture, place: Place, is_forwarded: bool) -> Self {
        Self { response: Some(response), place: Some(place), interim: 0, is_forwarded }
    }

    /// Whether nothing has come yet.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.interim == 0
    }

    /// The next head; none after the last. Cancel safe.
    ///
    /// # Errors
    /// When the server gives none, or a malformed one.
    pub(crate) async fn next(&mut self) -> Result<Received, Failure> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, Failure>> {
        let (Some(response), Some(place)) = (&mut self.response, &self.place) else {
            return Poll::Ready(Err(Failure::Ended(None)));
        };
        let settings = place.settings();
        if let Some(interim) = ready!(response.poll_informational(cx)) {
            let (parts, ()) = interim?.into_parts();
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Poll::Ready(Err(ParseError::TooManyInterim.into()));
            }
            let (head, _) = convert::response_head(&parts, settings, self.is_forwarded)?;
            return Poll::Ready(Ok(Received::Interim(head)));
        }
        let (parts, body) = ready!(Pin::new(response).poll(cx))?.into_parts();
        let (head, length) = convert::response_head(&parts, settings, self.is_forwarded)?;
        self.response = None;
        let Some(place) = self.place.take() else { return Poll::Ready(Err(Failure::Ended(None))) };
        let is_bodiless = matches!(head.status, 204 | 304);
        let reception = Reception::new(body, place, length.filter(|_| !is_bodiless), is_bodiless);
        Poll::Ready(Ok(Received::Last(head, reception)))
    }
}

/// The body of a response. Dropping it before its end gives the request up (`CANCEL`).
pub(crate) struct Reception {
    /// Before the place, which is free when the stream is.
    body: RecvStream,
    place: Place,
    /// What has not been asked for of a frame.
    rest: Bytes,
    /// What was given last. The window opens when it has been taken.
    given: usize,
    /// What the server has announced and not sent yet.
    left: Option<u64>,
    /// The status allows no body.
    is_bodiless: bool,
    /// What stood behind it.
    trailers: Option<HttpHeaders>,
}

/// More fields behind a body than this are an error.
const MOST_TRAILERS: usize = 1_000;

impl Reception {
    fn new(body: RecvStream, mut place: Place, left: Option<u64>, is_bodiless: bool) -> Self {
        if body.is_end_stream() {
            place.complete();
        }
        Self { body, place, rest: Bytes::new(), given: 0, left, is_bodiless, trailers: None }
    }

    /// Whether the head was all.
    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_end_stream() && self.rest.is_empty()
    }

    /// How long the body is said to be.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.left
    }

    /// The request was HEAD: what is announced does not come.
    pub(crate) fn has_no_body(&mut self) {
        self.left = None;
        self.is_bodiless = true;
    }

    /// What is a tunnel from now on, to whose other side `sink` leads. `None` when some of it was read, or something was
    /// written.
    pub(crate) fn into_tunnel(self, sink: Sink) -> Option<IoStream> {
        let Self { body, mut place, rest, .. } = self;
        let sink = sink.into_unused().filter(|_| rest.is_empty())?;
        place.complete();
        let connection = place.stream().clone();
        Some(Tunnel::open(connection, Pair { sink, body, _place: place }))
    }

    /// The next piece, of so many bytes at most; `None` at the end.
    ///
    /// # Errors
    /// When the body ends before it is whole.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<Result<Option<Bytes>, Failure>> {
        let given = std::mem::take(&mut self.given);
        if given > 0 {
            // An error is that of the stream, which is told below.
            let _ = self.body.flow_control().release_capacity(given);
        }
        while self.rest.is_empty() {
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) => {
                    if self.is_bodiless && !data.is_empty() {
                        return Poll::Ready(Err(ParseError::UnexpectedBody.into()));
                    }
                    // The machine has seen to it that no more comes than was announced.
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    self.rest = data;
                }
                // RFC 9113 §8.1: all is said, and the rest of the request is not wanted.
                Some(Err(error)) if self.is_whole(&error) => {
                    self.place.complete();
                    return Poll::Ready(Ok(None));
                }
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                None => {
                    if let Some(fields) = ready!(self.body.poll_trailers(cx))? {
                        let fields = convert::trailers(&fields, MOST_TRAILERS);
                        self.trailers = Some(fields.ok_or(ParseError::Trailer)?);
                    }
                    self.place.complete();
                    return Poll::Ready(Ok(None));
                }
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(most));
        self.given = piece.len();
        Poll::Ready(Ok(Some(piece)))
    }

    /// What stood behind the body, once its end has come.
    pub(crate) fn take_trailers(&mut self) -> Option<HttpHeaders> {
        self.trailers.take()
    }

    /// Whether nothing is missing of an answer whose stream was reset.
    fn is_whole(&self, error: &h2::Error) -> bool {
        match self.left {
            Some(left) => left == 0,
            None if self.is_bodiless => true,
            None => {
                error.is_remote()
                    && error.reason() == Some(Reason::NO_ERROR)
                    && self.place.was_whole(self.body.stream_id())
            }
        }
    }
}
