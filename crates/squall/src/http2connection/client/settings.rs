//! What a client's connections allow their servers.

use std::time::Duration;

/// What the connections of a client have in common.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The most bytes of a response's head.
    pub(crate) max_header_size: usize,
    /// The most fields of one.
    pub(crate) max_header_count: usize,
    /// The most bytes of a response that are under way before they are taken.
    pub(crate) stream_window: u32,
    /// The most requests at once that the client makes.
    pub(crate) max_streams: usize,
    /// How often a server with requests under way is asked for a sign of life.
    pub(crate) keep_alive_interval: Option<Duration>,
    /// Whether the connection is kept when nothing is under way.
    pub(crate) keeps: bool,
}

/// No more requests than this are under way on one connection, whatever the server allows: its window has room for the
/// bodies of all of them.
pub(super) const MOST_STREAMS: usize = 512;
/// So many streams that were given up are remembered, whose frames are still on their way.
const MOST_RESET_STREAMS: usize = 512;
/// As many bytes of a request's body wait in its stream for the server.
const MAX_SEND_BUFFER: usize = 65_536;

/// What stands for a limit of streams that the server has not told yet.
pub(super) const UNTOLD: usize = usize::MAX - 1;

impl Settings {
    pub(super) fn builder(&self) -> h2::client::Builder {
        let streams = self.max_streams.clamp(1, MOST_STREAMS) as u64;
        // One body that is not taken must not stop the others.
        let all = u64::from(self.stream_window) * streams;
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(UNTOLD)
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(all.clamp(65_535, (1 << 31) - 1) as u32)
            // Counted with 32 bytes more for each field (RFC 9113 §6.5.2). What is larger than allowed without them, and
            // no larger than this, has an error of its own.
            .max_header_list_size(u32::try_from(self.max_header_size.saturating_mul(2)).unwrap_or(u32::MAX))
            .max_send_buffer_size(MAX_SEND_BUFFER)
            .max_concurrent_reset_streams(MOST_RESET_STREAMS);
        builder
    }
}
