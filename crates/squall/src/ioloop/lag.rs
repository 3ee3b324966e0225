//! How late the loop comes to what is due.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::IoLoop;
use crate::metrics;

/// How often it is measured.
const INTERVAL: Duration = Duration::from_millis(500);

/// Measures from now on, on the current loop, if anything is counted on this thread.
pub(crate) fn measure_lag() {
    thread_local! {
        static MEASURING: RefCell<Option<JoinHandle<()>>> = const { RefCell::new(None) };
    }
    let measures = MEASURING.with_borrow(|task| task.as_ref().is_some_and(|task| !task.is_finished()));
    if measures || !metrics::is_on() {
        return;
    }
    let task = IoLoop::current().spawn(async {
        loop {
            let due = Instant::now() + INTERVAL;
            tokio::time::sleep_until(due.into()).await;
            metrics::loop_lag(due.elapsed());
        }
    });
    MEASURING.set(Some(task));
}
