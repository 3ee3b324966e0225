//! System calls that no safe wrapper offers, and facts about the machine.
//!
//! This is the only module of the crate that may hold `unsafe` code.

pub(crate) mod addrinfo;
mod descriptors;
mod fd;
mod fork;
mod recycled;
#[cfg(feature = "templates")]
mod scoped;
mod shared;
mod signals;
pub(crate) mod utf8;

pub(crate) use descriptors::close_descriptors_on_exec;
pub(crate) use fd::{adopt, poll, watch, watch_owned};
pub(crate) use fork::{ForkFailure, Forked, fork, thread_count};
pub(crate) use recycled::RecycledFuture;
#[cfg(feature = "templates")]
pub(crate) use scoped::Scoped;
pub(crate) use shared::shared_words;
pub(crate) use signals::{BlockedSignals, keep_dead_children, unblock};

/// The number of processors this process may use, at least 1.
///
/// Honours the affinity mask and cgroup quotas, as a container expects.
pub(crate) fn cpu_count() -> usize {
    std::thread::available_parallelism().map_or_else(
        |_| {
            tracing::error!(
                target: crate::log::GENERAL,
                "Could not detect number of processors; assuming 1"
            );
            1
        },
        std::num::NonZero::get,
    )
}
