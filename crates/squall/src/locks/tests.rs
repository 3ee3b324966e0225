//! Tornado's `locks_test.py`, with futures that are polled by hand where it looks at `done()`.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::*;
use crate::ioloop::IoLoop;

const SOON: Duration = Duration::from_millis(10);
const LATE: Duration = Duration::from_secs(10);

fn run(test: impl AsyncFnOnce()) {
    IoLoop::current().run_sync(test(), Some(LATE)).unwrap();
}

/// Polls once; whether it is ready.
fn done<F: Future>(future: &mut Pin<&mut F>) -> bool {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn done_now(future: impl Future) -> bool {
    done(&mut pin!(future))
}

/// Tasks that note when they were woken.
fn waiters(condition: &Rc<Condition>, count: usize) -> Rc<RefCell<Vec<usize>>> {
    let history = Rc::new(RefCell::new(Vec::new()));
    for n in 0..count {
        let (condition, history) = (Rc::clone(condition), Rc::clone(&history));
        tokio::task::spawn_local(async move {
            condition.wait().await;
            history.borrow_mut().push(n);
        });
    }
    history
}

async fn loop_briefly() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_condition_wakes_as_many_as_it_is_told_in_order() {
    run(async || {
        let condition = Rc::new(Condition::new());
        let history = waiters(&condition, 6);
        loop_briefly().await;
        for (n, expected) in [(3, 3), (0, 3), (1, 4), (9, 6), (1, 6)] {
            condition.notify(n);
            loop_briefly().await;
            assert_eq!(*history.borrow(), (0..expected).collect::<Vec<_>>());
        }
        let history = waiters(&condition, 4);
        loop_briefly().await;
        condition.notify_all();
        // Nothing is left for one that comes now.
        let mut late = pin!(condition.wait());
        assert!(!done(&mut late));
        loop_briefly().await;
        assert_eq!(*history.borrow(), [0, 1, 2, 3]);
        assert!(!done(&mut late));
    });
}

#[test]
fn a_condition_with_timeouts() {
    run(async || {
        let condition = Condition::new();
        assert!(!condition.wait_timeout(SOON).await);
        assert!(!condition.wait_timeout(Duration::ZERO).await);
        let (mut first, mut third) = (pin!(condition.wait()), pin!(condition.wait()));
        assert!(!done(&mut first));
        // Times out between the two, and does not count.
        let second = condition.wait_timeout(SOON);
        assert!(!second.await);
        assert!(!done(&mut third));
        condition.notify(2);
        assert!(done(&mut first) && done(&mut third));
        assert_eq!(format!("{condition:?}"), "Condition { waiters: 0 }");
        let woken = async {
            tokio::task::yield_now().await;
            condition.notify(1);
        };
        let (notified, ()) = tokio::join!(condition.wait_timeout(LATE), woken);
        assert!(notified);
    });
}

#[test]
fn a_notification_in_vain_goes_to_the_next() {
    let condition = Condition::new();
    let mut second = pin!(condition.wait());
    {
        let mut first = pin!(condition.wait());
        assert!(!done(&mut first) && !done(&mut second));
        condition.notify(1);
    }
    assert!(done(&mut second));
}

#[test]
fn those_who_give_up_leave_the_line() {
    run(async || {
        let condition = Condition::new();
        let mut patient = pin!(condition.wait());
        for _ in 0..101 {
            condition.wait_timeout(Duration::ZERO).await;
        }
        assert!(!done(&mut patient));
        assert_eq!(condition.waiters.len(), 1);
        condition.notify(1);
        assert!(done(&mut patient));
    });
}

#[test]
fn an_event() {
    run(async || {
        let event = Event::new();
        let (mut first, mut third) = (pin!(event.wait()), pin!(event.wait()));
        assert!(!done(&mut first) && !event.is_set());
        event.set();
        event.set();
        assert!(event.is_set() && done_now(event.wait()));
        event.clear();
        // It was set while this one waited.
        assert!(done(&mut first));
        assert!(!done(&mut third));
        assert_eq!(event.wait_timeout(SOON).await, Err(TimeoutError { after: SOON }));
        event.set();
        assert!(done(&mut third));
        assert_eq!(event.wait_timeout(Duration::ZERO).await, Ok(()));
        assert_eq!(format!("{event:?}"), "Event { is_set: Cell { value: true }, waiters: 0 }");
    });
}

#[test]
fn a_semaphore() {
    let semaphore = Semaphore::default();
    {
        let mut first = pin!(semaphore.acquire());
        let Poll::Ready(permit) = first.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("the first need not wait");
        };
        let (mut second, mut third) = (pin!(semaphore.acquire()), pin!(semaphore.acquire()));
        assert!(!done(&mut second) && !done(&mut third));
        drop(permit);
        // The second has it, and gives it back unused: the permit is dropped with the output.
        assert!(done(&mut second));
        assert!(done(&mut third));
    }
    assert_eq!(semaphore.free(), 1);
    // Unbounded releases are allowed.
    semaphore.release();
    semaphore.release();
    for free in [2, 1, 0] {
        let mut acquire = pin!(semaphore.acquire());
        let Poll::Ready(permit) = acquire.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("{free} are left");
        };
        permit.forget();
        assert_eq!(semaphore.free(), free);
    }
    assert!(!done_now(semaphore.acquire()));
}

#[test]
fn a_semaphore_with_timeouts() {
    run(async || {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.acquire().await;
        semaphore.acquire_timeout(SOON).await.unwrap_err();
        semaphore.acquire_timeout(Duration::ZERO).await.unwrap_err();
        let release = async {
            tokio::task::yield_now().await;
            drop(permit);
        };
        let (acquired, ()) = tokio::join!(semaphore.acquire_timeout(LATE), release);
        assert_eq!(semaphore.free(), 0);
        drop(acquired);
        assert_eq!(semaphore.free(), 1);
        drop(semaphore.acquire_timeout(Duration::ZERO).await.unwrap());
        assert_eq!(format!("{semaphore:?}"), "Semaphore { free: Cell { value: 1 }, waiters: 0 }");
    });
}

#[test]
fn a_permit_for_one_who_is_gone_is_not_lost() {
    run(async || {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.acquire().await;
        {
            let mut gone = pin!(semaphore.acquire());
            assert!(!done(&mut gone));
            drop(permit);
            assert_eq!(semaphore.free(), 0);
        }
        assert_eq!(semaphore.free(), 1);
    });
}

#[test]
fn a_bounded_semaphore() {
    run(async || {
        let semaphore = BoundedSemaphore::default();
        let release = || catch_unwind(AssertUnwindSafe(|| semaphore.release()));
        assert!(release().is_err());
        semaphore.acquire().await.forget();
        let mut waiting = pin!(semaphore.acquire());
        assert!(!done(&mut waiting));
        release().unwrap();
        let permit = waiting.await;
        // By hand although there is a permit: it is not given back twice.
        release().unwrap();
        drop(permit);
        assert_eq!(semaphore.free(), 1);
        assert!(release().is_err());
        drop(semaphore.acquire_timeout(SOON).await.unwrap());
        assert_eq!(semaphore.free(), 1);
    });
}

#[test]
fn a_lock_lets_in_one_at_a_time_in_order() {
    run(async || {
        let lock = Rc::new(Lock::new());
        let history = Rc::new(RefCell::new(Vec::new()));
        let held = lock.acquire().await;
        let tasks: Vec<_> = (0..5)
            .map(|n| {
                let (lock, history) = (Rc::clone(&lock), Rc::clone(&history));
                tokio::task::spawn_local(async move {
                    let _held = lock.acquire().await;
                    history.borrow_mut().push(n);
                    tokio::task::yield_now().await;
                    history.borrow_mut().push(n);
                })
            })
            .collect();
        loop_briefly().await;
        assert!(history.borrow().is_empty() && lock.is_locked());
        lock.acquire_timeout(SOON).await.unwrap_err();
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*history.borrow(), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
        assert!(!lock.is_locked());
        let release = || catch_unwind(AssertUnwindSafe(|| lock.release()));
        assert!(release().is_err());
        lock.acquire().await.forget();
        release().unwrap();
        assert!(release().is_err());
    });
}
