//! The body of a request, as it comes in frames.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::{Sleep, sleep_until};

use super::stream::Stream;
use crate::http2::server::Piece;
use crate::httputil::exchange::{BodyEvent, BodyRefusal, BodySource};

pub(super) struct Data<'a> {
    stream: &'a Stream,
    /// What was given last. The window opens when it has been taken.
    given: usize,
    received: usize,
    /// Not before it has to be waited.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<'a> Data<'a> {
    pub(super) fn new(stream: &'a Stream) -> Self {
        stream.begin_body();
        Self { stream, given: 0, received: 0, timer: None }
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
            self.stream.take_body(given);
        }
        let event = match self.stream.poll_piece(most, cx) {
            Poll::Ready(Piece::Data(data)) => {
                self.given = data.len();
                self.received += data.len();
                BodyEvent::Piece { data, is_last: false }
            }
            Poll::Ready(Piece::Trailers(Ok(fields))) => BodyEvent::Trailers(fields),
            Poll::Ready(Piece::Trailers(Err(()))) => return Poll::Ready(Err(BodyRefusal::Trailers)),
            Poll::Ready(Piece::End) => BodyEvent::Piece { data: Bytes::new(), is_last: true },
            Poll::Ready(Piece::Gone) => {
                // Before the application lets go of it, which else were to blame.
                self.stream.lose();
                BodyEvent::Gone
            }
            Poll::Pending if self.stream.is_lost() => BodyEvent::Gone,
            Poll::Pending => return self.poll_late(cx).map(|()| Ok(BodyEvent::Late)),
        };
        Poll::Ready(Ok(event))
    }

    fn take_received(&mut self) -> usize {
        std::mem::take(&mut self.received)
    }
}
