//! A dashboard for tasks, in the manner of [flower](https://github.com/mher/flower): pages behind a login, an API for
//! scripts, events over a WebSocket. `original/app.py` is the same in Tornado, of which this is a port; guide/porting.md
//! tells how it went, and `scripts/ci-ports.sh` compares the bytes of the two.
//!
//! ```sh
//! cargo run --release --example flower_like -- --basic-auth=ann:secret
//! curl -u ann:secret -H 'Content-Type: application/json' -d '{"args": [5]}' \
//!   http://localhost:5555/api/task/apply/tasks.sleep
//! ```
//!
//! Then log in at http://localhost:5555/. `--help` tells the options, those for TLS and HTTP/2 among them.

mod accounts;
mod api;
mod display;
mod pages;
mod tasks;

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use squall::httputil::SameSite;
use squall::template::{Value, context};
use squall::web::rules;
use squall::{Application, Context, Error, HttpServer, IoLoop, Result, Site, options};
use squall_examples::{fail, random_name};

use self::accounts::Accounts;
use self::tasks::Tasks;

/// No upload has any business here.
const MAX_BODY: u64 = 64 * 1024;

/// What all handlers share: `Base` in base.py.
struct Base;

impl Site for Base {
    type User = String;

    /// By the password, which a script sends each time, or by the cookie that the login page sets.
    async fn current_user(&self, ctx: &Context) -> Result<Option<String>> {
        let accounts = ctx.setting::<Rc<Accounts>>()?;
        Ok(match ctx.request().headers().get("Authorization") {
            Some(authorization) => accounts.of_header(authorization),
            None => ctx.signed_cookie("user").filter(|name| accounts.contains(name)),
        })
    }

    fn user_value(&self, user: &String) -> Value {
        user.as_str().into()
    }

    fn set_default_headers(&self, ctx: &Context) -> Result {
        ctx.set_header("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")?;
        Ok(ctx.set_header("X-Content-Type-Options", "nosniff")?)
    }

    fn template_namespace(&self, _ctx: &Context) -> Value {
        context! { site => "flower_like" }
    }

    async fn write_error(&self, ctx: &Context, error: &Error) -> Result {
        ctx.render("error.html", context! { status => error.status(), reason => ctx.reason() })
    }
}

fn make_app(accounts: Rc<Accounts>, cookie_secret: &str) -> Application {
    let tasks = Rc::new(Tasks::new());
    IoLoop::current().spawn_callback(tasks.clone().work());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/flower_like");
    Application::new([rules(".*", pages::routes()), rules(".*", api::routes(&tasks)).site(api::Api)])
        .site(Base)
        .setting(tasks)
        .setting(accounts)
        .cookie_secret(cookie_secret)
        .login_url("/login")
        .xsrf_cookies(true)
        // No script reads it: forms have the token, and the API takes JSON.
        .xsrf_cookie_kwargs(|cookie| cookie.httponly(true).same_site(SameSite::Lax).expires_days(1.0))
        .websocket_max_message_size(1024)
        .websocket_ping_interval(Duration::from_secs(30))
        .template_path(folder.join("templates"))
        .template_module("display", display::module())
        .ui_module("State", pages::State)
        .static_path(folder.join("static"))
        .static_default_headers(true)
}

fn main() -> Result {
    options::define("port", 5555_u16);
    let basic_auth = options::define("basic-auth", String::new())
        .help("who may come in: name:password, several with commas; without it one is made up");
    let cookie_secret = options::define("cookie-secret", String::new())
        .help("without it nobody is logged in after a restart");
    options::parse_command_line()?;
    let mut basic_auth = basic_auth.get();
    if basic_auth.is_empty() {
        basic_auth = format!("admin:{}", random_name());
        println!("log in as {basic_auth}");
    }
    let accounts = Accounts::parse(&basic_auth).unwrap_or_else(|| fail("--basic-auth takes name:password"));
    let accounts = Rc::new(accounts);
    let cookie_secret = Some(cookie_secret.get()).filter(|secret| !secret.is_empty());
    let cookie_secret = cookie_secret.unwrap_or_else(random_name);
    HttpServer::new(move || make_app(accounts.clone(), &cookie_secret))
        .max_body_size(MAX_BODY)
        .processes(1)
        .run()
}
