//! Applications: routes, hosts and what all requests share.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use regex::Regex;

use super::context::Context;
use super::cookies::CookieSettings;
use super::debug::DebugSettings;
use super::error::{BuildError, Error, HttpError, Result};
use super::execute::{ErrorTarget, Matched};
use super::fallback::FallbackTo;
use super::hooks::Hooks;
use super::locale::LocaleSettings;
use super::render::TemplateSettings;
use super::route::{RouteInfo, UrlSpec};
use super::routes::{Found, Outer, Route, Routes};
use super::settings::UserSettings;
use super::site::{Site, Sites};
use super::static_files::settings::StaticSettings;
use super::target::Target;
use super::transforms::TransformSettings;
use super::xsrf::XsrfSettings;
use crate::httpserver::{HttpServer, IntoDelegate, ServerError};
use crate::httputil::{
    HttpMessageDelegate, HttpServerConnectionDelegate, HttpServerRequest, ParseBodyConfig, Pending, Shutdown,
};
use crate::log;
use crate::netutil::BindOptions;
use crate::routing::{PathArgs, PathPattern};
use crate::websocket::{WebSocketOptions, WebSockets};

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

#[derive(Default)]
pub(super) struct Settings {
    pub(super) default_host: Option<String>,
    pub(super) login_url: Option<String>,
    sites: Sites,
    map_error: Vec<MapError>,
    log_function: Option<LogFunction>,
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

    /// Every route, in the order in which they are tried.
    ///
    /// # Errors
    /// What is wrong with the application.
    pub fn route_table(self) -> Result<Vec<RouteInfo>, BuildError> {
        let core = self.build()?;
        let mut table = Vec::new();
        for group in &core.hosts {
            group.routes.for_each(&mut |route| table.push(route.info(&group.pattern)));
        }
        core.routes.for_each(&mut |route| table.push(route.info(".*")));
        Ok(table)
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
        self.settings.templates.finish(&mut problems);
        self.routes.splice(0..0, self.settings.static_files.routes());
        problems.extend(self.settings.transforms.problems());
        let hooks = std::mem::take(&mut self.settings.hooks);
        problems.extend(hooks.problems());
        let outer = Outer { hooks: &hooks, in_group: false, sites: &self.settings.sites, prefix: "" };
        let hosts = self.hosts.into_iter().filter_map(|spec| HostGroup::build(spec, outer, &mut problems));
        let hosts: Vec<HostGroup> = hosts.collect();
        let routes = Routes::build(self.routes, outer, &mut problems);
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
        Ok(Rc::new(Core { hosts, routes, names, unmatched, fallback, websockets, settings }))
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
        Ok(Rc::new(Service(self.build()?)))
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
    websockets: WebSockets,
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

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn websockets(&self) -> &WebSockets {
        &self.websockets
    }

    pub(super) fn parse_body_config(&self) -> &ParseBodyConfig {
        &self.settings.parse_body
    }

    pub(super) fn login_url(&self) -> Option<&str> {
        self.settings.login_url.as_deref()
    }

    pub(super) fn static_settings(&self) -> &StaticSettings {
        &self.settings.static_files
    }

    pub(super) fn reverse_url(&self, name: &str, arguments: &[&dyn fmt::Display]) -> Result<String> {
        let pattern = self
            .names
            .get(name)
            .ok_or_else(|| HttpError::new(500).with_log_message(format!("{name} not found in named urls")))?;
        Ok(pattern.reverse(arguments)?)
    }

    pub(super) fn map_error(&self, error: Error) -> Error {
        let Some(foreign) = error.foreign() else { return error };
        match self.settings.map_error.iter().find_map(|map| map(foreign)) {
            Some(mapped) => mapped.into(),
            None => error,
        }
    }

    /// One line per request, as in Tornado: `200 GET /x (127.0.0.1) 0.55ms`.
    pub(super) fn log_request(&self, ctx: &Context) {
        if let Some(log) = &self.settings.log_function {
            return log(ctx);
        }
        let status = ctx.status();
        let millis = ctx.request().request_time().as_secs_f64() * 1000.0;
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: log::ACCESS,
                    status,
                    method = ctx.method().as_str(),
                    path = ctx.request().uri(),
                    duration_ms = millis,
                    peer = %ctx.request().remote_ip(),
                    version = ?ctx.request().version(),
                    route = ctx.route().pattern().as_str(),
                    "{status} {} {millis:.2}ms",
                    ctx.request_summary(),
                )
            };
        }
        match status {
            0..400 => line!(info),
            400..500 => line!(warn),
            _ => line!(error),
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
                if http.log_message().is_some() || http.source().is_some() {
                    tracing::warn!(target: log::GENERAL, "{} {summary}: {error}", http.status());
                }
            }
            None => match error.location() {
                Some(at) => tracing::error!(
                    target: log::APPLICATION,
                    "Uncaught exception {summary}: {error} (at {}:{})", at.file(), at.line()
                ),
                None => tracing::error!(target: log::APPLICATION, "Uncaught exception {summary}: {error}"),
            },
        }
    }
}

/// `GET /x (127.0.0.1)`
impl Context {
    /// Which request this is, as logs say it: `GET /path (127.0.0.1)` (Tornado's `_request_summary`).
    pub fn request_summary(&self) -> impl fmt::Display + '_ {
        Summary(self.request())
    }
}

struct Summary<'a>(&'a HttpServerRequest);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.0.method(), self.0.uri(), self.0.remote_ip())
    }
}

/// The border to the connection.
struct Service(Rc<Core>);

impl Service {
    /// The request with its handler; or the delegate that takes it.
    fn route(&self, request: HttpServerRequest) -> Routed {
        let core = Rc::clone(&self.0);
        let (route, args) = match core.find(&request) {
            Some(Found::Handler(route, args)) => (route, args),
            Some(Found::Delegate(delegate)) => return Routed::Delegate(delegate, request),
            None => match &core.fallback {
                Some(delegate) => return Routed::Delegate(Rc::clone(delegate), request),
                None => (core.unmatched(&request), PathArgs::default()),
            },
        };
        Routed::Handler(Matched { core, route, request, args })
    }
}

enum Routed {
    Handler(Matched),
    Delegate(Rc<dyn HttpServerConnectionDelegate>, HttpServerRequest),
}

impl HttpServerConnectionDelegate for Service {
    fn start_request(&self, request: HttpServerRequest) -> Box<dyn HttpMessageDelegate> {
        match self.route(request) {
            Routed::Handler(matched) => matched.into_delegate(),
            Routed::Delegate(delegate, request) => delegate.start_request(request),
        }
    }

    fn serve_bodiless(&self, request: HttpServerRequest) -> Result<Pending<'static>, HttpServerRequest> {
        match self.route(request) {
            Routed::Handler(matched) => matched.serve(),
            Routed::Delegate(delegate, request) => delegate.serve_bodiless(request),
        }
    }

    fn on_shutdown(&self, shutdown: &Shutdown) {
        self.0.websockets.leave(shutdown);
        if let Some(fallback) = &self.0.fallback {
            fallback.on_shutdown(shutdown);
        }
        let groups = self.0.hosts.iter().map(|group| &group.routes);
        groups
            .chain([&self.0.routes])
            .for_each(|routes| routes.for_each(&mut |route| route.on_shutdown(shutdown)));
    }
}
