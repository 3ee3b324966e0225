//! Templates without an end, and values without measure: each ends with an error that says why, in bounded time and
//! memory, and the next page is rendered as if nothing had been.

use squall::template::{Loader, Template, context};

/// A template, and what its error is about.
const ENDLESS: &[(&str, &str)] = &[
    ("{% while True %}{% end %}", "takes too many steps"),
    ("{% while True %}x{% end %}", "takes too many steps"),
    ("{% for i in range(10 ** 18) %}{% end %}", "takes too many steps"),
    ("{% for i in iter(lambda: 1, 2) %}{% end %}", "takes too many steps"),
    ("{{ [i for i in range(10 ** 12)] }}", "takes too many steps"),
    ("{{ sum(range(10 ** 15)) }}", "takes too many steps"),
    ("{{ list(range(10 ** 12)) }}", "takes too many steps"),
    ("{{ any(False for i in range(10 ** 12)) }}", "takes too many steps"),
    ("{% set l = [1] %}{% for i in l %}{% set l.append(i) %}{% end %}", "takes too many steps"),
    ("{% set l = [] %}{% while True %}{% set l.append('x' * 10 ** 6) %}{% end %}", "takes too many steps"),
    ("{% set s = 'x' %}{% while True %}{% set s = s + s %}{% end %}", "takes too many steps"),
    ("{% set l = [1] %}{% while True %}{% set l += l %}{% end %}", "takes too many steps"),
    ("{% set n = 3 %}{% while True %}{% set n = n * n %}{% end %}", "takes too many steps"),
    ("{{ 'x' * 10 ** 9 }}", "a value may have"),
    ("{{ b'x' * 10 ** 9 }}", "a value may have"),
    ("{{ [0] * 10 ** 9 }}", "may have"),
    ("{{ (0,) * 10 ** 18 }}", "may have"),
    ("{{ 10 ** 10 ** 10 }}", "a number may have"),
    ("{{ 1 << 10 ** 12 }}", "a number may have"),
    ("{{ 2 ** 100000 }}", "4300 digits"),
    ("{{ '%1000000000d' % 1 }}", "a width may be"),
    ("{{ '%.1000000000f' % 1.5 }}", "a width may be"),
    ("{{ '%*d' % (10 ** 12, 1) }}", "a width may be"),
    ("{{ '{:1000000000}'.format(1) }}", "a width may be"),
    ("{% set v = f'{1:>{10 ** 10}}' %}", "a width may be"),
    ("{{ format('a', '9999999999999999999999') }}", "a width may be"),
    ("{{ 'x'.center(10 ** 10) }}", "a value may have"),
    ("{{ 'x'.zfill(10 ** 10) }}", "a value may have"),
    ("{{ '\\t'.expandtabs(10 ** 12) }}", "a value may have"),
    ("{{ ('x' * 10 ** 6).replace('', 'y' * 10 ** 6) }}", "a value may have"),
    ("{{ bytes(10 ** 10) }}", "a value may have"),
    ("{{ math.factorial(10 ** 9) }}", "takes too many steps"),
    ("{{ pow(3, 10 ** 30) }}", "a number may have"),
    ("{{ round(5, -10 ** 18) }}{% while 1 %}{% end %}", "takes too many steps"),
    ("{% set f = lambda: f() %}{{ f() }}", "maximum recursion depth exceeded"),
    ("{% set f = lambda n: n and f(n + 1) %}{{ f(1) }}", "maximum recursion depth exceeded"),
    ("{% set f = lambda n: [f(n) for i in [1]] %}{{ f(1) }}", "maximum recursion depth exceeded"),
    ("{% set f = lambda: sorted([1, 2], key=lambda x: f()) %}{{ f() }}", "maximum recursion depth exceeded"),
    (
        "{% set l = [] %}{% for i in range(10 ** 4) %}{% set l = [l] %}{% end %}{{ l }}",
        "maximum recursion depth exceeded",
    ),
    (
        "{% set l = () %}{% for i in range(10 ** 4) %}{% set l = (l,) %}{% end %}{{ {l: 1} }}",
        "maximum recursion depth exceeded",
    ),
    (
        "{% set l, m = [], [] %}{% for i in range(10 ** 4) %}{% set l, m = [l], [m] %}{% end %}{{ l == m }}",
        "maximum recursion depth exceeded",
    ),
    (
        "{% set l = [1] %}{% for i in range(100) %}{% set l = [l, l] %}{% end %}{{ l }}",
        "takes too many steps",
    ),
    (
        "{% set l = (1,) %}{% for i in range(100) %}{% set l = (l, l) %}{% end %}{{ {l: 1} }}",
        "takes too many steps",
    ),
    (
        "{% set m = iter([1]) %}{% for i in range(10 ** 4) %}{% set m = map(str, m) %}{% end %}{{ next(m) }}",
        "maximum recursion depth exceeded",
    ),
    (
        "{% set f = lambda: 1 %}{% for i in range(10 ** 4) %}{% set f = (lambda g: lambda: g())(f) %}{% end %}{{ f() }}",
        "maximum recursion depth exceeded",
    ),
    ("{{ json.dumps((lambda f: f(f, 0))(lambda f, n: [f(f, n + 1)])) }}", "maximum recursion depth exceeded"),
    (
        "{% try %}{% while True %}{% end %}{% except %}caught{% finally %}{% while True %}{% end %}{% end %}",
        "takes too many steps",
    ),
    ("{% while True %}{% try %}{{ 1 // 0 }}{% except %}{% end %}{% end %}", "takes too many steps"),
];

#[test]
fn each_ends_with_an_error() {
    let mut problems = Vec::new();
    for (text, expected) in ENDLESS {
        let text = format!("{{% import math, json %}}{text}");
        let loader = Loader::from_texts([("t.txt", text.clone())]).max_steps(400_000);
        match loader.load("t.txt").unwrap().generate(context! {}) {
            Err(error) if error.message().contains(expected) && error.line() == 1 => {}
            other => problems
                .push(format!("{text}\n  expected {expected}\n  found    {:.300}", format!("{other:?}"))),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(Template::new("{{ 1 + 1 }}").unwrap().generate(context! {}).unwrap(), "2");
}

/// What holds itself is shown, and does not outlive its page (`valgrind`, or the memory of a server, tells).
#[test]
fn values_that_hold_themselves_are_let_go() {
    for (text, expected) in [
        ("{% set l = [1] %}{% set l.append(l) %}{{ l }}", "[1, [...]]"),
        ("{% set d = {} %}{% set d['d'] = d %}{{ d }}", "{&#x27;d&#x27;: {...}}"),
        ("{% set f = lambda n: n and f(n - 1) %}{{ f(50) }}", "0"),
        ("{% set l = [0] %}{% set g = (x for x in l) %}{% set l.append(g) %}{{ next(g) }}", "0"),
    ] {
        let template = Template::new(text).unwrap();
        for _ in 0..3 {
            assert_eq!(template.generate(context! {}).unwrap(), expected, "{text}");
        }
    }
}

#[test]
fn deep_text_is_refused() {
    for (open, close) in
        [("(", ")"), ("[", "]"), ("not ", ""), ("-", ""), ("lambda: ", ""), ("x[", "]"), ("f(", ")")]
    {
        let text = format!("{{{{ {}1{} }}}}", open.repeat(10_000), close.repeat(10_000));
        let error = Template::new(&text).unwrap_err();
        assert!(error.message().contains("nested too deep"), "{open}: {error:.200}");
    }
    for part in ["1 + ", "x.", "x or ", "x if y else ", "2 ** ", "not x or "] {
        // Taken or refused, but never a stack that overflows.
        let text = format!("{{{{ {}x }}}}", part.repeat(10_000));
        let _ = Template::new(&text).map(|template| template.generate(context! { x => 1, y => 1 }));
    }
}

#[squall::test]
async fn a_template_within_itself_ends() {
    use squall::{Application, Context, get};
    let page = get("/", async |ctx: &Context| ctx.render("t.html", context! {}));
    let loader = Loader::from_texts([("t.html", "{% module Template('t.html') %}")]);
    let app = squall::testing::serve(Application::new([page]).template_loader(loader));
    app.get("/").await.assert_status(500);
}
