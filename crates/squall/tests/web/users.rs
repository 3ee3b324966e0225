//! Who asks, and where those are sent who do not say.

use std::rc::Rc;

use squall::testing::serve;
use squall::web::{Cors, HandlerOptions, Methods, any, head, nest, options};
use squall::{Application, Bytes, Context, RequestHandler, Result, Site, get, handler, post, url};

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

/// One function for all, one for some of the users.
#[derive(Clone)]
struct Notes;

#[handler]
impl RequestHandler for Notes {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write("all");
        Ok(())
    }

    #[authenticated]
    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write("members");
        Ok(())
    }

    #[authenticated]
    #[method("REPORT")]
    async fn report(&mut self, ctx: &Context) -> Result {
        ctx.write("reported");
        Ok(())
    }

    async fn delete(&mut self, ctx: &Context) -> Result {
        ctx.write("deleted");
        Ok(())
    }
}

/// Says by itself what may be asked, to members only.
#[derive(Clone)]
struct Shy;

#[handler]
impl RequestHandler for Shy {
    #[authenticated]
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write("shy");
        Ok(())
    }

    #[authenticated]
    async fn options(&mut self, ctx: &Context) -> Result {
        ctx.write("asked");
        Ok(())
    }
}

#[derive(Clone)]
struct ByHand;

impl RequestHandler for ByHand {
    const METHODS: Methods = Methods::of(&["GET", "PUT"]);
    const OPTIONS: HandlerOptions = HandlerOptions::new().authenticated_for(Methods::of(&["GET"]));

    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write("by hand");
        Ok(())
    }

    async fn put(&mut self, _ctx: &Context) -> Result {
        Ok(())
    }

    async fn data_received(&mut self, ctx: &Context, chunk: Bytes) -> Result {
        ctx.write(chunk);
        Ok(())
    }
}

async fn written(ctx: &Context) -> Result {
    ctx.write(ctx.method().as_str());
    Ok(())
}

/// Tornado's `@authenticated`: of single methods, as it is of single functions there.
#[squall::test(timeout = 60)]
async fn authenticated_is_per_method() {
    let routes = [
        url("/notes", Notes),
        url("/shy", Shy),
        url("/hand", ByHand),
        url("/opened", Private).options(|options| options.authenticated_for(Methods::NONE)),
        url("/closed", Notes).authenticated(),
        get("/functions", written).authenticated(),
        head("/functions", written),
        post("/functions", written),
        get("/alone", written).authenticated(),
        options("/alone", written),
        get("/most", written),
        any("/most", written).authenticated(),
    ];
    let server = serve(Application::new(routes).site(Blog).login_url("/login"));
    for (method, path, status) in [
        ("GET", "/auth", 404),
        ("GET", "/notes", 200),
        ("HEAD", "/notes", 200),
        ("POST", "/notes", 403),
        ("REPORT", "/notes", 403),
        ("DELETE", "/notes", 200),
        ("OPTIONS", "/notes", 204),
        ("PUT", "/notes", 405),
        ("GET", "/shy", 302),
        ("HEAD", "/shy", 302),
        ("OPTIONS", "/shy", 403),
        ("GET", "/hand", 302),
        ("HEAD", "/hand", 302),
        ("PUT", "/hand", 200),
        ("OPTIONS", "/hand", 204),
        ("POST", "/opened", 200),
        ("GET", "/closed", 302),
        ("DELETE", "/closed", 403),
        ("REPORT", "/closed", 403),
        ("OPTIONS", "/closed", 204),
        // It is a function of its own that answers HEAD.
        ("GET", "/functions", 302),
        ("HEAD", "/functions", 200),
        ("POST", "/functions", 200),
        ("OPTIONS", "/functions", 204),
        ("GET", "/alone", 302),
        ("HEAD", "/alone", 302),
        ("OPTIONS", "/alone", 200),
        // That of `GET` stands first.
        ("GET", "/most", 200),
        ("HEAD", "/most", 302),
        ("POST", "/most", 403),
        ("REPORT", "/most", 403),
        ("OPTIONS", "/most", 200),
    ] {
        let refused = server.request(method, path).await;
        assert_eq!(refused.status(), status, "{method} {path}");
        let known = server.request(method, path).header("X-User", "ann").await.status();
        let expected = if matches!(status, 302 | 403) { 200 } else { status };
        assert_eq!(known, expected, "{method} {path} of a user");
    }
}

/// A browser asks first, without credentials; whatever answers it, it is not sent to a login page.
#[squall::test(timeout = 30)]
async fn a_preflight_is_not_refused() {
    let routes = || [url("/auth", Private), get("/function", written).authenticated()];
    let allowed = Cors::new().origins(["https://a.example"]);
    let groups = [nest("/plain", routes()), nest("/cors", routes()).cors(allowed)];
    let server = serve(Application::new(groups).site(Blog).login_url("/login"));
    for path in ["/plain/auth", "/plain/function", "/cors/auth", "/cors/function"] {
        let preflight = server
            .options(path)
            .header("Origin", "https://a.example")
            .header("Access-Control-Request-Method", "GET")
            .await;
        preflight.assert_status(204);
        assert_eq!(
            preflight.header("Access-Control-Allow-Origin").is_some(),
            path.starts_with("/cors"),
            "{path}"
        );
        server.get(path).header("Origin", "https://a.example").await.assert_status(302);
    }
}

/// The route has the last word on what the handler chose.
#[squall::test(timeout = 30)]
async fn a_route_chooses_otherwise() {
    let routes = [
        url("/whole", ByHand),
        url("/pieces", ByHand).options(|options| options.stream_body(true)),
        url("/slash/?", ByHand).options(|options| options.trailing_slash(squall::web::TrailingSlash::Add)),
    ];
    let server = serve(Application::new(routes).site(Blog).login_url("/login"));
    server.put("/whole").body("abc").await.assert_status(200).assert_text("");
    server.put("/pieces").body("abc").await.assert_status(200).assert_text("abc");
    let slash = server.get("/slash").header("X-User", "ann").await;
    slash.assert_status(301).assert_header("Location", "/slash/");
}

#[derive(Clone)]
struct PostOnly;

#[handler]
impl RequestHandler for PostOnly {
    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write("posted");
        Ok(())
    }
}

/// Notes that it was asked, and in which request.
struct Preparing;

impl Site for Preparing {
    type User = String;

    async fn prepare(&self, ctx: &Context) -> Result {
        ctx.set_header("X-Prepared", "yes")?;
        Ok(())
    }

    async fn current_user(&self, ctx: &Context) -> Result<Option<String>> {
        Ok(ctx.request().headers().get("X-User").map(str::to_owned))
    }

    async fn write_error(&self, ctx: &Context, error: &squall::Error) -> Result {
        ctx.write(format!("{error}"));
        Ok(())
    }
}

/// A function is checked as a type is: method known to nobody, form, XSRF, `prepare`, 405, user, slash, in this order.
#[squall::test(timeout = 60)]
async fn types_and_functions_are_checked_in_one_order() {
    let slash = squall::web::TrailingSlash::Remove;
    let choose = |options: HandlerOptions| options.authenticated().trailing_slash(slash);
    let posted = async |ctx: &Context| {
        ctx.write("posted");
        Ok(())
    };
    let routes = [url("/type/?", PostOnly).options(choose), post("/function/?", posted).options(choose)];
    let server = serve(Application::new(routes).site(Preparing).xsrf_cookies(true));
    let token = [("Cookie", "_xsrf=ab"), ("X-Xsrftoken", "ab")];
    let (form, user) = (("Content-Type", "multipart/form-data"), ("X-User", "ann"));
    #[expect(clippy::type_complexity, reason = "a table")]
    let rows: [(&str, &str, &[(&str, &str)], u16); 10] = [
        ("REPORT", "/", &[form], 405),
        ("PUT", "/", &[form], 400),
        ("PUT", "/", &[], 403),
        ("PUT", "", &token, 405),
        ("GET", "/", &[], 405),
        ("POST", "/", &[user], 403),
        ("POST", "/", &token, 403),
        ("POST", "/", &[token[0], token[1], user], 404),
        ("POST", "", &[token[0], token[1], user], 200),
        ("OPTIONS", "", &[], 204),
    ];
    for (method, end, headers, status) in rows {
        let mut answers = Vec::new();
        for path in ["/type", "/function"] {
            let mut request = server.request(method, &format!("{path}{end}"));
            for (name, value) in headers {
                request = request.add_header(name, value);
            }
            let response = request.body(if headers.contains(&form) { "x" } else { "" }).await;
            assert_eq!(response.status(), status, "{method} {path}{end} {headers:?}: {}", response.text());
            answers.push((response.text().to_owned(), response.header("Allow").map(str::to_owned)));
        }
        assert_eq!(answers[0], answers[1], "{method} {end} {headers:?}");
    }
}
