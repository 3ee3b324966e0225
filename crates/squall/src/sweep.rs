//! What has deadlines of which nobody needs to know the millisecond: connections of either version, WebSockets.
//!
//! A timer of its own would cost each of them more memory than all the rest of it, and each request a registration. One
//! task that looks at a few bytes of each member once in a while costs nothing measurable. The same set knows them all
//! when they are to be counted, drained or closed together.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::netutil::spawn;

/// What a [`Set`] looks at.
pub(crate) trait Member: Clone + 'static {
    /// Whether [`fire`](Self::fire) has something to do. It runs no code of others: the set is borrowed.
    fn is_due(&self, _now: Millis) -> bool {
        true
    }

    /// Does what is overdue. It may add members and take them out.
    fn fire(&self, now: Millis);

    /// Gives back memory that has not been used since the last call, 30 s ago. It runs no code of others.
    fn rest(&self) {}
}

/// Members that are swept for deadlines at a coarse interval, and what they have in `common`.
pub(crate) struct Set<T, C = ()> {
    members: RefCell<Slots<T>>,
    started: Instant,
    /// The time of the last sweep: what deadlines are reckoned from, so that setting one reads no clock.
    now: Cell<Millis>,
    tick: Cell<Duration>,
    sweeping: Cell<bool>,
    next_rest: Cell<Option<Millis>>,
    pub(crate) common: C,
}

const SLOWEST_TICK: Duration = Duration::from_secs(1);
const FASTEST_TICK: Duration = Duration::from_millis(5);
const REST: Duration = Duration::from_secs(30);

impl<T: Member, C: 'static> Set<T, C> {
    pub(crate) fn new(common: C) -> Rc<Self> {
        Rc::new(Self {
            members: RefCell::new(Slots::new()),
            started: Instant::now(),
            now: Cell::new(Millis::new(0)),
            tick: Cell::new(SLOWEST_TICK),
            sweeping: Cell::new(false),
            next_rest: Cell::new(None),
            common,
        })
    }

    /// Adds a member; the key takes it out again.
    pub(crate) fn insert(self: &Rc<Self>, member: T) -> u32 {
        let key = self.members.borrow_mut().insert(member);
        if !self.sweeping.replace(true) {
            self.look_at_the_clock();
            spawn(Sweep(Rc::clone(self)).run());
        }
        key
    }

    /// Adds a member until the place is dropped.
    #[cfg(any(test, feature = "http2", feature = "websocket"))]
    pub(crate) fn place(self: &Rc<Self>, member: T) -> Place<T, C> {
        Place { key: self.insert(member), set: Rc::clone(self) }
    }

    pub(crate) fn remove(&self, key: u32) {
        let member = self.members.borrow_mut().remove(key);
        drop(member); // outside of the borrow: it may run code of others
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        self.members.borrow().len()
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.members.borrow().iter().cloned().collect()
    }

    /// Makes the sweep fine enough for deadlines of this length.
    pub(crate) fn allow_for(&self, timeout: Duration) {
        let wanted = (timeout / 8).clamp(FASTEST_TICK, SLOWEST_TICK);
        self.tick.set(self.tick.get().min(wanted));
    }

    /// The deadline of something that begins now and may take `timeout`; up to two ticks late, never early while the set
    /// is swept. None beyond 24 days.
    #[inline]
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Millis> {
        self.now.get().after(timeout.checked_add(self.tick.get())?)
    }

    #[inline]
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Deadlines are reckoned from now on: before the first member is there nobody else says what time it is.
    pub(crate) fn look_at_the_clock(&self) -> Millis {
        // The wrap round is meant.
        let now = Millis::new(self.started.elapsed().as_millis() as u32);
        self.now.set(now);
        now
    }

    fn sweep(&self, now: Millis) {
        if self.next_rest.get().is_none_or(|at| at.is_due(now)) {
            self.next_rest.set(now.after(REST));
            self.members.borrow().iter().for_each(T::rest);
        }
        // One by one: what a deadline leads to may add and remove members.
        for key in 0.. {
            let member = match self.members.borrow().slots.get(key) {
                None => return,
                Some(Some(member)) if member.is_due(now) => member.clone(),
                Some(_) => continue,
            };
            member.fire(now);
        }
    }
}

/// The task that looks at the members while there are any. It notes its end also when the loop drops it.
struct Sweep<T: Member, C: 'static>(Rc<Set<T, C>>);

impl<T: Member, C> Sweep<T, C> {
    async fn run(self) {
        while self.0.len() > 0 {
            tokio::time::sleep(self.0.tick.get()).await;
            self.0.sweep(self.0.look_at_the_clock());
        }
    }
}

impl<T: Member, C> Drop for Sweep<T, C> {
    fn drop(&mut self) {
        self.0.sweeping.set(false);
    }
}

/// A member's place in its set.
#[cfg(any(test, feature = "http2", feature = "websocket"))]
pub(crate) struct Place<T: Member, C: 'static = ()> {
    set: Rc<Set<T, C>>,
    key: u32,
}

#[cfg(any(test, feature = "http2", feature = "websocket"))]
impl<T: Member, C> Drop for Place<T, C> {
    fn drop(&mut self) {
        self.set.remove(self.key);
    }
}

/// A table with stable keys. (A `slab` of `Rc`s takes twice the memory.)
struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slots<T> {
    const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    fn insert(&mut self, member: T) -> u32 {
        let key = self.free.pop().unwrap_or(self.slots.len() as u32);
        match self.slots.get_mut(key as usize) {
            Some(slot) => *slot = Some(member),
            None => self.slots.push(Some(member)),
        }
        key
    }

    fn remove(&mut self, key: u32) -> Option<T> {
        let member = self.slots.get_mut(key as usize).and_then(Option::take);
        if member.is_some() {
            self.free.push(key);
        }
        member
    }

    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }
}

/// A point in time in milliseconds since the set was made, or a moment before or after the wrap round: two of them
/// compare rightly when they are less than 24 days apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Millis(NonZeroU32);

impl Millis {
    /// Zero is told as one, which is early enough: an `Option` of it is then no larger than itself, and an idle
    /// connection smaller.
    const fn new(millis: u32) -> Self {
        match NonZeroU32::new(millis) {
            Some(millis) => Self(millis),
            None => Self(NonZeroU32::MIN),
        }
    }

    /// Whether this point has been reached at `now`.
    #[inline]
    pub(crate) fn is_due(self, now: Self) -> bool {
        now.0.get().wrapping_sub(self.0.get()) <= i32::MAX as u32
    }

    /// So much later, at least a millisecond; none if that is beyond 24 days.
    #[inline]
    pub(crate) fn after(self, time: Duration) -> Option<Self> {
        let millis = u32::try_from(time.as_millis()).ok().filter(|millis| i32::try_from(*millis).is_ok())?;
        Some(Self::new(self.0.get().wrapping_add(millis.max(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn deadlines_compare_across_the_wrap_round() {
        assert!(Millis::new(5).is_due(Millis::new(5)));
        assert!(Millis::new(5).is_due(Millis::new(6)));
        assert!(!Millis::new(6).is_due(Millis::new(5)));
        assert!(Millis::new(u32::MAX).is_due(Millis::new(3)));
        assert!(!Millis::new(3).is_due(Millis::new(u32::MAX)));
        assert_eq!(Millis::new(u32::MAX).after(4 * SECOND), Some(Millis::new(3999)));
    }

    #[test]
    fn deadlines_are_never_early_and_too_long_ones_are_none() {
        let set: Rc<Set<Rc<Noted>>> = Set::new(());
        set.allow_for(Duration::from_millis(800));
        assert_eq!(set.deadline(Duration::from_millis(800)), Some(Millis::new(901)));
        assert_eq!(set.deadline(30 * 24 * 3600 * SECOND), None);
        assert_eq!(set.deadline(Duration::from_secs(u64::MAX / 2)), None);
        assert_eq!(set.deadline(Duration::MAX), None);
        assert_eq!(Millis::new(7).after(Duration::ZERO), Some(Millis::new(8)));
    }

    #[test]
    fn keys_are_stable_and_used_again() {
        let mut slots = Slots::new();
        let keys = ["a", "b", "c"].map(|name| slots.insert(name));
        assert_eq!((keys, slots.len()), ([0, 1, 2], 3));
        assert_eq!((slots.remove(1), slots.remove(1), slots.remove(9)), (Some("b"), None, None));
        assert_eq!((slots.iter().copied().collect::<String>(), slots.len()), ("ac".to_owned(), 2));
        assert_eq!((slots.insert("d"), slots.insert("e")), (1, 3));
        assert_eq!(slots.iter().copied().collect::<String>(), "adce");
    }

    /// Notes what it is told, and leaves its set at its deadline.
    #[derive(Default)]
    struct Noted {
        due: Cell<Option<Millis>>,
        fired: Cell<u32>,
        rested: Cell<u32>,
        leaves: RefCell<Option<Place<Rc<Noted>>>>,
    }

    impl Member for Rc<Noted> {
        fn is_due(&self, now: Millis) -> bool {
            self.due.get().is_some_and(|due| due.is_due(now))
        }

        fn fire(&self, _now: Millis) {
            self.fired.set(self.fired.get() + 1);
            drop(self.leaves.take());
        }

        fn rest(&self) {
            self.rested.set(self.rested.get() + 1);
        }
    }

    #[test]
    fn a_sweep_fires_what_is_due_and_lets_it_go() {
        let io_loop = crate::ioloop::IoLoop::new().unwrap();
        let _context = io_loop.enter();
        let set: Rc<Set<Rc<Noted>>> = Set::new(());
        let members: Vec<Rc<Noted>> = (0..3).map(|_| Rc::new(Noted::default())).collect();
        for member in &members {
            *member.leaves.borrow_mut() = Some(set.place(Rc::clone(member)));
        }
        members[0].due.set(Some(Millis::new(1000)));
        members[1].due.set(Some(Millis::new(1001)));
        set.sweep(Millis::new(999));
        assert_eq!((set.len(), members[0].fired.get()), (3, 0));
        set.sweep(Millis::new(1000));
        assert_eq!((set.len(), members[0].fired.get(), members[1].fired.get()), (2, 1, 0));
        set.sweep(Millis::new(5000));
        assert_eq!((set.len(), members[1].fired.get(), members[2].fired.get()), (1, 1, 0));
        // Before its time and once more at it.
        set.sweep(Millis::new(30_999));
        assert_eq!(members[2].rested.get(), 2);
        assert_eq!(set.all().len(), 1);
    }
}
