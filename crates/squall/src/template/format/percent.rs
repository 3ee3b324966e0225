//! `'..' % values`, and that of bytes

use super::number::float_text;
use super::{Py, PyError, R, check_width, digits};
use crate::template::budget;
use crate::template::text;
use crate::template::value::{Class, Dict, as_big, as_float, float_to_int, index, repr, str};

/// The text with the values in it.
///
/// # Errors
/// Python's.
pub(in crate::template) fn percent(format: &str, values: &Py) -> R<String> {
    fill(format.chars().collect(), values, false)
}

/// As [`percent`], for bytes: each is handled as the character of its number.
pub(in crate::template) fn percent_bytes(format: &[u8], values: &Py) -> R<Vec<u8>> {
    let filled = fill(format.iter().map(|byte| char::from(*byte)).collect(), values, true)?;
    Ok(filled.chars().filter_map(|c| u8::try_from(c).ok()).collect())
}

fn fill(chars: Vec<char>, values: &Py, is_bytes: bool) -> R<String> {
    let mut out = String::with_capacity(chars.len());
    let mut formatter = Formatter { chars, at: 0, values, next: 0, used_names: false, is_bytes };
    while let Some(c) = formatter.char() {
        if c == '%' { formatter.value(&mut out)? } else { out.push(c) }
    }
    budget::pay_bytes(out.len())?;
    let is_left = match values {
        Py::Tuple(items) => formatter.next < items.len(),
        // One value that is no collection has to be used.
        Py::Bytes(_) => is_bytes && formatter.next == 0 && !formatter.used_names,
        Py::Dict(_) | Py::List(_) | Py::Range(_) => false,
        _ => formatter.next == 0 && !formatter.used_names,
    };
    if is_left {
        let what = if is_bytes { "bytes" } else { "string" };
        let message = format!("not all arguments converted during {what} formatting");
        return Err(PyError::type_error(message));
    }
    Ok(out)
}

struct Formatter<'a> {
    chars: Vec<char>,
    at: usize,
    values: &'a Py,
    next: usize,
    used_names: bool,
    is_bytes: bool,
}

#[derive(Default)]
struct Flags {
    left: bool,
    plus: bool,
    space: bool,
    zero: bool,
    alternate: bool,
}

impl Formatter<'_> {
    fn char(&mut self) -> Option<char> {
        let c = self.chars.get(self.at).copied();
        self.at += usize::from(c.is_some());
        c
    }

    fn argument(&mut self) -> R {
        let missing = || PyError::type_error("not enough arguments for format string");
        self.next += 1;
        match self.values {
            Py::Tuple(items) => items.get(self.next - 1).cloned().ok_or_else(missing),
            value if self.next == 1 => Ok(value.clone()),
            _ => Err(missing()),
        }
    }

    /// What stands behind a `%`.
    fn value(&mut self, out: &mut String) -> R<()> {
        let mut named = None;
        if self.chars.get(self.at) == Some(&'(') {
            let name = self.name()?;
            let Py::Dict(dict) = self.values else {
                return Err(PyError::type_error("format requires a mapping"));
            };
            self.used_names = true;
            let key = if self.is_bytes {
                Py::bytes(name.chars().filter_map(|c| u8::try_from(c).ok()).collect::<Vec<u8>>())
            } else {
                Py::from(name)
            };
            named = Some(Dict::get(dict, &key)?.ok_or_else(|| PyError::key(key))?);
        }
        let mut flags = Flags::default();
        while let Some(c) = self.chars.get(self.at) {
            match c {
                '-' => flags.left = true,
                '+' => flags.plus = true,
                ' ' => flags.space = true,
                '0' => flags.zero = true,
                '#' => flags.alternate = true,
                _ => break,
            }
            self.at += 1;
        }
        let width = self.number(&mut flags)?;
        let mut precision = None;
        if self.chars.get(self.at) == Some(&'.') {
            self.at += 1;
            precision = Some(self.number(&mut Flags::default())?.unwrap_or(0));
        }
        while matches!(self.chars.get(self.at), Some('h' | 'l' | 'L')) {
            self.at += 1;
        }
        let Some(kind) = self.char() else { return Err(PyError::value_error("incomplete format")) };
        if kind == '%' {
            out.push('%');
            return Ok(());
        }
        let value = match named {
            Some(value) => value,
            None => self.argument()?,
        };
        let (sign, body) = self.shown(kind, &value, &flags, precision)?;
        let length = sign.chars().count() + body.chars().count();
        let missing = width.unwrap_or(0).saturating_sub(length);
        let is_number = !matches!(kind, 's' | 'b' | 'r' | 'a' | 'c');
        match (flags.left, flags.zero && is_number) {
            (true, _) => out.extend([sign.as_str(), &body, &" ".repeat(missing)]),
            (false, true) => out.extend([sign.as_str(), &"0".repeat(missing), &body]),
            (false, false) => out.extend([&*" ".repeat(missing), &sign, &body]),
        }
        Ok(())
    }

    fn name(&mut self) -> R<String> {
        self.at += 1;
        let (start, mut depth) = (self.at, 1);
        while depth > 0 {
            match self.char() {
                Some('(') => depth += 1,
                Some(')') => depth -= 1,
                Some(_) => {}
                None => return Err(PyError::value_error("incomplete format key")),
            }
        }
        Ok(self.chars[start..self.at - 1].iter().collect())
    }

    fn number(&mut self, flags: &mut Flags) -> R<Option<usize>> {
        if self.chars.get(self.at) == Some(&'*') {
            self.at += 1;
            let value = index(&self.argument()?).map_err(|_| PyError::type_error("* wants int"))?;
            flags.left |= value < 0;
            let width = usize::try_from(value.unsigned_abs()).unwrap_or(usize::MAX);
            check_width(width)?;
            return Ok(Some(width));
        }
        let start = self.at;
        let mut value: usize = 0;
        while let Some(digit) = self.chars.get(self.at).and_then(|c| c.to_digit(10)) {
            value = value.saturating_mul(10).saturating_add(digit as usize);
            self.at += 1;
        }
        check_width(value)?;
        Ok((self.at > start).then_some(value))
    }

    /// The sign and what follows it.
    fn shown(&self, kind: char, value: &Py, flags: &Flags, precision: Option<usize>) -> R<(String, String)> {
        let cut = |text: String| match precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text,
        };
        let sign = |is_negative: bool| match (is_negative, flags.plus, flags.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        };
        Ok(match kind {
            's' | 'b' if self.is_bytes => (String::new(), cut(Self::bytes(value)?)),
            's' => (String::new(), cut(str(value)?)),
            'r' if self.is_bytes => (String::new(), cut(text::ascii(&repr(value)?))),
            'r' => (String::new(), cut(repr(value)?)),
            'a' => (String::new(), cut(text::ascii(&repr(value)?))),
            'c' if self.is_bytes => (String::new(), Self::byte(value)?),
            'c' => (String::new(), Self::character(value)?),
            'd' | 'i' | 'u' | 'o' | 'x' | 'X' => {
                let whole = whole(kind, value)?;
                let (base, prefix) = match kind {
                    'o' => (8, "0o"),
                    'x' => (16, "0x"),
                    'X' => (16, "0X"),
                    _ => (10, ""),
                };
                if base == 10 {
                    repr(&whole)?;
                }
                let (is_negative, mut text) = digits(&whole, base);
                if kind == 'X' {
                    text = text.to_uppercase();
                }
                let zeros = precision.unwrap_or(0).saturating_sub(text.len());
                let prefix = if flags.alternate { prefix } else { "" };
                (format!("{}{prefix}", sign(is_negative)), format!("{}{text}", "0".repeat(zeros)))
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let float = as_float(value)?.ok_or_else(|| {
                    PyError::type_error(format!("must be real number, not {}", value.type_name()))
                })?;
                let lower = kind.to_ascii_lowercase();
                let mut text = float_text(float.abs(), lower, Some(precision.unwrap_or(6)), flags.alternate);
                if kind.is_ascii_uppercase() {
                    text = text.to_uppercase();
                }
                (sign(float.is_sign_negative() && !float.is_nan()).to_owned(), text)
            }
            kind => {
                return Err(PyError::value_error(format!(
                    "unsupported format character '{kind}' (0x{:x}) at index {}",
                    kind as u32,
                    self.at - 1
                )));
            }
        })
    }

    /// Bytes as characters.
    fn bytes(value: &Py) -> R<String> {
        match value {
            Py::Bytes(bytes) => Ok(bytes.iter().map(|byte| char::from(*byte)).collect()),
            _ => Err(PyError::type_error(format!(
                "%b requires a bytes-like object, or an object that implements __bytes__, not '{}'",
                value.type_name()
            ))),
        }
    }

    fn byte(value: &Py) -> R<String> {
        match value {
            Py::Bytes(bytes) if bytes.len() == 1 => Self::bytes(value),
            Py::Int(code) => match u8::try_from(*code) {
                Ok(byte) => Ok(char::from(byte).to_string()),
                Err(_) => Err(PyError::new(Class::OverflowError, "%c arg not in range(256)")),
            },
            _ => Err(PyError::type_error("%c requires an integer in range(256) or a single byte")),
        }
    }

    fn character(value: &Py) -> R<String> {
        let wanted = || PyError::type_error("%c requires int or char");
        match value {
            Py::Str(text) if text.chars().count() == 1 => Ok(text.to_string()),
            Py::Int(code) => {
                let c = u32::try_from(*code).ok().and_then(char::from_u32);
                c.map(String::from)
                    .ok_or_else(|| PyError::new(Class::OverflowError, "%c arg not in range(0x110000)"))
            }
            _ => Err(wanted()),
        }
    }
}

fn whole(kind: char, value: &Py) -> R {
    match value {
        Py::Float(float) if matches!(kind, 'd' | 'i' | 'u') => float_to_int(*float),
        _ if as_big(value).is_some() => Ok(value.clone()),
        _ => {
            let (what, needed) = match kind {
                'd' | 'i' | 'u' => (kind, "a real number is required"),
                _ => (kind, "an integer is required"),
            };
            Err(PyError::type_error(format!("%{what} format: {needed}, not {}", value.type_name())))
        }
    }
}
