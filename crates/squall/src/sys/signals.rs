//! Receiving signals one by one, for the supervising process, which has no loop.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::process::Signal;

/// Some signals held back from their usual action, to be received with [`wait`](Self::wait).
///
/// Dropping it gives the thread its former signal mask back.
pub(crate) struct BlockedSignals {
    set: libc::sigset_t,
    former: libc::sigset_t,
}

impl BlockedSignals {
    /// Blocks `signals` in this thread, leaving out those that the process ignores.
    pub(crate) fn block(signals: &[Signal]) -> io::Result<Self> {
        let mut set = empty_set();
        for signal in signals {
            if !is_ignored(*signal)? {
                // SAFETY: `set` is an initialised set, and `Signal` holds valid signal numbers only.
                unsafe { libc::sigaddset(&raw mut set, signal.as_raw()) };
            }
        }
        let mut former = empty_set();
        // SAFETY: both pointers are to initialised sets that outlive the call.
        let failed = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut former) };
        if failed == 0 {
            Ok(BlockedSignals { set, former })
        } else {
            Err(io::Error::from_raw_os_error(failed))
        }
    }

    /// Waits for the next of the signals, and takes it.
    pub(crate) fn wait(&self) -> io::Result<Signal> {
        loop {
            let mut number = 0;
            // SAFETY: the set is initialised, and `number` is writable.
            let failed = unsafe { libc::sigwait(&raw const self.set, &raw mut number) };
            match failed {
                0 => {
                    if let Some(signal) = Signal::from_named_raw(number) {
                        return Ok(signal);
                    }
                }
                libc::EINTR => {}
                error => return Err(io::Error::from_raw_os_error(error)),
            }
        }
    }
}

impl BlockedSignals {
    /// As [`wait`](Self::wait), but no longer than this; early, with `None`, if another signal is handled meanwhile.
    pub(crate) fn wait_for(&self, longest: Duration) -> io::Result<Option<Signal>> {
        let timeout = libc::timespec {
            tv_sec: longest.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: longest.subsec_nanos().into(),
        };
        // SAFETY: the set and the time are initialised and outlive the call; no information on the signal is asked for.
        let number =
            unsafe { libc::sigtimedwait(&raw const self.set, std::ptr::null_mut(), &raw const timeout) };
        if number > 0 {
            return Ok(Signal::from_named_raw(number));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Ok(None),
            _ => Err(error),
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: `former` is the initialised set that `block` received; the old mask is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.former, std::ptr::null_mut()) };
    }
}

/// Lets these signals through that a parent may have held back: `exec` keeps the mask.
pub(crate) fn unblock(signals: &[Signal]) {
    let mut set = empty_set();
    for signal in signals {
        // SAFETY: `set` is an initialised set, and `Signal` holds valid signal numbers only.
        unsafe { libc::sigaddset(&raw mut set, signal.as_raw()) };
    }
    // SAFETY: the set is initialised and outlives the call; the old mask is not asked for. It fails for no valid set.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) };
}

/// Lets children be waited for, even if the process was started with SIGCHLD ignored (they would vanish unseen).
pub(crate) fn keep_dead_children() -> io::Result<()> {
    // SAFETY: the default action runs no code of ours. A handler that the program installed is left alone.
    let failed =
        is_ignored(Signal::CHILD)? && unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) } == libc::SIG_ERR;
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn is_ignored(signal: Signal) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action this only reads the present one, into a large enough place.
    let result = unsafe { libc::sigaction(signal.as_raw(), std::ptr::null(), action.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it filled `action`, which is plain data and was zeroed before.
    let action = unsafe { action.assume_init() };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set it is given, and cannot fail for a valid pointer.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}
