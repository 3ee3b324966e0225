//! The web framework over real sockets, one file per topic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod around;
#[cfg(feature = "auth")]
mod auth;
mod compression;
mod cors;
mod debug;
mod hooks;
mod httputil;
mod names;
mod ready_made;
mod render;
mod testing_tools;
mod users;
mod xsrf;
