//! What a stream has still to send, and how far its response is.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::HeaderMap;

use super::convert;
use crate::http1::encode::{BodyEncoder, body_without_chunks};
use crate::httputil::{HttpHeaders, HttpOutputError, ResponseStartLine, field_map};

/// So much room is asked for at once, as much as a client's window mostly has.
pub(super) const MOST_ROOM: usize = 65_536;

pub(super) struct Output {
    sink: Sink,
    is_head: bool,
    /// A tunnel is asked for.
    is_connect: bool,
    /// Written, and not handed on yet.
    head: Option<http::Response<()>>,
    writing: Writing,
    pieces: Pieces,
    queued: usize,
    /// What is sent behind the pieces.
    trailers: Option<HeaderMap>,
    /// How many bytes were handed on.
    taken: u64,
    /// They wait until everything is handed on.
    flushers: Vec<Waker>,
}

/// Pieces in their order. The first, which is mostly the only one, costs no allocation.
#[derive(Default)]
struct Pieces {
    first: Option<Bytes>,
    others: VecDeque<Bytes>,
}

impl Pieces {
    fn push_back(&mut self, piece: Bytes) {
        match &self.first {
            None => self.first = Some(piece),
            Some(_) => self.others.push_back(piece),
        }
    }

    fn front_mut(&mut self) -> Option<&mut Bytes> {
        self.first.as_mut()
    }

    fn pop_front(&mut self) {
        self.first = self.others.pop_front();
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Where the response goes.
enum Sink {
    /// Its head is still to come.
    Head(SendResponse<Bytes>),
    Body(SendStream<Bytes>),
    /// All of it was sent, or was given up.
    Done,
    /// The client has left.
    Lost,
}

/// How far the application is with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Head,
    Body(BodyEncoder),
    Finished,
    /// Must not look complete: the stream is reset.
    Aborted,
}

impl Output {
    pub(super) fn new(respond: SendResponse<Bytes>, is_head: bool, is_connect: bool) -> Self {
        Self {
            sink: Sink::Head(respond),
            is_head,
            is_connect,
            head: None,
            writing: Writing::Head,
            pieces: Pieces::default(),
            queued: 0,
            trailers: None,
            taken: 0,
            flushers: Vec::new(),
        }
    }

    /// Whether the response is neither finished nor aborted; its client may have left.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.writing, Writing::Head | Writing::Body(_))
    }

    /// Whether a part of the response is on its way, but not all of it.
    pub(super) fn has_begun(&self) -> bool {
        matches!((&self.sink, self.writing), (Sink::Body(_), Writing::Body(_)))
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.sink, Sink::Lost)
    }

    /// When something waits for the client to make room: how much it has taken so far.
    pub(super) fn waits_for_room(&self) -> Option<u64> {
        (self.queued > 0 && matches!(self.sink, Sink::Body(_))).then_some(self.taken)
    }

    fn check_open(&self) -> Result<(), HttpOutputError> {
        if self.is_lost() || self.writing == Writing::Aborted { Err(HttpOutputError::Closed) } else { Ok(()) }
    }

    pub(super) fn write_head(
        &mut self,
        start: ResponseStartLine<'_>,
        headers: &HttpHeaders,
        body: &[u8],
    ) -> Result<(), HttpOutputError> {
        self.check_open()?;
        if self.writing != Writing::Head {
            return Err(HttpOutputError::OutOfOrder);
        }
        let mut status = start.status;
        let mut framing = match body_without_chunks(self.is_head, status, headers) {
            Ok(framing) => framing,
            Err(error) => return Err(self.broken(error)),
        };
        if self.is_connect && (200..300).contains(&status) {
            // It would say that the tunnel is open, and its body come out of it (RFC 9110 §9.3.6).
            (status, framing) = (501, BodyEncoder::Suppressed);
        }
        let length = match framing {
            BodyEncoder::Length(length) => Some(length),
            // What GET would have had.
            BodyEncoder::Suppressed | BodyEncoder::Forbidden(304) if !self.is_connect => {
                headers.get("Content-Length").and_then(|length| length.parse().ok())
            }
            _ => None,
        };
        let Some(head) = convert::response_head(status, headers, length) else {
            return Err(self.broken(HttpOutputError::OutOfOrder));
        };
        self.head = Some(head);
        self.writing = Writing::Body(framing);
        self.write(body)
    }

    /// Agrees to a tunnel, with these fields; what is sent from now on goes into what is given.
    pub(super) fn tunnel(&mut self, headers: &HttpHeaders) -> Result<SendStream<Bytes>, HttpOutputError> {
        self.check_open()?;
        let Sink::Head(respond) = &mut self.sink else { return Err(HttpOutputError::OutOfOrder) };
        if self.writing != Writing::Head {
            return Err(HttpOutputError::OutOfOrder);
        }
        let head = convert::response_head(200, headers, None).ok_or(HttpOutputError::OutOfOrder)?;
        let sink = respond.send_response(head, false).map_err(|_| HttpOutputError::Closed)?;
        self.sink = Sink::Done;
        self.writing = Writing::Finished;
        Ok(sink)
    }

    pub(super) fn write_interim(
        &mut self,
        start: ResponseStartLine<'_>,
        headers: &HttpHeaders,
    ) -> Result<(), HttpOutputError> {
        self.check_open()?;
        let Sink::Head(respond) = &mut self.sink else { return Err(HttpOutputError::OutOfOrder) };
        if self.writing != Writing::Head || start.status == 101 {
            return Err(HttpOutputError::OutOfOrder);
        }
        let head = convert::response_head(start.status, headers, None).ok_or(HttpOutputError::OutOfOrder)?;
        respond.send_informational(head).map_err(|_| HttpOutputError::Closed)
    }

    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), HttpOutputError> {
        if self.admit(data.len())? {
            self.push(Bytes::copy_from_slice(data));
        }
        Ok(())
    }

    pub(super) fn write_bytes(&mut self, data: Bytes) -> Result<(), HttpOutputError> {
        if self.admit(data.len())? {
            self.push(data);
        }
        Ok(())
    }

    /// Whether a piece of this length is to be sent.
    fn admit(&mut self, length: usize) -> Result<bool, HttpOutputError> {
        self.check_open()?;
        let Writing::Body(mut framing) = self.writing else { return Err(HttpOutputError::OutOfOrder) };
        // There are no chunks here, and so nothing around a piece.
        let sends = match framing.begin_piece(&mut Vec::new(), length as u64) {
            Ok(sends) => sends,
            Err(error) => return Err(self.broken(error)),
        };
        self.writing = Writing::Body(framing);
        Ok(sends)
    }

    fn push(&mut self, piece: Bytes) {
        self.queued += piece.len();
        self.pieces.push_back(piece);
    }

    pub(super) fn finish(&mut self) -> Result<(), HttpOutputError> {
        self.check_open()?;
        let Writing::Body(framing) = self.writing else { return Err(HttpOutputError::OutOfOrder) };
        match framing.finish(&mut Vec::new()) {
            Ok(()) => {
                self.writing = Writing::Finished;
                Ok(())
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    /// As [`finish`](Self::finish). What has no body has nothing behind it either.
    pub(super) fn finish_with(&mut self, trailers: &HttpHeaders) -> Result<(), HttpOutputError> {
        let has_place =
            matches!(self.writing, Writing::Body(BodyEncoder::Length(_) | BodyEncoder::UntilClose));
        self.finish()?;
        // Every field of ours is one of the other kind.
        let trailers = field_map::to_trailers(trailers).unwrap_or_default();
        self.trailers = Some(trailers).filter(|trailers| has_place && !trailers.is_empty());
        Ok(())
    }

    fn broken(&mut self, error: HttpOutputError) -> HttpOutputError {
        self.abort();
        error
    }

    /// What is complete is not taken back.
    pub(super) fn abort(&mut self) {
        if self.writing != Writing::Finished {
            self.writing = Writing::Aborted;
        }
    }

    /// Ends a stream whose client does not take it.
    pub(super) fn cancel(&mut self) {
        self.reset(Reason::CANCEL);
        // Whoever goes on writing is told, and does not wait for room that never comes.
        self.sink = Sink::Lost;
    }

    pub(super) fn lose(&mut self) {
        if !matches!(self.sink, Sink::Done) {
            self.sink = Sink::Lost;
        }
        self.drop_pieces();
    }

    fn drop_pieces(&mut self) {
        self.head = None;
        self.pieces.clear();
        self.queued = 0;
        self.trailers = None;
    }

    /// A response of squall's own, unless one has begun.
    pub(super) fn refuse(&mut self, status: u16, text: &str) {
        if self.writing != Writing::Head || self.is_lost() {
            return self.abort();
        }
        let Some((head, body)) = convert::refusal(status, text, self.is_head) else { return self.abort() };
        self.head = Some(head);
        self.queued = body.len();
        if !body.is_empty() {
            self.pieces.push_back(body);
        }
        self.writing = Writing::Finished;
    }

    /// True when everything was handed on, false when the client has left before. Ready at once when nothing waits.
    pub(super) fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.is_lost() || self.writing == Writing::Aborted {
            return Poll::Ready(false);
        }
        if self.is_handed_on() {
            return Poll::Ready(true);
        }
        if !self.flushers.iter().any(|waiting| waiting.will_wake(cx.waker())) {
            self.flushers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Who is to be woken, when nothing waits any longer.
    pub(super) fn take_flushed(&mut self) -> Vec<Waker> {
        if self.is_handed_on() { std::mem::take(&mut self.flushers) } else { Vec::new() }
    }

    fn is_handed_on(&self) -> bool {
        self.head.is_none() && self.pieces.is_empty() && self.trailers.is_none()
    }

    /// Hands on what there is room for; true when there is nothing more to do.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>) -> bool {
        if self.writing == Writing::Aborted {
            self.reset(Reason::INTERNAL_ERROR);
        } else if self.send_head().and_then(|()| self.send_body(cx)).is_err() {
            self.lose();
        }
        // What is sent to the end needs nobody any more who looks.
        self.notice_reset(cx);
        matches!(self.sink, Sink::Done | Sink::Lost)
    }

    fn notice_reset(&mut self, cx: &mut Context<'_>) {
        let polled = match &mut self.sink {
            Sink::Head(respond) => respond.poll_reset(cx),
            Sink::Body(body) => body.poll_reset(cx),
            Sink::Done | Sink::Lost => return,
        };
        if polled.is_ready() {
            self.lose();
        }
    }

    pub(super) fn reset(&mut self, reason: Reason) {
        match &mut self.sink {
            Sink::Head(respond) => respond.send_reset(reason),
            Sink::Body(body) => body.send_reset(reason),
            Sink::Done | Sink::Lost => return,
        }
        self.sink = Sink::Done;
        self.drop_pieces();
    }

    fn send_head(&mut self) -> Result<(), h2::Error> {
        let Some(head) = self.head.take() else { return Ok(()) };
        let Sink::Head(respond) = &mut self.sink else { return Ok(()) };
        let is_all = self.writing == Writing::Finished && self.pieces.is_empty() && self.trailers.is_none();
        let body = respond.send_response(head, is_all)?;
        self.sink = if is_all { Sink::Done } else { Sink::Body(body) };
        Ok(())
    }

    fn send_body(&mut self, cx: &mut Context<'_>) -> Result<(), h2::Error> {
        let Sink::Body(sink) = &mut self.sink else { return Ok(()) };
        let finished = self.writing == Writing::Finished;
        let ends_with_data = finished && self.trailers.is_none();
        while let Some(piece) = self.pieces.front_mut() {
            sink.reserve_capacity(self.queued.min(MOST_ROOM));
            let room = match sink.capacity() {
                0 => match sink.poll_capacity(cx) {
                    Poll::Ready(Some(room)) => room?,
                    Poll::Ready(None) => return Err(Reason::CANCEL.into()),
                    Poll::Pending => return Ok(()),
                },
                room => room,
            };
            if room == 0 {
                continue;
            }
            let part = piece.split_to(room.min(piece.len()));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            self.queued -= part.len();
            self.taken += part.len() as u64;
            let is_last = ends_with_data && self.pieces.is_empty();
            sink.send_data(part, is_last)?;
            if is_last {
                self.sink = Sink::Done;
                return Ok(());
            }
        }
        if finished {
            match self.trailers.take() {
                Some(trailers) => sink.send_trailers(trailers)?,
                None => sink.send_data(Bytes::new(), true)?,
            }
            self.sink = Sink::Done;
        }
        Ok(())
    }
}
