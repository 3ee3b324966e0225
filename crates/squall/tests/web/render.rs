//! Pages made of templates.

use squall::template::{Loader, Value, context};
use squall::testing::serve;
use squall::web::UiModule;
use squall::{Application, Context, HttpError, Result, get};

struct Fragile;

impl UiModule for Fragile {
    fn render(&self, _ctx: &Context, arguments: &[Value]) -> Result<String> {
        assert!(arguments.is_empty(), "in a module, on purpose");
        Ok("<i>fine</i>".to_owned())
    }
}

struct Guarded;

impl UiModule for Guarded {
    fn render(&self, ctx: &Context, arguments: &[Value]) -> Result<String> {
        match arguments.first().and_then(Value::as_str) {
            Some("gone") => Err(HttpError::new(410).with_header("X-Why", "old").into()),
            Some("number") => Ok("x".parse::<u8>()?.to_string()),
            Some(part) => ctx.render_string(part, context! {}),
            None => Ok("<b>in</b>".to_owned()),
        }
    }

    fn embedded_css(&self, _ctx: &Context) -> Option<String> {
        Some("b { color: red }".to_owned())
    }
}

fn app(texts: &[(&str, &str)]) -> Application {
    let page = get("/{name}", async |ctx: &Context| {
        let name = format!("{}.html", ctx.path_arg_str("name")?);
        ctx.render(&name, context! { who => "<Ann & \"Bob\">", items => [1, 2] })
    });
    let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Application::new([page])
        .template_loader(Loader::from_texts(texts))
        .ui_module("Fragile", Fragile)
        .ui_module("Guarded", Guarded)
        .ui_method("forbid", |_, _| Err(HttpError::new(403).into()))
        .cookie_secret("secret")
}

#[squall::test]
async fn pages_are_rendered_and_escaped() {
    let app = serve(app(&[
        ("base.html", "<title>{% block title %}none{% end %}</title>{% block body %}{% end %}"),
        (
            "page.html",
            "{% extends \"base.html\" %}{% block title %}{{ who }}{% end %}\
             {% block body %}{% for i in items %}{{ i }}{% if i == 2 %}!{% end %}{% end %}{% raw who %}{% end %}",
        ),
        ("form.html", "{% raw xsrf_form_html() %}"),
    ]));
    app.get("/page")
        .await
        .assert_status(200)
        .assert_text("<title>&lt;Ann &amp; &quot;Bob&quot;&gt;</title>12!<Ann & \"Bob\">");
    app.get("/form").await.assert_text_contains("<input type=\"hidden\" name=\"_xsrf\" value=\"2|");
    app.get("/missing").await.assert_status(500);
}

#[squall::test]
async fn a_module_that_panics_spoils_no_other_page() {
    let app = serve(app(&[("good.html", "{% module Fragile() %}"), ("bad.html", "{% module Fragile(1) %}")]));
    app.get("/good").await.assert_text("<i>fine</i>");
    app.get("/bad").await.assert_status(500);
    app.get("/good").await.assert_text("<i>fine</i>");
}

#[squall::test]
async fn a_panic_takes_what_the_page_used_with_it() {
    let bad = "<head></head>{% module Guarded() %}{% module Fragile(1) %}";
    let app = serve(app(&[("bad.html", bad), ("good.html", "<head></head>{% module Fragile() %}")]));
    app.get("/bad").await.assert_status(500);
    app.get("/good").await.assert_text("<head></head><i>fine</i>");
}

#[squall::test]
async fn an_error_in_a_module_or_method_keeps_its_status() {
    let app = app(&[
        ("gone.html", "{% module Guarded('gone') %}"),
        ("method.html", "{{ forbid() }}"),
        ("deep.html", "<head></head>{% module Guarded('gone.html') %}"),
        ("caught.html", "{% try %}{{ forbid() }}{% except %}no{% end %}"),
        ("other.html", "{% try %}{{ forbid() }}{% except %}\n{% module Nobody() %}{% end %}"),
        ("number.html", "{% module Guarded('number') %}"),
    ]);
    let app = serve(app.map_error(|_: &std::num::ParseIntError| Some(HttpError::new(422))));
    let gone = app.get("/gone").await;
    gone.assert_status(410);
    assert_eq!(gone.header("X-Why"), Some("old"));
    app.get("/method").await.assert_status(403);
    app.get("/deep").await.assert_status(410);
    app.get("/caught").await.assert_status(200).assert_text("no");
    app.get("/other").await.assert_status(500);
    app.get("/number").await.assert_status(422);
}

#[test]
fn a_broken_template_stops_the_start() {
    let broken = app(&[("ok.html", "fine"), ("bad.html", "one\n{% if x %}\nnever ended")]);
    let error = broken.route_table().unwrap_err().to_string();
    assert!(error.contains("bad.html:2"), "{error}");
}
