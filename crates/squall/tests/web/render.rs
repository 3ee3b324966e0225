//! Pages made of templates.

use squall::locale::Translations;
use squall::template::{Loader, Value, context};
use squall::testing::serve;
use squall::web::{UiModule, nest};
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
            Some("gone") => Err(HttpError::new(410).header("X-Why", "old").into()),
            Some("number") => Ok("x".parse::<u8>()?.to_string()),
            Some(part) => ctx.render_string(part, context! {}),
            None => Ok("<b>in</b>".to_owned()),
        }
    }

    fn embedded_css(&self, _ctx: &Context) -> Option<String> {
        Some("b { color: red }".to_owned())
    }
}

/// Needs nothing of its page.
struct Plain;

impl UiModule for Plain {
    fn render(&self, _ctx: &Context, _arguments: &[Value]) -> Result<String> {
        Ok("<b>in</b>".to_owned())
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
        ("other.html", "{% try %}{{ forbid() }}{% except %}\n{{ 1 // 0 }}{% end %}"),
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

#[squall::test]
async fn jinja_by_setting_knows_what_the_site_gives() {
    let texts = [
        (
            "base.html",
            "<title>{% block title %}{% endblock %}</title>{{ self.title() }}|{% raw %}{{ x }}{% endraw %}\
             {{ xsrf_form_html() is string }}|{{ static_url('a.css', include_version=false) }}|{{ request.path }}|\
             {{ handler.request.method }}|{{ current_user }}|{{ shout(who) }}|{{ modules.Plain() }}|{{ locale.code }}",
        ),
        (
            "page.html",
            "{% extends 'base.html' %}{% block title %}{% trans %}Sign in{% endtrans %} \
             {% trans n=items|length %}{{ n }} file{% pluralize %}{{ n }} files{% endtrans %} \
             {{ gettext('Hello %(who)s', who=who) }}{% endblock %}",
        ),
        ("tornado.txt", "{% if who %}{{ gettext('Sign in') }} {% module Plain() %}{% end %}"),
    ];
    let page = get("/{name}", async |ctx: &Context| {
        ctx.render(ctx.path_arg_str("name")?, context! { who => "<A>", items => [1, 2] })
    });
    let german = "\"Sign in\",\"<b>Anmelden</b>\"\n\"Hello %(who)s\",\"Hallo %(who)s\"\n";
    let translations = Translations::new().csv("de", german.as_bytes()).unwrap();
    let loader = Loader::from_texts(texts).jinja_templates(["*.html"]);
    let app = Application::new([page])
        .template_loader(loader)
        .translations(translations)
        .cookie_secret("secret")
        .default_locale("de")
        .static_path("static")
        .ui_module("Plain", Plain)
        .ui_method("shout", |_, args| Ok(args[0].to_string().to_uppercase().into()));
    let app = serve(app);
    app.get("/page.html").await.assert_status(200).assert_text(
        "<title><b>Anmelden</b> 2 files Hallo &lt;A&gt;</title><b>Anmelden</b> 2 files Hallo &lt;A&gt;|{{ x }}\
         True|/static/a.css|/page.html|GET|None|&lt;A&gt;|<b>in</b>|de",
    );
}

#[squall::test]
async fn groups_and_routes_have_templates_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.html"), "folder {{ handler.request.path }} {{ shout('x') }}")
        .unwrap();
    let loader = |text: &'static str| Loader::from_texts([("page.html", text), ("only.html", text)]);
    let page = |pattern: &str| get(pattern, async |ctx: &Context| ctx.render("page.html", context! {}));
    let of_folder = page("/folder").template_path(folder.path());
    let again = page("/again").template_path(folder.path());
    let inner = nest("/inner", [page("/a"), page("/own").template_loader(loader("own"))])
        .template_loader(loader("inner"));
    let group = nest("/group", [page("/a"), inner])
        .template_loader(loader("group {% module Guarded('only.html') %}"));
    let app = Application::new([page("/a"), of_folder, again, group])
        .template_loader(loader("all {{ shout('y') }}"))
        .ui_module("Guarded", Guarded)
        .ui_method("shout", |_, args| Ok(args[0].to_string().to_uppercase().into()));
    let app = serve(app);
    let rows = [
        ("/a", "all Y"),
        ("/folder", "folder /folder X"),
        ("/again", "folder /again X"),
        ("/group/inner/a", "inner"),
        ("/group/inner/own", "own"),
    ];
    for (path, expected) in rows {
        app.get(path).await.assert_status(200).assert_text(expected);
    }
    // A module renders with the templates of the page's route: here, without end.
    app.get("/group/a").await.assert_status(500);
}

#[test]
fn broken_templates_of_a_route_stop_the_start() {
    let broken = || Loader::from_texts([("page.html", "\n{% if %}")]);
    let page = get("/", async |ctx: &Context| ctx.render("page.html", context! {}));
    let error = Application::new([page.template_loader(broken())]).route_table().unwrap_err();
    assert!(error.to_string().contains("template page.html:2:"), "{error}");
    let page = get("/", async |ctx: &Context| ctx.render("page.html", context! {}));
    let error =
        Application::new([nest("/a", [page]).template_path("no such folder")]).route_table().unwrap_err();
    assert!(error.to_string().contains("no such folder"), "{error}");
}

/// A page that a client does not take is not made, and the loop serves others meanwhile.
#[squall::test(timeout = 120)]
async fn a_streamed_page_waits_for_its_client() {
    use std::cell::Cell;
    use std::rc::Rc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// 100 MB: more than any socket buffers.
    const ROWS: usize = 200_000;
    let made = Rc::new(Cell::new(0_usize));
    let long =
        get("/long", async |ctx: &Context| ctx.render_stream("long.html", context! { rows => ROWS }).await);
    let asked = Rc::clone(&made);
    let how_many = get("/made", async move |ctx: &Context| {
        ctx.write(asked.get().to_string());
        Ok(())
    });
    let counted = Rc::clone(&made);
    let text = "{% for i in range(rows) %}{% if i % 2 %}{{ row() }}{% else %}{% include 'row.html' %}{% end %}{% end %}";
    let app = Application::new([long, how_many])
        .template_loader(Loader::from_texts([("long.html", text), ("row.html", "{{ row() }}")]))
        .ui_method("row", move |_, _| {
            counted.set(counted.get() + 1);
            Ok("x".repeat(500).into())
        });
    let app = serve(app);
    let mut client = tokio::net::TcpStream::connect(("127.0.0.1", app.port())).await.unwrap();
    client.write_all(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut buffer = vec![0; 1 << 16];
    client.read_exact(&mut buffer).await.unwrap();
    app.get("/made").await.assert_status(200);
    let before = made.get();
    assert!(before > 0 && before < ROWS, "{before} rows made");
    for _ in 0..ROWS * 500 / buffer.len() / 2 {
        client.read_exact(&mut buffer).await.unwrap();
    }
    let after = made.get();
    assert!(after > before && after < ROWS, "{before} rows, then {after}");
    drop(client);
    app.get("/made").await.assert_status(200);
}
