//! Jinja templates by setting.

use squall::template::{Loader, TemplateError, Value, context};

fn loader(files: &[(&'static str, &'static str)], patterns: &[&str]) -> Loader {
    Loader::from_texts(files.iter().copied()).jinja_templates(patterns)
}

#[test]
fn patterns_say_which_files_are_jinjas() {
    const JINJA: &str = "{% if true %}j{% endif %}";
    const TORNADO: &str = "{% if True %}t{% end %}";
    let rows: &[(&[&str], &str, bool)] = &[
        (&[], "a.html", false),
        (&[], "a.jinja", true),
        (&[], "x/a.html.j2", true),
        (&["*.html"], "a.html", true),
        (&["*.html"], "x/y/a.html", true),
        (&["*.html"], "a.htm", false),
        (&["*.html"], "html", false),
        (&["page?.html"], "page1.html", true),
        (&["page?.html"], "mypage1.html", false),
        (&["lab/"], "lab/x/a.html", true),
        (&["lab/"], "other/lab/a.html", false),
        (&["/lab/*.html"], "lab/a.html", true),
        (&["lab/*.html"], "lab/x/a.html", false),
        (&["lab/**.html"], "lab/x/a.html", true),
        (&["a.b", "(x|y)[z]"], "aXb", false),
        (&["*"], "anything", true),
    ];
    for (patterns, name, is_jinja) in rows {
        let text = if *is_jinja { JINJA } else { TORNADO };
        let found = loader(&[(name, text)], patterns).load(name).and_then(|t| t.generate(context! {}));
        assert_eq!(
            found.as_deref().ok(),
            Some(if *is_jinja { "j" } else { "t" }),
            "{patterns:?} {name}: {found:?}"
        );
    }
}

/// In the style of Jupyter's pages.
#[test]
fn pages_of_the_jupyter_family() {
    let files = [
        (
            "page.html",
            "<!DOCTYPE HTML>\n<html>\n<title>{% block title %}Lab{% endblock %}</title>\n\
             {% block meta %}<meta name=\"t\" content=\"{{ self.title() }}\">{% endblock %}\n\
             <body data-base-url=\"{{ base_url | urlencode }}\" {% block params %}{% endblock %}>\n\
             {% block site %}{% endblock %}\n</html>\n",
        ),
        (
            "tree.html",
            "{% extends \"page.html\" %}\n{% block title %}{{ page_title }}{% endblock %}\n\
             {% block params %}{{ super() }}data-path=\"{{ path | urlencode }}\"{% endblock %}\n\
             {% block site %}\n{% for f in files -%}\n<li>{{ f.name }}{% if not loop.last %},{% endif %}</li>\n{% endfor %}\
             {% trans %}Files & <b>folders</b>{% endtrans %}\n\
             {% trans n=files|length, who=user %}{{ who }} has one file{% pluralize %}{{ who }} has {{ n }} files (100%){% endtrans %}\n\
             <script>var x = {{ config | tojson }};</script>{{ missing }}{% endblock %}",
        ),
    ];
    let loader = loader(&files, &["*.html"]);
    let files: Vec<Value> = vec![context! { name => "a<1>" }, context! { name => "b" }];
    let page = loader.load("tree.html").unwrap().generate(context! {
        page_title => "T & t", base_url => "/user/a b/", path => "x/é?", user => "<Ann>", files, config => context! { a => 1 }
    });
    assert_eq!(
        page.unwrap(),
        "<!DOCTYPE HTML>\n<html>\n<title>T &amp; t</title>\n<meta name=\"t\" content=\"T &amp; t\">\n\
         <body data-base-url=\"/user/a%20b/\" data-path=\"x/%C3%A9%3F\">\n\n<li>a&lt;1&gt;,</li>\n<li>b</li>\n\
         Files & <b>folders</b>\n&lt;Ann&gt; has 2 files (100%)\n<script>var x = {\"a\": 1};</script>\n</html>"
    );
}

#[test]
fn messages_are_translated_by_what_the_context_gives() {
    let rows = [
        ("{% trans %}Hi{% endtrans %}", "[Hi]"),
        ("{% trans %}50% of{% endtrans %}", "[50% of]"),
        ("{% trans x='<' %}50% {{ x }}{% endtrans %}", "[50% &lt;]"),
        ("{% trans trimmed %}\n  a\n  b\n{% endtrans %}", "[a b]"),
        ("{%- trans -%}  a  {%- endtrans -%}  ", "[a]"),
        ("{% trans n=1 %}one{% pluralize %}many{% endtrans %}", "1:one"),
        ("{% trans n=3, m=2 %}one{% pluralize m %}{{ n }} and {{ m }}{% endtrans %}", "2:3 and 2"),
        ("{{ gettext('Hi <b>') }} {{ _('y') }}", "[Hi &lt;b&gt;] y"),
        (
            "{{ pgettext('menu', 'Open') }} {{ ngettext('a', 'b', 2) }} {{ npgettext('c', 'a', 'b', 1) }}",
            "Open 2:b a",
        ),
        ("{% autoescape false %}{% trans x='<' %}a {{ x }}{% endtrans %}{% endautoescape %}", "[a <]"),
    ];
    let gettext = Value::from_function(|text: &str| format!("[{text}]"));
    let ngettext = Value::from_function(|one: &str, many: &str, n: i64| {
        format!("{n}:{}", if n == 1 { one } else { many })
    });
    for (text, expected) in rows {
        let loader = loader(&[("a.jinja", text)], &[]);
        let values = context! { gettext => gettext.clone(), ngettext => ngettext.clone() };
        let found = loader.load("a.jinja").and_then(|template| template.generate(values));
        assert_eq!(found.as_deref().unwrap_or_default(), expected, "{text}: {found:?}");
    }
}

#[test]
fn mistakes_have_their_place_and_the_kinds_do_not_mix() {
    let errors = |files: &[(&'static str, &'static str)]| {
        let errors = loader(files, &["j/"]).check_all().unwrap_err();
        errors.iter().map(TemplateError::to_string).collect::<Vec<_>>().join("\n")
    };
    let found = errors(&[("j/a.html", "one\n {% trans %}{{ x.y }}{% endtrans %}")]);
    assert!(found.starts_with("j/a.html:2:13: only names may stand in {% trans %}"), "{found}");
    let found = errors(&[("j/a.html", "{% trans n %}\n\n{{ n }}{% endtrans %}\n{% if %}")]);
    assert!(found.starts_with("j/a.html:4:"), "{found}");
    let found = errors(&[("t.html", "\n{% include 'j/a.html' %}"), ("j/a.html", "")]);
    assert!(found.contains("a Jinja template, which one in Tornado's syntax"), "{found}");
    let found = errors(&[("t.html", "\n{% extends 'j/a.html' %}"), ("j/a.html", "")]);
    assert!(found.contains("a Jinja template, which one in Tornado's syntax"), "{found}");
    let mixed = loader(&[("t.html", ""), ("j/a.html", "\n{% include '/t.html' %}")], &["j/"]);
    let error = mixed.load("j/a.html").unwrap().generate(context! {}).unwrap_err();
    assert!(error.to_string().contains("t.html is a template in Tornado's syntax"), "{error}");
    assert_eq!((error.file(), error.line()), ("j/a.html", 2), "{error}");
}

/// A Jinja template has the budget that Tornado's have, and a page of both kinds has one.
#[squall::test]
async fn endless_jinja_templates_end() {
    use squall::{Application, Context, get};
    const LOOPS: &str = "{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}";
    let too_many = "takes too many steps: is there a loop without an end?";
    for (text, line) in [
        (format!("a\n {LOOPS}"), 2),
        (
            "\n\n{% for i in range(90000) %}{% for j in range(90000) %}{{ j }}{% endfor %}{% endfor %}"
                .to_owned(),
            3,
        ),
        (
            "{% macro m() %}{% for i in range(90000) %}{{ i }}{% endfor %}{% endmacro %}\n{{ m() }}{{ m() }}"
                .to_owned(),
            1,
        ),
        ("{% include 'b.jinja' %}{% include 'b.jinja' %}".to_owned(), 0),
    ] {
        let part = "{% for i in range(90000) %}{{ i }}{% endfor %}";
        let texts = [("a.jinja", text.clone()), ("b.jinja", part.to_owned())];
        let loader = Loader::from_texts(texts).max_steps(800_000);
        let error = loader.load("a.jinja").unwrap().generate(context! {}).unwrap_err();
        assert!(error.message().contains(too_many), "{text}: {error}");
        assert!(line == 0 || (error.file(), error.line()) == ("a.jinja", line), "{text}: {error}");
        let error = loader.load("a.jinja").unwrap().generate_to(context! {}, std::io::sink()).unwrap_err();
        assert!(error.message().contains(too_many), "{text}: {error}");
        // The next page has a budget of its own.
        assert!(loader.load("b.jinja").unwrap().generate(context! {}).unwrap().ends_with("89999"));
    }

    // Each of these parts could be rendered, but not all of them in one page, whatever kind of page that is.

    let part = "{% for i in range(20000) %}{{ i }}{% endfor %}";
    let texts = [
        ("part.jinja", part.to_owned()),
        ("one.html", "{% module Template('part.jinja') %}".to_owned()),
        ("many.html", "{% for i in range(1000) %}{% module Template('part.jinja') %}{% end %}".to_owned()),
        ("failing.jinja", "{% for i in range(2000) %}{{ i }}{% endfor %}{{ x.y.z }}".to_owned()),
        (
            "tried.html",
            "{% while True %}{% try %}{% module Template('failing.jinja') %}{% except Exception %}{% end %}{% end %}"
                .to_owned(),
        ),
        ("ok.html", "ok".to_owned()),
    ];
    let page = get("/{name}", async |ctx: &Context| ctx.render(ctx.path_arg_str("name")?, context! {}));
    let loader = Loader::from_texts(texts).max_steps(800_000);
    let app = squall::testing::serve(Application::new([page]).template_loader(loader));
    for (name, status) in [("one.html", 200), ("many.html", 500), ("tried.html", 500), ("ok.html", 200)] {
        app.get(&format!("/{name}")).await.assert_status(status);
    }
}
