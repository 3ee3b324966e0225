//! Templates in Tornado's syntax (`tornado.template`). With the feature `templates`, a default one.
//!
//! The language of Tornado's templates is Python, and what a template means is what Python makes of it: values print as
//! Python prints them (`None`, `1e+16`) and go through `xhtml_escape`; variables have Python's scopes, errors Python's
//! classes, and lists and dicts change when they are told to. Where Python's own cannot be, a template is refused when it
//! is loaded, with file, line, column and what to do. Files whose names end in `.jinja` or `.j2`, and those of
//! [`Loader::jinja_templates`], are Jinja templates, which minijinja runs.
//!
//! A template knows the values that it is given, Python's built-in functions and methods, Tornado's `escape`, `url_escape`,
//! `json_encode`, `squeeze` and `linkify`, and `datetime`; what it imports of Python's `json`, `math`, `re`, `time`,
//! `os.path`, `urllib.parse`, of `tornado.escape`, `tornado.options` and `tornado.util`, and of the application's
//! [modules](crate::Application::template_module); and in an application also `handler`, `request`, `current_user`,
//! `locale`, `_`, `pgettext`, `ngettext`, `static_url`, `xsrf_form_html` and `reverse_url`.
//!
//! # What is not as in Python
//! * Dicts and structs of the application have their items as attributes too, as Tornado's `ObjectDict`.
//! * A text holds no lone surrogates, and a page is text: bytes that are no UTF-8 come out as U+FFFD. There are no complex numbers, no classes, no annotations
//!   (`{% set x: int = 5 %}`), no `print`, `open`, `eval`, `id`, `dir` and the like.
//! * What has no order in Python has one here: sets keep the order of small integers that CPython has, otherwise the order
//!   in which they were filled. Functions show no addresses, and `hash` of what is no integer is another number.
//! * Comprehensions have the variables of the function around them, as from Python 3.12 on.
//! * No attribute can be assigned to, and no method has a name such as `__add__`.
//! * `re` has no lookaround and no back-references; a pattern that stands in a template is refused when it is loaded. Errors have Python's classes; their words may differ.
//! * A function of the application that is not text's gets text, not bytes, from `{% apply %}` and `{% autoescape %}`.
//! * A page may take [so many steps](Loader::max_steps), a value 64 MiB, an integer 2²⁰ bits, a width 2²⁰ characters,
//!   calls and values 1,000 levels.
//!
//! # How it works
//! `lexer` and `parser` cut a file into tags; `assemble` puts what a template extends and includes into one list of steps, and
//! has `python` parse what stands in the tags; `compile` gives every name its place, as Python's compiler does (the template is one
//! function, `{% apply %}`, lambdas and generators are functions in it); `eval` walks that code, with the values of `value`,
//! on one thread and without locks. `budget` is what it pays from.

mod assemble;
mod budget;
mod builtins;
mod compile;
mod context;
mod datetime;
mod engine;
mod error;
mod eval;
mod format;
mod given;
mod jinja;
mod jinja_page;
mod jinja_trans;
mod layered;
mod lexer;
mod loader;
mod methods;
mod modules;
mod parser;
mod python;
mod tape;
mod text;
mod value;
mod whitespace;

#[doc(hidden)]
pub mod __fuzz;

pub use context::{__context, context};
pub use datetime::datetime;
pub use engine::Template;
pub use error::TemplateError;
pub use loader::Loader;
/// Values that templates work with; minijinja's.
pub use minijinja::value::{Kwargs, Object, Value, ValueKind, from_args};
pub use tape::Serde;
pub use whitespace::Whitespace;

pub(crate) use compile::{Has, Member, Shape, Surface};
pub(crate) use datetime::system_time;
pub(crate) use error::{Raised, python_error};
pub(crate) use given::Given;
pub(crate) use jinja::{with_variables, without_keywords};
pub(crate) use layered::Layered;

/// The text of a value as Python's `str` gives it, and as templates print it, before it is escaped.
pub fn to_str(value: &Value) -> String {
    // What cannot be shown as Python does is shown as the engine of Jinja files does.
    printed(value).unwrap_or_else(|_| value.to_string())
}

/// As [`to_str`], unless there is too much to show.
fn printed(value: &Value) -> value::R<String> {
    match value.as_bytes() {
        Some(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        None => shown(value, value::str),
    }
}

/// The text of a value as Python's `repr` gives it.
pub fn repr(value: &Value) -> String {
    shown(value, value::repr).unwrap_or_else(|_| value.to_string())
}

fn shown(value: &Value, show: fn(&value::Py) -> value::R<String>) -> value::R<String> {
    let _session = budget::begin(budget::STEPS)?;
    show(&value::from_host(value)?)
}
