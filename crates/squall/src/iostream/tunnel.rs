//! Streams that have no socket of their own: one of several on a connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::IoStream;
use super::transport::Transport;

/// What carries such a stream: as [`Transport`] does, without waiting but where it says `poll`. One task polls either
/// side, and only while it waits.
pub(crate) trait Tunnel {
    /// The connection that it is part of, to be asked things.
    fn connection(&self) -> &IoStream;

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// What has come, at most so much of it; nothing at the end, `WouldBlock` before.
    fn take(&self, most: usize) -> io::Result<Bytes>;

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Takes as much as there is room for; `WouldBlock` for nothing.
    fn send(&self, data: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Nothing more is sent, which the peer is told. So it is when this is dropped.
    fn end(&self);

    /// Ends it so that it does not look complete.
    fn reset(&self);

    /// Resolves when the peer is known to have ended it.
    fn ended(&self) -> Pin<Box<dyn Future<Output = ()>>>;
}

impl IoStream {
    /// A stream over what is no socket.
    pub(crate) fn over(tunnel: Box<dyn Tunnel>) -> Self {
        Self::open(Transport::Tunnel(tunnel))
    }
}
