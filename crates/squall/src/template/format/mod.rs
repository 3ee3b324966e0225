//! Formats: `format(value, spec)`, `'..' % values` and `'{}'.format(..)`.

mod number;
mod percent;
mod spec;
mod template;

pub(super) use number::{fixed, round_float};
pub(super) use percent::{percent, percent_bytes};
pub(super) use template::format_template;

use spec::{Align, Spec};

use super::budget;
use super::value::{Py, PyError, R, as_big, as_float, str};

/// What a width or precision can be.
const MAX_WIDTH: usize = 1 << 20;

/// `format(value, spec)`
///
/// # Errors
/// Python's `ValueError` for a format that the value has not.
pub(super) fn format(value: &Py, spec: &str) -> R<String> {
    if spec.is_empty() && !matches!(value, Py::Big(_)) {
        return str(value);
    }
    match value {
        Py::Moment(moment) => moment.format(spec),
        Py::Str(text) => format_text(text, &Spec::parse(spec, "str")?),
        Py::Bool(_) | Py::Int(_) | Py::Big(_) => {
            let parsed = Spec::parse(spec, "int")?;
            match parsed.kind {
                Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') => {
                    number::float(as_float(value)?.unwrap_or(0.0), &parsed)
                }
                _ => number::int(value, &parsed),
            }
        }
        Py::Float(value) => number::float(*value, &Spec::parse(spec, "float")?),
        _ if spec.is_empty() => str(value),
        _ => Err(PyError::type_error(format!(
            "unsupported format string passed to {}.__format__",
            value.type_name()
        ))),
    }
}

fn format_text(text: &str, spec: &Spec) -> R<String> {
    match spec.kind {
        None | Some('s') => {}
        Some(kind) => return Err(unknown_kind(kind, "str")),
    }
    if spec.has_plain_zero || spec.is_alternate || spec.grouping.is_some() {
        return Err(PyError::value_error("only a width and a precision can be in the format of a text"));
    }
    if spec.sign.is_some() {
        return Err(PyError::value_error("Sign not allowed in string format specifier"));
    }
    if spec.align == Some(Align::AfterSign) {
        return Err(PyError::value_error("'=' alignment not allowed in string format specifier"));
    }
    let cut: String = match spec.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    Ok(spec.pad("", &cut, Align::Left))
}

fn unknown_kind(kind: char, of: &str) -> PyError {
    PyError::value_error(format!("Unknown format code '{kind}' for object of type '{of}'"))
}

fn check_width(width: usize) -> R<()> {
    if width > MAX_WIDTH {
        return Err(PyError::value_error(format!("a width may be {MAX_WIDTH}: this is {width}")));
    }
    budget::pay_bytes(width)
}

/// The digits of a whole number in a base, without a sign.
fn digits(value: &Py, base: u32) -> (bool, String) {
    let whole = as_big(value).unwrap_or_default();
    (whole.sign() == num_bigint::Sign::Minus, whole.magnitude().to_str_radix(base))
}
