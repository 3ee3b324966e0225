//! Routes: a pattern, what it leads to, and perhaps a name.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use super::context::Context;
use super::error::Result;
use super::execute::{ANY_METHOD, Functions, Prototype, Target};
use super::handler::RequestHandler;
use super::hooks::Hooks;
use super::slash::TrailingSlash;
use crate::httputil::{HttpServerConnectionDelegate, HttpServerRequest};
use crate::routing::{PathArgs, PathPattern, PathTable, Router};

/// A route that has not been put into an application (Tornado's `URLSpec`).
///
/// Made by [`url()`] for handlers, by [`get`] and its like for functions, by [`nest`], [`router`] and [`delegate`].
#[doc(alias = "URLSpec")]
pub struct UrlSpec {
    pattern: String,
    pub(super) destination: Destination,
    name: Option<String>,
    slash: TrailingSlash,
    xsrf_exempt: bool,
    pub(super) hooks: Hooks,
    location: &'static Location<'static>,
}

/// Where a route leads.
pub(super) enum Destination {
    Handler(Rc<dyn Target>),
    Functions(Functions),
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
            UrlSpec::function(pattern.into(), $method, function, Location::caller())
        }
    )*};
}
function_routes!(get "GET" head "HEAD" post "POST" delete "DELETE" patch "PATCH" put "PUT" options "OPTIONS");

/// A route to a function that answers every method.
#[track_caller]
pub fn any<F: AsyncFn(&Context) -> Result + 'static>(pattern: impl Into<String>, function: F) -> UrlSpec {
    UrlSpec::function(pattern.into(), ANY_METHOD, function, Location::caller())
}

/// Routes under a pattern of their own, each matched against the whole path. When none of them matches, the routes
/// after this one are tried.
#[track_caller]
pub fn nest(pattern: impl Into<String>, routes: impl IntoIterator<Item = UrlSpec>) -> UrlSpec {
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

    fn on_shutdown(&self) {
        self.0.on_shutdown();
    }
}

impl UrlSpec {
    fn new(pattern: String, destination: Destination, location: &'static Location<'static>) -> Self {
        let (name, slash, hooks) = (None, TrailingSlash::AsIs, Hooks::default());
        Self { pattern, destination, name, slash, xsrf_exempt: false, hooks, location }
    }

    fn function<F: AsyncFn(&Context) -> Result + 'static>(
        pattern: String,
        method: &'static str,
        function: F,
        location: &'static Location<'static>,
    ) -> Self {
        let mut functions = Functions::default();
        functions.add(method, function);
        Self::new(pattern, Destination::Functions(functions), location)
    }

    /// Names the route for [`Context::reverse_url`](super::Context::reverse_url).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What is done about a slash at the end of the path, instead of what the handler says: for functions above all.
    /// It has no effect on nested routes, routers and delegates.
    #[must_use]
    pub fn trailing_slash(mut self, slash: TrailingSlash) -> Self {
        self.slash = slash;
        self
    }

    /// Does not check requests to this route for the token of
    /// [`Application::xsrf_cookies`](super::Application::xsrf_cookies): for web hooks and the like, which prove otherwise
    /// who they are. For a function, its method only. It has no effect on nested routes, routers and delegates.
    #[must_use]
    pub fn xsrf_exempt(mut self) -> Self {
        match &mut self.destination {
            Destination::Functions(functions) => functions.exempt_from_xsrf(),
            _ => self.xsrf_exempt = true,
        }
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

/// A route of an application, for tools that list them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteInfo {
    /// The host pattern of its group; `.*` for the routes given to [`Application::new`](super::Application::new).
    pub host: String,
    /// The pattern as written.
    pub pattern: String,
    /// The name, if it has one.
    pub name: Option<String>,
    /// The methods of its handler; empty for routers and delegates.
    pub methods: Vec<String>,
    /// The names of the path arguments, `None` for groups without one.
    pub arguments: Vec<Option<String>>,
}

/// A route in an application.
pub(super) struct Route {
    /// What answers; of no account where the route leads further.
    target: Rc<dyn Target>,
    further: Option<Further>,
    pattern: PathPattern,
    name: Option<String>,
    slash: TrailingSlash,
    xsrf_exempt: bool,
    /// The name of each group: its own, else that of the handler's parameter at its place.
    arg_names: Box<[Option<Box<str>>]>,
    /// Those around it included; `None` when there are none.
    hooks: Option<Box<Hooks>>,
    location: &'static Location<'static>,
}

/// What a route leads to that may yet decline.
enum Further {
    Nested(Routes),
    Router(Rc<dyn Router>),
}

/// Where a request goes.
pub(super) enum Found {
    Handler(Rc<Route>, PathArgs),
    Delegate(Rc<dyn HttpServerConnectionDelegate>),
}

/// What stands around a route.
#[derive(Clone, Copy)]
pub(super) struct Outer<'a> {
    pub(super) hooks: &'a Hooks,
    /// Some of them are those of a group, which must not miss any of its routes.
    pub(super) in_group: bool,
}

/// An ordered list of routes, matched together.
pub(super) struct Routes {
    table: PathTable,
    routes: Vec<Rc<Route>>,
}

impl Routes {
    /// Compiles the routes; what is wrong with them is added to `problems`.
    pub(super) fn build(specs: Vec<UrlSpec>, outer: Outer<'_>, problems: &mut Vec<String>) -> Self {
        let mut routes = Vec::with_capacity(specs.len());
        for spec in merge_functions(specs) {
            let location = spec.location;
            match Route::build(spec, outer, problems) {
                Ok(route) => routes.push(Rc::new(route)),
                Err(problem) => problems.push(format!("{}:{}: {problem}", location.file(), location.line())),
            }
        }
        let table = PathTable::new(routes.iter().map(|r| r.pattern.clone()).collect());
        Self { table, routes }
    }

    /// The first route that takes the request.
    pub(super) fn find(&self, request: &HttpServerRequest) -> Option<Found> {
        let path = request.path();
        let mut row = self.table.first_match(path)?;
        loop {
            let route = &self.routes[row];
            let found = match &route.further {
                None if route.arg_names.is_empty() => {
                    Some(Found::Handler(Rc::clone(route), PathArgs::default()))
                }
                None => route.pattern.captures(path).map(|args| Found::Handler(Rc::clone(route), args)),
                Some(Further::Nested(nested)) => nested.find(request),
                Some(Further::Router(router)) => router.find_handler(request).map(Found::Delegate),
            };
            if found.is_some() {
                return found;
            }
            row = self.table.match_from(path, row + 1)?;
        }
    }

    /// Calls `f` with every route, nested ones included.
    pub(super) fn for_each(&self, f: &mut dyn FnMut(&Route)) {
        for route in &self.routes {
            f(route);
            if let Some(Further::Nested(nested)) = &route.further {
                nested.for_each(f);
            }
        }
    }
}

/// Function routes with one pattern make up one resource, if they stand together.
fn merge_functions(specs: Vec<UrlSpec>) -> Vec<UrlSpec> {
    let mut merged: Vec<UrlSpec> = Vec::with_capacity(specs.len());
    for mut spec in specs {
        if let Destination::Functions(functions) = &spec.destination {
            spec.hooks.only_for(functions.methods());
        }
        if let (Some(last), Destination::Functions(functions)) = (merged.last_mut(), &spec.destination)
            && last.pattern == spec.pattern
            && (last.name.is_none() || spec.name.is_none())
            && let Destination::Functions(former) = &mut last.destination
            && former.merge(functions)
        {
            last.name = last.name.take().or(spec.name);
            last.hooks.extend(spec.hooks);
            if last.slash == TrailingSlash::AsIs {
                last.slash = spec.slash;
            }
            continue;
        }
        merged.push(spec);
    }
    merged
}

impl Route {
    fn build(spec: UrlSpec, outer: Outer<'_>, problems: &mut Vec<String>) -> Result<Self, String> {
        let UrlSpec { pattern, destination, name, slash, xsrf_exempt, hooks, location } = spec;
        let at = |problem| format!("{}:{}: {problem}", location.file(), location.line());
        problems.extend(hooks.problems().map(at));
        let in_group = outer.in_group || !hooks.is_empty();
        let hooks = outer.hooks.around(hooks);
        let pattern = PathPattern::new(&pattern).map_err(|error| error.to_string())?;
        let nowhere = || Rc::new(Functions::default()) as Rc<dyn Target>;
        let (target, further) = match destination {
            Destination::Handler(target) => (target, None),
            Destination::Functions(functions) => (Rc::new(functions) as Rc<dyn Target>, None),
            Destination::Nested(specs) => {
                let nested = Routes::build(specs, Outer { hooks: &hooks, in_group }, problems);
                (nowhere(), Some(Further::Nested(nested)))
            }
            Destination::Router(_) if in_group => {
                return Err(format!(
                    "the hooks around {:?} would not see its requests: a router or delegate works below handlers",
                    pattern.as_str()
                ));
            }
            Destination::Router(router) => (nowhere(), Some(Further::Router(router))),
        };
        let wanted = target.path_args();
        let arg_names = name_groups(&pattern, wanted)?;
        let groups: Vec<_> = arg_names.iter().map(Option::as_deref).collect();
        target.check(&groups)?;
        let slash = if slash == TrailingSlash::AsIs { target.trailing_slash() } else { slash };
        let hooks = boxed(hooks);
        Ok(Self { target, further, pattern, name, slash, xsrf_exempt, arg_names, hooks, location })
    }

    /// A route that is in no table, for requests that none matches.
    pub(super) fn unmatched(target: Rc<dyn Target>, hooks: Hooks) -> Self {
        Self {
            target,
            further: None,
            pattern: PathPattern::new(".*").expect("a constant pattern compiles"),
            name: None,
            slash: TrailingSlash::AsIs,
            xsrf_exempt: false,
            arg_names: Box::default(),
            hooks: boxed(hooks),
            location: Location::caller(),
        }
    }

    #[inline]
    pub(super) fn hooks(&self) -> Option<&Hooks> {
        self.hooks.as_deref()
    }

    /// The server goes away, as a router of one's own need know.
    pub(super) fn on_shutdown(&self) {
        if let Some(Further::Router(router)) = &self.further {
            router.on_shutdown();
        }
    }

    pub(super) fn target(&self) -> &dyn Target {
        &*self.target
    }

    #[inline]
    pub(super) fn is_xsrf_exempt(&self, method: &str) -> bool {
        self.xsrf_exempt || self.target.is_xsrf_exempt(method)
    }

    #[inline]
    pub(super) fn trailing_slash(&self) -> TrailingSlash {
        self.slash
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn pattern(&self) -> &PathPattern {
        &self.pattern
    }

    pub(super) fn location(&self) -> &'static Location<'static> {
        self.location
    }

    pub(super) fn arg_index(&self, name: &str) -> Option<usize> {
        self.arg_names.iter().position(|n| n.as_deref() == Some(name))
    }

    pub(super) fn arg_names(&self) -> impl Iterator<Item = Option<&str>> {
        self.arg_names.iter().map(Option::as_deref)
    }

    /// What `Allow` says: the methods, and those that come for free.
    pub(super) fn allow(&self) -> String {
        let mut methods = self.target.methods().to_vec();
        if methods.contains(&ANY_METHOD) {
            methods = vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
        }
        if methods.contains(&"GET") && !methods.contains(&"HEAD") {
            methods.push("HEAD");
        }
        if !methods.contains(&"OPTIONS") {
            methods.push("OPTIONS");
        }
        methods.join(", ")
    }

    pub(super) fn info(&self, host: &str) -> RouteInfo {
        RouteInfo {
            host: host.to_owned(),
            pattern: self.pattern.as_str().to_owned(),
            name: self.name.clone(),
            methods: self.target.methods().iter().map(|&m| m.to_owned()).collect(),
            arguments: self.arg_names().map(|n| n.map(str::to_owned)).collect(),
        }
    }
}

fn boxed(hooks: Hooks) -> Option<Box<Hooks>> {
    if hooks.is_empty() { None } else { Some(Box::new(hooks)) }
}

/// Gives each group a name: named groups keep theirs, positional ones take the parameters' in order.
fn name_groups(pattern: &PathPattern, wanted: &[&str]) -> Result<Box<[Option<Box<str>>]>, String> {
    let own = pattern.group_names();
    let named = own.iter().any(Option::is_some);
    let names: Box<[Option<Box<str>>]> =
        if named { own.into() } else { (0..own.len()).map(|i| wanted.get(i).map(|&n| n.into())).collect() };
    match wanted.iter().find(|w| !names.iter().flatten().any(|n| **n == ***w)) {
        None => Ok(names),
        Some(missing) => Err(format!(
            "the handler takes a path argument `{missing}`, but the pattern {:?} has no group for it",
            pattern.as_str()
        )),
    }
}
