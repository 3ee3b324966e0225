//! A members' area: a login form with an XSRF token and a signed cookie, an upload that goes to disk while it comes,
//! server-sent events, static pages. `cargo run --release --example members`, then http://localhost:8888/.
//!
//! Uploads are kept if `--uploads=FOLDER` says where.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use squall::escape::{is_local_url, url_escape, xhtml_escape};
use squall::httputil::{Cookie, SameSite};
use squall::web::{Event, MultipartReader};
use squall::{
    Application, Bytes, Context, HttpServer, OrStatus, RequestHandler, Result, Site, get, handler, options,
    url,
};

struct Members;

impl Site for Members {
    type User = String;

    async fn current_user(&self, ctx: &Context) -> Result<Option<String>> {
        Ok(ctx.signed_cookie("user"))
    }

    /// No inline scripts but our own, no framing: what every page should say.
    fn set_default_headers(&self, ctx: &Context) -> Result {
        ctx.set_header("X-Frame-Options", "DENY")?;
        ctx.set_header("X-Content-Type-Options", "nosniff")?;
        Ok(())
    }
}

fn page(ctx: &Context, title: &str, body: &str) -> Result {
    let style = xhtml_escape(&ctx.static_url("style.css")?).into_owned();
    ctx.write(format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><title>{title}</title>\
         <link rel=\"stylesheet\" href=\"{style}\"></head>\n<body><h1>{title}</h1>\n{body}\n</body></html>\n"
    ));
    Ok(())
}

async fn home(ctx: &Context) -> Result {
    let user = ctx.require_user::<String>().await?;
    let (user, token) = (xhtml_escape(&user).into_owned(), url_escape(ctx.xsrf_token()?).into_owned());
    let script = xhtml_escape(&ctx.static_url("home.js")?).into_owned();
    page(
        ctx,
        "Members",
        &format!(
            "<p id=\"greeting\">Hello, {user}</p>\n\
             <p>Counted: <span id=\"counter\">0</span></p>\n\
             <!-- The body of an upload is not read before the token is checked: it comes in the query. -->\n\
             <form action=\"/upload?_xsrf={token}\" method=\"post\" enctype=\"multipart/form-data\">\n\
             <input type=\"file\" name=\"file\"> <button id=\"upload\">Upload</button></form>\n\
             <p><a href=\"/static/about.html\">About</a> <a href=\"/logout\">Log out</a></p>\n\
             <script src=\"{script}\"></script>"
        ),
    )
}

#[derive(Clone)]
struct Login;

#[handler]
impl RequestHandler for Login {
    async fn get(&mut self, ctx: &Context) -> Result {
        let next = xhtml_escape(ctx.argument_or("next", "/")?).into_owned();
        let token = ctx.xsrf_form_html()?;
        let form = format!(
            "<form method=\"post\">{token}<input type=\"hidden\" name=\"next\" value=\"{next}\">\n\
             <label>Name <input name=\"name\" required></label> <button>Log in</button></form>"
        );
        page(ctx, "Log in", &form)
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        let cookie = Cookie::new("user", "").httponly(true).same_site(SameSite::Lax);
        ctx.set_signed_cookie_with(cookie, ctx.body_argument("name")?)?;
        ctx.redirect_with(local_url(ctx.argument_or("next", "/")?), 303)
    }
}

/// A redirect leads to this site and nowhere else, whatever the link to the login page said.
fn local_url(next: &str) -> &str {
    if is_local_url(next) { next } else { "/" }
}

async fn logout(ctx: &Context) -> Result {
    ctx.clear_cookie("user")?;
    ctx.redirect("/")
}

/// Counts to five, one event at a time.
async fn count(ctx: &Context) -> Result {
    ctx.require_user::<String>().await?;
    let events = ctx.event_stream()?;
    for number in 1..=5 {
        events.send(&Event::new().id(number.to_string()).data(number.to_string())).await?;
        if events.while_open(tokio::time::sleep(Duration::from_millis(20))).await.is_none() {
            break;
        }
    }
    Ok(())
}

/// Takes one file of up to a gigabyte, without holding it in memory.
#[derive(Clone)]
struct Upload {
    form: MultipartReader,
    folder: Option<Rc<Path>>,
}

#[handler(stream_body)]
impl RequestHandler for Upload {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        ctx.require_user::<String>().await?;
        self.form.start(ctx)
    }

    async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        self.form.data_received(ctx, chunk).await
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        let (_, file) = self.form.finish()?.into_files().into_iter().next().or_status(400)?;
        let length = file.len();
        let digest = digest(&file).await?;
        if let Some(folder) = &self.folder {
            let name = file.safe_filename().or_status(400)?.to_owned();
            file.persist(folder.join(name)).await?;
        }
        page(ctx, "Received", &format!("<p id=\"received\">{length} bytes, SHA-256 {digest}</p>"))
    }
}

/// The hash of a file, read a piece at a time.
async fn digest(file: &squall::web::UploadedFile) -> Result<String> {
    const PIECE: usize = 1 << 20;
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < file.len() {
        let piece = file.read_at(at, PIECE).await?;
        hash.update(&piece);
        at += piece.len() as u64;
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn make_app(uploads: Option<&Path>) -> Application {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/members/static");
    let mut form = MultipartReader::new().max_body_size(1 << 30).max_parts(1).accept(["file"]);
    if let Some(uploads) = uploads {
        form = form.spool_dir(uploads);
    }
    Application::new([
        get("/", home),
        url("/login", Login),
        get("/logout", logout),
        get("/count", count),
        url("/upload", Upload { form, folder: uploads.map(Rc::from) }),
    ])
    .site(Members)
    // One's own comes from the environment, not from the source.
    .cookie_secret("the example's secret, which everybody knows")
    .login_url("/login")
    .xsrf_cookies(true)
    .compress_response(true)
    .static_path(folder)
}

fn main() -> Result {
    let uploads = options::define_opt::<PathBuf>("uploads").help("where files are kept");
    options::parse_command_line()?;
    HttpServer::new(move || make_app(uploads.get().as_deref())).processes(1).run()
}
