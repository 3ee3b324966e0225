//! What is told of errors: those of Tornado's `StackTraceTest` and `ParseErrorDetailTest`, and of rendering.

use squall::template::{Loader, Template, Value, context};
use squall::testing::serve;
use squall::{Application, Context, get};

/// What the error of rendering the first file is like: file, line, and by which way it was come to.
fn error_of(files: &[(&'static str, &'static str)]) -> (String, usize, String) {
    let name = files[0].0;
    let loader = Loader::from_texts(files.iter().copied());
    let error = loader.load(name).unwrap().generate(context! { x => 0 }).unwrap_err();
    (error.file().to_owned(), error.line(), error.via().join(", "))
}

#[test]
fn test_error_line_numbers() {
    let at = |file: &str, line, via: &str| (file.to_owned(), line, via.to_owned());
    // expression, directive
    assert_eq!(error_of(&[("test.html", "one\ntwo{{1/0}}\nthree\n")]), at("test.html", 2, ""));
    assert_eq!(error_of(&[("test.html", "one\ntwo{%if 1/0%}\nthree{%end%}\n")]), at("test.html", 2, ""));
    // include
    let sub = ("sub.html", "{{1/0}}");
    assert_eq!(error_of(&[("base.html", "{% include 'sub.html' %}"), sub]), at("sub.html", 1, "base.html:1"));
    // extends, the mistake above
    let files = [("sub.html", "{% extends 'base.html' %}"), ("base.html", "{{1/0}}")];
    assert_eq!(error_of(&files), at("base.html", 1, ""));
    // extends, the mistake below
    let files = [
        ("sub.html", "\n{% extends 'base.html' %}\n{% block b %}\n{{1/0}}\n{% end %}\n"),
        ("base.html", "{% block b %}{% end %}"),
    ];
    assert_eq!(error_of(&files), at("sub.html", 4, "base.html:1"));
    // several includes
    let files =
        [("a.html", "{% include 'b.html' %}"), ("b.html", "\n{% include 'c.html' %}"), ("c.html", "{{1/0}}")];
    assert_eq!(error_of(&files), at("c.html", 1, "b.html:2, a.html:1"));
}

#[squall::test]
async fn test_error_line_number_module() {
    let page = get("/", async |ctx: &Context| match ctx.render("base.html", context! {}) {
        Err(error) => {
            ctx.write(error.to_string());
            Ok(())
        }
        Ok(()) => Ok(()),
    });
    let loader =
        Loader::from_texts([("base.html", "\n{% module Template('sub.html') %}"), ("sub.html", "{{1/0}}")]);
    let app = serve(Application::new([page]).template_loader(loader));
    let found = app.get("/").await;
    let text = found.text();
    assert!(text.starts_with("sub.html:1:3: ") && text.ends_with("(via base.html:2)"), "{text}");
}

#[test]
fn test_details() {
    let error = Loader::from_texts([("foo.html", "\n\n{{")]).load("foo.html").unwrap_err();
    assert_eq!((error.message(), error.file(), error.line()), ("Missing end expression }}", "foo.html", 3));
    assert_eq!(error.to_string(), "foo.html:3:1: Missing end expression }}: \"{{\"");
}

#[test]
fn test_bytes() {
    let name = || Value::from_bytes(b"Ben".to_vec());
    let template = Template::new("Hello {{ name }}!").unwrap();
    assert_eq!(template.generate(context! { name => name() }).unwrap(), "Hello Ben!");
    let upper = Value::from_function(|text: &str| Value::from_bytes(text.to_uppercase().into_bytes()));
    let template = Template::new("{% apply upper %}foo é{% end %}").unwrap();
    assert_eq!(template.generate(context! { upper }).unwrap(), "FOO É");
}
