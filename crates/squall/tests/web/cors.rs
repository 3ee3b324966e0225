//! Cross-origin resource sharing.

use std::time::Duration;

use squall::testing::{TestResponse, TestServer, serve};
use squall::web::{Cors, rules};
use squall::{Application, Context, HttpError, RequestHandler, Result, get, handler, post, url};

const APP: &str = "https://app.example";

async fn hello(ctx: &Context) -> Result {
    ctx.write("hello");
    Ok(())
}

async fn fails(_ctx: &Context) -> Result {
    Err(HttpError::new(409).into())
}

fn app(cors: Cors) -> Application {
    Application::new([
        get("/", hello),
        post("/", hello),
        get("/fails", fails),
        get("/panics", async |_: &Context| panic!("on purpose")),
        get("/flushed", async |ctx: &Context| {
            ctx.write("part");
            ctx.flush().await
        }),
    ])
    .cors(cors)
}

async fn preflight(server: &TestServer, path: &str, origin: &str, method: &str) -> TestResponse {
    server.options(path).header("Origin", origin).header("Access-Control-Request-Method", method).await
}

fn allowed(response: &TestResponse) -> Option<&str> {
    response.header("Access-Control-Allow-Origin")
}

#[squall::test(timeout = 60)]
async fn every_response_says_so() {
    let server = serve(app(Cors::new().origins([APP, "http://localhost:3000"])));
    for (path, status) in [("/", 200), ("/fails", 409), ("/panics", 500), ("/none", 404), ("/flushed", 200)] {
        let response = server.get(path).header("Origin", APP).await;
        response.assert_status(status).assert_header("Vary", "Origin");
        assert_eq!(allowed(&response), Some(APP), "{path}");
        // Not for these, but a cache must know that there is a difference.
        for origin in
            ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null"]
        {
            let response = server.get(path).header("Origin", origin).await;
            response.assert_status(status).assert_header("Vary", "Origin");
            assert_eq!(allowed(&response), None, "{path} {origin}");
        }
        let response = server.get(path).await;
        response.assert_status(status).assert_header("Vary", "Origin");
        assert_eq!(allowed(&response), None, "{path}");
    }
    server
        .put("/")
        .header("Origin", APP)
        .await
        .assert_status(405)
        .assert_header("Access-Control-Allow-Origin", APP);
    let response = server.get("/").header("Origin", "HTTPS://App.Example").await;
    response.assert_header("Access-Control-Allow-Origin", "HTTPS://App.Example");
    // A 304 too.
    let tag = server.get("/").await.header("Etag").unwrap().to_owned();
    let response = server.get("/").header("Origin", APP).header("If-None-Match", tag).await;
    response.assert_status(304).assert_header("Access-Control-Allow-Origin", APP);
}

#[squall::test(timeout = 60)]
async fn preflight_is_answered_without_an_options_method() {
    let server = serve(app(Cors::new().origin(APP)));
    let response = server
        .options("/")
        .header("Origin", APP)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "content-type,x-token")
        .await;
    response
        .assert_status(204)
        .assert_header("Access-Control-Allow-Origin", APP)
        .assert_header("Access-Control-Allow-Methods", "GET, POST, HEAD, OPTIONS")
        .assert_header("Access-Control-Allow-Headers", "content-type,x-token")
        .assert_header("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers, Origin")
        .assert_text("");
    for name in
        ["Access-Control-Max-Age", "Access-Control-Allow-Credentials", "Content-Length", "Content-Type"]
    {
        assert_eq!(response.header(name), None, "{name}");
    }
    // A path that nobody takes: the script is to see the 404 that follows.
    preflight(&server, "/none", APP, "GET").await.assert_status(204);
    // The wrong origin, which the browser then tells its page.
    let response = preflight(&server, "/", "https://evil.example", "POST").await;
    response.assert_status(204);
    assert_eq!((allowed(&response), response.header("Access-Control-Allow-Methods")), (None, None));
    // An OPTIONS that is no preflight is the handler's.
    let response = server.options("/").header("Origin", APP).await;
    response.assert_status(204).assert_header("Allow", "GET, POST, HEAD, OPTIONS");
    assert_eq!(allowed(&response), Some(APP));
    let response = server.options("/").header("Access-Control-Request-Method", "POST").await;
    assert_eq!(response.header("Access-Control-Allow-Methods"), None);
}

#[squall::test(timeout = 60)]
async fn options_of_the_rules() {
    let cors = Cors::new()
        .origins_if(|origin| origin.ends_with(".example"))
        .credentials(true)
        .methods(["GET", "PUT"])
        .headers(["X-Token", "Content-Type"])
        .expose(["X-Total", "X-Page"])
        .max_age(Duration::from_secs(3600))
        .private_network(true);
    let server = serve(app(cors));
    let response = server
        .options("/")
        .header("Origin", "https://any.example")
        .header("Access-Control-Request-Method", "PUT")
        .header("Access-Control-Request-Headers", "x-other")
        .header("Access-Control-Request-Private-Network", "true")
        .await;
    response
        .assert_status(204)
        .assert_header("Access-Control-Allow-Origin", "https://any.example")
        .assert_header("Access-Control-Allow-Credentials", "true")
        .assert_header("Access-Control-Allow-Methods", "GET, PUT")
        .assert_header("Access-Control-Allow-Headers", "X-Token, Content-Type")
        .assert_header("Access-Control-Max-Age", "3600")
        .assert_header("Access-Control-Allow-Private-Network", "true");
    assert_eq!(response.header("Access-Control-Expose-Headers"), None);
    let response = server.get("/").header("Origin", "https://any.example").await;
    response
        .assert_header("Access-Control-Allow-Credentials", "true")
        .assert_header("Access-Control-Expose-Headers", "X-Total, X-Page");
    let response = preflight(&server, "/", "https://any.example", "PUT").await;
    assert_eq!(response.header("Access-Control-Allow-Private-Network"), None);

    let anyone = serve(app(Cors::new().any_origin()));
    let response = anyone.get("/").header("Origin", "https://x.test").await;
    response.assert_header("Access-Control-Allow-Origin", "*");
    assert_eq!(response.header("Vary"), None);
    assert_eq!(allowed(&anyone.get("/").await), None);
}

#[squall::test(timeout = 60)]
async fn mistakes_stop_the_start() {
    let problem = |app: Application| app.listen(0).unwrap_err().to_string();
    assert!(
        problem(app(Cors::new().any_origin().credentials(true))).contains("credentials cannot be allowed")
    );
    let grouped = Application::new([get("/", hello).cors(Cors::new().origin("https://a.example/"))]);
    let text = problem(grouped);
    assert!(text.contains("cors.rs:") && text.contains("\"https://a.example/\" is no origin"), "{text}");
}

#[derive(Clone)]
struct Own;

#[handler]
impl RequestHandler for Own {
    async fn options(&mut self, ctx: &Context) -> Result {
        ctx.write("my own");
        Ok(())
    }
}

#[squall::test(timeout = 60)]
async fn groups_and_functions_have_rules_of_their_own() {
    let server = serve(
        Application::new([
            rules(
                "/api/.*",
                [
                    url("/api/own", Own),
                    get("/api/hello", hello),
                    get("/api/inner", hello).cors(Cors::new().origin("https://inner.example")),
                ],
            )
            .cors(Cors::new().origin(APP)),
            get("/mixed", hello).cors(Cors::new().any_origin()),
            post("/mixed", hello),
            get("/plain", hello),
        ])
        // Whoever asks without a password may still ask whether to ask.
        .before(async |ctx: &Context| match ctx.request().headers().get("Authorization") {
            Some(_) => Ok(()),
            None => Err(HttpError::new(401).into()),
        }),
    );
    preflight(&server, "/api/hello", APP, "GET").await.assert_status(204);
    let response = server.get("/api/hello").header("Origin", APP).await;
    response.assert_status(401).assert_header("Access-Control-Allow-Origin", APP);
    let response = server.get("/api/hello").header("Origin", APP).header("Authorization", "x").await;
    response.assert_status(200).assert_header("Access-Control-Allow-Origin", APP);
    // The innermost counts.
    assert_eq!(allowed(&server.get("/api/inner").header("Origin", APP).await), None);
    let inner = server.get("/api/inner").header("Origin", "https://inner.example").await;
    assert_eq!(allowed(&inner), Some("https://inner.example"));
    // A handler's own OPTIONS answers what is no preflight.
    server.options("/api/own").header("Authorization", "x").await.assert_text("my own");
    preflight(&server, "/api/own", APP, "GET").await.assert_status(204).assert_text("");
    // One function of two.
    assert_eq!(allowed(&server.get("/mixed").header("Origin", APP).await), Some("*"));
    assert_eq!(allowed(&server.post("/mixed").header("Origin", APP).await), None);
    assert_eq!(allowed(&preflight(&server, "/mixed", APP, "GET").await), Some("*"));
    assert_eq!(allowed(&preflight(&server, "/mixed", APP, "POST").await), None);
    assert_eq!(allowed(&server.get("/plain").header("Origin", APP).await), None);
}
