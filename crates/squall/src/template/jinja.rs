//! Jinja files, for minijinja: with Python's functions and methods, Python's printing, and translations.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};
use regex::Regex;

use super::assemble::{NoFiles, Origin};
use super::compile::{self, Known};
use super::error::TemplateError;
use super::eval::{Args, Interp};
use super::loader::{Source, resolve};
use super::parser::File;
use super::python::Binary;
use super::value::{self, Py, PyError, R, binary, from_host, to_host};
use super::{budget, builtins, jinja_page, jinja_trans, methods, printed, to_str};
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
        env.add_function(*name, move |args: Rest<ValueOrKwargs>| call(name, &args.into_values()));
    }
    env.add_global("datetime", super::datetime::module());
    env.add_filter("urlencode", urlencode);
    for name in ["gettext", "_", "ngettext", "pgettext", "npgettext"] {
        env.add_function(name, move |args: Rest<ValueOrKwargs>| untranslated(name, &args.into_values()));
    }
    env.add_function(jinja_trans::FUNCTION, trans);
    env
}

/// An environment that finds Jinja files.
pub(super) fn with_files(
    env: &Environment<'static>,
    source: &Arc<Source>,
    names: &Arc<Names>,
) -> Environment<'static> {
    let mut env = env.clone();
    let (source, names) = (Arc::clone(source), Arc::clone(names));
    env.set_loader(move |name| {
        // What is missing may be optional.
        let Some(name) = resolve(name, None) else { return Ok(None) };
        let Ok(text) = source.read(&name) else { return Ok(None) };
        if !names.contains(&name) {
            let message = format!(
                "{name} is a template in Tornado's syntax, which one in Jinja's can neither extend nor include: \
                 name it among the jinja_templates, or use a module"
            );
            return Err(Error::new(ErrorKind::BadInclude, message));
        }
        match rewritten(&name, text) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(Error::new(ErrorKind::SyntaxError, error.to_string())),
        }
    });
    env
}

/// The text of a file, without what minijinja does not know.
pub(super) fn rewritten(name: &str, text: String) -> Result<String, TemplateError> {
    match jinja_trans::rewrite(&text) {
        Ok(Some(rewritten)) => Ok(rewritten),
        Ok(None) => Ok(text),
        Err((at, message)) => Err(TemplateError::at(name, &text, at, message)),
    }
}

/// Which files are Jinja templates.
#[derive(Default)]
pub(super) struct Names(Vec<Regex>);

impl Names {
    /// Adds those of a pattern: one with a `/` is for the name from the root, one that ends in it for all that is below, any
    /// other for the last part of the name. `*` and `?` stand for what has no `/`, `**` for anything.
    pub(super) fn add(&mut self, pattern: &str) {
        let below = if pattern.ends_with('/') { "**" } else { "" };
        let from_root = pattern.trim_start_matches('/');
        let start = if pattern.contains('/') { "^" } else { "(?:^|/)" };
        let mut regex = regex::escape(&format!("{from_root}{below}"));
        for (glob, meaning) in [(r"\*\*", ".*"), (r"\*", "[^/]*"), (r"\?", "[^/]")] {
            regex = regex.replace(glob, meaning);
        }
        // An escaped text is a regex, unless it is too long for one; such a name no file has.
        self.0.extend(Regex::new(&format!("(?s){start}{regex}$")).ok());
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        name.ends_with(".jinja") || name.ends_with(".j2") || self.0.iter().any(|names| names.is_match(name))
    }
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
    if jinja_page::is_out_of_fuel(error) {
        return budget::exhausted().message();
    }
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
    let text = printed(value).map_err(told)?;
    if value.is_safe() || matches!(state.auto_escape(), AutoEscape::None) {
        out.write_str(&text)?;
    } else {
        escape::xhtml_escape_to(&text, out)?;
    }
    Ok(())
}

/// Jinja's filter, of a text or of pairs.
fn urlencode(value: &Value) -> Result<String, Error> {
    let quoted = |value: &Value| escape::url_escape(&to_str(value)).into_owned();
    if matches!(value.kind(), ValueKind::Map) {
        let mut pairs = Vec::new();
        for key in value.try_iter()? {
            pairs.push(format!("{}={}", quoted(&key), quoted(&value.get_item(&key)?)));
        }
        return Ok(pairs.join("&"));
    }
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        let mut pairs = Vec::new();
        for pair in value.try_iter()? {
            pairs.push(format!(
                "{}={}",
                quoted(&pair.get_item(&0.into())?),
                quoted(&pair.get_item(&1.into())?)
            ));
        }
        return Ok(pairs.join("&"));
    }
    Ok(escape::url_escape_path(&to_str(value)).into_owned())
}

/// A message as it is: where no application translates.
fn untranslated(name: &str, args: &[Value]) -> Result<Value, Error> {
    let (args, variables) = without_keywords(args);
    let text = |at: usize| args.get(at).cloned().ok_or_else(|| Error::from(ErrorKind::MissingArgument));
    let is_one = |at: usize| Ok::<_, Error>(text(at)?.as_i64() == Some(1));
    let message = match name {
        "ngettext" => {
            if is_one(2)? {
                text(0)?
            } else {
                text(1)?
            }
        }
        "npgettext" => {
            if is_one(3)? {
                text(1)?
            } else {
                text(2)?
            }
        }
        "pgettext" => text(1)?,
        _ => text(0)?,
    };
    match variables {
        Some(variables) => with_variables(&message, &variables, true),
        None => Ok(message),
    }
}

/// What a `{% trans %}` shows: the message is HTML, the variables are not.
fn trans(state: &mut State, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let (args, variables) = without_keywords(&args);
    let [context, one, many, count] = args else { return Err(Error::from(ErrorKind::MissingArgument)) };
    let counted = match (count.as_str(), &variables) {
        (Some(name), Some(variables)) if !many.is_none() => Some(variables.get::<Value>(name)?),
        _ => None,
    };
    let is_formatted = variables.is_some();
    let one = if is_formatted { one.clone() } else { to_str(one).replace("%%", "%").into() };
    let (name, mut given) = match (context.is_none(), &counted) {
        (true, None) => ("gettext", vec![one]),
        (true, Some(_)) => ("ngettext", vec![one, many.clone()]),
        (false, None) => ("pgettext", vec![context.clone(), one]),
        (false, Some(_)) => ("npgettext", vec![context.clone(), one, many.clone()]),
    };
    given.extend(counted);
    let function = state.lookup(name).ok_or_else(|| Error::from(ErrorKind::UnknownFunction))?;
    let message = function.call(state, &given)?;
    let escaped = !matches!(state.auto_escape(), AutoEscape::None);
    match variables {
        Some(variables) => with_variables(&message, &variables, escaped),
        None => Ok(Value::from_safe_string(to_str(&message))),
    }
}

/// `message % variables`, as HTML.
pub(crate) fn with_variables(message: &Value, variables: &Kwargs, escaped: bool) -> Result<Value, Error> {
    let _session = budget::begin(budget::STEPS).map_err(told)?;
    let mut pairs = Vec::new();
    for name in variables.args() {
        let value: Value = variables.get(name)?;
        let own = from_host(&value).map_err(told)?;
        let own = match own {
            Py::Bool(_) | Py::Int(_) | Py::Float(_) => own,
            _ if value.is_safe() || !escaped => own,
            _ => Py::from(escape::xhtml_escape(&to_str(&value)).into_owned()),
        };
        pairs.push((Py::from(name), own));
    }
    let message = Py::from(to_str(message));
    let shown = Py::dict(pairs).and_then(|pairs| binary(Binary::Mod, &message, &pairs));
    Ok(Value::from_safe_string(shown.and_then(|shown| value::str(&shown)).map_err(told)?))
}

/// The plain arguments and those by name.
pub(crate) fn without_keywords(args: &[Value]) -> (&[Value], Option<Kwargs>) {
    match args.split_last() {
        Some((last, rest)) if last.is_kwargs() => (rest, Kwargs::try_from(last.clone()).ok()),
        _ => (args, None),
    }
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
    let program = compile::compile(&origin, &[], &known, &NoFiles)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
    let env = Environment::new();
    let mut interp = Interp::new(&program, &known, &env, Value::UNDEFINED, None);
    let mut given = Args::from(Vec::new());
    let (plain, keywords) = without_keywords(args);
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
