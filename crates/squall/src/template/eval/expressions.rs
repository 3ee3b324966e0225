//! Expressions.

use std::rc::Rc;

use super::{Closure, Frame, Interp};
use crate::template::compile::{
    Body, CellFrom, Clause, Code, Comprehension, Function, Item, Loops, Node, Piece, Var,
};
use crate::template::format;
use crate::template::python::{Collection, Comparison, Unary};
use crate::template::value::{
    self, Cell, Dict, Iter, Key, Map, Py, PyError, R, Set, Source, binary, compare, get_item, invert,
    negative, positive, repr, write_str,
};
use crate::template::{budget, text};

impl Interp<'_> {
    /// The value of an expression. An error gets its place.
    pub(super) fn eval(&mut self, node: &Node, frame: &mut Frame) -> R {
        let result = match &node.code {
            Code::Constant(value) => return Ok(value.clone()),
            Code::Load(var) => self.load(frame, *var),
            Code::Item(parts) => self.item(parts, frame),
            Code::Compare(op, parts) => self.compare(*op, parts, frame).map(Py::Bool),
            Code::Binary(op, parts) => {
                let left = self.eval(&parts[0], frame)?;
                let right = self.eval(&parts[1], frame)?;
                binary(*op, &left, &right)
            }
            Code::And(parts) => {
                let left = self.eval(&parts[0], frame)?;
                return if left.is_true() { self.eval(&parts[1], frame) } else { Ok(left) };
            }
            Code::Or(parts) => {
                let left = self.eval(&parts[0], frame)?;
                return if left.is_true() { Ok(left) } else { self.eval(&parts[1], frame) };
            }
            Code::IfElse(parts) => {
                let is_true = self.eval(&parts[0], frame)?.is_true();
                return self.eval(&parts[if is_true { 1 } else { 2 }], frame);
            }
            Code::Attribute(of, name) => {
                let of = self.eval(of, frame)?;
                self.attribute(&of, name)
            }
            Code::Call(..) | Code::CallMethod(..) => self.call_node(&node.code, frame),
            _ => self.rare(&node.code, frame),
        };
        match result {
            Err(error) => Err(error.at(node.at)),
            value => value,
        }
    }

    #[inline(never)]
    fn rare(&mut self, code: &Code, frame: &mut Frame) -> R {
        Ok(match code {
            Code::Joined(pieces) => Py::from(self.join(pieces, frame)?),
            Code::Tuple(items) => Py::tuple(self.items(items, frame)?),
            Code::List(items) => Py::list(self.items(items, frame)?),
            Code::Set(items) => Py::Set(Rc::new(Set::new(self.items(items, frame)?, false)?)),
            Code::Dict(pairs) => self.dict(pairs, frame)?,
            Code::Unary(op, node) => {
                let value = self.eval(node, frame)?;
                match op {
                    Unary::Not => Py::Bool(!value.is_true()),
                    Unary::Minus => negative(&value)?,
                    Unary::Plus => positive(&value)?,
                    Unary::Invert => invert(&value)?,
                }
            }
            Code::Chain(first, rest) => self.chain(first, rest, frame)?,
            Code::Closure(function, defaults) => self.closure(function, defaults, frame)?,
            Code::Slice(parts) => {
                let mut part = |index: usize| -> R {
                    parts[index].as_ref().map_or(Ok(Py::None), |node| self.eval(node, frame))
                };
                Py::Slice(Rc::new([part(0)?, part(1)?, part(2)?]))
            }
            Code::Comprehension(comprehension) => self.comprehension(comprehension, frame)?,
            Code::Generator(function, first) => self.generator(function, first, frame)?,
            Code::Walrus(var, node) => {
                let value = self.eval(node, frame)?;
                self.store(frame, *var, value.clone());
                value
            }
            Code::Applied => self.current_applied()?,
            Code::Locals(names) => {
                let mut map = Map::default();
                for (name, var) in names {
                    if let Ok(value) = self.load(frame, *var) {
                        map.insert(Key::new(Py::from(&**name))?, value);
                    }
                }
                // As in Python, also what the function uses of those around it.
                for (cell, (name, from)) in frame.function.cells.iter().enumerate() {
                    if matches!(from, CellFrom::Outer(_))
                        && let Ok(value) = self.load(frame, Var::Cell(cell))
                    {
                        map.insert(Key::new(Py::from(&**name))?, value);
                    }
                }
                Py::Dict(Rc::new(Dict::new(map)))
            }
            _ => Py::None,
        })
    }

    fn item(&mut self, parts: &[Node; 2], frame: &mut Frame) -> R {
        let of = self.eval(&parts[0], frame)?;
        if let (Py::Dict(dict), Code::Constant(Py::Str(key))) = (&of, &parts[1].code) {
            return match dict.get_str(key)? {
                Some(value) => Ok(value),
                None => Err(PyError::key(Py::Str(key.clone()))),
            };
        }
        let key = self.eval(&parts[1], frame)?;
        self.subscript(&of, key)
    }

    /// `of[key]`
    pub(super) fn subscript(&mut self, of: &Py, key: Py) -> R {
        match of {
            Py::Object(object) if object.is_globals() => {
                self.call_method(of, "__getitem__", vec![key].into())
            }
            _ => get_item(of, &key),
        }
    }

    fn compare(&mut self, op: Comparison, parts: &[Node; 2], frame: &mut Frame) -> R<bool> {
        let left = self.eval(&parts[0], frame)?;
        let right = self.eval(&parts[1], frame)?;
        self.compared(op, &left, &right)
    }

    fn compared(&mut self, op: Comparison, left: &Py, right: &Py) -> R<bool> {
        // An iterator is used up by the search.
        if let (Py::Iter(_), Comparison::In | Comparison::NotIn) = (right, op) {
            while let Some(item) = self.next(right)? {
                if compare(Comparison::Equal, left, &item)? {
                    return Ok(op == Comparison::In);
                }
            }
            return Ok(op == Comparison::NotIn);
        }
        if let (Py::Object(object), Comparison::In | Comparison::NotIn) = (right, op)
            && object.is_globals()
        {
            let found = left.as_str().map(|name| self.in_namespace(name)).transpose()?.flatten();
            return Ok(found.is_some() == (op == Comparison::In));
        }
        compare(op, left, right)
    }

    fn chain(&mut self, first: &Node, rest: &[(Comparison, Node)], frame: &mut Frame) -> R {
        let mut left = self.eval(first, frame)?;
        for (op, node) in rest {
            let right = self.eval(node, frame)?;
            if !self.compared(*op, &left, &right)? {
                return Ok(Py::Bool(false));
            }
            left = right;
        }
        Ok(Py::Bool(true))
    }

    fn join(&mut self, pieces: &[Piece], frame: &mut Frame) -> R<String> {
        let mut out = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value { value, conversion, spec } => {
                    let at = value.at;
                    let value = self.eval(value, frame)?;
                    let value = convert(value, *conversion)?;
                    if spec.is_empty() && !matches!(value, Py::Moment(_)) {
                        write_str(&value, &mut out)?;
                    } else {
                        let spec = self.join(spec, frame)?;
                        out.push_str(&format::format(&value, &spec).map_err(|error| error.at(at))?);
                    }
                }
            }
        }
        budget::pay_bytes(out.len())?;
        Ok(out)
    }

    fn items(&mut self, items: &[Item], frame: &mut Frame) -> R<Vec<Py>> {
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            let value = self.eval(&item.value, frame)?;
            if item.is_star {
                out.extend(self.collect(&value).map_err(|error| error.at(item.value.at))?);
            } else {
                out.push(value);
            }
        }
        Ok(out)
    }

    fn dict(&mut self, pairs: &[(Option<Node>, Node)], frame: &mut Frame) -> R {
        let mut map = Map::default();
        for (key, value) in pairs {
            if let Some(key) = key {
                let key = self.eval(key, frame)?;
                let value = self.eval(value, frame)?;
                map.insert(Key::new(key)?, value);
                continue;
            }
            let at = value.at;
            let value = self.eval(value, frame)?;
            let Py::Dict(dict) = &value else {
                let message = format!("'{}' object is not a mapping", value.type_name());
                return Err(PyError::type_error(message).at(at));
            };
            for (key, value) in dict.pairs()? {
                map.insert(Key::new(key)?, value);
            }
        }
        Ok(Py::Dict(Rc::new(Dict::new(map))))
    }

    fn closure(&mut self, function: &Rc<Function>, defaults: &[Option<Node>], frame: &mut Frame) -> R {
        let mut values = Vec::with_capacity(defaults.len());
        for default in defaults {
            values.push(default.as_ref().map(|default| self.eval(default, frame)).transpose()?);
        }
        let cells = frame.shared_with(function);
        self.remember_cells(&cells);
        Ok(Py::Function(Rc::new(Closure { function: Rc::clone(function), cells, defaults: values })))
    }

    fn generator(&mut self, function: &Rc<Function>, first: &Node, frame: &mut Frame) -> R {
        let iterable = self.eval(first, frame)?;
        let first = value::source(&iterable)?;
        let cells = frame.shared_with(function);
        self.remember_cells(&cells);
        let frame = Frame::new(function, &cells);
        Ok(Iter::value(Source::Generator(Box::new(Generator { frame, active: vec![(0, first)] }))))
    }

    fn comprehension(&mut self, comprehension: &Comprehension, frame: &mut Frame) -> R {
        let iterable = self.eval(&comprehension.first, frame)?;
        let mut active =
            vec![(0, value::source(&iterable).map_err(|error| error.at(comprehension.first.at))?)];
        for cell in &comprehension.cells {
            frame.cells[*cell] = Rc::new(Cell::new(Py::Unbound));
        }
        let loops = &comprehension.loops;
        let mut items = Vec::new();
        let mut map = Map::default();
        while self.next_round(loops, &mut active, frame)? {
            match &loops.value {
                Some(value) => {
                    let key = self.eval(&loops.element, frame)?;
                    let value = self.eval(value, frame)?;
                    map.insert(Key::new(key)?, value);
                }
                None => items.push(self.eval(&loops.element, frame)?),
            }
            // Room for what is kept.
            budget::pay(1)?;
        }
        Ok(match comprehension.collection {
            Collection::Dict => Py::Dict(Rc::new(Dict::new(map))),
            Collection::Set => Py::Set(Rc::new(Set::new(items, false)?)),
            Collection::List | Collection::Generator => Py::list(items),
        })
    }

    /// Goes on to the next round of the innermost loop; `false` when all loops are over.
    fn next_round(&mut self, loops: &Loops, active: &mut Vec<(usize, Source)>, frame: &mut Frame) -> R<bool> {
        'next: while let Some((index, source)) = active.last_mut() {
            budget::pay(1)?;
            let index = *index;
            let Some(item) = self.advance(source)? else {
                active.pop();
                continue;
            };
            if let Some(Clause::For { target, .. }) = loops.clauses.get(index) {
                self.assign(target, item, frame)?;
            }
            for (index, clause) in loops.clauses.iter().enumerate().skip(index + 1) {
                match clause {
                    Clause::If(condition) if !self.eval(condition, frame)?.is_true() => continue 'next,
                    Clause::If(_) => {}
                    Clause::For { iterable, .. } => {
                        let value = iterable.as_ref().map_or(Ok(Py::None), |node| self.eval(node, frame))?;
                        active.push((index, value::source(&value)?));
                        continue 'next;
                    }
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// The next value of a generator.
    pub(in crate::template) fn resume(&mut self, generator: &mut Generator) -> R<Option<Py>> {
        let function = Rc::clone(&generator.frame.function);
        let Body::Generator(loops) = &function.body else { return Ok(None) };
        let next = match self.next_round(loops, &mut generator.active, &mut generator.frame) {
            Ok(true) => self.eval(&loops.element, &mut generator.frame).map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        next.map_err(|error| error.within(&function.origin))
    }
}

/// A generator, between two of its values.
pub(in crate::template) struct Generator {
    frame: Frame,
    active: Vec<(usize, Source)>,
}

impl Generator {
    pub(in crate::template) fn into_values(self) -> Vec<Py> {
        self.frame.slots
    }
}

/// `!r`, `!s` and `!a`
pub(in crate::template) fn convert(value: Py, conversion: Option<char>) -> R {
    Ok(match conversion {
        Some('r') => Py::from(repr(&value)?),
        Some('a') => Py::from(text::ascii(&repr(&value)?)),
        Some(_) => Py::from(value::str(&value)?),
        None => value,
    })
}
