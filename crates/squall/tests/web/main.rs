//! The web framework over real sockets, one file per topic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod arguments;
mod around;
#[cfg(feature = "auth")]
mod auth;
mod compression;
mod cookies;
mod cors;
mod debug;
#[path = "../support/events.rs"]
mod events;
mod hooks;
mod httputil;
mod mistakes;
mod names;
mod proxy;
mod ready_made;
mod render;
mod routing_patterns;
mod signed_by_tornado;
mod static_files;
mod testing;
mod testing_tools;
#[cfg(feature = "tower")]
mod tower;
mod users;
mod watched;
mod xsrf;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use tracing::subscriber::DefaultGuard;

/// Lines of the log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Those since the last call.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Collects what is logged on this thread.
fn log_lines() -> (Lines, DefaultGuard) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    events::keep();
    (lines, tracing::subscriber::set_default(subscriber))
}

/// What has happened, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }

    fn take(&self) -> String {
        self.0.take().join(" ")
    }
}
