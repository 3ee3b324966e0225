//! Python's tokens. Line ends are white space: a tag is one statement.

use super::ast::Constant;
use super::literals::{number, unescape, unescape_bytes};
use super::{Parsed, wrong};

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Name(String),
    Constant(Constant),
    /// The text between the quotes of an f-string, and where it begins.
    Format {
        text: String,
        at: usize,
        is_raw: bool,
    },
    Operator(&'static str),
    /// Stands for what `{% apply %}` gives to its function.
    Applied,
    End,
}

/// Longer ones first.
const OPERATORS: &[&str] = &[
    "**=", "//=", ">>=", "<<=", "...", "!=", ":=", "->", "**", "//", "<<", ">>", "<=", ">=", "==", "+=",
    "-=", "*=", "/=", "%=", "&=", "|=", "^=", "@=", "+", "-", "*", "/", "%", "@", "&", "|", "^", "~", "<",
    ">", "(", ")", "[", "]", "{", "}", ",", ":", ".", ";", "=",
];

/// The tokens of `text`, which stands at `base` in its file, and an `End`.
pub(super) fn tokens(text: &str, base: usize) -> Parsed<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let place = base + at;
        if c == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        if c.is_whitespace() || rest.starts_with("\\\n") {
            at += c.len_utf8();
            continue;
        }
        let (kind, length) = if let Some((prefix, quote)) = string_start(rest) {
            string(rest, prefix, quote, place)?
        } else if is_name_start(c) {
            let length = rest.find(|c| !is_name_part(c)).unwrap_or(rest.len());
            (Kind::Name(rest[..length].to_owned()), length)
        } else if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            let length = number_length(rest);
            (Kind::Constant(number(&rest[..length], place)?), length)
        } else {
            match OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
                Some(operator) => (Kind::Operator(operator), operator.len()),
                None => return wrong(place, format!("unexpected character {c:?}")),
            }
        };
        tokens.push(Token { kind, at: place });
        at += length;
    }
    tokens.push(Token { kind: Kind::End, at: base + text.len() });
    Ok(tokens)
}

pub(super) fn is_name_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

pub(super) fn is_name_part(c: char) -> bool {
    c == '_' || c.is_alphanumeric() || crate::template::text::is_mark(c)
}

/// The prefix of a string that begins here, and its quote.
fn string_start(rest: &str) -> Option<(&str, &'static str)> {
    let prefix = rest.bytes().take(2).take_while(|b| b"rRbBuUfF".contains(b)).count();
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| rest[prefix..].starts_with(*quote))?;
    let known = ["", "r", "b", "u", "f", "rb", "br", "rf", "fr"];
    let lower = rest[..prefix].to_ascii_lowercase();
    known.contains(&lower.as_str()).then(|| (&rest[..prefix], quote))
}

fn string(rest: &str, prefix: &str, quote: &str, place: usize) -> Parsed<(Kind, usize)> {
    let start = prefix.len() + quote.len();
    let mut end = start;
    loop {
        let tail = &rest[end..];
        if tail.starts_with(quote) {
            break;
        }
        let Some(c) = tail.chars().next() else { return wrong(place, "unterminated string") };
        if c == '\n' && quote.len() == 1 {
            return wrong(place, "unterminated string");
        }
        end += c.len_utf8();
        if c == '\\' {
            end += rest[end..].chars().next().map_or(0, char::len_utf8);
        }
    }
    let text = &rest[start..end];
    let has = |flag: char| prefix.chars().any(|c| c.eq_ignore_ascii_case(&flag));
    let kind = match (has('f'), has('b'), has('r')) {
        (true, _, is_raw) => Kind::Format { text: text.to_owned(), at: place + start, is_raw },
        (_, true, true) if !text.is_ascii() => {
            return wrong(place, "bytes can only contain ASCII literal characters");
        }
        (_, true, true) => Kind::Constant(Constant::Bytes(text.as_bytes().to_vec())),
        (_, true, false) => Kind::Constant(Constant::Bytes(unescape_bytes(text, place)?)),
        (_, _, true) => Kind::Constant(Constant::Str(text.to_owned())),
        _ => Kind::Constant(Constant::Str(unescape(text, place)?)),
    };
    Ok((kind, end + quote.len()))
}

/// How far a number goes: digits, a point with more of them, an exponent. What follows without a space belongs to it too and
/// makes it wrong, unless it is a keyword (`1if x else 2`).
fn number_length(rest: &str) -> usize {
    let is_digit = |c: char| c.is_ascii_digit() || c == '_';
    let after = |at: usize, is_part: fn(char) -> bool| {
        at + rest[at..].find(|c| !is_part(c)).unwrap_or(rest.len() - at)
    };
    let digits = |at: usize| after(at, |c| c.is_ascii_digit() || c == '_');
    let lower = rest.get(..2).unwrap_or_default().to_ascii_lowercase();
    let mut at = match lower.as_str() {
        "0x" => after(2, |c| c.is_ascii_hexdigit() || c == '_'),
        "0o" | "0b" => digits(2),
        _ => {
            let mut at = digits(0);
            if rest[at..].starts_with('.') {
                at = digits(at + 1);
            }
            if let Some(exponent) = rest[at..].strip_prefix(['e', 'E']) {
                let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                if unsigned.starts_with(is_digit) {
                    at = digits(rest.len() - unsigned.len());
                }
            }
            at + usize::from(rest[at..].starts_with(['j', 'J']))
        }
    };
    let word = after(at, is_name_part);
    if !["and", "else", "for", "if", "in", "is", "not", "or"].contains(&&rest[at..word]) {
        at = word;
    }
    at
}
