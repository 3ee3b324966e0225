//! Files that clients send: in memory while small, on disk without a name when not.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::httputil::{UNKNOWN_TYPE, last_component};
use crate::ioloop::IoLoop;

/// So much is gathered before it is written: one trip to the executor's threads costs as much as copying it.
const BATCH: usize = 64 * 1024;

/// A file that came in a form.
///
/// A larger one is on disk, but has no name there: when this is dropped, or the process ends in whatever way, it is gone.
#[derive(Debug)]
pub struct UploadedFile {
    filename: String,
    content_type: Option<String>,
    content: Content,
}

#[derive(Debug)]
pub(in crate::web) enum Content {
    Memory(Bytes),
    Disk {
        file: Arc<File>,
        len: u64,
        /// It has been given a name: another must be another file's.
        linked: Cell<bool>,
    },
}

impl UploadedFile {
    pub(in crate::web) fn new(filename: String, content_type: Option<String>, content: Content) -> Self {
        Self { filename, content_type, content }
    }

    /// The name that the client gave it, never empty. Not fit for a path: see [`safe_filename`](Self::safe_filename).
    pub fn filename(&self) -> &str {
        &self.filename
    }

    /// The last component of [`filename`](Self::filename), `None` when there is none that could name a file in a
    /// folder: for `../../etc/passwd` it is `passwd`, for `..` and for more than 255 bytes nothing. Backslashes
    /// separate too.
    pub fn safe_filename(&self) -> Option<&str> {
        last_component(&self.filename)
    }

    /// Its type as the client says, `application/unknown` if it says none.
    pub fn content_type(&self) -> &str {
        self.content_type.as_deref().unwrap_or(UNKNOWN_TYPE)
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        match &self.content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::Disk { len, .. } => *len,
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is on disk.
    pub fn is_spooled(&self) -> bool {
        matches!(self.content, Content::Disk { .. })
    }

    pub(in crate::web) fn in_memory(&self) -> u64 {
        if self.is_spooled() { 0 } else { self.len() }
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// When it cannot be read from disk.
    pub async fn bytes(&self) -> io::Result<Bytes> {
        match usize::try_from(self.len()) {
            Ok(len) => self.read_at(0, len).await,
            Err(_) => Err(io::ErrorKind::OutOfMemory.into()),
        }
    }

    /// Up to `most` bytes from `offset` on; fewer only at the end.
    ///
    /// # Errors
    /// When they cannot be read from disk.
    pub async fn read_at(&self, offset: u64, most: usize) -> io::Result<Bytes> {
        let start = offset.min(self.len());
        // Both fit: the second is at most `most`.
        let size = (self.len() - start).min(most as u64) as usize;
        match &self.content {
            Content::Memory(bytes) => Ok(bytes.slice(start as usize..start as usize + size)),
            Content::Disk { file, .. } => {
                let file = Arc::clone(file);
                off_loop(move || {
                    let mut buffer = vec![0; size];
                    file.read_exact_at(&mut buffer, start)?;
                    Ok(buffer.into())
                })
                .await
            }
        }
    }

    /// Gives it a name, so that it stays. What had that name is replaced, at once and as a whole.
    ///
    /// On the file system of [`spool_dir`](crate::web::MultipartReader::spool_dir) this copies nothing on Linux. Only the user
    /// of this process may read and write the file.
    ///
    /// # Errors
    /// When it cannot be written; then there is no new file.
    pub async fn persist(&self, path: impl Into<PathBuf>) -> io::Result<()> {
        let path = path.into();
        match &self.content {
            Content::Memory(bytes) => {
                let bytes = bytes.clone();
                off_loop(move || replace(&path, |file| file.write_all(&bytes))).await
            }
            Content::Disk { file, len, linked } => {
                let (file, len, first) = (Arc::clone(file), *len, !linked.replace(true));
                off_loop(move || {
                    // Where this fails is another file system, or one where a file without a name can have none.
                    if first && link(&file, &path).is_ok() {
                        return Ok(());
                    }
                    replace(&path, |target| copy(&file, len, target))
                })
                .await
            }
        }
    }
}

/// A file that is coming.
#[derive(Debug, Default)]
pub(in crate::web) struct Spool {
    buffer: Vec<u8>,
    file: Option<File>,
    /// Bytes in the file.
    written: u64,
    /// A write has begun and not come back.
    writing: bool,
}

impl Spool {
    /// Appends; from `threshold` bytes on to disk.
    pub(in crate::web) async fn write(
        &mut self,
        data: Bytes,
        threshold: u64,
        dir: Option<&Path>,
    ) -> io::Result<()> {
        let size = self.buffer.len() + data.len();
        let spooled = self.file.is_some() || self.writing;
        if (!spooled && size as u64 <= threshold) || (spooled && size < BATCH) {
            self.buffer.extend_from_slice(&data);
            return Ok(());
        }
        self.flush(data, dir).await
    }

    pub(in crate::web) async fn finish(mut self, dir: Option<&Path>) -> io::Result<Content> {
        if self.file.is_some() || self.writing {
            self.flush(Bytes::new(), dir).await?;
        }
        Ok(match self.file {
            Some(file) => Content::Disk { file: Arc::new(file), len: self.written, linked: Cell::new(false) },
            None => Content::Memory(self.buffer.into()),
        })
    }

    /// Writes what has been gathered, then `data`.
    async fn flush(&mut self, data: Bytes, dir: Option<&Path>) -> io::Result<()> {
        if std::mem::replace(&mut self.writing, true) {
            return Err(io::Error::other("an earlier piece of this file was dropped while it was written"));
        }
        let (mut buffer, file) = (std::mem::take(&mut self.buffer), self.file.take());
        let dir =
            if file.is_none() { Some(dir.map_or_else(std::env::temp_dir, Path::to_owned)) } else { None };
        let (buffer, file, count) = off_loop(move || {
            let mut file = match (file, dir) {
                (Some(file), _) => file,
                (None, dir) => tempfile::tempfile_in(dir.unwrap_or_default())?,
            };
            file.write_all(&buffer)?;
            file.write_all(&data)?;
            let count = (buffer.len() + data.len()) as u64;
            buffer.clear();
            buffer.shrink_to(BATCH);
            Ok((buffer, file, count))
        })
        .await?;
        self.buffer = buffer;
        self.file = Some(file);
        self.written += count;
        self.writing = false;
        Ok(())
    }
}

async fn off_loop<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    IoLoop::current().run_in_executor(None, work).await.map_err(io::Error::other)?
}

/// Writes a file beside `path`, then gives it that name. It is removed if that fails.
fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".upload-").tempfile_in(folder_of(path))?;
    write(file.as_file_mut())?;
    file.persist(path)?;
    Ok(())
}

fn copy(file: &File, len: u64, target: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; BATCH];
    let mut offset = 0;
    while offset < len {
        let count = file.read_at(&mut buffer, offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        target.write_all(&buffer[..count])?;
        offset += count as u64;
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gives a file without a name one. A link does not replace what is there, so it gets another name first.
#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{AtFlags, CWD, Mode, fchmod, linkat};

    // It was made with what the umask leaves, which is of no account as long as nobody can open it.
    fchmod(file, Mode::RUSR | Mode::WUSR)?;
    // open(2): how a file made with O_TMPFILE is linked without privileges.
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    let linked = tempfile::Builder::new().prefix(".upload-").make_in(folder_of(path), |name| {
        Ok(linkat(CWD, source.as_str(), CWD, name, AtFlags::SYMLINK_FOLLOW)?)
    })?;
    linked.persist(path).map_err(|error| error.error)
}

#[cfg(not(target_os = "linux"))]
fn link(_file: &File, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn run<T>(work: impl Future<Output = T>) -> T {
        IoLoop::current().run_sync(work, None).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn small_files_stay_in_memory_and_large_ones_have_no_name() {
        let folder = tempfile::tempdir().unwrap();
        run(async {
            for (size, spooled) in [(0, false), (1_000, false), (1_001, true), (200_000, true)] {
                let data: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
                for piece in [300, 100_000] {
                    let mut spool = Spool::default();
                    for piece in data.chunks(piece) {
                        spool.write(Bytes::copy_from_slice(piece), 1_000, Some(folder.path())).await.unwrap();
                        assert!(spool.buffer.capacity() <= 2 * BATCH);
                    }
                    let content = spool.finish(Some(folder.path())).await.unwrap();
                    let file = UploadedFile::new("name".to_owned(), None, content);
                    assert_eq!((file.len(), file.is_spooled()), (size as u64, spooled), "{size} by {piece}");
                    assert_eq!(file.bytes().await.unwrap(), data);
                    let from = data.len().min(10);
                    assert_eq!(file.read_at(10, 5).await.unwrap(), data[from..data.len().min(15)]);
                    assert!(file.read_at(u64::MAX, 5).await.unwrap().is_empty());
                    assert_eq!(names(folder.path()), [""; 0]);
                }
            }
        });
    }

    #[test]
    fn persisted_files_replace_what_was_there() {
        let (spool_dir, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = folder.path().join("kept");
        run(async {
            for size in [10, 100_000] {
                let mut spool = Spool::default();
                spool.write(vec![b'x'; size].into(), 1_000, Some(spool_dir.path())).await.unwrap();
                let content = spool.finish(Some(spool_dir.path())).await.unwrap();
                let file = UploadedFile::new("name".to_owned(), None, content);
                for _ in 0..2 {
                    file.persist(&target).await.unwrap();
                    let mode =
                        std::os::unix::fs::PermissionsExt::mode(&target.metadata().unwrap().permissions());
                    assert_eq!(mode & 0o777, 0o600, "{size}");
                }
                assert_eq!(std::fs::read(&target).unwrap(), vec![b'x'; size]);
                let missing = folder.path().join("missing/kept");
                file.persist(&missing).await.unwrap_err();
                drop(file);
                assert_eq!(names(folder.path()), ["kept"]);
                assert_eq!(names(spool_dir.path()), [""; 0]);
            }
        });
    }

    #[test]
    fn copying_gives_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        let target = folder.path().join("copy");
        replace(&target, |target| copy(&file, 100_000, target)).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), [7; 100_000]);
        replace(&target, |target| copy(&file, 100_001, target)).unwrap_err();
        assert_eq!(names(folder.path()), ["copy"]);
    }

    #[test]
    fn a_write_that_was_dropped_is_noticed() {
        run(async {
            let mut spool = Spool::default();
            drop(Box::pin(spool.write(vec![0; 10].into(), 0, None)));
            // The thread that writes may have done so before anybody asks; then once more.
            while Box::pin(spool.write(vec![0; BATCH].into(), 0, None)).now_or_never().is_some() {}
            spool.write(vec![0; BATCH].into(), 0, None).await.unwrap_err();
            spool.finish(None).await.unwrap_err();
        });
    }
}
