//! Bodies that go through somebody: a route that counts one, and one that sends one in pieces. For the tower tests as well.

use squall::web::UrlSpec;
use squall::{Bytes, Context, RequestHandler, Result, get, handler};

/// Answers PUT with how many bytes came.
#[derive(Clone, Default)]
pub(crate) struct Count {
    bytes: usize,
}

#[handler(stream_body)]
impl RequestHandler for Count {
    async fn data_received(&mut self, _ctx: &Context, chunk: Bytes) -> Result {
        self.bytes += chunk.len();
        Ok(())
    }

    async fn put(&mut self, ctx: &Context) -> Result {
        ctx.write(self.bytes.to_string());
        Ok(())
    }
}

/// `GET /drip`: "01234", a digit at a time.
pub(crate) fn drip() -> UrlSpec {
    get("/drip", async |ctx: &Context| {
        for n in 0..5 {
            ctx.write(n.to_string());
            ctx.flush().await?;
        }
        Ok(())
    })
}
