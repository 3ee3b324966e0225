//! A loop in a thread that somebody else owns: turn by turn, with the host's callbacks, timeouts and descriptors in it.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::running::Running;
use super::{IoLoop, StartError, watchdog};

/// Embedding.
///
/// A host that owns the thread, such as another event loop, an editor or an interpreter, runs squall by turns. What the
/// host itself has to do, it gives to the loop: callbacks, timeouts and [handlers](IoLoop::add_handler) for its
/// descriptors. A turn ends as soon as one of those has run, so that the host can look after what they have led to; requests
/// are served meanwhile without the host being asked.
///
/// ```
/// use std::cell::Cell;
/// use std::io::Write;
/// use std::os::unix::net::UnixStream;
/// use std::rc::Rc;
/// use std::time::Duration;
/// use squall::ioloop::{Events, IoLoop, Turn};
///
/// let io_loop = IoLoop::new()?;
/// // Servers and clients of squall are started here, with `io_loop` as the current loop.
/// io_loop.make_current();
/// let (mut far, near) = UnixStream::pair()?;
/// let noticed = Rc::new(Cell::new(false));
/// let seen = Rc::clone(&noticed);
/// io_loop.add_handler(near, move |_, _| seen.set(true), Events::READ)?;
/// far.write_all(b"x")?;
/// while !noticed.get() {
///     match io_loop.turn(Some(Duration::from_secs(1)))? {
///         Turn::Ran => {}        // the host's code has run: its own work comes now
///         Turn::TimedOut => {}   // nothing of the host's was due for a second
///         Turn::Stopped => break,
///         _ => {}
///     }
/// }
/// assert!(noticed.get());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// **A host with a set of its own** (`epoll`, `kqueue`) need not give up its loop: such a set is a descriptor, too, which
/// is readable while one of its members is ready. [Add](IoLoop::add_handler) it with [`Events::READ`](super::Events::READ),
/// and let the handler take its events without waiting.
///
/// **The other way round is not possible**: tokio does not give out the descriptor that it waits on, so squall cannot be a
/// member of the host's set. A host that must wait elsewhere calls `turn(Some(Duration::ZERO))` from time to time, which
/// does what is ready and waits for nothing.
impl IoLoop {
    /// Runs the loop for one turn: what is ready, then what the system, timers and other threads bring, until a callback, a
    /// timeout or a handler of the host's has run, at the latest for `timeout` (`None`: for ever; zero: without waiting).
    ///
    /// Futures that were spawned, and all that serves connections, do not end a turn; a future that has something to tell
    /// the host does so by a callback ([`add_future`](Self::add_future)). When a turn ends, more may be ready than has run:
    /// that comes first in the next one. A turn may end as `Ran` for a callback of squall's own, such as a
    /// [`PeriodicCallback`](super::PeriodicCallback).
    ///
    /// The loop is the thread's current one meanwhile. Between two turns it is as if it stood still: callbacks, timeouts and
    /// handlers may be added and removed, and nothing runs.
    ///
    /// # Errors
    /// As [`start`](Self::start): when this or another loop is running on the thread, or the loop was closed.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[track_caller]
    pub fn turn(&self, timeout: Option<Duration>) -> Result<Turn, StartError> {
        let running = Running::enter(self)?;
        let inner = &*self.inner;
        inner.host.begin();
        Ok(running.runtime().block_on(async {
            let timed_out = async {
                match timeout {
                    // Two rounds: what the last turn has left, and what is there by now.
                    Some(Duration::ZERO) => {
                        tokio::task::yield_now().await;
                        tokio::task::yield_now().await;
                    }
                    Some(after) => tokio::time::sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = inner.stopped() => Turn::Stopped,
                () = inner.host.ran() => Turn::Ran,
                () = timed_out => Turn::TimedOut,
            }
        }))
    }

    /// Makes a loop that tells its host when it is about to sleep and when it has woken up, without making it current: an
    /// interpreter with a lock of its own gives that away meanwhile.
    ///
    /// The hooks run on the loop's thread, whoever runs it ([`start`](Self::start), [`turn`](Self::turn) ..): `park` right
    /// before the loop waits for the system, `unpark` right after. What `park` makes ready, by a callback for instance, is
    /// done before anything is waited for; `unpark` comes all the same. A look at the system without waiting is not told.
    /// Other loops pay nothing for this. A panic of a hook is reported as that of a callback.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_hooks(park: impl Fn() + 'static, unpark: impl Fn() + 'static) -> io::Result<IoLoop> {
        Self::build(Some(Hooks { park: Rc::new(park), unpark: Rc::new(unpark) }))
    }
}

/// Why a [`turn`](IoLoop::turn) has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Turn {
    /// A callback, a timeout or a handler has run; perhaps several.
    Ran,
    /// The time is over, and nothing of that kind has run.
    TimedOut,
    /// [`stop`](IoLoop::stop) was called, before or meanwhile.
    Stopped,
}

/// Whether code of the host's has run.
#[derive(Default)]
pub(super) struct Host {
    state: Cell<HostState>,
    ran: tokio::sync::Notify,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum HostState {
    /// Nobody asks, or nobody has asked yet.
    #[default]
    Unasked,
    Waiting,
    Ran,
}

impl Host {
    fn begin(&self) {
        self.state.set(HostState::Waiting);
    }

    /// Code of the host's runs.
    #[inline]
    pub(super) fn runs(&self) {
        if self.state.get() == HostState::Waiting {
            self.state.set(HostState::Ran);
            self.ran.notify_one();
        }
    }

    fn has_run(&self) -> bool {
        self.state.get() == HostState::Ran
    }

    async fn ran(&self) {
        while !self.has_run() {
            self.ran.notified().await;
        }
    }
}

/// What is told when a loop sleeps.
pub(super) struct Hooks {
    park: Rc<dyn Fn()>,
    unpark: Rc<dyn Fn()>,
}

impl Hooks {
    /// Has the runtime call the hooks of the loop that runs on its thread: its own cannot but be `Send`.
    pub(super) fn install(builder: &mut tokio::runtime::Builder) {
        builder.on_thread_park(|| {
            Self::call("park hook", |hooks| &hooks.park);
            watchdog::waits();
        });
        builder.on_thread_unpark(|| {
            watchdog::goes_on();
            Self::call("unpark hook", |hooks| &hooks.unpark);
        });
    }

    fn call(what: &str, which: impl FnOnce(&Self) -> &Rc<dyn Fn()>) {
        let Some(io_loop) = IoLoop::current_opt() else { return };
        let Some(hook) = io_loop.inner.hooks.as_ref().map(|hooks| Rc::clone(which(hooks))) else { return };
        io_loop.inner.run_guarded(|| what.to_owned(), || hook());
    }
}
