//! Tells those who wait for a client to leave that their exchange is over.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Whether an exchange is over, and who waits for that.
#[derive(Default)]
pub(super) struct ExchangeEnd {
    over: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
    /// The connection's own look-out for the client's leaving. It holds on to the socket.
    watch: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>,
}

impl ExchangeEnd {
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.over.get() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(super) fn tell(&self) {
        self.over.set(true);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    pub(super) fn watch(&self, left: Pin<Box<dyn Future<Output = ()>>>) {
        self.watch.replace(Some(left));
    }

    /// Whether the client has left; pending for ever when nobody looks out any longer.
    pub(super) fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.watch.borrow_mut() {
            Some(left) => left.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Lets go of the socket.
    pub(super) fn unwatch(&self) {
        self.watch.take();
    }
}
