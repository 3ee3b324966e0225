//! What stands around a handler and may do anything with it: the layers of [`around`](crate::web::Application::around), and
//! those that are ready made.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::locks::Semaphore;
use crate::web::context::Context;
use crate::web::debug::take_panic_location;
use crate::web::disconnected::Disconnected;
use crate::web::error::{Error, HttpError, Result};
use crate::web::hooks::Hook;
use crate::web::target::{BoxedResult, Function};

/// What [`around`](crate::web::Application::around) was given. It is borrowed by its future, which so needs no count of its
/// own and no future around it.
pub(in crate::web) trait Around {
    fn call<'a>(&'a self, ctx: &'a Context, next: Next<'a>) -> BoxedResult<'a>;
}

impl<F: AsyncFn(&Context, Next<'_>) -> Result> Around for F {
    fn call<'a>(&'a self, ctx: &'a Context, next: Next<'a>) -> BoxedResult<'a> {
        Box::pin(self(ctx, next))
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
    pub async fn run(self, ctx: &Context) -> Result {
        let method = ctx.method().as_str();
        let Self { layers, handler } = self;
        for (at, layer) in layers.iter().enumerate().filter(|(_, layer)| layer.is_for(method)) {
            match &layer.call {
                Layer::Before(hook) => {
                    catch(hook(ctx)).await?;
                    if ctx.is_finished() {
                        return Ok(());
                    }
                }
                Layer::Around(layer) => {
                    return catch(layer.call(ctx, Next { layers: &layers[at + 1..], handler })).await;
                }
            }
        }
        catch(handler).await
    }
}

/// Makes a panic an error, at once and not only in the outermost layer, so that each layer sees it.
async fn catch(mut work: impl Future<Output = Result> + Unpin) -> Result {
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut work).poll(cx))) {
        Ok(poll) => poll,
        Err(payload) => Poll::Ready(Err(Error::panic(&*payload, take_panic_location()))),
    })
    .await
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
