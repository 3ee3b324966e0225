//! The way of a response from a [`Context`] to the connection: what the head needs, hooks, transforms.

use http::Method;

use super::context::{Context, misuse};
use super::disconnected::Disconnected;
use super::error::Result;
use super::response::Phase;
use crate::http1connection::HttpOutputError;
use crate::httputil::{EntityTag, HttpHeaders, ResponseStartLine};

impl Context {
    pub(super) fn finish_now(&self) -> Result {
        let phase = self.response.borrow().phase;
        if phase == Phase::Finished {
            return Err(misuse("finish() called twice".to_owned()));
        }
        if phase == Phase::Buffering {
            self.run_head_hooks()?;
            self.finish_head()?;
        }
        self.send(true)?;
        self.response.borrow_mut().phase = Phase::Finished;
        self.request().connection().finish()?;
        Ok(())
    }

    /// The headers that need the whole body: entity tag, 304, Content-Length.
    fn finish_head(&self) -> Result {
        let is_head = *self.method() == Method::HEAD;
        if self.response.borrow().relayed {
            // Whether it matches, which tag it has and what a body-less head tells is its server's to say.
            return Ok(());
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
        let Some(wanted) = self.request().headers().get("If-None-Match") else { return Ok(()) };
        let mut response = self.response.borrow_mut();
        let response = &mut *response;
        if response.headers.get("Etag").is_some_and(|tag| EntityTag::is_among(tag, wanted)) {
            response.body.clear();
            response.set_status(304, None);
        }
        Ok(())
    }

    /// Hands what has been written to the connection, the head first.
    pub(super) fn send_part(&self) -> Result {
        if self.response.borrow().phase == Phase::Buffering {
            self.begin_head()?;
        }
        self.send(false)
    }

    /// Whether bytes that do not go through [`write`](Self::write) would be missing from what transforms make of the
    /// body. Known once the head is out.
    pub(super) fn has_transforms(&self) -> bool {
        self.transforms.are_some()
    }

    fn send(&self, finishing: bool) -> Result {
        let phase = self.response.borrow().phase;
        if phase == Phase::Buffering {
            if !self.core().settings().transforms.is_empty() {
                self.transforms.first_chunk(self, &self.response, finishing)?;
            }
        } else if self.transforms.are_some() && phase == Phase::Streaming {
            self.transforms.chunk(&self.response, finishing)?;
        }
        let mut response = self.response.borrow_mut();
        let response = &mut *response;
        let connection = self.request().connection();
        let sent = match phase {
            Phase::Finished => return Err(misuse("Cannot flush() after finish()".to_owned())),
            Phase::Streaming => connection.write(&response.body),
            Phase::Buffering => {
                if let Some(cookies) = self.cookies.get() {
                    cookies.write_to(&mut response.headers)?;
                }
                response.phase = Phase::Streaming;
                let start = ResponseStartLine { status: response.status, reason: response.reason() };
                connection.write_headers(start, &response.headers, &response.body)
            }
        };
        response.body.clear();
        match sent {
            Err(HttpOutputError::Closed) => Err(Disconnected::gone().into()),
            sent => Ok(sent?),
        }
    }

    /// Sets the head of a response that is another server's: it goes out as it is.
    pub(super) fn relay_head(&self, set: impl FnOnce(&mut HttpHeaders) -> Result) -> Result {
        let mut response = self.response.borrow_mut();
        response.relayed = true;
        set(&mut response.headers)
    }

    /// Changes the headers of the response in place.
    pub(super) fn update_headers<T>(&self, change: impl FnOnce(&mut HttpHeaders) -> T) -> T {
        change(&mut self.response.borrow_mut().headers)
    }
}
