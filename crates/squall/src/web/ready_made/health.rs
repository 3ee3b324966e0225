//! Answers for those who watch a server: load balancers, orchestrators, monitors.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use crate::log;
use crate::web::context::Context;
use crate::web::error::Result;
use crate::web::handler::RequestHandler;
use crate::web::methods::Methods;

/// A handler that answers 200 and `ok` as long as the process does anything at all: for a liveness probe.
///
/// ```
/// use squall::web::{health, ready};
/// use squall::{Application, url};
///
/// # let app =
/// Application::new([url("/healthz", health()), url("/readyz", ready())])
/// # ; drop(app);
/// ```
pub fn health() -> Health {
    Health
}

/// A handler that answers 200 and `ready`, and 503 from the moment the server was asked to end: for a readiness probe, so
/// that nobody is sent here any more. [`HttpServer::drain_delay`](crate::HttpServer::drain_delay) leaves time for that.
pub fn ready() -> Ready {
    Ready { checks: Vec::new() }
}

/// Made by [`health`].
#[derive(Debug, Clone)]
pub struct Health;

/// Made by [`ready`].
#[derive(Clone)]
pub struct Ready {
    checks: Vec<(&'static str, Check)>,
}

type Check = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = Result>>>>;

impl Ready {
    /// Asks this too, each time: it is ready only when `check` finds no error. What is wrong is logged, and the client
    /// told the name alone.
    ///
    /// ```
    /// # use squall::{HttpError, Result};
    /// # async fn ping_database() -> Result { Ok(()) }
    /// squall::web::ready().check("database", || ping_database());
    /// ```
    #[must_use]
    pub fn check<F>(mut self, name: &'static str, check: impl Fn() -> F + 'static) -> Self
    where
        F: Future<Output = Result> + 'static,
    {
        self.checks.push((name, Rc::new(move || Box::pin(check()))));
        self
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.checks.iter().map(|(name, _)| name);
        f.debug_struct("Ready").field("checks", &names.collect::<Vec<_>>()).finish()
    }
}

impl RequestHandler for Health {
    const METHODS: Methods = Methods::of(&["GET"]);

    async fn get(&mut self, ctx: &Context) -> Result {
        answer(ctx, 200, "ok")
    }
}

impl RequestHandler for Ready {
    const METHODS: Methods = Methods::of(&["GET"]);

    async fn get(&mut self, ctx: &Context) -> Result {
        if ctx.is_shutting_down() {
            return answer(ctx, 503, "shutting down");
        }
        for (name, check) in &self.checks {
            if let Err(error) = check().await {
                tracing::warn!(target: log::GENERAL, "Not ready: {name}: {error}");
                return answer(ctx, 503, name);
            }
        }
        answer(ctx, 200, "ready")
    }
}

fn answer(ctx: &Context, status: u16, text: &str) -> Result {
    ctx.set_status(status);
    ctx.set_header("Content-Type", "text/plain; charset=UTF-8")?;
    ctx.set_header("Cache-Control", "no-store")?;
    ctx.write(text);
    Ok(())
}
