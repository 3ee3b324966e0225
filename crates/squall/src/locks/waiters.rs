//! Tasks that wait in a line, each until somebody serves it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A line of tasks. Each brings an `I` (an item that it wants to put, say) and leaves with an `O`.
pub(crate) struct Waiters<I, O> {
    line: RefCell<VecDeque<Rc<Waiter<I, O>>>>,
}

impl<I, O> Default for Waiters<I, O> {
    fn default() -> Self {
        Self { line: RefCell::default() }
    }
}

struct Waiter<I, O> {
    state: Cell<State<I, O>>,
}

enum State<I, O> {
    Waits(I, Option<Waker>),
    Served(O),
    /// Being served, or gone.
    Over,
}

impl<I, O> Waiters<I, O> {
    pub(crate) fn len(&self) -> usize {
        self.line.borrow().len()
    }

    /// Gives the first in the line what `make` makes of that which it brought. Whether there was one.
    pub(crate) fn serve(&self, make: impl FnOnce(I) -> O) -> bool {
        let Some(waiter) = self.line.borrow_mut().pop_front() else { return false };
        let State::Waits(brought, waker) = waiter.state.replace(State::Over) else {
            unreachable!("who is served or gone is not in the line");
        };
        waiter.state.set(State::Served(make(brought)));
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Joins the line, now. What was served to a future that is dropped before it looked goes to `back`; what one
    /// brought that is dropped while it waits is dropped with it.
    pub(crate) fn wait<B: FnMut(O)>(&self, brought: I, back: B) -> Wait<'_, I, O, B> {
        let waiter = Rc::new(Waiter { state: Cell::new(State::Waits(brought, None)) });
        self.line.borrow_mut().push_back(Rc::clone(&waiter));
        Wait { line: self, waiter, back }
    }
}

/// A place in the line.
pub(crate) struct Wait<'a, I, O, B: FnMut(O)> {
    line: &'a Waiters<I, O>,
    waiter: Rc<Waiter<I, O>>,
    back: B,
}

// Nothing in it is pinned.
impl<I, O, B: FnMut(O)> Unpin for Wait<'_, I, O, B> {}

impl<I, O, B: FnMut(O)> Future for Wait<'_, I, O, B> {
    type Output = O;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        match self.waiter.state.replace(State::Over) {
            State::Served(got) => Poll::Ready(got),
            State::Waits(brought, _) => {
                self.waiter.state.set(State::Waits(brought, Some(cx.waker().clone())));
                Poll::Pending
            }
            State::Over => unreachable!("a future is not polled after it was ready"),
        }
    }
}

impl<I, O, B: FnMut(O)> Drop for Wait<'_, I, O, B> {
    fn drop(&mut self) {
        match self.waiter.state.replace(State::Over) {
            State::Served(got) => (self.back)(got),
            State::Waits(..) => {
                let mut line = self.line.line.borrow_mut();
                // Those that run into a timeout are among the first, as a rule.
                if let Some(at) = line.iter().position(|other| Rc::ptr_eq(other, &self.waiter)) {
                    line.remove(at);
                }
            }
            State::Over => {}
        }
    }
}
