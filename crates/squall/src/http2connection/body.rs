//! The body of a request, as it comes in frames.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use tokio::time::{Sleep, sleep_until};

use super::convert;
use super::stream::Stream;
use crate::httputil::exchange::{BodyEvent, BodyRefusal, BodySource, Carrier};

pub(super) struct Data<'a> {
    stream: &'a Stream,
    body: RecvStream,
    /// What has not been asked for of a frame.
    rest: Bytes,
    /// What was given last. The window opens when it has been taken.
    given: usize,
    received: usize,
    /// Not before it has to be waited.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<'a> Data<'a> {
    pub(super) fn new(stream: &'a Stream, mut body: RecvStream) -> Self {
        stream.begin_body(&mut body);
        Self { stream, body, rest: Bytes::new(), given: 0, received: 0, timer: None }
    }

    /// Trailers, if there are any, and then the last piece.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyEvent, BodyRefusal>> {
        let event = match ready!(self.body.poll_trailers(cx)) {
            Ok(None) => BodyEvent::Piece { data: Bytes::new(), is_last: true },
            Ok(Some(_)) if self.stream.has_malformed_trailers() => BodyEvent::Gone,
            Ok(Some(fields)) => {
                let most = self.stream.limits().max_header_count;
                BodyEvent::Trailers(convert::trailers(&fields, most).ok_or(BodyRefusal::Trailers)?)
            }
            Err(_) => {
                self.stream.lose();
                BodyEvent::Gone
            }
        };
        Poll::Ready(Ok(event))
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.stream.deadline() else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }
}

impl Drop for Data<'_> {
    fn drop(&mut self) {
        self.stream.end_body();
    }
}

impl BodySource for Data<'_> {
    type Refusal = BodyRefusal;

    fn poll_next(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<BodyEvent, BodyRefusal>> {
        let given = std::mem::take(&mut self.given);
        if given > 0 {
            // An error is that of the stream, which is told below.
            let _ = self.body.flow_control().release_capacity(given);
            self.stream.take_body(given);
        }
        while self.rest.is_empty() {
            match self.body.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    self.received += data.len();
                    self.rest = data;
                }
                Poll::Ready(Some(Err(_))) => {
                    // Before the application lets go of it, which else were to blame.
                    self.stream.lose();
                    return Poll::Ready(Ok(BodyEvent::Gone));
                }
                Poll::Ready(None) => return self.poll_end(cx),
                Poll::Pending if self.stream.is_lost() => return Poll::Ready(Ok(BodyEvent::Gone)),
                Poll::Pending => return self.poll_late(cx).map(|()| Ok(BodyEvent::Late)),
            }
        }
        let data = self.rest.split_to(self.rest.len().min(most));
        self.given = data.len();
        Poll::Ready(Ok(BodyEvent::Piece { data, is_last: false }))
    }

    fn take_received(&mut self) -> usize {
        std::mem::take(&mut self.received)
    }
}
