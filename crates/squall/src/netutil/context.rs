//! Which loop a stream or server belongs to.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::ioloop::IoLoop;
use crate::stack_context::{Captured, NullContext, Scoped};

/// Runs `task` on the loop (or other tokio runtime with local tasks) that is running, or else, once it is started, on
/// this thread's current loop.
///
/// In no context: for what is the library's own, or shared. See [`spawn_here`].
pub(crate) fn spawn(task: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    if Handle::try_current().is_ok() {
        return tokio::task::spawn_local(task);
    }
    NullContext::run(|| IoLoop::current().spawn(task))
}

/// As [`spawn`], in the present [contexts](crate::stack_context): for what calls the application.
pub(crate) fn spawn_here(task: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    let contexts = Captured::now();
    if contexts.is_null() { spawn(task) } else { spawn(Scoped::captured(contexts, task)) }
}

/// Calls `register` where tokio finds a reactor; chosen as by [`spawn`].
pub(crate) fn within<R>(register: impl FnOnce() -> R) -> R {
    if Handle::try_current().is_ok() {
        return register();
    }
    let io_loop = IoLoop::current();
    let _context = io_loop.enter();
    register()
}
