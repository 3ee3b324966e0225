//! Options, programs that start again, rooms across processes; the program of the design; the rules of this house.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod autoreload;
#[cfg(all(feature = "templates", feature = "websocket"))]
mod design;
mod layers;
mod names;
mod options;
#[cfg(feature = "redis")]
mod redis;
mod sources;
mod tables;
mod vocabulary;
