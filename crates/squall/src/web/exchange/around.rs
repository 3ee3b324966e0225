//! What stands around a handler and may do anything with it: the layers of [`around`](crate::web::Application::around), and
//! those that are ready made.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use crate::locks::Semaphore;
use crate::sys::RecycledFuture;
use crate::web::context::Context;
use crate::web::debug::take_panic_location;
use crate::web::disconnected::Disconnected;
use crate::web::error::{Error, HttpError, Result};
use crate::web::hooks::Hook;
use crate::web::target::Function;

/// What [`around`](crate::web::Application::around) was given. It is borrowed by its future, which so needs no count of its
/// own and no future around it.
pub(in crate::web) trait Around {
    /// What has to wait is left in `waiting`.
    fn start<'c, 'a: 'c>(
        &'c self,
        ctx: &'c Context,
        next: Next<'a>,
        cx: &mut TaskContext<'_>,
        waiting: &mut Option<RecycledFuture<'c, Result>>,
    ) -> Poll<Result>;
}

impl<F: AsyncFn(&Context, Next<'_>) -> Result> Around for F {
    fn start<'c, 'a: 'c>(
        &'c self,
        ctx: &'c Context,
        next: Next<'a>,
        cx: &mut TaskContext<'_>,
        waiting: &mut Option<RecycledFuture<'c, Result>>,
    ) -> Poll<Result> {
        RecycledFuture::start(|| self(ctx, next), cx, waiting)
    }
}

/// One step on the way to a handler.
#[derive(Clone)]
pub(in crate::web) enum Layer {
    Before(Function),
    /// Boxed, so that where it lies is not computed from its alignment for each call: 4 instructions.
    Around(Rc<Box<dyn Around>>),
}

/// The way of one request to its handler. There is one, which the layers hand on.
pub(in crate::web) struct Way<'a> {
    /// Those that are still to come.
    layers: &'a [Hook<Layer>],
    handler: Pin<&'a mut (dyn Future<Output = Result> + 'a)>,
}

/// The rest of the way: the layers further in, and the handler.
///
/// Dropped without [`run`](Self::run), the handler is not called, and the response is what was written so far.
#[must_use = "without it the handler is not called"]
pub struct Next<'a> {
    way: &'a mut Way<'a>,
}

impl<'a> Way<'a> {
    pub(in crate::web) fn new(
        layers: &'a [Hook<Layer>],
        handler: Pin<&'a mut (dyn Future<Output = Result> + 'a)>,
    ) -> Self {
        Self { layers, handler }
    }

    /// [`Next::run`] of all of it, for who catches panics already.
    #[inline]
    pub(in crate::web) fn run(&'a mut self, ctx: &'a Context) -> impl Future<Output = Result> {
        Running::<false> { ctx, way: Some(self), waiting: None }
    }
}

impl<'a> Next<'a> {
    /// Calls what is further in, the handler in the end. When it returns, status, headers and what was written are in `ctx`,
    /// unless the handler has sent them already; they may still be changed.
    ///
    /// Dropped before it is done, what is further in is not driven on.
    ///
    /// # Errors
    /// The handler's, or that of a layer between; a panic of theirs is one too. Passed on, it is answered as the handler's
    /// would be; a layer that does not pass it on has to answer itself.
    pub fn run<'c>(self, ctx: &'c Context) -> impl Future<Output = Result> + use<'a, 'c>
    where
        'a: 'c,
    {
        Running::<true> { ctx, way: Some(self.way), waiting: None }
    }
}

/// A request on its way to the handler. By hand, since an `async fn` would keep its arguments twice: each layer holds one of
/// these, and moves it.
struct Running<'c, 'a, const CATCHES: bool> {
    ctx: &'c Context,
    /// `None` once a layer has it.
    way: Option<&'a mut Way<'a>>,
    /// A layer that waits for something: one ahead of the handler as long as the way is here, else one around it.
    waiting: Option<RecycledFuture<'c, Result>>,
}

impl<const CATCHES: bool> Running<'_, '_, CATCHES> {
    /// Makes a panic an error, at once and not only in the outermost layer, so that each layer sees it.
    #[inline(always)] // 12 instructions for each layer
    fn catch(poll: impl FnOnce() -> Poll<Result>) -> Poll<Result> {
        if !CATCHES {
            return poll();
        }
        catch_unwind(AssertUnwindSafe(poll))
            .unwrap_or_else(|payload| Poll::Ready(Err(Error::panic(&*payload, take_panic_location()))))
    }
}

impl<'a: 'c, 'c, const CATCHES: bool> Future for Running<'c, 'a, CATCHES> {
    type Output = Result;

    #[inline(always)] // 20 instructions
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result> {
        let Self { ctx, way: place, waiting } = &mut *self;
        if let Some(layer) = waiting {
            let done = ready!(Self::catch(|| Pin::new(layer).poll(cx)));
            if place.is_none() || done.is_err() || ctx.is_finished() {
                return Poll::Ready(done);
            }
            *waiting = None;
        }
        // Without one this is polled once too often.
        let Some(way) = place.take() else { return Poll::Ready(Ok(())) };
        while let Some((layer, inner)) = way.layers.split_first() {
            way.layers = inner;
            match &layer.call {
                _ if !layer.is_for(ctx) => {}
                Layer::Before(before) => {
                    let Poll::Ready(done) = Self::catch(|| before.start(ctx, cx, waiting)) else {
                        *place = Some(way);
                        return Poll::Pending;
                    };
                    done?;
                    if ctx.is_finished() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Layer::Around(around) => {
                    return Self::catch(|| around.start(ctx, Next { way }, cx, waiting));
                }
            }
        }
        let poll = Self::catch(|| way.handler.as_mut().poll(cx));
        if poll.is_pending() {
            *place = Some(way);
        }
        poll
    }
}

/// Gives what is further in this much time, then answers 503. For [`around`](crate::web::Application::around).
///
/// The handler is not driven on after that, so what it holds across an `.await` is kept until the response is done, and no
/// longer. A response of which something was sent already is cut off.
///
/// ```
/// use std::time::Duration;
/// use squall::{Application, Context, get, web};
///
/// let app = Application::new([get("/", async |ctx: &Context| { ctx.write("quick"); Ok(()) })])
///     .around(web::timeout(Duration::from_secs(5)));
/// # let _ = app;
/// ```
pub fn timeout(limit: Duration) -> impl AsyncFn(&Context, Next<'_>) -> Result + 'static {
    timeout_with(limit, || HttpError::new(503).message("The server took too long"))
}

/// [`timeout`] with an answer of one's own, such as 504.
pub fn timeout_with(
    limit: Duration,
    answer: impl Fn() -> HttpError + 'static,
) -> impl AsyncFn(&Context, Next<'_>) -> Result + 'static {
    async move |ctx: &Context, next: Next<'_>| match tokio::time::timeout(limit, next.run(ctx)).await {
        Ok(done) => done,
        Err(_) => Err(answer().into()),
    }
}

/// Lets at most `most` requests be further in at once; the others wait, first come, first served. For
/// [`around`](crate::web::Application::around); around several routes they share the limit.
///
/// A client that leaves while it waits is forgotten. Put a [`timeout`] around it to bound the wait.
///
/// # Panics
/// When `most` is zero.
#[track_caller]
pub fn concurrency_limit(most: usize) -> impl AsyncFn(&Context, Next<'_>) -> Result + 'static {
    assert!(most > 0, "a limit of no requests at all");
    let semaphore = Semaphore::new(most);
    async move |ctx: &Context, next: Next<'_>| {
        let _permit = tokio::select! {
            biased;
            permit = semaphore.acquire() => permit,
            () = ctx.closed() => return Err(Disconnected::gone().into()),
        };
        next.run(ctx).await
    }
}
