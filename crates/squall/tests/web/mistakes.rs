//! Mistakes of the application: what is told names its file and line, not squall's.

use std::panic::Location;
use std::rc::Rc;

use squall::httputil::Cookie;
use squall::template::Value;
use squall::testing::{TestServer, serve};
use squall::web::{CookieSecret, Event, SignedVersion, StaticUrl};
use squall::{Application, Context, Result, Site, get};

type Mistake = Rc<dyn Fn(&Context) -> Result>;

/// A mistake, what is said of it, and the line on which it stands here.
fn mistake(
    says: &'static str,
    make: impl Fn(&Context) -> Result + 'static,
    line: u32,
) -> (&'static str, Mistake, u32) {
    (says, Rc::new(make), line)
}

/// Errors, whose place is told by the error and in the log.
#[rustfmt::skip] // a line each
fn errors() -> Vec<(&'static str, Mistake, u32)> {
    vec![
        mistake("no_such.html", |ctx| ctx.render("no_such.html", ()), line!()),
        mistake("no_such.html", |ctx| ctx.render_string("no_such.html", ()).map(drop), line!()),
        mistake("name 'nobody' is not defined", |ctx| ctx.render("wrong.html", ()), line!()),
        mistake("nowhere not found in named urls", |ctx| ctx.reverse_url("nowhere", &[]).map(drop), line!()),
        mistake("no path argument who", |ctx| ctx.path_arg::<u8>("who").map(drop), line!()),
        mistake("no path argument who", |ctx| ctx.path_arg_opt_str("who").map(drop), line!()),
        mistake("404 is no redirect", |ctx| ctx.redirect_with("/", 404), line!()),
        mistake("static_path", |ctx| ctx.static_url("a.css").map(drop), line!()),
        mistake("static_path", |ctx| ctx.static_url_with("a", StaticUrl::default()).map(drop), line!()),
        mistake("event stream with 204", no_events, EVENTS),
    ]
}

const EVENTS: u32 = line!() + 3;
fn no_events(ctx: &Context) -> Result {
    ctx.set_status(204);
    ctx.event_stream().map(drop)
}

/// Panics, whose place the panic tells.
#[rustfmt::skip] // a line each
fn panics() -> Vec<(&'static str, Mistake, u32)> {
    #[expect(clippy::unnecessary_wraps, reason = "a handler gives it on")]
    fn done(ctx: &Context, call: impl Fn(&Context)) -> Result {
        call(ctx);
        Ok(())
    }
    vec![
        mistake("99 is no status", |ctx| done(ctx, |ctx| ctx.set_status(99)), line!()),
        mistake("1000 is no status", |ctx| done(ctx, |ctx| ctx.set_status_reason(1000, "x")), line!()),
        mistake("cookie_secret", |ctx| done(ctx, |ctx| drop(ctx.signed_cookie("a"))), line!()),
        mistake("cookie_secret", |ctx| ctx.set_signed_cookie("a", "b"), line!()),
        mistake("cookie_secret", |ctx| ctx.set_signed_cookie_with(Cookie::new("a", ""), "b"), line!()),
        mistake("cookie_secret", |ctx| ctx.create_signed_value("a", "b", SignedVersion::V2).map(drop), line!()),
        mistake("after finish()", |ctx| done(ctx, |ctx| finished(ctx).write("x")), line!()),
        mistake("after finish()", |ctx| finished(ctx).write_json(&1), line!()),
        mistake("after finish()", |ctx| finished(ctx).render("page.html", ()), line!()),
        mistake("after finish()", |ctx| done(ctx, |ctx| drop(finished(ctx).finish_with("x"))), line!()),
    ]
}

/// The response is a redirect, complete.
fn finished(ctx: &Context) -> &Context {
    if !ctx.is_finished() {
        ctx.redirect("/").unwrap();
    }
    ctx
}

/// Keeps where it was that something went wrong, for whoever asks next.
struct Noting(Rc<std::cell::Cell<Option<&'static Location<'static>>>>);

impl Site for Noting {
    type User = ();

    async fn write_error(&self, ctx: &Context, error: &squall::Error) -> Result {
        self.0.set(error.location());
        ctx.write(format!("{error:?}"));
        Ok(())
    }
}

fn app(mistakes: Vec<(&'static str, Mistake, u32)>, folder: &tempfile::TempDir) -> Application {
    std::fs::write(folder.path().join("page.html"), "page").unwrap();
    std::fs::write(folder.path().join("wrong.html"), "{{ nobody }}").unwrap();
    let routes = mistakes
        .into_iter()
        .enumerate()
        .map(|(at, (_, make, _))| get(format!("/{at}"), async move |ctx: &Context| make(ctx)));
    Application::new(routes).template_path(folder.path())
}

#[squall::test(timeout = 60)]
async fn errors_name_the_line_of_the_application() {
    let folder = tempfile::tempdir().unwrap();
    let found = Rc::new(std::cell::Cell::new(None));
    let (log, _guard) = crate::log::Lines::capture();
    let server = serve(app(errors(), &folder).site(Noting(Rc::clone(&found))));
    warm_up(&server, errors().len()).await;
    for (at, (says, _, line)) in errors().into_iter().enumerate() {
        log.take();
        let page = server.get(&format!("/{at}")).await;
        page.assert_status(500);
        let place = found.take().unwrap_or_else(|| panic!("no place: {}", page.text()));
        assert_eq!((place.file(), place.line()), (file!(), line), "{}", page.text());
        assert!(page.text().contains(says), "{says}: {}", page.text());
        let told = log.take();
        let place = format!("(at {}:{line})", file!());
        assert!(told.contains(says) && told.contains(&place), "{says}, {place}: {told}");
    }
}

/// Whether a line is wanted is remembered when it is first met, perhaps by a test on another thread that wants none.
async fn warm_up(server: &TestServer, count: usize) {
    for at in 0..count {
        server.get(&format!("/{at}")).await;
    }
    tracing::callsite::rebuild_interest_cache();
}

/// Where several mistakes are made by one call, the first is told; where an error is of the application's own, its line.
#[squall::test(timeout = 60)]
async fn an_error_of_ones_own_keeps_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let found = Rc::new(std::cell::Cell::new(None));
    const LINE: u32 = line!() + 1;
    let fails = |_: &Context, _: &[Value]| -> Result<_> { Err(std::io::Error::other("own"))? };
    std::fs::write(folder.path().join("calls.html"), "{{ fails() }}").unwrap();
    let routes = [get("/", async |ctx: &Context| ctx.render("calls.html", ()))];
    let app = Application::new(routes).template_path(folder.path()).ui_method("fails", fails);
    let server = serve(app.site(Noting(Rc::clone(&found))));
    server.get("/").await.assert_status(500);
    let place = found.take().unwrap();
    assert_eq!((place.file(), place.line()), (file!(), LINE));
}

#[squall::test(timeout = 60)]
async fn panics_name_the_line_of_the_application() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _guard) = crate::log::Lines::capture();
    // Has the place remembered for the log, too.
    let server = serve(app(panics(), &folder).serve_traceback(true));
    warm_up(&server, panics().len()).await;
    for (at, (says, _, line)) in panics().into_iter().enumerate() {
        log.take();
        server.get(&format!("/{at}")).await;
        let told = log.take();
        let place = format!("(at {}:{line}:", file!());
        assert!(told.contains(says) && told.contains(&place), "{says}, {place}: {told}");
    }
}

/// A secret without a key version cannot sign: that is the setting's mistake, found when the application starts.
#[squall::test]
async fn what_can_be_found_at_the_start_is_found_there() {
    let keys = CookieSecret::keys([(1, "a"), (2, "b")]);
    let error = Application::new([]).cookie_secret(keys).route_table().unwrap_err();
    assert!(error.to_string().contains("key_version"), "{error}");
}

/// Whose users are texts.
struct Texts;

impl Site for Texts {
    type User = String;

    async fn current_user(&self, _: &Context) -> Result<Option<String>> {
        Ok(Some("ann".to_owned()))
    }
}

/// A mistake with a function that waits: where it stands, what is said of it.
#[rustfmt::skip] // a line each
async fn waiting(which: usize, ctx: &Context) -> Option<(u32, &'static str, squall::Error)> {
    Some(match which {
        0 => (line!(), "Cannot flush() after finish()", finished(ctx).flush().await.unwrap_err()),
        1 => (line!(), "finish() called twice", finished(ctx).finish().await.unwrap_err()),
        2 => (line!(), "after headers written", finished(ctx).send_error(404).await.unwrap_err()),
        3 => (line!(), "The site's User is not u8", ctx.user::<u8>().await.unwrap_err()),
        4 => (line!(), "The site's User is not u8", ctx.require_user::<u8>().await.unwrap_err()),
        5 => (line!(), "holds a line end", ctx.event_stream().unwrap().send(&Event::new().id("\n")).await.unwrap_err()),
        6 => {
            ctx.set_header("Content-Length", 5).unwrap();
            (line!(), "Content-Length is 5", ctx.finish_with("abc").await.unwrap_err())
        }
        _ => return None,
    })
}

#[squall::test(timeout = 60)]
async fn what_waits_names_the_line_of_the_application() {
    let server = serve(
        Application::new([get("/{which}", async |ctx: &Context| {
            let Some((line, says, error)) = waiting(ctx.path_arg("which")?, ctx).await else { return Ok(()) };
            let place = error.location().unwrap_or_else(|| panic!("no place: {error}"));
            assert_eq!((place.file(), place.line()), (file!(), line), "{error}");
            assert!(error.to_string().contains(says), "{says}: {error}");
            MADE.set(MADE.get() + 1);
            Ok(())
        })])
        .site(Texts),
    );
    for which in 0..8 {
        server.get(&format!("/{which}")).await;
    }
    assert_eq!(MADE.get(), 7, "the log says which was not as it should be");
}

thread_local! {
    static MADE: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}
