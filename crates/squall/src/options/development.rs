//! What the `squall` command (crate `squall-cli`) says to a program that it starts.
//!
//! It hands down a listening socket of this name, as a service manager would (sd_listen_fds(3)). The number of the process
//! in `LISTEN_PID` keeps what the program itself starts from taking that for itself.

use std::path::PathBuf;

/// The name of the socket.
pub(crate) const SOCKET: &str = "squall-dev";

/// The process that started this one.
const PARENT: &str = "SQUALL_DEV_PARENT";

/// A file for the table of routes, which is all that is wanted.
const ROUTES: &str = "SQUALL_ROUTES";

/// Whether `squall dev` or `squall routes` started this process. Then a server takes its socket, whatever is bound; the
/// default of `--debug` is on; and nothing starts the program anew but the command.
pub(crate) fn is_on() -> bool {
    std::env::var("LISTEN_FDNAMES").is_ok_and(|names| names == SOCKET)
        && std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string())
}

/// The process that started this one, and is to be outlived by nobody.
pub(crate) fn parent() -> Option<i32> {
    std::env::var(PARENT).ok()?.parse().ok()
}

/// Where to write the table of routes, instead of serving.
pub(crate) fn routes_wanted() -> Option<PathBuf> {
    std::env::var_os(ROUTES).map(PathBuf::from).filter(|_| is_on())
}
