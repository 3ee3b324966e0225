//! `multipart/form-data` (RFC 7578): bytes in, parts out, however the bytes are cut into pieces.
//!
//! Whatever a peer sends, each byte is looked at a fixed number of times, and what is kept from one piece to the next
//! is one part's header, bounded by a limit: the start of a delimiter is known without being stored.

use std::fmt;

use bytes::Bytes;
use memchr::memmem::Finder;

use super::multipart_head::{self, Parameters};
use super::ows;
use crate::escape;

/// What a [`MultipartParser`] takes (Tornado's `ParseMultipartConfig`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseMultipartConfig {
    /// Parse such bodies at all; off, they are refused. Default: on.
    pub enabled: bool,
    /// The most parts of a body. Default: 100.
    ///
    /// Real parts are counted, so that 100 pass; Tornado counts what stands before the first delimiter, and takes 99.
    pub max_parts: usize,
    /// The most bytes of the header of one part. Default: 10,240.
    pub max_part_header_size: usize,
    /// The most bytes of the content of one part. Default: no limit but that of the body.
    pub max_part_size: u64,
}

impl Default for ParseMultipartConfig {
    fn default() -> Self {
        Self { enabled: true, max_parts: 100, max_part_header_size: 10 * 1024, max_part_size: u64::MAX }
    }
}

/// Cuts a `multipart/form-data` body into its parts.
///
/// [`feed`](Self::feed) takes the next bytes of the body, [`event`](Self::event) what they bring, until it has nothing more;
/// [`finish`](Self::finish) says whether the body ended where it should. The pieces of a part's content are slices of what
/// was fed in, not copies. How the body is cut up makes no difference, except to where content is cut.
///
/// What stands before the first delimiter and behind the last is skipped (RFC 2046 §5.1.1; Tornado refuses the former).
/// A delimiter is one at the start of a line only; up to 256 blanks may stand between it and its line end (RFC 2046 §5.1.1:
/// transport padding, which Tornado does not know). Two delimiters one right after the other have no part between them.
/// The lines of a part's header may end in LF alone, as in Tornado, but the header itself ends in CRLF CRLF only.
///
/// ```
/// use bytes::Bytes;
/// use squall::httputil::{MultipartEvent, MultipartParser, ParseMultipartConfig};
///
/// let mut parser = MultipartParser::new("multipart/form-data; boundary=x", &ParseMultipartConfig::default())?;
/// let mut seen = Vec::new();
/// for piece in ["--x\r\nContent-Disposition: form-data; name=a\r\n\r\none", "\r\n--x--"] {
///     parser.feed(Bytes::from(piece));
///     while let Some(event) = parser.event()? {
///         seen.push(match event {
///             MultipartEvent::Part(head) => head.name,
///             MultipartEvent::Data(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
///             MultipartEvent::PartEnd => ".".to_owned(),
///             MultipartEvent::End => "end".to_owned(),
///         });
///     }
/// }
/// parser.finish()?;
/// assert_eq!(seen, ["a", "one", ".", "end"]);
/// # Ok::<(), squall::httputil::MultipartError>(())
/// ```
#[derive(Debug)]
pub struct MultipartParser {
    /// `CRLF -- boundary`. CR stands at its start only, so that a match that fails can begin anew only at a CR.
    delimiter: Bytes,
    finder: Finder<'static>,
    config: ParseMultipartConfig,
    state: State,
    /// What was fed in and not yet looked at.
    input: Bytes,
    /// The blanks behind the delimiter that is being matched.
    padding: Vec<u8>,
    parts: usize,
    /// Bytes looked at, for the proof that there is no input on which this is slow.
    scanned: u64,
}

/// What a [`MultipartParser`] has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultipartEvent {
    /// A part begins.
    Part(PartHead),
    /// A piece of its content, never empty.
    Data(Bytes),
    /// Its content is complete.
    PartEnd,
    /// The last part has ended; whatever follows is skipped.
    End,
}

/// The header of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartHead {
    /// The name of the form's field, never empty.
    pub name: String,
    /// The name of the file as the client gave it, never empty; `None` for a field that is no file, or a file field
    /// that was left blank. Not fit for a path: see [`safe_filename`](Self::safe_filename).
    pub filename: Option<String>,
    /// The Content-Type of the part, if it has one.
    pub content_type: Option<String>,
}

impl PartHead {
    /// The last component of [`filename`](Self::filename), `None` when there is none that could name a file in a
    /// folder: for `../../etc/passwd` it is `passwd`, for `..` and for more than 255 bytes nothing. Backslashes
    /// separate too.
    pub fn safe_filename(&self) -> Option<&str> {
        self.filename.as_deref().and_then(last_component)
    }
}

/// What is wrong with a multipart body.
///
/// One variant per rule; the text is one line and repeats nothing that the peer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MultipartError {
    /// The parser is switched off.
    Disabled,
    /// The Content-Type is not `multipart/form-data`.
    ContentType,
    /// The Content-Type names no boundary, or one with control characters.
    Boundary,
    /// The body ends before its final delimiter.
    NoFinalBoundary,
    /// A part has no header.
    MissingHeaders,
    /// The header of a part is longer than this limit.
    HeadTooLarge(usize),
    /// A line of a part's header is malformed: no colon, a name that is no token, folding, a control character, or not
    /// UTF-8.
    HeaderLine,
    /// A part without exactly one Content-Disposition, or one that is not `form-data`, or one with a `filename*` that cannot
    /// be read and no other name of the file.
    Disposition,
    /// A part without a name.
    MissingName,
    /// More parts than this limit.
    TooManyParts(usize),
    /// The content of a part is longer than this limit.
    PartTooLarge(u64),
}

impl MultipartError {
    /// The status that answers it: 413 for content over a limit, 415 for another Content-Type, else 400.
    pub fn status(self) -> u16 {
        match self {
            Self::PartTooLarge(_) => 413,
            Self::ContentType => 415,
            _ => 400,
        }
    }
}

impl fmt::Display for MultipartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("multipart/form-data parsing is disabled"),
            Self::ContentType => f.write_str("the Content-Type is not multipart/form-data"),
            Self::Boundary => f.write_str("multipart boundary not found"),
            Self::NoFinalBoundary => f.write_str("multipart/form-data: no final boundary found"),
            Self::MissingHeaders => f.write_str("multipart/form-data missing headers"),
            Self::HeadTooLarge(limit) => {
                write!(f, "multipart/form-data part header too large: the limit is {limit} bytes")
            }
            Self::HeaderLine => f.write_str("multipart/form-data: malformed header of a part"),
            Self::Disposition => f.write_str("multipart/form-data: a part is not form-data"),
            Self::MissingName => f.write_str("multipart/form-data missing name"),
            Self::TooManyParts(limit) => {
                write!(f, "multipart/form-data has too many parts: the limit is {limit}")
            }
            Self::PartTooLarge(limit) => {
                write!(f, "multipart/form-data part too large: the limit is {limit} bytes")
            }
        }
    }
}

impl std::error::Error for MultipartError {}

/// Where the parser stands.
#[derive(Debug)]
enum State {
    /// In content, or in what stands before the first delimiter.
    Content {
        part: Option<Part>,
        delimiter: Matched,
    },
    /// Behind a delimiter, where another one may follow at once.
    Start(Matched),
    /// In the header of a part: its bytes from former pieces.
    Head(Vec<u8>),
    /// The delimiter of a part has been seen; its end is still to be told.
    Next {
        last: bool,
    },
    /// The event of the end is still to be told.
    Ending,
    End,
    Failed(MultipartError),
}

/// The part whose content is read.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    size: u64,
}

/// How much of a delimiter stands at the end of what has been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Matched {
    /// Of `delimiter`.
    length: usize,
    /// So many of those are not in the body: what comes first in a body or behind a header starts a line.
    virtual_bytes: usize,
    /// The delimiter is whole, and this follows, CR or a dash. Blanks before a CR are kept in `padding`.
    tail: Option<u8>,
}

/// The most blanks between a delimiter and its line end.
const MAX_PADDING: usize = 256;

impl Matched {
    const NONE: Self = Self { length: 0, virtual_bytes: 0, tail: None };
    const LINE_START: Self = Self { length: 2, virtual_bytes: 2, tail: None };
}

impl MultipartParser {
    /// A parser for a body of this Content-Type.
    ///
    /// # Errors
    /// When the type is not `multipart/form-data` or names no boundary, or the parser is switched off.
    pub fn new(content_type: &str, config: &ParseMultipartConfig) -> Result<Self, MultipartError> {
        let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        if !ows::trim(essence).eq_ignore_ascii_case("multipart/form-data") {
            return Err(MultipartError::ContentType);
        }
        let boundary = Parameters::parse(parameters).get("boundary").ok_or(MultipartError::Boundary)?;
        Self::with_boundary(boundary.as_bytes(), config)
    }

    /// A parser for a body whose parts stand between these boundaries, without quotes.
    ///
    /// # Errors
    /// When the boundary is empty or holds control characters, or the parser is switched off.
    pub fn with_boundary(boundary: &[u8], config: &ParseMultipartConfig) -> Result<Self, MultipartError> {
        if !config.enabled {
            return Err(MultipartError::Disabled);
        }
        if boundary.is_empty() || boundary.iter().any(u8::is_ascii_control) {
            return Err(MultipartError::Boundary);
        }
        let delimiter = [b"\r\n--", boundary].concat();
        Ok(Self {
            finder: Finder::new(&delimiter).into_owned(),
            delimiter: delimiter.into(),
            config: config.clone(),
            state: State::Content { part: None, delimiter: Matched::LINE_START },
            input: Bytes::new(),
            padding: Vec::new(),
            parts: 0,
            scanned: 0,
        })
    }

    /// Takes the next bytes of the body.
    ///
    /// Before, [`event`](Self::event) is to be called until it gives `None`; what it has not looked at is copied.
    pub fn feed(&mut self, bytes: Bytes) {
        self.input =
            if self.input.is_empty() { bytes } else { [&self.input[..], &bytes[..]].concat().into() };
    }

    /// What comes next, `None` when that takes more bytes.
    ///
    /// # Errors
    /// What is wrong with the body; the same from then on.
    pub fn event(&mut self) -> Result<Option<MultipartEvent>, MultipartError> {
        let result = self.advance();
        if let Err(error) = result {
            self.input = Bytes::new();
            self.state = State::Failed(error);
        }
        result
    }

    /// The body has ended.
    ///
    /// # Errors
    /// When it should not have, or an event was an error.
    pub fn finish(&self) -> Result<(), MultipartError> {
        match self.state {
            State::End | State::Ending | State::Next { last: true } => Ok(()),
            State::Failed(error) => Err(error),
            _ => Err(MultipartError::NoFinalBoundary),
        }
    }

    /// How many bytes that were fed in have not been dealt with; after [`MultipartEvent::Part`] its content begins there.
    pub(crate) fn unread(&self) -> usize {
        self.input.len()
    }

    fn advance(&mut self) -> Result<Option<MultipartEvent>, MultipartError> {
        loop {
            match &mut self.state {
                State::Failed(error) => return Err(*error),
                State::End => {
                    self.input = Bytes::new();
                    return Ok(None);
                }
                State::Ending => {
                    self.state = State::End;
                    return Ok(Some(MultipartEvent::End));
                }
                State::Next { last: true } => {
                    self.state = State::Ending;
                    return Ok(Some(MultipartEvent::PartEnd));
                }
                State::Next { last: false } => {
                    self.state = State::Start(Matched::LINE_START);
                    return Ok(Some(MultipartEvent::PartEnd));
                }
                _ if self.input.is_empty() => return Ok(None),
                State::Start(matched) => {
                    let matched = *matched;
                    self.start(matched)?;
                }
                State::Head(_) => {
                    if let Some(head) = self.head()? {
                        return Ok(Some(MultipartEvent::Part(head)));
                    }
                }
                State::Content { part, .. } => {
                    let part = *part;
                    if let Some(data) = self.content()
                        && let Some(part) = part
                    {
                        return self.count(part, data).map(Some);
                    }
                }
            }
        }
    }

    /// A piece of content, or else the delimiter or all input has been passed.
    fn content(&mut self) -> Option<Bytes> {
        let State::Content { part, delimiter: mut matched } = self.state else { return None };
        let mut data = None;
        while data.is_none() && !self.input.is_empty() {
            if matched.length == 0 {
                data = self.find_delimiter(&mut matched);
                continue;
            }
            match self.match_on(&mut matched) {
                Step::More => {}
                Step::Broken(bytes) => data = (!bytes.is_empty()).then_some(bytes),
                Step::Delimiter { last } => {
                    self.after_delimiter(part.is_some(), last);
                    return None;
                }
            }
        }
        self.state = State::Content { part, delimiter: matched };
        data
    }

    /// Passes over content up to where a delimiter begins, or may begin.
    fn find_delimiter(&mut self, matched: &mut Matched) -> Option<Bytes> {
        let (at, length) = match self.finder.find(&self.input) {
            Some(at) => (at, self.delimiter.len()),
            None => {
                let tail = self.input.len().saturating_sub(self.delimiter.len() - 1);
                self.scanned += (self.input.len() - tail) as u64;
                let start = memchr::memrchr(b'\r', &self.input[tail..])
                    .map(|at| tail + at)
                    .filter(|&at| self.delimiter.starts_with(&self.input[at..]))
                    .unwrap_or(self.input.len());
                (start, self.input.len() - start)
            }
        };
        self.scanned += (at + length) as u64;
        let data = self.input.split_to(at);
        drop(self.input.split_to(length));
        *matched = Matched { length, virtual_bytes: 0, tail: None };
        (!data.is_empty()).then_some(data)
    }

    /// Goes on with a delimiter that has begun.
    fn match_on(&mut self, matched: &mut Matched) -> Step {
        let rest = &self.delimiter[matched.length..];
        let same = rest.iter().zip(&self.input).take_while(|(a, b)| a == b).count();
        self.scanned += same as u64 + 1;
        drop(self.input.split_to(same));
        matched.length += same;
        let Some(&byte) = self.input.first() else { return Step::More };
        let whole = matched.length == self.delimiter.len();
        match (whole, matched.tail, byte) {
            (true, None, b' ' | b'\t') if self.padding.len() < MAX_PADDING => {
                self.padding.push(byte);
                drop(self.input.split_to(1));
                Step::More
            }
            (true, None, b'\r') | (true, None, b'-') if byte == b'\r' || self.padding.is_empty() => {
                matched.tail = Some(byte);
                drop(self.input.split_to(1));
                Step::More
            }
            (true, Some(b'\r'), b'\n') | (true, Some(b'-'), b'-') => {
                self.padding.clear();
                drop(self.input.split_to(1));
                Step::Delimiter { last: byte == b'-' }
            }
            _ => {
                let mut data = self.delimiter.slice(matched.virtual_bytes..matched.length);
                // A CR behind the delimiter may begin the next one; what else is behind it is content as it is.
                let dash: &[u8] = if matched.tail == Some(b'-') { b"-" } else { b"" };
                if !self.padding.is_empty() || !dash.is_empty() {
                    data = [&data[..], &self.padding, dash].concat().into();
                    self.padding.clear();
                }
                let length = usize::from(matched.tail == Some(b'\r'));
                *matched = Matched { length, ..Matched::NONE };
                Step::Broken(data)
            }
        }
    }

    fn after_delimiter(&mut self, in_part: bool, last: bool) {
        self.state = match (in_part, last) {
            (true, _) => State::Next { last },
            (false, true) => State::Ending,
            (false, false) => State::Start(Matched::LINE_START),
        };
    }

    /// Behind a delimiter: another one, so that there is no part between them, or a header.
    fn start(&mut self, mut matched: Matched) -> Result<(), MultipartError> {
        while !self.input.is_empty() {
            match self.match_on(&mut matched) {
                Step::More => {}
                Step::Delimiter { last } => {
                    self.after_delimiter(false, last);
                    return Ok(());
                }
                Step::Broken(bytes) => {
                    if self.parts == self.config.max_parts {
                        return Err(MultipartError::TooManyParts(self.config.max_parts));
                    }
                    self.parts += 1;
                    // Mostly nothing. What looked like a delimiter cannot begin a header either, and is refused as one.
                    let mut held = bytes.to_vec();
                    held.extend_from_slice(&self.delimiter[..matched.length]);
                    self.state = State::Head(held);
                    return Ok(());
                }
            }
        }
        self.state = State::Start(matched);
        Ok(())
    }

    /// The header of a part, once its empty line has come.
    fn head(&mut self) -> Result<Option<PartHead>, MultipartError> {
        let State::Head(held) = &mut self.state else { return Ok(None) };
        let limit = self.config.max_part_header_size;
        // Not all of the input, which may be a large body: a longer header is refused in any case.
        let most = (limit + END_OF_HEAD.len()).saturating_sub(held.len()).min(self.input.len());
        let (before, mut looked_at) = (held.len(), 0);
        let bytes = if held.is_empty() {
            &self.input[..most]
        } else {
            looked_at = held.len().saturating_sub(END_OF_HEAD.len() - 1);
            held.extend_from_slice(&self.input[..most]);
            &held[..]
        };
        if bytes.starts_with(b"\r\n") {
            return Err(MultipartError::MissingHeaders);
        }
        let found = memchr::memmem::find(&bytes[looked_at..], END_OF_HEAD).map(|at| looked_at + at);
        self.scanned += (found.map_or(bytes.len(), |at| at + END_OF_HEAD.len()) - looked_at) as u64;
        let Some(at) = found else {
            // An end that is still to come ends beyond these.
            if bytes.len() >= limit + END_OF_HEAD.len() {
                return Err(MultipartError::HeadTooLarge(limit));
            }
            if before == 0 {
                held.extend_from_slice(&self.input);
            }
            self.input = Bytes::new();
            return Ok(None);
        };
        let head = multipart_head::parse(&bytes[..at])?;
        drop(self.input.split_to(at + END_OF_HEAD.len() - before));
        self.state = State::Content { part: Some(Part::default()), delimiter: Matched::LINE_START };
        Ok(Some(head))
    }

    fn count(&mut self, mut part: Part, data: Bytes) -> Result<MultipartEvent, MultipartError> {
        part.size += data.len() as u64;
        if part.size > self.config.max_part_size {
            return Err(MultipartError::PartTooLarge(self.config.max_part_size));
        }
        if let State::Content { part: current, .. } = &mut self.state {
            *current = Some(part);
        }
        Ok(MultipartEvent::Data(data))
    }
}

/// What a byte behind the start of a delimiter has shown.
enum Step {
    /// Nothing yet.
    More,
    /// It was none: this is content.
    Broken(Bytes),
    /// It is one.
    Delimiter { last: bool },
}

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// What a file system takes as a name (`NAME_MAX`), in bytes.
const LONGEST_NAME: usize = 255;

/// The part of a client's file name behind the last separator of any system, if it names a file.
pub(crate) fn last_component(filename: &str) -> Option<&str> {
    let name = escape::trim(filename.rsplit(['/', '\\']).next()?);
    let usable =
        !matches!(name, "" | "." | "..") && name.len() <= LONGEST_NAME && !name.contains(char::is_control);
    usable.then_some(name)
}

#[cfg(test)]
#[path = "multipart_tests.rs"]
mod tests;
