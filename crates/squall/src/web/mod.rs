//! The web framework: applications, handlers and their context (Tornado's `tornado.web`).

mod application;
mod arguments;
mod context;
mod error;
mod execute;
mod handler;
mod proxy;
mod locale;
mod response;
mod route;
mod site;

pub use application::Application;
pub use context::Context;
pub use error::{BuildError, Error, Finish, HttpError, OrStatus, Result};
pub use handler::RequestHandler;
pub use proxy::{ProxyHandle, ReverseProxy, proxy};
pub use route::{
    RouteInfo, UrlSpec, any, delegate, delete, get, head, nest, options, patch, post, put, router, url,
};
pub use site::Site;
