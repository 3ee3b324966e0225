//! Takes the notice board of `app.py` over, a few routes at a time: those that are ported are answered here, the rest by
//! the Tornado process behind. Users notice nothing: cookies, XSRF tokens, templates, translations and static files are
//! the same on both sides. guide/porting.md walks through it.
//!
//! ```sh
//! python3 examples/examples/porting/app.py --port=8889 --data=/tmp/notes.json &
//! cargo run --release --example porting -- --upstream http://127.0.0.1:8889 --data=/tmp/notes.json --step 3
//! ```
//!
//! Step 0 forwards everything, step 6 needs no Tornado any more.

mod api;
mod board;
mod pages;
mod streams;

use std::path::{Path, PathBuf};

use squall::template::{Value, context};
use squall::web::{RedirectHandler, UrlSpec, proxy};
use squall::{Application, Context, Error, HttpServer, Result, Site, get, options, post, url, ws};
use squall_examples::fail;

use self::board::Board;

/// The last step: everything is ported.
const ALL: u32 = 6;

/// What `Base` is in app.py.
struct Base;

impl Site for Base {
    type User = String;

    async fn current_user(&self, ctx: &Context) -> Result<Option<String>> {
        Ok(ctx.signed_cookie("user"))
    }

    fn user_value(&self, user: &String) -> Value {
        user.as_str().into()
    }

    async fn user_locale(&self, ctx: &Context) -> Result<Option<squall::locale::Locale>> {
        Ok(ctx.cookie("lang").map(|code| ctx.translations().get_closest([code])))
    }

    fn set_default_headers(&self, ctx: &Context) -> Result {
        Ok(ctx.set_header("X-Frame-Options", "DENY")?)
    }

    async fn write_error(&self, ctx: &Context, error: &Error) -> Result {
        ctx.render("error.html", context! { status => error.status(), reason => ctx.reason() })
    }
}

/// Every route, with the step since when it is answered here. What writes the same data moves in one step.
fn routes() -> [(u32, UrlSpec); 13] {
    [
        (1, url("/home", RedirectHandler::new("/")).default_headers(true)),
        (1, get("/about", pages::about)),
        (2, get("/login", pages::login_form)),
        (2, post("/login", pages::login)),
        (2, post("/logout", pages::logout)),
        (3, get("/", pages::home)),
        (3, post("/", pages::pin_up)),
        (3, url("/api/notes", api::Notes)),
        (3, url(r"/api/notes/([0-9]+)", api::Note).name("note")),
        (4, get("/export", streams::export)),
        (4, post("/upload", streams::upload)),
        (4, get("/events", streams::events)),
        (5, ws("/talk", streams::Talk::default())),
    ]
}

fn make_app(step: u32, upstream: Option<&str>, data: &Path) -> Application {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/porting");
    let ported = routes().into_iter().filter(|(since, _)| *since <= step).map(|(_, route)| route);
    let secret = std::env::var("COOKIE_SECRET")
        .unwrap_or_else(|_| "the example's secret, which everybody knows".to_owned());
    let app = Application::new(ported)
        .setting(Board::new(data))
        .site(Base)
        .cookie_secret(secret.as_str())
        .login_url("/login")
        .xsrf_cookies(true)
        .template_path(folder.join("templates"))
        .load_translations(folder.join("locale"))
        .ui_module("Note", pages::NoteModule);
    let app =
        if step >= 1 { app.static_path(folder.join("static")).static_default_headers(true) } else { app };
    match upstream {
        Some(upstream) => app.fallback(proxy(upstream)),
        None => app,
    }
}

fn main() -> Result {
    let step = options::define("step", ALL).help("how many of the routes are moved");
    let upstream =
        options::define_opt::<String>("upstream").help("the Tornado process that answers the others");
    let data = options::define("data", PathBuf::from("notes.json")).help("where the notes are kept");
    options::parse_command_line()?;
    let (step, upstream, data) = (step.get(), upstream.get(), data.get());
    if step < ALL && upstream.is_none() {
        fail("--step needs --upstream, the Tornado process that answers the other routes");
    }
    let upstream = upstream.filter(|_| step < ALL);
    HttpServer::new(move || make_app(step, upstream.as_deref(), &data)).processes(1).run()
}
