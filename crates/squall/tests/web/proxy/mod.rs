//! The reverse proxy, by the bytes on both of its sides.

mod cases;
pub(crate) mod heads;
mod live;
mod peers;
mod random;
mod script;
mod stalls;
mod streams;
mod table;
mod tunnels;
pub(crate) mod uploads;
