//! The methods of `str`.

use super::{Args, Interp, Py, PyError, R};
use crate::template::value::{Dict, Str, Type, index, size};
use crate::template::whitespace::is_space;
use crate::template::{budget, format, text};

pub(super) const NAMES: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];

pub(super) fn call(interp: &mut Interp<'_>, own: &Str, name: &str, args: Args) -> R {
    budget::pay((own.len() / 64) as u64)?;
    match name {
        "format" => return format::format_template(interp, own, &args).map(Py::from),
        "join" => return join(interp, own, args),
        "split" | "rsplit" => return split(own, name, args),
        "find" | "rfind" | "index" | "rindex" | "count" | "startswith" | "endswith" => {
            return search(own, name, args);
        }
        "strip" | "lstrip" | "rstrip" => return strip(own, name, args),
        "center" | "ljust" | "rjust" | "zfill" | "expandtabs" => return widen(own, name, args),
        "partition" | "rpartition" | "replace" | "removeprefix" | "removesuffix" => {
            return parts(own, name, args);
        }
        "splitlines" => {
            let [keep] = args.take(name, ["keepends"], 0)?;
            let lines = text::lines(own, keep.is_some_and(|keep| keep.is_true()));
            return Ok(Py::list(lines.into_iter().map(Py::from).collect()));
        }
        "encode" => {
            let [encoding, errors] = args.take(name, ["encoding", "errors"], 0)?;
            let encoding = encoding.as_ref().and_then(Py::as_str).unwrap_or("utf-8").to_owned();
            return super::bytes::encode(
                own,
                &encoding,
                errors.as_ref().and_then(Py::as_str).unwrap_or("strict"),
            );
        }
        "translate" => return translate(own, args),
        "format_map" => {
            let [map] = args.take(name, ["*mapping"], 1)?;
            let Some(Py::Dict(map)) = map else { return Err(PyError::type_error("format_map needs a dict")) };
            let mut args = Args::from(Vec::new());
            for (key, value) in map.pairs()? {
                if let Py::Str(key) = key {
                    args.keywords.push((key.to_string().into(), value));
                }
            }
            return format::format_template(interp, own, &args).map(Py::from);
        }
        _ => {}
    }
    let [] = args.take(name, [], 0)?;
    Ok(simple(own, name))
}

/// Methods without arguments.
fn simple(own: &str, name: &str) -> Py {
    let all = |f: fn(char) -> bool| Py::Bool(!own.is_empty() && own.chars().all(f));
    match name {
        "upper" => Py::from(own.to_uppercase()),
        "lower" => Py::from(own.to_lowercase()),
        "swapcase" => Py::from(text::swapcase(own)),
        "casefold" => Py::from(text::casefold(own)),
        "title" => Py::from(title(own)),
        "capitalize" => {
            let mut chars = own.chars();
            let mut out = String::with_capacity(own.len());
            if let Some(first) = chars.next() {
                text::push_title(first, &mut out);
            }
            out.push_str(&chars.as_str().to_lowercase());
            Py::from(out)
        }
        "isalnum" => all(|c| text::is_alpha(c) || text::is_numeric(c)),
        "isalpha" => all(text::is_alpha),
        "isascii" => Py::Bool(own.is_ascii()),
        "isdecimal" => all(text::is_decimal),
        "isdigit" => all(text::is_digit),
        "isnumeric" => all(text::is_numeric),
        "isspace" => all(is_space),
        "isprintable" => Py::Bool(own.chars().all(text::is_printable)),
        "isidentifier" => {
            let mut chars = own.chars();
            let starts = chars.next().is_some_and(|c| c == '_' || c.is_alphabetic());
            Py::Bool(starts && chars.all(|c| c == '_' || c.is_alphanumeric() || text::is_mark(c)))
        }
        "islower" => {
            let has = own.chars().any(char::is_lowercase);
            Py::Bool(has && !own.chars().any(|c| c.is_uppercase() || text::is_title(c)))
        }
        "isupper" => {
            let has = own.chars().any(char::is_uppercase);
            Py::Bool(has && !own.chars().any(|c| c.is_lowercase() || text::is_title(c)))
        }
        _ => Py::Bool(is_title(own)),
    }
}

fn title(own: &str) -> String {
    let mut out = String::with_capacity(own.len());
    let mut after_cased = false;
    for c in own.chars() {
        if after_cased {
            out.extend(c.to_lowercase());
        } else {
            text::push_title(c, &mut out);
        }
        after_cased = text::is_cased(c);
    }
    out
}

fn is_title(own: &str) -> bool {
    let (mut found, mut after_cased) = (false, false);
    for c in own.chars() {
        let is_upper = text::is_upper(c) || text::is_title(c);
        if (is_upper && after_cased) || (c.is_lowercase() && !after_cased) {
            return false;
        }
        after_cased = text::is_cased(c);
        found |= after_cased;
    }
    found
}

fn join(interp: &mut Interp<'_>, own: &str, args: Args) -> R {
    let [items] = args.take("join", ["*iterable"], 1)?;
    let items = items.unwrap_or(Py::None);
    let items = interp.collect(&items).map_err(|error| match error.class() {
        crate::template::value::Class::TypeError if !matches!(items, Py::Iter(_)) => {
            PyError::type_error("can only join an iterable")
        }
        _ => error,
    })?;
    let mut out = String::new();
    for (index, item) in items.iter().enumerate() {
        let Py::Str(text) = item else {
            return Err(PyError::type_error(format!(
                "sequence item {index}: expected str instance, {} found",
                item.type_name()
            )));
        };
        if index > 0 {
            out.push_str(own);
        }
        out.push_str(text);
    }
    budget::pay_bytes(out.len())?;
    Ok(Py::from(out))
}

/// An argument that has to be text.
fn needed(value: Option<Py>, function: &str) -> R<Str> {
    match value {
        Some(Py::Str(text)) => Ok(text),
        other => Err(PyError::type_error(format!(
            "{function}() argument must be str, not {}",
            other.map_or("NoneType", |value| value.type_name())
        ))),
    }
}

fn split(own: &str, name: &str, args: Args) -> R {
    let [separator, most] = args.take(name, ["sep", "maxsplit"], 0)?;
    let most = most.map_or(Ok(-1), |most| index(&most))?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let from_right = name == "rsplit";
    let parts: Vec<&str> = match separator {
        None | Some(Py::None) => words(own, most, from_right),
        separator => {
            let separator = needed(separator, name)?;
            if separator.is_empty() {
                return Err(PyError::value_error("empty separator"));
            }
            let pieces = most.saturating_add(1);
            if from_right {
                let mut parts: Vec<&str> = own.rsplitn(pieces, &*separator).collect();
                parts.reverse();
                parts
            } else {
                own.splitn(pieces, &*separator).collect()
            }
        }
    };
    budget::pay_items(parts.len())?;
    Ok(Py::list(parts.into_iter().map(Py::from).collect()))
}

/// What stands between white space.
fn words(own: &str, most: usize, from_right: bool) -> Vec<&str> {
    let mut parts: Vec<&str> = Vec::new();
    let mut rest = own.trim_matches(is_space);
    while !rest.is_empty() {
        if parts.len() == most {
            // The other end of the text keeps its white space.
            let rest =
                if from_right { own.trim_end_matches(is_space) } else { own.trim_start_matches(is_space) };
            let used: usize = match (from_right, parts.last()) {
                (_, None) => 0,
                (false, Some(last)) => end_of(rest, last),
                (true, Some(last)) => rest.len() - start_of(rest, last),
            };
            let left = if from_right {
                rest[..rest.len() - used].trim_end_matches(is_space)
            } else {
                rest[used..].trim_start_matches(is_space)
            };
            parts.push(left);
            break;
        }
        let cut = if from_right {
            let start =
                rest.char_indices().rev().find(|(_, c)| is_space(*c)).map_or(0, |(at, c)| at + c.len_utf8());
            parts.push(&rest[start..]);
            rest[..start].trim_end_matches(is_space)
        } else {
            let end = rest.find(is_space).unwrap_or(rest.len());
            parts.push(&rest[..end]);
            rest[end..].trim_start_matches(is_space)
        };
        rest = cut;
    }
    if from_right {
        parts.reverse();
    }
    parts
}

/// Where a part of a text begins in it.
fn start_of(text: &str, part: &str) -> usize {
    part.as_ptr().addr().saturating_sub(text.as_ptr().addr()).min(text.len())
}

fn end_of(text: &str, part: &str) -> usize {
    (start_of(text, part) + part.len()).min(text.len())
}

fn search(own: &str, name: &str, args: Args) -> R {
    let [what, start, end] = args.take(name, ["*sub", "*start", "*end"], 1)?;
    let length = crate::template::value::char_count(own);
    let place = |value: Option<Py>, default: usize| -> R<usize> {
        let at = match value {
            None | Some(Py::None) => return Ok(default),
            Some(value) => index(&value)?,
        };
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let at = if at < 0 { (at + length).max(0) } else { at };
        Ok(usize::try_from(at).unwrap_or(usize::MAX))
    };
    let (start, end) = (place(start, 0)?, place(end, length)?.min(length));
    let is_outside = start > end;
    let byte = |at: usize| {
        if own.len() == length {
            at.min(length)
        } else {
            own.char_indices().nth(at).map_or(own.len(), |(at, _)| at)
        }
    };
    let part = if is_outside { "" } else { &own[byte(start)..byte(end)] };
    if matches!(name, "startswith" | "endswith") {
        let fits = |what: &str| {
            !is_outside && if name == "startswith" { part.starts_with(what) } else { part.ends_with(what) }
        };
        return match what {
            Some(Py::Str(what)) => Ok(Py::Bool(fits(&what))),
            Some(Py::Tuple(all)) => {
                for item in all.iter() {
                    if fits(&needed(Some(item.clone()), name)?) {
                        return Ok(Py::Bool(true));
                    }
                }
                Ok(Py::Bool(false))
            }
            other => Err(PyError::type_error(format!(
                "{name} first arg must be str or a tuple of str, not {}",
                other.map_or("NoneType", |value| value.type_name())
            ))),
        };
    }
    let what = needed(what, name)?;
    if name == "count" {
        let count = match (is_outside, what.is_empty()) {
            (true, _) => 0,
            (false, true) => end - start + 1,
            (false, false) => part.matches(&*what).count(),
        };
        return Ok(Py::from(count));
    }
    let found = match (is_outside, name.starts_with('r')) {
        (true, _) => None,
        (false, true) => part.rfind(&*what),
        (false, false) => part.find(&*what),
    };
    match found {
        Some(at) => Ok(Py::from(start + part[..at].chars().count())),
        None if name.ends_with("find") => Ok(Py::Int(-1)),
        None => Err(PyError::value_error("substring not found")),
    }
}

fn strip(own: &Str, name: &str, args: Args) -> R {
    let [chars] = args.take(name, ["*chars"], 0)?;
    let set: Option<Vec<char>> = match chars {
        None | Some(Py::None) => None,
        chars => Some(needed(chars, name)?.chars().collect()),
    };
    let goes = |c: char| set.as_ref().map_or_else(|| is_space(c), |set| set.contains(&c));
    Ok(Py::from(match name {
        "strip" => own.trim_matches(goes),
        "lstrip" => own.trim_start_matches(goes),
        _ => own.trim_end_matches(goes),
    }))
}

fn widen(own: &str, name: &str, args: Args) -> R {
    if name == "expandtabs" {
        let [stop] = args.take(name, ["tabsize"], 0)?;
        return expand_tabs(own, stop.map_or(Ok(8), |stop| size(&stop))?);
    }
    let [width, fill] = args.take(name, ["*width", "*fillchar"], 1)?;
    let width = size(&width.unwrap_or(Py::None))?;
    let fill = match fill {
        None => ' ',
        fill => {
            let fill = needed(fill, name)?;
            let mut chars = fill.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => c,
                _ => {
                    return Err(PyError::type_error("The fill character must be exactly one character long"));
                }
            }
        }
    };
    budget::pay_bytes(width)?;
    let missing = width.saturating_sub(crate::template::value::char_count(own));
    let filled = |count: usize| fill.to_string().repeat(count);
    Ok(Py::from(match name {
        "ljust" => format!("{own}{}", filled(missing)),
        "rjust" => format!("{}{own}", filled(missing)),
        "zfill" => {
            let (sign, digits) = own.split_at(usize::from(own.starts_with(['+', '-'])));
            format!("{sign}{}{digits}", "0".repeat(missing))
        }
        _ => {
            // CPython puts the odd one to the left when the width is odd.
            let left = missing / 2 + (missing & width & 1);
            format!("{}{own}{}", filled(left), filled(missing - left))
        }
    }))
}

fn expand_tabs(own: &str, stop: usize) -> R {
    budget::pay_bytes(own.matches('\t').count().saturating_mul(stop))?;
    let mut out = String::new();
    let mut column = 0;
    for c in own.chars() {
        match c {
            '\t' => {
                let spaces = if stop == 0 { 0 } else { stop - column % stop };
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    Ok(Py::from(out))
}

fn parts(own: &str, name: &str, args: Args) -> R {
    if name == "replace" {
        let [old, new, count] = args.take(name, ["*old", "*new", "count"], 2)?;
        let (old, new) = (needed(old, name)?, needed(new, name)?);
        let most = usize::try_from(count.map_or(Ok(-1), |count| index(&count))?).unwrap_or(usize::MAX);
        let times = if old.is_empty() { own.len() + 1 } else { own.matches(&*old).count() }.min(most);
        budget::pay_bytes(own.len().saturating_add(times.saturating_mul(new.len())))?;
        return Ok(Py::from(own.replacen(&*old, &new, most)));
    }
    let [what] = args.take(name, ["*sep"], 1)?;
    let what = needed(what, name)?;
    if name.starts_with("remove") {
        return Ok(Py::from(match name {
            "removeprefix" => own.strip_prefix(&*what).unwrap_or(own),
            _ => own.strip_suffix(&*what).unwrap_or(own),
        }));
    }
    if what.is_empty() {
        return Err(PyError::value_error("empty separator"));
    }
    let found = if name == "partition" { own.split_once(&*what) } else { own.rsplit_once(&*what) };
    let parts = match found {
        Some((before, after)) => [before, &what, after],
        None if name == "partition" => [own, "", ""],
        None => ["", "", own],
    };
    Ok(Py::tuple(parts.into_iter().map(Py::from).collect()))
}

/// `str.maketrans`
pub(super) fn make_translation(args: Args) -> R {
    let [from, to, gone] = args.take("maketrans", ["*x", "*y", "*z"], 1)?;
    let code = |c: char| Py::Int(i64::from(u32::from(c)));
    match (from, to) {
        (Some(Py::Dict(map)), None) => {
            let pairs = map.pairs()?.into_iter().map(|(key, value)| match &key {
                Py::Str(text) if text.chars().count() == 1 => {
                    (code(text.chars().next().unwrap_or(' ')), value)
                }
                _ => (key, value),
            });
            Py::dict(pairs)
        }
        (from, to) => {
            let (from, to) = (needed(from, "maketrans")?, needed(to, "maketrans")?);
            if from.chars().count() != to.chars().count() {
                return Err(PyError::value_error("the first two maketrans arguments must have equal length"));
            }
            let pairs = from.chars().zip(to.chars()).map(|(from, to)| (code(from), code(to)));
            let gone = gone.map(|gone| needed(Some(gone), "maketrans")).transpose()?;
            let gone: Vec<char> = gone.map(|gone| gone.chars().collect()).unwrap_or_default();
            Py::dict(pairs.chain(gone.into_iter().map(|c| (code(c), Py::None))))
        }
    }
}

fn translate(own: &str, args: Args) -> R {
    let [table] = args.take("translate", ["*table"], 1)?;
    let Some(Py::Dict(table)) = table else {
        return Err(PyError::type_error(format!(
            "translate() needs a dict, such as {}.maketrans makes",
            Type::Str.name()
        )));
    };
    let mut out = String::new();
    for c in own.chars() {
        match Dict::get(&table, &Py::Int(i64::from(u32::from(c))))? {
            None => out.push(c),
            Some(Py::None) => {}
            Some(Py::Str(text)) => out.push_str(&text),
            Some(value) => out.extend(u32::try_from(index(&value)?).ok().and_then(char::from_u32)),
        }
    }
    budget::pay_bytes(out.len())?;
    Ok(Py::from(out))
}
