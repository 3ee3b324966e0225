//! Bodies on their way: the request's out, the response's in.

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::decode::Decoder;
use super::error::{HttpClientError, TIMEOUT_SENDING};
use super::exchange::Upload;
use super::pool::Lease;
use crate::http1::body::{BodyDecoder, BodyLength};
use crate::http1::encode::BodyEncoder;
use crate::http1::response::{ResponseBody as Length, ResponseFacts};
use crate::httputil::HttpOutputError;
use crate::iostream::{IoStream, Stalled, StreamClosedError, StreamError};

/// Takes the pieces of a request's body from its [producer](super::HttpRequest::body_producer).
///
/// Cheap to clone. Useless once the producer has returned.
#[derive(Clone)]
pub struct BodyWriter {
    stream: IoStream,
    encoder: Rc<Cell<BodyEncoder>>,
    fault: Rc<Cell<Option<Fault>>>,
    /// How long the server may take nothing.
    patience: Option<Duration>,
}

/// Why a body will not be whole.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It is longer than announced.
    Overrun,
    /// The server takes nothing of it.
    Stalled,
}

impl BodyWriter {
    pub(super) fn new(stream: IoStream, length: Option<u64>, patience: Option<Duration>) -> Self {
        let encoder = length.map_or(BodyEncoder::Chunked, BodyEncoder::Length);
        Self { stream, encoder: Rc::new(Cell::new(encoder)), fault: Rc::default(), patience }
    }

    /// Sends a piece and waits until the kernel has it, so that a slow server slows the producer down.
    ///
    /// # Errors
    /// When the connection is closed. What was written past a Content-Length is not sent, and fails the request.
    pub async fn write(&self, piece: impl AsRef<[u8]>) -> Result<(), StreamError> {
        let (mut encoder, mut framed) = (self.encoder.get(), Vec::new());
        if encoder.encode(&mut framed, piece.as_ref()).is_err() {
            self.fault.set(Some(Fault::Overrun));
            return Ok(());
        }
        self.encoder.set(encoder);
        if framed.is_empty() { Ok(()) } else { self.send(framed).await }
    }

    async fn send(&self, framed: Vec<u8>) -> Result<(), StreamError> {
        let written = self.stream.write_bytes(framed.into());
        match self.stream.taken_within(self.patience, written).await {
            Ok(sent) => sent,
            Err(Stalled) => {
                self.fault.set(Some(Fault::Stalled));
                self.stream.abort();
                Err(StreamClosedError::default().into())
            }
        }
    }

    /// The producer has returned, with this.
    pub(super) async fn finish(&self, produced: Result<(), Box<dyn Error>>) -> Result<(), HttpClientError> {
        match self.fault.get() {
            Some(Fault::Stalled) => return Err(HttpClientError::Timeout(TIMEOUT_SENDING)),
            Some(Fault::Overrun) if produced.is_ok() => {
                return Err(HttpClientError::Request(
                    "the body is longer than its Content-Length".to_owned(),
                ));
            }
            _ => produced.map_err(HttpClientError::Body)?,
        }
        let mut end = Vec::new();
        match self.encoder.get().finish(&mut end) {
            Ok(()) if end.is_empty() => Ok(()),
            Ok(()) => match self.send(end).await {
                Err(_) if self.fault.get().is_some() => Err(HttpClientError::Timeout(TIMEOUT_SENDING)),
                sent => Ok(sent?),
            },
            Err(HttpOutputError::TooLittleData(left)) => Err(HttpClientError::Request(format!(
                "the body is {left} bytes shorter than its Content-Length"
            ))),
            Err(error) => Err(HttpClientError::Request(error.to_string())),
        }
    }
}

impl fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter").finish_non_exhaustive()
    }
}

/// The most bytes of one piece before decompression.
const PIECE: usize = 64 * 1024;

/// The body of a response, read from its connection piece by piece.
pub(super) struct ResponseBody {
    /// The connection, until the body has ended; and the slot that it takes.
    lease: Option<Lease>,
    framing: Framing,
    keep_alive: bool,
    /// The rest of the request's body, which goes up while this comes down.
    upload: Option<Upload>,
    decoder: Option<Box<Decoder>>,
    /// Compressed bytes that wait for the decoder.
    compressed: Bytes,
    /// So many bytes may yet come, decompressed.
    left: u64,
    deadline: Option<Instant>,
}

enum Framing {
    Framed(BodyDecoder),
    /// So many bytes may yet come as they are sent: nothing may come of them when they are decompressed.
    UntilClose(u64),
}

impl ResponseBody {
    /// # Errors
    /// When the body is announced to be too large.
    pub(super) fn new(
        lease: Lease,
        facts: ResponseFacts,
        upload: Option<Upload>,
        decoder: Option<Box<Decoder>>,
        max_body_size: u64,
        deadline: Option<Instant>,
    ) -> Result<Self, HttpClientError> {
        let framing = match facts.body {
            Length::Framed(length) => Framing::Framed(BodyDecoder::new(length, max_body_size)?),
            Length::UntilClose => Framing::UntilClose(max_body_size),
        };
        let mut body = Self {
            lease: Some(lease),
            framing,
            keep_alive: facts.keep_alive,
            upload,
            decoder,
            compressed: Bytes::new(),
            left: max_body_size,
            deadline,
        };
        if facts.body == Length::Framed(BodyLength::Empty) {
            body.decoder = None;
            body.end(true);
        }
        Ok(body)
    }

    /// After a 101: no body follows, but another protocol.
    pub(super) fn upgraded(lease: Lease) -> Self {
        Self {
            lease: Some(lease),
            framing: Framing::UntilClose(0),
            keep_alive: false,
            upload: None,
            decoder: None,
            compressed: Bytes::new(),
            left: 0,
            deadline: None,
        }
    }

    /// The connection, for whoever speaks what follows a 101.
    pub(super) fn into_stream(mut self) -> Option<IoStream> {
        self.lease.take().map(|lease| lease.stream().clone())
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpClientError> {
        let result = within(self.deadline, "Timeout during request", self.next()).await;
        if result.is_err() {
            // Whatever is left on this connection is of no use to anybody.
            self.end(false);
            self.decoder = None;
        }
        result
    }

    pub(super) async fn collect(&mut self) -> Result<Bytes, HttpClientError> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut all = [first, second].concat();
        while let Some(piece) = self.chunk().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }

    /// Reads what little is left, so that the connection can serve the next request; a long rest is not worth it.
    pub(super) async fn drain(mut self) {
        const LONGEST: usize = 64 * 1024;
        self.decoder = None;
        let mut seen = 0;
        while let Ok(Some(piece)) = self.chunk().await {
            seen += piece.len();
            if seen > LONGEST {
                return;
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, HttpClientError> {
        loop {
            if let Some(decoder) = &mut self.decoder {
                let mut input = &self.compressed[..];
                let piece = decoder.next(&mut input).map_err(|_| HttpClientError::Decode)?;
                let used = self.compressed.len() - input.len();
                let _ = self.compressed.split_to(used);
                if !piece.is_empty() {
                    return self.count(piece).map(Some);
                }
            }
            match self.read().await? {
                Some(piece) if self.decoder.is_some() => self.compressed = piece,
                Some(piece) => return self.count(piece).map(Some),
                None => {
                    if let Some(decoder) = self.decoder.take() {
                        decoder.finish().map_err(|_| HttpClientError::Decode)?;
                    }
                    return Ok(None);
                }
            }
        }
    }

    fn count(&mut self, piece: Bytes) -> Result<Bytes, HttpClientError> {
        self.left = self.left.checked_sub(piece.len() as u64).ok_or(HttpClientError::BodyTooLarge)?;
        Ok(piece)
    }

    /// The next piece as it is sent.
    async fn read(&mut self) -> Result<Option<Bytes>, HttpClientError> {
        let Some(lease) = &self.lease else { return Ok(None) };
        let stream = lease.stream().clone();
        loop {
            let taken = {
                let mut buffer = stream.read_buffer();
                match &mut self.framing {
                    Framing::Framed(decoder) => {
                        let step = decoder.decode(buffer.as_slice(), PIECE)?;
                        buffer.consume(step.data.start);
                        let piece = buffer.take(step.data.len());
                        buffer.consume(step.consumed - step.data.end);
                        (piece, step.done)
                    }
                    Framing::UntilClose(left) => {
                        let available = buffer.len().min(PIECE);
                        *left = left.checked_sub(available as u64).ok_or(HttpClientError::BodyTooLarge)?;
                        (buffer.take(available), false)
                    }
                }
            };
            match taken {
                (piece, true) => {
                    self.end(true);
                    return Ok(if piece.is_empty() { None } else { Some(piece) });
                }
                (piece, false) if !piece.is_empty() => return Ok(Some(piece)),
                _ => {}
            }
            let received = poll_fn(|cx| {
                if let Poll::Ready(Err(error)) = self.poll_upload(cx) {
                    return Poll::Ready(Err(error));
                }
                stream.poll_fill(cx).map(Ok)
            });
            let received = received.await?;
            match (&self.framing, received) {
                (_, Ok(1..)) => {}
                (Framing::UntilClose(_), Ok(0)) if stream.error().is_none() => {
                    self.end(false);
                    return Ok(None);
                }
                (_, Ok(0)) => return Err(HttpClientError::Closed(None)),
                (_, Err(error)) => return Err(HttpClientError::closed_by(error)),
            }
        }
    }

    /// Sends on what is left of the request's body; ready when nothing is.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HttpClientError>> {
        let Some(upload) = &mut self.upload else { return Poll::Ready(Ok(())) };
        let sent = ready!(upload.as_mut().poll(cx));
        self.upload = None;
        self.keep_alive &= sent.is_ok();
        Poll::Ready(match sent {
            // The server wants no more; its response may be whole all the same.
            Err(HttpClientError::Closed(_)) => Ok(()),
            sent => sent,
        })
    }

    /// Whether the server is still to get the rest of the request's body.
    pub(super) fn is_uploading(&self) -> bool {
        self.upload.is_some()
    }

    /// Sends on what is left of the request's body for as long as this is polled.
    pub(super) async fn keep_uploading(&mut self) -> Infallible {
        poll_fn(|cx| {
            // The end of the response tells of a failure.
            let _ = self.poll_upload(cx);
            Poll::Pending
        })
        .await
    }

    /// Lets go of the connection: for the next request, or for good. A server that has answered before it had the whole
    /// request gets no other.
    fn end(&mut self, complete: bool) {
        let uploaded = self.upload.take().is_none();
        if let Some(lease) = self.lease.take()
            && complete
            && uploaded
            && self.keep_alive
        {
            lease.give_back();
        }
    }
}

/// Runs `work` within a deadline. What is ready at once, as most pieces of a body are, costs no timer.
pub(super) async fn within<T>(
    deadline: Option<Instant>,
    what: &'static str,
    work: impl Future<Output = Result<T, HttpClientError>>,
) -> Result<T, HttpClientError> {
    let (mut work, mut timer) = (pin!(work), pin!(None));
    poll_fn(|cx| {
        let result = work.as_mut().poll(cx);
        let (Poll::Pending, Some(deadline)) = (&result, deadline) else { return result };
        if timer.is_none() {
            timer.set(Some(sleep_until(deadline)));
        }
        let timer = timer.as_mut().as_pin_mut().map(|timer| timer.poll(cx));
        if timer == Some(Poll::Ready(())) { Poll::Ready(Err(HttpClientError::Timeout(what))) } else { result }
    })
    .await
}
