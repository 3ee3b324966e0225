//! The tree of an expression.

use std::rc::Rc;

use num_bigint::BigInt;

/// An expression and where it begins, in bytes from the file's start.
#[derive(Debug, Clone)]
pub(in crate::template) struct Expr {
    pub(in crate::template) at: usize,
    /// How many levels are below it.
    pub(in crate::template) depth: usize,
    pub(in crate::template) kind: ExprKind,
}

#[derive(Debug, Clone)]
pub(in crate::template) enum ExprKind {
    Constant(Constant),
    Name(String),
    /// An f-string.
    Joined(Vec<Piece>),
    Tuple(Vec<Expr>),
    List(Vec<Expr>),
    Set(Vec<Expr>),
    /// A pair without a key is `**value`.
    Dict(Vec<(Option<Expr>, Expr)>),
    Starred(Box<Expr>),
    Unary(Unary, Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    /// Condition, value, other value.
    IfElse(Box<[Expr; 3]>),
    Lambda(Rc<Lambda>),
    Call(Box<Expr>, Vec<Argument>),
    Attribute(Box<Expr>, String),
    Item(Box<Expr>, Box<Expr>),
    Slice([Option<Box<Expr>>; 3]),
    Comprehension {
        collection: Collection,
        /// The key of a dict's pair, or the element.
        element: Box<Expr>,
        value: Option<Box<Expr>>,
        /// The first is a `for`.
        clauses: Vec<Clause>,
    },
    Walrus(String, Box<Expr>),
    /// What `{% apply %}` gives to its function.
    Applied,
}

#[derive(Debug, Clone)]
pub(in crate::template) enum Constant {
    None,
    Bool(bool),
    Int(i64),
    Big(BigInt),
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
}

/// A part of an f-string.
#[derive(Debug, Clone)]
pub(in crate::template) enum Piece {
    Text(String),
    Value {
        value: Expr,
        /// `r`, `s` or `a`
        conversion: Option<char>,
        spec: Vec<Piece>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::template) enum Unary {
    Not,
    Minus,
    Plus,
    Invert,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::template) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
    ShiftLeft,
    ShiftRight,
    BitAnd,
    BitOr,
    BitXor,
}

impl Binary {
    /// The operator in Python's spelling.
    pub(in crate::template) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::FloorDiv => "//",
            Self::Mod => "%",
            Self::Pow => "**",
            Self::ShiftLeft => "<<",
            Self::ShiftRight => ">>",
            Self::BitAnd => "&",
            Self::BitOr => "|",
            Self::BitXor => "^",
        }
    }

    pub(super) fn of_symbol(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "+" => Self::Add,
            "-" => Self::Sub,
            "*" => Self::Mul,
            "/" => Self::Div,
            "//" => Self::FloorDiv,
            "%" => Self::Mod,
            "**" => Self::Pow,
            "<<" => Self::ShiftLeft,
            ">>" => Self::ShiftRight,
            "&" => Self::BitAnd,
            "|" => Self::BitOr,
            "^" => Self::BitXor,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::template) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
    Is,
    IsNot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::template) enum Collection {
    List,
    Set,
    Dict,
    Generator,
}

#[derive(Debug, Clone)]
pub(in crate::template) enum Clause {
    For { target: Expr, iterable: Expr },
    If(Expr),
}

#[derive(Debug, Clone)]
pub(in crate::template) enum Argument {
    Plain(Expr),
    /// `*values`
    Star(Expr),
    Keyword(String, Expr),
    /// `**values`
    Keywords(Expr),
}

#[derive(Debug)]
pub(in crate::template) struct Lambda {
    /// Names and defaults; those from `keyword_only` on can be given by name only.
    pub(in crate::template) parameters: Vec<(String, Option<Expr>)>,
    pub(in crate::template) positional_only: usize,
    pub(in crate::template) keyword_only: usize,
    /// `*rest`
    pub(in crate::template) rest: Option<String>,
    /// `**keywords`
    pub(in crate::template) keywords: Option<String>,
    pub(in crate::template) body: Expr,
}

/// What a `{% set %}` or `{% import %}` does.
#[derive(Debug, Clone)]
pub(in crate::template) struct Statement {
    pub(in crate::template) kind: StatementKind,
}

#[derive(Debug, Clone)]
pub(in crate::template) enum StatementKind {
    Expression(Expr),
    /// `a = b = value`
    Assign(Vec<Expr>, Expr),
    /// `a += value`
    Augment(Expr, Binary, Expr),
    Delete(Vec<Expr>),
    /// `import module as name`: the module, the name that is bound, and whether that is the module itself and not the
    /// package that it is in.
    Import {
        module: String,
        name: String,
        is_whole: bool,
    },
    /// `from module import item as name`
    From {
        module: String,
        item: String,
        name: String,
    },
    Pass,
}
