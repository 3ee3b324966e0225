//! From a template's steps to code: names become places, and what cannot work is refused.

mod code;
mod expressions;
mod names;
mod steps;
mod surface;

use std::collections::HashMap;
use std::rc::Rc;

pub(super) use code::{
    Argument, Body, CellFrom, Clause, Code, Comprehension, Escape, For, Function, Handler, Item, Loops, Node,
    Op, Parameters, Piece, Program, Target, Try, Var,
};
use names::Names;
pub(crate) use surface::{Has, Member, Shape, Surface};

use super::assemble::{Files, Origin, Step};
use super::error::TemplateError;
use super::modules::Module;
use super::value::Py;

/// What templates can know besides their own variables.
#[derive(Default, Clone)]
pub(super) struct Known {
    /// The application's values and functions by name.
    pub(super) globals: HashMap<String, minijinja::Value>,
    /// What `{% import %}` finds besides the standard modules.
    pub(super) modules: HashMap<String, Rc<Module>>,
    /// In an application: what it has, and that no function comes from elsewhere.
    pub(super) application: Option<Rc<Surface>>,
    /// Functions that only the context gives, and objects that it gives instead of the application's.
    pub(super) context_functions: Vec<String>,
}

/// The code of a template.
///
/// # Errors
/// What is refused, with its place.
pub(super) fn compile(
    origin: &Rc<Origin>,
    steps: &[Step],
    known: &Known,
    files: &dyn Files,
) -> Result<Program, TemplateError> {
    let mut compiler = Compiler {
        known,
        files,
        origin: Rc::clone(origin),
        functions: Vec::new(),
        globals: Vec::new(),
        unknown_imports: HashMap::new(),
        imports: HashMap::new(),
        tries: 0,
    };
    compiler.functions.push(Scope::new(names::bound(steps), &names::used_inside(steps)));
    let ops = compiler.steps(steps)?;
    let main = compiler.function(Parameters::default(), Body::Steps(ops));
    Ok(Program { main: Rc::new(main), globals: compiler.globals, size: std::cell::Cell::default() })
}

struct Compiler<'a> {
    known: &'a Known,
    files: &'a dyn Files,
    origin: Rc<Origin>,
    /// The functions around, the innermost last.
    functions: Vec<Scope>,
    globals: Vec<Rc<str>>,
    /// Names that an import of what is unknown has bound, and how to make it known.
    unknown_imports: HashMap<String, String>,
    /// What names stand for that an import has bound.
    imports: HashMap<String, Py>,
    /// How many `{% try %}` are around.
    tries: usize,
}

/// A function that is being compiled.
struct Scope {
    names: HashMap<String, Var>,
    /// The variables of the comprehensions around, the innermost last.
    comprehensions: Vec<HashMap<String, Var>>,
    slots: Vec<Rc<str>>,
    cells: Vec<(Rc<str>, CellFrom)>,
}

impl Scope {
    fn new(bound: Names, used_inside: &Names) -> Self {
        let mut scope =
            Self { names: HashMap::new(), comprehensions: Vec::new(), slots: Vec::new(), cells: Vec::new() };
        for name in bound {
            let var = scope.add(&name, used_inside.contains(&name));
            scope.names.insert(name, var);
        }
        scope
    }

    fn add(&mut self, name: &str, is_shared: bool) -> Var {
        if is_shared {
            self.cells.push((name.into(), CellFrom::Own));
            Var::Cell(self.cells.len() - 1)
        } else {
            Var::Slot(self.slot(name))
        }
    }

    fn slot(&mut self, name: &str) -> usize {
        self.slots.push(name.into());
        self.slots.len() - 1
    }

    fn find(&self, name: &str) -> Option<Var> {
        let inner = self.comprehensions.iter().rev().find_map(|names| names.get(name));
        inner.or_else(|| self.names.get(name)).copied()
    }
}

type Compiled<T> = Result<T, TemplateError>;

impl Compiler<'_> {
    fn error<T>(&self, at: usize, message: impl Into<String>) -> Compiled<T> {
        Err(self.origin.error(at, message))
    }

    fn scope(&mut self) -> &mut Scope {
        let last = self.functions.len() - 1;
        &mut self.functions[last]
    }

    /// The innermost function, whose code is complete.
    fn function(&mut self, parameters: Parameters, body: Body) -> Function {
        let (slots, cells) = self.functions.pop().map(|scope| (scope.slots, scope.cells)).unwrap_or_default();
        Function { origin: Rc::clone(&self.origin), slots, cells, parameters, body }
    }

    /// Where the value of a name is.
    fn resolve(&mut self, name: &str) -> Var {
        let found = self.functions.iter().enumerate().rev().find_map(|(level, scope)| {
            let var = scope.find(name)?;
            Some((level, var))
        });
        let last = self.functions.len() - 1;
        match found {
            Some((level, var)) if level == last => var,
            Some((level, Var::Cell(cell))) => {
                // Each function between hands it on.
                let mut cell = cell;
                for scope in &mut self.functions[level + 1..] {
                    let from = CellFrom::Outer(cell);
                    let known = scope.cells.iter().position(|(_, known)| *known == from);
                    cell = known.unwrap_or_else(|| {
                        scope.cells.push((name.into(), from));
                        scope.cells.len() - 1
                    });
                }
                Var::Cell(cell)
            }
            _ => Var::Global(self.global(name)),
        }
    }

    fn global(&mut self, name: &str) -> usize {
        self.globals.iter().position(|known| **known == *name).unwrap_or_else(|| {
            self.globals.push(name.into());
            self.globals.len() - 1
        })
    }
}
