//! The request's body: files, typed views of form and JSON, and how much of it is taken.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::httputil::{Arguments, BodyError, FORM_PIECE, FormBody, FormKind, HttpFile, ParseBodyConfig, ows};
use crate::web::application::Application;
use crate::web::arguments::unreadable;
use crate::web::context::Context;
use crate::web::error::{Error, HttpError, Result};

impl Application {
    /// What is taken of bodies that are forms. Default: 100 parts of a multipart form with headers of 10 KiB, 1,000
    /// arguments of an urlencoded one.
    ///
    /// What is over a limit, malformed, or of a kind that is switched off is answered with 400 before
    /// [`prepare`](crate::web::RequestHandler::prepare); a part over `max_part_size` with 413. Bodies of other types and
    /// those that a handler streams are not looked at. A form of more than 256 KiB is read in pieces, so that other
    /// requests are served in between.
    ///
    /// ```
    /// # use squall::Application;
    /// let mut config = squall::httputil::ParseBodyConfig::default();
    /// config.multipart.enabled = false;
    /// let app = Application::new([]).parse_body_config(config);
    /// ```
    #[must_use]
    #[doc(alias = "set_parse_body_config")]
    pub fn parse_body_config(mut self, config: ParseBodyConfig) -> Self {
        self.settings.parse_body = config;
        self
    }
}

impl Context {
    /// The file of a field of a multipart form; the first, if it holds several.
    ///
    /// # Errors
    /// 400 when there is none.
    pub fn file(&self, name: &str) -> Result<&HttpFile> {
        self.file_opt(name).ok_or_else(|| missing_file(name))
    }

    /// As [`file`](Self::file), `None` when there is none: for a field that may be left blank.
    pub fn file_opt(&self, name: &str) -> Option<&HttpFile> {
        self.form_body().ok()?.files.iter().find(|(field, _)| *field == name).map(|(_, file)| file)
    }

    /// Every file of a field of a multipart form, in order.
    pub fn files(&self, name: &str) -> Vec<&HttpFile> {
        let Ok(form) = self.form_body() else { return Vec::new() };
        form.files.iter().filter(|(field, _)| *field == name).map(|(_, file)| file).collect()
    }

    /// The body as JSON; the value may borrow from it. The Content-Type is not looked at; see
    /// [`require_json`](Self::require_json).
    ///
    /// # Errors
    /// 400 when it does not parse; the reason says at which line and column, and for which field. 413 when it has more than
    /// 10 MiB, or what [`ParseJsonConfig`](crate::httputil::ParseJsonConfig) says.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        let body = self.request().body();
        let limit = self.core().parse_body_config().json.max_size;
        if body.len() > limit {
            let reason = format!("JSON body too large: the limit is {limit} bytes");
            return Err(HttpError::refusal(413, reason).into());
        }
        serde_json::from_slice(body).map_err(|error| {
            // Read once more for the path: keeping track of it would slow down every body that is right.
            let mut reader = serde_json::Deserializer::from_slice(body);
            let path = serde_path_to_error::deserialize::<_, T>(&mut reader).err();
            let path = path.map(|error| error.path().to_string()).filter(|path| path != "." && path != "?");
            let field = path.map(|path| format!(" in {path}")).unwrap_or_default();
            unreadable(&format!("JSON body{field}"), error)
        })
    }

    /// As [`json`](Self::json), for bodies that say that they are JSON only: `application/json` or a type that ends in
    /// `+json`.
    ///
    /// A page of another site can send a form without being asked (CORS), even one that reads as JSON, but not this type.
    ///
    /// # Errors
    /// 415 for another Content-Type; 400 as [`json`](Self::json).
    pub fn require_json<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        let content_type = self.request().headers().get("Content-Type").unwrap_or_default();
        let essence = ows::trim(content_type.split(';').next().unwrap_or_default()).to_ascii_lowercase();
        if essence != "application/json" && !(essence.contains('/') && essence.ends_with("+json")) {
            return Err(HttpError::refusal(415, "The Content-Type is not application/json").into());
        }
        self.json()
    }

    /// The query as a value.
    ///
    /// # Errors
    /// 400 when it does not fit, or is not UTF-8 where [`argument`](Self::argument) would say so.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T> {
        urlencoded_as("query", self.request().query().as_bytes())
    }

    /// The form in the body as a value: urlencoded, or the fields of a multipart form that are no files. A body of
    /// another Content-Type is read as an urlencoded form.
    ///
    /// # Errors
    /// 400 when it does not fit.
    pub fn form<T: DeserializeOwned>(&self) -> Result<T> {
        let request = self.request();
        let content_type = request.headers().get("Content-Type").unwrap_or_default();
        if FormKind::of(content_type) == Some(FormKind::Multipart) {
            return arguments_as(&self.form_body()?.arguments);
        }
        let limit = self.core().parse_body_config().urlencoded.max_arguments;
        if request.body().split(|&b| b == b'&').filter(|pair| !pair.is_empty()).nth(limit).is_some() {
            return Err(invalid_body(BodyError::TooManyArguments(limit)));
        }
        urlencoded_as("form", request.body())
    }

    /// Changes the most bytes of this request's body, which then may be more or less than the server's
    /// [`max_body_size`](crate::HttpServer::max_body_size). A body that is longer is answered with 413.
    ///
    /// In [`prepare`](crate::web::RequestHandler::prepare) of a handler that streams the body; later, and for other
    /// handlers, the body has been read and nothing happens.
    pub fn set_max_body_size(&self, bytes: u64) {
        self.request().connection().set_max_body_size(bytes);
    }

    /// Changes how long this request's body may take from now on; `None` for as long as it likes. A body that takes
    /// longer is answered with 408.
    ///
    /// In [`prepare`](crate::web::RequestHandler::prepare) or [`data_received`](crate::web::RequestHandler::data_received) of a
    /// handler that streams the body.
    pub fn set_body_timeout(&self, timeout: Option<Duration>) {
        self.request().connection().set_body_timeout(timeout);
    }

    /// Refuses a form that cannot be read, once and for all. `None` for one that is too large to be read at one go: see
    /// [`check_large_form`](Self::check_large_form).
    #[inline]
    pub(in crate::web) fn check_form(&self) -> Option<Result> {
        match self.request().body().len() {
            0 => Some(Ok(())),
            1..=FORM_PIECE => Some(self.form_body().map(drop)),
            _ => None,
        }
    }

    /// As [`check_form`](Self::check_form), giving way to the loop's other work. Boxed, as it is rare: it need not make the
    /// future of every handler larger.
    pub(in crate::web) fn check_large_form(&self) -> Pin<Box<dyn Future<Output = Result> + '_>> {
        Box::pin(async {
            let read = self.request().read_form(self.core().parse_body_config()).await;
            read.map_err(invalid_body)?;
            self.read_large_arguments().await;
            Ok(())
        })
    }

    pub(in crate::web) fn form_body(&self) -> Result<&FormBody> {
        self.request().form(self.core().parse_body_config()).map_err(invalid_body)
    }
}

/// Urlencoded text as a value. What is not UTF-8 would be changed silently by the reader.
fn urlencoded_as<T: DeserializeOwned>(what: &str, text: &[u8]) -> Result<T> {
    // Pairs and their halves are parted by ASCII characters, so all of it is UTF-8 where each of them is.
    percent_encoding::percent_decode(text).decode_utf8().map_err(|error| unreadable(what, error))?;
    serde_urlencoded::from_bytes(text).map_err(|error| unreadable(what, error))
}

/// The fields of a form as a value.
pub(in crate::web) fn arguments_as<T: DeserializeOwned>(arguments: &Arguments) -> Result<T> {
    let mut pairs = Vec::with_capacity(arguments.len());
    for (name, value) in arguments.iter() {
        let value = std::str::from_utf8(value).map_err(|error| unreadable("form", error))?;
        pairs.push((name, value));
    }
    // By way of text, since a reader of pairs that takes numbers, options and lists apart is what that library is.
    let text = serde_urlencoded::to_string(pairs).map_err(|error| unreadable("form", error))?;
    serde_urlencoded::from_str(&text).map_err(|error| unreadable("form", error))
}

pub(in crate::web) fn missing_file(name: &str) -> Error {
    HttpError::refusal(400, format!("Missing file {name}")).into()
}

fn invalid_body(error: BodyError) -> Error {
    HttpError::refusal(error.status(), format!("Invalid body: {error}")).caused_by(error).into()
}
