//! Routes: a pattern, what it leads to, and perhaps a name.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use crate::httputil::{HttpServerConnectionDelegate, HttpServerRequest, Shutdown};
use crate::routing::Router;
use crate::web::context::Context;
use crate::web::error::Result;
use crate::web::handler::RequestHandler;
use crate::web::hooks::Hooks;
use crate::web::methods::Methods;
use crate::web::options::HandlerOptions;
use crate::web::render::{HandlerValues, TemplateSource};
use crate::web::site::{ErasedSite, Site};
use crate::web::slash::TrailingSlash;
use crate::web::target::{Functions, Prototype, Target};

/// A route that has not been put into an application (Tornado's `URLSpec`).
///
/// Made by [`url()`] for handlers, by [`get`] and its like for functions, by [`nest`], [`router`] and [`delegate`].
#[doc(alias = "URLSpec")]
pub struct UrlSpec {
    pub(in crate::web) pattern: String,
    pub(in crate::web) destination: Destination,
    pub(in crate::web) name: Option<String>,
    pub(in crate::web) options: HandlerOptions,
    /// Options that were set where they do nothing.
    pub(in crate::web) without_effect: Vec<&'static str>,
    pub(in crate::web) hooks: Hooks,
    pub(in crate::web) site: Option<Rc<dyn ErasedSite>>,
    pub(in crate::web) templates: Option<TemplateSource>,
    pub(in crate::web) handler_values: HandlerValues,
    pub(in crate::web) location: &'static Location<'static>,
}

/// Where a route leads.
pub(in crate::web) enum Destination {
    Handler(Rc<dyn Target>),
    Functions(Functions),
    /// Whose patterns are what follows this one.
    Prefix(Vec<UrlSpec>),
    /// Whose patterns match the whole path.
    Nested(Vec<UrlSpec>),
    Router(Rc<dyn Router>),
}

/// A route to a handler: Tornado's regexes (`r"/stories/([0-9]+)"`) or templates (`"/stories/{id}"`).
///
/// The pattern must match the whole path. A pattern that does not compile, or lacks a group for a path argument of
/// the handler, is reported when the application starts, with the line of this call.
#[track_caller]
pub fn url<H: RequestHandler>(pattern: impl Into<String>, handler: H) -> UrlSpec {
    UrlSpec::new(pattern.into(), Destination::Handler(Rc::new(Prototype(handler))), Location::caller())
}

macro_rules! function_routes {
    ($($name:ident $method:literal)*) => {$(
        #[doc = concat!("A route to a function that answers `", $method, "`.")]
        ///
        /// Routes with the same pattern and different methods, one behind the other, make up one resource. Path
        /// arguments are read with [`Context::path_arg`]; a closure names the type of its parameter:
        /// `async |ctx: &Context| { ctx.write("ok"); Ok(()) }`.
        #[track_caller]
        pub fn $name<F>(pattern: impl Into<String>, function: F) -> UrlSpec
        where
            F: AsyncFn(&Context) -> Result + 'static,
        {
            UrlSpec::function(pattern.into(), const { Methods::of(&[$method]) }, function, Location::caller())
        }
    )*};
}
function_routes!(get "GET" head "HEAD" post "POST" delete "DELETE" patch "PATCH" put "PUT" options "OPTIONS");

/// A route to a function that answers every method.
#[track_caller]
pub fn any<F: AsyncFn(&Context) -> Result + 'static>(pattern: impl Into<String>, function: F) -> UrlSpec {
    UrlSpec::function(pattern.into(), Methods::ANY, function, Location::caller())
}

/// Routes under a prefix: the pattern of each is what follows it, and begins with a slash or is empty.
///
/// ```
/// use squall::{Application, Context, get, web::nest};
///
/// let app = Application::new([
///     nest("/api", [
///         get("/notes/{id}", async |ctx: &Context| { ctx.write(ctx.path_arg_str("id")?); Ok(()) }).name("note"),
///     ])
///     .after(|ctx| Ok(ctx.set_header("Cache-Control", "no-store")?)),
/// ]);
/// # let _ = app;
/// ```
///
/// Here `/api/notes/7` is answered, and `reverse_url("note", &[&7])` gives it. A prefix may have groups of its own
/// (`"/users/{user}"`), which come before those of the routes. Plain text in it is literal. The routes are tried as if they
/// stood in the place of the group, so those after it may be under the same prefix.
///
/// The group's [site](UrlSpec::site), [layers](UrlSpec::around) and hooks stand around each of its routes, and around
/// the 404 of paths under the prefix that no route takes. For patterns against the whole path see [`rules`].
#[track_caller]
pub fn nest(prefix: impl Into<String>, routes: impl IntoIterator<Item = UrlSpec>) -> UrlSpec {
    let inner = Destination::Prefix(routes.into_iter().collect());
    UrlSpec::new(prefix.into(), inner, Location::caller())
}

/// Routes behind a pattern of their own, each matched against the whole path (a list of rules as the target of one of
/// Tornado's `RuleRouter`). When none of them matches, the routes after this one are tried.
#[doc(alias = "RuleRouter")]
#[track_caller]
pub fn rules(pattern: impl Into<String>, routes: impl IntoIterator<Item = UrlSpec>) -> UrlSpec {
    let nested = Destination::Nested(routes.into_iter().collect());
    UrlSpec::new(pattern.into(), nested, Location::caller())
}

/// A route to a [`Router`] of one's own, which may decline.
#[track_caller]
pub fn router(pattern: impl Into<String>, router: impl Router + 'static) -> UrlSpec {
    UrlSpec::new(pattern.into(), Destination::Router(Rc::new(router)), Location::caller())
}

/// A route to what serves requests below the level of handlers: a
/// [callback](crate::httpserver::callback), or a delegate of one's own.
#[track_caller]
pub fn delegate(
    pattern: impl Into<String>,
    delegate: impl HttpServerConnectionDelegate + 'static,
) -> UrlSpec {
    let always = Always(Rc::new(delegate));
    UrlSpec::new(pattern.into(), Destination::Router(Rc::new(always)), Location::caller())
}

struct Always(Rc<dyn HttpServerConnectionDelegate>);

impl Router for Always {
    fn find_handler(&self, _request: &HttpServerRequest) -> Option<Rc<dyn HttpServerConnectionDelegate>> {
        Some(Rc::clone(&self.0))
    }

    fn on_shutdown(&self, shutdown: &Shutdown) {
        self.0.on_shutdown(shutdown);
    }
}

impl UrlSpec {
    fn new(pattern: String, destination: Destination, location: &'static Location<'static>) -> Self {
        let options = match &destination {
            Destination::Handler(target) => target.options(),
            _ => HandlerOptions::new(),
        };
        Self {
            pattern,
            destination,
            name: None,
            options,
            without_effect: Vec::new(),
            hooks: Hooks::default(),
            site: None,
            templates: None,
            handler_values: HandlerValues::default(),
            location,
        }
    }

    fn function<F: AsyncFn(&Context) -> Result + 'static>(
        pattern: String,
        methods: Methods,
        function: F,
        location: &'static Location<'static>,
    ) -> Self {
        Self::new(pattern, Destination::Functions(Functions::new(methods, function)), location)
    }

    /// On what is no handler, it would do nothing.
    fn option(mut self, name: &'static str, set: impl FnOnce(HandlerOptions) -> HandlerOptions) -> Self {
        match self.destination {
            Destination::Handler(_) | Destination::Functions(_) => self.options = set(self.options),
            _ => self.without_effect.push(name),
        }
        self
    }

    /// Names the route for [`Context::reverse_url`](crate::web::Context::reverse_url).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Chooses otherwise than the handler's [`OPTIONS`](RequestHandler::OPTIONS), which `change` is given.
    ///
    /// Those of a function are for its methods only. On a group, a router or a delegate it is an error at start-up.
    ///
    /// ```
    /// # use squall::{Context, RequestHandler, Result, handler, url};
    /// # #[derive(Clone)]
    /// # struct Upload;
    /// # #[handler(authenticated)]
    /// # impl RequestHandler for Upload {
    /// #     async fn put(&mut self, _ctx: &Context) -> Result { Ok(()) }
    /// # }
    /// use squall::web::Methods;
    ///
    /// let route = url("/drop-box", Upload).options(|options| options.authenticated_for(Methods::NONE).stream_body(true));
    /// # let _ = route;
    /// ```
    #[must_use]
    pub fn options(self, change: impl FnOnce(HandlerOptions) -> HandlerOptions) -> Self {
        self.option("options", change)
    }

    /// [`HandlerOptions::trailing_slash`] of this route: for functions above all.
    #[must_use]
    pub fn trailing_slash(self, slash: TrailingSlash) -> Self {
        self.option("trailing_slash", |options| options.trailing_slash(slash))
    }

    /// [`HandlerOptions::authenticated`] for this route. For a function, its methods only.
    #[must_use]
    pub fn authenticated(self) -> Self {
        self.option("authenticated", HandlerOptions::authenticated)
    }

    /// [`HandlerOptions::xsrf_exempt`] for this route. For a function, its methods only.
    #[must_use]
    pub fn xsrf_exempt(self) -> Self {
        self.option("xsrf_exempt", HandlerOptions::xsrf_exempt)
    }

    /// [`HandlerOptions::default_headers`] of this route: those of [`StaticFileHandler`](crate::web::StaticFileHandler) and the
    /// other ready-made ones do not have them.
    #[must_use]
    pub fn default_headers(self, on: bool) -> Self {
        self.option("default_headers", |options| options.default_headers(on))
    }

    /// The users, error pages, default headers and so on of this route, or of all in this group, instead of those of the
    /// group around it. What `site` does not define stays theirs. Groups under a prefix have it for unknown paths too.
    #[must_use]
    pub fn site(mut self, site: impl Site) -> Self {
        self.site = Some(Rc::new(site));
        self
    }
}

impl fmt::Debug for UrlSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlSpec")
            .field("pattern", &self.pattern)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
