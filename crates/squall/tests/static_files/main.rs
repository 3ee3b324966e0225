//! Static files over real sockets: Tornado's `StaticFileTest` and its kin as tables, paths and links that lead out,
//! large files, slow readers, slow disks.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hooks;
mod large;
mod paths;
mod semantics;
mod support;
