//! Interim responses (RFC 9110 §15.2), before the response itself.

use std::panic::Location;

use crate::httputil::{HttpHeaders, ResponseStartLine, reason_phrase};
use crate::web::context::{Context, misuse};
use crate::web::disconnected::Disconnected;
use crate::web::error::{Error, Result};
use crate::web::response::Phase;

/// So many there may be before a response. Clients give up one that sends more: this one's own after 10.
const MOST: u8 = 10;
/// And so many bytes of fields in all of them.
const MOST_BYTES: usize = 16 * 1024;

impl Context {
    /// Sends an interim response now, and waits until the kernel has it: 103 Early Hints, so that a browser loads what a page
    /// will need while the page is made, or 102 Processing, so that a client does not lose its patience.
    ///
    /// May be called up to 10 times, with 16 KiB of fields in all, before the head of the response goes out. The fields are
    /// those of the interim response alone; cookies and headers that were set are not among them. A client of HTTP/1.0
    /// knows no interim responses and gets none, nor does the caller of a tower service.
    ///
    /// ```
    /// # use squall::{Context, Result};
    /// async fn page(ctx: &Context) -> Result {
    ///     let hints = [("Link", "</style.css>; rel=preload; as=style")].into_iter().collect();
    ///     ctx.send_informational(103, &hints).await?;
    ///     ctx.write("what takes its time to be made");
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Cancel safe: what was begun is sent.
    ///
    /// # Errors
    /// 500 for a status that is not from 100 to 199, or is 101 (a protocol is changed with
    /// [`upgrade`](crate::websocket::upgrade) or [`detach`](Self::detach)); after the head was sent; beyond those limits.
    /// [`Disconnected`] when the client has left.
    #[track_caller]
    pub fn send_informational(&self, status: u16, headers: &HttpHeaders) -> impl Future<Output = Result> {
        // Here, where it is known who calls.
        let written = self.write_informational(status, headers, Location::caller());
        async move {
            written?;
            Ok(self.request().connection().flush().await.map_err(Disconnected::from)?)
        }
    }

    fn write_informational(
        &self,
        status: u16,
        headers: &HttpHeaders,
        caller: &'static Location<'static>,
    ) -> Result {
        let refused = |what: String| Err(misuse(what).blame(caller));
        if !(100..200).contains(&status) || status == 101 {
            return refused(format!("{status} is no interim response that can be sent"));
        }
        {
            let mut response = self.response.borrow_mut();
            if response.phase != Phase::Buffering {
                return refused("Cannot send an interim response after headers written".to_owned());
            }
            let bytes = headers.iter_bytes().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
            let interim = &mut response.interim;
            if interim.count == MOST || bytes > MOST_BYTES - interim.bytes {
                return refused(format!("More than {MOST} interim responses, or {MOST_BYTES} bytes in them"));
            }
            interim.count += 1;
            interim.bytes += bytes;
        }
        let start = ResponseStartLine { status, reason: reason_phrase(status) };
        let written = self.request().connection().write_interim(start, headers);
        written.map_err(|error| Error::blame(super::send::closed(error), caller))
    }
}
