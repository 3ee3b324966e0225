//! Cuts a template into text, expressions and directives, at the places where Tornado cuts it.

use std::fmt;

use super::whitespace::is_space;

/// One piece of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    /// Where the piece begins, in bytes from the template's start.
    pub(super) offset: usize,
    /// The line of that place, from 1.
    pub(super) line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// Text as it stands; an escaped `{{!` is the text `{{`, a piece of its own.
    Text(&'a str),
    /// `{# ... #}`: kept, for the lines it spans.
    Comment,
    /// `{{ ... }}`, trimmed and not empty.
    Expression(&'a str),
    /// `{% name argument %}`, both trimmed; the name is what stands before the first space, as in Tornado.
    Directive { name: &'a str, argument: &'a str },
}

/// Why a template cannot be cut, in Tornado's words, and where the tag opens (Tornado names the line on which an
/// empty expression ends).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LexError {
    pub(super) message: &'static str,
    pub(super) offset: usize,
    pub(super) line: usize,
}

impl fmt::Display for LexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {}", self.message, self.line)
    }
}

/// The pieces of `source`, in order. Takes time linear in its length.
///
/// # Errors
/// A `{{`, `{%` or `{#` that is not closed, and an empty expression or directive.
pub(super) fn tokens(source: &str) -> Result<Vec<Token<'_>>, LexError> {
    let mut lexer = Lexer { source, offset: 0, line: 1, tokens: Vec::new() };
    while let Some(at) = next_brace(source, lexer.offset) {
        lexer.text(at);
        lexer.tag()?;
    }
    lexer.text(source.len());
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    source: &'a str,
    offset: usize,
    line: usize,
    tokens: Vec<Token<'a>>,
}

impl<'a> Lexer<'a> {
    fn text(&mut self, end: usize) {
        if end > self.offset {
            self.push(Kind::Text(&self.source[self.offset..end]), end);
        }
    }

    fn tag(&mut self) -> Result<(), LexError> {
        let (open, rest) = self.source[self.offset..].split_at(2);
        if rest.starts_with('!') {
            self.push(Kind::Text(open), self.offset + 3);
            return Ok(());
        }
        let (close, unclosed) = match open {
            "{#" => ("#}", "Missing end comment #}"),
            "{{" => ("}}", "Missing end expression }}"),
            _ => ("%}", "Missing end block %}"),
        };
        let length = rest.find(close).ok_or(self.error(unclosed))?;
        let inside = rest[..length].trim_matches(is_space);
        let kind = match open {
            "{#" => Kind::Comment,
            "{{" if inside.is_empty() => return Err(self.error("Empty expression")),
            "{{" => Kind::Expression(inside),
            _ if inside.is_empty() => return Err(self.error("Empty block tag ({% %})")),
            _ => {
                let (name, argument) = inside.split_once(' ').unwrap_or((inside, ""));
                Kind::Directive { name, argument: argument.trim_matches(is_space) }
            }
        };
        self.push(kind, self.offset + 2 + length + 2);
        Ok(())
    }

    fn push(&mut self, kind: Kind<'a>, end: usize) {
        self.tokens.push(Token { kind, offset: self.offset, line: self.line });
        self.line += self.source[self.offset..end].matches('\n').count();
        self.offset = end;
    }

    fn error(&self, message: &'static str) -> LexError {
        LexError { message, offset: self.offset, line: self.line }
    }
}

/// The next `{{`, `{%` or `{#`. Of three braces in a row the innermost two count: `{{{x}}` is `{` and an expression.
fn next_brace(source: &str, from: usize) -> Option<usize> {
    let bytes = source.as_bytes();
    (from..bytes.len().saturating_sub(1)).find(|&at| {
        bytes[at] == b'{'
            && match bytes[at + 1] {
                b'{' => bytes.get(at + 2) != Some(&b'{'),
                next => matches!(next, b'%' | b'#'),
            }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Kind::{Comment, Directive, Expression, Text};
    use super::*;

    fn kinds(source: &str) -> Vec<Kind<'_>> {
        tokens(source).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn a_template_is_cut_where_tornado_cuts_it() {
        let directive = |name, argument| Directive { name, argument };
        for (source, expected) in [
            ("", vec![]),
            ("a { b {", vec![Text("a { b {")]),
            ("{{ x }}", vec![Expression("x")]),
            ("{{{x}}}", vec![Text("{"), Expression("x"), Text("}")]),
            ("{{!x}}{%!y{#!", vec![Text("{{"), Text("x}}"), Text("{%"), Text("y"), Text("{#")]),
            ("a{# {{ x }} #}b", vec![Text("a"), Comment, Text("b")]),
            ("{%  if  x %}{%end%}", vec![directive("if", "x"), directive("end", "")]),
            ("{{ '%}' }}é", vec![Expression("'%}'"), Text("é")]),
        ] {
            assert_eq!(kinds(source), expected, "{source:?}");
        }
    }

    #[test]
    fn an_error_names_its_place() {
        for (source, message, offset, line) in [
            ("a\n{{ x", "Missing end expression }}", 2, 2),
            ("{#\n\n#}\n{% x", "Missing end block %}", 7, 4),
            ("{#", "Missing end comment #}", 0, 1),
            ("\n{{\n}}", "Empty expression", 1, 2),
            ("{% %}", "Empty block tag ({% %})", 0, 1),
        ] {
            assert_eq!(tokens(source), Err(LexError { message, offset, line }), "{source:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_cut_in_order(source in "([{}%#! \n]|[a-zé]){0,60}") {
            if let Ok(tokens) = tokens(&source) {
                let mut last = None;
                for token in tokens {
                    prop_assert!(last < Some(token.offset));
                    prop_assert_eq!(token.line, 1 + source[..token.offset].matches('\n').count());
                    last = Some(token.offset);
                }
            }
        }
    }
}
