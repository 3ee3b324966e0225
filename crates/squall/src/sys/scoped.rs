//! A reference that callbacks find while a call is under way.

use std::cell::Cell;
use std::ptr;

/// Lends a reference to whatever runs below [`set`](Self::set) on this thread, for callbacks that must be `'static`.
/// Belongs in a `thread_local!`.
pub(crate) struct Scoped<T>(Cell<*const T>);

impl<T> Scoped<T> {
    pub(crate) const fn new() -> Self {
        Self(Cell::new(ptr::null()))
    }

    /// Calls `f`, during which [`with`](Self::with) gives `value`.
    pub(crate) fn set<R>(&self, value: &T, f: impl FnOnce() -> R) -> R {
        struct Restore<'a, T>(&'a Cell<*const T>, *const T);
        impl<T> Drop for Restore<'_, T> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let _restore = Restore(&self.0, self.0.replace(value));
        f()
    }

    /// What the innermost [`set`](Self::set) lends, if there is one.
    pub(crate) fn with<R>(&self, f: impl FnOnce(Option<&T>) -> R) -> R {
        // SAFETY: a pointer that is not null was made from a reference by `set`, which is still on this thread's stack,
        // as it puts the one before it back when it returns or unwinds; and `Cell` keeps `Scoped` to one thread. The
        // reference outlives `f`, which cannot keep it, for its lifetime is `f`'s argument's own.
        f(unsafe { self.0.get().as_ref() })
    }
}

#[cfg(test)]
mod tests {
    use super::Scoped;

    #[test]
    fn what_is_lent_is_taken_back() {
        let scoped = Scoped::new();
        let now = || scoped.with(|value: Option<&u32>| value.copied());
        assert_eq!(now(), None);
        scoped.set(&1, || {
            assert_eq!(scoped.set(&2, now), Some(2));
            let panicked =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scoped.set(&3, || panic!())));
            assert!(panicked.is_err());
            assert_eq!(now(), Some(1));
        });
        assert_eq!(now(), None);
    }
}
