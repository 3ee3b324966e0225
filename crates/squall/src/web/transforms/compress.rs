//! Compressed responses (Tornado's `GZipContentEncoding`, with brotli and zstd beside it).

use bytes::{Bytes, BytesMut};

use super::encoder::{CODINGS, Encoder, Levels};
use crate::httputil::{HttpHeaders, HttpServerRequest, ows};
use crate::web::error::Result;
use crate::web::negotiate::{Accepted, ContentCoding};

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
/// Compression takes place on the loop: for a megabyte of text it takes 4 ms with zstd, 15 with gzip. More than 256 KiB are
/// compressed and sent piece by piece, chunked, and others are served in between; the answer to their `HEAD` tells no
/// length. Static files of up to 8 MiB are compressed once, by a thread, and kept ([`StaticFileHandler`]). Secrets that
/// stand in a page beside what an attacker chooses can be guessed from its length (BREACH); XSRF tokens are masked
/// against that.
///
/// [`StaticFileHandler`]: crate::web::StaticFileHandler
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
    pub(super) levels: Levels,
    min_length: usize,
    types: Vec<String>,
}

impl Compression {
    /// The defaults, as `compress_response(true)` has them.
    pub fn new() -> Self {
        Self {
            codings: CODINGS.to_vec(),
            levels: Levels { gzip: 6, brotli: 4, zstd: 3 },
            min_length: 1024,
            types: Vec::new(),
        }
    }

    /// The codings to use, the favourite first: it decides among those that a client rates equally, as browsers do with
    /// all of them. Default: zstd, gzip, brotli; without the feature `compression` gzip, and to ask for another is an error
    /// at start-up.
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
        self.levels.gzip = level;
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

    /// Mistakes that keep the application from starting.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (what, level, allowed) in [
            ("gzip", self.levels.gzip, 0..=9),
            ("brotli", self.levels.brotli, 0..=11),
            ("zstd", self.levels.zstd, 1..=19),
        ] {
            if !allowed.contains(&level) {
                let (least, most) = allowed.into_inner();
                problems.push(format!("compression: {what} has levels from {least} to {most}, not {level}"));
            }
        }
        for coding in self.codings.iter().filter(|coding| !CODINGS.contains(coding)) {
            let name = coding.as_str();
            problems.push(format!("compression: {name} needs squall's feature `compression`"));
        }
        problems
    }

    /// The coding for a response with this head, of which `whole` bytes are all; `None` to leave it as it is.
    pub(super) fn choose(
        &self,
        request: &HttpServerRequest,
        status: u16,
        headers: &HttpHeaders,
        whole: Option<usize>,
    ) -> Option<ContentCoding> {
        if whole.is_some_and(|length| length < self.min_length) {
            return None;
        }
        let accept = request.headers().joined("Accept-Encoding")?;
        let coding = Accepted::of(&accept).choose(self.codings.iter().copied())?;
        self.applies_to(status, headers).then_some(coding)
    }

    fn takes(&self, content_type: &str) -> bool {
        let essence = ows::trim(content_type.split(';').next().unwrap_or_default());
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
    ows::trim(directive).eq_ignore_ascii_case("no-transform")
}

/// Bodies up to this size are compressed at once, which takes some 4 ms: their length can be told.
pub(super) const AT_ONCE: usize = 256 * 1024;
/// Of larger ones so much at a time; others are served in between.
const SLICE: usize = 64 * 1024;

/// The compression of one response that is at work.
pub(super) struct Compress {
    encoder: Encoder,
    /// What has been written and not yet compressed, of a body that goes slice by slice.
    rest: Bytes,
}

impl Compress {
    /// For a body of which `whole` bytes are all, or for one that goes on.
    pub(super) fn new(coding: ContentCoding, levels: Levels, whole: Option<usize>) -> Result<Self> {
        Ok(Self { encoder: Encoder::new(coding, levels, whole)?, rest: Bytes::new() })
    }

    /// Compresses a chunk in place, and what was left over.
    pub(super) fn chunk(&mut self, chunk: &mut Vec<u8>) -> Result {
        self.join_rest(chunk);
        // Flushing nothing would still cost an empty block.
        if !chunk.is_empty() {
            *chunk = self.encoder.piece(chunk)?;
        }
        Ok(())
    }

    /// Compresses the last chunk in place.
    pub(super) fn last(mut self, chunk: &mut Vec<u8>) -> Result {
        self.join_rest(chunk);
        *chunk = self.encoder.last(chunk)?;
        Ok(())
    }

    /// Takes what [`next_slice`](Self::next_slice) will compress.
    pub(super) fn put(&mut self, mut chunk: Vec<u8>) {
        self.join_rest(&mut chunk);
        self.rest = chunk.into();
    }

    /// Compresses another slice; `None` when there is no more. With the last the client has all that was put in, unless
    /// the body is `finishing`: then [`last`](Self::last) follows.
    pub(super) fn next_slice(&mut self, finishing: bool) -> Result<Option<Vec<u8>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let slice = self.rest.split_to(self.rest.len().min(SLICE));
        let more = finishing || !self.rest.is_empty();
        Ok(Some(if more { self.encoder.part(&slice)? } else { self.encoder.piece(&slice)? }))
    }

    /// A future that was dropped between two slices left it behind.
    fn join_rest(&mut self, chunk: &mut Vec<u8>) {
        if !self.rest.is_empty() {
            let mut all = BytesMut::from(std::mem::take(&mut self.rest));
            all.extend_from_slice(chunk);
            *chunk = all.into();
        }
    }
}

/// Changes the head of a response that is about to be compressed.
pub(super) fn mark(headers: &mut HttpHeaders, coding: ContentCoding) -> Result {
    headers.set("Content-Encoding", coding.as_str())?;
    weaken_tag_of_ranges(headers)
}

/// A strong tag promises the same bytes, also to `If-Range` (RFC 9110 §8.8.3.3).
pub(in crate::web) fn weaken_tag_of_ranges(headers: &mut HttpHeaders) -> Result {
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

    fn every_coding() -> impl Iterator<Item = ContentCoding> {
        CODINGS.iter().copied()
    }

    #[test]
    fn every_piece_can_be_read_when_it_is_out() {
        for coding in every_coding() {
            let mut encoder = Encoder::new(coding, Compression::new().levels, None).unwrap();
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
                let encoder = Encoder::new(coding, Compression::new().levels, Some(body.len())).unwrap();
                assert_eq!(decoded(coding, &encoder.last(&body).unwrap()), body, "{coding:?} {length}");
            }
        }
    }

    #[test]
    fn slices_make_the_same_body() {
        for coding in every_coding() {
            let body: Vec<u8> = (0..300_000_u32).map(|i| (i * 7 / 5) as u8).collect();
            for finishing in [true, false] {
                let mut compress = Compress::new(coding, Compression::new().levels, None).unwrap();
                let (mut sent, mut count) = (Vec::new(), 0);
                compress.put(body.clone());
                while let Some(slice) = compress.next_slice(finishing).unwrap() {
                    sent.extend(slice);
                    count += 1;
                }
                assert_eq!(count, body.len().div_ceil(SLICE));
                if !finishing {
                    assert_eq!(decoded(coding, &sent), body, "{coding:?}");
                }
                // Some are left over when somebody stops waiting for them.
                compress.put(body.clone());
                sent.extend(compress.next_slice(finishing).unwrap().unwrap());
                let mut end = b"end".to_vec();
                compress.last(&mut end).unwrap();
                sent.extend(end);
                assert_eq!(decoded(coding, &sent), [&body, &body, &b"end"[..]].concat(), "{coding:?}");
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
        assert!(Compression::new().problems().is_empty());
        assert_eq!(Compression::new().gzip_level(10).problems().len(), 1);
    }

    #[cfg(feature = "compression")]
    #[test]
    fn levels_of_brotli_and_zstd_are_checked() {
        assert_eq!(Compression::new().gzip_level(10).brotli_level(12).zstd_level(0).problems().len(), 3);
    }

    #[test]
    fn what_is_not_built_in_is_told() {
        let asked = Compression::new().codings(ContentCoding::SMALLEST_FIRST);
        assert_eq!(asked.problems().len(), if cfg!(feature = "compression") { 0 } else { 2 });
    }
}
