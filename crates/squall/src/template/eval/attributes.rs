//! Attributes: `value.name`.

use std::rc::Rc;

use super::Interp;
use crate::template::methods;
use crate::template::value::{Class, Method, Py, PyError, R, Type, from_host, from_host_error};

impl Interp<'_> {
    /// `of.name`
    pub(in crate::template) fn attribute(&mut self, of: &Py, name: &str) -> R {
        match self.attribute_opt(of, name)? {
            Some(value) => Ok(value),
            // Its own `__getattr__` says no more.
            None if Type::of(of) == Type::ObjectDict => Err(PyError::new(Class::AttributeError, name)),
            None => Err(PyError::no_attribute(of, name)),
        }
    }

    /// As [`attribute`](Self::attribute); `None` when there is none.
    #[expect(clippy::unused_self, reason = "as its sibling")]
    pub(in crate::template) fn attribute_opt(&mut self, of: &Py, name: &str) -> R<Option<Py>> {
        let found = match of {
            // As in Python, methods come before what its `__getattr__` finds.
            Py::Dict(dict) if dict.is_object() && methods::has(of, name) => None,
            Py::Dict(dict) if dict.has_attributes() => dict.get_str(name)?,
            Py::Tuple(items) => items.named(name),
            Py::Host(host) => {
                let value = host.get_attr(name).map_err(|error| from_host_error(&error))?;
                if value.is_undefined() { None } else { Some(from_host(&value)?) }
            }
            Py::Module(module) => return Ok(module.get(name)),
            Py::Moment(moment) => moment.attribute(name),
            Py::Object(object) => object.attribute(name),
            Py::Exception(exception) if name == "args" => Some(Py::tuple(exception.args.clone())),
            Py::Exception(exception) if name == "message" && exception.class == Class::ApplicationError => {
                Some(Py::from(exception.message()))
            }
            Py::Bool(value) if matches!(name, "real" | "numerator") => Some(Py::Int(i64::from(*value))),
            Py::Float(_) if name == "real" => Some(of.clone()),
            Py::Float(_) if name == "imag" => Some(Py::Float(0.0)),
            Py::Int(_) | Py::Big(_) if matches!(name, "real" | "numerator") => Some(of.clone()),
            Py::Int(_) | Py::Bool(_) | Py::Big(_) if name == "imag" => Some(Py::Int(0)),
            Py::Range(range) => match name {
                "start" => Some(Py::Int(range.start)),
                "stop" => Some(Py::Int(range.stop)),
                "step" => Some(Py::Int(range.step)),
                _ => None,
            },
            Py::Type(own) => type_attribute(*own, name),
            Py::Builtin(builtin) if matches!(name, "__name__" | "__qualname__") => {
                Some(Py::from(builtin.name))
            }
            Py::Function(_) if matches!(name, "__name__" | "__qualname__") => Some(Py::from("<lambda>")),
            _ => None,
        };
        if found.is_some() {
            return Ok(found);
        }
        if name == "__class__" {
            return Ok(Some(Py::Type(Type::of(of))));
        }
        let has_method = match of {
            Py::Object(object) => object.has_method(name),
            _ => methods::has(of, name),
        };
        Ok(has_method.then(|| Py::Method(Rc::new(Method { of: of.clone(), name: name.into() }))))
    }
}

fn type_attribute(of: Type, name: &str) -> Option<Py> {
    match name {
        "__name__" | "__qualname__" => Some(Py::from(of.name())),
        "__module__" => Some(Py::from(match of.full_name().rsplit_once('.') {
            Some((module, _)) => module.to_owned(),
            None => "builtins".to_owned(),
        })),
        _ => crate::template::modules::type_constant(of, name),
    }
}
