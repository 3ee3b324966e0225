//! Trailers (RFC 9110 §6.5): fields behind the body, of a request and of its response.

use std::panic::Location;

use crate::httputil::{HeaderValue, HttpHeaders, trailers};
use crate::web::context::{Context, misuse};
use crate::web::error::{Error, Result};
use crate::web::response::Phase;

impl Context {
    /// The fields that the client has sent behind the body (RFC 9110 §6.5), once all of the body was received: in the method
    /// of a handler, or after the last [`data_received`](crate::RequestHandler::data_received) of one that streams its body.
    /// `None` before, and when there are none.
    ///
    /// They are kept apart from the headers. Those that decide about a message, such as `Host`, `Authorization` or
    /// `Content-Length`, may not be there and are left out. More of them than
    /// [`max_header_count`](crate::HttpServer::max_header_count), or more than 16 KiB in HTTP/1.1, are a 400.
    pub fn request_trailers(&self) -> Option<&HttpHeaders> {
        let streamed = self.body.as_ref().and_then(|body| body.trailers.get());
        streamed.or_else(|| self.request().trailers())
    }

    /// Sends this field behind the body, instead of any of that name: for what is known only when the body is written,
    /// such as a checksum or how it went. May be called until the response is finished.
    ///
    /// Clients of HTTP/2 get it. HTTP/1.1 has a place for trailers behind a body in chunks, and not every client looks
    /// there: one that does not say `TE: trailers` gets none, nor does one of HTTP/1.0, nor any with an answer that has no
    /// body (to HEAD, 204, 304) or that has told its Content-Length. So nothing may depend on them.
    ///
    /// A response with trailers that are set before its head goes out is sent without entity tag and Content-Length, so that
    /// there is a place for them, and its `Trailer` field names them. Of others, who sets `Trailer` announces them.
    ///
    /// ```
    /// # use squall::{Context, Result};
    /// async fn report(ctx: &Context) -> Result {
    ///     ctx.set_header("Trailer", "X-Rows")?;
    ///     let mut rows = 0;
    ///     for row in ["a\n", "b\n"] {
    ///         ctx.write(row);
    ///         ctx.flush().await?;
    ///         rows += 1;
    ///     }
    ///     ctx.set_trailer("X-Rows", rows)
    /// }
    /// ```
    ///
    /// # Errors
    /// When name or value must not be sent; when the field may not be a trailer (RFC 9110 §6.5.1: what frames, routes,
    /// authenticates or caches a message, `Set-Cookie` too); after the response is finished.
    #[track_caller]
    pub fn set_trailer(&self, name: &str, value: impl HeaderValue) -> Result {
        self.change_trailers(name, |trailers| Ok(trailers.set(name, value)?))
    }

    /// Adds a field behind the body, beside those of that name; see [`set_trailer`](Self::set_trailer).
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn add_trailer(&self, name: &str, value: impl HeaderValue) -> Result {
        self.change_trailers(name, |trailers| Ok(trailers.add(name, value)?))
    }

    #[track_caller]
    fn change_trailers(&self, name: &str, change: impl FnOnce(&mut HttpHeaders) -> Result) -> Result {
        let caller = Location::caller();
        if trailers::is_forbidden(name) {
            return Err(misuse(format!("{name} may not be a trailer (RFC 9110 §6.5.1)")).blame(caller));
        }
        let mut response = self.response.borrow_mut();
        if response.phase == Phase::Finished {
            return Err(misuse("Cannot set a trailer after finish()".to_owned()).blame(caller));
        }
        let trailers = response.trailers.get_or_insert_default();
        let changed = change(trailers).map_err(|error| Error::blame(error, caller));
        if trailers.is_empty() {
            response.trailers = None;
        }
        changed
    }

    /// Hands on trailers of another server or a service, without those that may not be there.
    #[cfg(any(feature = "client", feature = "tower"))]
    pub(in crate::web) fn pass_trailers(&self, fields: &HttpHeaders) {
        let allowed = trailers::allowed(fields);
        if !allowed.is_empty() {
            self.response.borrow_mut().trailers = Some(Box::new(allowed));
        }
    }

    /// Whether the response needs a place behind its body, and its client would look there.
    pub(in crate::web) fn is_trailed(&self) -> bool {
        self.response.borrow().trailers.is_some() && self.request().accepts_trailers()
    }

    /// Names the trailers that are known before the body (RFC 9110 §6.6.2).
    pub(in crate::web) fn announce_trailers(&self) -> Result {
        let mut response = self.response.borrow_mut();
        let response = &mut *response;
        let Some(trailers) = &response.trailers else { return Ok(()) };
        if response.headers.contains("Trailer")
            || response.has_no_body()
            || !self.request().accepts_trailers()
        {
            return Ok(());
        }
        let mut names: Vec<&str> = Vec::with_capacity(trailers.len());
        for (name, _) in trailers.iter() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(response.headers.set("Trailer", names.join(", "))?)
    }
}
