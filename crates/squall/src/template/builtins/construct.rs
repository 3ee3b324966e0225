//! Types that are called: `str(x)`, `int('7')`, `dict(a=1)`.

use std::rc::Rc;

use super::{Args, Interp, Py, PyError, R, sequences, whole};
use crate::template::modules;
use crate::template::python::{parse_float, parse_int};
use crate::template::value::{
    self, Class, Dict, Exception, Iter, Map, Set, Source, Type, as_float, big, float_to_int, index, repr, str,
};

/// `of(..)`
pub(in crate::template) fn construct(interp: &mut Interp<'_>, of: Type, args: Args) -> R {
    match of {
        Type::Str => text(args),
        Type::Int => int(args),
        Type::Float => float(args),
        Type::Bool => {
            let [value] = args.take("bool", ["*object"], 0)?;
            Ok(Py::Bool(value.is_some_and(|value| value.is_true())))
        }
        Type::Bytes => crate::template::methods::construct_bytes(interp, args),
        Type::List | Type::Tuple | Type::Set | Type::FrozenSet => {
            let [items] = args.take(of.name(), ["*iterable"], 0)?;
            let items = items.map_or(Ok(Vec::new()), |items| interp.collect(&items))?;
            Ok(match of {
                Type::List => Py::list(items),
                Type::Tuple => Py::tuple(items),
                _ => Py::Set(Rc::new(Set::new(items, of == Type::FrozenSet)?)),
            })
        }
        Type::Dict | Type::ObjectDict => {
            let keywords = args.keywords;
            let [other] = Args::from(args.positional).take("dict", ["*iterable"], 0)?;
            let mut all = other.map_or(Ok(Vec::new()), |other| pairs(interp, &other))?;
            all.extend(keywords.into_iter().map(|(name, value)| (Py::from(&*name), value)));
            let map = Map::default();
            let dict = if of == Type::Dict { Dict::new(map) } else { Dict::object(map) };
            all.into_iter().try_for_each(|(key, value)| dict.set(key, value))?;
            Ok(Py::Dict(Rc::new(dict)))
        }
        Type::Range => sequences::range(args),
        Type::Slice => {
            let count = args.positional.len();
            let [a, b, c] = args.take("slice", ["*start", "*stop", "*step"], 1)?;
            let (start, stop) = if count == 1 { (None, a) } else { (a, b) };
            Ok(Py::Slice(Rc::new([start.into(), stop.into(), c.into()])))
        }
        Type::Class => {
            let [value] = args.take("type", ["*object"], 1)?;
            // One of the application may have another.
            if let Some(host @ Py::Host(_)) = &value
                && let Some(class) = interp.attribute_opt(host, "__class__")?
            {
                return Ok(class);
            }
            Ok(Py::Type(Type::of(&value.unwrap_or(Py::None))))
        }
        Type::Enumerate | Type::Zip | Type::Map | Type::Filter | Type::Reversed => iterator(interp, of, args),
        Type::Exception(class) => {
            if !args.keywords.is_empty() {
                return Err(PyError::type_error(format!("{}() takes no keyword arguments", class.name())));
            }
            Ok(Py::Exception(Rc::new(Exception { class, args: args.positional })))
        }
        Type::None => Ok(Py::None),
        Type::Date | Type::DateTime | Type::Time | Type::TimeDelta | Type::TimeZone => {
            modules::construct_moment(of, args)
        }
        Type::StructTime => {
            let [items] = args.take("structseq", ["*sequence"], 1)?;
            modules::construct_time(interp.collect(&items.unwrap_or(Py::None))?)
        }
        Type::Object | Type::Other(_) => {
            Err(PyError::type_error(format!("cannot create '{}' instances in a template", of.name())))
        }
    }
}

fn text(args: Args) -> R {
    let [value, encoding, errors] = args.take("str", ["object", "encoding", "errors"], 0)?;
    match (value, encoding) {
        (None, _) => Ok(Py::from("")),
        (Some(Py::Str(text)), None) => Ok(Py::from(&*text)),
        (Some(Py::Bytes(bytes)), Some(encoding)) => {
            let errors = errors.as_ref().and_then(Py::as_str).unwrap_or("strict").to_owned();
            crate::template::methods::decode(&bytes, encoding.as_str().unwrap_or_default(), &errors)
                .map(Py::from)
        }
        (Some(value), None) => Ok(Py::from(str(&value)?)),
        (Some(value), Some(_)) => Err(PyError::type_error(format!(
            "decoding to str: need a bytes-like object, {} found",
            value.type_name()
        ))),
    }
}

fn int(args: Args) -> R {
    let [value, base] = args.take("int", ["*x", "base"], 0)?;
    let base = base.map(|base| index(&base)).transpose()?;
    let text = match value {
        None => return Ok(Py::Int(0)),
        Some(Py::Str(text)) => text.to_string(),
        Some(Py::Bytes(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        Some(_) if base.is_some() => {
            return Err(PyError::type_error("int() can't convert non-string with explicit base"));
        }
        Some(Py::Bool(value)) => return Ok(Py::Int(i64::from(value))),
        Some(value @ (Py::Int(_) | Py::Big(_))) => return Ok(value),
        Some(Py::Float(value)) => return float_to_int(value),
        Some(value) => {
            return Err(PyError::type_error(format!(
                "int() argument must be a string, a bytes-like object or a real number, not '{}'",
                value.type_name()
            )));
        }
    };
    let base = base.unwrap_or(10);
    let known = u32::try_from(base).ok().filter(|base| *base == 0 || (2..=36).contains(base));
    let known = known.ok_or_else(|| PyError::value_error("int() base must be >= 2 and <= 36, or 0"))?;
    if text.len() > 5_000 {
        return Err(PyError::value_error("Exceeds the limit (4300 digits) for integer string conversion"));
    }
    match parse_int(&text, known) {
        Some(whole) => Ok(big(whole)),
        None => Err(PyError::value_error(format!(
            "invalid literal for int() with base {base}: {}",
            repr(&Py::from(text))?
        ))),
    }
}

fn float(args: Args) -> R {
    let [value] = args.take("float", ["*x"], 0)?;
    let value = value.unwrap_or(Py::Float(0.0));
    let text = match &value {
        Py::Str(text) => text.to_string(),
        Py::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => match as_float(&value)? {
            Some(float) => return Ok(Py::Float(float)),
            None => {
                return Err(PyError::type_error(format!(
                    "float() argument must be a string or a real number, not '{}'",
                    value.type_name()
                )));
            }
        },
    };
    match parse_float(&text) {
        Some(float) => Ok(Py::Float(float)),
        None => Err(PyError::value_error(format!("could not convert string to float: {}", repr(&value)?))),
    }
}

/// What a dict is made of: another one, or pairs.
pub(in crate::template) fn pairs(interp: &mut Interp<'_>, value: &Py) -> R<Vec<(Py, Py)>> {
    if let Py::Dict(dict) = value {
        return dict.pairs();
    }
    let mut pairs = Vec::new();
    for (at, item) in interp.collect(value)?.into_iter().enumerate() {
        let no_sequence = |_| {
            PyError::type_error(format!(
                "cannot convert dictionary update sequence element #{at} to a sequence"
            ))
        };
        let parts = interp.collect(&item).map_err(no_sequence)?;
        let length = parts.len();
        match <[Py; 2]>::try_from(parts) {
            Ok([key, value]) => pairs.push((key, value)),
            Err(_) => {
                return Err(PyError::value_error(format!(
                    "dictionary update sequence element #{at} has length {length}; 2 is required"
                )));
            }
        }
    }
    Ok(pairs)
}

fn iterator(interp: &mut Interp<'_>, of: Type, mut args: Args) -> R {
    match of {
        Type::Enumerate => {
            let [items, start] = args.take("enumerate", ["iterable", "start"], 1)?;
            let inner = value::iter(&items.unwrap_or(Py::None))?;
            let start = start.map_or(Ok(0), |start| whole(Some(start)))?;
            Ok(Iter::value(Source::Enumerate(inner, start)))
        }
        Type::Zip => {
            let positional = std::mem::take(&mut args.positional);
            let [strict] = args.take("zip", ["strict"], 0)?;
            let inner = positional.iter().map(value::iter).collect::<R<Vec<_>>>()?;
            Ok(Iter::value(Source::Zip(inner, strict.is_some_and(|strict| strict.is_true()))))
        }
        Type::Map | Type::Filter => {
            let is_map = of == Type::Map;
            if args.positional.len() < 2 || (!is_map && args.positional.len() > 2) {
                let name = of.name();
                return Err(PyError::type_error(format!("{name}() must have at least two arguments.")));
            }
            let function = args.positional.remove(0);
            let mut inner = args.positional.iter().map(value::iter).collect::<R<Vec<_>>>()?;
            Ok(Iter::value(if is_map {
                Source::Map(function, inner)
            } else {
                Source::Filter(function, inner.pop().unwrap_or(Py::None))
            }))
        }
        _ => {
            let [items] = args.take("reversed", ["*sequence"], 1)?;
            let items = items.unwrap_or(Py::None);
            if let Py::List(list) = &items {
                return Ok(Iter::value(Source::ReversedList(Rc::clone(list), list.len())));
            }
            if !matches!(
                items,
                Py::Str(_) | Py::Tuple(_) | Py::Range(_) | Py::Dict(_) | Py::View(_) | Py::Bytes(_)
            ) {
                let message = format!("'{}' object is not reversible", items.type_name());
                return Err(PyError::new(Class::TypeError, message));
            }
            Ok(Iter::value(Source::Reversed(interp.collect(&items)?.into_iter().rev())))
        }
    }
}
