//! Looking after workers and generations: who is silent, who is overdue, who has ended.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};

use super::super::{EX_CONFIG, ForkError, generation, systemd, worker};
use super::orders::GRACE;
use super::{Leaving, Role, SHORT_TICK, Supervisor, TICK};
use crate::log::GENERAL;
use crate::metrics::Slots;

impl Supervisor {
    pub(super) fn look_after(&mut self) -> Result<Option<Role>, ForkError> {
        let Some(extra) = &self.extra else { return Ok(None) };
        let heartbeat = extra.heartbeat;
        if extra.watchdog.is_some_and(|interval| self.told.elapsed() >= interval.min(TICK)) {
            systemd::tell("WATCHDOG=1");
            self.told = Instant::now();
        }
        let retiring = self.listen(heartbeat);
        self.kill_overdue();
        self.look_at_the_new_generation();
        // Told to stop, they retire as well.
        let retiring = if self.stopping.is_some() { Vec::new() } else { retiring };
        for id in retiring {
            if let Some(former) = self.children.remove(&id) {
                tracing::info!(target: GENERAL, "child {id} (pid {}) retires", former.pid);
                let deadline = self.deadline();
                self.leaving.push(former.leaves(id, deadline));
                self.restarts.started(id, Instant::now());
                if self.start_child(id, Duration::ZERO)? {
                    return Ok(Some(Role::Child { id, delay: Duration::ZERO }));
                }
            }
        }
        Ok(None)
    }

    /// Reads what the workers say: which of them retire. Kills those that have been silent for too long.
    pub(super) fn listen(&mut self, heartbeat: Option<Duration>) -> Vec<usize> {
        let mut retiring = Vec::new();
        for (&id, child) in &mut self.children {
            let mut said = [0; 64];
            while let Some(Ok(length @ 1..)) = child.says.as_mut().map(|says| says.read(&mut said)) {
                child.heard = child.heard.max(Instant::now());
                child.serving |= said[..length].contains(&worker::SERVING);
                if said[..length].contains(&worker::RETIRING) {
                    retiring.push(id);
                }
            }
            // Of a worker that starts, since it was to begin.
            let silent = Instant::now().saturating_duration_since(child.heard);
            if heartbeat.is_some_and(|longest| silent > longest.max(2 * worker::BEAT)) {
                let (pid, seconds) = (child.pid, silent.as_secs());
                let what = if child.serving { "answered for" } else { "begun to serve within" };
                tracing::error!(
                    target: GENERAL, "child {id} (pid {pid}) has not {what} {seconds} s and is killed"
                );
                let _ = kill_process(pid, Signal::KILL);
                child.serving = false;
                // Until it has ended.
                child.heard = Instant::now() + GRACE;
            }
        }
        if !self.announced
            && self.children.len() == self.wanted
            && self.children.values().all(|child| child.serving)
        {
            self.announced = true;
            generation::say_serving();
        }
        retiring
    }

    pub(super) fn kill_overdue(&mut self) {
        let now = Instant::now();
        for leaving in self.leaving.iter_mut().filter(|leaving| leaving.deadline <= now) {
            let pid = leaving.pid;
            match leaving.id {
                Some(id) => {
                    tracing::error!(target: GENERAL, "child {id} (pid {pid}) does not end and is killed");
                }
                None => {
                    tracing::error!(target: GENERAL, "the generation (pid {pid}) does not end and is killed");
                }
            }
            let _ = kill_process(pid, Signal::KILL);
            leaving.deadline = now + GRACE;
        }
    }

    pub(super) fn look_at_the_new_generation(&mut self) {
        let Some(starting) = &self.starting else { return };
        let pid = starting.pid;
        if starting.serves() {
            self.starting = None;
            self.hand_over(pid);
            self.upgrade_once_more();
        } else if starting.deadline <= Instant::now() {
            self.starting = None;
            let _ = kill_process(pid, Signal::KILL);
            self.leaving.push(Leaving::generation(pid, Instant::now() + GRACE));
            Self::upgrade_failed("it does not serve in time");
            self.upgrade_once_more();
        }
    }

    /// Takes note of the processes that ended; one SIGCHLD may stand for several. Other children of the process are left
    /// alone, unless it is the first of all, whose duty the strangers are.
    pub(super) fn reap(&mut self) -> Result<Option<Role>, ForkError> {
        let mut ended = Vec::new();
        if std::process::id() == 1 {
            while let Ok(Some((pid, status))) = waitpid(None, WaitOptions::NOHANG) {
                ended.push((pid, status));
            }
        } else {
            let ours = self.children.values().map(|child| child.pid);
            let ours = ours.chain(self.leaving.iter().map(|leaving| leaving.pid)).chain(self.successor);
            for pid in ours.chain(self.starting.as_ref().map(|starting| starting.pid)) {
                if let Some(found) = waitpid(Some(pid), WaitOptions::NOHANG).map_err(io::Error::from)? {
                    ended.push(found);
                }
            }
        }
        for (pid, status) in ended {
            if let Some(child) = self.ended(pid, status)? {
                return Ok(Some(child));
            }
        }
        Ok(None)
    }

    pub(super) fn ended(&mut self, pid: Pid, status: WaitStatus) -> Result<Option<Role>, ForkError> {
        self.slots.ended(pid);
        if let Some(id) = self.children.iter().find(|(_, child)| child.pid == pid).map(|(&id, _)| id) {
            self.children.remove(&id);
            if let Some(delay) = self.should_restart(id, pid, status)? {
                Slots::count_restart();
                if self.start_child(id, delay)? {
                    return Ok(Some(Role::Child { id, delay }));
                }
            }
        } else if let Some(at) = self.leaving.iter().position(|leaving| leaving.pid == pid) {
            if let Some(id) = self.leaving.swap_remove(at).id {
                log_end(id, pid, status, "");
            }
            self.note(status);
        } else if self.starting.as_ref().is_some_and(|starting| starting.pid == pid) {
            // It may have said so in its last moment; then it is a successor that died.
            self.starting = None;
            if self.stopping.is_none() {
                Self::upgrade_failed(&format!("it {}", describe(status)));
                self.upgrade_once_more();
                self.replace_successor()?;
            }
        } else if self.successor == Some(pid) {
            self.successor = None;
            self.successor_ended(pid, status)?;
        }
        Ok(None)
    }

    pub(super) fn successor_ended(&mut self, pid: Pid, status: WaitStatus) -> Result<(), ForkError> {
        if self.stopping.is_some() || status.exit_status() == Some(0) {
            self.note(status);
            return Ok(());
        }
        tracing::error!(target: GENERAL, "The generation that served (pid {pid}) {}", describe(status));
        self.replace_successor()
    }

    /// Starts another generation if nobody serves.
    pub(super) fn replace_successor(&mut self) -> Result<(), ForkError> {
        if !self.children.is_empty() || self.successor.is_some() || self.starting.is_some() || self.paused {
            return Ok(());
        }
        let delay = self.restarts.crashed(usize::MAX, Instant::now()).ok_or(ForkError::TooManyRestarts)?;
        std::thread::sleep(delay);
        self.upgrade();
        Ok(())
    }

    /// Whether it ended as it was asked to.
    pub(super) fn note(&mut self, status: WaitStatus) {
        if let Some(stop) = self.stopping {
            let signal = status.terminating_signal();
            self.clean &= status.exit_status() == Some(0)
                || signal == Some(stop.as_raw())
                || (self.extra.is_some() && signal == Some(Signal::QUIT.as_raw()));
        }
    }

    /// Logs how a child ended. Its successor, if there is to be one, begins after the time that this gives.
    pub(super) fn should_restart(
        &mut self,
        id: usize,
        pid: Pid,
        status: WaitStatus,
    ) -> Result<Option<Duration>, ForkError> {
        if status.exit_status() == Some(EX_CONFIG) && self.stopping.is_none() {
            return Err(ForkError::Misconfigured(id));
        }
        let ends = self.stopping.is_some() || status.exit_status() == Some(0);
        log_end(id, pid, status, if ends { "" } else { ", restarting" });
        if ends {
            self.note(status);
            return Ok(None);
        }
        self.restarts.crashed(id, Instant::now()).ok_or(ForkError::TooManyRestarts).map(Some)
    }

    /// Ends all children and waits for them.
    pub(in crate::process) fn stop_all(&mut self) {
        let signal = self.stop_signal();
        let starting = self.starting.take().map(|starting| starting.pid);
        let ours = std::mem::take(&mut self.children).into_values().map(|child| child.pid);
        let leaving = std::mem::take(&mut self.leaving).into_iter().map(|leaving| leaving.pid);
        let all: Vec<Pid> = ours.chain(leaving).chain(self.successor.take()).chain(starting).collect();
        for &pid in &all {
            let _ = kill_process(pid, signal);
        }
        let deadline = self.deadline();
        for pid in all {
            let has_ended = || !matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None));
            while !has_ended() {
                // Those of `fork_processes` have as long as they like.
                if self.extra.is_some() && Instant::now() >= deadline {
                    let _ = kill_process(pid, Signal::KILL);
                }
                std::thread::sleep(SHORT_TICK);
            }
        }
    }
}

fn log_end(id: usize, pid: Pid, status: WaitStatus, then: &str) {
    if status.exit_status() == Some(0) {
        tracing::info!(target: GENERAL, "child {id} (pid {pid}) exited normally");
    } else {
        tracing::warn!(target: GENERAL, "child {id} (pid {pid}) {}{then}", describe(status));
    }
}

fn describe(status: WaitStatus) -> String {
    match status.terminating_signal() {
        Some(signal) => format!("killed by signal {signal}"),
        None => format!("exited with status {}", status.exit_status().unwrap_or(-1)),
    }
}
