//! Numbers in formats.

use super::spec::{Align, Spec};
use super::{Py, PyError, R, digits, unknown_kind};
use crate::template::value::{index, repr, write_float};

/// A whole number.
pub(super) fn int(value: &Py, spec: &Spec) -> R<String> {
    let (base, prefix) = match spec.kind {
        None | Some('d' | 'n') => (10, ""),
        Some('b') => (2, "0b"),
        Some('o') => (8, "0o"),
        Some('x') => (16, "0x"),
        Some('X') => (16, "0X"),
        Some('c') => {
            if spec.sign.is_some() {
                return Err(PyError::value_error("Sign not allowed with integer format specifier 'c'"));
            }
            let c = u32::try_from(index(value)?).ok().and_then(char::from_u32);
            let c = c.ok_or_else(|| {
                PyError::new(crate::template::value::Class::OverflowError, "%c arg not in range(0x110000)")
            })?;
            return Ok(spec.pad("", &c.to_string(), Align::Left));
        }
        Some(kind) => {
            return Err(unknown_kind(kind, if matches!(value, Py::Bool(_)) { "bool" } else { "int" }));
        }
    };
    if spec.precision.is_some() {
        return Err(PyError::value_error("Precision not allowed in integer format specifier"));
    }
    if base == 10 {
        // Python refuses to print what is very long.
        repr(value)?;
    }
    let (is_negative, mut text) = digits(value, base);
    if spec.kind == Some('X') {
        text = text.to_uppercase();
    }
    let mut sign = sign_of(is_negative, spec).to_owned();
    if spec.is_alternate {
        sign.push_str(prefix);
    }
    let every = if base == 10 { 3 } else { 4 };
    if spec.grouping == Some(',') && base != 10 {
        let kind = spec.kind.unwrap_or('d');
        return Err(PyError::value_error(format!("Cannot specify ',' with '{kind}'.")));
    }
    Ok(finish(&sign, &text, "", every, spec))
}

fn sign_of(is_negative: bool, spec: &Spec) -> &'static str {
    match (is_negative, spec.sign) {
        (true, _) => "-",
        (false, Some('+')) => "+",
        (false, Some(' ')) => " ",
        _ => "",
    }
}

/// Groups the digits and fills up; zeros that fill up are grouped too.
fn finish(sign: &str, whole: &str, rest: &str, every: usize, spec: &Spec) -> String {
    let Some(separator) = spec.grouping else {
        return spec.pad(sign, &format!("{whole}{rest}"), Align::Right);
    };
    let mut digits = whole.to_owned();
    if spec.fill == Some('0') && spec.align == Some(Align::AfterSign) {
        let room = spec.width.unwrap_or(0).saturating_sub(sign.len() + rest.chars().count());
        // So many digits that with their separators they fill the room.
        while digits.len() + (digits.len().saturating_sub(1)) / every < room {
            digits.insert(0, '0');
        }
    }
    spec.pad(sign, &format!("{}{rest}", grouped(&digits, separator, every)), Align::Right)
}

fn grouped(digits: &str, separator: char, every: usize) -> String {
    let mut out = String::new();
    for (index, c) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(every) {
            out.push(separator);
        }
        out.push(c);
    }
    out
}

/// A float.
pub(super) fn float(value: f64, spec: &Spec) -> R<String> {
    let kind = match spec.kind {
        None => '\0',
        Some(kind @ ('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%')) => kind,
        Some('n') => 'g',
        Some(kind) => return Err(unknown_kind(kind, "float")),
    };
    let mut text = float_text(value.abs(), kind, spec.precision, spec.is_alternate);
    let is_zero = !text.contains(|c: char| ('1'..='9').contains(&c));
    let is_negative =
        value.is_sign_negative() && !value.is_nan() && !(spec.has_plain_zero && value.is_finite() && is_zero);
    if matches!(kind, 'E' | 'F' | 'G') {
        text = text.to_uppercase();
    }
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at(split);
    if !value.is_finite() {
        return Ok(spec.pad(sign_of(is_negative, spec), &text, Align::Right));
    }
    Ok(finish(sign_of(is_negative, spec), whole, rest, 3, spec))
}

/// The digits of a float that is not negative; `\0` is no type.
pub(super) fn float_text(value: f64, kind: char, precision: Option<usize>, is_alternate: bool) -> String {
    if !value.is_finite() {
        let text = if value.is_nan() { "nan" } else { "inf" };
        return format!("{text}{}", if kind == '%' { "%" } else { "" });
    }
    let dot = |text: String| if is_alternate && !text.contains('.') { format!("{text}.") } else { text };
    match kind {
        'f' | 'F' => dot(format!("{value:.*}", precision.unwrap_or(6))),
        '%' => format!("{}%", dot(format!("{:.*}", precision.unwrap_or(6), value * 100.0))),
        'e' | 'E' => exponent(value, precision.unwrap_or(6), is_alternate),
        '\0' if precision.is_none() => {
            let mut text = String::new();
            write_float(value, &mut text);
            text
        }
        kind => general(value, precision.unwrap_or(6).max(1), kind == '\0', is_alternate),
    }
}

fn exponent(value: f64, precision: usize, is_alternate: bool) -> String {
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    let dot = if is_alternate && !mantissa.contains('.') { "." } else { "" };
    format!("{mantissa}{dot}e{sign}{:02}", exponent.abs())
}

/// `g`; without a type, a float that looks whole keeps its `.0`.
fn general(value: f64, precision: usize, has_dot: bool, is_alternate: bool) -> String {
    let text = format!("{value:.*e}", precision - 1);
    let decimal: i64 = text.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let limit = i64::try_from(precision).unwrap_or(i64::MAX) - i64::from(has_dot);
    if decimal < -4 || decimal >= limit {
        let shown = exponent(value, precision - 1, is_alternate);
        let (mantissa, exponent) = shown.split_once('e').unwrap_or((&shown, "+00"));
        let mantissa = if is_alternate { mantissa } else { without_zeros(mantissa) };
        return format!("{mantissa}e{exponent}");
    }
    let places = usize::try_from(limit + i64::from(has_dot) - 1 - decimal).unwrap_or(0);
    let shown = format!("{value:.places$}");
    let shown = if is_alternate { shown } else { without_zeros(&shown).to_owned() };
    if has_dot && !shown.contains('.') { format!("{shown}.0") } else { shown }
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A float with so many places, rounded to even at halves.
pub(in crate::template) fn fixed(value: f64, places: usize) -> String {
    format!("{value:.places$}")
}

/// `round(value, places)`
pub(in crate::template) fn round_float(value: f64, places: i64) -> f64 {
    if !value.is_finite() || places > 330 {
        return value;
    }
    if places < -310 {
        return 0.0_f64.copysign(value);
    }
    match usize::try_from(places) {
        Ok(places) => fixed(value, places).parse().unwrap_or(value),
        Err(_) => {
            // The digits before the point, rounded as text: half goes to even.
            let power = 10_f64.powi((-places) as i32);
            let scaled = value / power;
            let rounded = scaled.round_ties_even() * power;
            if rounded.is_finite() { rounded } else { value }
        }
    }
}
