//! The body of a request to an application as a tower service.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::Body;

use super::exchange::Exchange;
use crate::httputil::exchange::{BodyEvent, BodyRefusal, BodySource, Carrier};
use crate::httputil::field_map;

/// The frames of a body, cut into pieces, until the caller leaves.
pub(super) struct Frames<'a, B> {
    body: Pin<&'a mut B>,
    exchange: &'a Exchange,
    caller_left: Pin<Box<dyn Future<Output = ()>>>,
    /// What has not been asked for of a frame.
    rest: Bytes,
    received: usize,
    /// Trailers have come, which are the last frame.
    is_over: bool,
}

impl<'a, B> Frames<'a, B> {
    pub(super) fn new(body: Pin<&'a mut B>, exchange: &'a Rc<Exchange>) -> Self {
        let caller_left = Box::pin(exchange.caller_left());
        Self { body, exchange, caller_left, rest: Bytes::new(), received: 0, is_over: false }
    }
}

impl<B> BodySource for Frames<'_, B>
where
    B: Body,
    B::Error: fmt::Display,
{
    type Refusal = BodyRefusal;

    fn poll_next(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<BodyEvent, BodyRefusal>> {
        loop {
            if !self.rest.is_empty() {
                let data = self.rest.split_to(self.rest.len().min(most));
                return Poll::Ready(Ok(BodyEvent::Piece { data, is_last: false }));
            }
            if self.is_over {
                return Poll::Ready(Ok(BodyEvent::Piece { data: Bytes::new(), is_last: true }));
            }
            match self.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(mut data) => {
                        self.rest = data.copy_to_bytes(data.remaining());
                        self.received += self.rest.len();
                    }
                    Err(frame) => {
                        let Ok(fields) = frame.into_trailers() else { continue };
                        self.is_over = true;
                        let fields = Some(&fields)
                            .filter(|fields| fields.len() <= self.exchange.limits().max_header_count);
                        let trailers = fields.and_then(|fields| field_map::from_trailers(fields).ok());
                        return Poll::Ready(trailers.map(BodyEvent::Trailers).ok_or(BodyRefusal::Trailers));
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    tracing::warn!(target: crate::log::GENERAL, "the body of a request broke off: {error}");
                    return Poll::Ready(Ok(BodyEvent::Gone));
                }
                Poll::Ready(None) => {
                    return Poll::Ready(Ok(BodyEvent::Piece { data: Bytes::new(), is_last: true }));
                }
                Poll::Pending => break,
            }
        }
        if self.caller_left.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(BodyEvent::Gone));
        }
        self.exchange.watch(cx);
        Poll::Pending
    }

    fn take_received(&mut self) -> usize {
        std::mem::take(&mut self.received)
    }
}
