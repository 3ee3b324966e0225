//! Cross-origin resource sharing: who may read responses from the pages of another origin (the Fetch standard, §3.3).

use std::fmt;
use std::time::Duration;

use http::Method;

use crate::httputil::{HttpServerRequest, is_token};
use crate::web::context::Context;
use crate::web::error::Result;
use crate::web::transforms::add_vary;

/// Which pages of other origins may read responses: for [`Application::cors`](crate::Application::cors), or
/// [`UrlSpec::cors`](crate::web::UrlSpec::cors) for a group of routes.
///
/// It answers preflight requests itself, with 204, whether or not the handler has an `options` method, and adds its
/// headers to every response, also to errors, so that a script can read those. A page that is not allowed gets its
/// response without the headers, and its browser keeps it from the script. This protects no one from requests being
/// made; that is what XSRF tokens are for.
///
/// ```
/// use std::time::Duration;
/// use squall::Application;
/// use squall::web::Cors;
///
/// let app = Application::new([]).cors(
///     Cors::new()
///         .origins(["https://app.example", "http://localhost:3000"])
///         .credentials(true)
///         .expose(["X-Total"])
///         .max_age(Duration::from_secs(3600)),
/// );
/// # let _ = app;
/// ```
pub struct Cors {
    origins: Origins,
    /// `None`: those of the route.
    methods: Option<Vec<String>>,
    /// `None`: those that are asked for.
    headers: Option<Vec<String>>,
    expose: Vec<String>,
    credentials: bool,
    max_age: Option<Duration>,
    private_network: bool,
}

enum Origins {
    Any,
    /// In lower case.
    Listed(Vec<String>),
    Chosen(Box<dyn Fn(&str) -> bool>),
}

impl Cors {
    /// No origin yet; for those that come: the methods of each route, the headers they ask for, no credentials.
    pub fn new() -> Self {
        Self {
            origins: Origins::Listed(Vec::new()),
            methods: None,
            headers: None,
            expose: Vec::new(),
            credentials: false,
            max_age: None,
            private_network: false,
        }
    }

    /// Allows these origins, besides those allowed so far: `https://app.example`, with the port if it is not the usual
    /// one, without a path. `null` is that of local files and sandboxed frames, which anyone can make.
    #[must_use]
    pub fn origins<S: AsRef<str>>(mut self, origins: impl IntoIterator<Item = S>) -> Self {
        let new = origins.into_iter().map(|origin| origin.as_ref().to_ascii_lowercase());
        match &mut self.origins {
            Origins::Listed(listed) => listed.extend(new),
            other => *other = Origins::Listed(new.collect()),
        }
        self
    }

    /// Allows this origin; see [`origins`](Self::origins).
    #[must_use]
    pub fn origin(self, origin: impl AsRef<str>) -> Self {
        self.origins([origin])
    }

    /// Allows every origin. Not together with [`credentials`](Self::credentials): any page could then do whatever its
    /// visitor may.
    #[must_use]
    pub fn any_origin(mut self) -> Self {
        self.origins = Origins::Any;
        self
    }

    /// Allows the origins for which this is true. Compare the whole origin or its end from a dot on:
    /// `https://example.com.evil.example` starts like a good one.
    #[must_use]
    pub fn origins_if(mut self, allow: impl Fn(&str) -> bool + 'static) -> Self {
        self.origins = Origins::Chosen(Box::new(allow));
        self
    }

    /// The methods that may be used. Default: those that the route answers.
    #[must_use]
    pub fn methods<S: Into<String>>(mut self, methods: impl IntoIterator<Item = S>) -> Self {
        self.methods = Some(methods.into_iter().map(Into::into).collect());
        self
    }

    /// The request headers that may be used, besides those that are always allowed. Default: all that are asked for.
    #[must_use]
    pub fn headers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.headers = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The response headers that scripts may read, besides the usual ones. Default: none.
    #[must_use]
    pub fn expose<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.expose = names.into_iter().map(Into::into).collect();
        self
    }

    /// Allows cookies and other credentials. Default: no.
    #[must_use]
    pub fn credentials(mut self, allow: bool) -> Self {
        self.credentials = allow;
        self
    }

    /// How long a browser may remember a preflight's answer, in whole seconds. Default: not said, which browsers take
    /// for 5 s.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Allows pages of public sites to reach this server in a private network (Private Network Access). Default: no.
    #[must_use]
    pub fn private_network(mut self, allow: bool) -> Self {
        self.private_network = allow;
        self
    }

    /// The method that a preflight request asks for.
    pub(in crate::web) fn preflight_for(request: &HttpServerRequest) -> Option<&str> {
        if *request.method() != Method::OPTIONS || !request.headers().contains("Origin") {
            return None;
        }
        request.headers().get("Access-Control-Request-Method")
    }

    /// What is wrong with it.
    pub(in crate::web) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match &self.origins {
            Origins::Any if self.credentials => {
                problems
                    .push("CORS: credentials cannot be allowed for any origin; list the origins".to_owned());
            }
            Origins::Listed(origins) if origins.is_empty() => {
                problems.push("CORS: no origin is allowed; list some, or allow any".to_owned());
            }
            Origins::Listed(origins) => {
                let wrong = origins.iter().filter(|origin| !is_origin(origin));
                problems.extend(wrong.map(|origin| {
                    format!("CORS: {origin:?} is no origin; one looks like https://app.example or http://localhost:3000")
                }));
            }
            Origins::Any | Origins::Chosen(_) => {}
        }
        let names = self.methods.iter().flatten().chain(self.headers.iter().flatten()).chain(&self.expose);
        problems.extend(names.filter(|name| !is_token(name)).map(|name| match name.as_str() {
            "" => "CORS: an empty name of a method or header".to_owned(),
            name => format!("CORS: {name:?} is no name of a method or header"),
        }));
        problems
    }

    /// Answers a preflight request. What every response says comes with the head.
    pub(in crate::web) fn answer_preflight(&self, ctx: &Context) -> Result {
        ctx.set_status(204);
        self.add_preflight_headers(ctx)?;
        ctx.finish_now()
    }

    fn add_preflight_headers(&self, ctx: &Context) -> Result {
        let request = ctx.request().headers();
        ctx.update_headers(|headers| {
            add_vary(headers, "Access-Control-Request-Method")?;
            add_vary(headers, "Access-Control-Request-Headers")
        })?;
        if self.allowed_origin(ctx).is_none() {
            return Ok(());
        }
        match &self.methods {
            Some(methods) => ctx.set_header("Access-Control-Allow-Methods", methods.join(", "))?,
            None => ctx.set_header("Access-Control-Allow-Methods", ctx.route().target().methods().allow())?,
        }
        match (&self.headers, request.joined_bytes("Access-Control-Request-Headers")) {
            (Some(names), _) if !names.is_empty() => {
                ctx.set_header("Access-Control-Allow-Headers", names.join(", "))?;
            }
            (None, Some(asked)) => ctx.set_header("Access-Control-Allow-Headers", asked)?,
            _ => {}
        }
        if let Some(age) = self.max_age {
            ctx.set_header("Access-Control-Max-Age", age.as_secs())?;
        }
        if self.private_network && request.get("Access-Control-Request-Private-Network") == Some("true") {
            ctx.set_header("Access-Control-Allow-Private-Network", "true")?;
        }
        Ok(())
    }

    /// What every response says.
    pub(in crate::web) fn add_headers(&self, ctx: &Context) -> Result {
        if !matches!(self.origins, Origins::Any) {
            // Also when no origin is named: a cache must not give this response to a page that names one.
            ctx.update_headers(|headers| add_vary(headers, "Origin"))?;
        }
        let Some(origin) = self.allowed_origin(ctx) else { return Ok(()) };
        ctx.set_header("Access-Control-Allow-Origin", origin.as_bytes())?;
        if self.credentials {
            ctx.set_header("Access-Control-Allow-Credentials", "true")?;
        }
        if !self.expose.is_empty() && Self::preflight_for(ctx.request()).is_none() {
            ctx.set_header("Access-Control-Expose-Headers", self.expose.join(", "))?;
        }
        Ok(())
    }

    /// What Access-Control-Allow-Origin says to this request, if anything.
    fn allowed_origin<'a>(&self, ctx: &'a Context) -> Option<&'a str> {
        let origin = ctx.request().headers().get("Origin")?;
        match &self.origins {
            Origins::Any => Some("*"),
            Origins::Listed(listed) => {
                listed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)).then_some(origin)
            }
            Origins::Chosen(allow) => allow(origin).then_some(origin),
        }
    }
}

impl Default for Cors {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cors").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

/// Whether it looks as browsers write origins (RFC 6454 §6.2): what does not would never match.
fn is_origin(text: &str) -> bool {
    if text == "null" {
        return true;
    }
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let usual_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let host_ok = !rest.is_empty()
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
        && (usual_port.is_empty() || !rest.ends_with(usual_port) || rest.ends_with(']'));
    scheme_ok && host_ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_do() {
        for (text, is) in [
            ("https://app.example", true),
            ("http://localhost:3000", true),
            ("http://[::1]:8080", true),
            ("http://[::80]", true),
            ("moz-extension://0c1d", true),
            ("null", true),
            ("https://app.example/", false),
            ("https://app.example/x", false),
            ("https://app.example:443", false),
            ("http://app.example:80", false),
            ("https://", false),
            ("app.example", false),
            ("*", false),
            ("https://*.example", false),
            ("https://a.example, https://b.example", false),
            ("", false),
        ] {
            assert_eq!(is_origin(text), is, "{text}");
        }
    }

    #[test]
    fn mistakes_are_found_at_start_up() {
        let count = |cors: Cors| cors.problems().len();
        assert_eq!(count(Cors::new().origin("https://a.example").credentials(true)), 0);
        assert_eq!(count(Cors::new().any_origin()), 0);
        assert_eq!(count(Cors::new().origins_if(|_| true).credentials(true)), 0);
        assert_eq!(count(Cors::new()), 1);
        assert_eq!(count(Cors::new().any_origin().credentials(true)), 1);
        assert_eq!(count(Cors::new().origins(["https://a.example/", "*"])), 2);
        assert_eq!(count(Cors::new().any_origin().methods(["GET", "P T"]).headers(["X:"]).expose([""])), 3);
    }
}
