//! Bytes both ways between two connections that no longer speak HTTP.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::httputil::{Detached, HttpHeaders, Shutdown};
use crate::ioloop::later;
use crate::iostream::{IoStream, Stalled};
use crate::log;
use crate::web::application::Core;
use crate::web::context::Context;
use crate::web::error::Result as WebResult;
use crate::web::response::Phase;

/// How long one side may go on after the other has ended. Most protocols have nothing more to say then, and a side that
/// stays silent would keep both connections for ever.
const PATIENCE: Duration = Duration::from_secs(3);

/// The open tunnels of an application.
#[derive(Default)]
pub(in crate::web) struct Tunnels(Rc<Open>);

#[derive(Default)]
struct Open {
    count: Cell<usize>,
    /// How often all were told to end.
    cuts: Cell<u64>,
    told: Notify,
}

impl Tunnels {
    pub(super) fn enter(&self) -> Place {
        self.0.count.set(self.0.count.get() + 1);
        Place { open: Rc::clone(&self.0), cuts: self.0.cuts.get() }
    }

    /// The server goes away. Tunnels are left alone until its time is up: what passes through them is not ours, so their
    /// clients cannot be told. Where there is no time they are closed at once.
    pub(in crate::web) fn leave(&self, shutdown: &Shutdown) {
        if shutdown.window().is_zero() {
            self.0.cut();
        }
        shutdown.wait_for(Rc::clone(&self.0) as Rc<dyn Detached>);
    }
}

impl Core {
    pub(super) fn tunnels(&self) -> &Tunnels {
        &self.tunnels
    }
}

impl Context {
    /// Agrees to the tunnel that is asked for, with these fields; `None` where 101 is the word for that.
    pub(super) fn open_tunnel(&self, headers: &HttpHeaders) -> Option<WebResult<IoStream>> {
        let opened = self.request().connection().tunnel(headers)?;
        self.response.borrow_mut().phase = Phase::Finished;
        Some(opened.map_err(Into::into))
    }
}

impl Detached for Open {
    fn count(&self) -> usize {
        self.count.get()
    }

    fn cut(&self) {
        self.cuts.set(self.cuts.get() + 1);
        self.told.notify_waiters();
    }
}

/// One tunnel among the open ones, until it is dropped.
pub(super) struct Place {
    open: Rc<Open>,
    /// As they were when it was entered.
    cuts: u64,
}

impl Place {
    /// Resolves when all tunnels are to end.
    async fn cut(&self) {
        let told = self.open.told.notified();
        if self.open.cuts.get() == self.cuts {
            told.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.count.set(self.open.count.get() - 1);
    }
}

/// How long a tunnel waits in vain.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// For a side to take some of what waits for it.
    pub(super) write: Option<Duration>,
    /// For anything to come from either side.
    pub(super) idle: Option<Duration>,
}

/// Passes bytes on until one side has ended and the other had its time to end too, or one takes nothing, or neither sends
/// anything, for as long as the limits say, or the server's time is up. Then both connections are closed.
pub(super) async fn run(client: IoStream, upstream: IoStream, limits: Limits, place: Place) {
    let _ = upstream.set_nodelay(true);
    let _ = client.set_nodelay(true);
    let heard = Cell::new(Instant::now());
    let passed = tokio::select! {
        biased;
        passed = both_ways(&client, &upstream, limits.write, &heard) => passed,
        () = silence(&heard, limits.idle) => {
            tracing::info!(target: log::GENERAL, "nothing passes through a tunnel");
            Ok(())
        }
        () = place.cut() => Ok(()),
    };
    match passed {
        Ok(()) => {
            client.close();
            upstream.close();
        }
        Err(broken) => {
            if broken == Broken::Stalled {
                tracing::info!(target: log::GENERAL, "a side of a tunnel takes no bytes");
            }
            // A reset, as one side had it (RFC 9113 §8.5), or since the kernel would keep what it has for a peer that takes
            // nothing much longer.
            client.abort();
            upstream.abort();
        }
    }
}

/// What ends a tunnel so that it must not look complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// A side took nothing for too long.
    Stalled,
    /// A side was reset.
    Reset,
}

impl From<Stalled> for Broken {
    fn from(_: Stalled) -> Self {
        Self::Stalled
    }
}

async fn both_ways(
    client: &IoStream,
    upstream: &IoStream,
    write_timeout: Option<Duration>,
    heard: &Cell<Instant>,
) -> Result<(), Broken> {
    let mut up = pin!(one_way(client, upstream, write_timeout, heard));
    let mut down = pin!(one_way(upstream, client, write_timeout, heard));
    let other = tokio::select! {
        ended = &mut up => {
            ended?;
            timeout(PATIENCE, down).await
        }
        ended = &mut down => {
            ended?;
            timeout(PATIENCE, up).await
        }
    };
    other.unwrap_or(Ok(()))
}

/// Passes on what comes, and then that it has ended. That `to` has gone is an end, too.
async fn one_way(
    from: &IoStream,
    to: &IoStream,
    write_timeout: Option<Duration>,
    heard: &Cell<Instant>,
) -> Result<(), Broken> {
    loop {
        let is_empty = from.read_buffer().is_empty();
        let filled = if is_empty { from.fill().await } else { Ok(1) };
        // Who watches for the end may have put the last bytes there.
        if from.read_buffer().is_empty() {
            match filled {
                Ok(0) => break,
                Ok(1..) => continue,
                Err(_) => return Err(Broken::Reset),
            }
        }
        heard.set(Instant::now());
        let written = {
            let mut buffer = from.read_buffer();
            let written = to.write(buffer.as_slice());
            let length = buffer.len();
            buffer.consume(length);
            written
        };
        if to.taken_within(write_timeout, written).await?.is_err() {
            return Ok(());
        }
    }
    // All is with the kernel; over TLS there is one word more to send.
    let _ = timeout(PATIENCE, to.finish_write()).await;
    Ok(())
}

/// Resolves when nothing was heard for so long.
async fn silence(heard: &Cell<Instant>, longest: Option<Duration>) {
    let Some(longest) = longest else { return std::future::pending().await };
    loop {
        let due = later(heard.get(), longest);
        if due <= Instant::now() {
            return;
        }
        sleep_until(due).await;
    }
}
