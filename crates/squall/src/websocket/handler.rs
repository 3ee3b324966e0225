//! The server: handlers, their routes, and upgrading a request.

use std::any::type_name;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use http::{Method, Version};

use crate::httputil::{Detached, Shutdown};
use crate::ioloop::{Place, at};
use crate::log;
use crate::netutil::spawn_here;
use crate::web::{Context, Error, Methods, RequestHandler, Result, UrlSpec, get, url};
use crate::websocket::connection::driver::{Events, Failed, Task, run};
use crate::websocket::connection::outgoing::WebSocketClosedError;
use crate::websocket::connection::set::SocketSet;
use crate::websocket::connection::socket::{Parts, WebSocket};
use crate::websocket::connection::stream::WebSocketStream;
use crate::websocket::machine::extension::{Agreed, CompressionOptions};
use crate::websocket::machine::handshake::{
    Asker, Refusal, accept_key, asker, check_key, check_upgrade, check_version, subprotocols,
};
use crate::websocket::machine::message::Message;
use crate::websocket::machine::options::WebSocketOptions;
use crate::websocket::machine::protocol::{Decoder, Role};

/// One WebSocket resource (Tornado's `WebSocketHandler`).
///
/// A fresh clone of the value in the routing table serves each connection, so its fields are per-connection state. The
/// order of calls: `prepare` with the request, as for any handler, where it can still be answered in another way; then
/// the questions about the handshake; then `open`, and `on_message` for each message, of which the next is not read before
/// this returns; at last `on_close`, exactly once, however the connection ends.
///
/// What of the request is needed later (path arguments, the user) is kept in fields by `prepare`: the request is
/// dropped after the upgrade, so that an idle connection stays small. [`#[handler]`](crate::handler) parses the path
/// arguments to the types of `prepare`'s parameters; one that does not parse is a 404.
///
/// ```
/// # use squall::websocket::{Message, WebSocket, WebSocketHandler, ws};
/// # use squall::{Application, Context, Result, handler};
/// #[derive(Clone, Default)]
/// struct Room {
///     number: u32,
/// }
///
/// #[handler]
/// impl WebSocketHandler for Room {
///     async fn prepare(&mut self, _ctx: &Context, number: u32) -> Result {
///         self.number = number;
///         Ok(())
///     }
///
///     async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
///         ws.write_message(format!("room {}: {} bytes", self.number, message.len())).await
///     }
/// }
/// # fn make_app() -> Application {
/// Application::new([ws("/rooms/([0-9]+)", Room::default())])
/// # }
/// ```
///
/// An error or a panic in `open`, `on_message`, `on_ping` or `on_pong` is logged and closes the connection with 1011; that
/// the peer has left ([`WebSocketClosedError`]) is not worth a line.
pub trait WebSocketHandler: Clone + 'static {
    /// The names of the path arguments, as in [`RequestHandler::PATH_ARGS`].
    const PATH_ARGS: &'static [&'static str] = &[];

    /// Called with the request before anything else. When it finishes the response or returns an error there is no
    /// upgrade. Headers that it sets go out with the 101.
    ///
    /// # Errors
    /// Answered as with any handler.
    async fn prepare(&mut self, _ctx: &Context) -> Result {
        Ok(())
    }

    /// Whether pages of another origin may connect. Asked only when the browser says that the page is not one of this
    /// host; a refusal is a 403. Default: no.
    ///
    /// To let in a whole domain compare the origin's host with the end of its name *including the dot*. Cookies are
    /// sent with cross-origin connections.
    fn check_origin(&self, _ctx: &Context, _origin: &str) -> bool {
        false
    }

    /// Chooses one of the subprotocols that the client offers (none, if `offered` is empty). Default: none of them.
    fn select_subprotocol(&mut self, _ctx: &Context, _offered: &[&str]) -> Option<String> {
        None
    }

    /// How to compress messages, for clients that can. Default: not at all, which costs the least.
    #[doc(alias = "get_compression_options")]
    fn compression_options(&self, _ctx: &Context) -> Option<CompressionOptions> {
        None
    }

    /// Limits, pings and the queue. Default: those of the [`Application`](crate::Application).
    #[doc(alias = "ping_interval")]
    #[doc(alias = "max_message_size")]
    fn options(&self, _ctx: &Context, defaults: WebSocketOptions) -> WebSocketOptions {
        defaults
    }

    /// The connection is open. No message is delivered before this returns.
    ///
    /// # Errors
    /// See above.
    async fn open(&mut self, _ws: &WebSocket) -> Result {
        Ok(())
    }

    /// A message has come. The next is not read before this returns.
    ///
    /// # Errors
    /// See above.
    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result;

    /// A ping has come; it has been answered.
    ///
    /// # Errors
    /// See above.
    async fn on_ping(&mut self, _ws: &WebSocket, _data: Bytes) -> Result {
        Ok(())
    }

    /// A pong has come.
    ///
    /// # Errors
    /// See above.
    async fn on_pong(&mut self, _ws: &WebSocket, _data: Bytes) -> Result {
        Ok(())
    }

    /// The connection has ended; [`close_code`](WebSocket::close_code) and [`close_reason`](WebSocket::close_reason) are
    /// the peer's.
    ///
    /// # Errors
    /// Logged.
    async fn on_close(&mut self, _ws: &WebSocket) -> Result {
        Ok(())
    }
}

/// A route to a WebSocket handler, as [`url()`] is one to an HTTP handler.
#[track_caller]
pub fn ws<H: WebSocketHandler>(pattern: impl Into<String>, handler: H) -> UrlSpec {
    url(pattern, Endpoint(handler))
}

/// A route to a function that serves a WebSocket as a stream of messages:
///
/// ```
/// # use squall::websocket::{WebSocketStream, websocket};
/// # use squall::{Application, Context, Result};
/// # fn make_app() -> Application {
/// let shout = websocket("/shout/{name}", async |ctx: &Context, ws: &mut WebSocketStream| {
///     let name = ctx.path_arg_str("name")?;
///     while let Some(message) = ws.recv().await {
///         ws.write_message(format!("{name}: {}", message.as_text().unwrap_or("?").to_uppercase())).await?;
///     }
///     Ok(())
/// });
/// Application::new([shout])
/// # }
/// ```
///
/// The connection is closed when the function returns, with 1000, or 1011 after an error. The request is kept while it
/// runs, which costs a few hundred bytes; [`upgrade`] and [`ws`] can do without.
#[track_caller]
pub fn websocket<F>(pattern: impl Into<String>, function: F) -> UrlSpec
where
    F: AsyncFn(&Context, &mut WebSocketStream) -> Result + 'static,
{
    get(pattern, async move |ctx: &Context| {
        let Some(mut stream) = upgrade(ctx, None)? else { return Ok(()) };
        let served = function(ctx, &mut stream).await;
        stream.close(if served.is_ok() { 1000 } else { 1011 }, "");
        served.or_else(|error| if is_closed(&error) { Ok(()) } else { Err(error) })
    })
}

/// Upgrades the request of any handler of `GET`; `None` when it was answered with the error that it deserves instead.
/// Only pages of this host are let in.
///
/// The connection goes on when the handler returns: give the stream to a task. The limits are those of the application.
///
/// ```
/// # use squall::websocket::upgrade;
/// # use squall::{Application, Context, Result, get};
/// # fn make_app() -> Application {
/// let echo = get("/echo", async |ctx: &Context| {
///     let Some(mut ws) = upgrade(ctx, None)? else { return Ok(()) };
///     tokio::task::spawn_local(async move {
///         while let Some(message) = ws.recv().await {
///             if ws.write_message(message).await.is_err() {
///                 break;
///             }
///         }
///     });
///     Ok(())
/// });
/// Application::new([echo])
/// # }
/// ```
///
/// # Errors
/// When the response is finished already, or the connection cannot be taken over, as in a tower service.
pub fn upgrade(ctx: &Context, compression: Option<CompressionOptions>) -> Result<Option<WebSocketStream>> {
    if *ctx.method() != Method::GET {
        return Err(ctx.method_not_allowed());
    }
    let key = match check(ctx, |_| false) {
        Ok(key) => key,
        Err(refusal) => return refuse(ctx, refusal).map(|()| None),
    };
    let options = ctx.websockets().options;
    let (socket, decoder) = accept(ctx, key, None, compression, options)?;
    Ok(Some(WebSocketStream::start(socket, decoder, &ctx.websockets().set)))
}

/// What the sockets of an application share.
pub(crate) struct WebSockets {
    pub(super) set: Rc<SocketSet>,
    pub(super) options: WebSocketOptions,
}

impl WebSockets {
    pub(crate) fn new(options: WebSocketOptions) -> Self {
        Self { set: SocketSet::new(()), options }
    }

    /// The server goes away.
    pub(crate) fn leave(&self, shutdown: &Shutdown) {
        self.set.leave(shutdown.window());
        shutdown.wait_for(Rc::clone(&self.set) as Rc<dyn Detached>);
    }
}

/// A WebSocket handler as what answers the request for it.
#[derive(Clone)]
struct Endpoint<H>(H);

impl<H: WebSocketHandler> RequestHandler for Endpoint<H> {
    const METHODS: Methods = Methods::of(&["GET"]);
    const PATH_ARGS: &'static [&'static str] = H::PATH_ARGS;

    async fn prepare(&mut self, ctx: &Context) -> Result {
        self.0.prepare(ctx).await
    }

    async fn get(&mut self, ctx: &Context) -> Result {
        if *ctx.method() != Method::GET {
            return Err(ctx.method_not_allowed());
        }
        let handler = &mut self.0;
        let key = match check(ctx, |origin| handler.check_origin(ctx, origin)) {
            Ok(key) => key,
            Err(refusal) => return refuse(ctx, refusal),
        };
        let offered: Vec<&str> = subprotocols(ctx.request().headers()).collect();
        let subprotocol = handler.select_subprotocol(ctx, &offered);
        if let Some(chosen) = subprotocol.as_deref().filter(|chosen| !offered.contains(chosen)) {
            return Err(NotOffered(chosen.to_owned()).into());
        }
        let compression = handler.compression_options(ctx);
        let options = handler.options(ctx, ctx.websockets().options);
        let (socket, decoder) = accept(ctx, key, subprotocol, compression, options)?;
        let request = ctx.request();
        let summary = format!("{} {} ({})", request.method(), request.uri(), request.remote_ip());
        let place = ctx.websockets().set.register(socket.clone());
        let events = Callbacks { handler: handler.clone(), summary: summary.into() };
        spawn_here(run(Task { socket, decoder, events, place }));
        Ok(())
    }
}

/// The application's mistake.
#[derive(Debug)]
struct NotOffered(String);

impl std::fmt::Display for NotOffered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "select_subprotocol chose {:?}, which the client has not offered", self.0)
    }
}

impl std::error::Error for NotOffered {}

/// Whether the request may be upgraded, in Tornado's order; gives the key, which HTTP/2 has none of.
fn check(ctx: &Context, check_origin: impl FnOnce(&str) -> bool) -> Result<Option<&str>, Refusal> {
    let headers = ctx.request().headers();
    check_upgrade(headers, ctx.request().version() >= Version::HTTP_11)?;
    let allowed = match asker(headers) {
        Asker::Allowed => true,
        Asker::Ask(origin) => check_origin(origin),
        Asker::Refused => false,
    };
    if !allowed {
        return Err(Refusal::Origin);
    }
    if ctx.request().version() > Version::HTTP_11 {
        return check_version(headers).map(|()| None);
    }
    check_key(headers).map(Some)
}

fn refuse(ctx: &Context, refusal: Refusal) -> Result {
    tracing::debug!(target: log::GENERAL, "{refusal:?}: {}", refusal.text());
    ctx.set_status(refusal.status());
    if refusal == Refusal::Version {
        ctx.set_header("Sec-WebSocket-Version", "13")?;
    }
    ctx.write(refusal.text());
    Ok(())
}

/// Agrees and takes the connection over, or the stream of it.
fn accept(
    ctx: &Context,
    key: Option<&str>,
    subprotocol: Option<String>,
    compression: Option<CompressionOptions>,
    options: WebSocketOptions,
) -> Result<(WebSocket, Decoder)> {
    let offers = ctx.request().headers().joined("Sec-WebSocket-Extensions");
    let agreed = compression.and_then(|compression| compression.accept(offers.as_deref()?));
    if let Some(key) = key {
        ctx.set_header("Upgrade", "websocket")?;
        ctx.set_header("Connection", "Upgrade")?;
        ctx.set_header("Sec-WebSocket-Accept", accept_key(key))?;
    }
    if let Some(subprotocol) = &subprotocol {
        ctx.set_header("Sec-WebSocket-Protocol", subprotocol)?;
    }
    if let Some((_, answer)) = &agreed {
        ctx.set_header("Sec-WebSocket-Extensions", answer)?;
    }
    let stream = ctx.switch_protocols()?;
    let (deflater, inflater) = agreed.map(|(agreed, _)| Agreed::codecs(&agreed, Role::Server)).unzip();
    let parts = Parts { stream, role: Role::Server, options, deflater, subprotocol };
    let decoder = Decoder::new(Role::Server, options.max_message_size, inflater);
    Ok((WebSocket::new(parts, &ctx.websockets().set), decoder))
}

/// A handler as what a connection calls.
struct Callbacks<H> {
    handler: H,
    /// The request, for the log.
    summary: Box<str>,
}

impl<H: WebSocketHandler> Callbacks<H> {
    fn checked(&self, result: Result) -> Result<(), Failed> {
        result.map_err(|error| {
            let summary = &self.summary;
            match error.location() {
                _ if is_closed(&error) => {}
                Some(at) => tracing::error!(
                    target: log::APPLICATION,
                    "Uncaught exception {summary}: {error} (at {}:{})", at.file(), at.line()
                ),
                None => tracing::error!(target: log::APPLICATION, "Uncaught exception {summary}: {error}"),
            }
            Failed
        })
    }
}

impl<H: WebSocketHandler> Events for Callbacks<H> {
    async fn open(&mut self, socket: &WebSocket) -> Result<(), Failed> {
        let result = named::<H, _>(self.handler.open(socket)).await;
        self.checked(result)
    }

    async fn message(&mut self, socket: &WebSocket, message: Message) -> Result<(), Failed> {
        let result = named::<H, _>(self.handler.on_message(socket, message)).await;
        self.checked(result)
    }

    async fn ping(&mut self, socket: &WebSocket, data: Bytes) -> Result<(), Failed> {
        let result = self.handler.on_ping(socket, data).await;
        self.checked(result)
    }

    async fn pong(&mut self, socket: &WebSocket, data: Bytes) -> Result<(), Failed> {
        let result = self.handler.on_pong(socket, data).await;
        self.checked(result)
    }

    async fn closed(&mut self, socket: &WebSocket) {
        let result = self.handler.on_close(socket).await;
        let _ = self.checked(result);
    }
}

/// A future of a handler that is named when it holds the loop.
async fn named<H, F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| at(|| Place::handler_of(type_name::<H>()), || future.as_mut().poll(cx))).await
}

/// The peer has left while something was being written, which is nobody's mistake.
fn is_closed(error: &Error) -> bool {
    error.downcast_ref::<WebSocketClosedError>().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Echo;

    impl WebSocketHandler for Echo {
        async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
            ws.write_message(message).await
        }
    }

    #[test]
    fn an_idle_connection_is_small() {
        fn size<F>(_: impl Fn(Task<Callbacks<Echo>>) -> F) -> usize {
            size_of::<F>()
        }
        let run = size(run::<Callbacks<Echo>>);
        assert!(run <= 300, "{run}");
    }
}
