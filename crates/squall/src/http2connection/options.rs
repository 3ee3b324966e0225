//! What an HTTP/2 connection allows its peer.

use std::time::Duration;

use crate::http2::server::Settings;
use crate::httputil::ConnectionLimits;

/// What a server's HTTP/2 connections allow their clients, beside the limits that are the same in every version
/// ([`HttpServer`](crate::HttpServer)'s: bodies, headers, time).
///
/// Every limit is on by default, and an honest client reaches none of them. One that does loses its connection
/// (`ENHANCE_YOUR_CALM`), or the stream.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Http2Options {
    pub(super) max_concurrent_streams: u32,
    pub(super) stream_window: u32,
    pub(super) max_stream_window: u32,
    pub(super) connection_window: u32,
    pub(super) max_frame_size: u32,
    pub(super) max_send_buffer: usize,
    pub(super) keep_alive_interval: Option<Duration>,
    pub(super) keep_alive_timeout: Duration,
    pub(super) max_connection_age: Option<Duration>,
}

/// So many bodies that begin at once, before their client knows that the window is small again, may take a large one and
/// none of it be taken, without blocking others.
const ROOM_TO_GROW: u32 = 8;

impl Default for Http2Options {
    fn default() -> Self {
        Self {
            max_concurrent_streams: 100,
            stream_window: 65_536,
            max_stream_window: 1_048_576,
            connection_window: 100 * 65_536 + ROOM_TO_GROW * (1_048_576 - 65_536),
            max_frame_size: 16_384,
            max_send_buffer: 65_536,
            keep_alive_interval: None,
            keep_alive_timeout: Duration::from_secs(20),
            max_connection_age: None,
        }
    }
}

impl Http2Options {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The most requests under way at once on a connection (`SETTINGS_MAX_CONCURRENT_STREAMS`); more are refused with
    /// `REFUSED_STREAM`. Default: 100. At least 1.
    ///
    /// The window of the connection grows with it, so that a hundred handlers that do not take their bodies never block
    /// another stream.
    pub fn max_concurrent_streams(mut self, streams: u32) -> Self {
        self.max_concurrent_streams = streams.max(1);
        self.with_windows()
    }

    /// The most bytes of a request's body that may be under way before its handler takes them
    /// (`SETTINGS_INITIAL_WINDOW_SIZE`). Default: 65,536. From 1 byte to 1 GiB.
    ///
    /// It bounds the speed of an upload to one window per round trip: raise it where clients are far away and send much at
    /// once. A body that comes alone has more, see [`max_stream_window`](Self::max_stream_window).
    pub fn stream_window(mut self, bytes: u32) -> Self {
        self.stream_window = bytes.clamp(1, 1 << 30);
        self.with_windows()
    }

    /// How far the [`stream_window`](Self::stream_window) grows, in bytes. Default: 1,048,576. At most 1 GiB, and no less than
    /// that window, which is to say that it does not grow.
    ///
    /// It doubles each time that a handler has taken a window's worth of a body, while that is the only one that comes on
    /// its connection; it is small again when another comes beside it, or none. The connection's window has room for eight
    /// that begin in that moment, so that handlers that do not take them block no others: with the defaults it is 14 MiB,
    /// the most that one client can have the server hold of bodies that nobody takes.
    pub fn max_stream_window(mut self, bytes: u32) -> Self {
        self.max_stream_window = bytes.min(1 << 30);
        self.with_windows()
    }

    /// The most bytes of a frame from the client (`SETTINGS_MAX_FRAME_SIZE`). Default: 16,384. From 16,384 to 16,777,215.
    pub fn max_frame_size(mut self, bytes: u32) -> Self {
        self.max_frame_size = bytes.clamp(16_384, 16_777_215);
        self
    }

    /// The most bytes of a response that wait in frames for its client, beside what its handler has written and not
    /// [flushed](crate::Context::flush). Default: 65,536. At least 1,024.
    ///
    /// All responses of a connection share that room, or 65,536 bytes where that is more. While some wait for it those have it
    /// first that have sent least.
    pub fn max_send_buffer(mut self, bytes: usize) -> Self {
        self.max_send_buffer = bytes.clamp(1_024, u32::MAX as usize);
        self
    }

    /// How often the client is asked for a sign of life (PING), and `None` for never. Default: never.
    ///
    /// A client that does not answer within [`keep_alive_timeout`](Self::keep_alive_timeout) loses its connection.
    pub fn keep_alive_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.keep_alive_interval = interval.into();
        self
    }

    /// How long the answer to a PING may take. Default: 20 s.
    pub fn keep_alive_timeout(mut self, timeout: Duration) -> Self {
        self.keep_alive_timeout = timeout;
        self
    }

    /// How long a connection may live before it is let end (GOAWAY, and what is under way goes on), stretched by up to a
    /// tenth at random; `None` for as long as it likes. Default: none.
    pub fn max_connection_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.max_connection_age = age.into();
        self
    }

    fn with_windows(mut self) -> Self {
        let growth = u64::from(self.largest_window() - self.stream_window) * u64::from(ROOM_TO_GROW);
        let all = u64::from(self.stream_window) * u64::from(self.max_concurrent_streams) + growth;
        self.connection_window = all.clamp(65_535, (1 << 31) - 1) as u32;
        self
    }

    /// The window that a body has which comes alone.
    pub(super) fn largest_window(&self) -> u32 {
        self.max_stream_window.max(self.stream_window)
    }

    /// The age at which a connection is let end.
    pub(super) fn stretched_age(&self) -> Option<Duration> {
        let mut random = [0; 2];
        // Without chance they merely go together.
        let _ = getrandom::fill(&mut random);
        let tenth = f64::from(u16::from_ne_bytes(random)) / f64::from(u16::MAX) / 10.0;
        self.max_connection_age.map(|age| age.saturating_add(age.mul_f64(tenth)))
    }

    /// As the machine wants them.
    pub(super) fn settings(&self, limits: &ConnectionLimits) -> Settings {
        Settings {
            max_concurrent_streams: self.max_concurrent_streams,
            stream_window: self.stream_window,
            connection_window: self.connection_window,
            max_frame_size: self.max_frame_size,
            max_header_size: limits.max_header_size,
            max_header_count: limits.max_header_count,
            send_buffer: self.max_send_buffer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_has_room_for_every_stream() {
        for (streams, window) in [(1, 1), (100, 65_536), (u32::MAX, 1 << 30), (1_000, 1 << 20)] {
            let options = Http2Options::new().max_concurrent_streams(streams).stream_window(window);
            let all = u64::from(streams) * u64::from(options.stream_window);
            assert!(u64::from(options.connection_window) >= all.min((1 << 31) - 1), "{streams} {window}");
        }
        assert_eq!(
            Http2Options::new(),
            Http2Options::new().max_concurrent_streams(100).stream_window(65_536)
        );
    }
}
