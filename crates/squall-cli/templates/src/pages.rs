//! The pages: notes that visitors leave.

use std::time::Duration;

use squall::httputil::{Cookie, SameSite};
use squall::web::UrlSpec;
use squall::{Context, HttpError, RequestHandler, Result, context, handler, url};

use crate::notes::Notes;

/// The cookie with the name that a visitor gave last.
const NAME: &str = "name";

pub fn routes(notes: &Notes) -> Vec<UrlSpec> {
    vec![url("/", Home { notes: notes.clone() }).name("home")]
}

#[derive(Clone)]
struct Home {
    notes: Notes,
}

#[handler]
impl RequestHandler for Home {
    async fn get(&mut self, ctx: &Context) -> Result {
        let name = ctx.signed_cookie(NAME).unwrap_or_default();
        let notes = self.notes.latest().await?;
        // Values are escaped in a template.
        ctx.render("home.html", context! { name, notes })
    }

    /// The form has a token (`xsrf_form_html`), without which this is not called.
    async fn post(&mut self, ctx: &Context) -> Result {
        let (name, text) = (ctx.body_argument("name")?, ctx.body_argument("text")?);
        if !Notes::accepts(name, text) {
            return Err(HttpError::new(400).message("a name and a text, neither too long").into());
        }
        self.notes.add(name, text).await?;
        // Signed, for no script to read, not sent along from other sites, and over TLS only where there is TLS.
        let cookie = Cookie::new(NAME, "")
            .expires_in(Duration::from_secs(30 * 24 * 3600))
            .httponly(true)
            .same_site(SameSite::Lax)
            .secure(ctx.request().protocol() == "https");
        ctx.set_signed_cookie_with(cookie, name)?;
        ctx.redirect_with("/", 303)
    }
}
