//! Serving until the process is asked to end.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::task::Poll;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{HttpServer, ServerError, drain};
use crate::error::Error;
use crate::ioloop::IoLoop;
use crate::log::{self, GENERAL};
use crate::netutil::{Address, BindOptions, DEFAULT_BACKLOG, Listener, bind_unix_socket};
use crate::options::{self, Builtins, TlsFiles, development};
use crate::process::{self, Ended, Supervision};
use crate::tcpserver::StartError;
#[cfg(feature = "tls")]
use crate::tls::{CertReqs, SslOptions};

/// Who may connect to the socket of `--unix-socket`: the user and the group, which a proxy in front is of.
const SOCKET_MODE: u32 = 0o660;

/// Serving to the end.
impl HttpServer {
    /// Serves until SIGTERM or SIGINT, then drains all HTTP servers of this loop and returns:
    ///
    /// 1. [`ready`](crate::web::ready) handlers answer 503, and every response says `Connection: close`. After
    ///    [`drain_delay`](Self::drain_delay), connections that wait to be accepted are, and the ports are closed.
    /// 2. Idle connections are closed. One that was busy less than a second ago is given a second for a request that may
    ///    be on its way, and one that is at its TLS handshake 5 s for that.
    /// 3. [`Context::shutdown`](crate::Context::shutdown) resolves, which ends
    ///    [`while_open`](crate::web::EventStream::while_open) of event streams; what else goes on, goes on.
    /// 4. WebSockets are closed with 1001, spread over a time that grows with their number (500 in a second), at most half of
    ///    [`drain_timeout`](Self::drain_timeout), in random order: their clients come back elsewhere, and not all at once.
    /// 5. When all have ended it returns. After [`drain_timeout`](Self::drain_timeout), or on a second signal, what is
    ///    still open is cut, and counted in one line of the log.
    ///
    /// ```no_run
    /// # use squall::{Application, Result};
    /// # fn make_app() -> Application { Application::new([]) }
    /// #[squall::main]
    /// async fn main() -> Result {
    ///     make_app().listen(8888)?.serve().await
    /// }
    /// ```
    ///
    /// Cancel safe, except that signals which come between two calls are lost.
    ///
    /// # Errors
    /// When the signals cannot be listened for.
    pub async fn serve(&self) -> Result<(), Error> {
        Ok(drain::serve(None).await?)
    }

    /// Serves what was bound, in one process per core unless [`processes`](Self::processes) says otherwise, until SIGTERM
    /// or SIGINT. Each process then drains as [`serve`](Self::serve) does; when all have ended, the program ends.
    ///
    /// ```no_run
    /// # use squall::{Application, HttpServer, Result};
    /// # fn make_app() -> Application { Application::new([]) }
    /// fn main() -> Result {
    ///     HttpServer::new(make_app).bind(8888)?.run()
    /// }
    /// ```
    ///
    /// The calling process supervises them. A worker that crashes is replaced, after a while if it does so again and again, and
    /// so is one that somebody else ends by a signal;
    /// see [`fork_processes`](process::fork_processes). All end with it, however it ends. Its signals are those of gunicorn:
    ///
    /// | signal | what it does |
    /// |---|---|
    /// | SIGTERM, SIGINT | the workers drain and end, then the program; a second one cuts what is left, SIGQUIT at once |
    /// | SIGHUP, SIGUSR2 | a new generation: the program is started anew (its binary and configuration may be new) on the same sockets, and when it serves, the old workers drain. If it fails nothing changes |
    /// | SIGTTIN, SIGTTOU | one worker more, or less |
    /// | SIGWINCH | no workers for now |
    /// | SIGUSR1 | log files are opened anew |
    ///
    /// The process id stays the same through all generations, as systemd, a container and a pid file want it: it passes signals
    /// on to the generation that serves. As the first process of a container it reaps strangers. systemd is told `READY`,
    /// `RELOADING`, `STOPPING` and `WATCHDOG` (`Type=notify-reload`), and its sockets are taken where the same port or path
    /// is bound, or by [name](process::inherited).
    ///
    /// With one process ([`processes(1)`](Self::processes)) there is no supervisor, and no reload: those of its signals are
    /// answered by a line of the log.
    ///
    /// Where the [options] were given a port, address, Unix socket, number of processes or time to drain,
    /// they win over what the program says; a program that leaves the port to them binds none itself. A port alone moves
    /// what the program has bound to that port, and opens it to nobody else.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`bind`](Self::bind).
    pub fn run(&self) -> Result<(), Error> {
        // What goes wrong is in the log, too.
        self.run_to_the_end().inspect_err(log::say_fatal_elsewhere)
    }

    fn run_to_the_end(&self) -> Result<(), Error> {
        let processes = self.follow_options()?;
        let addresses: Vec<String> = self.local_addrs().iter().map(ToString::to_string).collect();
        let mut serving = (!development::is_on()).then(|| format!("Serving on {}", addresses.join(", ")));
        if processes != 1
            && let Some(serving) = serving.take()
        {
            tracing::info!(target: GENERAL, "{serving}");
        }
        match self.fork(processes)? {
            Ended::All { status: 0 } => return Ok(()),
            Ended::All { .. } => return Err(ServerError::Unclean.into()),
            Ended::Worker => {}
        }
        self.begin(serving)?;
        IoLoop::current().start()?;
        if process::task_id().is_some() {
            // What follows in `main` is the parent's.
            std::process::exit(0);
        }
        Ok(())
    }

    /// Serves what was bound in `processes` processes: 1 is this one, 0 is one per core; supervised as by
    /// [`run`](Self::run).
    ///
    /// It returns at once, in each of them; `IoLoop::current().start()` then serves until SIGTERM or SIGINT, drains as
    /// [`serve`](Self::serve) does, and returns. The process that called it stays in it, and exits when all have ended.
    ///
    /// # Errors
    /// When a loop exists already and processes are to be forked, or the application is wrong. A forked process whose
    /// application is wrong says so and exits with [`EX_CONFIG`](process::EX_CONFIG), which ends them all.
    pub fn start(&self, processes: usize) -> Result<(), ServerError> {
        match self.fork(processes)? {
            Ended::All { status } => std::process::exit(status),
            Ended::Worker => self.begin(None),
        }
    }

    /// As [`bind`](Self::bind), for sockets that were made elsewhere, such as [inherited](process::inherited) ones.
    pub fn bind_listeners(&self, listeners: impl IntoIterator<Item = Listener>) -> &Self {
        self.tcp.bind_listeners(listeners);
        self
    }

    fn fork(&self, processes: usize) -> Result<Ended, ServerError> {
        self.tcp.handler().check_options()?;
        if self.tcp.is_started() {
            return Err(ServerError::Start(StartError::AlreadyStarted));
        }
        process::end_with_parent();
        process::close_rest();
        if processes == 1 {
            return Ok(Ended::Worker);
        }
        let (patience, heartbeat) = {
            let config = self.tcp.handler().config.borrow();
            (config.drain_delay.saturating_add(config.drain_timeout), config.worker_timeout)
        };
        let server = self.tcp.downgrade();
        let close = move || {
            if let Some(server) = server.upgrade() {
                server.stop();
            }
        };
        let failed = |error| ServerError::Start(StartError::Fork(error));
        let supervision = self
            .tcp
            .with_waiting(|listeners| Supervision::new(listeners, patience, heartbeat, close))
            .map_err(|error| failed(error.into()))?;
        let count = Some(processes).filter(|count| *count > 0);
        process::supervise(count, None, Some(supervision)).map_err(failed)
    }

    /// Serves, in a process that is to do so.
    /// `serving` is said as soon as signals are heard.
    fn begin(&self, serving: Option<String>) -> Result<(), ServerError> {
        self.tcp.start(1).map_err(ServerError::Start)?;
        let prepared = self.prepare();
        if let Err(error) = &prepared
            && process::task_id().is_some()
        {
            // Returning would have the parent start this child again, to the same end.
            log::say_fatal(&error);
            std::process::exit(process::EX_CONFIG);
        }
        prepared?;
        if let Some(longest) = self.tcp.handler().config.borrow().worker_timeout {
            // Before the supervisor ends a worker that is stuck, the log says in what.
            IoLoop::current().log_blocking_by_default(longest / 2);
        }
        Self::serve_on_loop(serving);
        Ok(())
    }

    /// How many processes [`run`](Self::run) serves with: 0 for one per core, 1 for this one. Default: 0.
    #[must_use]
    pub fn processes(self, processes: usize) -> Self {
        self.with(|c| c.processes = processes)
    }

    /// How long a worker may not answer its supervisor, because its loop is blocked or it was stopped, before it is killed and
    /// replaced; 2 s at least. It may take no longer to begin to serve either: an application that is made slowly needs more
    /// (gunicorn's `timeout` is the same). Half of that earlier the log says what blocks it, see
    /// [`set_blocking_log_threshold`](IoLoop::set_blocking_log_threshold). Default: none.
    #[must_use]
    pub fn worker_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|c| c.worker_timeout = timeout.into())
    }

    /// After how many requests a worker is replaced: a successor starts, and it drains. As with the two limits below up to
    /// a tenth more is allowed, at random, so that not all go at once, and it is looked each second. Default: none.
    #[must_use]
    pub fn worker_max_requests(self, requests: impl Into<Option<u64>>) -> Self {
        self.with(|c| c.retirement.requests = requests.into())
    }

    /// At what age a worker is replaced. Default: none.
    #[must_use]
    pub fn worker_max_age(self, age: impl Into<Option<Duration>>) -> Self {
        self.with(|c| c.retirement.age = age.into())
    }

    /// With how many bytes of resident memory a worker is replaced. Default: none.
    #[must_use]
    pub fn worker_max_memory(self, bytes: impl Into<Option<u64>>) -> Self {
        self.with(|c| c.retirement.memory = bytes.into())
    }

    /// How long connections may go on after the server was asked to end, before they are cut. Default: 30 s.
    #[must_use]
    pub fn drain_timeout(self, timeout: Duration) -> Self {
        self.with(|c| c.drain_timeout = timeout)
    }

    /// How long the server goes on as before once it was asked to end, but for [`ready`](crate::web::ready) handlers, which
    /// answer 503, and responses, which say `Connection: close`: longer than a load balancer takes to notice. Default: 0.
    #[must_use]
    pub fn drain_delay(self, delay: Duration) -> Self {
        self.with(|c| c.drain_delay = delay)
    }

    /// Binds what the options say, and says how many processes there are to be.
    fn follow_options(&self) -> Result<usize, Error> {
        let given = options::given()?;
        if let Some(files) = &given.tls {
            self.secure(files)?;
        }
        #[cfg(feature = "http2")]
        if let Some(h2c) = given.h2c {
            self.tcp.handler().config.borrow().h2c.set(h2c);
        }
        let bound = self.local_addrs();
        if development::is_on() {
            // Whatever they say: clients come by way of `squall dev`.
            if bound.is_empty() {
                let address = given.address.clone().unwrap_or_else(Builtins::default_address);
                self.tcp.bind(Builtins::default_port(), &BindOptions::new().address(address))?;
            }
        } else if let Some(path) = &given.unix_socket {
            self.tcp.stop();
            self.tcp.bind_listeners([bind_unix_socket(path, SOCKET_MODE, DEFAULT_BACKLOG)?]);
        } else if given.port.is_some() || given.address.is_some() || bound.is_empty() {
            let port = given.port.or_else(|| bound.iter().find_map(Address::port));
            let port = port.unwrap_or_else(Builtins::default_port);
            let addresses = match &given.address {
                Some(address) => vec![address.clone()],
                None => addresses_of(&bound),
            };
            self.tcp.stop();
            for address in addresses {
                self.tcp.bind(port, &BindOptions::new().address(address))?;
            }
        }
        let mut config = self.tcp.handler().config.borrow_mut();
        if let Some(timeout) = given.drain_timeout {
            config.drain_timeout = timeout;
        }
        let processes = given.processes.unwrap_or(config.processes);
        Ok(if given.debug || development::is_on() { 1 } else { processes })
    }

    /// Serves HTTPS with what `--certfile`, `--keyfile` and `--ca-certs` name.
    #[cfg(feature = "tls")]
    fn secure(&self, files: &TlsFiles) -> Result<(), ServerError> {
        let mut pairs = files.pairs.iter();
        let former = self.tcp.handler().config.borrow().ssl_options.clone();
        let options = match pairs.next() {
            Some((certfile, keyfile)) => Some(SslOptions::new(certfile, keyfile)),
            // The program has its own.
            None => former,
        };
        let Some(mut options) = options else {
            return Err(ServerError::Option("--ca-certs needs --certfile".into()));
        };
        for (certfile, keyfile) in pairs {
            options = options.certificate(certfile, keyfile);
        }
        if let Some(file) = &files.ca_certs {
            options = options.ca_certs(file).cert_reqs(CertReqs::Required);
        }
        self.set_ssl_options(options);
        self.tcp.handler().check_options()
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_self, reason = "it is the same with TLS")]
    fn secure(&self, _files: &TlsFiles) -> Result<(), ServerError> {
        Err(ServerError::NoTls)
    }

    /// Has the loop end by itself when the process was asked to, and all is drained.
    fn serve_on_loop(serving: Option<String>) {
        let io_loop = IoLoop::current();
        io_loop.spawn_callback(async move {
            // Before it is said that it serves: whoever hears that may send signals.
            let signals = match Signals::listen() {
                Ok(signals) => signals,
                Err(error) => return tracing::error!(target: GENERAL, "Cannot listen for a signal: {error}"),
            };
            IoLoop::current().spawn_callback(signals.follow());
            match drain::serve(serving).await {
                Ok(()) => IoLoop::current().stop(),
                Err(error) => tracing::error!(target: GENERAL, "Cannot listen for a signal: {error}"),
            }
        });
    }
}

/// The signals that are for the log, or for a supervisor, in a process that serves.
struct Signals {
    user1: Signal,
    /// What would end or stop the process, were nobody to listen, and what to say of it.
    for_supervisor: [(Signal, &'static str); 4],
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let to = |kind, what| Ok::<_, io::Error>((signal(kind)?, what));
        let raw = |signal: rustix::process::Signal| SignalKind::from_raw(signal.as_raw());
        Ok(Self {
            user1: signal(SignalKind::user_defined1())?,
            for_supervisor: [
                to(SignalKind::hangup(), "SIGHUP: one process cannot reload")?,
                to(SignalKind::user_defined2(), "SIGUSR2: one process cannot reload")?,
                to(raw(rustix::process::Signal::TTIN), "SIGTTIN: one process starts no other")?,
                to(raw(rustix::process::Signal::TTOU), "SIGTTOU: one process cannot be fewer")?,
            ],
        })
    }

    async fn follow(mut self) {
        // Whoever signals a whole group means the supervisor.
        let is_worker = process::task_id().is_some();
        poll_fn(|cx| {
            while let Poll::Ready(Some(())) = self.user1.poll_recv(cx) {
                log::reopen();
            }
            for (signal, what) in &mut self.for_supervisor {
                while let Poll::Ready(Some(())) = signal.poll_recv(cx) {
                    if !is_worker {
                        tracing::warn!(target: GENERAL, "{what}; --processes=2 can");
                    }
                }
            }
            Poll::<()>::Pending
        })
        .await;
    }
}

/// Where to listen at another port than these do: at the same addresses.
fn addresses_of(bound: &[Address]) -> Vec<String> {
    let mut addresses: Vec<_> = bound.iter().filter_map(Address::ip).collect();
    addresses.dedup();
    match &addresses[..] {
        [] => vec![Builtins::default_address()],
        all if all.iter().any(IpAddr::is_unspecified) => vec![String::new()],
        some => some.iter().map(ToString::to_string).collect(),
    }
}
