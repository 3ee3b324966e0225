//! The cases of `cases.rs` the other way round, as Autobahn has them for clients: a server that plays a script sends the frames,
//! and our client echoes.

mod http1;
#[cfg(feature = "http2")]
mod http2;
mod script;
