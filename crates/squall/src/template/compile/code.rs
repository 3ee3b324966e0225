//! What the evaluator runs: the tree with its names resolved.

use std::rc::Rc;

use crate::template::assemble::Origin;
use crate::template::python::{Binary, Collection, Comparison, Unary};
use crate::template::value::Py;

/// A compiled template.
pub(in crate::template) struct Program {
    pub(in crate::template) main: Rc<Function>,
    /// The names that the context or the namespace gives.
    pub(in crate::template) globals: Vec<Rc<str>>,
    /// How long the last page was.
    pub(in crate::template) size: std::cell::Cell<usize>,
}

/// Code with variables of its own.
pub(in crate::template) struct Function {
    pub(in crate::template) origin: Rc<Origin>,
    /// The names of its variables, for errors.
    pub(in crate::template) slots: Vec<Rc<str>>,
    pub(in crate::template) cells: Vec<(Rc<str>, CellFrom)>,
    pub(in crate::template) parameters: Parameters,
    pub(in crate::template) body: Body,
}

impl Function {
    /// The names of its own variables.
    pub(in crate::template) fn variables(&self) -> impl Iterator<Item = &str> {
        let slots = self.slots.iter();
        slots.chain(self.cells.iter().map(|(name, _)| name)).map(|name| &**name)
    }
}

/// A variable that functions share is the function's own, or one of the function around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::template) enum CellFrom {
    Own,
    Outer(usize),
}

#[derive(Default)]
pub(in crate::template) struct Parameters {
    pub(in crate::template) named: Vec<(Rc<str>, Var)>,
    pub(in crate::template) positional_only: usize,
    pub(in crate::template) keyword_only: usize,
    pub(in crate::template) rest: Option<Var>,
    pub(in crate::template) keywords: Option<Var>,
}

pub(in crate::template) enum Body {
    Value(Node),
    Steps(Vec<Op>),
    /// A generator; what it goes over first is given to it.
    Generator(Loops),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::template) enum Var {
    Slot(usize),
    Cell(usize),
    Global(usize),
}

/// An expression, and where it begins in its file.
pub(in crate::template) struct Node {
    pub(in crate::template) at: usize,
    pub(in crate::template) code: Code,
}

pub(in crate::template) enum Code {
    Constant(Py),
    Load(Var),
    Joined(Vec<Piece>),
    Tuple(Vec<Item>),
    List(Vec<Item>),
    Set(Vec<Item>),
    Dict(Vec<(Option<Node>, Node)>),
    Unary(Unary, Box<Node>),
    Binary(Binary, Box<[Node; 2]>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    /// One comparison.
    Compare(Comparison, Box<[Node; 2]>),
    Chain(Box<Node>, Vec<(Comparison, Node)>),
    IfElse(Box<[Node; 3]>),
    Closure(Rc<Function>, Vec<Option<Node>>),
    Call(Box<Node>, Vec<Argument>),
    /// `of.name(..)`
    CallMethod(Box<Node>, Rc<str>, Vec<Argument>),
    Attribute(Box<Node>, Rc<str>),
    Item(Box<[Node; 2]>),
    Slice(Box<[Option<Node>; 3]>),
    Comprehension(Box<Comprehension>),
    Generator(Rc<Function>, Box<Node>),
    Walrus(Var, Box<Node>),
    Applied,
    Locals(Vec<(Rc<str>, Var)>),
}

/// An item of a display: itself, or all that is in it.
pub(in crate::template) struct Item {
    pub(in crate::template) is_star: bool,
    pub(in crate::template) value: Node,
}

pub(in crate::template) enum Argument {
    Plain(Node),
    Star(Node),
    Keyword(Rc<str>, Node),
    Keywords(Node),
}

pub(in crate::template) enum Piece {
    Text(Box<str>),
    Value { value: Node, conversion: Option<char>, spec: Vec<Piece> },
}

pub(in crate::template) struct Comprehension {
    pub(in crate::template) collection: Collection,
    pub(in crate::template) first: Node,
    pub(in crate::template) loops: Loops,
    /// Its variables that functions use: new ones each time.
    pub(in crate::template) cells: Vec<usize>,
}

/// What a comprehension does for each item.
pub(in crate::template) struct Loops {
    pub(in crate::template) clauses: Vec<Clause>,
    pub(in crate::template) element: Node,
    pub(in crate::template) value: Option<Node>,
}

pub(in crate::template) enum Clause {
    For {
        target: Target,
        /// `None` for the first: it is there already.
        iterable: Option<Node>,
    },
    If(Node),
}

pub(in crate::template) enum Target {
    Var(Var),
    /// What is unpacked, and which of it takes the rest.
    Tuple(Vec<Target>, Option<usize>),
    Item(Box<[Node; 2]>),
}

pub(in crate::template) enum Escape {
    None,
    Html,
    Call(Node),
}

/// A step of a page.
pub(in crate::template) enum Op {
    Text(Box<str>),
    Print(Node, Escape),
    /// The tag's place, the module and its arguments.
    Module(usize, Rc<str>, Vec<Argument>),
    Evaluate(Node),
    Assign(Vec<Target>, Node),
    Augment(Target, Binary, Node),
    Delete(Target),
    Import(Var, Py),
    Break,
    Continue,
    Part(Rc<Origin>, Vec<Op>),
    Apply(Rc<Function>, Node),
    If(Vec<(Node, Vec<Op>)>, Vec<Op>),
    While(Node, Vec<Op>, Vec<Op>),
    For(Box<For>),
    Try(Box<Try>),
}

pub(in crate::template) struct For {
    pub(in crate::template) target: Target,
    pub(in crate::template) iterable: Node,
    pub(in crate::template) ops: Vec<Op>,
    pub(in crate::template) otherwise: Vec<Op>,
}

pub(in crate::template) struct Try {
    pub(in crate::template) ops: Vec<Op>,
    pub(in crate::template) handlers: Vec<Handler>,
    pub(in crate::template) otherwise: Vec<Op>,
    pub(in crate::template) finally: Vec<Op>,
}

pub(in crate::template) struct Handler {
    pub(in crate::template) classes: Option<Node>,
    pub(in crate::template) name: Option<Var>,
    pub(in crate::template) ops: Vec<Op>,
}
