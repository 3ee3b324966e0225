//! A TCP (or Unix socket) server on one or several processes (Tornado's `tornado.tcpserver`).
//!
//! ```no_run
//! use squall::ioloop::IoLoop;
//! use squall::iostream::{IoStream, StreamError};
//! use squall::netutil::Address;
//! use squall::tcpserver::TcpServer;
//!
//! let server = TcpServer::new(async |stream: IoStream, _: Address| -> Result<(), StreamError> {
//!     loop {
//!         let line = stream.read_until(b"\n", Some(1024)).await?;
//!         stream.write(line).await?;
//!     }
//! });
//! server.listen(8888).unwrap();
//! IoLoop::current().start().unwrap();
//! ```

mod proxy_header;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};

use tokio::sync::Notify;

use crate::ioloop::{catch_panic, panic_message};
use crate::iostream::{IoStream, StreamError};
use crate::log;
use crate::netutil::{
    Acceptor, Address, BindError, BindOptions, Connection, Listener, Network, bind_sockets, spawn_here,
};
use crate::process::{self, ForkError};

/// What went wrong on one connection; it is logged.
pub type BoxError = Box<dyn Error>;

/// What a [`TcpServer`] does with a connection.
///
/// `async` functions and closures that take a stream and an address are handlers as they are:
/// `TcpServer::new(async |stream: IoStream, address: Address| { .. })`.
pub trait StreamHandler: 'static {
    /// Serves one connection, on a task of its own. The connection is closed when the last handle on `stream` is
    /// dropped, which usually is when this returns. `address` is the peer's.
    ///
    /// # Errors
    ///
    /// Logged as the error "Error in connection callback", as is a panic; neither ends the server. What a peer can cause is
    /// no error: that it has gone ([`StreamError::Closed`] without a real error) is not worth a line, and that the stream was
    /// closed for another reason ([`StreamError::Closed`] with one) is logged at level info.
    async fn handle_stream(&self, stream: IoStream, address: Address) -> Result<(), BoxError>;

    /// Starts the task that serves a connection. The default runs [`handle_stream`](Self::handle_stream) and logs its
    /// errors and panics; a handler that must keep idle connections small can spawn a leaner future of its own.
    fn connection_made(handler: &Rc<Self>, stream: IoStream, address: Address)
    where
        Self: Sized,
    {
        let handler = Rc::clone(handler);
        spawn_here(async move { log_outcome(catch_panic(handler.handle_stream(stream, address)).await) });
    }
}

/// What is made of a connection before the handler has it, such as TLS.
pub(crate) trait Preamble {
    /// Called in each process that serves.
    fn start(&self);

    /// Gives the stream and the address that the handler gets, or nothing when the connection has ended.
    fn run(self: Rc<Self>, stream: IoStream, address: Address) -> Prepared;

    /// Takes what has changed in files.
    ///
    /// # Errors
    /// When something is wrong with them; what was there before stays in use.
    fn reload(&self) -> Result<(), BoxError>;
}

pub(crate) type Prepared = Pin<Box<dyn Future<Output = Option<(IoStream, Address)>>>>;

/// What became of a connection, for the log.
fn log_outcome(outcome: Result<Result<(), BoxError>, Box<dyn std::any::Any + Send>>) {
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) if is_orderly_close(&*error) => {}
        Ok(Err(error)) if is_by_peer(&*error) => {
            tracing::info!(target: log::GENERAL, "A connection broke off: {}", chain(&*error));
        }
        Ok(Err(error)) => {
            tracing::error!(target: log::APPLICATION, "Error in connection callback: {}", chain(&*error));
        }
        Err(payload) => {
            let message = panic_message(&*payload);
            tracing::error!(target: log::APPLICATION, "Error in connection callback: panic: {message}");
        }
    }
}

impl<F, E> StreamHandler for F
where
    F: AsyncFn(IoStream, Address) -> Result<(), E> + 'static,
    E: Into<BoxError>,
{
    async fn handle_stream(&self, stream: IoStream, address: Address) -> Result<(), BoxError> {
        self(stream, address).await.map_err(Into::into)
    }
}

/// A server that hands each connection to a [`StreamHandler`].
///
/// There are three ways to start one, as in Tornado:
///
/// * [`listen`](Self::listen): one process.
/// * [`bind`](Self::bind) and [`start`](Self::start): several processes that share the sockets.
/// * [`bind_sockets`], [`fork_processes`](process::fork_processes) and [`add_sockets`](Self::add_sockets): the same, step
///   by step.
///
/// It listens until [`stop`](Self::stop), also when this handle is dropped.
#[doc(alias = "TCPServer")]
pub struct TcpServer<H> {
    shared: Rc<Shared<H>>,
}

/// From whom a header of the PROXY protocol is believed, where there is one.
type Proxies = Option<Rc<[Network]>>;

struct Shared<H> {
    handler: Rc<H>,
    max_buffer_size: Cell<Option<usize>>,
    read_chunk_size: Cell<Option<usize>>,
    preamble: RefCell<Option<Rc<dyn Preamble>>>,
    preparing: Preparing,
    acceptors: RefCell<Vec<Acceptor>>,
    /// Bound by `bind`, to be served by `start`.
    waiting: RefCell<Vec<(Listener, Proxies)>>,
    started: Cell<bool>,
}

/// The connections that the handler has not got yet: those at a TLS handshake, or whose PROXY header is to come.
#[derive(Default)]
struct Preparing {
    count: Cell<usize>,
    /// Told when they are to end.
    given_up: Notify,
}

/// A server that lives as long as somebody else has it, or it listens.
pub(crate) struct WeakTcpServer<H>(Weak<Shared<H>>);

impl<H> WeakTcpServer<H> {
    pub(crate) fn upgrade(&self) -> Option<TcpServer<H>> {
        Some(TcpServer { shared: self.0.upgrade()? })
    }
}

impl<H: StreamHandler> TcpServer<H> {
    /// A server that does not listen yet. Makes no loop, so that processes can still be forked.
    pub fn new(handler: H) -> Self {
        Self {
            shared: Rc::new(Shared {
                handler: Rc::new(handler),
                max_buffer_size: Cell::new(None),
                read_chunk_size: Cell::new(None),
                preamble: RefCell::default(),
                preparing: Preparing::default(),
                acceptors: RefCell::default(),
                waiting: RefCell::default(),
                started: Cell::new(false),
            }),
        }
    }

    /// Listens on `port` of all interfaces and serves on the current loop: now if it runs, else when it is started. May
    /// be called several times, for several ports.
    ///
    /// # Errors
    ///
    /// As [`bind_sockets`].
    pub fn listen(&self, port: u16) -> Result<(), BindError> {
        self.listen_on(port, &BindOptions::new())
    }

    /// [`listen`](Self::listen) with options.
    ///
    /// # Errors
    ///
    /// As [`bind_sockets`].
    pub fn listen_on(&self, port: u16, options: &BindOptions) -> Result<(), BindError> {
        for bound in bind(port, options)? {
            self.serve(bound);
        }
        Ok(())
    }

    /// Binds sockets that are served once [`start`](Self::start) is called (at once if it has been). May be called
    /// several times.
    ///
    /// # Errors
    ///
    /// As [`bind_sockets`].
    pub fn bind(&self, port: u16, options: &BindOptions) -> Result<(), BindError> {
        self.bind_all(bind(port, options)?);
        Ok(())
    }

    /// As [`bind`](Self::bind), for sockets that were made elsewhere.
    pub fn bind_listeners(&self, listeners: impl IntoIterator<Item = Listener>) {
        self.bind_all(listeners.into_iter().map(|listener| (listener, None)));
    }

    fn bind_all(&self, bound: impl IntoIterator<Item = (Listener, Proxies)>) {
        if self.shared.started.get() {
            bound.into_iter().for_each(|bound| self.serve(bound));
        } else {
            self.shared.waiting.borrow_mut().extend(bound);
        }
    }

    /// Serves the sockets of [`bind`](Self::bind) in `processes` processes: 1 is this one, 0 is one per core.
    ///
    /// Except for 1 this forks, so that it has to be called before any loop exists. It returns in every child, whose
    /// current loop then serves the shared sockets; see [`fork_processes`](process::fork_processes) for the parent.
    ///
    /// # Errors
    ///
    /// When the server was started before, and when processes cannot be forked.
    pub fn start(&self, processes: usize) -> Result<(), StartError> {
        if self.shared.started.replace(true) {
            return Err(StartError::AlreadyStarted);
        }
        if processes != 1 {
            let count = Some(processes).filter(|n| *n > 0);
            if let Err(error) = process::fork_processes(count, None) {
                self.shared.started.set(false);
                return Err(StartError::Fork(error));
            }
        }
        let waiting = self.shared.waiting.take();
        waiting.into_iter().for_each(|bound| self.serve(bound));
        Ok(())
    }

    /// Serves a listening socket that was made elsewhere, from now on.
    pub fn add_socket(&self, listener: impl Into<Listener>) {
        self.serve((listener.into(), None));
    }

    fn serve(&self, (listener, proxies): (Listener, Proxies)) {
        let shared = self.shared.clone();
        let preamble = shared.preamble.borrow().clone();
        if let Some(preamble) = preamble {
            preamble.start();
        }
        let acceptor = Acceptor::start(listener, move |connection, address| {
            shared.clone().serve(connection, address, proxies.clone());
        });
        self.shared.acceptors.borrow_mut().push(acceptor);
    }

    /// Serves listening sockets such as [`bind_sockets`] makes.
    pub fn add_sockets(&self, listeners: impl IntoIterator<Item = Listener>) {
        for listener in listeners {
            self.add_socket(listener);
        }
    }

    /// Stops listening and closes the listening sockets. Open connections go on. Stopping twice does nothing.
    pub fn stop(&self) {
        let waiting = self.shared.waiting.take();
        drop(waiting);
        for acceptor in self.shared.acceptors.take() {
            acceptor.stop();
        }
    }

    /// [`stop`](Self::stop), once what the kernel has queued is accepted: closing a listening socket resets the
    /// connections that wait in its queue.
    pub async fn finish(&self) {
        let waiting = self.shared.waiting.take();
        drop(waiting);
        let acceptors = self.shared.acceptors.take();
        for acceptor in acceptors {
            acceptor.finish().await;
        }
    }

    /// What was bound and is not served yet.
    pub(crate) fn with_waiting<R>(&self, f: impl FnOnce(&mut dyn Iterator<Item = &Listener>) -> R) -> R {
        f(&mut self.shared.waiting.borrow().iter().map(|(listener, _)| listener))
    }

    pub(crate) fn is_started(&self) -> bool {
        self.shared.started.get()
    }

    pub(crate) fn downgrade(&self) -> WeakTcpServer<H> {
        WeakTcpServer(Rc::downgrade(&self.shared))
    }

    /// How many connections are at their handshake.
    pub(crate) fn preparing(&self) -> usize {
        self.shared.preparing.count.get()
    }

    /// Closes the connections that are at their handshake.
    pub(crate) fn give_up_preparing(&self) {
        self.shared.preparing.given_up.notify_waiters();
    }

    /// The addresses that the server listens on, and those that it is bound to before [`start`](Self::start).
    pub fn local_addrs(&self) -> Vec<Address> {
        let acceptors = self.shared.acceptors.borrow();
        let waiting = self.shared.waiting.borrow();
        let bound = waiting.iter().filter_map(|(listener, _)| listener.local_addr().ok());
        acceptors.iter().filter_map(Acceptor::local_addr).chain(bound).collect()
    }

    /// The handler.
    pub fn handler(&self) -> &H {
        &self.shared.handler
    }

    /// Takes what has changed in the files of its options, which are certificates and keys: for SIGHUP. Connections go
    /// on.
    ///
    /// # Errors
    /// When something is wrong with them; what was there before stays in use.
    pub fn reload(&self) -> Result<(), BoxError> {
        let preamble = self.shared.preamble.borrow().clone();
        preamble.map_or(Ok(()), |preamble| preamble.reload())
    }

    /// What is made of each connection that is accepted from now on, first of all.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "TLS is the only one"))]
    pub(crate) fn set_preamble(&self, preamble: Rc<dyn Preamble>) {
        self.shared.preamble.replace(Some(preamble));
    }

    /// Limits the read buffer of connections accepted from now on; see [`IoStream::set_max_buffer_size`].
    pub fn set_max_buffer_size(&self, bytes: usize) {
        self.shared.max_buffer_size.set(Some(bytes));
    }

    /// The read chunk size of connections accepted from now on; see [`IoStream::set_read_chunk_size`].
    pub fn set_read_chunk_size(&self, bytes: usize) {
        self.shared.read_chunk_size.set(Some(bytes));
    }
}

impl<H: StreamHandler> Shared<H> {
    fn serve(self: Rc<Self>, connection: Connection, address: Address, proxies: Proxies) {
        let stream = IoStream::from(connection);
        if let Some(bytes) = self.max_buffer_size.get() {
            stream.set_max_buffer_size(bytes);
        }
        if let Some(bytes) = self.read_chunk_size.get() {
            stream.set_read_chunk_size(bytes);
        }
        let preamble = self.preamble.borrow().clone();
        if preamble.is_none() && proxies.is_none() {
            return H::connection_made(&self.handler, stream, address);
        }
        spawn_here(async move {
            let _counted = self.preparing.enter();
            let prepare = async {
                let address = match proxies {
                    Some(proxies) => proxy_header::read(&stream, address, &proxies).await,
                    None => Some(address),
                };
                match (address, preamble) {
                    (Some(address), Some(preamble)) => preamble.run(stream, address).await,
                    (address, _) => address.map(|address| (stream, address)),
                }
            };
            tokio::select! {
                biased;
                () = self.preparing.given_up.notified() => {}
                prepared = prepare => if let Some((stream, address)) = prepared {
                    H::connection_made(&self.handler, stream, address);
                },
            }
        });
    }
}

impl Preparing {
    fn enter(&self) -> Entered<'_> {
        self.count.set(self.count.get() + 1);
        Entered(self)
    }
}

/// One of those that are being prepared, until it is dropped.
struct Entered<'a>(&'a Preparing);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
    }
}

fn bind(port: u16, options: &BindOptions) -> Result<Vec<(Listener, Proxies)>, BindError> {
    let proxies: Proxies = options.proxies.as_deref().map(Rc::from);
    Ok(bind_sockets(port, options)?.into_iter().map(|listener| (listener, proxies.clone())).collect())
}

impl<H> fmt::Debug for TcpServer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpServer").field("started", &self.shared.started.get()).finish_non_exhaustive()
    }
}

/// Why a server could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// It was started before.
    AlreadyStarted,
    /// The processes could not be forked.
    Fork(ForkError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyStarted => f.write_str("the server was started before"),
            Self::Fork(error) => error.fmt(f),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::AlreadyStarted => None,
            Self::Fork(error) => error.source(),
        }
    }
}

/// Whether a connection's handler ended because the peer simply closed.
fn is_orderly_close(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<StreamError>().is_some_and(|error| error.is_closed() && error.real_error().is_none())
}

/// That a stream was closed by an error is the peer's doing, or the network's: it was cut, sent too much, or not what was
/// looked for.
fn is_by_peer(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<StreamError>().is_some_and(StreamError::is_closed)
}

/// An error with its causes, on one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
