//! Starts the program again when it has been built anew (Tornado's `tornado.autoreload`).
//!
//! Tornado watches the Python files that are loaded; here what is loaded is one file, the program's executable. While
//! `cargo build` (or `cargo watch -x build`) makes a new one in another terminal, the running program sees it, and
//! becomes it: the same process, arguments and environment, by `execv`. Other files can be watched too. Clients'
//! connections are closed by that, and the ports are bound anew.
//!
//! [`Application::autoreload`](crate::Application::autoreload) and [`debug`](crate::Application::debug) call
//! [`start`]. In a process that [`process::fork_processes`] made nothing is watched, as in Tornado: all of them would
//! start their siblings again. Nor is anything under `squall dev`, which starts the program anew itself.
//!
//! ```no_run
//! use squall::autoreload;
//!
//! autoreload::watch("settings.toml");
//! autoreload::add_reload_hook(|| println!("see you soon"));
//! # let io_loop = squall::IoLoop::current();
//! # io_loop.add_callback(|| {
//! autoreload::start(autoreload::CHECK_TIME); // on the loop, or by Application::debug
//! # });
//! ```

use std::cell::RefCell;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::ioloop::{IoLoop, log_panic};
use crate::options::development;
use crate::{log, process};

/// How often files are looked at, by default.
pub const CHECK_TIME: Duration = Duration::from_millis(500);

type Hook = Box<dyn FnOnce()>;

#[derive(Default)]
struct Watch {
    files: Vec<File>,
    hooks: Vec<Hook>,
    task: Option<JoinHandle<()>>,
}

thread_local! {
    static WATCH: RefCell<Watch> = RefCell::default();
}

/// Watches the program's executable, and what [`watch`] is told, on the current loop. A file that has changed must be
/// the same twice, `check_time` apart, before the program is started again: it may be in the middle of being written.
///
/// Does nothing in a process made by [`process::fork_processes`]. A second start on one loop is logged and has no
/// further effect.
///
/// # Panics
/// As [`IoLoop::current`], and if `check_time` is zero.
#[track_caller]
pub fn start(check_time: Duration) {
    if is_started() {
        tracing::warn!(target: log::GENERAL, "autoreload was started more than once on a loop");
        return;
    }
    start_unless_started(check_time);
}

/// As [`start`], for those who cannot know whether somebody else did already.
#[track_caller]
pub(crate) fn start_unless_started(check_time: Duration) {
    assert!(!check_time.is_zero(), "autoreload must have a positive check_time");
    if process::task_id().is_some() || is_started() || development::is_on() {
        return;
    }
    watch_executable();
    let task = IoLoop::current().spawn(async move {
        loop {
            tokio::time::sleep(check_time).await;
            check();
        }
    });
    WATCH.with_borrow_mut(|watch| watch.task = Some(task));
}

/// Watches another file: the program is started again when it changes. One that does not exist is watched too; that
/// it goes away is no change.
///
/// For the loops of this thread. A file that is watched already is not watched twice.
pub fn watch(path: impl AsRef<Path>) {
    let file = File::new(path.as_ref().to_owned());
    WATCH.with_borrow_mut(|watch| {
        if !watch.files.iter().any(|other| other.path == file.path) {
            watch.files.push(file);
        }
    });
}

/// Has `hook` called before the program is started again, after those added before: to close what would stay open.
/// Descriptors made by Rust's library or squall need no hook; the kernel closes them.
///
/// A hook that panics is logged. Hooks belong to this thread, as the files that [`watch`] is told.
pub fn add_reload_hook(hook: impl FnOnce() + 'static) {
    WATCH.with_borrow_mut(|watch| watch.hooks.push(Box::new(hook)));
}

/// Waits, without a loop, for a file to change and starts the program again: for the end of scripts, such as a test
/// run that is to be repeated. Blocks the thread and does not return.
pub fn wait() -> Infallible {
    watch_executable();
    loop {
        std::thread::sleep(CHECK_TIME);
        check();
    }
}

fn is_started() -> bool {
    // The task of a loop that was closed is finished.
    WATCH.with_borrow(|watch| watch.task.as_ref().is_some_and(|task| !task.is_finished()))
}

fn watch_executable() {
    match std::env::current_exe() {
        Ok(path) => watch(path),
        Err(error) => tracing::warn!(target: log::GENERAL, "autoreload cannot find the executable: {error}"),
    }
}

fn check() {
    let changed = WATCH.with_borrow_mut(|watch| {
        watch.files.iter_mut().find_map(|file| file.has_changed().then(|| file.path.clone()))
    });
    let Some(path) = changed else { return };
    tracing::info!(target: log::GENERAL, "{} modified; restarting server", path.display());
    // Hooks may add files or hooks.
    let hooks = WATCH.with_borrow_mut(|watch| std::mem::take(&mut watch.hooks));
    for hook in hooks {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(hook)) {
            log_panic("reload hook", &*payload);
        }
    }
    let error = become_anew();
    tracing::error!(target: log::GENERAL, "the program cannot be started again: {error}");
}

/// Returns only with an error.
fn become_anew() -> io::Error {
    let path = match std::env::current_exe() {
        Ok(path) => without_deleted(path),
        Err(error) => return error,
    };
    let mut arguments = std::env::args_os();
    let mut command = Command::new(path);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).exec()
}

/// The path of an executable of which Linux says that it has been replaced.
fn without_deleted(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        // A file may have such a name.
        Some(bytes) if !path.exists() => PathBuf::from(OsStr::from_bytes(bytes)),
        _ => path,
    }
}

/// A watched file.
struct File {
    path: PathBuf,
    /// When the program started, or as it was found first.
    known: Option<Stamp>,
    /// What it has changed to, until it is seen so twice.
    seen: Option<Stamp>,
}

/// What tells one content of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl File {
    fn new(path: PathBuf) -> Self {
        let known = stamp(&path);
        Self { path, known, seen: None }
    }

    fn has_changed(&mut self) -> bool {
        let Some(now) = stamp(&self.path) else { return false };
        if self.known == Some(now) {
            self.seen = None;
            return false;
        }
        if self.seen.replace(now) != Some(now) {
            return false;
        }
        // Should the start fail, the next change is waited for.
        self.known = Some(now);
        true
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata: Metadata = path.metadata().ok()?;
    Some(Stamp {
        inode: metadata.ino(),
        length: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}
