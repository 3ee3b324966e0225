//! Ready-made handlers, slashes, the fallback and the user's settings.

use squall::testing::{TestServer, serve};
use squall::web::{ErrorHandler, Methods, RedirectHandler, TrailingSlash};
use squall::{Application, Context, RequestHandler, Result, get, handler, url};

#[squall::test(timeout = 30)]
async fn redirects() {
    let app = serve(Application::new([
        url("/old/(.*)", RedirectHandler::new("/new/{0}")),
        url("/greet/{name}", RedirectHandler::new("/hello?from={name}").permanent(false)),
        url("/see", RedirectHandler::new("https://h/x#part").status(303)),
        url("/any(.*)", RedirectHandler::new("{0}")),
    ]));
    let location = async |path: &str, status: u16, expected: &str| {
        let answer = app.get(path).await;
        answer.assert_status(status).assert_header("Location", expected);
    };
    location("/old/abc", 301, "/new/abc").await;
    location("/old/a%20b?x=1&y=%C3%BC&x=2", 301, "/new/a%20b?x=1&x=2&y=%C3%BC").await;
    location("/old/a%0D%0AX-Evil:1", 301, "/new/a%0D%0AX-Evil%3A1").await;
    location("/greet/a%26b%3Dc?q=", 302, "/hello?from=a%26b%3Dc&q=").await;
    location("/see?a=b+c", 303, "https://h/x?a=b+c#part").await;
    location("/any//evil.example/", 301, "/evil.example/").await;
    app.post("/old/abc").await.assert_status(405).assert_header("Allow", "GET, HEAD, OPTIONS");
}

#[squall::test]
async fn mistakes_are_reported_at_the_start() {
    let app = Application::new([
        url("/a", RedirectHandler::new("/{0}")),
        url("/b", RedirectHandler::new("/{")),
        url("/c", RedirectHandler::new("/x").status(200)),
        url("/d", ErrorHandler::new(200)),
    ])
    .fallback(RedirectHandler::new("/{0}"));
    let error = app.route_table().unwrap_err();
    let problems = error.problems();
    assert_eq!(problems.len(), 5, "{problems:?}");
    assert!(
        problems[0].contains("ready_made.rs:") && problems[0].contains("no group for {0}"),
        "{problems:?}"
    );
    assert!(problems[3].contains("200 is no status of an error"), "{problems:?}");
    assert!(problems[4].starts_with("fallback: "), "{problems:?}");
}

#[derive(Clone)]
struct Added;

#[handler(add_slash)]
impl RequestHandler for Added {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write("added");
        Ok(())
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write("posted");
        Ok(())
    }
}

#[derive(Clone)]
struct Removed;

#[handler(remove_slash)]
impl RequestHandler for Removed {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write("removed");
        Ok(())
    }

    async fn post(&mut self, _ctx: &Context) -> Result {
        Ok(())
    }
}

#[squall::test(timeout = 30)]
async fn slashes() {
    let app = serve(Application::new([
        url("/a/?", Added),
        url("/r/*", Removed),
        url("/", Removed),
        get("/f/?", async |ctx: &Context| {
            ctx.write("function");
            Ok(())
        })
        .trailing_slash(TrailingSlash::Add),
        url("/.*", Added),
    ]));
    let moved = async |path: &str, to: &str| {
        app.get(path).await.assert_status(301).assert_header("Location", to);
    };
    moved("/a?x=1&y", "/a/?x=1&y").await;
    moved("/r//?x=1", "/r?x=1").await;
    moved("/f", "/f/").await;
    moved("//evil.example", "/evil.example/").await;
    moved("/\\evil.example", "/evil.example/").await;
    app.get("/a/").await.assert_text("added");
    app.get("/r").await.assert_text("removed");
    app.get("/f/").await.assert_text("function");
    app.get("/").await.assert_text("removed");
    app.head("/a").await.assert_status(301);
    app.post("/a").await.assert_status(404);
    app.post("/a/").await.assert_text("posted");
    app.post("/r/").await.assert_status(404);
}

#[squall::test(timeout = 30)]
async fn errors_and_fallbacks() {
    #[derive(Clone)]
    struct Custom404;

    impl RequestHandler for Custom404 {
        const METHODS: Methods = Methods::ANY;

        async fn other(&mut self, ctx: &Context) -> Result {
            ctx.set_status(404);
            ctx.write(format!("no {}", ctx.request().path()));
            Ok(())
        }
    }

    let gone = || [url("/gone", ErrorHandler::new(410))];
    let app = serve(Application::new(gone()).default_handler(Custom404));
    for method in ["GET", "POST", "DELETE", "PROPFIND"] {
        app.request(method, "/gone").await.assert_status(410);
        app.request(method, "/x").await.assert_status(404).assert_text("no /x");
    }
    let by_delegate = squall::httpserver::callback(|request| {
        request.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nraw").unwrap();
        request.finish().unwrap();
    });
    let app = serve(Application::new(gone()).fallback(by_delegate));
    app.get("/x").await.assert_status(200).assert_text("raw");
    app.get("/gone").await.assert_status(410);
}

#[squall::test(timeout = 30)]
async fn settings() {
    struct Title(&'static str);
    let routes = || {
        [
            get("/", async |ctx: &Context| {
                ctx.write(ctx.setting::<Title>()?.0);
                Ok(())
            }),
            get("/none", async |ctx: &Context| ctx.setting::<u8>().map(drop)),
        ]
    };
    let app: TestServer = serve(Application::new(routes()).setting(Title("first")).setting(Title("second")));
    app.get("/").await.assert_text("second");
    app.get("/none").await.assert_status(500);
}

async fn list(ctx: &Context) -> Result {
    ctx.write("[]");
    Ok(())
}

#[test]
fn the_table_of_routes_says_what_answers() {
    let app = Application::new([
        url("/slashed/?", Added).name("slashed"),
        get("/list", list),
        squall::post("/list", list).xsrf_exempt(),
        squall::web::nest("/api", [url("/{id}", ErrorHandler::new(410))]).before(async |_: &Context| Ok(())),
    ]);
    let table = app.add_handlers("www", [get("/", list)]).route_table().unwrap();
    let told: Vec<_> = table
        .iter()
        .map(|route| {
            let handler = route.handler.rsplit("::").next().unwrap();
            (
                &*route.host,
                &*route.pattern,
                route.methods.to_string().replace(", ", " "),
                handler,
                route.options.join(", "),
            )
        })
        .collect();
    let owned = str::to_owned;
    let expected = [
        ("www", "/", owned("GET"), "list", owned("")),
        (".*", "/slashed/?", owned("GET POST"), "Added", owned("adds a slash")),
        (".*", "/list", owned("GET POST"), "list", owned("XSRF exempt")),
        (".*", "/api/{id}", owned("any"), "ErrorHandler", owned("XSRF exempt, layers")),
    ];
    assert_eq!(told, expected);
    assert_eq!(table[1].name.as_deref(), Some("slashed"));
    assert!(table.iter().all(|route| route.file.ends_with("ready_made.rs") && route.line > 0), "{table:?}");
}
