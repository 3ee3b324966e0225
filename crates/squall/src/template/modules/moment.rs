//! `datetime`: dates, times, and what is between them.

use std::cmp::Ordering;
use std::rc::Rc;

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};
use minijinja::Value;

use super::strftime::strftime;
use crate::template::datetime::Date;
use crate::template::python::Binary;
use crate::template::value::{Class, Py, PyError, R, as_float, index};

/// A value of `datetime`. A zone is its distance from UTC in seconds.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::template) enum Moment {
    Date(NaiveDate),
    DateTime(NaiveDateTime, Option<i32>),
    Time(NaiveTime),
    Delta(TimeDelta),
    Zone(i32),
}

impl Moment {
    /// The application's date.
    pub(in crate::template) fn of_host(value: &Value) -> Option<Self> {
        value.downcast_object_ref::<Date>().map(|date| Self::DateTime(date.0, None))
    }

    /// For functions of the application, all that has a date is one.
    pub(in crate::template) fn to_host(&self) -> Value {
        match self {
            Self::Date(date) => Value::from_object(Date(date.and_time(NaiveTime::MIN))),
            Self::DateTime(time, zone) => {
                let zone = TimeDelta::seconds(i64::from(zone.unwrap_or(0)));
                Value::from_object(Date(time.checked_sub_signed(zone).unwrap_or(*time)))
            }
            Self::Delta(delta) => Value::from(seconds(delta)),
            other => Value::from(other.shown()),
        }
    }

    pub(in crate::template) fn is_true(&self) -> bool {
        !matches!(self, Self::Delta(delta) if delta.is_zero())
    }

    pub(in crate::template) fn is_negative(&self) -> bool {
        matches!(self, Self::Delta(delta) if *delta < TimeDelta::zero())
    }

    pub(in crate::template) fn negative(&self) -> Option<Self> {
        match self {
            Self::Delta(delta) => Some(Self::Delta(-*delta)),
            _ => None,
        }
    }

    /// Equal ones have equal keys.
    pub(in crate::template) fn hash_key(&self) -> (u8, i64) {
        match self {
            Self::Date(date) => (0, i64::from(date.num_days_from_ce())),
            Self::DateTime(time, zone) => {
                (1, time.and_utc().timestamp_micros() - i64::from(zone.unwrap_or(0)) * 1_000_000)
            }
            Self::Time(time) => (2, i64::from(time.num_seconds_from_midnight())),
            Self::Delta(delta) => (3, delta.num_microseconds().unwrap_or(0)),
            Self::Zone(seconds) => (4, i64::from(*seconds)),
        }
    }

    /// `None` when they cannot be compared.
    pub(in crate::template) fn order(&self, other: &Self) -> Option<Ordering> {
        Some(match (self, other) {
            (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::DateTime(a, None), Self::DateTime(b, None)) => a.cmp(b),
            (Self::DateTime(a, Some(x)), Self::DateTime(b, Some(y))) => {
                let utc = |time: &NaiveDateTime, zone: i32| {
                    time.and_utc().timestamp_micros() - i64::from(zone) * 1_000_000
                };
                utc(a, *x).cmp(&utc(b, *y))
            }
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Delta(a), Self::Delta(b)) => a.cmp(b),
            (Self::Zone(a), Self::Zone(b)) if a == b => Ordering::Equal,
            _ => return None,
        })
    }

    /// `str(self)`
    pub(in crate::template) fn shown(&self) -> String {
        match self {
            Self::Date(date) => iso_date(*date),
            Self::DateTime(time, zone) => iso(*time, *zone, " "),
            Self::Time(time) => iso_time(*time),
            Self::Delta(delta) => {
                let (days, rest) = split(delta);
                let (hours, minutes, whole) =
                    (rest / 3_600_000_000, rest / 60_000_000 % 60, rest / 1_000_000 % 60);
                let plural = if days.abs() == 1 { "" } else { "s" };
                let days = if days == 0 { String::new() } else { format!("{days} day{plural}, ") };
                let micros = rest % 1_000_000;
                let micros = if micros == 0 { String::new() } else { format!(".{micros:06}") };
                format!("{days}{hours}:{minutes:02}:{whole:02}{micros}")
            }
            Self::Zone(0) => "UTC".to_owned(),
            Self::Zone(seconds) => format!("UTC{}", offset(*seconds)),
        }
    }

    /// `repr(self)`
    pub(in crate::template) fn repr(&self) -> String {
        match self {
            Self::Date(date) => format!("datetime.date({}, {}, {})", date.year(), date.month(), date.day()),
            Self::DateTime(time, zone) => {
                let date = format!("{}, {}, {}", time.year(), time.month(), time.day());
                let zone = zone.map_or(String::new(), |zone| format!(", tzinfo={}", Self::Zone(zone).repr()));
                format!("datetime.datetime({date}, {}{zone})", clock(time.time()))
            }
            Self::Time(time) => format!("datetime.time({})", clock(*time)),
            Self::Delta(delta) => {
                let (days, rest) = split(delta);
                let parts =
                    [("days", days), ("seconds", rest / 1_000_000), ("microseconds", rest % 1_000_000)];
                let parts: Vec<String> = parts
                    .into_iter()
                    .filter(|(_, value)| *value != 0)
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                format!(
                    "datetime.timedelta({})",
                    if parts.is_empty() { "0".to_owned() } else { parts.join(", ") }
                )
            }
            Self::Zone(0) => "datetime.timezone.utc".to_owned(),
            Self::Zone(seconds) => {
                let delta = Self::Delta(TimeDelta::seconds(i64::from(*seconds)));
                format!("datetime.timezone({})", delta.repr())
            }
        }
    }

    /// `format(self, spec)`
    pub(in crate::template) fn format(&self, spec: &str) -> R<String> {
        if spec.is_empty() {
            return Ok(self.shown());
        }
        match self {
            Self::Date(date) => strftime(date.and_time(NaiveTime::MIN), None, spec),
            Self::DateTime(time, zone) => strftime(*time, *zone, spec),
            Self::Time(time) => strftime(NaiveDate::default().and_time(*time), None, spec),
            Self::Delta(_) | Self::Zone(_) => {
                let name = if let Self::Delta(_) = self { "timedelta" } else { "timezone" };
                Err(PyError::type_error(format!(
                    "unsupported format string passed to datetime.{name}.__format__"
                )))
            }
        }
    }

    /// What is no method.
    pub(in crate::template) fn attribute(&self, name: &str) -> Option<Py> {
        let int = |value: i64| Some(Py::Int(value));
        if let Self::Delta(delta) = self {
            let (days, rest) = split(delta);
            return match name {
                "days" => int(days),
                "seconds" => int(rest / 1_000_000),
                "microseconds" => int(rest % 1_000_000),
                _ => None,
            };
        }
        let (date, time) = match self {
            Self::Date(date) => (Some(*date), None),
            Self::DateTime(time, _) => (Some(time.date()), Some(time.time())),
            Self::Time(time) => (None, Some(*time)),
            _ => (None, None),
        };
        match name {
            "year" => date.and_then(|date| int(i64::from(date.year()))),
            "month" => date.and_then(|date| int(i64::from(date.month()))),
            "day" => date.and_then(|date| int(i64::from(date.day()))),
            "hour" => time.and_then(|time| int(i64::from(time.hour()))),
            "minute" => time.and_then(|time| int(i64::from(time.minute()))),
            "second" => time.and_then(|time| int(i64::from(time.second()))),
            "microsecond" => time.and_then(|time| int(i64::from(time.nanosecond() / 1_000))),
            "tzinfo" => match self {
                Self::DateTime(_, Some(zone)) => Some(Py::Moment(Rc::new(Self::Zone(*zone)))),
                Self::DateTime(..) | Self::Time(_) => Some(Py::None),
                _ => None,
            },
            _ => None,
        }
    }
}

fn clock(time: NaiveTime) -> String {
    let mut text = format!("{}, {}", time.hour(), time.minute());
    let micros = time.nanosecond() / 1_000;
    if time.second() != 0 || micros != 0 {
        text.push_str(&format!(", {}", time.second()));
    }
    if micros != 0 {
        text.push_str(&format!(", {micros}"));
    }
    text
}

/// Days, and the microseconds of the day.
fn split(delta: &TimeDelta) -> (i64, i64) {
    const DAY: i64 = 86_400_000_000;
    let micros = micros(delta);
    (micros.div_euclid(DAY), micros.rem_euclid(DAY))
}

pub(super) fn micros(delta: &TimeDelta) -> i64 {
    delta.num_microseconds().unwrap_or(if *delta < TimeDelta::zero() { i64::MIN } else { i64::MAX })
}

pub(super) fn seconds(delta: &TimeDelta) -> f64 {
    micros(delta) as f64 / 1e6
}

fn iso_date(date: NaiveDate) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

pub(super) fn iso_time(time: NaiveTime) -> String {
    let micros = time.nanosecond() / 1_000;
    let micros = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    format!("{:02}:{:02}:{:02}{micros}", time.hour(), time.minute(), time.second())
}

pub(super) fn iso(time: NaiveDateTime, zone: Option<i32>, separator: &str) -> String {
    let zone = zone.map_or(String::new(), offset);
    format!("{}{separator}{}{zone}", iso_date(time.date()), iso_time(time.time()))
}

/// `+01:00`
pub(super) fn offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    format!("{sign}{:02}:{:02}", seconds / 3_600, seconds / 60 % 60)
}

/// A length of time.
///
/// # Errors
/// Python's `OverflowError`.
pub(super) fn delta(micros: f64) -> R {
    // A billion days, as Python has it.
    if !micros.is_finite() || micros.abs() >= 8.64e19 {
        return Err(PyError::new(Class::OverflowError, "days must have magnitude <= 999999999"));
    }
    if micros.abs() < 9e18 {
        return Ok(Py::Moment(Rc::new(Moment::Delta(TimeDelta::microseconds(
            micros.round_ties_even() as i64
        )))));
    }
    Err(PyError::new(Class::OverflowError, "the length of time is too large"))
}

fn out_of_range() -> PyError {
    PyError::new(Class::OverflowError, "date value out of range")
}

/// Years that Python has.
pub(super) fn checked(date: Option<NaiveDate>) -> R<NaiveDate> {
    date.filter(|date| (1..=9_999).contains(&date.year())).ok_or_else(out_of_range)
}

fn shifted(moment: &Moment, delta: TimeDelta) -> R<Option<Moment>> {
    Ok(Some(match moment {
        Moment::Date(date) => {
            let days = split(&delta).0;
            Moment::Date(checked(
                date.checked_add_signed(TimeDelta::try_days(days).ok_or_else(out_of_range)?),
            )?)
        }
        Moment::DateTime(time, zone) => {
            let moved = time.checked_add_signed(delta).ok_or_else(out_of_range)?;
            checked(Some(moved.date()))?;
            Moment::DateTime(moved, *zone)
        }
        Moment::Delta(own) => Moment::Delta(own.checked_add(&delta).ok_or_else(out_of_range)?),
        _ => return Ok(None),
    }))
}

/// `a op b`, of which one is a moment; `None` when there is no such operation.
pub(in crate::template) fn moments(op: Binary, a: &Py, b: &Py) -> R<Option<Py>> {
    let value = |moment: Moment| Some(Py::Moment(Rc::new(moment)));
    if let (Py::Moment(a), Py::Moment(b)) = (a, b) {
        return Ok(match (op, &**a, &**b) {
            (Binary::Add, _, Moment::Delta(delta)) => shifted(a, *delta)?.and_then(value),
            (Binary::Add, Moment::Delta(delta), _) => shifted(b, *delta)?.and_then(value),
            (Binary::Sub, _, Moment::Delta(delta)) => shifted(a, -*delta)?.and_then(value),
            (Binary::Sub, Moment::Date(a), Moment::Date(b)) => value(Moment::Delta(*a - *b)),
            (Binary::Sub, Moment::DateTime(a, x), Moment::DateTime(b, y)) => match (x, y) {
                (None, None) => value(Moment::Delta(*a - *b)),
                (Some(x), Some(y)) => {
                    value(Moment::Delta(*a - *b - TimeDelta::seconds(i64::from(*x) - i64::from(*y))))
                }
                _ => {
                    let message = "can't subtract offset-naive and offset-aware datetimes";
                    return Err(PyError::type_error(message));
                }
            },
            (Binary::Div | Binary::FloorDiv | Binary::Mod, Moment::Delta(a), Moment::Delta(b)) => {
                let (a, b) = (micros(a), micros(b));
                if b == 0 {
                    return Err(PyError::new(Class::ZeroDivisionError, "integer division or modulo by zero"));
                }
                match op {
                    Binary::Div => Some(Py::Float(a as f64 / b as f64)),
                    Binary::FloorDiv => Some(Py::Int(num_integer::Integer::div_floor(&a, &b))),
                    _ => Some(delta(num_integer::Integer::mod_floor(&a, &b) as f64)?),
                }
            }
            _ => None,
        });
    }
    let (own, number, is_left) = match (a, b) {
        (Py::Moment(own), number) => (own, number, true),
        (number, Py::Moment(own)) => (own, number, false),
        _ => return Ok(None),
    };
    let (Moment::Delta(own), Some(factor)) = (&**own, as_float(number)?) else { return Ok(None) };
    let own = micros(own) as f64;
    Ok(match op {
        Binary::Mul => Some(delta(own * factor)?),
        Binary::Div | Binary::FloorDiv if is_left && factor == 0.0 => {
            return Err(PyError::new(Class::ZeroDivisionError, "integer division or modulo by zero"));
        }
        Binary::Div if is_left => Some(delta(own / factor)?),
        Binary::FloorDiv if is_left => {
            index(number)?;
            Some(delta((own / factor).floor())?)
        }
        _ => None,
    })
}
