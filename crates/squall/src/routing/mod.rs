//! Routing (Tornado's `tornado.routing`): path patterns and their tables, and routers made of rules.

mod pattern;
mod rules;
mod shape;
mod table;

pub use pattern::{
    PathArgError, PathArgs, PathPattern, PathValues, PatternError, PatternErrorKind, ReverseError,
};
pub use rules::{Matcher, Router, Rule, RuleRouter};
pub use table::PathTable;
