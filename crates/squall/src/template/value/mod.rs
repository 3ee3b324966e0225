//! Python's values.

mod compare;
mod containers;
mod exception;
mod host;
mod int;
mod iter;
mod ops;
mod print;
mod slices;
mod trash;
mod types;

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use minijinja::Value;
use num_bigint::BigInt;

pub(super) use compare::{Key, equal, hash_of, less, same};
pub(super) use containers::{Dict, List, Map, Set, Tuple};
pub(super) use exception::{Class, Exception, PyError};
pub(super) use host::{Found, from_host, from_host_error, to_host};
pub(super) use int::{as_big, as_float, big, float_to_int, index, size};
pub(super) use iter::{Iter, Part, Range, Source, View, iter, source};
pub(super) use ops::{binary, combine, compare, contains, invert, negative, positive};
pub(super) use print::{repr, str, write_float, write_repr, write_str};
pub(super) use slices::{char_count, check_slice, delete_item, get_item, set_item, set_slice};
pub(super) use trash::Cell;
pub(super) use types::Type;

use super::builtins::Builtin;
use super::eval::Closure;
use super::methods;
use super::modules::{Module, Moment};

/// What an operation comes to.
pub(super) type R<T = Py> = Result<T, PyError>;

/// A value of Python's. Cheap to clone.
#[derive(Clone)]
pub(super) enum Py {
    /// A variable that has no value yet; never seen by an operation.
    Unbound,
    None,
    Bool(bool),
    Int(i64),
    /// One that an `i64` cannot hold.
    Big(Rc<BigInt>),
    Float(f64),
    Str(Str),
    Bytes(Rc<[u8]>),
    Tuple(Rc<Tuple>),
    List(Rc<List>),
    Dict(Rc<Dict>),
    Set(Rc<Set>),
    Range(Rc<Range>),
    Slice(Rc<[Py; 3]>),
    View(Rc<View>),
    Iter(Rc<Iter>),
    Function(Rc<Closure>),
    Builtin(&'static Builtin),
    Method(Rc<Method>),
    Type(Type),
    Exception(Rc<Exception>),
    Moment(Rc<Moment>),
    Module(Rc<Module>),
    Object(Rc<dyn Object>),
    /// A value or function of the application.
    Host(Rc<Value>),
}

/// A text; one that is safe is HTML already.
#[derive(Clone)]
pub(super) struct Str {
    text: Rc<str>,
    is_safe: bool,
}

impl Str {
    pub(super) fn new(text: impl Into<Rc<str>>) -> Self {
        Self { text: text.into(), is_safe: false }
    }

    pub(super) fn safe(text: impl Into<Rc<str>>) -> Self {
        Self { text: text.into(), is_safe: true }
    }

    pub(super) fn is_safe(&self) -> bool {
        self.is_safe
    }
}

impl Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

/// A method and the value that it is of.
pub(super) struct Method {
    pub(super) of: Py,
    pub(super) name: Rc<str>,
}

impl Method {
    /// One of the values of a type, such as `str.upper`; a few are of the type itself.
    pub(super) fn is_unbound(&self) -> bool {
        matches!(self.of, Py::Type(of) if !methods::is_of_type(of, &self.name))
    }
}

impl Drop for Method {
    fn drop(&mut self) {
        trash::bury(vec![std::mem::replace(&mut self.of, Py::None)]);
    }
}

/// A value with behaviour of its own, such as a compiled pattern.
pub(super) trait Object {
    fn type_name(&self) -> &'static str;

    fn attribute(&self, name: &str) -> Option<Py>;

    fn has_method(&self, name: &str) -> bool;

    fn call_method(&self, interp: &mut super::eval::Interp<'_>, name: &str, args: super::eval::Args) -> R;

    fn repr(&self) -> String;

    fn get_item(&self, _key: &Py) -> Option<R> {
        None
    }

    /// What is in it, of one that is a tuple besides.
    fn items(&self) -> Option<Vec<Py>> {
        None
    }

    /// Whether it is what `globals()` gives, of which the interpreter knows the items.
    fn is_globals(&self) -> bool {
        false
    }
}

impl Py {
    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Str(Str::new(text))
    }

    pub(super) fn bytes(bytes: impl Into<Rc<[u8]>>) -> Self {
        Self::Bytes(bytes.into())
    }

    pub(super) fn tuple(items: Vec<Self>) -> Self {
        Self::Tuple(Rc::new(Tuple::new(items)))
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(Rc::new(List::new(items)))
    }

    pub(super) fn dict(pairs: impl IntoIterator<Item = (Self, Self)>) -> R {
        let mut map = Map::default();
        for (key, value) in pairs {
            map.insert(Key::new(key)?, value);
        }
        Ok(Self::Dict(Rc::new(Dict::new(map))))
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Whether it counts as true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::None | Self::Unbound => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::Bytes(bytes) => !bytes.is_empty(),
            Self::Tuple(items) => !items.is_empty(),
            Self::List(items) => !items.borrow().is_empty(),
            Self::Dict(dict) => dict.len() > 0,
            Self::Set(set) => set.len() > 0,
            Self::Range(range) => range.len() > 0,
            Self::View(view) => view.dict.len() > 0,
            Self::Moment(moment) => moment.is_true(),
            Self::Host(value) => value.is_true(),
            _ => true,
        }
    }

    /// The name of its type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Object(object) => object.type_name(),
            _ => Type::of(self).name(),
        }
    }
}

impl From<bool> for Py {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<usize> for Py {
    fn from(value: usize) -> Self {
        i64::try_from(value).map_or_else(|_| big(BigInt::from(value)), Self::Int)
    }
}

impl From<&str> for Py {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Py {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Option<Self>> for Py {
    fn from(value: Option<Self>) -> Self {
        value.unwrap_or(Self::None)
    }
}

impl fmt::Debug for Py {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}
