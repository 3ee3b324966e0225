//! What of serving a request has to wait: bodies, handlers that are not ready at once, slow clients, the close.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use super::connection::{Http1Connection, Outcome, Waiting};
use super::deadlines::BodyPace;
use super::gzip::GzipReader;
use crate::http1::ParseError;
use crate::http1::body::{BodyDecoder, BodyLength};
use crate::http1::head::RequestFacts;
use crate::httputil::HttpMessageDelegate;
use crate::ioloop::log_panic;
use crate::log;

/// How long a connection that is closed with input unread goes on reading it. Closing at once would reset the
/// connection, and the reset can overtake the response (RFC 9112 §9.6): a client that sends a large body reads the
/// refusal of it when it has sent all, or as much as it can in this time.
const LINGER: Duration = Duration::from_secs(30);
/// How long it waits for more of it.
const LINGER_IDLE: Duration = Duration::from_secs(2);

/// Why the rest of a request could not be had.
enum Failure {
    /// The peer's fault, and it can be told.
    Refused(ParseError),
    /// Nobody is there to be told.
    Gone,
}

impl From<ParseError> for Failure {
    fn from(error: ParseError) -> Self {
        Self::Refused(error)
    }
}

/// How the reading of a body ended.
enum Body {
    Complete,
    /// The application has answered already, most likely before the end of the body.
    Answered,
}

impl Http1Connection {
    /// From the start of a body to the end of the response.
    pub(super) async fn exchange(
        self: Rc<Self>,
        mut message: Box<dyn HttpMessageDelegate>,
        facts: RequestFacts,
        gzip: Option<GzipReader>,
    ) -> Outcome {
        match self.receive(message.as_mut(), facts, gzip).await {
            Ok(Body::Complete) => self.respond(message).await,
            Ok(Body::Answered) => {
                drop(message);
                self.end_exchange(self.outcome())
            }
            Err(failure) => {
                message.on_connection_close();
                match failure {
                    Failure::Gone => self.end_exchange(Outcome::Gone),
                    Failure::Refused(error) => {
                        let outcome = self.refuse_and_log(error);
                        self.end_exchange(outcome)
                    }
                }
            }
        }
    }

    async fn receive(
        &self,
        message: &mut dyn HttpMessageDelegate,
        facts: RequestFacts,
        gzip: Option<GzipReader>,
    ) -> Result<Body, Failure> {
        if facts.body != BodyLength::Empty {
            // Before the application is asked, which may change it.
            self.set_body_deadline(self.limits().body_timeout);
        }
        if let Some(ready) = message.headers_received() {
            self.drive(ready).await;
        }
        if facts.body == BodyLength::Empty {
            return Ok(Body::Complete);
        }
        let received = self.receive_body(message, facts, gzip).await;
        self.set_body_deadline(None);
        received
    }

    /// Reads the body and hands it over in pieces.
    async fn receive_body(
        &self,
        message: &mut dyn HttpMessageDelegate,
        facts: RequestFacts,
        mut gzip: Option<GzipReader>,
    ) -> Result<Body, Failure> {
        if self.outcome() != Outcome::Open {
            return Ok(Body::Answered);
        }
        let limit = self.max_body_size();
        let mut decoder = BodyDecoder::new(facts.body, limit)?;
        if let Some(gzip) = &mut gzip {
            // A handler that says how much it takes of this body means what comes out.
            let of_server = limit == self.limits().max_body_size;
            gzip.set_limits(limit, if of_server { self.limits().max_decompressed_size } else { limit });
        }
        let mut pace = BodyPace::new(self.limits().body_stall_timeout);
        if facts.expect_continue && self.stream.read_buffer().is_empty() {
            self.write_continue();
        }
        loop {
            let (chunk, used, done) = self.take_chunk(&mut decoder)?;
            let delivered = match &mut gzip {
                Some(gzip) => self.deliver_decompressed(message, gzip, &chunk, done).await?,
                None => self.deliver(message, chunk).await,
            };
            if !delivered {
                return Ok(Body::Answered);
            }
            if done {
                return Ok(Body::Complete);
            }
            if !used && !self.fill_body(message, &mut pace).await? {
                return Ok(Body::Answered);
            }
        }
    }

    /// Decodes one piece from the buffer; says whether anything was used and whether the body has ended.
    fn take_chunk(&self, decoder: &mut BodyDecoder) -> Result<(Bytes, bool, bool), ParseError> {
        let mut buffer = self.stream.read_buffer();
        let step = decoder.decode(buffer.as_slice(), self.limits().chunk_size)?;
        let chunk = Bytes::copy_from_slice(&buffer.as_slice()[step.data.clone()]);
        buffer.consume(step.consumed);
        if step.done {
            // Before the last piece is delivered: a handler may answer then.
            self.body_is_read();
        }
        Ok((chunk, step.consumed > 0, step.done))
    }

    /// Reads more of a body, and lets the application go on beside that; false when somebody finished the response
    /// meanwhile.
    async fn fill_body(
        &self,
        message: &mut dyn HttpMessageDelegate,
        pace: &mut BodyPace,
    ) -> Result<bool, Failure> {
        self.push_out();
        self.waiting.set(Waiting::Answer);
        let began = self.begin_body_wait(pace);
        let filled = poll_fn(|cx| {
            if self.outcome() != Outcome::Open {
                return Poll::Ready(Ok(None));
            }
            if let Poll::Ready(filled) = self.poll_fill(cx) {
                return Poll::Ready(filled.map(Some));
            }
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| message.poll_beside(cx))) {
                log_panic("request handler", &*payload);
                self.abort_exchange();
            }
            self.push_out();
            if self.outcome() == Outcome::Open { Poll::Pending } else { Poll::Ready(Ok(None)) }
        })
        .await;
        self.waiting.set(Waiting::Not);
        self.end_body_wait(pace, began, filled.as_ref().ok().copied().flatten().unwrap_or(0));
        match filled {
            Ok(None) => Ok(false),
            Ok(Some(0)) => Err(Failure::Gone),
            Ok(Some(_)) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(ParseError::BodyTimeout.into()),
            Err(_) => Err(Failure::Gone),
        }
    }

    /// Hands a piece over and waits until the next is wanted; false when the response is already finished.
    async fn deliver(&self, message: &mut dyn HttpMessageDelegate, chunk: Bytes) -> bool {
        if !chunk.is_empty()
            && let Some(taken) = message.data_received(chunk)
        {
            self.drive(taken).await;
        }
        self.outcome() == Outcome::Open
    }

    async fn deliver_decompressed(
        &self,
        message: &mut dyn HttpMessageDelegate,
        gzip: &mut GzipReader,
        mut compressed: &[u8],
        done: bool,
    ) -> Result<bool, Failure> {
        let most = self.limits().chunk_size;
        while !compressed.is_empty() {
            let chunk = gzip.next(&mut compressed, most)?;
            if !self.deliver(message, chunk).await {
                return Ok(false);
            }
        }
        if done {
            loop {
                let rest = gzip.rest(most)?;
                if rest.is_empty() {
                    break;
                }
                if !self.deliver(message, rest).await {
                    return Ok(false);
                }
            }
            gzip.finish()?;
        }
        Ok(true)
    }

    async fn respond(self: Rc<Self>, message: Box<dyn HttpMessageDelegate>) -> Outcome {
        match catch_unwind(AssertUnwindSafe(|| message.finish())) {
            Ok(Some(handler)) => self.handle(handler).await,
            Ok(None) => self.answered_later().await,
            Err(payload) => {
                log_panic("request callback", &*payload);
                self.end_exchange(Outcome::Abort)
            }
        }
    }

    /// Runs the handler to its end.
    pub(super) async fn handle(self: Rc<Self>, handler: Pin<Box<dyn Future<Output = ()>>>) -> Outcome {
        self.drive(handler).await;
        self.answered_later().await
    }

    /// Waits for the end of a response that the application need not have finished yet.
    pub(super) async fn answered_later(self: Rc<Self>) -> Outcome {
        let outcome = match self.outcome() {
            Outcome::Open => self.answered().await,
            outcome => outcome,
        };
        self.end_exchange(outcome)
    }

    /// Polls the application's work to its end. Output goes out whenever the work waits.
    async fn drive(&self, mut work: Pin<Box<dyn Future<Output = ()> + '_>>) {
        poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Ready(())) => Poll::Ready(()),
            Ok(Poll::Pending) => {
                self.push_out();
                Poll::Pending
            }
            Err(payload) => {
                log_panic("request handler", &*payload);
                self.abort_exchange();
                Poll::Ready(())
            }
        })
        .await;
    }

    /// Waits for a client that does not take its responses.
    pub(super) async fn drained(self: Rc<Self>) -> Outcome {
        match self.drain_out().await {
            Ok(()) => Outcome::KeepAlive,
            Err(_) => Outcome::Gone,
        }
    }

    pub(super) fn refuse_and_log(&self, error: ParseError) -> Outcome {
        tracing::info!(target: log::GENERAL, "Malformed HTTP message from {}: {error}", self.remote_ip());
        self.refuse(error);
        match self.outcome() {
            Outcome::Abort => Outcome::Abort,
            _ => Outcome::Close,
        }
    }

    /// Sends what is left, then says so to the peer and waits a little for it to close.
    pub(super) async fn close_gently(self: Rc<Self>) -> Outcome {
        if self.drain_out().await.is_err() {
            return Outcome::Gone;
        }
        let ended = tokio::time::timeout(LINGER_IDLE, self.stream.finish_write()).await;
        if !matches!(ended, Ok(Ok(()))) {
            return Outcome::Gone;
        }
        let reading = async {
            loop {
                {
                    let mut buffer = self.stream.read_buffer();
                    let length = buffer.len();
                    buffer.consume(length);
                }
                match tokio::time::timeout(LINGER_IDLE, self.stream.fill()).await {
                    Ok(Ok(1..)) => {}
                    _ => break,
                }
            }
        };
        // Too slow a peer is no different from one that is done.
        let _ = tokio::time::timeout(LINGER, reading).await;
        Outcome::Gone
    }
}
