//! The one driver of a request, from its head to the end of its response, whatever the protocol.
//!
//! A protocol has a [`Carrier`] for each exchange, which takes the output and tells of the peer, and a [`BodySource`] for
//! a body that is to come. Everything between is here, once: the limits and deadlines of the body, its decompression, its
//! delivery no faster than it is taken, panics of the application, answers that nobody is left to give.
//!
//! [`start`] does what need not wait; [`work`] and [`receive`] wait for the rest.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::body_pace::BodyPace;
use super::delegate::{BodyKind, HttpMessageDelegate, HttpServerConnectionDelegate, Pending, Started};
use super::headers::HttpHeaders;
use super::inflate::Inflater;
use super::limits::ConnectionLimits;
use super::request::HttpServerRequest;
use super::trailers;
use crate::ioloop::log_panic;
use crate::log;

/// One exchange as its protocol carries it.
pub(crate) trait Carrier {
    /// Why a request is refused.
    type Refusal: From<BodyRefusal>;

    fn limits(&self) -> &ConnectionLimits;

    /// The limit on this body, which the application may have changed.
    fn max_body_size(&self) -> u64;

    /// Whether the response can still be written: it is not finished, aborted, or taken over.
    fn is_open(&self) -> bool;

    /// Whether no handle is left with which the response could be written.
    fn is_abandoned(&self) -> bool;

    /// The application waits: what it has written is to be on its way.
    fn push_out(&self);

    /// The response must not look complete.
    fn abort(&self);

    /// Answers a request that is not taken; a response that has begun must not look complete.
    fn refuse(&self, refusal: Self::Refusal);

    /// The body is about to be read: a client that waits to be told so (RFC 9110 §10.1.1) is.
    fn want_body(&self) {}

    /// How long the whole body may take from now on.
    fn set_body_timeout(&self, timeout: Option<Duration>);

    /// The body is waited for from now on. The source says [`BodyEvent::Late`] when this time is over, or that for the
    /// whole body; and the task is woken when the response is finished.
    fn begin_wait(&self, at_most: Option<Duration>);

    fn end_wait(&self);

    /// Whether the client seems to have left; it may still be there if it has only closed its sending side. Asked while
    /// [`gone`](Self::gone) is waited for.
    fn has_left(&self, cx: &mut Context<'_>) -> bool;

    /// Resolves when nobody waits for the response any longer. Whoever polls it is woken as well when the response is
    /// finished or abandoned.
    fn gone(&self) -> impl Future<Output = ()>;
}

/// Where the pieces of a request's body come from.
pub(crate) trait BodySource {
    type Refusal;

    /// What comes next.
    fn poll_next(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<BodyEvent, Self::Refusal>>;

    /// How many bytes have come since this was last asked, those of the framing included.
    fn take_received(&mut self) -> usize;
}

/// What comes of a body.
#[derive(Debug)]
pub(crate) enum BodyEvent {
    /// A piece, at most as long as was asked for; an empty one only at the end.
    Piece { data: Bytes, is_last: bool },
    /// The fields behind it, before the last piece is said to be that. How many there may be is the source's to check.
    Trailers(HttpHeaders),
    /// It did not come in time.
    Late,
    /// It broke off.
    Gone,
}

/// Why a body is not taken, whatever the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyRefusal {
    /// It is longer than the limit.
    TooLarge,
    /// It inflates to too much.
    Inflates,
    /// It does not decompress.
    Encoding,
    /// It did not arrive in time.
    Late,
    /// What stands behind it is malformed, or too much. (HTTP/1 has an error of its own.)
    #[cfg_attr(not(any(feature = "http2", feature = "tower")), expect(dead_code, reason = "nobody says it"))]
    Trailers,
}

/// A body that is to come.
pub(crate) struct Incoming<S> {
    pub(crate) kind: BodyKind,
    pub(crate) source: S,
    /// Of a compressed one.
    pub(crate) inflater: Option<Inflater>,
}

/// What is left to be done of an exchange.
pub(crate) enum Rest {
    /// For [`work`].
    Work(Pending<'static>),
    /// For [`receive`].
    Message(Box<dyn HttpMessageDelegate>),
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The response is finished, aborted, or taken over: the carrier knows.
    Over,
    /// The client left before its request was complete.
    Gone,
}

/// Why the rest of a request could not be had.
enum Failure<R> {
    Refused(R),
    Gone,
}

/// How the reading of a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    Whole,
    /// The response is over already, most likely before the end of the body.
    Answered,
}

/// Hands a request to the application, and gives what has to be waited for; `None` when the response is over.
#[inline]
pub(crate) fn start<C: Carrier>(
    carrier: &C,
    delegate: &dyn HttpServerConnectionDelegate,
    request: HttpServerRequest,
    body: BodyKind,
    cx: &mut Context<'_>,
) -> Option<Rest> {
    let started = match catch_unwind(AssertUnwindSafe(|| delegate.start_request(request, body))) {
        Ok(Started::Work(None)) => Ok(Poll::Ready(())),
        Ok(Started::Work(Some(mut work))) => match poll_first(&mut work, cx) {
            Ok(Poll::Pending) => return Some(Rest::Work(Some(work))),
            polled => polled,
        },
        Ok(Started::Handler(mut handler)) => match poll_first(&mut handler, cx) {
            Ok(Poll::Pending) => return Some(Rest::Work(Some(Box::pin(handler)))),
            polled => polled,
        },
        Ok(Started::Message(message)) => return Some(Rest::Message(message)),
        Err(payload) => Err(("request callback", payload)),
    };
    if let Err((what, payload)) = started {
        log_panic(what, &*payload);
        carrier.abort();
    }
    if carrier.is_open() { Some(Rest::Work(None)) } else { None }
}

/// Most work is done at once.
#[inline]
fn poll_first(
    work: &mut (impl Future<Output = ()> + Unpin),
    cx: &mut Context<'_>,
) -> Result<Poll<()>, (&'static str, Box<dyn Any + Send>)> {
    let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(work).poll(cx)));
    polled.map_err(|payload| ("request handler", payload))
}

/// Drives the application's work, and waits for the end of a response that somebody else writes.
pub(crate) async fn work<C: Carrier>(carrier: &C, work: Pending<'static>) -> End {
    if let Some(work) = work {
        drive(carrier, work).await;
    }
    answered(carrier).await;
    End::Over
}

/// Has a message receive its body, if there is one, and answer.
pub(crate) async fn receive<C, S>(
    carrier: &C,
    mut message: Box<dyn HttpMessageDelegate>,
    incoming: Incoming<S>,
) -> End
where
    C: Carrier,
    S: BodySource<Refusal = C::Refusal>,
{
    match receive_message(carrier, &mut *message, incoming).await {
        Ok(Received::Whole) => {
            let handler = guard(carrier, || message.finish()).flatten();
            work(carrier, handler).await
        }
        Ok(Received::Answered) => End::Over,
        Err(failure) => {
            let told = catch_unwind(AssertUnwindSafe(|| message.on_connection_close()));
            if let Err(payload) = told {
                log_panic("on_connection_close", &*payload);
            }
            match failure {
                Failure::Gone => End::Gone,
                Failure::Refused(refusal) => {
                    carrier.refuse(refusal);
                    End::Over
                }
            }
        }
    }
}

async fn receive_message<C, S>(
    carrier: &C,
    message: &mut dyn HttpMessageDelegate,
    incoming: Incoming<S>,
) -> Result<Received, Failure<C::Refusal>>
where
    C: Carrier,
    S: BodySource<Refusal = C::Refusal>,
{
    let has_body = incoming.kind != BodyKind::None;
    if has_body {
        // Before the application is asked, which may change it.
        carrier.set_body_timeout(carrier.limits().body_timeout);
    }
    if !hand_over(carrier, || message.headers_received()).await {
        return Ok(Received::Answered);
    }
    if !has_body {
        return Ok(Received::Whole);
    }
    let received = receive_body(carrier, message, incoming).await;
    carrier.set_body_timeout(None);
    received
}

/// Reads the body and hands it over in pieces.
async fn receive_body<C, S>(
    carrier: &C,
    message: &mut dyn HttpMessageDelegate,
    Incoming { kind, mut source, mut inflater }: Incoming<S>,
) -> Result<Received, Failure<C::Refusal>>
where
    C: Carrier,
    S: BodySource<Refusal = C::Refusal>,
{
    if !carrier.is_open() {
        return Ok(Received::Answered);
    }
    let limit =
        limit_of(carrier, kind, inflater.as_mut()).map_err(|refusal| Failure::Refused(refusal.into()))?;
    carrier.want_body();
    let mut pace = BodyPace::new(carrier.limits().body_stall_timeout);
    let mut seen = 0_u64;
    let mut trailer_fields = None;
    loop {
        let event = match next(carrier, message, &mut source, &mut pace).await {
            Some(event) => event.map_err(Failure::Refused)?,
            None => return Ok(Received::Answered),
        };
        let (data, is_last) = match event {
            BodyEvent::Piece { data, is_last } => (data, is_last),
            BodyEvent::Trailers(fields) => {
                trailer_fields = Some(trailers::allowed(&fields)).filter(|fields| !fields.is_empty());
                continue;
            }
            BodyEvent::Late => return Err(Failure::Refused(BodyRefusal::Late.into())),
            BodyEvent::Gone => return Err(Failure::Gone),
        };
        seen += data.len() as u64;
        if seen > limit {
            return Err(Failure::Refused(BodyRefusal::TooLarge.into()));
        }
        let delivered = match &mut inflater {
            Some(inflater) => deliver_inflated(carrier, message, inflater, &data, is_last).await,
            None => Ok(deliver(carrier, message, data).await),
        };
        if !delivered.map_err(|refusal| Failure::Refused(refusal.into()))? {
            return Ok(Received::Answered);
        }
        if is_last {
            break;
        }
    }
    // Behind all of the body, of which the inflater may have kept some until its end.
    if let Some(fields) = trailer_fields
        && !hand_over(carrier, || message.trailers_received(fields)).await
    {
        return Ok(Received::Answered);
    }
    Ok(Received::Whole)
}

/// How long the body may be, before it is inflated.
fn limit_of(
    carrier: &impl Carrier,
    kind: BodyKind,
    inflater: Option<&mut Inflater>,
) -> Result<u64, BodyRefusal> {
    let (limits, limit) = (carrier.limits(), carrier.max_body_size());
    if let BodyKind::Length(length) = kind
        && length > limit
    {
        return Err(BodyRefusal::TooLarge);
    }
    if let Some(inflater) = inflater {
        // A handler that says how much it takes of this body means what comes out.
        let of_server = limit == limits.max_body_size;
        inflater.set_limits(limit, if of_server { limits.max_decompressed_size } else { limit });
    }
    Ok(limit)
}

/// What comes next of the body; the application may go on while that is waited for. `None` when the response is over
/// before.
async fn next<C, S>(
    carrier: &C,
    message: &mut dyn HttpMessageDelegate,
    source: &mut S,
    pace: &mut BodyPace,
) -> Option<Result<BodyEvent, C::Refusal>>
where
    C: Carrier,
    S: BodySource<Refusal = C::Refusal>,
{
    let most = carrier.limits().chunk_size;
    if let Poll::Ready(event) = poll_fn(|cx| Poll::Ready(source.poll_next(cx, most))).await {
        return Some(event);
    }
    pace.received(source.take_received(), Duration::ZERO);
    carrier.push_out();
    let began = Instant::now();
    carrier.begin_wait(pace.left());
    let event = poll_fn(|cx| {
        if !carrier.is_open() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(event) = source.poll_next(cx, most) {
            return Poll::Ready(Some(event));
        }
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| message.poll_beside(cx))) {
            log_panic("request handler", &*payload);
            carrier.abort();
        }
        carrier.push_out();
        if carrier.is_open() { Poll::Pending } else { Poll::Ready(None) }
    })
    .await;
    carrier.end_wait();
    pace.received(source.take_received(), began.elapsed());
    event
}

/// Hands a piece over and waits until the next is wanted; false when the response is over.
async fn deliver<C: Carrier>(carrier: &C, message: &mut dyn HttpMessageDelegate, data: Bytes) -> bool {
    if !data.is_empty() {
        hand_over(carrier, || message.data_received(data)).await;
    }
    carrier.is_open()
}

async fn deliver_inflated<C: Carrier>(
    carrier: &C,
    message: &mut dyn HttpMessageDelegate,
    inflater: &mut Inflater,
    mut compressed: &[u8],
    is_last: bool,
) -> Result<bool, BodyRefusal> {
    let most = carrier.limits().chunk_size;
    while !compressed.is_empty() {
        let piece = inflater.next(&mut compressed, most)?;
        if !deliver(carrier, message, piece).await {
            return Ok(false);
        }
    }
    if is_last {
        loop {
            let rest = inflater.rest(most)?;
            if rest.is_empty() {
                break;
            }
            if !deliver(carrier, message, rest).await {
                return Ok(false);
            }
        }
        inflater.finish()?;
    }
    Ok(true)
}

/// Calls the application, unless it panics: that aborts the response.
fn guard<C: Carrier, R>(carrier: &C, call: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => Some(result),
        Err(payload) => {
            log_panic("request callback", &*payload);
            carrier.abort();
            None
        }
    }
}

/// Calls the application and drives what it gives to wait for; false when it panicked.
async fn hand_over<'a, C: Carrier>(carrier: &C, call: impl FnOnce() -> Pending<'a>) -> bool {
    match guard(carrier, call) {
        Some(Some(pending)) => drive(carrier, pending).await,
        Some(None) => true,
        None => false,
    }
}

/// Polls the application's work to its end; false when that was a panic. Output goes out whenever the work waits.
async fn drive<C: Carrier>(carrier: &C, mut work: Pin<Box<dyn Future<Output = ()> + '_>>) -> bool {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(Poll::Ready(())) => Poll::Ready(true),
        Ok(Poll::Pending) => {
            carrier.push_out();
            Poll::Pending
        }
        Err(payload) => {
            log_panic("request handler", &*payload);
            carrier.abort();
            Poll::Ready(false)
        }
    })
    .await
}

/// Waits until the response is over, or nobody waits for it any longer, or nobody is left who could write it.
async fn answered<C: Carrier>(carrier: &C) {
    if !carrier.is_open() {
        return;
    }
    let mut gone = pin!(carrier.gone());
    poll_fn(|cx| {
        if !carrier.is_open() {
            return Poll::Ready(());
        }
        carrier.push_out();
        let is_gone = gone.as_mut().poll(cx).is_ready();
        let is_abandoned = carrier.is_abandoned();
        // Where there is nobody to answer, that may be why nobody did.
        if is_abandoned && !is_gone && !carrier.has_left(cx) {
            tracing::error!(target: log::APPLICATION, "Request callback dropped its request without an answer");
        }
        if is_abandoned || is_gone {
            carrier.abort();
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
