//! Templates against what Tornado makes of them (`corpus/templates.py`), and what is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use squall::template::{Loader, Template, TemplateError, Value, context};

mod broken;
mod differences;
mod errors;
mod escape;
mod expressions;
mod given;
mod hostile;
mod jinja;
mod limits;
mod locale;
mod options;
mod pages;

const CORPUS: &str = include_str!("../corpus/templates.json");

#[test]
fn templates_come_out_as_in_tornado() {
    let mut lines = CORPUS.lines();
    let values: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    let mut failures = Vec::new();
    let mut count = 0;
    for line in lines {
        let (files, expected): (Vec<(String, String)>, String) = serde_json::from_str(line).unwrap();
        let name = files[0].0.clone();
        let loader = Loader::from_texts(files.clone());
        let found = loader.load(&name).and_then(|template| template.generate(values.clone()));
        if found.as_ref().ok() != Some(&expected) {
            failures.push(format!("{files:?}\n  expected {expected:?}\n  found {found:?}"));
        }
        count += 1;
    }
    assert!(failures.is_empty(), "{} of {count} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(count >= 60, "{count} rows");
}

#[test]
fn an_error_of_rendering_names_the_users_line() {
    let loader = Loader::from_texts([
        ("base.html", "\n\n{% block a %}{% end %}"),
        ("page.html", "{% extends 'base.html' %}\n{% block a %}\n\n  {{ missing.name }}{% end %}"),
    ]);
    let error = loader.load("page.html").unwrap().generate(context! {}).unwrap_err();
    assert_eq!((error.file(), error.line(), error.column()), ("page.html", 4, 6), "{error}");
    let error = Template::new("{{ 1 }}\n{{ 1 + x }}").unwrap().generate(context! { x => "s" }).unwrap_err();
    assert_eq!(error.line(), 2, "{error}");
}

#[test]
fn all_mistakes_are_found_at_once() {
    let texts =
        [("a.html", "{{ }}"), ("b.html", "{% extends 'a.html' %}"), ("c.html", "{% end %}"), ("d.html", "")];
    let errors = Loader::from_texts(texts).check_all().unwrap_err();
    assert_eq!(errors.iter().map(TemplateError::file).collect::<Vec<_>>(), ["a.html", "c.html"]);
}
