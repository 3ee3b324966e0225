//! What applications write to a connection, or ask of it: the transport behind an [`HttpConnection`](crate::httputil::HttpConnection).

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::connection::{Http1Connection, Waiting};
use super::state::{Exchange, Output, State, Writing};
use crate::http1::encode::{BodyEncoder, ForResponse, encode_head, encode_interim};
use crate::httputil::{
    HttpHeaders, HttpOutputError, HttpTransport, ResponseStartLine, SealedTransport, StreamId,
};
use crate::iostream::{FilePart, IoStream, StreamError};

/// Output is handed to the kernel at the latest when so much of it has gathered.
const OUT_MARK: usize = 64 * 1024;

impl Http1Connection {
    fn with_exchange<R>(
        &self,
        id: StreamId,
        f: impl FnOnce(&mut Exchange, &mut Output) -> Result<R, HttpOutputError>,
    ) -> Result<R, HttpOutputError> {
        let mut wire = self.wire.borrow_mut();
        let Some((exchange, output)) = wire.at(id).filter(|_| !self.stream.is_closed()) else {
            return Err(HttpOutputError::Closed);
        };
        let result = f(exchange, output);
        let full = output.bytes.len() > OUT_MARK;
        let is_over = exchange.writing.is_over();
        drop(wire);
        if full {
            self.push_out();
        }
        if is_over {
            self.wake_waiting();
        }
        result
    }

    fn finish_by(
        &self,
        id: StreamId,
        end: impl FnOnce(BodyEncoder, &mut Vec<u8>) -> Result<(), HttpOutputError>,
    ) -> Result<(), HttpOutputError> {
        self.with_exchange(id, |exchange, output| {
            let finished = match exchange.writing {
                Writing::Body(body) => end(body, output.room()),
                Writing::Raw => Ok(()),
                _ => return Err(HttpOutputError::OutOfOrder),
            };
            exchange.writing = if finished.is_ok() { Writing::Finished } else { Writing::Aborted };
            finished
        })
    }

    /// Wakes whoever waits for the end of the response.
    #[inline]
    fn wake_waiting(&self) {
        if self.waiting.get() == Waiting::Answer {
            self.stream.wake_reader();
        }
    }
}

/// Whether a response is complete with what is written with its head.
fn is_whole(request: ForResponse, start: ResponseStartLine<'_>, headers: &HttpHeaders, body: &[u8]) -> bool {
    request.is_head
        || matches!(start.status, 204 | 304)
        || headers.get("Content-Length").and_then(|length| length.parse().ok()) == Some(body.len())
}

impl SealedTransport for Http1Connection {}

impl HttpTransport for Http1Connection {
    fn remote_address(&self) -> Option<SocketAddr> {
        self.remote()
    }

    fn write_headers(
        &self,
        id: StreamId,
        start: ResponseStartLine<'_>,
        headers: &HttpHeaders,
        body: &[u8],
    ) -> Result<(), HttpOutputError> {
        let draining = self.is_draining();
        self.with_exchange(id, |exchange, output| {
            if exchange.writing != Writing::Head {
                return Err(HttpOutputError::OutOfOrder);
            }
            let mut request = exchange.request;
            // The connection ends with an answer to a body that is still coming, and the client is to know (RFC 9112
            // §9.6). A response that only begins may end after the body.
            request.keep_alive &= !(exchange.unread && is_whole(request, start, headers, body));
            request.keep_alive &= !draining;
            let out = output.room();
            let encoded = encode_head(out, request, start, headers).and_then(|mut facts| {
                facts.body.encode(out, body)?;
                Ok(facts)
            });
            match encoded {
                Ok(facts) => {
                    exchange.writing = Writing::Body(facts.body);
                    exchange.keep_alive = facts.keep_alive;
                    Ok(())
                }
                Err(error) => {
                    exchange.writing = Writing::Aborted;
                    Err(error)
                }
            }
        })
    }

    fn write_interim(
        &self,
        id: StreamId,
        start: ResponseStartLine<'_>,
        headers: &HttpHeaders,
    ) -> Result<(), HttpOutputError> {
        self.with_exchange(id, |exchange, output| {
            if exchange.writing != Writing::Head {
                return Err(HttpOutputError::OutOfOrder);
            }
            if exchange.request.http11 {
                encode_interim(output.room(), start, headers);
                output.mark_here();
            }
            Ok(())
        })
    }

    fn write(&self, id: StreamId, data: &[u8]) -> Result<(), HttpOutputError> {
        self.with_exchange(id, |exchange, output| {
            let Writing::Body(mut body) = exchange.writing else { return Err(HttpOutputError::OutOfOrder) };
            let written = body.encode(output.room(), data);
            exchange.writing = if written.is_ok() { Writing::Body(body) } else { Writing::Aborted };
            written
        })
    }

    fn write_file(&self, id: StreamId, part: &FilePart) -> Result<bool, HttpOutputError> {
        let sends = self.with_exchange(id, |exchange, output| {
            let Writing::Body(mut body) = exchange.writing else { return Err(HttpOutputError::OutOfOrder) };
            let begun = body.begin_piece(output.room(), part.len());
            exchange.writing = if begun.is_ok() { Writing::Body(body) } else { Writing::Aborted };
            begun
        })?;
        if sends {
            self.push_out();
            // An error closes the stream; whoever waits for it is told there.
            drop(self.stream.write_file(part.clone()));
            self.with_exchange(id, |exchange, output| {
                output.begun = true;
                if let Writing::Body(body) = exchange.writing {
                    body.end_piece(output.room());
                }
                Ok(())
            })?;
        }
        Ok(true)
    }

    fn write_raw(&self, id: StreamId, data: &[u8]) -> Result<(), HttpOutputError> {
        self.with_exchange(id, |exchange, output| {
            if !matches!(exchange.writing, Writing::Head | Writing::Raw) {
                return Err(HttpOutputError::OutOfOrder);
            }
            exchange.writing = Writing::Raw;
            exchange.keep_alive = exchange.request.keep_alive;
            output.room().extend_from_slice(data);
            Ok(())
        })
    }

    fn finish(&self, id: StreamId) -> Result<(), HttpOutputError> {
        self.finish_by(id, |body, out| body.finish(out))
    }

    fn finish_with(&self, id: StreamId, trailers: &HttpHeaders) -> Result<(), HttpOutputError> {
        self.finish_by(id, |body, out| body.finish_with(out, trailers))
    }

    fn abort(&self, id: StreamId) {
        // Without an exchange of that id there is nothing to cut.
        let _ = self.with_exchange(id, |exchange, _| {
            exchange.writing = Writing::Aborted;
            Ok(())
        });
    }

    fn poll_flush(&self, id: StreamId, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let is_current = self.wire.borrow_mut().at(id).is_some();
        if is_current {
            self.push_out();
        }
        self.stream.poll_flush(cx)
    }

    fn closed(&self, id: StreamId) -> Pin<Box<dyn Future<Output = ()>>> {
        let end = {
            let mut wire = self.wire.borrow_mut();
            if wire.id != id || matches!(wire.state, State::None) {
                return Box::pin(std::future::ready(()));
            }
            Rc::clone(wire.end.get_or_insert_default())
        };
        let stream = self.stream.clone();
        Box::pin(async move {
            let mut left = pin!(stream.closed_by_peer());
            poll_fn(|cx| if end.poll(cx).is_ready() { Poll::Ready(()) } else { left.as_mut().poll(cx) })
                .await;
        })
    }

    fn is_shutting_down(&self) -> bool {
        self.is_draining()
    }

    fn shutdown(&self) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(Rc::clone(&self.server.set).draining())
    }

    fn retain(&self, id: StreamId) {
        if let Some((exchange, _)) = self.wire.borrow_mut().at(id) {
            exchange.handles = exchange.handles.saturating_add(1);
        }
    }

    fn release(&self, id: StreamId) {
        let was_last = match self.wire.borrow_mut().at(id) {
            Some((exchange, _)) => {
                if exchange.handles < u16::MAX {
                    exchange.handles = exchange.handles.saturating_sub(1);
                }
                exchange.handles == 0
            }
            None => false,
        };
        if was_last {
            self.wake_waiting();
        }
    }

    fn set_max_body_size(&self, id: StreamId, bytes: u64) {
        if let Some((exchange, _)) = self.wire.borrow_mut().at(id) {
            exchange.max_body_size = bytes;
        }
    }

    fn max_body_size(&self, id: StreamId) -> u64 {
        let limit = self.wire.borrow_mut().at(id).map(|(exchange, _)| exchange.max_body_size);
        limit.unwrap_or(self.limits().max_body_size)
    }

    fn write_timeout(&self) -> Option<Duration> {
        self.limits().write_timeout
    }

    fn set_body_timeout(&self, id: StreamId, timeout: Option<Duration>) {
        let is_current = self.wire.borrow_mut().at(id).is_some();
        if is_current {
            if let Some(timeout) = timeout {
                self.server.set.allow_for(timeout);
            }
            self.set_body_deadline(timeout);
        }
    }

    fn detach(&self, id: StreamId) -> io::Result<IoStream> {
        {
            let mut wire = self.wire.borrow_mut();
            match wire.at(id) {
                Some((exchange, _)) if exchange.writing.is_over() => {
                    return Err(io::Error::other(HttpOutputError::OutOfOrder));
                }
                Some(_) if !self.stream.is_closed() => wire.state = State::Detached,
                _ => return Err(io::Error::other(HttpOutputError::Closed)),
            }
        }
        // The socket is the application's alone from now on.
        let end = self.wire.borrow().end.clone();
        if let Some(end) = end {
            end.unwatch();
        }
        self.wake_waiting();
        self.push_out();
        // What becomes of the stream is no longer the server's business.
        self.leave_set();
        Ok(self.stream.clone())
    }

    fn stream(&self) -> Option<IoStream> {
        Some(self.stream.clone())
    }
}
