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
//! `--help` tells the options, those for TLS and HTTP/2 among them.

mod handlers;
mod worker;

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use squall::httputil::SameSite;
use squall::template::context;
use squall::{Application, Context, HttpServer, Result, get, options, post, ws};
use squall_examples::random_name;

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

fn main() -> Result {
    options::define("address", "127.0.0.1".to_owned());
    let password = options::define("password", String::new()).help("without it one is made up, and printed");
    let delay =
        options::define("delay", Duration::from_secs(3)).help("how long a shell waits for its WebSocket");
    let most = options::define("maxconn", 20_usize).help("how many shells an address may have");
    options::parse_command_line()?;
    let (mut password, delay, most) = (password.get(), delay.get(), most.get());
    if password.is_empty() {
        password = random_name();
        println!("the password is {password}");
    }
    HttpServer::new(move || make_app(&password, Rc::new(Workers::new(most, delay))))
        .max_body_size(MAX_BODY)
        .processes(1)
        .run()
}
