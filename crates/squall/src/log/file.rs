//! A log file that is rotated, shared by processes if need be.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::batch::Batches;
use super::{LogSettings, RotateMode};

/// How often it is looked whether the file is to be rotated, or has been by somebody else.
const CHECK: Duration = Duration::from_secs(1);

static REOPEN: AtomicBool = AtomicBool::new(false);

/// Has log files opened anew before the next line, for a tool that has renamed them (what SIGUSR1 asks of a server). A
/// second later it would have been noticed anyway.
pub fn reopen() {
    REOPEN.store(true, Ordering::Relaxed);
}

/// Where lines go to.
#[derive(Clone)]
pub(super) struct Sink {
    file: Option<Arc<Mutex<RotatingFile>>>,
    to_stderr: bool,
    batches: Arc<Batches>,
}

impl Sink {
    pub(super) fn open(settings: &LogSettings) -> io::Result<Self> {
        let file = match &settings.file_prefix {
            Some(path) => Some(Arc::new(Mutex::new(RotatingFile::open(path.clone(), settings)?))),
            None => None,
        };
        let to_stderr = settings.to_stderr.unwrap_or(file.is_none());
        Ok(Self { file, to_stderr, batches: Arc::default() })
    }

    /// See [`write_in_background`](super::write_in_background).
    pub(super) fn write_in_background(&self) {
        let sink = self.clone();
        // By an event like all others, so that it is a line as they are, whatever the format.
        let missed =
            |lines| tracing::error!(target: "squall::log", lines, "Lines of the log were dropped here");
        self.batches.start(move |lines| sink.write_now(lines), missed);
    }

    /// See [`write_at_once`](super::write_at_once).
    pub(super) fn write_at_once(&self, patience: Duration) {
        self.batches.stop(patience);
    }

    /// Takes whole lines.
    pub(super) fn write(&self, lines: &[u8]) {
        if !self.batches.push(lines) {
            self.write_now(lines);
        }
    }

    /// Whether standard error has what is logged.
    pub(super) fn has_stderr(&self) -> bool {
        self.to_stderr
    }

    fn write_now(&self, lines: &[u8]) {
        if self.to_stderr {
            // Nothing can be done where a log cannot be written.
            let _ = io::stderr().write_all(lines);
        }
        let Some(file) = &self.file else { return };
        let written = file.lock().unwrap_or_else(PoisonError::into_inner).write_lines(lines);
        match written {
            Ok(0) => {}
            Ok(lost) => say_missing(lost),
            Err(Failure::First(error)) => {
                let _ = writeln!(io::stderr(), "error: the log file cannot be written: {error}");
            }
            Err(Failure::Further) => {}
        }
    }
}

/// By an event like all others, so that it is a line as they are, whatever the format.
fn say_missing(lines: u64) {
    tracing::error!(target: "squall::log", lines, "Lines of the log were dropped here");
}

/// Why lines are not in the file.
#[derive(Debug)]
enum Failure {
    First(io::Error),
    /// As those before.
    Further,
}

struct RotatingFile {
    path: PathBuf,
    file: File,
    max_size: u64,
    backups: usize,
    mode: RotateMode,
    checked: Instant,
    /// Lines that could not be written, as on a disk that is full, and were not spoken of yet.
    lost: u64,
    /// The last line of the file has no end.
    is_torn: bool,
}

impl RotatingFile {
    fn open(path: PathBuf, settings: &LogSettings) -> io::Result<Self> {
        let file = append_to(&path)?;
        Ok(Self {
            path,
            file,
            max_size: settings.max_size,
            backups: settings.num_backups,
            mode: settings.rotate_mode,
            checked: Instant::now(),
            lost: 0,
            is_torn: false,
        })
    }

    /// Says how many lines were lost before these, once.
    fn write_lines(&mut self, lines: &[u8]) -> Result<u64, Failure> {
        let asked = REOPEN.load(Ordering::Relaxed) && REOPEN.swap(false, Ordering::Relaxed);
        if asked || self.checked.elapsed() >= CHECK {
            self.checked = Instant::now();
            // A file that cannot be rotated is still one to write to.
            let _ = self.look();
        }
        if self.is_torn && self.file.write(b"\n").is_ok_and(|length| length == 1) {
            self.is_torn = false;
        }
        let mut left = lines;
        while !left.is_empty() && !self.is_torn {
            match self.file.write(left) {
                Ok(length @ 1..) => left = &left[length..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) => return Err(self.lose(lines, left, io::ErrorKind::WriteZero.into())),
                Err(error) => return Err(self.lose(lines, left, error)),
            }
        }
        if self.is_torn {
            return Err(self.lose(lines, lines, io::ErrorKind::StorageFull.into()));
        }
        Ok(std::mem::take(&mut self.lost))
    }

    /// Of `lines` these are `left`, and will not be written.
    fn lose(&mut self, lines: &[u8], left: &[u8], error: io::Error) -> Failure {
        let is_first = self.lost == 0;
        let written = &lines[..lines.len() - left.len()];
        self.is_torn |= written.last().is_some_and(|&last| last != b'\n');
        self.lost += left.iter().filter(|&&byte| byte == b'\n').count() as u64;
        if is_first { Failure::First(error) } else { Failure::Further }
    }

    /// Opens the file anew if somebody has renamed it, and rotates it if it is time.
    fn look(&mut self) -> io::Result<()> {
        if !self.is_current()? {
            self.file = append_to(&self.path)?;
        }
        let metadata = self.file.metadata()?;
        let today = today();
        let due = match self.mode {
            RotateMode::Size => self.max_size > 0 && metadata.len() >= self.max_size,
            RotateMode::Time => metadata.len() > 0 && day_of(&metadata) < today,
        };
        if !due {
            return Ok(());
        }
        // Processes that share the file rotate it once: who comes second finds it renamed.
        flock(&self.file, FlockOperation::LockExclusive)?;
        if self.is_current()? {
            match self.mode {
                RotateMode::Size => self.number_backups()?,
                RotateMode::Time => {
                    let day = day_of(&metadata).format("%Y-%m-%d").to_string();
                    std::fs::rename(&self.path, with_suffix(&self.path, &day))?;
                    self.drop_old_days()?;
                }
            }
        }
        self.file = append_to(&self.path)?;
        Ok(())
    }

    fn is_current(&self) -> io::Result<bool> {
        let open = self.file.metadata()?;
        Ok(std::fs::metadata(&self.path)
            .is_ok_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino())))
    }

    /// `log` becomes `log.1`, `log.1` becomes `log.2`, the last is overwritten.
    fn number_backups(&self) -> io::Result<()> {
        if self.backups == 0 {
            return std::fs::remove_file(&self.path);
        }
        for number in (1..self.backups).rev() {
            let from = with_suffix(&self.path, &number.to_string());
            if from.exists() {
                std::fs::rename(from, with_suffix(&self.path, &(number + 1).to_string()))?;
            }
        }
        std::fs::rename(&self.path, with_suffix(&self.path, "1"))
    }

    fn drop_old_days(&self) -> io::Result<()> {
        let (Some(folder), Some(name)) = (self.path.parent(), self.path.file_name()) else { return Ok(()) };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let prefix = format!("{}.", name.to_string_lossy());
        let mut days: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let day = name.to_string_lossy().strip_prefix(&prefix).map(str::to_owned);
            if day.is_some_and(|day| chrono::NaiveDate::parse_from_str(&day, "%Y-%m-%d").is_ok()) {
                days.push(entry.path());
            }
        }
        days.sort();
        let superfluous = days.len().saturating_sub(self.backups);
        days.iter().take(superfluous).try_for_each(std::fs::remove_file)
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn today() -> chrono::NaiveDate {
    chrono::Local::now().date_naive()
}

fn day_of(metadata: &std::fs::Metadata) -> chrono::NaiveDate {
    metadata
        .modified()
        .map_or_else(|_| today(), |at| chrono::DateTime::<chrono::Local>::from(at).date_naive())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{LogFormat, Threshold};

    fn settings(path: &Path, rotate_mode: RotateMode, max_size: u64, num_backups: usize) -> LogSettings {
        LogSettings {
            threshold: Threshold::Info,
            format: LogFormat::Pretty,
            file_prefix: Some(path.to_owned()),
            max_size,
            num_backups,
            rotate_mode,
            to_stderr: None,
        }
    }

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn by_size_backups_are_numbered_and_the_oldest_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut file = RotatingFile::open(path.clone(), &settings(&path, RotateMode::Size, 4, 2)).unwrap();
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            file.look().unwrap();
            assert!(matches!(file.write_lines(line.as_bytes()), Ok(0)));
        }
        assert_eq!(text(&path), "four\n");
        assert_eq!(text(&with_suffix(&path, "1")), "three\n");
        assert_eq!(text(&with_suffix(&path, "2")), "two\n");
        assert!(!with_suffix(&path, "3").exists());
    }

    #[test]
    fn lines_that_find_no_room_are_counted_and_the_next_is_one_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut file = RotatingFile::open(path.clone(), &settings(&path, RotateMode::Size, 0, 1)).unwrap();
        assert!(matches!(file.write_lines(b"first\n"), Ok(0)));
        file.file = File::options().append(true).open("/dev/full").unwrap();
        assert!(matches!(file.write_lines(b"lost\nlost\n"), Err(Failure::First(_))));
        assert!(matches!(file.write_lines(b"lost\n"), Err(Failure::Further)));
        file.file = append_to(&path).unwrap();
        assert!(matches!(file.write_lines(b"second\n"), Ok(3)));
        assert!(matches!(file.write_lines(b"third\n"), Ok(0)));
        assert_eq!(text(&path), "first\nsecond\nthird\n");
        // Half of a line, and then no room.
        file.file.write_all(b"half").unwrap();
        let _ = file.lose(b"half of a line\n", b" of a line\n", io::ErrorKind::StorageFull.into());
        assert!(matches!(file.write_lines(b"whole\n"), Ok(1)));
        assert!(text(&path).ends_with("half\nwhole\n"));
    }

    #[test]
    fn by_time_the_day_is_the_suffix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(with_suffix(&path, "2001-01-01"), "oldest").unwrap();
        std::fs::write(with_suffix(&path, "not-a-day"), "kept").unwrap();
        let mut file = RotatingFile::open(path.clone(), &settings(&path, RotateMode::Time, 0, 1)).unwrap();
        assert!(matches!(file.write_lines(b"yesterday\n"), Ok(0)));
        let before = std::time::SystemTime::now() - Duration::from_secs(2 * 86_400);
        file.file.set_modified(before).unwrap();
        file.look().unwrap();
        assert!(matches!(file.write_lines(b"today\n"), Ok(0)));
        assert_eq!(text(&path), "today\n");
        let day = chrono::DateTime::<chrono::Local>::from(before).format("%Y-%m-%d").to_string();
        assert_eq!(text(&with_suffix(&path, &day)), "yesterday\n");
        assert!(!with_suffix(&path, "2001-01-01").exists());
        assert!(with_suffix(&path, "not-a-day").exists());
    }

    #[test]
    fn a_file_that_somebody_renamed_is_made_anew_and_two_writers_rotate_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let settings = settings(&path, RotateMode::Size, 4, 5);
        let mut one = RotatingFile::open(path.clone(), &settings).unwrap();
        let mut other = RotatingFile::open(path.clone(), &settings).unwrap();
        one.write_lines(b"full\n").unwrap();
        one.look().unwrap();
        other.look().unwrap();
        other.write_lines(b"b\n").unwrap();
        one.write_lines(b"a\n").unwrap();
        assert_eq!(text(&path), "b\na\n");
        assert!(!with_suffix(&path, "2").exists());
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        one.look().unwrap();
        one.write_lines(b"c\n").unwrap();
        assert_eq!(text(&path), "c\n");
    }
}
