//! Network helpers: binding and accepting (Tornado's `tornado.netutil`).

mod accept;
mod address;
mod bind;
mod context;
#[cfg(feature = "hickory")]
mod hickory;
mod proxy_protocol;
mod resolver;

pub use accept::{Connection, add_accept_handler};
pub use address::Address;
pub use bind::{
    BindError, BindOptions, DEFAULT_BACKLOG, Family, Listener, bind_sockets, bind_unix_socket, is_valid_ip,
};

#[cfg(feature = "hickory")]
pub use hickory::HickoryResolver;
#[doc(hidden)]
pub use proxy_protocol::__fuzz as __fuzz_proxy_protocol;
pub use proxy_protocol::{InvalidNetwork, Network};
pub use resolver::{
    BlockingResolver, CachingResolver, OverrideResolver, Resolver, Resolving, SystemResolver,
};

pub(crate) use accept::Acceptor;
pub(crate) use context::{spawn, spawn_here, within};
pub(crate) use proxy_protocol::{MAX_V2, Progress, parse as parse_proxy_header};
