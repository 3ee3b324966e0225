//! The end of the servers of a loop: nobody is cut off who can be let finish.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::HttpService;
use super::retire::Retirement;
use super::running::Running;
use crate::httputil::Shutdown;
use crate::ioloop::{IoLoop, ShutdownSignals};
use crate::log::{self, GENERAL};
use crate::process;
use crate::tcpserver::{TcpServer, WeakTcpServer};

/// When the drain is done is looked at so often.
const LOOK: Duration = Duration::from_millis(10);

/// So long a connection that is at its TLS handshake when the drain begins may take for it, if the drain does: its client
/// has been let in. One that stalls must not keep a server from its end.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

thread_local! {
    /// The HTTP servers of this thread that have started.
    static SERVERS: RefCell<Vec<WeakTcpServer<HttpService>>> = const { RefCell::new(Vec::new()) };
}

/// Has the server drained together with the others of its thread.
pub(super) fn register(server: &TcpServer<HttpService>) {
    SERVERS.with_borrow_mut(|servers| {
        servers.retain(|server| server.upgrade().is_some());
        servers.push(server.downgrade());
    });
}

/// Waits for SIGTERM or SIGINT, then drains all servers of this thread. A second signal cuts what is still open; in a
/// forked process it is SIGQUIT. Logs `serving` as soon as signals are heard.
pub(super) async fn serve(serving: Option<String>) -> io::Result<()> {
    let mut signals = ShutdownSignals::listen()?;
    let is_worker = process::task_id().is_some();
    // From here on signals are seen; whoever hears of it may send them.
    if let Some(serving) = serving {
        tracing::info!(target: GENERAL, "{serving}");
    }
    announce(is_worker);
    log::write_in_background();
    let retires = async {
        if !is_worker {
            std::future::pending::<()>().await;
        }
        retirement().reached(served).await
    };
    let mut at_once = AtOnce::listen(is_worker)?;
    let cause: Box<dyn fmt::Display> = tokio::select! {
        signal = signals.recv() => {
            if is_worker {
                // Whoever has sent it: the supervisor knows whether another is to take its place.
                process::say_retiring();
            }
            Box::new(signal)
        }
        signal = at_once.recv() => {
            process::say_retiring();
            Drain::new().cut_for(signal, Duration::ZERO).await;
            return Ok(());
        }
        why = retires => {
            process::say_retiring();
            Box::new(why)
        }
    };
    let drain = Drain::new();
    tracing::info!(target: GENERAL, "{cause}: shutting down, {}", drain.open());
    if !is_worker {
        process::say_stopping();
    }
    let started = Instant::now();
    let again = async { if is_worker { at_once.recv().await } else { signals.recv().await } };
    let why = tokio::select! {
        biased;
        done = drain.run() => (!done).then_some("the time to drain is up"),
        signal = again => Some(signal),
    };
    if let Some(why) = why {
        drain.cut_for(why, started.elapsed()).await;
    }
    log::write_at_once();
    Ok(())
}

/// SIGQUIT, by which a supervisor tells its workers to end at once. (A terminal or a service manager signals each process
/// of a group, so that SIGTERM comes twice.) A process without a supervisor keeps its usual action.
struct AtOnce(Option<Signal>);

impl AtOnce {
    fn listen(is_worker: bool) -> io::Result<Self> {
        Ok(Self(if is_worker { Some(signal(SignalKind::quit())?) } else { None }))
    }

    async fn recv(&mut self) -> &'static str {
        match &mut self.0 {
            Some(quit) => {
                quit.recv().await;
                "SIGQUIT"
            }
            None => std::future::pending().await,
        }
    }
}

fn announce(is_worker: bool) {
    if is_worker {
        return process::live_as_worker();
    }
    process::say_serving();
    if let Some(interval) = process::watchdog_interval() {
        IoLoop::current().spawn_callback(feed_watchdog(interval));
    }
}

/// A loop that is blocked does not say that it lives.
async fn feed_watchdog(interval: Duration) {
    loop {
        // What is wrong is said when the server says that it is ready.
        let _ = process::notify("WATCHDOG=1");
        tokio::time::sleep(interval).await;
    }
}

fn running_servers() -> Vec<(TcpServer<HttpService>, Running)> {
    SERVERS.with_borrow(|servers| {
        let servers = servers.iter().filter_map(WeakTcpServer::upgrade);
        let running = |server: &TcpServer<HttpService>| server.handler().running.get().cloned();
        servers.filter_map(|server| running(&server).map(|running| (server, running))).collect()
    })
}

/// The limits of the first server that has any.
fn retirement() -> Retirement {
    let servers = running_servers();
    let limits = servers.iter().map(|(server, _)| server.handler().config.borrow().retirement);
    limits.into_iter().find(|limits| !limits.is_none()).unwrap_or_default()
}

fn served() -> u64 {
    running_servers().iter().map(|(_, running)| running.served()).sum()
}

struct Drain {
    servers: Vec<(TcpServer<HttpService>, Running)>,
    /// After the clients were told that the end comes, before anything ends.
    delay: Duration,
    timeout: Duration,
    shutdown: Shutdown,
}

impl Drain {
    fn new() -> Self {
        let servers = running_servers();
        let longest = |of: fn(&super::Config) -> Duration| {
            servers.iter().map(|(server, _)| of(&server.handler().config.borrow())).max().unwrap_or_default()
        };
        let delay = longest(|config| config.drain_delay);
        let timeout = longest(|config| config.drain_timeout);
        Self { servers, delay, timeout, shutdown: Shutdown::new(timeout / 2) }
    }

    /// True when all connections have ended.
    async fn run(&self) -> bool {
        for (_, running) in &self.servers {
            running.announce_end();
        }
        tokio::time::sleep(self.delay).await;
        for (server, _) in &self.servers {
            server.finish().await;
        }
        for (_, running) in &self.servers {
            running.drain();
            running.on_shutdown(&self.shutdown);
        }
        let began = Instant::now();
        let Some(end) = began.checked_add(self.timeout) else {
            return std::future::pending().await;
        };
        while !self.open().is_none() {
            if Instant::now() >= end {
                return false;
            }
            if began.elapsed() >= HANDSHAKE_TIME {
                self.servers.iter().for_each(|(server, _)| server.give_up_preparing());
            }
            tokio::time::sleep(LOOK).await;
        }
        true
    }

    fn open(&self) -> Open {
        let http = self.servers.iter().map(|(_, running)| running.len()).sum::<usize>();
        let handshakes: usize = self.servers.iter().map(|(server, _)| server.preparing()).sum();
        let http = http + handshakes;
        Open { http, requests: None, detached: self.shutdown.open() }
    }

    /// [`cut`](Self::cut), and lets the connections' tasks see it, so that the kernel gets what they still write.
    async fn cut_for(&self, why: &str, after: Duration) {
        self.cut(why, after);
        tokio::task::yield_now().await;
        log::write_at_once();
    }

    /// Ends what is open, in one line of the log.
    fn cut(&self, why: &str, after: Duration) {
        let mut cut = Open { http: 0, requests: Some(0), detached: self.shutdown.cut() };
        for (server, running) in &self.servers {
            server.stop();
            server.give_up_preparing();
            let (connections, requests) = running.cut_all();
            cut.http += connections + server.preparing();
            cut.requests = cut.requests.map(|sum| sum + requests);
        }
        if !cut.is_none() {
            tracing::warn!(target: GENERAL, "Cut off after {:.1} s ({why}): {cut}", after.as_secs_f64());
        }
    }
}

/// How many connections are open.
struct Open {
    /// Those at their handshake among them.
    http: usize,
    /// How many of them are at a request, if that is known.
    requests: Option<usize>,
    /// WebSockets, and other protocols.
    detached: usize,
}

impl Open {
    fn is_none(&self) -> bool {
        self.http == 0 && self.detached == 0
    }
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        write!(f, "{} connection{}", self.http, plural(self.http))?;
        if let Some(requests) = self.requests {
            write!(f, " with {requests} request{}", plural(requests))?;
        }
        if self.detached > 0 {
            write!(f, ", {} WebSocket{}", self.detached, plural(self.detached))?;
        }
        Ok(())
    }
}
