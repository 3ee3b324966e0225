//! One process per core: forking and supervising them, as Tornado's `process` module does; and [`Subprocess`], a program
//! whose pipes are streams.

mod generation;
mod restarts;
mod subprocess;
mod supervisor;
mod systemd;
mod worker;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;

use crate::ioloop::IoLoop;
use crate::sys::{self, BlockedSignals};

pub use generation::inherited;
pub use subprocess::{CalledProcessError, Redirect, Subprocess, SubprocessOptions};
pub use systemd::notify;

pub(crate) use generation::{
    close_rest, end_with_parent, say_serving, say_stopping, take_development, take_inherited,
};
pub(crate) use supervisor::Supervision;
pub(crate) use systemd::watchdog_interval;
pub(crate) use worker::{live_as_worker, say_retiring};

use supervisor::{Role, Supervisor};

/// How many times children are restarted within ten minutes, unless [`fork_processes`] is told otherwise.
pub const DEFAULT_MAX_RESTARTS: usize = 100;

/// The number of processors this process may use (its affinity mask and cgroup quota count), at least 1.
#[must_use]
pub fn cpu_count() -> usize {
    sys::cpu_count()
}

/// The number of this process among those that [`fork_processes`] made, or `None` if it is none of them.
#[must_use]
pub fn task_id() -> Option<usize> {
    match TASK_ID.load(Ordering::Relaxed) {
        NOT_A_CHILD => None,
        id => Some(id),
    }
}

/// The status (of BSD's `sysexits`) with which a child says that restarting it is of no use.
pub const EX_CONFIG: i32 = 78;

/// Forks `num` processes (`None` or 0: one per processor) and supervises them.
///
/// It returns in the children only, each with its number, counted from 0. The calling process stays in it: it
/// restarts a child that was killed or exited with a status other than 0, under the same number, up to
/// `max_restarts` times within ten minutes ([`DEFAULT_MAX_RESTARTS`]; Tornado counts those of a lifetime, so that a crash a
/// day ends a service after some months). When all have exited with status 0, it exits with 0. A child
/// that exits with [`EX_CONFIG`] is not restarted, and ends them all.
///
/// A child that crashes again within a minute is given time: its successor comes to life after 100 ms, and after twice as
/// long each time, at most 10 s, as long as this goes on.
///
/// SIGTERM and SIGINT are passed on to the children, which are not restarted then; when all are gone, the parent exits,
/// with 0 if each exited with 0 or died of that signal, else with 1. On Linux children get SIGTERM when the parent
/// ends in any other way, even by SIGKILL.
///
/// Call it before there is any loop or thread, so not inside of `#[squall::main]`: neither survives a fork. Sockets bound before it are shared. squall
/// holds no random state of its own that children would share (it asks the system); a generator that the
/// application seeded before must be seeded anew.
///
/// # Errors
/// In the calling process, before anything is forked: when the process has a loop or several threads, or is itself
/// such a child. Later: when children were restarted too often or one exited with [`EX_CONFIG`] (the others are sent
/// SIGTERM and awaited first), or a fork failed.
pub fn fork_processes(num: Option<usize>, max_restarts: Option<usize>) -> Result<usize, ForkError> {
    match supervise(num, max_restarts, None)? {
        Ended::Worker => Ok(task_id().unwrap_or_default()),
        Ended::All { status } => std::process::exit(status),
    }
}

/// What a supervisor listens to; the first three are those of [`fork_processes`].
const SIGNALS: [Signal; 10] = [
    Signal::CHILD,
    Signal::TERM,
    Signal::INT,
    Signal::QUIT,
    Signal::HUP,
    Signal::USR1,
    Signal::USR2,
    Signal::TTIN,
    Signal::TTOU,
    Signal::WINCH,
];

/// How [`supervise`] ended.
pub(crate) enum Ended {
    /// This is a new process, to do the work.
    Worker,
    /// This is the parent, and all are gone.
    All {
        /// What it is to exit with.
        status: i32,
    },
}

/// As [`fork_processes`], and with `supervision` much more: see [`HttpServer::run`](crate::HttpServer::run).
pub(crate) fn supervise(
    num: Option<usize>,
    max_restarts: Option<usize>,
    supervision: Option<Supervision>,
) -> Result<Ended, ForkError> {
    if let Some(id) = task_id() {
        return Err(ForkError::IsChild(id));
    }
    if IoLoop::initialized() {
        return Err(ForkError::LoopExists);
    }
    let threads = sys::thread_count()?;
    if threads > 1 {
        return Err(ForkError::Threads(threads));
    }
    let num = num.filter(|&num| num > 0).unwrap_or_else(cpu_count);
    sys::keep_dead_children()?;
    let signals = if supervision.is_some() { &SIGNALS[..] } else { &SIGNALS[..3] };
    let signals = BlockedSignals::block(signals)?;
    let most = max_restarts.unwrap_or(DEFAULT_MAX_RESTARTS);
    let mut supervisor = Supervisor::new(signals, most, supervision);
    match supervisor.run(num) {
        Ok(Role::Child { id, delay }) => {
            TASK_ID.store(id, Ordering::Relaxed);
            // Signals act as usual from here on, so that a child that still waits can be ended.
            drop(supervisor);
            std::thread::sleep(delay);
            Ok(Ended::Worker)
        }
        Ok(Role::ParentDone { status }) => Ok(Ended::All { status }),
        Err(error) => {
            supervisor.stop_all();
            Err(error)
        }
    }
}

/// Why [`fork_processes`] returned in the parent.
#[derive(Debug)]
#[non_exhaustive]
pub enum ForkError {
    /// A loop was made in this process; its epoll instance would be shared by all children.
    LoopExists,
    /// The process has this many threads, of which a fork would keep only one.
    Threads(usize),
    /// The process is itself a child, with this number.
    IsChild(usize),
    /// Children ended abnormally more often than `max_restarts` within ten minutes.
    TooManyRestarts,
    /// This child exited with [`EX_CONFIG`]: it would fail in the same way again.
    Misconfigured(usize),
    /// A system call failed.
    Io(io::Error),
}

impl fmt::Display for ForkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForkError::LoopExists => f.write_str(
                "Cannot run in multiple processes: IOLoop instance has already been initialized. \
                 You cannot call IOLoop.instance() before calling start_processes()",
            ),
            ForkError::Threads(threads) => write!(
                f,
                "Cannot run in multiple processes: this process has {threads} threads already. \
                 Fork before starting any thread",
            ),
            ForkError::IsChild(id) => {
                write!(f, "Cannot run in multiple processes: this is child {id} of fork_processes")
            }
            ForkError::TooManyRestarts => f.write_str("Too many child restarts, giving up"),
            ForkError::Misconfigured(id) => {
                write!(f, "child {id} cannot work as it is configured, giving up")
            }
            ForkError::Io(error) => write!(f, "Cannot run in multiple processes: {error}"),
        }
    }
}

impl std::error::Error for ForkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ForkError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for ForkError {
    fn from(error: io::Error) -> Self {
        ForkError::Io(error)
    }
}

const NOT_A_CHILD: usize = usize::MAX;

static TASK_ID: AtomicUsize = AtomicUsize::new(NOT_A_CHILD);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_at_least_one_processor() {
        assert!(cpu_count() >= 1);
    }

    #[test]
    fn a_process_that_was_not_forked_has_no_task_id() {
        assert_eq!(task_id(), None);
    }
}
