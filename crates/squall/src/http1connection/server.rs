//! The loop that serves the requests of one connection, one after the other.

use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use super::connection::{Http1Connection, Outcome};
use super::gzip::GzipReader;
use super::set::ConnectionSet;
use crate::http1::body::{BodyDecoder, BodyLength};
use crate::http1::head::{self, RequestFacts};
use crate::http1::{Http1ConnectionParameters, ParseError};
use crate::httputil::{
    HttpConnection, HttpMessageDelegate, HttpServerConnectionDelegate, HttpServerRequest, HttpTransport,
    RequestContext, RequestHead, StreamId,
};
use crate::ioloop::log_panic;
use crate::iostream::{IoStream, StreamError};
use crate::log;

/// How long a connection that is closed with input unread goes on reading it. Closing at once would reset the
/// connection, and the reset can overtake the response (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);
/// How much it reads then.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// Serves the requests of `stream` until it is closed.
pub(crate) async fn serve(
    stream: IoStream,
    params: Rc<Http1ConnectionParameters>,
    set: Rc<ConnectionSet>,
    context: RequestContext,
    delegate: &dyn HttpServerConnectionDelegate,
) {
    let connection = Http1Connection::new(stream, params, Rc::clone(&set));
    let key = set.insert(Rc::clone(&connection));
    let outcome = connection.request_loop(context, delegate).await;
    set.remove(key);
    match outcome {
        Outcome::Detached => {}
        Outcome::Gone => connection.stream.close(),
        Outcome::Abort => connection.cut(),
        // Boxed: its timer would make every idle connection larger.
        _ => Box::pin(connection.close_gently()).await,
    }
    delegate.on_close();
}

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

impl From<StreamError> for Failure {
    fn from(_: StreamError) -> Self {
        Self::Gone
    }
}

/// How the reading of a body ended.
enum Body {
    Complete,
    /// The application has answered before the end of the body.
    Answered,
}

impl Http1Connection {
    async fn request_loop(
        self: &Rc<Self>,
        context: RequestContext,
        delegate: &dyn HttpServerConnectionDelegate,
    ) -> Outcome {
        let mut id: StreamId = 0;
        loop {
            let mut head = RequestHead::default();
            let facts = match self.read_head(&mut head).await {
                Ok(Some(facts)) => facts,
                Ok(None) | Err(Failure::Gone) => return Outcome::Gone,
                Err(Failure::Refused(error)) => return self.refuse_and_log(context, error),
            };
            id += 1;
            self.begin(id, RequestFacts { keep_alive: facts.keep_alive && !self.params.no_keep_alive, ..facts });
            let outcome = match self.exchange(id, head, facts, context, delegate).await {
                Ok(outcome) => outcome,
                Err(Failure::Gone) => Outcome::Gone,
                Err(Failure::Refused(error)) => self.refuse_and_log(context, error),
            };
            self.end();
            if outcome != Outcome::KeepAlive {
                return outcome;
            }
            // The kernel is full: a client that sends requests and reads no responses must not fill our memory.
            if self.stream.writing() && self.drain_out().await.is_err() {
                return Outcome::Gone;
            }
        }
    }

    /// Reads up to the end of a head; `None` when the peer closes instead of sending one.
    async fn read_head(&self, head: &mut RequestHead) -> Result<Option<RequestFacts>, Failure> {
        let mut looked_at = 0;
        let mut waiting_for_first = None;
        loop {
            if let Some(facts) = self.parse_head(head, &mut looked_at)? {
                return Ok(Some(facts));
            }
            let first = looked_at == 0;
            if waiting_for_first != Some(first) {
                waiting_for_first = Some(first);
                self.drain_out().await?;
                self.idle.set(first);
                if first && self.is_draining() {
                    return Ok(None);
                }
                let timeouts = (self.params.idle_connection_timeout, self.params.header_timeout);
                self.set_deadline(if first { timeouts.0 } else { timeouts.1 });
            }
            match self.fill().await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut && looked_at > 0 => {
                    return Err(ParseError::HeadTimeout.into());
                }
                Err(_) => return Err(Failure::Gone),
            }
        }
    }

    /// Parses the buffered bytes, if more have come than were `looked_at` and it is worth it.
    fn parse_head(&self, head: &mut RequestHead, looked_at: &mut usize) -> Result<Option<RequestFacts>, ParseError> {
        let mut buffer = self.stream.read_buffer();
        let bytes = buffer.as_slice();
        if bytes.is_empty() || !head::worth_parsing(bytes, *looked_at, self.params.max_header_size) {
            return Ok(None);
        }
        match head::parse(bytes, &self.params, head)? {
            Some((length, facts)) => {
                buffer.consume(length);
                Ok(Some(facts))
            }
            None => {
                *looked_at = bytes.len();
                Ok(None)
            }
        }
    }

    /// From a head to the end of its response.
    async fn exchange(
        self: &Rc<Self>,
        id: StreamId,
        mut head: RequestHead,
        facts: RequestFacts,
        context: RequestContext,
        delegate: &dyn HttpServerConnectionDelegate,
    ) -> Result<Outcome, Failure> {
        self.idle.set(false);
        self.clear_deadline();
        let gzip = if self.params.decompress && facts.body != BodyLength::Empty {
            GzipReader::for_request(&mut head, self.max_body_size())
        } else {
            None
        };
        let transport: Rc<dyn HttpTransport> = Rc::clone(self) as Rc<dyn HttpTransport>;
        let connection = HttpConnection::new(transport, id);
        let request = HttpServerRequest::new(head, context, connection, self.received.get());
        let mut message = match catch_unwind(AssertUnwindSafe(|| delegate.start_request(request))) {
            Ok(message) => message,
            Err(payload) => {
                log_panic("start_request", &*payload);
                return Ok(Outcome::Abort);
            }
        };
        match self.receive(message.as_mut(), facts, gzip).await {
            Ok(Body::Complete) => self.respond(message).await,
            Ok(Body::Answered) => {
                drop(message);
                // The rest of the body is unread, so what follows it cannot be found.
                Ok(match self.outcome() {
                    Outcome::KeepAlive => Outcome::Close,
                    other => other,
                })
            }
            Err(failure) => {
                message.on_connection_close();
                Err(failure)
            }
        }
    }

    async fn receive(
        &self,
        message: &mut dyn HttpMessageDelegate,
        facts: RequestFacts,
        gzip: Option<GzipReader>,
    ) -> Result<Body, Failure> {
        if facts.body != BodyLength::Empty
            && let Some(timeout) = self.params.body_timeout
        {
            // Before the application is asked, which may change it.
            self.set_deadline(Some(timeout));
        }
        if let Some(ready) = message.headers_received() {
            self.drive(ready).await;
        }
        if facts.body == BodyLength::Empty {
            return Ok(Body::Complete);
        }
        let received = self.receive_body(message, facts, gzip).await;
        self.clear_deadline();
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
            gzip.set_limit(limit);
        }
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
            if !used {
                self.drain_before_body().await?;
            }
        }
    }

    /// Decodes one piece from the buffer; says whether anything was used and whether the body has ended.
    fn take_chunk(&self, decoder: &mut BodyDecoder) -> Result<(Bytes, bool, bool), ParseError> {
        let mut buffer = self.stream.read_buffer();
        let step = decoder.decode(buffer.as_slice(), self.params.chunk_size)?;
        let chunk = Bytes::copy_from_slice(&buffer.as_slice()[step.data.clone()]);
        buffer.consume(step.consumed);
        Ok((chunk, step.consumed > 0, step.done))
    }

    async fn drain_before_body(&self) -> Result<(), Failure> {
        self.push_out();
        match self.fill().await {
            Ok(0) => Err(Failure::Gone),
            Ok(_) => Ok(()),
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
        while !compressed.is_empty() {
            let chunk = gzip.next(&mut compressed, self.params.chunk_size)?;
            if !self.deliver(message, chunk).await {
                return Ok(false);
            }
        }
        if done {
            loop {
                let rest = gzip.rest(self.params.chunk_size)?;
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

    /// Runs the handler to its end and waits for the end of the response, which may come later.
    async fn respond(self: &Rc<Self>, message: Box<dyn HttpMessageDelegate>) -> Result<Outcome, Failure> {
        match catch_unwind(AssertUnwindSafe(|| message.finish())) {
            Ok(Some(handler)) => self.drive(handler).await,
            Ok(None) => {}
            Err(payload) => {
                log_panic("request callback", &*payload);
                return Ok(Outcome::Abort);
            }
        }
        match self.outcome() {
            Outcome::Open => Ok(self.answered().await),
            outcome => Ok(outcome),
        }
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

    fn refuse_and_log(&self, context: RequestContext, error: ParseError) -> Outcome {
        tracing::info!(target: log::GENERAL, "Malformed HTTP message from {}: {error}", context.remote_ip);
        self.refuse(error);
        match self.outcome() {
            Outcome::Abort => Outcome::Abort,
            _ => Outcome::Close,
        }
    }

    /// Sends what is left, then says so to the peer and waits a little for it to close.
    async fn close_gently(&self) {
        if self.drain_out().await.is_err() || self.stream.shutdown_write().is_err() {
            self.stream.close();
            return;
        }
        let mut discarded = 0;
        let reading = async {
            while discarded < LINGER_BYTES {
                {
                    let mut buffer = self.stream.read_buffer();
                    let length = buffer.len();
                    buffer.consume(length);
                }
                match self.stream.fill().await {
                    Ok(n) if n > 0 => discarded += n,
                    _ => break,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, reading).await;
        self.stream.close();
    }
}
