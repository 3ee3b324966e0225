//! Routing (Tornado's `tornado.routing`): path patterns and their tables, and routers made of rules.

mod path_args;
mod pattern;
mod pattern_error;
mod rules;
mod shape;
mod table;

pub use path_args::{PathArgError, PathArgs, PathValues};
pub use pattern::PathPattern;
pub use pattern_error::{PatternError, PatternErrorKind, ReverseError};
pub use rules::{Matcher, Router, Rule, RuleRouter};
pub use table::PathTable;
