//! What a handler can return instead of a response.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;

use bytes::Bytes;

use crate::httputil::{GivenHeaders, HeaderValue, reason_phrase};
use crate::ioloop::panic_message;

/// The result of a handler.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Why a request was not answered as the handler meant to.
///
/// Like `anyhow::Error` it does not implement [`std::error::Error`], so that `?` takes any error: an [`HttpError`]
/// keeps its status, [`Finish`] ends the request, anything else is a 500 whose log line names the file and line of
/// the `?`. [`OrStatus`] gives other errors a status where they occur,
/// [`Application::map_error`](crate::web::Application::map_error) once for all.
pub struct Error(Box<Repr>);

enum Repr {
    Http(HttpError),
    Finish(Finish),
    Panic {
        message: String,
        at: Option<String>,
    },
    Other {
        source: Box<dyn StdError>,
        at: &'static Location<'static>,
    },
    /// What the methods of a `Site` return that are not its own.
    NotDefined,
}

impl Error {
    /// Ends the request with what has been written so far (Tornado's `raise Finish()`).
    pub fn finish() -> Self {
        Finish::default().into()
    }

    /// The status that this error answers with; 200 for [`finish`](Self::finish).
    pub fn status(&self) -> u16 {
        match &*self.0 {
            Repr::Http(error) => error.status,
            Repr::Finish(_) => 200,
            Repr::Panic { .. } | Repr::Other { .. } | Repr::NotDefined => 500,
        }
    }

    /// The reason phrase that goes with the status.
    pub fn reason(&self) -> &str {
        match &*self.0 {
            Repr::Http(HttpError { reason: Some(reason), .. }) => reason,
            _ => reason_phrase(self.status()),
        }
    }

    /// The line for the client, if it is an HTTP error that [has one](HttpError::message).
    pub fn message(&self) -> Option<&str> {
        self.as_http()?.message.as_deref()
    }

    /// The message for the log, if it is an HTTP error that [has one](HttpError::log_message).
    pub fn log_message(&self) -> Option<&str> {
        self.as_http()?.log_message.as_deref()
    }

    /// The HTTP error that it is, if it is one.
    pub fn as_http(&self) -> Option<&HttpError> {
        match &*self.0 {
            Repr::Http(error) => Some(error),
            _ => None,
        }
    }

    /// The foreign error that it was made from, if it is of type `E`.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        match &*self.0 {
            Repr::Other { source, .. } => source.downcast_ref(),
            Repr::Http(error) => error.source.as_deref().and_then(|source| source.downcast_ref()),
            _ => None,
        }
    }

    /// The line of the application's that is to blame: where a foreign error met its `?`, or where a method of
    /// [`Context`](crate::Context) was called that cannot do what it was asked for.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        match &*self.0 {
            Repr::Other { at, .. } => Some(at),
            Repr::Http(error) => error.at,
            _ => None,
        }
    }

    /// It is the mistake of who called the framework there, rather than of the framework's line where it was found.
    #[must_use]
    pub(crate) fn blame(mut self, caller: &'static Location<'static>) -> Self {
        match &mut *self.0 {
            Repr::Other { at, .. } => *at = caller,
            // The innermost call is the one.
            Repr::Http(error) => {
                error.at.get_or_insert(caller);
            }
            Repr::Finish(_) | Repr::Panic { .. } | Repr::NotDefined => {}
        }
        self
    }

    /// As [`blame`](Self::blame), if it is a misuse of the framework that nobody is blamed for yet: an error of the
    /// application's own on the way knows its line.
    #[must_use]
    pub(crate) fn blame_misuse(self, caller: &'static Location<'static>) -> Self {
        match &*self.0 {
            Repr::Http(HttpError { status: 500, reason: None, message: None, .. }) => self.blame(caller),
            _ => self,
        }
    }

    /// What a method of [`Site`](crate::web::Site) returns that is not its own: the site around it is asked instead.
    ///
    /// For a site that decides by the request whether it answers itself. Anywhere else it is a 500.
    pub fn not_defined() -> Self {
        Self(Box::new(Repr::NotDefined))
    }

    /// Whether it is [`not_defined`](Self::not_defined).
    pub fn is_not_defined(&self) -> bool {
        matches!(*self.0, Repr::NotDefined)
    }

    /// A panic, and where it was if that is remembered.
    pub(super) fn panic(payload: &(dyn Any + Send), at: Option<String>) -> Self {
        let message = panic_message(payload).to_owned();
        Self(Box::new(Repr::Panic { message, at }))
    }

    /// Where it panicked, if that is remembered.
    pub(super) fn panic_location(&self) -> Option<&str> {
        match &*self.0 {
            Repr::Panic { at, .. } => at.as_deref(),
            _ => None,
        }
    }

    pub(super) fn as_finish(&self) -> Option<&Finish> {
        match &*self.0 {
            Repr::Finish(finish) => Some(finish),
            _ => None,
        }
    }

    pub(super) fn foreign(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.0 {
            Repr::Other { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}

/// Any error, boxed ones, `anyhow::Error` and plain text included.
impl<E: Into<Box<dyn StdError>>> From<E> for Error {
    #[track_caller]
    fn from(error: E) -> Self {
        let error: Box<dyn StdError> = error.into();
        let error = match error.downcast::<HttpError>() {
            Ok(http) => return Self(Box::new(Repr::Http(*http))),
            Err(other) => other,
        };
        match error.downcast::<Finish>() {
            Ok(finish) => Self(Box::new(Repr::Finish(*finish))),
            Err(source) => Self(Box::new(Repr::Other { source, at: Location::caller() })),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Repr::Http(error) => write_chain(f, error),
            Repr::Finish(finish) => fmt::Display::fmt(finish, f),
            Repr::Panic { message, .. } => write!(f, "panic: {message}"),
            Repr::Other { source, .. } => write_chain(f, source.as_ref()),
            Repr::NotDefined => f.write_str("the site leaves this to the one around it"),
        }
    }
}

impl fmt::Debug for Error {
    /// One readable line, since this is what `fn main() -> Result` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The error and its causes, each only when it says something new.
fn write_chain(f: &mut fmt::Formatter<'_>, error: &dyn StdError) -> fmt::Result {
    let mut text = error.to_string();
    f.write_str(&text)?;
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            write!(f, ": {said}")?;
            text = said;
        }
        next = cause.source();
    }
    Ok(())
}

/// The longest line for a client. What a framework's cause quotes, such as the name of an argument, is the client's own
/// and has no length of its own.
const MESSAGE_CHARS: usize = 300;

/// An answer with an error status (Tornado's `HTTPError`), as it is built. What it says is read from the [`Error`] that it
/// becomes.
#[doc(alias = "HTTPError")]
#[derive(Debug)]
pub struct HttpError {
    status: u16,
    reason: Option<Cow<'static, str>>,
    message: Option<String>,
    log_message: Option<Cow<'static, str>>,
    headers: GivenHeaders,
    source: Option<Box<dyn StdError>>,
    /// Which call of the application's it was, if that is to blame.
    at: Option<&'static Location<'static>>,
}

impl HttpError {
    /// An error with this status and its usual reason.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            reason: None,
            message: None,
            log_message: None,
            headers: GivenHeaders::default(),
            source: None,
            at: None,
        }
    }

    /// Gives it a reason of its own. One that could not stand in a status line is sent as `Unknown`.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Sets the line for the client, which the [default error page](crate::web::Context::write_error_page) shows after the
    /// reason: what was wrong, never the value of a secret. It is escaped there.
    ///
    /// Control characters become spaces, and it ends after 300 characters. The log has it in the place of a
    /// [`log_message`](Self::log_message) that is missing.
    #[must_use]
    pub fn message(mut self, message: impl AsRef<str>) -> Self {
        let one_line = message.as_ref().chars().map(|c| if c.is_control() { ' ' } else { c });
        self.message = Some(one_line.take(MESSAGE_CHARS).collect());
        self
    }

    /// Sets the message for the log, which the client never sees.
    #[must_use]
    pub fn log_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.log_message = Some(message.into());
        self
    }

    /// Sets a header of the error page, such as `Retry-After` or `WWW-Authenticate`, instead of those of that name and of a
    /// default one. One that must not be sent is left out, and logged with the answer.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl HeaderValue) -> Self {
        self.headers.set(name, value);
        self
    }

    /// Adds a header beside those of that name, such as a second `WWW-Authenticate`.
    #[must_use]
    pub fn add_header(mut self, name: &str, value: impl HeaderValue) -> Self {
        self.headers.add(name, value);
        self
    }

    /// Keeps the error that caused it, for the log: its [`source`](StdError::source).
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A refusal of the framework: the cause goes to the client and into the log.
    pub(super) fn refusal(status: u16, cause: impl Into<Cow<'static, str>>) -> Self {
        let cause = cause.into();
        Self::new(status).message(&cause).log_message(cause)
    }

    pub(super) fn own_reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    pub(super) fn headers(&self) -> &GivenHeaders {
        &self.headers
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "HTTP {}: {}",
            self.status,
            self.own_reason().unwrap_or_else(|| reason_phrase(self.status))
        )?;
        match self.log_message.as_deref().or(self.message.as_deref()) {
            Some(message) => write!(f, " ({message})"),
            None => Ok(()),
        }
    }
}

impl StdError for HttpError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref()
    }
}

/// Ends a request early, without an error: what has been written is sent (Tornado's `Finish`).
#[derive(Debug, Default, Clone)]
pub struct Finish {
    chunk: Bytes,
}

impl Finish {
    /// Ends the request after writing this.
    pub fn with(chunk: impl Into<Bytes>) -> Self {
        Self { chunk: chunk.into() }
    }

    pub(super) fn chunk(&self) -> &[u8] {
        &self.chunk
    }
}

impl fmt::Display for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request was ended early")
    }
}

impl StdError for Finish {}

/// Gives `None` and foreign errors a status: `db.story(id).await?.or_404()?`.
pub trait OrStatus<T>: Sized {
    /// The value, or an [`HttpError`] with this status; an error stays as its source, for the log.
    ///
    /// # Errors
    /// When there is no value.
    fn or_status(self, status: u16) -> Result<T>;

    /// [`or_status(404)`](Self::or_status).
    ///
    /// # Errors
    /// When there is no value.
    fn or_404(self) -> Result<T> {
        self.or_status(404)
    }
}

impl<T> OrStatus<T> for Option<T> {
    fn or_status(self, status: u16) -> Result<T> {
        self.ok_or_else(|| HttpError::new(status).into())
    }
}

impl<T, E: Into<Box<dyn StdError>>> OrStatus<T> for std::result::Result<T, E> {
    fn or_status(self, status: u16) -> Result<T> {
        self.map_err(|error| HttpError::new(status).caused_by(error).into())
    }
}

/// Mistakes in how an application was put together, found when it starts.
#[derive(Debug, Clone)]
pub struct BuildError {
    problems: Vec<String>,
}

impl BuildError {
    pub(super) fn new(problems: Vec<String>) -> Self {
        Self { problems }
    }

    /// Each mistake, with the file and line of the code that made it.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("; "))
    }
}

impl StdError for BuildError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<u32> {
        Ok(text.parse()?)
    }

    #[test]
    fn question_mark_takes_any_error_and_remembers_its_line() {
        let error = parse("x").unwrap_err();
        assert_eq!(error.status(), 500);
        assert!(error.location().unwrap().file().ends_with("error.rs"));
        assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
        assert_eq!(format!("{error:?}"), "invalid digit found in string");
    }

    #[test]
    fn boxed_errors_and_text_pass_too() {
        fn boxed() -> Result {
            Err(Box::<dyn StdError>::from(HttpError::new(409)))?;
            Ok(())
        }
        fn anyhow() -> Result {
            Err(anyhow::anyhow!("why"))?;
            Ok(())
        }
        fn text() -> Result {
            Err("why not")?;
            Ok(())
        }
        assert_eq!(boxed().unwrap_err().status(), 409);
        assert_eq!(anyhow().unwrap_err().to_string(), "why");
        assert_eq!(text().unwrap_err().to_string(), "why not");
    }

    #[test]
    fn http_errors_keep_their_status() {
        let error: Error = HttpError::new(418).log_message("logged only").into();
        assert_eq!((error.status(), error.reason()), (418, "I'm a teapot"));
        assert_eq!(error.to_string(), "HTTP 418: I'm a teapot (logged only)");
        assert!(Error::finish().as_finish().is_some());
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let error = Error::from(HttpError::new(400).message("a\r\nb\0\u{85}c"));
        assert_eq!(error.message(), Some("a  b  c"));
        assert_eq!(error.to_string(), "HTTP 400: Bad Request (a  b  c)");
        let long = Error::from(HttpError::new(400).message("ü".repeat(1000)));
        assert_eq!(long.message(), Some("ü".repeat(300).as_str()));
        let both = HttpError::new(400).message("shown").log_message("logged");
        assert_eq!(both.to_string(), "HTTP 400: Bad Request (logged)");
    }

    #[test]
    fn or_status() {
        assert_eq!(None::<u8>.or_404().unwrap_err().status(), 404);
        assert_eq!(Some(1).or_404().unwrap(), 1);
        let error = "x".parse::<u8>().or_status(409).unwrap_err();
        assert_eq!(error.status(), 409);
        assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
        assert_eq!(Err::<u8, &str>("plain text").or_status(503).unwrap_err().status(), 503);
    }
}
