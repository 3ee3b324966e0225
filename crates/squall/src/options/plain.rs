//! Options as values of templates: by what they are, not by the type that the application asks for.

use std::any::Any;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::OptionParser;

/// What an option comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plain {
    /// No value was given.
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// Also what only the application knows to be more than text.
    Text(String),
    Duration(Duration),
    Time(SystemTime),
    List(Vec<Self>),
}

impl OptionParser {
    /// The value of an option, a secret too; `None` when there is no such option.
    pub(crate) fn plain(&self, name: &str) -> Option<Plain> {
        let (value, kind) = self.find(name, |option| (option.value.clone(), option.kind.clone()))?;
        Some(match value {
            Some(value) => of_any(&*value).unwrap_or_else(|| Plain::Text(kind.render(&value))),
            None => Plain::None,
        })
    }
}

/// The value of one of the types that options have by themselves.
fn of_any(value: &dyn Any) -> Option<Plain> {
    macro_rules! first_of {
        ($($type:ty => $plain:expr),* $(,)?) => {$(
            let plain: fn(&$type) -> Plain = $plain;
            if let Some(value) = value.downcast_ref() {
                return Some(plain(value));
            }
            if let Some(values) = value.downcast_ref::<Vec<$type>>() {
                return Some(Plain::List(values.iter().map(plain).collect()));
            }
        )*};
    }
    first_of!(
        bool => |value| Plain::Bool(*value),
        String => |value| Plain::Text(value.clone()),
        PathBuf => |value| Plain::Text(value.display().to_string()),
        Duration => |value| Plain::Duration(*value),
        SystemTime => |value| Plain::Time(*value),
        u8 => |value| Plain::Int((*value).into()),
        u16 => |value| Plain::Int((*value).into()),
        u32 => |value| Plain::Int((*value).into()),
        u64 => |value| Plain::Int((*value).into()),
        usize => |value| Plain::Int(*value as i128),
        i8 => |value| Plain::Int((*value).into()),
        i16 => |value| Plain::Int((*value).into()),
        i32 => |value| Plain::Int((*value).into()),
        i64 => |value| Plain::Int((*value).into()),
        isize => |value| Plain::Int(*value as i128),
        f32 => |value| Plain::Float((*value).into()),
        f64 => |value| Plain::Float(*value),
    );
    None
}
