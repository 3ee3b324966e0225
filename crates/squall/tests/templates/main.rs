//! Templates against what Tornado makes of them (`corpus/templates.py`), and what is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use squall::template::{Loader, Template, TemplateError, Value, context};

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
fn a_broken_template_names_line_column_and_cause() {
    for (text, expected) in [
        ("a\n{{ x", "t.html:2:1: Missing end expression }}: \"{{ x\""),
        ("{% x", "t.html:1:1: Missing end block %}: \"{% x\""),
        ("{# x", "t.html:1:1: Missing end comment #}: \"{# x\""),
        ("a {{ }}", "t.html:1:3: Empty expression: \"a {{ }}\""),
        ("{% %}", "t.html:1:1: Empty block tag ({% %}): \"{% %}\""),
        ("{% if a %}\nb", "t.html:1:1: Missing {% end %} block for if: \"{% if a %}\""),
        ("\n{% end %}", "t.html:2:1: Extra {% end %} block: \"{% end %}\""),
        ("{% else %}", "t.html:1:1: else outside if or for or while or try block: \"{% else %}\""),
        ("{% block a %}{% else %}{% end %}", "t.html:1:14: else block cannot be attached to block block:"),
        ("{% for a in b %}{% elif c %}{% end %}", "t.html:1:17: elif block cannot be attached to for block:"),
        ("{% break %}", "t.html:1:1: break outside for or while block:"),
        ("{% for a in b %}{% apply c %}{% continue %}", "t.html:1:30: continue outside for or while block:"),
        ("{% frob %}", "t.html:1:1: unknown operator: \"frob\":"),
        ("{% import os %}", "t.html:1:1: import has no counterpart in Rust"),
        ("{% from os import path %}", "t.html:1:1: from has no counterpart in Rust"),
        ("{% try %}{% end %}", "t.html:1:1: try without except or finally:"),
        ("{% extends %}", "t.html:1:1: extends missing file path:"),
        ("{% set %}", "t.html:1:1: set missing statement:"),
        ("{% set a.append(1) %}", "t.html:1:9: set takes name = expression; other statements"),
        ("{% whitespace some %}", "t.html:1:1: invalid whitespace mode some:"),
        ("{{ a b }}", "t.html:1:6: unexpected \"b\":"),
        ("x\n{{ i for i in a }}", "t.html:2:6: a comprehension must stand in brackets of its own:"),
        ("{{ [i async for i in a] }}", "t.html:1:7: async for has no counterpart: await in the handler:"),
        ("{{ lambda x=1: 1 }}", "t.html:1:12: lambda takes plain names:"),
        ("{{ a & b }}", "t.html:1:6: & has no counterpart"),
        ("{{ a is b }}", "t.html:1:9: is compares with None, True and False only"),
        ("{{ 'a }}", "t.html:1:4: unterminated string:"),
        ("{{ a( }}", "t.html:1:6: expected an expression:"),
        ("{% include 'no.html' %}", "t.html:1:12: no.html: there is no such template:"),
        ("{% include '../a.html' %}", "t.html:1:12: ../a.html: the name leaves the templates' root:"),
        ("{% include 't.html' %}", "t.html:1:12: t.html includes itself:"),
        ("{% extends 't.html' %}", "t.html:1:12: t.html extends itself:"),
    ] {
        let error = Loader::from_texts([("t.html", text)]).load("t.html").unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text:?}\n  expected {expected}\n  found {error}");
    }
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
