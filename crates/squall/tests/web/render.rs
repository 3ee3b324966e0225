//! Pages made of templates.

use squall::template::{Loader, Value, context};
use squall::testing::serve;
use squall::web::UiModule;
use squall::{Application, Context, Result, get};

struct Fragile;

impl UiModule for Fragile {
    fn render(&self, _ctx: &Context, arguments: &[Value]) -> Result<String> {
        assert!(arguments.is_empty(), "in a module, on purpose");
        Ok("<i>fine</i>".to_owned())
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

#[test]
fn a_broken_template_stops_the_start() {
    let broken = app(&[("ok.html", "fine"), ("bad.html", "one\n{% if x %}\nnever ended")]);
    let error = broken.route_table().unwrap_err().to_string();
    assert!(error.contains("bad.html:2"), "{error}");
}
