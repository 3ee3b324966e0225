//! The program while it runs.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cargo::{Group, LAST_WORDS, Program, each_line, without_colors};
use crate::launch::launch;

/// How long it may take to end by itself, and then after a second signal.
const PATIENCE: [(Duration, Signal); 2] =
    [(Duration::from_secs(1), Signal::TERM), (Duration::from_secs(1), Signal::KILL)];

/// So many of its last lines are shown when it ends.
const LINES: usize = 200;

/// A program that was started.
pub(super) struct Running {
    group: Group,
    pub(super) path: PathBuf,
    pub(super) port: u16,
    lines: Rc<RefCell<VecDeque<String>>>,
    reader: JoinHandle<()>,
}

impl Running {
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(program: &Program, arguments: &[OsString]) -> io::Result<Self> {
        let (mut group, port) = launch(program, arguments, None)?;
        let lines: Rc<RefCell<VecDeque<String>>> = Rc::default();
        let (stderr, kept) = (group.0.stderr.take(), Rc::clone(&lines));
        let reader = squall::IoLoop::current().spawn(async move {
            each_line(stderr, |line| {
                eprintln!("{line}");
                let mut kept = kept.borrow_mut();
                if kept.len() == LINES {
                    kept.pop_front();
                }
                kept.push_back(line.to_owned());
            })
            .await;
        });
        Ok(Self { group, path: program.path.clone(), port, lines, reader })
    }

    /// Resolves when it has ended by itself. Cancel safe.
    ///
    /// # Errors
    /// As the system says.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.group.0.wait().await
    }

    /// What it wrote last to its standard error.
    pub(super) async fn last_words(mut self) -> String {
        let _ = timeout(LAST_WORDS, &mut self.reader).await;
        let lines = self.lines.take();
        without_colors(&Vec::from(lines).join("\n"))
    }

    /// Has it end: it may drain, but not for long.
    pub(super) async fn stop(mut self) {
        self.group.signal(Signal::TERM);
        for (patience, next) in PATIENCE {
            if timeout(patience, self.group.0.wait()).await.is_ok() {
                break;
            }
            self.group.signal(next);
        }
        let _ = self.group.0.wait().await;
        let _ = timeout(LAST_WORDS, &mut self.reader).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
