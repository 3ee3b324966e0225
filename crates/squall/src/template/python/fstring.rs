//! The parts of an f-string.

use super::ast::{Expr, Piece};
use super::literals::unescape;
use super::parse::Parser;
use super::{Parsed, wrong};

/// Formats in formats: Python allows one.
const MAX_NESTING: usize = 2;

/// The text of an f-string, and where what is in it stands.
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    /// Where the text begins.
    pub(super) at: usize,
    /// Where the literal begins: the place of its mistakes.
    pub(super) literal: usize,
    pub(super) is_raw: bool,
}

/// The parts, in order.
pub(super) fn pieces(source: &Source<'_>, depth: usize) -> Parsed<Vec<Piece>> {
    let mut reader = Reader { source, at: 0, depth };
    reader.pieces(0)
}

struct Reader<'a> {
    source: &'a Source<'a>,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.source.text[self.at..]
    }

    fn fail<T>(&self, message: &str) -> Parsed<T> {
        wrong(self.source.literal, message)
    }

    /// Up to the end, or in a format up to its `}`.
    fn pieces(&mut self, nesting: usize) -> Parsed<Vec<Piece>> {
        let mut pieces = Vec::new();
        while let Some(at) = self.rest().find(['{', '}']) {
            self.text(at, &mut pieces)?;
            let rest = self.rest();
            if nesting == 0 && (rest.starts_with("{{") || rest.starts_with("}}")) {
                pieces.push(Piece::Text(rest[..1].to_owned()));
                self.at += 2;
            } else if rest.starts_with('{') {
                self.at += 1;
                pieces.push(self.value(nesting)?);
            } else if nesting > 0 {
                return Ok(pieces);
            } else {
                return self.fail("f-string: single '}' is not allowed");
            }
        }
        self.text(self.rest().len(), &mut pieces)?;
        Ok(pieces)
    }

    fn text(&mut self, length: usize, pieces: &mut Vec<Piece>) -> Parsed<()> {
        let text = &self.source.text[self.at..self.at + length];
        if !text.is_empty() {
            let text =
                if self.source.is_raw { text.to_owned() } else { unescape(text, self.source.literal)? };
            pieces.push(Piece::Text(text));
        }
        self.at += length;
        Ok(())
    }

    /// What stands between braces; the opening one is read.
    fn value(&mut self, nesting: usize) -> Parsed<Piece> {
        if nesting >= MAX_NESTING {
            return self.fail("f-string: expressions nested too deeply");
        }
        let Some(end) = expression_end(self.rest()) else {
            return self.fail("f-string: expected '}'");
        };
        let mut code = &self.source.text[self.at..self.at + end];
        if code.trim().is_empty() {
            return self.fail("f-string: empty expression not allowed");
        }
        // `{x=}` shows the expression too.
        let is_shown = {
            let before = code.trim_end();
            before.ends_with('=') && !["==", "!=", "<=", ">="].iter().any(|op| before.ends_with(op))
        };
        let shown = is_shown.then(|| code.to_owned());
        if is_shown {
            code = code.trim_end().strip_suffix('=').unwrap_or(code);
        }
        let lead = code.len() - code.trim_start().len();
        let value: Expr =
            Parser::new(code.trim(), self.source.at + self.at + lead, self.depth + 1)?.whole()?;
        self.at += end;
        let mut conversion = None;
        if self.rest().starts_with('!') {
            conversion = self.rest().chars().nth(1);
            if !matches!(conversion, Some('r' | 's' | 'a')) {
                return self.fail("f-string: invalid conversion character");
            }
            self.at += 2;
        }
        let mut spec = Vec::new();
        let has_spec = self.rest().starts_with(':');
        if has_spec {
            self.at += 1;
            spec = self.pieces(nesting + 1)?;
        }
        if !self.rest().starts_with('}') {
            return self.fail("f-string: expected '}'");
        }
        self.at += 1;
        let Some(shown) = shown else { return Ok(Piece::Value { value, conversion, spec }) };
        if conversion.is_none() && !has_spec {
            conversion = Some('r');
        }
        let inner = Piece::Value { value, conversion, spec };
        let at = self.source.literal;
        let joined = super::ast::ExprKind::Joined(vec![Piece::Text(shown), inner]);
        Ok(Piece::Value { value: Expr { at, depth: 1, kind: joined }, conversion: None, spec: Vec::new() })
    }
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
            (None, '}') => return Some(at),
            (None, ':') if depth == 0 => return Some(at),
            (None, '!') if depth == 0 && !text[at + 1..].starts_with('=') => return Some(at),
            _ => {}
        }
    }
    None
}
