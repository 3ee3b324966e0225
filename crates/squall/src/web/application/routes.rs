//! Routes in an application: compiled, with what stands around them, and matched together.

use std::cell::OnceCell;
use std::panic::Location;
use std::rc::Rc;

use http::Method;

use crate::httputil::{HttpServerConnectionDelegate, HttpServerRequest, Shutdown};
use crate::ioloop::Place;
use crate::metrics::LastCounted;
use crate::routing::{PathArgs, PathPattern, PathTable, Router};
use crate::web::execute::ErrorTarget;
use crate::web::hooks::Hooks;
use crate::web::options::HandlerOptions;
use crate::web::render::{HandlerValues, TemplateSource};
use crate::web::route::{Destination, UrlSpec};
use crate::web::route_table::RouteInfo;
use crate::web::site::Sites;
use crate::web::slash::TrailingSlash;
use crate::web::target::{Functions, Target};

/// A route in an application.
pub(in crate::web) struct Route {
    /// What answers; of no account where the route leads further.
    target: Rc<dyn Target>,
    further: Option<Further>,
    pattern: PathPattern,
    name: Option<String>,
    options: HandlerOptions,
    /// The name of each group: its own, else that of the handler's parameter at its place.
    arg_names: Box<[Option<Box<str>>]>,
    /// Those around it included; `None` when there are none.
    hooks: Option<Box<Hooks>>,
    /// Those around it included.
    sites: Sites,
    /// Its own templates, or those of the group around it.
    templates: Option<TemplateSource>,
    /// Those of the groups around it included.
    handler_values: HandlerValues,
    /// It is in no table.
    is_unmatched: bool,
    location: &'static Location<'static>,
    /// What it is called when it holds the loop.
    place: OnceCell<Place>,
    last_counted: LastCounted,
}

/// What a route leads to that may yet decline.
enum Further {
    Nested(Routes),
    Router(Rc<dyn Router>),
}

/// Where a request goes.
pub(in crate::web) enum Found {
    Handler(Rc<Route>, PathArgs),
    Delegate(Rc<dyn HttpServerConnectionDelegate>),
}

/// What stands around a route.
#[derive(Clone, Copy)]
pub(in crate::web) struct Outer<'a> {
    pub(in crate::web) hooks: &'a Hooks,
    pub(in crate::web) sites: &'a Sites,
    pub(in crate::web) templates: Option<&'a TemplateSource>,
    pub(in crate::web) handler_values: &'a HandlerValues,
    /// What comes before its patterns.
    pub(in crate::web) prefix: &'a str,
    /// Some of them are those of a group, which must not miss any of its routes.
    pub(in crate::web) in_group: bool,
}

/// An ordered list of routes, matched together.
pub(in crate::web) struct Routes {
    table: PathTable,
    routes: Vec<Rc<Route>>,
    /// What answers under the prefix of a group where no route does, inner groups behind those around them.
    areas: Vec<(PathPattern, Rc<Route>)>,
}

impl Routes {
    /// Compiles the routes; what is wrong with them is added to `problems`.
    pub(in crate::web) fn build(specs: Vec<UrlSpec>, outer: Outer<'_>, problems: &mut Vec<String>) -> Self {
        let (mut routes, mut areas) = (Vec::with_capacity(specs.len()), Vec::new());
        Self::collect(specs, outer, &mut routes, &mut areas, problems);
        let table = PathTable::new(routes.iter().map(|r| r.pattern.clone()).collect());
        Self { table, routes, areas }
    }

    /// Adds the routes, those of groups with a prefix in their place.
    fn collect(
        specs: Vec<UrlSpec>,
        outer: Outer<'_>,
        routes: &mut Vec<Rc<Route>>,
        areas: &mut Vec<(PathPattern, Rc<Route>)>,
        problems: &mut Vec<String>,
    ) {
        for mut spec in merge_functions(specs) {
            let location = spec.location;
            let at = |problem: String| format!("{}:{}: {problem}", location.file(), location.line());
            if let Destination::Prefix(inner) = &mut spec.destination {
                let inner = std::mem::take(inner);
                problems.extend(spec.hooks.problems().map(at));
                problems.extend(spec.options_without_effect().map(at));
                match spec.group(outer) {
                    Ok(group) => {
                        areas.extend(group.area());
                        let outer = Outer {
                            hooks: &group.hooks,
                            sites: &group.sites,
                            templates: group.templates.as_ref(),
                            handler_values: &group.handler_values,
                            prefix: &group.prefix,
                            in_group: group.in_group,
                        };
                        Self::collect(inner, outer, routes, areas, problems);
                    }
                    Err(problem) => problems.push(at(problem)),
                }
                continue;
            }
            match Route::build(spec, outer, problems) {
                Ok(route) => routes.push(Rc::new(route)),
                Err(problem) => problems.push(at(problem)),
            }
        }
    }

    /// What answers under the innermost prefix that the path has.
    pub(in crate::web) fn area(&self, path: &str) -> Option<&Rc<Route>> {
        self.areas.iter().rfind(|(prefix, _)| prefix.is_match(path)).map(|(_, route)| route)
    }

    /// The first route that takes the request.
    pub(in crate::web) fn find(&self, request: &HttpServerRequest) -> Option<Found> {
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
    pub(in crate::web) fn for_each(&self, f: &mut dyn FnMut(&Route)) {
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
            spec.options = spec.options.only_for(functions.methods());
        }
        if let (Some(last), Destination::Functions(functions)) = (merged.last_mut(), &spec.destination)
            && last.pattern == spec.pattern
            && (last.name.is_none() || spec.name.is_none())
            && let Destination::Functions(former) = &mut last.destination
            && let Some(left) = former.merge(functions)
        {
            last.name = last.name.take().or(spec.name);
            last.templates = last.templates.take().or(spec.templates);
            last.handler_values = std::mem::take(&mut last.handler_values).within(&spec.handler_values);
            last.hooks.extend(spec.hooks);
            last.options = last.options.and(spec.options.only_for(left));
            continue;
        }
        merged.push(spec);
    }
    merged
}

/// A group with a prefix, and what stands around its routes.
struct Group {
    prefix: String,
    hooks: Hooks,
    sites: Sites,
    templates: Option<TemplateSource>,
    handler_values: HandlerValues,
    in_group: bool,
    /// It has something of its own around its routes.
    has_own: bool,
}

impl Group {
    /// The paths under the prefix, and what answers those that no route takes.
    fn area(&self) -> Option<(PathPattern, Rc<Route>)> {
        if !self.has_own {
            return None;
        }
        let prefix = PathPattern::nested(&self.prefix, "(?:/.*)?").ok()?;
        let route = Route::unmatched(Rc::new(ErrorTarget(404)), self.hooks.clone(), self.sites.clone());
        let route =
            Route { templates: self.templates.clone(), handler_values: self.handler_values.clone(), ..route };
        Some((prefix, Rc::new(route)))
    }
}

impl UrlSpec {
    /// What is around the routes of this group, whose destination is a prefix.
    fn group(self, outer: Outer<'_>) -> Result<Group, String> {
        if !self.pattern.starts_with('/') || self.pattern.ends_with('/') {
            return Err(format!(
                "the prefix {:?} has to begin with a slash and not to end with one: the routes' patterns do",
                self.pattern
            ));
        }
        let prefix = format!("{}{}", outer.prefix, self.pattern);
        PathPattern::nested(&prefix, "/").map_err(|error| error.to_string())?;
        let has_own = !self.hooks.is_empty()
            || self.site.is_some()
            || self.templates.is_some()
            || !self.handler_values.is_empty();
        let handler_values = self.handler_values.within(outer.handler_values);
        let templates = self.templates.or_else(|| outer.templates.cloned());
        let sites = self.site.map_or_else(|| outer.sites.clone(), |site| outer.sites.with_inner(site));
        let in_group = outer.in_group || !self.hooks.is_empty();
        let hooks = outer.hooks.around(self.hooks);
        Ok(Group { prefix, hooks, sites, templates, handler_values, in_group, has_own })
    }

    /// Options that do nothing where they were set.
    fn options_without_effect(&self) -> impl Iterator<Item = String> + use<> {
        let (what, is_group) = match &self.destination {
            Destination::Prefix(_) | Destination::Nested(_) => ("a group of routes", true),
            Destination::Router(_) => ("a router or delegate", false),
            Destination::Handler(_) | Destination::Functions(_) => ("", false),
        };
        let own = [
            ("name", is_group && self.name.is_some()),
            ("site", !is_group && self.site.is_some()),
            ("template_loader", !is_group && self.templates.is_some()),
            ("handler_value", !is_group && !self.handler_values.is_empty()),
        ];
        let own = own.into_iter().filter(move |(_, set)| *set && !what.is_empty()).map(|(option, _)| option);
        let set = self.without_effect.clone().into_iter().chain(own);
        set.map(move |option| format!("`{option}` has no effect on {what}"))
    }
}

impl Route {
    fn build(spec: UrlSpec, outer: Outer<'_>, problems: &mut Vec<String>) -> Result<Self, String> {
        let at = {
            let location = spec.location;
            move |problem| format!("{}:{}: {problem}", location.file(), location.line())
        };
        problems.extend(spec.options_without_effect().map(at));
        let UrlSpec {
            pattern,
            destination,
            name,
            options,
            hooks,
            site,
            templates,
            handler_values,
            location,
            ..
        } = spec;
        problems.extend(hooks.problems().map(at));
        let in_group = outer.in_group || !hooks.is_empty();
        let hooks = outer.hooks.around(hooks);
        let sites = site.map_or_else(|| outer.sites.clone(), |site| outer.sites.with_inner(site));
        let templates = templates.or_else(|| outer.templates.cloned());
        let handler_values = handler_values.within(outer.handler_values);
        let own = PathPattern::new(&pattern).map_err(|error| error.to_string())?;
        if !own.may_begin_a_path() {
            return Err(format!("the pattern {pattern:?} can match no path: those begin with a slash"));
        }
        let pattern = match outer.prefix {
            "" => own,
            prefix => PathPattern::nested(prefix, &pattern).map_err(|error| error.to_string())?,
        };
        let nowhere = || Rc::new(Functions::nowhere()) as Rc<dyn Target>;
        let (target, further) = match destination {
            Destination::Handler(target) => (target, None),
            Destination::Functions(functions) => (Rc::new(functions) as Rc<dyn Target>, None),
            Destination::Nested(specs) => {
                let templates = templates.as_ref();
                let outer = Outer {
                    hooks: &hooks,
                    in_group,
                    sites: &sites,
                    templates,
                    handler_values: &handler_values,
                    prefix: outer.prefix,
                };
                let nested = Routes::build(specs, outer, problems);
                (nowhere(), Some(Further::Nested(nested)))
            }
            // Its routes stand in its place.
            Destination::Prefix(_) => (nowhere(), None),
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
        Ok(Self {
            target,
            further,
            pattern,
            name,
            options,
            arg_names,
            hooks: boxed(hooks),
            sites,
            templates,
            handler_values,
            is_unmatched: false,
            location,
            place: OnceCell::new(),
            last_counted: LastCounted::default(),
        })
    }

    /// A route that is in no table, for requests that none matches.
    pub(in crate::web) fn unmatched(target: Rc<dyn Target>, hooks: Hooks, sites: Sites) -> Self {
        Self {
            options: target.options(),
            target,
            further: None,
            pattern: PathPattern::new(".*").expect("a constant pattern compiles"),
            name: None,
            arg_names: Box::default(),
            hooks: boxed(hooks),
            sites,
            templates: None,
            handler_values: HandlerValues::default(),
            is_unmatched: true,
            location: Location::caller(),
            place: OnceCell::new(),
            last_counted: LastCounted::default(),
        }
    }

    #[inline]
    pub(in crate::web) fn sites(&self) -> &Sites {
        &self.sites
    }

    pub(in crate::web) fn templates(&self) -> Option<&TemplateSource> {
        self.templates.as_ref()
    }

    pub(in crate::web) fn handler_values(&self) -> &HandlerValues {
        &self.handler_values
    }

    /// The name of the handler's type as Python would have it; of a function its own, and Tornado's for all others.
    #[cfg(feature = "templates")]
    pub(in crate::web) fn class_name(&self) -> String {
        let whole = self.target.name();
        let path = whole.split('<').next().unwrap_or_default();
        match path.rsplit("::").next() {
            Some(name) if !whole.contains("{{") && !whole.contains(", ") => name.to_owned(),
            _ => "RequestHandler".to_owned(),
        }
    }

    #[inline]
    pub(in crate::web) fn takes_default_headers(&self) -> bool {
        self.options.default_headers && !self.sites.is_empty()
    }

    /// Its pattern; `None` for what answers where no route does.
    pub(in crate::web) fn written(&self) -> Option<&str> {
        (!self.is_unmatched).then(|| self.pattern.as_str())
    }

    pub(in crate::web) fn last_counted(&self) -> &LastCounted {
        &self.last_counted
    }

    /// What it is called when it holds the loop.
    pub(in crate::web) fn place(&self) -> Place {
        *self.place.get_or_init(|| Place::handler_of(self.written().unwrap_or("no route")))
    }

    #[inline]
    pub(in crate::web) fn hooks(&self) -> Option<&Hooks> {
        self.hooks.as_deref()
    }

    /// The server goes away, as a router of one's own need know.
    pub(in crate::web) fn on_shutdown(&self, shutdown: &Shutdown) {
        if let Some(Further::Router(router)) = &self.further {
            router.on_shutdown(shutdown);
        }
    }

    pub(in crate::web) fn target(&self) -> &dyn Target {
        &*self.target
    }

    #[inline]
    pub(in crate::web) fn options(&self) -> &HandlerOptions {
        &self.options
    }

    pub(in crate::web) fn is_xsrf_exempt(&self, method: &Method) -> bool {
        self.options.xsrf_exempt.has(self.target.methods().standing_for(method), method)
    }

    pub(in crate::web) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(in crate::web) fn pattern(&self) -> &PathPattern {
        &self.pattern
    }

    pub(in crate::web) fn location(&self) -> &'static Location<'static> {
        self.location
    }

    pub(in crate::web) fn arg_index(&self, name: &str) -> Option<usize> {
        self.arg_names.iter().position(|n| n.as_deref() == Some(name))
    }

    pub(in crate::web) fn arg_names(&self) -> impl Iterator<Item = Option<&str>> {
        self.arg_names.iter().map(Option::as_deref)
    }

    pub(in crate::web) fn info(&self, host: &str) -> RouteInfo {
        RouteInfo {
            host: host.to_owned(),
            pattern: self.pattern.as_str().to_owned(),
            name: self.name.clone(),
            methods: self.target.methods(),
            arguments: self.arg_names().map(|n| n.map(str::to_owned)).collect(),
            handler: match &self.further {
                None => self.target.name(),
                Some(Further::Nested(_)) => "(rules)".to_owned(),
                Some(Further::Router(_)) => "(router)".to_owned(),
            },
            options: self.told_options(),
            file: self.location.file().to_owned(),
            line: self.location.line(),
        }
    }

    /// What is unusual about it, in words.
    fn told_options(&self) -> Vec<String> {
        let HandlerOptions {
            stream_body, trailing_slash, authenticated, xsrf_exempt, default_headers, ..
        } = self.options;
        let slash = match trailing_slash {
            TrailingSlash::AsIs => None,
            TrailingSlash::Add => Some("adds a slash"),
            TrailingSlash::Remove => Some("removes slashes"),
        };
        let told = [
            stream_body.then_some("streams the body"),
            (!authenticated.is_empty()).then_some("authenticated"),
            (!xsrf_exempt.is_empty()).then_some("XSRF exempt"),
            slash,
            self.hooks.is_some().then_some("layers"),
            (self.further.is_none() && !default_headers).then_some("no default headers"),
        ];
        told.into_iter().flatten().map(str::to_owned).collect()
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
