//! How Python shows values.

use std::fmt::Write;

use super::{Part, Py, R, Tuple, Type};
use crate::template::{budget, text};

/// `str(value)`
pub(in crate::template) fn str(value: &Py) -> R<String> {
    let mut out = String::new();
    write_str(value, &mut out)?;
    Ok(out)
}

/// `repr(value)`
pub(in crate::template) fn repr(value: &Py) -> R<String> {
    let mut out = String::new();
    write_repr(value, &mut out)?;
    Ok(out)
}

/// Writes `str(value)`.
pub(in crate::template) fn write_str(value: &Py, out: &mut String) -> R<()> {
    match value {
        Py::Str(text) => out.push_str(text),
        Py::Exception(exception) => out.push_str(&exception.message()),
        Py::Moment(moment) => out.push_str(&moment.shown()),
        Py::Host(host) => out.push_str(&host.to_string()),
        _ => write_repr(value, out)?,
    }
    Ok(())
}

/// Writes `repr(value)`.
pub(in crate::template) fn write_repr(value: &Py, out: &mut String) -> R<()> {
    match value {
        Py::Unbound | Py::None => out.push_str("None"),
        Py::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
        Py::Int(value) => out.push_str(itoa::Buffer::new().format(*value)),
        Py::Big(value) => {
            if value.bits() > 14_300 {
                return Err(super::PyError::value_error(
                    "Exceeds the limit (4300 digits) for integer string conversion",
                ));
            }
            let _ = write!(out, "{value}");
        }
        Py::Float(value) => write_float(*value, out),
        Py::Str(text) => write_quoted(text, out),
        Py::Bytes(bytes) => write_bytes(bytes, out),
        Py::Slice(parts) => {
            out.push_str("slice");
            write_items(&parts[..], '(', ')', out)?;
        }
        Py::Range(range) => {
            let _ = write!(out, "range({}, {}", range.start, range.stop);
            if range.step != 1 {
                let _ = write!(out, ", {}", range.step);
            }
            out.push(')');
        }
        Py::Exception(exception) => {
            out.push_str(exception.class.name());
            write_items(&exception.args, '(', ')', out)?;
        }
        Py::Moment(moment) => out.push_str(&moment.repr()),
        Py::Object(object) => out.push_str(&object.repr()),
        Py::Host(host) => out.push_str(&host.to_string()),
        Py::Type(of) => {
            let _ = write!(out, "<class '{}'>", of.full_name());
        }
        Py::Builtin(builtin) => {
            let _ = write!(out, "<built-in function {}>", builtin.name);
        }
        Py::Function(_) => out.push_str("<function <lambda>>"),
        Py::Method(method) if method.is_unbound() => {
            let _ = write!(out, "<method '{}' of '{}' objects>", method.name, own_name(&method.of));
        }
        Py::Method(method) => {
            let kind = if method.name.starts_with("__") { "method-wrapper" } else { "built-in method" };
            let name = if method.name.starts_with("__") {
                format!("'{}'", method.name)
            } else {
                method.name.to_string()
            };
            let _ = write!(out, "<{kind} {name} of {} object>", method.of.type_name());
        }
        Py::Module(module) => {
            let _ = write!(out, "<module '{}'>", module.name());
        }
        Py::Iter(_) => {
            let _ = write!(out, "<{} object>", Type::of(value).name());
        }
        Py::Tuple(items) if items.names().is_some() => write_time(items, out)?,
        _ => write_container(value, out)?,
    }
    Ok(())
}

/// `time.struct_time(tm_year=2024, ..)`
fn write_time(items: &Tuple, out: &mut String) -> R<()> {
    let _level = budget::deeper()?;
    out.push_str("time.struct_time(");
    for (at, (name, item)) in items.names().unwrap_or_default().iter().zip(items.iter()).enumerate() {
        let _ = write!(out, "{}{name}=", if at == 0 { "" } else { ", " });
        write_repr(item, out)?;
    }
    out.push(')');
    Ok(())
}

thread_local! {
    /// The containers that are being shown.
    static SHOWN: std::cell::RefCell<Vec<usize>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[inline(never)]
fn write_container(value: &Py, out: &mut String) -> R<()> {
    /// Shown until it is dropped.
    struct Shown;
    impl Drop for Shown {
        fn drop(&mut self) {
            SHOWN.with_borrow_mut(Vec::pop);
        }
    }
    let _level = budget::deeper()?;
    let (address, again) = match value {
        Py::List(list) => (std::rc::Rc::as_ptr(list).addr(), "[...]"),
        Py::Dict(dict) => (std::rc::Rc::as_ptr(dict).addr(), "{...}"),
        _ => (0, ""),
    };
    if address != 0 && SHOWN.with_borrow(|shown| shown.contains(&address)) {
        out.push_str(again);
        return Ok(());
    }
    SHOWN.with_borrow_mut(|shown| shown.push(address));
    let _shown = Shown;
    let before = out.len();
    match value {
        Py::Tuple(items) if items.len() == 1 => {
            out.push('(');
            write_repr(&items[0], out)?;
            out.push_str(",)");
        }
        Py::Tuple(items) => write_items(items, '(', ')', out)?,
        Py::List(items) => write_items(&items.to_vec(), '[', ']', out)?,
        Py::Set(set) => {
            let items = set.to_vec();
            match (set.is_frozen(), items.is_empty()) {
                (true, true) => out.push_str("frozenset()"),
                (false, true) => out.push_str("set()"),
                (true, false) => {
                    out.push_str("frozenset(");
                    write_items(&items, '{', '}', out)?;
                    out.push(')');
                }
                (false, false) => write_items(&items, '{', '}', out)?,
            }
        }
        Py::Dict(dict) => {
            out.push('{');
            for (index, (key, value)) in dict.pairs()?.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(key, out)?;
                out.push_str(": ");
                write_repr(value, out)?;
            }
            out.push('}');
        }
        Py::View(view) => {
            let name = match view.part {
                Part::Keys => "dict_keys",
                Part::Values => "dict_values",
                Part::Items => "dict_items",
            };
            out.push_str(name);
            out.push('(');
            write_items(&view.to_vec()?, '[', ']', out)?;
            out.push(')');
        }
        _ => {}
    }
    budget::pay_bytes(out.len() - before)
}

fn write_items(items: &[Py], open: char, close: char, out: &mut String) -> R<()> {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_repr(item, out)?;
    }
    out.push(close);
    Ok(())
}

/// The fewest digits that give the same float.
pub(in crate::template) fn write_float(float: f64, out: &mut String) {
    if float.is_nan() {
        out.push_str("nan");
    } else if float.is_infinite() {
        out.push_str(if float > 0.0 { "inf" } else { "-inf" });
    } else {
        let text = format!("{float:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        if (-4..16).contains(&exponent) {
            let text = format!("{float}");
            out.push_str(&text);
            if !text.contains('.') {
                out.push_str(".0");
            }
        } else {
            let sign = if exponent < 0 { '-' } else { '+' };
            let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.abs());
        }
    }
}

fn write_quoted(value: &str, out: &mut String) {
    let quote = if value.contains('\'') && !value.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if text::is_printable(c) => out.push(c),
            c => text::write_escape(c, out),
        }
    }
    out.push(quote);
}

fn write_bytes(bytes: &[u8], out: &mut String) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    out.push('b');
    out.push(quote);
    for byte in bytes {
        match *byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            byte if char::from(byte) == quote => out.extend(['\\', quote]),
            byte @ b' '..=b'~' => out.push(char::from(byte)),
            byte => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push(quote);
}

fn own_name(of: &Py) -> &'static str {
    match of {
        Py::Type(of) => of.name(),
        _ => "",
    }
}
