//! Boxed futures in memory that former ones have left.

use std::alloc::Layout;
use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

/// A `Pin<Box<dyn Future>>` for what each request makes anew: the allocator takes 126 instructions for a box and its end, a
/// place that is kept a third of that.
pub(crate) struct RecycledFuture<'a, T> {
    /// The only pointer to it. What [`fits`] is in a `Box<Place>`, what does not in a box of its own.
    future: NonNull<dyn Future<Output = T> + 'a>,
    owned: PhantomData<Pin<Box<dyn Future<Output = T> + 'a>>>,
}

impl<'a, T> RecycledFuture<'a, T> {
    /// `make` writes the future to its place; one that is handed over is copied there.
    #[inline]
    pub(crate) fn new<F: Future<Output = T> + 'a>(make: impl FnOnce() -> F) -> Self {
        Lent::new(make).into_recycled()
    }

    /// Makes it and polls it once; what has to wait is left in `waiting`. Most are done then, and who made it knows its type:
    /// no call by a pointer for that poll and for its end.
    #[inline]
    pub(crate) fn start<F: Future<Output = T> + 'a>(
        make: impl FnOnce() -> F,
        cx: &mut Context<'_>,
        waiting: &mut Option<Self>,
    ) -> Poll<T> {
        let mut place = Lent::new(make);
        // SAFETY: the future is there until `place` is dropped, which alone has it, and is not moved before: neither does
        // `into_recycled` move it.
        let poll = unsafe { Pin::new_unchecked(place.0.as_mut()) }.poll(cx);
        if poll.is_pending() {
            *waiting = Some(place.into_recycled());
        }
        poll
    }
}

impl<T> Future for RecycledFuture<'_, T> {
    type Output = T;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // SAFETY: the future is there from `new` to `drop`, and can be reached by this value only, which is borrowed mutably.
        // It is pinned: this value may move, but the future lies elsewhere and is not moved before it is dropped, nor
        // is its place used for anything else before.
        unsafe { Pin::new_unchecked(self.future.as_mut()) }.poll(cx)
    }
}

impl<T> Drop for RecycledFuture<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: as in `poll`.
        if fits(Layout::for_value(unsafe { self.future.as_ref() })) {
            // SAFETY: as in `poll`, and nobody uses it after its drop. Should that panic, the place is lost, no more.
            unsafe { self.future.drop_in_place() };
            // SAFETY: what fits lies in what `lend` gave, and the place holds nothing any longer.
            unsafe { keep(self.future.cast::<Place>()) };
        } else {
            // SAFETY: what does not fit was put by `Lent::new` into a box of its own that was leaked.
            drop(unsafe { Box::from_raw(self.future.as_ptr()) });
        }
    }
}

/// A future of a known type in a place that is lent: 6 instructions less than one that is taken and kept again.
struct Lent<F>(NonNull<F>);

impl<F> Lent<F> {
    #[inline]
    fn new(make: impl FnOnce() -> F) -> Self {
        if !fits(Layout::new::<F>()) {
            return Self(NonNull::from(Box::leak(Box::new(make()))));
        }
        let place = lend().cast::<F>();
        // Made only now, so that it is nowhere before it is here, and not copied. Should `make` panic, the place is lost.
        // SAFETY: nobody else has the place, and it has the size and the alignment for an `F`, as `fits` has said.
        unsafe { place.write(make()) };
        Self(place)
    }

    #[inline]
    fn into_recycled<'a, T>(self) -> RecycledFuture<'a, T>
    where
        F: Future<Output = T> + 'a,
    {
        if fits(Layout::new::<F>()) {
            leave();
        }
        RecycledFuture { future: ManuallyDrop::new(self).0, owned: PhantomData }
    }
}

impl<F> Drop for Lent<F> {
    #[inline]
    fn drop(&mut self) {
        if fits(Layout::new::<F>()) {
            // SAFETY: `new` has put it there, and nobody uses it after this. Should its drop panic, the place is lost.
            unsafe { self.0.drop_in_place() };
            // SAFETY: what fits lies in what `lend` gave, and the place holds nothing any longer.
            unsafe { give_back(self.0.cast::<Place>()) };
        } else {
            // SAFETY: what does not fit was put by `new` into a box of its own that was leaked.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

/// Room for nearly every layer around a handler, and for the work of a handler that holds little while it waits: 768 bytes.
type Place = MaybeUninit<[u128; 48]>;

/// So many places are kept.
const KEPT: i32 = 64;

/// What is at the start of a place that is kept.
struct Link {
    next: Option<NonNull<Place>>,
}

/// Places that nobody uses, each of them a box's that was leaked: a list through themselves. A `Vec` of boxes in a `RefCell`
/// takes 37 instructions more for each future, most of them to find out whether the thread still has it.
struct Free {
    first: Cell<Option<NonNull<Place>>>,
    /// Room for further ones. What is lent counts as what is there, so that it needs no look when it comes back; below zero
    /// when more than [`KEPT`] were lent at once, one for each call within a call.
    room: Cell<i32>,
}

thread_local! {
    // Without a destructor, so that nothing is to be found out before it is used.
    static FREE: Free = const { Free { first: Cell::new(None), room: Cell::new(KEPT) } };
    static AT_THE_END: AtTheEnd = const { AtTheEnd };
}

/// Gives the places back when the thread ends. What a destructor that comes later starts leaves one behind.
struct AtTheEnd;

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        FREE.with(|free| {
            free.room.set(0);
            let mut next = free.first.take();
            while let Some(place) = next {
                // SAFETY: it is in the list, so a link is at its start.
                next = unsafe { place.cast::<Link>().read() }.next;
                // SAFETY: it was a box's, and is in no list any longer.
                drop(unsafe { Box::from_raw(place.as_ptr()) });
            }
        });
    }
}

#[inline]
fn fits(layout: Layout) -> bool {
    layout.size() <= size_of::<Place>() && layout.align() <= align_of::<Place>()
}

/// A place that nobody else has, until it is [given back](give_back). One that will be [kept](keep) instead [leaves](leave).
#[inline]
fn lend() -> NonNull<Place> {
    FREE.with(|free| {
        let Some(place) = free.first.get() else { return make(free) };
        // SAFETY: it is in the list, so a link is at its start.
        free.first.set(unsafe { place.cast::<Link>().read() }.next);
        place
    })
}

#[cold]
fn make(free: &Free) -> NonNull<Place> {
    // It will be kept. A thread that is ending keeps nothing.
    let _ = AT_THE_END.try_with(|_| ());
    free.room.set(free.room.get() - 1);
    NonNull::from(Box::leak(Box::new(Place::uninit())))
}

/// # Safety
/// It is from [`lend`], and nobody uses it any longer.
#[inline]
unsafe fn give_back(place: NonNull<Place>) {
    FREE.with(|free| {
        // SAFETY: nobody uses it, and a link fits.
        unsafe { place.cast::<Link>().write(Link { next: free.first.get() }) };
        free.first.set(Some(place));
    });
}

/// A place that is lent will not be given back soon.
#[inline]
fn leave() {
    FREE.with(|free| free.room.set(free.room.get() + 1));
}

/// Gives a place back that has left.
///
/// # Safety
/// It is from [`lend`], and nobody uses it any longer.
#[inline]
unsafe fn keep(place: NonNull<Place>) {
    let room = FREE.with(|free| free.room.get());
    if room <= 0 {
        // SAFETY: `lend` gives what a box was.
        return drop(unsafe { Box::from_raw(place.as_ptr()) });
    }
    FREE.with(|free| free.room.set(room - 1));
    // SAFETY: as the caller says.
    unsafe { give_back(place) };
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;

    fn poll<T>(future: &mut RecycledFuture<'_, T>) -> Poll<T> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn start<'a, T>(future: impl Future<Output = T> + 'a) -> (Poll<T>, Option<RecycledFuture<'a, T>>) {
        let mut waiting = None;
        let poll = RecycledFuture::start(|| future, &mut Context::from_waker(Waker::noop()), &mut waiting);
        (poll, waiting)
    }

    fn kept() -> usize {
        usize::try_from(FREE.with(|free| KEPT - free.room.get())).unwrap()
    }

    /// Counts its drops.
    struct Dropped<'a>(&'a Cell<u32>);

    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn each_future_is_polled_and_dropped_once_whatever_its_size() {
        let drops = Cell::new(0);
        let small = async {
            let _dropped = Dropped(&drops);
            ready(1).await
        };
        let large = async {
            let (_dropped, bytes) = (Dropped(&drops), [2_u8; 1000]);
            ready(()).await;
            bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>()
        };
        assert!(fits(Layout::for_value(&small)) && !fits(Layout::for_value(&large)));
        let (mut small, mut large) = (RecycledFuture::new(|| small), RecycledFuture::new(|| large));
        assert_eq!((poll(&mut small), poll(&mut large)), (Poll::Ready(1), Poll::Ready(2000)));
        drop((small, large));
        assert_eq!((drops.get(), kept()), (2, 1));
        let mut unfinished = RecycledFuture::new(|| async {
            let _dropped = Dropped(&drops);
            pending::<()>().await;
        });
        assert_eq!((poll(&mut unfinished), kept()), (Poll::Pending, 0));
        drop(unfinished);
        assert_eq!((drops.get(), kept()), (3, 1));
    }

    #[test]
    fn one_that_is_started_is_kept_only_when_it_waits() {
        let drops = Cell::new(0);
        let (polled, waiting) = start(async {
            let _dropped = Dropped(&drops);
            1
        });
        assert_eq!((polled, waiting.is_none(), drops.get(), kept()), (Poll::Ready(1), true, 1, 1));
        let mut polls = 0;
        let (polled, waiting) = start(poll_fn(|_| {
            polls += 1;
            if polls == 2 { Poll::Ready(polls) } else { Poll::Pending }
        }));
        assert_eq!((polled, kept()), (Poll::Pending, 0));
        assert_eq!(poll(&mut waiting.unwrap()), Poll::Ready(2));
        assert_eq!(kept(), 1);
        // One that is too large for a place, and one that panics.
        let (polled, waiting) = start(async {
            let (_dropped, bytes) = (Dropped(&drops), [2_u8; 1000]);
            pending::<()>().await;
            bytes.len()
        });
        assert_eq!((polled, waiting.is_some(), drops.get(), kept()), (Poll::Pending, true, 1, 1));
        drop(waiting);
        assert_eq!((drops.get(), kept()), (2, 1));
        let panics = async {
            let _dropped = Dropped(&drops);
            panic!("polled");
        };
        assert!(catch_unwind(AssertUnwindSafe(|| start::<()>(panics))).is_err());
        assert_eq!((drops.get(), kept()), (3, 1));
    }

    #[test]
    fn the_alignment_is_right_and_a_place_serves_again() {
        #[repr(align(64))]
        struct Aligned(u8);
        let aligned = Aligned(3);
        let future = poll_fn(move |_| Poll::Ready((std::ptr::from_ref(&aligned).addr() % 64, aligned.0)));
        assert_eq!(poll(&mut RecycledFuture::new(|| future)), Poll::Ready((0, 3)));
        assert_eq!(kept(), 0);
        let first = RecycledFuture::new(|| ready(1)).future.addr();
        let second = RecycledFuture::new(|| async { "another type" }).future.addr();
        assert_eq!(first, second);
    }

    #[test]
    fn no_more_are_kept_than_so_many() {
        let many: Vec<_> = (0..2 * KEPT).map(|i| RecycledFuture::new(|| ready(i))).collect();
        drop(many);
        assert_eq!(kept(), 64);
    }

    #[test]
    fn a_thread_that_ends_keeps_nothing() {
        thread_local! {
            static LATE: std::cell::RefCell<Option<RecycledFuture<'static, i32>>> = const { std::cell::RefCell::new(None) };
        }
        let thread = std::thread::spawn(|| {
            // First used before the places are: destroyed after them, with a future in one of them.
            LATE.with(|_| ());
            drop(RecycledFuture::new(|| ready(1)));
            LATE.set(Some(RecycledFuture::new(|| ready(2))));
            kept()
        });
        assert_eq!(thread.join().unwrap(), 0);
    }

    #[test]
    fn a_panic_of_a_future_or_of_its_drop_harms_nobody_else() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        let shared = Rc::new(());
        let mut one = RecycledFuture::new(|| poll_fn(|_| -> Poll<()> { panic!("polled") }));
        assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut one))).is_err());
        drop(one);
        let panics = (Panics, Rc::clone(&shared));
        let two = RecycledFuture::new(|| async move {
            let _panics = panics;
            pending::<()>().await;
        });
        assert!(catch_unwind(AssertUnwindSafe(|| drop(two))).is_err());
        assert_eq!(Rc::strong_count(&shared), 1);
        assert_eq!(poll(&mut RecycledFuture::new(|| ready(7))), Poll::Ready(7));
    }
}
