//! The methods of Python's types.

mod bytes;
mod collections;
mod text;

pub(super) use bytes::{construct as construct_bytes, decode};

use super::eval::{Args, Interp};
use super::value::{self, Key, Py, PyError, R, Range, Type, contains, equal, get_item, hash_of, repr, str};
use super::{format, modules};

/// Methods that every value has.
const OF_ALL: &[&str] = &[
    "__eq__",
    "__ne__",
    "__lt__",
    "__le__",
    "__gt__",
    "__ge__",
    "__str__",
    "__repr__",
    "__hash__",
    "__format__",
];

/// Whether a value has a method of this name.
pub(super) fn has(of: &Py, name: &str) -> bool {
    let own: &[&str] = match of {
        Py::Type(of) => return has_type(*of, name),
        _ => names(Type::of(of)),
    };
    own.contains(&name) || OF_ALL.contains(&name) || has_container_method(of, name)
}

fn has_container_method(of: &Py, name: &str) -> bool {
    let is_container = matches!(
        of,
        Py::Str(_)
            | Py::Bytes(_)
            | Py::List(_)
            | Py::Tuple(_)
            | Py::Dict(_)
            | Py::Set(_)
            | Py::Range(_)
            | Py::View(_)
    );
    match name {
        "__len__" | "__contains__" | "__iter__" => is_container,
        "__getitem__" => is_container && !matches!(of, Py::Set(_) | Py::View(_)),
        "__next__" => matches!(of, Py::Iter(_)),
        "__call__" => matches!(of, Py::Function(_) | Py::Builtin(_) | Py::Method(_)),
        _ => false,
    }
}

fn names(of: Type) -> &'static [&'static str] {
    match of {
        Type::Str => text::NAMES,
        Type::Bytes => bytes::NAMES,
        Type::List => collections::LIST,
        Type::Tuple | Type::StructTime | Type::Range => &["count", "index"],
        Type::Dict | Type::ObjectDict => collections::DICT,
        Type::Set => collections::SET,
        Type::FrozenSet => collections::FROZEN_SET,
        Type::Int | Type::Bool => &["bit_length", "bit_count", "conjugate", "is_integer"],
        Type::Float => &["is_integer", "hex", "conjugate"],
        Type::Date | Type::DateTime | Type::Time | Type::TimeDelta | Type::TimeZone => {
            modules::moment_methods(of)
        }
        Type::Slice => &["indices"],
        _ => &[],
    }
}

/// Methods of types: those of their values, and their own.
fn has_type(of: Type, name: &str) -> bool {
    names(of).contains(&name) || OF_ALL.contains(&name) || is_of_type(of, name)
}

/// Methods of the type itself: they need no value of it.
pub(super) fn is_of_type(of: Type, name: &str) -> bool {
    match of {
        Type::Dict | Type::ObjectDict => name == "fromkeys",
        Type::Str => name == "maketrans",
        Type::Bytes => name == "fromhex",
        _ => modules::type_methods(of).contains(&name),
    }
}

/// `of.name(..)`
pub(super) fn call(interp: &mut Interp<'_>, of: &Py, name: &str, args: Args) -> R {
    if has(of, name) { call_known(interp, of, name, args) } else { Err(PyError::no_attribute(of, name)) }
}

/// As [`call`], of a method that the value [`has`].
pub(super) fn call_known(interp: &mut Interp<'_>, of: &Py, name: &str, args: Args) -> R {
    if name.starts_with("__") {
        return special(interp, of, name, args);
    }
    match of {
        Py::Str(own) => text::call(interp, own, name, args),
        Py::Bytes(own) => bytes::call(interp, own, name, args),
        Py::List(own) => collections::list(interp, own, of, name, args),
        Py::Tuple(items) => collections::count_or_index(items, name, args),
        Py::Range(range) => collections::count_or_index(&range_items(range)?, name, args),
        Py::Dict(own) => collections::dict(interp, own, of, name, args),
        Py::Set(own) => collections::set(interp, own, of, name, args),
        Py::Moment(own) => modules::moment_method(own, name, args),
        Py::Type(own) => of_type(interp, *own, name, args),
        Py::Float(float) => match name {
            "is_integer" => Ok(Py::Bool(float.fract() == 0.0)),
            "conjugate" => Ok(of.clone()),
            _ => Err(PyError::value_error(format!("float.{name}() has no counterpart"))),
        },
        Py::Bool(_) | Py::Int(_) | Py::Big(_) => {
            let whole = value::as_big(of).unwrap_or_default();
            Ok(match name {
                "bit_length" => Py::from(usize::try_from(whole.bits()).unwrap_or(0)),
                "bit_count" => Py::from(usize::try_from(whole.magnitude().count_ones()).unwrap_or(0)),
                "is_integer" => Py::Bool(true),
                _ => of.clone(),
            })
        }
        _ => Err(PyError::no_attribute(of, name)),
    }
}

fn range_items(range: &Range) -> R<Vec<Py>> {
    super::budget::pay_items(range.len())?;
    Ok((0..range.len()).filter_map(|at| range.get(at)).map(Py::Int).collect())
}

/// `str.upper(text)`, and what types have themselves.
fn of_type(interp: &mut Interp<'_>, of: Type, name: &str, mut args: Args) -> R {
    match (of, name) {
        (Type::Dict | Type::ObjectDict, "fromkeys") => {
            let [keys, value] = args.take("fromkeys", ["*iterable", "*value"], 1)?;
            let keys = interp.collect(&keys.unwrap_or(Py::None))?;
            let value = value.unwrap_or(Py::None);
            let made = Py::dict(keys.into_iter().map(|key| (key, value.clone())))?;
            if of == Type::Dict {
                Ok(made)
            } else {
                super::builtins::construct(interp, of, Args::from(vec![made]))
            }
        }
        (Type::Str, "maketrans") => text::make_translation(args),
        (Type::Bytes, "fromhex") => {
            let [hex] = args.take("fromhex", ["*string"], 1)?;
            bytes::from_hex(hex.as_ref().and_then(Py::as_str).unwrap_or_default())
        }
        _ if modules::type_methods(of).contains(&name) => modules::type_method(interp, of, name, args),
        _ => {
            if args.positional.is_empty() {
                return Err(PyError::type_error(format!(
                    "unbound method {}.{name}() needs an argument",
                    of.name()
                )));
            }
            let first = args.positional.remove(0);
            if !Type::of(&first).is_a(of) {
                return Err(PyError::type_error(format!(
                    "descriptor '{name}' for '{}' objects doesn't apply to a '{}' object",
                    of.name(),
                    first.type_name()
                )));
            }
            call(interp, &first, name, args)
        }
    }
}

/// Methods with names in underscores.
fn special(interp: &mut Interp<'_>, of: &Py, name: &str, args: Args) -> R {
    use super::python::Comparison;
    if let Py::Type(_) = of {
        return Err(PyError::type_error(format!("{name} of a type has no counterpart")));
    }
    if name == "__call__" {
        return interp.call(of, args);
    }
    let comparison = match name {
        "__eq__" => Some(Comparison::Equal),
        "__ne__" => Some(Comparison::NotEqual),
        "__lt__" => Some(Comparison::Less),
        "__le__" => Some(Comparison::LessEqual),
        "__gt__" => Some(Comparison::Greater),
        "__ge__" => Some(Comparison::GreaterEqual),
        _ => None,
    };
    let [argument] = args.take(name, ["*value"], 0)?;
    let argument = argument.unwrap_or(Py::None);
    if let Some(comparison) = comparison {
        return value::compare(comparison, of, &argument).map(Py::Bool);
    }
    Ok(match name {
        "__str__" => Py::from(str(of)?),
        "__repr__" => Py::from(repr(of)?),
        "__hash__" => hash_of(of)?,
        "__format__" => Py::from(format::format(of, argument.as_str().unwrap_or_default())?),
        "__len__" => super::builtins::len(of)?,
        "__contains__" => Py::Bool(contains(of, &argument)?),
        "__getitem__" => get_item(of, &argument)?,
        "__iter__" => value::iter(of)?,
        _ => match interp.next(of)? {
            Some(item) => item,
            None => return Err(PyError::with_args(value::Class::StopIteration, Vec::new())),
        },
    })
}

/// Where an equal item is.
fn position(items: &[Py], value: &Py) -> R<Option<usize>> {
    super::budget::pay(items.len() as u64 / 8)?;
    for (index, item) in items.iter().enumerate() {
        if value::same(item, value) || equal(item, value)? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// The value as a key, to see whether it can be one.
fn check_key(value: &Py) -> R<()> {
    Key::new(value.clone()).map(drop)
}
