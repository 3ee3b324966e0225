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

/// How far a number goes; a sign belongs to it after the `e` of an exponent.
fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let has_prefix =
        bytes.len() > 1 && bytes[0] == b'0' && matches!(bytes[1], b'x' | b'X' | b'o' | b'O' | b'b' | b'B');
    let mut at = 0;
    while at < bytes.len() {
        let is_part = bytes[at].is_ascii_alphanumeric()
            || bytes[at] == b'_'
            || (bytes[at] == b'.' && !has_prefix)
            || (matches!(bytes[at], b'+' | b'-')
                && !has_prefix
                && at > 0
                && matches!(bytes[at - 1], b'e' | b'E')
                && bytes.get(at + 1).is_some_and(u8::is_ascii_digit));
        // `1if x`: Python reads a number and a keyword.
        let keyword = ["if ", "or ", "and ", "in ", "is ", "else ", "for ", "not "];
        if !is_part || (at > 0 && !has_prefix && keyword.iter().any(|word| rest[at..].starts_with(word))) {
            break;
        }
        at += 1;
    }
    at
}
