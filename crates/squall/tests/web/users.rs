//! Who asks, and where those are sent who do not say.

use std::rc::Rc;

use squall::testing::serve;
use squall::{Application, Context, RequestHandler, Result, Site, handler, url};

#[derive(Clone)]
struct Private;

#[handler(authenticated)]
impl RequestHandler for Private {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        if ctx.argument_opt("as")?.is_some() {
            ctx.set_user(Some(Rc::new("set".to_owned())));
        }
        Ok(())
    }

    async fn get(&mut self, ctx: &Context) -> Result {
        let user = ctx.require_user::<String>().await?;
        ctx.write(&*user);
        Ok(())
    }

    async fn post(&mut self, _ctx: &Context) -> Result {
        Ok(())
    }
}

struct Blog;

impl Site for Blog {
    type User = String;

    async fn current_user(&self, ctx: &Context) -> Result<Option<String>> {
        Ok(ctx.request().headers().get("X-User").map(str::to_owned))
    }

    fn login_url(&self, ctx: &Context) -> Option<String> {
        ctx.argument_opt("own").ok().flatten().map(|_| "/own".to_owned())
    }
}

fn app(login: &str) -> Application {
    Application::new([url("/auth", Private)]).site(Blog).login_url(login)
}

#[squall::test(timeout = 30)]
async fn login() {
    let here = serve(app("/login"));
    here.get("/auth?x=1").await.assert_status(302).assert_header("Location", "/login?next=%2Fauth%3Fx%3D1");
    here.get("/auth?own=1").await.assert_header("Location", "/own?next=%2Fauth%3Fown%3D1");
    here.head("/auth").await.assert_status(302);
    here.post("/auth").await.assert_status(403).assert_text_contains("403: Forbidden: Login required");
    here.get("/auth").header("X-User", "ann").await.assert_text("ann");
    here.get("/auth?as=1").header("X-User", "ann").await.assert_text("set");

    let with_query = serve(app("/login?a=1"));
    with_query.get("/auth").await.assert_header("Location", "/login?a=1");

    let elsewhere = serve(app("https://login.example/"));
    let next = format!("http%3A%2F%2F127.0.0.1%3A{}%2Fauth", elsewhere.port());
    let location = format!("https://login.example/?next={next}");
    elsewhere.get("/auth").await.assert_status(302).assert_header("Location", &location);

    let nowhere = serve(Application::new([url("/auth", Private)]).site(Blog));
    nowhere.get("/auth").await.assert_status(500);
}

/// A login page sends its users on to `next`: nobody may make that another host by the path they ask for.
#[squall::test(timeout = 30)]
async fn next_stays_on_this_host() {
    let server = serve(Application::new([url("/.*", Private)]).site(Blog).login_url("/login"));
    for (target, next) in [
        ("/a//b?x=//y", "/a//b?x=//y"),
        ("//evil.example/a?x=1", "/evil.example/a?x=1"),
        ("///evil.example", "/evil.example"),
        ("/\\evil.example", "/evil.example"),
        ("/%09/evil.example", "/%09/evil.example"),
        ("http://evil.example//evil.example/", "/evil.example/"),
    ] {
        let answer = server.raw(format!("GET {target} HTTP/1.0\r\nHost: h\r\n\r\n")).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let location = format!("\r\nLocation: /login?next={}\r\n", squall::escape::url_escape(next));
        assert!(answer.contains(&location) || answer.starts_with("HTTP/1.1 400"), "{target}: {answer}");
        assert!(squall::escape::is_local_url(next));
    }
}
