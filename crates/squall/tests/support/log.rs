//! What is logged while a test runs, beside others.
#![allow(dead_code, reason = "each program uses its part")]

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// Lines of the log.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// What is logged on this thread until the guard is dropped.
    pub(crate) fn capture() -> (Self, DefaultGuard) {
        Self::capture_by(|lines| tracing_subscriber::fmt().with_ansi(false).with_writer(lines).finish())
    }

    /// The same in another form.
    pub(crate) fn capture_by<S: Into<Dispatch>>(subscriber: impl FnOnce(Self) -> S) -> (Self, DefaultGuard) {
        keep();
        let lines = Self::default();
        let guard = tracing::dispatcher::set_default(&subscriber(lines.clone()).into());
        (lines, guard)
    }

    /// All so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Those since the last call.
    pub(crate) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
    }

    /// How many have this in them.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.text().lines().filter(|line| line.contains(what)).count()
    }
}

impl io::Write for Lines {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Keeps two more subscribers than the test's own. With a single one `tracing` asks only that of the thread that comes to an event
/// first whether anybody wants it, and remembers a no for all: a test that listens then misses what another one caused before.
fn keep() {
    static KEPT: OnceLock<[Dispatch; 2]> = OnceLock::new();
    KEPT.get_or_init(|| {
        [0, 1].map(|_| Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish()))
    });
}
