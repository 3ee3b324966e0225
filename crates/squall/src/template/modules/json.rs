//! `json`

use std::fmt::Write;
use std::rc::Rc;

use super::function;
use crate::template::budget;
use crate::template::builtins::Builtin;
use crate::template::eval::{Args, Interp};
use crate::template::value::{Class, Py, PyError, R, Type, from_host, str, write_float, write_repr};

static FUNCTIONS: &[Builtin] =
    &[Builtin { name: "dumps", call: dumps }, Builtin { name: "loads", call: loads }];

pub(super) fn find(name: &str) -> Option<Py> {
    match name {
        "JSONDecodeError" => Some(Py::Type(Type::Exception(Class::JSONDecodeError))),
        _ => function(FUNCTIONS, name),
    }
}

/// How JSON is written.
pub(super) struct Style {
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    sorts_keys: bool,
    is_ascii: bool,
}

impl Default for Style {
    fn default() -> Self {
        let (item_separator, key_separator) = (", ".to_owned(), ": ".to_owned());
        Self { indent: None, item_separator, key_separator, sorts_keys: false, is_ascii: true }
    }
}

/// `json.dumps(value)`
pub(super) fn dump(value: &Py, style: &Style) -> R<String> {
    let mut out = String::new();
    write(value, style, &mut Vec::new(), &mut out)?;
    budget::pay_bytes(out.len())?;
    Ok(out)
}

/// The collections around, by their addresses.
type Open = Vec<*const ()>;

fn write(value: &Py, style: &Style, open: &mut Open, out: &mut String) -> R<()> {
    match value {
        Py::None => out.push_str("null"),
        Py::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Py::Int(_) | Py::Big(_) => write_repr(value, out)?,
        Py::Float(float) => write_number(*float, out),
        Py::Str(text) => write_text(text, style.is_ascii, out),
        Py::List(items) => {
            enter(Rc::as_ptr(items).cast(), open)?;
            write_list(&items.to_vec(), style, open, out)?;
            open.pop();
        }
        Py::Tuple(items) => {
            enter(Rc::as_ptr(items).cast(), open)?;
            write_list(items, style, open, out)?;
            open.pop();
        }
        Py::Dict(dict) => {
            enter(Rc::as_ptr(dict).cast(), open)?;
            write_dict(dict.pairs()?, style, open, out)?;
            open.pop();
        }
        _ => {
            let message = format!("Object of type {} is not JSON serializable", value.type_name());
            return Err(PyError::type_error(message));
        }
    }
    Ok(())
}

fn enter(collection: *const (), open: &mut Open) -> R<()> {
    if open.contains(&collection) {
        return Err(PyError::value_error("Circular reference detected"));
    }
    open.push(collection);
    Ok(())
}

fn write_number(float: f64, out: &mut String) {
    if float.is_nan() {
        out.push_str("NaN");
    } else if float.is_infinite() {
        out.push_str(if float > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        write_float(float, out);
    }
}

fn new_line(style: &Style, depth: usize, out: &mut String) {
    if let Some(indent) = &style.indent {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str(indent));
    }
}

fn write_list(items: &[Py], style: &Style, open: &mut Open, out: &mut String) -> R<()> {
    let _level = budget::deeper()?;
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(&style.item_separator);
        }
        new_line(style, open.len(), out);
        write(item, style, open, out)?;
    }
    if !items.is_empty() {
        new_line(style, open.len() - 1, out);
    }
    out.push(']');
    Ok(())
}

fn write_dict(pairs: Vec<(Py, Py)>, style: &Style, open: &mut Open, out: &mut String) -> R<()> {
    let _level = budget::deeper()?;
    let mut keyed = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let text = match &key {
            Py::Str(text) => text.to_string(),
            Py::None => "null".to_owned(),
            Py::Bool(value) => value.to_string(),
            Py::Int(_) | Py::Big(_) | Py::Float(_) => str(&key)?,
            _ => {
                return Err(PyError::type_error(format!(
                    "keys must be str, int, float, bool or None, not {}",
                    key.type_name()
                )));
            }
        };
        keyed.push((text, value));
    }
    if style.sorts_keys {
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
    }
    out.push('{');
    for (index, (key, value)) in keyed.iter().enumerate() {
        if index > 0 {
            out.push_str(&style.item_separator);
        }
        new_line(style, open.len(), out);
        write_text(key, style.is_ascii, out);
        out.push_str(&style.key_separator);
        write(value, style, open, out)?;
    }
    if !keyed.is_empty() {
        new_line(style, open.len() - 1, out);
    }
    out.push('}');
    Ok(())
}

fn write_text(text: &str, is_ascii: bool, out: &mut String) {
    out.push('"');
    let mut units = [0; 2];
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || (is_ascii && !c.is_ascii()) => {
                c.encode_utf16(&mut units).iter().for_each(|unit| {
                    let _ = write!(out, "\\u{unit:04x}");
                });
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn dumps(interp: &mut Interp<'_>, args: Args) -> R {
    let names = ["obj", "indent", "separators", "sort_keys", "ensure_ascii", "default"];
    let keywords_only = args.positional.len() <= 1;
    if !keywords_only {
        return Err(PyError::type_error("dumps() takes 1 positional argument"));
    }
    let [value, indent, separators, sorts, ascii, default] = args.take("dumps", names, 1)?;
    if default.is_some_and(|default| !default.is_none()) {
        return Err(PyError::type_error("dumps(default=…) has no counterpart in a template"));
    }
    let mut style = Style::default();
    match indent {
        None | Some(Py::None) => {}
        Some(Py::Str(text)) => style.indent = Some(text.to_string()),
        Some(count) => {
            let count = crate::template::value::size(&count)?.min(100);
            style.indent = Some(" ".repeat(count));
        }
    }
    if style.indent.is_some() {
        style.item_separator = ",".to_owned();
    }
    if let Some(separators) = separators.filter(|separators| !separators.is_none()) {
        let parts = interp.collect(&separators)?.iter().map(str).collect::<R<Vec<_>>>()?;
        if let [item, key] = parts.as_slice() {
            (style.item_separator, style.key_separator) = (item.clone(), key.clone());
        }
    }
    style.sorts_keys = sorts.is_some_and(|sorts| sorts.is_true());
    style.is_ascii = ascii.is_none_or(|ascii| ascii.is_true());
    dump(&value.unwrap_or(Py::None), &style).map(Py::from)
}

pub(super) fn loads(_: &mut Interp<'_>, args: Args) -> R {
    let [text] = args.take("loads", ["s"], 1)?;
    let text = match text.unwrap_or(Py::None) {
        Py::Str(text) => text.to_string(),
        Py::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => {
            return Err(PyError::type_error(format!(
                "the JSON object must be str, bytes or bytearray, not {}",
                other.type_name()
            )));
        }
    };
    budget::pay_bytes(text.len())?;
    let value: minijinja::Value = serde_json::from_str(&text)
        .map_err(|error| PyError::new(Class::JSONDecodeError, error.to_string()))?;
    own(from_host(&value)?)
}

/// A copy that is Python's: its dicts have no attributes.
fn own(value: Py) -> R {
    let _level = budget::deeper()?;
    Ok(match value {
        Py::List(items) => Py::list(items.to_vec().into_iter().map(own).collect::<R<Vec<_>>>()?),
        Py::Dict(dict) => {
            let pairs = dict.pairs()?.into_iter().map(|(key, value)| Ok((key, own(value)?)));
            return Py::dict(pairs.collect::<R<Vec<_>>>()?);
        }
        value => value,
    })
}
