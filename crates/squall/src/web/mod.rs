//! The web framework: applications, handlers and their context (Tornado's `tornado.web`).

mod application;
mod context;
mod exchange;
#[cfg(feature = "templates")]
mod pages;
#[cfg(feature = "client")]
mod proxy;
mod ready_made;
mod request;
mod response;
mod static_files;
#[cfg(feature = "tower")]
mod tower;
mod transforms;
#[cfg(not(all(feature = "client", feature = "locale", feature = "templates", feature = "websocket")))]
mod without;

// A room names another's files by these, whatever folder they are in.
use self::application::{
    error_handler, fallback, hooks, methods, options, route, route_table, routes, settings, site, slash,
    target,
};
use self::exchange::{access_log, around, cors, debug, execute, handler, receive, request_id, span};
#[cfg(feature = "templates")]
use self::pages::{render, template_handler, template_namespace, template_request, ui_module};
#[cfg(feature = "websocket")]
use self::ready_made::websocket;
use self::ready_made::{health, metrics, redirect};
#[cfg(feature = "locale")]
use self::request::locale;
use self::request::{arguments, body, extensions, multipart, negotiate, upload};
use self::response::{cookies, disconnected, https, signed_value, sse, xsrf};
#[cfg(not(feature = "locale"))]
use self::without::locale;
#[cfg(not(feature = "client"))]
use self::without::proxy;
#[cfg(not(feature = "templates"))]
use self::without::render;
#[cfg(not(feature = "websocket"))]
use self::without::websocket;
use crate::error;
pub use crate::error::{BuildError, Error, Finish, HttpError, OrStatus, Result};
pub use application::Application;
pub use around::{Next, concurrency_limit, timeout, timeout_with};
pub use context::Context;
pub use cors::Cors;
pub use disconnected::Disconnected;
pub use error_handler::ErrorHandler;
pub use fallback::IntoFallback;
pub use handler::RequestHandler;
pub use health::{Health, Ready, health, ready};
pub use https::Hsts;
pub use methods::Methods;
pub use metrics::{Metrics, metrics};
pub use multipart::{MultipartReader, ReceivedForm};
pub use negotiate::ContentCoding;
pub use options::HandlerOptions;
#[cfg(feature = "client")]
pub use proxy::{ProxyHandle, ReverseProxy, proxy};
pub use redirect::RedirectHandler;
pub use request_id::{RequestId, request_id};
pub use route::{
    UrlSpec, any, delegate, delete, get, head, nest, options, patch, post, put, router, rules, url,
};
pub use route_table::RouteInfo;
pub use signed_value::{
    CookieSecret, SignError, SignedVersion, create_signed_value, decode_signed_value, signature_key_version,
};
pub use site::Site;
pub use slash::TrailingSlash;
pub use sse::{Event, EventStream};
pub use static_files::{
    CACHE_MAX_AGE, Directory, Embedded, StaticContent, StaticFile, StaticFileHandler, StaticFiles, StaticUrl,
    Version,
};
#[cfg(feature = "tower")]
pub use tower::{AppService, FallbackHandler, RequestBody, RequestBodyError, ResponseBody, ServiceError};
pub use transforms::{Compression, CompressionChoice, OutputTransform};
#[cfg(feature = "templates")]
pub use ui_module::UiModule;
pub use upload::UploadedFile;
