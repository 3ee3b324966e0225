//! One template made of all its files: what it extends, with its blocks in their places, and what it includes.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use super::error::TemplateError;
use super::parser::{Code, File, Node, Try};
use super::python::{self, Except, Expr, Statement, SyntaxError};

/// Tags, includes and bases in each other; Python stops at 100 levels.
const MAX_DEPTH: usize = 50;

/// The files that a template can be made of.
pub(super) trait Files {
    /// The file of this name, relative to the folder of `parent`.
    fn file(&self, name: &str, parent: Option<&str>) -> Result<Rc<File>, TemplateError>;

    /// Whether there is such a file from the root, of whatever kind.
    ///
    /// # Errors
    /// Why there is not.
    fn check(&self, name: &str) -> Result<(), TemplateError>;

    /// Whether this is the first time that this file is asked for.
    fn is_new(&self, name: &str) -> bool;
}

/// None at all.
pub(super) struct NoFiles;

impl Files for NoFiles {
    fn file(&self, name: &str, _: Option<&str>) -> Result<Rc<File>, TemplateError> {
        Err(TemplateError::of_file(name, "there is no such template"))
    }

    fn check(&self, name: &str) -> Result<(), TemplateError> {
        self.file(name, None).map(drop)
    }

    fn is_new(&self, _: &str) -> bool {
        false
    }
}

/// The file that a piece is from, and by which way it came into the template.
pub(super) struct Origin {
    file: Rc<File>,
    via: Option<(Rc<Self>, usize)>,
}

impl Origin {
    pub(super) fn new(file: Rc<File>) -> Rc<Self> {
        Rc::new(Self { file, via: None })
    }

    /// An error at a place of the file.
    pub(super) fn error(&self, at: usize, message: impl Into<String>) -> TemplateError {
        let mut places = Vec::new();
        let mut via = &self.via;
        while let Some((outer, at)) = via {
            places.push(format!("{}:{}", outer.file.name, outer.file.line(*at)));
            via = &outer.via;
        }
        TemplateError::at(&self.file.name, &self.file.source, at, message).with_via(places)
    }

    fn syntax_error(&self, error: SyntaxError) -> TemplateError {
        self.error(error.at, error.message)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file.name)
    }
}

/// What becomes of a value before it is in the page.
#[derive(Clone)]
pub(super) enum Escape {
    None,
    /// `xhtml_escape`
    Html,
    /// A call of some other function with [`Applied`](python::ExprKind::Applied).
    Call(Rc<Expr>),
}

/// A step of a template, whatever file it is from.
pub(super) enum Step {
    Text(String),
    Print {
        value: Expr,
        escape: Escape,
    },
    Module(Expr),
    Statements(Vec<Statement>),
    Break,
    Continue,
    /// Steps of another file.
    Part {
        origin: Rc<Origin>,
        steps: Vec<Step>,
    },
    Apply {
        call: Expr,
        steps: Vec<Step>,
    },
    If {
        branches: Vec<(Expr, Vec<Step>)>,
        otherwise: Vec<Step>,
    },
    While {
        condition: Expr,
        steps: Vec<Step>,
        otherwise: Vec<Step>,
    },
    For {
        target: Expr,
        iterable: Expr,
        steps: Vec<Step>,
        otherwise: Vec<Step>,
    },
    Try {
        steps: Vec<Step>,
        handlers: Vec<(Except, Vec<Step>)>,
        otherwise: Vec<Step>,
        finally: Vec<Step>,
    },
}

/// A template made of all its files.
pub(super) struct Whole {
    /// Where its steps begin.
    pub(super) origin: Rc<Origin>,
    pub(super) steps: Vec<Step>,
    /// The other files that it is made of.
    pub(super) parts: Vec<Rc<File>>,
}

/// # Errors
/// What is wrong with the file or those that it needs. As in Tornado, each of these must be right as a template of its own
/// too, with what others put into the places of its blocks.
pub(super) fn assemble(file: &Rc<File>, files: &dyn Files) -> Result<Whole, TemplateError> {
    let whole = assemble_one(file, files)?;
    let mut rest = whole.parts.clone();
    while let Some(part) = rest.pop() {
        if files.is_new(&part.name) {
            rest.extend(assemble_one(&part, files)?.parts);
        }
    }
    Ok(whole)
}

fn assemble_one(file: &Rc<File>, files: &dyn Files) -> Result<Whole, TemplateError> {
    let mut ancestors = vec![Rc::clone(file)];
    add_ancestors(file, files, &mut ancestors)?;
    ancestors.reverse();
    let mut found = Found::default();
    for ancestor in &ancestors {
        add_blocks(ancestor, &ancestor.body, files, &mut found, 0)?;
    }
    let Found { blocks, included } = found;
    let root = &ancestors[0];
    let origin = Origin::new(Rc::clone(root));
    let mut assembler =
        Assembler { files, blocks: &blocks, origin: Rc::clone(&origin), depth: 0, in_loop: false };
    let steps = assembler.steps(&root.body)?;
    let others = ancestors.into_iter().filter(|other| !Rc::ptr_eq(other, file));
    Ok(Whole { origin, steps, parts: others.chain(included).collect() })
}

fn add_ancestors(
    file: &Rc<File>,
    files: &dyn Files,
    ancestors: &mut Vec<Rc<File>>,
) -> Result<(), TemplateError> {
    for node in &file.body {
        let Node::Extends(path) = node else { continue };
        let parent = load(files, path, file)?;
        if ancestors.len() >= MAX_DEPTH || ancestors.iter().any(|known| known.name == parent.name) {
            return Err(error(file, path.offset, format!("{} extends itself", parent.name)));
        }
        ancestors.push(Rc::clone(&parent));
        add_ancestors(&parent, files, ancestors)?;
    }
    Ok(())
}

type Blocks = HashMap<String, (Rc<File>, Rc<Vec<Node>>)>;

/// Of all files, also in blocks that others take the place of.
#[derive(Default)]
struct Found {
    blocks: Blocks,
    included: Vec<Rc<File>>,
}

fn add_blocks(
    file: &Rc<File>,
    nodes: &[Node],
    files: &dyn Files,
    found: &mut Found,
    depth: usize,
) -> Result<(), TemplateError> {
    for node in nodes {
        match node {
            Node::Block { name, body, .. } => {
                found.blocks.insert(name.clone(), (Rc::clone(file), Rc::clone(body)));
                add_blocks(file, body, files, found, depth)?;
            }
            Node::Include(path) => {
                let included = load(files, path, file)?;
                if depth >= MAX_DEPTH {
                    return Err(error(file, path.offset, format!("{} includes itself", included.name)));
                }
                add_blocks(&included, &included.body, files, found, depth + 1)?;
                found.included.push(included);
            }
            _ => {
                for body in node.bodies() {
                    add_blocks(file, body, files, found, depth)?;
                }
            }
        }
    }
    Ok(())
}

fn load(files: &dyn Files, path: &Code, file: &File) -> Result<Rc<File>, TemplateError> {
    files.file(&path.text, Some(&file.name)).map_err(|cause| match cause.line() {
        0 => error(file, path.offset, cause.to_string()),
        _ => cause,
    })
}

fn error(file: &File, offset: usize, message: impl Into<String>) -> TemplateError {
    TemplateError::at(&file.name, &file.source, offset, message)
}

struct Assembler<'a> {
    files: &'a dyn Files,
    blocks: &'a Blocks,
    origin: Rc<Origin>,
    depth: usize,
    /// Whether a loop is around, in the same function: `{% apply %}` makes a new one.
    in_loop: bool,
}

type Assembled<T> = Result<T, TemplateError>;

impl Assembler<'_> {
    fn steps(&mut self, nodes: &[Node]) -> Assembled<Vec<Step>> {
        self.depth += 1;
        let mut steps = Vec::new();
        for node in nodes {
            if self.depth > MAX_DEPTH {
                return Err(self.origin.error(offset_of(node), "nested too deep, or includes itself"));
            }
            steps.extend(self.step(node)?);
        }
        self.depth -= 1;
        Ok(steps)
    }

    fn step(&mut self, node: &Node) -> Assembled<Option<Step>> {
        Ok(Some(match node {
            Node::Text(text) => Step::Text(text.clone()),
            Node::Expression { code, raw } => {
                let value = self.parse(code, python::expression)?;
                Step::Print { value, escape: self.escape(code.offset, *raw)? }
            }
            Node::Module(code) => Step::Module(self.parse(code, python::module_call)?),
            Node::Statement(code) => Step::Statements(self.parse(code, python::statements)?),
            Node::Break(offset) => self.leave("break", *offset, Step::Break)?,
            Node::Continue(offset) => self.leave("continue", *offset, Step::Continue)?,
            Node::Extends(_) => return Ok(None),
            Node::Include(path) => {
                let file = load(self.files, path, &self.origin.file)?;
                if file.body.iter().any(|node| matches!(node, Node::Extends(_))) {
                    let message = format!("{} extends another template and cannot be included", file.name);
                    return Err(self.origin.error(path.offset, message));
                }
                self.part(Rc::clone(&file), &file.body, path.offset)?
            }
            Node::Block { name, offset, .. } => match self.blocks.get(name) {
                Some((file, body)) => self.part(Rc::clone(file), body, *offset)?,
                None => return Ok(None),
            },
            Node::Apply { function, body } => {
                let call = self.parse(function, python::application)?;
                Step::Apply { call, steps: self.inside(false, body)? }
            }
            Node::If { branches, otherwise } => {
                let branches = branches.iter().map(|(condition, body)| {
                    Ok((self.parse(condition, python::expression)?, self.steps(body)?))
                });
                let branches = branches.collect::<Assembled<Vec<_>>>()?;
                Step::If { branches, otherwise: self.steps(otherwise)? }
            }
            Node::Loop { header, is_while: true, body, otherwise } => {
                let condition = self.parse(header, python::expression)?;
                Step::While { condition, steps: self.inside(true, body)?, otherwise: self.steps(otherwise)? }
            }
            Node::Loop { header, body, otherwise, .. } => {
                let (target, iterable) = self.parse(header, python::for_header)?;
                let steps = self.inside(true, body)?;
                Step::For { target, iterable, steps, otherwise: self.steps(otherwise)? }
            }
            Node::Try(attempt) => self.attempt(attempt)?,
        }))
    }

    /// Steps that are, or are not, a loop's.
    fn inside(&mut self, in_loop: bool, nodes: &[Node]) -> Assembled<Vec<Step>> {
        let outer = std::mem::replace(&mut self.in_loop, in_loop);
        let steps = self.steps(nodes)?;
        self.in_loop = outer;
        Ok(steps)
    }

    /// `{% break %}` or `{% continue %}`. The parser knows that its own file has a loop around it; but a block may be put into
    /// another place.
    fn leave(&self, word: &str, offset: usize, step: Step) -> Assembled<Step> {
        if self.in_loop {
            return Ok(step);
        }
        let message = format!(
            "{word} outside for or while block: this block is put where no loop is around it; move the {word} out of the \
             block, or rename one of the blocks"
        );
        Err(self.origin.error(offset, message))
    }

    /// Steps of what may be another file, for the tag at `offset`.
    fn part(&mut self, file: Rc<File>, nodes: &[Node], offset: usize) -> Assembled<Step> {
        if Rc::ptr_eq(&file, &self.origin.file) {
            return Ok(Step::Part { origin: Rc::clone(&self.origin), steps: self.steps(nodes)? });
        }
        let via = Some((Rc::clone(&self.origin), offset));
        let origin = Rc::new(Origin { file, via });
        let outer = std::mem::replace(&mut self.origin, Rc::clone(&origin));
        let steps = self.steps(nodes)?;
        self.origin = outer;
        Ok(Step::Part { origin, steps })
    }

    fn attempt(&mut self, attempt: &Try) -> Assembled<Step> {
        let steps = self.steps(&attempt.body)?;
        let mut handlers = Vec::new();
        for (index, handler) in attempt.handlers.iter().enumerate() {
            let except = self.parse(&handler.clause, python::except)?;
            if except.classes.is_none() && index + 1 < attempt.handlers.len() {
                return Err(self.origin.error(handler.offset, "default 'except:' must be last"));
            }
            handlers.push((except, self.steps(&handler.body)?));
        }
        let (otherwise, finally) = (self.steps(&attempt.otherwise)?, self.steps(&attempt.finally)?);
        Ok(Step::Try { steps, handlers, otherwise, finally })
    }

    /// What the file does with values.
    fn escape(&self, offset: usize, raw: bool) -> Assembled<Escape> {
        Ok(match self.origin.file.autoescape.as_deref() {
            None => Escape::None,
            _ if raw => Escape::None,
            Some("xhtml_escape" | "escape") => Escape::Html,
            Some(function) => {
                let call = python::application(function, offset).map_err(|cause| {
                    self.origin.error(offset, format!("autoescape {function}: {}", cause.message))
                })?;
                Escape::Call(Rc::new(call))
            }
        })
    }

    fn parse<T>(&self, code: &Code, parser: fn(&str, usize) -> python::Parsed<T>) -> Assembled<T> {
        parser(&code.text, code.offset).map_err(|error| self.origin.syntax_error(error))
    }
}

fn offset_of(node: &Node) -> usize {
    match node {
        Node::Text(_) => 0,
        Node::Expression { code, .. } | Node::Module(code) | Node::Statement(code) => code.offset,
        Node::Extends(code) | Node::Include(code) | Node::Apply { function: code, .. } => code.offset,
        Node::Break(offset) | Node::Continue(offset) | Node::Block { offset, .. } => *offset,
        Node::If { branches, .. } => branches.first().map_or(0, |(condition, _)| condition.offset),
        Node::Loop { header, .. } => header.offset,
        Node::Try(attempt) => attempt.offset,
    }
}
