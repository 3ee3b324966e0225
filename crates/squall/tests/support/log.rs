//! Events of one test, beside others.

use std::io;
use std::sync::OnceLock;

use tracing::Dispatch;

/// Keeps two more subscribers than the test's own. With a single one `tracing` asks only that of the thread that comes to an event
/// first whether anybody wants it, and remembers a no for all: a test that listens then misses what another one caused before.
pub(crate) fn keep() {
    static KEPT: OnceLock<[Dispatch; 2]> = OnceLock::new();
    KEPT.get_or_init(|| {
        [0, 1].map(|_| Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish()))
    });
}
