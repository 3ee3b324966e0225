//! Boxed futures in memory that former ones have left.

use std::alloc::Layout;
use std::cell::RefCell;
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
            let place = NonNull::from(Box::leak(take())).cast::<F>();
            // SAFETY: the place was a box's a moment ago, so nobody else has it, and it has the size and the alignment for an
            // `F`, as `fits` has said.
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
            // SAFETY: what fits was put by `new` into a `Box<Place>` that was leaked, and holds nothing any longer.
            keep(unsafe { Box::from_raw(self.future.as_ptr().cast::<Place>()) });
        } else {
            // SAFETY: what does not fit was put by `new` into a box of its own that was leaked.
            drop(unsafe { Box::from_raw(self.future.as_ptr()) });
        }
    }
}

/// Room for nearly every layer around a handler, and for the work of a handler that holds little while it waits: 768 bytes.
type Place = MaybeUninit<[u128; 48]>;

/// So many places are kept.
const KEPT: usize = 64;

thread_local! {
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    static PLACES: RefCell<Vec<Box<Place>>> = const { RefCell::new(Vec::new()) };
}

#[inline]
fn fits(layout: Layout) -> bool {
    layout.size() <= size_of::<Place>() && layout.align() <= align_of::<Place>()
}

#[inline]
fn take() -> Box<Place> {
    let kept = PLACES.try_with(|places| places.borrow_mut().pop()).ok().flatten();
    kept.unwrap_or_else(|| Box::new(Place::uninit()))
}

#[inline]
fn keep(place: Box<Place>) {
    // Without a list the thread is ending.
    let _ = PLACES.try_with(|places| {
        let mut places = places.borrow_mut();
        if places.len() < KEPT {
            places.push(place);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, poll_fn, ready};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;

    fn poll<T>(future: &mut RecycledFuture<'_, T>) -> Poll<T> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn kept() -> usize {
        PLACES.with_borrow(Vec::len)
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
        let many: Vec<_> = (0..2 * KEPT).map(|i| RecycledFuture::new(ready(i))).collect();
        drop(many);
        assert_eq!(kept(), KEPT);
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
