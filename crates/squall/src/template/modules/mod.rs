//! Modules that templates can import: some of Python's and Tornado's, and those that the application registers.

mod escapes;
mod json;
mod math;
mod moment;
mod moment_methods;
mod options;
mod re;
mod small;
mod strftime;
mod time;
mod urls;

use std::collections::HashMap;
use std::rc::Rc;

use minijinja::Value;

pub(super) use moment::{Moment, moments};
pub(super) use moment_methods::{
    construct as construct_moment, method as moment_method, methods as moment_methods, type_constant,
    type_method, type_methods,
};

pub(super) use re::{BadPattern, check_pattern, takes_pattern};
pub(super) use strftime::strftime;
pub(super) use time::construct as construct_time;

use super::builtins::Builtin;
use super::value::{Py, Type, from_host};

/// A module.
pub(super) struct Module {
    name: String,
    items: Items,
}

enum Items {
    /// Python's or Tornado's.
    Standard(Find),
    /// The application's, and what Python or Tornado has of this name.
    Registered(HashMap<String, Value>, Option<Find>),
    /// One with others below it.
    Package { own: Option<Rc<Module>>, children: Vec<(String, Rc<Module>)> },
}

impl Module {
    /// One of the application.
    pub(super) fn registered(name: &str, values: &Value) -> Self {
        let mut items = HashMap::new();
        for key in values.try_iter().into_iter().flatten() {
            if let (Some(name), Ok(value)) = (key.as_str(), values.get_item(&key)) {
                items.insert(name.to_owned(), value);
            }
        }
        Self { name: name.to_owned(), items: Items::Registered(items, standard_find(name)) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn get(&self, name: &str) -> Option<Py> {
        match &self.items {
            Items::Standard(find) => find(name),
            Items::Registered(items, beneath) => match items.get(name) {
                Some(value) => from_host(value).ok(),
                None => beneath.and_then(|find| find(name)),
            },
            Items::Package { own, children } => {
                let own = own.as_ref().and_then(|own| own.get(name));
                own.or_else(|| {
                    let child = children.iter().find(|(known, _)| known == name);
                    child.map(|(_, child)| Py::Module(Rc::clone(child)))
                })
            }
        }
    }
}

/// Finds a name in a module.
type Find = fn(&str) -> Option<Py>;

const STANDARD: &[(&str, Find)] = &[
    ("datetime", datetime),
    ("json", json::find),
    ("math", math::find),
    ("os", |name| submodule("os", name)),
    ("os.path", small::path),
    ("re", re::find),
    ("time", time::find),
    ("tornado", |name| submodule("tornado", name)),
    ("tornado.escape", escapes::find),
    ("tornado.options", options::find),
    ("tornado.util", small::util),
    ("urllib", |name| submodule("urllib", name)),
    ("urllib.parse", small::urls),
];

/// The module of this name, with the application's below it: `import helpers.text` needs `helpers` too.
pub(super) fn find(name: &str, registered: &HashMap<String, Rc<Module>>) -> Option<Rc<Module>> {
    let own = registered.get(name).cloned().or_else(|| standard(name));
    let below = format!("{name}.");
    let mut names: Vec<&str> = registered
        .keys()
        .filter_map(|known| known.strip_prefix(&below))
        .map(|rest| rest.split('.').next().unwrap_or(rest))
        .collect();
    if names.is_empty() {
        return own;
    }
    names.sort_unstable();
    names.dedup();
    let children = names.into_iter().filter_map(|child| {
        let found = find(&format!("{below}{child}"), registered)?;
        Some((child.to_owned(), found))
    });
    let items = Items::Package { own, children: children.collect() };
    Some(Rc::new(Module { name: name.to_owned(), items }))
}

fn standard(name: &str) -> Option<Rc<Module>> {
    let find = standard_find(name)?;
    Some(Rc::new(Module { name: name.to_owned(), items: Items::Standard(find) }))
}

fn standard_find(name: &str) -> Option<Find> {
    STANDARD.iter().find(|(known, _)| *known == name).map(|(_, find)| *find)
}

fn submodule(package: &str, name: &str) -> Option<Py> {
    standard(&format!("{package}.{name}")).map(Py::Module)
}

/// What every template has by itself: Tornado's functions and `datetime`.
pub(super) fn in_templates(name: &str) -> Option<Py> {
    match name {
        "escape" | "xhtml_escape" | "url_escape" | "json_encode" | "squeeze" | "linkify" => {
            escapes::find(name)
        }
        "datetime" => standard("datetime").map(Py::Module),
        "__name__" => Some(Py::from("template")),
        _ => None,
    }
}

fn datetime(name: &str) -> Option<Py> {
    Some(match name {
        "date" => Py::Type(Type::Date),
        "datetime" => Py::Type(Type::DateTime),
        "time" => Py::Type(Type::Time),
        "timedelta" => Py::Type(Type::TimeDelta),
        "timezone" => Py::Type(Type::TimeZone),
        "UTC" => Py::Moment(Rc::new(Moment::Zone(0))),
        "MINYEAR" => Py::Int(1),
        "MAXYEAR" => Py::Int(9999),
        _ => return None,
    })
}

fn function(table: &'static [Builtin], name: &str) -> Option<Py> {
    table.iter().find(|builtin| builtin.name == name).map(Py::Builtin)
}
