//! Waiting for the signals that ask a server to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Resolves when the process receives SIGINT or SIGTERM.
///
/// From the first poll on these signals no longer end the process. Only signals that arrive after it are seen, so
/// poll it (or join it with the serving future) before announcing that the server is up.
///
/// Cancel safe: a signal that arrives between two calls is lost, nothing else.
pub async fn shutdown_signal() {
    let (Some(mut interrupt), Some(mut terminate)) =
        (listen(SignalKind::interrupt()), listen(SignalKind::terminate()))
    else {
        // A signal without a listener keeps its default action, which is to end the process.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn listen(kind: SignalKind) -> Option<Signal> {
    signal(kind)
        .map_err(|error| tracing::error!(target: crate::log::GENERAL, "Cannot listen for a signal: {error}"))
        .ok()
}
