//! The parent's view of its children.

mod care;
mod orders;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::generation::{self, Starting};
use super::restarts::RestartPolicy;
use super::{ForkError, systemd, worker};
use crate::log::GENERAL;
use crate::metrics::{self, Slots};
use crate::netutil::Listener;
use crate::sys::{self, BlockedSignals, ForkFailure, Forked};

/// What a server's processes are given beyond those of [`fork_processes`](super::fork_processes).
pub(crate) struct Supervision {
    /// Handed down to later generations, and closed when the server is to end.
    sockets: Vec<generation::Socket>,
    /// What the caller has of them is closed by this.
    close: Box<dyn Fn()>,
    /// A worker that says nothing for so long is killed.
    heartbeat: Option<Duration>,
    /// How long workers may take to end.
    patience: Duration,
    program: PathBuf,
    /// The service manager is to be told so often that this lives.
    watchdog: Option<Duration>,
}

impl Supervision {
    /// `patience` is how long workers may take to drain; `close` closes the caller's own handles on `listeners`.
    ///
    /// # Errors
    /// When there are no more descriptors.
    pub(crate) fn new(
        listeners: &mut dyn Iterator<Item = &Listener>,
        patience: Duration,
        heartbeat: Option<Duration>,
        close: impl Fn() + 'static,
    ) -> io::Result<Self> {
        Ok(Self {
            sockets: generation::copies(listeners)?,
            close: Box::new(close),
            heartbeat,
            patience,
            program: generation::program()?,
            watchdog: systemd::watchdog_interval(),
        })
    }
}

/// How often workers are looked after, and so while something is about to happen.
const TICK: Duration = Duration::from_secs(1);
const SHORT_TICK: Duration = Duration::from_millis(50);

/// Workers that SIGTTIN may ask for.
const MOST_WORKERS: usize = 4096;

/// Children get the former signal mask back when they drop their copy of it.
pub(super) struct Supervisor {
    signals: BlockedSignals,
    children: BTreeMap<usize, Child>,
    /// Those that were asked to end while others go on.
    leaving: Vec<Leaving>,
    restarts: RestartPolicy,
    /// The signal that asked for the end; from then on nothing is restarted.
    stopping: Option<Signal>,
    /// Whether every child that ended after that did so as asked.
    clean: bool,
    /// None for those of [`fork_processes`](super::fork_processes).
    extra: Option<Supervision>,
    /// How many workers there are to be.
    wanted: usize,
    /// Asked to have no workers for a time.
    paused: bool,
    /// The workers have all been seen to serve.
    announced: bool,
    starting: Option<Starting>,
    /// Asked for another one meanwhile.
    once_more: bool,
    /// The generation that serves instead of our own children.
    successor: Option<Pid>,
    told: Instant,
    /// Where each process counts.
    slots: Slots,
}

struct Child {
    pid: Pid,
    /// None for those of [`fork_processes`](super::fork_processes).
    says: Option<UnixStream>,
    serving: bool,
    /// When it last said something, or was to begin.
    heard: Instant,
}

struct Leaving {
    /// None for a generation.
    id: Option<usize>,
    pid: Pid,
    /// As long as this is open, the worker knows that its parent lives.
    _says: Option<UnixStream>,
    /// When it is killed.
    deadline: Instant,
}

impl Child {
    fn leaves(self, id: usize, deadline: Instant) -> Leaving {
        Leaving { id: Some(id), pid: self.pid, _says: self.says, deadline }
    }
}

impl Leaving {
    fn generation(pid: Pid, deadline: Instant) -> Self {
        Self { id: None, pid, _says: None, deadline }
    }
}

pub(super) enum Role {
    /// To begin after this time.
    Child {
        id: usize,
        delay: Duration,
    },
    ParentDone {
        status: i32,
    },
}

impl Supervisor {
    pub(super) fn new(signals: BlockedSignals, most_restarts: usize, extra: Option<Supervision>) -> Self {
        Self {
            signals,
            children: BTreeMap::new(),
            leaving: Vec::new(),
            restarts: RestartPolicy::new(most_restarts),
            stopping: None,
            clean: true,
            extra,
            wanted: 0,
            paused: false,
            announced: false,
            starting: None,
            once_more: false,
            successor: None,
            told: Instant::now(),
            slots: Slots::default(),
        }
    }

    pub(super) fn run(&mut self, num: usize) -> Result<Role, ForkError> {
        if self.extra.is_some() {
            name_process("squall:main");
        }
        tracing::info!(target: GENERAL, "Starting {num} processes");
        self.wanted = num;
        self.slots = Slots::new(num);
        if let Some(child) = self.fill()? {
            return Ok(child);
        }
        while !self.is_done() {
            let signal = match self.pause() {
                Some(pause) => self.signals.wait_for(pause)?,
                None => Some(self.signals.wait()?),
            };
            // What a child said before it ended counts, so it is heard first; but not before the end of all, which a terminal
            // tells each process by itself.
            if !matches!(signal, Some(Signal::TERM | Signal::INT | Signal::QUIT))
                && let Some(child) = self.look_after()?
            {
                return Ok(child);
            }
            let child = match signal {
                Some(Signal::CHILD) => self.reap()?,
                Some(signal) => self.handle(signal)?,
                None => None,
            };
            if let Some(child) = child {
                return Ok(child);
            }
        }
        Ok(Role::ParentDone { status: i32::from(!self.clean) })
    }

    fn is_done(&self) -> bool {
        self.children.is_empty()
            && self.leaving.is_empty()
            && self.starting.is_none()
            && self.successor.is_none()
            && (!self.paused || self.stopping.is_some())
    }

    /// Until it is to be looked after them even if no signal comes.
    fn pause(&self) -> Option<Duration> {
        self.extra.as_ref()?;
        let soon = self.starting.is_some() || !self.announced || !self.leaving.is_empty();
        Some(if soon { SHORT_TICK } else { TICK })
    }

    /// Starts the workers that are missing.
    fn fill(&mut self) -> Result<Option<Role>, ForkError> {
        for id in 0..self.wanted {
            if !self.children.contains_key(&id) {
                self.restarts.started(id, Instant::now());
                if self.start_child(id, Duration::ZERO)? {
                    return Ok(Some(Role::Child { id, delay: Duration::ZERO }));
                }
            }
        }
        Ok(None)
    }

    /// Whether this is the new child.
    fn start_child(&mut self, id: usize, delay: Duration) -> Result<bool, ForkError> {
        let pair = match self.extra {
            Some(_) => Some(UnixStream::pair()?),
            None => None,
        };
        let slot = self.slots.next();
        let death_signal = if self.extra.is_some() { Signal::KILL } else { Signal::TERM };
        match sys::fork(death_signal) {
            Ok(Forked::Child) => {
                self.children.clear();
                metrics::enter(slot);
                // What the others say, and what is handed down, is not for this one.
                self.starting = None;
                self.extra = None;
                if let Some((ours, theirs)) = pair {
                    drop(ours);
                    theirs.set_nonblocking(true)?;
                    worker::keep(theirs.into());
                    name_process(&format!("squall:worker{id}"));
                }
                Ok(true)
            }
            Ok(Forked::Parent { child }) => {
                let says = match pair {
                    Some((ours, _)) => {
                        ours.set_nonblocking(true)?;
                        Some(ours)
                    }
                    None => None,
                };
                if let Some(slot) = slot {
                    self.slots.taken(slot, child);
                }
                let heard = Instant::now() + delay;
                self.children.insert(id, Child { pid: child, says, serving: false, heard });
                Ok(false)
            }
            Err(ForkFailure::Threads(threads)) => Err(ForkError::Threads(threads)),
            Err(ForkFailure::Io(error)) => Err(ForkError::Io(error)),
        }
    }

    fn stop_signal(&self) -> Signal {
        self.stopping.unwrap_or(Signal::TERM)
    }
}

/// What `ps -o comm` and `top` show; the kernel keeps 15 bytes.
fn name_process(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name) {
        // A name is nice to have.
        let _ = rustix::thread::set_name(&name);
    }
}
