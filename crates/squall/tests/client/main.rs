//! The client against squall's server, against scripts, and against other servers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::duplicate_mod, reason = "what is done in the clear is done again over TLS")]

mod httpclient;
mod servers;
#[path = "../support/waiting.rs"]
mod waiting;
