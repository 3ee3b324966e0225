//! One request through the proxy: its body up, the response down, both at once if need be.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Version};

use super::super::Error;
use super::super::context::Context;
use super::super::disconnected::Disconnected;
use super::super::error::{HttpError, Result};
use super::forward::{OnInterim, send};
use super::onward::OnwardRequest;
use super::upload::{Fed, Feed, Sent, begin};
use super::websocket::Handshake;
use super::{Shared, append, headers, tunnel};
use crate::http1::response::ResponseHead;
use crate::httpclient::{HttpClientError, StreamingResponse, TimedOut};
use crate::httputil::{HttpHeaders, ResponseStartLine};
use crate::log;

/// How long a client that has closed its sending side is taken to wait for the head of a response: it cannot be told
/// from one that has left.
const HALF_CLOSED_HEAD: Duration = Duration::from_secs(3);
/// And how long for the next piece of the body.
const HALF_CLOSED_BODY: Duration = Duration::from_secs(30);

/// Takes a request to an upstream and its response back.
pub(super) async fn pass(shared: &Rc<Shared>, ctx: &Context, mut onward: OnwardRequest<'_>) -> Result {
    let handshake = onward.websocket.then(|| Handshake::begin(ctx.request(), &mut onward.headers));
    onward.tunnel = handshake.as_ref().is_some_and(Handshake::fits_http2);
    let html = shared.append_html.as_ref().map(|html| html());
    if html.is_some() {
        append::ask(&mut onward.headers);
    }
    let (body, feed) = begin(ctx, onward.body).await?;
    let mut upload = Upload { fed: if feed.is_some() { Fed::Going } else { Fed::Whole }, feed };
    let mut response = head(shared, ctx, &mut onward, &body, &mut upload).await?;
    if response.is_upgraded() {
        return change_protocol(shared, ctx, response, handshake.as_ref());
    }
    relay(shared, ctx, &mut response, &mut upload, html).await
}

/// What the client still sends, driven beside everything else that the request waits for.
struct Upload<'a> {
    feed: Option<Feed<'a>>,
    fed: Fed,
}

impl Upload<'_> {
    /// Resolves when there is no more to take from the client, once.
    async fn step(&mut self) -> Result {
        let Some(feed) = &mut self.feed else { return std::future::pending().await };
        let fed = feed.as_mut().await;
        self.feed = None;
        self.fed = fed?;
        Ok(())
    }

    /// Does `work`, and meanwhile goes on with the body.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                stepped = self.step() => stepped?,
            }
        }
    }
}

/// Sends the request and waits for the head of the response, for the time that is allowed from the end of the request.
async fn head(
    shared: &Shared,
    ctx: &Context,
    onward: &mut OnwardRequest<'_>,
    body: &Sent,
    upload: &mut Upload<'_>,
) -> Result<StreamingResponse> {
    let websocket = onward.websocket;
    let mut answering = pin!(send(shared, onward, body, interim(ctx)));
    let mut too_long = pin!(sleep(shared.response_timeout));
    let mut left = pin!(left(ctx, HALF_CLOSED_HEAD));
    loop {
        tokio::select! {
            biased;
            answered = &mut answering => return answered.map_err(|error| refusal(&error, websocket)),
            stepped = upload.step() => stepped?,
            () = &mut too_long, if upload.fed != Fed::Going => {
                return Err(gateway_error(504, "the upstream server takes too long", "no response", websocket));
            }
            // Its request to the upstream goes with it.
            () = &mut left => return Err(Disconnected::gone().into()),
        }
    }
}

/// Resolves after this time, counted from the first poll.
async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Resolves when the client has closed its sending side and then nothing came for it for so long. One of HTTP/2 that gives
/// its stream up says so.
async fn left(ctx: &Context, patience: Duration) {
    ctx.closed().await;
    if ctx.request().version() != Version::HTTP_2 {
        tokio::time::sleep(patience).await;
    }
}

/// Hands on a response that is HTTP, with `html` behind a page.
async fn relay(
    shared: &Shared,
    ctx: &Context,
    response: &mut StreamingResponse,
    upload: &mut Upload<'_>,
    html: Option<Bytes>,
) -> Result {
    let html = set_head(ctx, response, upload, html)?;
    if *ctx.method() == Method::HEAD || matches!(response.status(), 204 | 304) {
        return ctx.finish_now();
    }
    loop {
        match next(shared, ctx, response, upload).await? {
            Ok(Some(piece)) => {
                ctx.write(piece);
                // What is the last goes out with the end.
                if !response.is_at_its_end() {
                    flush(ctx, response, upload).await?;
                }
            }
            Ok(None) => {
                if let Some(html) = html {
                    ctx.write(html);
                }
                if let Some(trailers) = response.trailers() {
                    ctx.pass_trailers(trailers);
                    ctx.flush_now().await?;
                }
                return ctx.finish_now();
            }
            Err(error) if ctx.headers_sent() => return Err(cut_off(ctx, &error)),
            Err(error) => return Err(refusal(&error, false)),
        }
    }
}

/// Gives back what is to be written behind the body.
fn set_head(
    ctx: &Context,
    response: &StreamingResponse,
    upload: &Upload<'_>,
    html: Option<Bytes>,
) -> Result<Option<Bytes>> {
    // The rest of the request is not read; what follows it could not be found. In HTTP/2 other streams have their own frames.
    let is_unwanted = upload.fed == Fed::Unwanted || (upload.fed == Fed::Going && !response.is_uploading());
    let came = response.headers();
    ctx.relay_head(response.status(), response.reason(), |own| {
        // RFC 9110 §6.6.1: who forwards a response without a date adds one.
        let date = if came.contains("Date") { None } else { own.get("Date").map(str::to_owned) };
        headers::of_response(own, response.status(), came, response.version());
        if ctx.request().accepts_trailers() && !own.contains("Content-Length") {
            own.add_some(came, |name, _| name == "Trailer");
        }
        let html = html.filter(|_| append::prepare(response.status(), own));
        if is_unwanted && ctx.request().version() != Version::HTTP_2 {
            own.add("Connection", "close")?;
        }
        if let Some(date) = date {
            own.add("Date", date)?;
        }
        Ok(html)
    })
}

/// The next piece of the response. The head goes out before one that is not there yet.
async fn next(
    shared: &Shared,
    ctx: &Context,
    response: &mut StreamingResponse,
    upload: &mut Upload<'_>,
) -> Result<Result<Option<Bytes>, HttpClientError>> {
    {
        let mut chunk = pin!(response.chunk());
        if let Poll::Ready(piece) = poll_fn(|cx| Poll::Ready(chunk.as_mut().poll(cx))).await {
            return Ok(piece);
        }
    }
    if !ctx.headers_sent() {
        flush(ctx, response, upload).await?;
    }
    let mut too_quiet = pin!(sleep(shared.read_timeout));
    let mut left = pin!(left(ctx, HALF_CLOSED_BODY));
    loop {
        tokio::select! {
            biased;
            piece = response.chunk() => return Ok(piece),
            stepped = upload.step() => stepped?,
            // While the client sends, the upstream may have nothing to say; how long it may take is the server's limit.
            () = &mut too_quiet, if upload.fed != Fed::Going => {
                return Ok(Err(HttpClientError::Timeout(TimedOut::Reading)));
            }
            () = &mut left => return Err(Disconnected::gone().into()),
        }
    }
}

/// Waits for the client to take what was written, without making the upstream wait for the request.
async fn flush(ctx: &Context, response: &mut StreamingResponse, upload: &mut Upload<'_>) -> Result {
    let flushing = async {
        tokio::select! {
            biased;
            flushed = ctx.flush_now() => flushed,
            never = response.keep_uploading() => match never {},
        }
    };
    upload.beside(flushing).await?
}

/// Passes interim responses on, to clients that know of them. A 100 is not where the client waits for one: it gets this
/// server's own.
fn interim(ctx: &Context) -> Option<OnInterim> {
    if ctx.request().version() == Version::HTTP_10 {
        return None;
    }
    let answers_expect = ctx.request().headers().list_bytes("Expect").any(headers::is_100_continue);
    let connection = ctx.request().connection().clone();
    Some(Rc::new(move |head: &ResponseHead| {
        if head.status != 100 || !answers_expect {
            let start = ResponseStartLine { status: head.status, reason: &head.reason };
            let mut onward = HttpHeaders::new();
            headers::of_response(&mut onward, head.status, &head.headers, head.version);
            // Without a client there is nobody to tell.
            let _ = connection.write_interim(start, &onward);
        }
    }))
}

/// Hands on the agreement to go on with WebSocket, and then bytes.
fn change_protocol(
    shared: &Shared,
    ctx: &Context,
    response: StreamingResponse,
    handshake: Option<&Handshake>,
) -> Result {
    let what = "the upstream server changes the protocol";
    let failed = |why| Err(gateway_error(502, what, why, handshake.is_some()));
    let Some(handshake) = handshake else { return failed("to one that was not asked for") };
    let mut onward = HttpHeaders::new();
    headers::of_response(&mut onward, 101, response.headers(), response.version());
    if let Err(why) = handshake.agree(response.headers(), response.version(), &mut onward) {
        return failed(why);
    }
    let reason = match response.status() {
        101 => response.reason().to_owned(),
        _ => "Switching Protocols".to_owned(),
    };
    let Some(upstream) = response.into_upgraded() else { return failed("without a connection") };
    let client = match ctx.open_tunnel(&onward) {
        Some(tunnel) => tunnel?,
        None => {
            let start = ResponseStartLine { status: 101, reason: &reason };
            ctx.request().connection().write_interim(start, &onward)?;
            ctx.detach()?
        }
    };
    let write_timeout = ctx.request().connection().write_timeout();
    let limits = tunnel::Limits { write: write_timeout, idle: shared.tunnel_timeout };
    let place = ctx.core().tunnels().enter();
    tokio::task::spawn_local(tunnel::run(client, upstream, limits, place));
    Ok(())
}

fn refusal(error: &HttpClientError, close: bool) -> Error {
    let (status, what) = verdict(error);
    gateway_error(status, what, &error.to_string(), close)
}

/// What comes of an error once the head is out: the connection is cut, so that what was sent does not look complete, and
/// this is the line in the log.
fn cut_off(ctx: &Context, error: &HttpClientError) -> Error {
    let (_, what) = verdict(error);
    let request = ctx.request();
    let ip = request.remote_ip();
    tracing::warn!(target: log::GENERAL, "{} {} ({ip}): cut off: {what}: {error}", request.method(), request.uri());
    Disconnected::cut_off().into()
}

fn verdict(error: &HttpClientError) -> (u16, &'static str) {
    match error {
        error if error.is_connect() && error.is_timeout() => {
            (504, "the upstream server cannot be reached in time")
        }
        error if error.is_connect() => (502, "the upstream server cannot be reached"),
        HttpClientError::Timeout(_) => (504, "the upstream server takes too long"),
        HttpClientError::Closed(_) => (502, "the upstream server broke off before the end of its response"),
        HttpClientError::Protocol(_) => (502, "the upstream server does not speak HTTP as it should"),
        // A host or a target that HTTP/1.1 takes and the upstream's HTTP/2 has no words for.
        HttpClientError::Request(_) => (400, "the request cannot be passed on"),
        HttpClientError::Body(_) => (502, "the body of the request did not come to the upstream server"),
        _ => (502, "the request was not passed on"),
    }
}

/// A client that asked to change the protocol may go on in the other one, which would be read as requests: `close`.
fn gateway_error(status: u16, what: &'static str, cause: &str, close: bool) -> Error {
    let error = HttpError::new(status).log_message(format!("{what}: {cause}"));
    if close { error.header("Connection", "close").into() } else { error.into() }
}
