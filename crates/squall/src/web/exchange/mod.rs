//! From a request to the end of its response: what runs a handler, and what is around it.

pub(in crate::web) mod access_log;
pub(in crate::web) mod around;
pub(in crate::web) mod cors;
pub(in crate::web) mod debug;
pub(in crate::web) mod execute;
pub(in crate::web) mod handler;
pub(in crate::web) mod receive;
pub(in crate::web) mod request_id;
pub(in crate::web) mod span;
