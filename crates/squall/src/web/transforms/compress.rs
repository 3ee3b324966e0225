//! Compressed responses (Tornado's `GZipContentEncoding`, with brotli and zstd beside it).

use std::rc::Rc;

use super::encoder::Encoder;
use super::{OutputTransform, add_vary, negotiate};
use crate::httputil::{HttpHeaders, HttpServerRequest};
use crate::web::error::Result;

/// Types beyond `text/*` that are compressed: Tornado's list.
const CONTENT_TYPES: [&str; 7] = [
    "application/javascript",
    "application/x-javascript",
    "application/xml",
    "application/atom+xml",
    "application/json",
    "application/xhtml+xml",
    "image/svg+xml",
];

/// A content coding for responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentCoding {
    /// `gzip` (RFC 1952), which every client knows.
    Gzip,
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878).
    Zstd,
}

impl ContentCoding {
    /// The name in `Content-Encoding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// Whether this name in an `Accept-Encoding` means it. (`x-gzip`: RFC 9110 §8.4.1.3.)
    pub(super) fn is_named(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.as_str())
            || (self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip"))
    }
}

/// How responses are compressed, for [`Application::compress_response`](crate::Application::compress_response).
///
/// Compressed are responses of a type that compresses well (`text/*`, JavaScript, JSON, XML, SVG) to clients whose
/// `Accept-Encoding` takes one of the [codings](Self::codings); bodies that are finished in one piece from
/// [`min_length`](Self::min_length) on, those that are [flushed](crate::Context::flush) in pieces of any length. What is
/// flushed reaches the client at once. Left alone are responses that have a Content-Encoding, parts of something
/// (206), and those with `Cache-Control: no-transform`. Every response says `Vary: Accept-Encoding`.
///
/// The entity tag is that of the body before compression, as in Tornado. Only where clients may ask for parts
/// (`Accept-Ranges`) it becomes a weak one, so that no client joins parts of different codings.
///
/// Compression takes place on the loop: for a megabyte of text it takes 4 ms with zstd, 15 with gzip. Secrets that stand in a
/// page beside what an attacker chooses can be guessed from its length (BREACH); XSRF tokens are masked against that.
///
/// ```
/// use squall::Application;
/// use squall::web::{Compression, ContentCoding};
///
/// let app = Application::new([]).compress_response(true); // as Tornado, and brotli and zstd
/// let app = Application::new([]).compress_response(
///     Compression::new().codings([ContentCoding::Gzip]).gzip_level(9).content_type("application/wasm"),
/// );
/// # let _ = app;
/// ```
#[derive(Debug, Clone)]
pub struct Compression {
    codings: Vec<ContentCoding>,
    pub(super) gzip_level: u32,
    pub(super) brotli_level: u32,
    pub(super) zstd_level: u32,
    min_length: usize,
    types: Vec<String>,
    /// Made when the application starts.
    shared: Option<Rc<Self>>,
}

impl Compression {
    /// The defaults, as `compress_response(true)` has them.
    pub fn new() -> Self {
        Self {
            codings: vec![ContentCoding::Zstd, ContentCoding::Gzip, ContentCoding::Brotli],
            gzip_level: 6,
            brotli_level: 4,
            zstd_level: 3,
            min_length: 1024,
            types: Vec::new(),
            shared: None,
        }
    }

    /// The codings to use, the favourite first: it decides among those that a client rates equally, as browsers do with
    /// all of them. Default: zstd, gzip, brotli.
    ///
    /// 20 KB of text take zstd 0.07 ms and become 6.4 KB, gzip 0.22 ms and 6.1 KB, brotli 0.36 ms and 6.1 KB at the
    /// default levels, on the machine of `bench/`; the proportions are the same at 3 and at 150 KB.
    #[must_use]
    pub fn codings(mut self, codings: impl IntoIterator<Item = ContentCoding>) -> Self {
        self.codings = codings.into_iter().collect();
        self
    }

    /// The effort of gzip, from 0 to 9. Default: 6, Tornado's.
    #[must_use]
    pub fn gzip_level(mut self, level: u32) -> Self {
        self.gzip_level = level;
        self
    }

    /// The effort of brotli, from 0 to 11. Default: 4.
    #[must_use]
    pub fn brotli_level(mut self, level: u32) -> Self {
        self.brotli_level = level;
        self
    }

    /// The effort of zstd, from 1 to 19. Default: 3.
    #[must_use]
    pub fn zstd_level(mut self, level: u32) -> Self {
        self.zstd_level = level;
        self
    }

    /// The fewest bytes of a body that is finished in one piece for which compression is worth while. Default: 1,024.
    #[must_use]
    #[doc(alias = "MIN_LENGTH")]
    pub fn min_length(mut self, bytes: usize) -> Self {
        self.min_length = bytes;
        self
    }

    /// Compress this type too, such as `application/wasm`; without parameters. May be called several times.
    #[must_use]
    #[doc(alias = "CONTENT_TYPES")]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.types.push(content_type.into());
        self
    }

    /// Mistakes, and the end of changing.
    pub(super) fn take_problems(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        for (what, level, allowed) in [
            ("gzip", self.gzip_level, 0..=9),
            ("brotli", self.brotli_level, 0..=11),
            ("zstd", self.zstd_level, 1..=19),
        ] {
            if !allowed.contains(&level) {
                let (least, most) = allowed.into_inner();
                problems.push(format!("compression: {what} has levels from {least} to {most}, not {level}"));
            }
        }
        self.shared = Some(Rc::new(self.clone()));
        problems
    }

    /// The transform of one response.
    pub(super) fn transform(&self, request: &HttpServerRequest) -> Box<dyn OutputTransform> {
        let accept = request.headers().joined("Accept-Encoding");
        let coding = accept.and_then(|accept| negotiate::choose(&accept, &self.codings));
        let wanted = coding.and_then(|coding| Some((coding, Rc::clone(self.shared.as_ref()?))));
        Box::new(Compress { wanted, encoder: None })
    }

    fn takes(&self, content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let is = |other: &str| essence.eq_ignore_ascii_case(other);
        let is_text = essence.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/"));
        is_text || CONTENT_TYPES.into_iter().any(is) || self.types.iter().any(|other| is(other))
    }

    /// Whether this response is to be compressed, by its head.
    fn applies_to(&self, status: u16, headers: &HttpHeaders) -> bool {
        !matches!(status, 100..=199 | 204 | 206 | 304)
            && !headers.contains("Content-Encoding")
            && !headers.contains("Content-Range")
            && headers.get("Content-Type").is_some_and(|content_type| self.takes(content_type))
            && !headers.list("Cache-Control").flat_map(|value| value.split(',')).any(is_no_transform)
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::new()
    }
}

/// RFC 9111 §5.2.2.6.
fn is_no_transform(directive: &str) -> bool {
    directive.trim().eq_ignore_ascii_case("no-transform")
}

/// The compression of one response.
struct Compress {
    /// What the client would take.
    wanted: Option<(ContentCoding, Rc<Compression>)>,
    encoder: Option<Encoder>,
}

impl OutputTransform for Compress {
    fn transform_first_chunk(
        &mut self,
        status: &mut u16,
        headers: &mut HttpHeaders,
        chunk: &mut Vec<u8>,
        finishing: bool,
    ) -> Result {
        add_vary(headers, "Accept-Encoding")?;
        let Some((coding, options)) = self.wanted.take() else { return Ok(()) };
        if (finishing && chunk.len() < options.min_length) || !options.applies_to(*status, headers) {
            return Ok(());
        }
        headers.set("Content-Encoding", coding.as_str())?;
        weaken_tag_of_ranges(headers)?;
        if !finishing {
            // What is still to come has a length that nobody knows.
            headers.remove("Content-Length");
        }
        self.encoder = Some(Encoder::new(coding, &options, finishing.then_some(chunk.len()))?);
        self.transform_chunk(chunk, finishing)
    }

    fn transform_chunk(&mut self, chunk: &mut Vec<u8>, finishing: bool) -> Result {
        if finishing {
            let Some(encoder) = self.encoder.take() else { return Ok(()) };
            *chunk = encoder.last(chunk)?;
        } else if let Some(encoder) = &mut self.encoder
            // Flushing nothing would still cost an empty block.
            && !chunk.is_empty()
        {
            *chunk = encoder.piece(chunk)?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.encoder.is_none()
    }
}

/// A strong tag promises the same bytes, also to `If-Range` (RFC 9110 §8.8.3.3).
fn weaken_tag_of_ranges(headers: &mut HttpHeaders) -> Result {
    if headers.contains("Accept-Ranges")
        && let Some(tag) = headers.get("Etag").filter(|tag| tag.starts_with('"'))
    {
        let weak = format!("W/{tag}");
        headers.set("Etag", weak)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// What the client would read, as far as it has it whole.
    fn decoded(coding: ContentCoding, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut reader: Box<dyn Read> = match coding {
            ContentCoding::Gzip => Box::new(flate2::read::GzDecoder::new(data)),
            ContentCoding::Brotli => Box::new(brotli::Decompressor::new(data, 4096)),
            ContentCoding::Zstd => Box::new(zstd::stream::read::Decoder::new(data).unwrap()),
        };
        let mut buffer = [0; 4096];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return out,
                Ok(n) => out.extend_from_slice(&buffer[..n]),
                // The end is missing yet; each decoder has another kind for that.
                Err(_) => return out,
            }
        }
    }

    fn every_coding() -> [ContentCoding; 3] {
        [ContentCoding::Gzip, ContentCoding::Brotli, ContentCoding::Zstd]
    }

    #[test]
    fn every_piece_can_be_read_when_it_is_out() {
        for coding in every_coding() {
            let mut encoder = Encoder::new(coding, &Compression::new(), None).unwrap();
            let (mut sent, mut expected) = (Vec::new(), Vec::new());
            for piece in ["one", "two two two two two two two two", "three", &"long ".repeat(50_000)] {
                sent.extend(encoder.piece(piece.as_bytes()).unwrap());
                expected.extend_from_slice(piece.as_bytes());
                assert_eq!(decoded(coding, &sent).len(), expected.len(), "{coding:?} {}", piece.len());
            }
            sent.extend(encoder.last(b"end").unwrap());
            expected.extend_from_slice(b"end");
            assert_eq!(decoded(coding, &sent), expected);
        }
    }

    #[test]
    fn whole_bodies_of_any_length() {
        for coding in every_coding() {
            for length in [0, 1, 1024, 70_000, 5_000_000] {
                let body: Vec<u8> = (0..length).map(|i: u32| (i * 7 / 5) as u8).collect();
                let encoder = Encoder::new(coding, &Compression::new(), Some(body.len())).unwrap();
                assert_eq!(decoded(coding, &encoder.last(&body).unwrap()), body, "{coding:?} {length}");
            }
        }
    }

    #[test]
    fn types() {
        let compression = Compression::new().content_type("application/wasm");
        for (content_type, taken) in [
            ("text/html; charset=UTF-8", true),
            ("text/event-stream", true),
            ("TEXT/plain", true),
            ("application/json; charset=UTF-8", true),
            ("application/json ;a=b", true),
            ("image/svg+xml", true),
            ("application/wasm", true),
            ("application/jsonx", false),
            ("application/vnd.api+json", false),
            ("image/png", false),
            ("text", false),
            ("", false),
        ] {
            assert_eq!(compression.takes(content_type), taken, "{content_type}");
        }
    }

    #[test]
    fn levels_are_checked() {
        assert!(Compression::new().take_problems().is_empty());
        let mut wrong = Compression::new().gzip_level(10).brotli_level(12).zstd_level(0);
        assert_eq!(wrong.take_problems().len(), 3);
    }
}
