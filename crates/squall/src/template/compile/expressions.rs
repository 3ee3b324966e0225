//! Expressions.

use std::collections::HashMap;
use std::rc::Rc;

use super::{
    Argument, Body, Clause, Code, Compiled, Compiler, Comprehension, Item, Loops, Node, Parameters, Piece,
    Scope, Var, names,
};
use crate::template::builtins;
use crate::template::modules::{self, BadPattern};
use crate::template::python::{self, Collection, Constant, Expr, ExprKind, Lambda};
use crate::template::value::{Py, big};

/// Functions of Python's that templates do not have.
const REFUSED: &[&str] = &[
    "__import__",
    "aiter",
    "anext",
    "breakpoint",
    "bytearray",
    "classmethod",
    "compile",
    "complex",
    "delattr",
    "dir",
    "eval",
    "exec",
    "exit",
    "help",
    "id",
    "input",
    "memoryview",
    "open",
    "print",
    "property",
    "quit",
    "setattr",
    "staticmethod",
    "super",
    "vars",
];

impl Compiler<'_> {
    pub(super) fn expr(&mut self, expr: &Expr) -> Compiled<Node> {
        let at = expr.at;
        let code = match &expr.kind {
            ExprKind::Constant(constant) => Code::Constant(value_of(constant)),
            ExprKind::Name(name) => Code::Load(self.name(name, at)?),
            ExprKind::Joined(pieces) => Code::Joined(self.pieces(pieces)?),
            ExprKind::Tuple(items) => Code::Tuple(self.items(items)?),
            ExprKind::List(items) => Code::List(self.items(items)?),
            ExprKind::Set(items) => Code::Set(self.items(items)?),
            ExprKind::Dict(pairs) => {
                let mut compiled = Vec::new();
                for (key, value) in pairs {
                    let key = key.as_ref().map(|key| self.expr(key)).transpose()?;
                    compiled.push((key, self.expr(value)?));
                }
                Code::Dict(compiled)
            }
            ExprKind::Starred(_) => return self.error(at, "can't use starred expression here"),
            ExprKind::Unary(op, value) => Code::Unary(*op, Box::new(self.expr(value)?)),
            ExprKind::Binary(op, left, right) => Code::Binary(*op, self.both(left, right)?),
            ExprKind::And(left, right) => Code::And(self.both(left, right)?),
            ExprKind::Or(left, right) => Code::Or(self.both(left, right)?),
            ExprKind::Compare(left, rest) => match rest.as_slice() {
                [(op, right)] => Code::Compare(*op, self.both(left, right)?),
                rest => {
                    let left = self.expr(left)?;
                    let rest = rest.iter().map(|(op, right)| Ok((*op, self.expr(right)?)));
                    Code::Chain(Box::new(left), rest.collect::<Compiled<Vec<_>>>()?)
                }
            },
            ExprKind::IfElse(parts) => {
                let [condition, value, other] = &**parts;
                Code::IfElse(Box::new([self.expr(condition)?, self.expr(value)?, self.expr(other)?]))
            }
            ExprKind::Lambda(lambda) => self.lambda(lambda)?,
            ExprKind::Call(function, arguments) => self.call(function, arguments)?,
            ExprKind::Attribute(value, name) => {
                self.check_attribute(value, name, at)?;
                Code::Attribute(Box::new(self.expr(value)?), name.as_str().into())
            }
            ExprKind::Item(value, key) => {
                self.check_item(value, key)?;
                Code::Item(self.both(value, key)?)
            }
            ExprKind::Slice(parts) => {
                let mut part = |index: usize| -> Compiled<Option<Node>> {
                    parts[index].as_ref().map(|part| self.expr(part)).transpose()
                };
                Code::Slice(Box::new([part(0)?, part(1)?, part(2)?]))
            }
            ExprKind::Comprehension { collection, element, value, clauses } => {
                self.comprehension(*collection, element, value.as_deref(), clauses)?
            }
            ExprKind::Walrus(name, value) => {
                let value = self.expr(value)?;
                Code::Walrus(self.resolve_outside_comprehensions(name), Box::new(value))
            }
            ExprKind::Applied => Code::Applied,
        };
        Ok(Node { at, code })
    }

    fn both(&mut self, left: &Expr, right: &Expr) -> Compiled<Box<[Node; 2]>> {
        Ok(Box::new([self.expr(left)?, self.expr(right)?]))
    }

    fn name(&mut self, name: &str, at: usize) -> Compiled<Var> {
        let var = self.resolve(name);
        if !matches!(var, Var::Global(_))
            && let Some(message) = self.unknown_imports.get(name)
        {
            return self.error(at, message.clone());
        }
        Ok(var)
    }

    /// `:=` binds in the function, not in the comprehension in which it stands.
    fn resolve_outside_comprehensions(&mut self, name: &str) -> Var {
        let inner = std::mem::take(&mut self.scope().comprehensions);
        let var = self.resolve(name);
        self.scope().comprehensions = inner;
        var
    }

    fn pieces(&mut self, pieces: &[python::Piece]) -> Compiled<Vec<Piece>> {
        let pieces = pieces.iter().map(|piece| {
            Ok(match piece {
                python::Piece::Text(text) => Piece::Text(text.as_str().into()),
                python::Piece::Value { value, conversion, spec } => Piece::Value {
                    value: self.expr(value)?,
                    conversion: *conversion,
                    spec: self.pieces(spec)?,
                },
            })
        });
        pieces.collect()
    }

    fn items(&mut self, items: &[Expr]) -> Compiled<Vec<Item>> {
        let items = items.iter().map(|item| {
            Ok(match &item.kind {
                ExprKind::Starred(inner) => Item { is_star: true, value: self.expr(inner)? },
                _ => Item { is_star: false, value: self.expr(item)? },
            })
        });
        items.collect()
    }

    pub(super) fn arguments(&mut self, arguments: &[python::Argument]) -> Compiled<Vec<Argument>> {
        let arguments = arguments.iter().map(|argument| {
            Ok(match argument {
                python::Argument::Plain(value) => Argument::Plain(self.expr(value)?),
                python::Argument::Star(value) => Argument::Star(self.expr(value)?),
                python::Argument::Keyword(name, value) => {
                    Argument::Keyword(name.as_str().into(), self.expr(value)?)
                }
                python::Argument::Keywords(value) => Argument::Keywords(self.expr(value)?),
            })
        });
        arguments.collect()
    }

    fn call(&mut self, function: &Expr, arguments: &[python::Argument]) -> Compiled<Code> {
        self.check_pattern(function, arguments)?;
        match &function.kind {
            ExprKind::Name(name) if matches!(self.resolve(name), Var::Global(_)) => {
                if name == "locals" && arguments.is_empty() && !self.known.globals.contains_key(name) {
                    return Ok(Code::Locals(self.locals()));
                }
                self.check_function(name, function.at)?;
                self.check_call(function, arguments)?;
            }
            ExprKind::Attribute(of, name) => {
                self.check_attribute(of, name, function.at)?;
                self.check_call(function, arguments)?;
                let of = Box::new(self.expr(of)?);
                return Ok(Code::CallMethod(of, name.as_str().into(), self.arguments(arguments)?));
            }
            _ => {}
        }
        let function = Box::new(self.expr(function)?);
        Ok(Code::Call(function, self.arguments(arguments)?))
    }

    /// A pattern that stands in the template is read now: the page is too late.
    fn check_pattern(&mut self, function: &Expr, arguments: &[python::Argument]) -> Compiled<()> {
        let value = match &function.kind {
            ExprKind::Name(name) if !matches!(self.resolve(name), Var::Global(_)) => {
                self.imports.get(name).cloned()
            }
            ExprKind::Attribute(of, name) => match &of.kind {
                ExprKind::Name(of) if !matches!(self.resolve(of), Var::Global(_)) => {
                    match self.imports.get(of) {
                        Some(Py::Module(module)) => module.get(name),
                        _ => None,
                    }
                }
                _ => None,
            },
            _ => None,
        };
        let Some(Py::Builtin(function)) = value else { return Ok(()) };
        let pattern = arguments.iter().enumerate().find_map(|(index, argument)| match argument {
            python::Argument::Plain(value) if index == 0 => Some(value),
            python::Argument::Keyword(name, value) if name == "pattern" => Some(value),
            _ => None,
        });
        let Some(Expr { kind: ExprKind::Constant(Constant::Str(text)), at, .. }) = pattern else {
            return Ok(());
        };
        if !modules::takes_pattern(function) {
            return Ok(());
        }
        match modules::check_pattern(text) {
            Err(BadPattern::Missing(message)) => self.error(*at, message),
            // `except re.error` may be meant.
            Err(BadPattern::Wrong(message)) if self.tries == 0 => self.error(*at, message),
            _ => Ok(()),
        }
    }

    /// The variables of the function.
    fn locals(&mut self) -> Vec<(Rc<str>, Var)> {
        let scope = self.scope();
        let all = scope.comprehensions.iter().chain([&scope.names]).flatten();
        let mut all: Vec<(Rc<str>, Var)> = all.map(|(name, var)| (name.as_str().into(), *var)).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// A function that nobody has is a mistake that need not wait for the page.
    fn check_function(&self, name: &str, at: usize) -> Compiled<()> {
        if builtins::is_known(name)
            || self.known.globals.contains_key(name)
            || self.known.context_functions.iter().any(|known| known == name)
        {
            return Ok(());
        }
        if REFUSED.contains(&name) && self.tries == 0 {
            return self.error(at, format!("{name}() has no counterpart in a template"));
        }
        if self.known.application.is_none() || self.tries > 0 {
            return Ok(());
        }
        let how = match name {
            "xhtml_unescape" | "url_unescape" | "json_decode" | "utf8" | "to_unicode" | "native_str" => {
                format!("import it: {{% from tornado.escape import {name} %}}")
            }
            _ => format!(
                "register it with Application::ui_method(\"{name}\", …), or say \
                 Application::template_context_functions([\"{name}\"]) if the page's values have it"
            ),
        };
        self.error(at, format!("there is no function {name}: {how}"))
    }

    /// What the application's objects and modules do not have is a mistake that need not wait for the page either.
    fn check_attribute(&mut self, of: &Expr, name: &str, at: usize) -> Compiled<()> {
        self.check_member(of, name, at)?;
        let ExprKind::Name(of_name) = &of.kind else { return Ok(()) };
        if self.tries > 0 {
            return Ok(());
        }
        let is_global = matches!(self.resolve(of_name), Var::Global(_));
        match self.imports.get(of_name) {
            Some(Py::Module(module)) if !is_global && module.get(name).is_none() => {
                let module = module.name();
                self.error(
                    at,
                    format!(
                        "the module {module} has no {name} here: register it with \
                         Application::template_module(\"{module}\", …)"
                    ),
                )
            }
            _ => Ok(()),
        }
    }

    fn lambda(&mut self, lambda: &Lambda) -> Compiled<Code> {
        let mut defaults = Vec::new();
        for (_, default) in &lambda.parameters {
            defaults.push(default.as_ref().map(|default| self.expr(default)).transpose()?);
        }
        let mut bound = names::walrus(&lambda.body);
        bound.extend(lambda.parameters.iter().map(|(name, _)| name.clone()));
        bound.extend(lambda.rest.iter().chain(&lambda.keywords).cloned());
        let used = names::used_inside_exprs([&lambda.body]);
        self.functions.push(Scope::new(bound, &used));
        let named =
            lambda.parameters.iter().map(|(name, _)| (name.as_str().into(), self.resolve(name))).collect();
        let parameters = Parameters {
            named,
            positional_only: lambda.positional_only,
            keyword_only: lambda.keyword_only,
            rest: lambda.rest.as_ref().map(|name| self.resolve(name)),
            keywords: lambda.keywords.as_ref().map(|name| self.resolve(name)),
        };
        let body = self.expr(&lambda.body)?;
        Ok(Code::Closure(Rc::new(self.function(parameters, Body::Value(body))), defaults))
    }

    fn comprehension(
        &mut self,
        collection: Collection,
        element: &Expr,
        value: Option<&Expr>,
        clauses: &[python::Clause],
    ) -> Compiled<Code> {
        let (bound, first) = names::comprehension_names(clauses);
        let Some(first) = first else { return self.error(element.at, "expected a for") };
        let first = self.expr(first)?;
        let inside = clauses.iter().flat_map(|clause| match clause {
            python::Clause::For { target, iterable } => vec![target, iterable],
            python::Clause::If(condition) => vec![condition],
        });
        let used = names::used_inside_exprs(inside.chain([element]).chain(value));
        if collection == Collection::Generator {
            self.functions.push(Scope::new(names::Names::new(), &used));
        }
        let mut names = HashMap::new();
        let mut cells = Vec::new();
        for name in bound {
            let var = self.scope().add(&name, used.contains(&name));
            if let Var::Cell(cell) = var {
                cells.push(cell);
            }
            names.insert(name, var);
        }
        self.scope().comprehensions.push(names);
        let loops = self.loops(element, value, clauses)?;
        self.scope().comprehensions.pop();
        if collection == Collection::Generator {
            let function = self.function(Parameters::default(), Body::Generator(loops));
            return Ok(Code::Generator(Rc::new(function), Box::new(first)));
        }
        Ok(Code::Comprehension(Box::new(Comprehension { collection, first, loops, cells })))
    }

    fn loops(&mut self, element: &Expr, value: Option<&Expr>, clauses: &[python::Clause]) -> Compiled<Loops> {
        let mut compiled = Vec::new();
        for clause in clauses {
            compiled.push(match clause {
                python::Clause::For { target, iterable } => {
                    let iterable = if compiled.is_empty() { None } else { Some(self.expr(iterable)?) };
                    Clause::For { target: self.target(target)?, iterable }
                }
                python::Clause::If(condition) => Clause::If(self.expr(condition)?),
            });
        }
        let value = value.map(|value| self.expr(value)).transpose()?;
        Ok(Loops { clauses: compiled, element: self.expr(element)?, value })
    }
}

fn value_of(constant: &Constant) -> Py {
    match constant {
        Constant::None => Py::None,
        Constant::Bool(value) => Py::Bool(*value),
        Constant::Int(value) => Py::Int(*value),
        Constant::Big(value) => big(value.clone()),
        Constant::Float(value) => Py::Float(*value),
        Constant::Str(text) => Py::from(text.as_str()),
        Constant::Bytes(bytes) => Py::bytes(bytes.as_slice()),
    }
}
