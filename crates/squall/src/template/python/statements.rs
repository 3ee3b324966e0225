//! What stands in a tag: an expression, the statements of `{% set %}`, the header of a `for`, and so on.

use super::ast::{Binary, Expr, ExprKind, Statement, StatementKind};
use super::parse::{Parser, check_target};
use super::tokens::Kind;
use super::{Parsed, SyntaxError, wrong};

/// All of the text as an expression.
pub(in crate::template) fn expression(text: &str, at: usize) -> Parsed<Expr> {
    Parser::new(text, at, 0)?.whole()
}

/// The text, a function, called with what `{% apply %}` gives to it.
pub(in crate::template) fn application(text: &str, at: usize) -> Parsed<Expr> {
    Parser::applied(text, at)?.whole()
}

/// The call that `{% module %}` takes.
pub(in crate::template) fn module_call(text: &str, at: usize) -> Parsed<Expr> {
    let call = expression(text, at)?;
    match &call.kind {
        ExprKind::Call(function, _) if matches!(function.kind, ExprKind::Name(_)) => Ok(call),
        _ => wrong(at, "module takes a call, such as Entry(1)"),
    }
}

/// What stands between `for` and the end of the tag: the target, and what it goes over.
pub(in crate::template) fn for_header(text: &str, at: usize) -> Parsed<(Expr, Expr)> {
    let mut parser = Parser::new(text, at, 0)?;
    let target = parser.targets()?;
    parser.expect_word("in")?;
    let iterable = parser.expressions()?;
    parser.end()?;
    Ok((target, iterable))
}

/// What stands after `except`: the classes, if any, and the name.
pub(in crate::template) struct Except {
    pub(in crate::template) classes: Option<Expr>,
    pub(in crate::template) name: Option<String>,
}

/// # Errors
/// The place is that of what stands after `except`.
pub(in crate::template) fn except(text: &str, at: usize) -> Parsed<Except> {
    if text.is_empty() {
        return Ok(Except { classes: None, name: None });
    }
    let mut parser = Parser::new(text, at, 0)?;
    let classes = Some(parser.expression()?);
    if !parser.take_word("as") {
        parser.end()?;
        return Ok(Except { classes, name: None });
    }
    let place = parser.at();
    match parser.take_name() {
        Some(name) if matches!(parser.kind(), Kind::End) => Ok(Except { classes, name: Some(name) }),
        _ => wrong(place, "except .. as takes a name"),
    }
}

/// The statements of `{% set %}` or `{% import %}`, in one line: several are separated by `;`.
pub(in crate::template) fn statements(text: &str, at: usize) -> Parsed<Vec<Statement>> {
    let mut parser = Parser::new(text, at, 0)?;
    let mut all = Vec::new();
    loop {
        statement(&mut parser, &mut all)?;
        if !parser.take_operator(";") || matches!(parser.kind(), Kind::End) {
            break;
        }
    }
    parser.end()?;
    Ok(all)
}

fn statement(parser: &mut Parser, all: &mut Vec<Statement>) -> Parsed<()> {
    let at = parser.at();
    let word = match parser.kind() {
        Kind::Name(name) => name.clone(),
        _ => String::new(),
    };
    let kind = match word.as_str() {
        "import" => return import(parser, all),
        "from" => return import_from(parser, all),
        "pass" => {
            parser.advance();
            StatementKind::Pass
        }
        "del" => {
            parser.advance();
            let targets = parser.expressions()?;
            check_target(&targets)?;
            if has_star(&targets) {
                return wrong(targets.at, "cannot delete starred");
            }
            StatementKind::Delete(vec![targets])
        }
        "assert" | "global" | "nonlocal" | "raise" | "return" | "class" | "def" | "with" => {
            return wrong(at, format!("{word} has no counterpart in a template"));
        }
        _ => assignment(parser)?,
    };
    all.push(Statement { kind });
    Ok(())
}

fn has_star(target: &Expr) -> bool {
    match &target.kind {
        ExprKind::Starred(_) => true,
        ExprKind::Tuple(items) | ExprKind::List(items) => items.iter().any(has_star),
        _ => false,
    }
}

fn assignment(parser: &mut Parser) -> Parsed<StatementKind> {
    let first = parser.expressions()?;
    if let Kind::Operator(operator) = *parser.kind()
        && operator.len() > 1
        && let Some(op) = operator.strip_suffix('=').and_then(Binary::of_symbol)
    {
        let at = parser.at();
        if !matches!(first.kind, ExprKind::Name(_) | ExprKind::Attribute(..) | ExprKind::Item(..)) {
            return wrong(at, format!("{operator} changes one name, item or attribute"));
        }
        parser.advance();
        return Ok(StatementKind::Augment(first, op, parser.expressions()?));
    }
    if !parser.is_operator("=") {
        if let ExprKind::Starred(_) = first.kind {
            return wrong(first.at, "can't use starred expression here");
        }
        return Ok(StatementKind::Expression(first));
    }
    let mut parts = vec![first];
    while parser.take_operator("=") {
        parts.push(parser.expressions()?);
    }
    let value =
        parts.pop().ok_or(SyntaxError { message: "expected an expression".into(), at: parser.at() })?;
    if let ExprKind::Starred(_) = value.kind {
        return wrong(value.at, "can't use starred expression here");
    }
    parts.iter().try_for_each(|target| match &target.kind {
        ExprKind::Starred(_) => wrong(target.at, "starred assignment target must be in a list or tuple"),
        _ => check_target(target),
    })?;
    Ok(StatementKind::Assign(parts, value))
}

fn dotted(parser: &mut Parser) -> Parsed<String> {
    let Some(mut name) = parser.take_name() else {
        return wrong(parser.at(), "expected the name of a module");
    };
    while parser.take_operator(".") {
        match parser.take_name() {
            Some(part) => name.extend([".", &part]),
            None => return wrong(parser.at(), "expected a name after \".\""),
        }
    }
    Ok(name)
}

fn as_name(parser: &mut Parser) -> Parsed<Option<String>> {
    if !parser.take_word("as") {
        return Ok(None);
    }
    match parser.take_name() {
        Some(name) => Ok(Some(name)),
        None => wrong(parser.at(), "expected a name after \"as\""),
    }
}

fn import(parser: &mut Parser, all: &mut Vec<Statement>) -> Parsed<()> {
    parser.advance();
    loop {
        let module = dotted(parser)?;
        let alias = as_name(parser)?;
        let is_whole = alias.is_some();
        let first = module.split('.').next().unwrap_or_default().to_owned();
        let name = alias.unwrap_or(first);
        all.push(Statement { kind: StatementKind::Import { module, name, is_whole } });
        if !parser.take_operator(",") {
            return Ok(());
        }
    }
}

fn import_from(parser: &mut Parser, all: &mut Vec<Statement>) -> Parsed<()> {
    parser.advance();
    if parser.is_operator(".") || parser.is_operator("...") {
        return wrong(parser.at(), "a relative import has no package to start from");
    }
    let module = dotted(parser)?;
    parser.expect_word("import")?;
    if parser.is_operator("*") {
        return wrong(parser.at(), "import * only allowed at module level: name what the template needs");
    }
    let in_brackets = parser.take_operator("(");
    loop {
        let at = parser.at();
        let Some(item) = parser.take_name() else { return wrong(at, "expected a name to import") };
        let name = as_name(parser)?.unwrap_or_else(|| item.clone());
        all.push(Statement { kind: StatementKind::From { module: module.clone(), item, name } });
        if !parser.take_operator(",") || (in_brackets && parser.is_operator(")")) {
            break;
        }
    }
    if in_brackets { parser.expect(")") } else { Ok(()) }
}

/// The names that a target binds.
pub(in crate::template) fn names_of(target: &Expr, out: &mut Vec<String>) {
    match &target.kind {
        ExprKind::Name(name) => out.push(name.clone()),
        ExprKind::Tuple(items) | ExprKind::List(items) => items.iter().for_each(|item| names_of(item, out)),
        ExprKind::Starred(inner) => names_of(inner, out),
        _ => {}
    }
}
