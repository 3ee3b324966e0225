//! Handlers that are ready-made.

pub(in crate::web) mod health;
pub(in crate::web) mod metrics;
pub(in crate::web) mod redirect;
#[cfg(feature = "websocket")]
pub(in crate::web) mod websocket;
