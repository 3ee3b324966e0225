//! Files as bodies.

use crate::httputil::HttpConnection;
use crate::iostream::FilePart;
use crate::web::context::Context;
use crate::web::error::Result;

/// How much is read at a time where the kernel does not send files by itself.
const PIECE: u64 = 64 * 1024;

impl Context {
    /// Sends what has been written, then a part of a file, without reading it into memory where the system can do so
    /// (`sendfile`).
    ///
    /// Set Content-Length before: without it the body is chunked. It is on its way when this returns;
    /// [`flush`](Self::flush) waits for the client to take it, but returning from the handler does not hold anything
    /// back either. A file that is shorter than the part cuts the connection. A response that is compressed, or otherwise
    /// [transformed](crate::web::OutputTransform), is read in pieces.
    ///
    /// # Errors
    /// As [`flush`](Self::flush); those of reading the file.
    pub async fn write_file(&self, part: FilePart) -> Result {
        self.send_part()?;
        let connection = self.request().connection();
        // HEAD has no body, and needs no reading either.
        if *self.method() == http::Method::HEAD {
            return Ok(());
        }
        if self.has_transforms() {
            return self.transform_file(part).await;
        }
        if connection.write_file(&part)? {
            return Ok(());
        }
        copy_file(connection, part).await
    }

    async fn transform_file(&self, mut part: FilePart) -> Result {
        while !part.is_empty() {
            self.write(part.split_front(PIECE).read().await?);
            self.flush_now().await?;
        }
        Ok(())
    }
}

async fn copy_file(connection: &HttpConnection, mut part: FilePart) -> Result {
    while !part.is_empty() {
        let piece = part.split_front(PIECE).read().await?;
        connection.write_bytes(piece.into())?;
        connection.flush().await?;
    }
    Ok(())
}
