//! A handler that answers with an error.

use crate::web::context::Context;
use crate::web::error::{HttpError, Result};
use crate::web::handler::RequestHandler;
use crate::web::methods::Methods;
use crate::web::options::HandlerOptions;

/// Answers every request with one error status (Tornado's `ErrorHandler`).
///
/// ```
/// use squall::{Application, url, web::ErrorHandler};
///
/// let app = Application::new([url("/retired/.*", ErrorHandler::new(410))]);
/// ```
#[derive(Debug, Clone)]
pub struct ErrorHandler {
    status: u16,
}

impl ErrorHandler {
    /// With this status, from 400 to 599; another is reported when the application starts.
    pub fn new(status: u16) -> Self {
        Self { status }
    }
}

impl RequestHandler for ErrorHandler {
    const METHODS: Methods = Methods::ANY;
    const OPTIONS: HandlerOptions = HandlerOptions::new().xsrf_exempt();

    fn check(&self, _groups: &[Option<&str>]) -> Result<(), String> {
        match self.status {
            400..=599 => Ok(()),
            status => Err(format!("{status} is no status of an error")),
        }
    }

    async fn prepare(&mut self, _ctx: &Context) -> Result {
        Err(HttpError::new(self.status).into())
    }
}
