//! A page with a UI module and a UI method.

use squall::template::{Kwargs, Value, context, from_args};
use squall::web::{UiModule, UrlSpec};
use squall::{Context, Result, get};

pub(crate) fn routes() -> Vec<UrlSpec> {
    vec![get("/page", page)]
}

async fn page(ctx: &Context) -> Result {
    let values = context! {
        title => "A <Title>",
        items => (Value::from("one"), Value::from("t&wo"), Value::from(3)),
        nothing => Vec::<Value>::new(),
        user => context! { name => "Ann", age => 30 },
    };
    ctx.render("page.html", values)
}

pub(crate) fn shout(_: &Context, arguments: &[Value]) -> Result<Value> {
    let (text,): (&str,) = from_args(arguments)?;
    Ok(format!("{}!", text.to_uppercase()).into())
}

pub(crate) struct Entry;

impl UiModule for Entry {
    fn render(&self, ctx: &Context, arguments: &[Value]) -> Result<String> {
        let (name, options): (&str, Kwargs) = from_args(arguments)?;
        let n: Option<i64> = options.get("n")?;
        ctx.render_string("entry.html", context! { name => name, n => n.unwrap_or(1) })
    }

    fn css_files(&self, _: &Context) -> Vec<String> {
        vec!["entry.css".to_owned()]
    }

    fn embedded_css(&self, _: &Context) -> Option<String> {
        Some(".entry { color: red }".to_owned())
    }

    fn javascript_files(&self, _: &Context) -> Vec<String> {
        vec!["entry.js".to_owned()]
    }

    fn embedded_javascript(&self, _: &Context) -> Option<String> {
        Some("entry();".to_owned())
    }

    fn html_head(&self, _: &Context) -> Option<String> {
        Some("<meta name=entry>".to_owned())
    }

    fn html_body(&self, _: &Context) -> Option<String> {
        Some("<!-- entry body -->".to_owned())
    }
}
