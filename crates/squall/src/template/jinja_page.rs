//! A Jinja template ready to be rendered, from the same budget as Tornado's.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use minijinja::{Captured, Environment, Error, ErrorKind, Value};

use super::error::TemplateError;
use super::loader::Source;
use super::value::PyError;
use super::{budget, jinja};

/// A page that fails does not tell what it took: such a part of what was left.
const FAILED: u64 = 8;

pub(super) struct Page {
    env: Environment<'static>,
    /// Copies that are not in use, with the files that they have read: each page has a limit of its own.
    spare: RefCell<Vec<Environment<'static>>>,
    name: String,
    source: Arc<Source>,
    steps: u64,
}

impl Page {
    /// A Jinja template, and those that it extends and includes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn load(
        name: String,
        source: Arc<Source>,
        names: &Arc<jinja::Names>,
        env: &Environment<'static>,
        steps: u64,
    ) -> Result<Self, TemplateError> {
        jinja::rewritten(&name, source.read(&name)?)?;
        let env = jinja::with_files(env, &source, names);
        match env.get_template(&name) {
            Ok(_) => {}
            Err(error) => return Err(jinja::locate(&source, &error)),
        }
        Ok(Self { env, spare: RefCell::default(), name, source, steps })
    }

    /// # Errors
    /// What went wrong, with the line of the template.
    pub(super) fn generate(&self, values: Value) -> Result<String, TemplateError> {
        self.render(|template| template.render_captured(values))
    }

    /// # Errors
    /// As those of [`generate`](Self::generate); those of the writer too.
    pub(super) fn generate_to(&self, values: Value, out: impl io::Write) -> Result<(), TemplateError> {
        self.render(|template| template.render_captured_to(values, out)).map(drop)
    }

    /// The engine counts its own instructions, our functions in it pay from the budget: both together may take no more than
    /// there is.
    fn render(
        &self,
        render: impl for<'t> FnOnce(minijinja::Template<'t, 't>) -> Result<Captured<'t>, Error>,
    ) -> Result<String, TemplateError> {
        let told = |error: PyError| TemplateError::of_file(&self.name, error.message());
        let _session = budget::begin(self.steps).map_err(told)?;
        let fuel = budget::left().min(i64::MAX as u64);
        let mut env = self.spare.borrow_mut().pop().unwrap_or_else(|| self.env.clone());
        env.set_fuel(Some(fuel));
        let rendered = env.get_template(&self.name).and_then(|template| {
            let page = render(template)?;
            let taken = page.state().fuel_levels().map_or(0, |(taken, _)| taken);
            Ok((page.into_output(), taken))
        });
        self.spare.borrow_mut().push(env);
        match rendered {
            Ok((page, taken)) => budget::pay(taken).map(|()| page).map_err(told),
            Err(error) => {
                let taken = if is_out_of_fuel(&error) { fuel } else { budget::left() / FAILED };
                // What is wrong is said already.
                let _ = budget::pay(taken);
                Err(jinja::locate(&self.source, &error))
            }
        }
    }
}

/// Whether the engine ended the page: an error in an included file is wrapped.
pub(super) fn is_out_of_fuel(error: &Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if cause.downcast_ref::<Error>().is_some_and(|cause| cause.kind() == ErrorKind::OutOfFuel) {
            return true;
        }
        next = cause.source();
    }
    false
}
