//! How deep a tree is.

use super::ast::{Argument, Clause, Expr, ExprKind, Piece};

impl ExprKind {
    /// How many levels are below an expression of this kind.
    pub(super) fn children_depth(&self) -> usize {
        let of = |items: &[Expr]| items.iter().map(|item| item.depth).max().unwrap_or(0);
        match self {
            Self::Constant(_) | Self::Name(_) | Self::Applied => 0,
            Self::Joined(pieces) => pieces.iter().map(Piece::depth).max().unwrap_or(0),
            Self::Tuple(items) | Self::List(items) | Self::Set(items) => of(items),
            Self::Dict(pairs) => {
                let keys = pairs.iter().filter_map(|(key, _)| key.as_ref());
                keys.chain(pairs.iter().map(|(_, value)| value)).map(|item| item.depth).max().unwrap_or(0)
            }
            Self::Starred(value) | Self::Unary(_, value) | Self::Walrus(_, value) => value.depth,
            Self::Attribute(value, _) => value.depth,
            Self::Binary(_, left, right) | Self::And(left, right) | Self::Or(left, right) => {
                left.depth.max(right.depth)
            }
            Self::Item(left, right) => left.depth.max(right.depth),
            Self::Compare(left, rest) => {
                rest.iter().map(|(_, right)| right.depth).max().unwrap_or(0).max(left.depth)
            }
            Self::IfElse(parts) => of(&parts[..]),
            Self::Lambda(lambda) => {
                let defaults = lambda.parameters.iter().filter_map(|(_, default)| default.as_ref());
                defaults.map(|default| default.depth).max().unwrap_or(0).max(lambda.body.depth)
            }
            Self::Call(function, arguments) => {
                let of_argument = |argument: &Argument| match argument {
                    Argument::Plain(value) | Argument::Star(value) => value.depth,
                    Argument::Keyword(_, value) | Argument::Keywords(value) => value.depth,
                };
                arguments.iter().map(of_argument).max().unwrap_or(0).max(function.depth)
            }
            Self::Slice(parts) => parts.iter().flatten().map(|part| part.depth).max().unwrap_or(0),
            Self::Comprehension { element, value, clauses, .. } => {
                let of_clause = |clause: &Clause| match clause {
                    Clause::For { target, iterable } => target.depth.max(iterable.depth),
                    Clause::If(condition) => condition.depth,
                };
                let value = value.as_ref().map_or(0, |value| value.depth);
                clauses.iter().map(of_clause).max().unwrap_or(0).max(element.depth).max(value)
            }
        }
    }
}

impl Piece {
    fn depth(&self) -> usize {
        match self {
            Self::Text(_) => 0,
            Self::Value { value, spec, .. } => {
                spec.iter().map(Self::depth).max().unwrap_or(0).max(value.depth)
            }
        }
    }
}
