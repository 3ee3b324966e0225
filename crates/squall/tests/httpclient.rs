//! The HTTP client against squall's own server, and against a server that plays a script byte by byte.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "httpclient/bad_servers.rs"]
mod bad_servers;
#[path = "httpclient/connections.rs"]
mod connections;
#[path = "httpclient/proxies.rs"]
mod proxies;
#[path = "httpclient/requests.rs"]
mod requests;
#[path = "httpclient/script.rs"]
mod script;
#[path = "httpclient/tornado_common.rs"]
mod tornado_common;
#[path = "httpclient/tornado_simple.rs"]
mod tornado_simple;
