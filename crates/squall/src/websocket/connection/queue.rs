//! Messages for a peer that does not take them: queued whole and not yet encoded, so that they can be dropped again.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use bytes::Bytes;

use super::compressing::Compressing;
use super::outgoing::{Outgoing, Refused, WebSocketClosedError};
use super::socket::{Phase, WebSocket};
use crate::netutil::spawn;
use crate::websocket::machine::frame::OpCode;
use crate::websocket::machine::options::WhenFull;

/// A queue, there while the kernel has not taken all that was sent.
#[derive(Default)]
pub(in crate::websocket) struct Backlog {
    queue: VecDeque<Outgoing>,
    bytes: usize,
    /// Before them all; not counted in `bytes`, as it is as good as being sent.
    compressing: Option<Compressing>,
    /// How many have left the queue, sent or dropped.
    gone: u64,
    /// The answer to the latest ping.
    pong: Option<Bytes>,
    waiters: Vec<Waker>,
}

impl Backlog {
    /// Of all messages that have not been sent.
    pub(in crate::websocket) fn bytes(&self) -> usize {
        self.bytes + self.compressing.as_ref().map_or(0, Compressing::len)
    }

    fn push(&mut self, outgoing: Outgoing) -> Ticket {
        self.bytes += outgoing.len();
        self.queue.push_back(outgoing);
        Ticket(Some(self.last()))
    }

    /// The number of the last message.
    fn last(&self) -> u64 {
        self.gone + u64::from(self.compressing.is_some()) + self.queue.len() as u64
    }

    /// Takes the next; it counts as gone when it was sent or dropped.
    fn pop(&mut self) -> Option<Outgoing> {
        let outgoing = self.queue.pop_front()?;
        self.bytes -= outgoing.len();
        Some(outgoing)
    }

    /// Drops the next; says whether there was one.
    fn drop_next(&mut self) -> bool {
        let dropped = self.pop().is_some();
        self.gone += u64::from(dropped);
        dropped
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.pong.is_none() && self.compressing.is_none()
    }

    fn wait(&mut self, waker: &Waker) {
        if !self.waiters.iter().any(|waiter| waiter.will_wake(waker)) {
            self.waiters.push(waker.clone());
        }
    }
}

/// Tells when a message has left the queue; `None` for one that was never in it.
pub(in crate::websocket) struct Ticket(pub(super) Option<u64>);

impl WebSocket {
    /// Sends a message, or queues it behind others.
    pub(in crate::websocket) fn submit(&self, outgoing: Outgoing) -> Result<Ticket, Refused> {
        let shared = &*self.0;
        if shared.phase.get() != Phase::Open || shared.stream.is_closed() {
            return Err(Refused::Closed);
        }
        if !self.is_behind() {
            return Ok(self.emit(outgoing));
        }
        let max = shared.options.max_queue;
        let mut overflow = false;
        let result = self.with_backlog(|backlog| {
            let full = |backlog: &Backlog| backlog.bytes.saturating_add(outgoing.len()) > max;
            match shared.options.when_full {
                // A message that is larger than the queue goes out when nothing else waits.
                WhenFull::Wait if full(backlog) => return Err(Refused::Full(outgoing)),
                WhenFull::Wait => {}
                // Where nobody waits it is the queue, by itself.
                WhenFull::DropOldest => while full(backlog) && backlog.drop_next() {},
                WhenFull::Close if full(backlog) && !backlog.queue.is_empty() => {
                    overflow = true;
                    return Err(Refused::Closed);
                }
                WhenFull::Close => {}
            }
            Ok(backlog.push(outgoing))
        });
        if overflow {
            self.drop_queue();
            self.close(1008, "too slow a reader");
        }
        result
    }

    /// Sends or queues a close frame; there is always room for it.
    pub(in crate::websocket) fn submit_close(&self, close: Outgoing) {
        if self.is_behind() {
            self.with_backlog(|backlog| backlog.push(close));
        } else {
            let _ = self.emit(close);
        }
    }

    pub(in crate::websocket) fn pong_later(&self, payload: Bytes) {
        self.with_backlog(|backlog| backlog.pong = Some(payload));
    }

    pub(in crate::websocket) fn drop_queue(&self) {
        let dropped = self.0.backlog.borrow_mut().as_mut().map(|backlog| {
            backlog.gone += u64::from(backlog.compressing.take().is_some());
            while backlog.drop_next() {}
            std::mem::take(&mut backlog.waiters)
        });
        dropped.into_iter().flatten().for_each(Waker::wake);
    }

    /// Waits until a message has left the queue and the kernel has all that was sent by then.
    pub(in crate::websocket) async fn wait_until_sent(
        &self,
        ticket: Ticket,
    ) -> Result<(), WebSocketClosedError> {
        if self.0.options.when_full != WhenFull::Wait {
            return Ok(());
        }
        if let Some(number) = ticket.0 {
            poll_fn(|cx| match &mut *self.0.backlog.borrow_mut() {
                Some(backlog) if backlog.gone < number => {
                    backlog.wait(cx.waker());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            })
            .await;
        }
        if !self.0.stream.is_writing() && !self.0.stream.is_closed() {
            return Ok(());
        }
        self.0.stream.flush().await.map_err(|_| WebSocketClosedError)
    }

    /// Waits until something has left the queue.
    pub(in crate::websocket) async fn wait_for_room(&self) {
        let mut seen = None;
        poll_fn(|cx| match &mut *self.0.backlog.borrow_mut() {
            Some(backlog) if seen.is_none_or(|gone| gone == backlog.gone) => {
                seen = Some(backlog.gone);
                backlog.wait(cx.waker());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        })
        .await;
    }

    /// Waits until the queue is empty and the kernel has everything, or the connection is gone.
    pub(in crate::websocket) async fn drained(&self) {
        self.push_out();
        poll_fn(|cx| match &mut *self.0.backlog.borrow_mut() {
            Some(backlog) => {
                backlog.wait(cx.waker());
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
        // Whether it worked or the peer is gone: that was all.
        let _ = self.0.stream.flush().await;
    }

    /// Has a long message compressed, before all that is in the queue.
    pub(super) fn start_compressing(&self, message: Compressing) -> Ticket {
        self.with_backlog(|backlog| {
            backlog.compressing = Some(message);
            Ticket(Some(backlog.gone + 1))
        })
    }

    pub(super) fn compressing(&self) -> Option<Compressing> {
        self.0.backlog.borrow().as_ref()?.compressing.clone()
    }

    /// Unless it was dropped, which was counted then.
    fn compressing_is_over(&self) {
        if let Some(backlog) = &mut *self.0.backlog.borrow_mut() {
            backlog.gone += u64::from(backlog.compressing.take().is_some());
        }
    }

    /// Whether earlier output has not been taken.
    fn is_behind(&self) -> bool {
        self.0.backlog.borrow().is_some() || self.0.stream.is_writing()
    }

    fn with_backlog<R>(&self, f: impl FnOnce(&mut Backlog) -> R) -> R {
        let mut slot = self.0.backlog.borrow_mut();
        let first = slot.is_none();
        let result = f(slot.get_or_insert_default());
        drop(slot);
        if first {
            let socket = self.clone();
            spawn(async move { socket.work_off().await });
        }
        result
    }

    /// Sends the queue as fast as the kernel takes it. Runs while there is a backlog.
    async fn work_off(&self) {
        loop {
            let mut flushed = self.0.stream.flush().await;
            if flushed.is_ok() && self.send_compressing().await {
                self.compressing_is_over();
                flushed = self.0.stream.flush().await;
            }
            let mut slot = self.0.backlog.borrow_mut();
            let Some(backlog) = slot.as_mut() else { return };
            let waiters = std::mem::take(&mut backlog.waiters);
            if flushed.is_err() || backlog.is_empty() {
                *slot = None;
                drop(slot);
                waiters.into_iter().for_each(Waker::wake);
                return;
            }
            drop(slot);
            self.send_some();
            waiters.into_iter().for_each(Waker::wake);
        }
    }

    /// Sends until the kernel has had enough.
    fn send_some(&self) {
        loop {
            let (pong, next) = match &mut *self.0.backlog.borrow_mut() {
                Some(backlog) => (backlog.pong.take(), backlog.pop()),
                None => (None, None),
            };
            if pong.is_none() && next.is_none() {
                return;
            }
            if let Some(payload) = pong {
                self.control(OpCode::Pong, &payload);
            }
            if let Some(outgoing) = next {
                let waits = self.emit(outgoing).0.is_some();
                if waits {
                    return;
                }
                if let Some(backlog) = &mut *self.0.backlog.borrow_mut() {
                    backlog.gone += 1;
                }
            }
            if self.0.stream.is_writing() {
                return;
            }
        }
    }
}
