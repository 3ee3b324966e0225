//! Jinja files, for minijinja: with Python's functions and methods, and Python's printing.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use super::assemble::Origin;
use super::compile::{self, Known};
use super::error::TemplateError;
use super::eval::{Args, Interp};
use super::loader::{Source, resolve};
use super::parser::File;
use super::value::{Py, PyError, R, from_host, to_host};
use super::{budget, builtins, methods, to_str};
use crate::escape;

/// Functions that Jinja's own do not make superfluous.
const FUNCTIONS: &[&str] = &[
    "abs",
    "all",
    "any",
    "bin",
    "bool",
    "chr",
    "divmod",
    "enumerate",
    "escape",
    "float",
    "getattr",
    "hasattr",
    "hex",
    "int",
    "json_encode",
    "len",
    "linkify",
    "list",
    "max",
    "min",
    "oct",
    "ord",
    "pow",
    "repr",
    "reversed",
    "round",
    "set",
    "sorted",
    "squeeze",
    "str",
    "sum",
    "tuple",
    "url_escape",
    "xhtml_escape",
    "zip",
];

/// The environment of Jinja files, which the application's functions see from other templates too.
pub(super) fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::Html);
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_syntax(SyntaxConfig::default());
    env.set_debug(false);
    env.set_formatter(print);
    env.set_unknown_method_callback(method);
    env.set_path_join_callback(|name, parent| {
        resolve(name, Some(parent)).map_or_else(|| name.to_owned().into(), Cow::Owned)
    });
    for name in FUNCTIONS {
        env.add_function(*name, move |args: minijinja::value::Rest<Value>| call(name, &args));
    }
    env.add_global("datetime", super::datetime::module());
    env
}

/// An environment that finds Jinja files.
pub(super) fn with_files(env: &Environment<'static>, source: &Arc<Source>) -> Environment<'static> {
    let mut env = env.clone();
    let source = Arc::clone(source);
    env.set_loader(move |name| match resolve(name, None) {
        // What is missing may be optional.
        Some(name) => Ok(source.read(&name).ok()),
        None => Ok(None),
    });
    env
}

/// The error at its place in the file.
pub(super) fn locate(source: &Source, error: &Error) -> TemplateError {
    let message = message(error);
    let line = error.line().unwrap_or(0);
    let located = match error.name() {
        Some(name) => match source.read(name) {
            Ok(text) => {
                let start: usize =
                    text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
                let blank = text[start..].len() - text[start..].trim_start_matches([' ', '\t']).len();
                TemplateError::at(name, &text, start + blank, message)
            }
            Err(_) => TemplateError::of_file(name, message),
        },
        None => TemplateError::of_file("<template>", message),
    };
    located.with_cause(error)
}

fn message(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// Prints as Python does, escaped unless `{% autoescape false %}` says otherwise; what does not exist is nothing.
fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Ok(());
    }
    let text = to_str(value);
    if value.is_safe() || matches!(state.auto_escape(), AutoEscape::None) {
        out.write_str(&text)?;
    } else {
        escape::xhtml_escape_to(&text, out)?;
    }
    Ok(())
}

/// A function of Python's, called from Jinja.
fn call(name: &str, args: &[Value]) -> Result<Value, Error> {
    let Some(function) = builtins::find(name) else { return Err(Error::from(ErrorKind::UnknownFunction)) };
    run(args, |interp, args| interp.call(&function, args))
}

fn method(_: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let own = from_host(value).map_err(told)?;
    let is_object = matches!(own, Py::Host(_)) || value.kind() == ValueKind::Undefined;
    if is_object || !methods::has(&own, name) {
        return Err(Error::from(ErrorKind::UnknownMethod));
    }
    run(args, |interp, args| methods::call(interp, &own, name, args))
}

/// What `f` comes to, for Jinja.
fn run(args: &[Value], f: impl FnOnce(&mut Interp<'_>, Args) -> R) -> Result<Value, Error> {
    let _session = budget::begin(budget::STEPS).map_err(told)?;
    let known = Known::default();
    let file = Rc::new(File::empty());
    let origin = Origin::new(file);
    let program = compile::compile(&origin, &[], &known)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
    let env = Environment::new();
    let mut interp = Interp::new(&program, &known, &env, Value::UNDEFINED, None);
    let mut given = Args::from(Vec::new());
    let keywords = args
        .last()
        .and_then(|last| Kwargs::try_from(last.clone()).ok())
        .filter(|_| args.last().is_some_and(Value::is_kwargs));
    let plain = if keywords.is_some() { &args[..args.len() - 1] } else { args };
    for value in plain {
        given.positional.push(from_host(value).map_err(told)?);
    }
    if let Some(keywords) = keywords {
        let mut all: HashMap<&str, Value> = HashMap::new();
        for name in keywords.args() {
            all.insert(name, keywords.get(name)?);
        }
        for (name, value) in all {
            given.keywords.push((name.into(), from_host(&value).map_err(told)?));
        }
    }
    let mut result = f(&mut interp, given).map_err(told)?;
    if let Py::Iter(_) = result {
        result = Py::list(interp.collect(&result).map_err(told)?);
    }
    to_host(&result).map_err(told)
}

fn told(error: PyError) -> Error {
    Error::new(ErrorKind::InvalidOperation, error.message())
}
