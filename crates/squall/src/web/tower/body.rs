//! The body of a request that is handed to a service.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// The body of a request, as a [`FallbackHandler`](super::FallbackHandler) hands it to its service: read from the
/// client no faster than the service takes it.
///
/// It is `Send`, as services want it, though it stays on its thread.
pub struct RequestBody {
    pieces: Option<mpsc::Receiver<Piece>>,
    /// What is still to come, where the client said.
    left: Option<u64>,
}

/// The end is told, so that a body that broke off is not taken for a whole one.
pub(super) enum Piece {
    Data(Bytes),
    End(Option<HeaderMap>),
}

impl RequestBody {
    pub(super) fn empty() -> Self {
        Self { pieces: None, left: Some(0) }
    }

    /// A body, and where its pieces go.
    pub(super) fn channel(length: Option<u64>) -> (mpsc::Sender<Piece>, Self) {
        let (sender, pieces) = mpsc::channel(1);
        (sender, Self { pieces: Some(pieces), left: length })
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Some(pieces) = &mut self.pieces else { return Poll::Ready(None) };
        match ready!(pieces.poll_recv(cx)) {
            Some(Piece::Data(data)) => {
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Piece::End(trailers)) => {
                self.pieces = None;
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
            None => {
                self.pieces = None;
                Poll::Ready(Some(Err(RequestBodyError(()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("left", &self.left).finish_non_exhaustive()
    }
}

/// The client left before the body was complete.
#[derive(Debug)]
pub struct RequestBodyError(());

impl fmt::Display for RequestBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client left in the middle of the body")
    }
}

impl Error for RequestBodyError {}
