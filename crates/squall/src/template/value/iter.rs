//! Ranges, views of dicts, and what goes through values.

use std::cell::RefCell;
use std::rc::Rc;

use minijinja::value::ValueIter;

use super::{Class, Dict, List, Py, PyError, R, Set, Str, Tuple, Type, from_host, trash};
use crate::template::eval::{Generator, Interp};

/// `range(..)`
#[derive(Debug, Clone, Copy)]
pub(in crate::template) struct Range {
    pub(in crate::template) start: i64,
    pub(in crate::template) stop: i64,
    /// Not 0.
    pub(in crate::template) step: i64,
}

impl Range {
    pub(in crate::template) fn len(self) -> usize {
        let (start, stop, step) = (i128::from(self.start), i128::from(self.stop), i128::from(self.step));
        let distance = if step > 0 { stop - start } else { start - stop };
        let count = if distance <= 0 { 0 } else { (distance - 1) / step.abs() + 1 };
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    pub(in crate::template) fn get(self, index: usize) -> Option<i64> {
        let value = i128::from(self.start) + i128::try_from(index).ok()? * i128::from(self.step);
        if index < self.len() { i64::try_from(value).ok() } else { None }
    }

    pub(super) fn contains(self, value: &Py) -> bool {
        let number = match value {
            Py::Bool(value) => i64::from(*value),
            Py::Int(value) => *value,
            Py::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => *value as i64,
            _ => return false,
        };
        let is_within = if self.step > 0 {
            (self.start..self.stop).contains(&number)
        } else {
            number <= self.start && number > self.stop
        };
        let distance = i128::from(number) - i128::from(self.start);
        is_within && distance % i128::from(self.step) == 0
    }

    pub(super) fn is_same(self, other: &Self) -> bool {
        let length = self.len();
        length == other.len()
            && (length == 0 || self.start == other.start)
            && (length < 2 || self.step == other.step)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::template) enum Part {
    Keys,
    Values,
    Items,
}

/// `d.keys()` and the like.
pub(in crate::template) struct View {
    pub(in crate::template) dict: Rc<Dict>,
    pub(in crate::template) part: Part,
}

impl View {
    pub(in crate::template) fn to_vec(&self) -> R<Vec<Py>> {
        Ok(match self.part {
            Part::Keys => self.dict.keys()?,
            Part::Values => self.dict.borrow()?.values().cloned().collect(),
            Part::Items => {
                self.dict.pairs()?.into_iter().map(|(key, value)| Py::tuple(vec![key, value])).collect()
            }
        })
    }
}

/// An iterator as a value.
pub(in crate::template) struct Iter(RefCell<Source>);

/// What an iterator goes through, and how far it has come.
pub(in crate::template) enum Source {
    List(Rc<List>, usize),
    ReversedList(Rc<List>, usize),
    Tuple(Rc<Tuple>, usize),
    /// The next one's place in bytes.
    Str(Str, usize),
    Bytes(Rc<[u8]>, usize),
    Range(Range, usize),
    /// The dict, the next one, and how many there were.
    Dict(Rc<Dict>, Part, usize, usize),
    Values(std::vec::IntoIter<Py>),
    /// An iterator, which moves on as the loop does.
    Iterator(Py),
    Enumerate(Py, i64),
    Zip(Vec<Py>, bool),
    Map(Py, Vec<Py>),
    Filter(Py, Py),
    /// `iter(function, last)`
    Calls(Py, Py),
    Generator(Box<Generator>),
    Host(Box<ValueIter>),
    Reversed(std::iter::Rev<std::vec::IntoIter<Py>>),
    Done,
    /// Being asked right now.
    Running,
}

impl Source {
    /// Of what a `for` may go over.
    ///
    /// # Errors
    /// Python's `TypeError`.
    pub(in crate::template) fn of(value: &Py) -> R<Self> {
        Ok(match value {
            Py::List(list) => Self::List(Rc::clone(list), 0),
            Py::Tuple(items) => Self::Tuple(Rc::clone(items), 0),
            Py::Str(text) => Self::Str(text.clone(), 0),
            Py::Bytes(bytes) => Self::Bytes(Rc::clone(bytes), 0),
            Py::Range(range) => Self::Range(**range, 0),
            Py::Dict(dict) => Self::Dict(Rc::clone(dict), Part::Keys, 0, dict.len()),
            Py::View(view) => Self::Dict(Rc::clone(&view.dict), view.part, 0, view.dict.len()),
            Py::Set(set) => Self::Values(Set::to_vec(set).into_iter()),
            Py::Host(host) => match host.try_iter() {
                Ok(items) => Self::Host(Box::new(items)),
                Err(_) => return Err(not_iterable(value)),
            },
            Py::Object(object) => match object.items() {
                Some(items) => Self::Values(items.into_iter()),
                None => return Err(not_iterable(value)),
            },
            _ => return Err(not_iterable(value)),
        })
    }

    /// The next of what needs nobody else; `None` for an iterator that does.
    #[inline]
    fn simple(&mut self) -> Option<R<Option<Py>>> {
        Some(Ok(match self {
            Self::List(list, at) => {
                let item = list.get(*at);
                *at += 1;
                item
            }
            Self::Tuple(items, at) => {
                let item = items.get(*at).cloned();
                *at += 1;
                item
            }
            Self::Str(text, at) => {
                let c = text.get(*at..).and_then(|rest| rest.chars().next());
                *at += c.map_or(0, char::len_utf8);
                c.map(|c| Py::from(&*c.encode_utf8(&mut [0; 4])))
            }
            Self::Bytes(bytes, at) => {
                let byte = bytes.get(*at).map(|byte| Py::Int(i64::from(*byte)));
                *at += 1;
                byte
            }
            Self::Range(range, at) => {
                let number = range.get(*at).map(Py::Int);
                *at += 1;
                number
            }
            Self::Dict(dict, part, at, length) => {
                let next = dict_entry(dict, *part, *at, *length);
                *at += 1;
                return Some(next);
            }
            Self::Values(items) => items.next(),
            Self::Reversed(items) => items.next(),
            Self::ReversedList(list, left) => {
                let next = left.checked_sub(1);
                *left = next.unwrap_or(0);
                next.and_then(|at| list.get(at))
            }
            Self::Done => None,
            Self::Running => {
                return Some(Err(PyError::value_error("generator already executing")));
            }
            _ => return None,
        }))
    }
}

fn dict_entry(dict: &Dict, part: Part, at: usize, length: usize) -> R<Option<Py>> {
    let map = dict.borrow()?;
    if map.len() != length {
        return Err(PyError::new(Class::RuntimeError, "dictionary changed size during iteration"));
    }
    let Some((key, value)) = map.get_index(at) else { return Ok(None) };
    Ok(Some(match part {
        Part::Keys => key.value().clone(),
        Part::Values => value.clone(),
        Part::Items => Py::tuple(vec![key.value().clone(), value.clone()]),
    }))
}

fn not_iterable(value: &Py) -> PyError {
    PyError::type_error(format!("'{}' object is not iterable", value.type_name()))
}

impl Iter {
    /// An iterator as a value.
    pub(in crate::template) fn value(source: Source) -> Py {
        Py::Iter(Rc::new(Self(RefCell::new(source))))
    }

    /// `type(self)`
    pub(super) fn type_of(&self) -> Type {
        match &*self.0.borrow() {
            Source::Enumerate(..) => Type::Enumerate,
            Source::Zip(..) => Type::Zip,
            Source::Map(..) => Type::Map,
            Source::Filter(..) => Type::Filter,
            Source::Reversed(_) => Type::Reversed,
            Source::ReversedList(..) => Type::Other("list_reverseiterator"),
            Source::List(..) => Type::Other("list_iterator"),
            Source::Tuple(..) => Type::Other("tuple_iterator"),
            Source::Str(..) => Type::Other("str_iterator"),
            Source::Bytes(..) => Type::Other("bytes_iterator"),
            Source::Range(..) => Type::Other("range_iterator"),
            Source::Dict(_, Part::Keys, ..) => Type::Other("dict_keyiterator"),
            Source::Dict(_, Part::Values, ..) => Type::Other("dict_valueiterator"),
            Source::Dict(_, Part::Items, ..) => Type::Other("dict_itemiterator"),
            Source::Generator(_) | Source::Running => Type::Other("generator"),
            Source::Calls(..) => Type::Other("callable_iterator"),
            Source::Values(_) | Source::Host(_) | Source::Iterator(_) | Source::Done => {
                Type::Other("iterator")
            }
        }
    }
}

fn bury(source: Source) {
    trash::bury(match source {
        Source::Enumerate(inner, _) | Source::Iterator(inner) => vec![inner],
        Source::Zip(inner, _) => inner,
        Source::Map(function, mut inner) => {
            inner.push(function);
            inner
        }
        Source::Filter(a, b) | Source::Calls(a, b) => vec![a, b],
        Source::Generator(generator) => (*generator).into_values(),
        _ => return,
    });
}

impl Drop for Iter {
    fn drop(&mut self) {
        bury(std::mem::replace(self.0.get_mut(), Source::Done));
    }
}

/// What a `for` goes through.
pub(in crate::template) fn source(value: &Py) -> R<Source> {
    match value {
        Py::Iter(_) => Ok(Source::Iterator(value.clone())),
        _ => Source::of(value),
    }
}

/// `iter(value)`
pub(in crate::template) fn iter(value: &Py) -> R {
    match value {
        Py::Iter(_) => Ok(value.clone()),
        _ => Ok(Iter::value(Source::of(value)?)),
    }
}

impl Interp<'_> {
    /// The next of a loop's source, which [`source`] has made.
    #[inline]
    pub(in crate::template) fn advance(&mut self, source: &mut Source) -> R<Option<Py>> {
        if let Some(next) = source.simple() {
            return next;
        }
        self.step(source)
    }

    /// `next(iterator)`; `None` at the end.
    pub(in crate::template) fn next(&mut self, iterator: &Py) -> R<Option<Py>> {
        let Py::Iter(iter) = iterator else {
            return Err(PyError::type_error(format!("'{}' object is not an iterator", iterator.type_name())));
        };
        let _level = crate::template::budget::deeper()?;
        if let Some(next) = iter.0.borrow_mut().simple() {
            return next;
        }
        // What is asked may ask this one.
        let mut source = iter.0.replace(Source::Running);
        let next = self.step(&mut source);
        if !matches!(next, Ok(Some(_))) && !matches!(source, Source::Enumerate(..) | Source::Zip(..)) {
            source = Source::Done;
        }
        drop(iter.0.replace(source));
        next
    }

    fn step(&mut self, source: &mut Source) -> R<Option<Py>> {
        match source {
            Source::Iterator(inner) => self.next(inner),
            Source::Enumerate(inner, count) => {
                let Some(item) = self.next(inner)? else { return Ok(None) };
                let number = *count;
                *count += 1;
                Ok(Some(Py::tuple(vec![Py::Int(number), item])))
            }
            Source::Zip(inner, is_strict) => {
                let mut items = Vec::with_capacity(inner.len());
                for (index, iterator) in inner.iter().enumerate() {
                    match self.next(iterator)? {
                        Some(item) => items.push(item),
                        None if !*is_strict => return Ok(None),
                        None if index > 0 => {
                            let message = format!("zip() argument {} is shorter than argument 1", index + 1);
                            return Err(PyError::value_error(message));
                        }
                        None => {
                            for (index, iterator) in inner.iter().enumerate().skip(1) {
                                if self.next(iterator)?.is_some() {
                                    return Err(PyError::value_error(format!(
                                        "zip() argument {} is longer than argument 1",
                                        index + 1
                                    )));
                                }
                            }
                            return Ok(None);
                        }
                    }
                }
                Ok(if inner.is_empty() { None } else { Some(Py::tuple(items)) })
            }
            Source::Map(function, inner) => {
                let mut items = Vec::with_capacity(inner.len());
                for iterator in inner {
                    match self.next(iterator)? {
                        Some(item) => items.push(item),
                        None => return Ok(None),
                    }
                }
                self.call(function, items.into()).map(Some)
            }
            Source::Filter(function, inner) => {
                while let Some(item) = self.next(inner)? {
                    let is_kept = match &*function {
                        Py::None => item.is_true(),
                        function => self.call(function, vec![item.clone()].into())?.is_true(),
                    };
                    if is_kept {
                        return Ok(Some(item));
                    }
                }
                Ok(None)
            }
            Source::Calls(function, last) => {
                let item = self.call(function, Vec::new().into())?;
                Ok(if super::equal(&item, last)? { None } else { Some(item) })
            }
            Source::Generator(generator) => self.resume(generator),
            Source::Host(items) => items.next().map(|item| from_host(&item)).transpose(),
            _ => Ok(None),
        }
    }

    /// All that a value holds, as a list.
    pub(in crate::template) fn collect(&mut self, value: &Py) -> R<Vec<Py>> {
        let items = match value {
            Py::List(items) => items.to_vec(),
            Py::Tuple(items) => items.to_vec(),
            Py::Set(items) => items.to_vec(),
            Py::View(view) => view.to_vec()?,
            _ => {
                let mut source = source(value)?;
                let mut items = Vec::new();
                while let Some(item) = self.advance(&mut source)? {
                    crate::template::budget::pay(2)?;
                    items.push(item);
                }
                return Ok(items);
            }
        };
        crate::template::budget::pay_items(items.len())?;
        Ok(items)
    }
}
