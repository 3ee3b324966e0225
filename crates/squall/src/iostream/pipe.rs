//! Streams over pipes.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;

use super::IoStream;
use super::transport::Transport;
use crate::netutil::within;

/// A buffered stream over one end of a pipe, or over a terminal or another descriptor that can be waited for.
///
/// It is read or written as an [`IoStream`], to which it dereferences; which of the two depends on the end. Closing is the one
/// way to tell the other side that nothing more comes. The operations of sockets (addresses, taking the socket out, TLS)
/// give errors.
///
/// ```
/// # use squall::iostream::PipeIoStream;
/// # squall::IoLoop::current().run_sync(async {
/// let (reader, writer) = std::io::pipe()?;
/// let (reader, writer) = (PipeIoStream::new(reader)?, PipeIoStream::new(writer)?);
/// writer.write(b"hello");
/// assert_eq!(reader.read_bytes(5).await?, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }, None).unwrap().unwrap();
/// ```
#[doc(alias = "PipeIOStream")]
#[derive(Clone)]
pub struct PipeIoStream(IoStream);

impl PipeIoStream {
    /// A stream over `pipe`, which it owns and makes non-blocking. That holds for whoever shares the open file, such as
    /// another process on the same terminal.
    ///
    /// # Errors
    /// When it cannot be waited for (`EPERM`: a file on a disk), or the process has too many descriptors.
    pub fn new(pipe: impl Into<OwnedFd>) -> io::Result<Self> {
        let pipe = pipe.into();
        Ok(PipeIoStream(IoStream::open(within(|| Transport::register_pipe(pipe))?)))
    }
}

impl Deref for PipeIoStream {
    type Target = IoStream;

    fn deref(&self) -> &IoStream {
        &self.0
    }
}

impl From<PipeIoStream> for IoStream {
    fn from(stream: PipeIoStream) -> Self {
        stream.0
    }
}

impl fmt::Debug for PipeIoStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PipeIoStream").field(&self.0).finish()
    }
}
