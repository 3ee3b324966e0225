//! What the fuzz target in `fuzz/` calls, and random tests below. Not a public interface.

use super::{Loader, TemplateError, context};

/// Instructions of a template that is tried out.
const FUEL: u64 = 5_000;

/// The rewriter: up to four templates, separated by NUL, of which the first may include and extend the others. Whatever
/// they are, an error tells its place; and what is taken can be rendered, or says why not.
///
/// # Panics
/// When it does not.
pub fn template(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let names = ["t.html", "a.html", "b/c.html", "d.txt"];
    let texts: Vec<(String, String)> = names
        .into_iter()
        .zip(text.splitn(names.len(), '\0'))
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    let loader = Loader::from_texts(texts.clone()).global("f", "global").max_steps(FUEL);
    for (name, _) in &texts {
        match loader.load(name) {
            Ok(template) if is_harmless(&text) => {
                let values =
                    context! { x => "<&>", n => 3, items => ["a", "b"], user => context! { name => "Ann" } };
                if let Err(error) = template.generate(values) {
                    check(&error, &texts);
                }
            }
            Ok(_) => {}
            Err(error) => check(&error, &texts),
        }
    }
}

/// The place of an error is one in one of the files.
fn check(error: &TemplateError, texts: &[(String, String)]) {
    assert!(!error.message().is_empty(), "{error}");
    let Some((_, text)) = texts.iter().find(|(name, _)| name == error.file()) else {
        panic!("{error} is of no file");
    };
    let line = text.split('\n').nth(error.line().wrapping_sub(1));
    let line = line.unwrap_or_else(|| panic!("{error} is of no line"));
    assert!((1..=line.chars().count() + 1).contains(&error.column()), "{error} is of no column");
}

/// Whether rendering cannot take much memory: fuel counts instructions, not what one of them makes.
fn is_harmless(text: &str) -> bool {
    let mut digits = 0;
    let has_large_number = text.chars().any(|c| {
        digits = if c.is_alphanumeric() || c == '_' || c == '.' { digits + 1 } else { 0 };
        digits > 3 && text.contains(|c: char| c.is_ascii_digit())
    });
    let grows = text.contains('*') || text.contains("<<") || text.contains("set") || text.contains("range");
    !(grows && has_large_number) && text.matches('*').count() + text.matches("set").count() < 8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of templates, right ones and nearly right ones.
    const PIECES: &[&str] = &[
        "{{ ",
        " }}",
        "{% ",
        " %}",
        "{# ",
        " #}",
        "{{!",
        "{% end %}",
        "{% else %}",
        "{% if x %}",
        "{% elif n %}",
        "{% for i in items %}",
        "{% while n %}",
        "{% break %}",
        "{% continue %}",
        "{% set n = n - 1 %}",
        "{% set a, b = 1, 2 %}",
        "{% try %}",
        "{% except %}",
        "{% except KeyError as e %}",
        "{% finally %}",
        "{% apply escape %}",
        "{% block a %}",
        "{% block b %}",
        "{% extends 'a.html' %}",
        "{% include 'a.html' %}",
        "{% include 'b/c.html' %}",
        "{% module M(1) %}",
        "{% raw x %}",
        "{% autoescape None %}",
        "{% whitespace oneline %}",
        "{% comment %}",
        "x",
        "n",
        "items",
        "user",
        ".name",
        "['name']",
        "[0]",
        "[1:]",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ":",
        ",",
        " if ",
        " else ",
        " for i in items",
        " in ",
        " not ",
        " and ",
        " or ",
        " is None",
        "lambda q: ",
        "f'{x}'",
        "f\"{n:02d}\"",
        "'a'",
        "\"b\"",
        "'''",
        "'",
        "1",
        "0",
        "2.5",
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "**",
        "==",
        "<",
        "=",
        "+=",
        ".upper()",
        "len(",
        "range(3)",
        "\n",
        " ",
        "\0",
        "é",
        "\\",
        "{% set ",
        "_",
        "loop",
        "self",
        "True",
        "None",
        "namespace",
        "caller",
        "{%",
        "%}",
        "endfor",
        "raw",
        "endraw",
    ];

    fn piece() -> impl Strategy<Value = String> {
        proptest::sample::select(PIECES).prop_map(str::to_owned)
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            template(&data);
        }

        #[test]
        fn pieces_of_templates_are_taken_or_refused(pieces in proptest::collection::vec(piece(), 0..40)) {
            template(pieces.concat().as_bytes());
        }
    }

    #[test]
    fn nesting_ends_somewhere() {
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("{1:", "}"),
            ("-", ""),
            ("not ", ""),
            ("f(", ")"),
            ("x[", "]"),
            ("lambda: ", ""),
            ("[i for i in ", "]"),
            ("1 if x else ", ""),
            ("1 + (", ")"),
            ("2 ** ", ""),
            ("x.y(", ")"),
            ("f'{", "}'"),
        ] {
            for depth in [10, 39, 60, 5_000] {
                template(format!("{{{{ {}x{} }}}}", open.repeat(depth), close.repeat(depth)).as_bytes());
                template(
                    format!("{{% set {}x{} = 1 %}}", open.repeat(depth), close.repeat(depth)).as_bytes(),
                );
                template(
                    format!("{{% for {}x{} in items %}}{{% end %}}", open.repeat(depth), close.repeat(depth))
                        .as_bytes(),
                );
            }
        }
        for tag in [
            "{% if x %}",
            "{% for i in items %}",
            "{% while False %}",
            "{% block a %}",
            "{% apply escape %}",
            "{% try %}{% except %}",
        ] {
            for depth in [10, 49, 100, 20_000] {
                template(format!("{}{}", tag.repeat(depth), "{% end %}".repeat(depth)).as_bytes());
            }
        }
        template(b"{% include 'a.html' %}\0{% include 't.html' %}");
        template(b"{% extends 'a.html' %}\0{% extends 'b/c.html' %}\0{% extends '../t.html' %}");
        template(b"{% block a %}{% block a %}{% end %}{% end %}");
    }
}
