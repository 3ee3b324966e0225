//! What browsers talk to: the program behind, as soon as there is one.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use squall::httputil::EntityTag;
use squall::web::{HandlerOptions, Methods, nest};
use squall::websocket::{WebSocketStream, websocket};
use squall::{Application, Context, Error, HttpError, RequestHandler, Result, get, url};

use super::board::{Board, State, Trouble, View};
use super::page::{self, PREFIX};

/// How long it may take from a program's end until that is noticed.
const NOTICE: Duration = Duration::from_secs(2);

/// The names under which browsers may come. A page of somebody else's whose name leads here (DNS rebinding) must not read
/// what is shown to developers.
#[derive(Debug, Clone)]
pub(super) struct Hosts(Rc<[String]>);

impl Hosts {
    pub(super) fn new(names: impl Iterator<Item = String>) -> Self {
        Self(names.map(|name| name.to_ascii_lowercase()).collect())
    }

    fn allow(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        let is_address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        is_address
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.0.iter().any(|name| name == host)
    }
}

/// Everything goes to the program, but for what is under [`PREFIX`].
pub(super) fn make_app(board: &Rc<Board>, hosts: &Hosts) -> Application {
    let versions = Rc::clone(board);
    let own = nest(
        PREFIX,
        [
            get("/reload.js", async |ctx: &Context| {
                ctx.set_header("Content-Type", "text/javascript; charset=UTF-8")?;
                ctx.set_header("Cache-Control", "no-store")?;
                ctx.write(page::SCRIPT);
                Ok(())
            }),
            websocket("/version", async move |_: &Context, socket: &mut WebSocketStream| {
                tell_versions(&versions, socket).await
            }),
        ],
    );
    let hosts = hosts.clone();
    Application::new([own, url("/.*", Front(Rc::clone(board)))])
        // For the targets that begin with no slash.
        .fallback(Front(Rc::clone(board)))
        .before(async move |ctx: &Context| {
            let host = ctx.request().host_name();
            if hosts.allow(&host) {
                return Ok(());
            }
            let message = format!("squall dev does not know the host {host:?}; --host lets it in");
            Err(HttpError::new(403).message(message).into())
        })
        .log_function(|_| {}) // the program has its own
}

/// Tells a page which version there is, until it goes away.
async fn tell_versions(board: &Board, socket: &mut WebSocketStream) -> Result {
    let mut view = board.subscribe();
    loop {
        let version = view.borrow_and_update().version;
        socket.write_message(version.to_string()).await?;
        tokio::select! {
            changed = view.changed() => changed?,
            heard = socket.recv() => if heard.is_none() { return Ok(()) },
        }
    }
}

/// Hands requests on to the program.
#[derive(Clone)]
struct Front(Rc<Board>);

impl RequestHandler for Front {
    const METHODS: Methods = Methods::ANY;
    const OPTIONS: HandlerOptions =
        HandlerOptions::new().stream_body(true).xsrf_exempt().default_headers(false);

    async fn prepare(&mut self, ctx: &Context) -> Result {
        let mut view = self.settled(ctx, |_| true, None).await?;
        if let State::Serving(upstream) = view.state {
            let is_page = shows_a_page(ctx);
            let mut way = if is_page { upstream.pages } else { upstream.rest };
            let Err(error) = way.prepare(ctx).await else { return Ok(()) };
            if ctx.headers_sent() || !is_bad_gateway(&error) {
                return Err(error);
            }
            // Perhaps it has ended: what the end was like says more than this error.
            let version = view.version;
            view = self.settled(ctx, |view| view.version != version, Some(error)).await?;
        }
        let trouble = match view.state {
            State::Stopped(trouble) => trouble,
            // It runs again, but this request may have had its effect.
            State::Serving(_) | State::Working => Rc::new(Trouble {
                title: "The program ended while it answered".to_owned(),
                text: "It was started again.".to_owned(),
            }),
            State::Ended => return Err(HttpError::new(503).into()),
        };
        answer(ctx, &trouble, view.version).await
    }

    fn compute_etag(_ctx: &Context) -> Option<EntityTag> {
        None
    }
}

impl Front {
    /// How things stand, once nothing is being worked on any more and it `fits`. Where there is an error already, it is
    /// the answer when that does not come to pass soon.
    async fn settled(
        &self,
        ctx: &Context,
        fits: impl Fn(&View) -> bool,
        error: Option<Error>,
    ) -> Result<View> {
        let mut view = self.0.subscribe();
        let is_settled = |view: &View| !matches!(view.state, State::Working) && fits(view);
        let has_error = error.is_some();
        tokio::select! {
            biased;
            settled = view.wait_for(is_settled) => Ok(settled?.clone()),
            () = ctx.shutdown() => Err(HttpError::new(503).header("Connection", "close").into()),
            // Nobody waits for it.
            () = ctx.closed() => Err(HttpError::new(503).into()),
            () = tokio::time::sleep(NOTICE), if has_error => Err(error.unwrap_or_else(|| HttpError::new(502).into())),
        }
    }
}

fn is_bad_gateway(error: &Error) -> bool {
    error.as_http().is_some_and(|error| error.status() == 502)
}

/// Whether the answer will be a document in a window. Where nobody says so (RFC 9110 knows no such thing; browsers send
/// `Sec-Fetch-Dest`), it might be.
fn shows_a_page(ctx: &Context) -> bool {
    let told = ctx.request().headers().get("Sec-Fetch-Dest");
    told.is_none_or(|told| matches!(told, "document" | "iframe" | "frame"))
}

async fn answer(ctx: &Context, trouble: &Trouble, version: u64) -> Result {
    let accepted = ctx.request().headers().get("Accept");
    let wants_html =
        shows_a_page(ctx) && accepted.is_none_or(|told| told.contains("html") || told.contains("*/*"));
    ctx.set_status(503);
    ctx.set_header("Cache-Control", "no-store")?;
    // What there may be of a body is not read.
    ctx.set_header("Connection", "close")?;
    if wants_html {
        ctx.set_header("Content-Type", "text/html; charset=UTF-8")?;
        ctx.write(page::trouble(trouble, version));
    } else {
        ctx.set_header("Content-Type", "text/plain; charset=UTF-8")?;
        ctx.write(format!("{}\n\n{}\n", trouble.title, trouble.text));
    }
    ctx.finish().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let hosts = Hosts::new(["Dev.example".to_owned()].into_iter());
        for (host, allowed) in [
            ("localhost", true),
            ("app.localhost", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("::1", true),
            ("192.168.0.7", true),
            ("dev.example", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("evillocalhost", false),
            ("", false),
        ] {
            assert_eq!(hosts.allow(host), allowed, "{host}");
        }
    }

    #[squall::test]
    async fn a_request_waits_and_is_told_what_is_wrong() {
        let board = Rc::new(Board::new());
        let app = squall::testing::serve(make_app(&board, &Hosts::new(std::iter::empty())));
        let waiting = app.get("/").header("Accept", "text/html");
        let mends = async {
            // The request is on its way or waits; either way it is answered by what comes.
            tokio::task::yield_now().await;
            board.stop("The build failed", "error: a < b");
        };
        let (page, ()) = tokio::join!(async { waiting.await }, mends);
        page.assert_status(503).assert_text_contains("error: a &lt; b").assert_text_contains("reload.js?v=");
        let data = app.get("/data").header("Sec-Fetch-Dest", "empty").await;
        data.assert_status(503).assert_text("The build failed\n\nerror: a < b\n");
        app.get("/__squall__/reload.js").await.assert_status(200).assert_text_contains("WebSocket");
        app.get("/").header("Host", "evil.example").await.assert_status(403);
    }

    #[squall::test]
    async fn pages_have_the_script_and_the_rest_passes_as_it_is() {
        let program = squall::testing::serve(
            Application::new([
                get("/", async |ctx: &Context| {
                    ctx.write("<html><body>Hello</body></html>");
                    Ok(())
                }),
                get("/data", async |ctx: &Context| ctx.write_json(&[1, 2])),
            ])
            .compress_response(true),
        );
        let board = Rc::new(Board::new());
        board.serve(super::super::board::Upstream::new(program.port(), &board));
        let app = squall::testing::serve(make_app(&board, &Hosts::new(std::iter::empty())));
        let expected = format!(
            "<html><body>Hello</body></html><script src=\"/__squall__/reload.js?v={}\"></script>\n",
            board.version()
        );
        let page = app.get("/").header("Accept-Encoding", "gzip").header("If-None-Match", "\"x\"").await;
        page.assert_status(200).assert_text(&expected).assert_header("Cache-Control", "no-store");
        assert_eq!(page.header("Etag"), None);
        let part = app.get("/").header("Sec-Fetch-Dest", "empty").await;
        part.assert_text("<html><body>Hello</body></html>").assert_header("Content-Length", "31");
        app.get("/data").await.assert_text("[1,2]").assert_header("Content-Length", "5");
    }
}
