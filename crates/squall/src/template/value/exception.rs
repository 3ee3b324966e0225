//! Python's exceptions.

use std::rc::Rc;

use super::{Py, repr};
use crate::template::assemble::Origin;
use crate::template::error::{Raised, TemplateError};

/// A class of exceptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::template) enum Class {
    BaseException,
    Exception,
    ArithmeticError,
    ZeroDivisionError,
    OverflowError,
    FloatingPointError,
    LookupError,
    KeyError,
    IndexError,
    NameError,
    UnboundLocalError,
    AttributeError,
    TypeError,
    ValueError,
    UnicodeError,
    UnicodeDecodeError,
    UnicodeEncodeError,
    JSONDecodeError,
    PatternError,
    StopIteration,
    RuntimeError,
    RecursionError,
    NotImplementedError,
    AssertionError,
    ImportError,
    ModuleNotFoundError,
    MemoryError,
    OSError,
    /// What the application's own code returned.
    ApplicationError,
}

/// All of them, with the class that each is one of.
const CLASSES: &[(Class, &str, Option<Class>)] = &[
    (Class::BaseException, "BaseException", None),
    (Class::Exception, "Exception", Some(Class::BaseException)),
    (Class::ArithmeticError, "ArithmeticError", Some(Class::Exception)),
    (Class::ZeroDivisionError, "ZeroDivisionError", Some(Class::ArithmeticError)),
    (Class::OverflowError, "OverflowError", Some(Class::ArithmeticError)),
    (Class::FloatingPointError, "FloatingPointError", Some(Class::ArithmeticError)),
    (Class::LookupError, "LookupError", Some(Class::Exception)),
    (Class::KeyError, "KeyError", Some(Class::LookupError)),
    (Class::IndexError, "IndexError", Some(Class::LookupError)),
    (Class::NameError, "NameError", Some(Class::Exception)),
    (Class::UnboundLocalError, "UnboundLocalError", Some(Class::NameError)),
    (Class::AttributeError, "AttributeError", Some(Class::Exception)),
    (Class::TypeError, "TypeError", Some(Class::Exception)),
    (Class::ValueError, "ValueError", Some(Class::Exception)),
    (Class::UnicodeError, "UnicodeError", Some(Class::ValueError)),
    (Class::UnicodeDecodeError, "UnicodeDecodeError", Some(Class::UnicodeError)),
    (Class::UnicodeEncodeError, "UnicodeEncodeError", Some(Class::UnicodeError)),
    (Class::JSONDecodeError, "JSONDecodeError", Some(Class::ValueError)),
    (Class::PatternError, "error", Some(Class::Exception)),
    (Class::StopIteration, "StopIteration", Some(Class::Exception)),
    (Class::RuntimeError, "RuntimeError", Some(Class::Exception)),
    (Class::RecursionError, "RecursionError", Some(Class::RuntimeError)),
    (Class::NotImplementedError, "NotImplementedError", Some(Class::RuntimeError)),
    (Class::AssertionError, "AssertionError", Some(Class::Exception)),
    (Class::ImportError, "ImportError", Some(Class::Exception)),
    (Class::ModuleNotFoundError, "ModuleNotFoundError", Some(Class::ImportError)),
    (Class::MemoryError, "MemoryError", Some(Class::Exception)),
    (Class::OSError, "OSError", Some(Class::Exception)),
    (Class::ApplicationError, "ApplicationError", Some(Class::Exception)),
];

impl Class {
    fn row(self) -> &'static (Self, &'static str, Option<Self>) {
        CLASSES.iter().find(|(class, ..)| *class == self).unwrap_or(&CLASSES[1])
    }

    pub(in crate::template) fn name(self) -> &'static str {
        self.row().1
    }

    /// The built-in class of this name.
    pub(in crate::template) fn of_name(name: &str) -> Option<Self> {
        let is_built_in = |class: Self| {
            !matches!(class, Self::JSONDecodeError | Self::PatternError | Self::ApplicationError)
        };
        let alias = if matches!(name, "IOError" | "EnvironmentError") { "OSError" } else { name };
        CLASSES.iter().find(|(class, known, _)| *known == alias && is_built_in(*class)).map(|row| row.0)
    }

    pub(in crate::template) fn is_a(self, other: Self) -> bool {
        let mut class = Some(self);
        while let Some(own) = class {
            if own == other {
                return true;
            }
            class = own.row().2;
        }
        false
    }
}

/// An exception as a value: `e` of `except E as e`.
pub(in crate::template) struct Exception {
    pub(in crate::template) class: Class,
    pub(in crate::template) args: Vec<Py>,
}

impl Exception {
    /// `str(e)`
    pub(in crate::template) fn message(&self) -> String {
        match self.args.as_slice() {
            [] => String::new(),
            [only] if self.class == Class::KeyError => repr(only).unwrap_or_default(),
            [only] => super::str(only).unwrap_or_default(),
            all => repr(&Py::tuple(all.to_vec())).unwrap_or_default(),
        }
    }
}

/// An exception on its way, with its place as far as that is known.
#[derive(Debug)]
pub(in crate::template) struct PyError(Box<Repr>);

struct Repr {
    exception: Rc<Exception>,
    /// No `except` gets to see it: the page has used up what it may.
    is_fatal: bool,
    raised: Option<Raised>,
    at: Option<usize>,
    origin: Option<Rc<Origin>>,
}

impl std::fmt::Debug for Repr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.exception.class.name())
    }
}

impl PyError {
    pub(in crate::template) fn new(class: Class, message: impl Into<String>) -> Self {
        Self::with_args(class, vec![Py::from(message.into())])
    }

    pub(in crate::template) fn with_args(class: Class, args: Vec<Py>) -> Self {
        Self::of(Rc::new(Exception { class, args }))
    }

    pub(in crate::template) fn of(exception: Rc<Exception>) -> Self {
        Self(Box::new(Repr { exception, is_fatal: false, raised: None, at: None, origin: None }))
    }

    pub(in crate::template) fn type_error(message: impl Into<String>) -> Self {
        Self::new(Class::TypeError, message)
    }

    pub(in crate::template) fn value_error(message: impl Into<String>) -> Self {
        Self::new(Class::ValueError, message)
    }

    pub(in crate::template) fn key(key: Py) -> Self {
        Self::with_args(Class::KeyError, vec![key])
    }

    pub(in crate::template) fn no_attribute(of: &Py, name: &str) -> Self {
        let message = match of {
            Py::Type(of) => format!("type object '{}' has no attribute '{name}'", of.name()),
            Py::Module(module) => format!("module '{}' has no attribute '{name}'", module.name()),
            _ => format!("'{}' object has no attribute '{name}'", of.type_name()),
        };
        Self::new(Class::AttributeError, message)
    }

    pub(in crate::template) fn fatal(message: &str) -> Self {
        let mut error = Self::new(Class::RuntimeError, message);
        error.0.is_fatal = true;
        error
    }

    pub(in crate::template) fn with_raised(mut self, raised: Option<Raised>) -> Self {
        self.0.raised = raised;
        self
    }

    pub(in crate::template) fn class(&self) -> Class {
        self.0.exception.class
    }

    pub(in crate::template) fn is_fatal(&self) -> bool {
        self.0.is_fatal
    }

    pub(in crate::template) fn exception(&self) -> &Rc<Exception> {
        &self.0.exception
    }

    /// The innermost place counts.
    #[cold]
    pub(in crate::template) fn at(mut self, at: usize) -> Self {
        self.0.at.get_or_insert(at);
        self
    }

    #[cold]
    pub(in crate::template) fn within(mut self, origin: &Rc<Origin>) -> Self {
        self.0.origin.get_or_insert_with(|| Rc::clone(origin));
        self
    }

    /// As users see it.
    pub(in crate::template) fn message(&self) -> String {
        let exception = &self.0.exception;
        let message = exception.message();
        match exception.class {
            Class::ApplicationError => message,
            _ if self.0.is_fatal => message,
            class if message.is_empty() => class.name().to_owned(),
            class => format!("{}: {message}", class.name()),
        }
    }

    pub(in crate::template) fn into_template_error(self, file: &Rc<Origin>) -> TemplateError {
        let origin = self.0.origin.as_ref().unwrap_or(file);
        origin.error(self.0.at.unwrap_or(0), self.message()).with_raised(self.0.raised)
    }
}

impl std::fmt::Display for PyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message())
    }
}
