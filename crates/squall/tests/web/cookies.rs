//! Cookies on the wire.

use squall::httputil::Cookie;
use squall::web::CookieSecret;
use squall::{Application, Context, HttpError, Result, get};

fn lines(response: &squall::testing::TestResponse) -> Vec<String> {
    response.headers().get_all("Set-Cookie").iter().map(|v| v.to_str().unwrap().to_owned()).collect()
}

fn routes() -> Application {
    Application::new([
        get("/read", async |ctx: &Context| {
            ctx.write(ctx.cookie("a").unwrap_or("none"));
            Ok(())
        }),
        get("/set", async |ctx: &Context| {
            ctx.set_cookie("a", "1")?;
            ctx.set_cookie("b", "x=y")?;
            ctx.set_cookie_with(&Cookie::new("a", "2").httponly(true))?;
            Ok(())
        }),
        get("/error", async |ctx: &Context| -> Result {
            ctx.set_cookie("a", "1")?;
            Err(HttpError::new(403).into())
        }),
        get("/clear", async |ctx: &Context| {
            for (name, value) in [("c3", "early"), ("new", "1"), ("__Host-x", "1")] {
                let secure = Cookie::new(name, value).secure(name.starts_with('_'));
                ctx.set_cookie_with(&secure)?;
            }
            ctx.clear_all_cookies();
            ctx.set_cookie("c5", "late")?;
            Ok(())
        }),
        get("/sign", async |ctx: &Context| ctx.set_signed_cookie("user", "Zoë")),
        get("/user", async |ctx: &Context| {
            ctx.write(ctx.signed_cookie("user").unwrap_or("nobody".to_owned()));
            Ok(())
        }),
    ])
}

#[squall::test]
async fn cookies_go_both_ways() {
    let app = squall::testing::serve(routes());
    app.get("/read").await.assert_text("none");
    app.get("/read").header("Cookie", "b=1; a=\"x\\\"y\"; [=2").await.assert_text("x\"y");
    assert_eq!(lines(&app.get("/set").await), ["b=\"x=y\"; Path=/", "a=2; HttpOnly; Path=/"]);
    let refused = app.get("/error").await;
    refused.assert_status(403);
    assert_eq!(lines(&refused), ["a=1; Path=/"]);
}

/// Only spaces and tabs are dropped around a name: to a browser `\u{a0}a` is another cookie, which any page of the domain may
/// set where `a` is guarded (`__Host-`).
#[squall::test]
async fn white_space_of_unicode_belongs_to_the_name() {
    let app = squall::testing::serve(routes());
    for space in [
        "\u{a0}", "\u{85}", "\u{2003}", "\u{2028}", "\u{3000}", "\u{feff}", "\u{200b}", "\u{1680}",
        "\u{205f}",
    ] {
        for header in [
            format!("a=good; {space}a=evil"),
            format!("a=good; a{space}=evil"),
            format!("a=good; {space}=evil"),
        ] {
            let raw = format!("GET /read HTTP/1.0\r\nCookie: {header}\r\n\r\n");
            let answer = app.raw(raw).await;
            assert!(answer.ends_with(b"\r\n\r\ngood"), "{header:?}: {}", String::from_utf8_lossy(&answer));
        }
        let raw = format!("GET /read HTTP/1.0\r\nCookie: a=1{space}\r\n\r\n");
        assert!(app.raw(raw).await.ends_with(format!("1{space}").as_bytes()), "{space:?}");
    }
    // As the one octet that ISO-8859-1 has for it.
    for header in [
        &b"a=good; \xa0a=evil"[..],
        b"a=good; a\xa0=evil",
        b"\xa0a=evil; a=good",
        b"a=evil; \t a \t=\t good \t",
    ] {
        let raw = [b"GET /read HTTP/1.0\r\nCookie: ", header, b"\r\n\r\n"].concat();
        assert!(app.raw(raw).await.ends_with(b"\r\n\r\ngood"), "{}", header.escape_ascii());
    }
}

#[squall::test]
async fn all_cookies_are_cleared_once_each() {
    const COUNT: usize = 50;
    let app = squall::testing::serve(routes());
    let sent: Vec<_> =
        (0..COUNT).map(|i| format!("c{i}=1")).chain(["c3=2".into(), "__Host-x=1".into()]).collect();
    let response = app.get("/clear").header("Cookie", sent.join("; ")).await;
    let names = |line: &String| line.split('=').next().unwrap().to_owned();
    let cleared: Vec<_> = (0..COUNT).filter(|&i| i != 5).map(|i| format!("c{i}")).collect();
    let lines = lines(&response);
    // What was set before stays, unless it is cleared; a name with a prefix cannot be.
    assert_eq!(lines[..2], ["new=1; Path=/", "__Host-x=1; Path=/; Secure"]);
    assert_eq!(lines[2..COUNT + 1].iter().map(names).collect::<Vec<_>>(), cleared);
    assert!(lines[2..COUNT + 1].iter().all(|line| line.contains("; expires=")));
    assert_eq!(lines[COUNT + 1..], ["c5=late; Path=/"]);
}

#[squall::test]
async fn signed_cookies_come_back() {
    let app = squall::testing::serve(routes().cookie_secret("secret"));
    let line = lines(&app.get("/sign").await).remove(0);
    assert!(line.contains("; expires="), "{line}");
    let cookie = line.split(';').next().unwrap();
    app.get("/user").header("Cookie", cookie).await.assert_text("Zoë");
    app.get("/user").header("Cookie", cookie.replace("user=", "other=")).await.assert_text("nobody");
    app.get("/user").header("Cookie", cookie.replace("|4:user|", "|4:uses|")).await.assert_text("nobody");
}

#[squall::test]
async fn mistakes_with_the_secret_are_told() {
    let app = squall::testing::serve(routes());
    app.get("/sign").await.assert_status(500);
    app.get("/user").await.assert_status(500);
    let keys = || CookieSecret::keys([(1, "one"), (2, "two")]);
    assert!(routes().cookie_secret(keys()).route_table().is_err());
    assert!(routes().cookie_secret(keys()).key_version(3).route_table().is_err());
    assert!(routes().key_version(2).cookie_secret(keys()).route_table().is_ok());
    assert!(routes().cookie_secret("").route_table().is_err());
}
