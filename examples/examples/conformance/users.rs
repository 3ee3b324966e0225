//! Cookies, signed values, users and XSRF tokens.

use serde_json::json;
use std::time::Duration;

use squall::httputil::{Cookie, SameSite};
use squall::web::{SignedVersion, UrlSpec};
use squall::{Context, RequestHandler, Result, get, handler, url};

/// As old as Tornado takes them.
const MONTH: Duration = Duration::from_secs(31 * 24 * 3600);

pub(crate) fn routes() -> Vec<UrlSpec> {
    vec![
        get("/setcookies", set_cookies),
        get("/signed", async |ctx: &Context| {
            // Each byte one character, as the other side writes it.
            let value = ctx.signed_cookie_with("s", MONTH, SignedVersion::V1);
            let text = value.map(|bytes| bytes.iter().map(|&byte| char::from(byte)).collect::<String>());
            ctx.write_json(&json!({"value": text}))
        }),
        get("/login", async |ctx: &Context| {
            ctx.write(format!("login page next={}", ctx.argument_or("next", "")?));
            Ok(())
        }),
        url("/private", Private),
        get("/xsrf", async |ctx: &Context| {
            ctx.write(if ctx.xsrf_token()?.is_empty() { "none" } else { "token" });
            Ok(())
        }),
    ]
}

async fn set_cookies(ctx: &Context) -> Result {
    ctx.set_cookie("plain", "v1")?;
    let full = Cookie::new("full", "1").domain("example.com").path("/a").httponly(true).secure(true);
    ctx.set_cookie_with(&full.same_site(SameSite::Strict).max_age(Duration::from_secs(60)))?;
    ctx.set_cookie("dup", "first")?;
    ctx.set_cookie("dup", "second")?;
    ctx.clear_cookie("gone")?;
    ctx.write("cookies");
    Ok(())
}

#[derive(Clone)]
struct Private;

#[handler]
impl RequestHandler for Private {
    async fn get(&mut self, ctx: &Context) -> Result {
        let user = ctx.require_user::<String>().await?;
        ctx.write(format!("hello {user}"));
        Ok(())
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.require_user::<String>().await?;
        ctx.write("posted");
        Ok(())
    }
}
