//! Forking, which is safe only in a process of one thread.

use std::io::{self, Write};

use rustix::process::{Pid, Signal};

/// Which of the two processes this is after [`fork`].
pub(crate) enum Forked {
    Parent { child: Pid },
    Child,
}

/// Why there was no fork.
pub(crate) enum ForkFailure {
    /// The process has this many threads.
    Threads(usize),
    Io(io::Error),
}

/// Splits the process in two. The child gets `death_signal` when the parent ends, however it ends (Linux only).
pub(crate) fn fork(death_signal: Signal) -> Result<Forked, ForkFailure> {
    let threads = thread_count().map_err(ForkFailure::Io)?;
    if threads > 1 {
        return Err(ForkFailure::Threads(threads));
    }
    // What is buffered now would be written by both processes.
    let _ = io::stdout().flush();
    let parent = rustix::process::getpid();
    // SAFETY: the process has one thread, this one. So no lock is held by a thread that the child lacks, and the
    // child may do whatever the parent may.
    let pid = unsafe { libc::fork() };
    match Pid::from_raw(pid) {
        None => {
            die_with(parent, death_signal);
            Ok(Forked::Child)
        }
        Some(child) if pid > 0 => Ok(Forked::Parent { child }),
        Some(_) => Err(ForkFailure::Io(io::Error::last_os_error())),
    }
}

#[cfg(target_os = "linux")]
fn die_with(parent: Pid, signal: Signal) {
    // A child that could not ask for it merely outlives a parent that is killed.
    let _ = rustix::process::set_parent_process_death_signal(Some(signal));
    // The parent may have ended before the request.
    if rustix::process::getppid() != Some(parent) {
        std::process::exit(1);
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with(_: Pid, _: Signal) {}

/// How many threads the process has.
#[cfg(target_os = "linux")]
pub(crate) fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Elsewhere there is no portable way to ask; that no loop exists, which is checked too, has to do.
#[cfg(not(target_os = "linux"))]
pub(crate) fn thread_count() -> io::Result<usize> {
    Ok(1)
}
