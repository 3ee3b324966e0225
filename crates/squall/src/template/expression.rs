//! Python expressions, as templates have them, rewritten to minijinja's.

use std::collections::HashSet;
use std::fmt::Write;

use super::expression_tokens::{KEYWORDS, Token, TokenKind, number, tokenize};
use super::format_string::{Piece, format_pieces};

/// Names that live in the template's scope object, because a loop assigns to them.
pub(super) type Scoped = HashSet<String>;

/// What cannot be rewritten, and where in the expression, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExpressionError {
    pub(super) message: String,
    pub(super) offset: usize,
}

pub(super) type Rewritten<T = String> = Result<T, ExpressionError>;

/// Nested deeper than this is refused: minijinja's own limit is 150, and each level of ours is up to two of its.
const MAX_DEPTH: usize = 40;

/// The object that holds what a loop assigns to.
pub(super) const SCOPE: &str = "_tt_scope";

/// # Errors
/// Python that has no counterpart here.
pub(super) fn expression(source: &str, scoped: &Scoped) -> Rewritten {
    let mut parser = Parser::new(source, scoped)?;
    let out = parser.tuple_or_test()?;
    parser.expect_end()?;
    Ok(out)
}

/// `target in list` of a `for`: the names assigned to, as they stand, and the list.
pub(super) fn for_header(source: &str, scoped: &Scoped) -> Rewritten<(Vec<String>, String, String)> {
    let mut parser = Parser::new(source, scoped)?;
    let mut names = Vec::new();
    let target = parser.target(&mut names)?;
    parser.expect("in")?;
    let list = parser.tuple_or_test()?;
    parser.expect_end()?;
    Ok((names, target, list))
}

/// What a `{% set %}` does.
#[derive(Debug)]
pub(super) struct Assignment {
    /// The names assigned to.
    pub(super) names: Vec<String>,
    /// In minijinja's spelling.
    pub(super) target: String,
    pub(super) value: String,
}

/// `a = expression`, `a, b = expression` and `a += expression`.
///
/// # Errors
/// Any other statement.
pub(super) fn assignment(source: &str, scoped: &Scoped) -> Rewritten<Assignment> {
    let mut parser = Parser::new(source, scoped)?;
    let mut names = Vec::new();
    let target = parser.target(&mut names).map_err(|error| ExpressionError {
        message: format!("set takes name = expression ({})", error.message),
        ..error
    })?;
    let operator = parser.take().map(|token| (token.text.clone(), token.offset));
    let value = match operator.as_ref().map(|(text, _)| text.as_str()) {
        Some("=") => {
            let value = parser.tuple_or_test()?;
            if parser.peek("=") {
                return parser.refuse("one assignment at a time: write several set");
            }
            value
        }
        Some(op @ ("+=" | "-=" | "*=" | "/=" | "//=" | "%=")) if names.len() == 1 => {
            let right = parser.tuple_or_test()?;
            binary(op.trim_end_matches('='), &name(&names[0], scoped), &right)
        }
        _ => {
            let offset = operator.map_or(source.len(), |(_, offset)| offset);
            let message = "set takes name = expression; other statements have no counterpart".to_owned();
            return Err(ExpressionError { message, offset });
        }
    };
    parser.expect_end()?;
    Ok(Assignment { names, target, value })
}

/// A `{% module %}`'s call, on the object that has the modules.
pub(super) fn module(source: &str, scoped: &Scoped) -> Rewritten {
    let mut parser = Parser::new(source, scoped)?;
    let Some(Token { kind: TokenKind::Name, text, .. }) = parser.take() else {
        return Err(ExpressionError { message: "module takes a call, such as Entry(1)".into(), offset: 0 });
    };
    let out = parser.postfix(format!("_tt_modules.{text}"))?;
    parser.expect_end()?;
    Ok(out)
}

/// A string as minijinja reads it.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn name(text: &str, scoped: &Scoped) -> String {
    match text {
        "True" => "true".to_owned(),
        "False" => "false".to_owned(),
        "None" => "none".to_owned(),
        _ if scoped.contains(text) => format!("{SCOPE}.{text}"),
        _ => text.to_owned(),
    }
}

fn binary(operator: &str, left: &str, right: &str) -> String {
    match operator {
        "%" => format!("_tt_mod({left}, {right})"),
        _ => format!("({left} {operator} {right})"),
    }
}

struct Parser<'s> {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    scoped: &'s Scoped,
    end: usize,
    depth: usize,
}

impl<'s> Parser<'s> {
    fn new(source: &str, scoped: &'s Scoped) -> Rewritten<Self> {
        let tokens = tokenize(source)?.into_iter().peekable();
        Ok(Self { tokens, scoped, end: source.len(), depth: 0 })
    }

    fn take(&mut self) -> Option<Token> {
        self.tokens.next()
    }

    /// Whether the next token is this operator or keyword.
    fn peek(&mut self, text: &str) -> bool {
        self.tokens.peek().is_some_and(|token| {
            matches!(token.kind, TokenKind::Operator | TokenKind::Name) && token.text == text
        })
    }

    fn accept(&mut self, text: &str) -> bool {
        let found = self.peek(text);
        if found {
            self.tokens.next();
        }
        found
    }

    fn expect(&mut self, text: &str) -> Rewritten<()> {
        if self.accept(text) {
            return Ok(());
        }
        let found = self.tokens.peek().map_or("the end".to_owned(), |token| format!("{:?}", token.text));
        self.refuse(format!("expected {text:?}, found {found}"))
    }

    fn expect_end(&mut self) -> Rewritten<()> {
        let Some(Token { text, .. }) = self.tokens.peek() else { return Ok(()) };
        let message = match text.as_str() {
            "for" | "async" => {
                "comprehensions have no counterpart: prepare the list in the handler".to_owned()
            }
            ":=" => ":= has no counterpart: use set".to_owned(),
            text => format!("unexpected {text:?}"),
        };
        self.refuse(message)
    }

    fn refuse<T>(&mut self, message: impl Into<String>) -> Rewritten<T> {
        let offset = self.tokens.peek().map_or(self.end, |token| token.offset);
        Err(ExpressionError { message: message.into(), offset })
    }

    fn target(&mut self, names: &mut Vec<String>) -> Rewritten {
        let mut parts = Vec::new();
        let mut is_tuple = false;
        loop {
            if self.accept("(") || self.accept("[") {
                parts.push(self.target(names)?);
                if !self.accept(")") && !self.accept("]") {
                    return self.refuse("expected \")\"");
                }
            } else {
                match self.tokens.peek().map(|token| (token.kind, token.text.clone())) {
                    Some((TokenKind::Name, text)) if !KEYWORDS.contains(&text.as_str()) => {
                        self.take();
                        parts.push(text.clone());
                        names.push(text);
                    }
                    _ => return self.refuse("expected a name"),
                }
            }
            if !self.accept(",") {
                break;
            }
            is_tuple = true;
            if self.peek("in") || self.peek("=") || self.peek(")") {
                break;
            }
        }
        Ok(if is_tuple { format!("({})", with_comma(&parts)) } else { parts.concat() })
    }

    fn tuple_or_test(&mut self) -> Rewritten {
        let first = self.test()?;
        if !self.peek(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.accept(",") {
            if self.tokens.peek().is_none() || self.peek(")") || self.peek("]") || self.peek("=") {
                break;
            }
            items.push(self.test()?);
        }
        Ok(format!("({})", with_comma(&items)))
    }

    fn test(&mut self) -> Rewritten {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.refuse("nested too deep");
        }
        for (keyword, message) in [
            ("lambda", "lambda has no counterpart: use Application::ui_method"),
            ("await", "await has no counterpart: await in the handler"),
            ("yield", "yield has no counterpart"),
            ("*", "* has no counterpart here"),
        ] {
            if self.peek(keyword) {
                return self.refuse(message);
            }
        }
        let value = self.or()?;
        let out = if self.accept("if") {
            let condition = self.or()?;
            self.expect("else")?;
            let otherwise = self.test()?;
            format!("({value} if {condition} else {otherwise})")
        } else {
            value
        };
        self.depth -= 1;
        Ok(out)
    }

    fn or(&mut self) -> Rewritten {
        self.logical("or", Self::and)
    }

    fn and(&mut self) -> Rewritten {
        self.logical("and", Self::not)
    }

    fn logical(&mut self, operator: &str, next: fn(&mut Self) -> Rewritten) -> Rewritten {
        let mut parts = vec![next(self)?];
        while self.accept(operator) {
            parts.push(next(self)?);
        }
        Ok(if parts.len() == 1 {
            parts.concat()
        } else {
            format!("({})", parts.join(&format!(" {operator} ")))
        })
    }

    fn not(&mut self) -> Rewritten {
        if !self.accept("not") {
            return self.comparison();
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.refuse("nested too deep");
        }
        let out = format!("(not {})", self.not()?);
        self.depth -= 1;
        Ok(out)
    }

    fn comparison(&mut self) -> Rewritten {
        let mut left = self.sum()?;
        let mut parts = Vec::new();
        loop {
            let operator = match self.tokens.peek() {
                Some(Token { kind: TokenKind::Operator, text, .. })
                    if ["<", ">", "<=", ">=", "==", "!="].contains(&text.as_str()) =>
                {
                    text.clone()
                }
                Some(Token { kind: TokenKind::Name, text, .. }) if text == "in" || text == "is" => {
                    text.clone()
                }
                Some(Token { kind: TokenKind::Name, text, .. }) if text == "not" => "not in".to_owned(),
                _ => break,
            };
            self.take();
            if operator == "not in" {
                self.expect("in")?;
            }
            if operator == "is" {
                let not = if self.accept("not") { "not " } else { "" };
                let constant = self.tokens.peek().map(|token| token.text.clone()).unwrap_or_default();
                if !["None", "True", "False"].contains(&constant.as_str()) {
                    return self.refuse("is compares with None, True and False only: use ==");
                }
                self.take();
                parts.push(format!("({left} is {not}{})", name(&constant, self.scoped)));
                left = name(&constant, self.scoped);
                continue;
            }
            let right = self.sum()?;
            parts.push(format!("({left} {operator} {right})"));
            left = right;
        }
        Ok(match parts.len() {
            0 => left,
            1 => parts.concat(),
            _ => format!("({})", parts.join(" and ")),
        })
    }

    fn sum(&mut self) -> Rewritten {
        let mut out = self.product()?;
        let mut is_chain = false;
        loop {
            let operator = if self.accept("+") {
                "+"
            } else if self.accept("-") {
                "-"
            } else {
                break;
            };
            let right = self.product()?;
            let _ = write!(out, " {operator} {right}");
            is_chain = true;
        }
        for operator in ["|", "&", "^", "<<", ">>"] {
            if self.peek(operator) {
                return self.refuse(format!("{operator} has no counterpart: compute it in the handler"));
            }
        }
        Ok(if is_chain { format!("({out})") } else { out })
    }

    fn product(&mut self) -> Rewritten {
        let mut out = self.unary()?;
        while let Some(operator) = ["*", "//", "/", "%"].into_iter().find(|op| self.peek(op)) {
            self.take();
            let right = self.unary()?;
            out = binary(operator, &out, &right);
        }
        if self.peek("@") {
            return self.refuse("@ has no counterpart");
        }
        Ok(out)
    }

    fn unary(&mut self) -> Rewritten {
        if self.peek("~") {
            return self.refuse("~ has no counterpart");
        }
        let minus = self.accept("-");
        if !minus && !self.accept("+") {
            return self.power();
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.refuse("nested too deep");
        }
        let operand = self.unary()?;
        self.depth -= 1;
        Ok(if minus { format!("(-{operand})") } else { operand })
    }

    fn power(&mut self) -> Rewritten {
        let base = self.primary()?;
        if self.accept("**") {
            let exponent = self.unary()?;
            return Ok(format!("({base} ** {exponent})"));
        }
        Ok(base)
    }

    fn primary(&mut self) -> Rewritten {
        let Some(token) = self.tokens.peek().cloned() else { return self.refuse("expected an expression") };
        let out = match token.kind {
            TokenKind::Name if KEYWORDS.contains(&token.text.as_str()) => {
                return self.refuse(format!("unexpected {:?}", token.text));
            }
            TokenKind::Name => {
                self.take();
                name(&token.text, self.scoped)
            }
            TokenKind::Number => {
                self.take();
                number(&token)?
            }
            TokenKind::String | TokenKind::Format => self.strings()?,
            TokenKind::Operator => match token.text.as_str() {
                "(" => {
                    self.take();
                    if self.accept(")") {
                        "()".to_owned()
                    } else {
                        let inner = self.tuple_or_test()?;
                        self.close(")")?;
                        if inner.starts_with('(') { inner } else { format!("({inner})") }
                    }
                }
                "[" => {
                    self.take();
                    format!("[{}]", self.items("]")?.join(", "))
                }
                "{" => {
                    self.take();
                    self.dict()?
                }
                _ => return self.refuse(format!("unexpected {:?}", token.text)),
            },
        };
        self.postfix(out)
    }

    /// Adjacent strings, which are one.
    fn strings(&mut self) -> Rewritten {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut formats = false;
        while let Some(token) =
            self.tokens.next_if(|token| matches!(token.kind, TokenKind::String | TokenKind::Format))
        {
            if token.kind == TokenKind::String {
                plain.push_str(&token.text);
                continue;
            }
            formats = true;
            for piece in format_pieces(&token, self.scoped)? {
                match piece {
                    Piece::Text(text) => plain.push_str(&text),
                    Piece::Value(value) => {
                        parts.extend((!plain.is_empty()).then(|| quote(&std::mem::take(&mut plain))));
                        parts.push(value);
                    }
                }
            }
        }
        if !formats {
            return Ok(quote(&plain));
        }
        parts.extend((!plain.is_empty()).then(|| quote(&plain)));
        Ok(format!("_tt_concat({})", parts.join(", ")))
    }

    fn items(&mut self, close: &str) -> Rewritten<Vec<String>> {
        let mut items = Vec::new();
        while !self.accept(close) {
            items.push(self.test()?);
            if !self.accept(",") {
                self.close(close)?;
                break;
            }
        }
        Ok(items)
    }

    fn dict(&mut self) -> Rewritten {
        let mut items = Vec::new();
        let mut is_set = false;
        while !self.accept("}") {
            if self.peek("**") {
                return self.refuse("** has no counterpart here");
            }
            let key = self.test()?;
            if self.accept(":") {
                let value = self.test()?;
                items.push(format!("{key}: {value}"));
            } else {
                is_set = true;
                items.push(key);
            }
            if !self.accept(",") {
                self.close("}")?;
                break;
            }
        }
        Ok(if is_set { format!("set([{}])", items.join(", ")) } else { format!("{{{}}}", items.join(", ")) })
    }

    fn close(&mut self, text: &str) -> Rewritten<()> {
        if self.peek("for") || self.peek("async") || self.peek(":=") {
            return self.expect_end();
        }
        self.expect(text)
    }

    fn postfix(&mut self, mut out: String) -> Rewritten {
        loop {
            if self.accept(".") {
                match self.take() {
                    Some(Token { kind: TokenKind::Name, text, .. }) => {
                        let _ = write!(out, ".{text}");
                    }
                    _ => return self.refuse("expected a name after \".\""),
                }
            } else if self.accept("(") {
                let arguments = self.arguments()?;
                let _ = write!(out, "({arguments})");
            } else if self.accept("[") {
                let index = self.index()?;
                let _ = write!(out, "[{index}]");
            } else {
                return Ok(out);
            }
        }
    }

    fn arguments(&mut self) -> Rewritten {
        let mut arguments = Vec::new();
        while !self.accept(")") {
            let star = ["**", "*"].into_iter().find(|star| self.accept(star)).unwrap_or_default();
            let first = self.tokens.peek().cloned();
            let value = self.test()?;
            arguments.push(match first {
                Some(Token { kind: TokenKind::Name, text, .. }) if star.is_empty() && self.accept("=") => {
                    format!("{text}={}", self.test()?)
                }
                _ => format!("{star}{value}"),
            });
            if !self.accept(",") {
                self.close(")")?;
                break;
            }
        }
        Ok(arguments.join(", "))
    }

    fn index(&mut self) -> Rewritten {
        let mut out = String::new();
        loop {
            if self.accept("]") {
                return Ok(out);
            }
            if self.accept(":") {
                out.push(':');
                continue;
            }
            out.push_str(&self.tuple_or_test()?);
            if !self.peek("]") && !self.peek(":") {
                self.close("]")?;
            }
        }
    }
}

/// `a, b`, and `a,` for one.
fn with_comma(items: &[String]) -> String {
    if items.len() == 1 { format!("{},", items[0]) } else { items.join(", ") }
}
