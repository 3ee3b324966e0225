//! The web framework: applications, handlers and their context (Tornado's `tornado.web`).

mod application;
mod arguments;
mod context;
mod debug;
mod error;
mod error_handler;
mod execute;
mod fallback;
mod handler;
mod locale;
mod proxy;
mod redirect;
mod response;
mod route;
mod send_file;
mod settings;
mod site;
mod slash;
mod static_files;
mod user;

pub use application::Application;
pub use context::Context;
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
pub use static_files::{
    CACHE_MAX_AGE, Directory, Embedded, StaticContent, StaticFile, StaticFileHandler, StaticFiles, StaticUrl,
    Version,
};
