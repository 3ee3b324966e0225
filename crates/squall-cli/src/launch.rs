//! Starting the project's program with a socket of ours.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::cargo::{Group, Program};

/// The program sees that it has been given descriptor 3 (sd_listen_fds(3)), under the name that squall knows. The number of
/// its process is known only there, so a shell says it and becomes the program.
const SCRIPT: &str = r#"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=squall-dev
export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES
exec "$0" "$@" 3<&0 </dev/null"#;

/// Starts the program; its standard error can be read from the result. It serves on the port that is given back, whatever
/// it binds: its first socket is one that listens already, so that connections wait until it takes them, and are
/// closed when it ends.
///
/// With `routes` it writes its table of routes into that file instead of serving.
///
/// # Errors
/// When there is no socket or no process.
pub(crate) fn launch(
    program: &Program,
    arguments: &[OsString],
    routes: Option<&Path>,
) -> io::Result<(Group, u16)> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = socket.local_addr()?.port();
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(SCRIPT)
        .arg(&program.path)
        .args(arguments)
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .env("SQUALL_DEV_PARENT", std::process::id().to_string())
        .env_remove("SQUALL_ROUTES")
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stderr(Stdio::piped());
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
        command.env_remove(name);
    }
    if io::stderr().is_terminal() {
        // It writes into a pipe, from where its lines come to our terminal.
        command.env("CLICOLOR_FORCE", "1");
    }
    if let Some(path) = routes {
        command.env("SQUALL_ROUTES", path);
    }
    // With the command goes our copy of the socket.
    Group::spawn(&mut command).map(|group| (group, port))
}
