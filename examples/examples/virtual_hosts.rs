//! Routes by host: a group for `www.`, one for `safe.`, and one for every other name, which comes last wherever it was
//! added (seed 001, `Application.add_handlers`).
//!
//! `cargo run --example virtual_hosts`, then `curl -H 'Host: safe.example.com' localhost:8888/index`. Options: `--port`,
//! `--certfile` and `--keyfile` (then https).

use squall::escape::xhtml_escape;
use squall::{Application, Context, HttpServer, RequestHandler, Result, handler, options, url};

/// The field is what Tornado passes to `initialize`.
#[derive(Clone)]
struct Index {
    site: &'static str,
}

#[handler]
impl RequestHandler for Index {
    async fn get(&mut self, ctx: &Context) -> Result {
        // The client says which host it wants, and this is HTML.
        let host = ctx.request().host_name();
        ctx.write(format!("{} index of {}\n", self.site, xhtml_escape(&host)));
        Ok(())
    }
}

fn make_app() -> Application {
    Application::new([url("/index", Index { site: "default" })])
        .add_handlers(
            r"www\..*",
            [url("/index", Index { site: "www" }), url("/about", Index { site: "about" })],
        )
        .add_handlers(r"safe\..*", [url("/index", Index { site: "safe" })])
}

fn main() -> Result {
    options::parse_command_line()?;
    HttpServer::new(make_app).processes(1).run()
}
