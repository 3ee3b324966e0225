//! What is counted for [`web::metrics`](crate::web::metrics): numbers in slabs of atomic words, one for each process.
//!
//! Nothing is counted on a thread until [`enable`] was called there. A slab has one writer, so counting is a load and a
//! store. The slabs of the processes that a supervisor forks are in memory that they share, made before the first fork;
//! so each of them can add up all. A slab outlives its process, and the next one goes on counting in it: what only
//! grows never goes backwards.

mod slab;
mod slots;
mod text;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rapidhash::fast::RandomState;

pub(crate) use slab::Value;
pub(crate) use slots::{Slots, enter};
pub(crate) use text::render;

use slab::{Key, REQUESTS, Slab, Table};

thread_local! {
    /// Where this thread counts.
    static SLAB: Cell<Option<Slab>> = const { Cell::new(None) };
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// Counts from now on what happens on this thread.
pub(crate) fn enable() {
    if is_on() {
        return;
    }
    let lease = Lease::new();
    SLAB.set(Some(lease.0));
    RECORDER.set(Some(Recorder { lease, requests: Index::default(), fetches: Index::default() }));
}

/// Whether anything is counted on this thread.
#[inline]
pub(crate) fn is_on() -> bool {
    SLAB.get().is_some()
}

/// Adds to a value, if anything is counted here.
#[inline]
pub(crate) fn add(value: Value, amount: u64) {
    if let Some(slab) = SLAB.get() {
        slab.add(value, amount);
    }
}

/// Takes away from what goes up and down.
#[inline]
pub(crate) fn subtract(value: Value, amount: u64) {
    // The sum wraps, as negative numbers do.
    add(value, amount.wrapping_neg());
}

/// Something that there is as long as this is.
#[derive(Debug)]
pub(crate) struct Counted(Option<Value>);

impl Counted {
    pub(crate) fn new(value: Value) -> Self {
        add(value, 1);
        Self(is_on().then_some(value))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(value) = self.0 {
            subtract(value, 1);
        }
    }
}

/// Where the numbers of the label set are that a route counted last: most of its requests have the same one.
#[derive(Default)]
pub(crate) struct LastCounted(Cell<Option<(Slab, u64, usize)>>);

/// A request was answered, or its client left.
pub(crate) fn request(
    last: &LastCounted,
    route: &str,
    method: &str,
    status: u16,
    version: http::Version,
    took: Duration,
) {
    let key = Key::request(route, method, status, version);
    // A process that was forked meanwhile has another slab.
    if let Some((slab, parts, entry)) = last.0.get()
        && parts == key.parts
        && SLAB.get() == Some(slab)
    {
        return slab.observe(entry, took);
    }
    record(|recorder| {
        let slab = recorder.lease.0;
        let entry = recorder.requests.entry(slab, REQUESTS, key);
        last.0.set(Some((slab, key.parts, entry)));
        slab.observe(entry, took);
    });
}

/// A fetch of the client has a response, by its status and version, or an error.
#[cfg(feature = "client")]
pub(crate) fn fetch(method: &str, answer: Option<(u16, http::Version)>, took: Duration) {
    record(|recorder| {
        let slab = recorder.lease.0;
        let entry = recorder.fetches.entry(slab, slab::FETCHES, Key::fetch(method, answer));
        slab.observe(entry, took);
    });
}

/// The loop came so late to something that was due.
pub(crate) fn loop_lag(late: Duration) {
    if let Some(slab) = SLAB.get() {
        slab.observe_lag(late);
    }
}

fn record(f: impl FnOnce(&mut Recorder)) {
    if is_on() {
        RECORDER.with_borrow_mut(|recorder| recorder.as_mut().map(f));
    }
}

/// What a thread needs to find its numbers.
struct Recorder {
    lease: Lease,
    requests: Index,
    #[cfg_attr(not(feature = "client"), expect(dead_code, reason = "nothing fetches"))]
    fetches: Index,
}

/// Where the numbers of a label set are, by its text and its other parts. As large as the table at most.
#[derive(Default)]
struct Index {
    entries: HashMap<Box<str>, Vec<(u64, usize)>, RandomState>,
    /// The table has no more room, and need not be searched for what is not here.
    full: bool,
}

impl Index {
    fn entry(&mut self, slab: Slab, table: Table, key: Key<'_>) -> usize {
        let same_text = self.entries.get(key.text);
        if let Some((_, entry)) = same_text.and_then(|all| all.iter().find(|(parts, _)| *parts == key.parts))
        {
            return *entry;
        }
        let added = if self.full { None } else { slab.find_or_add(table, key) };
        let Some(entry) = added else {
            self.full = true;
            return table.rest();
        };
        self.entries.entry(key.text.into()).or_default().push((key.parts, entry));
        entry
    }
}

/// The slabs of this process.
#[derive(Default)]
struct Ours {
    /// Of a forked process: its place in the memory that all share, until a thread has taken it.
    of_worker: Option<Slab>,
    /// Those of its own.
    private: Vec<Slab>,
    /// Those of `private` whose threads have ended; the next one goes on counting there.
    free: Vec<Slab>,
}

static OURS: Mutex<Ours> = Mutex::new(Ours { of_worker: None, private: Vec::new(), free: Vec::new() });

fn ours() -> MutexGuard<'static, Ours> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A slab that nobody else writes to meanwhile.
struct Lease(Slab);

impl Lease {
    fn new() -> Self {
        let mut ours = ours();
        let slab = ours.of_worker.take().or_else(|| ours.free.pop()).unwrap_or_else(|| {
            let slab = Slab::private();
            ours.private.push(slab);
            slab
        });
        slab.begin();
        Self(slab)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The thread ends, and its other destructors may count.
        let _ = SLAB.try_with(|slab| slab.set(None));
        self.0.end();
        let mut ours = ours();
        if ours.private.contains(&self.0) {
            ours.free.push(self.0);
        } else {
            ours.of_worker = Some(self.0);
        }
    }
}

#[cfg(test)]
mod tests;
