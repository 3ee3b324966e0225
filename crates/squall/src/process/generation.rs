//! Generations of a server: a new one, of a new binary perhaps, starts on the sockets of the old one.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::systemd;
use crate::log::GENERAL;
use crate::netutil::{Address, Listener};
use crate::options::development;
use crate::sys;

/// Descriptors of listening sockets, separated by commas, each with a colon and its name.
const SOCKETS: &str = "SQUALL_SOCKETS";
/// The descriptor on which to say that the new generation serves, and the process that waits for it.
const READY: &str = "SQUALL_READY";
const PARENT: &str = "SQUALL_PARENT";

/// How long a new generation may take until it serves.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first descriptor that systemd hands down (sd_listen_fds(3)).
const SYSTEMD_FIRST: RawFd = 3;

/// A generation that was started and does not serve yet.
pub(super) struct Starting {
    pub(super) pid: Pid,
    ready: UnixStream,
    pub(super) deadline: Instant,
}

impl Starting {
    /// Starts the program anew, with the same arguments, and with these sockets.
    ///
    /// # Errors
    /// When the program is gone, or cannot be started.
    pub(super) fn spawn(program: &PathBuf, sockets: &[Socket]) -> io::Result<Self> {
        let (ready, theirs) = UnixStream::pair()?;
        ready.set_nonblocking(true)?;
        // Duplicates are not closed by `exec`; they live here only until the program is started.
        let theirs = rustix::io::dup(&theirs)?;
        let duplicates = sockets.iter().map(|socket| rustix::io::dup(&socket.fd));
        let duplicates = duplicates.collect::<Result<Vec<_>, _>>()?;
        let named = duplicates.iter().zip(sockets);
        let named: Vec<String> =
            named.map(|(fd, socket)| format!("{}:{}", fd.as_raw_fd(), socket.name)).collect();
        let mut arguments = std::env::args_os();
        let mut command = Command::new(program);
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        for name in
            ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"]
        {
            command.env_remove(name);
        }
        let child = command
            .args(arguments)
            .env(SOCKETS, named.join(","))
            .env(READY, theirs.as_raw_fd().to_string())
            .env(PARENT, std::process::id().to_string())
            .spawn()?;
        Ok(Self { pid: Pid::from_child(&child), ready, deadline: Instant::now() + PATIENCE })
    }

    /// Whether it has said that it serves.
    pub(super) fn serves(&self) -> bool {
        matches!((&self.ready).read(&mut [0]), Ok(1))
    }
}

/// Where this program is, also when it has been replaced by then.
pub(super) fn program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    // What Linux says of an executable that was replaced.
    Ok(PathBuf::from(path.to_string_lossy().trim_end_matches(" (deleted)")))
}

/// A socket that was handed down.
struct Inherited {
    listener: Listener,
    name: String,
}

/// What this process was started with.
#[derive(Default)]
struct Inheritance {
    sockets: Vec<Inherited>,
    /// What all of them were called, those included that were taken.
    names: Vec<(Address, String)>,
    ready: Option<UnixStream>,
}

static INHERITANCE: LazyLock<Mutex<Inheritance>> = LazyLock::new(|| Mutex::new(Inheritance::read()));

impl Inheritance {
    fn read() -> Self {
        // The environment goes on to programs that a server starts, to which nothing was handed down.
        let is_heir = is_child_of_the_last();
        let of_the_last = |name: &str| std::env::var(name).ok().filter(|_| is_heir);
        let mut sockets = Vec::new();
        let mut add = |number: RawFd, name: &str| {
            let listener = sys::adopt(number).and_then(|fd| Listener::try_from(fd).ok());
            if let Some(listener) = listener {
                sockets.push(Inherited { listener, name: name.to_owned() });
            }
        };
        for socket in of_the_last(SOCKETS).unwrap_or_default().split(',') {
            if let Some((number, name)) = socket.split_once(':')
                && let Ok(number) = number.parse()
            {
                add(number, name);
            }
        }
        if std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string()) {
            let count: RawFd = std::env::var("LISTEN_FDS").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
            let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
            let names = names.split(':').chain(std::iter::repeat(""));
            for (number, name) in
                (SYSTEMD_FIRST..SYSTEMD_FIRST.saturating_add(count.clamp(0, 1024))).zip(names)
            {
                add(number, name);
            }
        }
        let ready = of_the_last(READY).and_then(|number| sys::adopt(number.parse().ok()?));
        let names = sockets
            .iter()
            .filter_map(|Inherited { listener, name }| Some((listener.local_addr().ok()?, name.clone())));
        Self { names: names.collect(), sockets, ready: ready.map(UnixStream::from) }
    }

    fn lock() -> MutexGuard<'static, Self> {
        INHERITANCE.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The listening sockets of this name that systemd has handed down (`FileDescriptorName=` of a socket unit), to be
/// given to [`HttpServer::add_sockets`](crate::HttpServer::add_sockets). A second call finds none.
///
/// A port or path that is bound as usual is taken from what was handed down too, if it is among it.
pub fn inherited(name: &str) -> Vec<Listener> {
    let sockets = &mut Inheritance::lock().sockets;
    sockets.extract_if(.., |socket| socket.name == name).map(|socket| socket.listener).collect()
}

/// The socket that `squall dev` has handed down, for whatever is bound first. From then on this process ends with the one
/// that started it, however that ends.
pub(crate) fn take_development() -> Option<Listener> {
    if !development::is_on() {
        return None;
    }
    let listener = inherited(development::SOCKET).into_iter().next()?;
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if let Some(parent) = development::parent()
        && rustix::process::getppid().map(Pid::as_raw_pid) != Some(parent)
    {
        std::process::exit(1);
    }
    Some(listener)
}

/// The socket that listens where it was asked for already, handed down by the last generation or the service manager.
pub(crate) fn take_inherited(fits: impl Fn(&Address) -> bool) -> Option<Listener> {
    let sockets = &mut Inheritance::lock().sockets;
    let at =
        sockets.iter().position(|socket| socket.listener.local_addr().is_ok_and(|address| fits(&address)))?;
    Some(sockets.remove(at).listener)
}

/// Closes what was handed down and nobody took: clients would wait in its queue for ever.
pub(crate) fn close_rest() {
    let rest = std::mem::take(&mut Inheritance::lock().sockets);
    for Inherited { listener, name } in rest {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(target: GENERAL, "Nobody listens on {address} {name} any more");
        }
    }
}

/// The server serves: the last generation may go, and the service manager is told.
pub(crate) fn say_serving() {
    let ready = Inheritance::lock().ready.take();
    if let Some(ready) = ready {
        // It is gone if this fails, and then needs no telling.
        let _ = (&ready).write(b"S");
    }
    systemd::tell("READY=1");
}

/// The server drains: the service manager is told.
pub(crate) fn say_stopping() {
    systemd::tell("STOPPING=1");
}

/// To be called before the program serves: a generation ends with the process that started it, however that ends.
pub(crate) fn end_with_parent() {
    if Inheritance::lock().ready.is_none() {
        return;
    }
    // What the last generation holds back for itself.
    sys::unblock(&super::SIGNALS);
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if !is_child_of_the_last() {
        std::process::exit(1);
    }
}

fn is_child_of_the_last() -> bool {
    let parent = std::env::var(PARENT).ok().and_then(|pid| pid.parse().ok());
    parent.is_some() && parent == rustix::process::getppid().map(Pid::as_raw_pid)
}

/// A listening socket to be handed down.
pub(super) struct Socket {
    fd: OwnedFd,
    name: String,
}

/// Copies of listening sockets, for the generations to come.
pub(super) fn copies(listeners: &mut dyn Iterator<Item = &Listener>) -> io::Result<Vec<Socket>> {
    let names = &Inheritance::lock().names;
    let copy = |listener: &Listener| {
        let address = listener.local_addr()?;
        let named = names.iter().find(|(known, _)| *known == address);
        let name = named.map(|(_, name)| name.clone()).unwrap_or_default();
        Ok(Socket { fd: listener.as_fd().try_clone_to_owned()?, name })
    };
    listeners.map(copy).collect()
}
