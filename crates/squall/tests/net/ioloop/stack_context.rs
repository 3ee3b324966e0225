//! `squall::stack_context`, after `stack_context_test.py` of Tornado 4.5.3; the table is in `README.md`.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use squall::concurrent::{Future, moment};
use squall::ioloop::{Events, IoLoop, PeriodicCallback};
use squall::iostream::IoStream;
use squall::stack_context::{ContextVar, ExceptionStackContext, NullContext, StackContext, Wrapped, wrap};

use super::Fixture;

/// The names of the contexts that are entered.
#[derive(Clone, Default)]
struct Active(Rc<RefCell<Vec<&'static str>>>);

impl Active {
    fn context(&self, name: &'static str) -> StackContext {
        let active = self.clone();
        StackContext::new(move || {
            active.0.borrow_mut().push(name);
            Leave(active.clone(), name)
        })
    }

    fn now(&self) -> Vec<&'static str> {
        self.0.borrow().clone()
    }
}

struct Leave(Active, &'static str);

impl Drop for Leave {
    fn drop(&mut self) {
        assert_eq!(self.0.0.borrow_mut().pop(), Some(self.1), "left in another order");
    }
}

#[test]
fn exit_library_context() {
    let (t, active) = (Fixture::new(), Active::default());
    let (io_loop, stop, seen) = (t.io_loop.clone(), t.io_loop.clone(), active.clone());
    active.context("application").run(|| {
        let last = seen.clone();
        let callback: Wrapped<(), ()> = wrap(move |()| {
            assert_eq!(last.now().last(), Some(&"application"));
            stop.stop();
        });
        let inside = active.clone();
        active.context("library").run(|| {
            io_loop.add_callback(move || {
                assert_eq!(inside.now(), ["application", "library"]);
                callback.call(());
            });
        });
        assert_eq!(active.now(), ["application"]);
    });
    t.wait();
    assert!(active.now().is_empty());
}

#[test]
fn deactivate() {
    let (t, active) = (Fixture::new(), Active::default());
    let (c1, c2, c3) = (active.context("c1"), active.context("c2"), active.context("c3"));
    let (io_loop, seen) = (t.io_loop.clone(), active.clone());
    let off = c2.clone();
    let f4 = move || {
        assert_eq!(seen.now(), ["c1", "c2", "c3"]);
        off.deactivate();
        assert_eq!(seen.now(), ["c1", "c2", "c3"], "not before the next iteration");
        let stop = io_loop.clone();
        io_loop.add_callback(move || {
            assert_eq!(seen.now(), ["c1", "c3"]);
            stop.stop();
        });
    };
    let io_loop = t.io_loop.clone();
    c1.run(|| {
        let inner = io_loop.clone();
        io_loop.add_callback(move || {
            c2.run(|| {
                let innermost = inner.clone();
                inner.add_callback(move || c3.run(|| innermost.add_callback(f4)));
            });
        });
    });
    t.wait();
}

#[test]
fn deactivate_order() {
    for (off, left) in
        [(3, vec!["c0", "c1", "c2"]), (0, vec!["c1", "c2"]), (1, vec!["c0", "c2"]), (2, vec!["c0", "c1"])]
    {
        let active = Active::default();
        let contexts = ["c0", "c1", "c2"].map(|name| active.context(name));
        let seen = active.clone();
        let wrapped: Wrapped<(), Vec<&str>> = NullContext::run(|| {
            contexts[0].run(|| contexts[1].run(|| contexts[2].run(|| wrap(move |()| seen.now()))))
        });
        if let Some(context) = contexts.get(off) {
            context.deactivate();
        }
        assert_eq!(wrapped.call(()), left);
    }
}

#[test]
fn isolation() {
    for (outer, expected) in [(Some("c1"), vec!["c2", "c1"]), (None, vec!["c2"])] {
        let (t, active) = (Fixture::new(), Active::default());
        let (io_loop, seen, later) = (t.io_loop.clone(), active.clone(), active.clone());
        let wanted = expected.clone();
        let f2 = move |()| {
            assert_eq!(seen.now(), wanted);
            let (stop, later, wanted) = (io_loop.clone(), later.clone(), wanted.clone());
            io_loop.add_callback(move || {
                let own: Vec<_> = wanted.into_iter().filter(|name| *name != "c2").collect();
                assert_eq!(later.now(), own, "c2 is where f2 was called, not where it is from");
                stop.stop();
            });
        };
        let wrapped = match outer {
            Some(name) => active.context(name).run(|| wrap(f2)),
            None => NullContext::run(|| wrap(f2)),
        };
        active.context("c2").run(|| wrapped.call(()));
        t.wait();
    }
}

#[test]
fn the_beginning_is_not_entered_again() {
    let (entered, active) = (Rc::new(Cell::new(0)), Active::default());
    let count = entered.clone();
    let outer = StackContext::new(move || count.set(count.get() + 1));
    outer.run(|| {
        let seen = active.clone();
        let wrapped: Wrapped<(), Vec<&str>> = active.context("inner").run(|| wrap(move |()| seen.now()));
        assert_eq!(wrapped.call(()), ["inner"]);
        assert_eq!(entered.get(), 1, "only what is missing is entered");
        active.context("other").run(|| assert_eq!(wrapped.call(()), ["other", "inner"]));
        assert_eq!(entered.get(), 2, "elsewhere all of it");
    });
}

#[test]
fn none_passes_and_twice_is_once() {
    assert!(wrap(None::<Wrapped<u32, u32>>).is_none());
    let var = ContextVar::new();
    let seen = var.clone();
    let once: Wrapped<u32, u32> = var.run(1, || wrap(move |n| n + seen.get().unwrap_or(100)));
    let twice = var.run(2, || wrap(once.clone()));
    assert!(twice.is(&once));
    let some = var.run(3, || wrap(Some(twice))).unwrap();
    assert_eq!(some.call(10), 11);
}

#[test]
fn run_with_stack_context() {
    let (t, active) = (Fixture::new(), Active::default());
    let (c1, c2) = (active.context("c1"), active.context("c2"));
    let seen = active.clone();
    let f2 = {
        let seen = seen.clone();
        async move {
            assert_eq!(seen.now(), ["c1", "c2"]);
            moment().await;
            assert_eq!(seen.now(), ["c1", "c2"]);
        }
    };
    let f1 = async move {
        assert_eq!(seen.now(), ["c1"]);
        c2.scope(f2).await;
        assert_eq!(seen.now(), ["c1"]);
        moment().await;
        assert_eq!(seen.now(), ["c1"]);
    };
    t.io_loop.run_sync(c1.scope(f1), None).unwrap();
    assert!(active.now().is_empty(), "nothing is left on by a task that waits");
}

/// Every place that keeps a callback, with a way to have it called.
#[test]
fn whatever_keeps_a_callback_keeps_its_context() {
    let t = Fixture::new();
    let (var, seen) = (ContextVar::new(), Rc::new(RefCell::new(Vec::new())));
    let note = |name: &'static str| {
        let (var, seen) = (var.clone(), seen.clone());
        move || seen.borrow_mut().push((name, var.get()))
    };
    let io_loop = t.io_loop.clone();
    t.io_loop
        .run_sync(
            async {
                let (mut near, far) = std::os::unix::net::UnixStream::pair().unwrap();
                far.set_nonblocking(true).unwrap();
                let (closing, peer) = std::os::unix::net::UnixStream::pair().unwrap();
                let stream = IoStream::from_std_unix(closing).unwrap();
                let future = Future::new();
                let periodic = PeriodicCallback::new(Duration::from_millis(1), note("periodic"));
                var.run(1, || {
                    io_loop.add_callback(note("callback"));
                    io_loop.call_later(Duration::from_millis(1), note("timeout"));
                    io_loop.add_future(async {}, {
                        let note = note("future");
                        move |()| note()
                    });
                    io_loop.spawn_callback({
                        let note = note("spawn_callback");
                        async move {
                            moment().await;
                            note();
                        }
                    });
                    io_loop.spawn({
                        let note = note("spawn");
                        async move {
                            moment().await;
                            note();
                        }
                    });
                    let (handled, handler) = (io_loop.clone(), note("handler"));
                    let handle = move |far: &std::os::unix::net::UnixStream, _| {
                        handler();
                        handled.remove_handler(far);
                    };
                    io_loop.add_handler(far, handle, Events::READ).unwrap();
                    stream.set_close_callback(note("close"));
                    future.add_done_callback({
                        let note = note("done");
                        move |_| note()
                    });
                    periodic.start();
                });
                assert_eq!(var.get(), None);
                near.write_all(b"x").unwrap();
                drop(peer);
                future.set_result(()).unwrap();
                let all = [
                    "callback",
                    "timeout",
                    "future",
                    "spawn_callback",
                    "spawn",
                    "handler",
                    "close",
                    "done",
                    "periodic",
                ];
                while !all.iter().all(|name| seen.borrow().iter().any(|(seen, _)| seen == name)) {
                    moment().await;
                }
                periodic.stop();
            },
            Some(super::LONG),
        )
        .unwrap();
    let elsewhere: Vec<_> = seen.borrow().iter().filter(|(_, value)| *value != Some(1)).copied().collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
fn the_loop_is_not_in_the_context_that_starts_it() {
    let t = Fixture::new();
    let var = ContextVar::new();
    let (seen, inside) = (Rc::new(Cell::new(Some(0))), var.clone());
    let (flag, stop) = (seen.clone(), t.stopper());
    t.io_loop.add_callback(move || {
        flag.set(inside.get());
        stop();
    });
    var.run(1, || t.wait());
    assert_eq!(seen.get(), None);
    let own = var.clone();
    let value = var.run(2, || t.io_loop.run_sync(async move { own.get() }, None).unwrap());
    assert_eq!(value, Some(2), "what it is started for is");
}

#[test]
fn a_null_context_is_empty_and_temporary() {
    let (var, active) = (ContextVar::new(), Active::default());
    active.context("c").run(|| {
        var.run(1, || {
            NullContext::run(|| {
                assert_eq!(var.get(), None);
                let seen = active.clone();
                let wrapped: Wrapped<(), Vec<&str>> = wrap(move |()| seen.now());
                assert_eq!(wrapped.call(()), ["c"], "it is still entered");
            });
            assert_eq!(var.get(), Some(1));
        });
    });
}

#[test]
fn panics_are_given_to_the_contexts() {
    let t = Fixture::new();
    let (logged, seen) = (t.panics(), Rc::new(RefCell::new(Vec::new())));
    let handler = |name: &'static str, consumes: bool| {
        let seen = seen.clone();
        ExceptionStackContext::new(move |payload| {
            seen.borrow_mut().push((name, *payload.downcast_ref::<&str>().unwrap()));
            consumes
        })
    };
    let (outer, inner) = (handler("outer", true), handler("inner", false));
    let io_loop = t.io_loop.clone();
    outer.run(|| inner.run(|| io_loop.add_callback(|| panic!("both"))));
    inner.run(|| io_loop.spawn_callback(async { panic!("logged") }));
    outer.run(|| io_loop.call_later(Duration::ZERO, || panic!("outer")));
    let stop = t.stopper();
    io_loop.call_later(Duration::from_millis(5), stop);
    t.wait();
    let mut seen = seen.take();
    seen.sort_unstable();
    assert_eq!(seen, [("inner", "both"), ("inner", "logged"), ("outer", "both"), ("outer", "outer")]);
    assert_eq!(logged.borrow().len(), 1, "{:?}", logged.borrow());
    assert!(logged.borrow()[0].ends_with("logged"));
}

#[test]
fn a_context_that_cannot_be_entered_is_reported() {
    let t = Fixture::new();
    let (panics, broken) = (t.panics(), Rc::new(Cell::new(false)));
    let flag = broken.clone();
    let context = StackContext::new(move || assert!(!flag.get(), "cannot enter"));
    let io_loop = t.io_loop.clone();
    context.run(|| io_loop.add_callback(|| unreachable!("it is not entered")));
    broken.set(true);
    let stop = t.stopper();
    t.io_loop.call_later(Duration::from_millis(1), stop);
    t.wait();
    assert!(
        panics.borrow().len() == 1 && panics.borrow()[0].contains("cannot enter"),
        "{:?}",
        panics.borrow()
    );
}

#[test]
fn a_long_chain_of_contexts_is_dropped() {
    let t = Fixture::new();
    let (var, io_loop) = (ContextVar::new(), t.io_loop.clone());
    fn again(var: ContextVar<u32>, io_loop: IoLoop, n: u32) {
        if n == 200_000 {
            return io_loop.stop();
        }
        let (next, same) = (var.clone(), io_loop.clone());
        var.run(n, || io_loop.add_callback(move || again(next, same, n + 1)));
    }
    t.io_loop.add_callback(move || again(var, io_loop, 0));
    t.wait();
}
