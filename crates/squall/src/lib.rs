// More than 600 lines: four in five are the documentation of the crate, which is read as one page.

//! Tornado for Rust: the event loop, streams, HTTP server and class-based handlers of the Tornado framework,
//! rebuilt on tokio with Tornado's names, behaviour and wire formats.
//!
//! # Hello
//!
//! ```no_run
//! use squall::{Application, Context, RequestHandler, Result, handler, url};
//!
//! #[derive(Clone)]
//! struct Main;
//!
//! #[handler]
//! impl RequestHandler for Main {
//!     async fn get(&mut self, ctx: &Context) -> Result {
//!         ctx.write("Hello, world");
//!         Ok(())
//!     }
//! }
//!
//! #[squall::main]
//! async fn main() -> Result {
//!     squall::log::enable_pretty_logging();
//!     Application::new([url("/", Main)]).listen(8888)?.serve().await
//! }
//! ```
//!
//! It serves until SIGTERM or Ctrl-C, and then until the requests in flight are answered ([`HttpServer::serve`]).
//!
//! Everything runs on one thread, the loop's. Nothing need be `Send`; state is shared with `Rc`, `Cell` and `RefCell`.
//! What must not happen is blocking: use a tokio crate, or [`IoLoop::run_in_executor`].
//!
//! # Handlers
//!
//! A [`RequestHandler`] is a type; each request is served by a fresh clone of the value in the routing table. Its fields
//! are what Tornado passes to `initialize`. [`#[handler]`](handler) parses path arguments to the types of the
//! parameters; one that does not parse is a 404. Functions do for small things.
//!
//! ```
//! use std::cell::Cell;
//! use std::rc::Rc;
//! use squall::{Application, Context, RequestHandler, Result, get, handler, url};
//!
//! #[derive(Clone)]
//! struct Counter {
//!     total: Rc<Cell<u64>>, // shared by all requests
//! }
//!
//! #[handler]
//! impl RequestHandler for Counter {
//!     async fn post(&mut self, ctx: &Context, step: u64) -> Result {
//!         self.total.set(self.total.get() + step);
//!         ctx.set_status(201);
//!         ctx.write_json(&self.total.get())
//!     }
//! }
//!
//! fn make_app() -> Application {
//!     let total = Rc::new(Cell::new(0));
//!     Application::new([
//!         url(r"/add/([0-9]+)", Counter { total: total.clone() }).name("add"), // or "/add/{step}"
//!         get("/total", async move |ctx: &Context| ctx.write_json(&total.get())),
//!     ])
//! }
//! # squall::IoLoop::current().run_sync(async {
//! # let app = squall::testing::serve(make_app());
//! # app.post("/add/3").await.assert_status(201).assert_text("3");
//! # app.get("/total").await.assert_text("3");
//! # app.post("/add/x").await.assert_status(404);
//! # }, None).unwrap();
//! ```
//!
//! What is wrong with an application (a pattern that does not compile, a path argument without a group, two routes of one
//! name) is reported when it starts, with the line of each mistake.
//!
//! # Errors
//!
//! `?` takes any error. An [`HttpError`] answers with its status; anything else is a 500, and the log names the error and
//! the line of the `?`. [`OrStatus`] gives an `Option` or an error a status on the spot, [`Application::map_error`] one
//! type of error for good. [`Site::write_error`] writes the page.
//!
//! ```
//! use squall::{Application, Context, HttpError, OrStatus, Result, get};
//!
//! fn make_app() -> Application {
//!     let stories = [(7, "Rain")];
//!     let story = get("/stories/{id}", async move |ctx: &Context| {
//!         let id: u32 = ctx.path_arg("id")?;
//!         let (_, title) = stories.iter().find(|(n, _)| *n == id).or_404()?;
//!         ctx.write(title);
//!         Ok(())
//!     });
//!     let busy = get("/busy", async |_: &Context| -> Result {
//!         Err(HttpError::new(503).header("Retry-After", "5").into())
//!     });
//!     Application::new([story, busy])
//! }
//! # squall::IoLoop::current().run_sync(async {
//! # let app = squall::testing::serve(make_app());
//! # app.get("/stories/7").await.assert_status(200).assert_text("Rain");
//! # app.get("/stories/8").await.assert_status(404);
//! # app.get("/busy").await.assert_status(503).assert_header("Retry-After", "5");
//! # }, None).unwrap();
//! ```
//!
//! # Arguments
//!
//! [`Context::argument`] and its kin read query and form as Tornado does: the last value wins, the form before the query,
//! a missing one is a 400. [`Context::query`], [`Context::form`] and [`Context::json`] fill a type of one's own.
//!
//! What [`Context::write`] gets is HTML unless another Content-Type is set: text from outside is
//! [escaped](escape::xhtml_escape) in it. Templates do that by themselves.
//!
//! ```
//! use serde::Deserialize;
//! use squall::escape::xhtml_escape;
//! use squall::{Application, Context, Result, get, post};
//!
//! #[derive(Deserialize)]
//! struct NewStory<'a> {
//!     title: &'a str, // borrowed from the body
//! }
//!
//! fn make_app() -> Application {
//!     Application::new([
//!         get("/greet", async |ctx: &Context| {
//!             let name = ctx.argument("name")?;
//!             let greeting = ctx.argument_or("greeting", "Hello")?;
//!             ctx.set_header("X-Greeted", name)?;
//!             ctx.write(xhtml_escape(&format!("{greeting}, {name}")).as_bytes());
//!             Ok(())
//!         }),
//!         post("/stories", async |ctx: &Context| {
//!             let new: NewStory = ctx.json()?;
//!             ctx.write(format!("{} is new", xhtml_escape(new.title)));
//!             Ok(())
//!         }),
//!     ])
//! }
//! # squall::IoLoop::current().run_sync(async {
//! # let app = squall::testing::serve(make_app());
//! # app.get("/greet?name=Ann").await.assert_text("Hello, Ann").assert_header("X-Greeted", "Ann");
//! # app.get("/greet?name=%3Cb%3E").await.assert_text("Hello, &lt;b&gt;");
//! # app.get("/greet").await.assert_status(400);
//! # app.post("/stories").body(r#"{"title": "Rain"}"#).await.assert_text("Rain is new");
//! # app.post("/stories").body("{").await.assert_status(400);
//! # }, None).unwrap();
//! ```
//!
//! Files of a multipart form are in memory, as slices of the body; [`web::MultipartReader`] takes forms of any size.
//!
//! ```
//! use squall::escape::xhtml_escape;
//! use squall::{Application, Context, Result, post};
//!
//! fn make_app() -> Application {
//!     Application::new([post("/photo", async |ctx: &Context| {
//!         let photo = ctx.file("photo")?;
//!         ctx.write(format!("{}: {} bytes", xhtml_escape(&photo.filename), photo.body.len()));
//!         Ok(())
//!     })])
//! }
//! # use squall::httpclient::{AsyncHttpClient, HttpRequest, MultipartForm};
//! # squall::IoLoop::current().run_sync(async {
//! # let app = squall::testing::serve(make_app());
//! # let form = MultipartForm::new().file("photo", "a.jpg", "image/jpeg", vec![0; 100]);
//! # let request = HttpRequest::post(app.url("/photo")).multipart(form);
//! # assert_eq!(AsyncHttpClient::new().fetch(request).await.unwrap().text(), "a.jpg: 100 bytes");
//! # app.post("/photo").await.assert_status(400);
//! # }, None).unwrap();
//! ```
//!
//! # Cookies, users and forged requests
//!
//! Signed cookies and XSRF tokens have Tornado's formats: with the same secret, a Tornado service beside this one reads
//! and writes the same ones. [`Site::current_user`] says who the user is; [`Context::require_user`] sends strangers to
//! the login page.
//!
//! ```
//! use squall::escape::xhtml_escape;
//! use squall::{Application, Context, RequestHandler, Result, Site, get, handler, url};
//!
//! struct Members;
//!
//! impl Site for Members {
//!     type User = String;
//!
//!     async fn current_user(&self, ctx: &Context) -> Result<Option<String>> {
//!         Ok(ctx.signed_cookie("user"))
//!     }
//! }
//!
//! #[derive(Clone)]
//! struct Login;
//!
//! #[handler]
//! impl RequestHandler for Login {
//!     async fn get(&mut self, ctx: &Context) -> Result {
//!         ctx.write(format!("<form method=post>{}<input name=name></form>", ctx.xsrf_form_html()?));
//!         Ok(())
//!     }
//!
//!     async fn post(&mut self, ctx: &Context) -> Result {
//!         ctx.set_signed_cookie("user", ctx.body_argument("name")?)?;
//!         ctx.redirect("/")
//!     }
//! }
//!
//! fn make_app() -> Application {
//!     let home = get("/", async |ctx: &Context| {
//!         let user = ctx.require_user::<String>().await?;
//!         ctx.write(format!("Hello, {}", xhtml_escape(&user)));
//!         Ok(())
//!     });
//!     Application::new([home, url("/login", Login)])
//!         .site(Members)
//!         .cookie_secret("a long random secret, from the environment")
//!         .login_url("/login")
//!         .xsrf_cookies(true)
//! }
//! # squall::IoLoop::current().run_sync(async {
//! # let app = squall::testing::serve(make_app());
//! # app.get("/").await.assert_redirect("/login?next=%2F");
//! # app.post("/login").form(&[("name", "Ann")]).await.assert_status(403);
//! # let cookie = "_xsrf=deadbeef";
//! # let answer = app.post("/login").header("Cookie", cookie).form(&[("name", "Ann"), ("_xsrf", "deadbeef")]).await;
//! # answer.assert_redirect("/");
//! # let user = answer.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
//! # app.get("/").header("Cookie", user).await.assert_text("Hello, Ann");
//! # }, None).unwrap();
//! ```
//!
//! # Templates
//!
//! [`Application::template_path`] is a folder of templates in Tornado's syntax ([`template`]), which are compiled when the
//! application starts: a broken one stops it, with file, line and column. [`Context::render`] answers with a page;
//! values are escaped. [`Application::ui_module`] adds modules, [`Application::ui_method`] functions, and
//! [`Site::template_namespace`] what all pages know.
//!
//! ```
//! use serde::Serialize;
//! use squall::template::Loader;
//! use squall::{Application, Context, context, get};
//!
//! #[derive(Serialize)]
//! struct Story {
//!     title: &'static str,
//! }
//!
//! const TEMPLATES: [(&str, &str); 2] = [
//!     ("base.html", "<title>{% block title %}Stories{% end %}</title>{% block body %}{% end %}"),
//!     (
//!         "stories.html",
//!         r#"{% extends "base.html" %}
//!            {% block body %}{% for s in stories %}<p>{{ s.title.upper() }}</p>{% end %}{% end %}"#,
//!     ),
//! ];
//!
//! fn make_app() -> Application {
//!     let stories = get("/stories", async |ctx: &Context| {
//!         let stories = [Story { title: "Rain" }, Story { title: "<Sun>" }];
//!         ctx.render("stories.html", context! { stories })
//!     });
//!     Application::new([stories]).template_loader(Loader::from_texts(TEMPLATES)) // or .template_path("templates")
//! }
//! # squall::IoLoop::current().run_sync(async {
//! # let app = squall::testing::serve(make_app());
//! # let page = "<title>Stories</title><p>RAIN</p><p>&lt;SUN&gt;</p>";
//! # app.get("/stories").await.assert_status(200).assert_text(page);
//! # }, None).unwrap();
//! ```
//!
//! # Files, compression, events
//!
//! [`Application::static_path`] serves a folder under `/static/`, and [`Context::static_url`] makes URLs that change with
//! the file. [`Application::compress_response`] compresses what is worth it. [`Context::event_stream`] sends events to a
//! page. [`Application::cors`], [`Application::before`] and [`Application::after`] wrap all handlers.
//!
//! ```
//! use squall::web::Event;
//! use squall::{Application, Context, get};
//!
//! fn make_app() -> Application {
//!     let clock = get("/ticks", async |ctx: &Context| {
//!         let events = ctx.event_stream()?;
//!         for number in 1..=3 {
//!             events.send(&Event::new().data(number.to_string())).await?;
//!         }
//!         Ok(())
//!     });
//!     Application::new([clock]).static_path("static").compress_response(true)
//! }
//! # squall::IoLoop::current().run_sync(async {
//! # let app = squall::testing::serve(make_app());
//! # app.get("/ticks").await.assert_text("data: 1\n\ndata: 2\n\ndata: 3\n\n");
//! # }, None).unwrap();
//! ```
//!
//! # WebSockets
//!
//! A [`WebSocketHandler`] serves each connection with a clone. It has the whole of [`Context`] in `prepare`, before the
//! upgrade; from then on there is a [`WebSocket`], a handle that any task of the loop may write to.
//! [`websocket::websocket`] gives a function the messages as a stream instead. A [`Broadcaster`](websocket::Broadcaster)
//! sends one message, framed once, to a room full of sockets; [`pubsub`] spreads messages between processes. Queues
//! for slow peers are bounded ([`WebSocketOptions`](websocket::WebSocketOptions)), and `on_close` is called once,
//! however a connection ends.
//!
//! ```
//! use squall::websocket::{Broadcaster, Membership, websocket_connect};
//! use squall::{Application, Context, Message, Result, WebSocket, WebSocketHandler, handler, ws};
//!
//! #[derive(Clone, Default)]
//! struct Chat {
//!     rooms: Broadcaster, // shared by all connections
//!     room: String,
//!     member: Option<std::rc::Rc<Membership>>,
//! }
//!
//! #[handler]
//! impl WebSocketHandler for Chat {
//!     async fn prepare(&mut self, _ctx: &Context, room: String) -> Result {
//!         self.room = room;
//!         Ok(())
//!     }
//!
//!     async fn open(&mut self, ws: &WebSocket) -> Result {
//!         self.member = Some(self.rooms.join(&self.room, ws).into());
//!         Ok(())
//!     }
//!
//!     async fn on_message(&mut self, _ws: &WebSocket, message: Message) -> Result {
//!         self.rooms.broadcast(&self.room, message);
//!         Ok(())
//!     }
//! }
//!
//! fn make_app() -> Application {
//!     Application::new([ws("/chat/([a-z]+)", Chat::default())])
//! }
//! # squall::IoLoop::current().run_sync(async {
//! # let app = squall::testing::serve(make_app());
//! # let url = format!("ws://127.0.0.1:{}/chat/lobby", app.port());
//!
//! // The client:
//! let mut ann = websocket_connect(url).await.unwrap();
//! ann.write_message("Hello").await.unwrap();
//! assert_eq!(ann.read_message().await, Some(Message::from("Hello")));
//! # }, None).unwrap();
//! ```
//!
//! # Asking other servers
//!
//! [`httpclient::AsyncHttpClient`] fetches; [`web::proxy`] hands whole routes to another server, such as a Tornado
//! service that is being moved over.
//!
//! ```
//! use squall::httpclient::AsyncHttpClient;
//! use squall::web::proxy;
//! use squall::{Application, Context, get};
//!
//! fn make_app() -> Application {
//!     let client = AsyncHttpClient::new();
//!     let weather = get("/weather", async move |ctx: &Context| {
//!         let answer = client.fetch("http://127.0.0.1:9000/today").await?;
//!         ctx.set_header("Content-Type", "text/plain; charset=UTF-8")?; // no HTML of somebody else's
//!         ctx.write(answer.body());
//!         Ok(())
//!     });
//!     Application::new([weather]).fallback(proxy("http://127.0.0.1:8889"))
//! }
//! # make_app();
//! ```
//!
//! # Streaming
//!
//! A response is collected and sent with its length when the handler returns. [`Context::flush`] sends what there is and
//! waits for a slow client; the rest goes out in chunks. With `#[handler(stream_body)]` the request's body comes in
//! pieces, the next when the last has been dealt with.
//!
//! ```
//! use squall::{Application, Context, RequestHandler, Result, get, handler, url};
//!
//! #[derive(Clone, Default)]
//! struct Upload {
//!     bytes: usize,
//! }
//!
//! #[handler(stream_body)]
//! impl RequestHandler for Upload {
//!     async fn data_received(&mut self, _ctx: &Context, chunk: bytes::Bytes) -> Result {
//!         self.bytes += chunk.len();
//!         Ok(())
//!     }
//!
//!     async fn put(&mut self, ctx: &Context) -> Result {
//!         ctx.write(format!("{} bytes", self.bytes));
//!         Ok(())
//!     }
//! }
//!
//! fn make_app() -> Application {
//!     let count = get("/count", async |ctx: &Context| {
//!         for number in 1..=3 {
//!             ctx.write(format!("{number}\n"));
//!             ctx.flush().await?;
//!         }
//!         Ok(())
//!     });
//!     Application::new([url("/upload", Upload::default()), count])
//! }
//! # squall::IoLoop::current().run_sync(async {
//! # let app = squall::testing::serve(make_app());
//! # app.put("/upload").body(vec![0; 300_000]).await.assert_text("300000 bytes");
//! # app.get("/count").await.assert_header("Transfer-Encoding", "chunked").assert_text("1\n2\n3\n");
//! # }, None).unwrap();
//! ```
//!
//! # HTTPS
//!
//! [`HttpServer::ssl_options`] makes a server speak TLS ([`tls`]). The files are checked when it starts, and taken anew when
//! they change. [`BindOptions::proxy_protocol`](netutil::BindOptions::proxy_protocol) is for load balancers in front.
//!
//! ```no_run
//! use std::time::Duration;
//! use squall::tls::SslOptions;
//! use squall::web::Hsts;
//! use squall::{Application, Context, HttpServer, IoLoop, Result, get};
//!
//! fn make_app() -> Application {
//!     Application::new([get("/", async |ctx: &Context| ctx.write_json(ctx.request().protocol()))])
//!         .https_redirect(443)
//!         .hsts(Hsts::new(Duration::from_secs(365 * 24 * 3600)))
//! }
//!
//! fn main() -> Result {
//!     let secure = HttpServer::new(make_app).ssl_options(SslOptions::new("cert.pem", "key.pem"));
//!     secure.listen(443)?;
//!     let clear = HttpServer::new(make_app); // whose requests are sent to the other
//!     clear.listen(80)?;
//!     Ok(IoLoop::current().start()?)
//! }
//! ```
//!
//! # Several processes
//!
//! One thread uses one core. [`HttpServer::bind`] and [`HttpServer::run`] share a port among supervised processes, each
//! with a loop and an application of its own; they fork, so they come before there is any loop, and so before anything
//! that makes one, such as `#[squall::main]`.
//!
//! ```no_run
//! use squall::{Application, Context, HttpServer, Result, get};
//!
//! fn make_app() -> Application {
//!     Application::new([get("/", async |ctx: &Context| ctx.write_json(&std::process::id()))])
//! }
//!
//! fn main() -> Result {
//!     HttpServer::new(make_app).xheaders(true).bind(8888)?.run()
//! }
//! ```
//!
//! # Testing
//!
//! [`testing::serve`] puts an application on an unused port of the test's own loop, and its client asserts.
//!
//! ```
//! # use squall::{Application, Context, get};
//! # fn make_app() -> Application {
//! #     Application::new([get("/", async |ctx: &Context| ctx.write_json("Hello"))])
//! # }
//! #[squall::test]
//! async fn greets() {
//!     let app = squall::testing::serve(make_app());
//!     app.get("/").await.assert_status(200).assert_text_contains("Hello");
//!     app.get("/nothing").await.assert_status(404);
//! }
//! # squall::IoLoop::current().run_sync(async {
//! #     let app = squall::testing::serve(make_app());
//! #     app.get("/").await.assert_status(200).assert_text_contains("Hello");
//! #     app.get("/nothing").await.assert_status(404);
//! # }, None).unwrap();
//! ```
//!
//! # Below the handlers
//!
//! Each level is public and of use by itself: a [callback](HttpServer::with_callback) on every request, the
//! [delegates](httputil) of a connection, [`TcpServer`](tcpserver::TcpServer), [`IoStream`](iostream::IoStream), and
//! [`IoLoop`] with its handlers on file descriptors. Items bear Tornado's names in Rust's spelling; searching these pages
//! for Tornado's own (`IOLoop`, `get_argument`) finds them.
//!
//! # Features
//!
//! On by default, and to be left out by who has no use for them: with `default-features = false` there are the loop, streams,
//! servers, routing, handlers, static files and gzip, in a fraction of the time to compile.
//!
//! | feature | what it brings |
//! |---|---|
//! | `client` | [`httpclient`], [`web::proxy`]; with `websocket` [`websocket::websocket_connect`] |
//! | `compression` | brotli and zstd beside gzip, in responses and in the client |
//! | `http2` | HTTP/2: in the server, and in what `client` brings |
//! | `locale` | [`locale`], [`Context::locale`], [`Site::user_locale`] |
//! | `templates` | [`template`], [`Context::render`], UI modules; and `locale`, since pages are translated |
//! | `tls` | [`tls`], `https:` and `wss:` |
//! | `websocket` | [`websocket`] |
//!
//! Off by default:
//!
//! | feature | what it brings |
//! |---|---|
//! | `auth` | `squall::auth`: logging in by OAuth and OpenID Connect; and `client` and `tls` |
//! | `hickory` | `squall::netutil::HickoryResolver`: names looked up without threads |
//! | `redis` | [`pubsub`] over Redis |
//! | `tls-aws-lc` | the cryptography of `tls` by aws-lc-rs, with keys that a quantum computer would not break |
//! | `tower` | tower services as handlers, and applications as tower services |

#![cfg_attr(docsrs, feature(doc_cfg))]

// The macros name this crate `::squall`, here too.
extern crate self as squall;

#[cfg(feature = "auth")]
pub mod auth;
pub mod autoreload;
pub mod concurrent;
pub mod escape;
pub mod http1connection;
#[cfg(feature = "http2")]
mod http2;
#[cfg(feature = "http2")]
mod http2connection;
#[cfg(feature = "client")]
pub mod httpclient;
pub mod httpserver;
pub mod httputil;
pub mod ioloop;
pub mod iostream;
#[cfg(feature = "locale")]
pub mod locale;
pub mod locks;
pub mod log;
pub mod netutil;
pub mod options;
pub mod process;
pub mod pubsub;
pub mod queues;
pub mod routing;
pub mod stack_context;
pub mod tcpclient;
pub mod tcpserver;
#[cfg(feature = "templates")]
pub mod template;
pub mod testing;
#[cfg(feature = "tls")]
pub mod tls;
pub mod web;
#[cfg(feature = "websocket")]
pub mod websocket;

mod error;
mod http1;
pub(crate) mod metrics;
#[cfg(feature = "client")]
mod pool;
mod sweep;
#[allow(unsafe_code, reason = "the one place where system calls without a safe wrapper are made")]
pub(crate) mod sys;

// The paved path; everything else is at its module.
pub use bytes::Bytes;
pub use httpserver::HttpServer;
pub use ioloop::{IoLoop, shutdown_signal};
pub use squall_macros::{handler, main, test};
pub use web::{
    Application, Context, Error, HttpError, OrStatus, RequestHandler, Result, Site, delete, get, patch, post,
    put, url,
};
#[cfg(feature = "websocket")]
pub use websocket::{Message, WebSocket, WebSocketHandler, ws};

#[doc(hidden)]
pub mod __private;

/// The README's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The porting guide's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../guide/porting.md")]
struct PortingGuide;

/// The guide to templates, its code compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../guide/templates.md")]
struct TemplatesGuide;

/// The guide to the `squall` command, its code compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../guide/development.md")]
struct DevelopmentGuide;

/// The guide to running a server, its code compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../guide/deployment.md")]
struct DeploymentGuide;
