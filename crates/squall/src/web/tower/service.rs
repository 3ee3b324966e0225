//! An application as a tower service.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use tower_service::Service;

use super::exchange::{Caller, EndOnDrop, Exchange, ResponseBody};
use super::frames::Frames;
use crate::httpserver::{IntoDelegate, ServerError};
use crate::httputil::exchange::{self, Carrier, Incoming, Rest};
use crate::httputil::inflate::Inflater;
use crate::httputil::{
    BodyKind, ConnectionLimits, HttpConnection, HttpHeaders, HttpServerConnectionDelegate, HttpServerRequest,
    HttpTransport, RequestContext, RequestHead, Scheme, field_map, host,
};
use crate::ioloop::{catch_panic, log_panic};
use crate::web::Application;

/// An application as a tower service: what [`Application::into_service`] makes. Clones are the same application.
///
/// Like everything here it stays on its thread: it is not `Send`, and has to be called on a current-thread runtime where
/// `spawn_local` works ([`IoLoop`](crate::IoLoop), tokio's `LocalSet` or `LocalRuntime`). The address of the client is
/// taken from an extension of type [`SocketAddr`] or [`IpAddr`] of the request, if there is one.
#[derive(Clone)]
pub struct AppService {
    delegate: Rc<dyn HttpServerConnectionDelegate>,
    limits: Rc<ConnectionLimits>,
}

impl AppService {
    /// Decompress request bodies that come with `Content-Encoding: gzip`, within the limits of
    /// [`HttpServer::decompress_request`](crate::HttpServer::decompress_request). Default: off.
    #[must_use]
    pub fn decompress_request(mut self, on: bool) -> Self {
        Rc::make_mut(&mut self.limits).decompress = on;
        self
    }
}

impl Application {
    /// The application as a tower service, for servers other than [`HttpServer`](crate::HttpServer) (feature `tower`).
    ///
    /// ```
    /// use http_body_util::{BodyExt, Full};
    /// use squall::{Application, Bytes, Context, get};
    /// use tower::ServiceExt;
    ///
    /// # squall::IoLoop::current().run_sync(async {
    /// let app = Application::new([get("/", async |ctx: &Context| { ctx.write("Hello"); Ok(()) })]);
    /// let service = app.into_service().unwrap();
    /// let request = http::Request::get("/").header("Host", "x").body(Full::new(Bytes::new())).unwrap();
    /// let response = service.oneshot(request).await.unwrap();
    /// assert_eq!(response.status(), 200);
    /// assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "Hello");
    /// # }, None).unwrap();
    /// ```
    ///
    /// # Errors
    /// What is wrong with the application.
    pub fn into_service(self) -> Result<AppService, ServerError> {
        // How long a body may take is for the outer server to say.
        let limits =
            ConnectionLimits { body_timeout: None, body_stall_timeout: None, ..ConnectionLimits::default() };
        Ok(AppService { delegate: self.into_delegate()?, limits: Rc::new(limits) })
    }
}

impl fmt::Debug for AppService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppService").finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for AppService
where
    B: Body + 'static,
    B::Error: fmt::Display,
{
    type Response = Response<ResponseBody>;
    type Error = ServiceError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, ServiceError>>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ServiceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let delegate = Rc::clone(&self.delegate);
        let exchange = Rc::new(Exchange::new(Rc::clone(&self.limits)));
        let caller = Caller(Rc::clone(&exchange));
        tokio::task::spawn_local(async move {
            if let Err(payload) = catch_panic(drive(delegate, exchange, request)).await {
                log_panic("request callback", &*payload);
            }
        });
        Box::pin(async move {
            let head = poll_fn(|cx| caller.0.poll_head(cx)).await.ok_or(ServiceError(()))?;
            Ok(head.map(|()| ResponseBody::new(caller)))
        })
    }
}

/// The application gave no response, as after a panic below its handlers.
#[derive(Debug)]
pub struct ServiceError(pub(super) ());

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the application gave no response")
    }
}

impl Error for ServiceError {}

/// Runs one request through the application.
async fn drive<B>(delegate: Rc<dyn HttpServerConnectionDelegate>, exchange: Rc<Exchange>, request: Request<B>)
where
    B: Body,
    B::Error: fmt::Display,
{
    // However this ends, the caller is told.
    let _end = EndOnDrop(Rc::clone(&exchange));
    let (parts, body) = request.into_parts();
    let has_body = !body.is_end_stream();
    let (mut head, length) = match convert(&parts, &body) {
        Ok(converted) => converted,
        Err(what) => {
            tracing::info!(target: crate::log::GENERAL, "a request for the application is refused: {what}");
            return exchange.answer(StatusCode::BAD_REQUEST);
        }
    };
    exchange.is_head.set(head.method == http::Method::HEAD);
    let kind = match length {
        _ if !has_body => BodyKind::None,
        Some(length) => BodyKind::Length(length),
        None => BodyKind::Unknown,
    };
    let inflates = has_body && exchange.limits().decompress;
    let inflater = if inflates { Inflater::for_request(&mut head) } else { None };
    let connection = HttpConnection::new(Rc::clone(&exchange) as Rc<dyn HttpTransport>, 0);
    let mut request = Some(HttpServerRequest::new(head, context(&parts), connection, Instant::now()));
    let started = poll_fn(|cx| {
        let request = request.take().expect("a request is started once");
        Poll::Ready(exchange::start(&*exchange, &*delegate, request, kind, cx))
    });
    match started.await {
        None => {}
        Some(Rest::Work(work)) => {
            exchange::work(&*exchange, work).await;
        }
        Some(Rest::Message(message)) => {
            let body = pin!(body);
            let source = Frames::new(body, &exchange);
            exchange::receive(&*exchange, message, Incoming { kind, source, inflater }).await;
        }
    }
}

/// Who asks, and how.
fn context(parts: &http::request::Parts) -> RequestContext {
    let address = parts.extensions.get::<SocketAddr>().map(SocketAddr::ip);
    RequestContext {
        remote_ip: address
            .or_else(|| parts.extensions.get::<IpAddr>().copied())
            .unwrap_or(RequestContext::default().remote_ip),
        remote_port: parts.extensions.get::<SocketAddr>().map(SocketAddr::port),
        protocol: parts.uri.scheme_str().and_then(Scheme::named).unwrap_or_default(),
    }
}

/// The head as HTTP/1.1 would have brought it, whatever version did; and how long the body is, if that is known.
///
/// The authority of the target, which HTTP/2 has instead of a `Host`, takes precedence over one (RFC 9112 §3.2.2, RFC
/// 9113 §8.3.1).
fn convert(
    parts: &http::request::Parts,
    body: &impl Body,
) -> Result<(RequestHead, Option<u64>), &'static str> {
    let lengths = parts.headers.get_all(header::CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let told = field_map::content_length(lengths).map_err(|_| "Invalid Content-Length")?;
    let length = match told {
        None if body.is_end_stream() => Some(0),
        None => body.size_hint().exact(),
        told => told,
    };
    let mut headers = HttpHeaders::new();
    let framed = match length {
        Some(0) if told.is_none() => Ok(()),
        Some(length) => headers.set("Content-Length", length),
        None => headers.set("Transfer-Encoding", "chunked"),
    };
    framed
        .and_then(|()| field_map::add_request_fields(&mut headers, &parts.headers))
        .map_err(|_| "Invalid header")?;
    if let Some(authority) = parts.uri.authority() {
        let authority = authority.as_str();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        headers.set("Host", host).map_err(|_| "Invalid authority")?;
    }
    if headers.list("Host").count() > 1 || !headers.get_bytes("Host").is_none_or(host::is_valid) {
        return Err("Invalid Host");
    }
    let target = match (parts.uri.path_and_query(), parts.uri.authority()) {
        (Some(target), _) => target.to_string(),
        (None, Some(authority)) => authority.to_string(),
        (None, None) => "/".to_owned(),
    };
    Ok((RequestHead { method: parts.method.clone(), target, version: parts.version, headers }, length))
}
