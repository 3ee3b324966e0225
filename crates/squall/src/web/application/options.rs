//! What can be chosen for a handler, or for one of its routes.

use crate::web::methods::{Methods, Verb};
use crate::web::slash::TrailingSlash;

/// What can be chosen for a handler ([`RequestHandler::OPTIONS`](crate::web::RequestHandler::OPTIONS)), and otherwise for one of
/// its routes ([`UrlSpec::options`](crate::web::UrlSpec::options)). The start is [`new`](Self::new), where nothing is.
///
/// ```
/// use squall::web::{HandlerOptions, Methods, TrailingSlash};
///
/// const OPTIONS: HandlerOptions = HandlerOptions::new()
///     .authenticated_for(Methods::of(&["POST", "DELETE"]))
///     .trailing_slash(TrailingSlash::Remove);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerOptions {
    pub(in crate::web) stream_body: bool,
    pub(in crate::web) pulls_body: bool,
    pub(in crate::web) trailing_slash: TrailingSlash,
    pub(in crate::web) authenticated: Methods,
    pub(in crate::web) xsrf_exempt: Methods,
    pub(in crate::web) default_headers: bool,
}

impl HandlerOptions {
    /// The defaults, as each method says.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            stream_body: false,
            pulls_body: false,
            trailing_slash: TrailingSlash::AsIs,
            authenticated: Methods::NONE,
            xsrf_exempt: Methods::NONE,
            default_headers: true,
        }
    }

    /// Whether the body is handed to [`data_received`](crate::web::RequestHandler::data_received) as it comes, instead of being
    /// collected: `#[handler(stream_body)]`. Default: no.
    #[must_use]
    #[doc(alias = "stream_request_body")]
    pub const fn stream_body(mut self, on: bool) -> Self {
        self.stream_body = on;
        self
    }

    /// The handler takes the streamed body itself, while it answers.
    #[cfg_attr(
        not(feature = "tower"),
        allow(dead_code, reason = "what hands bodies to a service is not there")
    )]
    pub(in crate::web) const fn pulls_body(mut self) -> Self {
        self.stream_body = true;
        self.pulls_body = true;
        self
    }

    /// What becomes of a path that ends with a slash, or lacks one: `#[handler(add_slash)]`, `#[handler(remove_slash)]`.
    /// Default: nothing.
    #[must_use]
    #[doc(alias = "addslash")]
    #[doc(alias = "removeslash")]
    pub const fn trailing_slash(mut self, slash: TrailingSlash) -> Self {
        self.trailing_slash = slash;
        self
    }

    /// Serves only requests with a [user](crate::Context::user), as [`Context::require_user`](crate::Context::require_user)
    /// would have it: `#[handler(authenticated)]`. Looked at after `prepare`, so that this may
    /// [set](crate::Context::set_user) one.
    ///
    /// That is for all methods but `OPTIONS`: a preflight has no credentials (Fetch §3.2.6), and who asks what may be asked
    /// is not refused.
    #[must_use]
    pub const fn authenticated(self) -> Self {
        self.authenticated_for(Methods::ANY.without(Methods::of(&["OPTIONS"])))
    }

    /// [`authenticated`](Self::authenticated) for these methods only: `#[authenticated]` on the methods of a
    /// [`#[handler]`](crate::handler). Of `GET` it is for the `HEAD` that comes with it, too. Default: for none.
    #[must_use]
    pub const fn authenticated_for(mut self, methods: Methods) -> Self {
        self.authenticated = methods;
        self
    }

    /// Does not check requests for the token of
    /// [`Application::xsrf_cookies`](crate::web::Application::xsrf_cookies): `#[handler(xsrf_exempt)]`, in Tornado an empty
    /// `check_xsrf_cookie`. For web hooks and the like, which prove otherwise who they are.
    #[must_use]
    pub const fn xsrf_exempt(self) -> Self {
        self.xsrf_exempt_for(Methods::ANY)
    }

    /// [`xsrf_exempt`](Self::xsrf_exempt) for these methods only. Default: for none.
    #[must_use]
    pub const fn xsrf_exempt_for(mut self, methods: Methods) -> Self {
        self.xsrf_exempt = methods;
        self
    }

    /// Whether responses start with the headers of [`Site::set_default_headers`](crate::web::Site::set_default_headers).
    /// Default: yes. Those of the ready-made handlers, of static files above all, do not, unless their route asks for it.
    #[must_use]
    pub const fn default_headers(mut self, on: bool) -> Self {
        self.default_headers = on;
        self
    }

    /// Whether there must be a user for this.
    #[inline]
    pub(in crate::web) fn is_authenticated(&self, verb: Verb, method: &http::Method) -> bool {
        self.authenticated.has(verb, method)
    }

    /// As they are for a function with these methods, which is one of several of a resource.
    pub(in crate::web) const fn only_for(mut self, methods: Methods) -> Self {
        self.authenticated = self.authenticated.common(methods);
        self.xsrf_exempt = self.xsrf_exempt.common(methods);
        self
    }

    /// Those of a resource of several functions.
    pub(in crate::web) fn and(self, other: Self) -> Self {
        Self {
            trailing_slash: match self.trailing_slash {
                TrailingSlash::AsIs => other.trailing_slash,
                slash => slash,
            },
            authenticated: self.authenticated.and(other.authenticated),
            xsrf_exempt: self.xsrf_exempt.and(other.xsrf_exempt),
            default_headers: self.default_headers && other.default_headers,
            ..self
        }
    }
}

impl Default for HandlerOptions {
    fn default() -> Self {
        Self::new()
    }
}
