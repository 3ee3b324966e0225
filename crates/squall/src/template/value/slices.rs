//! Items and slices: `a[i]`, `a[i:j:k]`, and changes of them.

use std::rc::Rc;

use super::{Class, List, Py, PyError, R, Range, index};
use crate::template::budget;

/// `value[key]`
pub(in crate::template) fn get_item(value: &Py, key: &Py) -> R {
    if let Py::Dict(dict) = value {
        return match dict.get(key)? {
            Some(item) => Ok(item),
            None => Err(PyError::key(key.clone())),
        };
    }
    if let Py::Slice(parts) = key {
        return get_slice(value, parts);
    }
    let out_of_range =
        |what: &str| Err(PyError::new(Class::IndexError, format!("{what} index out of range")));
    match value {
        Py::List(items) => {
            let at = index_of(value, key, items.len(), "list")?;
            at.and_then(|at| items.get(at)).map_or_else(|| out_of_range("list"), Ok)
        }
        Py::Tuple(items) => {
            let at = index_of(value, key, items.len(), "tuple")?;
            at.and_then(|at| items.get(at).cloned()).map_or_else(|| out_of_range("tuple"), Ok)
        }
        Py::Str(text) => {
            let length = char_count(text);
            let Some(at) = index_of(value, key, length, "string")? else { return out_of_range("string") };
            budget::pay(at as u64 / 64)?;
            let c = if text.len() == length {
                text.as_bytes().get(at).map(|b| char::from(*b))
            } else {
                text.chars().nth(at)
            };
            c.map_or_else(|| out_of_range("string"), |c| Ok(Py::from(&*c.encode_utf8(&mut [0; 4]))))
        }
        Py::Bytes(bytes) => {
            let at = index_of(value, key, bytes.len(), "byte")?;
            let byte = at.and_then(|at| bytes.get(at));
            byte.map_or_else(|| out_of_range(""), |byte| Ok(Py::Int(i64::from(*byte))))
        }
        Py::Range(range) => {
            let at = index_of(value, key, range.len(), "range object")?;
            at.and_then(|at| range.get(at)).map_or_else(|| out_of_range("range object"), |at| Ok(Py::Int(at)))
        }
        Py::Object(object) => object.get_item(key).unwrap_or_else(|| Err(not_subscriptable(value))),
        Py::Host(host) => super::host::get_item(host, key),
        // `list[int]` and the like stand in type hints only.
        _ => Err(not_subscriptable(value)),
    }
}

fn not_subscriptable(value: &Py) -> PyError {
    PyError::type_error(format!("'{}' object is not subscriptable", value.type_name()))
}

/// The number of characters.
pub(in crate::template) fn char_count(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// The place that an index means, `None` when there is none.
fn index_of(value: &Py, key: &Py, length: usize, what: &str) -> R<Option<usize>> {
    if !matches!(key, Py::Int(_) | Py::Bool(_) | Py::Big(_)) {
        let what = if what == "range object" { "range" } else { what };
        let type_name = key.type_name();
        return Err(PyError::type_error(match value {
            Py::Str(_) => format!("string indices must be integers, not '{type_name}'"),
            _ => format!("{what} indices must be integers or slices, not {type_name}"),
        }));
    }
    let at = index(key)?;
    let at = if at < 0 { at.saturating_add(i64::try_from(length).unwrap_or(i64::MAX)) } else { at };
    Ok(usize::try_from(at).ok().filter(|at| *at < length))
}

/// The range of places that a slice means.
fn slice_range(parts: &[Py; 3], length: usize) -> R<Range> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let part = |at: usize| -> R<Option<i64>> {
        match &parts[at] {
            Py::None => Ok(None),
            value => index(value).map(Some).map_err(|_| {
                PyError::type_error("slice indices must be integers or None or have an __index__ method")
            }),
        }
    };
    let step = part(2)?.unwrap_or(1).max(-i64::MAX);
    if step == 0 {
        return Err(PyError::value_error("slice step cannot be zero"));
    }
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let clamp = |at: Option<i64>, default: i64| match at {
        None => default,
        Some(at) if at < 0 => at.saturating_add(length).max(lowest),
        Some(at) => at.min(highest),
    };
    let (first, last) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
    Ok(Range { start: clamp(part(0)?, first), stop: clamp(part(1)?, last), step })
}

fn places(range: Range) -> impl Iterator<Item = usize> {
    (0..range.len()).filter_map(move |at| range.get(at).and_then(|place| usize::try_from(place).ok()))
}

#[inline(never)]
fn get_slice(value: &Py, parts: &[Py; 3]) -> R {
    Ok(match value {
        Py::List(items) => {
            let range = slice_range(parts, items.len())?;
            budget::pay_items(range.len())?;
            let items = items.borrow();
            Py::list(places(range).filter_map(|at| items.get(at).cloned()).collect())
        }
        Py::Tuple(items) => {
            let range = slice_range(parts, items.len())?;
            budget::pay_items(range.len())?;
            Py::tuple(places(range).filter_map(|at| items.get(at).cloned()).collect())
        }
        Py::Bytes(bytes) => {
            let range = slice_range(parts, bytes.len())?;
            budget::pay_bytes(range.len())?;
            Py::bytes(places(range).filter_map(|at| bytes.get(at).copied()).collect::<Vec<u8>>())
        }
        Py::Str(text) if text.is_ascii() => {
            let range = slice_range(parts, text.len())?;
            budget::pay_bytes(range.len())?;
            if range.step == 1 {
                let start = usize::try_from(range.start).unwrap_or(0);
                return Ok(Py::from(text.get(start..start + range.len()).unwrap_or_default()));
            }
            let bytes = text.as_bytes();
            Py::from(places(range).filter_map(|at| bytes.get(at).map(|b| char::from(*b))).collect::<String>())
        }
        Py::Str(text) => {
            budget::pay_bytes(text.len())?;
            let chars: Vec<char> = text.chars().collect();
            let range = slice_range(parts, chars.len())?;
            Py::from(places(range).filter_map(|at| chars.get(at)).collect::<String>())
        }
        Py::Range(own) => {
            let range = slice_range(parts, own.len())?;
            let at = |place: i64| own.start.saturating_add(place.saturating_mul(own.step));
            let step = own.step.saturating_mul(range.step);
            Py::Range(Rc::new(Range { start: at(range.start), stop: at(range.stop), step }))
        }
        Py::Host(_) => {
            let items = super::host::items(value)?;
            return get_slice(&Py::list(items), parts);
        }
        _ => return Err(not_subscriptable(value)),
    })
}

/// `value[key] = item`
pub(in crate::template) fn set_item(value: &Py, key: Py, item: Py) -> R<()> {
    match (value, &key) {
        (Py::Dict(dict), _) => dict.set(key, item),
        (Py::List(items), _) => match index_of(value, &key, items.len(), "list")? {
            Some(at) => {
                let old = items.borrow_mut().get_mut(at).map(|place| std::mem::replace(place, item));
                drop(old);
                Ok(())
            }
            None => Err(PyError::new(Class::IndexError, "list assignment index out of range")),
        },
        _ => Err(PyError::type_error(format!(
            "'{}' object does not support item assignment",
            value.type_name()
        ))),
    }
}

/// Whether the slice means a part of the list at all.
pub(in crate::template) fn check_slice(list: &List, parts: &[Py; 3]) -> R<()> {
    slice_range(parts, list.len()).map(drop)
}

/// `list[parts] = items`
pub(in crate::template) fn set_slice(list: &List, parts: &[Py; 3], items: Vec<Py>) -> R<()> {
    let range = slice_range(parts, list.len())?;
    budget::pay_items(list.len().saturating_add(items.len()))?;
    let gone: Vec<Py> = if range.step == 1 {
        let start = usize::try_from(range.start).unwrap_or(0);
        list.borrow_mut().splice(start..start + range.len(), items).collect()
    } else if items.len() == range.len() {
        let mut own = list.borrow_mut();
        let old = places(range).zip(items).filter_map(|(at, item)| {
            let place = own.get_mut(at)?;
            Some(std::mem::replace(place, item))
        });
        old.collect()
    } else {
        return Err(PyError::value_error(format!(
            "attempt to assign sequence of size {} to extended slice of size {}",
            items.len(),
            range.len()
        )));
    };
    // Only now, when nobody has the list.
    drop(gone);
    Ok(())
}

/// `del value[key]`
pub(in crate::template) fn delete_item(value: &Py, key: &Py) -> R<()> {
    match (value, key) {
        (Py::Dict(dict), _) => match dict.remove(key)? {
            Some(_) => Ok(()),
            None => Err(PyError::key(key.clone())),
        },
        (Py::List(items), Py::Slice(parts)) => {
            let range = slice_range(parts, items.len())?;
            let mut gone: Vec<usize> = places(range).collect();
            gone.sort_unstable();
            let mut at = 0;
            let old = std::mem::take(&mut *items.borrow_mut());
            let kept = old.into_iter().filter(|_| {
                at += 1;
                gone.binary_search(&(at - 1)).is_err()
            });
            let kept = kept.collect();
            *items.borrow_mut() = kept;
            Ok(())
        }
        (Py::List(items), _) => match index_of(value, key, items.len(), "list")? {
            Some(at) => {
                let old = items.borrow_mut().remove(at);
                drop(old);
                Ok(())
            }
            None => Err(PyError::new(Class::IndexError, "list assignment index out of range")),
        },
        _ => {
            Err(PyError::type_error(format!("'{}' object doesn't support item deletion", value.type_name())))
        }
    }
}
