//! Network helpers: binding and accepting (Tornado's `tornado.netutil`).

mod address;

pub use address::Address;
