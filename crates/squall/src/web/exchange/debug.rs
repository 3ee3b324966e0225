//! The debug page: what a developer wants to know of an error, and no client should.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::fmt::Write;
use std::sync::Once;

use crate::autoreload;
use crate::escape::xhtml_escape;
use crate::httputil::Arguments;
use crate::web::application::Application;
use crate::web::context::Context;
use crate::web::error::Error;

/// What `debug` and its parts were set to.
#[derive(Debug, Default)]
pub(in crate::web) struct DebugSettings {
    debug: bool,
    serve_traceback: Option<bool>,
    autoreload: Option<bool>,
}

impl DebugSettings {
    /// For what `debug` switches off or on by default: caches, above all.
    pub(in crate::web) fn is_on(&self) -> bool {
        self.debug
    }

    #[inline]
    pub(in crate::web) fn serves_traceback(&self) -> bool {
        self.serve_traceback.unwrap_or(self.debug)
    }

    pub(in crate::web) fn reloads(&self) -> bool {
        self.autoreload.unwrap_or(self.debug)
    }

    /// What `--debug` changes.
    pub(in crate::web) fn follow_options(&mut self) {
        self.debug |= crate::options::given().is_ok_and(|given| given.debug);
    }

    /// The application starts.
    pub(in crate::web) fn start(&self) {
        if self.reloads() {
            autoreload::start_unless_started(autoreload::CHECK_TIME);
        }
        remember_where_panics_are();
    }
}

impl Application {
    /// Settings for development: [`autoreload`](Self::autoreload) and [`serve_traceback`](Self::serve_traceback) are on
    /// unless set otherwise, and templates are read anew when they change. Default: off.
    ///
    /// The hashes of static files always follow their files, so that `static_hash_cache` may stay on.
    #[must_use]
    pub fn debug(mut self, on: bool) -> Self {
        self.settings.debug.debug = on;
        self
    }

    /// Starts the program again when it has been built anew (see [`autoreload`](crate::autoreload)). Default: as
    /// [`debug`](Self::debug).
    #[must_use]
    pub fn autoreload(mut self, on: bool) -> Self {
        self.settings.debug.autoreload = Some(on);
        self
    }

    /// Makes error pages tell the developer all: the error with its causes, the line of the `?` or of the panic, the
    /// request and the settings. Cookies, credentials and arguments called like a password are masked, but
    /// the page is not for the public. Default: as [`debug`](Self::debug).
    ///
    /// To know where a panic was, for this and for the log, an application sets a panic hook, once per process, which calls the
    /// one before it.
    #[must_use]
    pub fn serve_traceback(mut self, on: bool) -> Self {
        self.settings.debug.serve_traceback = Some(on);
        self
    }
}

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn remember_where_panics_are() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if let Some(at) = info.location() {
                // Without the cell the thread is ending.
                let _ = LAST_PANIC.try_with(|last| *last.borrow_mut() = Some(at.to_string()));
            }
            former(info);
        }));
    });
}

/// Where the last panic of this thread was, if that is remembered.
pub(in crate::web) fn take_panic_location() -> Option<String> {
    LAST_PANIC.with_borrow_mut(Option::take)
}

const MASK: &str = "(masked)";

impl Context {
    pub(in crate::web) fn write_debug_page(&self, error: &Error) {
        let title = xhtml_escape(&format!("{}: {}", self.status(), self.reason())).into_owned();
        let mut page = Page(format!(
            "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>{title}</title></head><body><h1>{title}</h1>"
        ));
        page.table("Error", error_rows(error));
        let request = self.request();
        page.table(
            "Request",
            vec![
                ("method".to_owned(), request.method().to_string()),
                ("uri".to_owned(), mask_query(request.uri())),
                ("remote_ip".to_owned(), request.remote_ip().to_string()),
            ],
        );
        let headers = request.headers().iter();
        page.table("Headers", headers.map(|(name, value)| masked(name, value.to_owned())).collect());
        let arguments = [request.query_arguments(), request.body_arguments().ok()].into_iter().flatten();
        let arguments = arguments.flat_map(Arguments::iter);
        let shown = |(name, value): (&str, &[u8])| masked(name, String::from_utf8_lossy(value).into_owned());
        page.table("Arguments", arguments.map(shown).collect());
        page.table("Settings", self.setting_rows());
        page.0.push_str("</body></html>");
        self.write(page.0);
    }

    fn setting_rows(&self) -> Vec<(String, String)> {
        let settings = self.core().settings();
        let mut rows = vec![
            ("debug".to_owned(), settings.debug.is_on().to_string()),
            ("autoreload".to_owned(), settings.debug.reloads().to_string()),
            ("serve_traceback".to_owned(), settings.debug.serves_traceback().to_string()),
            ("default_host".to_owned(), settings.default_host.clone().unwrap_or_default()),
            ("login_url".to_owned(), mask_query(settings.login_url.as_deref().unwrap_or_default())),
        ];
        // The user's own may be anything.
        rows.extend(settings.user.type_names().into_iter().map(|name| (name.to_owned(), MASK.to_owned())));
        rows
    }
}

fn error_rows(error: &Error) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let http = error.as_http().map(|http| http as &dyn StdError);
    match error.foreign().or(http) {
        Some(first) => {
            rows.push(("error".to_owned(), first.to_string()));
            let mut next = first.source();
            while let Some(cause) = next {
                rows.push(("caused by".to_owned(), cause.to_string()));
                next = cause.source();
            }
        }
        None => rows.push(("error".to_owned(), error.to_string())),
    }
    let at = error.location().map(ToString::to_string);
    rows.extend(at.or_else(|| error.panic_location().map(str::to_owned)).map(|at| ("at".to_owned(), at)));
    rows
}

struct Page(String);

impl Page {
    fn table(&mut self, title: &str, rows: Vec<(String, String)>) {
        let _ = write!(self.0, "<h2>{title}</h2><table>");
        for (name, value) in rows {
            let (name, value) = (xhtml_escape(&name), xhtml_escape(&value));
            let _ = write!(self.0, "<tr><th>{name}</th><td><pre>{value}</pre></td></tr>");
        }
        self.0.push_str("</table>");
    }
}

fn masked(name: &str, value: String) -> (String, String) {
    let value = if is_secret(name) { MASK.to_owned() } else { value };
    (name.to_owned(), value)
}

/// Whether what goes by this name is nobody's business.
fn is_secret(name: &str) -> bool {
    const PARTS: &[&str] = &[
        "cookie", "auth", "password", "passwd", "secret", "token", "xsrf", "csrf", "api-key", "api_key",
        "session",
    ];
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part))
}

/// A URL whose secret arguments are masked.
fn mask_query(url: &str) -> String {
    let Some((path, query)) = url.split_once('?') else { return url.to_owned() };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
        _ => pair.to_owned(),
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}
