//! Network helpers: binding and accepting (Tornado's `tornado.netutil`).

mod accept;
mod address;
mod bind;
mod context;
#[cfg(feature = "hickory")]
mod hickory;
mod resolver;

pub use accept::{Connection, add_accept_handler};
pub use address::Address;
pub use bind::{
    BindError, BindOptions, DEFAULT_BACKLOG, Family, Listener, bind_sockets, bind_unix_socket, is_valid_ip,
};

#[cfg(feature = "hickory")]
pub use hickory::HickoryResolver;
pub use resolver::{
    BlockingResolver, CachingResolver, OverrideResolver, Resolver, Resolving, SystemResolver,
};

pub(crate) use accept::Acceptor;
pub(crate) use context::{spawn, within};
