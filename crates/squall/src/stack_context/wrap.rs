//! Callbacks that remember their context.

use std::fmt;
use std::rc::Rc;

use super::scoped::Captured;

/// `callback`, which from now on runs inside of the contexts that are present now.
///
/// `None` stays `None`, and what is wrapped already stays as it is. The loop, streams and tasks do this themselves; it is for
/// places of an application's own where callbacks are kept.
///
/// ```
/// use squall::stack_context::{ContextVar, Wrapped, wrap};
///
/// let user = ContextVar::new();
/// let seen = user.clone();
/// let callback: Wrapped<u32, String> =
///     user.run("ann", || wrap(move |n: u32| format!("{:?} {n}", seen.get())));
/// assert_eq!(callback.call(1), "Some(\"ann\") 1");
/// assert!(wrap(None::<Wrapped<u32, String>>).is_none());
/// ```
pub fn wrap<A, R, C: Wrap<A, R>>(callback: C) -> C::Wrapped {
    callback.wrap()
}

/// What can be [`wrap`]ped: functions of one argument (take a tuple for more, `()` for none), what is wrapped already, and
/// options of those.
pub trait Wrap<A, R> {
    /// What becomes of it.
    type Wrapped;

    /// See [`wrap`].
    fn wrap(self) -> Self::Wrapped;
}

impl<A, R, F: Fn(A) -> R + 'static> Wrap<A, R> for F {
    type Wrapped = Wrapped<A, R>;

    fn wrap(self) -> Wrapped<A, R> {
        Wrapped { contexts: Captured::now(), callback: Rc::new(self) }
    }
}

impl<A, R> Wrap<A, R> for Wrapped<A, R> {
    type Wrapped = Self;

    fn wrap(self) -> Self {
        self
    }
}

impl<A, R, C: Wrap<A, R>> Wrap<A, R> for Option<C> {
    type Wrapped = Option<C::Wrapped>;

    fn wrap(self) -> Self::Wrapped {
        self.map(Wrap::wrap)
    }
}

/// A callback with the contexts in which it was [`wrap`]ped; cheap to clone.
pub struct Wrapped<A, R> {
    contexts: Captured,
    callback: Rc<dyn Fn(A) -> R>,
}

impl<A, R> Wrapped<A, R> {
    /// Calls it inside of its contexts.
    ///
    /// Those that are present already, if they are the beginning of its own, are not entered again.
    pub fn call(&self, argument: A) -> R {
        self.contexts.run(|| (self.callback)(argument))
    }

    /// Whether both are clones of one.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.callback, &other.callback)
    }
}

impl<A, R> Clone for Wrapped<A, R> {
    fn clone(&self) -> Self {
        Wrapped { contexts: self.contexts.clone(), callback: Rc::clone(&self.callback) }
    }
}

impl<A, R> fmt::Debug for Wrapped<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrapped").finish_non_exhaustive()
    }
}
