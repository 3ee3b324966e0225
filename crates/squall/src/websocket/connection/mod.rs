//! What drives the machines over a stream: sockets, queues, rooms.

pub(super) mod broadcast;
mod compressing;
pub(super) mod driver;
pub(super) mod farewell;
pub(super) mod outgoing;
mod pool;
mod queue;
mod random;
pub(super) mod sender;
pub(super) mod set;
pub(super) mod socket;
pub(super) mod stream;
mod watch;
