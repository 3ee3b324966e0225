//! A worker's side of its supervision: it tells its parent how it is, and ends with it.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ioloop::IoLoop;
use crate::log::{self, GENERAL};

/// How often a worker says that it is alive.
pub(super) const BEAT: Duration = Duration::from_secs(1);

/// What a worker says, each in a byte.
pub(super) const SERVING: u8 = b'S';
pub(super) const BEATING: u8 = b'B';
/// It drains, and a successor is to start.
pub(super) const RETIRING: u8 = b'R';

static TO_PARENT: Mutex<Option<UnixStream>> = Mutex::new(None);

/// The worker's end of the pair of sockets between it and its parent.
pub(super) fn keep(end: OwnedFd) {
    *TO_PARENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(UnixStream::from(end));
}

fn say(what: u8) {
    if let Some(parent) = &*TO_PARENT.lock().unwrap_or_else(PoisonError::into_inner) {
        // It does not block. A parent that is gone is noticed elsewhere; one that does not read knows enough.
        let _ = (&*parent).write(&[what]);
    }
}

/// To be called once the loop is about to serve: says so, goes on saying that it is alive, and ends the process when the
/// parent has ended. The kernel does that too, except for a parent that ended before it was asked to.
pub(crate) fn live_as_worker() {
    say(SERVING);
    let parent = {
        let parent = TO_PARENT.lock().unwrap_or_else(PoisonError::into_inner);
        parent.as_ref().and_then(|parent| parent.try_clone().ok())
    };
    let Some(parent) = parent else { return };
    IoLoop::current().spawn_callback(async move {
        loop {
            tokio::time::sleep(BEAT).await;
            say(BEATING);
            if let Ok(0) = (&parent).read(&mut [0]) {
                tracing::error!(target: GENERAL, "the parent process has ended, and this one with it");
                log::write_at_once();
                std::process::exit(1);
            }
        }
    });
}

/// Has the parent start a successor; this one is about to drain.
pub(crate) fn say_retiring() {
    say(RETIRING);
}
