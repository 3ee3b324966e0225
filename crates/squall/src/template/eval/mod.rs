//! Runs a template's code.

mod attributes;
mod calls;
mod expressions;
mod steps;
mod stream;

use std::io;
use std::rc::{Rc, Weak};

use minijinja::value::ValueKind;
use minijinja::{Environment, State, Value};

pub(super) use calls::{Args, Closure};
pub(super) use expressions::{Generator, convert};
pub(super) use stream::Stream;

use super::compile::{CellFrom, Function, Known, Program, Var};
use super::value::{Cell, Class, Dict, List, Py, PyError, R, from_host, from_host_error};
use super::{builtins, modules};

/// A page that is being made.
pub(super) struct Interp<'a> {
    program: &'a Program,
    known: &'a Known,
    /// The page's values.
    context: Value,
    globals: Vec<Option<Py>>,
    pub(super) out: String,
    sink: Option<&'a mut dyn io::Write>,
    /// What functions are given by `{% apply %}` and `{% autoescape %}`, the innermost last.
    applied: Vec<Applied>,
    env: &'a Environment<'static>,
    state: Option<State<'a, 'a>>,
    shared: Shared,
}

/// What a function is given by `{% apply %}` or `{% autoescape %}`.
enum Applied {
    Value(Py),
    /// A part of the page, which is made when the call comes to its argument, with the cells of its function.
    Part(Rc<Function>, Vec<Rc<Cell>>),
}

/// The variables of a function that runs.
pub(super) struct Frame {
    pub(super) function: Rc<Function>,
    pub(super) slots: Vec<Py>,
    pub(super) cells: Vec<Rc<Cell>>,
}

impl Frame {
    fn new(function: &Rc<Function>, outer: &[Rc<Cell>]) -> Self {
        let mut outer = outer.iter();
        let cell = |(_, from): &(Rc<str>, CellFrom)| match from {
            CellFrom::Outer(_) => outer.next().map(Rc::clone),
            CellFrom::Own => None,
        };
        let cells = function.cells.iter().map(cell);
        let cells = cells.map(|cell| cell.unwrap_or_else(|| Rc::new(Cell::new(Py::Unbound)))).collect();
        let slots = vec![Py::Unbound; function.slots.len()];
        Self { function: Rc::clone(function), slots, cells }
    }

    /// The cells that a function in this one shares with it.
    fn shared_with(&self, function: &Function) -> Vec<Rc<Cell>> {
        let outer = function.cells.iter().filter_map(|(_, from)| match from {
            CellFrom::Outer(cell) => self.cells.get(*cell).map(Rc::clone),
            CellFrom::Own => None,
        });
        outer.collect()
    }
}

/// What may hold itself, and would outlive the page.
#[derive(Default)]
struct Shared {
    cells: Vec<Weak<Cell>>,
    lists: Vec<Weak<List>>,
    dicts: Vec<Weak<Dict>>,
    limit: usize,
}

impl Shared {
    /// Forgets what is gone, once there is much.
    fn tidy(&mut self) {
        if self.cells.len() + self.lists.len() + self.dicts.len() <= self.limit.max(64) {
            return;
        }
        self.cells.retain(|cell| cell.strong_count() > 0);
        self.lists.retain(|list| list.strong_count() > 0);
        self.dicts.retain(|dict| dict.strong_count() > 0);
        self.limit = 2 * (self.cells.len() + self.lists.len() + self.dicts.len());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.cells.iter().filter_map(Weak::upgrade).for_each(|cell| cell.set(Py::None));
        self.lists.iter().filter_map(Weak::upgrade).for_each(|list| list.clear());
        self.dicts.iter().filter_map(Weak::upgrade).for_each(|dict| dict.clear());
    }
}

impl<'a> Interp<'a> {
    pub(super) fn new(
        program: &'a Program,
        known: &'a Known,
        env: &'a Environment<'static>,
        context: Value,
        sink: Option<&'a mut dyn io::Write>,
    ) -> Self {
        Self {
            program,
            known,
            context,
            globals: vec![None; program.globals.len()],
            out: String::with_capacity(if sink.is_some() { 0 } else { program.size.get() }),
            sink,
            applied: Vec::new(),
            env,
            state: None,
            shared: Shared::default(),
        }
    }

    /// The whole page.
    pub(super) fn run(&mut self) -> R<()> {
        let main = Rc::clone(&self.program.main);
        let mut frame = Frame::new(&main, &[]);
        self.run_steps(&main, &mut frame)?;
        self.program.size.set(self.out.len());
        self.flush(0)
    }

    /// Hands on what is written, when it is more than `least`.
    fn flush(&mut self, least: usize) -> R<()> {
        if let Some(sink) = &mut self.sink
            && self.out.len() > least
        {
            let written = sink.write_all(self.out.as_bytes());
            self.out.clear();
            written.map_err(|error| PyError::fatal(&error.to_string()))?;
        }
        Ok(())
    }

    /// Remembers a value that now holds another one.
    pub(super) fn remember(&mut self, value: &Py) {
        match value {
            Py::List(list) => self.shared.lists.push(Rc::downgrade(list)),
            Py::Dict(dict) => self.shared.dicts.push(Rc::downgrade(dict)),
            _ => return,
        }
        self.shared.tidy();
    }

    fn remember_cells(&mut self, cells: &[Rc<Cell>]) {
        self.shared.cells.extend(cells.iter().map(Rc::downgrade));
        self.shared.tidy();
    }

    /// What `f` does with the engine's state, which the application's functions want to see.
    fn with_state<T>(&mut self, f: impl FnOnce(&mut State<'a, 'a>) -> T) -> T {
        let env = self.env;
        f(self.state.get_or_insert_with(|| env.empty_state()))
    }

    fn load(&mut self, frame: &Frame, var: Var) -> R {
        let value = match var {
            Var::Slot(slot) => frame.slots[slot].clone(),
            Var::Cell(cell) => frame.cells[cell].get(),
            Var::Global(index) => return self.global(index),
        };
        if matches!(value, Py::Unbound) { Err(unbound(frame, var)) } else { Ok(value) }
    }

    fn store(&mut self, frame: &mut Frame, var: Var, value: Py) {
        match var {
            Var::Slot(slot) => frame.slots[slot] = value,
            Var::Cell(cell) => frame.cells[cell].set(value),
            // A target is a variable of some function.
            Var::Global(index) => self.globals[index] = Some(value),
        }
    }

    fn global(&mut self, index: usize) -> R {
        if let Some(Some(value)) = self.globals.get(index) {
            return Ok(value.clone());
        }
        let name = &self.program.globals[index];
        match self.named(name)? {
            Some(value) => {
                self.globals[index] = Some(value.clone());
                Ok(value)
            }
            None => Err(PyError::new(Class::NameError, format!("name '{name}' is not defined"))),
        }
    }

    /// What a name means outside of all functions.
    pub(super) fn named(&self, name: &str) -> R<Option<Py>> {
        if let Some(value) = self.in_namespace(name)? {
            return Ok(Some(value));
        }
        // Tornado gives it to every template; the application may have added to it.
        if name == "datetime" && self.known.modules.contains_key(name) {
            return Ok(modules::find(name, &self.known.modules).map(Py::Module));
        }
        Ok(builtins::find(name))
    }

    /// As [`named`](Self::named), without what is Python's own.
    pub(super) fn in_namespace(&self, name: &str) -> R<Option<Py>> {
        if self.context.kind() == ValueKind::Map {
            let value = self.context.get_attr(name).map_err(|error| from_host_error(&error))?;
            if !value.is_undefined() {
                return from_host(&value).map(Some);
            }
        }
        self.known.globals.get(name).map(from_host).transpose()
    }

    /// The names and values of the namespace, as far as they can be told.
    pub(super) fn namespace(&self) -> R<Vec<(Py, Py)>> {
        let mut pairs = Vec::new();
        if self.context.kind() == ValueKind::Map
            && let Ok(keys) = self.context.try_iter()
        {
            for key in keys {
                let value = self.context.get_item(&key).map_err(|error| from_host_error(&error))?;
                pairs.push((from_host(&key)?, from_host(&value)?));
            }
        }
        Ok(pairs)
    }
}

#[cold]
fn unbound(frame: &Frame, var: Var) -> PyError {
    match var {
        Var::Slot(slot) => {
            let name = &frame.function.slots[slot];
            let message =
                format!("cannot access local variable '{name}' where it is not associated with a value");
            PyError::new(Class::UnboundLocalError, message)
        }
        Var::Cell(cell) => match &frame.function.cells[cell] {
            (name, CellFrom::Own) => {
                let message =
                    format!("cannot access local variable '{name}' where it is not associated with a value");
                PyError::new(Class::UnboundLocalError, message)
            }
            (name, CellFrom::Outer(_)) => {
                let message = format!(
                    "cannot access free variable '{name}' where it is not associated with a value in enclosing scope"
                );
                PyError::new(Class::NameError, message)
            }
        },
        Var::Global(_) => PyError::new(Class::NameError, "name is not defined"),
    }
}
