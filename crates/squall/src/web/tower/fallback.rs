//! Any tower service as a handler.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Buf;
use http::{HeaderMap, Method, Request, Response, header};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tower_service::Service;

use super::body::{Piece, RequestBody};
use crate::httputil::{EntityTag, HttpServerRequest, field_map};
use crate::web::context::Context;
use crate::web::disconnected::Disconnected;
use crate::web::error::{HttpError, Result};
use crate::web::handler::RequestHandler;
use crate::web::methods::Methods;
use crate::web::options::HandlerOptions;

/// So much of a body that the service does not want is read before the response is sent.
const DROPPED_FIRST: usize = 64 * 1024;
/// A client that has closed its side may still want the response: nobody can tell that from one that has gone, until
/// something is sent. So long it gets for the response to begin,
const PATIENCE_FOR_HEAD: Duration = Duration::from_secs(60);
/// and so long for the next piece of it.
const PATIENCE_FOR_PIECE: Duration = Duration::from_secs(2);

/// Answers requests with a tower service, such as an axum `Router` (Tornado's `FallbackHandler`, which takes a WSGI
/// application).
///
/// ```
/// use squall::web::FallbackHandler;
/// use squall::{Application, Context, get, url};
///
/// let router: axum::Router = axum::Router::new().route("/axum", axum::routing::get(|| async { "from axum" }));
/// let ours = get("/", async |ctx: &Context| { ctx.write("from squall"); Ok(()) });
/// let app = Application::new([ours, url("/.*", FallbackHandler::new(router))]);
/// # squall::IoLoop::current().run_sync(async {
/// # let app = squall::testing::serve(app);
/// # app.get("/").await.assert_text("from squall");
/// # app.get("/axum").await.assert_text("from axum");
/// # }, None).unwrap();
/// ```
///
/// Each request is served by a clone of the service. Bodies are streamed both ways, no faster than the other side takes
/// them, and at the same time: a response may depend on the rest of the request. Fields pass octet by octet, without
/// those of the connection (`Connection`, `Transfer-Encoding` and the like); trailers pass both ways, to an HTTP/1.1 client
/// if it takes them (`TE: trailers`), so that a gRPC service can be mounted (of which HTTP/2 is asked). What the service
/// sees as `Content-Length` is the length of the body it gets, so there is none of a body that
/// [`decompress_request`](crate::HttpServer::decompress_request) inflates.
///
/// An error of the service is a 500. When the client leaves, the response's body is dropped: at once where something
/// is being sent, else two seconds after the client has closed its side, since one that only says that its request is
/// complete closes in the same way. Otherwise a service may take as long as it likes: it is part of the program, which can
/// put a layer with a time limit around it. Upgrades do not pass: a WebSocket belongs to [`ws`](crate::websocket::ws).
#[doc(alias = "WSGIContainer")]
pub struct FallbackHandler<S>(S);

impl<S> FallbackHandler<S> {
    /// A handler that asks `service`.
    pub fn new(service: S) -> Self
    where
        S: Service<Request<RequestBody>>,
    {
        Self(service)
    }
}

impl<S: Clone> Clone for FallbackHandler<S> {
    /// For the next request.
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> fmt::Debug for FallbackHandler<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackHandler").finish_non_exhaustive()
    }
}

impl<S, B> RequestHandler for FallbackHandler<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    const METHODS: Methods = Methods::ANY;
    const OPTIONS: HandlerOptions = HandlerOptions::new().default_headers(false).pulls_body();

    async fn other(&mut self, ctx: &Context) -> Result {
        let incoming = ctx.request();
        if *incoming.method() == Method::CONNECT {
            return Err(HttpError::new(501).into());
        }
        let length = body_length(incoming)?;
        let (sender, body) = match length {
            BodyLength::None => (None, RequestBody::empty()),
            BodyLength::Unknown => split(RequestBody::channel(None)),
            BodyLength::Known(length) => split(RequestBody::channel(Some(length))),
        };
        let request = convert(incoming, length, body)?;
        let service = &mut self.0;
        let responding = async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        };
        let dropped = Cell::new(0);
        let serving = async {
            let response = beside_leaving(ctx, PATIENCE_FOR_HEAD, responding).await?;
            if sender.as_ref().is_some_and(mpsc::Sender::is_closed) && !expects_continue(ctx) {
                // After a response to a body that has not been read the connection cannot be used any more. A body that
                // is here already costs less than another connection.
                poll_fn(|_| match ctx.is_body_at_rest() || dropped.get() > DROPPED_FIRST {
                    true => Poll::Ready(()),
                    // `feed` goes on, and this is polled with it.
                    false => Poll::Pending,
                })
                .await;
            }
            relay(ctx, response).await
        };
        let feeding = async {
            match &sender {
                Some(sender) => feed(ctx, sender, &dropped).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            served = serving => served,
            left = feeding => left,
        }
    }

    /// The service's tag, or none.
    fn compute_etag(_ctx: &Context) -> Option<EntityTag> {
        None
    }
}

fn split((sender, body): (mpsc::Sender<Piece>, RequestBody)) -> (Option<mpsc::Sender<Piece>>, RequestBody) {
    (Some(sender), body)
}

/// Hands the body on, no faster than the service takes it; drops what it does not want. Resolves only when the client
/// leaves before the end.
async fn feed(ctx: &Context, sender: &mpsc::Sender<Piece>, dropped: &Cell<usize>) -> Result {
    loop {
        let place = sender.reserve().await;
        if place.is_err() && expects_continue(ctx) {
            // To ask for the next piece would be to tell the client to go on.
            return pending().await;
        }
        match (ctx.next_piece().await?, place) {
            (Some(piece), Ok(place)) => place.send(Piece::Data(piece)),
            (Some(piece), Err(_)) => dropped.set(dropped.get() + piece.len()),
            (None, place) => {
                if let Ok(place) = place {
                    let trailers =
                        ctx.request_trailers().and_then(|fields| field_map::to_trailers(fields).ok());
                    place.send(Piece::End(trailers));
                }
                return pending().await;
            }
        }
    }
}

fn expects_continue(ctx: &Context) -> bool {
    ctx.request().headers().contains("Expect")
}

/// What `work` gives, unless the client closes its side and `work` then takes longer than `patience`.
async fn beside_leaving<T>(ctx: &Context, patience: Duration, work: impl Future<Output = T>) -> Result<T> {
    let left = async {
        ctx.closed().await;
        sleep(patience).await;
    };
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = left => Err(Disconnected::gone().into()),
    }
}

/// What is known of a request's body.
#[derive(Clone, Copy)]
enum BodyLength {
    None,
    Known(u64),
    Unknown,
}

fn body_length(request: &HttpServerRequest) -> Result<BodyLength> {
    let headers = request.headers();
    let length = field_map::content_length(headers.list("Content-Length"))
        .map_err(|_| HttpError::refusal(400, "Invalid Content-Length"))?;
    // The server sets this when it inflates a body, and then nobody knows how long it becomes.
    let inflated = headers.contains("X-Consumed-Content-Encoding");
    Ok(match length {
        Some(0) => BodyLength::None,
        None if !headers.contains("Transfer-Encoding") => BodyLength::None,
        Some(length) if !inflated => BodyLength::Known(length),
        _ => BodyLength::Unknown,
    })
}

/// The request in the types of the `http` crate. The target is passed on as it was sent.
fn convert(
    request: &HttpServerRequest,
    length: BodyLength,
    body: RequestBody,
) -> Result<Request<RequestBody>> {
    let bad = |what| HttpError::refusal(400, what);
    let mut converted = Request::new(body);
    *converted.method_mut() = request.method().clone();
    *converted.version_mut() = request.version();
    *converted.uri_mut() = request.uri().parse().map_err(|_| bad("Invalid request target"))?;
    let declared = request.headers().contains("Content-Length");
    let length = match length {
        BodyLength::Known(length) => Some(length),
        BodyLength::None if declared => Some(0),
        BodyLength::None | BodyLength::Unknown => None,
    };
    *converted.headers_mut() =
        field_map::to_map(request.headers(), length).map_err(|_| bad("Invalid header"))?;
    Ok(converted)
}

async fn relay<B, E>(ctx: &Context, response: Result<Response<B>, E>) -> Result
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let failed = |what: &str, error: Box<dyn Error + Send + Sync>| {
        HttpError::new(500).log_message(format!("{what}: {error}"))
    };
    let (head, body) = response.map_err(|error| failed("The service failed", error.into()))?.into_parts();
    if head.status.is_informational() {
        return Err(HttpError::new(500).log_message("The service wants to change the protocol").into());
    }
    write_head(ctx, head.status.as_u16(), &head.headers)?;
    if *ctx.method() == Method::HEAD || matches!(head.status.as_u16(), 204 | 304) {
        // Now: when the response is finished it would get the length of the body that is not there.
        return ctx.flush_now().await;
    }
    let mut body = pin!(body);
    while let Some(frame) = next_frame(ctx, body.frame()).await? {
        let frame = frame.map_err(|error| failed("The body of the service broke off", error.into()))?;
        let mut data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                if let Ok(fields) = frame.into_trailers() {
                    if !ctx.headers_sent() {
                        // The service's head says what it wants to be said of them.
                        ctx.flush_now().await?;
                    }
                    ctx.pass_trailers(&field_map::from_trailers(&fields)?);
                    // They are the last frame, and not every body says so when it is asked for another.
                    return Ok(());
                }
                continue;
            }
        };
        ctx.write(data.copy_to_bytes(data.remaining()));
        // What is whole in one piece goes out in one, with its length.
        if !body.is_end_stream() {
            ctx.flush_now().await?;
        }
    }
    Ok(())
}

/// The next frame of a response. A head that would have to wait for it goes out first.
async fn next_frame<T>(ctx: &Context, frame: impl Future<Output = T>) -> Result<T> {
    let mut frame = pin!(frame);
    if !ctx.headers_sent() {
        let at_once = poll_fn(|cx| match frame.as_mut().poll(cx) {
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
            Poll::Pending => Poll::Ready(None),
        });
        if let Some(frame) = at_once.await {
            return Ok(frame);
        }
        ctx.flush_now().await?;
    }
    beside_leaving(ctx, PATIENCE_FOR_PIECE, frame).await
}

fn write_head(ctx: &Context, status: u16, headers: &HeaderMap) -> Result {
    for name in ["Server", "Content-Type", "Date"] {
        ctx.clear_header(name);
    }
    ctx.set_status(status);
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().map(http::HeaderValue::as_bytes);
    let length = field_map::content_length(lengths)
        .map_err(|_| HttpError::new(500).log_message("The service gave an invalid Content-Length"))?;
    ctx.update_headers(|own| field_map::add_response_fields(own, headers))?;
    if let Some(length) = length {
        ctx.set_header("Content-Length", length)?;
    }
    if !headers.contains_key(header::DATE) {
        ctx.set_header("Date", std::time::SystemTime::now())?;
    }
    Ok(())
}
