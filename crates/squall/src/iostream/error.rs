//! The ways in which a stream operation fails.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Why a stream was closed: an [`io::Error`], an [`UnsatisfiableReadError`], a [`StreamBufferFullError`], or what the
/// application passed to [`IoStream::close_with`](super::IoStream::close_with).
///
/// Shared, because every operation that was outstanding reports the same one.
pub type RealError = Arc<dyn Error + Send + Sync>;

/// Why an operation on a stream failed.
#[derive(Clone, Debug)]
pub enum StreamError {
    /// The stream is closed, be it by the peer, by this side or by an error.
    Closed(StreamClosedError),
    /// The data does not fit the write buffer (`max_write_buffer_size`). The stream stays open.
    BufferFull(StreamBufferFullError),
    /// Another read on this stream has not completed; the mistake is the caller's. The stream stays open.
    AlreadyReading,
}

impl StreamError {
    pub(super) fn closed_by(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Closed(StreamClosedError::new(Some(Arc::new(error))))
    }

    /// Whether the stream is closed, as opposed to the operation having been refused.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// The error that closed the stream, if there was one.
    pub fn real_error(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Closed(closed) => closed.real_error(),
            Self::BufferFull(_) | Self::AlreadyReading => None,
        }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(closed) => closed.fmt(f),
            Self::BufferFull(full) => full.fmt(f),
            Self::AlreadyReading => f.write_str("Already reading"),
        }
    }
}

impl Error for StreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Closed(closed) => closed.source(),
            Self::BufferFull(_) | Self::AlreadyReading => None,
        }
    }
}

impl From<StreamClosedError> for StreamError {
    fn from(error: StreamClosedError) -> Self {
        Self::Closed(error)
    }
}

impl From<StreamBufferFullError> for StreamError {
    fn from(error: StreamBufferFullError) -> Self {
        Self::BufferFull(error)
    }
}

/// Keeps the kind of the real error (`ConnectionRefused`, …); a stream closed without one is `BrokenPipe`.
impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match &error {
            StreamError::Closed(closed) => {
                closed.io_error().map_or(io::ErrorKind::BrokenPipe, io::Error::kind)
            }
            StreamError::BufferFull(_) => io::ErrorKind::OutOfMemory,
            StreamError::AlreadyReading => io::ErrorKind::ResourceBusy,
        };
        Self::new(kind, error)
    }
}

/// The stream is closed; [`source`](Error::source) is the error that closed it, if there was one.
#[derive(Clone, Debug, Default)]
pub struct StreamClosedError {
    real_error: Option<RealError>,
}

impl StreamClosedError {
    pub(crate) fn new(real_error: Option<RealError>) -> Self {
        Self { real_error }
    }

    /// The error that closed the stream; `None` after an orderly close by either side.
    pub fn real_error(&self) -> Option<&(dyn Error + 'static)> {
        self.real_error.as_deref().map(|error| error as &(dyn Error + 'static))
    }

    /// The real error, when it came from the operating system.
    pub fn io_error(&self) -> Option<&io::Error> {
        self.real_error()?.downcast_ref()
    }
}

impl fmt::Display for StreamClosedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream is closed")
    }
}

impl Error for StreamClosedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.real_error()
    }
}

/// A read can never complete: what it looks for is not within its `max_bytes`. It closes the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsatisfiableReadError {
    pub(super) wanted: String,
    pub(super) max_bytes: usize,
}

impl UnsatisfiableReadError {
    /// The `max_bytes` of the read.
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }
}

impl fmt::Display for UnsatisfiableReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} not found within {} bytes", self.wanted, self.max_bytes)
    }
}

impl Error for UnsatisfiableReadError {}

/// A buffer of the stream has reached its maximum size.
///
/// For the read buffer it closes the stream; for the write buffer it refuses the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamBufferFullError {
    pub(super) side: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Read,
    Write,
}

impl fmt::Display for StreamBufferFullError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.side {
            Side::Read => "Reached maximum read buffer size",
            Side::Write => "Reached maximum write buffer size",
        })
    }
}

impl Error for StreamBufferFullError {}

/// Whether the error only says that the peer has gone, which is a normal end of a connection and not worth a log line.
pub(super) fn is_connection_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::TimedOut
    )
}
