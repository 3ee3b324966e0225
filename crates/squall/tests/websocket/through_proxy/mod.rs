//! WebSockets through the reverse proxy, between the versions: the cases of `cases.rs`, and what only a proxy has.

mod from_http1;
mod from_http2;
mod over_http2;
mod support;
mod tunnels;
