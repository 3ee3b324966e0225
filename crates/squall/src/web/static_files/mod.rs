//! Static files (Tornado's `StaticFileHandler`): ranges, conditional requests, versioned URLs.

mod content_type;
mod directory;
mod embedded;
mod file;
mod found;
mod hashes;
mod open;
pub(super) mod settings;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use self::open::Links;
use super::context::Context;
use super::error::{HttpError, Result};
use super::handler::RequestHandler;
use super::methods::Methods;
use super::negotiate::ContentCoding;
use super::options::HandlerOptions;
use super::transforms::{add_vary, weaken_tag_of_ranges};
use crate::escape;
use crate::httputil::conditional::{self, Validators};
use crate::httputil::ranges::ContentRange;
use crate::httputil::{ByteRange, EntityTag, Selection, date, format_timestamp};

pub use self::directory::Directory;
pub use self::embedded::Embedded;
pub use self::file::{StaticContent, StaticFile};
pub use self::settings::StaticUrl;

/// How long a client may keep a file whose URL has a `v`: ten years.
pub const CACHE_MAX_AGE: Duration = Duration::from_secs(86_400 * 365 * 10);

/// What stands behind `?v=` in a static URL; `None` for a file that cannot be read.
pub type Version = Option<Box<str>>;

/// Where static files come from, and how they are served: the hooks of Tornado's `StaticFileHandler`.
///
/// [`Directory`] and [`Embedded`] are ready-made. For files of one's own, `open` and `version` are enough; to change
/// one detail, hold a `Directory` and pass on to it.
///
/// ```
/// use squall::web::{Directory, StaticFile, StaticFiles, StaticFileHandler, Version};
/// use squall::{Context, Result, url};
///
/// /// Looks in two directories.
/// struct Overlay(Directory, Directory);
///
/// impl StaticFiles for Overlay {
///     async fn open(&self, ctx: &Context, path: &str) -> Result<StaticFile> {
///         match self.0.open(ctx, path).await {
///             Err(error) if error.status() == 404 => self.1.open(ctx, path).await,
///             result => result,
///         }
///     }
///
///     fn version(&self, path: &str) -> Result<Version> {
///         Ok(self.0.version(path)?.or(self.1.version(path)?))
///     }
/// }
///
/// let files = Overlay(Directory::new("theme"), Directory::new("static"));
/// let route = url(r"/files/(.*)", StaticFileHandler::with(files));
/// ```
pub trait StaticFiles: 'static {
    /// The path of a file in the path of a URL, such as one with a version in it. Default: the same.
    ///
    /// # Errors
    /// The answer of the request.
    fn parse_url_path<'a>(&self, url_path: &'a str) -> Result<Cow<'a, str>> {
        Ok(Cow::Borrowed(url_path))
    }

    /// Finds a file: Tornado's `get_absolute_path`, `validate_absolute_path` and `get_content` in one step, so that
    /// what was checked is what is served. To answer otherwise, finish the response and return
    /// [`Error::finish`](super::Error::finish).
    ///
    /// # Errors
    /// The answer of the request: 404, 403.
    #[doc(alias = "get_absolute_path")]
    #[doc(alias = "validate_absolute_path")]
    #[doc(alias = "get_content")]
    async fn open(&self, ctx: &Context, path: &str) -> Result<StaticFile>;

    /// The version of a file for [`Context::static_url`]; it may read the file, on the loop.
    ///
    /// # Errors
    /// For a path that cannot be one of a file.
    #[doc(alias = "get_version")]
    fn version(&self, path: &str) -> Result<Version>;

    /// The URL of a file. Default: prefix, path (percent-encoded), and `?v=` with the [`version`](Self::version) if it is to be included.
    ///
    /// # Errors
    /// As [`version`](Self::version).
    #[doc(alias = "make_static_url")]
    fn static_url(&self, prefix: &str, path: &str, include_version: bool) -> Result<String> {
        let version = if include_version { self.version(path)? } else { None };
        let path = escape::url_escape_path(path);
        Ok(match version {
            Some(version) => format!("{prefix}{path}?v={version}"),
            None => format!("{prefix}{path}"),
        })
    }

    /// The Content-Type. Default: what the file's name tells.
    #[doc(alias = "get_content_type")]
    fn content_type(&self, _path: &str, file: &StaticFile) -> Cow<'static, str> {
        file.content_type()
    }

    /// How long a client may keep the file without asking again; zero: no word about it. Default: ten years if the URL
    /// has an argument `v` and that is the [version](Self::version) of the file that is sent. (Tornado takes any: who
    /// asks for a version that is yet to be deployed keeps the old file for ten years.)
    #[doc(alias = "get_cache_time")]
    fn cache_time(&self, ctx: &Context, path: &str, _content_type: &str, file: &StaticFile) -> Duration {
        let Some(arguments) = ctx.request().query_arguments() else { return Duration::ZERO };
        let asked_for = |version: &str| arguments.values("v").any(|asked| asked == version.as_bytes());
        let own = || self.version(path).ok().flatten();
        let is_own = has_version(ctx)
            && (file.version().is_some_and(asked_for) || own().is_some_and(|own| asked_for(&own)));
        if is_own { CACHE_MAX_AGE } else { Duration::ZERO }
    }

    /// Sets further headers. Default: none.
    ///
    /// # Errors
    /// The answer of the request.
    fn set_extra_headers(&self, _ctx: &Context, _path: &str) -> Result {
        Ok(())
    }

    /// Whether the client has the file already. Default: `If-None-Match` decides, and without it `If-Modified-Since`.
    fn should_return_304(&self, ctx: &Context, etag: Option<&str>, modified: Option<SystemTime>) -> bool {
        conditional::is_not_modified(ctx.request().headers(), Validators { etag, modified })
    }
}

/// Whether the URL names a version.
fn has_version(ctx: &Context) -> bool {
    ctx.request().query_arguments().is_some_and(|arguments| arguments.values("v").next().is_some())
}

/// Serves files: `url(r"/files/(.*)", StaticFileHandler::new("files"))`.
///
/// The route's argument is the path, below a directory or of other [`StaticFiles`]. `GET` and `HEAD` are answered,
/// with entity tags (the SHA-512 of the content), `Last-Modified`, conditional requests and single ranges. Paths and
/// links that lead out of the directory, directories and special files are a 403. Files of 32 KiB and more are sent by
/// the kernel, without being read into memory; what is not in its page cache is read by a thread of the executor, so that
/// a slow disk stalls nobody else. `If-Match` and `If-Unmodified-Since` that do not hold are a 412.
///
/// Where there is `x.br`, `x.zst` or `x.gz` beside `x`, clients that like it get it instead. With
/// [`compress_response`](crate::Application::compress_response) the other files of types that compress well are compressed
/// too: those of up to 8 MiB once, by a thread of the executor, and kept (by their hashes, 32 MiB of them in a process),
/// larger ones while they are sent. A range is one of the sibling, or else of the file as it lies there.
pub struct StaticFileHandler<F: StaticFiles = Directory> {
    files: Rc<F>,
}

impl StaticFileHandler {
    /// Serves the files below a directory.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self::with(Directory::new(path))
    }

    /// The file that stands for a directory, such as `index.html`; the directory's URL without a slash at the end is
    /// redirected to that with one. Default: none; directories are a 403.
    #[must_use]
    pub fn default_filename(self, name: impl Into<String>) -> Self {
        self.change(|directory| directory.default_filename = Some(name.into()))
    }

    /// The directories that symbolic links may lead into, instead of the one that is served: name that too if its own
    /// files are to be served. Finding a file then takes longer, and a thread of the executor. Default: links must not
    /// lead out of the directory that is served.
    #[must_use]
    pub fn allowed_symlink_directory<P: Into<PathBuf>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().map(Into::into).collect();
        self.change(|directory| directory.set_links(Links::Into(paths.into())))
    }

    /// Follows symbolic links wherever they lead. Default: off.
    #[must_use]
    pub fn follow_symlinks(self, on: bool) -> Self {
        self.change(|directory| directory.set_links(if on { Links::Anywhere } else { Links::Inside }))
    }

    /// Whether `x.br`, `x.zst` or `x.gz` is served instead of `x` to clients that like it, if there is such a file and it
    /// is not older. A new one is noticed within a second. Default: on, but off where the application has an
    /// [output transform](crate::Application::add_transform), which is to see what is in the file.
    #[must_use]
    pub fn precompressed(self, on: bool) -> Self {
        self.change(|directory| directory.precompressed = Some(on))
    }

    /// Remembers the hashes of files that have not changed. Default: on; off for finding out what hashing costs.
    #[must_use]
    pub fn hash_cache(self, on: bool) -> Self {
        self.change(|directory| directory.set_hash_cache(on))
    }

    fn change(mut self, change: impl FnOnce(&mut Directory)) -> Self {
        change(Rc::make_mut(&mut self.files));
        self
    }
}

impl<F: StaticFiles> StaticFileHandler<F> {
    /// Serves other files.
    pub fn with(files: F) -> Self {
        Self { files: Rc::new(files) }
    }

    async fn serve(&self, ctx: &Context) -> Result {
        let files = &*self.files;
        let path = files.parse_url_path(ctx.path_arg_str("path")?)?;
        let mut file = files.open(ctx, &path).await?;
        if file.name.is_empty() {
            file.name = Cow::Owned(path.clone().into_owned());
        }
        set_headers(files, ctx, &path, &file)?;
        let size = file.size();
        let selection = selection(ctx, &file);
        let coding = match selection {
            Selection::Whole if file.coding.is_none() => ctx.coding_of_file(),
            // A part is one of what lies there.
            _ => None,
        };
        if coding.is_some() {
            ctx.update_headers(weaken_tag_of_ranges)?;
        }
        let current = file.validators();
        if conditional::has_failed(ctx.request().headers(), current) {
            return Err(HttpError::new(412).into());
        }
        if files.should_return_304(ctx, current.etag, current.modified) {
            ctx.set_status(304);
            return Ok(());
        }
        if let Some(coding) = coding {
            return Box::pin(send_compressed(ctx, file, coding)).await;
        }
        let range = match selection {
            Selection::Whole => 0..size,
            Selection::Part(part) => {
                ctx.set_status(206);
                ctx.set_header("Content-Range", ContentRange { part: Some(&part), size }.to_string())?;
                part
            }
            Selection::Unsatisfiable => {
                // The name that it had before RFC 9110, as in Tornado.
                ctx.set_status_reason(416, "Requested Range Not Satisfiable");
                ctx.set_header("Content-Type", "text/plain")?;
                ctx.set_header("Content-Range", ContentRange { part: None, size }.to_string())?;
                ctx.clear_header("Content-Encoding");
                return Ok(());
            }
        };
        if *ctx.method() == http::Method::HEAD {
            ctx.set_header("Content-Length", range.end - range.start)?;
            return Ok(());
        }
        file.send(ctx, range).await
    }
}

/// Sends a whole file that is to be compressed. As in Tornado it is chunked, whether its length is known or not yet, so
/// that `HEAD` and `GET` say the same without anything being compressed for `HEAD`.
async fn send_compressed(ctx: &Context, file: StaticFile, coding: ContentCoding) -> Result {
    if *ctx.method() == http::Method::HEAD {
        ctx.set_header("Content-Encoding", coding.as_str())?;
        return ctx.send_part();
    }
    let kept = file.source_to_keep().filter(|_| !ctx.core().settings().transforms.read_bodies());
    if let Some((tag, source)) = kept {
        let content = ctx.kept_compressed(&tag, coding, source).await?;
        ctx.set_header("Content-Encoding", coding.as_str())?;
        ctx.write(content);
        return ctx.send_part();
    }
    let size = file.size();
    file.send(ctx, 0..size).await
}

fn set_headers<F: StaticFiles>(files: &F, ctx: &Context, path: &str, file: &StaticFile) -> Result {
    ctx.set_header("Accept-Ranges", "bytes")?;
    let Validators { etag, modified } = file.validators();
    if let Some(etag) = etag {
        ctx.set_header("Etag", etag)?;
    }
    if let Some(modified) = modified {
        ctx.set_header("Last-Modified", format_timestamp(modified))?;
    }
    let content_type = files.content_type(path, file);
    ctx.set_header("Content-Type", &content_type)?;
    if let Some(coding) = file.coding {
        ctx.set_header("Content-Encoding", coding.as_str())?;
    }
    if file.negotiated {
        ctx.update_headers(|headers| add_vary(headers, "Accept-Encoding"))?;
    }
    let keep = files.cache_time(ctx, path, &content_type, file).as_secs();
    if keep > 0 {
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(date::unix_seconds().saturating_add(keep));
        ctx.set_header("Expires", format_timestamp(expires))?;
        ctx.set_header("Cache-Control", format!("max-age={keep}"))?;
    }
    files.set_extra_headers(ctx, path)
}

/// Which bytes the request is for.
fn selection(ctx: &Context, file: &StaticFile) -> Selection {
    let headers = ctx.request().headers();
    match ByteRange::of(headers) {
        Some(range) if conditional::if_range_holds(headers, file.validators()) => range.select(file.size()),
        _ => Selection::Whole,
    }
}

impl<F: StaticFiles> RequestHandler for StaticFileHandler<F> {
    const METHODS: Methods = Methods::of(&["GET", "HEAD"]);
    const PATH_ARGS: &'static [&'static str] = &["path"];
    const OPTIONS: HandlerOptions = HandlerOptions::new().default_headers(false);

    async fn get(&mut self, ctx: &Context) -> Result {
        self.serve(ctx).await
    }

    async fn head(&mut self, ctx: &Context) -> Result {
        self.serve(ctx).await
    }

    /// The tag is that of the file, set already; a file without one gets none.
    fn compute_etag(_ctx: &Context) -> Option<EntityTag> {
        None
    }
}

impl<F: StaticFiles> Clone for StaticFileHandler<F> {
    fn clone(&self) -> Self {
        Self { files: Rc::clone(&self.files) }
    }
}

impl<F: StaticFiles + fmt::Debug> fmt::Debug for StaticFileHandler<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StaticFileHandler").field(&self.files).finish()
    }
}
