//! Functions of what one can go through.

use super::{Args, Interp, Py, PyError, R, whole};
use crate::template::budget;
use crate::template::python::Binary;
use crate::template::value::{self, Class, Iter, Source, binary, char_count, less};

/// `len(value)`
pub(in crate::template) fn len(value: &Py) -> R {
    Ok(Py::from(match value {
        Py::Str(text) => char_count(text),
        Py::Bytes(bytes) => bytes.len(),
        Py::Tuple(items) => items.len(),
        Py::List(items) => items.len(),
        Py::Dict(dict) => dict.len(),
        Py::Set(set) => set.len(),
        Py::Range(range) => range.len(),
        Py::View(view) => view.dict.len(),
        Py::Host(host) if host.len().is_some() => host.len().unwrap_or(0),
        Py::Object(object) if object.items().is_some() => object.items().map_or(0, |items| items.len()),
        _ => return Err(PyError::type_error(format!("object of type '{}' has no len()", value.type_name()))),
    }))
}

pub(super) fn all(interp: &mut Interp<'_>, args: Args) -> R {
    let [items] = args.take("all", ["*iterable"], 1)?;
    let mut source = value::source(&items.unwrap_or(Py::None))?;
    while let Some(item) = interp.advance(&mut source)? {
        budget::pay(1)?;
        if !item.is_true() {
            return Ok(Py::Bool(false));
        }
    }
    Ok(Py::Bool(true))
}

pub(super) fn any(interp: &mut Interp<'_>, args: Args) -> R {
    let [items] = args.take("any", ["*iterable"], 1)?;
    let mut source = value::source(&items.unwrap_or(Py::None))?;
    while let Some(item) = interp.advance(&mut source)? {
        budget::pay(1)?;
        if item.is_true() {
            return Ok(Py::Bool(true));
        }
    }
    Ok(Py::Bool(false))
}

pub(super) fn sum(interp: &mut Interp<'_>, args: Args) -> R {
    let [items, start] = args.take("sum", ["*iterable", "start"], 1)?;
    let mut total = start.unwrap_or(Py::Int(0));
    if let Py::Str(_) | Py::Bytes(_) = total {
        let join =
            if let Py::Str(_) = total { "strings [use ''.join(seq)" } else { "bytes [use b''.join(seq)" };
        return Err(PyError::type_error(format!("sum() can't sum {join} instead]")));
    }
    let mut source = value::source(&items.unwrap_or(Py::None))?;
    while let Some(item) = interp.advance(&mut source)? {
        budget::pay(1)?;
        total = binary(Binary::Add, &total, &item)?;
    }
    Ok(total)
}

pub(super) fn iter(_: &mut Interp<'_>, args: Args) -> R {
    let [value, last] = args.take("iter", ["*iterable", "*sentinel"], 1)?;
    let value = value.unwrap_or(Py::None);
    match last {
        Some(last) => Ok(Iter::value(Source::Calls(value, last))),
        None => value::iter(&value),
    }
}

pub(super) fn next(interp: &mut Interp<'_>, args: Args) -> R {
    let [iterator, default] = args.take("next", ["*iterator", "*default"], 1)?;
    match (interp.next(&iterator.unwrap_or(Py::None))?, default) {
        (Some(item), _) | (None, Some(item)) => Ok(item),
        (None, None) => Err(PyError::with_args(Class::StopIteration, Vec::new())),
    }
}

pub(super) fn sorted(interp: &mut Interp<'_>, args: Args) -> R {
    let [items, key, reverse] = args.take("sorted", ["*iterable", "key", "reverse"], 1)?;
    let items = interp.collect(&items.unwrap_or(Py::None))?;
    sort(interp, items, key, reverse).map(Py::list)
}

/// The items in order; equal ones stay as they were.
pub(in crate::template) fn sort(
    interp: &mut Interp<'_>,
    items: Vec<Py>,
    key: Option<Py>,
    reverse: Option<Py>,
) -> R<Vec<Py>> {
    let is_reversed = reverse.is_some_and(|reverse| reverse.is_true());
    budget::pay_items(items.len())?;
    let key = key.filter(|key| !key.is_none());
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        let key = match &key {
            Some(key) => interp.call(key, vec![item.clone()].into())?,
            None => item.clone(),
        };
        keyed.push((key, item));
    }
    if is_reversed {
        keyed.reverse();
    }
    let mut scratch: Vec<(Py, Py)> = Vec::with_capacity(keyed.len());
    merge_sort(&mut keyed, &mut scratch)?;
    if is_reversed {
        keyed.reverse();
    }
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

/// A comparison may fail, which the standard library's sorting cannot tell.
fn merge_sort(items: &mut [(Py, Py)], scratch: &mut Vec<(Py, Py)>) -> R<()> {
    let length = items.len();
    if length < 2 {
        return Ok(());
    }
    let (left, right) = items.split_at_mut(length / 2);
    merge_sort(left, scratch)?;
    merge_sort(right, scratch)?;
    budget::pay((length / 8) as u64)?;
    // Often they are in order already.
    if !less(&right[0].0, &left[left.len() - 1].0)? {
        return Ok(());
    }
    scratch.clear();
    let (mut a, mut b) = (0, 0);
    while a < left.len() && b < right.len() {
        if less(&right[b].0, &left[a].0)? {
            scratch.push(right[b].clone());
            b += 1;
        } else {
            scratch.push(left[a].clone());
            a += 1;
        }
    }
    scratch.extend_from_slice(&left[a..]);
    scratch.extend_from_slice(&right[b..]);
    for (place, item) in items.iter_mut().zip(scratch.drain(..)) {
        *place = item;
    }
    Ok(())
}

/// `max` and `min`
pub(super) fn extreme(interp: &mut Interp<'_>, mut args: Args, is_max: bool) -> R {
    let name = if is_max { "max" } else { "min" };
    let positional = std::mem::take(&mut args.positional);
    let [key, default] = args.take(name, ["key", "default"], 0)?;
    let is_one = positional.len() == 1;
    if positional.is_empty() {
        return Err(PyError::type_error(format!("{name} expected at least 1 argument, got 0")));
    }
    if default.is_some() && !is_one {
        return Err(PyError::type_error(format!(
            "Cannot specify a default for {name}() with multiple positional arguments"
        )));
    }
    let mut source = match positional.as_slice() {
        [items] => value::source(items)?,
        _ => Source::Values(positional.into_iter()),
    };
    let mut best: Option<(Py, Py)> = None;
    while let Some(item) = interp.advance(&mut source)? {
        budget::pay(1)?;
        let own = match &key {
            Some(Py::None) | None => item.clone(),
            Some(key) => interp.call(key, vec![item.clone()].into())?,
        };
        let is_better = match &best {
            None => true,
            Some((known, _)) if is_max => greater(&own, known)?,
            Some((known, _)) => less(&own, known)?,
        };
        if is_better {
            best = Some((own, item));
        }
    }
    match (best, default) {
        (Some((_, item)), _) | (None, Some(item)) => Ok(item),
        (None, None) => Err(PyError::value_error(format!("{name}() iterable argument is empty"))),
    }
}

fn greater(a: &Py, b: &Py) -> R<bool> {
    value::compare(crate::template::python::Comparison::Greater, a, b)
}

/// `range(..)`
pub(super) fn range(args: Args) -> R {
    let count = args.positional.len();
    let [a, b, c] = args.take("range", ["*start", "*stop", "*step"], 1)?;
    let (start, stop) = if count < 2 { (0, whole(a)?) } else { (whole(a)?, whole(b)?) };
    let step = c.map_or(Ok(1), |step| whole(Some(step)))?;
    if step == 0 {
        return Err(PyError::value_error("range() arg 3 must not be zero"));
    }
    Ok(Py::Range(std::rc::Rc::new(value::Range { start, stop, step })))
}
