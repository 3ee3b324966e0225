//! Peers that take nothing of what is written to them.

use std::time::Duration;

use tokio::time::timeout;

use super::{IoStream, StreamError, WriteFuture};

/// The peer took not a byte for as long as it may.
#[derive(Debug)]
pub(crate) struct Stalled;

impl IoStream {
    /// Waits until the kernel has what was written, for as long as it takes some of it within each `patience`; `None` for
    /// any time.
    ///
    /// # Errors
    ///
    /// [`Stalled`], and inside what [`WriteFuture`] gives.
    pub(crate) async fn taken_within(
        &self,
        patience: Option<Duration>,
        mut written: WriteFuture,
    ) -> Result<Result<(), StreamError>, Stalled> {
        let Some(patience) = patience.filter(|_| self.is_writing()) else { return Ok(written.await) };
        loop {
            let before = self.flushed();
            match timeout(patience, &mut written).await {
                Ok(result) => return Ok(result),
                Err(_) if self.flushed() == before => return Err(Stalled),
                Err(_) => {}
            }
        }
    }
}
