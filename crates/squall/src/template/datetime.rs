//! Dates as Python's templates have them.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, Local, NaiveDate, NaiveDateTime, Timelike, Utc};
use minijinja::value::{DynObject, Object, ObjectRepr, from_args};
use minijinja::{Error, ErrorKind, State, Value};

use super::modules::strftime;

/// A date for templates, in UTC: it has `year` to `second`, `strftime(format)` and `isoformat()`, can be compared and
/// given to `locale.format_date`, and prints as Python's `datetime` does.
///
/// ```
/// use squall::template::{Template, context, datetime};
///
/// let page = Template::new("{{ at.strftime('%d %b %Y') }}")?;
/// assert_eq!(page.generate(context! { at => datetime(std::time::UNIX_EPOCH) })?, "01 Jan 1970");
/// # Ok::<(), squall::template::TemplateError>(())
/// ```
pub fn datetime(time: SystemTime) -> Value {
    Value::from_object(Date(DateTime::<Utc>::from(time).naive_utc()))
}

/// The moment that a value of a template means: a [`datetime`], or seconds since 1970.
pub(crate) fn system_time(value: &Value) -> Result<SystemTime, Error> {
    if let Some(Date(date)) = value.downcast_object_ref() {
        return Ok(date.and_utc().into());
    }
    let seconds = f64::try_from(value.clone()).map_err(|_| wrong("a date is needed: template::datetime"))?;
    let moment = Duration::try_from_secs_f64(seconds.abs()).ok().and_then(|away| {
        if seconds < 0.0 { UNIX_EPOCH.checked_sub(away) } else { UNIX_EPOCH.checked_add(away) }
    });
    // What no calendar has would stop the conversion to a date.
    moment.filter(|_| seconds.abs() < 2e11).ok_or_else(|| wrong("the date is out of range"))
}

/// `datetime`, the module.
pub(super) fn module() -> Value {
    Value::from_pairs([("datetime", Value::from_object(Class))])
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Date(pub(super) NaiveDateTime);

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.format("%Y-%m-%d %H:%M:%S%.6f"), f)
    }
}

impl Object for Date {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(match key.as_str()? {
            "year" => self.0.year().into(),
            "month" => self.0.month().into(),
            "day" => self.0.day().into(),
            "hour" => self.0.hour().into(),
            "minute" => self.0.minute().into(),
            "second" => self.0.second().into(),
            "microsecond" => (self.0.nanosecond() / 1_000).into(),
            _ => return None,
        })
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        name: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match name {
            "strftime" => {
                let (format,): (&str,) = from_args(args)?;
                strftime(self.0, None, format).map(Value::from).map_err(|error| wrong(error.message()))
            }
            "isoformat" => {
                let (separator,): (Option<&str>,) = from_args(args)?;
                Ok(shown(self.0, separator.unwrap_or("T")).into())
            }
            "timestamp" => {
                from_args::<()>(args)?;
                Ok((self.0.and_utc().timestamp_micros() as f64 / 1e6).into())
            }
            "weekday" => {
                from_args::<()>(args)?;
                Ok(self.0.weekday().num_days_from_monday().into())
            }
            "isoweekday" => {
                from_args::<()>(args)?;
                Ok(self.0.weekday().number_from_monday().into())
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        other.downcast_ref::<Self>().map(|other| self.0.cmp(&other.0))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.0, " "))
    }
}

/// As Python's `isoformat`: microseconds only when there are any.
fn shown(date: NaiveDateTime, separator: &str) -> String {
    let time = if date.nanosecond() < 1_000 { "%H:%M:%S" } else { "%H:%M:%S%.6f" };
    format!("{}{separator}{}", date.format("%Y-%m-%d"), date.format(time))
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// `datetime.datetime`
#[derive(Debug)]
struct Class;

impl Object for Class {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let parts = args.iter().cloned().map(u32::try_from).collect::<Result<Vec<_>, _>>()?;
        let [year, month, day, time @ ..] = parts.as_slice() else {
            return Err(wrong("a date takes year, month and day"));
        };
        let part = |index: usize| time.get(index).copied().unwrap_or(0);
        NaiveDate::from_ymd_opt((*year).try_into().unwrap_or(i32::MAX), *month, *day)
            .and_then(|day| day.and_hms_micro_opt(part(0), part(1), part(2), part(3)))
            .map(|date| Value::from_object(Date(date)))
            .ok_or_else(|| wrong("there is no such date"))
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        name: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match name {
            "utcnow" => {
                from_args::<()>(args)?;
                Ok(datetime(SystemTime::now()))
            }
            "now" => {
                from_args::<()>(args)?;
                Ok(Value::from_object(Date(Local::now().naive_local())))
            }
            "utcfromtimestamp" => {
                let (seconds,): (&Value,) = from_args(args)?;
                Ok(datetime(system_time(seconds)?))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}
