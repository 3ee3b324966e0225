//! Python's built-in functions, and those that Tornado's templates have besides.

mod construct;
mod numbers;
mod sequences;

use std::rc::Rc;

pub(super) use construct::{construct, pairs};
pub(super) use sequences::{len, sort};

use super::eval::{Args, Interp};
use super::value::{Class, Method, Object, Py, PyError, R, Type, hash_of, index, repr};
use super::{format, modules, text};

/// A function of Python's.
pub(super) struct Builtin {
    pub(super) name: &'static str,
    pub(super) call: fn(&mut Interp<'_>, Args) -> R,
}

const fn builtin(name: &'static str, call: fn(&mut Interp<'_>, Args) -> R) -> Builtin {
    Builtin { name, call }
}

static BUILTINS: &[Builtin] = &[
    builtin("abs", numbers::abs),
    builtin("all", sequences::all),
    builtin("any", sequences::any),
    builtin("ascii", |_, args| {
        let [value] = args.take("ascii", ["*obj"], 1)?;
        Ok(Py::from(text::ascii(&repr(&value.unwrap_or(Py::None))?)))
    }),
    builtin("bin", |_, args| numbers::in_base(args, "bin", 2, "0b")),
    builtin("callable", |_, args| {
        let [value] = args.take("callable", ["*obj"], 1)?;
        Ok(Py::Bool(matches!(
            value,
            Some(Py::Function(_) | Py::Builtin(_) | Py::Method(_) | Py::Type(_) | Py::Host(_))
        )))
    }),
    builtin("chr", numbers::chr),
    builtin("divmod", numbers::divmod),
    builtin("format", |_, args| {
        let [value, spec] = args.take("format", ["*value", "*format_spec"], 1)?;
        let spec = spec.unwrap_or_else(|| Py::from(""));
        let Some(spec) = spec.as_str() else {
            return Err(PyError::type_error("format() argument 2 must be str"));
        };
        Ok(Py::from(format::format(&value.unwrap_or(Py::None), spec)?))
    }),
    builtin("getattr", getattr),
    builtin("globals", |_, args| {
        let [] = args.take("globals", [], 0)?;
        Ok(Py::Object(Rc::new(Globals)))
    }),
    builtin("hasattr", |interp, args| {
        let [of, name] = args.take("hasattr", ["*obj", "*name"], 2)?;
        let name = attribute_name(name)?;
        Ok(Py::Bool(interp.attribute_opt(&of.unwrap_or(Py::None), &name)?.is_some()))
    }),
    builtin("hash", |_, args| {
        let [value] = args.take("hash", ["*obj"], 1)?;
        hash_of(&value.unwrap_or(Py::None))
    }),
    builtin("hex", |_, args| numbers::in_base(args, "hex", 16, "0x")),
    builtin("isinstance", |_, args| {
        let [value, of] = args.take("isinstance", ["*obj", "*class_or_tuple"], 2)?;
        let own = Type::of(&value.unwrap_or(Py::None));
        is_a(own, &of.unwrap_or(Py::None), "isinstance() arg 2 must be a type, a tuple of types, or a union")
            .map(Py::Bool)
    }),
    builtin("issubclass", |_, args| {
        let [own, of] = args.take("issubclass", ["*cls", "*class_or_tuple"], 2)?;
        let Some(Py::Type(own)) = own else {
            return Err(PyError::type_error("issubclass() arg 1 must be a class"));
        };
        is_a(
            own,
            &of.unwrap_or(Py::None),
            "issubclass() arg 2 must be a class, a tuple of classes, or a union",
        )
        .map(Py::Bool)
    }),
    builtin("iter", sequences::iter),
    builtin("len", |_, args| {
        let [value] = args.take("len", ["*obj"], 1)?;
        len(&value.unwrap_or(Py::None))
    }),
    builtin("locals", |_, _| Err(PyError::type_error("locals() has to be called by its name"))),
    builtin("max", |interp, args| sequences::extreme(interp, args, true)),
    builtin("min", |interp, args| sequences::extreme(interp, args, false)),
    builtin("next", sequences::next),
    builtin("oct", |_, args| numbers::in_base(args, "oct", 8, "0o")),
    builtin("ord", numbers::ord),
    builtin("pow", numbers::pow),
    builtin("repr", |_, args| {
        let [value] = args.take("repr", ["*obj"], 1)?;
        Ok(Py::from(repr(&value.unwrap_or(Py::None))?))
    }),
    builtin("round", numbers::round),
    builtin("sorted", sequences::sorted),
    builtin("sum", sequences::sum),
];

/// The built-in value of a name, and what Tornado gives to every template.
pub(super) fn find(name: &str) -> Option<Py> {
    if let Some(builtin) = BUILTINS.iter().find(|builtin| builtin.name == name) {
        return Some(Py::Builtin(builtin));
    }
    Type::of_name(name).map(Py::Type).or_else(|| modules::in_templates(name))
}

/// Whether templates have a value of this name by themselves.
pub(super) fn is_known(name: &str) -> bool {
    find(name).is_some()
}

fn attribute_name(name: Option<Py>) -> R<String> {
    match name {
        Some(Py::Str(name)) => Ok(name.to_string()),
        other => Err(PyError::type_error(format!(
            "attribute name must be string, not '{}'",
            other.map_or("NoneType", |value| value.type_name())
        ))),
    }
}

fn getattr(interp: &mut Interp<'_>, args: Args) -> R {
    let [of, name, default] = args.take("getattr", ["*obj", "*name", "*default"], 2)?;
    let (of, name) = (of.unwrap_or(Py::None), attribute_name(name)?);
    match (interp.attribute_opt(&of, &name)?, default) {
        (Some(value), _) | (None, Some(value)) => Ok(value),
        // A method of the application's object is known only when it is called.
        (None, None) if matches!(of, Py::Host(_)) => {
            Ok(Py::Method(Rc::new(Method { of, name: name.into() })))
        }
        (None, None) => Err(PyError::no_attribute(&of, &name)),
    }
}

fn is_a(own: Type, classes: &Py, message: &str) -> R<bool> {
    match classes {
        Py::Type(of) => Ok(own.is_a(*of)),
        Py::None => Ok(own == Type::None),
        Py::Tuple(all) => {
            for of in all.iter() {
                if is_a(own, of, message)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Err(PyError::type_error(message)),
    }
}

/// `globals()`: the page's values and the namespace.
struct Globals;

impl Object for Globals {
    fn type_name(&self) -> &'static str {
        "dict"
    }

    fn attribute(&self, _: &str) -> Option<Py> {
        None
    }

    fn has_method(&self, name: &str) -> bool {
        matches!(name, "get" | "keys" | "values" | "items" | "__contains__" | "__getitem__")
    }

    fn call_method(&self, interp: &mut Interp<'_>, name: &str, args: Args) -> R {
        let [key, default] = args.take(name, ["*key", "*default"], 0)?;
        match name {
            "get" => {
                let found =
                    key.as_ref().and_then(Py::as_str).map(|key| interp.in_namespace(key)).transpose()?;
                Ok(found.flatten().or(default).unwrap_or(Py::None))
            }
            "__contains__" | "__getitem__" => {
                let key = key.unwrap_or(Py::None);
                let found = key.as_str().map(|key| interp.in_namespace(key)).transpose()?.flatten();
                match (name, found) {
                    ("__contains__", found) => Ok(Py::Bool(found.is_some())),
                    (_, Some(value)) => Ok(value),
                    (_, None) => Err(PyError::key(key)),
                }
            }
            _ => {
                let all = Py::dict(interp.namespace()?)?;
                super::methods::call(interp, &all, name, Vec::new().into())
            }
        }
    }

    fn repr(&self) -> String {
        "{...}".to_owned()
    }

    fn is_globals(&self) -> bool {
        true
    }
}

/// An argument that has to be a whole number.
fn whole(value: Option<Py>) -> R<i64> {
    index(&value.unwrap_or(Py::None))
}

fn zero_division(message: &str) -> PyError {
    PyError::new(Class::ZeroDivisionError, message)
}
