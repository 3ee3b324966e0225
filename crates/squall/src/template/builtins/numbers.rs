//! Functions of numbers.

use num_bigint::{BigInt, Sign};
use num_integer::Integer;
use num_traits::{Signed, Zero};

use super::{Args, Interp, Py, PyError, R, whole, zero_division};
use crate::template::format::{fixed, round_float};
use crate::template::python::Binary;
use crate::template::value::{Class, as_big, big, binary, float_to_int};

pub(super) fn abs(_: &mut Interp<'_>, args: Args) -> R {
    let [value] = args.take("abs", ["*x"], 1)?;
    let value = value.unwrap_or(Py::None);
    match &value {
        Py::Float(value) => Ok(Py::Float(value.abs())),
        Py::Moment(moment) if moment.is_negative() => crate::template::value::negative(&value),
        Py::Moment(moment) if moment.negative().is_some() => Ok(value.clone()),
        _ => match as_big(&value) {
            Some(whole) => Ok(big(whole.abs())),
            None => Err(PyError::type_error(format!("bad operand type for abs(): '{}'", value.type_name()))),
        },
    }
}

pub(super) fn in_base(args: Args, name: &str, base: u32, prefix: &str) -> R {
    let [value] = args.take(name, ["*number"], 1)?;
    let value = value.unwrap_or(Py::None);
    let Some(whole) = as_big(&value) else {
        let message = format!("'{}' object cannot be interpreted as an integer", value.type_name());
        return Err(PyError::type_error(message));
    };
    let sign = if whole.sign() == Sign::Minus { "-" } else { "" };
    Ok(Py::from(format!("{sign}{prefix}{}", whole.magnitude().to_str_radix(base))))
}

pub(super) fn chr(_: &mut Interp<'_>, args: Args) -> R {
    let [code] = args.take("chr", ["*i"], 1)?;
    let code = u32::try_from(whole(code)?).ok().filter(|code| *code <= 0x0010_ffff);
    let code = code.ok_or_else(|| PyError::value_error("chr() arg not in range(0x110000)"))?;
    match char::from_u32(code) {
        Some(c) => Ok(Py::from(c.to_string())),
        None => Err(PyError::value_error("a lone surrogate is no character of Rust's")),
    }
}

pub(super) fn ord(_: &mut Interp<'_>, args: Args) -> R {
    let [c] = args.take("ord", ["*c"], 1)?;
    let one = |length: usize| {
        PyError::type_error(format!("ord() expected a character, but string of length {length} found"))
    };
    match c.unwrap_or(Py::None) {
        Py::Str(text) => {
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => Ok(Py::Int(i64::from(u32::from(c)))),
                _ => Err(one(text.chars().count())),
            }
        }
        Py::Bytes(bytes) if bytes.len() == 1 => Ok(Py::Int(i64::from(bytes[0]))),
        Py::Bytes(bytes) => Err(one(bytes.len())),
        other => Err(PyError::type_error(format!(
            "ord() expected string of length 1, but {} found",
            other.type_name()
        ))),
    }
}

pub(super) fn divmod(_: &mut Interp<'_>, args: Args) -> R {
    let [a, b] = args.take("divmod", ["*x", "*y"], 2)?;
    let (a, b) = (a.unwrap_or(Py::None), b.unwrap_or(Py::None));
    let renamed = |error: PyError| match error.class() {
        Class::TypeError => PyError::type_error(format!(
            "unsupported operand type(s) for divmod(): '{}' and '{}'",
            a.type_name(),
            b.type_name()
        )),
        _ => error,
    };
    let quotient = binary(Binary::FloorDiv, &a, &b).map_err(renamed)?;
    let rest = binary(Binary::Mod, &a, &b).map_err(renamed)?;
    Ok(Py::tuple(vec![quotient, rest]))
}

pub(super) fn pow(_: &mut Interp<'_>, args: Args) -> R {
    let [base, exponent, modulus] = args.take("pow", ["base", "exp", "mod"], 2)?;
    let (base, exponent) = (base.unwrap_or(Py::None), exponent.unwrap_or(Py::None));
    let Some(modulus) = modulus.filter(|modulus| !modulus.is_none()) else {
        return binary(Binary::Pow, &base, &exponent);
    };
    let (Some(base), Some(exponent), Some(modulus)) = (as_big(&base), as_big(&exponent), as_big(&modulus))
    else {
        return Err(PyError::type_error("pow() 3rd argument not allowed unless all arguments are integers"));
    };
    if modulus.is_zero() {
        return Err(PyError::value_error("pow() 3rd argument cannot be 0"));
    }
    let base = if exponent.is_negative() {
        let gcd = base.extended_gcd(&modulus);
        if gcd.gcd != BigInt::from(1) && gcd.gcd != BigInt::from(-1) {
            return Err(PyError::value_error("base is not invertible for the given modulus"));
        }
        (gcd.x * gcd.gcd).mod_floor(&modulus)
    } else {
        base
    };
    crate::template::budget::pay(
        exponent.bits() * (modulus.bits() / 64 + 1) * (modulus.bits() / 64 + 1) / 64,
    )?;
    Ok(big(base.modpow(&exponent.abs(), &modulus)))
}

pub(super) fn round(_: &mut Interp<'_>, args: Args) -> R {
    let [value, places] = args.take("round", ["number", "ndigits"], 1)?;
    let value = value.unwrap_or(Py::None);
    let places = match places {
        None | Some(Py::None) => None,
        places => Some(whole(places)?),
    };
    match (&value, places) {
        (Py::Float(value), None) => float_to_int(fixed(*value, 0).parse().unwrap_or(*value)),
        (Py::Float(value), Some(places)) => Ok(Py::Float(round_float(*value, places))),
        (value, places) => match as_big(value) {
            Some(whole) => Ok(big(round_whole(whole, places.unwrap_or(0))?)),
            None => Err(PyError::type_error(format!(
                "type {} doesn't define __round__ method",
                value.type_name()
            ))),
        },
    }
}

/// Rounds to tens, hundreds and so on; half goes to even.
fn round_whole(value: BigInt, places: i64) -> R<BigInt> {
    if places >= 0 {
        return Ok(value);
    }
    let digits = u32::try_from(-places).unwrap_or(u32::MAX);
    // More digits than the number has.
    if u64::from(digits) > value.bits() / 3 + 2 {
        return Ok(BigInt::zero());
    }
    let unit = BigInt::from(10).pow(digits);
    if unit.is_zero() {
        return Err(zero_division("division by zero"));
    }
    let (quotient, rest) = value.div_mod_floor(&unit);
    let twice = rest * 2;
    let up = twice > unit || (twice == unit && quotient.is_odd());
    Ok((quotient + i32::from(up)) * unit)
}
