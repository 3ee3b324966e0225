//! The reverse proxy, by the bytes on both of its sides.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod heads;
mod live;
mod peers;
mod random;
mod script;
mod stalls;
mod streams;
mod table;
mod tunnels;
mod uploads;
