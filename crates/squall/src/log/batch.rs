//! Lines of the log are written by a thread, in batches, while a server serves: a request does not wait for the disk, and
//! a reader that has stopped reading stops nobody.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many bytes may wait to be written; lines beyond are dropped and counted.
const LONGEST: usize = 1 << 20;

/// How long lines are gathered after a batch.
const GATHER: Duration = Duration::from_millis(5);

/// Between those who log and the thread that writes.
#[derive(Default)]
pub(super) struct Batches {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// There is a thread that writes.
    running: bool,
    waiting: Vec<u8>,
    /// The memory of the batch before.
    spare: Vec<u8>,
    dropped: u64,
    /// The thread has taken lines and not written them yet.
    writing: bool,
}

impl Batches {
    /// Starts the thread, which gives batches to `write` until [`stop`](Self::stop), and to `missed` how many lines are
    /// missing after the one that comes. Does nothing while there is one.
    pub(super) fn start(
        self: &Arc<Self>,
        mut write: impl FnMut(&[u8]) + Send + 'static,
        missed: impl Fn(u64) + Send + 'static,
    ) {
        if std::mem::replace(&mut self.lock().running, true) {
            return;
        }
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            while let Some((batch, dropped)) = shared.next() {
                if dropped > 0 {
                    // Whatever it logs about that waits before all that came later.
                    missed(dropped);
                }
                write(&batch);
                shared.written(batch);
                shared.changed.notify_all();
                std::thread::sleep(GATHER);
            }
        });
        if thread.is_err() {
            // Then each line is written by who logs it, as before.
            self.lock().running = false;
        }
    }

    /// Takes a line; false when there is no thread to write it.
    pub(super) fn push(&self, line: &[u8]) -> bool {
        let mut state = self.lock();
        if !state.running {
            return false;
        }
        if state.waiting.len() + line.len() > LONGEST {
            state.dropped += 1;
            return true;
        }
        let was_empty = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        drop(state);
        if was_empty {
            self.changed.notify_all();
        }
        true
    }

    /// Waits until everything is written, but no longer than `patience`, and ends the thread.
    pub(super) fn stop(&self, patience: Duration) {
        let mut state = self.lock();
        if !state.running {
            return;
        }
        state.running = false;
        self.changed.notify_all();
        let is_busy = |state: &mut State| state.writing || !state.waiting.is_empty();
        drop(self.changed.wait_timeout_while(state, patience, is_busy));
    }

    /// The lines that wait, as soon as there are any, and how many did not find room; `None` at the end.
    fn next(&self) -> Option<(Vec<u8>, u64)> {
        let is_idle = |state: &mut State| state.waiting.is_empty() && state.running;
        let waited = self.changed.wait_while(self.lock(), is_idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() {
            return None;
        }
        state.writing = true;
        let spare = std::mem::take(&mut state.spare);
        let batch = std::mem::replace(&mut state.waiting, spare);
        Some((batch, std::mem::take(&mut state.dropped)))
    }

    fn written(&self, mut batch: Vec<u8>) {
        batch.clear();
        let mut state = self.lock();
        state.writing = false;
        state.spare = batch;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn lines_come_in_order_and_what_is_too_much_is_counted() {
        let batches = Arc::<Batches>::default();
        assert!(!batches.push(b"nobody writes\n"));
        let (written, writes) = mpsc::channel();
        let (go, may_go) = mpsc::channel::<()>();
        let logged = Arc::clone(&batches);
        batches.start(
            move |batch| {
                written.send(batch.to_vec()).unwrap();
                // Stuck until the test says so.
                let _ = may_go.recv();
            },
            move |lines| assert!(logged.push(format!("{lines} are missing\n").as_bytes())),
        );
        assert!(batches.push(b"first\n"));
        assert_eq!(writes.recv().unwrap(), b"first\n");
        let large = vec![b'x'; LONGEST];
        for line in [&b"second\n"[..], b"third\n", &large, &large, b"fourth\n"] {
            assert!(batches.push(line));
        }
        go.send(()).unwrap();
        let text = String::from_utf8(writes.recv().unwrap()).unwrap();
        assert_eq!(text, "second\nthird\nfourth\n");
        batches.push(b"last\n");
        drop(go);
        batches.stop(Duration::from_secs(20));
        assert_eq!(writes.recv().unwrap(), b"2 are missing\nlast\n");
        assert!(writes.recv().is_err(), "the thread has ended");
        assert!(!batches.push(b"nobody writes\n"));
    }

    #[test]
    fn a_writer_that_is_stuck_keeps_nobody_from_ending() {
        let batches = Arc::<Batches>::default();
        let (_go, may_go) = mpsc::channel::<()>();
        batches.start(
            move |_| {
                let _ = may_go.recv();
            },
            |_| (),
        );
        batches.push(b"a\n");
        batches.stop(Duration::from_millis(1));
    }
}
