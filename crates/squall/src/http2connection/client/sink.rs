//! The body of a request on its way.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use tokio::time::timeout;

use super::failure::Failure;
use crate::httputil::{HttpHeaders, field_map};

/// So much room is asked for at once.
const MOST_ROOM: usize = 65_536;

/// Takes the body of a request. Cheap to clone; dropping all of them before [`finish`](Self::finish) gives the request up.
#[derive(Clone)]
pub(crate) struct Sink(Rc<RefCell<Output>>);

/// The server took not a byte for as long as it may.
#[derive(Debug)]
pub(crate) struct Stalled;

struct Output {
    stream: SendStream<Bytes>,
    pieces: VecDeque<Bytes>,
    queued: usize,
    /// How many bytes were written, and how many of them handed on.
    written: u64,
    taken: u64,
    is_finished: bool,
    trailers: Option<HeaderMap>,
    /// The end was handed on, or nothing more is taken.
    is_done: bool,
    /// Others than the task that the machine wakes.
    waiting: Vec<Waker>,
}

impl Sink {
    pub(super) fn new(stream: SendStream<Bytes>) -> Self {
        Self(Rc::new(RefCell::new(Output {
            stream,
            pieces: VecDeque::new(),
            queued: 0,
            written: 0,
            taken: 0,
            is_finished: false,
            trailers: None,
            is_done: false,
            waiting: Vec::new(),
        })))
    }

    /// The bare stream, if nobody else can write and nothing was written.
    pub(super) fn into_unused(self) -> Option<SendStream<Bytes>> {
        let output = Rc::try_unwrap(self.0).ok()?.into_inner();
        (output.written == 0 && !output.is_finished && !output.is_done).then_some(output.stream)
    }

    /// Sends a piece, and waits until there was room for it, for as long as some of it goes within each `patience`. A piece
    /// is sent also when the future is dropped, with the next one.
    ///
    /// # Errors
    /// [`Stalled`], and inside why the stream takes no more.
    pub(crate) async fn write(
        &self,
        piece: Bytes,
        patience: Option<Duration>,
    ) -> Result<Result<(), Failure>, Stalled> {
        let mark = self.0.borrow_mut().push(piece);
        self.taken(mark, patience).await
    }

    /// As [`write`](Self::write); and then the body is complete.
    pub(crate) async fn finish(
        &self,
        last: Bytes,
        patience: Option<Duration>,
    ) -> Result<Result<(), Failure>, Stalled> {
        let mark = {
            let mut output = self.0.borrow_mut();
            output.is_finished = true;
            output.push(last)
        };
        self.taken(mark, patience).await
    }

    /// What is sent behind the body, without fields that may not be there.
    pub(crate) fn set_trailers(&self, trailers: &HttpHeaders) {
        // Every field of ours is one of the other kind.
        let trailers = field_map::to_trailers(trailers).unwrap_or_default();
        self.0.borrow_mut().trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
    }

    /// Gives the request up.
    pub(crate) fn reset(&self) {
        let woken = {
            let mut output = self.0.borrow_mut();
            output.stream.send_reset(Reason::CANCEL);
            output.is_done = true;
            output.pieces.clear();
            std::mem::take(&mut output.waiting)
        };
        woken.into_iter().for_each(Waker::wake);
    }

    async fn taken(&self, mark: u64, patience: Option<Duration>) -> Result<Result<(), Failure>, Stalled> {
        // Others that wait must not rest on this task, which may go.
        let _others = WakeOthers(self);
        loop {
            let before = self.0.borrow().taken;
            let going = poll_fn(|cx| self.poll_taken(cx, mark));
            match timeout(patience.unwrap_or(Duration::MAX), going).await {
                Ok(result) => return Ok(result),
                Err(_) if self.0.borrow().taken == before => return Err(Stalled),
                Err(_) => {}
            }
        }
    }

    fn poll_taken(&self, cx: &mut Context<'_>, mark: u64) -> Poll<Result<(), Failure>> {
        let (polled, woken) = {
            let mut output = self.0.borrow_mut();
            let before = output.taken;
            let pumped = output.pump(cx);
            let moved = output.taken != before || output.is_done;
            let polled = match pumped {
                Err(failure) => Poll::Ready(Err(failure)),
                Ok(()) if output.taken >= mark && (output.is_done || !output.is_finished) => {
                    Poll::Ready(Ok(()))
                }
                Ok(()) => {
                    output.wait(cx);
                    Poll::Pending
                }
            };
            let woken = if moved { output.take_others(cx) } else { Vec::new() };
            (polled, woken)
        };
        woken.into_iter().for_each(Waker::wake);
        polled
    }
}

impl Output {
    /// How much must have been taken when this piece has.
    fn push(&mut self, piece: Bytes) -> u64 {
        self.written += piece.len() as u64;
        if !piece.is_empty() {
            self.queued += piece.len();
            self.pieces.push_back(piece);
        }
        self.written
    }

    /// Hands on what there is room for.
    fn pump(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if self.is_done {
            let all = self.taken == self.written;
            return if all { Ok(()) } else { Err(Failure::Ended(None)) };
        }
        let pumped = self.send(cx);
        if pumped.is_err() {
            self.is_done = true;
            self.pieces.clear();
        }
        pumped
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        while let Some(piece) = self.pieces.front_mut() {
            self.stream.reserve_capacity(self.queued.min(MOST_ROOM));
            let room = match self.stream.capacity() {
                0 => match self.stream.poll_capacity(cx) {
                    Poll::Ready(Some(room)) => room?,
                    Poll::Ready(None) => return Err(Failure::Ended(None)),
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
            let length = part.len();
            let is_last = self.is_finished && self.pieces.is_empty() && self.trailers.is_none();
            self.stream.send_data(part, is_last)?;
            self.queued -= length;
            self.taken += length as u64;
            self.is_done = is_last;
        }
        if self.is_finished && !self.is_done {
            match self.trailers.take() {
                Some(trailers) => self.stream.send_trailers(trailers)?,
                None => self.stream.send_data(Bytes::new(), true)?,
            }
            self.is_done = true;
        }
        Ok(())
    }

    fn wait(&mut self, cx: &Context<'_>) {
        if !self.waiting.iter().any(|waiting| waiting.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
    }

    /// Those who wait but for this task.
    fn take_others(&mut self, cx: &Context<'_>) -> Vec<Waker> {
        let all = std::mem::take(&mut self.waiting);
        let (own, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|waiting| waiting.will_wake(cx.waker()));
        self.waiting = own;
        others
    }
}

struct WakeOthers<'a>(&'a Sink);

impl Drop for WakeOthers<'_> {
    fn drop(&mut self) {
        let woken = std::mem::take(&mut self.0.0.borrow_mut().waiting);
        woken.into_iter().for_each(Waker::wake);
    }
}
