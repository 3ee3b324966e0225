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

#[squall::test]
async fn plain_jinja_templates_stand_beside_tornados() {
    let app = serve(app(&[
        ("base.jinja", "<title>{% block title %}{% endblock %}</title>"),
        (
            "a.html",
            "{% module Template('part.jinja', who=who) %}{% if request.path == '/a' %}!{% end %}",
        ),
        ("part.jinja", "{{ who|upper }}{# jinja #}{{ nothing }}{% raw %}{{ x }}{% endraw %}"),
        (
            "mail/page.html.j2",
            "{% extends '../base.jinja' %}{% block title %}{{ loop_of(items) }}{{ _('x') }}{% endblock %}",
        ),
        ("b.html", "{% raw jinja() %}"),
    ])
    .ui_method("loop_of", |_, args| Ok(args[0].len().unwrap_or(0).into()))
    .ui_method("jinja", |ctx, _| {
        Ok(ctx.render_string("mail/page.html.j2", context! { items => [1, 2, 3] })?.into())
    }));
    app.get("/a").await.assert_status(200).assert_text("&lt;ANN &amp; &quot;BOB&quot;&gt;{{ x }}!");
    app.get("/b").await.assert_status(200).assert_text("<title>3x</title>");

    let loader = Loader::from_texts([
        (
            "p.jinja",
            "{% autoescape false %}{{ x }}{% endautoescape %}{% set y %}<b>{{ x }}</b>{% endset %}{{ y }}",
        ),
        ("broken.j2", "one\n  {% if x %}"),
        ("late.j2", "{% include 'broken.j2' %}"),
        ("divide.jinja", "\n\n  {{ 1 / 0 }}"),
    ]);
    let page = loader.load("p.jinja").unwrap().generate(context! { x => "<" }).unwrap();
    assert_eq!(page, "<<b>&lt;</b>");
    let errors = loader.check_all().unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!((errors[0].file(), errors[0].line()), ("broken.j2", 2), "{errors:?}");
    let error = loader.load("late.j2").unwrap().generate(context! {}).unwrap_err();
    assert_eq!((error.file(), error.line()), ("broken.j2", 2), "{error}");
    let error = loader.load("divide.jinja").unwrap().generate(context! {}).unwrap_err();
    assert_eq!((error.file(), error.line(), error.column()), ("divide.jinja", 3, 3), "{error}");
}

#[squall::test]
async fn a_long_page_is_streamed() {
    let long = get("/{name}", async |ctx: &Context| {
        let name = format!("{}.html", ctx.path_arg_str("name")?);
        ctx.render_stream(&name, context! { rows => 20_000 }).await
    });
    let app = Application::new([long]).template_loader(Loader::from_texts([
        ("long.html", "{% for i in range(rows) %}<p>{{ i }}</p>\n{% end %}"),
        ("short.html", "{{ rows }}"),
        ("late.html", "{% for i in range(rows) %}<p>{{ i }}</p>\n{% end %}{{ missing }}"),
        ("early.html", "{{ missing }}"),
    ]));
    let app = serve(app);
    let expected: String = (0..20_000).map(|i| format!("<p>{i}</p>\n")).collect();
    let page = app.get("/long").await;
    page.assert_status(200).assert_header("Transfer-Encoding", "chunked").assert_text(&expected);
    app.get("/short").await.assert_text("20000");
    app.get("/early").await.assert_status(500);
    // A page that breaks off has no last chunk.
    let cut = app.raw("GET /late HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let cut = String::from_utf8_lossy(&cut);
    assert!(cut.starts_with("HTTP/1.1 200") && cut.contains("<p>99</p>"), "{} bytes", cut.len());
    assert!(!cut.ends_with("\r\n0\r\n\r\n"));
}

#[squall::test]
async fn templates_are_kept_or_read_anew() {
    let folder = std::env::temp_dir().join(format!("squall-templates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("page.html");
    for (kept, expected) in [(None, "one"), (Some(true), "one"), (Some(false), "two")] {
        std::fs::write(&file, "one").unwrap();
        let page = get("/", async |ctx: &Context| ctx.render("page.html", context! {}));
        let mut app = Application::new([page]).template_path(&folder);
        if let Some(kept) = kept {
            app = app.compiled_template_cache(kept);
        }
        let app = serve(app);
        app.get("/").await.assert_text("one");
        std::fs::write(&file, "two").unwrap();
        app.get("/").await.assert_text(expected);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[squall::test]
async fn one_template_has_one_set_of_resources() {
    let app = serve(app(&[
        (
            "bad.html",
            "<head></head>{% module Template('m.html', c='a') %}{% module Template('m.html', c='b') %}",
        ),
        (
            "good.html",
            "<head></head>{% module Template('m.html', c='a') %}{% module Template('m.html', c='a') %}",
        ),
        ("m.html", "{{ set_resources(embedded_css=c) }}"),
    ]));
    app.get("/bad").await.assert_status(500);
    app.get("/good").await.assert_text("<head><style type=\"text/css\">\na\n</style>\n</head>");
}

#[test]
fn a_broken_template_stops_the_start() {
    let broken = app(&[("ok.html", "fine"), ("bad.html", "one\n{% if x %}\nnever ended")]);
    let error = broken.route_table().unwrap_err().to_string();
    assert!(error.contains("bad.html:2"), "{error}");
}

#[squall::test]
async fn templates_find_what_the_application_registers() {
    let shout = Value::from_function(|text: &str| text.to_uppercase());
    let texts = [
        (
            "a.html",
            "{% import helpers.text %}{% from helpers.text import shout as s, limit %}{% import unused.thing %}\
             {{ helpers.text.shout('a') }}{{ s('b') }}{{ limit + 1 }}",
        ),
        (
            "b.html",
            "{{ handler.version }} {{ handler.application.version }} {{ handler.twice(4) }} {{ handler.hello('x') }} \
             {{ handler.get_argument('q', None) }} {{ handler.settings['blog'] }} {{ getattr(handler, 'nothing', 'no') }}",
        ),
        ("c.html", "{{ isinstance(1, str) }} {{ type_of(who) }} {{ loop }} {{ debug }}"),
        ("d.html", "{{ given(2) }}"),
    ];
    let page = get("/{name}", async |ctx: &Context| {
        let given = Value::from_function(|n: i64| n + 1);
        let name = format!("{}.html", ctx.path_arg_str("name")?);
        ctx.render(&name, context! { who => "Ann", debug => "d", given, ..Value::from_pairs([("loop", 1)]) })
    });
    let app = Application::new([page])
        .template_loader(Loader::from_texts(texts))
        .template_module("helpers.text", context! { shout, limit => 80 })
        .handler_value("version", "1.2")
        .handler_value("twice", Value::from_function(|n: i64| n * 2))
        .template_setting("blog", "B")
        .template_context_functions(["given"])
        .ui_method("hello", |_, args| Ok(format!("hello {}", args[0]).into()))
        .ui_method("isinstance", |_, _| Ok("own".into()))
        .ui_method("type_of", |_, args| Ok(args[0].kind().to_string().into()));
    let app = serve(app);
    app.get("/a").await.assert_status(200).assert_text("AB81");
    app.get("/b").await.assert_status(200).assert_text("1.2 1.2 8 hello x None B no");
    app.get("/c").await.assert_status(200).assert_text("own string 1 d");
    app.get("/d").await.assert_status(200).assert_text("3");
}
