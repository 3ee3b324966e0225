//! placeholder

mod pattern;
mod shape;
mod table;

pub use pattern::{
    PathArgError, PathArgs, PathPattern, PathValues, PatternError, PatternErrorKind, ReverseError,
};
pub use table::PathTable;
