//! The steps of a template.

use std::rc::Rc;

use super::{Body, Compiled, Compiler, Escape, For, Handler, Op, Parameters, Scope, Target, Try, names};
use crate::template::assemble::{self, Step};
use crate::template::modules;
use crate::template::python::{Expr, ExprKind, Statement, StatementKind};
use crate::template::value::Py;

impl Compiler<'_> {
    pub(super) fn steps(&mut self, steps: &[Step]) -> Compiled<Vec<Op>> {
        let mut ops = Vec::new();
        for step in steps {
            self.step(step, &mut ops)?;
        }
        Ok(ops)
    }

    fn step(&mut self, step: &Step, ops: &mut Vec<Op>) -> Compiled<()> {
        let op = match step {
            Step::Text(text) => Op::Text(text.as_str().into()),
            Step::Print { value, escape } => {
                self.check_printed(value)?;
                let value = self.expr(value)?;
                let escape = match escape {
                    assemble::Escape::None => Escape::None,
                    assemble::Escape::Html => Escape::Html,
                    assemble::Escape::Call(call) => Escape::Call(self.expr(call)?),
                };
                Op::Print(value, escape)
            }
            Step::Module(call) => self.module(call)?,
            Step::Statements(statements) => {
                for statement in statements {
                    self.statement(statement, ops)?;
                }
                return Ok(());
            }
            Step::Break => Op::Break,
            Step::Continue => Op::Continue,
            Step::Part { origin, steps } => {
                let outer = std::mem::replace(&mut self.origin, Rc::clone(origin));
                let inner = self.steps(steps)?;
                self.origin = outer;
                Op::Part(Rc::clone(origin), inner)
            }
            Step::Apply { call, steps } => {
                let call = self.expr(call)?;
                self.functions.push(Scope::new(names::bound(steps), &names::used_inside(steps)));
                let ops = self.steps(steps)?;
                let function = self.function(Parameters::default(), Body::Steps(ops));
                Op::Apply(Rc::new(function), call)
            }
            Step::If { branches, otherwise } => {
                let mut compiled = Vec::new();
                for (condition, steps) in branches {
                    compiled.push((self.expr(condition)?, self.steps(steps)?));
                }
                Op::If(compiled, self.steps(otherwise)?)
            }
            Step::While { condition, steps, otherwise } => {
                Op::While(self.expr(condition)?, self.steps(steps)?, self.steps(otherwise)?)
            }
            Step::For { target, iterable, steps, otherwise } => {
                let iterable = self.expr(iterable)?;
                let target = self.target(target)?;
                let (ops, otherwise) = (self.steps(steps)?, self.steps(otherwise)?);
                Op::For(Box::new(For { target, iterable, ops, otherwise }))
            }
            Step::Try { steps, handlers, otherwise, finally } => {
                self.tries += 1;
                let ops = self.steps(steps)?;
                self.tries -= 1;
                let mut compiled = Vec::new();
                for (except, steps) in handlers {
                    let classes = except.classes.as_ref().map(|classes| self.expr(classes)).transpose()?;
                    let name = except.name.as_ref().map(|name| self.resolve(name));
                    compiled.push(Handler { classes, name, ops: self.steps(steps)? });
                }
                let (otherwise, finally) = (self.steps(otherwise)?, self.steps(finally)?);
                Op::Try(Box::new(Try { ops, handlers: compiled, otherwise, finally }))
            }
        };
        ops.push(op);
        Ok(())
    }

    fn module(&mut self, call: &Expr) -> Compiled<Op> {
        let ExprKind::Call(function, arguments) = &call.kind else {
            return self.error(call.at, "module takes a call, such as Entry(1)");
        };
        let ExprKind::Name(name) = &function.kind else {
            return self.error(call.at, "module takes a call, such as Entry(1)");
        };
        self.check_module(name, arguments, call.at)?;
        Ok(Op::Module(call.at, name.as_str().into(), self.arguments(arguments)?))
    }

    fn statement(&mut self, statement: &Statement, ops: &mut Vec<Op>) -> Compiled<()> {
        let op = match &statement.kind {
            StatementKind::Expression(value) => Op::Evaluate(self.expr(value)?),
            StatementKind::Assign(targets, value) => {
                let value = self.expr(value)?;
                let targets = targets.iter().map(|target| self.target(target));
                Op::Assign(targets.collect::<Compiled<Vec<_>>>()?, value)
            }
            StatementKind::Augment(target, op, value) => {
                let value = self.expr(value)?;
                Op::Augment(self.target(target)?, *op, value)
            }
            StatementKind::Delete(targets) => {
                for target in targets {
                    let target = self.target(target)?;
                    ops.push(Op::Delete(target));
                }
                return Ok(());
            }
            StatementKind::Import { module, name, is_whole } => {
                let bound = if *is_whole { module } else { name };
                let found = modules::find(module, &self.known.modules)
                    .and_then(|_| modules::find(bound, &self.known.modules));
                match found {
                    Some(found) => self.import(name, Py::Module(found)),
                    None => self.unknown_import(name, module, None),
                }
            }
            StatementKind::From { module, item, name } => {
                let found = modules::find(module, &self.known.modules);
                let whole = format!("{module}.{item}");
                let value = found
                    .and_then(|found| found.get(item))
                    .or_else(|| modules::find(&whole, &self.known.modules).map(Py::Module));
                match value {
                    Some(value) => self.import(name, value),
                    None => self.unknown_import(name, module, Some(item)),
                }
            }
            StatementKind::Pass => return Ok(()),
        };
        ops.push(op);
        Ok(())
    }

    fn import(&mut self, name: &str, value: Py) -> Op {
        self.unknown_imports.remove(name);
        self.imports.insert(name.to_owned(), value.clone());
        Op::Import(self.resolve(name), value)
    }

    /// Only one that is used is a mistake.
    fn unknown_import(&mut self, name: &str, module: &str, item: Option<&str>) -> Op {
        let what = match item {
            Some(item) => format!("the template uses {item} of {module}, which is not known here"),
            None => format!("the template uses the module {module}, which is not known here"),
        };
        let message = format!("{what}: register it with Application::template_module(\"{module}\", …)");
        self.unknown_imports.insert(name.to_owned(), message);
        Op::Import(self.resolve(name), Py::Unbound)
    }

    pub(super) fn target(&mut self, target: &Expr) -> Compiled<Target> {
        Ok(match &target.kind {
            ExprKind::Name(name) => Target::Var(self.resolve(name)),
            ExprKind::Tuple(items) | ExprKind::List(items) => {
                let mut star = None;
                let mut targets = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    match &item.kind {
                        ExprKind::Starred(inner) => {
                            star = Some(index);
                            targets.push(self.target(inner)?);
                        }
                        _ => targets.push(self.target(item)?),
                    }
                }
                Target::Tuple(targets, star)
            }
            // Objects are the application's, and attributes of dicts are their items.
            ExprKind::Attribute(_, name) => {
                let message = format!(
                    "a template cannot assign to or delete the attribute {name}: change an item (d[\"{name}\"] = ..) or \
                     a variable, or let the handler do it"
                );
                return self.error(target.at, message);
            }
            ExprKind::Item(value, key) => Target::Item(Box::new([self.expr(value)?, self.expr(key)?])),
            _ => return self.error(target.at, "cannot assign to this: expected a name"),
        })
    }
}
