//! The API and the events, for scripts and for the pages.

use std::rc::Rc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use squall::web::UrlSpec;
use squall::websocket::{Membership, WebSocketOptions, WhenFull};
use squall::{Context, Error, HttpError, Message, OrStatus, Result, Site, WebSocket, WebSocketHandler};
use squall::{get, post, ws};

use crate::pages::number;
use crate::tasks::{Kind, State, Task, Tasks};

pub(crate) fn routes(tasks: &Rc<Tasks>) -> [UrlSpec; 7] {
    [
        get("/metrics", metrics),
        get("/api/tasks", list),
        get("/api/task/types", async |ctx: &Context| ctx.write_json(&json!({ "task-types": Kind::ALL }))),
        get("/api/task/info/{uuid}", async |ctx: &Context| {
            ctx.write_json(&ctx.setting::<Rc<Tasks>>()?.find(ctx.path_arg_str("uuid")?)?)
        }),
        post("/api/task/apply/{name}", apply),
        post("/api/task/revoke/{uuid}", revoke),
        ws("/api/events", Events { tasks: tasks.clone(), listener: None }),
    ]
}

/// Answers in JSON, errors included, and never with a redirect to the login page. What it does not say, such as who the
/// user is, the site around it knows.
pub(crate) struct Api;

impl Site for Api {
    type User = String;

    async fn prepare(&self, ctx: &Context) -> Result {
        ctx.user::<String>().await?.or_status(401)?;
        Ok(())
    }

    /// A browser sends a password along as it does a cookie. What no form of another site can send is this type.
    fn check_xsrf(&self, ctx: &Context) -> Result {
        match ctx.request().headers().get("Content-Type") {
            Some("application/json") => Ok(()),
            _ => ctx.check_xsrf_cookie(),
        }
    }

    async fn write_error(&self, ctx: &Context, error: &Error) -> Result {
        if error.status() == 401 {
            ctx.set_header("WWW-Authenticate", "Basic realm=\"flower_like\"")?;
        }
        ctx.write_json(&json!({ "error": ctx.reason() }))
    }
}

async fn list(ctx: &Context) -> Result {
    let state = ctx.argument_or("state", "")?;
    let (limit, offset) = (number(ctx, "limit", 50)?, number(ctx, "offset", 0)?);
    ctx.write_json(&ByUuid(ctx.setting::<Rc<Tasks>>()?.newest(limit, offset, state)))
}

struct ByUuid(Vec<Task>);

impl Serialize for ByUuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|task| (&task.uuid, task)))
    }
}

async fn apply(ctx: &Context) -> Result {
    let kind =
        Kind::named(ctx.path_arg_str("name")?).ok_or_else(|| HttpError::new(404).reason("Unknown task"))?;
    let body = ctx.request().body();
    let mut options: Map<String, Value> =
        if body.is_empty() { Map::new() } else { serde_json::from_slice(body).or_status(400)? };
    let args = match options.remove("args") {
        None => Vec::new(),
        Some(Value::Array(args)) => args,
        Some(_) => return Err(HttpError::new(400).into()),
    };
    let task = ctx.setting::<Rc<Tasks>>()?.apply(kind, args)?;
    ctx.write_json(&Applied { uuid: &task.uuid, state: task.state })
}

/// Its fields come in this order; those of `json!` would come by name.
#[derive(Serialize)]
struct Applied<'a> {
    #[serde(rename = "task-id")]
    uuid: &'a str,
    state: State,
}

async fn revoke(ctx: &Context) -> Result {
    let uuid = ctx.path_arg_str("uuid")?;
    ctx.setting::<Rc<Tasks>>()?.revoke(uuid)?;
    ctx.write_json(&json!({ "message": format!("Revoked '{uuid}'") }))
}

async fn metrics(ctx: &Context) -> Result {
    ctx.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")?;
    ctx.write("# TYPE flower_tasks gauge\n");
    for (state, count) in ctx.setting::<Rc<Tasks>>()?.counts().0 {
        ctx.write(format!("flower_tasks{{state=\"{state}\"}} {count}\n"));
    }
    Ok(())
}

/// Tells of every change of a task, and how many there are of each state.
#[derive(Clone)]
struct Events {
    tasks: Rc<Tasks>,
    listener: Option<Rc<Membership>>,
}

impl WebSocketHandler for Events {
    /// Who does not keep up is better off connecting again.
    fn options(&self, _ctx: &Context, defaults: WebSocketOptions) -> WebSocketOptions {
        defaults.queue(1024 * 1024, WhenFull::Close)
    }

    async fn open(&mut self, ws: &WebSocket) -> Result {
        self.listener = Some(Rc::new(self.tasks.listen(ws)));
        ws.write_json(&self.tasks.event(None)).await
    }

    async fn on_message(&mut self, _ws: &WebSocket, _message: Message) -> Result {
        Ok(()) // Nothing is expected.
    }
}
