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

mod context;
mod control;
mod datetime;
mod engine;
mod error;
mod expression;
mod expression_displays;
mod expression_tokens;
mod flatten;
mod format_string;
mod functions;
mod lexer;
mod loader;
mod parser;
mod python;
mod python_methods;
mod whitespace;

#[doc(hidden)]
pub mod __fuzz;

pub use context::{__context, context};
pub use datetime::datetime;
pub use engine::Template;
pub use error::TemplateError;
pub use loader::Loader;
/// Values that templates work with; minijinja's.
pub use minijinja::value::{Kwargs, Object, Serde, Value, from_args};
pub use whitespace::Whitespace;

pub(crate) use datetime::system_time;
pub(crate) use error::Raised;
pub(crate) use functions::linkify;
pub(crate) use python::{Layered, to_str};
