//! One HTTP/1 connection: its stream, its deadlines, and what it is at.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::deadlines::Deadlines;
use super::set::{ConnectionSet, Nanos};
use super::state::{Exchange, Outcome, State, Wire, Writing};
use crate::http1::ParseError;
use crate::http1::body::BodyLength;
use crate::http1::encode::ForResponse;
use crate::http1::head::RequestFacts;
use crate::httputil::inflate::Inflater;
use crate::httputil::out_pool;
use crate::httputil::{
    ConnectionLimits, HttpConnection, HttpServerConnectionDelegate, HttpServerRequest, HttpTransport,
    RequestContext, Scheme, reason_phrase,
};
use crate::iostream::{IoStream, StreamClosedError, StreamError};
use crate::metrics::{self, Value};

/// What all connections of a server share.
pub(crate) struct Server {
    pub(crate) delegate: Rc<dyn HttpServerConnectionDelegate>,
    pub(crate) limits: ConnectionLimits,
    /// Close after each response, whatever the client asks.
    pub(crate) no_keep_alive: bool,
    pub(crate) set: Rc<ConnectionSet>,
}

/// As what a connection is counted while it is open, and for ever.
pub(crate) fn kinds(scheme: Scheme) -> (Value, Value) {
    match scheme {
        Scheme::Https => (Value::HttpsOpen, Value::HttpsOpened),
        Scheme::Http => (Value::HttpOpen, Value::HttpOpened),
    }
}

/// A connection that serves requests, one at a time.
pub(crate) struct Http1Connection {
    pub(super) stream: IoStream,
    pub(super) server: Rc<Server>,
    /// Its key in the server's set.
    key: Cell<u32>,
    context: RequestContext,
    /// What the deadline is for.
    pub(super) waiting: Cell<Waiting>,
    pub(super) deadlines: Deadlines,
    /// So many bytes of a head that is not complete have been looked at.
    pub(super) looked_at: Cell<u32>,
    /// When bytes last arrived, the start of the requests among them; half the size of an `Instant`.
    pub(super) received: Cell<Nanos>,
    pub(super) wire: RefCell<Wire>,
}

/// What a connection between requests waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Nothing: a request is being served.
    Not,
    /// The first byte of a request.
    Idle,
    /// The rest of a head.
    Head,
    /// The end of a response that somebody else writes.
    Answer,
}

impl Http1Connection {
    pub(super) fn new(stream: IoStream, server: Rc<Server>, context: RequestContext) -> Rc<Self> {
        let server_nanos = server.set.nanos();
        let (open, opened) = kinds(context.protocol);
        metrics::add(opened, 1);
        metrics::add(open, 1);
        let connection = Rc::new(Self {
            stream,
            server,
            key: Cell::new(u32::MAX),
            context,
            waiting: Cell::new(Waiting::Not),
            deadlines: Deadlines::default(),
            looked_at: Cell::new(0),
            received: Cell::new(server_nanos),
            wire: RefCell::default(),
        });
        connection.key.set(connection.server.set.insert(Rc::clone(&connection)));
        connection
    }

    pub(super) fn limits(&self) -> &ConnectionLimits {
        &self.server.limits
    }

    pub(super) fn delegate(&self) -> &dyn HttpServerConnectionDelegate {
        &*self.server.delegate
    }

    pub(super) fn remote(&self) -> Option<SocketAddr> {
        self.context.remote_port.map(|port| SocketAddr::new(self.context.remote_ip, port))
    }

    /// `0.0.0.0` over a Unix socket, as in Tornado.
    pub(super) fn remote_ip(&self) -> IpAddr {
        self.context.remote_ip
    }

    /// Starts the exchange of a request whose head is complete.
    pub(super) fn begin(self: &Rc<Self>, request: &mut HttpServerRequest, facts: RequestFacts) {
        self.waiting.set(Waiting::Not);
        self.server.set.count_request();
        self.set_deadline(None);
        let id = {
            let wire = &mut *self.wire.borrow_mut();
            wire.id += 1;
            wire.output.begin();
            metrics::add(Value::RequestsInFlight, 1);
            wire.state = State::Open(Exchange {
                request: ForResponse {
                    http11: facts.http11,
                    is_head: facts.is_head,
                    keep_alive: facts.keep_alive && !self.server.no_keep_alive,
                },
                writing: Writing::Head,
                keep_alive: false,
                expects_continue: facts.expect_continue,
                unread: facts.body != BodyLength::Empty,
                handles: 0,
                max_body_size: self.limits().max_body_size,
            });
            wire.id
        };
        let transport: Rc<dyn HttpTransport> = Rc::clone(self) as Rc<dyn HttpTransport>;
        request.arrived(
            self.context,
            HttpConnection::new(transport, id),
            self.server.set.instant(self.received.get()),
        );
    }

    /// What inflates the body, if that is to be done.
    pub(super) fn inflater(&self, request: &mut HttpServerRequest) -> Option<Inflater> {
        if self.limits().decompress { Inflater::for_request(request.head_mut()) } else { None }
    }

    /// Ends the exchange: later writes with its id are refused.
    pub(super) fn end_exchange(&self) -> Outcome {
        let (outcome, end) = {
            let mut wire = self.wire.borrow_mut();
            let outcome = wire.outcome();
            if outcome != Outcome::Detached {
                wire.state = State::None;
            }
            (outcome, wire.end.take())
        };
        if let Some(end) = end {
            end.tell();
        }
        match outcome {
            Outcome::KeepAlive if self.is_draining() => Outcome::Close,
            outcome => outcome,
        }
    }

    /// Lets go of the stream as the outcome says.
    pub(super) fn end_with(&self, outcome: Outcome) {
        match outcome {
            Outcome::Detached => {}
            Outcome::Abort => self.cut(),
            _ => self.stream.close(),
        }
        self.server.delegate.on_close();
    }

    pub(super) fn leave_set(&self) {
        // Once: the key may be another connection's by then.
        let key = self.key.replace(u32::MAX);
        if key != u32::MAX {
            self.server.set.remove(key);
            metrics::subtract(kinds(self.context.protocol).0, 1);
        }
    }

    /// Hands gathered output to the stream: one system call when the kernel has room, which it mostly has.
    pub(super) fn push_out(&self) {
        let mut out = {
            let output = &mut self.wire.borrow_mut().output;
            if output.bytes.is_empty() {
                output.give_back();
                return;
            }
            output.take()
        };
        // An error closes the stream; whoever waits for it is told there.
        let sent = self.stream.try_write(&out).unwrap_or(out.len());
        if sent < out.len() {
            drop(self.stream.write(&out[sent..]));
        }
        out.clear();
        out_pool::put(out);
    }

    /// Waits until the kernel has all output, so that a client that does not read holds no more than one batch. The
    /// deadline is for a client that takes nothing: a slow one may be long over a large file.
    pub(super) async fn drain_out(&self) -> Result<(), StreamError> {
        self.push_out();
        if !self.stream.is_writing() {
            return Ok(());
        }
        self.set_deadline(self.limits().idle_connection_timeout);
        let mut left = self.stream.write_buffer_len();
        let flushed = poll_fn(|cx| {
            if self.deadlines.has_expired() {
                let still = self.stream.write_buffer_len();
                if still < left && !self.stream.is_closed() {
                    left = still;
                    self.set_deadline(self.limits().idle_connection_timeout);
                }
            }
            if self.deadlines.has_expired() {
                return Poll::Ready(Err(StreamError::Closed(StreamClosedError::default())));
            }
            self.stream.park_reader(cx);
            self.stream.poll_flush(cx)
        })
        .await;
        self.set_deadline(None);
        flushed
    }

    /// Reads more; 0 is the end of the stream, an error of kind `TimedOut` the deadline.
    ///
    /// A request that has come is served, however late: its client could not know whether it was.
    pub(super) fn poll_fill(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let expired = self.deadlines.has_expired();
        if expired && self.waiting.get() != Waiting::Idle {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let filled = self.stream.poll_fill(cx);
        if filled.is_ready() {
            self.received.set(self.server.set.nanos());
        } else if expired {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        filled
    }

    pub(super) fn is_draining(&self) -> bool {
        self.server.set.is_leaving()
    }

    /// The end of the request's body has arrived.
    pub(super) fn body_is_read(&self) {
        if let Some(exchange) = self.wire.borrow_mut().exchange_mut() {
            exchange.unread = false;
        }
    }

    /// The response must not look complete. Says whether there is one.
    pub(super) fn abort_exchange(&self) -> bool {
        let mut wire = self.wire.borrow_mut();
        let Some(exchange) = wire.exchange_mut() else { return false };
        exchange.writing = Writing::Aborted;
        true
    }

    /// Answers what is not a request, or the body of none; nothing if a response has begun.
    pub(super) fn refuse(&self, error: ParseError) {
        let wire = &mut *self.wire.borrow_mut();
        let mut max_body_size = self.limits().max_body_size;
        match &mut wire.state {
            State::None => {}
            State::Detached => return,
            State::Open(exchange) => {
                exchange.keep_alive = false;
                match exchange.writing {
                    Writing::Finished => return,
                    Writing::Head if !wire.output.begun => exchange.writing = Writing::Finished,
                    _ => {
                        exchange.writing = Writing::Aborted;
                        return;
                    }
                }
                max_body_size = exchange.max_body_size;
            }
        }
        let out = wire.output.room();
        if error.is_bare() {
            out.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            return;
        }
        let (status, text) = (error.status(), error.explain(self.limits(), max_body_size));
        let (reason, length) = (reason_phrase(status), text.len() + 1);
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{text}\n"
        );
        out.extend_from_slice(head.as_bytes());
    }

    /// Drops what is not sent of a response that must not look complete, and cuts the connection.
    pub(super) fn cut(&self) {
        let until_close = {
            let output = &mut self.wire.borrow_mut().output;
            output.drop_unsent();
            output.begun
        };
        self.push_out();
        // A reset where a mere end of stream could be taken for the end of the body.
        if until_close { self.stream.abort() } else { self.stream.close() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // With the counts of its `Rc` and what the allocator adds, 192 bytes.
        let size = size_of::<Http1Connection>();
        assert!(size <= 168, "{size} bytes");
    }
}
