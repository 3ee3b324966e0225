//! The task of one connection: what happens between requests, and requests that need no waiting.
//!
//! This is a future written by hand, for two measured reasons. As an `async fn` the task of an idle connection was
//! 4 KB, most of it room for requests that it was not serving; this one is three pointers. And a request whose
//! handler is ready at once is served without a box for its exchange. Whatever waits is an `async fn`, mostly of
//! `httputil::exchange`, boxed while it lasts.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::connection::{Http1Connection, Server, Waiting};
use super::server::Http1Body;
use super::set::LAST_REQUEST;
use super::state::Outcome;
use crate::http1::ParseError;
use crate::http1::body::BodyLength;
use crate::http1::head::{self, RequestFacts};
use crate::httputil::exchange::{self, Incoming, Rest};
use crate::httputil::{HttpServerRequest, RequestContext};
use crate::iostream::IoStream;

/// Serves the requests of a connection, one after the other, until it is closed.
pub(crate) struct ConnectionTask {
    connection: Rc<Http1Connection>,
    /// Something that takes its time: an exchange, a slow client, the closing.
    work: Option<Work>,
}

/// How it ended tells how to go on.
pub(super) type Work = Pin<Box<dyn Future<Output = Outcome>>>;

/// What a step led to.
enum Step {
    /// All requests so far are answered; the stream wakes the task.
    Wait,
    Work(Work),
    End(Outcome),
}

impl ConnectionTask {
    pub(crate) fn new(stream: IoStream, server: Rc<Server>, context: RequestContext) -> Self {
        Self { connection: Http1Connection::new(stream, server, context), work: None }
    }
}

impl Future for ConnectionTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let outcome = match &mut self.work {
                Some(work) => {
                    let outcome = ready!(work.as_mut().poll(cx));
                    self.work = None;
                    outcome
                }
                None => Outcome::KeepAlive,
            };
            let step = match outcome {
                Outcome::KeepAlive => self.connection.step(cx),
                other => Step::End(other),
            };
            match step {
                Step::Wait => return Poll::Pending,
                Step::Work(work) => self.work = Some(work),
                Step::End(Outcome::Close) => {
                    let connection = Rc::clone(&self.connection);
                    self.work = Some(Box::pin(async move { connection.close_gently().await }));
                }
                Step::End(outcome) => {
                    self.connection.end_with(outcome);
                    return Poll::Ready(());
                }
            }
        }
    }
}

impl Drop for ConnectionTask {
    fn drop(&mut self) {
        self.connection.leave_set();
    }
}

impl Http1Connection {
    /// Serves what can be served without waiting.
    fn step(self: &Rc<Self>, cx: &mut Context<'_>) -> Step {
        loop {
            // A client that sends requests and reads no responses must not fill our memory.
            if self.stream.is_writing() {
                return self.drain_first();
            }
            match self.take_request() {
                Ok(Some((request, facts))) => match self.start_exchange(request, facts, cx) {
                    Step::End(Outcome::KeepAlive) => continue,
                    step => return step,
                },
                Ok(None) => {}
                Err(error) => return Step::End(self.refuse_head(error)),
            }
            self.push_out();
            if self.stream.is_writing() {
                return self.drain_first();
            }
            match self.poll_input(cx) {
                Poll::Pending => return Step::Wait,
                Poll::Ready(None) => {}
                Poll::Ready(Some(outcome)) => return Step::End(outcome),
            }
        }
    }

    /// The kernel is full.
    fn drain_first(self: &Rc<Self>) -> Step {
        let connection = Rc::clone(self);
        Step::Work(Box::pin(async move { connection.drained().await }))
    }

    /// The next request whose head has arrived.
    fn take_request(&self) -> Result<Option<(HttpServerRequest, RequestFacts)>, ParseError> {
        let mut buffer = self.stream.read_buffer();
        let bytes = buffer.as_slice();
        let limit = self.limits().max_header_size;
        if bytes.is_empty() || !head::worth_parsing(bytes, self.looked_at.get() as usize, limit) {
            return Ok(None);
        }
        let mut request = HttpServerRequest::pooled();
        match head::parse(bytes, self.limits(), request.head_mut())? {
            Some((length, facts)) => {
                buffer.consume(length);
                self.looked_at.set(0);
                Ok(Some((request, facts)))
            }
            None => {
                self.looked_at.set(bytes.len() as u32);
                Ok(None)
            }
        }
    }

    /// Answers what is no request.
    fn refuse_head(&self, error: ParseError) -> Outcome {
        self.log_refusal(error);
        self.refuse(error);
        Outcome::Close
    }

    /// Waits for more of a head: `None` when more has come, else how the connection ends.
    fn poll_input(&self, cx: &mut Context<'_>) -> Poll<Option<Outcome>> {
        let waiting = if self.looked_at.get() == 0 { Waiting::Idle } else { Waiting::Head };
        if self.waiting.replace(waiting) != waiting {
            let limits = self.limits();
            self.set_deadline(match waiting {
                // Accepted a moment ago, or kept by a response that did not know yet.
                Waiting::Idle if self.is_draining() => Some(LAST_REQUEST),
                Waiting::Idle => limits.idle_connection_timeout,
                _ => limits.header_timeout,
            });
        }
        Poll::Ready(match ready!(self.poll_fill(cx)) {
            Ok(0) => Some(Outcome::Gone),
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::TimedOut && waiting == Waiting::Head => {
                Some(self.refuse_head(ParseError::HeadTimeout))
            }
            Err(_) => Some(Outcome::Gone),
        })
    }

    /// Starts an exchange, and ends it if nothing has to be waited for.
    fn start_exchange(
        self: &Rc<Self>,
        mut request: HttpServerRequest,
        facts: RequestFacts,
        cx: &mut Context<'_>,
    ) -> Step {
        self.begin(&mut request, facts);
        let inflater = if facts.body == BodyLength::Empty { None } else { self.inflater(&mut request) };
        let kind = facts.body.into();
        let Some(rest) = exchange::start(&**self, self.delegate(), request, kind, cx) else {
            return Step::End(self.end_exchange());
        };
        let connection = Rc::clone(self);
        Step::Work(match rest {
            Rest::Work(work) => {
                Box::pin(async move { connection.end_as(exchange::work(&*connection, work).await) })
            }
            Rest::Message(message) => {
                let source = Http1Body::new(self, facts.body);
                let incoming = Incoming { kind, source, inflater };
                Box::pin(async move {
                    connection.end_as(exchange::receive(&*connection, message, incoming).await)
                })
            }
        })
    }
}
