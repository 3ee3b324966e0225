//! The web framework over real sockets, one file per topic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod debug;
mod ready_made;
mod users;
mod xsrf;
