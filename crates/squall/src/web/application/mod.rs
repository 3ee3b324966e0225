//! Applications: routes, hosts and what all requests share.

pub(in crate::web) mod error_handler;
pub(in crate::web) mod fallback;
pub(in crate::web) mod hooks;
pub(in crate::web) mod methods;
pub(in crate::web) mod options;
pub(in crate::web) mod route;
pub(in crate::web) mod route_table;
pub(in crate::web) mod routes;
pub(in crate::web) mod settings;
pub(in crate::web) mod site;
pub(in crate::web) mod slash;
pub(in crate::web) mod target;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use regex::Regex;

use super::access_log::{self, Took};
use super::context::Context;
use super::cookies::CookieSettings;
use super::debug::DebugSettings;
use super::error::{BuildError, Error, HttpError, Result};
use super::execute::{ErrorTarget, Matched};
use super::fallback::FallbackTo;
use super::hooks::Hooks;
use super::locale::LocaleSettings;
use super::proxy::Tunnels;
use super::render::{HandlerValues, OfRoutes, TemplateSettings};
use super::route::UrlSpec;
use super::route_table::RouteInfo;
use super::routes::{Found, Outer, Route, Routes};
use super::settings::UserSettings;
use super::site::{Site, Sites};
use super::static_files::settings::StaticSettings;
use super::target::Target;
use super::transforms::TransformSettings;
use super::websocket::{WebSocketOptions, WebSockets};
use super::xsrf::XsrfSettings;
use crate::httpserver::{HttpServer, IntoDelegate, ServerError};
use crate::httputil::{
    BodyKind, HttpServerConnectionDelegate, HttpServerRequest, ParseBodyConfig, Shutdown, Started,
};
use crate::ioloop::measure_lag;
use crate::log;
use crate::netutil::BindOptions;
use crate::routing::{PathArgs, PathPattern};

/// A web application: its routes and settings (Tornado's `Application`).
///
/// What is wrong with it, such as a pattern that does not compile, is reported when it starts to serve, naming the
/// line of each mistake. An application may hold `Rc`s; it belongs to the loop that it is made on.
pub struct Application {
    hosts: Vec<HostSpec>,
    routes: Vec<UrlSpec>,
    pub(super) settings: Settings,
}

/// Routes for some hosts, not yet compiled.
#[derive(Debug)]
struct HostSpec {
    pattern: String,
    routes: Vec<UrlSpec>,
    location: &'static Location<'static>,
}

type MapError = Box<dyn Fn(&(dyn StdError + 'static)) -> Option<HttpError>>;
type LogFunction = Box<dyn Fn(&Context)>;
type SpanFunction = Box<dyn Fn(&Context, &tracing::Span)>;

#[derive(Default)]
pub(super) struct Settings {
    pub(super) default_host: Option<String>,
    pub(super) login_url: Option<String>,
    sites: Sites,
    map_error: Vec<MapError>,
    log_function: Option<LogFunction>,
    span_function: Option<SpanFunction>,
    pub(super) fallback: Option<FallbackTo>,
    pub(super) debug: DebugSettings,
    pub(super) user: UserSettings,
    pub(super) locale: LocaleSettings,
    pub(super) xsrf: XsrfSettings,
    pub(super) cookies: CookieSettings,
    pub(super) parse_body: ParseBodyConfig,
    pub(super) static_files: StaticSettings,
    pub(super) templates: TemplateSettings,
    pub(super) hooks: Hooks,
    pub(super) transforms: TransformSettings,
    pub(super) websocket: WebSocketOptions,
}

impl Application {
    /// An application with these routes, tried in order; what none of them takes is answered with 404.
    pub fn new(routes: impl IntoIterator<Item = UrlSpec>) -> Self {
        Self { hosts: Vec::new(), routes: routes.into_iter().collect(), settings: Settings::default() }
    }

    /// Adds routes for the hosts that a regex matches, compared with the lower-case host name without port.
    ///
    /// Groups are tried in the order they were added, and all before the routes given to [`new`](Self::new). When no
    /// route of a group takes the request the next group is tried.
    #[must_use]
    #[track_caller]
    pub fn add_handlers(
        mut self,
        host_pattern: impl Into<String>,
        routes: impl IntoIterator<Item = UrlSpec>,
    ) -> Self {
        let (pattern, routes) = (host_pattern.into(), routes.into_iter().collect());
        self.hosts.push(HostSpec { pattern, routes, location: Location::caller() });
        self
    }

    /// The host whose routes serve requests that no host pattern and no other route takes. Not for requests that
    /// came through a proxy (`X-Real-Ip`), whose Host is right. Default: none.
    #[must_use]
    pub fn default_host(mut self, host: impl Into<String>) -> Self {
        self.settings.default_host = Some(host.into());
        self
    }

    /// What all handlers share. Default: no user, Tornado's error page.
    #[must_use]
    pub fn site(mut self, site: impl Site) -> Self {
        self.settings.sites = Sites::default().with_inner(Rc::new(site));
        self
    }

    /// Where [`Context::require_user`] sends those without a user. Default: none.
    #[must_use]
    pub fn login_url(mut self, url: impl Into<String>) -> Self {
        self.settings.login_url = Some(url.into());
        self
    }

    /// Gives errors of type `E` that handlers return with `?` their answer; `None` leaves them a 500. Several may be
    /// set, also for one type: the first that answers wins.
    #[must_use]
    pub fn map_error<E: StdError + 'static>(
        mut self,
        map: impl Fn(&E) -> Option<HttpError> + 'static,
    ) -> Self {
        self.settings.map_error.push(Box::new(move |error| map(error.downcast_ref()?)));
        self
    }

    /// Called after each request instead of writing the line of the access log.
    #[must_use]
    pub fn log_function(mut self, log: impl Fn(&Context) + 'static) -> Self {
        self.settings.log_function = Some(Box::new(log));
        self
    }

    /// Called with the span of each request ([`log::REQUEST`]) before anything happens inside of it, where a subscriber wants
    /// that span: to record more in it, or to make it a child of what the request's headers say (`examples/examples/opentelemetry.rs`).
    #[must_use]
    pub fn on_request_span(mut self, prepare: impl Fn(&Context, &tracing::Span) + 'static) -> Self {
        self.settings.span_function = Some(Box::new(prepare));
        self
    }

    /// Serves the application on a port of all interfaces, on the current loop.
    ///
    /// Use [`HttpServer`] for options, several processes, or a server that can be stopped.
    ///
    /// # Errors
    /// When the port cannot be had, or something is wrong with the application.
    pub fn listen(self, port: u16) -> Result<HttpServer, ServerError> {
        let server = HttpServer::for_delegate(self.into_delegate()?);
        server.listen(port)?;
        Ok(server)
    }

    /// [`listen`](Self::listen) with an address and other options.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub fn listen_on(self, port: u16, options: &BindOptions) -> Result<HttpServer, ServerError> {
        let server = HttpServer::for_delegate(self.into_delegate()?);
        server.listen_on(port, options)?;
        Ok(server)
    }

    pub(crate) fn build(mut self) -> Result<Rc<Core>, BuildError> {
        let mut problems = self.settings.locale.take_problems();
        self.settings.debug.follow_options();
        self.settings.cookies.finish(&mut problems);
        self.settings.xsrf.check(&mut problems);
        self.routes.splice(0..0, self.settings.static_files.routes());
        problems.extend(self.settings.transforms.problems());
        let hooks = std::mem::take(&mut self.settings.hooks);
        problems.extend(hooks.problems());
        let outer = Outer {
            hooks: &hooks,
            in_group: false,
            sites: &self.settings.sites,
            templates: None,
            handler_values: &HandlerValues::default(),
            prefix: "",
        };
        let hosts = self.hosts.into_iter().filter_map(|spec| HostGroup::build(spec, outer, &mut problems));
        let hosts: Vec<HostGroup> = hosts.collect();
        let routes = Routes::build(self.routes, outer, &mut problems);
        let mut of_routes = OfRoutes::default();
        hosts.iter().for_each(|group| group.routes.for_each(&mut |route| of_routes.add(route)));
        routes.for_each(&mut |route| of_routes.add(route));
        TemplateSettings::finish(&mut self.settings, of_routes, &mut problems);
        let mut names: HashMap<String, PathPattern> = HashMap::new();
        let mut add_name = |route: &Route| {
            let Some(name) = route.name() else { return };
            if names.insert(name.to_owned(), route.pattern().clone()).is_some() {
                let at = route.location();
                problems.push(format!("{}:{}: a second route named {name:?}", at.file(), at.line()));
            }
        };
        hosts.iter().for_each(|group| group.routes.for_each(&mut add_name));
        routes.for_each(&mut add_name);
        let (target, fallback): (Rc<dyn Target>, _) = match self.settings.fallback.take() {
            Some(FallbackTo::Handler(target)) => (target, None),
            Some(FallbackTo::Delegate(delegate)) => (Rc::new(ErrorTarget(404)), Some(delegate)),
            None => (Rc::new(ErrorTarget(404)), None),
        };
        problems.extend(target.check(&[]).err().map(|problem| format!("fallback: {problem}")));
        if !problems.is_empty() {
            return Err(BuildError::new(problems));
        }
        self.settings.debug.start();
        let unmatched = Rc::new(Route::unmatched(target, hooks, self.settings.sites.clone()));
        let websockets = WebSockets::new(self.settings.websocket);
        let settings = self.settings;
        Ok(Rc::new(Core {
            hosts,
            routes,
            names,
            unmatched,
            fallback,
            websockets,
            tunnels: Tunnels::default(),
            settings,
        }))
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("hosts", &self.hosts)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

impl IntoDelegate for Application {
    fn into_delegate(self) -> Result<Rc<dyn HttpServerConnectionDelegate>, ServerError> {
        let core = self.answer_if_asked_for_routes()?.build()?;
        measure_lag();
        Ok(Rc::new(Service(core)))
    }
}

impl From<BuildError> for ServerError {
    fn from(error: BuildError) -> Self {
        Self::Application(Box::new(error))
    }
}

/// An application at work.
pub(crate) struct Core {
    hosts: Vec<HostGroup>,
    routes: Routes,
    names: HashMap<String, PathPattern>,
    unmatched: Rc<Route>,
    /// Instead of `unmatched`.
    fallback: Option<Rc<dyn HttpServerConnectionDelegate>>,
    pub(super) websockets: WebSockets,
    pub(super) tunnels: Tunnels,
    pub(super) settings: Settings,
}

/// The routes of some hosts.
struct HostGroup {
    pattern: String,
    regex: Regex,
    routes: Routes,
}

impl HostGroup {
    fn build(spec: HostSpec, outer: Outer<'_>, problems: &mut Vec<String>) -> Option<Self> {
        let HostSpec { pattern, routes, location: at } = spec;
        let routes = Routes::build(routes, outer, problems);
        match Regex::new(&format!("^(?:{pattern})$")) {
            Ok(regex) => Some(Self { pattern, regex, routes }),
            Err(error) => {
                problems.push(format!("{}:{}: host pattern {pattern:?}: {error}", at.file(), at.line()));
                None
            }
        }
    }
}

impl Core {
    /// What answers for a request that no route takes: the innermost group under whose prefix it is, or the application.
    fn unmatched(&self, request: &HttpServerRequest) -> Rc<Route> {
        let host = request.host_name();
        let groups = self.hosts.iter().filter(|group| group.regex.is_match(&host));
        let all = groups.map(|group| &group.routes).chain([&self.routes]);
        let area = all.filter_map(|routes| routes.area(request.path())).next();
        Rc::clone(area.unwrap_or(&self.unmatched))
    }

    fn find(&self, request: &HttpServerRequest) -> Option<Found> {
        if self.hosts.is_empty() {
            return self.routes.find(request);
        }
        let host = request.host_name();
        let groups = self.hosts.iter().filter(|group| group.regex.is_match(&host));
        if let Some(found) = groups.map(|group| &group.routes).find_map(|routes| routes.find(request)) {
            return Some(found);
        }
        if let Some(found) = self.routes.find(request) {
            return Some(found);
        }
        let default = self.settings.default_host.as_ref()?;
        if request.headers().contains("X-Real-Ip") {
            return None;
        }
        let groups = self.hosts.iter().filter(|group| group.regex.is_match(default));
        groups.map(|group| &group.routes).find_map(|routes| routes.find(request))
    }

    pub(super) fn route_table(&self) -> Vec<RouteInfo> {
        let mut table = Vec::new();
        for group in &self.hosts {
            group.routes.for_each(&mut |route| table.push(route.info(&group.pattern)));
        }
        self.routes.for_each(&mut |route| table.push(route.info(".*")));
        table
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn parse_body_config(&self) -> &ParseBodyConfig {
        &self.settings.parse_body
    }

    pub(super) fn prepare_span(&self, ctx: &Context, span: &tracing::Span) {
        if let Some(prepare) = &self.settings.span_function
            && let Err(payload) = catch_unwind(AssertUnwindSafe(|| prepare(ctx, span)))
        {
            crate::ioloop::log_panic("on_request_span", &*payload);
        }
    }

    pub(super) fn login_url(&self) -> Option<&str> {
        self.settings.login_url.as_deref()
    }

    pub(super) fn static_settings(&self) -> &StaticSettings {
        &self.settings.static_files
    }

    #[cfg(feature = "templates")]
    pub(super) fn has_route_named(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    pub(super) fn reverse_url(&self, name: &str, arguments: &[&dyn fmt::Display]) -> Result<String> {
        let pattern = self
            .names
            .get(name)
            .ok_or_else(|| HttpError::new(500).log_message(format!("{name} not found in named urls")))?;
        Ok(pattern.reverse(arguments)?)
    }

    pub(super) fn map_error(&self, error: Error) -> Error {
        let Some(foreign) = error.foreign() else { return error };
        match self.settings.map_error.iter().find_map(|map| map(foreign)) {
            Some(mapped) => mapped.into(),
            None => error,
        }
    }

    /// The line of a request that is over, or what the application does instead.
    pub(super) fn log_request(&self, ctx: &Context, took: &Took<'_>) {
        match &self.settings.log_function {
            Some(log) => log(ctx),
            None => access_log::write(ctx, took),
        }
    }

    /// What a handler's error leaves in the log, as the site has it.
    pub(super) fn log_exception(ctx: &Context, error: &Error) {
        let logged = catch_unwind(AssertUnwindSafe(|| ctx.sites().log_exception(ctx, error)));
        match logged {
            Ok(None) => Self::log_exception_as_usual(ctx, error),
            Ok(Some(Ok(()))) => {}
            Ok(Some(Err(second))) => {
                tracing::error!(target: log::APPLICATION, "Uncaught exception in log_exception: {second}");
                Self::log_exception_as_usual(ctx, error);
            }
            Err(payload) => {
                crate::ioloop::log_panic("log_exception", &*payload);
                Self::log_exception_as_usual(ctx, error);
            }
        }
    }

    /// HTTP errors with a message are a warning, as in Tornado also those of the 500s; everything else is an error.
    fn log_exception_as_usual(ctx: &Context, error: &Error) {
        let summary = ctx.request_summary();
        match error.as_http() {
            Some(http) => {
                if error.log_message().is_some() || http.source().is_some() {
                    tracing::warn!(target: log::GENERAL, "{} {summary}: {error}{}", http.status(), Place(error));
                }
            }
            None => {
                tracing::error!(
                    target: log::APPLICATION, "Uncaught exception {summary}: {error}{}", Place(error)
                );
            }
        }
    }
}

/// ` (at src/main.rs:7)`, if that is known.
struct Place<'a>(&'a Error);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.location(), self.0.panic_location()) {
            (Some(at), _) => write!(f, " (at {}:{})", at.file(), at.line()),
            (None, Some(at)) => write!(f, " (at {at})"),
            (None, None) => Ok(()),
        }
    }
}

/// The border to the connection.
struct Service(Rc<Core>);

impl HttpServerConnectionDelegate for Service {
    fn start_request(&self, request: HttpServerRequest, body: BodyKind) -> Started {
        let core = Rc::clone(&self.0);
        let (route, args) = match core.find(&request) {
            Some(Found::Handler(route, args)) => (route, args),
            Some(Found::Delegate(delegate)) => return delegate.start_request(request, body),
            None => match &core.fallback {
                Some(delegate) => return delegate.start_request(request, body),
                None => (core.unmatched(&request), PathArgs::default()),
            },
        };
        Matched { core, route, request, args }.start_request(body)
    }

    fn on_shutdown(&self, shutdown: &Shutdown) {
        self.0.websockets.leave(shutdown);
        self.0.tunnels.leave(shutdown);
        if let Some(fallback) = &self.0.fallback {
            fallback.on_shutdown(shutdown);
        }
        let groups = self.0.hosts.iter().map(|group| &group.routes);
        groups
            .chain([&self.0.routes])
            .for_each(|routes| routes.for_each(&mut |route| route.on_shutdown(shutdown)));
    }
}
