//! Tower services as handlers, and applications as tower services (feature `tower`).

mod body;
mod exchange;
mod fallback;
mod frames;
mod service;

pub use body::{RequestBody, RequestBodyError};
pub use exchange::ResponseBody;
pub use fallback::FallbackHandler;
pub use service::{AppService, ServiceError};
