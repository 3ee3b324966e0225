//! One HTTP/1 connection: its stream, its deadline, and the response that is being written.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::deadlines::Stall;
use super::exchange_end::ExchangeEnd;
use super::gzip::GzipReader;
use super::out_pool;
use super::set::{ConnectionSet, Millis, Nanos};
use crate::http1::body::BodyLength;
use crate::http1::encode::{BodyEncoder, ForResponse};
use crate::http1::head::RequestFacts;
use crate::http1::{Http1ConnectionParameters, ParseError};
use crate::httputil::{
    HttpConnection, HttpServerConnectionDelegate, HttpServerRequest, HttpTransport, RequestContext, StreamId,
    reason_phrase,
};
use crate::iostream::{IoStream, StreamClosedError, StreamError};
use crate::log;

/// What all connections of a server share.
pub(crate) struct Server {
    pub(crate) delegate: Rc<dyn HttpServerConnectionDelegate>,
    pub(crate) params: Http1ConnectionParameters,
    pub(crate) set: Rc<ConnectionSet>,
    /// `http` or `https`.
    pub(crate) protocol: &'static str,
}

/// A connection that serves requests, one at a time.
pub(crate) struct Http1Connection {
    pub(super) stream: IoStream,
    pub(super) server: Rc<Server>,
    /// Its key in the server's set.
    key: Cell<u32>,
    /// `None` over a Unix socket.
    remote: Option<SocketAddr>,
    /// What the deadline is for.
    pub(super) waiting: Cell<Waiting>,
    /// The deadline has passed, or the wait was interrupted.
    pub(super) expired: Cell<bool>,
    /// When the current wait is over, checked by the set's sweep.
    pub(super) deadline: Cell<Option<Millis>>,
    /// When the body that is being received must have ended.
    pub(super) body_deadline: Cell<Option<Millis>>,
    /// So many bytes of a head that is not complete have been looked at.
    pub(super) looked_at: Cell<u32>,
    /// When bytes last arrived, the start of the requests among them; half the size of an `Instant`.
    pub(super) received: Cell<Nanos>,
    /// Since a sweep found output waiting: how much had been taken then, and when the client is given up.
    pub(super) stall: Cell<Option<Stall>>,
    pub(super) exchange: RefCell<Exchange>,
}

/// How long an answer may take after the client has closed its sending side.
const HALF_CLOSED_PATIENCE: Duration = Duration::from_secs(3);

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

/// The request that is being answered and how far the answer is.
pub(super) struct Exchange {
    /// Of the current exchange, or the last one.
    pub(super) id: StreamId,
    /// There is a current one.
    pub(super) open: bool,
    pub(super) request: ForResponse,
    pub(super) writing: Writing,
    pub(super) keep_alive: bool,
    pub(super) max_body_size: u64,
    /// Bytes not yet handed to the stream, of this response from `mark` on and before it of earlier ones. Where it
    /// stands there are only the heads of earlier responses before it, far below 4 GB.
    pub(super) out: Vec<u8>,
    pub(super) mark: u32,
    /// Part of this response has been handed to the stream.
    pub(super) begun: bool,
    /// Part of the request's body has not been received.
    pub(super) unread: bool,
    /// Told when the exchange is over; `None` until somebody asks.
    pub(super) end: Option<Rc<ExchangeEnd>>,
}

impl Exchange {
    /// Whether `id` is the current exchange.
    pub(super) fn is_at(&self, id: StreamId) -> bool {
        self.open && self.id == id
    }
}

/// How far the response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    Head,
    Body(BodyEncoder),
    /// The application writes the bytes itself.
    Raw,
    Finished,
    /// Must not look complete: the connection is cut.
    Aborted,
    /// The stream belongs to the application.
    Detached,
}

/// What comes after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The response has not been finished.
    Open,
    KeepAlive,
    /// The connection ends after what has been written.
    Close,
    /// The client has left.
    Gone,
    /// The response must not look complete.
    Abort,
    Detached,
}

impl Http1Connection {
    pub(super) fn new(stream: IoStream, server: Rc<Server>, remote: Option<SocketAddr>) -> Rc<Self> {
        let request = ForResponse { http11: true, is_head: false, keep_alive: false };
        let exchange = Exchange {
            id: 0,
            open: false,
            request,
            writing: Writing::Finished,
            keep_alive: true,
            max_body_size: 0,
            out: Vec::new(),
            mark: 0,
            begun: false,
            unread: false,
            end: None,
        };
        let server_nanos = server.set.nanos();
        let connection = Rc::new(Self {
            stream,
            server,
            key: Cell::new(u32::MAX),
            remote,
            waiting: Cell::new(Waiting::Not),
            expired: Cell::new(false),
            deadline: Cell::new(None),
            body_deadline: Cell::new(None),
            looked_at: Cell::new(0),
            received: Cell::new(server_nanos),
            stall: Cell::new(None),
            exchange: RefCell::new(exchange),
        });
        connection.key.set(connection.server.set.insert(Rc::clone(&connection)));
        connection
    }

    pub(super) fn params(&self) -> &Http1ConnectionParameters {
        &self.server.params
    }

    pub(super) fn delegate(&self) -> &dyn HttpServerConnectionDelegate {
        &*self.server.delegate
    }

    pub(super) fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// `0.0.0.0` over a Unix socket, as in Tornado.
    pub(super) fn remote_ip(&self) -> IpAddr {
        self.remote.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |remote| remote.ip())
    }

    /// Starts the exchange of a request whose head is complete.
    pub(super) fn begin(self: &Rc<Self>, request: &mut HttpServerRequest, facts: RequestFacts) {
        self.waiting.set(Waiting::Not);
        self.server.set.count_request();
        self.set_deadline(None);
        let params = self.params();
        let id = {
            let mut exchange = self.exchange.borrow_mut();
            let exchange = &mut *exchange;
            exchange.id += 1;
            exchange.open = true;
            exchange.request = ForResponse {
                http11: facts.http11,
                is_head: facts.is_head,
                keep_alive: facts.keep_alive && !params.no_keep_alive,
            };
            exchange.writing = Writing::Head;
            exchange.keep_alive = false;
            exchange.max_body_size = params.max_body_size;
            exchange.mark = exchange.out.len() as u32;
            exchange.begun = false;
            exchange.unread = facts.body != BodyLength::Empty;
            exchange.id
        };
        let context = RequestContext { remote_ip: self.remote_ip(), protocol: self.server.protocol };
        let transport: Rc<dyn HttpTransport> = Rc::clone(self) as Rc<dyn HttpTransport>;
        request.arrived(
            context,
            HttpConnection::new(transport, id),
            self.server.set.instant(self.received.get()),
        );
    }

    /// What inflates the body, if that is to be done.
    pub(super) fn inflater(&self, request: &mut HttpServerRequest) -> Option<GzipReader> {
        let params = self.params();
        if params.decompress { GzipReader::for_request(request.head_mut()) } else { None }
    }

    /// Ends the exchange: later writes with its id are refused.
    pub(super) fn end_exchange(&self, outcome: Outcome) -> Outcome {
        let end = {
            let mut exchange = self.exchange.borrow_mut();
            exchange.open = false;
            exchange.end.take()
        };
        if let Some(end) = end {
            end.tell();
        }
        outcome
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
        self.server.set.remove(self.key.replace(u32::MAX));
    }

    pub(super) fn outcome(&self) -> Outcome {
        let exchange = self.exchange.borrow();
        match exchange.writing {
            Writing::Finished if exchange.keep_alive && !self.server.set.is_draining() => Outcome::KeepAlive,
            Writing::Finished => Outcome::Close,
            Writing::Aborted => Outcome::Abort,
            Writing::Detached => Outcome::Detached,
            Writing::Head | Writing::Body(_) | Writing::Raw => Outcome::Open,
        }
    }

    /// Waits until the response is finished, or the client has left, or nobody is left who could answer.
    ///
    /// A client that has closed its sending side may still read, or may be gone, which cannot be told before something
    /// is sent to it. So the answer has some more time to come.
    pub(super) async fn answered(self: &Rc<Self>) -> Outcome {
        let mut left = Box::pin(self.stream.closed_by_peer());
        let mut has_left = false;
        self.waiting.set(Waiting::Answer);
        let outcome = poll_fn(|cx| {
            let outcome = self.outcome();
            if outcome != Outcome::Open {
                return Poll::Ready(outcome);
            }
            if self.is_abandoned() {
                tracing::error!(target: log::APPLICATION, "Request callback dropped its request without an answer");
                return Poll::Ready(Outcome::Abort);
            }
            self.push_out();
            self.stream.park_reader(cx);
            if !has_left && left.as_mut().poll(cx).is_ready() {
                has_left = true;
                self.set_deadline(Some(HALF_CLOSED_PATIENCE));
            }
            if has_left && (self.expired.get() || self.stream.closed()) {
                return Poll::Ready(Outcome::Abort);
            }
            Poll::Pending
        })
        .await;
        if has_left {
            self.set_deadline(None);
        }
        self.waiting.set(Waiting::Not);
        outcome
    }

    /// One handle is the task's, one the set's, one that of the work that waits: nobody has the request any longer.
    fn is_abandoned(self: &Rc<Self>) -> bool {
        Rc::strong_count(self) <= 3
    }

    /// Wakes a connection that waits for an answer that cannot come. Called by the set's sweep, so that dropping a
    /// handle, which every request does, costs nothing.
    pub(super) fn check_abandoned(self: &Rc<Self>) {
        if self.waiting.get() == Waiting::Answer && self.is_abandoned() {
            self.stream.wake_reader();
        }
    }

    pub(super) fn max_body_size(&self) -> u64 {
        self.exchange.borrow().max_body_size
    }

    /// Hands gathered output to the stream: one system call when the kernel has room, which it mostly has.
    pub(super) fn push_out(&self) {
        let mut exchange = self.exchange.borrow_mut();
        if exchange.out.is_empty() {
            return;
        }
        exchange.begun |= exchange.out.len() > exchange.mark as usize;
        exchange.mark = 0;
        let mut out = std::mem::take(&mut exchange.out);
        drop(exchange);
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
        if !self.stream.writing() {
            return Ok(());
        }
        self.set_deadline(self.params().idle_connection_timeout);
        let mut left = self.stream.write_buffer_len();
        let flushed = poll_fn(|cx| {
            if self.expired.get() {
                let still = self.stream.write_buffer_len();
                if still < left && !self.stream.closed() {
                    left = still;
                    self.set_deadline(self.params().idle_connection_timeout);
                }
            }
            if self.expired.get() {
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
        let expired = self.expired.get();
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
        self.server.set.is_draining()
    }

    /// The end of the request's body has arrived.
    pub(super) fn body_is_read(&self) {
        self.exchange.borrow_mut().unread = false;
    }

    /// What follows such a body cannot be found.
    pub(super) fn is_body_unread(&self) -> bool {
        self.exchange.borrow().unread
    }

    /// The application's work on the current exchange failed in a way that nothing answered.
    pub(super) fn abort_exchange(&self) {
        self.exchange.borrow_mut().writing = Writing::Aborted;
    }

    /// Tells the client to go on and send the body.
    pub(super) fn write_continue(&self) {
        let mut exchange = self.exchange.borrow_mut();
        if exchange.writing == Writing::Head {
            exchange.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            exchange.mark = exchange.out.len() as u32;
        }
    }

    /// Answers what is not a request; nothing if a response has begun.
    pub(super) fn refuse(&self, error: ParseError) {
        let mut exchange = self.exchange.borrow_mut();
        match exchange.writing {
            // Between exchanges; `begun` still tells of the last response, which is complete.
            Writing::Finished if !exchange.open => {}
            Writing::Finished => {
                exchange.keep_alive = false;
                return;
            }
            Writing::Head if !exchange.begun => {}
            _ => {
                exchange.writing = Writing::Aborted;
                return;
            }
        }
        exchange.writing = Writing::Finished;
        exchange.keep_alive = false;
        if error.is_bare() {
            exchange.out.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            return;
        }
        let (status, text) = (error.status(), error.explain(&self.server.params, exchange.max_body_size));
        let (reason, length) = (reason_phrase(status), text.len() + 1);
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{text}\n"
        );
        exchange.out.extend_from_slice(head.as_bytes());
    }

    /// Drops what is not sent of a response that must not look complete, and cuts the connection.
    pub(super) fn cut(&self) {
        let until_close = {
            let mut exchange = self.exchange.borrow_mut();
            let mark = exchange.mark as usize;
            if !exchange.begun {
                exchange.out.truncate(mark);
            }
            exchange.begun
        };
        self.push_out();
        // A reset where a mere end of stream could be taken for the end of the body.
        if until_close { self.stream.abort() } else { self.stream.close() }
    }
}
