//! Whole numbers and floats, from one to the other.

use std::rc::Rc;

use num_bigint::BigInt;
use num_traits::{FromPrimitive, ToPrimitive};

use super::{Class, Py, PyError, R};
use crate::template::budget;

/// Bits that a number may have.
const MAX_BITS: u64 = 1 << 20;

/// A whole number, as small as it goes.
pub(in crate::template) fn big(value: BigInt) -> Py {
    match i64::try_from(&value) {
        Ok(small) => Py::Int(small),
        Err(_) => Py::Big(Rc::new(value)),
    }
}

/// As [`big`], when it is not too large.
pub(super) fn checked(value: BigInt) -> R {
    check_bits(value.bits())?;
    Ok(big(value))
}

pub(super) fn check_bits(bits: u64) -> R<()> {
    if bits > MAX_BITS {
        return Err(PyError::new(
            Class::OverflowError,
            format!("a number may have {MAX_BITS} bits: this would have {bits}"),
        ));
    }
    // A multiplication takes more than one step for a long number.
    budget::pay((bits / 64) * (bits / 64) / 256)
}

/// The value as a whole number, if it is one.
pub(in crate::template) fn as_big(value: &Py) -> Option<BigInt> {
    match value {
        Py::Bool(value) => Some(BigInt::from(i64::from(*value))),
        Py::Int(value) => Some(BigInt::from(*value)),
        Py::Big(value) => Some((**value).clone()),
        _ => None,
    }
}

/// The value as a float, if it is a number.
pub(in crate::template) fn as_float(value: &Py) -> R<Option<f64>> {
    Ok(match value {
        Py::Bool(value) => Some(f64::from(u8::from(*value))),
        Py::Int(value) => Some(*value as f64),
        Py::Float(value) => Some(*value),
        Py::Big(value) => match value.to_f64().filter(|float| float.is_finite()) {
            Some(float) => Some(float),
            None => return Err(PyError::new(Class::OverflowError, "int too large to convert to float")),
        },
        _ => None,
    })
}

/// A value that stands for a whole number, such as an index: what is too large is the largest there is.
pub(in crate::template) fn index(value: &Py) -> R<i64> {
    match value {
        Py::Bool(value) => Ok(i64::from(*value)),
        Py::Int(value) => Ok(*value),
        Py::Big(value) => Ok(if value.sign() == num_bigint::Sign::Minus { i64::MIN } else { i64::MAX }),
        _ => Err(PyError::type_error(format!(
            "'{}' object cannot be interpreted as an integer",
            value.type_name()
        ))),
    }
}

/// A count: what is negative is none.
pub(in crate::template) fn size(value: &Py) -> R<usize> {
    if let Py::Big(_) = value {
        return Err(PyError::new(Class::OverflowError, "cannot fit 'int' into an index-sized integer"));
    }
    Ok(usize::try_from(index(value)?.max(0)).unwrap_or(usize::MAX))
}

/// `int(float)`
pub(in crate::template) fn float_to_int(float: f64) -> R {
    if float.is_nan() {
        return Err(PyError::value_error("cannot convert float NaN to integer"));
    }
    match BigInt::from_f64(float) {
        Some(whole) => Ok(big(whole)),
        None => Err(PyError::new(Class::OverflowError, "cannot convert float infinity to integer")),
    }
}
