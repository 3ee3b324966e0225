//! `'{} {name.attribute[0]!r:>10}'.format(..)`

use super::{Py, PyError, R, format};
use crate::template::budget;
use crate::template::eval::{Args, Interp, convert};
use crate::template::value::{Class, get_item};

/// The text with the arguments in it.
///
/// # Errors
/// Python's.
pub(in crate::template) fn format_template(interp: &mut Interp<'_>, text: &str, args: &Args) -> R<String> {
    let mut out = String::new();
    Formatter { interp, args, next: Numbering::Unknown }.write(text, &mut out, 0)?;
    budget::pay_bytes(out.len())?;
    Ok(out)
}

struct Formatter<'a, 'i> {
    interp: &'a mut Interp<'i>,
    args: &'a Args,
    next: Numbering,
}

enum Numbering {
    Unknown,
    Automatic(usize),
    Manual,
}

impl Formatter<'_, '_> {
    fn write(&mut self, text: &str, out: &mut String, depth: usize) -> R<()> {
        if depth > 2 {
            return Err(PyError::value_error("Max string recursion exceeded"));
        }
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let from = &rest[at..];
            if from.starts_with("{{") || from.starts_with("}}") {
                out.push_str(&from[..1]);
                rest = &from[2..];
                continue;
            }
            if from.starts_with('}') {
                return Err(PyError::value_error("Single '}' encountered in format string"));
            }
            let field = field(&from[1..])?;
            self.field(field, out, depth)?;
            rest = &from[field.len() + 2..];
        }
        out.push_str(rest);
        Ok(())
    }

    /// What stands between braces.
    fn field(&mut self, field: &str, out: &mut String, depth: usize) -> R<()> {
        let mut in_brackets = false;
        let end = field.find(|c| {
            in_brackets = (in_brackets || c == '[') && c != ']';
            !in_brackets && matches!(c, '!' | ':')
        });
        let (name, mut rest) = field.split_at(end.unwrap_or(field.len()));
        let mut conversion = None;
        if let Some(after) = rest.strip_prefix('!') {
            conversion = after.chars().next();
            if !matches!(conversion, Some('r' | 's' | 'a')) {
                return Err(PyError::value_error(match conversion {
                    Some(c) => format!("Unknown conversion specifier {c}"),
                    None => "unmatched '{' in format spec".to_owned(),
                }));
            }
            rest = &after[1..];
            if !rest.is_empty() && !rest.starts_with(':') {
                return Err(PyError::value_error("expected ':' after conversion specifier"));
            }
        }
        let value = self.value(name)?;
        let value = convert(value, conversion)?;
        let mut spec = String::new();
        self.write(rest.strip_prefix(':').unwrap_or_default(), &mut spec, depth + 1)?;
        out.push_str(&format(&value, &spec)?);
        Ok(())
    }

    /// `0.name[key]`
    fn value(&mut self, path: &str) -> R {
        let end = path.find(['.', '[']).unwrap_or(path.len());
        let (first, mut rest) = path.split_at(end);
        let mut value = self.argument(first)?;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                if end == 0 {
                    return Err(PyError::value_error("Empty attribute in format string"));
                }
                value = self.interp.attribute(&value, &after[..end])?;
                rest = &after[end..];
            } else {
                let after = rest.strip_prefix('[').unwrap_or(rest);
                let Some(end) = after.find(']') else {
                    return Err(PyError::value_error("Missing ']' in format string"));
                };
                let key = &after[..end];
                if key.is_empty() {
                    return Err(PyError::value_error("Empty attribute in format string"));
                }
                let key = key.parse::<i64>().map_or_else(|_| Py::from(key), Py::Int);
                value = get_item(&value, &key)?;
                rest = &after[end + 1..];
                if !rest.is_empty() && !rest.starts_with(['.', '[']) {
                    return Err(PyError::value_error(
                        "Only '.' or '[' may follow ']' in format field specifier",
                    ));
                }
            }
        }
        Ok(value)
    }

    fn argument(&mut self, name: &str) -> R {
        let switched =
            |from: &str, to: &str| PyError::value_error(format!("cannot switch from {from} to {to}"));
        let index = if name.is_empty() {
            let index = match self.next {
                Numbering::Unknown => 0,
                Numbering::Automatic(next) => next,
                Numbering::Manual => {
                    return Err(switched("manual field specification", "automatic field numbering"));
                }
            };
            self.next = Numbering::Automatic(index + 1);
            index
        } else if name.bytes().all(|b| b.is_ascii_digit()) {
            if let Numbering::Automatic(_) = self.next {
                return Err(switched("automatic field numbering", "manual field specification"));
            }
            self.next = Numbering::Manual;
            name.parse().unwrap_or(usize::MAX)
        } else {
            let found = self.args.keywords.iter().find(|(known, _)| **known == *name);
            return found.map(|(_, value)| value.clone()).ok_or_else(|| PyError::key(Py::from(name)));
        };
        self.args.positional.get(index).cloned().ok_or_else(|| {
            let message = format!("Replacement index {index} out of range for positional args tuple");
            PyError::new(Class::IndexError, message)
        })
    }
}

/// Up to the brace that closes this field.
fn field(text: &str) -> R<&str> {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok(&text[..at]);
        }
    }
    let message = if text.is_empty() {
        "Single '{' encountered in format string"
    } else {
        "expected '}' before end of string"
    };
    Err(PyError::value_error(message))
}
