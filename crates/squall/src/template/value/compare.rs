//! Equality, order and hashes.

use std::cmp::Ordering;
use std::hash::{BuildHasher, Hash, Hasher};
use std::rc::Rc;

use indexmap::Equivalent;
use num_bigint::BigInt;
use num_traits::{FromPrimitive, ToPrimitive};

use super::{Class, Py, PyError, R, Type};
use crate::template::budget;

/// A value that can be a key.
pub(in crate::template) struct Key(Py);

impl Key {
    /// # Errors
    /// Python's `TypeError` for what can change.
    pub(in crate::template) fn new(value: Py) -> R<Self> {
        check_hashable(&value)?;
        Ok(Self(value))
    }

    pub(in crate::template) fn value(&self) -> &Py {
        &self.0
    }

    pub(super) fn into_value(self) -> Py {
        self.0
    }
}

fn check_hashable(value: &Py) -> R<()> {
    match value {
        Py::Tuple(items) => {
            let _level = budget::deeper()?;
            items.iter().try_for_each(check_hashable)
        }
        Py::Set(set) if set.is_frozen() => Ok(()),
        Py::List(_) | Py::Dict(_) | Py::Set(_) | Py::View(_) | Py::Slice(_) => {
            Err(PyError::type_error(format!("unhashable type: '{}'", value.type_name())))
        }
        _ => Ok(()),
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.0, state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0) || equal(&self.0, &other.0).unwrap_or(false)
    }
}

impl Eq for Key {}

impl Equivalent<Key> for str {
    fn equivalent(&self, key: &Key) -> bool {
        key.0.as_str() == Some(self)
    }
}

/// Equal values have equal hashes, whatever their types are.
fn hash<H: Hasher>(value: &Py, state: &mut H) {
    match value {
        // As `str`'s own, by which a key is found.
        Py::Str(text) => text.hash(state),
        Py::Bool(value) => i64::from(*value).hash(state),
        Py::Int(value) => value.hash(state),
        Py::Big(value) => value.hash(state),
        Py::Float(value) if value.fract() == 0.0 && value.is_finite() => match value.to_i64() {
            Some(whole) => whole.hash(state),
            None => BigInt::from_f64(*value).hash(state),
        },
        Py::Float(value) => value.to_bits().hash(state),
        Py::Bytes(bytes) => bytes.hash(state),
        Py::Tuple(items) => {
            let Ok(_level) = budget::deeper() else { return };
            items.iter().for_each(|item| hash(item, state));
        }
        Py::Type(of) => of.hash(state),
        Py::Moment(moment) => moment.hash_key().hash(state),
        _ => {}
    }
}

/// `hash(value)`; that of texts is another one than CPython's, which is random.
pub(in crate::template) fn hash_of(value: &Py) -> R {
    check_hashable(value)?;
    const PRIME: i64 = (1 << 61) - 1;
    let number = match value {
        Py::Bool(value) => i64::from(*value),
        Py::Int(number) => number % PRIME,
        Py::Big(number) => (&**number % BigInt::from(PRIME)).to_i64().unwrap_or(0),
        Py::Float(float) if float.fract() == 0.0 && float.is_finite() => {
            let whole = BigInt::from_f64(*float).unwrap_or_default();
            (whole % BigInt::from(PRIME)).to_i64().unwrap_or(0)
        }
        _ => {
            let hashed = rapidhash::fast::RandomState::default().hash_one(HashOf(value));
            (hashed >> 4) as i64
        }
    };
    Ok(Py::Int(if number == -1 { -2 } else { number }))
}

struct HashOf<'a>(&'a Py);

impl Hash for HashOf<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(self.0, state);
    }
}

/// `a is b`
pub(in crate::template) fn same(a: &Py, b: &Py) -> bool {
    match (a, b) {
        (Py::None, Py::None) => true,
        (Py::Bool(a), Py::Bool(b)) => a == b,
        // Python keeps small integers and constants once.
        (Py::Int(a), Py::Int(b)) => a == b,
        (Py::Float(a), Py::Float(b)) => a.to_bits() == b.to_bits() && !a.is_nan(),
        (Py::Str(a), Py::Str(b)) => **a == **b,
        (Py::Tuple(a), Py::Tuple(b)) => Rc::ptr_eq(a, b) || (a.is_empty() && b.is_empty()),
        (Py::List(a), Py::List(b)) => Rc::ptr_eq(a, b),
        (Py::Dict(a), Py::Dict(b)) => Rc::ptr_eq(a, b),
        (Py::Set(a), Py::Set(b)) => Rc::ptr_eq(a, b),
        (Py::Type(a), Py::Type(b)) => a == b,
        (Py::Function(a), Py::Function(b)) => Rc::ptr_eq(a, b),
        (Py::Builtin(a), Py::Builtin(b)) => std::ptr::eq(*a, *b),
        (Py::Exception(a), Py::Exception(b)) => Rc::ptr_eq(a, b),
        (Py::Moment(a), Py::Moment(b)) => Rc::ptr_eq(a, b),
        (Py::Iter(a), Py::Iter(b)) => Rc::ptr_eq(a, b),
        (Py::Module(a), Py::Module(b)) => a.name() == b.name(),
        (Py::Host(a), Py::Host(b)) => Rc::ptr_eq(a, b),
        (Py::Bytes(a), Py::Bytes(b)) => Rc::ptr_eq(a, b),
        _ => false,
    }
}

/// `a == b`
pub(in crate::template) fn equal(a: &Py, b: &Py) -> R<bool> {
    if let (Py::Str(a), Py::Str(b)) = (a, b) {
        return Ok(**a == **b);
    }
    if let Some(ordering) = numbers(a, b) {
        return Ok(ordering == Some(Ordering::Equal));
    }
    let all = |a: &[Py], b: &[Py]| -> R<bool> {
        let _level = budget::deeper()?;
        for (a, b) in a.iter().zip(b) {
            if !same(a, b) && !equal(a, b)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    Ok(match (a, b) {
        (Py::Bytes(a), Py::Bytes(b)) => a == b,
        (Py::Tuple(a), Py::Tuple(b)) => a.len() == b.len() && all(a, b)?,
        (Py::List(a), Py::List(b)) => {
            Rc::ptr_eq(a, b) || (a.len() == b.len() && all(&a.to_vec(), &b.to_vec())?)
        }
        (Py::Dict(a), Py::Dict(b)) => {
            if Rc::ptr_eq(a, b) {
                return Ok(true);
            }
            let _level = budget::deeper()?;
            if a.len() != b.len() {
                return Ok(false);
            }
            for (key, value) in a.pairs()? {
                match b.get(&key)? {
                    Some(other) if same(&value, &other) || equal(&value, &other)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Py::Set(a), Py::Set(b)) => a.len() == b.len() && is_subset(a, b)?,
        (Py::Range(a), Py::Range(b)) => a.is_same(b),
        (Py::View(a), Py::View(b)) => equal(
            &Py::Set(Rc::new(super::Set::new(a.to_vec()?, false)?)),
            &Py::Set(Rc::new(super::Set::new(b.to_vec()?, false)?)),
        )?,
        (Py::Slice(a), Py::Slice(b)) => all(&a[..], &b[..])?,
        (Py::Moment(a), Py::Moment(b)) => a.order(b) == Some(Ordering::Equal),
        (Py::Host(a), Py::Host(b)) => a == b,
        (Py::Method(a), Py::Method(b)) => a.name == b.name && same(&a.of, &b.of),
        _ => same(a, b),
    })
}

fn is_subset(a: &super::Set, b: &super::Set) -> R<bool> {
    for item in a.to_vec() {
        if !b.has(&item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `a < b` and the like, as what `allowed` takes.
pub(super) fn ordered(a: &Py, b: &Py, symbol: &str, allowed: fn(Ordering) -> bool) -> R<bool> {
    if let Some(ordering) = numbers(a, b) {
        return Ok(ordering.is_some_and(allowed));
    }
    let lists = |a: &[Py], b: &[Py]| -> R<bool> {
        let _level = budget::deeper()?;
        for (a, b) in a.iter().zip(b) {
            if !same(a, b) && !equal(a, b)? {
                return ordered(a, b, symbol, allowed);
            }
        }
        Ok(allowed(a.len().cmp(&b.len())))
    };
    match (a, b) {
        (Py::Str(a), Py::Str(b)) => return Ok(allowed((**a).cmp(&**b))),
        (Py::Bytes(a), Py::Bytes(b)) => return Ok(allowed(a.cmp(b))),
        (Py::Tuple(a), Py::Tuple(b)) => return lists(a, b),
        (Py::List(a), Py::List(b)) => return lists(&a.to_vec(), &b.to_vec()),
        (Py::Set(a), Py::Set(b)) => {
            let (is_below, is_above) = (is_subset(a, b)?, is_subset(b, a)?);
            let order = match (is_below, is_above) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => return Ok(false),
            };
            return Ok(allowed(order));
        }
        (Py::Moment(first), Py::Moment(second)) => {
            if let Some(order) = first.order(second) {
                return Ok(allowed(order));
            }
            if Type::of(a) == Type::of(b) {
                let message = "can't compare offset-naive and offset-aware datetimes";
                return Err(PyError::new(Class::TypeError, message));
            }
            return Err(PyError::type_error(format!(
                "can't compare {} to {}",
                Type::of(a).full_name(),
                Type::of(b).full_name()
            )));
        }
        (Py::Host(a), Py::Host(b)) => return Ok(allowed(a.cmp(b))),
        _ => {}
    }
    Err(PyError::type_error(format!(
        "'{symbol}' not supported between instances of '{}' and '{}'",
        a.type_name(),
        b.type_name()
    )))
}

/// `a < b`, for sorting.
pub(in crate::template) fn less(a: &Py, b: &Py) -> R<bool> {
    ordered(a, b, "<", Ordering::is_lt)
}

/// The order of two numbers: `None` when one is not a number, `Some(None)` when one is not-a-number.
fn numbers(a: &Py, b: &Py) -> Option<Option<Ordering>> {
    let whole = |value: &Py| match value {
        Py::Bool(value) => Some(i64::from(*value)),
        Py::Int(value) => Some(*value),
        _ => None,
    };
    Some(match (a, b) {
        (Py::Float(a), Py::Float(b)) => a.partial_cmp(b),
        (Py::Big(a), Py::Big(b)) => Some(a.cmp(b)),
        (Py::Float(a), Py::Big(b)) => float_and_big(*a, b),
        (Py::Big(a), Py::Float(b)) => float_and_big(*b, a).map(Ordering::reverse),
        _ => match (whole(a), whole(b)) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            (Some(a), None) => match b {
                Py::Float(b) => float_and_int(*b, a).map(Ordering::reverse),
                Py::Big(b) => Some(BigInt::from(a).cmp(b)),
                _ => return None,
            },
            (None, Some(b)) => match a {
                Py::Float(a) => float_and_int(*a, b),
                Py::Big(a) => Some((**a).cmp(&BigInt::from(b))),
                _ => return None,
            },
            (None, None) => return None,
        },
    })
}

fn float_and_int(float: f64, int: i64) -> Option<Ordering> {
    if int.unsigned_abs() < 1 << 53 {
        return float.partial_cmp(&(int as f64));
    }
    float_and_big(float, &BigInt::from(int))
}

fn float_and_big(float: f64, big: &BigInt) -> Option<Ordering> {
    match BigInt::from_f64(float) {
        // What is cut off decides between equal whole parts.
        Some(whole) => Some(whole.cmp(big).then(float.partial_cmp(&float.trunc())?)),
        None if float.is_nan() => None,
        None => Some(if float > 0.0 { Ordering::Greater } else { Ordering::Less }),
    }
}
