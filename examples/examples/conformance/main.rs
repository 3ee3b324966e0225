//! One application that uses every part of `squall::web` once: the counterpart of a Tornado application, so that the
//! answers of the two can be compared byte by byte.
//!
//! Needs the static files, templates and translations of that application: `--root=FOLDER`. Listens on `--port` and,
//! with XSRF checks and a page of its own for unknown paths, on the port after it.

mod bodies;
mod page;
mod requests;
mod responses;
mod sockets;
mod text;
mod users;

use std::path::{Path, PathBuf};

use squall::web::{ErrorHandler, RedirectHandler, StaticFileHandler};
use squall::{
    Application, Context, Error, HttpServer, RequestHandler, Result, Site, get, handler, options, url,
};

/// A test value; the Tornado application uses the same.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What Tornado users put into their base handler.
struct Base;

impl Site for Base {
    type User = String;

    async fn current_user(&self, ctx: &Context) -> Result<Option<String>> {
        Ok(ctx.signed_cookie("user"))
    }

    /// Tornado's error page, which does not tell what was wrong with the request.
    async fn write_error(&self, ctx: &Context, _error: &Error) -> Result {
        ctx.write_default_error();
        Ok(())
    }
}

/// The page for unknown paths.
#[derive(Clone)]
struct NotFound;

#[handler]
impl RequestHandler for NotFound {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        ctx.set_status(404);
        let path = squall::escape::xhtml_escape(ctx.request().path());
        ctx.finish_with(format!("custom not found: {path}")).await
    }
}

fn make_app(root: &Path) -> Application {
    let files = StaticFileHandler::new(root.join("static")).default_filename("index.html");
    let routes = responses::routes()
        .into_iter()
        .chain(requests::routes())
        .chain(bodies::routes())
        .chain(sockets::routes())
        .chain(users::routes())
        .chain(text::routes())
        .chain(page::routes())
        .chain([
            url(r"/old/(.*)", RedirectHandler::new("/hello?from={0}")),
            url("/gone", ErrorHandler::new(410)),
            url(r"/files/(.*)", files),
        ]);
    let special = get("/host", async |ctx: &Context| {
        ctx.write("special host");
        Ok(())
    });
    Application::new(routes)
        .add_handlers(r"special\.example", [special])
        .site(Base)
        .cookie_secret(SECRET)
        .login_url("/login")
        .load_translations(root.join("locale"))
        .static_path(root.join("static"))
        .template_path(root.join("templates"))
        .ui_module("Entry", page::Entry)
        .ui_method("shout", page::shout)
        .compress_response(true)
        .websocket_max_message_size(1 << 20)
}

fn server(make: impl Fn() -> Application + 'static) -> HttpServer {
    HttpServer::new(make)
        .h2c(options::get("h2c"))
        .xheaders(true)
        .decompress_request(true)
        .max_body_size(4 << 20)
        .max_header_size(16 << 10)
}

#[squall::main]
async fn main() -> Result {
    let port = options::define("port", 9300_u16).help("of two, one after the other");
    let root = options::define("root", PathBuf::from("../shared/oracle")).help("where the files are");
    options::parse_command_line()?;
    let (port, root) = (port.get(), root.get());
    let plain = server({
        let root = root.clone();
        move || make_app(&root)
    });
    let checked = server(move || make_app(&root).xsrf_cookies(true).default_handler(NotFound));
    plain.listen(port)?;
    checked.listen(port + 1)?;
    println!("listening on ports {port} and {}", port + 1);
    plain.serve().await // and the other with it
}
