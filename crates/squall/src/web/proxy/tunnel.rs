//! Bytes both ways between two connections that no longer speak HTTP.

use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use crate::iostream::{IoStream, WriteFuture};
use crate::log;

/// How long one side may go on after the other has ended. Most protocols have nothing more to say then, and a side that
/// stays silent would keep both connections for ever.
const PATIENCE: Duration = Duration::from_secs(3);

/// A side takes nothing of what waits for it.
struct Stalled;

/// Passes bytes on until one side has ended and the other had its time to end too, or one takes nothing for the
/// `write_timeout`. Then both connections are closed.
pub(super) async fn run(client: IoStream, upstream: IoStream, write_timeout: Option<Duration>) {
    let _ = upstream.set_nodelay(true);
    let _ = client.set_nodelay(true);
    match both_ways(&client, &upstream, write_timeout).await {
        Ok(()) => {
            client.close();
            upstream.close();
        }
        Err(Stalled) => {
            tracing::info!(target: log::GENERAL, "a side of a tunnel takes no bytes");
            // A reset, since the kernel would keep what it has for such a peer much longer.
            client.abort();
            upstream.abort();
        }
    }
}

async fn both_ways(
    client: &IoStream,
    upstream: &IoStream,
    write_timeout: Option<Duration>,
) -> Result<(), Stalled> {
    let mut up = pin!(one_way(client, upstream, write_timeout));
    let mut down = pin!(one_way(upstream, client, write_timeout));
    let other = tokio::select! {
        ended = &mut up => {
            ended?;
            timeout(PATIENCE, down).await
        }
        ended = &mut down => {
            ended?;
            timeout(PATIENCE, up).await
        }
    };
    other.unwrap_or(Ok(()))
}

/// Passes on what comes, and then that it has ended. That `to` has gone is an end, too.
async fn one_way(from: &IoStream, to: &IoStream, write_timeout: Option<Duration>) -> Result<(), Stalled> {
    loop {
        let has_more = !from.read_buffer().is_empty() || matches!(from.fill().await, Ok(1..));
        // Who watches for the end may have put the last bytes there.
        if !has_more && from.read_buffer().is_empty() {
            break;
        }
        let written = {
            let mut buffer = from.read_buffer();
            let written = to.write(buffer.as_slice());
            let length = buffer.len();
            buffer.consume(length);
            written
        };
        if !is_taken(to, written, write_timeout).await? {
            return Ok(());
        }
    }
    // All is with the kernel; over TLS there is one word more to send.
    let _ = timeout(PATIENCE, to.finish_write()).await;
    Ok(())
}

/// Waits until the kernel has what was written; false when the connection has gone.
async fn is_taken(
    to: &IoStream,
    mut written: WriteFuture,
    write_timeout: Option<Duration>,
) -> Result<bool, Stalled> {
    let Some(patience) = write_timeout.filter(|_| to.writing()) else { return Ok(written.await.is_ok()) };
    loop {
        let before = to.flushed();
        match timeout(patience, &mut written).await {
            Ok(result) => return Ok(result.is_ok()),
            Err(_) if to.flushed() == before => return Err(Stalled),
            Err(_) => {}
        }
    }
}
