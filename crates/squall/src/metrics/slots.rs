//! The slabs of the processes that a supervisor forks.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Pid;

use super::slab::{Slab, WORDS};
use super::{RECORDER, SLAB, ours};
use crate::log::GENERAL;
use crate::sys;

/// In front of the slabs, in a page of its own: how many have ever been used, and how often a process was restarted.
const HEADER: usize = 512;
const HIGHEST: usize = 0;
const RESTARTS: usize = 1;

/// At least so many processes at once have a slab: those that are drained while others start have theirs too.
const FEWEST: usize = 64;

static SHARED: OnceLock<&'static [AtomicU64]> = OnceLock::new();

/// Who has which slab; kept by the process that forks.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    owners: Vec<Option<Pid>>,
}

impl Slots {
    /// To be made before the first of `processes` is forked. Costs no memory that nobody counts in.
    pub(crate) fn new(processes: usize) -> Self {
        let count = processes.saturating_mul(4).max(FEWEST);
        let words = count.checked_mul(WORDS).and_then(|words| words.checked_add(HEADER)).unwrap_or(0);
        if SHARED.get().is_none() {
            match sys::shared_words(words) {
                Ok(words) => {
                    let _ = SHARED.set(words);
                }
                Err(error) => {
                    tracing::warn!(target: GENERAL, "Metrics are those of single processes: {error}");
                    return Self::default();
                }
            }
        }
        Self { owners: vec![None; count] }
    }

    /// The slab that the next process is to have; `None` when there are none left, and then it counts by itself.
    pub(crate) fn next(&self) -> Option<usize> {
        let slot = self.owners.iter().position(Option::is_none)?;
        let highest = &SHARED.get()?[HIGHEST];
        if highest.load(Ordering::Relaxed) <= slot as u64 {
            highest.store(slot as u64 + 1, Ordering::Release);
        }
        Some(slot)
    }

    pub(crate) fn taken(&mut self, slot: usize, pid: Pid) {
        self.owners[slot] = Some(pid);
    }

    /// The process has ended; another may go on counting.
    pub(crate) fn ended(&mut self, pid: Pid) {
        let Some(slot) = self.owners.iter().position(|owner| *owner == Some(pid)) else { return };
        self.owners[slot] = None;
        if let Some(slab) = slab(slot) {
            slab.end();
        }
    }

    /// A process is started in the place of one that crashed.
    pub(crate) fn count_restart() {
        if let Some(shared) = SHARED.get() {
            shared[RESTARTS].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// This is the new process, and what it counts belongs there.
pub(crate) fn enter(slot: Option<usize>) {
    // What the parent counted is not this one's.
    let inherited = RECORDER.take();
    SLAB.set(None);
    std::mem::forget(inherited);
    let mut ours = ours();
    ours.private.clear();
    ours.free.clear();
    ours.of_worker = slot.and_then(slab);
}

/// All that have ever been used, and the number of restarts.
pub(super) fn shared() -> (Vec<Slab>, Option<u64>) {
    let Some(shared) = SHARED.get() else { return (Vec::new(), None) };
    let highest = shared[HIGHEST].load(Ordering::Acquire) as usize;
    ((0..highest).filter_map(slab).collect(), Some(shared[RESTARTS].load(Ordering::Relaxed)))
}

fn slab(slot: usize) -> Option<Slab> {
    let start = HEADER + slot * WORDS;
    Slab::new(SHARED.get()?.get(start..start + WORDS)?)
}
