//! The errors of running a loop.

use std::fmt;
use std::time::Duration;

/// Why [`IoLoop::start`](super::IoLoop::start) did not run the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// `start` or `run_sync` was called from code which this loop runs.
    AlreadyRunning,
    /// Another loop is running on this thread.
    AnotherRunning,
    /// The loop was closed.
    Closed,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StartError::AlreadyRunning => "IOLoop is already running",
            StartError::AnotherRunning => {
                "Cannot run the IOLoop while another IOLoop is running on this thread"
            }
            StartError::Closed => "IOLoop is closed",
        })
    }
}

impl std::error::Error for StartError {}

/// Why [`IoLoop::run_sync`](super::IoLoop::run_sync) has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunSyncError {
    /// The loop could not be run.
    Start(StartError),
    /// The future did not finish in time; it was dropped.
    Timeout(TimeoutError),
    /// [`IoLoop::stop`](super::IoLoop::stop) was called before the future finished; it was dropped.
    Stopped,
}

impl fmt::Display for RunSyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunSyncError::Start(error) => error.fmt(f),
            RunSyncError::Timeout(error) => error.fmt(f),
            RunSyncError::Stopped => f.write_str("Event loop stopped before Future completed."),
        }
    }
}

impl std::error::Error for RunSyncError {}

impl From<StartError> for RunSyncError {
    fn from(error: StartError) -> Self {
        RunSyncError::Start(error)
    }
}

/// Something took longer than it was allowed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutError {
    /// The time that was allowed.
    pub after: Duration,
}

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operation timed out after {} seconds", self.after.as_secs_f64())
    }
}

impl std::error::Error for TimeoutError {}
