//! Languages and escaping.

use serde_json::json;
use squall::escape::{self, Linkify};
use squall::locale::interpolate;
use squall::web::UrlSpec;
use squall::{Context, Result, get};

pub(crate) fn routes() -> Vec<UrlSpec> {
    vec![get("/locale", locale), get("/escape", escaped)]
}

async fn locale(ctx: &Context) -> Result {
    let locale = ctx.locale().await?;
    let n: i64 = ctx.argument_or("n", "1")?.parse()?;
    let items = locale.translate_plural("%(n)d item", "%(n)d items", n);
    ctx.write(format!(
        "{}|{}|{}|{}|{}",
        locale.code(),
        locale.translate("Sign out"),
        interpolate(items, &[("n", &n)]),
        locale.friendly_number(1_234_567),
        locale.list(&["A", "B", "C"]),
    ));
    Ok(())
}

async fn escaped(ctx: &Context) -> Result {
    let text = ctx.argument_or("t", "")?;
    let short = Linkify::new().shorten(true).extra_params("rel=\"nofollow\"");
    ctx.write_json(&json!({
        "xhtml": escape::xhtml_escape(text),
        "un": escape::xhtml_unescape(text),
        "url": escape::url_escape(text),
        "path": escape::url_escape_path(text),
        "squeeze": escape::squeeze(text),
        "json": escape::json_encode(text)?,
        "link": escape::linkify(text),
        "short": short.apply(text),
    }))
}
