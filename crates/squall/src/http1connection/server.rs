//! What HTTP/1 supplies to the driver of an exchange: the pieces of a body, waits, the close.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::connection::{Http1Connection, Waiting};
use super::exchange_end::ExchangeEnd;
use super::state::{Outcome, Writing};
use crate::http1::ParseError;
use crate::http1::body::{BodyDecoder, BodyLength};
use crate::httputil::exchange::{BodyEvent, BodySource, Carrier, End};
use crate::httputil::{ConnectionLimits, HttpHeaders};
use crate::iostream::IoStream;
use crate::log;

/// How long an answer may take after the client has closed its sending side.
const HALF_CLOSED_PATIENCE: Duration = Duration::from_secs(3);

/// How long a connection that is closed with input unread goes on reading it. Closing at once would reset the
/// connection, and the reset can overtake the response (RFC 9112 §9.6): a client that sends a large body reads the
/// refusal of it when it has sent all, or as much as it can in this time.
const LINGER: Duration = Duration::from_secs(30);
/// How long it waits for more of it.
const LINGER_IDLE: Duration = Duration::from_secs(2);

/// The body of one request as it comes over the connection.
pub(super) struct Http1Body {
    connection: Rc<Http1Connection>,
    decoder: BodyDecoder,
    /// So many bytes have come and not been asked for.
    received: usize,
}

impl Http1Body {
    pub(super) fn new(connection: &Rc<Http1Connection>, length: BodyLength) -> Self {
        Self { connection: Rc::clone(connection), decoder: BodyDecoder::unlimited(length), received: 0 }
    }

    /// Decodes one piece from the buffer; says whether anything was used and whether the body has ended.
    fn take_piece(&mut self, most: usize) -> Result<(Bytes, bool, bool), ParseError> {
        let mut buffer = self.connection.stream.read_buffer();
        let step = self.decoder.decode(buffer.as_slice(), most)?;
        let piece = Bytes::copy_from_slice(&buffer.as_slice()[step.data.clone()]);
        buffer.consume(step.consumed);
        if step.done {
            // Before the last piece is delivered: a handler may answer then.
            self.connection.body_is_read();
        }
        Ok((piece, step.consumed > 0, step.done))
    }
}

impl Http1Body {
    fn take_trailers(&mut self) -> Result<Option<HttpHeaders>, ParseError> {
        self.decoder.take_trailers(self.connection.limits().max_header_count)
    }
}

impl BodySource for Http1Body {
    type Refusal = ParseError;

    fn poll_next(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<BodyEvent, ParseError>> {
        loop {
            let (data, used, is_last) = self.take_piece(most)?;
            if is_last && let Some(trailers) = self.take_trailers()? {
                // The last piece, which is empty behind chunks, is given when it is asked for again.
                return Poll::Ready(Ok(BodyEvent::Trailers(trailers)));
            }
            if is_last || !data.is_empty() {
                return Poll::Ready(Ok(BodyEvent::Piece { data, is_last }));
            }
            if used {
                continue;
            }
            match ready!(self.connection.poll_fill(cx)) {
                Ok(0) => return Poll::Ready(Ok(BodyEvent::Gone)),
                Ok(bytes) => self.received += bytes,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Poll::Ready(Ok(BodyEvent::Late));
                }
                Err(_) => return Poll::Ready(Ok(BodyEvent::Gone)),
            }
        }
    }

    fn take_received(&mut self) -> usize {
        std::mem::take(&mut self.received)
    }
}

impl Carrier for Http1Connection {
    type Refusal = ParseError;

    fn limits(&self) -> &ConnectionLimits {
        self.limits()
    }

    fn max_body_size(&self) -> u64 {
        self.wire.borrow().exchange().map_or(0, |exchange| exchange.max_body_size)
    }

    #[inline]
    fn is_open(&self) -> bool {
        self.wire.borrow().is_open()
    }

    fn is_abandoned(&self) -> bool {
        self.wire.borrow().exchange().is_none_or(|exchange| exchange.handles == 0)
    }

    fn push_out(&self) {
        self.push_out();
    }

    fn abort(&self) {
        self.abort_exchange();
    }

    fn refuse(&self, refusal: ParseError) {
        self.log_refusal(refusal);
        self.refuse(refusal);
    }

    fn want_body(&self) {
        let wire = &mut *self.wire.borrow_mut();
        let Some(exchange) = wire.exchange() else { return };
        if exchange.expects_continue
            && exchange.writing == Writing::Head
            && self.stream.read_buffer().is_empty()
        {
            wire.output.room().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            wire.output.mark_here();
        }
    }

    fn set_body_timeout(&self, timeout: Option<Duration>) {
        self.set_body_deadline(timeout);
    }

    fn begin_wait(&self, at_most: Option<Duration>) {
        self.waiting.set(Waiting::Answer);
        self.begin_body_wait(at_most);
    }

    fn end_wait(&self) {
        self.waiting.set(Waiting::Not);
        self.end_body_wait();
    }

    fn has_left(&self, cx: &mut Context<'_>) -> bool {
        let end = self.wire.borrow().end.as_ref().map(Rc::clone);
        self.stream.is_closed() || end.is_some_and(|end| end.poll_left(cx).is_ready())
    }

    /// A client that has closed its sending side may still read, or may be gone, which cannot be told before something
    /// is sent to it. So the answer has some more time to come.
    async fn gone(&self) {
        let end = Rc::clone(self.wire.borrow_mut().end.get_or_insert_default());
        let stream = self.stream.clone();
        end.watch(Box::pin(async move { stream.closed_by_peer().await }));
        let waiting = WaitForAnswer { connection: self, end: &end, has_left: Cell::new(false) };
        self.waiting.set(Waiting::Answer);
        poll_fn(|cx| {
            self.stream.park_reader(cx);
            if !waiting.has_left.get() && end.poll_left(cx).is_ready() {
                waiting.has_left.set(true);
                self.set_deadline(Some(HALF_CLOSED_PATIENCE));
            }
            let is_over = self.deadlines.has_expired() || self.stream.is_closed();
            if waiting.has_left.get() && is_over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Takes back what [`Carrier::gone`] has set, when that is no longer waited for.
struct WaitForAnswer<'a> {
    connection: &'a Http1Connection,
    end: &'a ExchangeEnd,
    has_left: Cell<bool>,
}

impl Drop for WaitForAnswer<'_> {
    fn drop(&mut self) {
        if self.has_left.get() {
            self.connection.set_deadline(None);
        }
        self.connection.waiting.set(Waiting::Not);
        self.end.unwatch();
    }
}

impl Http1Connection {
    /// Ends the exchange as the driver says.
    pub(super) fn end_as(&self, end: End) -> Outcome {
        let outcome = self.end_exchange();
        match end {
            End::Over => outcome,
            End::Gone => Outcome::Gone,
        }
    }

    /// Waits for a client that does not take its responses.
    pub(super) async fn drained(self: Rc<Self>) -> Outcome {
        match self.drain_out().await {
            Ok(()) => Outcome::KeepAlive,
            Err(_) => Outcome::Gone,
        }
    }

    pub(super) fn log_refusal(&self, error: ParseError) {
        tracing::info!(target: log::GENERAL, "Malformed HTTP message from {}: {error}", self.remote_ip());
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
        linger(&self.stream).await;
        Outcome::Gone
    }
}

/// Takes what a client still sends that has been told of the end, until it closes or has had its time.
pub(crate) async fn linger(stream: &IoStream) {
    let reading = async {
        loop {
            {
                let mut buffer = stream.read_buffer();
                let length = buffer.len();
                buffer.consume(length);
            }
            match tokio::time::timeout(LINGER_IDLE, stream.fill()).await {
                Ok(Ok(1..)) => {}
                _ => break,
            }
        }
    };
    // Too slow a peer is no different from one that is done.
    let _ = tokio::time::timeout(LINGER, reading).await;
}
