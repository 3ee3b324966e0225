//! Boxed futures in memory that former ones have left.

use std::alloc::Layout;
use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
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
    #[inline]
    pub(crate) fn new<F: Future<Output = T> + 'a>(future: F) -> Self {
        let future = if fits(Layout::new::<F>()) {
            let place = take().cast::<F>();
            // SAFETY: nobody else has the place, and it has the size and the alignment for an `F`, as `fits` has said.
            unsafe { place.write(future) };
            place
        } else {
            NonNull::from(Box::leak(Box::new(future)))
        };
        Self { future, owned: PhantomData }
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
            // SAFETY: what fits was put by `new` into what `take` gave, and it holds nothing any longer.
            unsafe { keep(self.future.cast::<Place>()) };
        } else {
            // SAFETY: what does not fit was put by `new` into a box of its own that was leaked.
            drop(unsafe { Box::from_raw(self.future.as_ptr()) });
        }
    }
}

/// Room for nearly every layer around a handler, and for the work of a handler that holds little while it waits: 768 bytes.
type Place = MaybeUninit<[u128; 48]>;

/// So many places are kept.
const KEPT: u32 = 64;

/// What is at the start of a place that is kept.
struct Link {
    next: Option<NonNull<Place>>,
}

/// Places that nobody uses, each of them a box's that was leaked: a list through themselves. A `Vec` of boxes in a `RefCell`
/// takes 37 instructions more for each future, most of them to find out whether the thread still has it.
struct Free {
    first: Cell<Option<NonNull<Place>>>,
    /// Room for further ones.
    room: Cell<u32>,
}

thread_local! {
    // Without a destructor, so that nothing is to be found out before it is used.
    static FREE: Free = const { Free { first: Cell::new(None), room: Cell::new(KEPT) } };
    static AT_THE_END: AtTheEnd = const { AtTheEnd };
}

/// Gives the places back when the thread ends.
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

/// A place that nobody else has, to be given back by [`keep`].
#[inline]
fn take() -> NonNull<Place> {
    FREE.with(|free| {
        let Some(place) = free.first.get() else { return make() };
        // SAFETY: it is in the list, so a link is at its start.
        free.first.set(unsafe { place.cast::<Link>().read() }.next);
        free.room.set(free.room.get() + 1);
        place
    })
}

#[cold]
fn make() -> NonNull<Place> {
    // It will be kept. A thread that is ending keeps nothing.
    let _ = AT_THE_END.try_with(|_| ());
    NonNull::from(Box::leak(Box::new(Place::uninit())))
}

/// Gives a place back.
///
/// # Safety
/// It is from [`take`], and nobody uses it any longer.
#[inline]
unsafe fn keep(place: NonNull<Place>) {
    FREE.with(|free| {
        let room = free.room.get();
        if room == 0 {
            // SAFETY: `take` gives what a box was.
            return drop(unsafe { Box::from_raw(place.as_ptr()) });
        }
        // SAFETY: nobody uses it, and a link fits.
        unsafe { place.cast::<Link>().write(Link { next: free.first.get() }) };
        free.first.set(Some(place));
        free.room.set(room - 1);
    });
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

    fn kept() -> usize {
        FREE.with(|free| KEPT - free.room.get()) as usize
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
        let (mut small, mut large) = (RecycledFuture::new(small), RecycledFuture::new(large));
        assert_eq!((poll(&mut small), poll(&mut large)), (Poll::Ready(1), Poll::Ready(2000)));
        drop((small, large));
        assert_eq!((drops.get(), kept()), (2, 1));
        let mut unfinished = RecycledFuture::new(async {
            let _dropped = Dropped(&drops);
            pending::<()>().await;
        });
        assert_eq!((poll(&mut unfinished), kept()), (Poll::Pending, 0));
        drop(unfinished);
        assert_eq!((drops.get(), kept()), (3, 1));
    }

    #[test]
    fn the_alignment_is_right_and_a_place_serves_again() {
        #[repr(align(64))]
        struct Aligned(u8);
        let aligned = Aligned(3);
        let future = poll_fn(move |_| Poll::Ready((std::ptr::from_ref(&aligned).addr() % 64, aligned.0)));
        assert_eq!(poll(&mut RecycledFuture::new(future)), Poll::Ready((0, 3)));
        assert_eq!(kept(), 0);
        let first = RecycledFuture::new(ready(1)).future.addr();
        let second = RecycledFuture::new(async { "another type" }).future.addr();
        assert_eq!(first, second);
    }

    #[test]
    fn no_more_are_kept_than_so_many() {
        let many: Vec<_> = (0..2 * KEPT as usize).map(|i| RecycledFuture::new(ready(i))).collect();
        drop(many);
        assert_eq!(kept(), KEPT as usize);
    }

    #[test]
    fn a_thread_that_ends_keeps_nothing() {
        thread_local! {
            static LATE: std::cell::RefCell<Option<RecycledFuture<'static, i32>>> = const { std::cell::RefCell::new(None) };
        }
        let thread = std::thread::spawn(|| {
            // First used before the places are: destroyed after them, with a future in one of them.
            LATE.with(|_| ());
            drop(RecycledFuture::new(ready(1)));
            LATE.set(Some(RecycledFuture::new(ready(2))));
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
        let mut one = RecycledFuture::new(poll_fn(|_| -> Poll<()> { panic!("polled") }));
        assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut one))).is_err());
        drop(one);
        let panics = (Panics, Rc::clone(&shared));
        let two = RecycledFuture::new(async move {
            let _panics = panics;
            pending::<()>().await;
        });
        assert!(catch_unwind(AssertUnwindSafe(|| drop(two))).is_err());
        assert_eq!(Rc::strong_count(&shared), 1);
        assert_eq!(poll(&mut RecycledFuture::new(ready(7))), Poll::Ready(7));
    }
}
