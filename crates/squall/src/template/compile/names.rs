//! Which names a function binds, and which of them functions inside of it use. The whole template is one function, as in
//! Tornado; lambdas, generators and what stands in `{% apply %}` are functions of their own.

use std::collections::BTreeSet;

use crate::template::assemble::{Escape, Step};
use crate::template::python::{
    Argument, Clause, Collection, Expr, ExprKind, Piece, Statement, StatementKind, names_of,
};

pub(super) type Names = BTreeSet<String>;

/// The names that a function of these steps binds.
pub(super) fn bound(steps: &[Step]) -> Names {
    let mut names = Vec::new();
    for_each_step(steps, &mut |step| match step {
        Step::For { target, .. } => names_of(target, &mut names),
        Step::Try { handlers, .. } => {
            names.extend(handlers.iter().filter_map(|(except, _)| except.name.clone()));
        }
        Step::Statements(statements) => statements.iter().for_each(|statement| match &statement.kind {
            StatementKind::Assign(targets, _) => {
                targets.iter().for_each(|target| names_of(target, &mut names));
            }
            StatementKind::Augment(target, ..) => names_of(target, &mut names),
            StatementKind::Delete(targets) => targets.iter().for_each(|target| names_of(target, &mut names)),
            StatementKind::Import { name, .. } | StatementKind::From { name, .. } => names.push(name.clone()),
            StatementKind::Expression(_) | StatementKind::Pass => {}
        }),
        _ => {}
    });
    let mut all: Names = names.into_iter().collect();
    for_each_expr(steps, &mut |expr| all.extend(walrus(expr)));
    all
}

/// The names that `:=` binds in an expression's function.
pub(super) fn walrus(expr: &Expr) -> Names {
    fn collect(expr: &Expr, out: &mut Names) {
        match &expr.kind {
            ExprKind::Walrus(name, _) => drop(out.insert(name.clone())),
            // A function of its own, unlike a comprehension.
            ExprKind::Lambda(lambda) => {
                lambda.parameters.iter().filter_map(|(_, default)| default.as_ref()).for_each(|default| {
                    collect(default, out);
                });
                return;
            }
            _ => {}
        }
        children(expr, &mut |child| collect(child, out));
    }
    let mut names = Names::new();
    collect(expr, &mut names);
    names
}

/// The names that functions inside of these steps use and do not bind.
pub(super) fn used_inside(steps: &[Step]) -> Names {
    let mut search = Search::default();
    search.steps(steps);
    search.found
}

/// As [`used_inside`], of expressions.
pub(super) fn used_inside_exprs<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> Names {
    let mut search = Search::default();
    exprs.into_iter().for_each(|expr| search.expr(expr));
    search.found
}

#[derive(Default)]
struct Search {
    found: Names,
    /// What is bound between the function and the place that is looked at.
    scopes: Vec<Names>,
    /// How many functions are between.
    functions: usize,
}

impl Search {
    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Apply { call, steps } => {
                    self.expr(call);
                    self.inside(bound(steps), |search| search.steps(steps));
                }
                _ => {
                    exprs_of(step, &mut |expr| self.expr(expr));
                    parts_of(step, &mut |steps| self.steps(steps));
                }
            }
        }
    }

    /// Looks into a function that binds these names.
    fn inside(&mut self, names: Names, look: impl FnOnce(&mut Self)) {
        self.functions += 1;
        self.scopes.push(names);
        look(self);
        self.scopes.pop();
        self.functions -= 1;
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Name(name) | ExprKind::Walrus(name, _) => {
                if self.functions > 0 && !self.scopes.iter().any(|scope| scope.contains(name)) {
                    self.found.insert(name.clone());
                }
                children(expr, &mut |child| self.expr(child));
            }
            ExprKind::Lambda(lambda) => {
                for default in lambda.parameters.iter().filter_map(|(_, default)| default.as_ref()) {
                    self.expr(default);
                }
                let mut names = walrus(&lambda.body);
                names.extend(lambda.parameters.iter().map(|(name, _)| name.clone()));
                names.extend(lambda.rest.iter().chain(&lambda.keywords).cloned());
                self.inside(names, |search| search.expr(&lambda.body));
            }
            ExprKind::Comprehension { collection, element, value, clauses } => {
                let (names, first) = comprehension_names(clauses);
                if let Some(first) = first {
                    self.expr(first);
                }
                let is_function = *collection == Collection::Generator;
                self.functions += usize::from(is_function);
                self.scopes.push(names);
                let rest = clauses.iter().enumerate().flat_map(|(index, clause)| match clause {
                    Clause::For { target, iterable } if index > 0 => vec![target, iterable],
                    Clause::For { target, .. } => vec![target],
                    Clause::If(condition) => vec![condition],
                });
                for expr in rest.chain([&**element]).chain(value.as_deref()) {
                    self.expr(expr);
                }
                self.scopes.pop();
                self.functions -= usize::from(is_function);
            }
            _ => children(expr, &mut |child| self.expr(child)),
        }
    }
}

/// The names that a comprehension binds, and what it goes over first, which is outside of it.
pub(super) fn comprehension_names(clauses: &[Clause]) -> (Names, Option<&Expr>) {
    let mut names = Vec::new();
    let mut first = None;
    for clause in clauses {
        if let Clause::For { target, iterable } = clause {
            names_of(target, &mut names);
            first = first.or(Some(iterable));
        }
    }
    (names.into_iter().collect(), first)
}

/// Every step of a function, but not those in `{% apply %}`.
fn for_each_step<'a>(steps: &'a [Step], f: &mut impl FnMut(&'a Step)) {
    for step in steps {
        f(step);
        if !matches!(step, Step::Apply { .. }) {
            parts_of(step, &mut |steps| {
                let mut inner: Vec<&'a Step> = Vec::new();
                collect(steps, &mut inner);
                inner.into_iter().for_each(&mut *f);
            });
        }
    }
}

fn collect<'a>(steps: &'a [Step], out: &mut Vec<&'a Step>) {
    for step in steps {
        out.push(step);
        if !matches!(step, Step::Apply { .. }) {
            parts_of(step, &mut |steps| collect(steps, out));
        }
    }
}

/// Every expression of a function's steps.
fn for_each_expr(steps: &[Step], f: &mut impl FnMut(&Expr)) {
    for_each_step(steps, &mut |step| exprs_of(step, f));
}

fn exprs_of(step: &Step, f: &mut impl FnMut(&Expr)) {
    match step {
        Step::Print { value, escape } => {
            f(value);
            if let Escape::Call(call) = escape {
                f(call);
            }
        }
        Step::Module(call) | Step::Apply { call, .. } => f(call),
        Step::Statements(statements) => {
            statements.iter().for_each(|statement| exprs_of_statement(statement, f));
        }
        Step::If { branches, .. } => branches.iter().for_each(|(condition, _)| f(condition)),
        Step::While { condition, .. } => f(condition),
        Step::For { target, iterable, .. } => {
            f(target);
            f(iterable);
        }
        Step::Try { handlers, .. } => {
            handlers.iter().filter_map(|(except, _)| except.classes.as_ref()).for_each(f);
        }
        Step::Text(_) | Step::Break | Step::Continue | Step::Part { .. } => {}
    }
}

fn exprs_of_statement(statement: &Statement, f: &mut impl FnMut(&Expr)) {
    match &statement.kind {
        StatementKind::Expression(value) => f(value),
        StatementKind::Assign(targets, value) => targets.iter().chain([value]).for_each(f),
        StatementKind::Augment(target, _, value) => [target, value].into_iter().for_each(f),
        StatementKind::Delete(targets) => targets.iter().for_each(f),
        StatementKind::Import { .. } | StatementKind::From { .. } | StatementKind::Pass => {}
    }
}

fn parts_of<'a>(step: &'a Step, f: &mut impl FnMut(&'a [Step])) {
    match step {
        Step::Part { steps, .. } | Step::Apply { steps, .. } => f(steps),
        Step::If { branches, otherwise } => {
            branches.iter().for_each(|(_, steps)| f(steps));
            f(otherwise);
        }
        Step::While { steps, otherwise, .. } | Step::For { steps, otherwise, .. } => {
            f(steps);
            f(otherwise);
        }
        Step::Try { steps, handlers, otherwise, finally } => {
            f(steps);
            handlers.iter().for_each(|(_, steps)| f(steps));
            f(otherwise);
            f(finally);
        }
        _ => {}
    }
}

/// The expressions right below one; a lambda's body is not among them.
fn children(expr: &Expr, f: &mut dyn FnMut(&Expr)) {
    match &expr.kind {
        ExprKind::Constant(_) | ExprKind::Name(_) | ExprKind::Applied => {}
        ExprKind::Joined(pieces) => pieces_of(pieces, f),
        ExprKind::Tuple(items) | ExprKind::List(items) | ExprKind::Set(items) => items.iter().for_each(f),
        ExprKind::Dict(pairs) => pairs.iter().for_each(|(key, value)| {
            key.iter().for_each(&mut *f);
            f(value);
        }),
        ExprKind::Starred(value) | ExprKind::Unary(_, value) | ExprKind::Walrus(_, value) => f(value),
        ExprKind::Attribute(value, _) => f(value),
        ExprKind::Binary(_, left, right)
        | ExprKind::And(left, right)
        | ExprKind::Or(left, right)
        | ExprKind::Item(left, right) => [left, right].into_iter().for_each(|side| f(side)),
        ExprKind::Compare(left, rest) => {
            f(left);
            rest.iter().for_each(|(_, right)| f(right));
        }
        ExprKind::IfElse(parts) => parts.iter().for_each(f),
        ExprKind::Lambda(lambda) => {
            lambda.parameters.iter().filter_map(|(_, default)| default.as_ref()).for_each(f);
        }
        ExprKind::Call(function, arguments) => {
            f(function);
            arguments.iter().for_each(|argument| match argument {
                Argument::Plain(value) | Argument::Star(value) => f(value),
                Argument::Keyword(_, value) | Argument::Keywords(value) => f(value),
            });
        }
        ExprKind::Slice(parts) => parts.iter().flatten().for_each(|part| f(part)),
        ExprKind::Comprehension { element, value, clauses, .. } => {
            for clause in clauses {
                match clause {
                    Clause::For { target, iterable } => [target, iterable].into_iter().for_each(&mut *f),
                    Clause::If(condition) => f(condition),
                }
            }
            f(element);
            value.iter().for_each(|value| f(value));
        }
    }
}

fn pieces_of(pieces: &[Piece], f: &mut dyn FnMut(&Expr)) {
    for piece in pieces {
        if let Piece::Value { value, spec, .. } = piece {
            f(value);
            pieces_of(spec, f);
        }
    }
}
