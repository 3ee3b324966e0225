//! Contexts that were captured, and how one comes back into them.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Kind, Node, current, under};

/// The contexts in which something was registered.
#[derive(Clone, Default)]
pub(crate) struct Captured(Option<Rc<Node>>);

impl Captured {
    /// The present ones.
    #[inline]
    pub(crate) fn now() -> Self {
        Captured(current())
    }

    /// None at all.
    pub(crate) fn null() -> Self {
        Captured(None)
    }

    /// Whether there is none, so that there is nothing to restore where none is present.
    #[inline]
    pub(crate) fn is_null(&self) -> bool {
        self.0.is_none()
    }

    /// Calls `function` inside of the contexts, as they were.
    #[inline]
    pub(crate) fn run<R>(&self, function: impl FnOnce() -> R) -> R {
        let present = current();
        if self.0.is_none() && present.is_none() {
            return function();
        }
        // Variables need nothing but to be there.
        let is_entered = self.0.as_ref().is_some_and(|node| node.is_entered);
        let _guards = is_entered.then(|| self.enter(present.as_deref()));
        under(self.0.clone(), function)
    }

    /// Calls `function` in the contexts without entering them: for what only hands them on, or asks for one.
    pub(crate) fn adopt<R>(&self, function: impl FnOnce() -> R) -> R {
        under(self.0.clone(), function)
    }

    /// Whether a handler of panics among the contexts says that this one is dealt with.
    pub(crate) fn handles(&self, payload: &(dyn Any + Send)) -> bool {
        let mut next = self.0.clone();
        while let Some(node) = next {
            if let Kind::Panics(handler) = &node.kind
                // A handler that panics has not dealt with it; what is reported is the first panic.
                && catch_unwind(AssertUnwindSafe(|| handler(payload))).unwrap_or(false)
            {
                return true;
            }
            next = node.parent.borrow().clone();
        }
        false
    }

    /// Enters the contexts, from the outermost. Where the present ones are the beginning of them, only the rest.
    fn enter(&self, present: Option<&Node>) -> Guards {
        let mut missing = Vec::new();
        let mut next = self.0.clone();
        while let Some(node) = next {
            if present.is_some_and(|present| std::ptr::eq(present, &raw const *node)) {
                break;
            }
            if let Kind::Enter(enter) = &node.kind {
                missing.push(Rc::clone(enter));
            }
            next = node.parent.borrow().clone();
        }
        let mut guards = Guards(Vec::with_capacity(missing.len()));
        for enter in missing.into_iter().rev() {
            guards.0.extend(enter.enter());
        }
        guards
    }
}

/// What entering returned; left from the innermost, also when one of them panics on entry.
struct Guards(Vec<Box<dyn Any>>);

impl Drop for Guards {
    fn drop(&mut self) {
        while let Some(guard) = self.0.pop() {
            drop(guard);
        }
    }
}

/// A future that is polled inside of certain contexts, whoever polls it.
#[must_use = "futures do nothing unless polled"]
pub struct Scoped<F> {
    contexts: Captured,
    future: Pin<Box<F>>,
}

impl<F> Scoped<F> {
    pub(super) fn under(node: Option<Rc<Node>>, future: F) -> Self {
        Self::captured(Captured(node), future)
    }

    pub(crate) fn captured(contexts: Captured, future: F) -> Self {
        Scoped { contexts, future: Box::pin(future) }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Scoped { contexts, future } = &mut *self;
        contexts.run(|| future.as_mut().poll(cx))
    }
}

impl<F> fmt::Debug for Scoped<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").finish_non_exhaustive()
    }
}
