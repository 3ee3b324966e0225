//! Templates in Tornado's syntax (`tornado.template`).
//!
//! A template and all it extends and includes is rewritten to one [minijinja] template, with Python's expressions in
//! minijinja's spelling; errors name the user's file, line and column. Values print as in Python (`None`, `True`) and go
//! through `xhtml_escape`. What needs Python, `import` and `try` above all, is an error when the template is loaded.

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
