//! The way of a response from a [`Context`] to the connection: what the head needs, hooks, transforms.

use std::panic::Location;

use http::Method;

use crate::httputil::conditional::{self, Validators};
use crate::httputil::{HttpHeaders, HttpOutputError, ResponseStartLine};
use crate::web::context::{Context, misuse};
use crate::web::disconnected::Disconnected;
use crate::web::error::{Error, Result};
use crate::web::response::Phase;
use crate::web::transforms::Pace;

/// From so much on a piece that goes through transforms may have held the loop for a while.
const HEAVY: usize = 16 * 1024;

impl Context {
    /// Sends what has been written so far and waits until the kernel has it. The first call sends the head.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Disconnected`] when the client has left; an error when more was written than the Content-Length that was set.
    #[track_caller]
    pub fn flush(&self) -> impl Future<Output = Result> {
        let caller = Location::caller();
        async move { self.flush_now().await.map_err(|error| error.blame_misuse(caller)) }
    }

    pub(in crate::web) async fn flush_now(&self) -> Result {
        let heavy = self.is_heavy();
        if heavy && self.compresses_much() {
            // Boxed: it is rare, and need not make every request's future larger.
            Box::pin(self.send_much()).await?;
        } else {
            self.send_part()?;
        }
        self.request().connection().flush().await.map_err(Disconnected::from)?;
        if heavy {
            // A fast client must not make the loop compress for it alone.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Ends the response and waits until the kernel has it. A handler that returns need not call it.
    ///
    /// # Errors
    /// When the response is finished already, or does not fit its Content-Length or status.
    #[track_caller]
    pub fn finish(&self) -> impl Future<Output = Result> {
        self.finish_by(Location::caller())
    }

    async fn finish_by(&self, caller: &'static Location<'static>) -> Result {
        self.end().await.map_err(|error| error.blame_misuse(caller))?;
        // A client that left is no error of a response that is complete.
        let _ = self.request().connection().flush().await;
        Ok(())
    }

    /// Writes this, then [`finish`](Self::finish)es.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    ///
    /// # Panics
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn finish_with(&self, chunk: impl AsRef<[u8]>) -> impl Future<Output = Result> {
        // Here, where it is known who calls.
        self.assert_not_finished();
        let caller = Location::caller();
        async move {
            self.write(chunk);
            self.finish_by(caller).await
        }
    }

    /// Ends the response. Much that is to be compressed goes slice by slice, so that nobody else waits for all of it.
    pub(in crate::web) async fn end(&self) -> Result {
        if !self.compresses_much() {
            return self.finish_now();
        }
        // Boxed: it is rare, and need not make every request's future larger.
        Box::pin(self.finish_in_slices()).await
    }

    async fn finish_in_slices(&self) -> Result {
        let phase = self.response.borrow().phase;
        if phase == Phase::Buffering {
            self.run_head_hooks()?;
            self.finish_head()?;
        }
        self.send(true, Pace::InSlices)?;
        self.send_slices(true).await?;
        self.finish_connection()
    }

    /// As [`send_part`](Self::send_part), with pauses.
    pub(in crate::web) async fn send_much(&self) -> Result {
        if self.response.borrow().phase == Phase::Buffering {
            self.begin_head()?;
        }
        self.send(false, Pace::InSlices)?;
        self.send_slices(false).await
    }

    /// Cancel safe: what is left goes with what is sent next.
    async fn send_slices(&self, finishing: bool) -> Result {
        let connection = self.request().connection();
        while let Some(slice) = self.rare().transforms.next_slice(finishing)? {
            connection.write(&slice).map_err(closed)?;
            connection.flush().await.map_err(Disconnected::from)?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Whether sending what has been written now may hold the loop for a while.
    pub(in crate::web) fn is_heavy(&self) -> bool {
        self.response.borrow().body.len() >= HEAVY && !self.core().settings().transforms.is_empty()
    }

    pub(in crate::web) fn finish_now(&self) -> Result {
        let phase = self.response.borrow().phase;
        if phase == Phase::Finished {
            return Err(misuse("finish() called twice".to_owned()));
        }
        if phase == Phase::Buffering {
            self.run_head_hooks()?;
            self.finish_head()?;
        }
        self.send(true, Pace::AtOnce)?;
        self.finish_connection()
    }

    fn finish_connection(&self) -> Result {
        let trailers = {
            let mut response = self.response.borrow_mut();
            response.phase = Phase::Finished;
            response.trailers.take()
        };
        let connection = self.request().connection();
        match trailers {
            None => connection.finish()?,
            Some(trailers) if self.request().accepts_trailers() => connection.finish_with(&trailers)?,
            // Who does not say that it takes them may have its reasons.
            Some(_) => connection.finish()?,
        }
        Ok(())
    }

    /// The headers that need the whole body: entity tag, 304, Content-Length.
    fn finish_head(&self) -> Result {
        let is_head = *self.method() == Method::HEAD;
        if self.response.borrow().relayed {
            // Whether it matches, which tag it has and what a body-less head tells is its server's to say.
            return Ok(());
        }
        if self.is_trailed() {
            return self.begin_body();
        }
        if is_head || *self.method() == Method::GET {
            self.tag_entity()?;
        }
        let mut response = self.response.borrow_mut();
        let response = &mut *response;
        if response.has_no_body() {
            if !response.body.is_empty() {
                return Err(misuse(format!("Cannot send body with {}", response.status)));
            }
            response.remove_body_headers();
        } else if response.headers.contains("Content-Length") {
            // A handler of HEAD need not write the body.
            if !is_head {
                let length = response.body.len() as u64;
                response.check_length(|told| told == length)?;
            }
        } else {
            let mut digits = itoa::Buffer::new();
            response.headers.push_trusted("Content-Length", digits.format(response.body.len()));
        }
        Ok(())
    }

    /// The head goes out before the whole body is known.
    fn begin_head(&self) -> Result {
        self.run_head_hooks()?;
        self.begin_body()
    }

    fn begin_body(&self) -> Result {
        self.announce_trailers()?;
        let mut response = self.response.borrow_mut();
        let length = response.body.len() as u64;
        if response.relayed {
            // The connection sees to it that the body is as long as the head says.
        } else if response.has_no_body() {
            if length > 0 {
                return Err(misuse(format!("Cannot send body with {}", response.status)));
            }
            response.remove_body_headers();
        } else if *self.method() != Method::HEAD {
            response.check_length(|told| told >= length)?;
        }
        Ok(())
    }

    fn tag_entity(&self) -> Result {
        let tagged = {
            let response = self.response.borrow();
            if response.status != 200 {
                return Ok(());
            }
            response.headers.contains("Etag")
        };
        if !tagged && let Some(tag) = self.route().target().compute_etag(self) {
            let headers = &mut self.response.borrow_mut().headers;
            if tag.is_of_hash() {
                headers.push_trusted("Etag", tag.as_str());
            } else {
                headers.add("Etag", tag)?;
            }
        }
        let asked = self.request().headers();
        if !conditional::is_conditional(asked) {
            return Ok(());
        }
        self.weaken_tag_if_compressed()?;
        let mut response = self.response.borrow_mut();
        let response = &mut *response;
        // As in Tornado the tag alone decides, and without one nothing does: dates are the handler's business.
        let Some(tag) = response.headers.get("Etag") else { return Ok(()) };
        let current = Validators { etag: Some(tag), modified: None };
        let status = if conditional::has_failed(asked, current) {
            412
        } else if conditional::is_not_modified(asked, current) {
            304
        } else {
            return Ok(());
        };
        response.body.clear();
        if status == 412 || self.core().settings().transforms.compresses() {
            // It is not the length of this, or not what would be sent.
            response.headers.remove("Content-Length");
        }
        response.set_status(status, None);
        Ok(())
    }

    /// Hands what has been written to the connection, the head first.
    pub(in crate::web) fn send_part(&self) -> Result {
        if self.response.borrow().phase == Phase::Buffering {
            self.begin_head()?;
        }
        self.send(false, Pace::AtOnce)
    }

    /// Whether bytes that do not go through [`write`](Self::write) would be missing from what transforms make of the
    /// body. Known once the head is out.
    pub(in crate::web) fn has_transforms(&self) -> bool {
        self.rare_if_any().is_some_and(|rare| rare.transforms.are_some())
    }

    fn send(&self, finishing: bool, pace: Pace) -> Result {
        let (phase, relayed) = {
            let response = self.response.borrow();
            (response.phase, response.relayed)
        };
        if phase == Phase::Buffering {
            if !relayed && !self.core().settings().transforms.is_empty() {
                self.rare().transforms.first_chunk(self, &self.response, finishing, pace)?;
            }
        } else if phase == Phase::Streaming && self.has_transforms() {
            self.rare().transforms.chunk(&self.response, finishing, pace)?;
        }
        let mut response = self.response.borrow_mut();
        let response = &mut *response;
        let connection = self.request().connection();
        let sent = match phase {
            Phase::Finished => return Err(misuse("Cannot flush() after finish()".to_owned())),
            Phase::Streaming => connection.write(&response.body),
            Phase::Buffering => {
                if let Some(cookies) = self.rare_if_any().and_then(|rare| rare.cookies.get()) {
                    cookies.write_to(&mut response.headers)?;
                }
                response.phase = Phase::Streaming;
                let start = ResponseStartLine { status: response.status, reason: response.reason() };
                connection.write_headers(start, &response.headers, &response.body)
            }
        };
        response.body.clear();
        sent.map_err(closed)
    }

    /// Sets the head of a response that is another server's: it goes out as it is, and so does its body.
    ///
    /// # Panics
    /// When `status` is not from 200 to 999.
    #[cfg(feature = "client")]
    pub(in crate::web) fn relay_head<T>(
        &self,
        status: u16,
        reason: &str,
        set: impl FnOnce(&mut HttpHeaders) -> Result<T>,
    ) -> Result<T> {
        assert!((200..=999).contains(&status), "{status} is no status of a response");
        let mut response = self.response.borrow_mut();
        response.relayed = true;
        response.status = status;
        // It is shown in no page, only in the status line, whose writer sees to it that it is one.
        response.reason = (reason != crate::httputil::reason_phrase(status)).then(|| reason.into());
        set(&mut response.headers)
    }

    /// Changes the headers of the response in place.
    pub(in crate::web) fn update_headers<T>(&self, change: impl FnOnce(&mut HttpHeaders) -> T) -> T {
        change(&mut self.response.borrow_mut().headers)
    }
}

pub(super) fn closed(error: HttpOutputError) -> Error {
    match error {
        HttpOutputError::Closed => Disconnected::gone().into(),
        other => other.into(),
    }
}
