//! One request and its response, as a handler sees them.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::str::FromStr;

use http::Method;

use super::application::Core;
use super::arguments::TextArguments;
use super::cookies::CookieState;
use super::error::{Error, HttpError, Result};
use super::extensions::Extensions;
use super::hooks::HeadHooks;
use super::locale::LocaleCell;
use super::receive::BodyChannel;
use super::response::{Phase, ResponseCell};
use super::routes::Route;
use super::site::Sites;
use super::sse::Heartbeat;
use super::transforms::Transforms;
use crate::escape;
use crate::httputil::{EntityTag, HeaderValue, HttpServerRequest, InvalidHeader};
use crate::iostream::{FilePart, IoStream};
use crate::log;
use crate::routing::PathValues;

/// One request and the response to it: what is `self` in a Tornado handler.
///
/// The request half does not change, the response half sits in cells, so that
/// `let name = ctx.argument("name")?; ctx.set_header("X-Name", name)?;` borrows as one would expect. Writing collects the
/// response; it is sent when the handler returns, with an entity tag and a Content-Length, or piece by piece with
/// [`flush`](Self::flush). Only what truly waits is `async`.
pub struct Context {
    core: Rc<Core>,
    route: Rc<Route>,
    request: HttpServerRequest,
    /// `None` for a route without groups.
    path_args: Option<Box<PathValues>>,
    pub(super) response: ResponseCell,
    /// For handlers that stream the body.
    pub(super) body: Option<Rc<BodyChannel>>,
    pub(super) head_hooks: Cell<HeadHooks>,
    rare: OnceCell<Box<Rare>>,
}

/// What many requests have nothing of. In the [`Context`] itself it would cost each of them some 100 instructions: it would be
/// moved twice, and dropped piece by piece.
#[derive(Default)]
pub(super) struct Rare {
    pub(super) arguments: OnceCell<TextArguments>,
    /// `None` until it is asked for or set.
    pub(super) user: RefCell<Option<Option<Rc<dyn Any>>>>,
    #[cfg_attr(not(feature = "locale"), expect(dead_code, reason = "nobody asks for it"))]
    pub(super) locale: LocaleCell,
    /// Empty for a request that has nothing to do with cookies.
    pub(super) cookies: OnceCell<CookieState>,
    pub(super) transforms: Transforms,
    pub(super) heartbeat: Heartbeat,
    pub(super) extensions: Extensions,
}

impl Context {
    pub(super) fn new(
        core: Rc<Core>,
        route: Rc<Route>,
        request: HttpServerRequest,
        path_args: Option<Box<PathValues>>,
        body: Option<Rc<BodyChannel>>,
    ) -> Self {
        let response = ResponseCell::new(request.start_time());
        let (head_hooks, rare) = (Cell::default(), OnceCell::new());
        let ctx = Self { core, route, request, path_args, response, body, head_hooks, rare };
        if ctx.route.takes_default_headers() {
            ctx.set_default_headers();
        }
        ctx
    }

    // --- The request ---

    /// The request.
    #[inline]
    pub fn request(&self) -> &HttpServerRequest {
        &self.request
    }

    /// The request's method.
    pub fn method(&self) -> &Method {
        self.request.method()
    }

    /// A path argument by the name of its group, or of the handler's parameter at its place.
    ///
    /// # Errors
    /// 404 when it does not parse, as if the pattern had not matched, or its group took no part in the match.
    #[track_caller]
    pub fn path_arg<T: FromStr>(&self, name: &str) -> Result<T> {
        let value = self.path_arg_str(name)?;
        value.parse().map_err(|_| not_found(format!("path argument {name} does not parse")))
    }

    /// As [`path_arg`](Self::path_arg), `None` when the group took no part in the match.
    ///
    /// # Errors
    /// 404 when it does not parse.
    #[track_caller]
    pub fn path_arg_opt<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.path_arg_opt_str(name)? else { return Ok(None) };
        match value.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(not_found(format!("path argument {name} does not parse"))),
        }
    }

    /// A path argument as text, percent-decoded.
    ///
    /// # Errors
    /// 404 when its group took no part in the match.
    #[track_caller]
    pub fn path_arg_str(&self, name: &str) -> Result<&str> {
        self.path_arg_opt_str(name)?.ok_or_else(|| not_found(format!("path argument {name} is missing")))
    }

    /// As [`path_arg_str`](Self::path_arg_str), `None` when the group took no part in the match.
    ///
    /// # Errors
    /// 500 when the route has no argument of that name.
    #[track_caller]
    pub fn path_arg_opt_str(&self, name: &str) -> Result<Option<&str>> {
        let caller = Location::caller();
        let index = self
            .route
            .arg_index(name)
            .ok_or_else(|| misuse(format!("This route has no path argument {name}")).blame(caller))?;
        Ok(self.path_args.as_ref().and_then(|args| args.get(index)))
    }

    /// All path arguments in order, percent-decoded.
    pub fn path_args(&self) -> impl Iterator<Item = Option<&str>> {
        self.path_args.iter().flat_map(|args| args.iter())
    }

    /// The names of the path arguments, `None` for groups without one.
    pub fn path_arg_names(&self) -> impl Iterator<Item = Option<&str>> {
        self.route.arg_names()
    }

    /// Resolves when the client has left. A handler goes on until it returns; race what may take long against this.
    ///
    /// Cancel safe. Never resolves by itself while the client waits.
    #[doc(alias = "on_connection_close")]
    pub async fn closed(&self) {
        self.request.connection().closed().await;
    }

    /// Resolves when the server drains before it ends, at once if it does already. A handler that waits for something that
    /// may never come, as a long poll does, races it against this and answers with what there is; the client then asks
    /// again, elsewhere. What goes on is cut after [`drain_timeout`](crate::HttpServer::drain_timeout).
    ///
    /// ```
    /// use squall::{Context, Result};
    /// use tokio::sync::Notify;
    ///
    /// async fn news(ctx: &Context, arrived: &Notify) -> Result {
    ///     tokio::select! {
    ///         () = arrived.notified() => ctx.write("news"),
    ///         () = ctx.shutdown() => ctx.set_status(204),
    ///         () = ctx.closed() => {}
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Cancel safe.
    pub async fn shutdown(&self) {
        self.request.connection().shutdown().await;
    }

    /// Whether the server is about to end; see [`ready`](super::ready).
    pub fn is_shutting_down(&self) -> bool {
        self.request.connection().is_shutting_down()
    }

    // --- The response ---

    /// Sets the status, with its usual reason.
    ///
    /// # Panics
    /// When `status` is not from 200 to 999; interim responses are sent by the server.
    #[track_caller]
    pub fn set_status(&self, status: u16) {
        assert!((200..=999).contains(&status), "{status} is no status of a response");
        self.response.borrow_mut().set_status(status, None);
    }

    /// Sets the status and a reason of its own. A reason that could not stand in a status line becomes `Unknown`.
    ///
    /// # Panics
    /// As [`set_status`](Self::set_status).
    #[track_caller]
    pub fn set_status_reason(&self, status: u16, reason: &str) {
        assert!((200..=999).contains(&status), "{status} is no status of a response");
        self.response.borrow_mut().set_status(status, Some(reason));
    }

    /// The status so far.
    #[doc(alias = "get_status")]
    pub fn status(&self) -> u16 {
        self.response.borrow().status
    }

    /// The reason phrase so far.
    pub fn reason(&self) -> String {
        self.response.borrow().reason().to_owned()
    }

    /// Sets a response header, instead of any of that name.
    ///
    /// # Errors
    /// When name or value must not be sent: control characters, CR and LF above all.
    pub fn set_header(&self, name: &str, value: impl HeaderValue) -> Result<(), InvalidHeader> {
        self.response.borrow_mut().headers.set(name, value)
    }

    /// Adds a response header beside those of that name.
    ///
    /// # Errors
    /// As [`set_header`](Self::set_header).
    pub fn add_header(&self, name: &str, value: impl HeaderValue) -> Result<(), InvalidHeader> {
        self.response.borrow_mut().headers.add(name, value)
    }

    /// Removes a response header; one that is not there is fine.
    pub fn clear_header(&self, name: &str) {
        self.response.borrow_mut().headers.remove(name);
    }

    /// A response header as set so far.
    pub fn response_header(&self, name: &str) -> Option<String> {
        self.response.borrow().headers.get(name).map(str::to_owned)
    }

    /// Drops what was set and written, back to 200 and the default headers.
    pub fn clear(&self) {
        self.response.borrow_mut().clear();
        if self.route.takes_default_headers() {
            self.set_default_headers();
        }
        self.set_request_id_header();
    }

    /// Appends text or bytes to the response.
    ///
    /// # Panics
    /// After the response is finished: Tornado's "Cannot write() after finish()".
    #[track_caller]
    pub fn write(&self, chunk: impl AsRef<[u8]>) {
        self.assert_not_finished();
        self.response.borrow_mut().body.extend_from_slice(chunk.as_ref());
    }

    #[track_caller]
    #[inline]
    pub(in crate::web) fn assert_not_finished(&self) {
        assert!(self.response.borrow().phase != Phase::Finished, "Cannot write() after finish()");
    }

    /// Appends a value as JSON and sets the Content-Type to `application/json; charset=UTF-8`.
    ///
    /// `</` is written `<\/`. (Tornado refuses lists here, for fear of browsers of 2008; this does not.)
    ///
    /// # Errors
    /// 500 when the value cannot be JSON.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn write_json<T: serde::Serialize + ?Sized>(&self, value: &T) -> Result {
        let caller = Location::caller();
        let json = escape::json_encode(value).map_err(|error| Error::from(error).blame(caller))?;
        self.response.borrow_mut().headers.set_trusted("Content-Type", "application/json; charset=UTF-8");
        self.write(json);
        Ok(())
    }

    /// Whether the response is finished.
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.response.borrow().phase == Phase::Finished
    }

    /// Whether the head has been sent, so that status and headers can no longer change.
    pub fn headers_sent(&self) -> bool {
        self.response.borrow().phase != Phase::Buffering
    }

    /// Answers with a 302 to `url`, which may be relative, and finishes.
    ///
    /// What may not stand in a URL (RFC 3986: spaces, tabs, backslashes, quotes, characters beyond ASCII) is
    /// percent-encoded, so that no browser drops it and reads another URL. A URL that a client has given, as in `next`,
    /// may still be another site's: ask [`is_local_url`](crate::escape::is_local_url).
    ///
    /// # Errors
    /// When the head was already sent, or `url` holds control characters other than tabs.
    #[track_caller]
    pub fn redirect(&self, url: &str) -> Result {
        self.redirect_with(url, 302)
    }

    /// As [`redirect`](Self::redirect), with a status of 300 to 399: 301 for a permanent one, 303 after a form.
    ///
    /// # Errors
    /// As [`redirect`](Self::redirect), and for another status.
    #[track_caller]
    pub fn redirect_with(&self, url: &str, status: u16) -> Result {
        let caller = Location::caller();
        if self.headers_sent() {
            let message = "Cannot redirect after headers have been written".to_owned();
            return Err(misuse(message).blame(caller));
        }
        if !(300..400).contains(&status) {
            return Err(misuse(format!("{status} is no redirect")).blame(caller));
        }
        self.set_status(status);
        self.set_header("Location", &*escape::url_escape_whole(url))
            .map_err(|error| Error::from(error).blame(caller))?;
        self.finish_now()
    }

    /// Answers with the site's error page of this status and finishes.
    ///
    /// Returning an [`HttpError`] does the same through the handler's own
    /// [`write_error`](super::RequestHandler::write_error).
    ///
    /// # Errors
    /// When the head was already sent.
    #[track_caller]
    pub fn send_error(&self, status: u16) -> impl Future<Output = Result> {
        let caller = Location::caller();
        async move {
            if self.headers_sent() {
                let message = "Cannot send error response after headers written".to_owned();
                return Err(misuse(message).blame(caller));
            }
            let error = HttpError::new(status).into();
            self.start_error(&error);
            self.write_site_error(&error).await?;
            if self.is_finished() { Ok(()) } else { self.end().await }
        }
    }

    /// Takes the connection out of HTTP, for protocols of one's own. Nothing more is sent by this context.
    ///
    /// # Errors
    /// When the response is finished.
    #[track_caller]
    pub fn detach(&self) -> Result<IoStream> {
        let caller = Location::caller();
        let detached = self.request.connection().detach();
        let stream = detached.map_err(|error| Error::from(error).blame(caller))?;
        self.response.borrow_mut().phase = Phase::Finished;
        Ok(stream)
    }

    // --- The application ---

    /// The path of a named route with these arguments, percent-encoded.
    ///
    /// # Errors
    /// 500 for an unknown name, a wrong number of arguments, or a pattern that cannot be reversed.
    #[track_caller]
    pub fn reverse_url(&self, name: &str, arguments: &[&dyn fmt::Display]) -> Result<String> {
        let caller = Location::caller();
        self.core.reverse_url(name, arguments).map_err(|error| error.blame(caller))
    }

    /// The default error page: status and reason in HTML, and the error's
    /// [message](HttpError::message) if it has one. Without one it is Tornado's, byte for byte. With
    /// [`serve_traceback`](super::Application::serve_traceback) it is the debug page.
    pub fn write_error_page(&self, error: &Error) {
        if self.core.settings().debug.serves_traceback() {
            return self.write_debug_page(error);
        }
        let Some(message) = error.message() else {
            return self.write_default_error();
        };
        let response = self.response.borrow();
        let (status, reason) = (response.status, escape::xhtml_escape(response.reason()).into_owned());
        drop(response);
        let message = escape::xhtml_escape(message);
        self.write(format!(
            "<html><title>{status}: {reason}</title><body>{status}: {reason}: {message}</body></html>"
        ));
    }

    /// Tornado's error page, which has status and reason and no message.
    pub fn write_default_error(&self) {
        let response = self.response.borrow();
        let (status, reason) = (response.status, escape::xhtml_escape(response.reason()).into_owned());
        drop(response);
        self.write(format!("<html><title>{status}: {reason}</title><body>{status}: {reason}</body></html>"));
    }

    /// The site's error page, or the default one.
    ///
    /// # Errors
    /// What [`Site::write_error`](super::Site::write_error) returns.
    pub async fn write_site_error(&self, error: &Error) -> Result {
        match self.sites().write_error(self, error).await {
            Some(written) => written,
            None => {
                self.write_error_page(error);
                Ok(())
            }
        }
    }

    /// An entity tag for what has been written: a fast hash of it.
    pub fn hash_of_body(&self) -> EntityTag {
        EntityTag::of_hash(rapidhash::v3::rapidhash_v3(&self.response.borrow().body))
    }

    /// The error for a method that this route does not answer: 405 with `Allow`.
    pub(crate) fn method_not_allowed(&self) -> Error {
        let allow = self.route.target().methods().allow();
        let message = format!("Allowed methods: {allow}");
        HttpError::new(405).message(message).header("Allow", allow).into()
    }

    /// The pattern of the route as it was written, prefixes included, for metrics and logs; `None` for a request that no
    /// route took.
    pub fn route_pattern(&self) -> Option<&str> {
        self.route.written()
    }

    /// The name of the route, if it has one.
    pub fn route_name(&self) -> Option<&str> {
        self.route.name()
    }

    pub(super) fn sites(&self) -> &Sites {
        self.route.sites()
    }

    /// Made when it is first asked for, to be changed.
    #[inline]
    pub(super) fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// If something of it is there.
    #[inline]
    pub(super) fn rare_if_any(&self) -> Option<&Rare> {
        self.rare.get().map(|rare| &**rare)
    }

    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    pub(super) fn core(&self) -> &Core {
        &self.core
    }

    /// Clears the response and gives it status and headers of the error.
    pub(super) fn start_error(&self, error: &Error) {
        self.clear();
        self.reset_head_hooks();
        let status = error.status();
        let status = if (200..=999).contains(&status) { status } else { 500 };
        let http = error.as_http();
        self.response.borrow_mut().set_status(status, http.and_then(HttpError::own_reason));
        let Some(http) = http else { return };
        if let Some(error) = http.headers().invalid() {
            tracing::error!(target: log::APPLICATION, "{error}");
        }
        let headers = &mut self.response.borrow_mut().headers;
        for (name, _) in http.headers().headers.iter_bytes() {
            headers.remove(name);
        }
        for (name, value) in http.headers().headers.iter_bytes() {
            // It was taken once.
            let _ = headers.add(name, value);
        }
    }

    /// Writes a part of a file if that needs no disk.
    pub(super) fn write_cached(&self, part: &FilePart) -> bool {
        let body = &mut self.response.borrow_mut().body;
        let (before, length) = (body.len(), part.len() as usize);
        body.resize(before + length, 0);
        let read = part.read_cached(&mut body[before..]);
        if !read {
            body.truncate(before);
        }
        read
    }

    pub(super) fn has_no_body(&self) -> bool {
        self.response.borrow().has_no_body()
    }

    /// Cuts the connection: what was sent must not look complete.
    pub(super) fn abort(&self) {
        self.request.connection().abort();
        self.response.borrow_mut().phase = Phase::Finished;
    }

    fn set_default_headers(&self) {
        if let Err(error) = self.sites().set_default_headers(self) {
            tracing::error!(target: log::APPLICATION, "set_default_headers: {error}");
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("request", &self.request).finish_non_exhaustive()
    }
}

fn not_found(message: String) -> Error {
    HttpError::new(404).log_message(message).into()
}

/// Whether this may be a [`misuse`], about which a client is told nothing.
#[cfg(feature = "templates")]
pub(super) fn is_misuse(error: &Error) -> bool {
    error.as_http().is_some_and(|http| {
        http.status() == 500
            && http.own_reason().is_none()
            && error.message().is_none()
            && http.headers().is_empty()
    })
}

/// The application's mistake.
pub(super) fn misuse(message: String) -> Error {
    HttpError::new(500).log_message(message).into()
}
