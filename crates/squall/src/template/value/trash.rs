//! Values that hold values are dropped without recursion: a list in a list in a list, a million levels deep, would use up
//! the stack.

use std::cell::{Cell as Shared, RefCell};

use super::Py;

/// Levels that are dropped in place.
const MAX_LEVELS: u32 = 40;

thread_local! {
    static LEVEL: Shared<u32> = const { Shared::new(0) };
    static QUEUE: RefCell<Vec<Vec<Py>>> = const { RefCell::new(Vec::new()) };
}

/// Drops what a value held.
pub(super) fn bury(items: Vec<Py>) {
    if !items.iter().any(holds_values) {
        return;
    }
    let level = LEVEL.try_with(Shared::get).unwrap_or(0);
    if level >= MAX_LEVELS {
        // Without the thread's queue there is no deep value either: it is the thread's end.
        let _ = QUEUE.try_with(|queue| queue.borrow_mut().push(items));
        return;
    }
    let _ = LEVEL.try_with(|shared| shared.set(level + 1));
    drop(items);
    while level == 0
        && let Ok(Some(next)) = QUEUE.try_with(|queue| queue.borrow_mut().pop())
    {
        drop(next);
    }
    let _ = LEVEL.try_with(|shared| shared.set(level));
}

fn holds_values(value: &Py) -> bool {
    !matches!(
        value,
        Py::Unbound
            | Py::None
            | Py::Bool(_)
            | Py::Int(_)
            | Py::Float(_)
            | Py::Str(_)
            | Py::Host(_)
            | Py::Type(_)
    )
}

/// A variable that a function within a function uses too.
pub(in crate::template) struct Cell(RefCell<Py>);

impl Cell {
    pub(in crate::template) fn new(value: Py) -> Self {
        Self(RefCell::new(value))
    }

    pub(in crate::template) fn get(&self) -> Py {
        self.0.borrow().clone()
    }

    pub(in crate::template) fn set(&self, value: Py) {
        // What is dropped may look at this cell.
        drop(self.0.replace(value));
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        bury(vec![self.0.replace(Py::None)]);
    }
}
