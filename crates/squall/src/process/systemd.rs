//! What a service manager is told (systemd's `sd_notify`), and asks for.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Tells the service manager of this process a state, such as `STATUS=Warming up` (see sd_notify(3)). False when there is
/// none, which `$NOTIFY_SOCKET` tells.
///
/// A server tells `READY=1`, `RELOADING=1`, `STOPPING=1` and `WATCHDOG=1` by itself, so that `Type=notify-reload` and
/// `WatchdogSec=` may be set for it.
///
/// # Errors
/// When it does not take it.
pub fn notify(state: &str) -> io::Result<bool> {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return Ok(false);
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address(&name)?)?;
    Ok(true)
}

fn address(name: &OsString) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

/// As [`notify`]; a service manager that does not listen is no reason to stop serving.
pub(super) fn tell(state: &str) {
    if let Err(error) = notify(state) {
        tracing::warn!(target: crate::log::GENERAL, "The service manager was not told {state:?}: {error}");
    }
}

/// Told before and after a reload; the time is how systemd tells one from the next.
pub(super) fn tell_reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// How often `WATCHDOG=1` is to be told: half of the time after which the service manager takes us for dead.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    let micros: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    let is_ours = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
    (is_ours && micros > 0).then(|| Duration::from_micros(micros / 2))
}
