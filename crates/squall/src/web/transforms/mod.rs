//! What a response goes through on its way from the handler to the connection (Tornado's output transforms).

mod compress;
mod encoder;
mod kept;

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use self::compress::{AT_ONCE, Compress, mark};
use self::kept::Kept;
use super::application::Application;
use super::context::Context;
use super::error::{HttpError, Result};
use super::negotiate::ContentCoding;
use super::response::Response;
use crate::httputil::{HttpHeaders, HttpServerRequest, InvalidHeader, ows};

pub use self::compress::Compression;
pub(super) use self::compress::weaken_tag_of_ranges;
pub(super) use self::kept::Source;

/// Changes a response on its way out: its status, its headers, the bytes of its body (Tornado's `OutputTransform`).
///
/// One is made for each response, when its head is about to be sent. [`Application::add_transform`] sets what makes
/// it. A body that is finished without a [`flush`](Context::flush) comes as one first chunk that is `finishing`.
///
/// ```
/// use squall::httputil::HttpHeaders;
/// use squall::web::OutputTransform;
/// use squall::{Application, Result};
///
/// /// Counts the bytes of a body, in upper case.
/// struct Shout;
///
/// impl OutputTransform for Shout {
///     fn transform_first_chunk(
///         &mut self,
///         _status: &mut u16,
///         headers: &mut HttpHeaders,
///         chunk: &mut Vec<u8>,
///         finishing: bool,
///     ) -> Result {
///         headers.set("X-Volume", "11")?;
///         self.transform_chunk(chunk, finishing)
///     }
///
///     fn transform_chunk(&mut self, chunk: &mut Vec<u8>, _finishing: bool) -> Result {
///         chunk.make_ascii_uppercase();
///         Ok(())
///     }
/// }
///
/// let app = Application::new([]).add_transform(|_request| Shout);
/// # let _ = app;
/// ```
pub trait OutputTransform {
    /// Changes the head and the first chunk of the body. Entity tag and Content-Length of a finished body are set
    /// already.
    ///
    /// When the body is `finishing` and changes its length, Content-Length is put right afterwards. A transform that
    /// changes the length of a body that is still to come must remove Content-Length. The bytes for `HEAD` are those of
    /// `GET`; they are dropped afterwards.
    ///
    /// # Errors
    /// An error is answered as one of the handler, with nothing of this response sent.
    fn transform_first_chunk(
        &mut self,
        _status: &mut u16,
        _headers: &mut HttpHeaders,
        _chunk: &mut Vec<u8>,
        _finishing: bool,
    ) -> Result {
        Ok(())
    }

    /// Changes a later chunk. The last, which may be empty, is `finishing`; what others leave out of a chunk should
    /// not be held back long, since the handler has asked for it to be sent.
    ///
    /// # Errors
    /// An error cuts the connection, so that the response does not look complete.
    fn transform_chunk(&mut self, _chunk: &mut Vec<u8>, _finishing: bool) -> Result {
        Ok(())
    }

    /// Whether this transform, having seen the first chunk, leaves all others as they are. Then they are not shown to
    /// it, and files can be sent by the kernel. Default: no.
    fn is_done(&self) -> bool {
        false
    }
}

type Factory = Box<dyn Fn(&HttpServerRequest) -> Box<dyn OutputTransform>>;

/// The transforms of an application.
#[derive(Default)]
pub(super) struct TransformSettings {
    /// Of the user, in the order in which they were added.
    factories: Vec<Factory>,
    /// Comes last, since it leaves nothing that another could read.
    compression: Option<Compression>,
    kept: Kept,
}

impl TransformSettings {
    /// Mistakes that keep the application from starting.
    pub(super) fn problems(&self) -> Vec<String> {
        self.compression.as_ref().map(Compression::problems).unwrap_or_default()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.factories.is_empty() && self.compression.is_none()
    }

    pub(super) fn compresses(&self) -> bool {
        self.compression.is_some()
    }

    /// Whether there are transforms that have to see what comes before any compression.
    pub(super) fn read_bodies(&self) -> bool {
        !self.factories.is_empty()
    }

    fn make(&self, request: &HttpServerRequest) -> Vec<Box<dyn OutputTransform>> {
        self.factories.iter().map(|make| make(request)).collect()
    }
}

impl Application {
    /// Adds a transform of all responses but those that a [proxy](super::proxy()) relays. Several are applied in the order in which they were added,
    /// [compression](Self::compress_response) after all of them. Default: none.
    #[must_use]
    pub fn add_transform<T: OutputTransform + 'static>(
        mut self,
        make: impl Fn(&HttpServerRequest) -> T + 'static,
    ) -> Self {
        self.settings.transforms.factories.push(Box::new(move |request| Box::new(make(request))));
        self
    }

    /// Compresses responses for clients that take it: `true`, or a [`Compression`] with other than the usual options.
    /// What a [proxy](super::proxy()) relays stays as its server has made it. Default: off.
    #[must_use]
    #[doc(alias = "gzip")]
    #[doc(alias = "GZipContentEncoding")]
    pub fn compress_response(mut self, compression: impl Into<CompressionChoice>) -> Self {
        self.settings.transforms.compression = compression.into().0;
        self
    }
}

/// What [`Application::compress_response`] takes: a `bool` or a [`Compression`].
#[derive(Debug)]
pub struct CompressionChoice(Option<Compression>);

impl From<bool> for CompressionChoice {
    fn from(on: bool) -> Self {
        Self(on.then(Compression::new))
    }
}

impl From<Compression> for CompressionChoice {
    fn from(compression: Compression) -> Self {
        Self(Some(compression))
    }
}

/// The transforms of one response that are at work; empty until its head goes out, and if there are none.
#[derive(Default)]
pub(super) struct Transforms {
    /// Of the user.
    own: RefCell<Vec<Box<dyn OutputTransform>>>,
    compress: RefCell<Option<Box<Compress>>>,
}

/// How a body goes through the transforms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once.
    AtOnce,
    /// Compression only takes it; [`Transforms::next_slice`] gives out what it becomes.
    InSlices,
}

impl Transforms {
    /// Whether chunks after the first have to go through [`chunk`](Self::chunk).
    #[inline]
    pub(super) fn are_some(&self) -> bool {
        !self.own.borrow().is_empty() || self.compress.borrow().is_some()
    }

    /// Applied to the head and the first chunk. The transforms are the user's code: nothing is borrowed meanwhile.
    pub(super) fn first_chunk(
        &self,
        ctx: &Context,
        cell: &RefCell<Response>,
        finishing: bool,
        pace: Pace,
    ) -> Result {
        let settings = &ctx.core().settings().transforms;
        let mut own = settings.make(ctx.request());
        let (mut status, mut headers, mut chunk) = {
            let mut response = cell.borrow_mut();
            (response.status, std::mem::take(&mut response.headers), std::mem::take(&mut response.body))
        };
        let length = chunk.len();
        let transformed = own.iter_mut().try_for_each(|transform| {
            transform.transform_first_chunk(&mut status, &mut headers, &mut chunk, finishing)
        });
        let transformed = transformed.and_then(|()| {
            if !(200..=999).contains(&status) {
                let message = format!("An output transform set the status {status}");
                return Err(HttpError::new(500).log_message(message).into());
            }
            if let Some(compression) = &settings.compression {
                let head = (status, &mut headers);
                self.begin_compression(compression, ctx, head, &mut chunk, finishing, pace)?;
            }
            if finishing && chunk.len() != length {
                correct_length(&mut headers, length, chunk.len())?;
            }
            Ok(())
        });
        let mut response = cell.borrow_mut();
        response.headers = headers;
        response.body = chunk;
        transformed?;
        if response.status != status {
            response.set_status(status, None);
        }
        drop(response);
        own.retain(|transform| !transform.is_done());
        *self.own.borrow_mut() = own;
        Ok(())
    }

    fn begin_compression(
        &self,
        compression: &Compression,
        ctx: &Context,
        (status, headers): (u16, &mut HttpHeaders),
        chunk: &mut Vec<u8>,
        finishing: bool,
        pace: Pace,
    ) -> Result {
        add_vary(headers, "Accept-Encoding")?;
        let is_head = *ctx.method() == http::Method::HEAD;
        let whole = match told_length(headers) {
            // A handler of HEAD need not write the body whose length it tells.
            Some(length) if is_head && chunk.is_empty() => Some(length),
            _ => finishing.then_some(chunk.len()),
        };
        let Some(coding) = compression.choose(ctx.request(), status, headers, whole) else { return Ok(()) };
        mark(headers, coding)?;
        let told = finishing && whole == Some(chunk.len()) && chunk.len() <= AT_ONCE && pace == Pace::AtOnce;
        if !told {
            // Nobody knows the length of what is still to come, and nobody compresses much for HEAD to know it.
            headers.remove("Content-Length");
        }
        if is_head && !told {
            return Ok(());
        }
        let mut compress = Compress::new(coding, compression.levels, whole)?;
        match pace {
            Pace::AtOnce if finishing => return compress.last(chunk),
            Pace::AtOnce => compress.chunk(chunk)?,
            Pace::InSlices => compress.put(std::mem::take(chunk)),
        }
        *self.compress.borrow_mut() = Some(Box::new(compress));
        Ok(())
    }

    /// Applied to what has been written since.
    pub(super) fn chunk(&self, cell: &RefCell<Response>, finishing: bool, pace: Pace) -> Result {
        let mut own = self.own.take();
        let mut chunk = std::mem::take(&mut cell.borrow_mut().body);
        let mut transformed =
            own.iter_mut().try_for_each(|transform| transform.transform_chunk(&mut chunk, finishing));
        *self.own.borrow_mut() = own;
        let mut compress = self.compress.borrow_mut();
        if transformed.is_ok()
            && let Some(mut at_work) = compress.take()
        {
            transformed = match pace {
                Pace::AtOnce if finishing => at_work.last(&mut chunk),
                Pace::AtOnce => {
                    let compressed = at_work.chunk(&mut chunk);
                    *compress = Some(at_work);
                    compressed
                }
                Pace::InSlices => {
                    at_work.put(std::mem::take(&mut chunk));
                    *compress = Some(at_work);
                    Ok(())
                }
            };
        }
        drop(compress);
        cell.borrow_mut().body = chunk;
        transformed
    }

    /// Another piece of what was taken [in slices](Pace::InSlices), ready to be sent; `None` after the last.
    pub(super) fn next_slice(&self, finishing: bool) -> Result<Option<Vec<u8>>> {
        let mut compress = self.compress.borrow_mut();
        let Some(at_work) = compress.as_mut() else { return Ok(None) };
        if let Some(slice) = at_work.next_slice(finishing)? {
            return Ok(Some(slice));
        }
        if finishing && let Some(at_work) = compress.take() {
            let mut end = Vec::new();
            at_work.last(&mut end)?;
            return Ok(Some(end));
        }
        Ok(None)
    }
}

/// What is compressed for a response, before it is.
impl Context {
    /// Whether so much has been written that compressing it at once would hold the loop for too long.
    #[inline]
    pub(super) fn compresses_much(&self) -> bool {
        self.response.borrow().body.len() > AT_ONCE && self.core().settings().transforms.compresses()
    }

    /// A tag that is to be compared with those of a client has to be the one that the client would get.
    pub(super) fn weaken_tag_if_compressed(&self) -> Result {
        let Some(compression) = &self.core().settings().transforms.compression else { return Ok(()) };
        let response = &mut *self.response.borrow_mut();
        let whole = Some(response.body.len());
        if response.headers.contains("Accept-Ranges")
            && compression.choose(self.request(), response.status, &response.headers, whole).is_some()
        {
            weaken_tag_of_ranges(&mut response.headers)?;
        }
        Ok(())
    }

    /// The coding in which a file with the head so far is sent, if it is to be compressed for this client.
    pub(super) fn coding_of_file(&self) -> Option<ContentCoding> {
        let compression = self.core().settings().transforms.compression.as_ref()?;
        let response = self.response.borrow();
        compression.choose(self.request(), response.status, &response.headers, None)
    }

    /// A compressed file, made now or before.
    ///
    /// # Errors
    /// Those of reading it.
    pub(super) async fn kept_compressed(
        &self,
        tag: &Rc<str>,
        coding: ContentCoding,
        source: Source,
    ) -> Result<Bytes> {
        let settings = &self.core().settings().transforms;
        let levels = settings.compression.as_ref().map_or(Compression::new().levels, |c| c.levels);
        Ok(settings.kept.get(tag, coding, levels, source).await?)
    }
}

/// A Content-Length that told the length before tells that after.
fn correct_length(headers: &mut HttpHeaders, before: usize, after: usize) -> Result<(), InvalidHeader> {
    if told_length(headers) == Some(before) { headers.set("Content-Length", after) } else { Ok(()) }
}

fn told_length(headers: &HttpHeaders) -> Option<usize> {
    headers.get("Content-Length")?.parse().ok()
}

/// Adds a name to `Vary`, unless it stands there already (RFC 9110 §12.5.5).
pub(super) fn add_vary(headers: &mut HttpHeaders, name: &str) -> Result<(), InvalidHeader> {
    let Some(vary) = headers.joined("Vary") else { return headers.set("Vary", name) };
    if vary.split(',').map(ows::trim).any(|listed| listed == "*" || listed.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    let vary = if ows::trim(&vary).is_empty() { name.to_owned() } else { format!("{vary}, {name}") };
    headers.set("Vary", vary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vary_lists_each_name_once() {
        for (before, after) in [
            (&[][..], "Accept-Encoding"),
            (&["Origin"], "Origin, Accept-Encoding"),
            (&["Origin", "Cookie"], "Origin,Cookie, Accept-Encoding"),
            (&["Origin, accept-encoding"], "Origin, accept-encoding"),
            (&["*"], "*"),
            (&[""], "Accept-Encoding"),
        ] {
            let mut headers: HttpHeaders = before.iter().map(|value| ("Vary", *value)).collect();
            add_vary(&mut headers, "Accept-Encoding").unwrap();
            assert_eq!(headers.joined("Vary").unwrap(), after, "{before:?}");
        }
    }

    #[test]
    fn only_a_right_content_length_is_corrected() {
        for (told, after) in [("10", "7"), ("11", "11"), ("x", "x")] {
            let mut headers: HttpHeaders = [("Content-Length", told)].into_iter().collect();
            correct_length(&mut headers, 10, 7).unwrap();
            assert_eq!(headers.get("Content-Length"), Some(after));
        }
    }
}
