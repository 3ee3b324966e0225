//! Python expressions, as templates have them, rewritten to minijinja's.

use std::collections::HashSet;
use std::fmt::Write;

use super::expression_tokens::{KEYWORDS, Token, TokenKind, number, tokenize};

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
pub(super) fn expression(source: &str, scope: &mut Scope<'_>) -> Rewritten {
    let mut parser = Parser::new(source, scope)?;
    let out = parser.tuple_or_test()?;
    parser.expect_end()?;
    Ok(out)
}

/// `target in list` of a `for`: the names assigned to, as they stand, and the list.
pub(super) fn for_header(source: &str, scope: &mut Scope<'_>) -> Rewritten<(Vec<String>, String, String)> {
    let mut parser = Parser::new(source, scope)?;
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
pub(super) fn assignment(source: &str, scope: &mut Scope<'_>) -> Rewritten<Assignment> {
    let mut parser = Parser::new(source, scope)?;
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
            binary(op.trim_end_matches('='), &name(&names[0], parser.scope), &right)
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
pub(super) fn module(source: &str, scope: &mut Scope<'_>) -> Rewritten {
    let mut parser = Parser::new(source, scope)?;
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

fn name(text: &str, scope: &Scope<'_>) -> String {
    let is_scoped =
        |name: &str| scope.scoped.contains(name) && !scope.locals.iter().any(|local| local == name);
    match text {
        "True" => "true".to_owned(),
        "False" => "false".to_owned(),
        "None" => "none".to_owned(),
        _ if is_scoped(text) => format!("{SCOPE}.{text}"),
        _ => text.to_owned(),
    }
}

fn binary(operator: &str, left: &str, right: &str) -> String {
    match operator {
        "%" => format!("_tt_mod({left}, {right})"),
        _ => format!("({left} {operator} {right})"),
    }
}

/// Where an expression stands: what its names mean, and what has to be said before it.
pub(super) struct Scope<'s> {
    scoped: &'s Scoped,
    /// Names that a comprehension or a lambda around binds.
    pub(super) locals: Vec<String>,
    /// Tags that have to stand before the one that holds the expression: macros for its comprehensions and lambdas.
    pub(super) before: Vec<String>,
    /// How many macros the template has.
    pub(super) macros: &'s mut usize,
    depth: usize,
}

impl<'s> Scope<'s> {
    pub(super) fn new(scoped: &'s Scoped, macros: &'s mut usize) -> Self {
        Self { scoped, locals: Vec::new(), before: Vec::new(), macros, depth: 0 }
    }
}

pub(super) struct Parser<'p, 's> {
    tokens: Vec<Token>,
    pub(super) at: usize,
    pub(super) scope: &'p mut Scope<'s>,
    end: usize,
}

impl<'p, 's> Parser<'p, 's> {
    fn new(source: &str, scope: &'p mut Scope<'s>) -> Rewritten<Self> {
        Ok(Self { tokens: tokenize(source)?, at: 0, scope, end: source.len() })
    }

    pub(super) fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += usize::from(token.is_some());
        token
    }

    pub(super) fn next(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// The tokens that are still to be read.
    pub(super) fn rest(&self) -> &[Token] {
        self.tokens.get(self.at..).unwrap_or_default()
    }

    /// Whether the next token is this operator or keyword.
    pub(super) fn peek(&self, text: &str) -> bool {
        self.next().is_some_and(|token| token.is(text))
    }

    pub(super) fn accept(&mut self, text: &str) -> bool {
        let found = self.peek(text);
        if found {
            self.at += 1;
        }
        found
    }

    pub(super) fn expect(&mut self, text: &str) -> Rewritten<()> {
        if self.accept(text) {
            return Ok(());
        }
        let found = self.next().map_or("the end".to_owned(), |token| format!("{:?}", token.text));
        self.refuse(format!("expected {text:?}, found {found}"))
    }

    pub(super) fn expect_end(&mut self) -> Rewritten<()> {
        let Some(Token { text, .. }) = self.next() else { return Ok(()) };
        let message = match text.as_str() {
            "for" => "a comprehension must stand in brackets of its own".to_owned(),
            "async" => "async for has no counterpart: await in the handler".to_owned(),
            ":=" => ":= has no counterpart: use set".to_owned(),
            text => format!("unexpected {text:?}"),
        };
        self.refuse(message)
    }

    pub(super) fn leave(&mut self) {
        self.scope.depth -= 1;
    }

    /// One level deeper.
    pub(super) fn enter(&mut self) -> Rewritten<()> {
        self.scope.depth += 1;
        if self.scope.depth > MAX_DEPTH {
            return self.refuse("nested too deep");
        }
        Ok(())
    }

    pub(super) fn refuse<T>(&mut self, message: impl Into<String>) -> Rewritten<T> {
        let offset = self.next().map_or(self.end, |token| token.offset);
        Err(ExpressionError { message: message.into(), offset })
    }

    pub(super) fn target(&mut self, names: &mut Vec<String>) -> Rewritten {
        self.enter()?;
        let mut parts = Vec::new();
        let mut is_tuple = false;
        loop {
            if self.accept("(") || self.accept("[") {
                parts.push(self.target(names)?);
                if !self.accept(")") && !self.accept("]") {
                    return self.refuse("expected \")\"");
                }
            } else {
                match self.next().map(|token| (token.kind, token.text.clone())) {
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
        self.leave();
        Ok(if is_tuple { format!("({})", with_comma(&parts)) } else { parts.concat() })
    }

    pub(super) fn tuple_or_test(&mut self) -> Rewritten {
        let first = self.test()?;
        if !self.peek(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.accept(",") {
            if self.next().is_none() || self.peek(")") || self.peek("]") || self.peek("=") {
                break;
            }
            items.push(self.test()?);
        }
        Ok(format!("({})", with_comma(&items)))
    }

    pub(super) fn test(&mut self) -> Rewritten {
        self.enter()?;
        for (keyword, message) in [
            ("await", "await has no counterpart: await in the handler"),
            ("yield", "yield has no counterpart"),
            ("*", "* has no counterpart here"),
        ] {
            if self.peek(keyword) {
                return self.refuse(message);
            }
        }
        if self.accept("lambda") {
            let out = self.lambda()?;
            self.leave();
            return Ok(out);
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
        self.leave();
        Ok(out)
    }

    pub(super) fn or(&mut self) -> Rewritten {
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
        self.enter()?;
        let out = format!("(not {})", self.not()?);
        self.leave();
        Ok(out)
    }

    fn comparison(&mut self) -> Rewritten {
        let mut left = self.sum()?;
        let mut parts = Vec::new();
        loop {
            let operator = match self.next() {
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
                let constant = self.next().map(|token| token.text.clone()).unwrap_or_default();
                if !["None", "True", "False"].contains(&constant.as_str()) {
                    return self.refuse("is compares with None, True and False only: use ==");
                }
                self.take();
                parts.push(format!("({left} is {not}{})", name(&constant, self.scope)));
                left = name(&constant, self.scope);
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
        self.enter()?;
        let operand = self.unary()?;
        self.leave();
        Ok(if minus { format!("(-{operand})") } else { operand })
    }

    fn power(&mut self) -> Rewritten {
        let base = self.primary()?;
        if self.accept("**") {
            self.enter()?;
            let exponent = self.unary()?;
            self.leave();
            return Ok(format!("({base} ** {exponent})"));
        }
        Ok(base)
    }

    fn primary(&mut self) -> Rewritten {
        let Some(token) = self.next().cloned() else { return self.refuse("expected an expression") };
        let out = match token.kind {
            TokenKind::Name if KEYWORDS.contains(&token.text.as_str()) => {
                return self.refuse(format!("unexpected {:?}", token.text));
            }
            TokenKind::Name => {
                self.take();
                name(&token.text, self.scope)
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
                    } else if self.at_comprehension() {
                        self.comprehension(")")?
                    } else {
                        let inner = self.tuple_or_test()?;
                        self.close(")")?;
                        if inner.starts_with('(') { inner } else { format!("({inner})") }
                    }
                }
                "[" => {
                    self.take();
                    if self.at_comprehension() {
                        self.comprehension("]")?
                    } else {
                        format!("[{}]", self.items("]")?.join(", "))
                    }
                }
                "{" => {
                    self.take();
                    if self.at_comprehension() { self.comprehension("}")? } else { self.dict()? }
                }
                _ => return self.refuse(format!("unexpected {:?}", token.text)),
            },
        };
        self.postfix(out)
    }
}

/// `a, b`, and `a,` for one.
fn with_comma(items: &[String]) -> String {
    if items.len() == 1 { format!("{},", items[0]) } else { items.join(", ") }
}
