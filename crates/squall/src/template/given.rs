//! The arguments of squall's own functions, as templates give them: by place or by name.

use minijinja::value::Kwargs;
use minijinja::{Error, Value};

use super::error::python_error;
use super::jinja::without_keywords;
use super::to_str;

/// Arguments by the place of their name in a list.
pub(crate) struct Given<const N: usize> {
    function: &'static str,
    names: [&'static str; N],
    values: [Option<Value>; N],
}

impl<const N: usize> Given<N> {
    /// Of which the first `required` must be there.
    ///
    /// # Errors
    /// Python's `TypeError`.
    pub(crate) fn new(
        function: &'static str,
        names: [&'static str; N],
        required: usize,
        args: &[Value],
    ) -> Result<Self, Error> {
        let (given, keywords) = without_keywords(args);
        if given.len() > N {
            let plural = if N == 1 { "" } else { "s" };
            let message = format!("{function}() takes at most {N} argument{plural} ({} given)", given.len());
            return Err(python_error("TypeError", message));
        }
        let mut values: [Option<Value>; N] = std::array::from_fn(|at| given.get(at).cloned());
        for name in keywords.iter().flat_map(Kwargs::args) {
            let Some(at) = names.iter().position(|known| *known == name) else {
                let message = format!("{function}() got an unexpected keyword argument '{name}'");
                return Err(python_error("TypeError", message));
            };
            if values[at].is_some() {
                let message = format!("{function}() got multiple values for argument '{name}'");
                return Err(python_error("TypeError", message));
            }
            values[at] = keywords.as_ref().and_then(|keywords| keywords.get(name).ok());
        }
        if let Some(missing) = values.iter().take(required).position(Option::is_none) {
            let message = format!("{function}() missing required argument: '{}'", names[missing]);
            return Err(python_error("TypeError", message));
        }
        Ok(Self { function, names, values })
    }

    /// The argument at this place, `None` if it was not given.
    pub(crate) fn value(&self, at: usize) -> Option<&Value> {
        self.values.get(at)?.as_ref()
    }

    /// A text, or bytes that are one.
    ///
    /// # Errors
    /// Python's `TypeError`.
    pub(crate) fn text(&self, at: usize) -> Result<String, Error> {
        let value = self.value(at).cloned().unwrap_or_default();
        if value.as_str().is_none() && value.as_bytes().is_none() {
            let (function, name) = (self.function, self.names[at]);
            let message = format!("{function}() argument '{name}' must be str, not {}", value.kind());
            return Err(python_error("TypeError", message));
        }
        Ok(to_str(&value))
    }

    /// Whether the argument counts as true; `otherwise` if it was not given.
    pub(crate) fn is_true(&self, at: usize, otherwise: bool) -> bool {
        self.value(at).map_or(otherwise, Value::is_true)
    }
}
