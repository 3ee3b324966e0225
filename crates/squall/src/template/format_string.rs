//! The parts of an f-string.

use super::expression::{ExpressionError, Rewritten, Scope, expression, quote};
use super::expression_tokens::{Token, unescape};

pub(super) enum Piece {
    Text(String),
    Value(String),
}

/// The parts of an f-string.
pub(super) fn format_pieces(token: &Token, scope: &mut Scope<'_>) -> Rewritten<Vec<Piece>> {
    let fail = |message: &str| ExpressionError { message: message.to_owned(), offset: token.offset };
    let (mut pieces, mut rest) = (Vec::new(), token.text.as_str());
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        pieces.push(Piece::Text(unescape(before, token.offset)?));
        if from.starts_with("{{") || from.starts_with("}}") {
            pieces.push(Piece::Text(from[..1].to_owned()));
            rest = &from[2..];
            continue;
        }
        if from.starts_with('}') {
            return Err(fail("f-string: single '}' is not allowed"));
        }
        let end = expression_end(&from[1..]).ok_or_else(|| fail("f-string: expected '}'"))? + 1;
        let value = expression(from[1..end].trim(), scope)
            .map_err(|error| ExpressionError { offset: token.offset, ..error })?;
        let mut tail = &from[end..];
        let mut conversion = "";
        if let Some(after) = tail.strip_prefix('!') {
            (conversion, tail) = after.split_at(after.chars().next().map_or(0, char::len_utf8));
        }
        let value = match conversion {
            "" => value,
            "r" | "a" => format!("repr({value})"),
            "s" => format!("str({value})"),
            _ => return Err(fail("f-string: invalid conversion character")),
        };
        let close = tail.find('}').ok_or_else(|| fail("f-string: expected '}'"))?;
        let spec = tail[..close].strip_prefix(':').unwrap_or_default();
        if spec.contains('{') || (spec.is_empty() && close > 1) {
            return Err(fail("f-string: this form of a format has no counterpart"));
        }
        pieces.push(Piece::Value(format!("_tt_format({value}, {})", quote(spec))));
        rest = &tail[close + 1..];
    }
    pieces.push(Piece::Text(unescape(rest, token.offset)?));
    Ok(pieces)
}

/// Where an expression in an f-string ends: before `!r`, `:` or `}`.
fn expression_end(text: &str) -> Option<usize> {
    let (mut depth, mut quoted) = (0_usize, None);
    for (at, c) in text.char_indices() {
        match (quoted, c) {
            (Some(quote), c) if c == quote => quoted = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quoted = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']') => depth = depth.saturating_sub(1),
            (None, '}') if depth > 0 => depth -= 1,
            (None, '}' | ':') if depth == 0 => return Some(at),
            (None, '!') if depth == 0 && !text[at + 1..].starts_with('=') => return Some(at),
            _ => {}
        }
    }
    None
}
