//! Routers: rules that lead requests to delegates, applications and other routers.

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use regex::Regex;

use super::pattern::PathPattern;
use super::pattern_error::{PatternError, ReverseError};
use super::table::PathTable;
use crate::httputil::{
    BodyKind, HttpHeaders, HttpMessageDelegate, HttpServerConnectionDelegate, HttpServerRequest, Pending,
    ResponseStartLine, Shutdown, Started, reason_phrase,
};

/// Finds what serves a request (Tornado's `Router`).
///
/// `None` declines: the rules after the one that led here are tried.
pub trait Router {
    /// What serves this request.
    fn find_handler(&self, request: &HttpServerRequest) -> Option<Rc<dyn HttpServerConnectionDelegate>>;

    /// The path of a named rule with these arguments, if this router has a rule of that name.
    fn reverse_url(
        &self,
        _name: &str,
        _arguments: &[&dyn fmt::Display],
    ) -> Option<Result<String, ReverseError>> {
        None
    }

    /// Passed on to the delegates that this router leads to: see [`HttpServerConnectionDelegate::on_shutdown`].
    fn on_shutdown(&self, _shutdown: &Shutdown) {}
}

/// Which requests a [`Rule`] takes.
pub enum Matcher {
    /// All of them (Tornado's `AnyMatches`).
    Any,
    /// Those whose host name, in lower case and without port, matches as a whole (Tornado's `HostMatches`).
    Host(Regex),
    /// Those whose path matches (Tornado's `PathMatches`).
    Path(PathPattern),
    /// Those for which the function says so.
    Custom(Box<dyn Fn(&HttpServerRequest) -> bool>),
}

impl Matcher {
    /// Matches the path with a pattern as in [`PathPattern::new`].
    ///
    /// # Errors
    /// When the pattern does not compile.
    pub fn path(pattern: &str) -> Result<Self, PatternError> {
        PathPattern::new(pattern).map(Self::Path)
    }

    /// Matches the host name with a regex, as a whole.
    ///
    /// # Errors
    /// When the regex does not compile.
    pub fn host(pattern: &str) -> Result<Self, regex::Error> {
        Regex::new(&format!("^(?:{pattern})$")).map(Self::Host)
    }

    /// Matches the requests for which the function is true.
    pub fn custom(matches: impl Fn(&HttpServerRequest) -> bool + 'static) -> Self {
        Self::Custom(Box::new(matches))
    }

    fn matches(&self, request: &HttpServerRequest) -> bool {
        match self {
            Self::Any => true,
            Self::Host(regex) => regex.is_match(&request.host_name()),
            Self::Path(pattern) => pattern.is_match(request.path()),
            Self::Custom(matches) => matches(request),
        }
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::Host(regex) => f.debug_tuple("Host").field(&regex.as_str()).finish(),
            Self::Path(pattern) => f.debug_tuple("Path").field(pattern).finish(),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

/// A matcher and where it leads (Tornado's `Rule`).
#[derive(Debug)]
pub struct Rule {
    matcher: Matcher,
    target: Target,
    name: Option<String>,
}

#[derive(Clone)]
enum Target {
    Delegate(Rc<dyn HttpServerConnectionDelegate>),
    Router(Rc<dyn Router>),
}

impl Rule {
    /// A rule that leads to what serves requests: a [callback](crate::httpserver::callback), an application (through
    /// [`into_delegate`](crate::httpserver::IntoDelegate::into_delegate)) or a delegate of one's own.
    pub fn new(matcher: Matcher, delegate: impl HttpServerConnectionDelegate + 'static) -> Self {
        Self { matcher, target: Target::Delegate(Rc::new(delegate)), name: None }
    }

    /// A rule that leads to another router, which may decline.
    pub fn to_router(matcher: Matcher, router: impl Router + 'static) -> Self {
        Self { matcher, target: Target::Router(Rc::new(router)), name: None }
    }

    /// Names the rule for [`RuleRouter::reverse_url`](Router::reverse_url); only a [`Matcher::Path`] can be reversed.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delegate(_) => "Delegate",
            Self::Router(_) => "Router",
        })
    }
}

/// Rules tried in order; the first whose matcher matches and whose target takes the request wins (Tornado's
/// `RuleRouter` and `ReversibleRuleRouter`).
///
/// Path rules that stand together are matched together, by one automaton. A request that no rule takes is answered
/// with a bare 404.
#[derive(Debug)]
pub struct RuleRouter {
    segments: Vec<Segment>,
    names: Vec<(String, PathPattern)>,
}

#[derive(Debug)]
enum Segment {
    Paths(PathTable, Vec<Target>),
    One(Matcher, Target),
}

impl RuleRouter {
    /// A router of these rules.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let mut router = Self { segments: Vec::new(), names: Vec::new() };
        let (mut patterns, mut targets) = (Vec::new(), Vec::new());
        for Rule { matcher, target, name } in rules {
            match matcher {
                Matcher::Path(pattern) => {
                    router.names.extend(name.map(|name| (name, pattern.clone())));
                    patterns.push(pattern);
                    targets.push(target);
                }
                other => {
                    router.close_paths(&mut patterns, &mut targets);
                    router.segments.push(Segment::One(other, target));
                }
            }
        }
        router.close_paths(&mut patterns, &mut targets);
        router
    }

    fn close_paths(&mut self, patterns: &mut Vec<PathPattern>, targets: &mut Vec<Target>) {
        if !patterns.is_empty() {
            let table = PathTable::new(std::mem::take(patterns));
            self.segments.push(Segment::Paths(table, std::mem::take(targets)));
        }
    }
}

impl Router for RuleRouter {
    fn find_handler(&self, request: &HttpServerRequest) -> Option<Rc<dyn HttpServerConnectionDelegate>> {
        self.segments.iter().find_map(|segment| match segment {
            Segment::One(matcher, target) if matcher.matches(request) => target.find(request),
            Segment::One(..) => None,
            Segment::Paths(table, targets) => {
                let mut row = table.first_match(request.path())?;
                loop {
                    let found = targets[row].find(request);
                    if found.is_some() {
                        return found;
                    }
                    row = table.match_from(request.path(), row + 1)?;
                }
            }
        })
    }

    fn on_shutdown(&self, shutdown: &Shutdown) {
        for segment in &self.segments {
            let targets = match segment {
                Segment::One(_, target) => std::slice::from_ref(target),
                Segment::Paths(_, targets) => targets,
            };
            for target in targets {
                match target {
                    Target::Delegate(delegate) => delegate.on_shutdown(shutdown),
                    Target::Router(router) => router.on_shutdown(shutdown),
                }
            }
        }
    }

    fn reverse_url(
        &self,
        name: &str,
        arguments: &[&dyn fmt::Display],
    ) -> Option<Result<String, ReverseError>> {
        if let Some((_, pattern)) = self.names.iter().find(|(n, _)| n == name) {
            return Some(pattern.reverse(arguments));
        }
        let targets = self.segments.iter().flat_map(|segment| match segment {
            Segment::One(_, target) => std::slice::from_ref(target),
            Segment::Paths(_, targets) => targets,
        });
        targets
            .filter_map(|target| match target {
                Target::Router(router) => Some(router),
                Target::Delegate(_) => None,
            })
            .find_map(|router| router.reverse_url(name, arguments))
    }
}

impl Target {
    fn find(&self, request: &HttpServerRequest) -> Option<Rc<dyn HttpServerConnectionDelegate>> {
        match self {
            Self::Delegate(delegate) => Some(Rc::clone(delegate)),
            Self::Router(router) => router.find_handler(request),
        }
    }
}

impl HttpServerConnectionDelegate for RuleRouter {
    fn start_request(&self, request: HttpServerRequest, body: BodyKind) -> Started {
        match self.find_handler(&request) {
            Some(delegate) => delegate.start_request(request, body),
            None => Started::Message(Box::new(BareNotFound(request))),
        }
    }

    fn on_shutdown(&self, shutdown: &Shutdown) {
        Router::on_shutdown(self, shutdown);
    }
}

/// 404 without a page, since a bare router has no pages.
struct BareNotFound(HttpServerRequest);

impl HttpMessageDelegate for BareNotFound {
    fn data_received(&mut self, _chunk: Bytes) -> Pending<'_> {
        None
    }

    fn finish(self: Box<Self>) -> Pending<'static> {
        let headers: HttpHeaders = [("Content-Length", "0")].into_iter().collect();
        let start = ResponseStartLine { status: 404, reason: reason_phrase(404) };
        // An error means that the client has left.
        let _ = self.0.connection().write_headers(start, &headers, b"").and_then(|()| self.0.finish());
        None
    }
}
