//! Tells those who wait for a client to leave that their exchange is over.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// Whether an exchange is over, and who waits for that.
#[derive(Default)]
pub(super) struct ExchangeEnd {
    over: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
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
}
