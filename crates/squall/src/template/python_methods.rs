//! Methods of Python's strings, lists and dicts.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{ValueKind, from_args};
use minijinja::{Error, State, Value};

use super::python::{printable, repr, to_str, tuple, wrong};

/// Methods that minijinja's own imitation of Python lacks or does otherwise.
pub(super) fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if let Some(text) = value.as_str()
        && let Some(result) = text_method(text, name, args)
    {
        return result;
    }
    match (value.kind(), name) {
        (ValueKind::Map, "items") => {
            from_args::<()>(args)?;
            let pair = |key: Value| {
                let item = value.get_item(&key).unwrap_or_default();
                tuple([key, item])
            };
            Ok(Value::from(value.try_iter()?.map(pair).collect::<Vec<_>>()))
        }
        (ValueKind::Map, "has_key" | "__contains__") => {
            let (key,): (Value,) = from_args(args)?;
            Ok(Value::from(!value.get_item(&key)?.is_undefined()))
        }
        (ValueKind::Map, "copy") | (ValueKind::Seq, "copy") => Ok(value.clone()),
        (ValueKind::Seq | ValueKind::Iterable, "index") => {
            let (wanted,): (Value,) = from_args(args)?;
            let found = value.try_iter()?.position(|item| item == wanted);
            found.map(Value::from).ok_or_else(|| wrong(format!("{} is not in list", repr(&wanted))))
        }
        (
            ValueKind::Seq | ValueKind::Map,
            "append" | "extend" | "insert" | "pop" | "remove" | "sort" | "update" | "clear",
        ) => Err(wrong(format!(
            "{name} would change the value, which a template cannot: make a new one with set"
        ))),
        _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args),
    }
}

fn text_method(text: &str, name: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    let pad = |left: fn(usize, usize) -> usize| {
        let (width, fill): (usize, Option<char>) = from_args(args)?;
        let missing = width.saturating_sub(text.chars().count());
        if missing > 1_000_000 {
            return Err(wrong("the text is too wide"));
        }
        let fill = fill.unwrap_or(' ');
        let before = left(missing, width);
        let spaces = |count: usize| std::iter::repeat_n(fill, count);
        Ok(spaces(before).chain(text.chars()).chain(spaces(missing - before)).collect::<String>().into())
    };
    Some(match name {
        "ljust" => pad(|_, _| 0),
        "rjust" => pad(|missing, _| missing),
        // Where Python puts the odd one depends on the width.
        "center" => pad(|missing, width| missing / 2 + (missing & width & 1)),
        "casefold" => Ok(text.to_lowercase().into()),
        "zfill" => from_args(args).map(|(width,): (usize,)| {
            let (sign, digits) = match text.strip_prefix(['-', '+']) {
                Some(digits) => text.split_at(text.len() - digits.len()),
                None => ("", text),
            };
            let width = width.min(1_000_000).saturating_sub(sign.len() + digits.chars().count());
            format!("{sign}{}{digits}", "0".repeat(width)).into()
        }),
        "swapcase" => {
            let swap = |c: char| {
                if c.is_uppercase() { c.to_lowercase().to_string() } else { c.to_uppercase().to_string() }
            };
            Ok(text.chars().map(swap).collect::<String>().into())
        }
        "removeprefix" => from_args(args).map(|(by,): (&str,)| text.strip_prefix(by).unwrap_or(text).into()),
        "removesuffix" => from_args(args).map(|(by,): (&str,)| text.strip_suffix(by).unwrap_or(text).into()),
        "index" | "rindex" | "join" | "partition" | "rpartition" | "rsplit" => {
            return parts(text, name, args);
        }
        "encode" | "decode" => Ok(Value::from(text)),
        "format" if args.iter().all(|arg| !arg.is_kwargs()) => {
            format(FormatStyle::StrFormat, text, &args.iter().map(printable).collect::<Vec<_>>())
                .map(Value::from)
        }
        _ => return None,
    })
}

/// Methods about the parts of a text.
fn parts(text: &str, name: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    Some(match name {
        "index" | "rindex" => from_args(args).and_then(|(part,): (&str,)| {
            let found = if name == "index" { text.find(part) } else { text.rfind(part) };
            let at = found.ok_or_else(|| wrong("substring not found"))?;
            Ok(text[..at].chars().count().into())
        }),
        "join" => from_args(args).and_then(|(list,): (Value,)| {
            let parts: Vec<String> = list.try_iter()?.map(|item| to_str(&item)).collect();
            Ok(parts.join(text).into())
        }),
        "partition" | "rpartition" => from_args(args).map(|(by,): (&str,)| {
            let found = if name == "partition" { text.split_once(by) } else { text.rsplit_once(by) };
            let parts = match found {
                Some((before, after)) => [before, by, after],
                None if name == "partition" => [text, "", ""],
                None => ["", "", text],
            };
            tuple(parts.map(Value::from))
        }),
        "rsplit" => from_args(args).and_then(|(by, most): (Option<&str>, Option<i64>)| {
            if by == Some("") {
                return Err(wrong("empty separator"));
            }
            let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
            Ok(rsplit(text, by, most).into_iter().map(Value::from).collect())
        }),
        _ => return None,
    })
}

/// Parts from the right, at most `most` of them cut off; at white space without a separator.
fn rsplit<'t>(text: &'t str, by: Option<&str>, most: usize) -> Vec<&'t str> {
    let mut parts = Vec::new();
    let mut rest = if by.is_none() { text.trim() } else { text };
    while parts.len() < most {
        let cut = match by {
            Some(by) => rest.rsplit_once(by),
            None => rest.rsplit_once(char::is_whitespace),
        };
        let Some((before, part)) = cut else { break };
        parts.push(part);
        rest = if by.is_none() { before.trim_end() } else { before };
    }
    if by.is_some() || !rest.is_empty() {
        parts.push(rest);
    }
    parts.reverse();
    parts
}
