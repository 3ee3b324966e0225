//! Calls.

use std::rc::Rc;

use minijinja::Value;
use minijinja::value::Kwargs;

use super::{Frame, Interp};
use crate::template::compile::{Argument, Body, Code, Function};
use crate::template::value::{Cell, Dict, Key, Map, Py, PyError, R, from_host, from_host_error, to_host};
use crate::template::{budget, builtins, methods};

/// The arguments of a call.
pub(in crate::template) struct Args {
    pub(in crate::template) positional: Vec<Py>,
    pub(in crate::template) keywords: Vec<(Rc<str>, Py)>,
}

impl From<Vec<Py>> for Args {
    fn from(positional: Vec<Py>) -> Self {
        Self { positional, keywords: Vec::new() }
    }
}

impl Args {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { positional: Vec::with_capacity(capacity), keywords: Vec::new() }
    }

    pub(super) fn add_keyword(&mut self, name: Rc<str>, value: Py) -> R<()> {
        if self.keywords.iter().any(|(known, _)| *known == name) {
            let message = format!("got multiple values for keyword argument '{name}'");
            return Err(PyError::type_error(message));
        }
        self.keywords.push((name, value));
        Ok(())
    }

    /// The arguments by name, of which the first `required` must be there. A name that begins with `*` can be given by
    /// its place only.
    ///
    /// # Errors
    /// Python's `TypeError`.
    pub(in crate::template) fn take<const N: usize>(
        self,
        function: &str,
        names: [&str; N],
        required: usize,
    ) -> R<[Option<Py>; N]> {
        let given = self.positional.len();
        if given > N {
            let plural = if N == 1 { "" } else { "s" };
            return Err(PyError::type_error(format!(
                "{function}() takes at most {N} argument{plural} ({given} given)"
            )));
        }
        let mut values: [Option<Py>; N] = std::array::from_fn(|_| None);
        for (place, value) in values.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.keywords {
            match names.iter().position(|known| **known == *name) {
                Some(index) if values[index].is_none() => values[index] = Some(value),
                Some(index) => {
                    return Err(PyError::type_error(format!(
                        "argument for {function}() given by name ('{name}') and position ({})",
                        index + 1
                    )));
                }
                None => {
                    return Err(PyError::type_error(format!(
                        "{function}() got an unexpected keyword argument '{name}'"
                    )));
                }
            }
        }
        match values.iter().take(required).position(Option::is_none) {
            Some(missing) => Err(PyError::type_error(format!(
                "{function}() missing required argument '{}' (pos {})",
                names[missing].trim_start_matches('*'),
                missing + 1
            ))),
            None => Ok(values),
        }
    }

    /// For a function of the application: keyword arguments come last, together.
    pub(super) fn into_host(self, applied: &Py) -> R<Vec<Value>> {
        let mut values = Vec::with_capacity(self.positional.len() + 1);
        for value in &self.positional {
            values.push(match (value, applied) {
                // Functions of Rust take text for a part of the page.
                (Py::Bytes(bytes), Py::Bytes(part)) if Rc::ptr_eq(bytes, part) => {
                    Value::from(String::from_utf8_lossy(bytes).into_owned())
                }
                _ => to_host(value)?,
            });
        }
        if !self.keywords.is_empty() {
            let pairs = self.keywords.iter().map(|(name, value)| Ok((name.to_string(), to_host(value)?)));
            let kwargs: Kwargs = pairs.collect::<R<Vec<_>>>()?.into_iter().collect();
            values.push(Value::from(kwargs));
        }
        Ok(values)
    }
}

/// A function that the template has made.
pub(in crate::template) struct Closure {
    pub(super) function: Rc<Function>,
    pub(super) cells: Vec<Rc<Cell>>,
    pub(super) defaults: Vec<Option<Py>>,
}

impl Interp<'_> {
    #[inline(never)]
    pub(super) fn call_node(&mut self, code: &Code, frame: &mut Frame) -> R {
        budget::pay(1)?;
        match code {
            Code::Call(function, arguments) => {
                let function = self.eval(function, frame)?;
                let args = self.args(arguments, frame)?;
                self.call(&function, args)
            }
            Code::CallMethod(of, name, arguments) => {
                let value = self.eval(of, frame)?;
                self.call_named(&value, name, arguments, frame)
            }
            _ => Ok(Py::None),
        }
    }

    fn call_named(&mut self, of: &Py, name: &str, arguments: &[Argument], frame: &mut Frame) -> R {
        // Python looks for the method before it has the arguments.
        let is_own = !matches!(of, Py::Host(_) | Py::Object(_) | Py::Module(_) | Py::Dict(_));
        if is_own {
            if !methods::has(of, name) {
                // `__class__` can be called too.
                let function = self.attribute(of, name)?;
                let args = self.args(arguments, frame)?;
                return self.call(&function, args);
            }
            let args = self.args(arguments, frame)?;
            return methods::call_known(self, of, name, args);
        }
        if let Py::Dict(dict) = of
            && !dict.has_attributes()
            && !methods::has(of, name)
        {
            return Err(PyError::no_attribute(of, name));
        }
        let args = self.args(arguments, frame)?;
        self.call_method(of, name, args)
    }

    /// `function(..)`
    pub(in crate::template) fn call(&mut self, function: &Py, args: Args) -> R {
        match function {
            Py::Builtin(builtin) => (builtin.call)(self, args),
            Py::Function(closure) => self.call_closure(closure, args),
            Py::Method(method) => self.call_method(&method.of, &method.name, args),
            Py::Type(of) => builtins::construct(self, *of, args),
            Py::Host(host) => {
                let args = args.into_host(&self.given())?;
                let host = Rc::clone(host);
                let result = self.with_state(|state| host.call(state, &args));
                from_host(&result.map_err(|error| from_host_error(&error))?)
            }
            _ => Err(PyError::type_error(format!("'{}' object is not callable", function.type_name()))),
        }
    }

    /// `of.name(..)`
    pub(in crate::template) fn call_method(&mut self, of: &Py, name: &str, args: Args) -> R {
        match of {
            Py::Host(host) => {
                let args = args.into_host(&self.given())?;
                let host = Rc::clone(host);
                let result = self.with_state(|state| host.call_method(state, name, &args));
                from_host(&result.map_err(|error| host_method_error(of, name, &error))?)
            }
            Py::Object(object) if object.has_method(name) => Rc::clone(object).call_method(self, name, args),
            Py::Module(_) | Py::Object(_) => {
                let function = self.attribute(of, name)?;
                self.call(&function, args)
            }
            Py::Dict(dict) if !methods::has(of, name) => {
                // The application's dicts have their items as attributes, and may have methods of their own.
                if dict.has_attributes()
                    && let Some(function) = dict.get_str(name)?
                {
                    return self.call(&function, args);
                }
                let Some(host) = dict.host() else { return Err(PyError::no_attribute(of, name)) };
                let args = args.into_host(&Py::None)?;
                let result = self.with_state(|state| host.call_method(state, name, &args));
                from_host(&result.map_err(|error| host_method_error(of, name, &error))?)
            }
            _ => methods::call(self, of, name, args),
        }
    }

    fn call_closure(&mut self, closure: &Rc<Closure>, args: Args) -> R {
        let _level = budget::deeper()?;
        let function = &closure.function;
        let mut frame = Frame::new(function, &closure.cells);
        self.bind(closure, args, &mut frame)?;
        match &function.body {
            Body::Value(node) => self.eval(node, &mut frame).map_err(|error| error.within(&function.origin)),
            Body::Steps(_) | Body::Generator(_) => Ok(Py::None),
        }
    }

    /// Gives the arguments to the parameters.
    fn bind(&mut self, closure: &Closure, args: Args, frame: &mut Frame) -> R<()> {
        let parameters = &closure.function.parameters;
        let mut values: Vec<Option<Py>> = vec![None; parameters.named.len()];
        let mut rest = Vec::new();
        let given = args.positional.len();
        for (index, value) in args.positional.into_iter().enumerate() {
            if index < parameters.keyword_only { values[index] = Some(value) } else { rest.push(value) }
        }
        if !rest.is_empty() && parameters.rest.is_none() {
            return Err(PyError::type_error(format!(
                "<lambda>() takes {} positional arguments but {given} were given",
                parameters.keyword_only
            )));
        }
        let mut others = Map::default();
        for (name, value) in args.keywords {
            let index = parameters.named.iter().position(|(known, _)| *known == name);
            match index.filter(|index| *index >= parameters.positional_only) {
                Some(index) if values[index].is_some() => {
                    return Err(PyError::type_error(format!(
                        "<lambda>() got multiple values for argument '{name}'"
                    )));
                }
                Some(index) => values[index] = Some(value),
                None if parameters.keywords.is_some() => {
                    others.insert(Key::new(Py::from(&*name))?, value);
                }
                None => {
                    return Err(PyError::type_error(format!(
                        "<lambda>() got an unexpected keyword argument '{name}'"
                    )));
                }
            }
        }
        for (index, ((name, var), value)) in parameters.named.iter().zip(values).enumerate() {
            let value = value.or_else(|| closure.defaults.get(index).cloned().flatten());
            let Some(value) = value else {
                return Err(PyError::type_error(format!(
                    "<lambda>() missing 1 required positional argument: '{name}'"
                )));
            };
            self.store(frame, *var, value);
        }
        if let Some(var) = parameters.rest {
            self.store(frame, var, Py::tuple(rest));
        }
        if let Some(var) = parameters.keywords {
            self.store(frame, var, Py::Dict(Rc::new(Dict::new(others))));
        }
        Ok(())
    }
}

fn host_method_error(of: &Py, name: &str, error: &minijinja::Error) -> PyError {
    match error.kind() {
        minijinja::ErrorKind::UnknownMethod => PyError::no_attribute(of, name),
        _ => from_host_error(error),
    }
}
