//! The cookie jar at work: between requests, along redirects, across origins.

use squall::httpclient::{AsyncHttpClient, CookieJar, HttpRequest};
use squall::netutil::{OverrideResolver, SystemResolver};
use squall::testing::{TestServer, serve};
use squall::{Application, Context, get};

use crate::httpclient::cookie_rows::ROWS;

/// Sets what it is told, and tells what it got.
fn app() -> TestServer {
    serve(Application::new([
        get("/set", async |ctx: &Context| {
            for cookie in ctx.arguments("c")? {
                ctx.add_header("Set-Cookie", cookie)?;
            }
            match ctx.argument_opt("to")? {
                Some(to) => ctx.redirect(to),
                None => Ok(()),
            }
        }),
        get("/.*", async |ctx: &Context| {
            ctx.write(ctx.request().headers().list("Cookie").collect::<Vec<_>>().join(" | "));
            Ok(())
        }),
    ]))
}

/// Every name is this machine.
fn client(jar: &CookieJar) -> AsyncHttpClient {
    let resolver = ["a.example.com", "b.example.com", "example.org"]
        .iter()
        .fold(OverrideResolver::new(SystemResolver), |all, host| all.host(*host, "127.0.0.1"));
    AsyncHttpClient::builder().resolver(resolver).cookie_jar(jar.clone()).build()
}

async fn text(client: &AsyncHttpClient, url: impl Into<HttpRequest>) -> String {
    client.fetch(url).await.unwrap().text()
}

#[squall::test]
async fn cookies_come_back() {
    let (app, jar) = (app(), CookieJar::new());
    let client = client(&jar);
    assert_eq!(text(&client, app.url("/")).await, "");
    text(&client, app.url("/set?c=a%3D1&c=b%3D2%3B+Path%3D/x")).await;
    assert_eq!(text(&client, app.url("/")).await, "a=1");
    assert_eq!(text(&client, app.url("/x/y")).await, "b=2; a=1");
    text(&client, app.url("/set?c=a%3D%3B+Max-Age%3D0")).await;
    assert_eq!(text(&client, app.url("/x")).await, "b=2");
    // The request's own header is sent as it is.
    assert_eq!(text(&client, HttpRequest::get(app.url("/x")).header("Cookie", "own=1")).await, "own=1");
    // Whoever has no jar keeps nothing.
    let plain = AsyncHttpClient::new();
    text(&plain, app.url("/set?c=a%3D1")).await;
    assert_eq!(text(&plain, app.url("/")).await, "");
}

/// The usual login: a redirect sets the session, and the page it leads to wants it.
#[squall::test]
async fn a_redirect_sets_what_the_next_request_sends() {
    let (app, jar) = (app(), CookieJar::new());
    let client = client(&jar);
    assert_eq!(text(&client, app.url("/set?c=session%3Dx&to=/home")).await, "session=x");
    // Two on the way, of which the second deletes what the first has set.
    let second = "/set%3Fc%3Dsession%253D%253B%2BMax-Age%253D0%26c%3Dc%253D3%26to%3D/home";
    assert_eq!(text(&client, app.url(&format!("/set?c=session%3Dy&to={second}"))).await, "c=3");
    // A redirect that is not followed counts as well.
    let request =
        HttpRequest::get(app.url("/set?c=d%3D4&to=/home")).follow_redirects(false).raise_error(false);
    assert_eq!(client.fetch(request).await.unwrap().status(), 302);
    assert_eq!(text(&client, app.url("/")).await, "c=3; d=4");
}

#[squall::test]
async fn cookies_stay_with_their_hosts() {
    let (app, jar) = (app(), CookieJar::new());
    let client = client(&jar);
    let at = |host: &str, path: &str| format!("http://{host}:{}{path}", app.port());
    let domain = "%3B+Domain%3Dexample.com";
    // For all of example.com, for its host alone, for what is not its to set (twice), over https only.
    let set = format!(
        "/set?c=all%3D1{domain}&c=own%3D2&c=x%3D3%3B+Domain%3Dcom&c=y%3D4%3B+Domain%3Dexample.org&c=z%3D5%3B+Secure"
    );
    text(&client, at("a.example.com", &set)).await;
    assert_eq!(jar.len(), 2);
    assert_eq!(text(&client, at("a.example.com", "/")).await, "all=1; own=2");
    assert_eq!(text(&client, at("b.example.com", "/")).await, "all=1");
    assert_eq!(text(&client, at("example.org", "/")).await, "");
    // Also along a redirect: each host gets its own, whatever the former one was sent.
    let to = format!("/set?to={}", at("b.example.com", "/"));
    assert_eq!(text(&client, at("a.example.com", &to)).await, "all=1");
    let to = format!("/set?c=late%3D6&to={}", at("example.org", "/"));
    assert_eq!(text(&client, at("a.example.com", &to)).await, "");
    assert_eq!(text(&client, at("a.example.com", "/")).await, "all=1; own=2; late=6");
}

#[test]
fn what_a_jar_sends() {
    let mut wrong = Vec::new();
    for (what, sets, url, expected) in ROWS {
        let jar = CookieJar::new();
        for (from, cookie) in *sets {
            jar.set(from, cookie);
        }
        let sent = jar.cookies(url).unwrap_or_default();
        if sent != *expected {
            wrong.push(format!("{what}: {sent:?} for {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
