//! From a matched request to a finished response: the order in which a handler's methods are called.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http::Method;
use tracing::{Instrument, Span};

use crate::httputil::{BodyKind, HandlerWork, HttpServerRequest, Started};
use crate::ioloop::{at, catch_panic};
use crate::log;
use crate::routing::PathArgs;
use crate::web::access_log::Took;
use crate::web::application::Core;
use crate::web::context::Context;
use crate::web::debug::take_panic_location;
use crate::web::disconnected::Disconnected;
use crate::web::error::{Error, HttpError, Result};
use crate::web::handler::RequestHandler;
use crate::web::methods::{Methods, Verb};
use crate::web::metrics::{CLIENT_LEFT, count_request};
use crate::web::receive::{BodyChannel, BufferedRequest, Collected, StreamedRequest};
use crate::web::routes::Route;
use crate::web::span;
use crate::web::target::{Calling, Function, Target};

/// A handler at work on one request.
pub(in crate::web) trait Serve {
    async fn serve(&mut self, ctx: &Context) -> Result;

    async fn write_error(&mut self, ctx: &Context, error: &Error) -> Result {
        ctx.write_site_error(error).await
    }

    fn on_connection_close(&mut self, _ctx: &Context) {}

    fn on_finish(&mut self, _ctx: &Context) {}
}

/// What answers the methods of a route: a handler's clone, or the function that was chosen.
trait Resource {
    fn methods(&self) -> Methods;

    async fn prepare(&mut self, _ctx: &Context) -> Result {
        Ok(())
    }

    async fn data_received(&mut self, _ctx: &Context, _chunk: Bytes) -> Result {
        Ok(())
    }

    /// Of one of its methods. `verb` is what stands for it.
    async fn answer(&mut self, ctx: &Context, verb: Verb) -> Result;

    async fn write_error(&mut self, ctx: &Context, error: &Error) -> Result {
        ctx.write_site_error(error).await
    }

    fn on_connection_close(&mut self, _ctx: &Context) {}

    fn on_finish(&mut self, _ctx: &Context) {}
}

/// The one order of things, for types and functions alike; it is Tornado's.
async fn serve_in_order<R: Resource>(resource: &mut R, ctx: &Context) -> Result {
    let method = ctx.method();
    let methods = resource.methods();
    let verb = methods.standing_for(method);
    let has_answer = methods.has(verb, method);
    let known = has_answer || verb == Verb::Options;
    // `prepare` comes before the refusal of a standard method that is not defined: it may answer all.
    if !known && verb == Verb::Other {
        return Err(ctx.method_not_allowed());
    }
    match ctx.check_form() {
        Some(checked) => checked?,
        None => ctx.check_large_form().await?,
    }
    ctx.guard_xsrf()?;
    if !ctx.sites().is_empty() {
        // Boxed, as below.
        Box::pin(ctx.sites().prepare(ctx)).await?;
    }
    if ctx.is_finished() {
        return Ok(());
    }
    resource.prepare(ctx).await?;
    let options = ctx.route().options();
    if !ctx.is_finished() {
        // Before a body is read that nobody will look at.
        if !known {
            return Err(ctx.method_not_allowed());
        }
        if options.is_authenticated(verb, method) {
            // Boxed: it need not make the future of every other handler larger.
            Box::pin(ctx.require_any_user()).await?;
        }
        options.trailing_slash.enforce(ctx)?;
    }
    if has_answer
        && !options.pulls_body
        && let Some(body) = &ctx.body
    {
        while !ctx.is_finished()
            && let Some(chunk) = body.next().await
        {
            resource.data_received(ctx, chunk).await?;
        }
        if body.is_cut_off() {
            return Err(ClientLeft.into());
        }
    }
    if ctx.is_finished() {
        Ok(())
    } else if has_answer {
        resource.answer(ctx, verb).await
    } else {
        answer_options(ctx)
    }
}

impl<R: Resource> Serve for R {
    fn serve(&mut self, ctx: &Context) -> impl Future<Output = Result> {
        serve_in_order(self, ctx)
    }

    fn write_error(&mut self, ctx: &Context, error: &Error) -> impl Future<Output = Result> {
        Resource::write_error(self, ctx, error)
    }

    fn on_connection_close(&mut self, ctx: &Context) {
        Resource::on_connection_close(self, ctx);
    }

    fn on_finish(&mut self, ctx: &Context) {
        Resource::on_finish(self, ctx);
    }
}

/// The function that has the answer, of those of a route.
pub(in crate::web) struct Chosen {
    /// Those of all of them.
    pub(in crate::web) methods: Methods,
    pub(in crate::web) function: Option<Function>,
}

impl Resource for Chosen {
    fn methods(&self) -> Methods {
        self.methods
    }

    async fn answer(&mut self, ctx: &Context, _verb: Verb) -> Result {
        match &self.function {
            Some(function) => Calling::new(&**function, ctx).await,
            None => Err(ctx.method_not_allowed()),
        }
    }
}

/// One clone of a handler.
pub(in crate::web) struct Instance<H>(pub(in crate::web) H);

impl<H: RequestHandler> Resource for Instance<H> {
    fn methods(&self) -> Methods {
        H::METHODS
    }

    async fn prepare(&mut self, ctx: &Context) -> Result {
        self.0.prepare(ctx).await
    }

    async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        self.0.data_received(ctx, chunk).await
    }

    async fn answer(&mut self, ctx: &Context, verb: Verb) -> Result {
        let handler = &mut self.0;
        match verb {
            _ if H::METHODS.is_any() => handler.other(ctx).await,
            Verb::Get => handler.get(ctx).await,
            Verb::Head => handler.head(ctx).await,
            Verb::Post => handler.post(ctx).await,
            Verb::Put => handler.put(ctx).await,
            Verb::Patch => handler.patch(ctx).await,
            Verb::Delete => handler.delete(ctx).await,
            Verb::Options => handler.options(ctx).await,
            Verb::Other => handler.other(ctx).await,
        }
    }

    async fn write_error(&mut self, ctx: &Context, error: &Error) -> Result {
        self.0.write_error(ctx, error).await
    }

    fn on_connection_close(&mut self, ctx: &Context) {
        self.0.on_connection_close(ctx);
    }

    fn on_finish(&mut self, ctx: &Context) {
        self.0.on_finish(ctx);
    }
}

/// RFC 9110 §9.3.7: what the resource can be asked.
fn answer_options(ctx: &Context) -> Result {
    ctx.set_status(204);
    ctx.set_header("Allow", ctx.route().target().methods().allow())?;
    Ok(())
}

/// The streamed body ended with the connection; there is nobody to answer.
#[derive(Debug)]
pub(in crate::web) struct ClientLeft;

impl std::fmt::Display for ClientLeft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the client left in the middle of the body")
    }
}

impl std::error::Error for ClientLeft {}

/// Serves one request from `prepare` to `on_finish`.
#[expect(clippy::manual_async_fn, reason = "an async fn would keep its arguments twice")]
pub(in crate::web) fn execute<S: Serve>(mut handler: S, ctx: Context) -> impl Future<Output = ()> {
    async move {
        let span = ctx.open_span();
        let served = {
            // Not `catch_panic`, which would make this future hold the handler's twice.
            let mut serving = pin!(async {
                match ctx.route().hooks() {
                    None => handler.serve(&ctx).await,
                    Some(hooks) => match hooks.preflight(&ctx) {
                        Some(cors) => cors.answer_preflight(&ctx),
                        None => hooks.way_to(pin!(handler.serve(&ctx))).run(&ctx).await,
                    },
                }
            });
            poll_fn(|cx| {
                let _entered = span.as_deref().map(Span::enter);
                let poll = || catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(cx)));
                match at(|| ctx.route().place(), poll) {
                    Ok(Poll::Pending) => {
                        if let Some(rare) = ctx.rare_if_any() {
                            rare.heartbeat.poll(&ctx, cx);
                        }
                        Poll::Pending
                    }
                    Ok(ready) => ready,
                    Err(payload) => Poll::Ready(Err(Error::panic(&*payload, take_panic_location()))),
                }
            })
            .await
        };
        let served = match served {
            Ok(()) if !ctx.is_finished() => ctx.end().await,
            served => served,
        };
        match served {
            Err(error) if error.downcast_ref::<ClientLeft>().is_some() => {
                return left(&mut handler, &ctx);
            }
            // Boxed: errors are rare, and their way need not make every request's future larger.
            Err(error) => {
                let span = span.as_deref().cloned().unwrap_or_else(Span::none);
                Box::pin(recover(&mut handler, &ctx, error).instrument(span)).await;
            }
            Ok(()) => {}
        }
        let took = Took::of(ctx.request());
        ctx.in_request_span(|| {
            guard("on_finish", || handler.on_finish(&ctx));
            if let Some(hooks) = ctx.route().hooks() {
                hooks.run_on_finish(&ctx);
            }
            ctx.core().log_request(&ctx, &took);
        });
        if let Some(span) = &span {
            span::close(span, ctx.status(), took.time());
        }
        count_request(&ctx, ctx.status(), &took);
    }
}

/// The client left in the middle of the body.
fn left<S: Serve>(handler: &mut S, ctx: &Context) {
    guard("on_connection_close", || handler.on_connection_close(ctx));
    ctx.abort();
    if let Some(hooks) = ctx.route().hooks() {
        hooks.run_on_finish(ctx);
    }
    count_request(ctx, CLIENT_LEFT, &Took::of(ctx.request()));
}

/// Turns an error into a response.
async fn recover<S: Serve>(handler: &mut S, ctx: &Context, error: Error) {
    if let Some(finish) = error.as_finish() {
        if ctx.is_finished() {
            return;
        }
        ctx.write(finish.chunk());
        match ctx.end().await {
            Ok(()) => return,
            Err(error) => return fail(ctx, &error),
        }
    }
    if is_disconnected(&error) {
        tracing::debug!(target: log::GENERAL, "{} {}: {error}", ctx.method(), ctx.request().uri());
        if !ctx.is_finished() {
            ctx.abort();
        }
        return;
    }
    let error = ctx.core().map_error(error);
    ctx.in_request_span(|| Core::log_exception(ctx, &error));
    if ctx.is_finished() {
        return;
    }
    if ctx.headers_sent() {
        tracing::error!(target: log::GENERAL, "Cannot send error response after headers written");
        ctx.abort();
        return;
    }
    ctx.start_error(&error);
    if !ctx.has_no_body() {
        // A page may show who asks in which language, and cannot wait for it.
        ctx.know_user_and_locale().await;
        let written = match catch_panic(handler.write_error(ctx, &error)).await {
            Ok(written) => written,
            Err(payload) => Err(Error::panic(&*payload, take_panic_location())),
        };
        if let Err(second) = written {
            tracing::error!(target: log::APPLICATION, "Uncaught exception in write_error: {second}");
            if ctx.headers_sent() {
                return fail(ctx, &second);
            }
            ctx.start_error(&error);
            ctx.write_default_error();
        }
    }
    if !ctx.is_finished()
        && let Err(error) = ctx.end().await
    {
        fail(ctx, &error);
    }
}

/// The client left, which is no error of anybody's.
fn is_disconnected(error: &Error) -> bool {
    error.foreign().is_some_and(<dyn std::error::Error>::is::<Disconnected>)
}

/// The response could not even be finished: all that is left is not to let it look complete.
fn fail(ctx: &Context, error: &Error) {
    if is_disconnected(error) {
        tracing::debug!(target: log::GENERAL, "{} {}: {error}", ctx.method(), ctx.request().uri());
    } else {
        tracing::error!(target: log::APPLICATION, "Cannot finish the response: {error}");
    }
    if !ctx.is_finished() {
        ctx.abort();
    }
}

fn guard(what: &str, call: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
        crate::ioloop::log_panic(what, &*payload);
    }
}

/// What is known once a request has been routed.
pub(in crate::web) struct Matched {
    pub(in crate::web) core: Rc<Core>,
    pub(in crate::web) route: Rc<Route>,
    pub(in crate::web) request: HttpServerRequest,
    pub(in crate::web) args: PathArgs,
}

impl Matched {
    /// Starts the handler, or collects the body for it first.
    pub(in crate::web) fn start_request(self, body: BodyKind) -> Started {
        let streams = self.route.options().stream_body;
        if body == BodyKind::None {
            let body = streams.then(|| Rc::new(BodyChannel::at_its_end()));
            return Started::Handler(self.start(body));
        }
        Started::Message(if streams || self.is_refused_at_once() {
            let body = Rc::new(BodyChannel::default());
            let handler = self.start(Some(Rc::clone(&body)));
            Box::new(StreamedRequest { handler: Some(handler), body })
        } else {
            Box::new(BufferedRequest { matched: self, body: Collected::Nothing })
        })
    }

    /// A client that asks before it sends a body is not told to go on when the body cannot change the answer, such as a
    /// 404 or 405 (RFC 9110 §10.1.1).
    fn is_refused_at_once(&self) -> bool {
        let expects = self.request.headers().get("Expect");
        expects.is_some_and(|expected| expected.eq_ignore_ascii_case("100-continue"))
            && !self.route.target().reads_body(self.request.method())
    }

    pub(in crate::web) fn start(self, body: Option<Rc<BodyChannel>>) -> HandlerWork {
        let Self { core, route, request, args } = self;
        let values =
            if args.is_empty() { Ok(None) } else { args.decode(request.path()).map(|v| Some(Box::new(v))) };
        match values {
            Ok(values) => {
                let handler = Rc::clone(&route);
                handler.target().start(Context::new(core, route, request, values, body))
            }
            Err(error) => {
                let error = HttpError::refusal(400, error.to_string());
                HandlerWork::new(|| {
                    execute(Refusal(Some(error)), Context::new(core, route, request, None, None))
                })
            }
        }
    }
}

/// A request that is answered with an error before any handler sees it.
struct Refusal(Option<HttpError>);

impl Serve for Refusal {
    async fn serve(&mut self, _ctx: &Context) -> Result {
        Err(self.0.take().unwrap_or_else(|| HttpError::new(500)).into())
    }
}

/// Answers with an error page.
pub(in crate::web) struct ErrorTarget(pub(in crate::web) u16);

impl Target for ErrorTarget {
    fn name(&self) -> String {
        self.0.to_string()
    }

    fn methods(&self) -> Methods {
        Methods::ANY
    }

    fn reads_body(&self, _method: &Method) -> bool {
        false
    }

    fn start(&self, ctx: Context) -> HandlerWork {
        // Only OPTIONS comes with this target.
        if ctx.request().uri() == "*" {
            return HandlerWork::new(|| execute(ServerOptions, ctx));
        }
        HandlerWork::new(|| execute(Refusal(Some(HttpError::new(self.0))), ctx))
    }
}

/// `OPTIONS *` asks about the server, not about a resource (RFC 9110 §9.3.7).
struct ServerOptions;

impl Serve for ServerOptions {
    async fn serve(&mut self, ctx: &Context) -> Result {
        ctx.set_status(204);
        ctx.set_header("Allow", Methods::ANY.allow())?;
        Ok(())
    }
}
