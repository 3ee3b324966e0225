//! Types as values: `str`, `type(x)`, the second argument of `isinstance`.

use super::{Class, Iter, Part, Py};
use crate::template::modules::Moment;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::template) enum Type {
    Object,
    /// `type`
    Class,
    /// That of `None`.
    None,
    Bool,
    Int,
    Float,
    Str,
    Bytes,
    Tuple,
    List,
    Dict,
    /// `tornado.util.ObjectDict`
    ObjectDict,
    Set,
    FrozenSet,
    Range,
    Slice,
    Enumerate,
    Zip,
    Map,
    Filter,
    Reversed,
    Date,
    DateTime,
    Time,
    TimeDelta,
    TimeZone,
    /// `time.struct_time`
    StructTime,
    Exception(Class),
    /// A type that no name leads to, such as that of functions.
    Other(&'static str),
}

/// Those that are names of Python's.
const BUILT_IN: &[(&str, Type)] = &[
    ("object", Type::Object),
    ("type", Type::Class),
    ("bool", Type::Bool),
    ("int", Type::Int),
    ("float", Type::Float),
    ("str", Type::Str),
    ("bytes", Type::Bytes),
    ("tuple", Type::Tuple),
    ("list", Type::List),
    ("dict", Type::Dict),
    ("set", Type::Set),
    ("frozenset", Type::FrozenSet),
    ("range", Type::Range),
    ("slice", Type::Slice),
    ("enumerate", Type::Enumerate),
    ("zip", Type::Zip),
    ("map", Type::Map),
    ("filter", Type::Filter),
    ("reversed", Type::Reversed),
];

impl Type {
    /// The built-in type of this name, an exception's class included.
    pub(in crate::template) fn of_name(name: &str) -> Option<Self> {
        let found = BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, of)| *of);
        found.or_else(|| Class::of_name(name).map(Self::Exception))
    }

    pub(in crate::template) fn of(value: &Py) -> Self {
        match value {
            Py::Unbound | Py::None => Self::None,
            Py::Bool(_) => Self::Bool,
            Py::Int(_) | Py::Big(_) => Self::Int,
            Py::Float(_) => Self::Float,
            Py::Str(_) => Self::Str,
            Py::Bytes(_) => Self::Bytes,
            Py::Tuple(items) if items.names().is_some() => Self::StructTime,
            Py::Tuple(_) => Self::Tuple,
            Py::List(_) => Self::List,
            Py::Dict(dict) if dict.is_object() => Self::ObjectDict,
            Py::Dict(_) => Self::Dict,
            Py::Set(set) if set.is_frozen() => Self::FrozenSet,
            Py::Set(_) => Self::Set,
            Py::Range(_) => Self::Range,
            Py::Slice(_) => Self::Slice,
            Py::View(view) => Self::Other(match view.part {
                Part::Keys => "dict_keys",
                Part::Values => "dict_values",
                Part::Items => "dict_items",
            }),
            Py::Iter(iter) => Iter::type_of(iter),
            Py::Function(_) => Self::Other("function"),
            Py::Builtin(_) => Self::Other("builtin_function_or_method"),
            Py::Method(method) if matches!(method.of, Py::Host(_)) => Self::Other("method"),
            Py::Method(method) if method.is_unbound() => Self::Other("method_descriptor"),
            Py::Method(_) => Self::Other("builtin_function_or_method"),
            Py::Type(_) => Self::Class,
            Py::Exception(exception) => Self::Exception(exception.class),
            Py::Moment(moment) => match &**moment {
                Moment::Date(_) => Self::Date,
                Moment::DateTime(..) => Self::DateTime,
                Moment::Time(..) => Self::Time,
                Moment::Delta(_) => Self::TimeDelta,
                Moment::Zone(_) => Self::TimeZone,
            },
            Py::Module(_) => Self::Other("module"),
            Py::Object(object) => Self::Other(object.type_name()),
            Py::Host(value) => Self::Other(match value.kind() {
                minijinja::value::ValueKind::Iterable => "iterator",
                _ => "object",
            }),
        }
    }

    pub(in crate::template) fn name(self) -> &'static str {
        match self {
            Self::None => "NoneType",
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::Time => "time",
            Self::TimeDelta => "timedelta",
            Self::TimeZone => "timezone",
            Self::ObjectDict => "ObjectDict",
            Self::StructTime => "struct_time",
            Self::Exception(class) => class.name(),
            Self::Other(name) => name,
            _ => BUILT_IN.iter().find(|(_, of)| *of == self).map_or("object", |(name, _)| name),
        }
    }

    /// The name with its module, as `repr` shows it.
    pub(in crate::template) fn full_name(self) -> String {
        match self {
            Self::Date | Self::DateTime | Self::Time | Self::TimeDelta | Self::TimeZone => {
                format!("datetime.{}", self.name())
            }
            Self::ObjectDict => "tornado.util.ObjectDict".to_owned(),
            Self::StructTime => "time.struct_time".to_owned(),
            Self::Exception(Class::JSONDecodeError) => "json.decoder.JSONDecodeError".to_owned(),
            Self::Exception(Class::PatternError) => "re.error".to_owned(),
            _ => self.name().to_owned(),
        }
    }

    /// `issubclass`
    pub(in crate::template) fn is_a(self, other: Self) -> bool {
        match (self, other) {
            (_, Self::Object) => true,
            (Self::Bool, Self::Int) | (Self::DateTime, Self::Date) => true,
            (Self::ObjectDict, Self::Dict) | (Self::StructTime, Self::Tuple) => true,
            (Self::Exception(own), Self::Exception(other)) => own.is_a(other),
            _ => self == other,
        }
    }
}
