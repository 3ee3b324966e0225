//! Where templates come from, and templates ready to be rendered.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use minijinja::{Environment, Value};

use super::assemble::Files;
use super::compile::{Known, Surface};
use super::engine::Template;
use super::error::TemplateError;
use super::jinja_page::Page;
use super::modules::Module;
use super::parser::{self, File};
use super::whitespace::Whitespace;
use super::{budget, jinja};

/// Loads templates by name and keeps them (Tornado's `Loader` and `DictLoader`).
///
/// Names are relative to the including or extending file, and to the root when they start with `/`; a name that leaves
/// the root is an error.
///
/// Files whose names end in `.jinja` or `.j2`, and [others](Self::jinja_templates) by name or folder, are Jinja templates, as
/// [minijinja] has them: with its tags, filters and rules of white space, with the functions and escaping of the others, and
/// with what does not exist printed as nothing. `{% trans %}` and `{% pluralize %}` are there too, with `gettext`,
/// `ngettext`, `pgettext` and `npgettext`; their messages are HTML, their variables are escaped. The two kinds can neither
/// extend nor include each other.
///
/// ```
/// use squall::template::{Loader, context};
///
/// let loader = Loader::from_texts([
///     ("base.html", "<title>{% block title %}{% end %}</title>"),
///     ("page.html", r#"{% extends "base.html" %}{% block title %}{{ title }}{% end %}"#),
/// ]);
/// let page = loader.load("page.html")?.generate(context! { title => "A & B" })?;
/// assert_eq!(page, "<title>A &amp; B</title>");
/// # Ok::<(), squall::template::TemplateError>(())
/// ```
pub struct Loader {
    source: Arc<Source>,
    whitespace: Option<Whitespace>,
    autoescape: Option<Cow<'static, str>>,
    jinja: Arc<jinja::Names>,
    env: RefCell<Rc<Environment<'static>>>,
    known: RefCell<Rc<Known>>,
    steps: u64,
    files: RefCell<HashMap<String, Rc<File>>>,
    /// Files that are right as templates of their own, or are being looked at.
    parts: RefCell<HashSet<String>>,
    templates: RefCell<HashMap<String, Template>>,
}

pub(super) enum Source {
    Directory(PathBuf),
    Texts(BTreeMap<Cow<'static, str>, Cow<'static, str>>),
}

impl Loader {
    /// The templates below a directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::with_source(Source::Directory(root.into()))
    }

    /// Templates by name, such as ones that are part of the program with `include_str!`.
    #[doc(alias = "DictLoader")]
    pub fn from_texts<N, T>(texts: impl IntoIterator<Item = (N, T)>) -> Self
    where
        N: Into<Cow<'static, str>>,
        T: Into<Cow<'static, str>>,
    {
        let texts = texts.into_iter().map(|(name, text)| (name.into(), text.into()));
        Self::with_source(Source::Texts(texts.collect()))
    }

    fn with_source(source: Source) -> Self {
        Self {
            source: Arc::new(source),
            whitespace: None,
            autoescape: Some(Cow::Borrowed("xhtml_escape")),
            jinja: Arc::default(),
            env: RefCell::new(Rc::new(jinja::environment())),
            known: RefCell::default(),
            steps: budget::STEPS,
            files: RefCell::default(),
            parts: RefCell::default(),
            templates: RefCell::default(),
        }
    }

    /// The function that values go through where a file does not say, `None` for none. Default: `xhtml_escape`.
    #[must_use]
    pub fn autoescape(mut self, function: Option<&str>) -> Self {
        self.autoescape = function.map(|name| Cow::Owned(name.to_owned()));
        self
    }

    /// What becomes of white space where a file does not say. Default: by the file's name,
    /// [`Whitespace::of_file`].
    #[must_use]
    pub fn whitespace(mut self, mode: Whitespace) -> Self {
        self.whitespace = Some(mode);
        self
    }

    /// Which templates are Jinja's, besides those whose names end in `.jinja` or `.j2`: `*.html` for all of this ending,
    /// `lab/*.html` for those in a folder, `lab/` for all that is below it. In a pattern with a `/`, which is for the name
    /// from the root, `**` stands for folders too.
    ///
    /// ```
    /// use squall::template::{Loader, context};
    ///
    /// let loader = Loader::from_texts([
    ///     ("lab/tree.html", "{% trans n=files|length %}One file{% pluralize %}{{ n }} files{% endtrans %}"),
    ///     ("page.html", "{% if files %}{{ files[0] }}{% end %}"),
    /// ])
    /// .jinja_templates(["lab/"]);
    /// let values = context! { files => ["a", "b"] };
    /// assert_eq!(loader.load("lab/tree.html")?.generate(values.clone())?, "2 files");
    /// assert_eq!(loader.load("page.html")?.generate(values)?, "a");
    /// # Ok::<(), squall::template::TemplateError>(())
    /// ```
    #[must_use]
    pub fn jinja_templates<P: AsRef<str>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        let mut names = jinja::Names::default();
        patterns.into_iter().for_each(|pattern| names.add(pattern.as_ref()));
        self.jinja = Arc::new(names);
        self
    }

    /// A value or function that all templates have.
    #[must_use]
    #[doc(alias = "namespace")]
    pub fn global(self, name: &str, value: impl Into<Value>) -> Self {
        self.add_global(name.to_owned(), value.into());
        self
    }

    /// A module that `{% import %}` and `{% from %}` find, with these values and functions by name.
    #[must_use]
    pub fn module(self, name: &str, values: impl Into<Value>) -> Self {
        self.add_module(name, &values.into());
        self
    }

    /// Ends rendering after so many steps: statements, rounds of loops, calls; in a Jinja template, instructions of its engine.
    /// All templates that a page consists of, those of its modules too, have it together. Default: 20 million.
    #[must_use]
    pub fn max_steps(mut self, steps: u64) -> Self {
        self.steps = steps;
        self
    }

    pub(crate) fn add_global(&self, name: String, value: Value) {
        Rc::make_mut(&mut *self.env.borrow_mut()).add_global(name.clone(), value.clone());
        Rc::make_mut(&mut *self.known.borrow_mut()).globals.insert(name, value);
        self.templates.borrow_mut().clear();
    }

    pub(crate) fn add_module(&self, name: &str, values: &Value) {
        let module = Rc::new(Module::registered(name, values));
        Rc::make_mut(&mut *self.known.borrow_mut()).modules.insert(name.to_owned(), module);
        self.templates.borrow_mut().clear();
    }

    /// From now on, what the application does not have and functions that nobody has are refused when a template is loaded.
    pub(crate) fn of_application(&self, surface: &Rc<Surface>, context_functions: Vec<String>) {
        let mut known = self.known.borrow_mut();
        let known = Rc::make_mut(&mut *known);
        known.application = Some(Rc::clone(surface));
        known.context_functions = context_functions;
        self.templates.borrow_mut().clear();
    }

    /// The template of this name, read and compiled the first time.
    ///
    /// # Errors
    /// What is wrong with it or the files it needs, with file and line.
    pub fn load(&self, name: &str) -> Result<Template, TemplateError> {
        if let Some(template) = self.templates.borrow().get(name) {
            return Ok(template.clone());
        }
        let resolved = resolve(name, None).ok_or_else(|| outside(name))?;
        let template = if self.jinja.contains(&resolved) {
            let (source, env) = (Arc::clone(&self.source), self.env.borrow());
            Template::jinja(Page::load(resolved, source, &self.jinja, &env, self.steps)?)
        } else {
            let file = self.file(name, None)?;
            let template =
                Template::tornado(&file, self, &self.known.borrow(), &self.env.borrow(), self.steps);
            // What was wrong with a part is wrong the next time too.
            template.inspect_err(|_| self.parts.borrow_mut().clear())?
        };
        self.templates.borrow_mut().insert(name.to_owned(), template.clone());
        Ok(template)
    }

    /// The template of this name with the functions of those that it is a part of; `None` if it is none.
    fn load_part(&self, name: &str) -> Option<Result<(), TemplateError>> {
        let file = self.file(name, None).ok()?;
        let mut known = (**self.known.borrow()).clone();
        let before = known.context_functions.len();
        for template in self.templates.borrow().values() {
            known.context_functions.extend(template.variables_for(&file.name).map(str::to_owned));
        }
        if known.context_functions.len() == before {
            return None;
        }
        let template = Template::tornado(&file, self, &Rc::new(known), &self.env.borrow(), self.steps);
        Some(template.map(|template| {
            self.templates.borrow_mut().insert(name.to_owned(), template);
        }))
    }

    /// Forgets what was read, so that changed files are read anew.
    pub fn reset(&self) {
        self.files.borrow_mut().clear();
        self.parts.borrow_mut().clear();
        self.templates.borrow_mut().clear();
    }

    /// The names of all templates, in order: of a directory, all files below it that are text.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn names(&self) -> Result<Vec<String>, TemplateError> {
        match &*self.source {
            Source::Texts(texts) => Ok(texts.keys().map(|name| name.clone().into_owned()).collect()),
            Source::Directory(root) => {
                let mut names = Vec::new();
                collect(root, "", &mut names)?;
                names.sort_unstable();
                Ok(names)
            }
        }
    }

    /// Compiles all templates.
    ///
    /// # Errors
    /// Everything that is wrong with any of them, each mistake once.
    pub fn check_all(&self) -> Result<(), Vec<TemplateError>> {
        let names = self.names().map_err(|error| vec![error])?;
        let mut errors: Vec<TemplateError> = Vec::new();
        let failed: Vec<_> = names.iter().filter_map(|name| Some((name, self.load(name).err()?))).collect();
        let failed = failed.into_iter().filter_map(|(name, error)| match self.load_part(name) {
            None => Some(error),
            Some(again) => again.err(),
        });
        for error in failed {
            // A broken base is the mistake of one file, however many extend it.
            if !errors.iter().any(|known| known.to_string() == error.to_string()) {
                errors.push(error);
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

impl Source {
    pub(super) fn read(&self, name: &str) -> Result<String, TemplateError> {
        match self {
            Self::Texts(texts) => match texts.get(name) {
                Some(text) => Ok(text.clone().into_owned()),
                None => Err(TemplateError::of_file(name, "there is no such template")),
            },
            Self::Directory(root) => std::fs::read_to_string(root.join(name))
                .map_err(|error| TemplateError::of_file(name, error.to_string())),
        }
    }
}

impl Files for Loader {
    fn file(&self, name: &str, parent: Option<&str>) -> Result<Rc<File>, TemplateError> {
        let name = resolve(name, parent).ok_or_else(|| outside(name))?;
        if let Some(file) = self.files.borrow().get(&name) {
            return Ok(Rc::clone(file));
        }
        let text = self.source.read(&name)?;
        if self.jinja.contains(&name) {
            let message = "a Jinja template, which one in Tornado's syntax can neither extend nor include: use \
                           `{% module Template(..) %}`";
            return Err(TemplateError::of_file(&name, message));
        }
        let file = Rc::new(parser::parse(&name, &text, self.whitespace, self.autoescape.as_deref())?);
        self.files.borrow_mut().insert(name, Rc::clone(&file));
        Ok(file)
    }

    fn check(&self, name: &str) -> Result<(), TemplateError> {
        let name = resolve(name, None).ok_or_else(|| outside(name))?;
        if self.files.borrow().contains_key(&name) { Ok(()) } else { self.source.read(&name).map(drop) }
    }

    fn is_new(&self, name: &str) -> bool {
        self.parts.borrow_mut().insert(name.to_owned())
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Loader");
        match &*self.source {
            Source::Directory(root) => out.field("root", root),
            Source::Texts(texts) => out.field("names", &texts.keys().collect::<Vec<_>>()),
        };
        out.finish_non_exhaustive()
    }
}

fn outside(name: &str) -> TemplateError {
    TemplateError::of_file(name, "the name leaves the templates' root")
}

/// The name from the root; `None` when it leaves it.
pub(super) fn resolve(name: &str, parent: Option<&str>) -> Option<String> {
    let folder = match parent {
        Some(parent) if !name.starts_with('/') && !parent.starts_with('<') => {
            parent.rsplit_once('/').map_or("", |(folder, _)| folder)
        }
        _ => "",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Every file below a folder. Hidden ones and those that are no text are left out.
fn collect(folder: &Path, below: &str, names: &mut Vec<String>) -> Result<(), TemplateError> {
    let failed =
        |error: std::io::Error| TemplateError::of_file(&folder.display().to_string(), error.to_string());
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str().filter(|name| !name.starts_with('.') && !name.ends_with('~'))
        else {
            continue;
        };
        let name = format!("{below}{name}");
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), names)?;
        } else if std::fs::read(entry.path()).is_ok_and(|content| std::str::from_utf8(&content).is_ok()) {
            names.push(name);
        }
    }
    Ok(())
}
