//! What a handler reads from a request: its path, arguments and head.

use std::collections::BTreeMap;

use serde_json::json;
use squall::web::UrlSpec;
use squall::{Context, RequestHandler, Result, get, handler, url};

pub(crate) fn routes() -> Vec<UrlSpec> {
    vec![
        url("/args", Args),
        get("/need", async |ctx: &Context| {
            ctx.write(ctx.argument("must")?);
            Ok(())
        }),
        get(r"/path/(?P<first>[^/]+)/(?P<second>[0-9]+)", path),
        get(r"/path2/([^/]*)/(.*)", path).name("path2"),
        get("/request", request),
        get("/reverse", async |ctx: &Context| {
            ctx.write(ctx.reverse_url("path2", &[&"x y", &"é"])?);
            Ok(())
        }),
    ]
}

#[derive(Clone)]
struct Args;

#[handler]
impl RequestHandler for Args {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write_json(&json!({
            "a": ctx.arguments("a")?,
            "raw": ctx.untrimmed_arguments("a")?,
            "last": ctx.argument_or("last", "none")?,
        }))
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write_json(&json!({
            "q": ctx.query_arguments("a")?,
            "b": ctx.body_arguments("a")?,
            "all": ctx.arguments("a")?,
        }))
    }
}

/// The path arguments: those of named groups by name, else in order.
async fn path(ctx: &Context) -> Result {
    let (mut args, mut kwargs) = (Vec::new(), BTreeMap::new());
    for (name, value) in ctx.path_arg_names().zip(ctx.path_args()) {
        match name {
            Some(name) => drop(kwargs.insert(name, value)),
            None => args.push(value),
        }
    }
    ctx.write_json(&json!({"args": args, "kwargs": kwargs}))
}

async fn request(ctx: &Context) -> Result {
    let request = ctx.request();
    let headers = request.headers();
    let cookies: BTreeMap<&str, &str> = ctx.cookies().collect();
    ctx.write_json(&json!({
        "method": request.method().as_str(),
        "uri": request.uri(),
        "path": request.path(),
        "query": request.query(),
        "version": format!("{:?}", request.version()),
        "host": request.host(),
        "host_name": request.host_name(),
        "protocol": request.protocol(),
        "remote_ip": request.remote_ip(),
        "full_url": request.full_url(),
        "accept": headers.list("Accept").collect::<Vec<_>>(),
        "x": headers.get("X-Thing"),
        "cookies": cookies,
    }))
}
