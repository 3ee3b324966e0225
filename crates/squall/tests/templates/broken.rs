//! Broken templates: each stops an application's start with its file, line, column, cause and the line itself.

use squall::template::Loader;
use squall::{Application, Context, get};

/// A template, and how what is wrong with it is told.
const BROKEN: &[(&str, &str)] = &[
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
    ("{% if %}", "t.html:1:1: if missing condition:"),
    ("{% for %}", "t.html:1:1: for missing target and list:"),
    ("{% while %}", "t.html:1:1: while missing condition:"),
    ("{% for a %}{% end %}", "t.html:1:9: expected \"in\", found the end:"),
    ("{% for 1 in a %}{% end %}", "t.html:1:8: expected a name:"),
    ("{% if a = 1 %}{% end %}", "t.html:1:9: unexpected \"=\":"),
    ("{% if (a %}{% end %}", "t.html:1:9: expected \")\", found the end:"),
    ("{% if a %}{% elif %}{% end %}", "t.html:1:11: elif missing condition:"),
    ("{% if a %}{% else b %}{% end %}", "t.html:1:11: else takes no condition: write elif:"),
    ("{% if a %}{% else %}{% elif b %}{% end %}", "t.html:1:21: elif after else:"),
    ("{% if a %}{% else %}{% else %}{% end %}", "t.html:1:21: else after else:"),
    ("{% block %}{% end %}", "t.html:1:1: block missing name:"),
    ("{% apply %}{% end %}", "t.html:1:1: apply missing method name:"),
    ("{% module %}", "t.html:1:1: module missing expression:"),
    ("{% module 'a' %}", "t.html:1:11: module takes a call, such as Entry(1):"),
    ("{% raw %}", "t.html:1:1: raw missing expression:"),
    ("{% include %}", "t.html:1:1: include missing file path:"),
    ("{% autoescape %}", "t.html:1:1: autoescape missing function name or None:"),
    ("{% except %}", "t.html:1:1: except outside try block:"),
    ("{% if a %}{% finally %}{% end %}", "t.html:1:11: finally block cannot be attached to if block:"),
    ("{% try %}{% else %}{% end %}", "t.html:1:10: else before except:"),
    ("{% try %}{% except %}{% else %}{% except %}{% end %}", "t.html:1:32: except after else:"),
    ("{% try %}{% finally %}{% except %}{% end %}", "t.html:1:23: except after finally:"),
    ("{% try %}{% except ValueError %}{% end %}", "t.html:1:10: except ValueError has no counterpart:"),
    ("{% try %}{% except Exception as 1 %}{% end %}", "t.html:1:10: except .. as takes a name:"),
    (
        "{% for a in b %}{% try %}{% break %}{% except %}{% end %}{% end %}",
        "t.html:1:26: a jump out of try has no counterpart:",
    ),
    (
        "{% for a in b %}{% try %}{% except %}{% continue %}{% finally %}{% end %}{% end %}",
        "t.html:1:38: a jump out of try has no counterpart:",
    ),
    ("{% set a = b = c %}", "t.html:1:14: one assignment at a time: write several set:"),
    ("{% set 1 = a %}", "t.html:1:8: set takes name = expression (expected a name):"),
    ("{% set a[0] = 1 %}", "t.html:1:9: set takes name = expression; other statements"),
    ("{% set a, b += 1 %}", "t.html:1:13: set takes name = expression; other statements"),
    ("{{ a if b }}", "t.html:1:10: expected \"else\", found the end:"),
    ("{{ a. }}", "t.html:1:6: expected a name after \".\":"),
    ("{{ a[1 }}", "t.html:1:7: expected \"]\", found the end:"),
    ("{{ {'a': 1 }}", "t.html:1:11: expected \"}\", found the end:"),
    ("{{ {**a} }}", "t.html:1:5: ** has no counterpart here:"),
    ("{{ [*a] }}", "t.html:1:5: * has no counterpart here:"),
    ("{{ (a := 1) }}", "t.html:1:7: := has no counterpart: use set:"),
    ("{{ await a }}", "t.html:1:4: await has no counterpart: await in the handler:"),
    ("{{ yield }}", "t.html:1:4: yield has no counterpart:"),
    ("{{ ~a }}", "t.html:1:4: ~ has no counterpart:"),
    ("{{ a @ b }}", "t.html:1:6: @ has no counterpart:"),
    ("{{ 1j }}", "t.html:1:4: complex numbers have no counterpart: 1j:"),
    ("{{ 1abc }}", "t.html:1:4: no number: 1abc:"),
    ("{{ a $ b }}", "t.html:1:6: unexpected character '$':"),
    ("{{ '\\xzz' }}", "t.html:1:4: invalid escape \\xzz:"),
    ("{{ f'{a' }}", "t.html:1:4: f-string: expected '}':"),
    ("{{ f'a}' }}", "t.html:1:4: f-string: single '}' is not allowed:"),
    ("{{ f'{a!x}' }}", "t.html:1:4: f-string: invalid conversion character:"),
    ("{{ isinstance(a, str) }}", "t.html:1:4: isinstance() has no counterpart:"),
    ("{{ [x for] }}", "t.html:1:10: expected a name:"),
    ("{{ [x for y of z] }}", "t.html:1:13: expected \"in\", found \"of\":"),
    ("{{ (lambda 1: 2)(3) }}", "t.html:1:12: lambda takes plain names:"),
    ("é\n\n<p>{{ 'é' + }}</p>", "t.html:3:12: expected an expression: \"<p>{{ 'é' + }}</p>\""),
];

#[test]
fn a_broken_template_names_file_line_column_and_cause() {
    let mut problems = Vec::new();
    for (text, expected) in BROKEN {
        let Err(error) = Loader::from_texts([("t.html", *text)]).load("t.html") else {
            problems.push(format!("{text:?} is taken"));
            continue;
        };
        let shown = error.to_string();
        if !shown.starts_with(expected) {
            problems.push(format!("{text:?}\n  expected {expected}\n  found    {shown}"));
        }
        let line = text.lines().nth(error.line() - 1).unwrap();
        assert_eq!(error.excerpt(), line.trim(), "{text:?}");
        assert!((1..=line.chars().count() + 1).contains(&error.column()), "{text:?}: {shown}");
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn each_stops_the_start() {
    for (text, expected) in BROKEN {
        let page = get("/", async |ctx: &Context| ctx.render("good.html", ()));
        let loader = Loader::from_texts([("good.html", "fine"), ("t.html", *text)]);
        let error = Application::new([page]).template_loader(loader).route_table().unwrap_err().to_string();
        let expected = format!("template {expected}");
        assert!(error.contains(&expected), "{text:?}\n  expected {expected}\n  found    {error}");
    }
}

#[test]
fn a_mistake_in_an_included_or_extended_file_is_told_of_that_file() {
    for (page, part) in
        [("{% include 'part.html' %}", "a\n{{ }}"), ("{% extends 'part.html' %}", "a\n{% if a b %}{% end %}")]
    {
        let error =
            Loader::from_texts([("page.html", page), ("part.html", part)]).load("page.html").unwrap_err();
        assert_eq!((error.file(), error.line()), ("part.html", 2), "{error}");
    }
}
