//! Hooks around handlers: their order, and what they see of errors.

use squall::testing::serve;
use squall::web::{delegate, rules};
use squall::{
    Application, Bytes, Context, Error, HttpError, RequestHandler, Result, Site, get, handler, post, url,
};

use super::Log;

/// Adds the three kinds of hooks, which write their name into the log.
macro_rules! logged {
    ($to:expr, $log:expr, $name:literal) => {{
        let logs = [$log.clone(), $log.clone(), $log.clone()];
        let [before, after, finish] = logs;
        $to.before(async move |_: &Context| {
            before.add(concat!("+", $name));
            Ok(())
        })
        .after(move |ctx| {
            after.add(format!("{}:{}", $name, ctx.status()));
            ctx.set_header(concat!("X-", $name), "yes")?;
            Ok(())
        })
        .on_finish(move |_| finish.add(concat!("-", $name)))
    }};
}

#[derive(Clone)]
struct Logged(Log);

#[handler]
impl RequestHandler for Logged {
    async fn prepare(&mut self, _ctx: &Context) -> Result {
        self.0.add("prepare");
        Ok(())
    }

    async fn get(&mut self, ctx: &Context) -> Result {
        self.0.add("get");
        match ctx.argument_opt("then")? {
            Some("error") => return Err(HttpError::new(409).into()),
            Some("panic") => panic!("on purpose"),
            Some("flush") => {
                ctx.write("part");
                ctx.flush().await?;
            }
            Some("send_error") => return ctx.send_error(410).await,
            Some("redirect") => return ctx.redirect("/"),
            Some("early") => return Err(Error::finish()),
            _ => ctx.write("hello"),
        }
        Ok(())
    }

    fn on_finish(&mut self, _ctx: &Context) {
        self.0.add("on_finish");
    }
}

struct LoggedSite(Log);

impl Site for LoggedSite {
    type User = ();

    async fn prepare(&self, _ctx: &Context) -> Result {
        self.0.add("site");
        Ok(())
    }
}

#[squall::test(timeout = 60)]
async fn order() {
    let log = Log::default();
    let routes = [rules("/in/.*", [logged!(url("/in/route", Logged(log.clone())), log, "route")])];
    let [group] = routes;
    let group = logged!(group, log, "group");
    let app =
        Application::new([group, get("/plain", async |_: &Context| Ok(()))]).site(LoggedSite(log.clone()));
    let server = serve(logged!(app, log, "app"));

    for (then, status) in [
        ("", 200),
        ("error", 409),
        ("panic", 500),
        ("flush", 200),
        ("send_error", 410),
        ("redirect", 302),
        ("early", 200),
    ] {
        let response = server.get(&format!("/in/route?then={then}")).await;
        response.assert_status(status);
        for name in ["X-App", "X-Group", "X-Route"] {
            response.assert_header(name, "yes");
        }
        let after = format!("route:{status} group:{status} app:{status}");
        let expected = format!("+app +group +route site prepare get {after} on_finish -route -group -app");
        assert_eq!(log.take(), expected, "{then}");
    }
    server.get("/plain").await.assert_status(200);
    assert_eq!(log.take(), "+app site app:200 -app");
    // What no route takes, and a method that the handler lacks.
    server.get("/in/none").await.assert_status(404).assert_header("X-App", "yes");
    assert_eq!(log.take(), "+app app:404 -app");
    server.post("/in/route").await.assert_status(405).assert_header("X-Route", "yes");
    assert_eq!(
        log.take(),
        "+app +group +route site prepare route:405 group:405 app:405 on_finish -route -group -app"
    );
    // The path is no UTF-8.
    server.get("/in/route%ff").await.assert_status(404);
    // A 304 is decided behind the hooks, which may still add to the body.
    let tag = server.get("/in/route").await.header("Etag").unwrap().to_owned();
    server
        .get("/in/route")
        .header("If-None-Match", tag)
        .await
        .assert_status(304)
        .assert_header("X-Group", "yes");
}

#[squall::test(timeout = 60)]
async fn before_may_answer_or_fail() {
    let log = Log::default();
    let app = Application::new([url("/", Logged(log.clone()))])
        .before(async |ctx: &Context| match ctx.argument_opt("do")? {
            Some("finish") => ctx.finish_with("from the hook").await,
            Some("error") => Err(HttpError::new(401).header("WWW-Authenticate", "Bearer").into()),
            Some("panic") => panic!("on purpose"),
            Some("redirect") => ctx.redirect("/login"),
            _ => Ok(()),
        })
        .before({
            let log = log.clone();
            async move |_: &Context| {
                log.add("second");
                Ok(())
            }
        });
    let server = serve(app);
    server.get("/?do=finish").await.assert_status(200).assert_text("from the hook");
    server.get("/?do=error").await.assert_status(401).assert_header("WWW-Authenticate", "Bearer");
    server.get("/?do=panic").await.assert_status(500);
    server.get("/?do=redirect").await.assert_redirect("/login");
    assert_eq!(log.take(), "on_finish on_finish on_finish on_finish");
    server.get("/").await.assert_text("hello");
    assert_eq!(log.take(), "second prepare get on_finish");
}

#[squall::test(timeout = 60)]
async fn after_may_change_the_response() {
    let server = serve(
        Application::new([
            get("/", async |ctx: &Context| {
                ctx.write("hello");
                Ok(())
            }),
            get("/flushed", async |ctx: &Context| {
                ctx.write("hello");
                ctx.flush().await?;
                ctx.write(" more");
                Ok(())
            }),
        ])
        .after(|ctx| {
            match ctx.argument_opt("do")? {
                Some("status") => ctx.set_status(202),
                Some("write") => ctx.write("!"),
                Some("none") => {
                    ctx.clear();
                    ctx.set_status(204);
                }
                Some("error") => return Err(HttpError::new(503).into()),
                Some("always") => panic!("on purpose"),
                Some("finish") if ctx.status() == 200 => return ctx.redirect("/elsewhere"),
                _ => {}
            }
            Ok(())
        })
        .after(|ctx| Ok(ctx.set_header("X-Seen", ctx.status())?)),
    );
    server.get("/?do=status").await.assert_status(202).assert_text("hello");
    server
        .get("/?do=write")
        .await
        .assert_status(200)
        .assert_text("hello!")
        .assert_header("Content-Length", "6");
    server.get("/?do=none").await.assert_status(204).assert_text("");
    server.get("/flushed?do=status").await.assert_status(202).assert_text("hello more");
    server.get("/flushed?do=write").await.assert_text("hello! more");
    // An error becomes the answer; when it comes for that page too the page goes out as it is.
    for path in ["/?do=error", "/flushed?do=error"] {
        server.get(path).await.assert_status(503).assert_header("X-Seen", "503").assert_text_contains("503");
    }
    server.get("/?do=always").await.assert_status(500).assert_header("X-Seen", "500");
    // It cannot end the response itself.
    server.get("/?do=finish").await.assert_status(500);
}

#[squall::test(timeout = 60)]
async fn functions_of_one_pattern_have_their_own() {
    let log = Log::default();
    let write = async |ctx: &Context| {
        ctx.write(ctx.method().as_str());
        Ok(())
    };
    let server = serve(Application::new([
        logged!(get("/", write), log, "get"),
        logged!(post("/", write), log, "post"),
    ]));
    server.get("/").await.assert_text("GET").assert_header("X-Get", "yes");
    assert_eq!(log.take(), "+get get:200 -get");
    server.head("/").await.assert_header("X-Get", "yes");
    assert_eq!(log.take(), "+get get:200 -get");
    let response = server.post("/").await;
    response.assert_text("POST").assert_header("X-Post", "yes");
    assert_eq!(response.header("X-Get"), None);
    assert_eq!(log.take(), "+post post:200 -post");
    server.put("/").await.assert_status(405);
    assert_eq!(log.take(), "");
}

#[derive(Clone)]
struct Upload(Log);

#[handler(stream_body)]
impl RequestHandler for Upload {
    async fn data_received(&mut self, _ctx: &Context, chunk: Bytes) -> Result {
        self.0.add(format!("data{}", chunk.len()));
        Ok(())
    }

    async fn post(&mut self, _ctx: &Context) -> Result {
        self.0.add("post");
        Ok(())
    }
}

#[squall::test(timeout = 60)]
async fn before_a_streamed_body() {
    let log = Log::default();
    let app = Application::new([url("/", Upload(log.clone()))]).before(async |ctx: &Context| {
        if ctx.argument_opt("deny")?.is_some() { Err(HttpError::new(403).into()) } else { Ok(()) }
    });
    let server = serve(logged!(app, log, "app"));
    server.post("/").body("abc").await.assert_status(200);
    assert_eq!(log.take(), "+app data3 post app:200 -app");
    // Nothing of the body is taken; the client sees the answer though it has sent all.
    server.post("/?deny").body("abc").await.assert_status(403);
    assert_eq!(log.take(), "app:403 -app");
}

#[squall::test(timeout = 60)]
async fn a_group_with_hooks_has_no_gaps() {
    let low = || delegate("/in/low", squall::httpserver::callback(|_| {}));
    let hooked = rules("/in/.*", [rules("/in/.*", [low()])]).before(async |_: &Context| Ok(()));
    let problem = Application::new([hooked]).listen(0).unwrap_err().to_string();
    assert!(problem.contains("hooks.rs:") && problem.contains("\"/in/low\""), "{problem}");
    // Those of an application are for handlers, as it says.
    Application::new([low()]).before(async |_: &Context| Ok(())).route_table().unwrap();
}
