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
    (
        "{% import foo %}\n{{ foo.x }}",
        "t.html:2:4: the template uses the module foo, which is not known here: register it with \
         Application::template_module(\"foo\", …):",
    ),
    (
        "{% from foo import bar as b %}{{ b(1) }}",
        "t.html:1:34: the template uses bar of foo, which is not known here: register it with \
         Application::template_module(\"foo\", …):",
    ),
    (
        "{% import json %}{{ json.load(f) }}",
        "t.html:1:21: the module json has no load here: register it with Application::template_module(\"json\", …):",
    ),
    (
        "{% import time %}{{ time.sleep(1) }}",
        "t.html:1:21: the module time has no sleep here: register it with Application::template_module(\"time\", …):",
    ),
    (
        "{% import re %}\n{{ re.sub(r'(?<=a)b', '', x) }}",
        "t.html:2:11: re has no look-around ((?=..), (?!..), (?<=..), (?<!..)) here: match what stands around it and keep \
         a group, or register a function of your own:",
    ),
    ("{% from re import search as s %}{{ s('a(?!b)', x) }}", "t.html:1:38: re has no look-around"),
    (
        "{% import re %}{% try %}{{ re.findall(pattern=r'(.)\\1', string=x) }}{% except %}{% end %}",
        "t.html:1:47: re has no back-references (\\1, (?P=name)) here: compare the groups of a match",
    ),
    ("{% import re %}{% set p = re.compile('(a') %}", "t.html:1:38: the pattern is wrong: unclosed group:"),
    ("{{ 1.real }}", "t.html:1:4: no number: 1.real:"),
    ("{{ 2.5x }}", "t.html:1:4: no number: 2.5x:"),
    ("{% from . import a %}", "t.html:1:9: a relative import has no package to start from:"),
    ("{% from a import * %}", "t.html:1:18: import * only allowed at module level"),
    ("{% import %}", "t.html:1:1: import missing what to import:"),
    ("{% try %}{% end %}", "t.html:1:1: try without except or finally:"),
    ("{% extends %}", "t.html:1:1: extends missing file path:"),
    ("{% set %}", "t.html:1:1: set missing statement:"),
    ("{% set return a %}", "t.html:1:8: return has no counterpart in a template:"),
    ("{% set *a = 1 %}", "t.html:1:8: can't use starred expression here:"),
    ("{% whitespace some %}", "t.html:1:1: invalid whitespace mode some:"),
    ("{{ a b }}", "t.html:1:6: unexpected \"b\":"),
    ("x\n{{ i for i in a }}", "t.html:2:6: a comprehension must stand in brackets of its own:"),
    ("{{ [i async for i in a] }}", "t.html:1:7: async for has no counterpart: await in the handler:"),
    ("{{ lambda x=1, y: 1 }}", "t.html:1:16: a parameter without a default follows one with a default:"),
    ("{{ lambda x, x: 1 }}", "t.html:1:14: duplicate argument 'x' in function definition:"),
    ("{{ a & }}", "t.html:1:7: expected an expression:"),
    ("{{ open('x') }}", "t.html:1:4: open() has no counterpart in a template:"),
    ("{{ ... }}", "t.html:1:4: ... has no counterpart:"),
    ("{{ f(**k, 1) }}", "t.html:1:11: positional argument follows keyword argument:"),
    ("{{ f(a=1, a=2) }}", "t.html:1:11: keyword argument repeated: a:"),
    ("{{ b'a' 'b' }}", "t.html:1:9: cannot mix bytes and nonbytes literals:"),
    ("{{ 012 }}", "t.html:1:4: leading zeros in a number are not permitted: 012:"),
    ("{{ '\\N{NO SUCH}' }}", "t.html:1:4: unknown Unicode character name: NO SUCH:"),
    ("{{ '\\ud800' }}", "t.html:1:4: \\ud800 is no character: Rust's text holds no lone surrogates:"),
    (
        "{% if a %}{% extends 'b.html' %}{% end %}",
        "t.html:1:11: extends must stand outside of all other tags:",
    ),
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
    ("{% try %}{% except ValueError, %}{% end %}", "t.html:1:30: unexpected \",\":"),
    ("{% try %}{% except %}{% except ValueError %}{% end %}", "t.html:1:10: default 'except:' must be last:"),
    ("{% try %}{% except Exception as 1 %}{% end %}", "t.html:1:33: except .. as takes a name:"),
    ("{% set a = b + = c %}", "t.html:1:16: expected an expression:"),
    ("{% set 1 = a %}", "t.html:1:8: cannot assign to this: expected a name:"),
    ("{% set f() = 1 %}", "t.html:1:8: cannot assign to this: expected a name:"),
    (
        "{% set a.b = 1 %}",
        "t.html:1:8: a template cannot assign to or delete the attribute b: change an item (d[\"b\"] = ..) or a variable, \
         or let the handler do it:",
    ),
    ("{% set a.b += 1 %}", "t.html:1:8: a template cannot assign to or delete the attribute b:"),
    ("{% set del a[0], a.b.c %}", "t.html:1:18: a template cannot assign to or delete the attribute c:"),
    ("{% set a[0].b = 1 %}", "t.html:1:8: a template cannot assign to or delete the attribute b:"),
    ("{% set x, (y, *a.b) = c %}", "t.html:1:16: a template cannot assign to or delete the attribute b:"),
    ("{% set x = a.b = c %}", "t.html:1:12: a template cannot assign to or delete the attribute b:"),
    ("{% for i, a.b in c %}{% end %}", "t.html:1:11: a template cannot assign to or delete the attribute b:"),
    ("{{ [1 for a.b in c] }}", "t.html:1:11: a template cannot assign to or delete the attribute b:"),
    ("{{ list(1 for x, a.b in c) }}", "t.html:1:18: a template cannot assign to or delete the attribute b:"),
    (
        "{% try %}{% set a.b = 1 %}{% except %}{% end %}",
        "t.html:1:17: a template cannot assign to or delete the attribute b:",
    ),
    ("{{ (a.b := 1) }}", "t.html:1:9: expected \")\", found \":=\":"),
    ("{% set del *a, b %}", "t.html:1:12: cannot delete starred:"),
    ("{% set a, b += 1 %}", "t.html:1:13: += changes one name, item or attribute:"),
    ("{{ a if b }}", "t.html:1:10: expected \"else\", found the end:"),
    ("{{ a. }}", "t.html:1:6: expected a name after \".\":"),
    ("{{ a[1 }}", "t.html:1:7: expected \"]\", found the end:"),
    ("{{ {'a': 1 }}", "t.html:1:11: expected \"}\", found the end:"),
    ("{{ {**a, b} }}", "t.html:1:11: expected \":\", found \"}\":"),
    ("{{ (*a) }}", "t.html:1:5: can't use starred expression here:"),
    ("{{ [*a for a in b] }}", "t.html:1:5: iterable unpacking cannot be used in comprehension:"),
    ("{{ (None := 1) }}", "t.html:1:5: cannot assign to None:"),
    ("{{ await a }}", "t.html:1:4: await has no counterpart: await in the handler:"),
    ("{{ yield }}", "t.html:1:4: yield has no counterpart:"),
    ("{{ a @ b }}", "t.html:1:6: @ has no counterpart:"),
    ("{{ 1j }}", "t.html:1:4: complex numbers have no counterpart: 1j:"),
    ("{{ 1abc }}", "t.html:1:4: no number: 1abc:"),
    ("{{ a $ b }}", "t.html:1:6: unexpected character '$':"),
    ("{{ '\\xzz' }}", "t.html:1:4: invalid escape \\xzz:"),
    ("{{ f'{a' }}", "t.html:1:4: f-string: expected '}':"),
    ("{{ f'a}' }}", "t.html:1:4: f-string: single '}' is not allowed:"),
    ("{{ f'{a!x}' }}", "t.html:1:4: f-string: invalid conversion character:"),
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

/// What only an application can tell: its functions, and what is below `handler`.
#[test]
fn what_nobody_has_stops_the_start() {
    for (text, expected) in [
        (
            "a\n{{ b(1) }}",
            "t.html:2:4: there is no function b: register it with Application::ui_method(\"b\", …)",
        ),
        ("{{ xhtml_unescape('a') }}", "t.html:1:4: there is no function xhtml_unescape: import it"),
        ("{{ handler.nothing }}", "t.html:1:4: handler has no nothing: register it with"),
        ("{% if handler.nothing(1) %}{% end %}", "t.html:1:7: handler has no nothing: register it with"),
        (
            "{{ handler.application.nothing }}",
            "t.html:1:4: handler.application has no nothing: register it with",
        ),
        (
            "{{ handler.write('a') }}",
            "t.html:1:4: handler has no write: a template cannot do this, the handler does",
        ),
        (
            "{{ handler.application.get_argument('a') }}",
            "t.html:1:4: handler.application has no get_argument:",
        ),
        (
            "{{ handler._headers }}",
            "t.html:1:4: handler has no _headers: what begins with _ is Tornado's own",
        ),
        ("a\n {{ handler.greet }}", "t.html:2:5: handler.greet is a function: call it, handler.greet(..)"),
        ("{{ request.full_url }}", "t.html:1:4: request.full_url is a function: call it"),
        ("{{ handler.request.path() }}", "t.html:1:4: request.path is no function: write request.path"),
        ("{{ request.nothing }}", "t.html:1:4: request has no nothing: give the page the value, or say"),
        (
            "{{ request.get_ssl_certificate() }}",
            "t.html:1:4: request has no get_ssl_certificate: let the handler",
        ),
        (
            "{{ request.connection.stream }}",
            "t.html:1:4: request.connection has no stream: templates know its",
        ),
        (
            "{{ request.connection.context.ssl }}",
            "t.html:1:4: request.connection.context has no ssl: templates",
        ),
        ("{{ handler.locale.nothing }}", "t.html:1:4: locale has no nothing:"),
        ("{{ handler.settings['no'] }}", "t.html:1:21: handler.settings has no \"no\": give it with"),
        (
            "{{ handler.settings['cookie_secret'] }}",
            "t.html:1:21: handler.settings has no \"cookie_secret\":",
        ),
        (
            "a\n{% module Nope() %}",
            "t.html:2:11: there is no UI module Nope: register it with Application::ui_module",
        ),
        ("{% module Template('no.html', a=1) %}", "t.html:1:20: no.html: there is no such template:"),
        ("{{ reverse_url('no', 1) }}", "t.html:1:16: no route is named \"no\": name one with .name(\"no\")"),
        ("{{ handler.reverse_url('no') }}", "t.html:1:24: no route is named \"no\":"),
        ("{% if b %}{{ handler.application.reverse_url('no') }}{% end %}", "no route is named \"no\":"),
    ] {
        let page = get("/", async |ctx: &Context| ctx.render("t.html", ()));
        let loader = Loader::from_texts([("t.html", text)]);
        let app = Application::new([page]).ui_method("greet", |_, _| Ok("hello".into()));
        let error = app.template_loader(loader).route_table().unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}\n  expected {expected}\n  found    {error}");
    }
    for text in [
        // Where the names are the page's own, or may be missing.
        "{% set request = 1 %}{{ request.nothing }}",
        "{% for handler in [] %}{{ handler.nothing }}{% end %}",
        "{{ [locale.nothing for locale in []] }}",
        "{% try %}{{ request.nothing }}{{ handler.greet }}{% module Nope() %}{{ reverse_url('no') }}{% except %}{% end %}",
        "{{ handler.settings.get('no') }}{{ handler.greet() }}{{ handler.settings['debug'] }}{{ reverse_url(name) }}",
        "{{ type(handler).__name__ }}{{ getattr(handler, 'nothing', 1) }}{% set f = handler.greet %}",
        "{% module Template('t.html') %}{% module linkify('a') %}{% module Template(name) %}",
    ] {
        let page = get("/", async |ctx: &Context| ctx.render("t.html", ()));
        let app = Application::new([page]).ui_method("greet", |_, _| Ok("hello".into()));
        app.template_loader(Loader::from_texts([("t.html", text)])).route_table().expect(text);
    }
    let page = get("/", async |ctx: &Context| ctx.render("t.html", ()));
    let loader = Loader::from_texts([("t.html", "{{ request.title }}{{ locale.country }}")]);
    let app = Application::new([page]).template_context_functions(["request", "locale"]);
    app.template_loader(loader).route_table().unwrap();
    // A name that has no value is an error of the page, as in Python.
    let template = Loader::from_texts([("t.html", "{{ b(1) }}")]).load("t.html").unwrap();
    let error = template.generate(()).unwrap_err();
    assert_eq!(error.message(), "NameError: name 'b' is not defined");
}

/// Python decides where the blocks have been put; the parser, as Tornado's, within one file.
#[test]
fn break_and_continue_need_a_loop_where_their_block_is_put() {
    const IN_LOOP: &str = "{% for i in 1, 2 %}{% block a %}{% break %}{% end %}{% end %}";
    const PLACED: &str = "outside for or while block: this block is put where no loop is around it";
    /// Parts of a text, and its page, or the file, line and message of its refusal.
    type Row = (&'static [&'static str], Result<&'static str, (&'static str, usize, &'static str)>);
    let rows: &[Row] = &[
        (&[IN_LOOP], Ok("")),
        (&["{% block a %}x{% end %}\n", IN_LOOP], Err(("t.html", 2, PLACED))),
        (&[IN_LOOP, "{% block a %}x{% end %}"], Ok("xxx")),
        (&["\n{% for i in 1, 2 %}{% else %}{% continue %}{% end %}"], Err(("t.html", 2, "continue outside"))),
        (&["{% for i in 1, 2 %}{% for j in '' %}{% else %}{% continue %}{% end %}x{% end %}"], Ok("")),
        (
            &["{% for i in 1, 2 %}{% apply str %}{% block a %}{% end %}{% end %}", IN_LOOP, "{% end %}"],
            Err(("t.html", 1, PLACED)),
        ),
        (&["{% extends 'loop.html' %}", IN_LOOP], Ok("")),
        (&["{% extends 'base.html' %}", IN_LOOP], Err(("t.html", 1, PLACED))),
        (&["{% extends 'base.html' %}{% block other %}{{ 1 + }}{% end %}"], Ok("x")),
        (
            &["{% extends 'base.html' %}{% block a %}{% break %}{% end %}"],
            Err(("t.html", 1, "break outside")),
        ),
        // A base, and what is included, must be right on its own.
        (&["{% extends 'broken.html' %}{% block a %}fine{% end %}"], Err(("broken.html", 1, PLACED))),
        (&["{% include 'child.html' %}"], Err(("t.html", 1, "extends another template"))),
        (
            &["{% include 'part.html' %}{% block b %}{% end %}"],
            Err(("part.html", 2, "expected an expression")),
        ),
    ];
    let broken = format!("{{% block a %}}{{% end %}}{IN_LOOP}");
    let others = [
        ("base.html", "{% block a %}x{% end %}"),
        ("loop.html", "{% for i in 1, 2 %}{% block a %}{{ i }}{% end %}{% end %}"),
        ("broken.html", &broken),
        ("child.html", "{% extends 'base.html' %}"),
        ("part.html", "\n{% block b %}{{ 1 + }}{% end %}"),
    ]
    .map(|(name, text)| (name, text.to_owned()));
    for (texts, expected) in rows {
        let page = ("t.html", texts.concat());
        let loader = Loader::from_texts(others.iter().cloned().chain([page]));
        // Twice: a refusal is none that is forgotten.
        for _ in 0..2 {
            match (loader.load("t.html"), expected) {
                (Ok(template), Ok(expected)) => {
                    assert_eq!(template.generate(()).unwrap(), *expected, "{texts:?}");
                }
                (Err(error), Err((file, line, message))) => {
                    assert_eq!((error.file(), error.line()), (*file, *line), "{texts:?}: {error}");
                    assert!(error.message().contains(message), "{texts:?}: {error}");
                }
                (found, _) => panic!("{texts:?}\n  expected {expected:?}\n  found    {:?}", found.err()),
            }
        }
    }
}

/// What stands in a part is right where the part is put, though not on its own.
#[test]
fn a_part_may_use_what_its_page_binds() {
    let page = get("/", async |ctx: &Context| ctx.render("t.html", ()));
    let loader = Loader::from_texts([
        ("t.html", "{% extends 'base.html' %}{% block a %}{{ shout('a') }}{% end %}"),
        ("base.html", "{% set shout = lambda s: s.upper() %}{% block a %}{% end %}{% include 'part.html' %}"),
        ("part.html", "{{ shout('b') }}"),
    ]);
    Application::new([page]).template_loader(loader).route_table().unwrap();
    let page = get("/", async |ctx: &Context| ctx.render("t.html", ()));
    let loader =
        Loader::from_texts([("t.html", "{% include 'part.html' %}"), ("part.html", "{{ shout('b') }}")]);
    let error = Application::new([page]).template_loader(loader).route_table().unwrap_err().to_string();
    assert!(error.contains("part.html:1:4: there is no function shout"), "{error}");
}

#[test]
fn an_include_of_what_extends_is_refused() {
    let texts =
        [("t.html", "a\n{% include 'i.html' %}"), ("i.html", "{% extends 'b.html' %}"), ("b.html", "b")];
    let error = Loader::from_texts(texts).load("t.html").unwrap_err();
    assert_eq!((error.file(), error.line(), error.column()), ("t.html", 2, 12), "{error}");
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
