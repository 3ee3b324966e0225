//! Files below a directory.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::file::{SMALL, StaticFile};
use super::found::{Content, FoundFiles, Held, Present};
use super::hashes::{HashCache, version_of};
use super::open::{Kind, Links, Opened, Refused, Root, Stamp, normalize};
use super::{StaticFiles, Version, has_version};
use crate::iostream::FilePart;
use crate::log;
use crate::web::context::Context;
use crate::web::error::{Error, HttpError, Result};
use crate::web::negotiate::{Accepted, ContentCoding};

/// The root is looked up anew so often, so that one that is replaced (a link to the current release) is noticed.
const ROOT_KEPT: Duration = Duration::from_secs(1);

/// The files below a directory: what [`StaticFileHandler::new`](super::StaticFileHandler::new) serves.
///
/// Nothing outside of it is reached, by whatever path or link. Open it by [`StaticFiles::open`] in hooks of one's own:
/// two of them make a handler with two roots.
#[derive(Clone)]
pub struct Directory {
    path: Arc<Path>,
    root: RefCell<Option<(Root, Instant)>>,
    pub(super) default_filename: Option<String>,
    links: Links,
    /// `None`: unless transforms want to see the content.
    pub(super) precompressed: Option<bool>,
    found: FoundFiles,
    /// Shared by clones. `None`: hash on every request.
    hashes: Option<Rc<HashCache>>,
}

impl Directory {
    /// The directory at `path`, relative to the current one if it is not absolute.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        // Only an empty path has no absolute one.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from("."));
        Self {
            path: absolute.into(),
            root: RefCell::default(),
            default_filename: None,
            links: Links::Inside,
            precompressed: None,
            found: FoundFiles::default(),
            hashes: Some(Rc::default()),
        }
    }

    /// Forgets the hashes of all files (Tornado's `reset`), and what was found beside them and in them. All of it
    /// is made anew by itself when a file changes.
    pub fn reset(&self) {
        self.found.clear();
        if let Some(hashes) = &self.hashes {
            hashes.clear();
        }
    }

    pub(super) fn set_hash_cache(&mut self, on: bool) {
        self.hashes = if on { Some(Rc::default()) } else { None };
    }

    pub(super) fn set_links(&mut self, links: Links) {
        self.links = links;
    }

    fn root(&self, now: Instant) -> Result<Root, Refused> {
        if let Some((root, opened)) = &*self.root.borrow()
            && now.saturating_duration_since(*opened) < ROOT_KEPT
        {
            return Ok(root.clone());
        }
        let root = Root::open(&self.path)?;
        *self.root.borrow_mut() = Some((root.clone(), now));
        Ok(root)
    }

    /// The file that a directory stands for, or a redirect to the directory.
    async fn find_default(&self, ctx: &Context, root: &Root, path: &mut String) -> Result<Opened> {
        let Some(name) = &self.default_filename else {
            return Err(Refused::NotAFile.into_error(path).into());
        };
        let request = ctx.request();
        let url = request.path();
        if !url.ends_with('/') {
            // To a browser, `//host/…` names a host, and so does `/\host/…` (CVE-2023-28370).
            if url.starts_with("//") || url.starts_with("/\\") {
                let message = "cannot redirect path with two initial slashes";
                return Err(HttpError::new(403).log_message(message).into());
            }
            let query = request.query();
            let mark = if query.is_empty() { "" } else { "?" };
            ctx.redirect_with(&format!("{url}/{mark}{query}"), 301)?;
            return Err(Error::finish());
        }
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(name);
        root.find(path, &self.links).await.map_err(|refused| refused.into_error(path).into())
    }

    async fn tag(&self, path: &str, file: &Arc<std::fs::File>, stamp: Stamp) -> Result<Option<Rc<str>>> {
        let tag = match &self.hashes {
            Some(hashes) => hashes.tag(path, file, stamp).await,
            None => HashCache::default().tag(path, file, stamp).await,
        };
        Ok(tag?)
    }

    /// The links through which compressed siblings are looked for: none, unless it is asked for, where transforms want
    /// to see what is in the file.
    fn links_to_siblings(&self, ctx: &Context) -> Option<&Links> {
        let looks = self.precompressed.unwrap_or_else(|| !ctx.core().settings().transforms.read_bodies());
        looks.then_some(&self.links)
    }

    /// A small file that was found a moment ago, and is what it was.
    fn held(&self, ctx: &Context, root: &Root, name: &str) -> Option<StaticFile> {
        let choose = |present: Present| {
            let accepted = ctx.request().headers().joined("Accept-Encoding")?;
            Accepted::of(&accepted).choose(present.iter())
        };
        let Held { content, coding, stamp, present } =
            self.found.held(root, name, ctx.request().start_time(), choose)?;
        if coding.is_some() && content.plain_tag.is_none() && has_version(ctx) {
            return None;
        }
        let file =
            StaticFile::from_bytes(content.bytes).named(name.to_owned()).modified(time(stamp.modified));
        let mut file = file.hashed(Some(content.tag));
        file.plain_tag = content.plain_tag;
        file.coding = coding;
        file.negotiated = !present.is_empty();
        Some(file)
    }

    /// Reads a small file, to be held for those who ask for it next.
    async fn hold(&self, plain: (&str, Stamp), file: &Arc<std::fs::File>, stamp: Stamp, known: &StaticFile) {
        let wanted = stamp.size <= SMALL && stamp.is_settled() && self.hashes.is_some();
        let Some(tag) = known.etag.clone().filter(|_| wanted) else { return };
        let Ok(bytes) = FilePart::new(Arc::clone(file), 0..stamp.size).read().await else { return };
        if stamp.is_that_of(file) {
            let content = Content { bytes: bytes.into(), tag, plain_tag: known.plain_tag.clone() };
            self.found.hold(plain.0, plain.1, known.coding, content);
        }
    }

    /// The sibling that the client would rather have, among those there are. One that is older than the file is stale,
    /// and passed over.
    async fn open_sibling(
        &self,
        ctx: &Context,
        root: &Root,
        path: &str,
        mut present: Present,
        modified: i64,
    ) -> Option<(Opened, String, ContentCoding)> {
        let accepted = ctx.request().headers().joined("Accept-Encoding")?;
        while let Some(coding) = Accepted::of(&accepted).choose(present.iter()) {
            let sibling = format!("{path}{}", coding.extension());
            if let Ok(opened) = root.find(&sibling, &self.links).await
                && opened.kind == Kind::File
                && opened.stamp.modified >= modified
            {
                return Some((opened, sibling, coding));
            }
            present.remove(coding);
        }
        None
    }

    fn version_blocking(&self, path: &str) -> Result<Version> {
        let path = normalize(path).map_err(|refused| refused.into_error(path))?;
        let opened = self.root(Instant::now()).and_then(|root| root.find_blocking(&path, &self.links));
        let tag = match opened {
            Ok(opened) if opened.kind == Kind::File => match &self.hashes {
                Some(hashes) => hashes.tag_blocking(&path, &opened.file, opened.stamp),
                None => HashCache::default().tag_blocking(&path, &opened.file, opened.stamp),
            }
            .unwrap_or_else(|error| {
                tracing::error!(target: log::GENERAL, "Could not read static file {path:?}: {error}");
                None
            }),
            Ok(_) => None,
            Err(refused) => {
                tracing::error!(target: log::GENERAL, "Could not open static file {path:?}: {refused:?}");
                None
            }
        };
        Ok(tag.map(|tag| version_of(&tag).into()))
    }
}

impl StaticFiles for Directory {
    async fn open(&self, ctx: &Context, path: &str) -> Result<StaticFile> {
        let mut name = normalize(path).map_err(|refused| refused.into_error(path))?;
        let root = self.root(ctx.request().start_time()).map_err(|refused| refused.into_error(path))?;
        if let Some(file) = self.held(ctx, &root, &name) {
            return Ok(file);
        }
        let found = root.find(&name, &self.links).await.map_err(|refused| refused.into_error(path))?;
        let mut opened = match found.kind {
            Kind::File => found,
            Kind::Directory => Box::pin(self.find_default(ctx, &root, &mut name)).await?,
            Kind::Other => return Err(Refused::NotAFile.into_error(path).into()),
        };
        if opened.kind != Kind::File {
            return Err(Refused::NotAFile.into_error(path).into());
        }
        let plain = opened.stamp;
        let (links, now) = (self.links_to_siblings(ctx), ctx.request().start_time());
        let present = self.found.siblings(&root, &name, links, plain, now).await;
        let (mut coding, mut plain_tag, mut hashed) = (None, None, None);
        if !present.is_empty()
            && let Some((compressed, path, its_coding)) =
                Box::pin(self.open_sibling(ctx, &root, &name, present, plain.modified)).await
        {
            let file = std::mem::replace(&mut opened, compressed).file;
            if has_version(ctx) {
                plain_tag = self.tag(&name, &Arc::new(file), plain).await?;
            }
            (coding, hashed) = (Some(its_coding), Some(path));
        }
        let stamp = opened.stamp;
        let file = Arc::new(opened.file);
        let etag = self.tag(hashed.as_deref().unwrap_or(&name), &file, stamp).await?;
        let opened = Arc::clone(&file);
        let mut file = StaticFile::from_file(file, stamp.size).modified(time(plain.modified)).hashed(etag);
        file.plain_tag = plain_tag;
        file.coding = coding;
        file.negotiated = !present.is_empty();
        Box::pin(self.hold((&name, plain), &opened, stamp, &file)).await;
        Ok(file.named(name))
    }

    fn version(&self, path: &str) -> Result<Version> {
        self.version_blocking(path)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("path", &self.path)
            .field("default_filename", &self.default_filename)
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}

fn time(seconds: i64) -> SystemTime {
    match u64::try_from(seconds) {
        Ok(after) => UNIX_EPOCH + Duration::from_secs(after),
        Err(_) => UNIX_EPOCH - Duration::from_secs(seconds.unsigned_abs()),
    }
}
