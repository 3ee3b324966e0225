//! What a stream has still to send, and how far its response is.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::convert;
use crate::http1::encode::{BodyEncoder, body_without_chunks};
use crate::http2::Reason;
use crate::http2::server::Machine;
use crate::httputil::{HttpHeaders, HttpOutputError, ResponseStartLine, trailers};

pub(super) struct Output {
    id: u32,
    sink: Sink,
    is_head: bool,
    /// A tunnel is asked for.
    is_connect: bool,
    writing: Writing,
    /// Written, and not handed on yet: there was no room for it.
    pieces: Pieces,
    queued: usize,
    /// What is sent behind the pieces.
    trailers: Option<HttpHeaders>,
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

/// How far the machine is with the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    /// Its head is still to come.
    Head,
    Body,
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
    pub(super) fn new(id: u32, is_head: bool, is_connect: bool) -> Self {
        Self {
            id,
            sink: Sink::Head,
            is_head,
            is_connect,
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
        matches!((self.sink, self.writing), (Sink::Body, Writing::Body(_)))
    }

    pub(super) fn is_lost(&self) -> bool {
        self.sink == Sink::Lost
    }

    /// When something waits for the client to make room: how much it has taken so far.
    pub(super) fn waits_for_room(&self) -> Option<u64> {
        (self.queued > 0 && self.sink == Sink::Body).then_some(self.taken)
    }

    fn check_open(&self) -> Result<(), HttpOutputError> {
        if self.is_lost() || self.writing == Writing::Aborted { Err(HttpOutputError::Closed) } else { Ok(()) }
    }

    pub(super) fn write_head(
        &mut self,
        machine: &mut Machine,
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
        if !(200..1000).contains(&status) {
            return Err(self.broken(HttpOutputError::OutOfOrder));
        }
        if self.check_sink(machine) {
            let mut digits = itoa::Buffer::new();
            let length = length.map(|length| digits.format(length));
            machine.send_head(self.id, status, convert::fields(headers, length), false);
            self.sink = Sink::Body;
        }
        self.writing = Writing::Body(framing);
        self.write(machine, body)
    }

    /// Agrees to a tunnel, with these fields; what is sent from now on is not this response's.
    pub(super) fn tunnel(
        &mut self,
        machine: &mut Machine,
        headers: &HttpHeaders,
    ) -> Result<(), HttpOutputError> {
        self.check_open()?;
        if self.sink != Sink::Head || self.writing != Writing::Head {
            return Err(HttpOutputError::OutOfOrder);
        }
        if !self.check_sink(machine) {
            return Err(HttpOutputError::Closed);
        }
        machine.send_head(self.id, 200, convert::fields(headers, None), false);
        self.sink = Sink::Done;
        self.writing = Writing::Finished;
        Ok(())
    }

    pub(super) fn write_interim(
        &mut self,
        machine: &mut Machine,
        start: ResponseStartLine<'_>,
        headers: &HttpHeaders,
    ) -> Result<(), HttpOutputError> {
        self.check_open()?;
        let is_interim = (100..200).contains(&start.status) && start.status != 101;
        if self.sink != Sink::Head || self.writing != Writing::Head || !is_interim {
            return Err(HttpOutputError::OutOfOrder);
        }
        if !self.check_sink(machine) {
            return Err(HttpOutputError::Closed);
        }
        machine.send_head(self.id, start.status, convert::fields(headers, None), false);
        Ok(())
    }

    /// Whether the client still waits for this.
    fn check_sink(&mut self, machine: &Machine) -> bool {
        if matches!(self.sink, Sink::Head | Sink::Body) && !machine.is_known(self.id) {
            self.lose();
        }
        matches!(self.sink, Sink::Head | Sink::Body)
    }

    pub(super) fn write(&mut self, machine: &mut Machine, data: &[u8]) -> Result<(), HttpOutputError> {
        if self.admit(data.len())? && !data.is_empty() {
            let sent =
                self.send_now(machine, data.len(), |machine, id, most| machine.send_slice(id, &data[..most]));
            self.push(&data[sent..], Bytes::copy_from_slice);
        }
        Ok(())
    }

    pub(super) fn write_bytes(&mut self, machine: &mut Machine, data: Bytes) -> Result<(), HttpOutputError> {
        if self.admit(data.len())? && !data.is_empty() {
            let send = |machine: &mut Machine, id, most| machine.send_data(id, data.slice(..most), false);
            let sent = self.send_now(machine, data.len(), send);
            self.push(&data[sent..], |rest| data.slice_ref(rest));
        }
        Ok(())
    }

    /// Sends as much as there is room for, if nothing waits before it. Says how much that was.
    fn send_now(
        &mut self,
        machine: &mut Machine,
        length: usize,
        send: impl FnOnce(&mut Machine, u32, usize),
    ) -> usize {
        if self.sink != Sink::Body || !self.pieces.is_empty() {
            return 0;
        }
        let most = machine.room_of(self.id).unwrap_or(0).min(length);
        if most > 0 {
            send(machine, self.id, most);
            self.taken += most as u64;
        }
        most
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

    fn push(&mut self, rest: &[u8], keep: impl FnOnce(&[u8]) -> Bytes) {
        if !rest.is_empty() && matches!(self.sink, Sink::Head | Sink::Body) {
            self.queued += rest.len();
            self.pieces.push_back(keep(rest));
        }
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
    pub(super) fn finish_with(&mut self, fields: &HttpHeaders) -> Result<(), HttpOutputError> {
        let has_place =
            matches!(self.writing, Writing::Body(BodyEncoder::Length(_) | BodyEncoder::UntilClose));
        self.finish()?;
        self.trailers = has_place.then(|| trailers::allowed(fields)).filter(|fields| !fields.is_empty());
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
    pub(super) fn cancel(&mut self, machine: &mut Machine) {
        self.reset(machine, Reason::CANCEL);
        // Whoever goes on writing is told, and does not wait for room that never comes.
        self.sink = Sink::Lost;
    }

    pub(super) fn lose(&mut self) {
        if self.sink != Sink::Done {
            self.sink = Sink::Lost;
        }
        self.drop_pieces();
    }

    fn drop_pieces(&mut self) {
        self.pieces.clear();
        self.queued = 0;
        self.trailers = None;
    }

    /// A response of squall's own, unless one has begun.
    pub(super) fn refuse(&mut self, machine: &mut Machine, status: u16, text: &str) {
        if self.writing != Writing::Head || self.is_lost() {
            return self.abort();
        }
        if self.check_sink(machine) {
            convert::refuse(machine, self.id, status, text, self.is_head);
            self.sink = Sink::Done;
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
        self.pieces.is_empty() && self.trailers.is_none()
    }

    /// Hands on what there is room for; true when there is nothing more to do.
    pub(super) fn pump(&mut self, machine: &mut Machine, cx: &Context<'_>) -> bool {
        if self.writing == Writing::Aborted {
            self.reset(machine, Reason::INTERNAL_ERROR);
        } else if self.check_sink(machine) {
            self.send_body(machine, cx);
        }
        // What is sent to the end needs nobody any more who looks.
        if matches!(self.sink, Sink::Head | Sink::Body) && machine.poll_reset(self.id, cx).is_ready() {
            self.lose();
        }
        matches!(self.sink, Sink::Done | Sink::Lost)
    }

    pub(super) fn reset(&mut self, machine: &mut Machine, reason: Reason) {
        if matches!(self.sink, Sink::Head | Sink::Body) {
            machine.reset(self.id, reason);
            self.sink = Sink::Done;
            self.drop_pieces();
        }
    }

    fn send_body(&mut self, machine: &mut Machine, cx: &Context<'_>) {
        if self.sink != Sink::Body {
            return;
        }
        while let Some(piece) = self.pieces.front_mut() {
            let room = match machine.poll_room(self.id, cx) {
                Poll::Ready(Some(room)) => room,
                Poll::Ready(None) => return self.lose(),
                Poll::Pending => return,
            };
            let part = piece.split_to(room.min(piece.len()));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            self.queued -= part.len();
            self.taken += part.len() as u64;
            machine.send_data(self.id, part, false);
        }
        if self.writing == Writing::Finished {
            match self.trailers.take() {
                Some(fields) => machine.send_trailers(self.id, convert::fields(&fields, None)),
                None => machine.send_end(self.id),
            }
            self.sink = Sink::Done;
        }
    }
}
