//! One file that is to be served, wherever it comes from.

use std::borrow::Cow;
use std::fs::File;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::content_type;
use super::hashes::version_of;
use crate::httputil::EntityTag;
use crate::httputil::conditional::Validators;
use crate::iostream::FilePart;
use crate::web::context::Context;
use crate::web::error::Result;
use crate::web::negotiate::ContentCoding;
use crate::web::transforms::Source;

/// Files up to this size are read and sent with their head, in one system call; larger ones go out by `sendfile`.
pub(super) const SMALL: u64 = 32 * 1024;
/// Files up to this size are compressed once, and kept; larger ones are compressed while they are sent.
const MOST_KEPT: usize = 8 * 1024 * 1024;
/// How much is asked for at a time from a [`StaticContent`].
const PIECE: u64 = 64 * 1024;

/// A file as [`StaticFiles::open`](super::StaticFiles::open) finds it: its content, and what is known about it.
pub struct StaticFile {
    content: Content,
    pub(super) size: u64,
    pub(super) name: Cow<'static, str>,
    modified: Option<SystemTime>,
    pub(super) etag: Option<Rc<str>>,
    /// What the entity tag of the file itself would be, where this is a compressed sibling; for its version.
    pub(super) plain_tag: Option<Rc<str>>,
    /// The entity tag is a hash of the content.
    hashed: bool,
    /// The Content-Encoding of the content.
    pub(super) coding: Option<ContentCoding>,
    /// Another client may get another encoding.
    pub(super) negotiated: bool,
}

enum Content {
    File(Arc<File>),
    Bytes(Bytes),
    Other(Box<dyn StaticContent>),
}

/// Content from wherever: a database, an archive, a slow disk.
pub trait StaticContent {
    /// The bytes in `range`, which lies within the content: all of them, or some of the first. It is asked for more
    /// when the client has taken those before.
    fn read(&mut self, range: Range<u64>) -> Pin<Box<dyn Future<Output = io::Result<Bytes>> + '_>>;
}

impl StaticFile {
    /// A content in memory.
    pub fn from_bytes(content: impl Into<Bytes>) -> Self {
        let content = content.into();
        Self::new(content.len() as u64, Content::Bytes(content))
    }

    /// The first `size` bytes of an open regular file.
    pub fn from_file(file: Arc<File>, size: u64) -> Self {
        Self::new(size, Content::File(file))
    }

    /// Content of `size` bytes that is asked for piece by piece.
    pub fn from_content(content: impl StaticContent + 'static, size: u64) -> Self {
        Self::new(size, Content::Other(Box::new(content)))
    }

    fn new(size: u64, content: Content) -> Self {
        Self {
            content,
            size,
            name: Cow::Borrowed(""),
            modified: None,
            etag: None,
            plain_tag: None,
            hashed: false,
            coding: None,
            negotiated: false,
        }
    }

    /// The name that the Content-Type is guessed from. Default: the path of the request.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// When it was last modified. Default: not known; there is no Last-Modified then, and no date of a client's matches.
    ///
    /// The first two seconds of 1970, and what is before, are not known either: build tools that make the same files
    /// of the same sources (Nix, Bazel) give all of them such a time, whatever their content.
    #[must_use]
    #[doc(alias = "get_modified_time")]
    pub fn modified(mut self, time: SystemTime) -> Self {
        self.modified = Some(time).filter(|time| *time >= UNIX_EPOCH + Duration::from_secs(2));
        self
    }

    /// Its entity tag; `None` takes away the one that it has. Default: none, but the hash of the content for the
    /// files of a [`Directory`](super::Directory) and of [`Embedded`](super::Embedded).
    #[must_use]
    #[doc(alias = "compute_etag")]
    pub fn etag(mut self, tag: Option<EntityTag>) -> Self {
        self.etag = tag.map(|tag| tag.as_str().into());
        self.hashed = false;
        self
    }

    /// Gives it a hash of its content as entity tag.
    pub(super) fn hashed(mut self, tag: Option<Rc<str>>) -> Self {
        self.hashed = tag.is_some();
        self.etag = tag;
        self
    }

    pub(super) fn validators(&self) -> Validators<'_> {
        Validators { etag: self.etag.as_deref(), modified: self.modified }
    }

    /// The version that its entity tag makes, if that is a hash.
    pub(super) fn version(&self) -> Option<&str> {
        if !self.hashed {
            return None;
        }
        self.plain_tag.as_deref().or(self.etag.as_deref()).map(version_of)
    }

    /// What makes of it something compressed that can be kept, by which tag; `None` for what is too large, or has no
    /// tag that tells its content from any other.
    pub(super) fn source_to_keep(&self) -> Option<(Rc<str>, Source)> {
        let tag = self.etag.clone().filter(|_| self.hashed)?;
        let size = usize::try_from(self.size).ok().filter(|size| *size <= MOST_KEPT)?;
        Some(match &self.content {
            Content::File(file) => (tag, Source::File(Arc::clone(file), size)),
            Content::Bytes(content) => (tag, Source::Bytes(content.clone())),
            Content::Other(_) => return None,
        })
    }

    /// How many bytes it has.
    #[doc(alias = "get_content_size")]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The Content-Type that its name tells: `application/octet-stream` when it tells none.
    #[doc(alias = "get_content_type")]
    pub fn content_type(&self) -> Cow<'static, str> {
        // A sibling is what the original is; the coding is said elsewhere.
        content_type::guess(&self.name)
    }

    /// Writes the bytes in `range` as the rest of the response.
    #[doc(alias = "get_content")]
    pub(super) async fn send(self, ctx: &Context, range: Range<u64>) -> Result {
        let length = range.end - range.start;
        match self.content {
            Content::Bytes(content) => {
                ctx.write(&content[range.start as usize..range.end as usize]);
                hand_to_transforms(ctx, length).await
            }
            Content::File(file) => {
                let part = FilePart::new(file, range);
                if length > SMALL {
                    ctx.set_header("Content-Length", length)?;
                    return Box::pin(ctx.write_file(part)).await;
                }
                if !ctx.write_cached(&part) {
                    ctx.write(Box::pin(part.read()).await?);
                }
                hand_to_transforms(ctx, length).await
            }
            Content::Other(content) => Box::pin(send_content(ctx, content, range)).await,
        }
    }
}

/// As Tornado, which sends files in pieces: transforms do not know how long the body will be, and gzip takes on small
/// files too.
async fn hand_to_transforms(ctx: &Context, length: u64) -> Result {
    let transformed = ctx.core().settings.transforms.read_bodies() || ctx.coding_of_file().is_some();
    if transformed && !ctx.has_no_body() {
        ctx.set_header("Content-Length", length)?;
        Box::pin(ctx.flush_now()).await?;
    }
    Ok(())
}

async fn send_content(ctx: &Context, mut content: Box<dyn StaticContent>, mut range: Range<u64>) -> Result {
    ctx.set_header("Content-Length", range.end - range.start)?;
    while !range.is_empty() {
        let piece = content.read(range.start..range.end.min(range.start + PIECE)).await?;
        if piece.is_empty() || piece.len() as u64 > range.end - range.start {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        range.start += piece.len() as u64;
        ctx.write(&piece);
        if !range.is_empty() {
            ctx.flush_now().await?;
        }
    }
    Ok(())
}
