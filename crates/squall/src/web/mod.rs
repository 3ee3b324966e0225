//! The web framework: applications, handlers and their context (Tornado's `tornado.web`).

mod application;
mod arguments;
mod around;
mod body;
mod context;
mod cookies;
mod cors;
mod debug;
mod disconnected;
mod error_handler;
mod execute;
mod extensions;
mod fallback;
mod handler;
mod health;
mod hooks;
mod https;
mod locale;
mod methods;
mod metrics;
mod multipart;
mod negotiate;
mod options;
mod proxy;
mod receive;
mod redirect;
mod render;
mod request_id;
mod response;
mod route;
mod route_table;
mod routes;
mod send;
mod send_file;
mod settings;
mod signed_value;
mod site;
mod slash;
mod span;
mod sse;
mod static_files;
mod target;
mod template_namespace;
#[cfg(feature = "tower")]
mod tower;
mod transforms;
mod ui_module;
mod upload;
mod user;
mod websocket;
mod xsrf;

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
pub use multipart::{MultipartForm, MultipartReader};
pub use negotiate::ContentCoding;
pub use options::HandlerOptions;
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
pub use ui_module::UiModule;
pub use upload::UploadedFile;
