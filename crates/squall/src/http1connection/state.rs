//! What a connection is at: its output, and the response that is being written.

use std::rc::Rc;

use super::exchange_end::ExchangeEnd;
use crate::http1::encode::{BodyEncoder, ForResponse};
use crate::httputil::StreamId;
use crate::httputil::out_pool;
use crate::metrics::{self, Value};

/// Everything that writing changes.
#[derive(Default)]
pub(super) struct Wire {
    /// Of the current exchange, or the last one.
    pub(super) id: StreamId,
    pub(super) state: State,
    pub(super) output: Output,
    /// Told when the exchange is over; `None` until somebody asks.
    pub(super) end: Option<Rc<ExchangeEnd>>,
}

/// What the connection is at.
#[derive(Default)]
pub(super) enum State {
    /// Nothing: it is between two requests.
    #[default]
    None,
    /// A request is being answered.
    Open(Exchange),
    /// The stream belongs to the application.
    Detached,
}

/// The request that is being answered and how far the answer is.
pub(super) struct Exchange {
    pub(super) request: ForResponse,
    pub(super) writing: Writing,
    pub(super) keep_alive: bool,
    /// The client waits to be told to go on before it sends its body.
    pub(super) expects_continue: bool,
    /// Part of the request's body has not been received.
    pub(super) unread: bool,
    /// So many handles are there with which it can be answered; the largest number stands for more than can be counted.
    pub(super) handles: u16,
    pub(super) max_body_size: u64,
}

/// A [`Counted`](crate::metrics::Counted) in it would make every connection 8 bytes larger.
impl Drop for Exchange {
    fn drop(&mut self) {
        metrics::subtract(Value::RequestsInFlight, 1);
    }
}

/// How far the response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    Head,
    Body(BodyEncoder),
    /// The application writes the bytes itself.
    Raw,
    Finished,
    /// Must not look complete: the connection is cut.
    Aborted,
}

/// Bytes not yet handed to the stream.
#[derive(Default)]
pub(super) struct Output {
    /// Those of this response from `mark` on, and before it of earlier ones. Where it stands there are only the heads of
    /// earlier responses before it, far below 4 GB.
    pub(super) bytes: Vec<u8>,
    mark: u32,
    /// Part of this response has been handed to the stream.
    pub(super) begun: bool,
}

/// What comes after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    KeepAlive,
    /// The connection ends after what has been written.
    Close,
    /// The client has left.
    Gone,
    /// The response must not look complete.
    Abort,
    Detached,
}

impl Wire {
    /// The exchange `id`, if it is the current one, and where its output goes.
    #[inline]
    pub(super) fn at(&mut self, id: StreamId) -> Option<(&mut Exchange, &mut Output)> {
        match &mut self.state {
            State::Open(exchange) if self.id == id => Some((exchange, &mut self.output)),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn exchange(&self) -> Option<&Exchange> {
        match &self.state {
            State::Open(exchange) => Some(exchange),
            State::None | State::Detached => None,
        }
    }

    pub(super) fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        match &mut self.state {
            State::Open(exchange) => Some(exchange),
            State::None | State::Detached => None,
        }
    }

    /// Whether the response can still be written.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.exchange().is_some_and(|exchange| !exchange.writing.is_over())
    }

    /// What comes after the exchange as it is now. A response that is not finished must not look complete.
    #[inline]
    pub(super) fn outcome(&self) -> Outcome {
        match &self.state {
            State::None => Outcome::Close,
            State::Detached => Outcome::Detached,
            State::Open(exchange) if exchange.writing != Writing::Finished => Outcome::Abort,
            // What follows a body that was not read cannot be found.
            State::Open(exchange) if exchange.keep_alive && !exchange.unread => Outcome::KeepAlive,
            State::Open(_) => Outcome::Close,
        }
    }
}

impl Writing {
    #[inline]
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Aborted)
    }
}

impl Output {
    /// What is written from now on is another response.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.mark_here();
        self.begun = false;
    }

    /// What has been written is sent whatever becomes of the response.
    #[inline]
    pub(super) fn mark_here(&mut self) {
        self.mark = self.bytes.len() as u32;
    }

    /// Room to write to.
    #[inline]
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = out_pool::take();
        }
        &mut self.bytes
    }

    /// Takes all of it, to be sent.
    #[inline]
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.begun |= self.bytes.len() > self.mark as usize;
        self.mark = 0;
        std::mem::take(&mut self.bytes)
    }

    /// Gives an empty buffer back: an idle connection owns none.
    #[inline]
    pub(super) fn give_back(&mut self) {
        if self.bytes.capacity() > 0 {
            out_pool::put(std::mem::take(&mut self.bytes));
        }
    }

    /// Drops what is there of a response of which nothing was sent.
    pub(super) fn drop_unsent(&mut self) {
        if !self.begun {
            self.bytes.truncate(self.mark as usize);
        }
    }
}
