//! What a handler answers with: bodies, statuses, headers, redirects, errors.

use serde_json::json;
use squall::httputil::EntityTag;
use squall::web::{Finish, StaticUrl, UrlSpec};
use squall::{Context, Error, HttpError, OrStatus, RequestHandler, Result, get, handler, url};

pub(crate) fn routes() -> Vec<UrlSpec> {
    vec![
        get("/", hello),
        get("/hello", hello),
        get("/json", async |ctx: &Context| {
            ctx.write_json(&json!({"b": 1, "a": [1, 2.5, null, true, "é</script>"]}))
        }),
        url(r"/types/(.*)", Types),
        get("/headers", headers),
        get("/badheader", async |ctx: &Context| {
            let value = ctx.untrimmed_arguments("v")?.last().copied().unwrap_or("a\r\nb: c");
            Ok(ctx.set_header("X-Bad", value)?)
        }),
        url(r"/status/([0-9]+)", Status),
        url(r"/raise/(.*)", Raise),
        url("/customerror", CustomError),
        url(r"/redirect/(.*)", Redirect),
        url(r"/addslash/?", AddSlash),
        url(r"/removeslash/?", RemoveSlash),
        get("/etag", async |ctx: &Context| {
            ctx.write("the same body every time");
            Ok(())
        }),
        url("/noetag", NoEtag),
        url(r"/big/([0-9]+)", Big),
        get("/flush", flush),
        url(r"/lie/([0-9]+)", LengthLie),
        url("/methods", Methods),
        url("/prepare", Prepare),
        url("/init", Init { what: "initialized" }),
        get("/staticurl", async |ctx: &Context| {
            ctx.write(ctx.static_url("robots.txt")?);
            ctx.write("\n");
            ctx.write(ctx.static_url_with("nothere.txt", StaticUrl::default().include_version(false))?);
            Ok(())
        }),
    ]
}

async fn hello(ctx: &Context) -> Result {
    ctx.write("Hello, world");
    Ok(())
}

/// The path picks what is written.
#[derive(Clone)]
struct Types;

#[handler]
impl RequestHandler for Types {
    async fn get(&mut self, ctx: &Context, kind: String) -> Result {
        match kind.as_str() {
            "bytes" => ctx.write([0x00, 0xff]),
            // Tornado's write() takes no lists; squall's write_json would.
            "list" => return Err(HttpError::new(500).log_message("lists are not written").into()),
            "twice" => {
                ctx.write("a");
                // With the space that Python's JSON has, and write_json has not.
                ctx.write(r#"{"k": "v"}"#);
                ctx.set_header("Content-Type", "application/json; charset=UTF-8")?;
            }
            "finish" => ctx.finish_with("done").await?,
            "empty" => {}
            "after-finish" => {
                ctx.finish_with("x").await?;
                ctx.write("y"); // a panic, when the answer is out already
            }
            _ => return Err(HttpError::new(404).reason("No Such Kind").into()),
        }
        Ok(())
    }
}

async fn headers(ctx: &Context) -> Result {
    ctx.set_header("X-One", "1")?;
    ctx.add_header("X-Many", "a")?;
    ctx.add_header("X-Many", "b")?;
    ctx.set_header("X-Gone", "x")?;
    ctx.clear_header("X-Gone");
    ctx.set_header("X-Int", 42)?;
    ctx.set_status_reason(203, "Custom Reason");
    Ok(())
}

#[derive(Clone)]
struct Status;

#[handler]
impl RequestHandler for Status {
    async fn get(&mut self, ctx: &Context, code: u16) -> Result {
        ctx.set_status(code);
        Ok(())
    }
}

#[derive(Clone)]
struct Raise;

#[handler]
impl RequestHandler for Raise {
    async fn get(&mut self, ctx: &Context, what: String) -> Result {
        Err(match what.as_str() {
            "http" => HttpError::new(418).log_message("logged only").reason("Teapot").into(),
            "plain" => std::io::Error::other("boom").into(),
            "finish" => {
                ctx.set_status(201);
                Finish::with("early").into()
            }
            "send" => HttpError::new(403).reason("Nope").into(),
            "unknown" => HttpError::new(499).into(),
            status => HttpError::new(status.parse()?).into(),
        })
    }
}

#[derive(Clone)]
struct CustomError;

#[handler]
impl RequestHandler for CustomError {
    async fn write_error(&mut self, ctx: &Context, error: &Error) -> Result {
        ctx.write_json(&json!({"code": error.status(), "reason": error.reason()}))?;
        Ok(ctx.set_header("Content-Type", "application/json")?)
    }

    async fn get(&mut self, _ctx: &Context) -> Result {
        Err(HttpError::new(409).into())
    }
}

#[derive(Clone)]
struct Redirect;

#[handler]
impl RequestHandler for Redirect {
    async fn get(&mut self, ctx: &Context, kind: String) -> Result {
        match kind.as_str() {
            "temp" => ctx.redirect("/hello?x=1"),
            "perm" => ctx.redirect_with("/hello", 301),
            _ => ctx.redirect_with("../hello", 303),
        }
    }
}

#[derive(Clone)]
struct AddSlash;

#[handler(add_slash)]
impl RequestHandler for AddSlash {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write("slash");
        Ok(())
    }
}

#[derive(Clone)]
struct RemoveSlash;

#[handler(remove_slash)]
impl RequestHandler for RemoveSlash {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write("no slash");
        Ok(())
    }
}

#[derive(Clone)]
struct NoEtag;

#[handler]
impl RequestHandler for NoEtag {
    fn compute_etag(_ctx: &Context) -> Option<EntityTag> {
        None
    }

    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write("never cached");
        Ok(())
    }
}

/// So long a text is written at the most: nobody is to make this process hold what he likes.
const LONGEST_TEXT: usize = 16 << 20;

fn checked_length(length: usize) -> Result<usize> {
    Some(length).filter(|length| *length <= LONGEST_TEXT).or_status(400)
}

/// A compressible text of so many bytes; `?type=` sets its type.
#[derive(Clone)]
struct Big;

#[handler]
impl RequestHandler for Big {
    async fn get(&mut self, ctx: &Context, length: usize) -> Result {
        let length = checked_length(length)?;
        ctx.set_header("Content-Type", ctx.argument_or("type", "text/plain")?)?;
        let text: String = "abcdefghij".chars().cycle().take(length).collect();
        ctx.write(text);
        Ok(())
    }
}

async fn flush(ctx: &Context) -> Result {
    for i in 0..3 {
        ctx.write(format!("chunk{i};"));
        ctx.flush().await?;
    }
    ctx.write("end");
    Ok(())
}

/// Says Content-Length: 5 and writes as much as it is told.
#[derive(Clone)]
struct LengthLie;

#[handler]
impl RequestHandler for LengthLie {
    async fn get(&mut self, ctx: &Context, length: usize) -> Result {
        let length = checked_length(length)?;
        ctx.set_header("Content-Length", "5")?;
        ctx.write("x".repeat(length));
        Ok(())
    }
}

#[derive(Clone)]
struct Methods;

#[handler]
impl RequestHandler for Methods {
    #[method("PROPFIND")]
    async fn propfind(&mut self, ctx: &Context) -> Result {
        ctx.write("found");
        Ok(())
    }

    async fn head(&mut self, ctx: &Context) -> Result {
        Ok(ctx.set_header("X-Head", "yes")?)
    }

    async fn options(&mut self, ctx: &Context) -> Result {
        ctx.set_header("Allow", "OPTIONS, HEAD")?;
        ctx.set_status(204);
        Ok(())
    }
}

/// `prepare` answers when `?stop=` is given, and the method is then not called.
#[derive(Clone)]
struct Prepare;

#[handler]
impl RequestHandler for Prepare {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        ctx.set_header("X-Prepared", "1")?;
        if !ctx.argument_or("stop", "")?.is_empty() {
            ctx.finish_with("stopped in prepare").await?;
        }
        Ok(())
    }

    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write("after prepare");
        Ok(())
    }
}

#[derive(Clone)]
struct Init {
    what: &'static str,
}

#[handler]
impl RequestHandler for Init {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write(self.what);
        Ok(())
    }
}
