//! The client's side: one connection, and many requests on it.

mod convert;
mod driver;
mod ends;
mod exchange;
mod failure;
mod heads;
mod heard;
mod session;
mod settings;
mod sink;
mod tunnel;

pub(crate) use convert::Request;
pub(crate) use exchange::{Exchange, Received, Reception};
pub(crate) use failure::Failure;
pub(crate) use session::{Place, Session};
pub(crate) use settings::Settings;
pub(crate) use sink::Sink;
