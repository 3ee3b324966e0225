//! How much of a request's body may be under way: little, but for who has the connection for itself.
//!
//! SETTINGS speak of all streams of a connection at once (RFC 9113 §6.9.2), and the windows of all together must fit into the
//! connection's, or a handler that takes nothing would block others. So the window grows while one body comes alone and is
//! taken as it comes, and is small again as soon as another comes beside it, or none.

use std::cell::Cell;

/// The window of a connection's streams, as it should be.
pub(super) struct Window {
    least: u32,
    most: u32,
    wanted: Cell<u32>,
    /// How many bodies come.
    bodies: Cell<usize>,
    /// What was taken since the window was last changed.
    taken: Cell<usize>,
}

impl Window {
    pub(super) fn new(least: u32, most: u32) -> Self {
        Self { least, most, wanted: Cell::new(least), bodies: Cell::new(0), taken: Cell::new(0) }
    }

    pub(super) fn wanted(&self) -> u32 {
        self.wanted.get()
    }

    /// A body begins. True when the window changes; so it is for all of these.
    pub(super) fn begin(&self) -> bool {
        self.bodies.set(self.bodies.get() + 1);
        self.bodies.get() > 1 && self.set(self.least)
    }

    /// A body has ended, or is not wanted.
    pub(super) fn end(&self) -> bool {
        self.bodies.set(self.bodies.get().saturating_sub(1));
        self.bodies.get() == 0 && self.set(self.least)
    }

    /// A handler has taken a piece.
    pub(super) fn take(&self, bytes: usize) -> bool {
        if self.bodies.get() != 1 {
            return false;
        }
        self.taken.set(self.taken.get().saturating_add(bytes));
        self.taken.get() >= self.wanted.get() as usize
            && self.set(self.wanted.get().saturating_mul(2).min(self.most))
    }

    fn set(&self, wanted: u32) -> bool {
        self.taken.set(0);
        self.wanted.replace(wanted) != wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_for_one_body_alone() {
        let window = Window::new(100, 350);
        assert!(!window.begin());
        assert!(!window.take(99));
        assert!(window.take(1));
        assert_eq!(window.wanted(), 200);
        assert!(window.take(200) && !window.take(10_000));
        assert_eq!(window.wanted(), 350);
        // Another beside it.
        assert!(window.begin());
        assert_eq!(window.wanted(), 100);
        assert!(!window.take(1_000) && !window.begin() && !window.end() && !window.end());
        assert!(window.take(100));
        assert_eq!(window.wanted(), 200);
        assert!(window.end());
        assert_eq!(window.wanted(), 100);
    }
}
