//! Serving until the process is asked to end.

use std::time::Duration;

use super::{HttpServer, ServerError, drain};
use crate::ioloop::IoLoop;
use crate::log::GENERAL;
use crate::netutil::{Address, BindOptions, DEFAULT_BACKLOG, bind_unix_socket};
use crate::options::{self, Builtins};
use crate::process;
use crate::web::error::Error;

/// Who may connect to the socket of `--unix-socket`: the user and the group, which a proxy in front is of.
const SOCKET_MODE: u32 = 0o660;

/// Serving to the end.
impl HttpServer {
    /// Serves until SIGTERM or SIGINT, then drains all HTTP servers of this loop and returns:
    ///
    /// 1. [`ready`](crate::web::ready) handlers answer 503, and every response says `Connection: close`. After
    ///    [`drain_delay`](Self::drain_delay), connections that wait to be accepted are, and the ports are closed.
    /// 2. Idle connections are closed. One that was busy less than a second ago is given a second for a request that may
    ///    be on its way.
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
        Ok(drain::serve().await?)
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
    /// Where the [options](crate::options) were given a port, address, Unix socket, number of processes or time to drain,
    /// they win over what the program says; a program that leaves the port to them binds none itself.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`bind`](Self::bind).
    pub fn run(&self) -> Result<(), Error> {
        let processes = self.follow_options()?;
        self.start(processes)?;
        IoLoop::current().start()?;
        if process::task_id().is_some() {
            // What follows in `main` is the parent's.
            std::process::exit(0);
        }
        Ok(())
    }

    /// How many processes [`run`](Self::run) serves with: 0 for one per core, 1 for this one. Default: 0.
    #[must_use]
    pub fn processes(self, processes: usize) -> Self {
        self.with(|c| c.processes = processes)
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
        if given.certfile.is_some() || given.keyfile.is_some() {
            return Err(ServerError::NoTls.into());
        }
        let local = BindOptions::new().address(given.address.clone().unwrap_or_default());
        if let Some(path) = &given.unix_socket {
            self.tcp.stop();
            self.tcp.bind_listeners([bind_unix_socket(path, SOCKET_MODE, DEFAULT_BACKLOG)?]);
        } else if given.port.is_some() || given.address.is_some() || self.local_addrs().is_empty() {
            let bound = self.local_addrs().iter().find_map(Address::port);
            let port = given.port.or(bound).unwrap_or_else(Builtins::default_port);
            self.tcp.stop();
            self.tcp.bind(port, &local)?;
        }
        let addresses: Vec<String> = self.local_addrs().iter().map(ToString::to_string).collect();
        tracing::info!(target: GENERAL, "Serving on {}", addresses.join(", "));
        let mut config = self.tcp.handler().config.borrow_mut();
        if let Some(timeout) = given.drain_timeout {
            config.drain_timeout = timeout;
        }
        let processes = given.processes.unwrap_or(config.processes);
        Ok(if given.debug { 1 } else { processes })
    }

    /// Has the loop end by itself when the process was asked to, and all is drained.
    pub(super) fn serve_on_loop(&self) {
        let io_loop = IoLoop::current();
        io_loop.spawn_callback(async {
            match drain::serve().await {
                Ok(()) => IoLoop::current().stop(),
                Err(error) => tracing::error!(target: GENERAL, "Cannot listen for a signal: {error}"),
            }
        });
    }
}
