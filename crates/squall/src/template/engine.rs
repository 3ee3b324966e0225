//! Templates ready to be rendered by minijinja.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::{fmt, io};

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use super::error::TemplateError;
use super::flatten::Flat;
use super::loader::{Loader, Source, resolve};
use super::{functions, python};
use crate::escape;

/// A template ready to be rendered. Cheap to clone.
#[derive(Clone)]
pub struct Template(Rc<Compiled>);

struct Compiled {
    env: Environment<'static>,
    name: String,
    origin: Origin,
}

/// The one template of an environment, when it is not Jinja's.
const NAME: &str = "template";

impl Template {
    /// A template of its own, which extends and includes nothing. Its white space stays as it is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, TemplateError> {
        Loader::from_texts([("<string>", text.to_owned())]).load("<string>")
    }

    /// The text with these values: [`context!`](super::context), or [`Serde`](super::Serde) around anything that is
    /// `Serialize`.
    ///
    /// # Errors
    /// What went wrong, with the line of the template.
    pub fn generate(&self, values: impl Into<Value>) -> Result<String, TemplateError> {
        let rendered = self.engine().and_then(|template| template.render(values.into()));
        rendered.map_err(|error| self.0.origin.locate(&error))
    }

    /// As [`generate`](Self::generate), into a writer, piece by piece.
    ///
    /// # Errors
    /// What went wrong, with the line of the template; an error of the writer too.
    pub fn generate_to(&self, values: impl Into<Value>, out: impl io::Write) -> Result<(), TemplateError> {
        let rendered = self.engine().and_then(|template| template.render_captured_to(values.into(), out));
        rendered.map(drop).map_err(|error| self.0.origin.locate(&error))
    }

    fn engine(&self) -> Result<minijinja::Template<'_, '_>, Error> {
        self.0.env.get_template(&self.0.name)
    }

    pub(super) fn tornado(flat: Flat, env: &Environment<'static>) -> Result<Self, TemplateError> {
        let mut env = env.clone();
        let added = env.add_template_owned(NAME, flat.source.clone());
        let origin = Origin::Flat(flat);
        match added {
            Ok(()) => Ok(Self(Rc::new(Compiled { env, name: NAME.to_owned(), origin }))),
            Err(error) => Err(origin.locate(&error)),
        }
    }

    /// A Jinja template, and those that it extends and includes.
    pub(super) fn jinja(
        name: String,
        source: Arc<Source>,
        env: &Environment<'static>,
    ) -> Result<Self, TemplateError> {
        let mut env = env.clone();
        env.set_auto_escape_callback(|_| AutoEscape::Html);
        env.set_undefined_behavior(UndefinedBehavior::Lenient);
        env.set_syntax(SyntaxConfig::default());
        env.set_formatter(print_in_jinja);
        env.set_path_join_callback(|name, parent| {
            resolve(name, Some(parent)).map_or_else(|| name.to_owned().into(), Cow::Owned)
        });
        let origin = Origin::Source(Arc::clone(&source));
        env.set_loader(move |name| match resolve(name, None) {
            // What is missing may be optional.
            Some(name) => Ok(source.read(&name).ok()),
            None => Ok(None),
        });
        match env.get_template(&name) {
            Ok(_) => Ok(Self(Rc::new(Compiled { env, name, origin }))),
            Err(error) => Err(origin.locate(&error)),
        }
    }
}

/// Where the text came from.
enum Origin {
    Flat(Flat),
    /// Jinja templates have their own names and lines.
    Source(Arc<Source>),
}

impl Origin {
    fn locate(&self, error: &Error) -> TemplateError {
        let message = match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        let line = error.line().unwrap_or(0);
        let located = match (self, error.name()) {
            (Self::Flat(flat), _) => flat.error_at(line, message),
            (Self::Source(source), Some(name)) => match source.read(name) {
                Ok(text) => {
                    let start: usize =
                        text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
                    let blank = text[start..].len() - text[start..].trim_start_matches([' ', '\t']).len();
                    TemplateError::at(name, &text, start + blank, message)
                }
                Err(_) => TemplateError::of_file(name, message),
            },
            (Self::Source(_), None) => TemplateError::of_file("<template>", message),
        };
        located.with_cause(error)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").finish_non_exhaustive()
    }
}

pub(super) fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_debug(false);
    if let Ok(syntax) = env.syntax().to_builder().keep_trailing_newline(true).build() {
        env.set_syntax(syntax);
    }
    env.set_formatter(print);
    python::add_to(&mut env);
    functions::add_to(&mut env);
    env
}

/// As [`print`], but what does not exist is nothing, and `{% autoescape false %}` counts.
fn print_in_jinja(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Ok(());
    }
    match state.auto_escape() {
        AutoEscape::None => Ok(out.write_str(&python::to_str(value))?),
        _ => print(out, state, value),
    }
}

/// Prints as Python does, escaped; what must not be escaped comes as a safe string.
fn print(out: &mut Output, _: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    match value.as_str() {
        Some(text) if value.is_safe() => out.write_str(text)?,
        Some(text) => escape::xhtml_escape_to(text, out)?,
        None if value.is_integer() => match value.as_usize() {
            Some(number) => out.write_str(itoa::Buffer::new().format(number))?,
            None => write!(out, "{value}")?,
        },
        None => escape::xhtml_escape_to(&python::repr(value), out)?,
    }
    Ok(())
}
