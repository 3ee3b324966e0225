//! `squall::concurrent`, after Tornado's `gen_test.py` and `concurrent_test.py`; the table is in `README.md`.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use squall::concurrent::{
    DummyExecutor, Future, InvalidStateError, WaitIterator, chain_future, moment, multi, multi_map,
    run_on_executor, sleep, with_timeout,
};
use squall::ioloop::IoLoop;
use squall::log;
use squall::stack_context::ContextVar;
use squall::testing::ExpectLog;

const LONG: Option<Duration> = Some(Duration::from_secs(10));

/// Runs on a loop of its own.
fn run<T>(test: impl AsyncFnOnce() -> T) -> T {
    let io_loop = IoLoop::new().unwrap();
    let result = io_loop.run_sync(test(), LONG).unwrap();
    io_loop.close(false);
    result
}

fn error(text: &str) -> io::Error {
    io::Error::other(text)
}

mod future {
    use super::*;

    #[test]
    fn a_result_is_there_for_everyone() {
        run(async || {
            let future = Future::new();
            let tasks: Vec<_> = (0..3).map(|_| IoLoop::current().spawn(future.clone())).collect();
            moment().await;
            assert!(!future.done() && future.result().is_none());
            future.set_result(7).unwrap();
            for task in tasks {
                assert_eq!(task.await.unwrap().unwrap(), 7);
            }
            assert_eq!(future.set_result(8), Err(InvalidStateError));
            assert_eq!(future.set_exception(error("late")), Err(InvalidStateError));
            assert_eq!(future.await.unwrap(), 7, "the first result stays");
        });
    }

    #[test]
    fn callbacks_are_run_by_the_loop() {
        run(async || {
            let (future, log) = (Future::new(), Rc::new(RefCell::new(Vec::new())));
            let add = |name: &'static str| {
                let log = log.clone();
                future.add_done_callback(move |future| log.borrow_mut().push((name, future.result())));
            };
            add("before");
            future.set_result("x").unwrap();
            add("after");
            assert!(log.borrow().is_empty(), "never inline");
            sleep(Duration::from_millis(1)).await;
            let names: Vec<_> = log.borrow().iter().map(|(name, _)| *name).collect();
            assert_eq!(names, ["before", "after"]);
            assert!(log.borrow().iter().all(|(_, result)| matches!(result, Some(Ok("x")))));
        });
    }

    #[test]
    fn a_failing_callback_is_logged() {
        run(async || {
            let future = Future::new();
            future.add_done_callback(|_| panic!("in the callback"));
            let _expected = ExpectLog::new(log::APPLICATION, "Exception in callback .*in the callback");
            future.set_result(()).unwrap();
            sleep(Duration::from_millis(1)).await;
        });
    }

    #[test]
    fn set_result_unless_cancelled() {
        let future = Future::new();
        assert!(future.cancel() && future.cancelled());
        assert_eq!(future.set_result(1), Err(InvalidStateError));
        assert_eq!(future.set_result_unless_cancelled(1), Ok(()));
        assert!(future.result().unwrap().unwrap_err().is_cancelled());
        {
            let _expected = ExpectLog::new(log::APPLICATION, "after Future was cancelled: nobody wants it");
            future.set_exception_unless_cancelled(error("nobody wants it")).unwrap();
        }
        let done = Future::new();
        done.set_result_unless_cancelled(1).unwrap();
        assert_eq!(done.set_result_unless_cancelled(2), Err(InvalidStateError));
        assert!(!done.cancel() && !done.cancelled());
    }

    #[test]
    fn an_exception_that_nobody_asks_for_is_logged() {
        for seen in [false, true] {
            let expected = ExpectLog::new(log::APPLICATION, "never retrieved: lost").optional();
            let future = Future::<()>::new();
            future.set_exception(error("lost")).unwrap();
            if seen {
                let error = future.exception().unwrap();
                assert_eq!(error.downcast_ref::<io::Error>().unwrap().to_string(), "lost");
            }
            drop(future.clone());
            assert_eq!(expected.count(), 0, "one is left");
            drop(future);
            assert_eq!(expected.count(), usize::from(!seen));
        }
    }

    #[test]
    fn futures_are_chained() {
        run(async || {
            let (a, b) = (Future::new(), Future::new());
            chain_future(&a, &b);
            a.set_result(1).unwrap();
            assert_eq!(b.await.unwrap(), 1);
            let copied = Future::new();
            chain_future(&a, &copied);
            assert_eq!(copied.result().unwrap().unwrap(), 1, "at once, of one that is done");
            let (failed, b) = (Future::<()>::new(), Future::new());
            chain_future(&failed, &b);
            failed.set_exception(error("no")).unwrap();
            assert_eq!(b.await.unwrap_err().to_string(), "no");
            let (a, b) = (Future::new(), Future::new());
            chain_future(&a, &b);
            b.cancel();
            a.set_result(()).unwrap();
            sleep(Duration::from_millis(1)).await;
            assert!(b.cancelled() && !a.cancelled());
        });
    }

    #[test]
    fn run_on_executors() {
        run(async || {
            let here = std::thread::current().id();
            let there = run_on_executor(None, || Ok::<_, io::Error>(std::thread::current().id())).await;
            assert_ne!(there.unwrap(), here);
            let inline =
                run_on_executor(Some(&DummyExecutor), || Ok::<_, io::Error>(std::thread::current().id()));
            assert_eq!(inline.await.unwrap(), here);
            let failed = run_on_executor(None, || Err::<(), _>(error("in the thread"))).await;
            assert_eq!(failed.unwrap_err().downcast_ref::<io::Error>().unwrap().to_string(), "in the thread");
            let panicked = run_on_executor::<(), io::Error>(None, || panic!("ouch")).await;
            assert!(panicked.unwrap_err().to_string().contains("ouch"));
        });
    }
}

mod many {
    use super::*;

    async fn after(ms: u64, result: Result<u64, &'static str>) -> Result<u64, String> {
        sleep(Duration::from_millis(ms)).await;
        result.map_err(str::to_owned)
    }

    #[test]
    fn results_are_in_order() {
        run(async || {
            let results = multi([after(5, Ok(1)), after(0, Ok(2)), after(2, Ok(3))]).await;
            assert_eq!(results.unwrap(), [1, 2, 3]);
            let none: [std::future::Ready<Result<(), String>>; 0] = [];
            assert!(multi(none).await.unwrap().is_empty());
            let map = multi_map([("a", after(2, Ok(1))), ("b", after(0, Ok(2)))]).await.unwrap();
            assert_eq!((map["a"], map["b"], map.len()), (1, 2, 2));
            let none: [((), std::future::Ready<Result<(), String>>); 0] = [];
            assert!(multi_map(none).await.unwrap().is_empty());
        });
    }

    #[test]
    fn one_future_twice() {
        run(async || {
            let future = Future::new();
            let both = multi([future.clone(), future.clone()]);
            future.set_result(3).unwrap();
            assert_eq!(both.await.unwrap(), [3, 3]);
        });
    }

    #[test]
    fn two_thousand() {
        run(async || {
            let children = (0..2000).map(async |n: usize| {
                moment().await;
                Ok::<_, String>(n)
            });
            assert_eq!(multi(children).await.unwrap().len(), 2000);
        });
    }

    #[test]
    fn the_first_error_in_order_is_it_and_others_are_logged() {
        run(async || {
            let children = || [after(1, Ok(1)), after(4, Err("error 1")), after(0, Err("error 2"))];
            {
                let expected = ExpectLog::new(log::APPLICATION, "^Multiple exceptions in multi: error 2$");
                assert_eq!(multi(children()).await.unwrap_err(), "error 1");
                assert_eq!(expected.count(), 1);
            }
            let expected = ExpectLog::new(log::APPLICATION, "Multiple exceptions").optional();
            let quiet = multi(children()).quiet_exceptions(|error| error == "error 2").await;
            assert_eq!(quiet.unwrap_err(), "error 1");
            let keyed = || [("a", after(0, Err("error 2"))), ("b", after(0, Err("error 2")))];
            assert_eq!(multi_map(keyed()).quiet_exceptions(|_| true).await.unwrap_err(), "error 2");
            assert_eq!(multi([after(0, Err("error 1"))]).await.unwrap_err(), "error 1");
            assert_eq!(expected.count(), 0);
            assert_eq!(multi_map(keyed()).await.unwrap_err(), "error 2");
            assert_eq!(expected.count(), 1);
        });
    }

    #[test]
    fn a_child_that_fails_ends_no_other() {
        run(async || {
            let ended = Rc::new(Cell::new(false));
            let flag = ended.clone();
            let slow = async move {
                sleep(Duration::from_millis(5)).await;
                flag.set(true);
                Ok(0)
            };
            let children: [std::pin::Pin<Box<dyn std::future::Future<Output = _>>>; 2] =
                [Box::pin(after(0, Err("at once"))), Box::pin(slow)];
            assert_eq!(multi(children).await.unwrap_err(), "at once");
            assert!(ended.get());
        });
    }

    #[test]
    fn a_wait_iterator_gives_what_comes_first() {
        run(async || {
            let futures: Vec<Future<u32>> = (0..3).map(|_| Future::new()).collect();
            let mut results = WaitIterator::new(futures.clone());
            assert!(!results.done() && results.current_index().is_none());
            for (turn, index) in [2, 0, 1].into_iter().enumerate() {
                futures[index].set_result(index as u32 * 10).unwrap();
                assert_eq!(results.next().await.unwrap().unwrap(), index as u32 * 10);
                assert_eq!(results.current_index(), Some(&index));
                assert_eq!(results.done(), turn == 2);
            }
            assert!(results.next().await.is_none());
            let mut empty = WaitIterator::new(Vec::<Future<()>>::new());
            assert!(empty.done() && empty.next().await.is_none());
        });
    }

    #[test]
    fn a_wait_iterator_has_names_and_errors() {
        run(async || {
            let (a, b) = (Future::new(), Future::new());
            let mut results = WaitIterator::keyed([("a", a.clone()), ("b", b.clone())]);
            b.set_exception(error("of b")).unwrap();
            assert_eq!(results.next().await.unwrap().unwrap_err().to_string(), "of b");
            assert_eq!(results.current_index(), Some(&"b"));
            a.set_result(1).unwrap();
            assert_eq!(results.next().await.unwrap().unwrap(), 1);
            assert_eq!(results.current_index(), Some(&"a"));
            let done = [1, 2, 3].map(async |n| n);
            let mut results = WaitIterator::new(done);
            for n in 1..=3 {
                assert_eq!(results.next().await, Some(n), "those that are done come in their order");
            }
        });
    }
}

mod time {
    use super::*;

    #[test]
    fn in_time() {
        run(async || {
            let ok = with_timeout(Duration::from_secs(3600), async { Ok::<_, String>(1) }).await;
            assert_eq!(ok.unwrap().unwrap(), 1);
            let failed = with_timeout(Duration::from_secs(3600), async { Err::<(), _>("no") }).await;
            assert_eq!(failed.unwrap(), Err("no"));
            // What is ready counts even if the time is over.
            let past = IoLoop::current().time();
            assert_eq!(with_timeout(past, async { Ok::<_, String>(2) }).await.unwrap().unwrap(), 2);
        });
    }

    #[test]
    fn what_is_late_goes_on() {
        run(async || {
            let (inner, seen) = (Future::new(), Rc::new(Cell::new(0)));
            let (waits, flag) = (inner.clone(), seen.clone());
            let late = with_timeout(Duration::from_millis(1), async move {
                flag.set(waits.await?);
                Ok::<_, squall::concurrent::FutureError>(())
            });
            let error = late.await.unwrap_err();
            assert!(error.after <= Duration::from_millis(1));
            inner.set_result(5).unwrap();
            sleep(Duration::from_millis(1)).await;
            assert_eq!(seen.get(), 5, "it was not cancelled");
        });
    }

    #[test]
    fn late_errors_are_logged_unless_quiet() {
        run(async || {
            for quiet in [false, true] {
                let expected =
                    ExpectLog::new(log::APPLICATION, "in Future after timeout: too late").optional();
                let inner = Future::<()>::new();
                let late = with_timeout(Duration::from_millis(1), inner.clone());
                let late = if quiet { late.quiet_exceptions(|_| true) } else { late };
                late.await.unwrap_err();
                inner.set_exception(error("too late")).unwrap();
                sleep(Duration::from_millis(1)).await;
                assert_eq!(expected.count(), usize::from(!quiet));
            }
        });
    }

    #[test]
    fn a_moment_lets_others_run() {
        run(async || {
            let log = Rc::new(RefCell::new(Vec::new()));
            let turn = |name: char| {
                let log = log.clone();
                IoLoop::current().spawn(async move {
                    for round in 0..3 {
                        moment().await;
                        log.borrow_mut().push((round, name));
                    }
                })
            };
            let (a, b) = (turn('a'), turn('b'));
            a.await.unwrap();
            b.await.unwrap();
            let rounds: Vec<i32> = log.borrow().iter().map(|(round, _)| *round).collect();
            assert_eq!(rounds, [0, 0, 1, 1, 2, 2]);
            for names in log.borrow().chunks(2) {
                assert_ne!(names[0].1, names[1].1, "each once a round");
            }
        });
    }
}

#[test]
fn context_variables_of_tasks_that_run_at_the_same_time() {
    async fn inner(var: ContextVar<i32>) -> Option<i32> {
        moment().await;
        var.get()
    }
    let var = ContextVar::new();
    run(async || {
        let tasks = [1, 2, 3].map(|x| {
            let (now, outer) = (var.clone(), var.clone());
            outer.scope(x, async move {
                assert_eq!(now.get(), Some(x));
                moment().await;
                let within = now.scope(x + 10, inner(now.clone())).await;
                assert_eq!(now.get(), Some(x), "as before");
                let spawned = IoLoop::current().spawn(inner(now.clone())).await.unwrap();
                Ok::<_, String>((within, spawned))
            })
        });
        let seen = multi(tasks).await.unwrap();
        assert_eq!(seen, [1, 2, 3].map(|x| (Some(x + 10), Some(x))));
        assert_eq!(var.get(), None);
    });
    assert_eq!(ContextVar::with_default(4).get(), Some(4));
}
