//! Bodies that are forms, urlencoded or multipart, as Tornado's `parse_body_arguments` reads them.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::arguments::{Arguments, parse_qs};
use super::headers::HttpHeaders;
use super::multipart::{
    MultipartError, MultipartEvent, MultipartParser, ParseMultipartConfig, PartHead, last_component,
};

/// What is taken of bodies that are forms (Tornado's `ParseBodyConfig`).
///
/// ```
/// let mut config = squall::httputil::ParseBodyConfig::default();
/// config.multipart.max_parts = 500;
/// config.urlencoded.max_arguments = 5_000;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseBodyConfig {
    /// For `multipart/form-data`.
    pub multipart: ParseMultipartConfig,
    /// For `application/x-www-form-urlencoded`.
    pub urlencoded: ParseUrlEncodedConfig,
}

/// What is taken of `application/x-www-form-urlencoded` bodies (Tornado's `ParseUrlEncodedConfig`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseUrlEncodedConfig {
    /// Parse such bodies at all; off, they are refused. Default: on.
    pub enabled: bool,
    /// The most arguments. Default: 1,000.
    pub max_arguments: usize,
}

impl Default for ParseUrlEncodedConfig {
    fn default() -> Self {
        Self { enabled: true, max_arguments: 1_000 }
    }
}

/// A form: what was in its fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FormBody {
    /// Fields that are no files.
    pub arguments: Arguments,
    /// Files, of a multipart form only.
    pub files: Files,
}

/// The files of a form in the order they came; a field may hold several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    list: Vec<(String, HttpFile)>,
}

impl Files {
    /// Every file of the field `name`, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a HttpFile> {
        self.list.iter().filter(move |(n, _)| n == name).map(|(_, file)| file)
    }

    /// Every field's name and file, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &HttpFile)> {
        self.list.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }
}

/// A file that came in a form (Tornado's `HTTPFile`).
#[doc(alias = "HTTPFile")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpFile {
    /// The name that the client gave it, never empty. Not fit for a path: see [`file_name`](Self::file_name).
    pub filename: String,
    /// Its type as the client says, `application/unknown` if it says none.
    pub content_type: String,
    /// What is in it: a slice of the request's body, not a copy.
    pub body: Bytes,
}

impl HttpFile {
    /// The last component of [`filename`](Self::filename), `None` when there is none that could name a file in a
    /// folder: for `../../etc/passwd` it is `passwd`, for `..` and for more than 255 bytes nothing. Backslashes
    /// separate too.
    pub fn file_name(&self) -> Option<&str> {
        last_component(&self.filename)
    }
}

/// What a file's type is when the client says none.
pub(crate) const UNKNOWN_TYPE: &str = "application/unknown";

/// What is wrong with a body that should be a form. The text is one line and repeats nothing that the peer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// A form with a Content-Encoding.
    ContentEncoding,
    /// More arguments than this limit.
    TooManyArguments(usize),
    /// The parser of urlencoded forms is switched off.
    UrlEncodedDisabled,
    /// A multipart form that is none.
    Multipart(MultipartError),
}

impl BodyError {
    /// The status that answers it.
    pub fn status(self) -> u16 {
        match self {
            // The body says that it is one, only not well: what Tornado answers too.
            Self::Multipart(MultipartError::ContentType) => 400,
            Self::Multipart(error) => error.status(),
            _ => 400,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentEncoding => f.write_str("unsupported Content-Encoding of a form"),
            Self::TooManyArguments(limit) => write!(f, "too many arguments: the limit is {limit}"),
            Self::UrlEncodedDisabled => f.write_str("application/x-www-form-urlencoded parsing is disabled"),
            Self::Multipart(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BodyError {}

impl From<MultipartError> for BodyError {
    fn from(error: MultipartError) -> Self {
        Self::Multipart(error)
    }
}

/// Reads a form; nothing of a body of another type.
///
/// Files are slices of `body`. `headers` are looked through for a Content-Encoding, which no form may have.
///
/// # Errors
/// What is wrong with the form.
pub fn parse_body_arguments(
    content_type: &str,
    body: &Bytes,
    headers: Option<&HttpHeaders>,
    config: &ParseBodyConfig,
) -> Result<FormBody, BodyError> {
    let Some(kind) = Kind::of(content_type) else { return Ok(FormBody::default()) };
    // An empty body is an empty form of either kind, as a request without a body is.
    if body.is_empty() {
        return Ok(FormBody::default());
    }
    if headers.is_some_and(|headers| headers.contains("Content-Encoding")) {
        return Err(BodyError::ContentEncoding);
    }
    match kind {
        Kind::UrlEncoded if !config.urlencoded.enabled => Err(BodyError::UrlEncodedDisabled),
        Kind::UrlEncoded => {
            let limit = config.urlencoded.max_arguments;
            let arguments = parse_qs(body, limit).ok_or(BodyError::TooManyArguments(limit))?;
            Ok(FormBody { arguments, files: Files::default() })
        }
        Kind::Multipart => {
            let parser = MultipartParser::new(content_type, &config.multipart)?;
            Ok(collect(parser, body)?)
        }
    }
}

/// Reads a `multipart/form-data` body; `boundary` may stand in quotes.
///
/// # Errors
/// What is wrong with it.
pub fn parse_multipart_form_data(
    boundary: &[u8],
    body: &Bytes,
    config: &ParseMultipartConfig,
) -> Result<FormBody, MultipartError> {
    let unquoted = boundary.strip_prefix(b"\"").and_then(|b| b.strip_suffix(b"\""));
    collect(MultipartParser::with_boundary(unquoted.unwrap_or(boundary), config)?, body)
}

/// The two types of a form. By how the type begins, as in Tornado: `multipart/form-dataxyz` is then a bad one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    UrlEncoded,
    Multipart,
}

impl Kind {
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        let content_type = content_type.trim_start().as_bytes();
        let is = |name: &str| {
            content_type.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        };
        if is("application/x-www-form-urlencoded") {
            Some(Self::UrlEncoded)
        } else if is("multipart/form-data") {
            Some(Self::Multipart)
        } else {
            None
        }
    }
}

/// The parts of a body that is there as a whole.
fn collect(mut parser: MultipartParser, body: &Bytes) -> Result<FormBody, MultipartError> {
    let mut form = FormBody::default();
    let mut part = None;
    let mut content = Content::Nothing;
    parser.feed(body.clone());
    while let Some(event) = parser.event()? {
        match event {
            MultipartEvent::Part(head) => part = Some(head),
            MultipartEvent::Data(data) => content.push(data),
            MultipartEvent::PartEnd => {
                if let Some(head) = part.take() {
                    form.add(head, std::mem::replace(&mut content, Content::Nothing).into_bytes());
                }
            }
            MultipartEvent::End => {}
        }
    }
    parser.finish().map(|()| form)
}

impl FormBody {
    fn add(&mut self, head: PartHead, body: Bytes) {
        let PartHead { name, filename, content_type } = head;
        match filename {
            Some(filename) => {
                let content_type = content_type.unwrap_or_else(|| UNKNOWN_TYPE.to_owned());
                self.files.list.push((name, HttpFile { filename, content_type, body }));
            }
            None => self.arguments.push(name, body),
        }
    }
}

/// The content of a part: in one piece, unless something in it looks like a delimiter.
enum Content {
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl Content {
    fn push(&mut self, data: Bytes) {
        *self = match std::mem::replace(self, Self::Nothing) {
            Self::Nothing => Self::One(data),
            Self::One(first) => {
                let mut all = BytesMut::from(&first[..]);
                all.extend_from_slice(&data);
                Self::Many(all)
            }
            Self::Many(mut all) => {
                all.extend_from_slice(&data);
                Self::Many(all)
            }
        };
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(data) => data,
            Self::Many(all) => all.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MULTIPART: &str = "multipart/form-data; boundary=b";

    fn parse(content_type: &str, body: &str) -> Result<FormBody, BodyError> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        parse_body_arguments(content_type, &body, None, &ParseBodyConfig::default())
    }

    fn part(disposition: &str, content: &str) -> String {
        format!("--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
    }

    #[test]
    fn fields_and_files() {
        let parts = [
            part("name=x", "1"),
            part("name=f; filename=a", "\r\n--bogus"),
            part("name=f; filename=\"\"", ""),
            part("name=x", "2"),
            part("name=f; filename=b\r\nContent-Type: text/plain", ""),
        ];
        let form = parse(MULTIPART, &format!("{}--b--", parts.concat())).unwrap();
        let values = |name| form.arguments.values(name).collect::<Vec<_>>();
        assert_eq!(values("x"), [b"1", b"2"]);
        assert_eq!(values("f"), [b""]);
        let files: Vec<_> = form.files.values("f").collect();
        assert_eq!((files.len(), form.files.len()), (2, 2));
        assert_eq!((&*files[0].filename, &*files[0].content_type), ("a", "application/unknown"));
        assert_eq!(files[0].body, "\r\n--bogus");
        assert_eq!(
            (&*files[1].filename, &*files[1].content_type, files[1].body.len()),
            ("b", "text/plain", 0)
        );
    }

    #[test]
    fn types() {
        let urlencoded = "application/x-www-form-urlencoded";
        assert_eq!(parse(urlencoded, "a=1").unwrap().arguments.len(), 1);
        assert_eq!(
            parse("Application/X-WWW-Form-Urlencoded; charset=utf-8", "a=1").unwrap().arguments.len(),
            1
        );
        assert_eq!(parse("application/json", "a=1"), Ok(FormBody::default()));
        assert_eq!(parse("", "a=1"), Ok(FormBody::default()));
        assert_eq!(parse(MULTIPART, "").unwrap(), FormBody::default());
        for (content_type, error) in [
            ("multipart/form-dataxyz; boundary=b", MultipartError::ContentType),
            ("multipart/form-data", MultipartError::Boundary),
            (MULTIPART, MultipartError::NoFinalBoundary),
        ] {
            let error = BodyError::Multipart(error);
            assert_eq!(parse(content_type, "x"), Err(error), "{content_type}");
            assert_eq!(error.status(), 400);
        }
        let quoted = parse_multipart_form_data(b"\"b\"", &"--b--".into(), &ParseMultipartConfig::default());
        assert_eq!(quoted, Ok(FormBody::default()));
    }

    #[test]
    fn limits_and_encodings() {
        let mut config = ParseBodyConfig::default();
        config.urlencoded.max_arguments = 1;
        let parse = |config: &ParseBodyConfig, headers: Option<&HttpHeaders>| {
            parse_body_arguments("application/x-www-form-urlencoded", &"a=1&b=2".into(), headers, config)
        };
        assert_eq!(parse(&config, None), Err(BodyError::TooManyArguments(1)));
        config.urlencoded.enabled = false;
        assert_eq!(parse(&config, None), Err(BodyError::UrlEncodedDisabled));
        let mut headers = HttpHeaders::new();
        headers.add("Content-Encoding", "br").unwrap();
        assert_eq!(parse(&ParseBodyConfig::default(), Some(&headers)), Err(BodyError::ContentEncoding));
    }
}
