//! The loop, after Tornado's `ioloop_test.py`.

mod embedded;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use squall::ioloop::{
    Events, Executor, ExecutorError, HandlerError, IoLoop, Job, PeriodicCallback, RunSyncError, StartError,
    ThreadPool, TimeoutError,
};

mod concurrent;
mod stack_context;
mod subprocess;

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

    /// Gathers what is reported to the exception handler from now on.
    fn panics(&self) -> Log<String> {
        let panics = log();
        let gathered = panics.clone();
        self.io_loop
            .set_callback_exception_handler(move |panic| gathered.borrow_mut().push(panic.to_string()));
        panics
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

mod running {
    use super::*;

    #[test]
    fn starting_a_running_loop_is_an_error() {
        let t = Fixture::new();
        let result = Rc::new(Cell::new(None));
        let (seen, io_loop) = (result.clone(), t.io_loop.clone());
        t.io_loop.add_callback(move || {
            seen.set(Some((io_loop.start(), io_loop.run_sync(async {}, None))));
            io_loop.stop();
        });
        t.wait();
        let expected =
            (Err(StartError::AlreadyRunning), Err(RunSyncError::Start(StartError::AlreadyRunning)));
        assert_eq!(result.get(), Some(expected));
        assert_eq!(StartError::AlreadyRunning.to_string(), "IOLoop is already running");
    }

    #[test]
    fn starting_another_loop_inside_a_running_one_is_an_error() {
        let t = Fixture::new();
        let other = IoLoop::new().unwrap();
        let result = t.io_loop.run_sync(async { other.start() }, None).unwrap();
        assert_eq!(result, Err(StartError::AnotherRunning));
        other.stop();
        assert_eq!(other.start(), Ok(()), "it is not damaged");
        other.close(false);
    }

    #[test]
    fn a_stop_before_the_start_makes_it_return_at_once() {
        let t = Fixture::new();
        let ran = Rc::new(Cell::new(false));
        t.io_loop.stop();
        assert_eq!(t.io_loop.start(), Ok(()));
        let flag = ran.clone();
        t.io_loop.add_callback(move || flag.set(true));
        t.io_loop.add_callback(t.stopper());
        t.wait();
        assert!(ran.get(), "start and stop balance: the next start runs");
    }

    #[test]
    fn two_stops_in_one_run_do_not_end_the_next_run() {
        let t = Fixture::new();
        for _ in 0..2 {
            t.io_loop.add_callback(t.stopper());
        }
        t.wait();
        let ran = Rc::new(Cell::new(false));
        let (flag, stop) = (ran.clone(), t.stopper());
        t.io_loop.call_later(Duration::from_millis(5), move || {
            flag.set(true);
            stop();
        });
        t.wait();
        assert!(ran.get());
    }

    #[test]
    fn the_iteration_in_which_it_is_stopped_is_completed() {
        let t = Fixture::new();
        let ran = Rc::new(Cell::new(false));
        t.io_loop.add_callback(t.stopper());
        let flag = ran.clone();
        t.io_loop.add_callback(move || flag.set(true));
        t.wait();
        assert!(ran.get());
    }

    #[test]
    fn it_knows_whether_it_runs() {
        let t = Fixture::new();
        assert!(!t.io_loop.is_running());
        assert!(t.io_loop.run_sync(async { t.io_loop.is_running() }, None).unwrap());
        assert!(!t.io_loop.is_running());
    }

    #[test]
    fn a_closed_loop_does_not_start() {
        let io_loop = IoLoop::new().unwrap();
        io_loop.close(false);
        io_loop.close(false);
        assert_eq!(io_loop.start(), Err(StartError::Closed));
        assert_eq!(io_loop.run_sync(async {}, None), Err(RunSyncError::Start(StartError::Closed)));
    }

    #[test]
    fn a_running_loop_cannot_be_closed() {
        let t = Fixture::new();
        let panics = t.panics();
        let io_loop = t.io_loop.clone();
        t.io_loop.add_callback(move || io_loop.close(false));
        t.io_loop.add_callback(t.stopper());
        t.wait();
        assert!(panics.borrow()[0].ends_with("Cannot close a running IOLoop"), "{panics:?}");
    }

    #[test]
    fn loops_are_made_and_closed_on_many_threads() {
        let t = Fixture::new();
        let make = || {
            for _ in 0..10 {
                IoLoop::new().unwrap().close(false);
            }
        };
        let both = async {
            let io_loop = IoLoop::current();
            let (first, second) = (io_loop.run_in_executor(None, make), io_loop.run_in_executor(None, make));
            (first.await, second.await)
        };
        let (first, second) = t.io_loop.run_sync(both, Some(LONG)).unwrap();
        first.unwrap();
        second.unwrap();
    }

    #[test]
    fn a_thread_may_end_without_closing_its_loop() {
        let dropped = Arc::new(AtomicUsize::new(0));
        struct Count(Arc<AtomicUsize>);
        impl Drop for Count {
            fn drop(&mut self) {
                // What a destructor might do while the thread ends.
                if let Some(io_loop) = IoLoop::current_opt() {
                    io_loop.add_callback(|| ());
                }
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let count = Count(dropped.clone());
        let thread = std::thread::spawn(move || {
            IoLoop::current().spawn(async move {
                let _count = count;
                std::future::pending::<()>().await;
            });
            IoLoop::current().run_sync(async { tokio::task::yield_now().await }, None).unwrap();
        });
        thread.join().unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    }
}

mod current {
    use super::*;

    #[test]
    fn a_loop_is_current_while_it_runs_only() {
        IoLoop::clear_current();
        let t = Fixture::new();
        assert_eq!(IoLoop::current_opt(), None);
        for _ in 0..3 {
            let seen = Rc::new(RefCell::new(None));
            let (slot, stop) = (seen.clone(), t.stopper());
            t.io_loop.add_callback(move || {
                slot.replace(Some(IoLoop::current()));
                stop();
            });
            t.wait();
            assert_eq!(seen.take().as_ref(), Some(&t.io_loop));
            assert_eq!(IoLoop::current_opt(), None);
        }
    }

    #[test]
    fn the_former_current_loop_is_restored() {
        let (outer, inner) = (IoLoop::new().unwrap(), IoLoop::new().unwrap());
        outer.make_current();
        inner.run_sync(async { assert_eq!(IoLoop::current(), inner) }, None).unwrap();
        assert_eq!(IoLoop::current(), outer);
        outer.close(false);
        assert_eq!(IoLoop::current_opt(), None, "a closed loop is no longer current");
        inner.close(false);
    }

    #[test]
    fn it_is_made_on_first_use_and_stays() {
        IoLoop::clear_current();
        let io_loop = IoLoop::current();
        assert_eq!(io_loop, IoLoop::current());
        assert_eq!(io_loop, IoLoop::instance());
        assert!(IoLoop::initialized());
        let other = std::thread::spawn(|| IoLoop::current_opt().is_none()).join().unwrap();
        assert!(other, "each thread has its own");
    }

    #[test]
    fn clearing_without_a_current_loop_is_harmless() {
        std::thread::spawn(IoLoop::clear_current).join().unwrap();
    }

    #[test]
    fn a_panic_out_of_run_sync_restores_the_former_loop_too() {
        IoLoop::clear_current();
        let t = Fixture::new();
        let run = || t.io_loop.run_sync(async { panic!("out") }, None);
        let result: std::thread::Result<Result<(), RunSyncError>> =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&"out"));
        assert_eq!(IoLoop::current_opt(), None);
        assert_eq!(t.io_loop.run_sync(async { 42 }, None), Ok(42));
    }
}

mod run_sync {
    use super::*;

    #[test]
    fn returns_the_result_of_the_future() {
        let t = Fixture::new();
        let future = async {
            tokio::task::yield_now().await;
            42
        };
        assert_eq!(t.io_loop.run_sync(future, None), Ok(42));
    }

    #[test]
    fn returns_the_error_of_the_future() {
        let t = Fixture::new();
        let future = async {
            tokio::task::yield_now().await;
            "x".parse::<u32>()
        };
        assert!(t.io_loop.run_sync(future, None).unwrap().is_err());
    }

    #[test]
    fn gives_up_after_the_timeout() {
        let t = Fixture::new();
        let after = Duration::from_millis(10);
        let result = t.io_loop.run_sync(std::future::pending::<()>(), Some(after));
        assert_eq!(result, Err(RunSyncError::Timeout(TimeoutError { after })));
        assert_eq!(result.unwrap_err().to_string(), "Operation timed out after 0.01 seconds");
        let whole = TimeoutError { after: Duration::from_secs(5) };
        assert_eq!(whole.to_string(), "Operation timed out after 5 seconds");
    }

    #[test]
    fn a_future_that_is_quick_enough_has_no_timeout() {
        let t = Fixture::new();
        assert_eq!(t.io_loop.run_sync(async { 1 }, Some(Duration::ZERO)), Ok(1));
    }

    #[test]
    fn is_ended_by_a_stop() {
        let t = Fixture::new();
        let future = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            IoLoop::current().stop();
            std::future::pending::<()>().await;
        };
        let error = t.io_loop.run_sync(future, None).unwrap_err();
        assert_eq!(error, RunSyncError::Stopped);
        assert_eq!(error.to_string(), "Event loop stopped before Future completed.");
    }
}

mod callbacks {
    use super::*;

    #[test]
    fn run_in_the_order_of_adding_even_from_different_handles() {
        let t = Fixture::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let handle = t.io_loop.handle();
        for n in 0..6 {
            let seen = seen.clone();
            let callback = move || seen.lock().unwrap().push(n);
            if n % 2 == 0 { t.io_loop.add_callback(callback) } else { handle.add_callback(callback) }
        }
        t.io_loop.add_callback(t.stopper());
        t.wait();
        assert_eq!(*seen.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn added_by_callbacks_run_in_the_next_iteration() {
        let t = Fixture::new();
        let seen = log();
        let (first, io_loop, stop) = (seen.clone(), t.io_loop.clone(), t.stopper());
        t.io_loop.add_callback(move || {
            first.borrow_mut().push("first");
            io_loop.add_callback(move || {
                first.borrow_mut().push("added by first");
                stop();
            });
        });
        let second = seen.clone();
        t.io_loop.add_callback(move || second.borrow_mut().push("second"));
        t.wait();
        assert_eq!(*seen.borrow(), ["first", "second", "added by first"]);
    }

    #[test]
    fn that_add_themselves_forever_do_not_starve_io_and_timeouts() {
        fn again(io_loop: &IoLoop) {
            let next = io_loop.clone();
            io_loop.add_callback(move || again(&next));
        }
        let t = Fixture::new();
        again(&t.io_loop);
        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(b"x").unwrap();
        let seen = log();
        let (io, timeout, stop) = (seen.clone(), seen.clone(), t.stopper());
        t.io_loop.call_later(Duration::from_millis(20), move || {
            timeout.borrow_mut().push("timeout");
            stop();
        });
        let handler = move |far: &UnixStream, _| {
            (&*far).read_exact(&mut [0]).unwrap();
            io.borrow_mut().push("io");
        };
        t.io_loop.add_handler(far, handler, Events::READ).unwrap();
        t.wait();
        assert_eq!(*seen.borrow(), ["io", "timeout"]);
    }

    #[test]
    fn do_not_make_an_idle_loop_spin() {
        let t = Fixture::new();
        let before = cpu_time();
        t.io_loop.add_callback(|| ());
        t.io_loop.call_later(Duration::from_millis(300), t.stopper());
        t.wait();
        assert!(cpu_time() - before < Duration::from_millis(150), "it used {:?}", cpu_time() - before);
    }

    #[test]
    fn of_another_thread_wake_a_sleeping_loop() {
        let t = Fixture::new();
        let handle = t.io_loop.handle();
        let asleep = Arc::new(Barrier::new(2));
        let thread = {
            let asleep = asleep.clone();
            std::thread::spawn(move || {
                asleep.wait();
                // The loop may sleep by now or not; either way this must end it long before the fixture's limit.
                std::thread::sleep(Duration::from_millis(20));
                handle.add_callback(|| IoLoop::current().stop());
            })
        };
        t.io_loop.add_callback(move || {
            asleep.wait();
        });
        t.wait();
        thread.join().unwrap();
    }

    #[test]
    fn added_from_a_timeout_wake_the_loop() {
        let t = Fixture::new();
        let (io_loop, stop) = (t.io_loop.clone(), t.stopper());
        t.io_loop.add_timeout(t.io_loop.time(), move || io_loop.add_callback(stop));
        t.wait();
    }

    #[test]
    fn from_a_signal_run_like_others() {
        let t = Fixture::new();
        t.io_loop.add_callback_from_signal(t.stopper());
        t.wait();
        t.io_loop.handle().add_callback_from_signal(|| IoLoop::current().stop());
        t.wait();
    }

    #[test]
    fn of_another_thread_reach_a_loop_that_is_not_on_the_main_thread() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let io_loop = IoLoop::new().unwrap();
            sender.send(io_loop.handle()).unwrap();
            io_loop.start().unwrap();
            io_loop.close(false);
        });
        receiver.recv().unwrap().add_callback_from_signal(|| IoLoop::current().stop());
        thread.join().unwrap();
    }

    #[test]
    fn are_dropped_silently_while_and_after_the_loop_is_closed() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let io_loop = IoLoop::new().unwrap();
            io_loop.add_callback(|| IoLoop::current().stop());
            io_loop.start().unwrap();
            sender.send(io_loop.handle()).unwrap();
            io_loop.close(true);
            io_loop.add_callback(|| unreachable!());
            let timeout = io_loop.call_later(Duration::ZERO, || unreachable!());
            io_loop.remove_timeout(&timeout);
            io_loop.spawn_callback(async { unreachable!() });
        });
        let handle = receiver.recv().unwrap();
        for _ in 0..1000 {
            handle.add_callback(|| ());
        }
        thread.join().unwrap();
        let captured = Arc::new(());
        let inside = captured.clone();
        handle.add_callback(move || drop(inside));
        assert_eq!(Arc::strong_count(&captured), 1, "what a dropped callback holds is dropped too");
    }

    #[test]
    fn that_wait_are_dropped_when_the_loop_is_closed() {
        let io_loop = IoLoop::new().unwrap();
        let captured = Rc::new(());
        let (a, b, c, d) = (captured.clone(), captured.clone(), captured.clone(), captured.clone());
        io_loop.add_callback(move || drop(a));
        io_loop.call_later(LONG, move || drop(b));
        io_loop.spawn_callback(async move { drop(c) });
        let (one, _other) = UnixStream::pair().unwrap();
        io_loop.add_handler(one, move |_, _| drop(d.clone()), Events::READ).unwrap();
        assert_eq!(Rc::strong_count(&captured), 5);
        io_loop.close(false);
        assert_eq!(Rc::strong_count(&captured), 1);
    }

    #[test]
    fn async_ones_begin_in_their_place() {
        let t = Fixture::new();
        let order: Rc<RefCell<Vec<&str>>> = Rc::default();
        let note = |what: &'static str| {
            let order = order.clone();
            move || order.borrow_mut().push(what)
        };
        t.io_loop.add_callback(note("a"));
        let (begins, goes_on) = (note("b"), note("b goes on"));
        t.io_loop.spawn_callback(async move {
            begins();
            tokio::task::yield_now().await;
            goes_on();
        });
        t.io_loop.add_callback(note("c"));
        t.io_loop.handle().add_callback(|| ());
        let only = note("d");
        t.io_loop.spawn_callback(async move { only() });
        t.io_loop.add_callback(note("e"));
        let stop = t.stopper();
        t.io_loop.call_later(Duration::from_millis(20), stop);
        t.wait();
        assert_eq!(*order.borrow(), ["a", "b", "c", "d", "e", "b goes on"]);
    }

    #[test]
    fn async_ones_run_and_may_wait() {
        let t = Fixture::new();
        let stop = t.stopper();
        t.io_loop.spawn_callback(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            stop();
        });
        t.wait();
    }

    fn cpu_time() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
    }
}

mod exceptions {
    use super::*;

    #[test]
    fn of_every_kind_of_callback_are_reported_and_the_loop_goes_on() {
        let t = Fixture::new();
        let panics = t.panics();
        t.io_loop.add_callback(|| panic!("callback {}", 1));
        t.io_loop.handle().add_callback(|| panic!("remote"));
        t.io_loop.call_later(Duration::ZERO, || panic!("timeout"));
        t.io_loop.spawn_callback(async {
            tokio::task::yield_now().await;
            panic!("async");
        });
        t.io_loop.add_future(async { panic!("future") }, |()| unreachable!());
        t.io_loop.add_future(async {}, |()| std::panic::panic_any(7));
        t.io_loop.call_later(Duration::from_millis(20), t.stopper());
        t.wait();
        let mut panics = panics.take();
        panics.sort();
        let shown: Vec<_> = panics
            .iter()
            .map(|line| (line.split(" added at ").next().unwrap(), line.rsplit(": ").next().unwrap()))
            .collect();
        let expected = [
            ("Exception in callback", "callback 1"),
            ("Exception in callback", "remote"),
            ("Exception in callback", "async"),
            ("Exception in callback", "future"),
            ("Exception in callback", "panic payload is not text"),
            ("Exception in timeout", "timeout"),
        ];
        assert_eq!(shown, expected, "sorted by the line at which they were added");
        assert!(panics[0].contains(file!()), "{panics:?}");
    }

    #[test]
    fn of_a_handler_name_its_descriptor_and_leave_it_registered() {
        let t = Fixture::new();
        let panics = t.panics();
        let (mut near, far) = UnixStream::pair().unwrap();
        let far = Rc::new(far);
        near.write_all(b"ab").unwrap();
        let stop = Cell::new(Some(t.stopper()));
        let handler = move |far: &Rc<UnixStream>, _| {
            let mut byte = [0];
            (&**far).read_exact(&mut byte).unwrap();
            if byte == *b"b"
                && let Some(stop) = stop.take()
            {
                return stop();
            }
            panic!("in handler");
        };
        t.io_loop.add_handler(far.clone(), handler, Events::READ).unwrap();
        t.wait();
        assert_eq!(
            *panics.borrow(),
            [format!("Exception in I/O handler for fd {}: in handler", far.as_raw_fd())]
        );
    }

    #[test]
    fn are_logged_as_errors_of_the_application_by_default() {
        let (lines, guard) = crate::log::Lines::capture();
        let t = Fixture::new();
        t.io_loop.add_callback(|| panic!("boom"));
        t.io_loop.add_callback(t.stopper());
        t.wait();
        drop(guard);
        let text = lines.text();
        assert!(text.contains("ERROR squall::application: Exception in callback added at "), "{text}");
        assert!(text.trim_end().ends_with(": boom"), "{text}");
    }

    #[test]
    fn of_the_exception_handler_itself_do_not_end_the_loop() {
        let t = Fixture::new();
        t.io_loop.set_callback_exception_handler(|_| panic!("handler of panics"));
        t.io_loop.add_callback(|| panic!("first"));
        t.io_loop.add_callback(t.stopper());
        t.wait();
    }
}

mod timeouts {
    use super::*;

    #[test]
    fn run_in_the_order_of_their_deadlines() {
        let t = Fixture::new();
        let seen = log();
        let now = t.io_loop.time();
        for (name, after) in [("c", 30), ("a", 10), ("b", 20), ("a again", 10)] {
            let seen = seen.clone();
            t.io_loop.call_at(now + Duration::from_millis(after), move || seen.borrow_mut().push(name));
        }
        t.io_loop.call_at(now + Duration::from_millis(40), t.stopper());
        t.wait();
        assert_eq!(*seen.borrow(), ["a", "a again", "b", "c"]);
    }

    #[test]
    fn run_not_before_their_deadline() {
        let t = Fixture::new();
        let delay = Duration::from_millis(30);
        let start = t.io_loop.time();
        t.io_loop.call_later(delay, t.stopper());
        t.wait();
        assert!(start.elapsed() >= delay);
    }

    #[test]
    fn take_instants_and_durations() {
        let t = Fixture::new();
        let seen = log();
        let push = |n: i32| {
            let seen = seen.clone();
            move || seen.borrow_mut().push(n)
        };
        t.io_loop.add_timeout(t.io_loop.time(), push(1));
        t.io_loop.add_timeout(Duration::ZERO, push(2));
        t.io_loop.call_at(t.io_loop.time(), push(3));
        t.io_loop.call_later(Duration::ZERO, push(4));
        t.io_loop.call_later(Duration::ZERO, t.stopper());
        t.wait();
        assert_eq!(*seen.borrow(), [1, 2, 3, 4]);
    }

    #[test]
    fn may_be_removed_after_they_ran() {
        let t = Fixture::new();
        let timeout = t.io_loop.add_timeout(t.io_loop.time(), t.stopper());
        t.wait();
        t.io_loop.remove_timeout(&timeout);
        t.io_loop.remove_timeout(&timeout);
    }

    #[test]
    fn may_be_removed_in_great_number() {
        let t = Fixture::new();
        let captured = Rc::new(());
        for _ in 0..2000 {
            let inside = captured.clone();
            let timeout = t.io_loop.call_later(Duration::from_secs(3600), move || drop(inside));
            t.io_loop.remove_timeout(&timeout);
        }
        assert_eq!(Rc::strong_count(&captured), 1);
        t.io_loop.add_callback(t.stopper());
        t.wait();
    }

    #[test]
    fn may_be_removed_by_a_timeout_that_is_due_in_the_same_iteration() {
        let t = Fixture::new();
        let calls = log();
        let now = t.io_loop.time();
        let second = Rc::new(Cell::new(None));
        let (seen, io_loop, handle) = (calls.clone(), t.io_loop.clone(), second.clone());
        t.io_loop.add_timeout(now + Duration::from_millis(1), move || {
            seen.borrow_mut().push(1);
            io_loop.remove_timeout(&handle.get().unwrap());
        });
        let seen = calls.clone();
        second.set(Some(
            t.io_loop.add_timeout(now + Duration::from_millis(2), move || seen.borrow_mut().push(2)),
        ));
        t.io_loop.add_timeout(now + Duration::from_millis(3), t.stopper());
        std::thread::sleep(Duration::from_millis(3));
        t.wait();
        assert_eq!(*calls.borrow(), [1]);
    }

    #[test]
    fn added_by_a_timeout_and_due_at_once_do_not_starve_callbacks() {
        fn again(io_loop: &IoLoop) {
            let next = io_loop.clone();
            io_loop.call_later(Duration::ZERO, move || again(&next));
        }
        let t = Fixture::new();
        again(&t.io_loop);
        let (io_loop, stop) = (t.io_loop.clone(), t.stopper());
        t.io_loop.add_callback(move || io_loop.add_callback(stop));
        t.wait();
    }

    #[test]
    fn a_nearer_one_is_not_held_up_by_a_farther_one() {
        let t = Fixture::new();
        t.io_loop.call_later(Duration::MAX, || unreachable!());
        t.io_loop.run_sync(async { tokio::task::yield_now().await }, None).unwrap();
        t.io_loop.call_later(Duration::from_millis(5), t.stopper());
        t.wait();
    }
}

mod handlers {
    use super::*;

    #[test]
    fn the_values_are_tornados() {
        assert_eq!(
            [Events::NONE, Events::READ, Events::WRITE, Events::ERROR].map(Events::bits),
            [0, 0x001, 0x004, 0x018]
        );
        assert_eq!(format!("{:?} / {:?}", Events::READ | Events::ERROR, Events::NONE), "READ | ERROR / NONE");
        assert!((Events::READ | Events::WRITE).contains(Events::WRITE));
        assert!((Events::READ & Events::WRITE).is_empty());
    }

    #[test]
    fn a_descriptor_can_be_added_once() {
        let t = Fixture::new();
        let listener = Rc::new(listener());
        let fd = listener.as_raw_fd();
        t.io_loop.add_handler(listener.clone(), |_, _| (), Events::READ).unwrap();
        let error = t.io_loop.add_handler(fd, |_: &RawFd, _| (), Events::READ).unwrap_err();
        assert!(matches!(error, HandlerError::AddedTwice(twice) if twice == fd));
        assert_eq!(error.to_string(), format!("fd {fd} added twice"));
        t.io_loop.remove_handler(&fd);
        t.io_loop.add_handler(fd, |_: &RawFd, _| (), Events::READ).unwrap();
        t.io_loop.remove_handler(&*listener);
    }

    #[test]
    fn removing_what_was_never_added_is_harmless() {
        let t = Fixture::new();
        let listener = listener();
        t.io_loop.remove_handler(&listener);
        let error = t.io_loop.update_handler(&listener, Events::READ).unwrap_err();
        assert!(matches!(error, HandlerError::NotAdded(_)), "{error}");
    }

    #[test]
    fn a_regular_file_is_refused() {
        let t = Fixture::new();
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let error = t.io_loop.add_handler(file, |_, _| (), Events::READ).unwrap_err();
        assert!(matches!(error, HandlerError::NotPollable(_)), "{error}");
    }

    #[test]
    fn a_closed_descriptor_and_a_closed_loop_are_refused() {
        let io_loop = IoLoop::new().unwrap();
        let error = io_loop.add_handler(1_000_000, |_: &RawFd, _| (), Events::READ).unwrap_err();
        assert!(matches!(error, HandlerError::Register(1_000_000, _)), "{error}");
        io_loop.close(false);
        let error = io_loop.add_handler(listener(), |_, _| (), Events::READ).unwrap_err();
        assert!(matches!(error, HandlerError::Closed), "{error}");
    }

    #[test]
    fn nothing_but_what_was_asked_for_is_reported() {
        let t = Fixture::new();
        let (client, mut server) = UnixStream::pair().unwrap();
        let seen = log();
        let (events_seen, stop) = (seen.clone(), Cell::new(Some(t.stopper())));
        let handler = move |_: &UnixStream, events| {
            events_seen.borrow_mut().push(events);
            if let Some(stop) = stop.take() {
                stop();
            }
        };
        t.io_loop.add_handler(client, handler, Events::READ).unwrap();
        t.io_loop.call_later(Duration::from_millis(10), move || {
            server.write_all(b"asdf").unwrap();
            std::mem::forget(server);
        });
        t.wait();
        assert_eq!(
            seen.borrow()[0],
            Events::READ,
            "the socket is writable all the time, which nobody asked for"
        );
    }

    #[test]
    fn a_handler_that_does_not_drain_is_called_again() {
        let t = Fixture::new();
        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(b"abc").unwrap();
        let seen = log();
        let (bytes, stop) = (seen.clone(), Cell::new(Some(t.stopper())));
        let handler = move |far: &UnixStream, _| {
            let mut byte = [0];
            (&*far).read_exact(&mut byte).unwrap();
            bytes.borrow_mut().push(byte[0]);
            if byte[0] == b'd'
                && let Some(stop) = stop.take()
            {
                stop();
            }
        };
        t.io_loop.add_handler(far, handler, Events::READ).unwrap();
        let later = Rc::new(near);
        let writer = later.clone();
        t.io_loop.call_later(Duration::from_millis(10), move || (&*writer).write_all(b"d").unwrap());
        t.wait();
        assert_eq!(*seen.borrow(), b"abcd");
    }

    #[test]
    fn an_idle_descriptor_costs_no_calls() {
        let t = Fixture::new();
        let (_near, far) = UnixStream::pair().unwrap();
        t.io_loop.add_handler(far, |_, _| unreachable!(), Events::READ).unwrap();
        let panics = t.panics();
        t.io_loop.call_later(Duration::from_millis(20), t.stopper());
        t.wait();
        assert_eq!(*panics.borrow(), [] as [String; 0]);
    }

    #[test]
    fn the_mask_can_be_changed_from_outside_and_inside() {
        let t = Fixture::new();
        let (_near, far) = UnixStream::pair().unwrap();
        let far = Rc::new(far);
        let seen = log();
        let (events_seen, io_loop, stop) = (seen.clone(), t.io_loop.clone(), Cell::new(Some(t.stopper())));
        let handler = move |far: &Rc<UnixStream>, events| {
            events_seen.borrow_mut().push(events);
            io_loop.update_handler(&**far, Events::READ).unwrap();
            if let Some(stop) = stop.take() {
                io_loop.call_later(Duration::from_millis(20), stop);
            }
        };
        t.io_loop.add_handler(far.clone(), handler, Events::NONE).unwrap();
        let io_loop = t.io_loop.clone();
        t.io_loop.call_later(Duration::from_millis(5), move || {
            io_loop.update_handler(&*far, Events::WRITE).unwrap();
        });
        t.wait();
        assert_eq!(*seen.borrow(), [Events::WRITE], "once, until the handler asked for READ only");
    }

    #[test]
    fn a_hang_up_is_reported_though_nobody_asked() {
        let t = Fixture::new();
        let (near, far) = UnixStream::pair().unwrap();
        let far = Rc::new(far);
        let seen = log();
        let (events_seen, io_loop, stop) = (seen.clone(), t.io_loop.clone(), Cell::new(Some(t.stopper())));
        let handler = move |far: &Rc<UnixStream>, events: Events| {
            events_seen.borrow_mut().push(events);
            io_loop.remove_handler(&**far);
            if let Some(stop) = stop.take() {
                stop();
            }
        };
        t.io_loop.add_handler(far, handler, Events::NONE).unwrap();
        t.io_loop.call_later(Duration::from_millis(5), move || drop(near));
        t.wait();
        assert!(seen.borrow()[0].intersects(Events::ERROR), "{seen:?}");
        assert_eq!(seen.borrow().len(), 1);
    }

    #[test]
    fn a_removed_handler_is_not_called_for_a_pending_event() {
        let t = Fixture::new();
        let (mut client, mut server) = UnixStream::pair().unwrap();
        client.write_all(b"abc").unwrap();
        server.write_all(b"abc").unwrap();
        let (client, server) = (Rc::new(client), Rc::new(server));
        let chunks = log();
        for (stream, other) in [(&client, &server), (&server, &client)] {
            let (chunks, io_loop, other) = (chunks.clone(), t.io_loop.clone(), other.clone());
            let handler = move |stream: &Rc<UnixStream>, _| {
                let mut chunk = [0; 1024];
                let size = (&**stream).read(&mut chunk).unwrap();
                chunks.borrow_mut().push(chunk[..size].to_vec());
                io_loop.remove_handler(&*other);
            };
            t.io_loop.add_handler(stream.clone(), handler, Events::READ).unwrap();
        }
        t.io_loop.call_later(Duration::from_millis(50), t.stopper());
        t.wait();
        assert_eq!(*chunks.borrow(), [b"abc"], "one was read, the other removed");
    }

    #[test]
    fn a_handler_may_remove_itself_and_close_its_descriptor() {
        let t = Fixture::new();
        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(b"x").unwrap();
        let fd = far.into_raw_fd();
        let calls = Rc::new(Cell::new(0));
        let (count, io_loop) = (calls.clone(), t.io_loop.clone());
        let handler = move |fd: &RawFd, _| {
            count.set(count.get() + 1);
            io_loop.remove_handler(fd);
            drop(own(*fd));
        };
        t.io_loop.add_handler(fd, handler, Events::READ).unwrap();
        t.io_loop.call_later(Duration::from_millis(20), t.stopper());
        t.wait();
        assert_eq!(calls.get(), 1);
        assert_eq!(near.read(&mut [0]).unwrap_or(0), 0, "the other end sees it closed");
    }

    #[test]
    fn a_handler_may_replace_itself() {
        let t = Fixture::new();
        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(b"x").unwrap();
        let far = Rc::new(far);
        let seen = log();
        let (outer, io_loop, stop) = (seen.clone(), t.io_loop.clone(), Cell::new(Some(t.stopper())));
        let handler = move |far: &Rc<UnixStream>, _| {
            outer.borrow_mut().push("first");
            io_loop.remove_handler(&**far);
            let (inner, again, stop) = (outer.clone(), io_loop.clone(), Cell::new(stop.take()));
            let second = move |far: &Rc<UnixStream>, _| {
                inner.borrow_mut().push("second");
                again.remove_handler(&**far);
                if let Some(stop) = stop.take() {
                    stop();
                }
            };
            io_loop.add_handler(far.clone(), second, Events::READ).unwrap();
        };
        t.io_loop.add_handler(far, handler, Events::READ).unwrap();
        t.wait();
        assert_eq!(*seen.borrow(), ["first", "second"]);
    }

    #[test]
    fn the_handler_gets_what_was_added() {
        let t = Fixture::new();
        let server = Rc::new(listener());
        let address = server.local_addr().unwrap();
        let same = Rc::new(Cell::new(0));
        for round in 0..2 {
            let (count, expected, stop) = (same.clone(), server.clone(), Cell::new(Some(t.stopper())));
            let accepted = move |same: bool| {
                expected.accept().unwrap();
                count.set(count.get() + i32::from(same));
                stop.take().unwrap()();
            };
            let expected = server.clone();
            if round == 0 {
                let handler = move |got: &Rc<TcpListener>, _| accepted(Rc::ptr_eq(got, &expected));
                t.io_loop.add_handler(server.clone(), handler, Events::READ).unwrap();
            } else {
                let handler = move |got: &RawFd, _| accepted(*got == expected.as_raw_fd());
                t.io_loop.add_handler(server.as_raw_fd(), handler, Events::READ).unwrap();
            }
            let _client = TcpStream::connect(address).unwrap();
            t.wait();
            t.io_loop.remove_handler(&*server);
        }
        assert_eq!(same.get(), 2);
    }

    #[test]
    fn an_object_is_dropped_as_soon_as_its_handler_is_removed() {
        let t = Fixture::new();
        let listener = listener();
        let (address, fd) = (listener.local_addr().unwrap(), listener.as_raw_fd());
        t.io_loop.add_handler(listener, |_, _| (), Events::READ).unwrap();
        t.io_loop.remove_handler(&fd);
        assert!(TcpStream::connect(address).is_err(), "nobody listens");
    }

    #[test]
    fn closing_the_loop_closes_what_it_owns_and_no_number() {
        for all_fds in [true, false] {
            let io_loop = IoLoop::new().unwrap();
            let (near_object, object) = UnixStream::pair().unwrap();
            let (near_owned, owned) = UnixStream::pair().unwrap();
            let (near_raw, raw) = UnixStream::pair().unwrap();
            io_loop.add_handler(object, |_, _| (), Events::READ).unwrap();
            io_loop.add_handler(OwnedFd::from(owned), |_, _| (), Events::READ).unwrap();
            // No unsafe code anywhere: the number is that of a socket which is still somebody's.
            io_loop.add_handler(raw.as_raw_fd(), |_: &RawFd, _| (), Events::READ).unwrap();
            io_loop.close(all_fds);
            assert!(is_closed_by_peer(&near_object));
            assert!(is_closed_by_peer(&near_owned));
            assert!(!is_closed_by_peer(&near_raw), "close({all_fds}) closed what it was never given");
            drop(raw);
            assert!(is_closed_by_peer(&near_raw));
        }
    }

    #[test]
    fn a_descriptor_that_was_closed_behind_the_loops_back_is_given_up() {
        let t = Fixture::new();
        let (near, far) = UnixStream::pair().unwrap();
        let fd = far.into_raw_fd();
        t.io_loop.add_handler(fd, |_: &RawFd, _| unreachable!(), Events::READ).unwrap();
        drop(own(fd));
        drop(near);
        t.io_loop.call_later(Duration::from_millis(20), t.stopper());
        let panics = t.panics();
        t.wait();
        assert_eq!(*panics.borrow(), [] as [String; 0]);
        assert!(matches!(t.io_loop.update_handler(&fd, Events::READ), Err(HandlerError::NotAdded(_))));
    }

    fn listener() -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
    }

    #[allow(unsafe_code, reason = "the test gave the descriptor away itself, by into_raw_fd")]
    fn own(fd: RawFd) -> OwnedFd {
        use std::os::fd::FromRawFd;
        // SAFETY: every caller passes what `into_raw_fd` returned to it, once.
        unsafe { OwnedFd::from_raw_fd(fd) }
    }

    fn is_closed_by_peer(mut near: &UnixStream) -> bool {
        near.set_nonblocking(true).unwrap();
        matches!(near.read(&mut [0]), Ok(0))
    }
}

mod futures {
    use super::*;

    #[test]
    fn a_callback_gets_the_result_of_a_future() {
        let t = Fixture::new();
        let got = Rc::new(Cell::new(0));
        let (slot, stop) = (got.clone(), t.stopper());
        let future = async {
            tokio::task::yield_now().await;
            42
        };
        t.io_loop.add_future(future, move |n| {
            slot.set(n);
            stop();
        });
        t.wait();
        assert_eq!(got.get(), 42);
    }

    #[test]
    fn a_callback_gets_the_result_of_another_thread() {
        let t = Fixture::new();
        let stop = t.stopper();
        let future = t.io_loop.run_in_executor(None, || std::thread::current().id());
        let here = std::thread::current().id();
        t.io_loop.add_future(future, move |thread| {
            assert_ne!(thread.unwrap(), here);
            stop();
        });
        t.wait();
    }

    #[test]
    fn functions_in_the_executor_run_in_parallel() {
        let t = Fixture::new();
        let barrier = Arc::new(Barrier::new(2));
        // Each would block the other forever, were they not run at the same time.
        let meet = |n: u32| {
            let barrier = barrier.clone();
            move || {
                barrier.wait();
                n
            }
        };
        let both = async {
            let io_loop = IoLoop::current();
            let first = io_loop.run_in_executor(None, meet(1));
            let second = io_loop.run_in_executor(None, meet(2));
            (first.await.unwrap(), second.await.unwrap())
        };
        assert_eq!(t.io_loop.run_sync(both, Some(LONG)), Ok((1, 2)));
    }

    #[test]
    fn the_default_executor_can_be_replaced_and_one_can_be_given() {
        #[derive(Clone, Default)]
        struct Counting(Arc<AtomicUsize>);
        impl Executor for Counting {
            fn submit(&self, job: Job) {
                self.0.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(job);
            }
        }
        let (default, given) = (Counting::default(), Counting::default());
        let t = Fixture::new();
        t.io_loop.set_default_executor(default.clone());
        let first = t.io_loop.run_in_executor(None, || 1);
        let second = t.io_loop.run_in_executor(Some(&given), || 2);
        let sum = t.io_loop.run_sync(async { first.await.unwrap() + second.await.unwrap() }, Some(LONG));
        assert_eq!(sum, Ok(3));
        assert_eq!((default.0.load(Ordering::SeqCst), given.0.load(Ordering::SeqCst)), (1, 1));
    }

    #[test]
    fn a_pool_runs_no_more_than_its_limit_at_once_and_everything_in_the_end() {
        let t = Fixture::new();
        let pool = ThreadPool::new(2);
        let (busy, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs: Vec<_> = (0..20)
            .map(|n| {
                let (busy, most) = (busy.clone(), most.clone());
                t.io_loop.run_in_executor(Some(&pool), move || {
                    most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(2));
                    busy.fetch_sub(1, Ordering::SeqCst);
                    n
                })
            })
            .collect();
        let all = async {
            let mut sum = 0;
            for job in jobs {
                sum += job.await.unwrap();
            }
            sum
        };
        assert_eq!(t.io_loop.run_sync(all, Some(LONG)), Ok(190));
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_panic_in_the_executor_is_an_error_of_the_future() {
        let t = Fixture::new();
        let future = t.io_loop.run_in_executor(None, || panic!("on a thread"));
        let result: Result<(), _> = t.io_loop.run_sync(future, Some(LONG)).unwrap();
        assert!(matches!(&result, Err(ExecutorError::Panicked(text)) if text == "on a thread"), "{result:?}");
    }

    #[test]
    fn a_function_that_the_executor_drops_is_an_error_of_the_future() {
        struct Dropping;
        impl Executor for Dropping {
            fn submit(&self, _: Job) {}
        }
        let t = Fixture::new();
        let result =
            t.io_loop.run_sync(t.io_loop.run_in_executor(Some(&Dropping), || ()), Some(LONG)).unwrap();
        assert!(matches!(result, Err(ExecutorError::Dropped)), "{result:?}");
    }

    #[test]
    fn the_result_of_a_spawned_future_can_be_awaited_and_the_future_aborted() {
        let t = Fixture::new();
        let sum = t.io_loop.spawn(async { 40 + 2 });
        let never = t.io_loop.spawn(std::future::pending::<()>());
        never.abort();
        let results =
            t.io_loop.run_sync(async { (sum.await.unwrap(), never.await.unwrap_err()) }, Some(LONG)).unwrap();
        assert_eq!(results.0, 42);
        assert!(results.1.is_cancelled());
    }
}

mod periodic {
    use super::*;

    #[test]
    fn a_plain_callback_runs_again_and_again() {
        let t = Fixture::new();
        let count = Rc::new(Cell::new(0));
        let (counter, io_loop) = (count.clone(), t.io_loop.clone());
        let periodic = PeriodicCallback::new(Duration::from_millis(5), move || {
            counter.set(counter.get() + 1);
            if counter.get() == 3 {
                io_loop.stop();
            }
        });
        assert!(!periodic.is_running());
        t.io_loop.make_current();
        periodic.start();
        assert!(periodic.is_running());
        t.wait();
        periodic.stop();
        assert!(!periodic.is_running());
        assert_eq!(count.get(), 3);
        t.io_loop.call_later(Duration::from_millis(20), t.stopper());
        t.wait();
        assert_eq!(count.get(), 3, "it was stopped");
    }

    #[test]
    fn an_async_callback_never_overlaps_and_may_stop_itself() {
        let t = Fixture::new();
        let counts = Rc::new(Cell::new((0, 0)));
        let own: Rc<RefCell<Option<PeriodicCallback>>> = Rc::default();
        let (counter, me, io_loop) = (counts.clone(), own.clone(), t.io_loop.clone());
        let periodic = PeriodicCallback::new_async(Duration::from_millis(5), async move || {
            let (begun, done) = counter.get();
            assert_eq!(begun, done, "the one before is over");
            counter.set((begun + 1, done));
            tokio::time::sleep(Duration::from_millis(12)).await;
            counter.set((begun + 1, done + 1));
            if done + 1 == 3 {
                me.borrow().as_ref().unwrap().stop();
                io_loop.call_later(Duration::from_millis(30), || IoLoop::current().stop());
            }
        });
        own.replace(Some(periodic.clone()));
        let panics = t.panics();
        t.io_loop.make_current();
        periodic.start();
        t.wait();
        assert_eq!(counts.get(), (3, 3));
        assert_eq!(*panics.borrow(), [] as [String; 0]);
    }

    #[test]
    fn a_restart_does_not_overlap_with_a_call_under_way() {
        let t = Fixture::new();
        let busy = Rc::new(Cell::new(false));
        let calls = Rc::new(Cell::new(0));
        let (flag, count) = (busy.clone(), calls.clone());
        let periodic = PeriodicCallback::new_async(Duration::from_millis(2), async move || {
            assert!(!flag.replace(true));
            tokio::time::sleep(Duration::from_millis(20)).await;
            flag.set(false);
            count.set(count.get() + 1);
            if count.get() == 2 {
                IoLoop::current().stop();
            }
        });
        let panics = t.panics();
        t.io_loop.make_current();
        periodic.start();
        let again = periodic.clone();
        t.io_loop.call_later(Duration::from_millis(10), move || {
            again.stop();
            again.start();
        });
        t.wait();
        periodic.stop();
        assert_eq!(*panics.borrow(), [] as [String; 0]);
    }

    #[test]
    fn a_panic_is_reported_and_the_next_call_still_comes() {
        let t = Fixture::new();
        let panics = t.panics();
        let count = Cell::new(0);
        let periodic = PeriodicCallback::new(Duration::from_millis(2), move || {
            count.set(count.get() + 1);
            if count.get() == 3 {
                return IoLoop::current().stop();
            }
            panic!("call {}", count.get());
        });
        t.io_loop.make_current();
        periodic.start();
        t.wait();
        periodic.stop();
        let panics = panics.borrow();
        assert_eq!(panics.len(), 2);
        assert!(panics[0].starts_with("Exception in periodic callback added at "), "{panics:?}");
        assert!(panics[1].ends_with(": call 2"), "{panics:?}");
    }

    /// The one that waits and the one that is under way; both can be started on another loop.
    #[test]
    fn it_ends_with_its_loop() {
        let first = IoLoop::new().unwrap();
        first.make_current();
        let calls = Rc::new(Cell::new(0));
        let count = calls.clone();
        let under_way = PeriodicCallback::new_async(Duration::from_millis(2), async move || {
            count.set(count.get() + 1);
            IoLoop::current().stop();
            std::future::pending::<()>().await;
        });
        let waiting = PeriodicCallback::new(Duration::MAX, || unreachable!());
        let jittered = PeriodicCallback::new(Duration::MAX, || unreachable!()).jitter(2.0);
        let all = [&under_way, &waiting, &jittered];
        all.iter().for_each(|periodic| periodic.start());
        first.start().unwrap();
        assert!(all.iter().all(|periodic| periodic.is_running()));
        first.close(true);
        assert!(all.iter().all(|periodic| !periodic.is_running()));
        assert_eq!(calls.get(), 1);

        let t = Fixture::new();
        t.io_loop.make_current();
        under_way.start();
        t.wait();
        assert_eq!(calls.get(), 2);
        under_way.stop();
        t.io_loop.close(true);
        // On a loop that is closed already nothing runs.
        t.io_loop.make_current();
        waiting.start();
        assert!(!waiting.is_running());
        IoLoop::clear_current();
    }

    #[test]
    fn the_period_can_be_asked() {
        let periodic = PeriodicCallback::new(Duration::from_secs(83), || ()).jitter(0.1);
        assert_eq!(periodic.period(), Duration::from_secs(83));
    }
}

mod tokio_inside {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn timers_local_tasks_and_sockets_work() {
        let t = Fixture::new();
        let talk = async {
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let not_send = Rc::new(Cell::new(0));
            let count = not_send.clone();
            let server = tokio::task::spawn_local(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).await.unwrap();
                count.set(text.len());
            });
            let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
            client.write_all(b"hello").await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(client);
            tokio::time::timeout(LONG, server).await.unwrap().unwrap();
            not_send.get()
        };
        assert_eq!(t.io_loop.run_sync(talk, Some(LONG)), Ok(5));
    }

    #[test]
    fn sockets_can_be_registered_before_the_loop_runs() {
        let t = Fixture::new();
        let (near, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        let mut far = {
            let _context = t.io_loop.enter();
            tokio::net::UnixStream::from_std(far).unwrap()
        };
        (&near).write_all(b"x").unwrap();
        assert_eq!(t.io_loop.run_sync(far.read_u8(), Some(LONG)).unwrap().unwrap(), b'x');
    }

    #[test]
    fn a_signal_ends_the_wait_for_shutdown() {
        let t = Fixture::new();
        let wait = async {
            let mut shutdown = std::pin::pin!(squall::ioloop::shutdown_signal());
            std::future::poll_fn(|cx| {
                assert!(shutdown.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            let me = rustix::process::getpid();
            rustix::process::kill_process(me, rustix::process::Signal::TERM).unwrap();
            shutdown.await;
        };
        t.io_loop.run_sync(wait, Some(LONG)).unwrap();
    }
}
