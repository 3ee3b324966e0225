//! Which descriptors a started program finds open.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The first descriptor behind standard input, output and error.
const FIRST: libc::c_uint = 3;

/// Has the child of `command` close whatever it inherits but the three standard streams, when it executes its program.
///
/// What Rust opens is closed by `exec` anyway; what C libraries open, or what was handed to this process, need not be.
pub(crate) fn close_descriptors_on_exec(command: &mut Command) {
    // SAFETY: the closure runs in the child between fork and exec, where other threads' locks may be held for ever. It makes
    // plain system calls on numbers: it takes no lock, and allocates nothing (an error of the system is a number).
    unsafe {
        command.pre_exec(|| mark_from(FIRST));
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn mark_from(first: libc::c_uint) -> io::Result<()> {
    // Marked rather than closed: one of them is the pipe by which the standard library reports that exec failed.
    //
    // SAFETY: a plain system call on numbers, which touches no memory.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 {
        return Ok(());
    }
    // Before Linux 5.11.
    mark_each(first)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn mark_from(first: libc::c_uint) -> io::Result<()> {
    mark_each(first)
}

/// One by one, as far as they can go; at most a million, which is the usual end of a raised limit.
fn mark_each(first: libc::c_uint) -> io::Result<()> {
    const MOST: libc::rlim_t = 1 << 20;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it writes to a place that is ours.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let last = libc::c_int::try_from(limit.rlim_cur.min(MOST)).unwrap_or(libc::c_int::MAX);
    for fd in first.cast_signed()..last {
        // SAFETY: a plain request about a number; one that is not open is answered with an error.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}
