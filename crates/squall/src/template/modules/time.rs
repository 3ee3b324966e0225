//! Python's `time`: the parts that pages use.

use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, Local, NaiveDate, NaiveDateTime, Offset, TimeZone, Timelike, Utc};

use super::function;
use super::moment_methods::of_timestamp;
use super::small::needed;
use super::strftime::strftime;
use crate::template::builtins::Builtin;
use crate::template::eval::Args;
use crate::template::value::{Py, PyError, R, Tuple, Type, index};

static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "time",
        call: |_, args| {
            let [] = args.take("time", [], 0)?;
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Ok(Py::Float(since.as_secs_f64()))
        },
    },
    Builtin { name: "gmtime", call: |_, args| Ok(struct_time(utc(args, "gmtime")?.naive_utc(), Some(0), 0)) },
    Builtin {
        name: "localtime",
        call: |_, args| {
            let local = utc(args, "localtime")?.with_timezone(&Local);
            Ok(struct_time(local.naive_local(), Some(offset_of(&local)), is_summer(&local)))
        },
    },
    Builtin {
        name: "strftime",
        call: |_, args| {
            let [format, time] = args.take("strftime", ["*format", "*t"], 1)?;
            let format = needed(format, "strftime")?;
            let (time, zone) = match time {
                None => {
                    let now = Local::now();
                    (now.naive_local(), offset_of(&now))
                }
                Some(time) => from_tuple(&time)?,
            };
            Ok(Py::from(strftime(time, Some(zone), &format)?))
        },
    },
];

pub(super) fn find(name: &str) -> Option<Py> {
    if name == "struct_time" { Some(Py::Type(Type::StructTime)) } else { function(FUNCTIONS, name) }
}

/// The moment of so many seconds since 1970, or now.
fn utc(args: Args, name: &str) -> R<DateTime<Utc>> {
    let [seconds] = args.take(name, ["*seconds"], 0)?;
    match seconds {
        None | Some(Py::None) => Ok(Utc::now()),
        seconds => Ok(of_timestamp(seconds)?.and_utc()),
    }
}

fn offset_of(time: &DateTime<Local>) -> i32 {
    time.offset().fix().local_minus_utc()
}

/// Whether clocks are ahead of those of another time of the year.
fn is_summer(time: &DateTime<Local>) -> i64 {
    let of_month = |month| {
        let first = NaiveDate::from_ymd_opt(time.year(), month, 1)?.and_hms_opt(0, 0, 0)?;
        Some(Local.offset_from_utc_datetime(&first).fix().local_minus_utc())
    };
    let least = [1, 7].into_iter().filter_map(of_month).min();
    i64::from(least.is_some_and(|least| offset_of(time) > least))
}

/// `time.struct_time` of a moment, in a zone so many seconds east of Greenwich if that is known.
pub(super) fn struct_time(time: NaiveDateTime, zone: Option<i32>, is_summer: i64) -> Py {
    let parts = [
        i64::from(time.year()),
        i64::from(time.month()),
        i64::from(time.day()),
        i64::from(time.hour()),
        i64::from(time.minute()),
        i64::from(time.second()),
        i64::from(time.weekday().num_days_from_monday()),
        i64::from(time.ordinal()),
        is_summer,
    ];
    Py::Tuple(Rc::new(Tuple::time(parts.map(Py::Int).into(), zone)))
}

/// `time.struct_time(..)`
pub(in crate::template) fn construct(items: Vec<Py>) -> R {
    if items.len() < 9 {
        return Err(PyError::type_error(format!(
            "time.struct_time() takes an at least 9-sequence ({}-sequence given)",
            items.len()
        )));
    }
    Ok(Py::Tuple(Rc::new(Tuple::time(items.into_iter().take(9).collect(), None))))
}

/// What a tuple of nine numbers says, and of which zone it is. The day of the week and that of the year follow from the date.
fn from_tuple(value: &Py) -> R<(NaiveDateTime, i32)> {
    let Py::Tuple(items) = value else {
        return Err(PyError::type_error("Tuple or struct_time argument required"));
    };
    if items.len() != 9 {
        return Err(PyError::type_error("strftime(): illegal time tuple argument"));
    }
    let mut numbers = [0; 9];
    for (number, item) in numbers.iter_mut().zip(items.iter()) {
        *number = index(item)?;
    }
    let [year, month, day, hour, minute, second, weekday, day_of_year, _] = numbers;
    let within = |what: &str, number: i64, least: i64, most: i64| {
        let known = u32::try_from(number).ok().filter(|_| (least..=most).contains(&number));
        known.ok_or_else(|| PyError::value_error(format!("{what} out of range")))
    };
    // Python takes 0 for the first.
    let month = within("month", month, 0, 12)?.max(1);
    let day = within("day of month", day, 0, 31)?.max(1);
    let hour = within("hour", hour, 0, 23)?;
    let minute = within("minute", minute, 0, 59)?;
    // A leap second is shown as the one before.
    let second = within("seconds", second, 0, 61)?.min(59);
    within("day of week", weekday + 1, 0, i64::MAX)?;
    within("day of year", day_of_year, 0, 366)?;
    let year = i32::try_from(year).map_err(|_| PyError::value_error("year out of range"))?;
    let date =
        NaiveDate::from_ymd_opt(year, month, day).and_then(|date| date.and_hms_opt(hour, minute, second));
    let time = date.ok_or_else(|| PyError::value_error("day of month out of range"))?;
    let local = || Local.from_local_datetime(&time).earliest().map_or(0, |local| offset_of(&local));
    Ok((time, items.zone().unwrap_or_else(local)))
}
