//! Layers around handlers, values of a request, and groups of routes with sites of their own (DESIGN, "Around a handler").

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use squall::log::LogFormatter;
use squall::template::Value;
use squall::testing::serve;
use squall::web::{self, Next, RequestId, StaticFileHandler, nest};
use squall::{
    Application, Context, Error, HttpError, RequestHandler, Result, Site, context, get, handler, post, url,
};

use super::Log;

/// Logs what it sees on both ways.
fn layer(log: &Log, name: &'static str) -> impl AsyncFn(&Context, Next<'_>) -> Result + 'static {
    let log = log.clone();
    async move |ctx: &Context, next: Next<'_>| {
        log.add(format!("+{name}"));
        let result = next.run(ctx).await;
        match &result {
            Ok(()) => log.add(format!("-{name}:{}", ctx.status())),
            Err(error) => log.add(format!("-{name}!{error}")),
        }
        result
    }
}

async fn page(ctx: &Context) -> Result {
    match ctx.argument_opt("then")? {
        Some("error") => Err(HttpError::new(409).into()),
        Some("panic") => panic!("on purpose"),
        Some("wait") => {
            std::future::pending::<()>().await;
            Ok(())
        }
        _ => {
            ctx.write("hello");
            Ok(())
        }
    }
}

#[squall::test(timeout = 60)]
async fn layers_stand_around_each_other_in_the_order_of_adding() {
    let log = Log::default();
    let before = log.clone();
    let app = Application::new([
        nest("/in", [get("/x", page).around(layer(&log, "route"))]).around(layer(&log, "group")),
        get("/instead", page).around(async |ctx: &Context, _next: Next<'_>| {
            ctx.set_status(202);
            ctx.write("instead");
            Ok(())
        }),
        get("/mended", page).around(async |ctx: &Context, next: Next<'_>| {
            if next.run(ctx).await.is_err() {
                ctx.write("mended");
            }
            Ok(())
        }),
    ])
    .around(layer(&log, "app"))
    .before(async move |_: &Context| {
        before.add("before");
        Ok(())
    })
    .around(layer(&log, "app2"));
    let server = serve(app);
    server.get("/in/x").await.assert_text("hello");
    assert_eq!(log.take(), "+app before +app2 +group +route -route:200 -group:200 -app2:200 -app:200");
    server.get("/in/x?then=error").await.assert_status(409);
    assert!(log.take().ends_with("+route -route!HTTP 409: Conflict -group!HTTP 409: Conflict -app2!HTTP 409: Conflict -app!HTTP 409: Conflict"));
    server.get("/in/x?then=panic").await.assert_status(500);
    assert!(log.take().ends_with(
        "-route!panic: on purpose -group!panic: on purpose -app2!panic: on purpose -app!panic: on purpose"
    ));
    // Unknown paths under the prefix are the group's.
    server.get("/in/unknown").await.assert_status(404);
    assert_eq!(
        log.take(),
        "+app before +app2 +group -group!HTTP 404: Not Found -app2!HTTP 404: Not Found -app!HTTP 404: Not Found"
    );
    server.get("/unknown").await.assert_status(404);
    assert!(!log.take().contains("group"));
    server.get("/instead").await.assert_status(202).assert_text("instead");
    server.get("/mended?then=panic").await.assert_status(200).assert_text("mended");
}

#[squall::test(timeout = 60)]
async fn a_layer_that_panics_is_an_error_to_those_around_it() {
    let log = Log::default();
    let app = Application::new([get("/", page)])
        .around(layer(&log, "outer"))
        .around(async |_: &Context, _: Next<'_>| panic!("the layer"));
    let server = serve(app);
    server.get("/").await.assert_status(500);
    assert_eq!(log.take(), "+outer -outer!panic: the layer");
    server.get("/").await.assert_status(500);
}

#[squall::test(timeout = 60)]
async fn timeouts_and_limits() {
    let inside = Rc::new(Cell::new((0, 0)));
    let counted = Rc::clone(&inside);
    let app = Application::new([
        get("/slow", page).around(web::timeout(Duration::from_millis(1))),
        get("/slower", page).around(web::timeout_with(Duration::from_millis(1), || HttpError::new(504))),
        get("/few", async move |ctx: &Context| {
            let (now, most) = counted.get();
            counted.set((now + 1, most.max(now + 1)));
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            let (now, most) = counted.get();
            counted.set((now - 1, most));
            ctx.write("done");
            Ok(())
        })
        .around(web::concurrency_limit(2)),
    ]);
    let server = serve(app);
    server.get("/slow?then=wait").await.assert_status(503).assert_text_contains("took too long");
    server.get("/slower?then=wait").await.assert_status(504);
    let requests = (0..10).map(|_| server.get("/few").into_future());
    for response in futures_util::future::join_all(requests).await {
        response.assert_text("done");
    }
    assert_eq!(inside.get(), (0, 2));
}

struct Tenant(&'static str);

#[squall::test(timeout = 60)]
async fn values_of_a_request() {
    let app = Application::new([
        get("/", async |ctx: &Context| {
            ctx.clear();
            assert!(ctx.get::<String>().is_none());
            ctx.write(ctx.get::<Tenant>().unwrap().0);
            Ok(())
        }),
        get("/again/{id}", async |ctx: &Context| {
            ctx.insert(Tenant("second"));
            ctx.write(ctx.get::<Tenant>().unwrap().0);
            ctx.write(format!(" {:?} {:?}", ctx.route_pattern(), ctx.route_name()));
            Ok(())
        })
        .name("again"),
    ])
    .before(async |ctx: &Context| {
        ctx.insert(Tenant("first"));
        Ok(())
    });
    let server = serve(app);
    server.get("/").await.assert_text("first");
    server.get("/again/1").await.assert_text("second Some(\"/again/{id}\") Some(\"again\")");
}

/// The user is found after a wait, as in a database.
struct Pages;

impl Site for Pages {
    type User = String;

    async fn current_user(&self, ctx: &Context) -> Result<Option<String>> {
        let turns = ctx.request().headers().get("X-Turns").and_then(|turns| turns.parse().ok()).unwrap_or(3);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        Ok(ctx.request().headers().get("X-User").map(str::to_owned))
    }

    fn user_value(&self, user: &String) -> Value {
        Value::from(user.clone())
    }

    async fn write_error(&self, ctx: &Context, error: &Error) -> Result {
        ctx.render("error.html", context! { status => error.status() })
    }

    fn set_default_headers(&self, ctx: &Context) -> Result {
        Ok(ctx.set_header("X-Site", "pages")?)
    }
}

/// Defines some of it; the rest is [`Pages`]'.
struct Api;

impl Site for Api {
    type User = u64;

    async fn write_error(&self, ctx: &Context, error: &Error) -> Result {
        ctx.write_json(&serde_json::json!({ "error": error.status() }))
    }

    fn set_default_headers(&self, ctx: &Context) -> Result {
        Ok(ctx.set_header("X-Site", "api")?)
    }

    fn check_xsrf(&self, _ctx: &Context) -> Result {
        Ok(())
    }
}

/// Has users of its own.
struct Internal;

impl Site for Internal {
    type User = u64;

    async fn current_user(&self, _ctx: &Context) -> Result<Option<u64>> {
        Ok(Some(7))
    }
}

#[derive(Clone)]
struct Private;

#[handler(authenticated)]
impl RequestHandler for Private {
    async fn get(&mut self, ctx: &Context) -> Result {
        let user = ctx.require_user::<String>().await?;
        ctx.write(&*user);
        Ok(())
    }
}

fn two_sites(folder: &tempfile::TempDir) -> Application {
    let templates = folder.path().join("templates");
    std::fs::create_dir(&templates).unwrap();
    let page = "{% if current_user %}{{ current_user }}{% else %}nobody{% end %}: {{ status }}";
    std::fs::write(templates.join("error.html"), page).unwrap();
    std::fs::write(folder.path().join("style.css"), "a{}").unwrap();
    let fails = async |_: &Context| -> Result { Err(io::Error::other("why"))? };
    Application::new([
        get("/", async |ctx: &Context| {
            ctx.write("home");
            Ok(())
        }),
        post("/", async |_: &Context| Ok(())),
        get("/fails", fails),
        get("/forbidden", async |_: &Context| Err(HttpError::new(403).into())),
        url("/private", Private),
        url("/files/(.*)", StaticFileHandler::new(folder.path())),
        url("/own/(.*)", StaticFileHandler::new(folder.path())).default_headers(true),
        nest(
            "/api/v1.0",
            [
                get("/notes/{id}", async |ctx: &Context| {
                    ctx.write(ctx.path_arg_str("id")?);
                    Ok(())
                })
                .name("note"),
                post("/notes", async |_: &Context| Ok(())),
                get("/fails", fails),
                get("/whoami", async |ctx: &Context| {
                    ctx.write(ctx.require_user::<String>().await?.as_bytes());
                    Ok(())
                }),
                nest(
                    "/internal",
                    [get("/whoami", async |ctx: &Context| {
                        ctx.write(ctx.require_user::<u64>().await?.to_string());
                        Ok(())
                    })],
                )
                .site(Internal),
            ],
        )
        .site(Api),
    ])
    .site(Pages)
    .template_path(templates)
    .login_url("/login")
    .xsrf_cookies(true)
    .cookie_secret("a secret of some length, for tests only")
}

#[squall::test(timeout = 60)]
async fn two_groups_with_different_sites() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(two_sites(&folder));
    server.get("/").await.assert_text("home").assert_header("X-Site", "pages");
    server.get("/nowhere").header("X-User", "ann").await.assert_status(404).assert_text("ann: 404");
    server.get("/fails").await.assert_status(500).assert_text("nobody: 500");
    server.post("/").await.assert_status(403).assert_text("nobody: 403");
    assert_eq!(server.get("/files/style.css").await.assert_text("a{}").header("X-Site"), None);
    server.get("/own/style.css").await.assert_header("X-Site", "pages");

    server.get("/api/v1.0/notes/7").await.assert_text("7").assert_header("X-Site", "api");
    server.post("/api/v1.0/notes").await.assert_status(200);
    server.get("/api/v1.0/fails").await.assert_status(500).assert_text("{\"error\":500}");
    server.get("/api/v1.0/nowhere").await.assert_status(404).assert_text("{\"error\":404}");
    server.get("/api/v1.0").await.assert_status(404).assert_text("{\"error\":404}");
    server.put("/api/v1.0/fails").await.assert_status(405).assert_text("{\"error\":405}");
    server.get("/api/v1x0/notes/7").await.assert_status(404).assert_text("nobody: 404");
    // Users are those of the site around it; the type is theirs too.
    server.get("/api/v1.0/whoami").header("X-User", "ann").await.assert_text("ann");
    server.get("/api/v1.0/internal/whoami").await.assert_text("7").assert_header("X-Site", "api");
    server.get("/api/v1.0/internal/x").await.assert_status(404).assert_text("{\"error\":404}");
    // A preflight has no credentials.
    server.options("/private").await.assert_status(204).assert_header("Allow", "GET, HEAD, OPTIONS");
    server.get("/private").await.assert_status(302);
}

#[squall::test(timeout = 120)]
async fn every_error_page_knows_the_user_whatever_waits() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(two_sites(&folder));
    let mut seed = 20_261_128_u64;
    for _ in 0..1_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (status, request) = match (seed >> 33) % 4 {
            0 => (404, server.get("/nowhere")),
            1 => (405, server.request("REPORT", "/fails")),
            2 => (403, server.get("/forbidden")),
            _ => (500, server.get("/fails")),
        };
        let turns = (seed >> 40) % 12;
        let response = request.header("X-User", "ann").header("X-Turns", turns).await;
        response.assert_status(status).assert_text(&format!("ann: {status}"));
    }
}

#[squall::test(timeout = 60)]
async fn a_request_id_is_in_the_response_and_in_every_line_of_the_log() {
    let (lines, _guard) = crate::log::Lines::capture_by(|lines| {
        let builder = tracing_subscriber::fmt().with_ansi(true);
        builder.event_format(LogFormatter::new()).with_writer(lines).finish()
    });
    let app = Application::new([
        get("/", async |ctx: &Context| {
            tracing::info!("looking");
            tokio::task::yield_now().await;
            ctx.write(ctx.get::<RequestId>().unwrap().as_str());
            Ok(())
        }),
        get("/fails", async |_: &Context| Err(io::Error::other("the cause"))?),
    ])
    .around(web::request_id());
    let server = serve(app);
    // Whether a line is wanted is remembered when it is first met, perhaps by a test on another thread that wants none.
    for path in ["/", "/fails", "/unknown"] {
        server.get(path).await;
    }
    tracing::callsite::rebuild_interest_cache();
    server
        .get("/")
        .header("X-Request-Id", "abc-1")
        .await
        .assert_header("X-Request-Id", "abc-1")
        .assert_text("abc-1");
    server
        .get("/fails")
        .header("X-Request-Id", "abc-2")
        .await
        .assert_status(500)
        .assert_header("X-Request-Id", "abc-2");
    let (first, second) = (server.get("/").await, server.get("/").header("X-Request-Id", "a b").await);
    assert!(first.text().len() >= 18 && first.text() != second.text() && second.text() != "a b");
    server
        .get("/unknown")
        .header("X-Request-Id", "abc-3")
        .await
        .assert_status(404)
        .assert_header("X-Request-Id", "abc-3");

    let text = lines.take();
    let has = |parts: &[&str]| text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(has(&["looking", "request_id=abc-1"]), "{text}");
    assert!(has(&["200 GET /", "request_id=abc-1"]), "{text}");
    assert!(has(&["the cause", "request_id=abc-2"]), "{text}");
    assert!(has(&["500 GET /fails", "request_id=abc-2"]), "{text}");
    assert!(has(&["404 GET /unknown", "request_id=abc-3"]), "{text}");
}

#[derive(Clone)]
struct Forgot;

// Without `#[handler]`; rustc suggests this constant.
impl RequestHandler for Forgot {
    const METHODS: web::Methods = web::Methods::NONE;
}

/// Answers all in `prepare`.
#[derive(Clone)]
struct Gone;

#[handler]
impl RequestHandler for Gone {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        ctx.send_error(410).await
    }
}

#[squall::test(timeout = 60)]
async fn a_handler_may_have_no_method_but_prepare() {
    let server = serve(Application::new([url("/", Gone)]));
    server.get("/").await.assert_status(410);
    server.post("/").await.assert_status(410);
}

#[test]
fn mistakes_are_found_at_start_up() {
    let problems = |routes: Vec<web::UrlSpec>| {
        let error = Application::new(routes).route_table().unwrap_err();
        error.problems().join("\n")
    };
    for (spec, expected) in [
        (url("/", Forgot), "put #[handler] on its `impl RequestHandler`"),
        (get("about", page), "those begin with a slash"),
        (nest("api", [get("/x", page)]), "has to begin with a slash"),
        (nest("/api/", [get("/x", page)]), "not to end with one"),
        (nest("/api", [get("x", page)]), "those begin with a slash"),
        (nest("/api/([0-9]+)", [get("/{id}", page)]), "either be all named or all positional"),
        (nest("/api", [get("/x", page)]).name("api"), "`name` has no effect on a group"),
        (nest("/api", [get("/x", page)]).xsrf_exempt(), "`xsrf_exempt` has no effect on a group"),
        (nest("/api", [get("/x", page)]).default_headers(true), "`default_headers` has no effect"),
    ] {
        let found = problems(vec![spec]);
        assert!(found.contains(expected) && found.contains("around.rs:"), "{found}");
    }
}

#[squall::test(timeout = 60)]
async fn prefixes_have_arguments_and_names() {
    let routes = |text: &'static str| {
        get("/{id}", async move |ctx: &Context| {
            let all: Vec<_> = ctx.path_args().flatten().collect();
            ctx.write(format!("{text} {} {}", all.join(","), ctx.reverse_url(text, &[&"a b", &7])?));
            Ok(())
        })
        .name(text)
    };
    let app = Application::new([
        nest("/users/{user}", [nest("/notes", [routes("template")])]),
        nest(
            "/u/([a-z]+)",
            [get("/([0-9]+|x)", async |ctx: &Context| {
                let all: Vec<_> = ctx.path_args().flatten().collect();
                ctx.write(format!("{} {}", all.join(","), ctx.reverse_url("regex", &[&"a", &7])?));
                Ok(())
            })
            .name("regex")],
        ),
        // A route after a group may be under its prefix.
        get("/users/list", page),
        nest("/c", [get("/a|/b", page)]),
    ]);
    let server = serve(app);
    server.get("/users/ann/notes/1").await.assert_text("template ann,1 /users/a%20b/notes/7");
    server.get("/u/ann/12").await.assert_text("ann,12 /u/a/7");
    server.get("/u/ann/x").await.assert_text("ann,x /u/a/7");
    server.get("/users/list").await.assert_text("hello");
    server.get("/c/b").await.assert_text("hello");
    server.get("/b").await.assert_status(404);
}
