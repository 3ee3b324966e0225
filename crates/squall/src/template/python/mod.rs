//! Python's expressions and simple statements: from text to a tree with places.

mod ast;
mod atoms;
mod depth;
mod fstring;
mod literals;
mod parse;
mod statements;
mod tokens;

pub(super) use ast::{
    Argument, Binary, Clause, Collection, Comparison, Constant, Expr, ExprKind, Lambda, Piece, Statement,
    StatementKind, Unary,
};
pub(super) use literals::{parse_float, parse_int};
pub(super) use statements::{
    Except, application, except, expression, for_header, module_call, names_of, statements,
};

/// What is wrong with a piece of Python, and where, in bytes from the file's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) message: String,
    pub(super) at: usize,
}

pub(super) type Parsed<T> = Result<T, SyntaxError>;

fn wrong<T>(at: usize, message: impl Into<String>) -> Parsed<T> {
    Err(SyntaxError { message: message.into(), at })
}
