//! The steps of a page.

use std::rc::Rc;

use super::{Applied, Args, Frame, Interp};
use crate::escape;
use crate::template::budget;
use crate::template::compile::{Argument, Body, Code, Escape, For, Function, Node, Op, Target, Try, Var};
use crate::template::methods;
use crate::template::python::Binary;
use crate::template::value::{
    self, Class, Found, Py, PyError, R, Type, binary, check_slice, delete_item, from_host, get_item,
    set_item, set_slice, write_str,
};

/// What is written is handed on when there is so much of it.
const PIECE: usize = 8 * 1024;

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
}

impl Interp<'_> {
    /// The steps that a function consists of.
    pub(super) fn run_steps(&mut self, function: &Rc<Function>, frame: &mut Frame) -> R<()> {
        match &function.body {
            Body::Steps(ops) => match self.steps(ops, frame) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.within(&function.origin)),
            },
            Body::Value(_) | Body::Generator(_) => Ok(()),
        }
    }

    pub(super) fn steps(&mut self, ops: &[Op], frame: &mut Frame) -> R<Flow> {
        budget::pay(ops.len() as u64)?;
        for op in ops {
            let flow = match op {
                Op::Text(text) => {
                    self.out.push_str(text);
                    if text.len() >= 64 {
                        budget::pay((text.len() / 64) as u64)?;
                    }
                    Flow::Next
                }
                Op::Print(node, escape) => {
                    self.print(node, escape, frame)?;
                    Flow::Next
                }
                Op::If(branches, otherwise) => self.branch(branches, otherwise, frame)?,
                Op::For(each) => self.each(each, frame)?,
                Op::Part(origin, ops) => match self.steps(ops, frame) {
                    Ok(flow) => flow,
                    Err(error) => return Err(error.within(origin)),
                },
                Op::Break => return Ok(Flow::Break),
                Op::Continue => return Ok(Flow::Continue),
                _ => self.rare_step(op, frame)?,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    #[inline(never)]
    fn rare_step(&mut self, op: &Op, frame: &mut Frame) -> R<Flow> {
        match op {
            Op::Module(at, name, arguments) => {
                self.module(*at, name, arguments, frame).map_err(|error| error.at(*at))?;
            }
            Op::Evaluate(node) => drop(self.eval(node, frame)?),
            Op::Assign(targets, node) => {
                let value = self.eval(node, frame)?;
                for target in targets {
                    self.assign(target, value.clone(), frame).map_err(|error| error.at(node.at))?;
                }
            }
            Op::Augment(target, op, node) => self.augment(target, *op, node, frame)?,
            Op::Delete(target) => self.delete(target, frame)?,
            Op::Import(var, value) => self.store(frame, *var, value.clone()),
            Op::Apply(function, call) => self.apply(function, call, frame)?,
            Op::While(condition, ops, otherwise) => {
                while self.eval(condition, frame)?.is_true() {
                    budget::pay(1)?;
                    if self.steps(ops, frame)? == Flow::Break {
                        return Ok(Flow::Next);
                    }
                    self.flush_page()?;
                }
                return self.steps(otherwise, frame);
            }
            Op::Try(attempt) => return self.attempt(attempt, frame),
            _ => {}
        }
        Ok(Flow::Next)
    }

    fn branch(&mut self, branches: &[(Node, Vec<Op>)], otherwise: &[Op], frame: &mut Frame) -> R<Flow> {
        for (condition, ops) in branches {
            if self.eval(condition, frame)?.is_true() {
                return self.steps(ops, frame);
            }
        }
        self.steps(otherwise, frame)
    }

    fn each(&mut self, each: &For, frame: &mut Frame) -> R<Flow> {
        let iterable = self.eval(&each.iterable, frame)?;
        let at = |error: PyError| error.at(each.iterable.at);
        let mut source = value::source(&iterable).map_err(at)?;
        while let Some(item) = self.advance(&mut source).map_err(at)? {
            budget::pay(1)?;
            self.assign(&each.target, item, frame).map_err(at)?;
            if self.steps(&each.ops, frame)? == Flow::Break {
                return Ok(Flow::Next);
            }
            self.flush_page()?;
        }
        self.steps(&each.otherwise, frame)
    }

    /// Hands on what is written, unless a function is to have it first.
    fn flush_page(&mut self) -> R<()> {
        if self.sink.is_some() && self.applied_depth() == 0 { self.flush(PIECE) } else { Ok(()) }
    }

    fn print(&mut self, node: &Node, escape: &Escape, frame: &mut Frame) -> R<()> {
        if matches!(escape, Escape::Html)
            && let Some((of, key)) = field(&node.code)
        {
            return self.print_field(of, key, node, frame);
        }
        let value = self.eval(node, frame)?;
        self.print_value(&value, node, escape, frame)
    }

    /// Prints `of[key]` or `of.key`. A text in the application's dict, such as a row's, goes to the page without a detour.
    fn print_field(&mut self, of: &Node, key: &str, node: &Node, frame: &mut Frame) -> R<()> {
        let evaluated;
        let value = match &of.code {
            Code::Load(Var::Slot(slot)) if !matches!(frame.slots[*slot], Py::Unbound) => &frame.slots[*slot],
            _ => {
                evaluated = self.eval(of, frame)?;
                &evaluated
            }
        };
        let found = match value {
            Py::Dict(dict) => dict.find(key).map_err(|error| error.at(node.at))?,
            _ => Found::Container,
        };
        match found {
            Found::Text(text) => {
                let _ = escape::xhtml_escape_to(text, &mut self.out);
                budget::pay((text.len() / 64) as u64)
            }
            Found::Given(text) if !text.is_safe() => {
                let text = text.as_str().unwrap_or_default();
                let _ = escape::xhtml_escape_to(text, &mut self.out);
                budget::pay((text.len() / 64) as u64)
            }
            Found::Given(text) => self.print_value(&from_host(&text)?, node, &Escape::Html, frame),
            Found::Plain(item) => self.print_value(&item, node, &Escape::Html, frame),
            Found::Nothing | Found::Container => {
                let value = value.clone();
                let item = match &node.code {
                    Code::Attribute(..) => self.attribute(&value, key),
                    _ => self.subscript(&value, Py::from(key)),
                };
                let item = item.map_err(|error| error.at(node.at))?;
                self.print_value(&item, node, &Escape::Html, frame)
            }
        }
    }

    fn print_value(&mut self, value: &Py, node: &Node, escape: &Escape, frame: &mut Frame) -> R<()> {
        let before = self.out.len();
        match (escape, value) {
            (Escape::Html, Py::Str(text)) if !text.is_safe() => self.put_escaped(text),
            (_, Py::Int(number)) if !matches!(escape, Escape::Call(_)) => {
                self.out.push_str(itoa::Buffer::new().format(*number));
            }
            (Escape::Html | Escape::None, Py::Str(text)) => self.out.push_str(text),
            (Escape::None, value) => {
                let text = plain(value).map_err(|error| error.at(node.at))?;
                self.out.push_str(&text);
            }
            (Escape::Html, value) => {
                let text = plain(value).map_err(|error| error.at(node.at))?;
                self.put_escaped(&text);
            }
            (Escape::Call(call), value) => {
                let text = plain(value).map_err(|error| error.at(node.at))?;
                let escaped = self.applied(text, call, frame)?;
                self.put(&escaped, call.at)?;
            }
        }
        budget::pay(((self.out.len() - before) / 64) as u64)
    }

    fn put_escaped(&mut self, text: &str) {
        // Writing to a `String` does not fail.
        let _ = escape::xhtml_escape_to(text, &mut self.out);
    }

    /// Puts in what a function has made of a part of the page.
    fn put(&mut self, value: &Py, at: usize) -> R<()> {
        match value {
            Py::Str(text) => self.out.push_str(text),
            Py::Bytes(bytes) => self.out.push_str(&String::from_utf8_lossy(bytes)),
            _ => {
                let of = Type::of(value).full_name();
                let message = format!("Expected bytes, unicode, or None; got <class '{of}'>");
                return Err(PyError::type_error(message).at(at));
            }
        }
        Ok(())
    }

    /// The value of `call`, with a text in the place of its argument.
    fn applied(&mut self, text: String, call: &Node, frame: &mut Frame) -> R {
        self.applied.push(Applied::Value(Py::bytes(text.into_bytes())));
        let value = self.eval(call, frame);
        self.applied.pop();
        value
    }

    /// As long as it is not done, nothing is handed on.
    fn apply(&mut self, function: &Rc<Function>, call: &Node, frame: &mut Frame) -> R<()> {
        let cells = frame.shared_with(function);
        self.remember_cells(&cells);
        self.applied.push(Applied::Part(Rc::clone(function), cells));
        let value = self.eval(call, frame);
        self.applied.pop();
        self.put(&value?, call.at)
    }

    fn module(&mut self, at: usize, name: &str, arguments: &[Argument], frame: &mut Frame) -> R<()> {
        let args = self.args(arguments, frame)?;
        let modules = self.known.globals.get("_tt_modules").cloned();
        let Some(modules) = modules else {
            let message = format!("there is no UI module {name}: modules are an application's");
            return Err(PyError::new(Class::NameError, message));
        };
        let args = args.into_host(&Py::None)?;
        let html = self.with_state(|state| modules.call_method(state, name, &args));
        let html = from_host(&html.map_err(|error| value::from_host_error(&error))?)?;
        self.put(&html, at)
    }

    pub(super) fn assign(&mut self, target: &Target, value: Py, frame: &mut Frame) -> R<()> {
        match target {
            Target::Var(var) => {
                self.store(frame, *var, value);
                Ok(())
            }
            Target::Tuple(targets, star) => self.unpack(targets, *star, &value, frame),
            Target::Item(parts) => {
                let of = self.eval(&parts[0], frame)?;
                let key = self.eval(&parts[1], frame)?;
                self.set_item(&of, key, value).map_err(|error| error.at(parts[0].at))
            }
        }
    }

    /// `of[key] = value`
    fn set_item(&mut self, of: &Py, key: Py, value: Py) -> R<()> {
        if let (Py::List(list), Py::Slice(parts)) = (of, &key) {
            check_slice(list, parts)?;
            let no_iterable = |error: PyError| match error.class() {
                Class::TypeError => {
                    let kind = if matches!(parts[2], Py::None | Py::Int(1)) { "can only" } else { "must" };
                    PyError::type_error(format!("{kind} assign an iterable to a slice"))
                }
                _ => error,
            };
            let mut source = value::source(&value).map_err(no_iterable)?;
            let mut items = Vec::new();
            while let Some(item) = self.advance(&mut source)? {
                budget::pay(1)?;
                items.push(item);
            }
            set_slice(list, parts, items)?;
        } else {
            set_item(of, key, value)?;
        }
        self.remember(of);
        Ok(())
    }

    #[inline(never)]
    fn unpack(&mut self, targets: &[Target], star: Option<usize>, value: &Py, frame: &mut Frame) -> R<()> {
        let no_iterable =
            |_| PyError::type_error(format!("cannot unpack non-iterable {} object", value.type_name()));
        let mut source = value::source(value).map_err(no_iterable)?;
        let mut items = Vec::new();
        while let Some(item) = self.advance(&mut source)? {
            if star.is_none() && items.len() == targets.len() {
                let message = format!("too many values to unpack (expected {})", targets.len());
                return Err(PyError::value_error(message));
            }
            budget::pay(1)?;
            items.push(item);
        }
        let least = targets.len() - usize::from(star.is_some());
        if items.len() < least {
            let at_least = if star.is_some() { "at least " } else { "" };
            return Err(PyError::value_error(format!(
                "not enough values to unpack (expected {at_least}{least}, got {})",
                items.len()
            )));
        }
        if let Some(star) = star {
            let rest = items.len() - least;
            let taken: Vec<Py> = items.drain(star..star + rest).collect();
            items.insert(star, Py::list(taken));
        }
        for (target, item) in targets.iter().zip(items) {
            self.assign(target, item, frame)?;
        }
        Ok(())
    }

    fn augment(&mut self, target: &Target, op: Binary, node: &Node, frame: &mut Frame) -> R<()> {
        let at = |error: PyError| error.at(node.at);
        match target {
            Target::Var(var) => {
                let old = self.load(frame, *var).map_err(at)?;
                let value = self.eval(node, frame)?;
                let new = self.in_place(op, &old, &value).map_err(at)?;
                self.store(frame, *var, new);
            }
            Target::Item(parts) => {
                let of = self.eval(&parts[0], frame)?;
                let key = self.eval(&parts[1], frame)?;
                let old = get_item(&of, &key).map_err(at)?;
                let value = self.eval(node, frame)?;
                let new = self.in_place(op, &old, &value).map_err(at)?;
                self.set_item(&of, key, new).map_err(at)?;
            }
            Target::Tuple(..) => {}
        }
        Ok(())
    }

    /// `old op= value`, which changes lists, dicts and sets in place.
    fn in_place(&mut self, op: Binary, old: &Py, value: &Py) -> R {
        match (old, op) {
            (Py::List(list), Binary::Add) => {
                let items = self.collect(value)?;
                budget::pay_items(list.len() + items.len())?;
                list.borrow_mut().extend(items);
                self.remember(old);
                Ok(old.clone())
            }
            (Py::List(list), Binary::Mul) => {
                let new = binary(op, old, value)?;
                if let Py::List(new) = &new {
                    let items = std::mem::take(&mut *new.borrow_mut());
                    let gone = std::mem::replace(&mut *list.borrow_mut(), items);
                    drop(gone);
                }
                Ok(old.clone())
            }
            (Py::Dict(_), Binary::BitOr) => {
                methods::call(self, old, "update", Args::from(vec![value.clone()]))?;
                self.remember(old);
                Ok(old.clone())
            }
            (Py::Set(set), Binary::BitOr | Binary::BitAnd | Binary::Sub | Binary::BitXor)
                if !set.is_frozen() =>
            {
                let Py::Set(new) = binary(op, old, value)? else { return binary(op, old, value) };
                set.clear();
                new.to_vec().into_iter().try_for_each(|item| set.add(item))?;
                Ok(old.clone())
            }
            _ => binary(op, old, value),
        }
    }

    fn delete(&mut self, target: &Target, frame: &mut Frame) -> R<()> {
        match target {
            Target::Var(var) => {
                self.load(frame, *var)?;
                self.store(frame, *var, Py::Unbound);
                Ok(())
            }
            Target::Tuple(targets, _) => targets.iter().try_for_each(|target| self.delete(target, frame)),
            Target::Item(parts) => {
                let of = self.eval(&parts[0], frame)?;
                let key = self.eval(&parts[1], frame)?;
                delete_item(&of, &key).map_err(|error| error.at(parts[0].at))
            }
        }
    }

    fn attempt(&mut self, attempt: &Try, frame: &mut Frame) -> R<Flow> {
        let mut result = match self.steps(&attempt.ops, frame) {
            Ok(Flow::Next) => self.steps(&attempt.otherwise, frame),
            Err(error) if !error.is_fatal() => self.handle(error, attempt, frame),
            other => other,
        };
        if result.as_ref().is_err_and(PyError::is_fatal) {
            return result;
        }
        let after = self.steps(&attempt.finally, frame)?;
        if after != Flow::Next {
            result = Ok(after);
        }
        result
    }

    fn handle(&mut self, error: PyError, attempt: &Try, frame: &mut Frame) -> R<Flow> {
        for handler in &attempt.handlers {
            let is_for_it = match &handler.classes {
                None => true,
                Some(classes) => {
                    let value = self.eval(classes, frame)?;
                    is_caught(&value, error.class()).map_err(|error| error.at(classes.at))?
                }
            };
            if !is_for_it {
                continue;
            }
            let Some(name) = handler.name else { return self.steps(&handler.ops, frame) };
            self.store(frame, name, Py::Exception(Rc::clone(error.exception())));
            let result = self.steps(&handler.ops, frame);
            // The name goes with its block, as in Python.
            self.store(frame, name, Py::Unbound);
            return result;
        }
        Err(error)
    }
}

fn is_caught(classes: &Py, class: Class) -> R<bool> {
    match classes {
        Py::Type(Type::Exception(own)) => Ok(class.is_a(*own)),
        Py::Tuple(items) => {
            for item in items.iter() {
                if is_caught(item, class)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => {
            Err(PyError::type_error("catching classes that do not inherit from BaseException is not allowed"))
        }
    }
}

/// What `of[key]` and `of.key` are of, and the key.
fn field(code: &Code) -> Option<(&Node, &str)> {
    match code {
        Code::Item(parts) => match &parts[1].code {
            Code::Constant(Py::Str(key)) => Some((&parts[0], key)),
            _ => None,
        },
        Code::Attribute(of, name) => Some((of, name)),
        _ => None,
    }
}

/// The text that a value puts into the page, which holds nothing but text.
fn plain(value: &Py) -> R<String> {
    match value {
        Py::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        _ => {
            let mut text = String::new();
            write_str(value, &mut text)?;
            Ok(text)
        }
    }
}

impl Interp<'_> {
    /// How many functions wait for a part of the page.
    fn applied_depth(&self) -> usize {
        self.applied.len()
    }

    /// What `{% apply %}` gives to its function.
    pub(super) fn current_applied(&mut self) -> R {
        let (function, cells) = match self.applied.last() {
            None => return Ok(Py::None),
            Some(Applied::Value(value)) => return Ok(value.clone()),
            Some(Applied::Part(function, cells)) => (Rc::clone(function), cells.clone()),
        };
        let mut frame = Frame::new(&function, &cells);
        let outer = std::mem::take(&mut self.out);
        let done = self.run_steps(&function, &mut frame);
        let text = std::mem::replace(&mut self.out, outer);
        done?;
        let value = Py::bytes(text.into_bytes());
        if let Some(last) = self.applied.last_mut() {
            *last = Applied::Value(value.clone());
        }
        Ok(value)
    }

    /// The same, if it has been made.
    pub(super) fn given(&self) -> Py {
        match self.applied.last() {
            Some(Applied::Value(value)) => value.clone(),
            _ => Py::None,
        }
    }

    /// The arguments of a call.
    pub(super) fn args(&mut self, arguments: &[Argument], frame: &mut Frame) -> R<Args> {
        let mut args = Args::with_capacity(arguments.len());
        for argument in arguments {
            match argument {
                Argument::Plain(node) => args.positional.push(self.eval(node, frame)?),
                Argument::Keyword(name, node) => {
                    let value = self.eval(node, frame)?;
                    args.add_keyword(Rc::clone(name), value)?;
                }
                Argument::Star(node) => {
                    let value = self.eval(node, frame)?;
                    args.positional.extend(self.collect(&value).map_err(|error| error.at(node.at))?);
                }
                Argument::Keywords(node) => {
                    let value = self.eval(node, frame)?;
                    let Py::Dict(dict) = &value else {
                        return Err(PyError::type_error("argument after ** must be a mapping").at(node.at));
                    };
                    for (key, value) in dict.pairs()? {
                        let Py::Str(key) = key else {
                            return Err(PyError::type_error("keywords must be strings").at(node.at));
                        };
                        args.add_keyword(key.to_string().into(), value)?;
                    }
                }
            }
        }
        Ok(args)
    }
}
