//! Templates in Tornado's syntax (`tornado.template`).
//!
//! A template and all it extends and includes is rewritten to one [minijinja] template, with Python's expressions in
//! minijinja's spelling; errors name the user's file, line and column. Values print as in Python (`None`, `True`) and go
//! through `xhtml_escape`. What needs Python, `import` above all, is an error when the template is loaded, which says what
//! to do instead. Files whose names end in `.jinja` or `.j2` are Jinja templates.
//!
//! A template knows the values that it is given, Python's common functions and methods, the functions of
//! [`escape`](crate::escape), and `datetime`; in an application also `handler`, `request`, `current_user`, `locale`, `_`,
//! `pgettext`, `ngettext`, `static_url`, `xsrf_form_html` and `reverse_url`. Values cannot be changed, only set anew:
//! there is no `append`.

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
mod jinja;
mod layered;
mod lexer;
mod loader;
mod methods;
mod modules;
mod parser;
mod python;
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
pub use minijinja::value::{Kwargs, Object, Serde, Value, ValueKind, from_args};
pub use whitespace::Whitespace;

pub(crate) use datetime::system_time;
pub(crate) use error::Raised;
pub(crate) use layered::Layered;

/// The text of a value as Python's `str` gives it, and as templates print it, before it is escaped.
pub fn to_str(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => shown(value, value::str),
    }
}

/// The text of a value as Python's `repr` gives it.
pub fn repr(value: &Value) -> String {
    shown(value, value::repr)
}

fn shown(value: &Value, show: fn(&value::Py) -> value::R<String>) -> String {
    let session = budget::begin(budget::STEPS);
    let bytes = value.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    // What cannot be shown as Python does is shown as the engine of Jinja files does.
    bytes.unwrap_or_else(|| {
        let shown = session.and_then(|_session| value::from_host(value).and_then(|value| show(&value)));
        shown.unwrap_or_else(|_| value.to_string())
    })
}
