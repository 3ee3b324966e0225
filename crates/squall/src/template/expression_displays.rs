//! Strings, lists, dicts, calls and comprehensions: what stands in brackets and quotes.

use std::fmt::Write;

use super::expression::{Parser, Rewritten, quote};
use super::expression_tokens::{KEYWORDS, Token, TokenKind};
use super::format_string::{Piece, format_pieces};

/// What only Python can do. `type` and `open` are not here, since an application may well have functions of that name.
const NO_COUNTERPART: &[&str] =
    &["isinstance", "issubclass", "eval", "exec", "globals", "locals", "callable", "__import__"];

impl Parser<'_, '_> {
    /// Adjacent strings, which are one.
    pub(super) fn strings(&mut self) -> Rewritten {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut formats = false;
        while let Some(token) =
            self.next().filter(|token| matches!(token.kind, TokenKind::String | TokenKind::Format)).cloned()
        {
            self.at += 1;
            if token.kind == TokenKind::String {
                plain.push_str(&token.text);
                continue;
            }
            formats = true;
            for piece in format_pieces(&token, self.scope)? {
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

    pub(super) fn items(&mut self, close: &str) -> Rewritten<Vec<String>> {
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

    pub(super) fn dict(&mut self) -> Rewritten {
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

    pub(super) fn close(&mut self, text: &str) -> Rewritten<()> {
        if self.peek("for") || self.peek("async") || self.peek(":=") {
            return self.expect_end();
        }
        self.expect(text)
    }

    pub(super) fn postfix(&mut self, mut out: String) -> Rewritten {
        loop {
            if self.accept(".") {
                match self.take() {
                    Some(Token { kind: TokenKind::Name, text, .. }) => {
                        let _ = write!(out, ".{text}");
                    }
                    _ => return self.refuse("expected a name after \".\""),
                }
            } else if self.peek("(") {
                if let Some(name) = NO_COUNTERPART.iter().find(|name| out == **name) {
                    self.at -= 1;
                    return self.refuse(format!("{name}() has no counterpart: use Application::ui_method"));
                }
                self.at += 1;
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
        if self.at_comprehension() {
            return self.comprehension(")");
        }
        let mut arguments = Vec::new();
        while !self.accept(")") {
            let star = ["**", "*"].into_iter().find(|star| self.accept(star)).unwrap_or_default();
            let first = self.next().cloned();
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

    /// Whether what follows an opening bracket is a comprehension.
    pub(super) fn at_comprehension(&self) -> bool {
        let mut depth = 0_usize;
        for token in self.rest() {
            match (token.kind, token.text.as_str()) {
                (TokenKind::Operator, "(" | "[" | "{") => depth += 1,
                (TokenKind::Operator, ")" | "]" | "}") if depth > 0 => depth -= 1,
                (TokenKind::Operator, ")" | "]" | "}" | ",") if depth == 0 => return false,
                (TokenKind::Name, "for") if depth == 0 => return true,
                _ => {}
            }
        }
        false
    }

    /// A comprehension up to its closing bracket: a macro, which runs where the comprehension stands and is told whereto
    /// put the items, since macros return nothing but text.
    pub(super) fn comprehension(&mut self, close: &str) -> Rewritten {
        self.enter()?;
        let element = self.at;
        let outer = (std::mem::take(&mut self.scope.before), self.scope.locals.len());
        let mut body = Vec::new();
        let mut ends = Vec::new();
        // The names that the element uses are known after the clauses behind it.
        self.at = self.clauses();
        let clauses = self.at;
        loop {
            let tag = if self.accept("for") {
                let mut names = Vec::new();
                let target = self.target(&mut names)?;
                self.expect("in")?;
                let list = self.or()?;
                self.scope.locals.extend(names);
                ends.push("endfor");
                format!("for {target} in {list}")
            } else if self.accept("if") {
                ends.push("endif");
                format!("if {}", self.or()?)
            } else {
                break;
            };
            body.append(&mut self.scope.before);
            body.push(tag);
        }
        self.close(close)?;
        let end = std::mem::replace(&mut self.at, element);
        let (item, is_dict) = self.element(close == "}")?;
        if self.at != clauses {
            self.expect_end()?;
        }
        self.at = end;
        body.append(&mut self.scope.before);
        body.push(format!("do _tt_push(_tt_out, {item})"));
        body.extend(ends.into_iter().rev().map(str::to_owned));
        let name = self.add_macro(outer, "_tt_out", body);
        self.leave();
        Ok(match close {
            "}" if is_dict => format!("dict(_tt_collect({name}))"),
            "}" => format!("set(_tt_collect({name}))"),
            _ => format!("_tt_collect({name})"),
        })
    }

    /// Where the first `for` of the comprehension is.
    fn clauses(&self) -> usize {
        let mut depth = 0_usize;
        let first = self.rest().iter().position(|token| {
            match (token.kind, token.text.as_str()) {
                (TokenKind::Operator, "(" | "[" | "{") => depth += 1,
                (TokenKind::Operator, ")" | "]" | "}") => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && token.is("for")
        });
        self.at + first.unwrap_or_default()
    }

    /// What a comprehension makes of each item, and whether that is an entry of a dict.
    fn element(&mut self, may_be_dict: bool) -> Rewritten<(String, bool)> {
        let key = self.test()?;
        if may_be_dict && self.accept(":") {
            return Ok((format!("({key}, {})", self.test()?), true));
        }
        Ok((key, false))
    }

    /// What follows `lambda`, likewise a macro.
    pub(super) fn lambda(&mut self) -> Rewritten {
        let outer = (std::mem::take(&mut self.scope.before), self.scope.locals.len());
        let mut names = Vec::new();
        while !self.accept(":") {
            match self.take() {
                Some(Token { kind: TokenKind::Name, text, .. }) if !KEYWORDS.contains(&text.as_str()) => {
                    names.push(text);
                }
                _ => {
                    self.at = self.at.saturating_sub(1);
                    return self.refuse("lambda takes plain names");
                }
            }
            if !self.accept(",") && !self.peek(":") {
                return self.refuse("lambda takes plain names");
            }
        }
        let parameters = std::iter::once("_tt_out").chain(names.iter().map(String::as_str));
        let parameters = parameters.collect::<Vec<_>>().join(", ");
        self.scope.locals.append(&mut names);
        let value = self.test()?;
        let mut body = std::mem::take(&mut self.scope.before);
        body.push(format!("do _tt_push(_tt_out, {value})"));
        Ok(format!("_tt_lambda({})", self.add_macro(outer, &parameters, body)))
    }

    /// Puts a macro before the tag and takes back the scope from before it.
    fn add_macro(&mut self, outer: (Vec<String>, usize), parameters: &str, body: Vec<String>) -> String {
        let (before, locals) = outer;
        *self.scope.macros += 1;
        let name = format!("_tt_m{}", self.scope.macros);
        self.scope.locals.truncate(locals);
        self.scope.before = before;
        self.scope.before.push(format!("macro {name}({parameters})"));
        self.scope.before.extend(body);
        self.scope.before.push("endmacro".to_owned());
        name
    }
}
