//! Hostile values wherever a template can put a value: what comes out cannot leave the place it was put into.

use squall::template::{Loader, Serde, Template, Value, context};
use squall::testing::serve;
use squall::web::UiModule;
use squall::{Application, Context, Result, get};

/// Scripts, attribute breakers, ends of scripts and comments, control characters, templates, look-alikes.
const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "</script><script>alert(1)//",
    "</SCRIPT\t>",
    "<!--<script>",
    "-->",
    "]]>",
    "\" onmouseover=\"alert(1)",
    "' onfocus='alert(1)' x='",
    "\"><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "http://e.com/\"><script>alert(1)</script>",
    "http://e.com/?a='onclick='alert(1)&b=<b>",
    "www.e.com/\"onmouseover=\"alert(1)\"",
    "{{ 7 * 7 }}{% raw 7 %}{# gone #}",
    "{%!x%}{{!y}}",
    "&lt;b&gt;&#60;",
    "%3Cscript%3E",
    "\0",
    "a\0b<\0>",
    "\u{1}\u{8}\u{b}\u{c}\u{1b}[31m\u{7f}",
    "\r\n\r\nSet-Cookie: a=b",
    "\u{2028}\u{2029}\u{85}",
    "\u{fffd}\u{fffe}\u{feff}",
    "\u{202e}evil\u{202c}",
    "\u{10ffff}\u{1f600}é",
    "`${alert(1)}`",
    "\\\"\\'\\\\",
    "\\u003cscript\\u003e",
    "%s%(x)s%d{}{0}",
    "../../../../etc/passwd",
];

/// Where a value stands, and what has to be true of the page.
type Check = fn(page: &str, value: &str) -> bool;

const PLACES: &[(&str, Check)] = &[
    ("{{ v }}", is_escaped),
    ("<p title=\"{{ v }}\">", |page, v| is_escaped(inside(page, "<p title=\"", "\">"), v)),
    ("<p title='{{ v }}'>", |page, v| is_escaped(inside(page, "<p title='", "'>"), v)),
    ("{{ v if v else '' }}{% if v == '' %}x{% end %}", is_escaped),
    ("{% set w = v %}{{ w }}", is_escaped),
    ("{% for c in [v] %}{{ c }}{% end %}", is_escaped),
    ("{% block b %}{{ v }}{% end %}", is_escaped),
    ("{% include 'part.html' %}", is_escaped),
    ("{% try %}{{ v }}{{ missing }}{% except %}{% end %}", is_escaped),
    ("{{ ''.join([x for x in [v]]) }}", is_escaped),
    ("{{ '%s' % v }}", is_escaped),
    ("{{ f'{v}' }}", is_escaped),
    ("{{ '{}'.format(v) }}", is_escaped),
    ("{{ {'k': v}['k'] }}", is_escaped),
    ("{{ [v] }}", |page, _| is_inert(page)),
    ("{{ {v: v} }}", |page, _| is_inert(page)),
    ("{{ repr(v) }}", |page, _| is_inert(page)),
    ("{{ _('Hello %s') % v }}", |page, v| is_escaped(inside(page, "Hello ", ""), v)),
    ("{% raw _('<b>%(x)s</b>') % {'x': escape(v)} %}", |page, v| is_escaped(inside(page, "<b>", "</b>"), v)),
    ("{{ escape(v) }}", |page, v| page == escaped(&escaped(v))),
    ("{% raw escape(v) %}", is_escaped),
    ("<a href=\"/?q={{ url_escape(v) }}\">", |page, v| is_url(inside(page, "<a href=\"/?q=", "\">"), v)),
    ("<a href=\"{{ reverse_url('story', v) }}\">", |page, _| {
        inside(page, "<a href=\"/story/", "\">")
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"<>\"'".contains(&b))
    }),
    ("<a href=\"{{ static_url(v) }}\">", |page, _| is_inert(inside(page, "<a href=\"", "\">"))),
    ("<script>v = {% raw json_encode(v) %};</script>", |page, v| {
        is_script(inside(page, "<script>v = ", ";</script>"), v)
    }),
    ("<script>v = {% raw json_encode({'k': [v]})[6:-1] %};</script>", |page, v| {
        is_script(inside(page, "<script>v = [", "];</script>"), v)
    }),
    ("<p data-v=\"{{ json_encode(v) }}\">", |page, v| {
        let json = inside(page, "<p data-v=\"", "\">");
        is_inert(json) && is_script(&squall::escape::xhtml_unescape(json), v)
    }),
    ("{% raw linkify(v) %}", |page, _| is_inert(&without_links(page))),
    ("{% module linkify(v) %}", |page, _| is_inert(&without_links(page))),
    ("{% module linkify(v, shorten=True) %}", |page, _| is_inert(&without_links(page))),
    ("{% module Show(v) %}", |page, v| is_escaped(inside(page, "<i>", "</i>"), v)),
    ("{% module Template('part.html', v=v) %}", is_escaped),
    ("{% apply url_escape %}{{ v }}{% end %}", |page, v| is_url(page, &escaped(v))),
    ("{% apply (lambda part: squeeze(part.decode())) %}{{ v }}{% end %}", |page, _| is_inert(page)),
    ("{% apply xhtml_escape %}{% raw v %}{% end %}", is_escaped),
    ("{% autoescape url_escape %}{{ v }}", is_url),
    ("{% autoescape (lambda part: json_encode(part.decode())) %}{{ v }}", is_script),
    ("{{ method(v) }}", is_escaped),
    ("{{ handler.get_argument('q') }}", |page, _| is_inert(page)),
    ("{{ request.arguments['q'][0] }}{{ request.uri }}{{ request.headers['X-V'] }}", |page, _| {
        is_inert(page)
    }),
    ("{% raw xsrf_form_html() %}", |page, _| {
        inside(page, "<input type=\"hidden\" name=\"_xsrf\" value=\"", "\"/>")
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || b == b'|')
    }),
    // What is raw is raw.
    ("{% raw v %}", |page, v| page == v),
    ("{% autoescape None %}{{ v }}", |page, v| page == v),
];

/// What Tornado makes of it, by another way than the library's.
fn escaped(value: &str) -> String {
    let entity = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&#x27;".to_owned(),
        c => c.to_string(),
    };
    value.chars().map(entity).collect()
}

fn is_escaped(page: &str, value: &str) -> bool {
    page == escaped(value)
}

/// Whether it is text anywhere in HTML.
fn is_inert(page: &str) -> bool {
    !page.contains(['<', '>', '"', '\''])
}

fn is_url(page: &str, value: &str) -> bool {
    let is_safe = |b: u8| b.is_ascii_alphanumeric() || b"_.-~+%/".contains(&b);
    page.bytes().all(is_safe) && squall::escape::url_unescape(page) == value
}

/// Whether it is the value in JSON that neither ends a script nor opens a comment's script in it.
fn is_script(json: &str, value: &str) -> bool {
    !json.contains("</")
        && json.is_ascii()
        && !json.contains(|c: char| c.is_ascii_control() && c != '\x7f')
        && serde_json::from_str::<String>(json).is_ok_and(|back| back == value)
}

/// What stands between these; what cannot be, when it does not.
fn inside<'p>(page: &'p str, before: &str, after: &str) -> &'p str {
    page.strip_prefix(before).and_then(|page| page.strip_suffix(after)).unwrap_or("<not there>")
}

fn without_links(page: &str) -> String {
    let link = regex::Regex::new(r#"<a href="https?://[^"<>']*"( title="[^"<>']*")?>|</a>"#).unwrap();
    link.replace_all(page, "").into_owned()
}

struct Show;

impl UiModule for Show {
    fn render(&self, ctx: &Context, arguments: &[Value]) -> Result<String> {
        let inner = ctx.render_string("part.html", context! { v => arguments.first() })?;
        Ok(format!("<i>{inner}</i>"))
    }
}

#[squall::test(timeout = 60)]
async fn hostile_values_stay_where_they_were_put() {
    let names: Vec<String> = (0..PLACES.len()).map(|index| format!("{index}.html")).collect();
    let mut texts: Vec<(String, String)> =
        names.iter().zip(PLACES).map(|(name, (text, _))| (name.clone(), (*text).to_owned())).collect();
    texts.push(("part.html".to_owned(), "{{ v }}".to_owned()));
    let page = get("/{place}/{value}", async |ctx: &Context| {
        let value = HOSTILE[ctx.path_arg_str("value")?.parse::<usize>()?];
        ctx.render(&format!("{}.html", ctx.path_arg_str("place")?), context! { v => value })
    });
    let loader = Loader::from_texts(texts).whitespace(squall::template::Whitespace::All);
    let app = Application::new([page, get("/story/(.*)", async |_: &Context| Ok(())).name("story")])
        .template_loader(loader)
        .ui_module("Show", Show)
        .ui_method("method", |_, args| Ok(args[0].clone()))
        .static_path(env!("CARGO_MANIFEST_DIR"));
    let app = serve(app);
    let mut problems = Vec::new();
    for (place, (text, check)) in PLACES.iter().enumerate() {
        for (index, value) in HOSTILE.iter().enumerate() {
            let header: String = value.chars().filter(char::is_ascii_graphic).collect();
            let found = app
                .get(&format!("/{place}/{index}"))
                .query(&[("q", value)])
                .header("X-V", &header)
                .header("Cookie", format!("_xsrf={}", header.replace([';', ','], "")))
                .await;
            // A path with a NUL, or out of the folder, is no file's.
            let is_refused = found.status() == 500
                && text.contains("static_url")
                && (value.contains('\0') || value.contains(".."));
            if !is_refused && (found.status() != 200 || !check(found.text(), value)) {
                problems.push(format!("{text} of {value:?}: {} {:?}", found.status(), found.text()));
            }
        }
    }
    assert!(problems.is_empty(), "{}\n{}", problems.len(), problems.join("\n"));
}

/// Rust's text holds no lone surrogate. JSON that has one is refused, bytes that are one become U+FFFD, in a query too.
#[squall::test]
async fn lone_surrogates_reach_no_page() {
    assert!(squall::escape::json_decode::<String, _>(r#""\ud800""#).is_err());
    assert!(squall::escape::json_decode::<String, _>(r#""\udc00\ud800""#).is_err());
    let page = Template::new("{{ v }}|{{ [v] }}|{% raw json_encode(w) %}").unwrap();
    let lone = Value::from_bytes(b"<\xed\xa0\x80>".to_vec());
    let found = page.generate(context! { v => lone, w => Serde("\u{fffd}") }).unwrap();
    assert_eq!(found, "&lt;\u{fffd}\u{fffd}\u{fffd}&gt;|[b&#x27;&lt;\\xed\\xa0\\x80&gt;&#x27;]|\"\\ufffd\"");

    let page =
        get("/", async |ctx: &Context| ctx.render("t.html", context! { all => ctx.arguments("q").is_ok() }));
    let text = "{% if all %}{{ handler.get_argument('q') }}{% else %}refused{% end %}";
    let app = serve(Application::new([page]).template_loader(Loader::from_texts([("t.html", text)])));
    let found = app.get("/?q=%3C%ED%A0%80%3E").await;
    let text = String::from_utf8(found.bytes().to_vec()).unwrap();
    assert!(found.status() == 400 || is_inert(&text), "{} {text}", found.status());
}
