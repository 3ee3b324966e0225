//! XSRF tokens: the cases of Tornado's `XSRFTest`, and who is exempt.

use squall::httputil::SameSite;
use squall::testing::{TestResponse, TestServer, serve};
use squall::web::{ErrorHandler, SignedVersion, any};
use squall::{Application, Bytes, Context, RequestHandler, Result, Site, get, handler, post, put, url};

#[derive(Clone)]
struct Page;

#[handler]
impl RequestHandler for Page {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write(ctx.xsrf_token()?);
        Ok(())
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write("ok");
        Ok(())
    }
}

#[derive(Clone)]
struct Exempt;

#[handler(xsrf_exempt)]
impl RequestHandler for Exempt {
    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write("ok");
        Ok(())
    }
}

#[derive(Clone)]
struct Upload;

#[handler(stream_body)]
impl RequestHandler for Upload {
    async fn data_received(&mut self, _ctx: &Context, _chunk: Bytes) -> Result {
        Ok(())
    }

    async fn put(&mut self, ctx: &Context) -> Result {
        ctx.write("ok");
        Ok(())
    }
}

fn routes() -> Application {
    let ok = async |ctx: &Context| {
        ctx.write("ok");
        Ok(())
    };
    Application::new([
        url("/", Page),
        url("/exempt", Exempt),
        url("/hook", Page).xsrf_exempt(),
        post("/mixed", ok).xsrf_exempt(),
        put("/mixed", ok),
        any("/any", ok),
        url("/upload", Upload),
        url("/gone", ErrorHandler::new(410)),
        get("/form", async |ctx: &Context| {
            ctx.write(ctx.xsrf_form_html()?);
            Ok(())
        }),
    ])
    .xsrf_cookies(true)
}

/// The token of a page that is asked for with this cookie.
async fn token(app: &TestServer, cookie: Option<&str>) -> String {
    let mut request = app.get("/");
    if let Some(cookie) = cookie {
        request = request.header("Cookie", format!("_xsrf={cookie}"));
    }
    request.await.assert_status(200).text().to_owned()
}

async fn submit(app: &TestServer, cookie: Option<&str>, body: &str) -> TestResponse {
    let mut request =
        app.post("/").header("Content-Type", "application/x-www-form-urlencoded").body(body.to_owned());
    if let Some(cookie) = cookie {
        request = request.header("Cookie", format!("_xsrf={cookie}"));
    }
    request.await
}

#[squall::test]
async fn what_is_taken_and_what_refused() {
    let app = serve(routes());
    let token = token(&app, None).await;
    let escaped = token.replace('|', "%7C");
    for (what, cookie, body, status) in [
        ("neither", None, String::new(), 403),
        ("no cookie", None, format!("_xsrf={escaped}"), 403),
        ("an unknown version in the body", Some(&*token), "_xsrf=3|".into(), 403),
        ("an unknown version in the cookie", Some("3|"), format!("_xsrf={escaped}"), 403),
        ("no argument", Some(&token), String::new(), 403),
        ("an empty argument", Some(&token), "_xsrf=".into(), 403),
        ("hexadecimal digits", Some("deadbeef"), "_xsrf=deadbeef".into(), 200),
        ("any text", Some("xoxo"), "_xsrf=xoxo".into(), 200),
        ("an empty cookie", Some(""), "_xsrf=".into(), 403),
        ("both", Some(&token), format!("_xsrf={escaped}"), 200),
        ("another one", Some("deadbeef"), format!("_xsrf={escaped}"), 403),
    ] {
        let response = submit(&app, cookie, &body).await;
        assert_eq!(response.status(), status, "{what}");
    }
    let cookie = format!("_xsrf={token}");
    app.post(&format!("/?_xsrf={escaped}")).header("Cookie", &*cookie).await.assert_status(200);
    for name in ["X-Xsrftoken", "X-Csrftoken"] {
        app.post("/").header("Cookie", &*cookie).header(name, &*token).await.assert_status(200);
    }
    // Nothing else that a script of another site could not send either.
    app.post("/")
        .header("Cookie", &*cookie)
        .header("X-Requested-With", "XMLHttpRequest")
        .await
        .assert_status(403);
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert!(app.request(method, "/").await.status() < 300, "{method}");
    }
}

#[squall::test]
async fn a_refusal_says_why_and_tells_no_token() {
    let app = serve(routes());
    let refused = submit(&app, Some("deadbeef"), "_xsrf=c0ffee").await;
    refused.assert_status(403).assert_text_contains("XSRF cookie does not match POST argument");
    assert!(!refused.text().contains("deadbeef") && !refused.text().contains("c0ffee"));
    submit(&app, None, "").await.assert_text_contains("argument missing from POST");
    submit(&app, Some("a"), "_xsrf=2|x").await.assert_text_contains("argument has invalid format");
}

#[squall::test]
async fn tokens_differ_by_request_and_visitor() {
    let app = serve(routes());
    let first = token(&app, None).await;
    let second = token(&app, None).await;
    for (cookie, body, status) in
        [(&first, &first, 200), (&second, &second, 200), (&first, &second, 403), (&second, &first, 403)]
    {
        let body = format!("_xsrf={}", body.replace('|', "%7C"));
        submit(&app, Some(cookie), &body).await.assert_status(status);
    }
    // A page that is loaded again has the same value under another mask; the older page still works.
    let (mut newest, mut seen) = (first.clone(), vec![first.clone()]);
    for _ in 0..5 {
        newest = token(&app, Some(&newest)).await;
        assert!(!seen.contains(&newest));
        seen.push(newest.clone());
        submit(&app, Some(&newest), &format!("_xsrf={}", first.replace('|', "%7C"))).await.assert_status(200);
    }
}

#[squall::test]
async fn versions_are_compatible() {
    let (one, two) = (serve(routes().xsrf_cookie_version(SignedVersion::V1)), serve(routes()));
    let v1 = token(&one, None).await;
    assert_eq!(v1.len(), 32);
    assert_ne!(v1, token(&one, None).await);
    assert_eq!(v1, token(&one, Some(&v1)).await);
    let v2 = token(&two, Some(&v1)).await;
    assert!(v2.starts_with("2|") && v2 != token(&two, Some(&v1)).await);
    for (cookie, body) in [(&v1, &v1), (&v1, &v2), (&v2, &v1), (&v2, &v2)] {
        for app in [&one, &two] {
            let body = format!("_xsrf={}", body.replace('|', "%7C"));
            submit(app, Some(cookie), &body).await.assert_status(200);
        }
    }
}

#[squall::test]
async fn the_cookie_is_set_once_and_as_told() {
    let app = serve(routes());
    let page = app.get("/").await;
    page.assert_header("Set-Cookie", &format!("_xsrf={}; Path=/", page.text()));
    let again = app.get("/").header("Cookie", format!("_xsrf={}", page.text())).await;
    assert_eq!(again.header("Set-Cookie"), None);
    let form = app.get("/form").await;
    let sent = form.header("Set-Cookie").unwrap().to_owned();
    let value = sent.strip_prefix("_xsrf=").unwrap().strip_suffix("; Path=/").unwrap();
    form.assert_text(&format!("<input type=\"hidden\" name=\"_xsrf\" value=\"{value}\"/>"));

    let strict = serve(
        routes()
            .xsrf_cookie_name("__Host-xsrf")
            .xsrf_cookie_kwargs(|cookie| cookie.secure(true).httponly(true).same_site(SameSite::Strict)),
    );
    let page = strict.get("/").await;
    let expected = format!("__Host-xsrf={}; HttpOnly; Path=/; SameSite=Strict; Secure", page.text());
    page.assert_header("Set-Cookie", &expected);
    let cookie = format!("__Host-xsrf={}", page.text());
    strict.post("/").header("Cookie", &*cookie).header("X-Xsrftoken", page.text()).await.assert_status(200);
    strict
        .post("/")
        .header("Cookie", cookie.replace("__Host-", "_"))
        .header("X-Xsrftoken", page.text())
        .await
        .assert_status(403);

    let wrong = routes().xsrf_cookie_name("__Host-xsrf").route_table().unwrap_err();
    assert!(wrong.to_string().contains("xsrf_cookie_name"), "{wrong}");
}

#[squall::test]
async fn for_a_user_the_cookie_lasts() {
    struct Known;
    impl Site for Known {
        type User = String;
        async fn current_user(&self, _ctx: &Context) -> Result<Option<String>> {
            Ok(Some("ann".to_owned()))
        }
    }
    let page = serve(routes().site(Known)).get("/").await;
    assert!(page.header("Set-Cookie").unwrap().contains("; expires="), "{:?}", page.header("Set-Cookie"));
}

#[squall::test]
async fn who_is_exempt() {
    let app = serve(routes());
    for (method, path, status) in [
        ("POST", "/exempt", 200),
        ("POST", "/hook", 200),
        ("POST", "/mixed", 200),
        ("PUT", "/mixed", 403),
        ("POST", "/any", 403),
        // As in Tornado: the check comes before the look whether the handler has that method, be it functions or a type.
        ("DELETE", "/mixed", 403),
        ("DELETE", "/", 403),
        ("POST", "/gone", 410),
        ("POST", "/unknown", 404),
    ] {
        let response = app.request(method, path).body("x=1").await;
        assert_eq!(response.status(), status, "{method} {path}");
    }
    // A streamed body is not there yet: the token comes in the query or a header.
    app.put("/upload").body("data").await.assert_status(403);
    let cookie = "_xsrf=deadbeef";
    app.put("/upload?_xsrf=deadbeef").header("Cookie", cookie).body("data").await.assert_status(200);
    app.put("/upload")
        .header("Cookie", cookie)
        .header("X-Xsrftoken", "deadbeef")
        .body("data")
        .await
        .assert_status(200);
}
