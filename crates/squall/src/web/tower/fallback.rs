//! Any tower service as a handler.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, Method, Request, Response, header};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tower_service::Service;

use super::body::{Piece, RequestBody};
use crate::httputil::{EntityTag, HttpServerRequest};
use crate::web::context::Context;
use crate::web::error::{HttpError, Result};
use crate::web::handler::RequestHandler;

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
/// them; trailers are left out. An error of the service is a 500. When the client leaves, the response's body is
/// dropped. Upgrades do not pass: a WebSocket belongs to [`ws`](crate::websocket::ws).
#[doc(alias = "WSGIContainer")]
pub struct FallbackHandler<S: Service<Request<RequestBody>>> {
    service: S,
    /// Where the pieces of the body go.
    body: Option<mpsc::Sender<Piece>>,
    /// The service at work on this request.
    response: Option<Responding<S>>,
}

type Responding<S> = Pin<
    Box<
        dyn Future<
            Output = Result<
                <S as Service<Request<RequestBody>>>::Response,
                <S as Service<Request<RequestBody>>>::Error,
            >,
        >,
    >,
>;

impl<S: Service<Request<RequestBody>>> FallbackHandler<S> {
    /// A handler that asks `service`.
    pub fn new(service: S) -> Self {
        Self { service, body: None, response: None }
    }
}

impl<S: Service<Request<RequestBody>> + Clone> Clone for FallbackHandler<S> {
    /// For the next request.
    fn clone(&self) -> Self {
        Self::new(self.service.clone())
    }
}

impl<S: Service<Request<RequestBody>>> fmt::Debug for FallbackHandler<S> {
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
    const DEFAULT_HEADERS: bool = false;
    const METHODS: &'static [&'static str] = &["*"];
    const STREAM_BODY: bool = true;

    async fn prepare(&mut self, ctx: &Context) -> Result {
        let request = ctx.request();
        let length = request.headers().get("Content-Length").and_then(|length| length.parse().ok());
        let body = if length.is_none_or(|length: u64| length == 0)
            && !request.headers().contains("Transfer-Encoding")
        {
            RequestBody::empty()
        } else {
            let (sender, body) = RequestBody::channel(length);
            self.body = Some(sender);
            body
        };
        let request = convert(request, body)?;
        let mut service = self.service.clone();
        self.response = Some(Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        }));
        Ok(())
    }

    async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        let (Some(body), Some(response)) = (&self.body, &mut self.response) else { return Ok(()) };
        // The service has to run for the piece to be taken.
        let response = tokio::select! {
            biased;
            response = response => response,
            sent = body.send(Piece::Data(chunk)) => {
                if sent.is_err() {
                    // The service wants no more; its answer decides.
                    self.body = None;
                }
                return Ok(());
            }
        };
        // An answer before the end of the body is the answer.
        self.response = None;
        relay(ctx, response).await
    }

    async fn other(&mut self, ctx: &Context) -> Result {
        let Some(mut response) = self.response.take() else { return Ok(()) };
        if let Some(body) = self.body.take() {
            tokio::select! {
                biased;
                response = &mut response => return relay(ctx, response).await,
                _ = body.send(Piece::End) => {}
            }
        }
        let response = tokio::select! {
            response = response => response,
            () = ctx.closed() => return Ok(()),
        };
        relay(ctx, response).await
    }

    /// The service's tag, or none.
    fn compute_etag(_ctx: &Context) -> Option<EntityTag> {
        None
    }
}

/// The request in the types of the `http` crate. The target is passed on as it was sent.
fn convert(request: &HttpServerRequest, body: RequestBody) -> Result<Request<RequestBody>> {
    let bad = |what| HttpError::refusal(400, what);
    let mut converted = Request::new(body);
    *converted.method_mut() = request.method().clone();
    *converted.version_mut() = request.version();
    *converted.uri_mut() = request.uri().parse().map_err(|_| bad("Invalid request target"))?;
    let headers = converted.headers_mut();
    for (name, value) in request.headers().iter() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("Invalid header name"))?;
        // As ISO-8859-1, which is how they came.
        let bytes: Vec<u8> = value.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect();
        let value = http::HeaderValue::from_bytes(&bytes).map_err(|_| bad("Invalid header value"))?;
        headers.append(name, value);
    }
    Ok(converted)
}

async fn relay<B, E>(ctx: &Context, response: Result<Response<B>, E>) -> Result
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let failed = |what: &str, error: Box<dyn Error + Send + Sync>| {
        HttpError::new(500).with_log_message(format!("{what}: {error}"))
    };
    let (head, body) = response.map_err(|error| failed("The service failed", error.into()))?.into_parts();
    if head.status.is_informational() {
        return Err(HttpError::new(500).with_log_message("The service wants to change the protocol").into());
    }
    write_head(ctx, head.status.as_u16(), &head.headers)?;
    if *ctx.method() == Method::HEAD || matches!(head.status.as_u16(), 204 | 304) {
        return ctx.flush().await;
    }
    let mut body = std::pin::pin!(body);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failed("The body of the service broke off", error.into()))?;
        let Ok(mut data) = frame.into_data() else { continue };
        ctx.write(data.copy_to_bytes(data.remaining()));
        // What is whole in one piece goes out in one, with its length.
        if !body.is_end_stream() {
            ctx.flush().await?;
        }
    }
    Ok(())
}

fn write_head(ctx: &Context, status: u16, headers: &HeaderMap) -> Result {
    for name in ["Server", "Content-Type", "Date"] {
        ctx.clear_header(name);
    }
    ctx.set_status(status);
    for (name, value) in headers {
        // The framing of the connection is not the service's business.
        if [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE].contains(name) {
            continue;
        }
        let text: String = value.as_bytes().iter().map(|&byte| char::from(byte)).collect();
        ctx.add_header(name.as_str(), text.as_str())?;
    }
    if !headers.contains_key(header::DATE) {
        ctx.set_header("Date", crate::httputil::format_timestamp(std::time::SystemTime::now()).as_str())?;
    }
    Ok(())
}
