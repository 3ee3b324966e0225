//! Bodies on their way: the request's out, the response's in.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use super::decode::Decoder;
use super::error::{HttpClientError, TimedOut};
use super::exchange::Upload;
use super::http2::{Arriving, Sink};
use super::pool::Lease;
use crate::http1::body::{BodyDecoder, BodyLength};
use crate::http1::encode::BodyEncoder;
use crate::http1::response::{ResponseBody as Length, ResponseFacts};
use crate::httputil::{HttpHeaders, HttpOutputError, trailers};
use crate::iostream::{IoStream, Stalled, StreamClosedError, StreamError};

/// Takes the pieces of a request's body from its [producer](super::HttpRequest::body_producer).
///
/// Cheap to clone. Useless once the producer has returned.
#[derive(Clone)]
pub struct BodyWriter {
    way: Way,
    encoder: Rc<Cell<BodyEncoder>>,
    fault: Rc<Cell<Option<Fault>>>,
    /// How long the server may take nothing.
    patience: Option<Duration>,
    trailers: Rc<RefCell<Option<HttpHeaders>>>,
}

/// Why a body will not be whole.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It is longer than announced.
    Overrun,
    /// The server takes nothing of it.
    Stalled,
    /// The server takes no more of it.
    Closed,
}

impl BodyWriter {
    pub(super) fn new(way: Way, length: Option<u64>, patience: Option<Duration>) -> Self {
        let unknown = match &way {
            Way::Http1(_) => BodyEncoder::Chunked,
            Way::Http2(_) => BodyEncoder::UntilClose,
        };
        let encoder = Rc::new(Cell::new(length.map_or(unknown, BodyEncoder::Length)));
        Self { way, encoder, fault: Rc::default(), patience, trailers: Rc::default() }
    }

    /// Sends these fields behind the body (RFC 9110 §6.5), when the producer returns; `Trailer` among the request's headers
    /// announces them. Those that may not be there, such as `Content-Length` or `Authorization`, are left out, and so are, in
    /// HTTP/1.1, all of a body whose `Content-Length` the request tells.
    pub fn set_trailers(&self, trailers: HttpHeaders) {
        self.trailers.replace(Some(trailers));
    }

    /// Sends a piece and waits until the kernel has it, or in HTTP/2 until the server has room for it, so that a slow server
    /// slows the producer down.
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
        match self.way.write(framed.into(), self.patience).await {
            Ok(sent) => {
                if sent.is_err() {
                    self.fault.set(Some(Fault::Closed));
                }
                sent
            }
            Err(Stalled) => {
                self.fault.set(Some(Fault::Stalled));
                self.way.abort();
                Err(StreamClosedError::default().into())
            }
        }
    }

    /// The producer has returned, with this.
    pub(super) async fn finish(&self, produced: Result<(), Box<dyn Error>>) -> Result<(), HttpClientError> {
        match self.fault.get() {
            Some(Fault::Stalled) => return Err(HttpClientError::Timeout(TimedOut::Sending)),
            // The producer has heard of it here first. What there is of a response is worth more.
            Some(Fault::Closed) => return Err(HttpClientError::Closed(None)),
            Some(Fault::Overrun) if produced.is_ok() => {
                return Err(HttpClientError::Request(
                    "the body is longer than its Content-Length".to_owned(),
                ));
            }
            _ => produced.map_err(HttpClientError::Body)?,
        }
        let mut end = Vec::new();
        let trailers = self.trailers.take().unwrap_or_default();
        match self.encoder.get().finish_with(&mut end, &trailers) {
            Ok(()) => match self.way.finish_with(end.into(), &trailers, self.patience).await {
                Ok(sent) => sent,
                Err(Stalled) => {
                    self.way.abort();
                    Err(HttpClientError::Timeout(TimedOut::Sending))
                }
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

/// Where the bytes of a request's body go.
#[derive(Clone)]
pub(super) enum Way {
    /// Framed, onto the connection.
    Http1(IoStream),
    #[cfg_attr(not(feature = "http2"), expect(dead_code, reason = "as with the feature"))]
    Http2(Sink),
}

impl Way {
    /// Sends bytes, and waits until they are taken, for as long as some of them are within each `patience`.
    async fn write(
        &self,
        bytes: Bytes,
        patience: Option<Duration>,
    ) -> Result<Result<(), StreamError>, Stalled> {
        match self {
            Self::Http1(stream) => stream.taken_within(patience, stream.write_bytes(bytes)).await,
            Self::Http2(sink) => {
                let ended = |_| StreamClosedError::default().into();
                sink.write(bytes, patience).await.map(|sent| sent.map_err(ended)).map_err(|_| Stalled)
            }
        }
    }

    /// As [`finish`](Self::finish), with trailers where they are no part of the bytes.
    async fn finish_with(
        &self,
        last: Bytes,
        trailers: &HttpHeaders,
        patience: Option<Duration>,
    ) -> Result<Result<(), HttpClientError>, Stalled> {
        if let Self::Http2(sink) = self {
            sink.set_trailers(trailers);
        }
        self.finish(last, patience).await
    }

    /// Sends the last bytes of a body, which may be none.
    pub(super) async fn finish(
        &self,
        last: Bytes,
        patience: Option<Duration>,
    ) -> Result<Result<(), HttpClientError>, Stalled> {
        match self {
            Self::Http1(_) if last.is_empty() => Ok(Ok(())),
            Self::Http1(stream) => {
                let sent = stream.taken_within(patience, stream.write_bytes(last)).await?;
                Ok(sent.map_err(HttpClientError::from))
            }
            Self::Http2(sink) => {
                // Whatever it is, the other half of the exchange knows it better.
                let ended = |_| HttpClientError::Closed(None);
                sink.finish(last, patience).await.map(|sent| sent.map_err(ended)).map_err(|_| Stalled)
            }
        }
    }

    fn abort(&self) {
        match self {
            Self::Http1(stream) => stream.abort(),
            Self::Http2(sink) => sink.reset(),
        }
    }
}

/// The most bytes of one piece before decompression.
const PIECE: usize = 64 * 1024;

/// How a response goes on behind its head.
pub(super) enum Rest {
    Http1(Lease, ResponseFacts),
    Http2(Arriving),
}

impl Rest {
    /// From now on the connection, or its stream, holds the slot of its request.
    pub(super) fn hold(&mut self, permit: Option<OwnedSemaphorePermit>) {
        match self {
            Self::Http1(lease, _) => lease.hold(permit),
            Self::Http2(arriving) => arriving.hold(permit),
        }
    }

    pub(super) fn is_tunnel(&self) -> bool {
        matches!(self, Self::Http2(arriving) if arriving.is_tunnel())
    }
}

/// The body of a response, read from its connection piece by piece.
pub(super) struct ResponseBody {
    source: Source,
    /// The rest of the request's body, which goes up while this comes down.
    upload: Option<Upload>,
    decoder: Option<Box<Decoder>>,
    /// Compressed bytes that wait for the decoder.
    compressed: Bytes,
    /// So many bytes may yet come, decompressed.
    left: u64,
    deadline: Option<Instant>,
    /// What stood behind it.
    trailers: Option<Box<HttpHeaders>>,
}

/// Where the body comes from, and what is held for as long as it does.
enum Source {
    Http1 {
        lease: Lease,
        framing: Framing,
        keep_alive: bool,
    },
    Http2(Arriving),
    /// There is none: the protocol is another one.
    Upgraded(Rest),
    /// It has ended.
    Nothing,
}

/// More fields behind a body than this are an error.
const MOST_TRAILERS: usize = 1_000;

enum Framing {
    Framed(BodyDecoder),
    /// So many bytes may yet come as they are sent: nothing may come of them when they are decompressed.
    UntilClose(u64),
}

impl ResponseBody {
    /// # Errors
    /// When the body is announced to be too large.
    pub(super) fn new(
        rest: Rest,
        upload: Option<Upload>,
        decoder: Option<Box<Decoder>>,
        max_body_size: u64,
        deadline: Option<Instant>,
    ) -> Result<Self, HttpClientError> {
        let (source, is_empty) = match rest {
            Rest::Http1(lease, facts) => {
                let framing = match facts.body {
                    Length::Framed(length) => Framing::Framed(BodyDecoder::new(length, max_body_size)?),
                    Length::UntilClose => Framing::UntilClose(max_body_size),
                };
                let source = Source::Http1 { lease, framing, keep_alive: facts.keep_alive };
                (source, facts.body == Length::Framed(BodyLength::Empty))
            }
            Rest::Http2(arriving) => {
                let is_empty = arriving.begin(max_body_size)?;
                (Source::Http2(arriving), is_empty)
            }
        };
        let mut body = Self {
            source,
            upload,
            decoder,
            compressed: Bytes::new(),
            left: max_body_size,
            deadline,
            trailers: None,
        };
        if is_empty {
            body.decoder = None;
            body.end(true);
        }
        Ok(body)
    }

    /// After a 101, or a 2xx to who asked for a tunnel: no body follows, but another protocol.
    pub(super) fn upgraded(rest: Rest) -> Self {
        Self {
            source: Source::Upgraded(rest),
            upload: None,
            decoder: None,
            compressed: Bytes::new(),
            left: 0,
            deadline: None,
            trailers: None,
        }
    }

    pub(super) fn is_upgraded(&self) -> bool {
        matches!(self.source, Source::Upgraded(_))
    }

    /// The connection, or its tunnel, for whoever speaks what follows.
    pub(super) fn into_upgraded(mut self) -> Option<IoStream> {
        match std::mem::replace(&mut self.source, Source::Nothing) {
            Source::Upgraded(Rest::Http1(lease, _)) => Some(lease.stream().clone()),
            Source::Upgraded(Rest::Http2(arriving)) => arriving.into_tunnel(),
            Source::Http1 { .. } | Source::Http2(_) | Source::Nothing => None,
        }
    }

    /// Whether there are no more pieces to come.
    pub(super) fn is_at_its_end(&self) -> bool {
        matches!(self.source, Source::Nothing) && self.decoder.is_none()
    }

    /// What stood behind the body, once its end has been read.
    pub(super) fn trailers(&self) -> Option<&HttpHeaders> {
        self.trailers.as_deref().filter(|trailers| !trailers.is_empty())
    }

    pub(super) fn take_trailers(&mut self) -> Option<Box<HttpHeaders>> {
        self.trailers.take().filter(|trailers| !trailers.is_empty())
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpClientError> {
        let result = within(self.deadline, TimedOut::Request, pin!(self.next())).await;
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
        match &self.source {
            Source::Http1 { lease, .. } => {
                let stream = lease.stream().clone();
                self.read_framed(&stream).await
            }
            Source::Http2(_) => poll_fn(|cx| self.poll_arriving(cx)).await,
            Source::Upgraded(_) | Source::Nothing => Ok(None),
        }
    }

    fn poll_arriving(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, HttpClientError>> {
        let Source::Http2(arriving) = &mut self.source else { return Poll::Ready(Ok(None)) };
        if let Poll::Ready(piece) = arriving.poll_piece(cx, PIECE) {
            let piece = piece?;
            if piece.is_none() {
                let fields = arriving.take_trailers();
                self.trailers = fields.map(|fields| Box::new(trailers::allowed(&fields)));
                self.end(true);
            }
            return Poll::Ready(Ok(piece));
        }
        if let Poll::Ready(Err(error)) = self.poll_upload(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }

    async fn read_framed(&mut self, stream: &IoStream) -> Result<Option<Bytes>, HttpClientError> {
        loop {
            let Source::Http1 { framing, .. } = &mut self.source else { return Ok(None) };
            let taken = {
                let mut buffer = stream.read_buffer();
                match framing {
                    Framing::Framed(decoder) => {
                        let step = decoder.decode(buffer.as_slice(), PIECE)?;
                        buffer.consume(step.data.start);
                        let piece = buffer.take(step.data.len());
                        buffer.consume(step.consumed - step.data.end);
                        if step.done {
                            let fields = decoder.take_trailers(MOST_TRAILERS)?;
                            self.trailers = fields.map(|fields| Box::new(trailers::allowed(&fields)));
                        }
                        (piece, step.done)
                    }
                    Framing::UntilClose(left) => {
                        let available = buffer.len().min(PIECE);
                        *left = left.checked_sub(available as u64).ok_or(HttpClientError::BodyTooLarge)?;
                        (buffer.take(available), false)
                    }
                }
            };
            let is_framed = matches!(framing, Framing::Framed(_));
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
            match received.await? {
                Ok(1..) => {}
                Ok(0) if !is_framed && stream.error().is_none() => {
                    self.end(false);
                    return Ok(None);
                }
                Ok(0) => return Err(HttpClientError::Closed(None)),
                Err(error) => return Err(HttpClientError::closed_by(error)),
            }
        }
    }

    /// Sends on what is left of the request's body; ready when nothing is.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HttpClientError>> {
        let Some(upload) = &mut self.upload else { return Poll::Ready(Ok(())) };
        let sent = ready!(upload.as_mut().poll(cx));
        self.upload = None;
        if let Source::Http1 { keep_alive, .. } = &mut self.source {
            *keep_alive &= sent.is_ok();
        }
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
        if let Source::Http1 { lease, keep_alive: true, .. } =
            std::mem::replace(&mut self.source, Source::Nothing)
            && complete
            && uploaded
        {
            lease.give_back();
        }
    }
}

/// Runs `work` within a deadline. What is ready at once, as most pieces of a body are, costs no timer. It is pinned by the
/// caller, since a future that was given another would hold it twice.
pub(super) async fn within<T>(
    deadline: Option<Instant>,
    what: TimedOut,
    mut work: Pin<&mut impl Future<Output = Result<T, HttpClientError>>>,
) -> Result<T, HttpClientError> {
    let mut timer = pin!(None);
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
