//! What stands between operators: names, literals, displays, comprehensions and lambdas.

use std::rc::Rc;

use super::ast::{Clause, Collection, Constant, Expr, ExprKind, Lambda, Piece};
use super::fstring::{self, Source};
use super::parse::{Parser, check_target, is_keyword, power};
use super::tokens::Kind;
use super::{Parsed, wrong};

impl Parser {
    pub(super) fn atom(&mut self) -> Parsed<Expr> {
        let at = self.at();
        let kind = self.kind().clone();
        self.position += usize::from(!matches!(kind, Kind::End));
        let kind = match kind {
            Kind::Name(name) => Self::word(name, at)?,
            Kind::Constant(Constant::Bytes(bytes)) => {
                ExprKind::Constant(Constant::Bytes(self.more_bytes(bytes)?))
            }
            Kind::Constant(Constant::Str(_)) | Kind::Format { .. } => {
                self.position -= 1;
                self.text()?
            }
            Kind::Constant(constant) => ExprKind::Constant(constant),
            Kind::Applied => ExprKind::Applied,
            Kind::Operator("(") => return self.deeper(|parser| parser.parenthesis(at)),
            Kind::Operator("[") => return self.deeper(|parser| parser.list(at)),
            Kind::Operator("{") => return self.deeper(|parser| parser.braces(at)),
            Kind::Operator("...") => return wrong(at, "... has no counterpart"),
            Kind::Operator(_) | Kind::End => return wrong(at, "expected an expression"),
        };
        Self::make(at, kind)
    }

    fn word(name: String, at: usize) -> Parsed<ExprKind> {
        Ok(match name.as_str() {
            "None" => ExprKind::Constant(Constant::None),
            "True" => ExprKind::Constant(Constant::Bool(true)),
            "False" => ExprKind::Constant(Constant::Bool(false)),
            "await" => return wrong(at, "await has no counterpart: await in the handler"),
            "yield" => return wrong(at, "yield has no counterpart"),
            word if is_keyword(word) => return wrong(at, "expected an expression"),
            _ => ExprKind::Name(name),
        })
    }

    /// Strings that stand side by side are one.
    fn text(&mut self) -> Parsed<ExprKind> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut is_plain = true;
        loop {
            let at = self.at();
            match self.kind().clone() {
                Kind::Constant(Constant::Str(text)) => pieces.push(Piece::Text(text)),
                Kind::Format { text, at: begin, is_raw } => {
                    is_plain = false;
                    let source = Source { text: &text, at: begin, literal: at, is_raw };
                    pieces.extend(fstring::pieces(&source, self.nesting)?);
                }
                Kind::Constant(Constant::Bytes(_)) => {
                    return wrong(at, "cannot mix bytes and nonbytes literals");
                }
                _ => break,
            }
            self.position += 1;
        }
        if !is_plain {
            return Ok(ExprKind::Joined(pieces));
        }
        let text = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Value { .. } => "",
        });
        Ok(ExprKind::Constant(Constant::Str(text.collect())))
    }

    fn more_bytes(&mut self, mut bytes: Vec<u8>) -> Parsed<Vec<u8>> {
        loop {
            match self.kind() {
                Kind::Constant(Constant::Bytes(more)) => bytes.extend_from_slice(more),
                Kind::Constant(Constant::Str(_)) | Kind::Format { .. } => {
                    return wrong(self.at(), "cannot mix bytes and nonbytes literals");
                }
                _ => return Ok(bytes),
            }
            self.position += 1;
        }
    }

    fn parenthesis(&mut self, at: usize) -> Parsed<Expr> {
        if self.take_operator(")") {
            return Self::make(at, ExprKind::Tuple(Vec::new()));
        }
        let first = self.starred()?;
        if self.is_word("for") || self.is_word("async") {
            let value = self.comprehension(at, Collection::Generator, first, None)?;
            self.expect(")")?;
            return Ok(value);
        }
        if self.take_operator(")") {
            return match first.kind {
                ExprKind::Starred(_) => wrong(first.at, "can't use starred expression here"),
                _ => Ok(first),
            };
        }
        let items = self.items(first, ")")?;
        Self::make(at, ExprKind::Tuple(items))
    }

    fn list(&mut self, at: usize) -> Parsed<Expr> {
        if self.take_operator("]") {
            return Self::make(at, ExprKind::List(Vec::new()));
        }
        let first = self.starred()?;
        if self.is_word("for") || self.is_word("async") {
            let value = self.comprehension(at, Collection::List, first, None)?;
            self.expect("]")?;
            return Ok(value);
        }
        let items = self.items(first, "]")?;
        Self::make(at, ExprKind::List(items))
    }

    /// The rest of a display after its first item, and its bracket.
    fn items(&mut self, first: Expr, close: &'static str) -> Parsed<Vec<Expr>> {
        let mut items = vec![first];
        while self.take_operator(",") {
            if self.is_operator(close) {
                break;
            }
            items.push(self.starred()?);
        }
        self.expect(close)?;
        Ok(items)
    }

    /// A dict or a set.
    fn braces(&mut self, at: usize) -> Parsed<Expr> {
        if self.take_operator("}") {
            return Self::make(at, ExprKind::Dict(Vec::new()));
        }
        if !self.is_operator("**") {
            let first = self.starred()?;
            if !self.is_operator(":") {
                if self.is_word("for") || self.is_word("async") {
                    let value = self.comprehension(at, Collection::Set, first, None)?;
                    self.expect("}")?;
                    return Ok(value);
                }
                let items = self.items(first, "}")?;
                return Self::make(at, ExprKind::Set(items));
            }
            self.position += 1;
            let value = self.expression()?;
            if self.is_word("for") || self.is_word("async") {
                let value = self.comprehension(at, Collection::Dict, first, Some(value))?;
                self.expect("}")?;
                return Ok(value);
            }
            return self.pairs(at, vec![(Some(first), value)]);
        }
        self.position += 1;
        let first = self.binary(power::BIT_OR)?;
        self.pairs(at, vec![(None, first)])
    }

    fn pairs(&mut self, at: usize, mut pairs: Vec<(Option<Expr>, Expr)>) -> Parsed<Expr> {
        while self.take_operator(",") {
            if self.is_operator("}") {
                break;
            }
            if self.take_operator("**") {
                pairs.push((None, self.binary(power::BIT_OR)?));
            } else {
                let key = self.expression()?;
                self.expect(":")?;
                pairs.push((Some(key), self.expression()?));
            }
        }
        self.expect("}")?;
        Self::make(at, ExprKind::Dict(pairs))
    }

    pub(super) fn comprehension(
        &mut self,
        at: usize,
        collection: Collection,
        element: Expr,
        value: Option<Expr>,
    ) -> Parsed<Expr> {
        if let ExprKind::Starred(_) = element.kind {
            return wrong(element.at, "iterable unpacking cannot be used in comprehension");
        }
        let mut clauses = Vec::new();
        loop {
            if self.is_word("async") {
                return wrong(self.at(), "async for has no counterpart: await in the handler");
            }
            if self.take_word("for") {
                let target = self.targets()?;
                self.expect_word("in")?;
                let iterable = self.binary(power::OR)?;
                clauses.push(Clause::For { target, iterable });
            } else if !clauses.is_empty() && self.take_word("if") {
                // What follows may be another condition, not the `if` of a choice.
                let condition = if self.is_walrus() { self.named()? } else { self.binary(power::OR)? };
                clauses.push(Clause::If(condition));
            } else {
                break;
            }
        }
        let (element, value) = (Box::new(element), value.map(Box::new));
        Self::make(at, ExprKind::Comprehension { collection, element, value, clauses })
    }

    /// What a `for` assigns to: one target, or several with commas.
    pub(super) fn targets(&mut self) -> Parsed<Expr> {
        let at = self.at();
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            let start = self.at();
            if !matches!(self.kind(), Kind::Name(name) if !is_keyword(name))
                && !["(", "[", "*"].iter().any(|operator| self.is_operator(operator))
            {
                return wrong(start, "expected a name");
            }
            let is_star = self.take_operator("*");
            let mut target = self.deeper(Self::postfix)?;
            check_target(&target)?;
            if is_star {
                target = Self::make(start, ExprKind::Starred(Box::new(target)))?;
            }
            items.push(target);
            if !self.take_operator(",") {
                break;
            }
            is_tuple = true;
            if self.ends_list() {
                break;
            }
        }
        match items.pop() {
            Some(target) if !is_tuple => Ok(target),
            last => {
                items.extend(last);
                Self::make(at, ExprKind::Tuple(items))
            }
        }
    }

    pub(super) fn lambda(&mut self) -> Parsed<Expr> {
        let at = self.at();
        self.position += 1;
        let mut parameters: Vec<(String, Option<Expr>)> = Vec::new();
        let (mut positional_only, mut keyword_only, mut rest, mut keywords) = (0, None, None, None);
        while !self.is_operator(":") {
            let place = self.at();
            if self.take_operator("/") {
                positional_only = parameters.len();
            } else if self.take_operator("**") {
                keywords = Some(self.parameter()?);
            } else if self.take_operator("*") {
                keyword_only = Some(parameters.len());
                if !self.is_operator(",") {
                    rest = Some(self.parameter()?);
                }
            } else {
                let name = self.parameter()?;
                let default = if self.take_operator("=") { Some(self.expression()?) } else { None };
                let is_bare = default.is_none() && keyword_only.is_none();
                if is_bare && parameters.iter().any(|(_, default)| default.is_some()) {
                    return wrong(place, "a parameter without a default follows one with a default");
                }
                if parameters.iter().any(|(known, _)| *known == name) {
                    return wrong(place, format!("duplicate argument '{name}' in function definition"));
                }
                parameters.push((name, default));
            }
            if !self.take_operator(",") && !self.is_operator(":") {
                return self.expected(":");
            }
        }
        self.expect(":")?;
        let body = self.expression()?;
        let keyword_only = keyword_only.unwrap_or(parameters.len());
        let lambda = Lambda { parameters, positional_only, keyword_only, rest, keywords, body };
        Self::make(at, ExprKind::Lambda(Rc::new(lambda)))
    }

    fn parameter(&mut self) -> Parsed<String> {
        let at = self.at();
        match self.take_name() {
            Some(name) => Ok(name),
            None => wrong(at, "lambda takes plain names"),
        }
    }
}
