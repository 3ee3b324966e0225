//! What serves the requests that no route matches.

use std::rc::Rc;

use crate::httputil::HttpServerConnectionDelegate;
use crate::web::application::Application;
use crate::web::handler::RequestHandler;
use crate::web::target::{Prototype, Target};

/// What can be an [`Application::fallback`]: a [`RequestHandler`], or a delegate that takes requests below that level.
///
/// `Kind` tells the two apart and is always inferred.
pub trait IntoFallback<Kind> {
    #[doc(hidden)]
    fn into_fallback(self) -> Fallback;
}

/// Made by [`IntoFallback`].
#[doc(hidden)]
pub struct Fallback(pub(in crate::web) FallbackTo);

pub(in crate::web) enum FallbackTo {
    Handler(Rc<dyn Target>),
    Delegate(Rc<dyn HttpServerConnectionDelegate>),
}

/// Marks handlers.
#[derive(Debug)]
pub enum ByHandler {}

/// Marks delegates.
#[derive(Debug)]
pub enum ByDelegate {}

impl<H: RequestHandler> IntoFallback<ByHandler> for H {
    fn into_fallback(self) -> Fallback {
        Fallback(FallbackTo::Handler(Rc::new(Prototype(self))))
    }
}

impl<D: HttpServerConnectionDelegate + 'static> IntoFallback<ByDelegate> for D {
    fn into_fallback(self) -> Fallback {
        Fallback(FallbackTo::Delegate(Rc::new(self)))
    }
}

impl Application {
    /// What serves requests that no route matches. Default: an error page with 404.
    ///
    /// A handler must not have path arguments.
    #[must_use]
    #[doc(alias = "default_handler_class")]
    pub fn fallback<Kind>(mut self, fallback: impl IntoFallback<Kind>) -> Self {
        self.settings.fallback = Some(fallback.into_fallback().0);
        self
    }

    /// [`fallback`](Self::fallback) with a handler, under Tornado's name.
    #[must_use]
    #[doc(alias = "default_handler_args")]
    pub fn default_handler(self, handler: impl RequestHandler) -> Self {
        self.fallback(handler)
    }
}
