//! The one system call that rustix does not offer in a safe form.

use std::io;
use std::time::Duration;

/// CPU time (user and system, all threads, ended ones too) that process `pid` has used, in nanosecond resolution.
///
/// `/proc/<pid>/stat` counts in ticks of 10 ms, and `/proc/<pid>/schedstat` is only brought up to date at scheduler ticks
/// and covers one thread; the process's CPU clock has neither flaw.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` outlives the call, which writes one `clockid_t` to it.
    let error = unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call, which writes one `timespec` to it.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).expect("below a second")))
}
