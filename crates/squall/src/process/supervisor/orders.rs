//! What signals have the supervisor do.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::super::generation::Starting;
use super::super::{ForkError, systemd};
use super::{Leaving, MOST_WORKERS, Role, Supervisor, TICK};
use crate::log::{self, GENERAL};

/// Beyond the time that workers have to end by themselves, before they are killed.
pub(super) const GRACE: Duration = Duration::from_secs(5);

impl Supervisor {
    pub(super) fn handle(&mut self, signal: Signal) -> Result<Option<Role>, ForkError> {
        match signal {
            Signal::TERM | Signal::INT | Signal::QUIT => self.stop(signal),
            // The generation that serves is meant.
            Signal::TTIN | Signal::TTOU | Signal::WINCH | Signal::USR1 if self.successor.is_some() => {
                if signal == Signal::USR1 {
                    log::reopen();
                }
                self.signal_successor(signal);
            }
            Signal::HUP | Signal::USR2 if self.stopping.is_none() => self.upgrade(),
            Signal::TTIN => {
                self.paused = false;
                self.wanted = (self.wanted + 1).min(MOST_WORKERS);
                tracing::info!(target: GENERAL, "SIGTTIN: {} workers", self.wanted);
                return self.fill();
            }
            Signal::TTOU => {
                self.wanted = self.wanted.saturating_sub(1).max(1);
                tracing::info!(target: GENERAL, "SIGTTOU: {} workers", self.wanted);
                self.dismiss_from(self.wanted);
            }
            Signal::WINCH => {
                tracing::info!(target: GENERAL, "SIGWINCH: no workers until SIGTTIN or SIGHUP");
                self.paused = true;
                self.wanted = 0;
                self.dismiss_from(0);
            }
            Signal::USR1 => {
                log::reopen();
                self.signal_children(Signal::USR1);
            }
            _ => {}
        }
        Ok(None)
    }

    /// The server is to end; at once if it is asked again.
    pub(super) fn stop(&mut self, signal: Signal) {
        let again = self.stopping.is_some() && self.extra.is_some();
        let signal = if again { Signal::QUIT } else { signal };
        if self.stopping.is_none() || self.extra.is_none() {
            self.stopping = Some(signal);
        }
        if let Some(extra) = &mut self.extra {
            if !again {
                tracing::info!(target: GENERAL, "{}: all processes are to end", name_of(signal));
                systemd::tell("STOPPING=1");
            }
            // Nobody is to wait in the queue of a socket at which nobody accepts.
            extra.sockets.clear();
            (extra.close)();
        }
        self.signal_children(signal);
        self.signal_successor(signal);
        if let Some(starting) = &self.starting {
            let _ = kill_process(starting.pid, signal);
        }
        self.once_more = false;
        if let Some(extra) = &self.extra {
            let left = if again { TICK } else { extra.patience.saturating_add(GRACE) };
            let deadline = Instant::now() + left.min(Duration::from_secs(u64::from(u32::MAX)));
            let children = std::mem::take(&mut self.children);
            self.leaving.extend(children.into_iter().map(|(id, child)| child.leaves(id, deadline)));
            let starting = self.starting.take();
            self.leaving.extend(starting.map(|starting| Leaving::generation(starting.pid, deadline)));
            if again {
                for leaving in &mut self.leaving {
                    let _ = kill_process(leaving.pid, Signal::QUIT);
                    leaving.deadline = deadline;
                }
            }
        }
    }

    /// Starts the next generation.
    pub(super) fn upgrade(&mut self) {
        let Some(extra) = &self.extra else { return };
        if self.starting.is_some() {
            tracing::info!(target: GENERAL, "A new generation is starting already; another follows");
            self.once_more = true;
            return;
        }
        systemd::tell_reloading();
        match Starting::spawn(&extra.program, &extra.sockets) {
            Ok(starting) => {
                let pid = starting.pid;
                tracing::info!(target: GENERAL, "A new generation starts (pid {pid})");
                self.starting = Some(starting);
            }
            Err(error) => Self::upgrade_failed(&format!("{}: {error}", extra.program.display())),
        }
    }

    pub(super) fn upgrade_once_more(&mut self) {
        if std::mem::take(&mut self.once_more) {
            self.upgrade();
        }
    }

    pub(super) fn upgrade_failed(why: &str) {
        tracing::error!(target: GENERAL, "The new generation failed, and nothing has changed: {why}");
        systemd::tell("READY=1\nSTATUS=The last reload failed");
    }

    /// The new generation serves; those before it may go.
    pub(super) fn hand_over(&mut self, pid: Pid) {
        tracing::info!(target: GENERAL, "The new generation serves (pid {pid}), the old one ends");
        systemd::tell("READY=1");
        self.paused = false;
        self.wanted = 0;
        self.dismiss_from(0);
        if let Some(former) = self.successor.replace(pid) {
            let deadline = self.deadline();
            let _ = kill_process(former, Signal::TERM);
            self.leaving.push(Leaving::generation(former, deadline));
        }
    }

    /// Lets the workers from this number on drain and end.
    pub(super) fn dismiss_from(&mut self, id: usize) {
        let deadline = self.deadline();
        for (id, child) in self.children.split_off(&id) {
            let _ = kill_process(child.pid, Signal::TERM);
            self.leaving.push(child.leaves(id, deadline));
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        let patience = self.extra.as_ref().map_or(Duration::ZERO, |extra| extra.patience);
        Instant::now() + patience.saturating_add(GRACE).min(Duration::from_secs(u64::from(u32::MAX)))
    }

    pub(super) fn signal_children(&self, signal: Signal) {
        for child in self.children.values() {
            // The child may be gone already, which SIGCHLD will tell.
            let _ = kill_process(child.pid, signal);
        }
    }

    pub(super) fn signal_successor(&self, signal: Signal) {
        if let Some(pid) = self.successor {
            let _ = kill_process(pid, signal);
        }
    }
}

fn name_of(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "SIGINT",
        Signal::QUIT => "SIGQUIT",
        _ => "SIGTERM",
    }
}
