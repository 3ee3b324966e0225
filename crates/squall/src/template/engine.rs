//! Templates ready to be rendered.

use std::rc::Rc;
use std::{fmt, io};

use minijinja::{Environment, Value};

use super::assemble::{self, Files, Origin, Whole};
use super::budget;
use super::compile::{self, Known, Program};
use super::error::TemplateError;
use super::eval::{Interp, Stream};
use super::jinja_page::Page;
use super::loader::Loader;
use super::parser::File;

/// A template ready to be rendered. Cheap to clone.
#[derive(Clone)]
pub struct Template(Rc<Compiled>);

enum Compiled {
    Tornado {
        program: Program,
        origin: Rc<Origin>,
        /// The other files that it is made of.
        parts: Vec<Rc<File>>,
        known: Rc<Known>,
        env: Rc<Environment<'static>>,
        steps: u64,
    },
    Jinja(Box<Page>),
}

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
    /// What went wrong, with the line of the template. A page may take a limited number of steps, and a limited part of
    /// the stack.
    pub fn generate(&self, values: impl Into<Value>) -> Result<String, TemplateError> {
        match &*self.0 {
            Compiled::Tornado { .. } => self.run(values.into(), None),
            Compiled::Jinja(page) => page.generate(values.into()),
        }
    }

    /// As [`generate`](Self::generate), into a writer, piece by piece.
    ///
    /// # Errors
    /// What went wrong, with the line of the template; an error of the writer too.
    pub fn generate_to(
        &self,
        values: impl Into<Value>,
        mut out: impl io::Write,
    ) -> Result<(), TemplateError> {
        match &*self.0 {
            Compiled::Tornado { .. } => self.run(values.into(), Some(&mut out)).map(drop),
            Compiled::Jinja(page) => page.generate_to(values.into(), out),
        }
    }

    /// A page that is made as it is taken; `None` of a Jinja template, whose engine cannot pause.
    pub(crate) fn stream(&self, values: impl Into<Value>) -> Option<Pieces<'_>> {
        let Compiled::Tornado { program, origin, known, env, steps, .. } = &*self.0 else { return None };
        let interp = Interp::new(program, known, env, values.into(), None);
        Some(Pieces { stream: Box::new(Stream::new(interp, program, *steps)), origin })
    }

    /// What is not handed on to `sink`.
    fn run<'a>(
        &'a self,
        values: Value,
        sink: Option<&'a mut dyn io::Write>,
    ) -> Result<String, TemplateError> {
        let Compiled::Tornado { program, origin, known, env, steps, .. } = &*self.0 else {
            return Ok(String::new());
        };
        let _session = budget::begin(*steps).map_err(|error| error.into_template_error(origin))?;
        let mut interp = Interp::new(program, known, env, values, sink);
        match interp.run() {
            Ok(()) => Ok(std::mem::take(&mut interp.out)),
            Err(error) => Err(error.into_template_error(origin)),
        }
    }

    pub(super) fn tornado(
        file: &Rc<File>,
        files: &dyn Files,
        known: &Rc<Known>,
        env: &Rc<Environment<'static>>,
        steps: u64,
    ) -> Result<Self, TemplateError> {
        let Whole { origin, steps: assembled, parts } = assemble::assemble(file, files)?;
        let program = compile::compile(&origin, &assembled, known, files)?;
        let (known, env) = (Rc::clone(known), Rc::clone(env));
        Ok(Self(Rc::new(Compiled::Tornado { program, origin, parts, known, env, steps })))
    }

    /// The variables that it has, if this file is a part of it.
    pub(super) fn variables_for(&self, part: &str) -> impl Iterator<Item = &str> {
        let function = match &*self.0 {
            Compiled::Tornado { program, parts, .. } if parts.iter().any(|file| file.name == part) => {
                Some(&program.main)
            }
            _ => None,
        };
        function.into_iter().flat_map(|function| function.variables())
    }

    pub(super) fn jinja(page: Page) -> Self {
        Self(Rc::new(Compiled::Jinja(Box::new(page))))
    }
}

/// A page that is made as it is taken.
pub(crate) struct Pieces<'a> {
    stream: Box<Stream<'a>>,
    origin: &'a Rc<Origin>,
}

impl Pieces<'_> {
    /// The next piece, which has at least so many bytes unless it is the last.
    ///
    /// # Errors
    /// What went wrong, with the line of the template.
    pub(crate) fn next_piece(&mut self, bytes: usize) -> Result<Option<String>, TemplateError> {
        self.stream.next_piece(bytes).map_err(|error| error.into_template_error(self.origin))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").finish_non_exhaustive()
    }
}
