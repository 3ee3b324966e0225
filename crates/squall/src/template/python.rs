//! Python's ways with values: how they print, and the functions and methods that templates use.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, Rest, Tuple, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::{control, python_methods};

/// A loop of a `while` that goes on for longer is stopped.
const MAX_ROUNDS: usize = 10_000_000;

/// `str(value)`.
pub(crate) fn to_str(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => repr(value),
    }
}

/// `repr(value)`.
pub(super) fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(value, &mut out, 0);
    out
}

fn write_repr(value: &Value, out: &mut String, depth: usize) {
    if depth > 50 {
        out.push_str("...");
        return;
    }
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(float) => write_float(float, out),
            Err(_) => drop(write!(out, "{value}")),
        },
        ValueKind::String => write_quoted(value.as_str().unwrap_or_default(), out),
        ValueKind::Bytes => {
            out.push_str(&String::from_utf8_lossy(value.as_bytes().unwrap_or_default()));
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let (open, close) = if value.is_tuple() {
                ('(', ')')
            } else if value.downcast_object_ref::<Set>().is_some() {
                if value.len() == Some(0) {
                    out.push_str("set()");
                    return;
                }
                ('{', '}')
            } else {
                ('[', ']')
            };
            out.push(open);
            let mut count = 0;
            for item in value.try_iter().into_iter().flatten() {
                if count > 0 {
                    out.push_str(", ");
                }
                write_repr(&item, out, depth + 1);
                count += 1;
            }
            if value.is_tuple() && count == 1 {
                out.push(',');
            }
            out.push(close);
        }
        ValueKind::Map => {
            out.push('{');
            for (index, key) in value.try_iter().into_iter().flatten().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(&key, out, depth + 1);
                out.push_str(": ");
                write_repr(&value.get_item(&key).unwrap_or_default(), out, depth + 1);
            }
            out.push('}');
        }
        _ => drop(write!(out, "{value}")),
    }
}

fn write_float(float: f64, out: &mut String) {
    let exponent = if float == 0.0 { 0 } else { float.abs().log10().floor() as i32 };
    if float.is_nan() {
        out.push_str("nan");
    } else if float.is_infinite() {
        out.push_str(if float > 0.0 { "inf" } else { "-inf" });
    } else if (-4..16).contains(&exponent) {
        let text = format!("{float}");
        out.push_str(&text);
        if !text.contains('.') {
            out.push_str(".0");
        }
    } else {
        let text = format!("{float:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        let _ = write!(out, "{mantissa}e{sign}{digits:0>2}");
    }
}

fn write_quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => drop(write!(out, "\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// Python's functions and methods.
pub(super) fn add_to(env: &mut Environment<'static>) {
    env.set_unknown_method_callback(python_methods::method);
    env.add_filter("_tt_raw", |value: &Value| raw(value));
    env.add_filter("_tt_apply", |state: &mut State, body: &Value, function: &Value| {
        raw(&function.call(state, &[Value::from(to_str(body))])?)
    });
    env.add_function("_tt_forever", || Value::make_iterable(|| (0..MAX_ROUNDS).map(Value::from)));
    env.add_function("_tt_mod", modulo);
    env.add_function("_tt_format", format_value);
    env.add_function("_tt_concat", |parts: Rest<Value>| parts.iter().map(to_str).collect::<String>());
    control::add_to(env);
    add_conversions(env);
    add_lists(env);
    add_choices(env);
}

fn add_conversions(env: &mut Environment<'static>) {
    env.add_function("str", |value: Option<&Value>| value.map(to_str).unwrap_or_default());
    env.add_function("repr", |value: &Value| repr(value));
    env.add_function("bool", |value: Option<&Value>| value.is_some_and(Value::is_true));
    env.add_function("int", int);
    env.add_function("float", float);
    env.add_function("hasattr", |value: &Value, name: &str| {
        value.get_attr(name).is_ok_and(|found| !found.is_undefined())
    });
    env.add_function("getattr", |value: &Value, name: &str, default: Option<Value>| {
        let found = value.get_attr(name).ok().filter(|found| !found.is_undefined());
        found.or(default).ok_or_else(|| Error::from(ErrorKind::UndefinedError))
    });
    env.add_function("abs", |value: &Value| match i64::try_from(value.clone()) {
        Ok(int) => Ok(Value::from(int.abs())),
        Err(_) => f64::try_from(value.clone()).map(|float| Value::from(float.abs())),
    });
    env.add_function("round", round);
    env.add_function("ord", |text: char| text as u32);
    env.add_function("chr", |code: u32| {
        char::from_u32(code).map(String::from).ok_or_else(|| wrong("chr() arg not in range"))
    });
}

fn add_lists(env: &mut Environment<'static>) {
    env.add_function("len", |value: &Value| {
        value.len().ok_or_else(|| wrong(format!("{} has no len()", value.kind())))
    });
    env.add_function("range", range);
    env.add_function("list", |value: Option<&Value>| Ok::<_, Error>(Value::from(items(value)?)));
    env.add_function("tuple", |value: Option<&Value>| {
        Ok::<_, Error>(Value::from(Tuple::from(items(value)?)))
    });
    env.add_function("set", |value: Option<&Value>| {
        let mut seen: Vec<Value> = Vec::new();
        for item in items(value)? {
            if !seen.contains(&item) {
                seen.push(item);
            }
        }
        Ok::<_, Error>(Value::from_object(Set(seen)))
    });
    env.add_function("dict", dict);
    env.add_function("enumerate", |value: &Value, start: Option<i64>, kwargs: Kwargs| {
        let start = start.or(kwargs.get("start")?).unwrap_or(0);
        kwargs.assert_all_used()?;
        let pairs = items(Some(value))?.into_iter().zip(start..);
        Ok::<_, Error>(pairs.map(|(item, index)| tuple([Value::from(index), item])).collect::<Vec<_>>())
    });
    env.add_function("zip", |lists: Rest<Value>| {
        let lists: Vec<_> = lists.iter().map(|list| items(Some(list))).collect::<Result<_, _>>()?;
        let length = lists.iter().map(Vec::len).min().unwrap_or(0);
        let row = |index: usize| tuple(lists.iter().map(|list| list[index].clone()));
        Ok::<_, Error>((0..length).map(row).collect::<Vec<_>>())
    });
}

/// What goes over a list to order, choose or add up.
fn add_choices(env: &mut Environment<'static>) {
    env.add_function("any", |value: &Value| Ok::<_, Error>(items(Some(value))?.iter().any(Value::is_true)));
    env.add_function("all", |value: &Value| Ok::<_, Error>(items(Some(value))?.iter().all(Value::is_true)));
    env.add_function("sorted", sorted);
    env.add_function("reversed", |value: &Value| {
        let mut items = items(Some(value))?;
        items.reverse();
        Ok::<_, Error>(items)
    });
    env.add_function("sum", |state: &mut State, value: &Value, start: Option<&Value>| {
        let _ = state;
        sum(value, start)
    });
    env.add_function("min", |state: &mut State, args: Rest<Value>, kwargs: Kwargs| {
        extreme(state, &args, kwargs, "min")
    });
    env.add_function("max", |state: &mut State, args: Rest<Value>, kwargs: Kwargs| {
        extreme(state, &args, kwargs, "max")
    });
    env.add_function("map", |state: &mut State, function: &Value, list: &Value| {
        let call = |item| function.call(state, &[item]);
        items(Some(list))?.into_iter().map(call).collect::<Result<Vec<_>, Error>>()
    });
    env.add_function("filter", |state: &mut State, function: &Value, list: &Value| {
        let mut kept = Vec::new();
        for item in items(Some(list))? {
            let test = if function.is_none() {
                item.clone()
            } else {
                function.call(state, std::slice::from_ref(&item))?
            };
            kept.extend(test.is_true().then_some(item));
        }
        Ok::<_, Error>(kept)
    });
}

fn raw(value: &Value) -> Result<Value, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    Ok(if value.is_safe() { value.clone() } else { Value::from_safe_string(to_str(value)) })
}

pub(super) fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

pub(super) fn tuple(items: impl IntoIterator<Item = Value>) -> Value {
    Value::from(Tuple::from(items.into_iter().collect::<Vec<_>>()))
}

pub(super) fn items(value: Option<&Value>) -> Result<Vec<Value>, Error> {
    match value {
        Some(value) => Ok(value.try_iter()?.collect()),
        None => Ok(Vec::new()),
    }
}

/// `dict(mapping or pairs, **more)`.
fn dict(first: Option<&Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let mut entries: Vec<(Value, Value)> = Vec::new();
    for item in items(first)? {
        entries.push(match first {
            Some(map) if map.kind() == ValueKind::Map => (item.clone(), map.get_item(&item)?),
            _ => match items(Some(&item))?.as_slice() {
                [key, value] => (key.clone(), value.clone()),
                _ => return Err(wrong("dict() takes pairs")),
            },
        });
    }
    for key in kwargs.args() {
        entries.push((key.into(), kwargs.get(key)?));
    }
    Ok(Value::from_pairs(entries))
}

fn modulo(left: &Value, right: &Value) -> Result<Value, Error> {
    let Some(pattern) = left.as_str() else { return remainder(left, right) };
    let arguments = if right.is_tuple() { items(Some(right))? } else { vec![right.clone()] };
    let mut shown: Vec<Value> = arguments.iter().map(printable).collect();
    let pattern = take_reprs(pattern, &arguments, &mut shown);
    format(FormatStyle::Printf, &pattern, &shown).map(Value::from)
}

/// Turns each `%r` into `%s` of what `repr` gives, for arguments that are told by their place.
fn take_reprs<'p>(pattern: &'p str, arguments: &[Value], shown: &mut [Value]) -> Cow<'p, str> {
    if !pattern.contains('r') {
        return Cow::Borrowed(pattern);
    }
    let mut out = String::with_capacity(pattern.len());
    let (mut in_conversion, mut index) = (false, 0);
    for c in pattern.chars() {
        match (in_conversion, c) {
            (true, 'r') => {
                if let (Some(argument), Some(shown)) = (arguments.get(index), shown.get_mut(index)) {
                    *shown = Value::from(repr(argument));
                }
                out.push('s');
                index += 1;
                in_conversion = false;
                continue;
            }
            (true, '%' | '(') => in_conversion = false,
            (true, c) if c.is_ascii_alphabetic() && !"hlL".contains(c) => {
                index += 1;
                in_conversion = false;
            }
            (false, '%') => in_conversion = true,
            _ => {}
        }
        out.push(c);
    }
    Cow::Owned(out)
}

/// Python's remainder has the divisor's sign.
fn remainder(left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Ok(a), Ok(b)) = (i64::try_from(left.clone()), i64::try_from(right.clone())) {
        let rest = a.checked_rem(b).ok_or_else(|| wrong("integer modulo by zero"))?;
        return Ok(Value::from(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }));
    }
    let (a, b) = (f64::try_from(left.clone())?, f64::try_from(right.clone())?);
    if b == 0.0 {
        return Err(wrong("float modulo by zero"));
    }
    let rest = a % b;
    Ok(Value::from(if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }))
}

/// What a format makes text of, as Python's `str` would; numbers and mappings stay what they are.
pub(super) fn printable(value: &Value) -> Value {
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Seq | ValueKind::Iterable => {
            Value::from(to_str(value))
        }
        _ => value.clone(),
    }
}

fn format_value(value: &Value, spec: &str) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    match spec {
        "" => Ok(to_str(value)),
        spec => format(FormatStyle::StrFormat, &format!("{{:{spec}}}"), &[printable(value)]),
    }
}

fn int(value: Option<&Value>, base: Option<u32>) -> Result<Value, Error> {
    let Some(value) = value else { return Ok(Value::from(0)) };
    if let Some(text) = value.as_str() {
        let digits = text.trim().replace('_', "");
        let parsed = i64::from_str_radix(&digits, base.filter(|base| (2..=36).contains(base)).unwrap_or(10));
        return parsed
            .map(Value::from)
            .map_err(|_| wrong(format!("invalid literal for int(): {}", repr(value))));
    }
    if value.kind() == ValueKind::Bool {
        return Ok(Value::from(i64::from(value.is_true())));
    }
    if value.is_integer() {
        return Ok(value.clone());
    }
    Ok(Value::from(f64::try_from(value.clone())?.trunc() as i64))
}

fn float(value: Option<&Value>) -> Result<f64, Error> {
    let Some(value) = value else { return Ok(0.0) };
    match value.as_str() {
        Some(text) => {
            text.trim().parse().map_err(|_| wrong(format!("could not convert to float: {}", repr(value))))
        }
        None => f64::try_from(value.clone()),
    }
}

fn range(first: i64, second: Option<i64>, step: Option<i64>) -> Result<Vec<i64>, Error> {
    let (start, stop) = second.map_or((0, first), |stop| (first, stop));
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(wrong("range() arg 3 must not be zero"));
    }
    let mut out = Vec::new();
    let mut at = start;
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        if out.len() >= MAX_ROUNDS {
            return Err(wrong("range() is too large"));
        }
        out.push(at);
        at = match at.checked_add(step) {
            Some(next) => next,
            None => break,
        };
    }
    Ok(out)
}

fn sorted(state: &mut State, value: &Value, kwargs: Kwargs) -> Result<Vec<Value>, Error> {
    let reverse: Option<bool> = kwargs.get("reverse")?;
    let key: Option<Value> = kwargs.get("key")?;
    kwargs.assert_all_used()?;
    let mut keyed = Vec::new();
    for item in items(Some(value))? {
        let by = match key.as_ref().filter(|key| !key.is_none()) {
            Some(key) => key.call(state, std::slice::from_ref(&item))?,
            None => item.clone(),
        };
        keyed.push((by, item));
    }
    // Stable in both directions, as Python's.
    match reverse.unwrap_or(false) {
        true => keyed.sort_by(|(a, _), (b, _)| b.cmp(a)),
        false => keyed.sort_by(|(a, _), (b, _)| a.cmp(b)),
    }
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

fn sum(value: &Value, start: Option<&Value>) -> Result<Value, Error> {
    let mut values = items(Some(value))?;
    values.extend(start.cloned());
    if values.iter().all(Value::is_integer) {
        let ints = values.into_iter().map(i64::try_from).collect::<Result<Vec<_>, _>>()?;
        let total = ints.into_iter().try_fold(0_i64, i64::checked_add);
        return total.map(Value::from).ok_or_else(|| wrong("sum() is too large"));
    }
    let floats = values.into_iter().map(f64::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(Value::from(floats.into_iter().sum::<f64>()))
}

/// `min(list, key=.., default=..)` or `min(a, b, ..)`, and `max`. Of equals, the first.
fn extreme(state: &mut State, values: &[Value], kwargs: Kwargs, name: &str) -> Result<Value, Error> {
    let key: Option<Value> = kwargs.get("key")?;
    let default: Option<Value> = kwargs.get("default")?;
    kwargs.assert_all_used()?;
    let values = match values {
        [one] => items(Some(one))?,
        several => several.to_vec(),
    };
    let mut best: Option<(Value, Value)> = None;
    for item in values {
        let by = match key.as_ref().filter(|key| !key.is_none()) {
            Some(key) => key.call(state, std::slice::from_ref(&item))?,
            None => item.clone(),
        };
        let is_better = |best: &Value| if name == "min" { by < *best } else { by > *best };
        if best.as_ref().is_none_or(|(best, _)| is_better(best)) {
            best = Some((by, item));
        }
    }
    best.map(|(_, item)| item).or(default).ok_or_else(|| wrong(format!("{name}() arg is empty")))
}

fn round(value: &Value, digits: Option<i32>) -> Result<Value, Error> {
    if value.is_integer() {
        return Ok(value.clone());
    }
    let float = f64::try_from(value.clone())?;
    match digits {
        None => Ok(Value::from(float.round_ties_even() as i64)),
        Some(digits @ 0..=15) => {
            // By way of the decimal text, which rounds the exact value as Python does.
            Ok(Value::from(format!("{float:.*}", digits as usize).parse::<f64>().unwrap_or(float)))
        }
        Some(digits) if digits > 15 => Ok(Value::from(float)),
        Some(digits) => {
            let scale = 10_f64.powi(-digits);
            Ok(Value::from((float / scale).round_ties_even() * scale))
        }
    }
}

/// A set, whose items stand in the order in which they came.
#[derive(Debug)]
struct Set(Vec<Value>);

impl Object for Set {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }
}

/// A map whose values are found when they are asked for, then `rest`'s.
#[derive(Debug)]
pub(crate) struct Layered {
    pub(crate) values: Value,
    pub(crate) rest: Value,
}

impl Object for Layered {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let found = |values: &Value| values.get_item(key).ok().filter(|value| !value.is_undefined());
        found(&self.values).or_else(|| found(&self.rest))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}
