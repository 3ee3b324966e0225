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
    fn call<'a>(&'a self, ctx: &'a Context, next: Next<'a>) -> RecycledFuture<'a, Result>;
}

impl<F: AsyncFn(&Context, Next<'_>) -> Result> Around for F {
    fn call<'a>(&'a self, ctx: &'a Context, next: Next<'a>) -> RecycledFuture<'a, Result> {
        RecycledFuture::new(self(ctx, next))
    }
}

/// One step on the way to a handler.
#[derive(Clone)]
pub(in crate::web) enum Layer {
    Before(Function),
    Around(Rc<dyn Around>),
}

/// The rest of the way: the layers further in, and the handler.
///
/// Dropped without [`run`](Self::run), the handler is not called, and the response is what was written so far.
#[must_use = "without it the handler is not called"]
pub struct Next<'a> {
    layers: &'a [Hook<Layer>],
    handler: Pin<&'a mut (dyn Future<Output = Result> + 'a)>,
}

impl<'a> Next<'a> {
    pub(in crate::web) fn new(
        layers: &'a [Hook<Layer>],
        handler: Pin<&'a mut (dyn Future<Output = Result> + 'a)>,
    ) -> Self {
        Self { layers, handler }
    }

    /// Calls what is further in, the handler in the end. When it returns, status, headers and what was written are in `ctx`,
    /// unless the handler has sent them already; they may still be changed.
    ///
    /// Dropped before it is done, what is further in is not driven on.
    ///
    /// # Errors
    /// The handler's, or that of a layer between; a panic of theirs is one too. Passed on, it is answered as the handler's
    /// would be; a layer that does not pass it on has to answer itself.
    pub fn run<'c>(self, ctx: &'c Context) -> impl Future<Output = Result> + use<'c>
    where
        'a: 'c,
    {
        Running { ctx, layers: self.layers, handler: Some(self.handler), work: None }
    }
}

/// A request on its way to the handler. By hand, since an `async fn` would keep its arguments twice: each layer holds one of
/// these, and moves it.
struct Running<'a> {
    ctx: &'a Context,
    /// Those that are still to come.
    layers: &'a [Hook<Layer>],
    /// `None` once a layer has it.
    handler: Option<Pin<&'a mut (dyn Future<Output = Result> + 'a)>>,
    work: Option<Work<'a>>,
}

/// A layer that waits for something.
enum Work<'a> {
    Before(RecycledFuture<'a, Result>),
    Around(RecycledFuture<'a, Result>),
}

impl Future for Running<'_> {
    type Output = Result;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result> {
        let this = &mut *self;
        match &mut this.work {
            None => {}
            Some(Work::Around(around)) => return catch(Pin::new(around), cx),
            Some(Work::Before(before)) => {
                ready!(catch(Pin::new(before), cx))?;
                this.work = None;
                if this.ctx.is_finished() {
                    return Poll::Ready(Ok(()));
                }
            }
        }
        while let Some((layer, inner)) = this.layers.split_first() {
            this.layers = inner;
            match &layer.call {
                _ if !layer.is_for(this.ctx) => {}
                Layer::Before(before) => {
                    let mut before = before.call(this.ctx);
                    match catch(Pin::new(&mut before), cx) {
                        Poll::Ready(done) => done?,
                        Poll::Pending => {
                            this.work = Some(Work::Before(before));
                            return Poll::Pending;
                        }
                    }
                    if this.ctx.is_finished() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Layer::Around(around) => {
                    let Some(handler) = this.handler.take() else { break };
                    let mut around = around.call(this.ctx, Next { layers: inner, handler });
                    let polled = catch(Pin::new(&mut around), cx);
                    if polled.is_pending() {
                        this.work = Some(Work::Around(around));
                    }
                    return polled;
                }
            }
        }
        match &mut this.handler {
            Some(handler) => catch(handler.as_mut(), cx),
            // A layer that was done has had it: this is polled once too often.
            None => Poll::Ready(Ok(())),
        }
    }
}

/// Makes a panic an error, at once and not only in the outermost layer, so that each layer sees it.
#[inline(always)] // 12 instructions for each layer
fn catch(work: Pin<&mut (impl Future<Output = Result> + ?Sized)>, cx: &mut TaskContext<'_>) -> Poll<Result> {
    match catch_unwind(AssertUnwindSafe(|| work.poll(cx))) {
        Ok(poll) => poll,
        Err(payload) => Poll::Ready(Err(Error::panic(&*payload, take_panic_location()))),
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
