//! Cases that a random comparison with Tornado found (`differences.jsonl`): `files` of which `t.html` is rendered, the
//! `context`, options of the `loader`, and what Tornado 6.6 on Python 3.11 says: a page, or an error.

use std::collections::BTreeMap;

use minijinja::value::merge_maps;
use serde::Deserialize;
use squall::template::{Loader, TemplateError, Value, Whitespace};
use squall::testing::serve;
use squall::web::UiModule;
use squall::{Application, Context, Result, get};

#[derive(Deserialize)]
struct Case {
    files: BTreeMap<String, String>,
    context: Value,
    loader: BTreeMap<String, Option<String>>,
    tornado: Outcome,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok(String),
    Load(#[allow(dead_code, reason = "only its kind counts")] String),
    Gen(String),
}

/// What is not as in Tornado, and why.
const KNOWN: &[(&str, &str)] = &[
    ("{{ d['a'].b }}", "dicts of the application have attributes, as Tornado's ObjectDict"),
    ("{{ self }}", "an ordinary name: only Python's generate(self, ..) is in its way"),
    ("__le__}}", "no addresses are shown"),
    ("{{('').__le__}}", "no addresses are shown"),
    ("{{''.format}}", "no addresses are shown"),
    ("{{t.isdecimal}}", "no addresses are shown"),
    ("{{t.isprintable}}", "no addresses are shown"),
    ("expandtabs}}", "no addresses are shown"),
    ("{{'%a'%(('').center)}}", "no addresses are shown"),
];

/// A UI module of the cases.
struct Entry;

impl UiModule for Entry {
    fn render(&self, _: &Context, arguments: &[Value]) -> Result<String> {
        Ok(format!("<entry {}>", arguments.first().map(squall::template::to_str).unwrap_or_default()))
    }
}

fn loader(case: &Case) -> Loader {
    let mut loader = Loader::from_texts(case.files.clone());
    if let Some(function) = case.loader.get("autoescape") {
        loader = loader.autoescape(function.as_deref());
    }
    if let Some(Some(mode)) = case.loader.get("whitespace") {
        loader = loader.whitespace(Whitespace::from_name(mode).unwrap());
    }
    loader
}

fn rendered(case: &Case) -> std::result::Result<std::result::Result<String, TemplateError>, TemplateError> {
    // The comparison always had this object.
    let default: Value =
        serde_json::from_str(r#"{"o": {"x": 1, "y": 2, "name": "n", "items2": [1, 2], "d": {"a": 1}}}"#)
            .unwrap();
    let values = merge_maps([case.context.clone(), default]);
    Ok(loader(case).load("t.html")?.generate(values))
}

#[test]
fn pages_are_as_in_tornado_or_refused() {
    let (problems, known, count) = compare(include_str!("differences.jsonl"));
    assert!(problems.is_empty(), "{} of {count} differ:\n{}", problems.len(), problems.join("\n"));
    assert!(count >= 337, "{count} cases");
    assert!(known <= 12, "{known} known differences");
}

/// `scripts/ci-corpus.sh` has `directives.py` make them; `SEED=random` for other ones.
#[test]
#[ignore = "needs Tornado: scripts/ci-corpus.sh"]
fn random_directives_are_as_in_tornado() {
    let path = std::env::var("SQUALL_DIRECTIVES").unwrap_or_else(|_| panic!("SQUALL_DIRECTIVES is not set"));
    let (problems, _, count) = compare(&std::fs::read_to_string(path).unwrap());
    assert!(problems.is_empty(), "{} of {count} differ:\n{}", problems.len(), problems.join("\n"));
    assert!(count >= 100, "{count} templates");
    println!("{count} random templates are as Tornado's");
}

/// What differs, how many known differences there are, and how many rows.
fn compare(rows: &str) -> (Vec<String>, usize, usize) {
    let (mut problems, mut known, mut count) = (Vec::new(), 0, 0);
    for line in rows.lines() {
        count += 1;
        let case: Case = serde_json::from_str(line).unwrap();
        let found = rendered(&case);
        let is_right = match (&case.tornado, &found) {
            (Outcome::Ok(expected), Ok(Ok(page))) => page == expected,
            (Outcome::Load(_), Err(_)) => true,
            // The words may differ, the kind of error may not.
            (Outcome::Gen(expected), Ok(Err(error))) => {
                let class = error.message().split(':').next();
                class == expected.split(':').next()
                    // Comprehensions are no functions of their own, as from Python 3.12 on.
                    || (class == Some("UnboundLocalError")
                        && expected.starts_with("NameError: cannot access free variable"))
            }
            (Outcome::Gen(_), Err(_)) => true,
            _ => false,
        };
        if is_right {
            continue;
        }
        if KNOWN.iter().any(|(text, _)| case.files["t.html"].contains(text)) {
            known += 1;
        } else {
            problems.push(format!("{:?}\n  expected {:?}\n  found    {found:?}", case.files, case.tornado));
        }
    }
    (problems, known, count)
}

#[squall::test]
async fn an_application_starts_with_them_all() {
    for line in include_str!("differences.jsonl").lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        if !matches!(case.tornado, Outcome::Ok(_)) {
            continue;
        }
        let page = get("/", async |ctx: &Context| ctx.render("t.html", ()));
        let app = Application::new([page]).template_loader(loader(&case)).ui_module("Entry", Entry);
        if let Err(error) = app.route_table() {
            panic!("{:?}: {error}", case.files);
        }
    }
    let page = get("/", async |ctx: &Context| ctx.render("t.html", ()));
    let loader = Loader::from_texts([("t.html", "{% module Entry('x') %}")]);
    let app = serve(Application::new([page]).template_loader(loader).ui_module("Entry", Entry));
    app.get("/").await.assert_text("<entry x>");
}
