//! Queues between tasks of one loop (Tornado's `tornado.queues`), for producers and consumers.
//!
//! ```
//! use std::rc::Rc;
//! use squall::queues::Queue;
//!
//! # squall::IoLoop::current().run_sync(async {
//! let queue = Rc::new(Queue::new(2)); // put() waits while there are two items
//! let consumer = Rc::clone(&queue);
//! tokio::task::spawn_local(async move {
//!     loop {
//!         let item: u32 = consumer.get().await;
//!         println!("working on {item}");
//!         consumer.task_done();
//!     }
//! });
//! for item in 0..5 {
//!     queue.put(item).await;
//! }
//! queue.join().await; // until task_done() was called for each
//! # }, None).unwrap();
//! ```

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::time::Duration;

use crate::ioloop::TimeoutError;
use crate::locks::{Event, Waiters, within};

/// First in, first out.
pub type Queue<T> = BaseQueue<T, VecDeque<T>>;

/// The smallest item first, as with `(priority, item)`. Comparing items must not use the queue.
pub type PriorityQueue<T> = BaseQueue<T, BinaryHeap<Reverse<T>>>;

/// Last in, first out.
pub type LifoQueue<T> = BaseQueue<T, Vec<T>>;

/// Items on their way from tasks that put them to tasks that get them; [`Queue`], [`PriorityQueue`] and [`LifoQueue`] are
/// made of it.
///
/// Tasks that wait are served in the order in which they came.
pub struct BaseQueue<T, O> {
    maxsize: usize,
    items: RefCell<O>,
    getters: Waiters<(), T>,
    putters: Waiters<T, ()>,
    unfinished: Cell<usize>,
    finished: Event,
}

/// In which order items leave (what Tornado's users override `_put` and `_get` for).
pub trait Order<T>: Default {
    /// Takes an item in.
    fn push(&mut self, item: T);

    /// The next item.
    fn pop(&mut self) -> Option<T>;

    /// Takes back the item that was popped last and went nowhere. Default: [`push`](Self::push).
    fn unpop(&mut self, item: T) {
        self.push(item);
    }

    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T, O: Order<T>> BaseQueue<T, O> {
    /// With room for `maxsize` items; 0 for as many as come.
    #[must_use]
    pub fn new(maxsize: usize) -> Self {
        let finished = Event::new();
        finished.set();
        Self {
            maxsize,
            items: RefCell::default(),
            getters: Waiters::default(),
            putters: Waiters::default(),
            unfinished: Cell::new(0),
            finished,
        }
    }

    /// How many items there may be; 0 for no limit.
    pub fn maxsize(&self) -> usize {
        self.maxsize
    }

    /// How many items there are.
    #[doc(alias = "len")]
    pub fn qsize(&self) -> usize {
        self.items.borrow().len()
    }

    /// Whether there are no items.
    #[doc(alias = "empty")]
    pub fn is_empty(&self) -> bool {
        self.qsize() == 0
    }

    /// Whether [`put`](Self::put) would wait.
    #[doc(alias = "full")]
    pub fn is_full(&self) -> bool {
        self.maxsize != 0 && self.qsize() >= self.maxsize
    }

    /// Puts an item in, when there is room.
    ///
    /// Cancel safe: a future that is dropped while it waits has not put its item in.
    pub async fn put(&self, item: T) {
        if let Err(QueueFull(item)) = self.put_nowait(item) {
            self.putters.wait(item, drop).await;
        }
    }

    /// As [`put`](Self::put), but waits no longer than this.
    ///
    /// # Errors
    /// There was no room in time; the item is dropped.
    pub async fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), TimeoutError> {
        within(timeout, self.put(item)).await
    }

    /// Puts an item in if there is room.
    ///
    /// # Errors
    /// The queue is full: the item comes back.
    pub fn put_nowait(&self, item: T) -> Result<(), QueueFull<T>> {
        if self.is_full() {
            return Err(QueueFull(item));
        }
        self.enter(item);
        // Whoever waits for an item finds the queue empty, so it is this one.
        self.pass_on();
        Ok(())
    }

    /// The next item, as soon as there is one.
    ///
    /// Cancel safe: an item that came for a future that was dropped is the next for another. The queue may have one item
    /// more than `maxsize` then.
    pub async fn get(&self) -> T {
        match self.get_nowait() {
            Ok(item) => item,
            Err(QueueEmpty) => self.getters.wait((), |item| self.take_back(item)).await,
        }
    }

    /// As [`get`](Self::get), for no longer than this.
    ///
    /// # Errors
    /// There was no item in time.
    pub async fn get_timeout(&self, timeout: Duration) -> Result<T, TimeoutError> {
        within(timeout, self.get()).await
    }

    /// The next item, if there is one.
    ///
    /// # Errors
    /// The queue is empty.
    pub fn get_nowait(&self) -> Result<T, QueueEmpty> {
        // The item of a task that waits for room comes in first, and may be the next to leave. There is none while
        // there are more items than there should be.
        if self.qsize() <= self.maxsize {
            self.putters.serve(|item| self.enter(item));
        }
        self.items.borrow_mut().pop().ok_or(QueueEmpty)
    }

    /// Says that the work on an item that was got is done.
    ///
    /// # Panics
    /// When called more often than items were put in: Tornado's "task_done() called too many times".
    #[track_caller]
    pub fn task_done(&self) {
        let unfinished = self.unfinished.get().checked_sub(1).expect("task_done() called too many times");
        self.unfinished.set(unfinished);
        if unfinished == 0 {
            self.finished.set();
        }
    }

    /// Waits until [`task_done`](Self::task_done) was called for every item that was put in. Cancel safe.
    pub async fn join(&self) {
        self.finished.wait().await;
    }

    /// As [`join`](Self::join), for no longer than this.
    ///
    /// # Errors
    /// There was work left.
    pub async fn join_timeout(&self, timeout: Duration) -> Result<(), TimeoutError> {
        self.finished.wait_timeout(timeout).await
    }

    fn enter(&self, item: T) {
        self.unfinished.set(self.unfinished.get() + 1);
        self.finished.clear();
        self.items.borrow_mut().push(item);
    }

    /// Gives the next item to the first task that waits for one, if both are there.
    fn pass_on(&self) {
        if self.getters.len() > 0 {
            let next = self.items.borrow_mut().pop();
            if let Some(item) = next {
                self.getters.serve(|()| item);
            }
        }
    }

    fn take_back(&self, item: T) {
        self.items.borrow_mut().unpop(item);
        self.pass_on();
    }
}

impl<T, O: Order<T>> Default for BaseQueue<T, O> {
    /// Without a limit.
    fn default() -> Self {
        Self::new(0)
    }
}

impl<T, O: Order<T>> fmt::Debug for BaseQueue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("maxsize", &self.maxsize)
            .field("qsize", &self.qsize())
            .field("getters", &self.getters.len())
            .field("putters", &self.putters.len())
            .field("tasks", &self.unfinished)
            .finish()
    }
}

impl<T> Order<T> for VecDeque<T> {
    fn push(&mut self, item: T) {
        self.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn unpop(&mut self, item: T) {
        self.push_front(item);
    }

    fn len(&self) -> usize {
        self.len()
    }
}

impl<T> Order<T> for Vec<T> {
    fn push(&mut self, item: T) {
        self.push(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.pop()
    }

    fn len(&self) -> usize {
        self.len()
    }
}

impl<T: Ord> Order<T> for BinaryHeap<Reverse<T>> {
    fn push(&mut self, item: T) {
        self.push(Reverse(item));
    }

    fn pop(&mut self) -> Option<T> {
        self.pop().map(|Reverse(item)| item)
    }

    fn len(&self) -> usize {
        self.len()
    }
}

/// There is no room; the item is given back. It is an error, for `?`, whatever the item is, and does not print it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct QueueFull<T>(pub T);

impl<T> fmt::Display for QueueFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is full")
    }
}

impl<T> std::error::Error for QueueFull<T> {}

impl<T> fmt::Debug for QueueFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueFull").finish_non_exhaustive()
    }
}

/// There is no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueEmpty;

impl fmt::Display for QueueEmpty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is empty")
    }
}

impl std::error::Error for QueueEmpty {}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::{Pin, pin};
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::ioloop::IoLoop;

    const SOON: Duration = Duration::from_millis(10);
    const LATE: Duration = Duration::from_secs(10);

    fn run(test: impl AsyncFnOnce()) {
        IoLoop::current().run_sync(test(), Some(LATE)).unwrap();
    }

    #[test]
    fn a_full_queue_is_an_error_whatever_the_item_is() {
        struct Secret;
        let queue = Queue::new(1);
        assert!(queue.put_nowait(Secret).is_ok());
        let put = || -> Result<(), Box<dyn std::error::Error>> { Ok(queue.put_nowait(Secret)?) };
        let error = put().unwrap_err();
        assert_eq!(format!("{error} {error:?}"), "the queue is full QueueFull { .. }");
    }

    fn poll<F: Future>(future: &mut Pin<&mut F>) -> Poll<F::Output> {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn order() {
        fn drain<O: Order<i32>>() -> Vec<i32> {
            let queue = BaseQueue::<i32, O>::new(0);
            [2, 3, 1].into_iter().for_each(|item| queue.put_nowait(item).unwrap());
            std::iter::from_fn(|| queue.get_nowait().ok()).collect()
        }
        assert_eq!(drain::<VecDeque<i32>>(), [2, 3, 1]);
        assert_eq!(drain::<BinaryHeap<Reverse<i32>>>(), [1, 2, 3]);
        assert_eq!(drain::<Vec<i32>>(), [1, 3, 2]);
    }

    /// Two items that fit and two that wait, as in Tornado's tests of each class.
    fn with_putters<O: Order<i32>>(put: [i32; 4], expected: [i32; 4]) {
        let queue = BaseQueue::<i32, O>::new(2);
        queue.put_nowait(put[0]).unwrap();
        queue.put_nowait(put[1]).unwrap();
        assert!(queue.is_full());
        assert_eq!(queue.put_nowait(9), Err(QueueFull(9)));
        let (mut third, mut fourth) = (pin!(queue.put(put[2])), pin!(queue.put(put[3])));
        assert!(poll(&mut third).is_pending() && poll(&mut fourth).is_pending());
        let mut got = vec![queue.get_nowait().unwrap()];
        assert!(poll(&mut third).is_ready() && poll(&mut fourth).is_pending() && queue.is_full());
        got.push(queue.get_nowait().unwrap());
        assert!(poll(&mut fourth).is_ready() && queue.is_full());
        got.extend(std::iter::from_fn(|| queue.get_nowait().ok()));
        assert_eq!(got, expected);
        assert!(queue.is_empty());
    }

    #[test]
    fn order_with_tasks_that_wait_for_room() {
        with_putters::<VecDeque<i32>>([1, 0, 3, 2], [1, 0, 3, 2]);
        with_putters::<BinaryHeap<Reverse<i32>>>([1, 0, 3, 2], [0, 1, 2, 3]);
        with_putters::<Vec<i32>>([1, 0, 3, 2], [3, 2, 0, 1]);
    }

    #[test]
    fn getters_are_served_in_order() {
        let queue = Queue::new(0);
        let (mut first, mut second) = (pin!(queue.get()), pin!(queue.get()));
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        queue.put_nowait(0).unwrap();
        assert!(poll(&mut second).is_pending());
        queue.put_nowait(1).unwrap();
        // Both are on their way: there is nothing for one that comes now.
        assert_eq!(queue.get_nowait(), Err(QueueEmpty));
        assert_eq!((poll(&mut second), poll(&mut first)), (Poll::Ready(1), Poll::Ready(0)));
    }

    #[test]
    fn timeouts() {
        run(async || {
            let queue = Queue::new(1);
            queue.get_timeout(SOON).await.unwrap_err();
            queue.get_timeout(Duration::ZERO).await.unwrap_err();
            queue.put_timeout(0, Duration::ZERO).await.unwrap();
            queue.put_timeout(1, SOON).await.unwrap_err();
            queue.put_timeout(1, Duration::ZERO).await.unwrap_err();
            queue.join_timeout(SOON).await.unwrap_err();
            // What ran into a timeout was not put in, and nobody waits any more.
            assert_eq!(queue.get_timeout(Duration::ZERO).await, Ok(0));
            assert_eq!(queue.get_nowait(), Err(QueueEmpty));
            assert_eq!(
                format!("{queue:?}"),
                "Queue { maxsize: 1, qsize: 0, getters: 0, putters: 0, tasks: Cell { value: 1 } }"
            );
            queue.task_done();
            queue.join_timeout(Duration::ZERO).await.unwrap();
            let put = async {
                tokio::task::yield_now().await;
                queue.put(5).await;
            };
            assert_eq!(tokio::join!(queue.get_timeout(LATE), put).0, Ok(5));
        });
    }

    #[test]
    fn an_item_for_one_who_is_gone_is_the_next() {
        fn check<O: Order<i32>>(left: [i32; 2]) {
            let queue = BaseQueue::<i32, O>::new(2);
            {
                let mut gone = pin!(queue.get());
                assert!(poll(&mut gone).is_pending());
                [1, 2, 3].into_iter().for_each(|item| queue.put_nowait(item).unwrap());
                assert!(queue.is_full());
            }
            // One more than there should be: nothing comes in before two have left.
            assert_eq!(queue.qsize(), 3);
            let mut put = pin!(queue.put(4));
            assert!(poll(&mut put).is_pending());
            assert_eq!(queue.get_nowait(), Ok(left[0]));
            assert!(poll(&mut put).is_pending());
            assert_eq!(queue.qsize(), 2);
            assert_eq!(queue.get_nowait(), Ok(left[1]));
            assert!(poll(&mut put).is_ready());
        }
        check::<VecDeque<i32>>([1, 2]);
        check::<BinaryHeap<Reverse<i32>>>([1, 2]);
        check::<Vec<i32>>([1, 4]);
        // Another who waits gets it.
        let queue = Queue::new(0);
        let mut second = pin!(queue.get());
        {
            let mut first = pin!(queue.get());
            assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
            queue.put_nowait('a').unwrap();
        }
        assert_eq!(poll(&mut second), Poll::Ready('a'));
    }

    #[test]
    fn join_waits_for_the_work() {
        let queue = Queue::new(0);
        assert!(catch_unwind(AssertUnwindSafe(|| queue.task_done())).is_err());
        assert!(poll(&mut pin!(queue.join())).is_ready());
        queue.put_nowait(0).unwrap();
        let mut join = pin!(queue.join());
        assert!(poll(&mut join).is_pending());
        queue.get_nowait().unwrap();
        assert!(poll(&mut join).is_pending());
        queue.task_done();
        assert!(poll(&mut join).is_ready());
        assert!(catch_unwind(AssertUnwindSafe(|| queue.task_done())).is_err());
    }

    #[test]
    fn producers_and_consumers() {
        run(async || {
            let queue = Rc::new(Queue::new(3));
            let sum = Rc::new(Cell::new(0));
            let workers: Vec<_> = (0..2)
                .map(|_| {
                    let (queue, sum) = (Rc::clone(&queue), Rc::clone(&sum));
                    tokio::task::spawn_local(async move {
                        loop {
                            sum.set(sum.get() + queue.get().await);
                            tokio::task::yield_now().await;
                            queue.task_done();
                        }
                    })
                })
                .collect();
            for item in 0..100 {
                queue.put(item).await;
            }
            queue.join().await;
            assert_eq!(sum.get(), 4950);
            workers.iter().for_each(tokio::task::JoinHandle::abort);
        });
    }
}
