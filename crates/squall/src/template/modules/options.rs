//! `tornado.options`: the program's options, as they are when the page is made.

use std::rc::Rc;

use chrono::{DateTime, Local, TimeDelta};
use num_bigint::BigInt;

use super::Moment;
use crate::options::{self, Plain};
use crate::template::eval::{Args, Interp};
use crate::template::value::{Class, Object, Py, PyError, R, big};

pub(super) fn find(name: &str) -> Option<Py> {
    match name {
        "options" => Some(Py::Object(Rc::new(Options))),
        _ => None,
    }
}

/// `options`
struct Options;

impl Object for Options {
    fn type_name(&self) -> &'static str {
        "OptionParser"
    }

    fn attribute(&self, name: &str) -> Option<Py> {
        options::global().plain(name).map(value)
    }

    fn has_method(&self, name: &str) -> bool {
        matches!(name, "as_dict" | "group_dict" | "groups" | "items")
    }

    fn call_method(&self, _: &mut Interp<'_>, name: &str, args: Args) -> R {
        match name {
            "groups" => {
                let [] = args.take(name, [], 0)?;
                Ok(Py::list(options::global().groups().into_iter().map(Py::from).collect()))
            }
            "group_dict" => {
                let [group] = args.take(name, ["group"], 1)?;
                let group = group.as_ref().and_then(Py::as_str).unwrap_or_default();
                Py::dict(pairs(options::global().group_map(group).into_keys()))
            }
            "as_dict" => {
                let [] = args.take(name, [], 0)?;
                Py::dict(pairs(options::global().as_map().into_keys()))
            }
            _ => {
                let [] = args.take(name, [], 0)?;
                let pairs = pairs(options::global().as_map().into_keys());
                Ok(Py::list(pairs.map(|(name, value)| Py::tuple(vec![name, value])).collect()))
            }
        }
    }

    fn repr(&self) -> String {
        "<tornado.options.OptionParser object>".to_owned()
    }

    fn get_item(&self, key: &Py) -> Option<R> {
        let found = key.as_str().and_then(|name| self.attribute(name));
        Some(found.ok_or_else(|| {
            let name = key.as_str().unwrap_or_default();
            PyError::new(Class::AttributeError, format!("Unrecognized option '{name}'"))
        }))
    }
}

/// By Python's names, which have underscores.
fn pairs(names: impl Iterator<Item = String>) -> impl Iterator<Item = (Py, Py)> {
    names.filter_map(|name| {
        let value = value(options::global().plain(&name)?);
        Some((Py::from(name.replace('-', "_")), value))
    })
}

fn value(plain: Plain) -> Py {
    match plain {
        Plain::None => Py::None,
        Plain::Bool(value) => Py::Bool(value),
        Plain::Int(value) => big(BigInt::from(value)),
        Plain::Float(value) => Py::Float(value),
        Plain::Text(text) => Py::from(text),
        Plain::Duration(duration) => {
            let delta = TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
            Py::Moment(Rc::new(Moment::Delta(delta)))
        }
        // As they are given, in local time.
        Plain::Time(time) => {
            let time = DateTime::<Local>::from(time).naive_local();
            Py::Moment(Rc::new(Moment::DateTime(time, None)))
        }
        Plain::List(items) => Py::list(items.into_iter().map(value).collect()),
    }
}
