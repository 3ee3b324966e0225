//! The web framework: applications, handlers and their context (Tornado's `tornado.web`).

mod application;
mod arguments;
mod context;
mod cors;
mod debug;
mod disconnected;
mod error;
mod error_handler;
mod execute;
mod fallback;
mod handler;
mod hooks;
mod locale;
mod proxy;
mod redirect;
mod response;
mod route;
mod settings;
mod site;
mod slash;
mod sse;
mod transforms;
mod user;

pub use application::Application;
pub use context::Context;
pub use cors::Cors;
pub use disconnected::Disconnected;
pub use error::{BuildError, Error, Finish, HttpError, OrStatus, Result};
pub use error_handler::ErrorHandler;
pub use fallback::IntoFallback;
pub use handler::RequestHandler;
pub use proxy::{ProxyHandle, ReverseProxy, proxy};
pub use redirect::RedirectHandler;
pub use route::{
    RouteInfo, UrlSpec, any, delegate, delete, get, head, nest, options, patch, post, put, router, url,
};
pub use site::Site;
pub use slash::TrailingSlash;
pub use sse::{Event, EventStream};
pub use transforms::{Compression, CompressionChoice, ContentCoding, OutputTransform};
