//! The body of a request, on its way to the application.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::RecvStream;
use tokio::time::{Instant, sleep_until};

use super::convert::BodyFacts;
use super::stream::Stream;
use crate::http1::ParseError;
use crate::http1connection::{BodyPace, GzipReader};
use crate::httputil::{HttpMessageDelegate, HttpServerRequest};
use crate::ioloop::log_panic;
use crate::log;

/// How the receiving of a body ended.
enum End {
    Complete,
    /// The response is complete, and the rest of the body of no use.
    Answered,
    /// The client has left, or what it sends is refused.
    CutOff(Option<ParseError>),
}

impl From<ParseError> for End {
    fn from(error: ParseError) -> Self {
        Self::CutOff(Some(error))
    }
}

impl Stream {
    /// From a head to the end of the application's work on it.
    pub(super) fn exchange(
        self: Rc<Self>,
        request: HttpServerRequest,
        facts: BodyFacts,
        body: RecvStream,
        gzip: Option<GzipReader>,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            let mut message = self.connection().server().delegate.start_request(request);
            if let Some(ready) = message.headers_received() {
                ready.await;
            }
            let end = match self.receive(&mut *message, facts, body, gzip).await {
                Ok(()) => End::Complete,
                Err(end) => end,
            };
            match end {
                End::Complete => {
                    if let Some(work) = message.finish() {
                        work.await;
                    }
                }
                End::Answered => {}
                End::CutOff(error) => {
                    message.on_connection_close();
                    if let Some(error) = error {
                        self.refuse_and_log(error);
                    }
                }
            }
        })
    }

    fn refuse_and_log(&self, error: ParseError) {
        let connection = self.connection();
        let remote = connection.remote_ip();
        tracing::info!(target: log::GENERAL, "Malformed HTTP message from {remote}: {error}");
        let text = error.explain(&connection.server().params, self.max_body_size.get());
        self.refuse(error.status(), &text);
    }

    async fn receive(
        &self,
        message: &mut dyn HttpMessageDelegate,
        facts: BodyFacts,
        mut body: RecvStream,
        mut gzip: Option<GzipReader>,
    ) -> Result<(), End> {
        if facts.is_empty {
            return Ok(());
        }
        self.check_open()?;
        let params = &self.connection().server().params;
        let limit = self.max_body_size.get();
        if facts.length.is_some_and(|length| length > limit) {
            return Err(ParseError::BodyTooLarge.into());
        }
        if let Some(gzip) = &mut gzip {
            // A handler that says how much it takes of this body means what comes out.
            let of_server = limit == params.max_body_size;
            gzip.set_limits(limit, if of_server { params.max_decompressed_size } else { limit });
        }
        if facts.expect_continue {
            self.write_continue();
        }
        let mut pace = BodyPace::new(params.body_stall_timeout);
        let mut seen = 0;
        while let Some(data) = self.next(message, &mut body, &mut pace).await? {
            seen += data.len() as u64;
            if seen > limit {
                return Err(ParseError::BodyTooLarge.into());
            }
            let length = data.len();
            self.deliver(message, data, gzip.as_mut()).await?;
            // The window opens when the application has taken what was in it.
            let _ = body.flow_control().release_capacity(length);
        }
        self.deliver_rest(message, gzip).await
    }

    /// Waits for a piece of the body, and lets the application go on beside that; `None` at its end.
    async fn next(
        &self,
        message: &mut dyn HttpMessageDelegate,
        body: &mut RecvStream,
        pace: &mut BodyPace,
    ) -> Result<Option<Bytes>, End> {
        let began = Instant::now();
        let step = pace.left().and_then(|left| began.checked_add(left));
        // Not before it has to be waited.
        let mut timer = None;
        let piece = poll_fn(|cx| {
            self.check_open()?;
            match body.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => return Poll::Ready(Ok(Some(data))),
                Poll::Ready(Some(Err(_))) => {
                    // Before the application lets go of it, which else were to blame.
                    self.lose();
                    return Poll::Ready(Err(End::CutOff(None)));
                }
                Poll::Ready(None) => return Poll::Ready(Ok(None)),
                Poll::Pending => {}
            }
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| message.poll_beside(cx))) {
                log_panic("request handler", &*payload);
                self.reset();
            }
            self.check_open()?;
            let deadline = [step, self.body_deadline.get()].into_iter().flatten().min();
            let Some(deadline) = deadline else { return Poll::Pending };
            let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            timer.as_mut().poll(cx).map(|()| Err(ParseError::BodyTimeout.into()))
        })
        .await?;
        pace.received(piece.as_ref().map_or(0, Bytes::len), began.elapsed());
        Ok(piece)
    }

    /// Hands a piece over and waits until the next is wanted.
    async fn deliver(
        &self,
        message: &mut dyn HttpMessageDelegate,
        mut data: Bytes,
        gzip: Option<&mut GzipReader>,
    ) -> Result<(), End> {
        let most = self.connection().server().params.chunk_size;
        if let Some(gzip) = gzip {
            let mut compressed = &data[..];
            while !compressed.is_empty() {
                let chunk = gzip.next(&mut compressed, most)?;
                self.hand_over(message, chunk).await?;
            }
            return Ok(());
        }
        while !data.is_empty() {
            let chunk = data.split_to(most.min(data.len()));
            self.hand_over(message, chunk).await?;
        }
        Ok(())
    }

    async fn deliver_rest(
        &self,
        message: &mut dyn HttpMessageDelegate,
        gzip: Option<GzipReader>,
    ) -> Result<(), End> {
        let Some(mut gzip) = gzip else { return Ok(()) };
        let most = self.connection().server().params.chunk_size;
        loop {
            let rest = gzip.rest(most)?;
            if rest.is_empty() {
                return Ok(gzip.finish()?);
            }
            self.hand_over(message, rest).await?;
        }
    }

    async fn hand_over(&self, message: &mut dyn HttpMessageDelegate, chunk: Bytes) -> Result<(), End> {
        if !chunk.is_empty()
            && let Some(taken) = message.data_received(chunk)
        {
            taken.await;
        }
        self.check_open()
    }

    /// Whether the rest of the body is of any use.
    fn check_open(&self) -> Result<(), End> {
        if self.is_lost() {
            return Err(End::CutOff(None));
        }
        if self.is_over() { Err(End::Answered) } else { Ok(()) }
    }
}
