//! The pages of `cases/` and of Tornado's demos, rendered by an application as Tornado renders them (`render.py`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use minijinja::value::{Kwargs, ValueKind, from_args};
use serde::Deserialize;
use squall::template::{Loader, Value, Whitespace, context, datetime};
use squall::testing::serve;
use squall::web::{SignedVersion, UiModule};
use squall::{Application, Context, Result, Site, get};

const XSRF: &str = "0123456789abcdef0123456789abcdef";

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    name: String,
    #[serde(default)]
    folder: PathBuf,
    #[serde(default)]
    main: String,
    #[serde(default)]
    values: Value,
    user: Option<Value>,
    #[serde(default, deserialize_with = "some")]
    autoescape: Option<Option<String>>,
    whitespace: Option<String>,
    language: Option<String>,
}

/// Tells `null` from nothing.
fn some<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[squall::test(timeout = 60)]
async fn pages_come_out_as_in_tornado() {
    let here = here();
    let mut problems = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(here.join("cases")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        count += 1;
        let mut case: Case = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        case.folder = path.with_extension("");
        case.name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut files = fs::read_dir(&case.folder).unwrap().map(|file| file.unwrap().file_name());
        let main = files.find(|file| file.to_string_lossy().starts_with("main."));
        case.main = main.unwrap().into_string().unwrap();
        let expected = fs::read_to_string(path.with_extension("expected")).unwrap();
        compare(&case, &expected, &mut problems).await;
    }
    assert!(problems.is_empty(), "{} of {count} differ:\n{}", problems.len(), problems.join("\n"));
    assert!(count >= 173, "{count} cases");
}

/// `scripts/ci-corpus.sh` gets the demos, and what Tornado makes of them.
#[squall::test]
#[ignore = "needs Tornado's demos: scripts/ci-corpus.sh"]
async fn the_demos_come_out_as_in_tornado() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let cases: Vec<Case> = serde_json::from_slice(&fs::read(here().join("demos.json")).unwrap()).unwrap();
    let expected: BTreeMap<String, String> =
        serde_json::from_slice(&fs::read(variable("SQUALL_DEMO_PAGES")).unwrap()).unwrap();
    let mut problems = Vec::new();
    for mut case in cases {
        case.folder = Path::new(&variable("SQUALL_DEMOS")).join(&case.folder);
        compare(&case, &expected[&case.name], &mut problems).await;
    }
    assert!(problems.is_empty(), "{} differ:\n{}", problems.len(), problems.join("\n"));
}

async fn compare(case: &Case, expected: &str, problems: &mut Vec<String>) {
    if let Err(error) = application(case).route_table() {
        return problems.push(format!("{}: {error}", case.name));
    }
    let app = serve(application(case));
    let found = app
        .get(&format!("/page/{}?name=Ann&x=1&x=%3Cb%3E", case.name))
        .header("Host", "example.org")
        .header("X-Test", "yes")
        .header("Cookie", format!("theme=dark; _xsrf={XSRF}"))
        .await;
    if found.status() != 200 || found.text() != expected {
        problems.push(format!("{}\n  expected {expected:?}\n  found    {:?}", case.name, found.text()));
    }
}

fn application(case: &Case) -> Application {
    let mut loader = Loader::new(&case.folder);
    if let Some(function) = &case.autoescape {
        loader = loader.autoescape(function.as_deref());
    }
    if let Some(mode) = &case.whitespace {
        loader = loader.whitespace(Whitespace::from_name(mode).unwrap());
    }
    let (main, values) = (case.main.clone(), value(&case.values));
    let page = get("/page/{name}", async move |ctx: &Context| ctx.render(&main, values.clone()));
    let story = get("/story/([^/]+)", async |_: &Context| Ok(())).name("story");
    let user = case.user.as_ref().map(value);
    let mut app = Application::new([page, story])
        .template_loader(functions(loader))
        .site(Pages { user })
        .static_path(here().join("static"))
        .load_translations(here().join("translations"))
        .xsrf_cookie_version(SignedVersion::V1)
        .template_setting("blog_title", "Ann & Bob")
        .ui_module("Box", Box_)
        .ui_module("Plain", Plain)
        .ui_module("Part", Part)
        .ui_module("Entry", Entry)
        .ui_method("shout", |_, args| {
            let (text,): (&str,) = from_args(args)?;
            Ok(format!("{}!", text.to_uppercase()).into())
        });
    if let Some(code) = &case.language {
        app = app.default_locale(code);
    }
    app
}

struct Pages {
    user: Option<Value>,
}

impl Site for Pages {
    type User = Value;

    async fn current_user(&self, _: &Context) -> Result<Option<Value>> {
        Ok(self.user.clone())
    }

    fn user_value(&self, user: &Value) -> Value {
        user.clone()
    }

    async fn write_error(&self, ctx: &Context, error: &squall::Error) -> Result {
        ctx.write(error.to_string());
        Ok(())
    }
}

fn functions(loader: Loader) -> Loader {
    let upper = |text: &str| text.to_uppercase();
    let py_escape = |text: &str| match text.contains('\'') {
        true => format!("\"{text}\""),
        false => format!("'{text}'"),
    };
    let kw = |a: Option<i64>, b: Option<i64>, kwargs: Kwargs| {
        let (a, b) = (a.or(kwargs.get("a")?), b.or(kwargs.get("b")?));
        Ok::<_, minijinja::Error>(a.unwrap_or(0) + b.unwrap_or(0) * 10)
    };
    loader
        .global("inc", Value::from_function(|x: i64| x + 1))
        .global("upper", Value::from_function(upper))
        .global("py_escape", Value::from_function(py_escape))
        .global("kw", Value::from_function(kw))
}

/// `{"$datetime": ..}` is a date.
fn value(json: &Value) -> Value {
    match json.kind() {
        ValueKind::Seq => json.try_iter().unwrap().map(|item| value(&item)).collect(),
        ValueKind::Map => match json.get_attr("$datetime").unwrap().as_str() {
            Some(date) => {
                let date: chrono::NaiveDateTime = date.parse().unwrap();
                let micros = date.and_utc().timestamp_micros().try_into().unwrap();
                datetime(UNIX_EPOCH + Duration::from_micros(micros))
            }
            None => {
                let pair = |key: Value| {
                    let item = value(&json.get_item(&key).unwrap());
                    (key, item)
                };
                Value::from_pairs(json.try_iter().unwrap().map(pair))
            }
        },
        _ => json.clone(),
    }
}

struct Box_;

impl UiModule for Box_ {
    fn render(&self, _: &Context, arguments: &[Value]) -> Result<String> {
        let (title,): (&str,) = from_args(arguments)?;
        Ok(format!("<div>{}</div>", squall::escape::xhtml_escape(title)))
    }

    fn embedded_css(&self, _: &Context) -> Option<String> {
        Some("div { margin: 0 }".to_owned())
    }

    fn css_files(&self, _: &Context) -> Vec<String> {
        vec!["box.css".to_owned(), "http://e.com/x.css?a=1&b=2".to_owned()]
    }

    fn embedded_javascript(&self, _: &Context) -> Option<String> {
        Some("box();".to_owned())
    }

    fn javascript_files(&self, _: &Context) -> Vec<String> {
        vec!["box.js".to_owned(), "/abs.js".to_owned()]
    }

    fn html_head(&self, _: &Context) -> Option<String> {
        Some("<meta box>".to_owned())
    }

    fn html_body(&self, _: &Context) -> Option<String> {
        Some("<i>box</i>".to_owned())
    }
}

struct Plain;

impl UiModule for Plain {
    fn render(&self, _: &Context, _: &[Value]) -> Result<String> {
        Ok("<p>plain</p>".to_owned())
    }
}

struct Part;

impl UiModule for Part {
    fn render(&self, ctx: &Context, arguments: &[Value]) -> Result<String> {
        let (name, kwargs): (&str, Kwargs) = from_args(arguments)?;
        let values: Vec<(&str, Value)> =
            kwargs.args().map(|key| Ok((key, kwargs.get(key)?))).collect::<Result<_>>()?;
        ctx.render_string(name, Value::from_pairs(values))
    }
}

/// Of the blog demo.
struct Entry;

impl UiModule for Entry {
    fn render(&self, ctx: &Context, arguments: &[Value]) -> Result<String> {
        ctx.render_string("modules/entry.html", context! { entry => arguments.first() })
    }
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates")
}
