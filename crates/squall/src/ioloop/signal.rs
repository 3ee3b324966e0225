//! Waiting for the signals that ask a server to end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Resolves when the process receives SIGINT or SIGTERM.
///
/// For programs that serve HTTP there is [`HttpServer::serve`](crate::HttpServer::serve), which then also lets requests
/// in flight end.
///
/// From the first poll on these signals no longer end the process. Only signals that arrive after it are seen, so
/// poll it (or join it with the serving future) before announcing that the server is up.
///
/// Cancel safe: a signal that arrives between two calls is lost, nothing else.
pub async fn shutdown_signal() {
    match ShutdownSignals::listen() {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(error) => {
            // A signal without a listener keeps its default action, which is to end the process.
            tracing::error!(target: crate::log::GENERAL, "Cannot listen for a signal: {error}");
            std::future::pending::<()>().await;
        }
    }
}

/// SIGINT and SIGTERM, one after the other: none is lost between two waits.
pub(crate) struct ShutdownSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl ShutdownSignals {
    /// From now on these signals no longer end the process.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The name of the next one. Cancel safe.
    pub(crate) async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
