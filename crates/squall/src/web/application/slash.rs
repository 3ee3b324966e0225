//! Paths with and without a slash at their end (Tornado's `@addslash` and `@removeslash`).

use http::Method;

use crate::escape::path_on_this_host;
use crate::web::context::Context;
use crate::web::error::{HttpError, Result};

/// What a resource does about the slash at the end of its path.
///
/// The pattern of the route must let both forms in: `"/stories/?"`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum TrailingSlash {
    /// Nothing.
    #[default]
    AsIs,
    /// Without a slash, `GET` and `HEAD` are redirected (301) to the path with one, the query kept; other methods
    /// are a 404.
    #[doc(alias = "addslash")]
    Add,
    /// With slashes, `GET` and `HEAD` are redirected (301) to the path without any, the query kept; other methods
    /// are a 404. `GET /` is served.
    #[doc(alias = "removeslash")]
    Remove,
}

impl TrailingSlash {
    /// Redirects or refuses; when neither, the response is not finished.
    #[inline]
    pub(in crate::web) fn enforce(self, ctx: &Context) -> Result {
        if self == Self::AsIs { Ok(()) } else { self.look_at_path(ctx) }
    }

    fn look_at_path(self, ctx: &Context) -> Result {
        let path = ctx.request().path();
        let target = match self {
            Self::Add if !path.ends_with('/') => format!("{path}/"),
            Self::Remove if path.ends_with('/') => path.trim_end_matches('/').to_owned(),
            _ => return Ok(()),
        };
        if !matches!(*ctx.method(), Method::GET | Method::HEAD) {
            return Err(HttpError::new(404).into());
        }
        if target.is_empty() {
            return Ok(());
        }
        let mut target = path_on_this_host(&target);
        let query = ctx.request().query();
        if !query.is_empty() {
            target.push('?');
            target.push_str(query);
        }
        ctx.redirect_with(&target, 301)
    }
}
