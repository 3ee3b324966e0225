//! What runs around handlers: hooks of an application, of a group of routes, or of one route.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;

use crate::log;
use crate::web::application::Application;
use crate::web::around::{Layer, Next, Way};
use crate::web::context::{Context, misuse};
use crate::web::cors::Cors;
use crate::web::debug::take_panic_location;
use crate::web::error::{Error, Result};
use crate::web::methods::Methods;
use crate::web::route::UrlSpec;

type After = Rc<dyn Fn(&Context) -> Result>;
type OnFinish = Rc<dyn Fn(&Context)>;

/// Hooks in the order in which they stand around a handler, the outermost first.
#[derive(Clone, Default)]
pub(in crate::web) struct Hooks {
    cors: Vec<Hook<Rc<Cors>>>,
    layers: Vec<Hook<Layer>>,
    after: Vec<Hook<After>>,
    on_finish: Vec<Hook<OnFinish>>,
}

/// A hook, perhaps for some methods only: those of the function whose route has it.
#[derive(Clone)]
pub(in crate::web) struct Hook<F> {
    pub(in crate::web) call: F,
    methods: Option<Methods>,
}

macro_rules! builders {
    ($(#[$doc:meta])* $type:ty, $($place:ident).+) => {
        $(#[$doc])*
        impl $type {
            /// Calls this ahead of each handler, before its body has been read if it streams that, and before
            /// [`Site::prepare`](crate::web::Site::prepare).
            ///
            /// It may finish the response, or return an error, which is answered as one of the handler; the handler
            /// is then not called. Several are called in the order in which they were added, those of the application
            /// first, then those of the groups from the outermost on. It runs for requests that no route takes and for
            /// methods that the handler lacks as well, not for [CORS preflight](Cors).
            ///
            /// Routers and delegates work below handlers and have no hooks: in a group with hooks they are an error at
            /// start-up, those of an application do not see what they serve.
            #[must_use]
            #[doc(alias = "middleware")]
            pub fn before(mut self, hook: impl AsyncFn(&Context) -> Result + 'static) -> Self {
                self.$($place).+.add_before(hook);
                self
            }

            /// Puts this around each handler: it calls what is further in with [`Next::run`], before which it may look and
            /// answer instead, and after which it sees status, headers and what was written, unless the handler
            /// has sent them; with a span or a time limit around the call if it likes.
            ///
            /// Hooks [`before`](Self::before) a handler are short forms of this, and both are called in the order in which
            /// they were added, those of the application first, then those of the groups from the outermost on. What
            /// [`before`](Self::before) says about routers and delegates holds here too.
            ///
            /// An error of the handler, a panic included, comes out of [`Next::run`]; its page is written when all layers
            /// have passed it on. What is to be done to every head, those of error pages included, belongs
            /// [`after`](Self::after); what is to be counted, [`on_finish`](Self::on_finish).
            ///
            /// ```
            /// use std::time::Instant;
            /// use squall::{Application, Context, get, web::Next};
            ///
            /// let app = Application::new([get("/", async |ctx: &Context| { ctx.write("hello"); Ok(()) })])
            ///     .around(async |ctx: &Context, next: Next<'_>| {
            ///         let start = Instant::now();
            ///         next.run(ctx).await?;
            ///         Ok(ctx.set_header("Server-Timing", format!("app;dur={}", start.elapsed().as_millis()))?)
            ///     });
            /// # let _ = app;
            /// ```
            #[must_use]
            #[doc(alias = "middleware")]
            #[doc(alias = "layer")]
            pub fn around(mut self, layer: impl AsyncFn(&Context, Next<'_>) -> Result + 'static) -> Self {
                self.$($place).+.add_around(layer);
                self
            }

            /// Calls this when the head of a response is about to be sent: that of a handler, of a hook
            /// before it, or an error page. It may still change status and headers, and add to the body; it must not
            /// finish the response.
            ///
            /// Several are called the other way round than those [`before`](Self::before): the last one added first, the
            /// application's last. An error is answered instead of the response, and then the hooks are called for that error
            /// page too, where a second error is only logged.
            #[must_use]
            #[doc(alias = "middleware")]
            pub fn after(mut self, hook: impl Fn(&Context) -> Result + 'static) -> Self {
                self.$($place).+.add_after(hook);
                self
            }

            /// Calls this when a request is over, whatever became of it: the response was handed to the connection, or
            /// the client left. Nothing can be written any more. Each request for which hooks
            /// [`before`](Self::before) it were called ends here, once, unless the server is closed meanwhile.
            #[must_use]
            pub fn on_finish(mut self, hook: impl Fn(&Context) + 'static) -> Self {
                self.$($place).+.add_on_finish(hook);
                self
            }

            /// Lets pages of other origins read the responses. Around one route the innermost rules count.
            #[must_use]
            pub fn cors(mut self, cors: Cors) -> Self {
                self.$($place).+.add_cors(cors);
                self
            }
        }
    };
}

builders! {
    /// # Hooks
    ///
    /// Around every handler of the application, errors and unknown paths included.
    ///
    /// ```
    /// use std::cell::Cell;
    /// use squall::{Application, Context, HttpError, get, web::nest};
    ///
    /// let requests = Cell::new(0_u64);
    /// let app = Application::new([
    ///     get("/", async |ctx: &Context| { ctx.write("for all"); Ok(()) }),
    ///     // The routes of a group, for those who know the word only.
    ///     nest("/admin", [get("/users", async |ctx: &Context| { ctx.write("a"); Ok(()) })])
    ///         .before(async |ctx: &Context| match ctx.request().headers().get("Authorization") {
    ///             Some("Bearer sesame") => Ok(()),
    ///             _ => Err(HttpError::new(401).header("WWW-Authenticate", "Bearer").into()),
    ///         }),
    /// ])
    /// // The name of the request in every response: what the proxy gave it, or a new one.
    /// .after(move |ctx| {
    ///     requests.set(requests.get() + 1);
    ///     match ctx.request().headers().get("X-Request-Id") {
    ///         Some(id) => ctx.set_header("X-Request-Id", id)?,
    ///         None => ctx.set_header("X-Request-Id", requests.get())?,
    ///     }
    ///     Ok(())
    /// })
    /// // How long it took, for the browser's tools.
    /// .after(|ctx| {
    ///     let ms = ctx.request().request_time().as_secs_f64() * 1000.0;
    ///     Ok(ctx.set_header("Server-Timing", format!("app;dur={ms:.1}"))?)
    /// })
    /// // Security headers.
    /// .after(|ctx| {
    ///     ctx.set_header("X-Content-Type-Options", "nosniff")?;
    ///     Ok(ctx.set_header("Referrer-Policy", "same-origin")?)
    /// })
    /// // Metrics.
    /// .on_finish(|ctx| println!("{} {}", ctx.status(), ctx.request().path()));
    /// # let _ = app;
    /// ```
    Application, settings.hooks
}
builders! {
    /// # Hooks
    ///
    /// Around the route; around all routes inside of it when it is made with [`nest`](crate::web::nest) or [`rules`](crate::web::rules). Of several functions of one
    /// pattern, each has its own.
    UrlSpec, hooks
}

impl Hooks {
    fn add_before(&mut self, hook: impl AsyncFn(&Context) -> Result + 'static) {
        self.layers.push(Hook::new(Layer::Before(Rc::new(hook))));
    }

    fn add_around(&mut self, layer: impl AsyncFn(&Context, Next<'_>) -> Result + 'static) {
        self.layers.push(Hook::new(Layer::Around(Rc::new(Box::new(layer)))));
    }

    /// Ahead of all others, whenever it was added.
    pub(in crate::web) fn add_first(&mut self, hook: impl Fn(&Context) -> Result + 'static) {
        let call = async move |ctx: &Context| hook(ctx);
        self.layers.insert(0, Hook::new(Layer::Before(Rc::new(call))));
    }

    pub(in crate::web) fn add_after(&mut self, hook: impl Fn(&Context) -> Result + 'static) {
        self.after.push(Hook::new(Rc::new(hook)));
    }

    fn add_on_finish(&mut self, hook: impl Fn(&Context) + 'static) {
        self.on_finish.push(Hook::new(Rc::new(hook)));
    }

    fn add_cors(&mut self, cors: Cors) {
        self.cors.push(Hook::new(Rc::new(cors)));
    }

    pub(in crate::web) fn is_empty(&self) -> bool {
        self.cors.is_empty() && self.layers.is_empty() && self.after.is_empty() && self.on_finish.is_empty()
    }

    /// What is wrong with them.
    pub(in crate::web) fn problems(&self) -> impl Iterator<Item = String> {
        self.cors.iter().flat_map(|hook| hook.call.problems())
    }

    /// These, with `inner` inside of them.
    pub(in crate::web) fn around(&self, inner: Self) -> Self {
        let mut all = self.clone();
        all.extend(inner);
        all
    }

    pub(in crate::web) fn extend(&mut self, inner: Self) {
        self.cors.extend(inner.cors);
        self.layers.extend(inner.layers);
        self.after.extend(inner.after);
        self.on_finish.extend(inner.on_finish);
    }

    /// Restricts those that have no restriction yet.
    pub(in crate::web) fn only_for(&mut self, methods: Methods) {
        self.cors.iter_mut().for_each(|hook| hook.only_for(methods));
        self.layers.iter_mut().for_each(|hook| hook.only_for(methods));
        self.after.iter_mut().for_each(|hook| hook.only_for(methods));
        self.on_finish.iter_mut().for_each(|hook| hook.only_for(methods));
    }

    /// What answers a preflight request instead of the handler and of what stands around it.
    #[inline]
    pub(in crate::web) fn preflight(&self, ctx: &Context) -> Option<&Cors> {
        if self.cors.is_empty() {
            return None;
        }
        Cors::preflight_for(ctx.request()).and_then(|method| self.cors_for(method))
    }

    /// To the handler, through what stands around it.
    #[inline]
    pub(in crate::web) fn way_to<'a>(
        &'a self,
        handler: Pin<&'a mut (dyn Future<Output = Result> + 'a)>,
    ) -> Way<'a> {
        Way::new(&self.layers, handler)
    }

    /// Whether something [comes ahead](Self::run_after) of the head.
    #[inline]
    fn have_after(&self) -> bool {
        !self.after.is_empty() || !self.cors.is_empty()
    }

    /// What comes ahead of the head.
    pub(in crate::web) fn run_after(&self, ctx: &Context) -> Result {
        for hook in self.after.iter().rev().filter(|hook| hook.is_for(ctx)) {
            let done = catch_unwind(AssertUnwindSafe(|| (hook.call)(ctx)));
            done.unwrap_or_else(|payload| Err(Error::panic(&*payload, take_panic_location())))?;
        }
        let method = Cors::preflight_for(ctx.request()).unwrap_or(ctx.method().as_str());
        match self.cors_for(method) {
            Some(cors) => cors.add_headers(ctx),
            None => Ok(()),
        }
    }

    #[inline]
    pub(in crate::web) fn run_on_finish(&self, ctx: &Context) {
        if !self.on_finish.is_empty() {
            self.run_all_on_finish(ctx);
        }
    }

    fn run_all_on_finish(&self, ctx: &Context) {
        for hook in self.on_finish.iter().rev().filter(|hook| hook.is_for(ctx)) {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| (hook.call)(ctx))) {
                crate::ioloop::log_panic("on_finish hook", &*payload);
            }
        }
    }

    fn cors_for(&self, method: &str) -> Option<&Cors> {
        self.cors.iter().rfind(|hook| hook.is_for_named(method)).map(|hook| &*hook.call)
    }
}

impl<F> Hook<F> {
    fn new(call: F) -> Self {
        Self { call, methods: None }
    }

    fn only_for(&mut self, methods: Methods) {
        self.methods.get_or_insert(methods);
    }

    #[inline]
    pub(in crate::web) fn is_for(&self, ctx: &Context) -> bool {
        self.methods.is_none_or(|methods| methods.answers(ctx.method()))
    }

    /// [`is_for`](Self::is_for) a request with another method.
    fn is_for_named(&self, method: &str) -> bool {
        self.methods.is_none_or(|methods| methods.answers_named(method))
    }
}

/// How far the hooks of one response are that run [ahead of its head](Hooks::run_after).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum HeadHooks {
    #[default]
    Due,
    /// Due, and an error of theirs cannot be answered: the response is an error page already.
    DueForPage,
    Running,
    Done,
}

impl Context {
    /// Calls the hooks ahead of the head, unless they have been called for this response.
    pub(in crate::web) fn run_head_hooks(&self) -> Result {
        let Some(hooks) = self.route().hooks().filter(|hooks| hooks.have_after()) else { return Ok(()) };
        let is_page = match self.head_hooks.get() {
            HeadHooks::Due => false,
            HeadHooks::DueForPage => true,
            HeadHooks::Done => return Ok(()),
            HeadHooks::Running => {
                return Err(misuse("A hook ahead of the head cannot send it".to_owned()));
            }
        };
        self.head_hooks.set(HeadHooks::Running);
        let run = hooks.run_after(self);
        self.head_hooks.set(HeadHooks::Done);
        match run {
            Err(error) if is_page => {
                tracing::error!(target: log::APPLICATION, "Uncaught exception in a hook for an error page: {error}");
                Ok(())
            }
            run => run,
        }
    }

    /// The response starts anew as an error page.
    pub(in crate::web) fn reset_head_hooks(&self) {
        self.head_hooks.set(HeadHooks::DueForPage);
    }
}
