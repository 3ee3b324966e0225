//! Tower services as handlers, and applications as tower services (feature `tower`).

mod body;
mod fallback;
mod service;

pub use body::{RequestBody, RequestBodyError};
pub use fallback::FallbackHandler;
pub use service::{AppService, ResponseBody, ServiceError};
