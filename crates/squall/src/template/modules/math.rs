//! `math`

use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::Signed;

use super::function;
use crate::template::budget;
use crate::template::builtins::Builtin;
use crate::template::eval::{Args, Interp};
use crate::template::python::Binary;
use crate::template::value::{Class, Py, PyError, R, as_big, as_float, big, binary, float_to_int};

macro_rules! floats {
    ($($name:literal => $f:expr),* $(,)?) => {
        &[$(Builtin { name: $name, call: |_, args| of_float(args, $name, $f) }),*]
    };
}

/// From one float to another.
static FLOATS: &[Builtin] = floats! {
    "sqrt" => f64::sqrt, "exp" => f64::exp, "log2" => f64::log2, "log10" => f64::log10, "fabs" => f64::abs,
    "sin" => f64::sin, "cos" => f64::cos, "tan" => f64::tan, "asin" => f64::asin, "acos" => f64::acos,
    "atan" => f64::atan, "sinh" => f64::sinh, "cosh" => f64::cosh, "tanh" => f64::tanh,
    "degrees" => f64::to_degrees, "radians" => f64::to_radians, "cbrt" => f64::cbrt, "expm1" => f64::exp_m1,
    "log1p" => f64::ln_1p,
};

static FUNCTIONS: &[Builtin] = &[
    Builtin { name: "floor", call: |_, args| to_int(args, "floor", f64::floor) },
    Builtin { name: "ceil", call: |_, args| to_int(args, "ceil", f64::ceil) },
    Builtin { name: "trunc", call: |_, args| to_int(args, "trunc", f64::trunc) },
    Builtin { name: "log", call: log },
    Builtin { name: "pow", call: |_, args| of_two(args, "pow", f64::powf) },
    Builtin { name: "fmod", call: |_, args| of_two(args, "fmod", |a, b| a % b) },
    Builtin { name: "atan2", call: |_, args| of_two(args, "atan2", f64::atan2) },
    Builtin { name: "hypot", call: |_, args| of_two(args, "hypot", f64::hypot) },
    Builtin { name: "copysign", call: |_, args| of_two(args, "copysign", f64::copysign) },
    Builtin { name: "isnan", call: |_, args| test(args, "isnan", f64::is_nan) },
    Builtin { name: "isinf", call: |_, args| test(args, "isinf", f64::is_infinite) },
    Builtin { name: "isfinite", call: |_, args| test(args, "isfinite", f64::is_finite) },
    Builtin { name: "gcd", call: |_, args| fold(&args, 0, |a, b| a.gcd(&b)) },
    Builtin { name: "lcm", call: |_, args| fold(&args, 1, |a, b| a.lcm(&b)) },
    Builtin { name: "isqrt", call: isqrt },
    Builtin { name: "factorial", call: factorial },
    Builtin { name: "comb", call: comb },
    Builtin { name: "isclose", call: is_close },
    Builtin { name: "fsum", call: |interp, args| total(interp, args, "fsum", Binary::Add, Py::Float(0.0)) },
    Builtin { name: "prod", call: |interp, args| total(interp, args, "prod", Binary::Mul, Py::Int(1)) },
];

pub(super) fn find(name: &str) -> Option<Py> {
    use std::f64::consts;
    Some(match name {
        "pi" => Py::Float(consts::PI),
        "e" => Py::Float(consts::E),
        "tau" => Py::Float(consts::TAU),
        "inf" => Py::Float(f64::INFINITY),
        "nan" => Py::Float(f64::NAN),
        _ => return function(FLOATS, name).or_else(|| function(FUNCTIONS, name)),
    })
}

fn number(value: Option<Py>) -> R<f64> {
    let value = value.unwrap_or(Py::None);
    as_float(&value)?
        .ok_or_else(|| PyError::type_error(format!("must be real number, not {}", value.type_name())))
}

fn domain() -> PyError {
    PyError::value_error("math domain error")
}

fn of_float(args: Args, name: &str, f: fn(f64) -> f64) -> R {
    let [value] = args.take(name, ["*x"], 1)?;
    let value = number(value)?;
    let result = f(value);
    if result.is_nan() && !value.is_nan() {
        return Err(domain());
    }
    if result.is_infinite() && value.is_finite() {
        return Err(match name {
            "log2" | "log10" | "log1p" => domain(),
            _ => PyError::new(Class::OverflowError, "math range error"),
        });
    }
    Ok(Py::Float(result))
}

fn of_two(args: Args, name: &str, f: fn(f64, f64) -> f64) -> R {
    let [a, b] = args.take(name, ["*x", "*y"], 2)?;
    let (a, b) = (number(a)?, number(b)?);
    let result = f(a, b);
    if result.is_nan() && !a.is_nan() && !b.is_nan() { Err(domain()) } else { Ok(Py::Float(result)) }
}

fn to_int(args: Args, name: &str, f: fn(f64) -> f64) -> R {
    let [value] = args.take(name, ["*x"], 1)?;
    let value = value.unwrap_or(Py::None);
    match as_big(&value) {
        Some(whole) => Ok(big(whole)),
        None => float_to_int(f(number(Some(value))?)),
    }
}

fn log(_: &mut Interp<'_>, args: Args) -> R {
    let [value, base] = args.take("log", ["*x", "*base"], 1)?;
    let value = number(value)?;
    if value <= 0.0 {
        return Err(domain());
    }
    Ok(Py::Float(match base {
        None => value.ln(),
        base => {
            let base = number(base)?;
            if base <= 0.0 {
                return Err(domain());
            }
            value.ln() / base.ln()
        }
    }))
}

fn test(args: Args, name: &str, f: fn(f64) -> bool) -> R {
    let [value] = args.take(name, ["*x"], 1)?;
    Ok(Py::Bool(f(number(value)?)))
}

fn whole(value: &Py) -> R<BigInt> {
    as_big(value).ok_or_else(|| {
        PyError::type_error(format!("'{}' object cannot be interpreted as an integer", value.type_name()))
    })
}

fn fold(args: &Args, start: i64, f: fn(BigInt, BigInt) -> BigInt) -> R {
    let mut result = BigInt::from(start);
    for value in &args.positional {
        result = f(result, whole(value)?);
        binary(Binary::Add, &big(result.clone()), &Py::Int(0))?;
    }
    Ok(big(result.abs()))
}

fn isqrt(_: &mut Interp<'_>, args: Args) -> R {
    let [value] = args.take("isqrt", ["*n"], 1)?;
    let value = whole(&value.unwrap_or(Py::None))?;
    if value.is_negative() {
        return Err(PyError::value_error("isqrt() argument must be nonnegative"));
    }
    budget::pay(value.bits() / 8)?;
    Ok(big(value.sqrt()))
}

fn factorial(_: &mut Interp<'_>, args: Args) -> R {
    let [value] = args.take("factorial", ["*n"], 1)?;
    let count = crate::template::value::index(&value.unwrap_or(Py::None))?;
    if count < 0 {
        return Err(PyError::value_error("factorial() not defined for negative values"));
    }
    let mut product = Py::Int(1);
    for factor in 2..=count {
        budget::pay(1)?;
        product = binary(Binary::Mul, &product, &Py::Int(factor))?;
    }
    Ok(product)
}

fn comb(_: &mut Interp<'_>, args: Args) -> R {
    let [n, k] = args.take("comb", ["*n", "*k"], 2)?;
    let (n, k) = (n.unwrap_or(Py::None), k.unwrap_or(Py::None));
    let (n, k) = (crate::template::value::index(&n)?, crate::template::value::index(&k)?);
    if n < 0 || k < 0 {
        return Err(PyError::value_error("n and k must be non-negative integers"));
    }
    if k > n {
        return Ok(Py::Int(0));
    }
    let mut result = Py::Int(1);
    for step in 0..k.min(n - k) {
        budget::pay(1)?;
        result = binary(Binary::Mul, &result, &Py::Int(n - step))?;
        result = binary(Binary::FloorDiv, &result, &Py::Int(step + 1))?;
    }
    Ok(result)
}

fn is_close(_: &mut Interp<'_>, args: Args) -> R {
    let [a, b, relative, absolute] = args.take("isclose", ["*a", "*b", "rel_tol", "abs_tol"], 2)?;
    let (a, b) = (number(a)?, number(b)?);
    let relative = relative.map_or(Ok(1e-9), |value| number(Some(value)))?;
    let absolute = absolute.map_or(Ok(0.0), |value| number(Some(value)))?;
    let distance = (a - b).abs();
    let is_near = distance <= (relative * a.abs().max(b.abs())).max(absolute);
    Ok(Py::Bool(a == b || (distance.is_finite() && is_near)))
}

fn total(interp: &mut Interp<'_>, args: Args, name: &str, op: Binary, start: Py) -> R {
    let [items, first] = args.take(name, ["*iterable", "start"], 1)?;
    let mut total = first.unwrap_or(start);
    for item in interp.collect(&items.unwrap_or(Py::None))? {
        total = binary(op, &total, &item)?;
    }
    Ok(total)
}
