//! The methods of lists, dicts and sets.

use std::rc::Rc;

use super::{Args, Interp, Py, PyError, R, check_key, position};
use crate::template::budget;
use crate::template::builtins;
use crate::template::python::Binary;
use crate::template::value::{Class, Dict, List, Part, Set, View, combine, index};

pub(super) const LIST: &[&str] =
    &["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"];
pub(super) const DICT: &[&str] = &[
    "clear",
    "copy",
    "get",
    "items",
    "keys",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "values",
    "fromkeys",
];
pub(super) const FROZEN_SET: &[&str] = &[
    "copy",
    "difference",
    "intersection",
    "isdisjoint",
    "issubset",
    "issuperset",
    "symmetric_difference",
    "union",
];
pub(super) const SET: &[&str] = &[
    "add",
    "clear",
    "copy",
    "difference",
    "difference_update",
    "discard",
    "intersection",
    "intersection_update",
    "isdisjoint",
    "issubset",
    "issuperset",
    "pop",
    "remove",
    "symmetric_difference",
    "union",
    "update",
];

/// `count` and `index` of what cannot change.
pub(super) fn count_or_index(items: &[Py], name: &str, args: Args) -> R {
    let [value, start, end] = args.take(name, ["*value", "*start", "*stop"], 1)?;
    let value = value.unwrap_or(Py::None);
    if name == "count" {
        budget::pay(items.len() as u64 / 8)?;
        let mut count = 0_usize;
        for item in items {
            count += usize::from(crate::template::value::equal(item, &value)?);
        }
        return Ok(Py::from(count));
    }
    let length = items.len();
    let place = |at: Option<Py>, default: usize| -> R<usize> {
        let Some(at) = at else { return Ok(default) };
        let at = index(&at)?;
        let at = if at < 0 { at + i64::try_from(length).unwrap_or(0) } else { at };
        Ok(usize::try_from(at.max(0)).unwrap_or(0).min(length))
    };
    let (start, end) = (place(start, 0)?, place(end, length)?);
    match position(items.get(start..end).unwrap_or_default(), &value)? {
        Some(at) => Ok(Py::from(start + at)),
        None => {
            Err(PyError::value_error(format!("{} is not in list", crate::template::value::repr(&value)?)))
        }
    }
}

pub(super) fn list(interp: &mut Interp<'_>, own: &Rc<List>, of: &Py, name: &str, args: Args) -> R {
    match name {
        "append" => {
            let [item] = args.take(name, ["*object"], 1)?;
            budget::pay_items(1)?;
            own.borrow_mut().extend(item);
            interp.remember(of);
        }
        "extend" => {
            let [items] = args.take(name, ["*iterable"], 1)?;
            let items = interp.collect(&items.unwrap_or(Py::None))?;
            own.borrow_mut().extend(items);
            interp.remember(of);
        }
        "insert" => {
            let [at, item] = args.take(name, ["*index", "*object"], 2)?;
            let length = own.len();
            budget::pay_items(1)?;
            let at = index(&at.unwrap_or(Py::None))?;
            let at = if at < 0 { at + i64::try_from(length).unwrap_or(0) } else { at }.max(0);
            let at = usize::try_from(at).unwrap_or(0).min(length);
            own.borrow_mut().insert(at, item.unwrap_or(Py::None));
            interp.remember(of);
        }
        "pop" => {
            let [at] = args.take(name, ["*index"], 0)?;
            let length = own.len();
            if length == 0 {
                return Err(PyError::new(Class::IndexError, "pop from empty list"));
            }
            let at = at.map_or(Ok(-1), |at| index(&at))?;
            let at = if at < 0 { at + i64::try_from(length).unwrap_or(0) } else { at };
            let at = usize::try_from(at).ok().filter(|at| *at < length);
            let at = at.ok_or_else(|| PyError::new(Class::IndexError, "pop index out of range"))?;
            return Ok(own.borrow_mut().remove(at));
        }
        "remove" => {
            let [item] = args.take(name, ["*value"], 1)?;
            let found = position(&own.to_vec(), &item.unwrap_or(Py::None))?;
            let at = found.ok_or_else(|| PyError::value_error("list.remove(x): x not in list"))?;
            let old = own.borrow_mut().remove(at);
            drop(old);
        }
        "clear" => {
            let [] = args.take(name, [], 0)?;
            own.clear();
        }
        "copy" => {
            let [] = args.take(name, [], 0)?;
            budget::pay_items(own.len())?;
            return Ok(Py::list(own.to_vec()));
        }
        "reverse" => {
            let [] = args.take(name, [], 0)?;
            own.borrow_mut().reverse();
        }
        "sort" => {
            let [key, reverse] = args.take(name, ["key", "reverse"], 0)?;
            let sorted = builtins::sort(interp, own.to_vec(), key, reverse)?;
            let old = std::mem::replace(&mut *own.borrow_mut(), sorted);
            drop(old);
        }
        _ => return count_or_index(&own.to_vec(), name, args),
    }
    Ok(Py::None)
}

pub(super) fn dict(interp: &mut Interp<'_>, own: &Rc<Dict>, of: &Py, name: &str, args: Args) -> R {
    match name {
        "keys" | "values" | "items" => {
            let [] = args.take(name, [], 0)?;
            let part = match name {
                "keys" => Part::Keys,
                "values" => Part::Values,
                _ => Part::Items,
            };
            Ok(Py::View(Rc::new(View { dict: Rc::clone(own), part })))
        }
        "get" | "setdefault" => {
            let [key, default] = args.take(name, ["*key", "*default"], 1)?;
            let key = key.unwrap_or(Py::None);
            check_key(&key)?;
            if let Some(value) = own.get(&key)? {
                return Ok(value);
            }
            let default = default.unwrap_or(Py::None);
            if name == "setdefault" {
                budget::pay_items(2)?;
                own.set(key, default.clone())?;
                interp.remember(of);
            }
            Ok(default)
        }
        "pop" => {
            let [key, default] = args.take(name, ["*key", "*default"], 1)?;
            let key = key.unwrap_or(Py::None);
            match (own.remove(&key)?, default) {
                (Some(value), _) | (None, Some(value)) => Ok(value),
                (None, None) => Err(PyError::key(key)),
            }
        }
        "popitem" => {
            let [] = args.take(name, [], 0)?;
            let last = own.borrow_mut()?.pop();
            match last {
                Some((key, value)) => Ok(Py::tuple(vec![key.value().clone(), value])),
                None => Err(PyError::key(Py::from("popitem(): dictionary is empty"))),
            }
        }
        "update" => {
            let keywords = args.keywords;
            let [other] = Args::from(args.positional).take(name, ["*other"], 0)?;
            let mut pairs = match other {
                Some(other) => builtins::pairs(interp, &other)?,
                None => Vec::new(),
            };
            pairs.extend(keywords.into_iter().map(|(name, value)| (Py::from(&*name), value)));
            budget::pay_items(pairs.len())?;
            pairs.into_iter().try_for_each(|(key, value)| own.set(key, value))?;
            interp.remember(of);
            Ok(Py::None)
        }
        "copy" => {
            let [] = args.take(name, [], 0)?;
            budget::pay_items(own.len())?;
            Py::dict(own.pairs()?)
        }
        "fromkeys" => super::of_type(interp, crate::template::value::Type::Dict, name, args),
        _ => {
            let [] = args.take(name, [], 0)?;
            own.clear();
            Ok(Py::None)
        }
    }
}

pub(super) fn set(interp: &mut Interp<'_>, own: &Rc<Set>, of: &Py, name: &str, args: Args) -> R {
    match name {
        "add" | "discard" | "remove" => {
            let [item] = args.take(name, ["*elem"], 1)?;
            let item = item.unwrap_or(Py::None);
            match name {
                "add" => {
                    budget::pay_items(1)?;
                    own.add(item)?;
                }
                "discard" => drop(own.remove(&item)?),
                _ if own.remove(&item)? => {}
                _ => return Err(PyError::key(item)),
            }
            Ok(Py::None)
        }
        "pop" => {
            let [] = args.take(name, [], 0)?;
            match own.to_vec().into_iter().next() {
                Some(first) => {
                    own.remove(&first)?;
                    Ok(first)
                }
                None => Err(PyError::key(Py::from("pop from an empty set"))),
            }
        }
        "clear" => {
            own.clear();
            Ok(Py::None)
        }
        "copy" => Ok(Py::Set(Rc::new(Set::new(own.to_vec(), own.is_frozen())?))),
        "isdisjoint" | "issubset" | "issuperset" => {
            let [other] = args.take(name, ["*other"], 1)?;
            let other = Set::new(interp.collect(&other.unwrap_or(Py::None))?, false)?;
            let both = combine(Binary::BitAnd, own, &other, false)?.len();
            Ok(Py::Bool(match name {
                "isdisjoint" => both == 0,
                "issubset" => both == own.len(),
                _ => both == other.len(),
            }))
        }
        _ => {
            let op = match name {
                "union" | "update" => Binary::BitOr,
                "intersection" | "intersection_update" => Binary::BitAnd,
                "symmetric_difference" => Binary::BitXor,
                _ => Binary::Sub,
            };
            let mut result = Set::new(own.to_vec(), own.is_frozen())?;
            for other in &args.positional {
                let other = Set::new(interp.collect(other)?, false)?;
                result = combine(op, &result, &other, own.is_frozen())?;
            }
            if !name.contains("update") {
                return Ok(Py::Set(Rc::new(result)));
            }
            own.clear();
            result.to_vec().into_iter().try_for_each(|item| own.add(item))?;
            interp.remember(of);
            Ok(Py::None)
        }
    }
}
