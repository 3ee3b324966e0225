//! Things that are kept for whoever needs one next, and places of which there are only so many. Pure: the time is passed
//! in, and whoever keeps a thing says whether it is still good.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rapidhash::fast::RandomState;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What is idle, by whatever makes two of them interchangeable.
pub(crate) struct Pool<K, T> {
    /// An entry stays when its last thing is taken, until the next sweep: its memory is soon needed again.
    idle: HashMap<Rc<K>, Vec<Idle<K, T>>, RandomState>,
    /// How many are kept per key.
    most_per_key: usize,
    /// How long one is kept.
    longest: Duration,
}

struct Idle<K, T> {
    key: Rc<K>,
    thing: T,
    since: Instant,
}

impl<K: Eq + Hash, T> Pool<K, T> {
    pub(crate) fn new(most_per_key: usize, longest: Duration) -> Self {
        Self { idle: HashMap::default(), most_per_key, longest }
    }

    /// The one that was used last and is still good, with its key; those that are not go.
    pub(crate) fn take(&mut self, key: &K, now: Instant, is_good: impl Fn(&T) -> bool) -> Option<(Rc<K>, T)> {
        let waiting = self.idle.get_mut(key)?;
        while let Some(Idle { key, thing, since }) = waiting.pop() {
            if now.saturating_duration_since(since) < self.longest && is_good(&thing) {
                return Some((key, thing));
            }
        }
        None
    }

    /// Keeps one. Gives back the one for which there is no room: that which has waited longest.
    pub(crate) fn put(&mut self, key: Rc<K>, thing: T, now: Instant) -> Option<T> {
        if self.most_per_key == 0 {
            return Some(thing);
        }
        let waiting = self.idle.entry(Rc::clone(&key)).or_default();
        let displaced = (waiting.len() >= self.most_per_key).then(|| waiting.remove(0).thing);
        waiting.push(Idle { key, thing, since: now });
        displaced
    }

    /// Drops what has been idle for too long or is no longer good; says whether anything is left.
    pub(crate) fn sweep(&mut self, now: Instant, is_good: impl Fn(&T) -> bool) -> bool {
        let longest = self.longest;
        self.idle.retain(|_, waiting| {
            waiting
                .retain(|idle| now.saturating_duration_since(idle.since) < longest && is_good(&idle.thing));
            !waiting.is_empty()
        });
        !self.idle.is_empty()
    }

    /// When to sweep: twice in the time that one is kept, so that nothing stays for more than one and a half.
    pub(crate) fn interval(&self) -> Duration {
        (self.longest / 2).clamp(Duration::from_millis(50), Duration::from_secs(3600))
    }

    /// How long one is kept.
    pub(crate) fn longest(&self) -> Duration {
        self.longest
    }

    pub(crate) fn clear(&mut self) {
        self.idle.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.idle.values().map(Vec::len).sum()
    }
}

/// So many places, given out first come, first served.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    all: usize,
    waiting: Cell<usize>,
}

impl Places {
    pub(crate) fn new(all: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(all)), all, waiting: Cell::new(0) }
    }

    /// A place, if there is one for which nobody waits.
    pub(crate) fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// A place, as soon as it is this one's turn. Cancel safe, but for the turn.
    pub(crate) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting.set(self.waiting.get() + 1);
        let _waiting = Waiting(&self.waiting);
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    pub(crate) fn taken(&self) -> usize {
        self.all - self.free.available_permits()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.get()
    }
}

/// Counts one who waits, until it is dropped.
struct Waiting<'a>(&'a Cell<usize>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn take(pool: &mut Pool<&'static str, u32>, key: &'static str, now: Instant) -> Option<u32> {
        // What is odd has died.
        pool.take(&key, now, |thing| thing.is_multiple_of(2)).map(|(kept, thing)| {
            assert_eq!(*kept, key);
            thing
        })
    }

    #[test]
    fn the_last_comes_first_and_the_oldest_goes() {
        let now = Instant::now();
        let mut pool = Pool::new(2, 10 * SECOND);
        let key = Rc::new("a");
        assert_eq!([2, 4, 6].map(|thing| pool.put(Rc::clone(&key), thing, now)), [None, None, Some(2)]);
        assert_eq!((pool.put(Rc::new("b"), 8, now), pool.len()), (None, 3));
        assert_eq!((take(&mut pool, "a", now), take(&mut pool, "a", now)), (Some(6), Some(4)));
        assert_eq!((take(&mut pool, "a", now), take(&mut pool, "c", now), pool.len()), (None, None, 1));
        let mut none = Pool::new(0, 10 * SECOND);
        assert_eq!((none.put(key, 2, now), none.len()), (Some(2), 0));
    }

    #[test]
    fn the_old_and_the_dead_are_not_given_out() {
        let now = Instant::now();
        let mut pool = Pool::new(9, 10 * SECOND);
        let key = Rc::new("a");
        for thing in [2, 4, 5] {
            pool.put(Rc::clone(&key), thing, now + thing * SECOND);
        }
        // 5 has died, 4 is good; 2 is too old by then.
        assert_eq!(take(&mut pool, "a", now + 12 * SECOND), Some(4));
        assert_eq!(take(&mut pool, "a", now + 12 * SECOND), None);
        for thing in [2, 3, 4] {
            pool.put(Rc::clone(&key), thing, now + thing * SECOND);
        }
        let is_good = |thing: &u32| thing.is_multiple_of(2);
        assert!(pool.sweep(now + 12 * SECOND, is_good) && pool.len() == 1);
        assert!(!pool.sweep(now + 14 * SECOND, is_good) && pool.len() == 0);
        assert!(pool.idle.is_empty());
        assert_eq!(pool.interval(), 5 * SECOND);
    }

    #[test]
    fn places_are_given_out_in_turn() {
        let mut cx = Context::from_waker(Waker::noop());
        let places = Places::new(1);
        let first = places.try_enter().unwrap();
        assert!(places.try_enter().is_none());
        let (mut second, mut third) = (pin!(places.enter()), pin!(places.enter()));
        assert!(second.as_mut().poll(&mut cx).is_pending() && third.as_mut().poll(&mut cx).is_pending());
        assert_eq!((places.taken(), places.waiting()), (1, 2));
        drop(first);
        // Not for those who come in between.
        assert!(places.try_enter().is_none() && third.as_mut().poll(&mut cx).is_pending());
        let Poll::Ready(Some(second)) = second.as_mut().poll(&mut cx) else { panic!("it was its turn") };
        assert_eq!((places.taken(), places.waiting()), (1, 1));
        drop(second);
        assert!(third.as_mut().poll(&mut cx).is_ready());
        assert_eq!((places.taken(), places.waiting()), (0, 0));
    }
}
