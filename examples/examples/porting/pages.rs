//! The pages, from the templates of `app.py`.

use squall::escape::is_local_url;
use squall::httputil::{Cookie, SameSite};
use squall::template::{Kwargs, Serde, Value, context, from_args};
use squall::web::UiModule;
use squall::{Context, Result};

use crate::board::Board;

pub(crate) async fn home(ctx: &Context) -> Result {
    ctx.require_user::<String>().await?;
    let notes = ctx.setting::<Board>()?.load()?.notes;
    ctx.render("home.html", context! { notes => Serde(notes) })
}

pub(crate) async fn pin_up(ctx: &Context) -> Result {
    let user = ctx.require_user::<String>().await?;
    ctx.setting::<Board>()?.add(ctx.body_argument("text")?, &user)?;
    ctx.redirect_with("/", 303)
}

pub(crate) async fn login_form(ctx: &Context) -> Result {
    ctx.render("login.html", context! { next => ctx.argument_or("next", "/")? })
}

pub(crate) async fn login(ctx: &Context) -> Result {
    let cookie = Cookie::new("user", "").httponly(true).same_site(SameSite::Lax);
    ctx.set_signed_cookie_with(cookie, ctx.body_argument("name")?)?;
    let target = ctx.argument_or("next", "/")?;
    ctx.redirect_with(if is_local_url(target) { target } else { "/" }, 303)
}

pub(crate) async fn logout(ctx: &Context) -> Result {
    ctx.clear_cookie("user")?;
    ctx.redirect_with("/login", 303)
}

pub(crate) async fn about(ctx: &Context) -> Result {
    let notes = ctx.setting::<Board>()?.load()?.notes.len();
    ctx.render("about.html", context! { notes => notes })
}

/// `{% module Note(note, own=..) %}`
pub(crate) struct NoteModule;

impl UiModule for NoteModule {
    fn render(&self, ctx: &Context, arguments: &[Value]) -> Result<String> {
        let (note, options): (Value, Kwargs) = from_args(arguments)?;
        let own = options.get::<Option<bool>>("own")?.unwrap_or(false);
        ctx.render_string("modules/note.html", context! { note => note, own => own })
    }

    fn embedded_css(&self, _: &Context) -> Option<String> {
        Some(".own { font-weight: bold }".to_owned())
    }
}
