//! One file that is to be served, wherever it comes from.

use std::borrow::Cow;
use std::fs::File;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::content_type;
use crate::httputil::EntityTag;
use crate::iostream::FilePart;
use crate::web::context::Context;
use crate::web::error::Result;

/// Files up to this size are read and sent with their head, in one system call; larger ones go out by `sendfile`.
const SMALL: u64 = 32 * 1024;
/// How much is asked for at a time from a [`StaticContent`].
const PIECE: u64 = 64 * 1024;

/// A file as [`StaticFiles::open`](super::StaticFiles::open) finds it: its content, and what is known about it.
pub struct StaticFile {
    content: Content,
    pub(super) size: u64,
    pub(super) name: Cow<'static, str>,
    pub(super) modified: Option<SystemTime>,
    pub(super) etag: Option<Rc<str>>,
    /// The Content-Encoding of the content.
    pub(super) coding: Option<&'static str>,
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
        let (modified, etag, coding) = (None, None, None);
        Self { content, size, name: Cow::Borrowed(""), modified, etag, coding, negotiated: false }
    }

    /// The name that the Content-Type is guessed from. Default: the path of the request.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// When it was last modified. Default: not known; there is no Last-Modified then.
    #[must_use]
    #[doc(alias = "get_modified_time")]
    pub fn modified(mut self, time: SystemTime) -> Self {
        self.modified = Some(time);
        self
    }

    /// Its entity tag; `None` takes away the one that it has. Default: none, but the hash of the content for the
    /// files of a [`Directory`](super::Directory) and of [`Embedded`](super::Embedded).
    #[must_use]
    #[doc(alias = "compute_etag")]
    pub fn etag(mut self, tag: Option<EntityTag>) -> Self {
        self.etag = tag.map(|tag| tag.as_str().into());
        self
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
    if !ctx.core().settings.transforms.is_empty() && !ctx.has_no_body() {
        ctx.set_header("Content-Length", length)?;
        Box::pin(ctx.flush()).await?;
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
            ctx.flush().await?;
        }
    }
    Ok(())
}
