//! Static files of an application: its settings, its routes and the URLs of its files.

use std::panic::Location;
use std::path::PathBuf;
use std::rc::Rc;

use super::{StaticFileHandler, StaticFiles};
use crate::web::application::Application;
use crate::web::context::{Context, misuse};
use crate::web::error::Result;
use crate::web::route::{UrlSpec, url};

const DEFAULT_PREFIX: &str = "/static/";

/// The settings that are about static files.
#[derive(Default)]
pub(in crate::web) struct StaticSettings {
    path: Option<PathBuf>,
    url_prefix: Option<String>,
    handler: Option<Rc<dyn AnyStaticHandler>>,
    default_headers: bool,
    hash_on_every_request: bool,
}

#[cfg(feature = "templates")]
impl StaticSettings {
    pub(in crate::web) fn path(&self) -> Option<&std::path::Path> {
        self.path.as_deref()
    }

    pub(in crate::web) fn url_prefix(&self) -> String {
        self.url_prefix.clone().unwrap_or_else(|| DEFAULT_PREFIX.to_owned())
    }
}

impl Application {
    /// Serves the files below this directory under [`static_url_prefix`](Self::static_url_prefix), `/robots.txt` and
    /// `/favicon.ico` among them also at the root, before all other routes. Default: none.
    #[must_use]
    pub fn static_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.static_files.path = Some(path.into());
        self
    }

    /// Where static files are. Default: `/static/`.
    #[must_use]
    pub fn static_url_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.static_files.url_prefix = Some(prefix.into());
        self
    }

    /// What serves the static files, instead of a plain [`StaticFileHandler`] for the
    /// [`static_path`](Self::static_path), which then is of no account.
    #[must_use]
    #[doc(alias = "static_handler_class")]
    #[doc(alias = "static_handler_args")]
    pub fn static_handler<F: StaticFiles>(mut self, handler: StaticFileHandler<F>) -> Self {
        self.settings.static_files.handler = Some(Rc::new(handler));
        self
    }

    /// Whether the responses of static files start with the headers of
    /// [`Site::set_default_headers`](crate::Site::set_default_headers), as they do in Tornado where a `static_handler_class`
    /// is also a handler of the application's. Default: off.
    #[must_use]
    pub fn static_default_headers(mut self, on: bool) -> Self {
        self.settings.static_files.default_headers = on;
        self
    }

    /// Whether the hashes of files that have not changed are remembered. Default: on. A
    /// [`static_handler`](Self::static_handler) has [its own setting](StaticFileHandler::hash_cache).
    #[must_use]
    pub fn static_hash_cache(mut self, on: bool) -> Self {
        self.settings.static_files.hash_on_every_request = !on;
        self
    }
}

/// How [`Context::static_url_with`] makes a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaticUrl {
    include_host: bool,
    include_version: bool,
}

impl Default for StaticUrl {
    /// A path with a version.
    fn default() -> Self {
        Self { include_host: false, include_version: true }
    }
}

impl StaticUrl {
    /// Begins the URL with the scheme and host of the request. Default: off.
    #[must_use]
    pub fn include_host(mut self, on: bool) -> Self {
        self.include_host = on;
        self
    }

    /// Ends the URL with `?v=` and the hash of the file, so that it can be cached for ever. Default: on.
    #[must_use]
    pub fn include_version(mut self, on: bool) -> Self {
        self.include_version = on;
        self
    }
}

impl Context {
    /// The URL of a static file, with its version: `/static/app.js?v=…`, without one if the file cannot be read.
    ///
    /// The file is read when it is first asked for and when it has changed; do not pass paths that clients make up.
    ///
    /// # Errors
    /// 500 when the application has no static files, 403 for a path that leads out of their directory.
    #[track_caller]
    pub fn static_url(&self, path: &str) -> Result<String> {
        self.static_url_with(path, StaticUrl::default())
    }

    /// As [`static_url`](Self::static_url), with or without host and version.
    ///
    /// # Errors
    /// As [`static_url`](Self::static_url).
    #[track_caller]
    pub fn static_url_with(&self, path: &str, options: StaticUrl) -> Result<String> {
        let caller = Location::caller();
        let settings = self.core().static_settings();
        let handler = settings.handler.as_ref().ok_or_else(|| {
            let message = "You must define static_path in your application to use static_url";
            misuse(message.to_owned()).blame(caller)
        })?;
        let url = handler.static_url(settings.prefix(), path, options.include_version)?;
        if !options.include_host {
            return Ok(url);
        }
        let request = self.request();
        Ok(format!("{}://{}{url}", request.protocol(), request.host()))
    }
}

impl StaticSettings {
    /// The routes of the static files, to be tried before all others. Settles which handler it is.
    #[track_caller]
    pub(in crate::web) fn routes(&mut self) -> Vec<UrlSpec> {
        if self.handler.is_none()
            && let Some(path) = &self.path
        {
            let handler = StaticFileHandler::new(path).hash_cache(!self.hash_on_every_request);
            self.handler = Some(Rc::new(handler));
        }
        let Some(handler) = &self.handler else { return Vec::new() };
        let below = format!("{}(.*)", regex::escape(self.prefix()));
        let patterns = [r"/(robots\.txt)", r"/(favicon\.ico)", &below];
        patterns.map(|pattern| handler.route(pattern).default_headers(self.default_headers)).into()
    }

    fn prefix(&self) -> &str {
        self.url_prefix.as_deref().unwrap_or(DEFAULT_PREFIX)
    }
}

/// A handler of whatever files.
trait AnyStaticHandler {
    fn route(&self, pattern: &str) -> UrlSpec;
    fn static_url(&self, prefix: &str, path: &str, include_version: bool) -> Result<String>;
}

impl<F: StaticFiles> AnyStaticHandler for StaticFileHandler<F> {
    fn route(&self, pattern: &str) -> UrlSpec {
        url(pattern, self.clone())
    }

    fn static_url(&self, prefix: &str, path: &str, include_version: bool) -> Result<String> {
        self.files.static_url(prefix, path, include_version)
    }
}
