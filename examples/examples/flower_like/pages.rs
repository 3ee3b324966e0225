//! The pages.

use std::rc::Rc;

use squall::escape::is_local_url;
use squall::httputil::{Cookie, SameSite};
use squall::template::{Serde, Value, context, from_args};
use squall::web::{UiModule, UrlSpec};
use squall::{Context, OrStatus, RequestHandler, Result, get, handler, post, url};

use crate::accounts::Accounts;
use crate::tasks::{State as TaskState, Tasks};

pub(crate) fn routes() -> [UrlSpec; 6] {
    [
        get("/", async |ctx: &Context| ctx.redirect(&ctx.reverse_url("tasks", &[])?)),
        get("/tasks", list).name("tasks").authenticated(),
        url("/task/([^/]+)", Task).name("task"),
        url("/login", Login),
        post("/logout", logout),
        get("/healthcheck", async |ctx: &Context| {
            ctx.write("OK");
            Ok(())
        }),
    ]
}

async fn list(ctx: &Context) -> Result {
    let all = ctx.setting::<Rc<Tasks>>()?;
    let state = ctx.argument_or("state", "")?;
    let tasks = all.newest(number(ctx, "limit", 50)?, number(ctx, "offset", 0)?, state);
    let (states, counts) = (Serde(TaskState::ALL), Serde(all.counts()));
    ctx.render("tasks.html", context! { tasks => Serde(tasks), state, states, counts })
}

/// An argument of the query.
pub(crate) fn number(ctx: &Context, name: &str, default: usize) -> Result<usize> {
    let Some(text) = ctx.query_argument_opt(name)? else { return Ok(default) };
    text.parse().or_status(400)
}

#[derive(Clone)]
struct Task;

#[handler(authenticated)]
impl RequestHandler for Task {
    async fn get(&mut self, ctx: &Context, uuid: String) -> Result {
        let task = ctx.setting::<Rc<Tasks>>()?.find(&uuid)?;
        ctx.render("task.html", context! { task => Serde(task) })
    }

    async fn post(&mut self, ctx: &Context, uuid: String) -> Result {
        ctx.setting::<Rc<Tasks>>()?.revoke(&uuid)?;
        ctx.redirect_with(&ctx.reverse_url("task", &[&uuid])?, 303)
    }
}

#[derive(Clone)]
struct Login;

#[handler]
impl RequestHandler for Login {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.render("login.html", context! { next => ctx.argument_or("next", "/")?, refused => false })
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        let (name, next) = (ctx.body_argument("name")?, ctx.body_argument_or("next", "/")?);
        let passwords = ctx.untrimmed_body_arguments("password")?;
        if !ctx.setting::<Rc<Accounts>>()?.check(name, passwords.last().or_status(400)?) {
            ctx.set_status(403);
            return ctx.render("login.html", context! { next, refused => true });
        }
        let secure = ctx.request().protocol() == "https";
        let cookie =
            Cookie::new("user", "").expires_days(1.0).httponly(true).same_site(SameSite::Lax).secure(secure);
        ctx.set_signed_cookie_with(cookie, name)?;
        let is_page = next.starts_with('/') && is_local_url(next);
        ctx.redirect_with(if is_page { next } else { "/" }, 303)
    }
}

async fn logout(ctx: &Context) -> Result {
    ctx.clear_cookie("user")?;
    ctx.redirect_with("/login", 303)
}

/// `{% module State(task) %}`
pub(crate) struct State;

impl UiModule for State {
    fn render(&self, ctx: &Context, arguments: &[Value]) -> Result<String> {
        let (task,): (Value,) = from_args(arguments)?;
        ctx.render_string("modules/state.html", context! { task })
    }
}
