//! Raw file descriptors, as `IoLoop::add_handler` accepts them.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Adds `fd` to the epoll instance of the current runtime. Dropping the result takes it out; neither closes it.
///
/// # Errors
/// When `fd` is not open (`EBADF`), cannot be polled (`EPERM`) or is watched already (`EEXIST`).
///
/// # Panics
/// Outside a runtime's context.
#[track_caller]
pub(crate) fn watch(fd: RawFd) -> io::Result<AsyncFd<RawFd>> {
    // SAFETY: a number always returns itself. That it stays open until the watch is dropped is what
    // `IoLoop::add_handler` asks of its caller for a bare number; an object is kept alive longer than its watch. A
    // caller who breaks the promise gets a wrong or no event (tokio ignores a failed removal), not invalid memory.
    let watch = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE | Interest::WRITABLE) };
    watch.map_err(Into::into)
}

/// Adds `fd`, which is readable or writable or both, to the epoll instance of the current runtime, until it is closed.
///
/// # Errors
/// As [`watch`].
///
/// # Panics
/// Outside a runtime's context.
#[track_caller]
pub(crate) fn watch_owned(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` always returns the same number, which stays open until it is dropped; and `AsyncFd` takes it
    // out of the epoll instance before it drops it.
    let watch = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE | Interest::WRITABLE) };
    watch.map_err(Into::into)
}

/// The conditions among `interest` (and error, hang-up, invalid) that hold for `fd` right now.
///
/// # Errors
/// What `poll(2)` reports; a closed descriptor is not an error but `PollFlags::NVAL`.
pub(crate) fn poll(fd: RawFd, interest: PollFlags) -> io::Result<PollFlags> {
    // SAFETY: the borrow lives for this call only and is handed to nothing but poll(2), which accepts any
    // number and answers POLLNVAL for one that is not open. -1, which `BorrowedFd` forbids, is kept out.
    let borrowed = unsafe {
        if fd == -1 {
            return Ok(PollFlags::NVAL);
        }
        BorrowedFd::borrow_raw(fd)
    };
    let mut fds = [PollFd::from_borrowed_fd(borrowed, interest)];
    let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&no_wait)))?;
    Ok(fds[0].revents())
}

/// Takes over a descriptor that this process was started with; `None` when it is not open. `exec` closes it from now on.
pub(crate) fn adopt(fd: RawFd) -> Option<OwnedFd> {
    if fd < 0 {
        return None;
    }
    // SAFETY: a plain question about a number; one that is not open is answered with an error.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
        return None;
    }
    // SAFETY: it is open, and whoever started this process left it to us by naming it in our environment, which is read
    // once: nothing else in the process owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // It stays open in children if this fails, which harms nobody.
    let _ = rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC);
    Some(fd)
}
