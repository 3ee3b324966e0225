//! The loop, after Tornado's `ioloop_test.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use squall::ioloop::IoLoop;

const LONG: Duration = Duration::from_secs(10);

/// A fresh loop that stops, and fails the test, after ten seconds.
struct Fixture {
    io_loop: IoLoop,
}

impl Fixture {
    fn new() -> Self {
        Fixture { io_loop: IoLoop::new().unwrap() }
    }

    /// Runs the loop until the test's code stops it.
    fn wait(&self) {
        let io_loop = self.io_loop.clone();
        let late = Rc::new(Cell::new(false));
        let flag = late.clone();
        let guard = self.io_loop.call_later(LONG, move || {
            flag.set(true);
            io_loop.stop();
        });
        self.io_loop.start().unwrap();
        self.io_loop.remove_timeout(&guard);
        assert!(!late.get(), "the loop was not stopped within {LONG:?}");
    }

    fn stopper(&self) -> impl FnOnce() + 'static {
        let io_loop = self.io_loop.clone();
        move || io_loop.stop()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if !self.io_loop.is_running() {
            self.io_loop.close(false);
        }
    }
}

type Log<T> = Rc<RefCell<Vec<T>>>;

fn log<T>() -> Log<T> {
    Rc::default()
}

mod callbacks {
    use super::*;

    #[test]
    fn run_in_the_order_of_adding() {
        let t = Fixture::new();
        let seen = log();
        for n in 0..5 {
            let seen = seen.clone();
            t.io_loop.add_callback(move || seen.borrow_mut().push(n));
        }
        t.io_loop.add_callback(t.stopper());
        t.wait();
        assert_eq!(*seen.borrow(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn added_by_callbacks_run_in_the_next_iteration() {
        let t = Fixture::new();
        let seen = log();
        let (inner_seen, io_loop, stop) = (seen.clone(), t.io_loop.clone(), t.stopper());
        t.io_loop.add_callback(move || {
            inner_seen.borrow_mut().push("first");
            io_loop.add_callback(move || {
                inner_seen.borrow_mut().push("added by first");
                stop();
            });
        });
        let other = seen.clone();
        t.io_loop.add_callback(move || other.borrow_mut().push("second"));
        t.wait();
        assert_eq!(*seen.borrow(), ["first", "second", "added by first"]);
    }
}
