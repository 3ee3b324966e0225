//! Bodies that are forms, urlencoded or multipart, as Tornado's `parse_body_arguments` reads them.

use std::fmt;

use bytes::Bytes;

use super::arguments::{Arguments, QsReader};
use super::headers::HttpHeaders;
use super::multipart::{
    MultipartError, MultipartEvent, MultipartParser, ParseMultipartConfig, PartHead, last_component,
};
use super::ows;

/// What is taken of bodies that are forms (Tornado's `ParseBodyConfig`).
///
/// ```
/// let mut config = squall::httputil::ParseBodyConfig::default();
/// config.multipart.max_parts = 500;
/// config.urlencoded.max_arguments = 5_000;
/// config.json.max_size = 1_000_000;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseBodyConfig {
    /// For `multipart/form-data`.
    pub multipart: ParseMultipartConfig,
    /// For `application/x-www-form-urlencoded`.
    pub urlencoded: ParseUrlEncodedConfig,
    /// For JSON, where a handler asks for it.
    pub json: ParseJsonConfig,
}

/// What is taken of bodies that are JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseJsonConfig {
    /// The most bytes of a body that [`Context::json`](crate::Context::json) parses; more is answered with 413. Default:
    /// 10,485,760 (10 MiB).
    ///
    /// A `serde_json::Value` takes up to 18 times as much memory as its text (`[0,0,0,…]`), and the loop does nothing else
    /// while it is parsed: 10 to 20 ms for each MB. What is larger belongs in a handler that streams its body.
    pub max_size: usize,
}

impl Default for ParseJsonConfig {
    fn default() -> Self {
        Self { max_size: 10 * 1024 * 1024 }
    }
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
    /// The name that the client gave it, never empty. Not fit for a path: see [`safe_filename`](Self::safe_filename).
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
    pub fn safe_filename(&self) -> Option<&str> {
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
    let reader = FormReader::new(content_type, body, headers, config)?;
    reader.map_or_else(|| Ok(FormBody::default()), FormReader::read_all)
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
    let parser = MultipartParser::with_boundary(unquoted.unwrap_or(boundary), config)?;
    let mut parts = PartReader::new(parser);
    parts.take(body, body.len())?;
    parts.finish()
}

/// The two types of a form. By how the type begins, as in Tornado: `multipart/form-dataxyz` is then a bad one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    UrlEncoded,
    Multipart,
}

impl Kind {
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        let content_type = ows::trim_start(content_type).as_bytes();
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

/// Reads the form of a body that is there as a whole, piece by piece: a large one can hold what takes a second to read, and
/// the loop has other things to do in between.
pub(crate) struct FormReader {
    body: Bytes,
    /// What has been read of it.
    at: usize,
    reader: Reader,
}

enum Reader {
    UrlEncoded(QsReader),
    Multipart(Box<PartReader>),
}

impl FormReader {
    /// `None` for a body of another type, and an empty one, which is an empty form of either kind, as a request without a
    /// body is.
    pub(crate) fn new(
        content_type: &str,
        body: &Bytes,
        headers: Option<&HttpHeaders>,
        config: &ParseBodyConfig,
    ) -> Result<Option<Self>, BodyError> {
        let Some(kind) = Kind::of(content_type).filter(|_| !body.is_empty()) else { return Ok(None) };
        if headers.is_some_and(|headers| headers.contains("Content-Encoding")) {
            return Err(BodyError::ContentEncoding);
        }
        let reader = match kind {
            Kind::UrlEncoded if !config.urlencoded.enabled => return Err(BodyError::UrlEncodedDisabled),
            Kind::UrlEncoded => Reader::UrlEncoded(QsReader::new(config.urlencoded.max_arguments)),
            Kind::Multipart => {
                let parser = MultipartParser::new(content_type, &config.multipart)?;
                Reader::Multipart(Box::new(PartReader::new(parser)))
            }
        };
        Ok(Some(Self { body: body.clone(), at: 0, reader }))
    }

    /// Reads some `most` bytes more; whether that was all.
    pub(crate) fn advance(&mut self, most: usize) -> Result<bool, BodyError> {
        match &mut self.reader {
            Reader::UrlEncoded(reader) => {
                let rest = &self.body[self.at..];
                let length = QsReader::piece(rest, most);
                if !reader.take(&rest[..length]) {
                    return Err(BodyError::TooManyArguments(reader.max_arguments()));
                }
                self.at += length;
            }
            Reader::Multipart(reader) => {
                let end = self.body.len().min(self.at.saturating_add(most));
                reader.take(&self.body, end)?;
                self.at = end;
            }
        }
        Ok(self.at == self.body.len())
    }

    /// What has been read; all must have been.
    pub(crate) fn finish(self) -> Result<FormBody, BodyError> {
        match self.reader {
            Reader::UrlEncoded(reader) => {
                let limit = reader.max_arguments();
                let arguments = reader.finish().ok_or(BodyError::TooManyArguments(limit))?;
                Ok(FormBody { arguments, files: Files::default() })
            }
            Reader::Multipart(reader) => Ok(reader.finish()?),
        }
    }

    fn read_all(mut self) -> Result<FormBody, BodyError> {
        while !self.advance(usize::MAX)? {}
        self.finish()
    }
}

/// The parts of a body that is there as a whole. A part's content is one piece of the body, and so no copy of it,
/// whatever in it looks like a delimiter.
struct PartReader {
    parser: MultipartParser,
    form: FormBody,
    /// What the parser has been given of the body.
    fed: usize,
    part: Option<PartHead>,
    /// Where its content begins, and how long that is so far.
    start: usize,
    length: usize,
}

impl PartReader {
    fn new(parser: MultipartParser) -> Self {
        Self { parser, form: FormBody::default(), fed: 0, part: None, start: 0, length: 0 }
    }

    /// Reads on up to `end`; always of the same body.
    fn take(&mut self, body: &Bytes, end: usize) -> Result<(), MultipartError> {
        self.parser.feed(body.slice(self.fed..end));
        self.fed = end;
        while let Some(event) = self.parser.event()? {
            match event {
                MultipartEvent::Part(head) => {
                    self.part = Some(head);
                    (self.start, self.length) = (self.fed - self.parser.unread(), 0);
                }
                MultipartEvent::Data(data) => self.length += data.len(),
                MultipartEvent::PartEnd => {
                    if let Some(head) = self.part.take() {
                        self.form.add(head, body.slice(self.start..self.start + self.length));
                    }
                }
                MultipartEvent::End => {}
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<FormBody, MultipartError> {
        self.parser.finish().map(|()| self.form)
    }
}

impl FormBody {
    fn add(&mut self, head: PartHead, body: Bytes) {
        let PartHead { name, filename, content_type } = head;
        match filename {
            Some(filename) => {
                let content_type = content_type.unwrap_or_else(|| UNKNOWN_TYPE.to_owned());
                self.files.list.push((name, HttpFile { filename, content_type, body }));
            }
            None => self.arguments.push_bytes(name, body),
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
    fn content_is_no_copy_and_the_pieces_make_no_difference() {
        let content = "\r\n--bogus\r\r\n--b x\r\n".repeat(20);
        let text = [part("name=x", &content), part("name=f; filename=a", &content)].concat() + "--b--";
        let body = Bytes::from(text);
        let whole = parse_body_arguments(MULTIPART, &body, None, &ParseBodyConfig::default()).unwrap();
        let file = &whole.files.iter().next().unwrap().1.body;
        assert_eq!(file, &content);
        for value in [&file[..], whole.arguments.values("x").next().unwrap()] {
            assert!(body.as_ptr_range().contains(&value.as_ptr()));
        }
        for most in [1, 2, 3, 7, 50] {
            let reader = FormReader::new(MULTIPART, &body, None, &ParseBodyConfig::default());
            let mut reader = reader.unwrap().unwrap();
            while !reader.advance(most).unwrap() {}
            assert_eq!(reader.finish().as_ref(), Ok(&whole), "by {most}");
        }
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

    proptest::proptest! {
        #[test]
        fn any_form_in_any_pieces_is_the_same(
            words in proptest::collection::vec(proptest::sample::select(vec![
                "--b\r\n", "--b \r\n", "\r\n--b", "--b--", "Content-Disposition: form-data; name=a\r\n\r\n", "; filename*=x", "\n", "\r",
                "a=1", "&", "=", "%", "%4", "%41", "+", "é", "\r\n--b\r\nContent-Disposition: form-data; name=f; filename=g\r\n\r\n",
            ]), 0..30),
            most in 1usize..20,
        ) {
            let body = Bytes::from(words.concat());
            let config = ParseBodyConfig::default();
            for content_type in [MULTIPART, "application/x-www-form-urlencoded"] {
                let whole = parse_body_arguments(content_type, &body, None, &config);
                let pieces = FormReader::new(content_type, &body, None, &config).and_then(|reader| {
                    let Some(mut reader) = reader else { return Ok(FormBody::default()) };
                    while !reader.advance(most)? {}
                    reader.finish()
                });
                proptest::prop_assert_eq!(whole, pieces);
            }
        }
    }
}
