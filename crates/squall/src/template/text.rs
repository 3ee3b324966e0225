//! What Python knows of characters.

use std::fmt::Write;

use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;

fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

/// Whether `repr` shows it as it is.
pub(super) fn is_printable(c: char) -> bool {
    use GeneralCategory as G;
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    !matches!(
        category(c),
        G::Control
            | G::Format
            | G::Surrogate
            | G::PrivateUse
            | G::Unassigned
            | G::LineSeparator
            | G::ParagraphSeparator
            | G::SpaceSeparator
    )
}

/// A sign that names may go on with.
pub(super) fn is_mark(c: char) -> bool {
    !c.is_ascii() && matches!(category(c), GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark)
}

pub(super) fn is_alpha(c: char) -> bool {
    use GeneralCategory as G;
    if c.is_ascii() {
        return c.is_ascii_alphabetic();
    }
    matches!(
        category(c),
        G::UppercaseLetter | G::LowercaseLetter | G::TitlecaseLetter | G::ModifierLetter | G::OtherLetter
    )
}

/// A digit of the decimal system of some script.
pub(super) fn is_decimal(c: char) -> bool {
    c.is_ascii_digit() || (!c.is_ascii() && category(c) == GeneralCategory::DecimalNumber)
}

/// The value of a decimal digit.
pub(super) fn digit_value(c: char) -> Option<u32> {
    if c.is_ascii() {
        return c.to_digit(10);
    }
    if !is_decimal(c) {
        return None;
    }
    // Each script's digits are in a row, from zero; rows that touch have ten each.
    let is_digit = |code: u32| char::from_u32(code).is_some_and(is_decimal);
    let start = (0..100).map(|back| c as u32 - back).take_while(|code| is_digit(*code)).last()?;
    Some((c as u32 - start) % 10)
}

/// `isdigit`: superscripts and digits in circles too.
pub(super) fn is_digit(c: char) -> bool {
    is_decimal(c)
        || matches!(
            c as u32,
            0xb2 | 0xb3 | 0xb9 | 0x1369..=0x1371 | 0x19da | 0x2070 | 0x2074..=0x2079 | 0x2080..=0x2089
                | 0x2460..=0x2468 | 0x2474..=0x247c | 0x2488..=0x2490 | 0x24ea | 0x24f5..=0x24fd | 0x24ff
                | 0x2776..=0x277e | 0x2780..=0x2788 | 0x278a..=0x2792 | 0x10a40..=0x10a43 | 0x10e60..=0x10e68
                | 0x11052..=0x1105a | 0x1f100..=0x1f10a
        )
}

pub(super) fn is_numeric(c: char) -> bool {
    c.is_numeric() || is_digit(c)
}

/// Whether it is upper case for `isupper` and `swapcase`.
pub(super) fn is_upper(c: char) -> bool {
    c.is_uppercase()
}

pub(super) fn is_title(c: char) -> bool {
    !c.is_ascii() && category(c) == GeneralCategory::TitlecaseLetter
}

pub(super) fn is_cased(c: char) -> bool {
    c.is_uppercase() || c.is_lowercase() || is_title(c)
}

/// The character at the start of a word in title case.
pub(super) fn push_title(c: char, out: &mut String) {
    if c.is_ascii() {
        out.push(c.to_ascii_uppercase());
        return;
    }
    match c as u32 {
        // DŽ, LJ, NJ and DZ have a form of their own.
        0x1c4..=0x1c6 => out.push('\u{1c5}'),
        0x1c7..=0x1c9 => out.push('\u{1c8}'),
        0x1ca..=0x1cc => out.push('\u{1cb}'),
        0x1f1..=0x1f3 => out.push('\u{1f2}'),
        // Georgian has capitals only in all capitals.
        0x10d0..=0x10ff => out.push(c),
        // Greek letters with an iota below.
        code @ (0x1f80..=0x1faf) => out.extend(char::from_u32(code | 8)),
        0x1fb3 => out.push('\u{1fbc}'),
        0x1fc3 => out.push('\u{1fcc}'),
        0x1ff3 => out.push('\u{1ffc}'),
        0x149 => out.push_str("\u{2bc}N"),
        _ => {
            let mut upper = c.to_uppercase();
            out.extend(upper.next());
            out.extend(upper.flat_map(char::to_lowercase));
        }
    }
}

/// `casefold`
pub(super) fn casefold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c as u32 {
            0x131 => out.push(c),
            0x1e9e => out.push_str("ss"),
            // Cherokee folds to capitals.
            0x13f8..=0x13fd => out.extend(c.to_uppercase()),
            0xab70..=0xabbf => out.extend(c.to_uppercase()),
            0x13a0..=0x13f5 => out.push(c),
            _ => out.extend(c.to_uppercase().flat_map(char::to_lowercase)),
        }
    }
    out
}

/// `swapcase`
pub(super) fn swapcase(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else if c.is_lowercase() {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}

/// The pieces between what ends a line for `str.splitlines`, with it when `keep` says so.
pub(super) fn lines(text: &str, keep: bool) -> Vec<&str> {
    let is_end = |c: char| {
        matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(is_end).unwrap_or(rest.len());
        let after = &rest[end..];
        let length =
            if after.starts_with("\r\n") { 2 } else { after.chars().next().map_or(0, char::len_utf8) };
        lines.push(if keep { &rest[..end + length] } else { &rest[..end] });
        rest = &rest[end + length..];
    }
    lines
}

/// `ascii`: what is not ASCII as an escape.
pub(super) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() { out.push(c) } else { write_escape(c, &mut out) }
    }
    out
}

/// The character as Python's escape of its number.
pub(super) fn write_escape(c: char, out: &mut String) {
    let _ = match c as u32 {
        code @ 0..=0xff => write!(out, "\\x{code:02x}"),
        code @ 0x100..=0xffff => write!(out, "\\u{code:04x}"),
        code => write!(out, "\\U{code:08x}"),
    };
}
