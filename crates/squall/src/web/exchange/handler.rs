//! What answers requests: handlers as types.

use bytes::Bytes;

use crate::httputil::EntityTag;
use crate::web::context::Context;
use crate::web::error::{Error, Result};
use crate::web::methods::Methods;
use crate::web::options::HandlerOptions;

/// One HTTP resource (Tornado's `RequestHandler`).
///
/// A fresh clone of the value in the routing table serves each request, so its fields are per-request state that
/// starts as what Tornado passes to `initialize`. Usually the impl is put under [`#[handler]`](crate::handler),
/// which fills in the two constants and gives the methods typed path arguments. By hand it reads:
///
/// ```
/// use squall::web::Methods;
/// use squall::{Context, RequestHandler, Result};
///
/// #[derive(Clone)]
/// struct Story;
///
/// impl RequestHandler for Story {
///     const METHODS: Methods = Methods::of(&["GET"]);
///     const PATH_ARGS: &'static [&'static str] = &["id"];
///
///     async fn get(&mut self, ctx: &Context) -> Result {
///         let id: u64 = ctx.path_arg("id")?;
///         ctx.write(format!("story {id}"));
///         Ok(())
///     }
/// }
/// ```
///
/// The order of calls is Tornado's: [`Site::prepare`](crate::web::Site::prepare), `prepare`, for streamed bodies
/// `data_received` for each piece, then the method, then `on_finish`. The first that returns an error or finishes the
/// response ends it. A response that is not finished by then is finished.
///
/// `HEAD` is answered by [`get`](Self::get) without the body when only that is defined, `OPTIONS` with 204 and
/// `Allow`. A handler is not cancelled when the client leaves: race against [`Context::closed`] where it matters.
/// A panic is a 500, logged; the loop goes on.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    label = "not a `RequestHandler`",
    note = "write `#[handler] impl RequestHandler for {Self} {{ .. }}` and derive `Clone`; a function goes into `get(pattern, async |ctx: &Context| ..)`"
)]
pub trait RequestHandler: Clone + 'static {
    /// The methods that this resource answers. [`Methods::ANY`] sends every method to [`other`](Self::other).
    const METHODS: Methods;
    /// The names of the path arguments; checked against the pattern when the application starts.
    const PATH_ARGS: &'static [&'static str] = &[];
    /// What is chosen for its routes, unless they choose otherwise ([`UrlSpec::options`](crate::web::UrlSpec::options)):
    /// `#[handler(stream_body, authenticated, ..)]`.
    const OPTIONS: HandlerOptions = HandlerOptions::new();
    /// [`#[handler]`](crate::handler) has filled in [`METHODS`](Self::METHODS). Without it none is a mistake, which is
    /// reported when the application starts.
    #[doc(hidden)]
    const HAS_ATTRIBUTE: bool = false;

    /// Checks this value against the names of its route's groups when the application starts.
    ///
    /// # Errors
    /// What is wrong; it is reported with the line of the route.
    fn check(&self, _groups: &[Option<&str>]) -> Result<(), String> {
        Ok(())
    }

    /// Called before the method, whatever it is; when it finishes the response the method is not called.
    ///
    /// A client that asks first (`Expect: 100-continue`) whether it may send the body of a method that is not in
    /// [`METHODS`](Self::METHODS) gets the answer at once, so there is no body then.
    ///
    /// # Errors
    /// An error is answered as one of the method.
    async fn prepare(&mut self, _ctx: &Context) -> Result {
        Ok(())
    }

    /// Answers `GET`, and `HEAD` unless that is defined.
    ///
    /// # Errors
    /// The error is answered through [`write_error`](Self::write_error); so with all methods.
    async fn get(&mut self, ctx: &Context) -> Result {
        Err(ctx.method_not_allowed())
    }

    /// Answers `HEAD`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    async fn head(&mut self, ctx: &Context) -> Result {
        Err(ctx.method_not_allowed())
    }

    /// Answers `POST`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    async fn post(&mut self, ctx: &Context) -> Result {
        Err(ctx.method_not_allowed())
    }

    /// Answers `DELETE`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    async fn delete(&mut self, ctx: &Context) -> Result {
        Err(ctx.method_not_allowed())
    }

    /// Answers `PATCH`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    async fn patch(&mut self, ctx: &Context) -> Result {
        Err(ctx.method_not_allowed())
    }

    /// Answers `PUT`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    async fn put(&mut self, ctx: &Context) -> Result {
        Err(ctx.method_not_allowed())
    }

    /// Answers `OPTIONS`; if it is not in [`METHODS`](Self::METHODS) the answer is 204 with `Allow`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    async fn options(&mut self, ctx: &Context) -> Result {
        Err(ctx.method_not_allowed())
    }

    /// Answers any method of [`METHODS`](Self::METHODS) beyond those above (`#[method("PROPFIND")]` in
    /// [`#[handler]`](crate::handler)).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    async fn other(&mut self, ctx: &Context) -> Result {
        Err(ctx.method_not_allowed())
    }

    /// A piece of the body, when it [is streamed](HandlerOptions::stream_body). The next piece is not read from the
    /// socket until this returns.
    ///
    /// # Errors
    /// An error is answered; the rest of the body is not read and the connection closes.
    async fn data_received(&mut self, _ctx: &Context, _chunk: Bytes) -> Result {
        Ok(())
    }

    /// Writes the page of an error into the cleared response; status and headers of the error are set.
    /// The default asks [`Site::write_error`](crate::web::Site::write_error).
    ///
    /// # Errors
    /// An error here is logged and the plain page is sent.
    async fn write_error(&mut self, ctx: &Context, error: &Error) -> Result {
        ctx.write_site_error(error).await
    }

    /// The entity tag of the finished body; `None` for none. The default is a fast hash of it.
    ///
    /// Asked only for a `GET` or `HEAD` with status 200 whose response was not flushed in parts.
    fn compute_etag(ctx: &Context) -> Option<EntityTag> {
        Some(ctx.hash_of_body())
    }

    /// The client left in the middle of a streamed body; the method will not be called.
    fn on_connection_close(&mut self, _ctx: &Context) {}

    /// The response was handed to the connection. Nothing more can be written.
    fn on_finish(&mut self, _ctx: &Context) {}
}
