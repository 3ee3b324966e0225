//! Numbers, and what backslashes mean in strings.

use num_bigint::BigInt;

use super::ast::Constant;
use super::{Parsed, wrong};

/// The number that a token spells.
pub(super) fn number(text: &str, at: usize) -> Parsed<Constant> {
    let is_hex = text.starts_with("0x") || text.starts_with("0X");
    if text.ends_with(['j', 'J']) && !is_hex {
        return wrong(at, format!("complex numbers have no counterpart: {text}"));
    }
    let no_number = || wrong(at, format!("no number: {text}"));
    let is_integer = is_hex || !text.contains(['.', 'e', 'E']) || text.starts_with("0b");
    if !is_integer {
        return match parse_float(text) {
            Some(float) => Ok(Constant::Float(float)),
            None => no_number(),
        };
    }
    let lower = text.to_ascii_lowercase();
    let has_prefix = ["0x", "0o", "0b"].iter().any(|prefix| lower.starts_with(prefix));
    if !has_prefix && text.starts_with('0') && text.chars().any(|c| c.is_ascii_digit() && c != '0') {
        return wrong(at, format!("leading zeros in a number are not permitted: {text}"));
    }
    if text.len() > 4_300 {
        return wrong(at, "the number has more than 4300 digits");
    }
    match parse_int(text, if has_prefix { 0 } else { 10 }) {
        Some(big) => Ok(i64::try_from(&big).map_or_else(|_| Constant::Big(big), Constant::Int)),
        None => no_number(),
    }
}

/// An integer as `int(text, base)` takes it; base 0 goes by the prefix.
pub(in crate::template) fn parse_int(text: &str, base: u32) -> Option<BigInt> {
    let text = text.trim_matches(crate::template::whitespace::is_space);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixed = digits.get(..2).and_then(|prefix| match prefix {
        "0x" | "0X" => Some(16),
        "0o" | "0O" => Some(8),
        "0b" | "0B" => Some(2),
        _ => None,
    });
    let (base, digits, after_prefix) = match (base, prefixed) {
        (0, Some(found)) => (found, &digits[2..], true),
        (0, None) if digits.starts_with('0') && digits.contains(|c: char| ('1'..='9').contains(&c)) => {
            return None;
        }
        (0, None) => (10, digits, false),
        (base, Some(found)) if base == found => (base, &digits[2..], true),
        (base, _) => (base, digits, false),
    };
    let digits = if after_prefix { digits.strip_prefix('_').unwrap_or(digits) } else { digits };
    let plain = without_underscores(digits)?;
    let ascii = plain.chars().map(ascii_digit).collect::<String>();
    let value = BigInt::parse_bytes(ascii.as_bytes(), base).filter(|_| !ascii.starts_with(['+', '-']))?;
    Some(if negative { -value } else { value })
}

/// A float as `float(text)` takes it.
pub(in crate::template) fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(crate::template::whitespace::is_space);
    let unsigned = text.trim_start_matches(['+', '-']);
    if text.len() - unsigned.len() > 1 {
        return None;
    }
    if ["inf", "infinity", "nan"].contains(&unsigned.to_ascii_lowercase().as_str()) {
        return text.parse().ok();
    }
    let plain = without_underscores(text)?.chars().map(ascii_digit).collect::<String>();
    let is_decimal = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if !plain.chars().all(is_decimal) { None } else { plain.parse().ok() }
}

/// `_` may stand between digits.
fn without_underscores(text: &str) -> Option<String> {
    if !text.contains('_') {
        return Some(text.to_owned());
    }
    let chars: Vec<char> = text.chars().collect();
    let is_fine = |at: usize| {
        let digit = |at: Option<usize>| {
            at.and_then(|at| chars.get(at)).is_some_and(|c| c.is_alphanumeric() || c.is_numeric())
        };
        digit(at.checked_sub(1)) && digit(Some(at + 1))
    };
    let all_fine = chars.iter().enumerate().all(|(at, c)| *c != '_' || is_fine(at));
    all_fine.then(|| text.replace('_', ""))
}

/// Digits of other scripts count as ours.
fn ascii_digit(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    crate::template::text::digit_value(c).and_then(|digit| char::from_digit(digit, 10)).unwrap_or(c)
}

/// The text of a string literal, with its backslashes resolved.
pub(super) fn unescape(text: &str, at: usize) -> Parsed<String> {
    if !text.contains('\\') {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(slash) = rest.find('\\') {
        out.push_str(&rest[..slash]);
        let after = &rest[slash + 1..];
        let Some(c) = after.chars().next() else {
            out.push('\\');
            rest = after;
            break;
        };
        let (code, length) = match c {
            'x' => (hex(after, 2, at)?, 3),
            'u' => (hex(after, 4, at)?, 5),
            'U' => (hex(after, 8, at)?, 9),
            'N' => {
                let name = after.strip_prefix("N{").and_then(|name| name.split_once('}'));
                let Some((name, _)) = name else { return wrong(at, "malformed \\N character escape") };
                match unicode_names2::character(name) {
                    Some(c) => (c as u32, name.len() + 3),
                    None => return wrong(at, format!("unknown Unicode character name: {name}")),
                }
            }
            _ => match simple(after) {
                Some((Some(code), length)) => (code, length),
                Some((None, length)) => {
                    rest = &after[length..];
                    continue;
                }
                None => {
                    // What is no escape stays as it is.
                    out.push('\\');
                    rest = after;
                    continue;
                }
            },
        };
        match char::from_u32(code) {
            Some(c) => out.push(c),
            None => {
                let escape = &after[..length];
                return wrong(
                    at,
                    format!("\\{escape} is no character: Rust's text holds no lone surrogates"),
                );
            }
        }
        rest = &after[length..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The bytes of a bytes literal.
pub(super) fn unescape_bytes(text: &str, at: usize) -> Parsed<Vec<u8>> {
    if !text.is_ascii() {
        return wrong(at, "bytes can only contain ASCII literal characters");
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(slash) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..slash]);
        let after = &rest[slash + 1..];
        let (code, length) = match after.chars().next() {
            Some('x') => (Some(hex(after, 2, at)?), 3),
            _ => match simple(after) {
                Some(found) => found,
                None => {
                    out.push(b'\\');
                    rest = after;
                    continue;
                }
            },
        };
        out.extend(code.map(|code| code as u8));
        rest = &after[length..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// The escapes that texts and bytes share: the code, if there is one, and how much was read.
fn simple(after: &str) -> Option<(Option<u32>, usize)> {
    let code = match after.chars().next()? {
        '\n' => return Some((None, 1)),
        c @ ('\\' | '\'' | '"') => c as u32,
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'v' => 11,
        '0'..='7' => {
            let digits = after.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            return Some((u32::from_str_radix(&after[..digits], 8).ok(), digits));
        }
        _ => return None,
    };
    Some((Some(code), 1))
}

fn hex(after: &str, digits: usize, at: usize) -> Parsed<u32> {
    let found = after.get(1..=digits).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
    match found.and_then(|text| u32::from_str_radix(text, 16).ok()) {
        Some(code) => Ok(code),
        None => {
            let shown: String = after.chars().take(digits + 1).collect();
            wrong(at, format!("invalid escape \\{shown}"))
        }
    }
}
