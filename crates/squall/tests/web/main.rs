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
mod hooks;
mod httputil;
mod layers_mixed;
#[path = "../support/log.rs"]
mod log;
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
#[path = "../support/waiting.rs"]
mod waiting;
mod watched;
mod xsrf;

use std::cell::RefCell;
use std::rc::Rc;

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
