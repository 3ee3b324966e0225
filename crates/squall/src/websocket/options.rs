//! Settings of a connection, the same for servers and clients.

use std::time::Duration;

/// Limits and keep-alive of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebSocketOptions {
    pub(super) max_message_size: usize,
    pub(super) ping_interval: Option<Duration>,
    pub(super) ping_timeout: Option<Duration>,
    pub(super) max_queue: usize,
    pub(super) when_full: WhenFull,
    pub(super) nodelay: bool,
    pub(super) close_timeout: Duration,
}

/// What happens to a message for a peer that does not take what is sent, when the queue for it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// [`write_message`](super::WebSocket::write_message) waits; [`try_write`](super::WebSocket::try_write) refuses.
    #[default]
    Wait,
    /// The oldest messages in the queue are dropped. Nobody waits.
    DropOldest,
    /// The connection is closed with 1008. Nobody waits.
    Close,
}

impl WebSocketOptions {
    /// Messages up to 10 MiB, no pings, a queue of 1 MiB and [`WhenFull::Wait`].
    pub const fn new() -> Self {
        Self {
            max_message_size: 10 * 1024 * 1024,
            ping_interval: None,
            ping_timeout: None,
            max_queue: 1024 * 1024,
            when_full: WhenFull::Wait,
            nodelay: true,
            close_timeout: Duration::from_secs(5),
        }
    }

    /// Most bytes of a message that is received, decompressed or not; more closes the connection with 1009. Default:
    /// 10,485,760.
    #[must_use]
    pub const fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// Send a ping so often; zero or `None` for never, which is the default.
    #[must_use]
    pub fn ping_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.ping_interval = interval.into().filter(|interval| !interval.is_zero());
        self
    }

    /// How long a pong may take before the connection is closed with 1000, "ping timed out"; zero for as long as it
    /// likes. Default: as the interval. Without an interval it has no effect.
    ///
    /// Pings go out at the interval whatever the timeout is, and any pong answers for all pings before it. So a timeout
    /// above the interval gives a peer several pings' time. (Tornado cuts it down to the interval.)
    #[must_use]
    pub fn ping_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.ping_timeout = timeout.into();
        self
    }

    /// Most bytes of messages that wait for a slow peer, beyond the one that is being sent, and what happens then.
    /// Default: 1 MiB, [`WhenFull::Wait`].
    #[must_use]
    pub const fn queue(mut self, bytes: usize, when_full: WhenFull) -> Self {
        self.max_queue = bytes;
        self.when_full = when_full;
        self
    }

    /// Send small messages at once rather than gathering them (`TCP_NODELAY`). Default: on. (Tornado's is off; there
    /// small messages can be late by 40 ms or more.)
    #[must_use]
    #[doc(alias = "set_nodelay")]
    pub const fn nodelay(mut self, on: bool) -> Self {
        self.nodelay = on;
        self
    }

    /// How long the peer may take to answer a close frame, and then to take the last of our output, before the connection
    /// is dropped. Default: 5 s.
    #[must_use]
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How long a pong may take, if that is limited.
    pub(super) fn pong_within(&self) -> Option<Duration> {
        self.ping_timeout.or(self.ping_interval).filter(|timeout| !timeout.is_zero())
    }
}

impl Default for WebSocketOptions {
    fn default() -> Self {
        Self::new()
    }
}
