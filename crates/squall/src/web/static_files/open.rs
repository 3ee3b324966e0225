//! Opening what a path names below a root, and nothing else.
//!
//! The kernel does the checking (`openat2` with `RESOLVE_BENEATH`), in the same step that opens the file: there is no
//! moment between check and use in which somebody could put a link in its place. Where there is no `openat2`, and for
//! links that are absolute but lead back into the root, which it refuses too, paths are resolved first and then compared.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::httputil::date;
use crate::ioloop::IoLoop;
use crate::web::error::{HttpError, Result};

/// Where symbolic links may lead.
#[derive(Debug, Clone)]
pub(super) enum Links {
    /// Within the root.
    Inside,
    /// Into these directories, instead of the root.
    Into(Arc<[PathBuf]>),
    Anywhere,
}

/// An open file with what the system knows about it.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) stamp: Stamp,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    /// A pipe, a device.
    Other,
}

/// A file that changed so lately may change again without its stamp showing it. Seconds.
pub(super) const RACY: i64 = 2;

/// Tells one state of one file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) size: u64,
    /// Seconds since 1970.
    pub(super) modified: i64,
    nanoseconds: i64,
    changed: (i64, i64),
    inode: (u64, u64),
}

/// Why a path was not opened.
#[derive(Debug)]
pub(super) enum Refused {
    /// It, or a link on its way, leads out of the root.
    Outside,
    /// It is no file.
    NotAFile,
    Missing,
    /// This process may not.
    Forbidden,
    Other(std::io::Error),
}

/// Waiting for a pipe's other end, or a terminal becoming ours, is nothing that a request may cause.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A root directory: how to reach it, and the open directory itself.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) path: Arc<Path>,
    pub(super) directory: Arc<OwnedFd>,
}

impl Root {
    pub(super) fn open(path: &Arc<Path>) -> Result<Self, Refused> {
        let flags = OFlags::PATH_ONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
        let directory = rustix::fs::open(&**path, flags, Mode::empty())?;
        Ok(Self { path: Arc::clone(path), directory: Arc::new(directory) })
    }

    /// Opens a [normalized](normalize) path.
    ///
    /// If all of it is in the kernel's caches this happens at once (`RESOLVE_CACHED`); else a thread of the executor
    /// waits for the disk.
    pub(super) async fn find(&self, path: &str, links: &Links) -> Result<Opened, Refused> {
        match links {
            Links::Inside | Links::Anywhere => match self.open_at(path, links, true) {
                Err(Errno::AGAIN) => {}
                result => return self.examine(path, links, result).await,
            },
            Links::Into(_) => {}
        }
        let (root, owned, links) = (self.clone(), path.to_owned(), links.clone());
        in_executor(move || root.find_blocking(&owned, &links)).await
    }

    /// The state of what is at a [normalized](normalize) path, wherever links lead: of use only to find out whether that
    /// is what was opened a moment ago. `None` if it cannot be told.
    pub(super) fn stamp_of(&self, path: &str) -> Option<Stamp> {
        let stat = rustix::fs::statat(&self.directory, path, rustix::fs::AtFlags::empty()).ok()?;
        Some(Stamp::of(&stat))
    }

    /// As [`find`](Self::find), waiting for the disk right here.
    pub(super) fn find_blocking(&self, path: &str, links: &Links) -> Result<Opened, Refused> {
        if let Links::Into(directories) = links {
            return self.follow(path, directories);
        }
        match self.open_at(path, links, false) {
            Ok(file) => Opened::new(file),
            Err(error) if needs_comparing(error) => self.follow(path, &[self.path.to_path_buf()]),
            Err(error) => Err(error.into()),
        }
    }

    async fn examine(
        &self,
        path: &str,
        links: &Links,
        result: Result<OwnedFd, Errno>,
    ) -> Result<Opened, Refused> {
        match result {
            Ok(file) => Opened::new(file),
            Err(error) if needs_comparing(error) && matches!(links, Links::Inside) => {
                let (root, path) = (self.clone(), path.to_owned());
                in_executor(move || root.follow(&path, &[root.path.to_path_buf()])).await
            }
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(target_os = "linux")]
    fn open_at(&self, path: &str, links: &Links, cached: bool) -> Result<OwnedFd, Errno> {
        use rustix::fs::ResolveFlags;
        let mut resolve = ResolveFlags::NO_MAGICLINKS;
        resolve.set(ResolveFlags::BENEATH, matches!(links, Links::Inside));
        resolve.set(ResolveFlags::CACHED, cached);
        let path = if path.is_empty() { "." } else { path };
        loop {
            match rustix::fs::openat2(&self.directory, path, FLAGS, Mode::empty(), resolve) {
                // A rename somewhere has disturbed the check.
                Err(Errno::AGAIN) if !cached => {}
                Err(Errno::INTR) => {}
                result => return result,
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn open_at(&self, path: &str, links: &Links, cached: bool) -> Result<OwnedFd, Errno> {
        match links {
            _ if cached => Err(Errno::AGAIN),
            Links::Anywhere => rustix::fs::open(self.path.join(path), FLAGS, Mode::empty()),
            _ => Err(Errno::NOSYS),
        }
    }

    /// Resolves all links, then opens what they lead to if that is within one of `directories`.
    fn follow(&self, path: &str, directories: &[PathBuf]) -> Result<Opened, Refused> {
        let wanted = self.path.join(path);
        let Ok(real) = fs::canonicalize(&wanted) else { return Err(why_missing(&wanted, directories)) };
        for directory in directories {
            let Ok(directory) = fs::canonicalize(directory) else { continue };
            let Ok(rest) = real.strip_prefix(&directory) else { continue };
            let root = Self::open(&Arc::from(directory.as_path()))?;
            let rest = rest.to_str().ok_or(Refused::Missing)?;
            return match root.open_at(rest, &Links::Inside, false) {
                Ok(file) => Opened::new(file),
                // There is no such call here; what is opened was compared a moment ago.
                Err(Errno::NOSYS) => {
                    Opened::new(rustix::fs::open(&real, FLAGS | OFlags::NOFOLLOW, Mode::empty())?)
                }
                Err(Errno::XDEV) => Err(Refused::Outside),
                Err(error) => Err(error.into()),
            };
        }
        Err(Refused::Outside)
    }
}

/// Why a path cannot be resolved: nothing outside may be told by whether it is there.
fn why_missing(wanted: &Path, directories: &[PathBuf]) -> Refused {
    for path in wanted.ancestors() {
        if let Ok(real) = fs::canonicalize(path) {
            let inside = |directory: &PathBuf| fs::canonicalize(directory).is_ok_and(|d| real.starts_with(d));
            return if directories.iter().any(inside) { Refused::Missing } else { Refused::Outside };
        }
        // It is there, and yet leads nowhere: a link.
        if fs::symlink_metadata(path).is_ok() {
            return Refused::Outside;
        }
    }
    Refused::Missing
}

/// What `openat2` says to a link that is absolute or leads out, and where there is no such call.
fn needs_comparing(error: Errno) -> bool {
    matches!(error, Errno::XDEV | Errno::NOSYS | Errno::PERM)
}

trait PathOnly {
    /// Only to be looked up from, where the system has such a thing.
    const PATH_ONLY: OFlags;
}

impl PathOnly for OFlags {
    #[cfg(target_os = "linux")]
    const PATH_ONLY: OFlags = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    const PATH_ONLY: OFlags = OFlags::RDONLY;
}

impl Opened {
    fn new(file: OwnedFd) -> Result<Self, Refused> {
        let stat = rustix::fs::fstat(file.as_fd())?;
        let kind = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::RegularFile => Kind::File,
            rustix::fs::FileType::Directory => Kind::Directory,
            _ => Kind::Other,
        };
        Ok(Self { stamp: Stamp::of(&stat), file: File::from(file), kind })
    }
}

impl Stamp {
    fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: stat.st_mtime,
            nanoseconds: stat.st_mtime_nsec as i64,
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
            inode: (stat.st_dev, stat.st_ino),
        }
    }

    /// Whether it is so old that another change of the file would show in it.
    pub(super) fn is_settled(self) -> bool {
        let now = i64::try_from(date::unix_seconds()).unwrap_or(i64::MAX);
        self.modified.max(self.changed.0).saturating_add(RACY) <= now
    }

    /// Whether an open file is in this state still.
    pub(super) fn is_that_of(self, file: &File) -> bool {
        rustix::fs::fstat(file).is_ok_and(|stat| Self::of(&stat) == self)
    }
}

impl From<Errno> for Refused {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP | Errno::INVAL => Self::Missing,
            Errno::ACCESS | Errno::PERM => Self::Forbidden,
            // A socket, a device without a driver.
            Errno::NXIO | Errno::NODEV => Self::NotAFile,
            Errno::XDEV => Self::Outside,
            other => Self::Other(other.into()),
        }
    }
}

impl Refused {
    /// The answer, with a line for the log.
    pub(super) fn into_error(self, path: &str) -> HttpError {
        match self {
            Self::Missing => HttpError::new(404),
            Self::Outside => {
                HttpError::new(403).log_message(format!("{path:?} is not in root static directory"))
            }
            Self::NotAFile => HttpError::new(403).log_message(format!("{path:?} is not a file")),
            Self::Forbidden => HttpError::new(403).log_message(format!("{path:?} may not be read")),
            Self::Other(error) => HttpError::new(500).caused_by(error),
        }
    }
}

async fn in_executor<T: Send + 'static>(
    function: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let done = IoLoop::current().run_in_executor(None, function).await;
    done.unwrap_or_else(|error| Err(Refused::Other(std::io::Error::other(error))))
}

/// The path without `.`, `..` and doubled slashes, relative to the root; an error if it leads out of it, whatever there
/// is on the disk. (Tornado's `abspath` and prefix check, which also take an absolute path that leads into the root.)
pub(super) fn normalize(path: &str) -> Result<String, Refused> {
    if path.contains('\0') {
        return Err(Refused::Missing);
    }
    if path.starts_with('/') {
        return Err(Refused::Outside);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().ok_or(Refused::Outside)?),
            name => parts.push(name),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalized_paths() {
        for (path, expected) in [
            ("robots.txt", Some("robots.txt")),
            ("dir/index.html", Some("dir/index.html")),
            ("dir//./index.html", Some("dir/index.html")),
            ("dir/../robots.txt", Some("robots.txt")),
            ("robots.txt/", Some("robots.txt")),
            ("", Some("")),
            (".", Some("")),
            ("dir/..", Some("")),
            ("...", Some("...")),
            ("..x", Some("..x")),
            ("a\\..\\b", Some("a\\..\\b")),
            ("..", None),
            ("../static_foo.txt", None),
            ("dir/../../x", None),
            ("dir/../../static/robots.txt", None),
            ("/etc/passwd", None),
            ("//etc/passwd", None),
            ("a\0b", None),
        ] {
            assert_eq!(normalize(path).ok().as_deref(), expected, "{path:?}");
        }
    }
}
