//! One process per core: forking and supervising them, as Tornado's `process` module does.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};

use crate::ioloop::IoLoop;
use crate::log::GENERAL;
use crate::sys::{self, BlockedSignals, ForkFailure, Forked};

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
    let signals = BlockedSignals::block(&[Signal::CHILD, Signal::TERM, Signal::INT])?;
    let mut supervisor = Supervisor {
        signals,
        children: BTreeMap::new(),
        restarts: RestartPolicy::new(max_restarts.unwrap_or(DEFAULT_MAX_RESTARTS)),
        stopping: None,
        clean: true,
    };
    match supervisor.run(num) {
        Ok(Role::Child { id, delay }) => {
            TASK_ID.store(id, Ordering::Relaxed);
            // Signals act as usual from here on, so that a child that still waits can be ended.
            drop(supervisor);
            std::thread::sleep(delay);
            Ok(id)
        }
        Ok(Role::ParentDone { status }) => std::process::exit(status),
        Err(error) => {
            supervisor.stop_all(Signal::TERM);
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

/// The parent's view of its children.
struct Supervisor {
    /// Children get the former mask back when they drop their copy of the supervisor.
    signals: BlockedSignals,
    children: BTreeMap<usize, Pid>,
    restarts: RestartPolicy,
    /// The signal that asked for the end; from then on nothing is restarted.
    stopping: Option<Signal>,
    /// Whether every child that ended after that did so as asked.
    clean: bool,
}

enum Role {
    /// To begin after this time.
    Child {
        id: usize,
        delay: Duration,
    },
    ParentDone {
        status: i32,
    },
}

impl Supervisor {
    fn run(&mut self, num: usize) -> Result<Role, ForkError> {
        tracing::info!(target: GENERAL, "Starting {num} processes");
        for id in 0..num {
            self.restarts.started(id, Instant::now());
            if self.start_child(id)? {
                return Ok(Role::Child { id, delay: Duration::ZERO });
            }
        }
        while !self.children.is_empty() {
            match self.signals.wait()? {
                Signal::CHILD => {
                    for (id, status) in self.reap()? {
                        if let Some(delay) = self.should_restart(id, status)?
                            && self.start_child(id)?
                        {
                            return Ok(Role::Child { id, delay });
                        }
                    }
                }
                signal => {
                    self.stopping = Some(signal);
                    self.signal_all(signal);
                }
            }
        }
        Ok(Role::ParentDone { status: i32::from(!self.clean) })
    }

    /// Whether this is the new child.
    fn start_child(&mut self, id: usize) -> Result<bool, ForkError> {
        match sys::fork() {
            Ok(Forked::Child) => {
                self.children.clear();
                Ok(true)
            }
            Ok(Forked::Parent { child }) => {
                self.children.insert(id, child);
                Ok(false)
            }
            Err(ForkFailure::Threads(threads)) => Err(ForkError::Threads(threads)),
            Err(ForkFailure::Io(error)) => Err(ForkError::Io(error)),
        }
    }

    /// The children that ended; one SIGCHLD may stand for several. Other children of the process are left alone.
    fn reap(&mut self) -> Result<Vec<(usize, Ended)>, ForkError> {
        let mut ended = Vec::new();
        for (&id, &pid) in &self.children {
            if let Some((_, status)) = waitpid(Some(pid), WaitOptions::NOHANG).map_err(io::Error::from)? {
                ended.push((id, Ended { pid, status }));
            }
        }
        for (id, _) in &ended {
            self.children.remove(id);
        }
        Ok(ended)
    }

    /// Logs how a child ended. Its successor, if there is to be one, begins after the time that this gives.
    fn should_restart(
        &mut self,
        id: usize,
        Ended { pid, status }: Ended,
    ) -> Result<Option<Duration>, ForkError> {
        let restarting = if self.stopping.is_none() { ", restarting" } else { "" };
        match (status.terminating_signal(), status.exit_status()) {
            (Some(signal), _) => {
                tracing::warn!(target: GENERAL, "child {id} (pid {pid}) killed by signal {signal}{restarting}");
            }
            (None, Some(0)) => {
                tracing::info!(target: GENERAL, "child {id} (pid {pid}) exited normally");
                return Ok(None);
            }
            (None, Some(EX_CONFIG)) if self.stopping.is_none() => return Err(ForkError::Misconfigured(id)),
            (None, code) => {
                let code = code.unwrap_or(-1);
                tracing::warn!(target: GENERAL, "child {id} (pid {pid}) exited with status {code}{restarting}");
            }
        }
        if let Some(stop) = self.stopping {
            self.clean &= status.terminating_signal() == Some(stop.as_raw());
            return Ok(None);
        }
        self.restarts.crashed(id, Instant::now()).ok_or(ForkError::TooManyRestarts).map(Some)
    }

    fn signal_all(&self, signal: Signal) {
        for pid in self.children.values() {
            // The child may be gone already, which SIGCHLD will tell.
            let _ = kill_process(*pid, signal);
        }
    }

    /// Ends all children and waits for them.
    fn stop_all(&mut self, signal: Signal) {
        self.signal_all(signal);
        for pid in std::mem::take(&mut self.children).into_values() {
            let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
        }
    }
}

struct Ended {
    pid: Pid,
    status: WaitStatus,
}

/// When a child that crashed is started again, and when that is given up: numbers and times only.
///
/// The child itself waits, not the parent: forked at once, it is there for signals, and the parent need not know of
/// time.
struct RestartPolicy {
    /// Within [`WINDOW`](Self::WINDOW).
    most: usize,
    /// The restarts of the last `WINDOW`, at most `most`.
    recent: VecDeque<Instant>,
    children: BTreeMap<usize, Life>,
}

/// One child, or rather its number.
struct Life {
    /// When the present child begins, or began.
    since: Instant,
    /// Crashes in a row, none of them after a life of [`RestartPolicy::STABLE`].
    crashes: u32,
}

impl RestartPolicy {
    const WINDOW: Duration = Duration::from_secs(600);
    /// A child that has lived so long does work, whatever ended it.
    const STABLE: Duration = Duration::from_secs(60);
    const FIRST_DELAY: Duration = Duration::from_millis(100);
    const LONGEST_DELAY: Duration = Duration::from_secs(10);

    fn new(most: usize) -> Self {
        Self { most, recent: VecDeque::new(), children: BTreeMap::new() }
    }

    /// A child begins for the first time.
    fn started(&mut self, id: usize, now: Instant) {
        self.children.insert(id, Life { since: now, crashes: 0 });
    }

    /// How long the successor of a child that crashed is to wait; `None` when there were too many.
    fn crashed(&mut self, id: usize, now: Instant) -> Option<Duration> {
        while self.recent.front().is_some_and(|&at| now.saturating_duration_since(at) >= Self::WINDOW) {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.most {
            return None;
        }
        self.recent.push_back(now);
        let life = self.children.entry(id).or_insert(Life { since: now, crashes: 0 });
        if now.saturating_duration_since(life.since) >= Self::STABLE {
            life.crashes = 0;
        }
        // The first is most likely bad luck, and a worker is missing.
        let delay = match life.crashes {
            0 => Duration::ZERO,
            again => Self::FIRST_DELAY.saturating_mul(1 << (again - 1).min(16)).min(Self::LONGEST_DELAY),
        };
        life.crashes += 1;
        life.since = now + delay;
        Some(delay)
    }
}

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

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn crashes_are_counted_within_ten_minutes() {
        let mut policy = RestartPolicy::new(3);
        let mut now = Instant::now();
        policy.started(0, now);
        // One in four minutes, a year long.
        for _ in 0..131_400 {
            now += 240 * SECOND;
            assert_eq!(policy.crashed(0, now), Some(Duration::ZERO));
        }
        // The third and the fourth within ten minutes; what children have in common counts together.
        assert!(policy.crashed(0, now + SECOND).is_none());
        assert!(policy.crashed(1, now + SECOND).is_none());
        assert!(policy.crashed(1, now + 121 * SECOND).is_some());
        assert!(RestartPolicy::new(0).crashed(0, now).is_none());
    }

    #[test]
    fn who_crashes_again_waits_longer() {
        let mut policy = RestartPolicy::new(usize::MAX);
        let mut now = Instant::now();
        policy.started(0, now);
        let mut crash_after = |id, life: Duration| {
            now += life;
            let delay = policy.crashed(id, now).unwrap();
            now += delay;
            delay.as_millis()
        };
        let delays: Vec<_> = (0..10).map(|_| crash_after(0, SECOND)).collect();
        assert_eq!(delays, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        // Each child by itself.
        assert_eq!(crash_after(1, SECOND), 0);
        // A minute of work, and all is forgotten.
        assert_eq!(crash_after(0, 60 * SECOND), 0);
        assert_eq!(crash_after(0, SECOND), 100);
        for _ in 0..100 {
            assert!(crash_after(0, SECOND) <= 10_000);
        }
    }
}
