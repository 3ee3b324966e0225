//! What is wrong with a template, and where.

use std::error::Error as StdError;
use std::fmt;

/// What is wrong with a template, or went wrong as it was rendered, with the place in the user's file.
///
/// Shown as `page.html:3:8: Empty expression: "<p>{{ }}</p>"`.
#[derive(Debug, Clone)]
#[doc(alias = "ParseError")]
pub struct TemplateError(Box<Repr>);

#[derive(Debug, Clone)]
struct Repr {
    message: String,
    file: String,
    line: usize,
    column: usize,
    excerpt: String,
    via: Vec<String>,
    raised: Option<Raised>,
}

/// Stands in an error of the engine for one that the engine cannot carry, since it is not `Send`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raised(pub(crate) u64);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error of the application")
    }
}

impl StdError for Raised {}

/// Stands in an error of the engine for one of Python's exceptions, by its class.
#[derive(Debug)]
pub(super) struct Exception {
    pub(super) class: &'static str,
    pub(super) message: String,
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Exception {}

/// An error that templates see as an exception of this class; of none, when it is not one that Python has.
pub(crate) fn python_error(class: &'static str, message: impl Into<String>) -> minijinja::Error {
    let message = message.into();
    let told = if class.is_empty() { message.clone() } else { format!("{class}: {message}") };
    minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, told)
        .with_source(Exception { class, message })
}

impl TemplateError {
    /// An error at a place of a source, in bytes from its start.
    pub(super) fn at(file: &str, source: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        Self(Box::new(Repr {
            message: message.into(),
            file: file.to_owned(),
            line: 1 + before.matches('\n').count(),
            column: 1 + before[start..].chars().count(),
            excerpt: source[start..].lines().next().unwrap_or_default().trim().chars().take(120).collect(),
            via: Vec::new(),
            raised: None,
        }))
    }

    /// An error of a file as a whole, such as one that cannot be read.
    pub(super) fn of_file(file: &str, message: impl Into<String>) -> Self {
        let (message, file) = (message.into(), file.to_owned());
        let (excerpt, via) = (String::new(), Vec::new());
        Self(Box::new(Repr { message, file, line: 0, column: 0, excerpt, via, raised: None }))
    }

    /// The error that [`Raised`] stands for among the causes of this one.
    pub(super) fn with_cause(mut self, cause: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(cause);
        while let Some(cause) = next {
            if let Some(raised) = cause.downcast_ref() {
                self.0.raised = Some(*raised);
                break;
            }
            next = cause.source();
        }
        self
    }

    pub(super) fn with_raised(mut self, raised: Option<Raised>) -> Self {
        self.0.raised = raised;
        self
    }

    /// The same error in a file that was come to by way of other places.
    pub(super) fn with_via(mut self, via: Vec<String>) -> Self {
        self.0.via = via;
        self
    }

    /// The same error in a template that a module rendered, for the page in which the module stands.
    pub(crate) fn reached_from(mut self, page: &Self) -> Self {
        self.0.via.push(format!("{}:{}", page.0.file, page.0.line));
        self.0.via.extend_from_slice(&page.0.via);
        self
    }

    pub(crate) fn raised(&self) -> Option<Raised> {
        self.0.raised
    }

    /// The cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The template's name.
    #[doc(alias = "filename")]
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// The line, from 1; 0 for an error of the file as a whole.
    #[doc(alias = "lineno")]
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// The column in characters, from 1; 0 for an error of the file as a whole.
    pub fn column(&self) -> usize {
        self.0.column
    }

    /// The source's line, trimmed and at most 120 characters.
    pub fn excerpt(&self) -> &str {
        &self.0.excerpt
    }

    /// Where the file was included, its block or its module stands, innermost first, as `base.html:3`.
    pub fn via(&self) -> &[String] {
        &self.0.via
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repr { message, file, line, column, excerpt, via, .. } = &*self.0;
        match line {
            0 => write!(f, "{file}: {message}")?,
            _ => write!(f, "{file}:{line}:{column}: {message}: {excerpt:?}")?,
        }
        if via.is_empty() { Ok(()) } else { write!(f, " (via {})", via.join(", ")) }
    }
}

impl StdError for TemplateError {}
