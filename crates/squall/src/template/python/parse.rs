//! From tokens to the tree of an expression: Python's precedence, by binding power.

use super::ast::{Argument, Binary, Collection, Comparison, Constant, Expr, ExprKind, Unary};
use super::tokens::{Kind, Token, tokens};
use super::{Parsed, wrong};

/// Brackets, lambdas and prefixes in each other.
const MAX_NESTING: usize = 40;
/// Levels of the tree, of which `a + b + c` has one for each operator.
const MAX_DEPTH: usize = 200;

/// Words that are no names.
const KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word)
}

pub(super) struct Parser {
    tokens: Vec<Token>,
    pub(super) position: usize,
    pub(super) nesting: usize,
}

/// Binding powers, from loose to tight.
pub(super) mod power {
    pub(in crate::template::python) const OR: u8 = 1;
    pub(in crate::template::python) const AND: u8 = 2;
    pub(in crate::template::python) const NOT: u8 = 3;
    pub(in crate::template::python) const COMPARE: u8 = 4;
    pub(in crate::template::python) const BIT_OR: u8 = 5;
    pub(in crate::template::python) const UNARY: u8 = 11;
    pub(in crate::template::python) const POWER: u8 = 12;
}

fn binary_power(operator: &str) -> Option<u8> {
    Some(match operator {
        "|" => power::BIT_OR,
        "^" => 6,
        "&" => 7,
        "<<" | ">>" => 8,
        "+" | "-" => 9,
        "*" | "/" | "//" | "%" | "@" => 10,
        "**" => power::POWER,
        _ => return None,
    })
}

impl Parser {
    /// Of a text that stands at `base` in its file, inside of so many levels.
    pub(super) fn new(text: &str, base: usize, nesting: usize) -> Parsed<Self> {
        Ok(Self { tokens: tokens(text, base)?, position: 0, nesting })
    }

    /// The same text called with what `{% apply %}` gives to its function: Tornado puts `(…)` behind it.
    pub(super) fn applied(text: &str, base: usize) -> Parsed<Self> {
        let mut parser = Self::new(text, base, 0)?;
        let end = parser.tokens.pop().map_or(base, |end| end.at);
        for kind in [Kind::Operator("("), Kind::Applied, Kind::Operator(")"), Kind::End] {
            parser.tokens.push(Token { kind, at: end });
        }
        Ok(parser)
    }

    /// All of the text as one expression, or a tuple without brackets.
    pub(super) fn whole(mut self) -> Parsed<Expr> {
        let expr = self.expressions()?;
        self.end()?;
        Ok(expr)
    }

    pub(super) fn end(&self) -> Parsed<()> {
        match self.kind() {
            Kind::End => Ok(()),
            Kind::Name(name) if name == "for" || name == "async" => {
                wrong(self.at(), "a comprehension must stand in brackets of its own")
            }
            kind => wrong(self.at(), format!("unexpected {}", shown(kind))),
        }
    }

    /// `a`, or `a, b`, a tuple.
    pub(super) fn expressions(&mut self) -> Parsed<Expr> {
        let at = self.at();
        let first = self.starred()?;
        if !self.is_operator(",") {
            return match first.kind {
                ExprKind::Starred(_) => wrong(at, "can't use starred expression here"),
                _ => Ok(first),
            };
        }
        let mut items = vec![first];
        while self.take_operator(",") {
            if self.ends_list() {
                break;
            }
            items.push(self.starred()?);
        }
        Self::make(at, ExprKind::Tuple(items))
    }

    pub(super) fn ends_list(&self) -> bool {
        match self.kind() {
            Kind::End => true,
            Kind::Operator(operator) => {
                matches!(*operator, ")" | "]" | "}" | "=" | ":" | ";") || operator.ends_with('=')
            }
            Kind::Name(name) => name == "in" || name == "for",
            _ => false,
        }
    }

    /// `*a`, `a := b`, or an expression.
    pub(super) fn starred(&mut self) -> Parsed<Expr> {
        let at = self.at();
        if self.take_operator("*") {
            let value = self.binary(power::BIT_OR)?;
            return Self::make(at, ExprKind::Starred(Box::new(value)));
        }
        self.named()
    }

    /// Whether a name and `:=` stand here.
    pub(super) fn is_walrus(&self) -> bool {
        let next = self.tokens.get(self.position + 1).map(|token| &token.kind);
        matches!((self.kind(), next), (Kind::Name(_), Some(Kind::Operator(":="))))
    }

    /// `name := value`, or an expression.
    pub(super) fn named(&mut self) -> Parsed<Expr> {
        if let Kind::Name(name) = self.kind()
            && self.is_walrus()
        {
            let (at, name) = (self.at(), name.clone());
            if is_keyword(&name) {
                return wrong(at, format!("cannot assign to {name}"));
            }
            self.position += 2;
            let value = self.expression()?;
            return Self::make(at, ExprKind::Walrus(name, Box::new(value)));
        }
        self.expression()
    }

    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        self.deeper(|parser| {
            if parser.is_word("lambda") {
                return parser.lambda();
            }
            let at = parser.at();
            let value = parser.binary(power::OR)?;
            if !parser.take_word("if") {
                return Ok(value);
            }
            let condition = parser.binary(power::OR)?;
            parser.expect_word("else")?;
            let other = parser.expression()?;
            Self::make(at, ExprKind::IfElse(Box::new([condition, value, other])))
        })
    }

    /// Operators that bind at least as tightly as `least`.
    pub(super) fn binary(&mut self, least: u8) -> Parsed<Expr> {
        let at = self.at();
        let mut left = self.prefix(least)?;
        loop {
            if least <= power::OR && self.take_word("or") {
                let right = self.binary(power::AND)?;
                left = Self::make(at, ExprKind::Or(Box::new(left), Box::new(right)))?;
            } else if least <= power::AND && self.take_word("and") {
                let right = self.binary(power::NOT)?;
                left = Self::make(at, ExprKind::And(Box::new(left), Box::new(right)))?;
            } else if least <= power::COMPARE && self.comparison().is_some() {
                left = self.comparisons(at, left)?;
            } else if let Kind::Operator(operator) = *self.kind()
                && let Some(own) = binary_power(operator).filter(|own| *own >= least)
            {
                let Some(op) = Binary::of_symbol(operator) else {
                    return wrong(self.at(), format!("{operator} has no counterpart"));
                };
                self.position += 1;
                // `**` binds to the right, and less tightly than a sign there.
                let right = if own == power::POWER {
                    self.deeper(|parser| parser.binary(power::UNARY))?
                } else {
                    self.binary(own + 1)?
                };
                left = Self::make(at, ExprKind::Binary(op, Box::new(left), Box::new(right)))?;
            } else {
                return Ok(left);
            }
        }
    }

    fn prefix(&mut self, least: u8) -> Parsed<Expr> {
        let at = self.at();
        let (op, operand) = match self.kind() {
            Kind::Name(name) if name == "not" && least <= power::NOT => (Unary::Not, power::NOT),
            Kind::Operator("-") => (Unary::Minus, power::UNARY),
            Kind::Operator("+") => (Unary::Plus, power::UNARY),
            Kind::Operator("~") => (Unary::Invert, power::UNARY),
            _ => return self.postfix(),
        };
        self.position += 1;
        let value = self.deeper(|parser| parser.binary(operand))?;
        Self::make(at, ExprKind::Unary(op, Box::new(value)))
    }

    /// The comparison that stands here, and how many tokens it has.
    fn comparison(&self) -> Option<(Comparison, usize)> {
        let next_is = |word: &str| matches!(self.tokens.get(self.position + 1).map(|token| &token.kind), Some(Kind::Name(name)) if name == word);
        Some(match self.kind() {
            Kind::Operator("==") => (Comparison::Equal, 1),
            Kind::Operator("!=") => (Comparison::NotEqual, 1),
            Kind::Operator("<") => (Comparison::Less, 1),
            Kind::Operator("<=") => (Comparison::LessEqual, 1),
            Kind::Operator(">") => (Comparison::Greater, 1),
            Kind::Operator(">=") => (Comparison::GreaterEqual, 1),
            Kind::Name(name) if name == "in" => (Comparison::In, 1),
            Kind::Name(name) if name == "not" && next_is("in") => (Comparison::NotIn, 2),
            Kind::Name(name) if name == "is" && next_is("not") => (Comparison::IsNot, 2),
            Kind::Name(name) if name == "is" => (Comparison::Is, 1),
            _ => return None,
        })
    }

    fn comparisons(&mut self, at: usize, left: Expr) -> Parsed<Expr> {
        let mut rest = Vec::new();
        while let Some((comparison, length)) = self.comparison() {
            self.position += length;
            rest.push((comparison, self.binary(power::BIT_OR)?));
        }
        Self::make(at, ExprKind::Compare(Box::new(left), rest))
    }

    /// Calls, items and attributes of an atom.
    pub(super) fn postfix(&mut self) -> Parsed<Expr> {
        let start = self.at();
        let mut value = self.atom()?;
        loop {
            if self.take_operator(".") {
                let at = self.at();
                let Some(name) = self.take_name() else { return wrong(at, "expected a name after \".\"") };
                value = Self::make(at, ExprKind::Attribute(Box::new(value), name))?;
                value.at = start;
            } else if self.take_operator("(") {
                let arguments = self.deeper(Self::arguments)?;
                value = Self::make(start, ExprKind::Call(Box::new(value), arguments))?;
            } else if self.take_operator("[") {
                let key = self.deeper(Self::subscript)?;
                self.expect("]")?;
                value = Self::make(start, ExprKind::Item(Box::new(value), Box::new(key)))?;
            } else {
                return Ok(value);
            }
        }
    }

    fn arguments(&mut self) -> Parsed<Vec<Argument>> {
        let mut arguments = Vec::new();
        while !self.take_operator(")") {
            let at = self.at();
            if self.take_operator("**") {
                arguments.push(Argument::Keywords(self.expression()?));
            } else if self.take_operator("*") {
                arguments.push(Argument::Star(self.expression()?));
            } else if let Some(name) = self.keyword_ahead() {
                self.position += 2;
                if arguments
                    .iter()
                    .any(|known| matches!(known, Argument::Keyword(other, _) if *other == name))
                {
                    return wrong(at, format!("keyword argument repeated: {name}"));
                }
                arguments.push(Argument::Keyword(name, self.expression()?));
            } else {
                let value = self.named()?;
                let is_late = arguments
                    .iter()
                    .any(|known| matches!(known, Argument::Keyword(..) | Argument::Keywords(_)));
                if is_late {
                    return wrong(at, "positional argument follows keyword argument");
                }
                if self.is_word("for") || self.is_word("async") {
                    let value = self.comprehension(at, Collection::Generator, value, None)?;
                    if !arguments.is_empty() || !self.is_operator(")") {
                        return wrong(at, "a comprehension must stand in brackets of its own");
                    }
                    arguments.push(Argument::Plain(value));
                } else {
                    arguments.push(Argument::Plain(value));
                }
            }
            if !self.take_operator(",") && !self.is_operator(")") {
                return self.expected(")");
            }
        }
        Ok(arguments)
    }

    fn keyword_ahead(&self) -> Option<String> {
        match (self.kind(), self.tokens.get(self.position + 1).map(|token| &token.kind)) {
            (Kind::Name(name), Some(Kind::Operator("="))) if !is_keyword(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// What stands in `[]` behind a value: an item, a slice, or a tuple of them.
    fn subscript(&mut self) -> Parsed<Expr> {
        let at = self.at();
        let first = self.slice()?;
        if !self.is_operator(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.take_operator(",") {
            if self.is_operator("]") {
                break;
            }
            items.push(self.slice()?);
        }
        Self::make(at, ExprKind::Tuple(items))
    }

    fn slice(&mut self) -> Parsed<Expr> {
        let at = self.at();
        let ends = |parser: &Self| [":", "]", ","].iter().any(|operator| parser.is_operator(operator));
        let start = if self.is_operator(":") { None } else { Some(Box::new(self.starred()?)) };
        if !self.take_operator(":") {
            return match start {
                Some(item) => Ok(*item),
                None => wrong(at, "expected an expression"),
            };
        }
        let mut parts = [start, None, None];
        if !ends(self) {
            parts[1] = Some(Box::new(self.expression()?));
        }
        if self.take_operator(":") && !ends(self) {
            parts[2] = Some(Box::new(self.expression()?));
        }
        Self::make(at, ExprKind::Slice(parts))
    }

    // --- tokens ---

    pub(super) fn kind(&self) -> &Kind {
        self.tokens.get(self.position).map_or(&Kind::End, |token| &token.kind)
    }

    pub(super) fn at(&self) -> usize {
        self.tokens.get(self.position).or(self.tokens.last()).map_or(0, |token| token.at)
    }

    pub(super) fn advance(&mut self) {
        self.position += 1;
    }

    pub(super) fn is_operator(&self, operator: &str) -> bool {
        matches!(self.kind(), Kind::Operator(found) if *found == operator)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.kind(), Kind::Name(found) if found == word)
    }

    pub(super) fn take_operator(&mut self, operator: &str) -> bool {
        let found = self.is_operator(operator);
        self.position += usize::from(found);
        found
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.position += usize::from(found);
        found
    }

    /// A name that is no keyword.
    pub(super) fn take_name(&mut self) -> Option<String> {
        match self.kind() {
            Kind::Name(name) if !is_keyword(name) => {
                let name = name.clone();
                self.position += 1;
                Some(name)
            }
            _ => None,
        }
    }

    pub(super) fn expect(&mut self, operator: &str) -> Parsed<()> {
        if self.take_operator(operator) { Ok(()) } else { self.expected(operator) }
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.take_word(word) { Ok(()) } else { self.expected(word) }
    }

    pub(super) fn expected<T>(&self, what: &str) -> Parsed<T> {
        wrong(self.at(), format!("expected {what:?}, found {}", shown(self.kind())))
    }

    pub(super) fn deeper<T>(&mut self, f: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= MAX_NESTING {
            return wrong(self.at(), "nested too deep");
        }
        self.nesting += 1;
        let result = f(self);
        self.nesting -= 1;
        result
    }

    pub(super) fn make(at: usize, kind: ExprKind) -> Parsed<Expr> {
        let depth = 1 + kind.children_depth();
        if depth > MAX_DEPTH { wrong(at, "nested too deep") } else { Ok(Expr { at, depth, kind }) }
    }
}

/// Whether one can assign to it.
pub(super) fn check_target(target: &Expr) -> Parsed<()> {
    match &target.kind {
        ExprKind::Name(_) | ExprKind::Attribute(..) | ExprKind::Item(..) => Ok(()),
        ExprKind::Tuple(items) | ExprKind::List(items) => {
            let is_star = |item: &&Expr| matches!(item.kind, ExprKind::Starred(_));
            if items.iter().filter(is_star).count() > 1 {
                return wrong(target.at, "multiple starred expressions in assignment");
            }
            items.iter().try_for_each(|item| match &item.kind {
                ExprKind::Starred(inner) => check_target(inner),
                _ => check_target(item),
            })
        }
        _ => wrong(target.at, "cannot assign to this: expected a name"),
    }
}

fn shown(kind: &Kind) -> String {
    match kind {
        Kind::Name(name) => format!("{name:?}"),
        Kind::Operator(operator) => format!("{operator:?}"),
        Kind::Constant(Constant::Str(text)) => format!("{text:?}"),
        Kind::Constant(_) => "a number".to_owned(),
        Kind::Format { .. } => "an f-string".to_owned(),
        Kind::Applied | Kind::End => "the end".to_owned(),
    }
}
