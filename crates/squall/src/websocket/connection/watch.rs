//! Waiting for the end of a connection.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, Waker};

use super::socket::{Phase, WebSocket};

impl WebSocket {
    /// Resolves when the connection has ended, on whatever path. Cancel safe.
    ///
    /// While a callback waits nothing is read, the peer's close frame neither. It resolves then as soon as the peer has
    /// left without one, or the connection was given up: what waits for something else beside it does not wait in vain.
    pub async fn closed(&self) {
        let mut left = pin!(self.0.stream.closed_by_peer());
        poll_fn(|cx| {
            if self.0.phase.get() == Phase::Closed {
                return Poll::Ready(());
            }
            // Else it is the reader who notices, once everything before was dealt with.
            if self.0.in_callback.get() && left.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut watchers = self.0.watchers.borrow_mut();
            if !watchers.iter().any(|waker| waker.will_wake(cx.waker())) {
                watchers.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Says whether a callback runs, or waits.
    pub(in crate::websocket) fn set_in_callback(&self, on: bool) {
        self.0.in_callback.set(on);
    }

    /// Has everyone who waits for the end look again.
    pub(in crate::websocket) fn wake_watchers(&self) {
        let watchers = std::mem::take(&mut *self.0.watchers.borrow_mut());
        watchers.into_iter().for_each(Waker::wake);
    }
}
