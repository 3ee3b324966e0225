//! Values of the application and those of the template, made of each other.

use std::error::Error as StdError;
use std::rc::Rc;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};
use num_bigint::BigInt;

use super::int::{as_big, big};
use super::{Class, Dict, Key, List, Map, Py, PyError, R, Str};
use crate::template::budget;
use crate::template::error::{Exception, Raised};
use crate::template::modules::Moment;
use crate::template::tape::{Item, Part};

/// `serde_json`'s numbers look like this when another crate asks for its `arbitrary_precision`.
const JSON_NUMBER: &str = "$serde_json::private::Number";

/// The application's value. Dicts and objects stay what they are, others are copied.
pub(in crate::template) fn from_host(value: &Value) -> R {
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Py::None,
        ValueKind::Bool => Py::Bool(value.is_true()),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            Py::Str(if value.is_safe() { Str::safe(text) } else { Str::new(text) })
        }
        ValueKind::Number => number(value),
        ValueKind::Bytes => Py::bytes(value.as_bytes().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Map if let Some(part) = value.downcast_object_ref::<Part>() => {
            from_part(part)?
        }
        ValueKind::Seq => {
            let _level = budget::deeper()?;
            let mut items = Vec::with_capacity(value.len().unwrap_or(0).min(1 << 16));
            for item in value.try_iter().map_err(|error| from_host_error(&error))? {
                items.push(from_host(&item)?);
            }
            budget::pay_items(items.len())?;
            if value.is_tuple() {
                return Ok(Py::tuple(items));
            }
            Py::List(Rc::new(List::of_host(items, Host::Value(value.clone()))))
        }
        ValueKind::Map => match value.len() {
            Some(1) if value.get_attr(JSON_NUMBER).is_ok_and(|number| !number.is_undefined()) => {
                json_number(&value.get_attr(JSON_NUMBER).unwrap_or_default().to_string())
            }
            Some(_) => Py::Dict(Rc::new(Dict::of_host(Host::Value(value.clone())))),
            None => Py::Host(Rc::new(value.clone())),
        },
        ValueKind::Invalid => return Err(PyError::value_error(reason_of_invalid(value))),
        _ => match Moment::of_host(value) {
            Some(moment) => Py::Moment(Rc::new(moment)),
            None => Py::Host(Rc::new(value.clone())),
        },
    })
}

/// As [`from_host`], of a part of what was serialized.
fn from_part(part: &Part) -> R {
    if part.is_map() {
        return Ok(match part.get_str(JSON_NUMBER) {
            Some(Item::Text(text)) if part.len() == 1 => json_number(text),
            _ => Py::Dict(Rc::new(Dict::of_host(Host::Part(part.clone())))),
        });
    }
    let _level = budget::deeper()?;
    budget::pay_items(part.len())?;
    let items = part.items().map(from_item).collect::<R<Vec<_>>>()?;
    if part.is_tuple() {
        return Ok(Py::tuple(items));
    }
    Ok(Py::List(Rc::new(List::of_host(items, Host::Part(part.clone())))))
}

fn from_item(item: Item<'_>) -> R {
    Ok(match item {
        Item::None => Py::None,
        Item::Bool(value) => Py::Bool(value),
        Item::Int(value) => Py::Int(value),
        Item::Float(value) => Py::Float(value),
        Item::Text(text) => Py::from(text),
        Item::Part(part) => from_part(&part)?,
        Item::Value(value) => from_host(value)?,
    })
}

/// A dict or list of the application.
#[derive(Clone)]
pub(super) enum Host {
    Value(Value),
    Part(Part),
}

/// An item of the application's dict.
pub(in crate::template) enum Found<'a> {
    Nothing,
    /// One that is not safe.
    Text(&'a str),
    /// A text.
    Given(Value),
    /// What cannot be changed.
    Plain(Py),
    /// What is a value of its own only in Python's dict.
    Container,
}

impl Host {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Value(value) => value.len().unwrap_or(0),
            Self::Part(part) => part.len(),
        }
    }

    #[inline]
    pub(super) fn find(&self, key: &str) -> R<Found<'_>> {
        Ok(match self {
            Self::Part(part) => match part.get_str(key) {
                Some(Item::Text(text)) => Found::Text(text),
                Some(Item::Int(value)) => Found::Plain(Py::Int(value)),
                Some(Item::Part(_)) => Found::Container,
                Some(Item::Value(value)) => of_value(value.clone())?,
                Some(item) => Found::Plain(from_item(item)?),
                None => Found::Nothing,
            },
            Self::Value(value) => of_value(value.get_attr(key).map_err(|error| from_host_error(&error))?)?,
        })
    }

    /// Python's own dict.
    pub(super) fn map(&self) -> R<Map> {
        let mut map = Map::default();
        match self {
            Self::Part(part) => {
                for (key, item) in part.keys().zip(part.items()) {
                    map.insert(Key::new(from_item(key)?)?, from_item(item)?);
                }
            }
            Self::Value(value) => {
                for key in value.try_iter().map_err(|error| from_host_error(&error))? {
                    let item = value.get_item(&key).map_err(|error| from_host_error(&error))?;
                    map.insert(Key::new(from_host(&key)?)?, from_host(&item)?);
                }
            }
        }
        Ok(map)
    }
}

fn of_value(value: Value) -> R<Found<'static>> {
    Ok(match value.kind() {
        ValueKind::String => Found::Given(value),
        ValueKind::Undefined => Found::Nothing,
        ValueKind::Seq | ValueKind::Map => Found::Container,
        _ => Found::Plain(from_host(&value)?),
    })
}

impl From<Host> for Value {
    fn from(host: Host) -> Self {
        match host {
            Host::Value(value) => value,
            Host::Part(part) => part.into(),
        }
    }
}

fn number(value: &Value) -> Py {
    if !value.is_integer() {
        return Py::Float(f64::try_from(value.clone()).unwrap_or(f64::NAN));
    }
    match value.as_i64() {
        Some(number) => Py::Int(number),
        None => big(u128::try_from(value.clone())
            .map(BigInt::from)
            .or_else(|_| i128::try_from(value.clone()).map(BigInt::from))
            .unwrap_or_default()),
    }
}

fn json_number(text: &str) -> Py {
    let whole = if text.contains(['.', 'e', 'E']) { None } else { text.parse::<BigInt>().ok() };
    whole.map_or_else(|| Py::Float(text.parse().unwrap_or(f64::NAN)), big)
}

/// The application's error: the one that was raised, if that is known, keeps its status.
pub(in crate::template) fn from_host_error(error: &Error) -> PyError {
    let mut raised = None;
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(Exception { class, message }) = cause.downcast_ref() {
            let class = Class::of_name(class).unwrap_or(Class::ApplicationError);
            return PyError::new(class, message.as_str());
        }
        if let Some(found) = cause.downcast_ref::<Raised>() {
            raised = Some(*found);
            break;
        }
        next = cause.source();
    }
    let message = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let class = match error.kind() {
        ErrorKind::TooManyArguments | ErrorKind::MissingArgument => Class::TypeError,
        _ => Class::ApplicationError,
    };
    PyError::new(class, message).with_raised(raised)
}

/// The value for the application.
///
/// # Errors
/// What only a template knows, such as its functions.
pub(in crate::template) fn to_host(value: &Py) -> R<Value> {
    Ok(match value {
        Py::Unbound | Py::None => Value::from(()),
        Py::Bool(value) => Value::from(*value),
        Py::Int(value) => Value::from(*value),
        Py::Float(value) => Value::from(*value),
        Py::Big(_) => {
            let whole = as_big(value).unwrap_or_default();
            match (i128::try_from(&whole), u128::try_from(&whole)) {
                (Ok(number), _) => Value::from(number),
                (_, Ok(number)) => Value::from(number),
                _ => {
                    let message = "the number is too large for a function of the application";
                    return Err(PyError::new(Class::OverflowError, message));
                }
            }
        }
        Py::Str(text) if text.is_safe() => Value::from_safe_string(text.to_string()),
        Py::Str(text) => Value::from(&**text),
        Py::Bytes(bytes) => Value::from_bytes(bytes.to_vec()),
        Py::List(list) => match list.host() {
            Some(host) => host,
            None => all(&list.to_vec())?.into_iter().collect(),
        },
        Py::Tuple(items) => all(items)?.into_iter().collect(),
        Py::Set(set) => all(&set.to_vec())?.into_iter().collect(),
        Py::View(view) => all(&view.to_vec()?)?.into_iter().collect(),
        Py::Range(range) => {
            budget::pay_items(range.len())?;
            (0..range.len()).filter_map(|at| range.get(at)).map(Value::from).collect()
        }
        Py::Dict(dict) => match dict.host() {
            Some(host) => host,
            None => {
                let _level = budget::deeper()?;
                let pairs = dict.pairs()?;
                let pairs = pairs.iter().map(|(key, value)| Ok((to_host(key)?, to_host(value)?)));
                Value::from_pairs(pairs.collect::<R<Vec<_>>>()?)
            }
        },
        Py::Moment(moment) => moment.to_host(),
        Py::Exception(exception) => Value::from(exception.message()),
        Py::Host(value) => (**value).clone(),
        // A function of the application that stands for `isinstance` may want to know.
        Py::Type(of) => Value::from(of.name()),
        _ => {
            return Err(PyError::type_error(format!(
                "a {} cannot be given to a function of the application",
                value.type_name()
            )));
        }
    })
}

fn all(items: &[Py]) -> R<Vec<Value>> {
    let _level = budget::deeper()?;
    budget::pay_items(items.len())?;
    items.iter().map(to_host).collect()
}

/// `host[key]`
pub(super) fn get_item(host: &Value, key: &Py) -> R {
    let item = host.get_item(&to_host(key)?).map_err(|error| from_host_error(&error))?;
    if item.is_undefined() { Err(PyError::key(key.clone())) } else { from_host(&item) }
}

/// `value in host`
pub(super) fn contains(host: &Value, value: &Py) -> R<bool> {
    if host.kind() == ValueKind::Map {
        let item = host.get_item(&to_host(value)?).map_err(|error| from_host_error(&error))?;
        return Ok(!item.is_undefined());
    }
    for item in host.try_iter().map_err(|error| from_host_error(&error))? {
        if super::equal(&from_host(&item)?, value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What one can go through in it.
pub(super) fn items(value: &Py) -> R<Vec<Py>> {
    let Py::Host(host) = value else { return Ok(Vec::new()) };
    let items = host.try_iter().map_err(|error| from_host_error(&error))?;
    items.map(|item| from_host(&item)).collect()
}

/// What its application could not make of it.
fn reason_of_invalid(value: &Value) -> String {
    let text = value.to_string();
    let reason = text.strip_prefix("<invalid value: ").and_then(|text| text.strip_suffix('>'));
    reason.unwrap_or(&text).to_owned()
}
