//! Settings of a connection, the same for servers and clients.

use std::time::Duration;

/// Limits and keep-alive of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebSocketOptions {
    pub(in crate::websocket) max_message_size: usize,
    pub(in crate::websocket) max_queue: usize,
    ping_interval: Patience,
    /// `None` for the interval.
    ping_timeout: Option<Patience>,
    message_timeout: Patience,
    write_timeout: Patience,
    close_timeout: Patience,
    pub(in crate::websocket) when_full: WhenFull,
    pub(in crate::websocket) nodelay: bool,
}

/// A time in milliseconds, or as long as it likes. Every socket holds its options, and an `Option<Duration>` would take
/// four times the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Patience(u32);

impl Patience {
    const ENDLESS: Self = Self(u32::MAX);

    /// Rounded up; what is longer than 49 days is endless.
    const fn of(time: Duration) -> Self {
        let millis = time.as_nanos().div_ceil(1_000_000);
        if millis < u32::MAX as u128 { Self(millis as u32) } else { Self::ENDLESS }
    }

    fn of_option(time: Option<Duration>) -> Self {
        time.map_or(Self::ENDLESS, Self::of)
    }

    fn get(self) -> Option<Duration> {
        (self != Self::ENDLESS).then(|| Duration::from_millis(self.0.into()))
    }
}

/// What happens to a message for a peer that does not take what is sent, when the queue for it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// [`write_message`](crate::websocket::WebSocket::write_message) waits; [`try_write`](crate::websocket::WebSocket::try_write) refuses.
    #[default]
    Wait,
    /// The oldest messages in the queue are dropped. Nobody waits.
    DropOldest,
    /// The connection is closed with 1008. Nobody waits.
    Close,
}

impl WebSocketOptions {
    /// Messages up to 10 MiB, no pings, a queue of 1 MiB and [`WhenFull::Wait`]; a minute for a message to come, and for a
    /// peer to take anything.
    pub const fn new() -> Self {
        Self {
            max_message_size: 10 * 1024 * 1024,
            max_queue: 1024 * 1024,
            ping_interval: Patience::ENDLESS,
            ping_timeout: None,
            message_timeout: Patience::of(Duration::from_secs(60)),
            write_timeout: Patience::of(Duration::from_secs(60)),
            close_timeout: Patience::of(Duration::from_secs(5)),
            when_full: WhenFull::Wait,
            nodelay: true,
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
        self.ping_interval = Patience::of_option(interval.into().filter(|interval| !interval.is_zero()));
        self
    }

    /// How long a pong may take before the connection is closed with 1000, "ping timed out"; zero for as long as it
    /// likes. Default: as the interval. Without an interval it has no effect.
    ///
    /// Pings go out at the interval whatever the timeout is, and any pong answers for all pings before it. So a timeout
    /// above the interval gives a peer several pings' time. (Tornado cuts it down to the interval.)
    #[must_use]
    pub fn ping_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.ping_timeout = timeout.into().map(Patience::of);
        self
    }

    /// How long a message may take from its first byte to its last, all its fragments included; one that takes longer
    /// closes the connection with 1008. `None` for as long as it likes. Default: 60 s.
    ///
    /// A limit for peers that begin a message to have its memory held, and never end it. Whoever raises
    /// [`max_message_size`](Self::max_message_size) should raise this too: 10 MiB in a minute are 1.4 Mbit/s.
    #[must_use]
    pub fn message_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.message_timeout = Patience::of_option(timeout.into());
        self
    }

    /// How long the peer may take none of the output that waits for it, not a single byte, before the connection is reset
    /// ([`HttpServer::write_timeout`](crate::HttpServer::write_timeout) of a connection that was upgraded). `None` for as
    /// long as it likes. Default: 60 s.
    ///
    /// A slow peer that goes on reading is never cut off, since what waits for it is bounded. Nothing is expected of a peer
    /// for which nothing waits; [`ping_interval`](Self::ping_interval) tells whether that one is still there.
    #[must_use]
    pub fn write_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.write_timeout = Patience::of_option(timeout.into());
        self
    }

    /// Most bytes of messages that wait for a slow peer, beyond the one that is being sent, and what happens then.
    /// Default: 1 MiB, [`WhenFull::Wait`].
    ///
    /// With [`WhenFull::Wait`] a message that is larger than this goes out when nothing else waits; with the others it may
    /// be the only one in the queue.
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
        self.close_timeout = Patience::of(timeout);
        self
    }

    pub(in crate::websocket) fn ping_every(&self) -> Option<Duration> {
        self.ping_interval.get()
    }

    /// How long a pong may take, if that is limited.
    pub(in crate::websocket) fn pong_within(&self) -> Option<Duration> {
        self.ping_timeout.unwrap_or(self.ping_interval).get().filter(|timeout| !timeout.is_zero())
    }

    pub(in crate::websocket) fn message_within(&self) -> Option<Duration> {
        self.message_timeout.get()
    }

    pub(in crate::websocket) fn take_within(&self) -> Option<Duration> {
        self.write_timeout.get()
    }

    pub(in crate::websocket) fn close_within(&self) -> Option<Duration> {
        self.close_timeout.get()
    }
}

impl Default for WebSocketOptions {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_and_long_ones_endless() {
        for (time, kept) in [
            (Duration::ZERO, Some(Duration::ZERO)),
            (Duration::from_nanos(1), Some(Duration::from_millis(1))),
            (Duration::from_secs(5), Some(Duration::from_secs(5))),
            (Duration::MAX, None),
        ] {
            assert_eq!(Patience::of(time).get(), kept, "{time:?}");
        }
        let options = WebSocketOptions::new();
        assert_eq!(options.pong_within(), None);
        let options = options.ping_interval(Duration::from_secs(3));
        assert_eq!(options.pong_within(), Some(Duration::from_secs(3)));
        assert_eq!(options.ping_timeout(Duration::ZERO).pong_within(), None);
        assert_eq!(options.ping_timeout(Duration::MAX).pong_within(), None);
        assert_eq!(options.ping_interval(Duration::ZERO).ping_every(), None);
    }
}
