//! Operators.

use std::cmp::Ordering;
use std::rc::Rc;

use num_bigint::{BigInt, Sign};
use num_integer::Integer;
use num_traits::Zero;

use super::compare::{equal, ordered, same};
use super::int::{as_big, as_float, big, check_bits, checked};
use super::{Class, Dict, Py, PyError, R, Set, View, index, size};
use crate::template::budget;
use crate::template::modules::moments;
use crate::template::python::{Binary, Comparison};

/// `a op b`
pub(in crate::template) fn binary(op: Binary, a: &Py, b: &Py) -> R {
    if let (Py::Int(a), Py::Int(b)) = (a, b)
        && let Some(result) = small(op, *a, *b)
    {
        return Ok(Py::Int(result));
    }
    if let (Py::Str(a), Py::Str(b), Binary::Add) = (a, b, op) {
        budget::pay_bytes(a.len() + b.len())?;
        return Ok(Py::from([&**a, &**b].concat()));
    }
    slow(op, a, b)
}

/// What takes no care.
fn small(op: Binary, a: i64, b: i64) -> Option<i64> {
    match op {
        Binary::Add => a.checked_add(b),
        Binary::Sub => a.checked_sub(b),
        Binary::Mul => a.checked_mul(b),
        Binary::FloorDiv => (b != 0).then(|| a.checked_div_euclid(b).map(|_| Integer::div_floor(&a, &b)))?,
        Binary::Mod => (b != 0 && b != -1).then(|| Integer::mod_floor(&a, &b)),
        Binary::BitAnd => Some(a & b),
        Binary::BitOr => Some(a | b),
        Binary::BitXor => Some(a ^ b),
        Binary::ShiftRight => (0..64).contains(&b).then(|| a >> b),
        _ => None,
    }
}

#[inline(never)]
fn slow(op: Binary, a: &Py, b: &Py) -> R {
    let found = match (a, b) {
        _ if is_number(a) && is_number(b) => numbers(op, a, b)?,
        (Py::Moment(_), _) => moments(op, a, b)?,
        (_, Py::Moment(_)) if !matches!(a, Py::Str(_) | Py::Bytes(_)) => moments(op, a, b)?,
        _ => match op {
            Binary::Add => join(a, b)?,
            Binary::Mul => match (is_whole(a), is_whole(b)) {
                (false, true) => repeat(a, b)?,
                (true, false) => repeat(b, a)?,
                _ => None,
            },
            Binary::Mod => match a {
                Py::Str(text) => Some(Py::from(crate::template::format::percent(text, b)?)),
                Py::Bytes(bytes) => Some(Py::bytes(crate::template::format::percent_bytes(bytes, b)?)),
                _ => None,
            },
            Binary::Sub | Binary::BitAnd | Binary::BitOr | Binary::BitXor => sets(op, a, b)?,
            _ => None,
        },
    };
    match found {
        Some(value) => Ok(value),
        None => Err(unsupported(op, a, b)),
    }
}

fn unsupported(op: Binary, a: &Py, b: &Py) -> PyError {
    let (left, right) = (a.type_name(), b.type_name());
    match (op, a) {
        (Binary::Add, Py::Str(_)) => {
            PyError::type_error(format!("can only concatenate str (not \"{right}\") to str"))
        }
        (Binary::Add, Py::List(_)) => {
            PyError::type_error(format!("can only concatenate list (not \"{right}\") to list"))
        }
        (Binary::Add, Py::Tuple(_)) => {
            PyError::type_error(format!("can only concatenate tuple (not \"{right}\") to tuple"))
        }
        (Binary::Add, Py::Bytes(_)) => PyError::type_error(format!("can't concat {right} to bytes")),
        (Binary::Mul, Py::Str(_) | Py::List(_) | Py::Tuple(_) | Py::Bytes(_)) => {
            PyError::type_error(format!("can't multiply sequence by non-int of type '{right}'"))
        }
        _ => {
            let symbol = if op == Binary::Pow { "** or pow()" } else { op.symbol() };
            PyError::type_error(format!("unsupported operand type(s) for {symbol}: '{left}' and '{right}'"))
        }
    }
}

fn is_whole(value: &Py) -> bool {
    matches!(value, Py::Bool(_) | Py::Int(_) | Py::Big(_))
}

fn is_number(value: &Py) -> bool {
    is_whole(value) || matches!(value, Py::Float(_))
}

fn numbers(op: Binary, a: &Py, b: &Py) -> R<Option<Py>> {
    if let (Py::Bool(a), Py::Bool(b)) = (a, b) {
        match op {
            Binary::BitAnd => return Ok(Some(Py::Bool(a & b))),
            Binary::BitOr => return Ok(Some(Py::Bool(a | b))),
            Binary::BitXor => return Ok(Some(Py::Bool(a ^ b))),
            _ => {}
        }
    }
    if let (Some(a), Some(b)) = (as_big(a), as_big(b)) {
        return wholes(op, &a, &b).map(Some);
    }
    let (Some(a), Some(b)) = (as_float(a)?, as_float(b)?) else { return Ok(None) };
    let zero = |message: &str| Err(PyError::new(Class::ZeroDivisionError, message));
    Ok(Some(Py::Float(match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div if b == 0.0 => return zero("float division by zero"),
        Binary::Div => a / b,
        Binary::FloorDiv if b == 0.0 => return zero("float floor division by zero"),
        Binary::FloorDiv => float_divmod(a, b).0,
        Binary::Mod if b == 0.0 => return zero("float modulo"),
        Binary::Mod => float_divmod(a, b).1,
        Binary::Pow if a == 0.0 && b < 0.0 => return zero("0.0 cannot be raised to a negative power"),
        Binary::Pow if a < 0.0 && b.fract() != 0.0 && b.is_finite() => {
            return Err(PyError::value_error("complex numbers have no counterpart"));
        }
        Binary::Pow => {
            let power = a.powf(b);
            if power.is_infinite() && a.is_finite() && b.is_finite() {
                return Err(PyError::new(Class::OverflowError, "(34, 'Numerical result out of range')"));
            }
            power
        }
        _ => return Ok(None),
    })))
}

/// Quotient and remainder as CPython computes them.
pub(super) fn float_divmod(a: f64, b: f64) -> (f64, f64) {
    let mut rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest != 0.0 {
        if (b < 0.0) != (rest < 0.0) {
            rest += b;
            quotient -= 1.0;
        }
    } else {
        rest = 0.0_f64.copysign(b);
    }
    let floor = if quotient != 0.0 {
        let floor = quotient.floor();
        if quotient - floor > 0.5 { floor + 1.0 } else { floor }
    } else {
        0.0_f64.copysign(a / b)
    };
    (floor, rest)
}

fn wholes(op: Binary, a: &BigInt, b: &BigInt) -> R {
    let zero = |message: &str| Err(PyError::new(Class::ZeroDivisionError, message));
    match op {
        Binary::Add => checked(a + b),
        Binary::Sub => checked(a - b),
        Binary::Mul => {
            check_bits(a.bits() + b.bits())?;
            checked(a * b)
        }
        Binary::Div if b.is_zero() => zero("division by zero"),
        Binary::Div => true_divide(a, b),
        Binary::FloorDiv | Binary::Mod if b.is_zero() => zero("integer division or modulo by zero"),
        Binary::FloorDiv => Ok(big(a.div_floor(b))),
        Binary::Mod => Ok(big(a.mod_floor(b))),
        Binary::Pow => power(a, b),
        Binary::ShiftLeft | Binary::ShiftRight if b.sign() == Sign::Minus => {
            Err(PyError::value_error("negative shift count"))
        }
        Binary::ShiftLeft => {
            let count = u64::try_from(b).unwrap_or(u64::MAX);
            if a.is_zero() {
                return Ok(Py::Int(0));
            }
            check_bits(a.bits().saturating_add(count))?;
            checked(a << count)
        }
        Binary::ShiftRight => {
            let count = u64::try_from(b).unwrap_or(u64::MAX).min(a.bits() + 1);
            Ok(big(a >> count))
        }
        Binary::BitAnd => Ok(big(a & b)),
        Binary::BitOr => Ok(big(a | b)),
        Binary::BitXor => Ok(big(a ^ b)),
    }
}

fn power(a: &BigInt, b: &BigInt) -> R {
    if b.sign() == Sign::Minus {
        return numbers(Binary::Pow, &Py::Float(float(a)?), &Py::Float(float(b)?)).map(Py::from);
    }
    if a.is_zero() || *a == BigInt::from(1) || *a == BigInt::from(-1) {
        let exponent: u32 = if b.is_even() { 2 } else { 1 };
        return Ok(if b.is_zero() { Py::Int(1) } else { big(a.pow(exponent)) });
    }
    let exponent = u32::try_from(b).unwrap_or(u32::MAX);
    check_bits((a.bits().saturating_sub(1)).max(1).saturating_mul(u64::from(exponent)))?;
    checked(a.pow(exponent))
}

fn float(value: &BigInt) -> R<f64> {
    as_float(&big(value.clone())).map(Option::unwrap_or_default)
}

/// `a / b`, rounded once.
fn true_divide(a: &BigInt, b: &BigInt) -> R {
    if a.bits() <= 53 && b.bits() <= 53 {
        return Ok(Py::Float(float(a)? / float(b)?));
    }
    // Enough bits of the quotient that the float's rounding is the only one; what is cut off makes the last bit odd.
    let shift = 66 - (a.bits() as i64 - b.bits() as i64);
    let (upper, lower) = if shift >= 0 {
        (a.magnitude() << shift.unsigned_abs(), b.magnitude().clone())
    } else {
        (a.magnitude().clone(), b.magnitude() << shift.unsigned_abs())
    };
    let (quotient, rest) = upper.div_rem(&lower);
    let sticky = if rest.is_zero() { quotient } else { quotient | num_bigint::BigUint::from(1_u8) };
    let digits = sticky.to_string().parse::<f64>().unwrap_or(0.0);
    let value = scale(digits, -shift);
    if value.is_infinite() {
        return Err(PyError::new(Class::OverflowError, "integer division result too large for a float"));
    }
    let is_negative = (a.sign() == Sign::Minus) != (b.sign() == Sign::Minus);
    Ok(Py::Float(if is_negative { -value } else { value }))
}

/// `value * 2 ** exponent`
fn scale(mut value: f64, mut exponent: i64) -> f64 {
    while exponent > 0 && value.is_finite() {
        let step = exponent.min(1_000);
        value *= 2_f64.powi(step as i32);
        exponent -= step;
    }
    while exponent < 0 && value != 0.0 {
        let step = (-exponent).min(1_000);
        value /= 2_f64.powi(step as i32);
        exponent += step;
    }
    value
}

fn join(a: &Py, b: &Py) -> R<Option<Py>> {
    Ok(Some(match (a, b) {
        (Py::List(a), Py::List(b)) => {
            budget::pay_items(a.len() + b.len())?;
            let mut items = a.to_vec();
            items.extend_from_slice(&b.borrow());
            Py::list(items)
        }
        (Py::Tuple(a), Py::Tuple(b)) => {
            budget::pay_items(a.len() + b.len())?;
            Py::tuple([&***a, &***b].concat())
        }
        (Py::Bytes(a), Py::Bytes(b)) => {
            budget::pay_bytes(a.len() + b.len())?;
            Py::bytes([&**a, &**b].concat())
        }
        _ => return Ok(None),
    }))
}

fn repeat(value: &Py, times: &Py) -> R<Option<Py>> {
    if !matches!(value, Py::Str(_) | Py::Bytes(_) | Py::List(_) | Py::Tuple(_)) {
        return Ok(None);
    }
    let times = size(times)?;
    Ok(Some(match value {
        Py::Str(text) => {
            budget::pay_bytes(text.len().saturating_mul(times))?;
            Py::from(text.repeat(if text.is_empty() { 0 } else { times }))
        }
        Py::Bytes(bytes) => {
            budget::pay_bytes(bytes.len().saturating_mul(times))?;
            Py::bytes(bytes.repeat(if bytes.is_empty() { 0 } else { times }))
        }
        Py::List(items) => Py::list(repeated(&items.to_vec(), times)?),
        Py::Tuple(items) => Py::tuple(repeated(items, times)?),
        _ => return Ok(None),
    }))
}

fn repeated(items: &[Py], times: usize) -> R<Vec<Py>> {
    budget::pay_items(items.len().saturating_mul(times))?;
    let mut out = Vec::new();
    for _ in 0..if items.is_empty() { 0 } else { times } {
        out.extend_from_slice(items);
    }
    Ok(out)
}

/// What takes part in the arithmetic of sets.
pub(in crate::template) fn set_items(value: &Py) -> R<Option<Vec<Py>>> {
    Ok(match value {
        Py::Set(set) => Some(set.to_vec()),
        Py::View(view) => Some(View::to_vec(view)?),
        _ => None,
    })
}

fn sets(op: Binary, a: &Py, b: &Py) -> R<Option<Py>> {
    if let (Py::Dict(a), Py::Dict(b), Binary::BitOr) = (a, b, op) {
        let pairs = a.pairs()?.into_iter().chain(b.pairs()?);
        return Py::dict(pairs).map(Some);
    }
    // A view of a dict takes any collection beside it.
    let beside = |value: &Py, other: &Py| match (set_items(value)?, other, value) {
        (None, Py::View(_), Py::List(items)) => Ok(Some(items.to_vec())),
        (None, Py::View(_), Py::Tuple(items)) => Ok(Some(items.to_vec())),
        (None, Py::View(_), Py::Dict(dict)) => dict.keys().map(Some),
        (items, ..) => Ok(items),
    };
    let (Some(left), Some(right)) = (beside(a, b)?, beside(b, a)?) else { return Ok(None) };
    budget::pay_items(left.len() + right.len())?;
    let is_frozen = matches!(a, Py::Set(set) if set.is_frozen());
    let (own, other) = (Set::new(left, is_frozen)?, Set::new(right, false)?);
    Ok(Some(Py::Set(Rc::new(combine(op, &own, &other, is_frozen)?))))
}

/// The set that an operator makes of two.
pub(in crate::template) fn combine(op: Binary, a: &Set, b: &Set, is_frozen: bool) -> R<Set> {
    let out = Set::new([], is_frozen)?;
    for item in a.to_vec() {
        let is_in_both = b.has(&item)?;
        if match op {
            Binary::BitAnd => is_in_both,
            Binary::BitOr => true,
            _ => !is_in_both,
        } {
            out.add(item)?;
        }
    }
    if matches!(op, Binary::BitOr | Binary::BitXor) {
        for item in b.to_vec() {
            if !a.has(&item)? {
                out.add(item)?;
            }
        }
    }
    Ok(out)
}

/// `-value`
pub(in crate::template) fn negative(value: &Py) -> R {
    Ok(match value {
        Py::Float(value) => Py::Float(-value),
        Py::Moment(moment) => match moment.negative() {
            Some(moment) => Py::Moment(Rc::new(moment)),
            None => return Err(bad_operand("-", value)),
        },
        _ => match as_big(value) {
            Some(whole) => big(-whole),
            None => return Err(bad_operand("-", value)),
        },
    })
}

/// `+value`
pub(in crate::template) fn positive(value: &Py) -> R {
    match value {
        Py::Bool(value) => Ok(Py::Int(i64::from(*value))),
        Py::Int(_) | Py::Big(_) | Py::Float(_) => Ok(value.clone()),
        _ => Err(bad_operand("+", value)),
    }
}

/// `~value`
pub(in crate::template) fn invert(value: &Py) -> R {
    match as_big(value) {
        Some(whole) => Ok(big(-whole - 1)),
        None => Err(bad_operand("~", value)),
    }
}

fn bad_operand(symbol: &str, value: &Py) -> PyError {
    PyError::type_error(format!("bad operand type for unary {symbol}: '{}'", value.type_name()))
}

/// `a < b`, `a in b` and so on.
pub(in crate::template) fn compare(op: Comparison, a: &Py, b: &Py) -> R<bool> {
    match op {
        Comparison::Equal => equal(a, b),
        Comparison::NotEqual => equal(a, b).map(|equal| !equal),
        Comparison::Less => ordered(a, b, "<", Ordering::is_lt),
        Comparison::LessEqual => ordered(a, b, "<=", Ordering::is_le),
        Comparison::Greater => ordered(a, b, ">", Ordering::is_gt),
        Comparison::GreaterEqual => ordered(a, b, ">=", Ordering::is_ge),
        Comparison::Is => Ok(same(a, b)),
        Comparison::IsNot => Ok(!same(a, b)),
        Comparison::In => contains(b, a),
        Comparison::NotIn => contains(b, a).map(|found| !found),
    }
}

/// `value in container`, for what is no iterator.
pub(in crate::template) fn contains(container: &Py, value: &Py) -> R<bool> {
    let any = |items: &[Py]| -> R<bool> {
        budget::pay(items.len() as u64 / 8)?;
        for item in items {
            if same(item, value) || equal(item, value)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    match container {
        Py::Str(text) => match value {
            Py::Str(part) => Ok(text.contains(&**part)),
            _ => Err(PyError::type_error(format!(
                "'in <string>' requires string as left operand, not {}",
                value.type_name()
            ))),
        },
        Py::Bytes(bytes) => match value {
            Py::Bytes(part) => {
                Ok(part.is_empty() || bytes.windows(part.len()).any(|window| window == &**part))
            }
            _ => match u8::try_from(index(value)?) {
                Ok(byte) => Ok(bytes.contains(&byte)),
                Err(_) => Err(PyError::value_error("byte must be in range(0, 256)")),
            },
        },
        Py::List(items) => any(&items.to_vec()),
        Py::Tuple(items) => any(items),
        Py::Dict(dict) => Dict::get(dict, value).map(|found| found.is_some()),
        // A set is looked for as if it could not change.
        Py::Set(set) => match value {
            Py::Set(value) => set.has(&Py::Set(Rc::new(Set::new(value.to_vec(), true)?))),
            value => set.has(value),
        },
        Py::Range(range) => Ok(range.contains(value)),
        Py::View(view) => any(&view.to_vec()?),
        Py::Host(host) => super::host::contains(host, value),
        _ => Err(not_iterable(container)),
    }
}

fn not_iterable(value: &Py) -> PyError {
    PyError::type_error(format!("argument of type '{}' is not iterable", value.type_name()))
}
