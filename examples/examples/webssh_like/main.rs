//! A terminal in the browser, in the manner of [webssh](https://github.com/huashengdun/webssh), with a shell of this machine in
//! place of an ssh connection: pipes, no pseudo-terminal, so that there is no prompt and nothing to resize. A form starts
//! it, a WebSocket carries what it reads and writes. `original/app.py` is the same in Tornado, of which this is a port;
//! guide/porting.md tells how it went, and `scripts/ci-ports.sh` compares the bytes of the two.
//!
//! ```sh
//! cargo run --release --example webssh_like -- --password=secret
//! ```
//!
//! Whoever knows the password runs programs as you. It listens on 127.0.0.1 only, unless `--address` tells otherwise.
//! Further options: `--delay`, `--maxconn`, `--port`, and those of the other examples for TLS and HTTP/2.

mod handlers;
mod worker;

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use squall::httputil::SameSite;
use squall::netutil::BindOptions;
use squall::template::context;
use squall::{Application, Context, HttpServer, Result, get, post, ws};
use squall_examples::{option, port_option, random_name, scheme, with_options};

use self::handlers::{Base, Terminal};
use self::worker::Workers;

const MAX_BODY: u64 = 16 * 1024;

fn make_app(password: &str, workers: Rc<Workers>) -> Application {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/webssh_like");
    Application::new([
        get("/", async |ctx: &Context| ctx.render("index.html", context! {})),
        post("/", handlers::connect),
        ws("/ws", Terminal::new(workers.clone())),
    ])
    .site(Base)
    .setting(handlers::Password::new(password))
    .setting(workers)
    .xsrf_cookies(true)
    // No script reads it: the form has the token.
    .xsrf_cookie_kwargs(|cookie| cookie.httponly(true).same_site(SameSite::Strict))
    .websocket_max_message_size(64 * 1024)
    .websocket_ping_interval(Duration::from_secs(30))
    .template_path(folder.join("templates"))
    .static_path(folder.join("static"))
    .static_default_headers(true)
}

#[squall::main]
async fn main() -> Result {
    squall::log::enable_pretty_logging();
    let port = port_option(8888);
    let address = option("address").unwrap_or_else(|| "127.0.0.1".to_owned());
    let password = option("password").unwrap_or_else(|| {
        let password = random_name();
        println!("the password is {password}");
        password
    });
    // For so many seconds a shell waits for its WebSocket; so many an address may have.
    let (delay, most) = (option("delay").unwrap_or(3), option("maxconn").unwrap_or(20));
    let workers = Rc::new(Workers::new(most, Duration::from_secs(delay)));
    let server =
        with_options(HttpServer::new(move || make_app(&password, workers.clone()))).max_body_size(MAX_BODY);
    server.listen_on(port, &BindOptions::new().address(&*address))?;
    println!("listening on {}://{address}:{port}/", scheme());
    server.serve().await
}
