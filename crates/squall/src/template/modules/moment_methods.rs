//! What dates and times can do, and how they are made.

use std::rc::Rc;

use chrono::{Datelike, Local, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};

use super::moment::{Moment, checked, delta, iso, iso_time, micros, offset, seconds};
use super::strftime::strftime;
use super::time::struct_time;
use crate::template::eval::{Args, Interp};
use crate::template::value::{Class, Py, PyError, R, Type, as_float, index};

const DATE: &[&str] = &[
    "ctime",
    "isocalendar",
    "isoformat",
    "isoweekday",
    "replace",
    "strftime",
    "timetuple",
    "toordinal",
    "weekday",
];
const DATE_TIME: &[&str] = &[
    "astimezone",
    "ctime",
    "date",
    "isocalendar",
    "isoformat",
    "isoweekday",
    "replace",
    "strftime",
    "time",
    "timestamp",
    "timetuple",
    "toordinal",
    "tzname",
    "utcoffset",
    "weekday",
];

pub(in crate::template) fn methods(of: Type) -> &'static [&'static str] {
    match of {
        Type::Date => DATE,
        Type::DateTime => DATE_TIME,
        Type::Time => &["isoformat", "replace", "strftime"],
        Type::TimeDelta => &["total_seconds"],
        Type::TimeZone => &["tzname", "utcoffset"],
        _ => &[],
    }
}

/// What the types have themselves.
pub(in crate::template) fn type_methods(of: Type) -> &'static [&'static str] {
    match of {
        Type::Date => &["today", "fromisoformat", "fromtimestamp", "fromordinal"],
        Type::DateTime => &[
            "now",
            "utcnow",
            "today",
            "fromisoformat",
            "fromtimestamp",
            "utcfromtimestamp",
            "strptime",
            "combine",
            "fromordinal",
        ],
        Type::Time => &["fromisoformat"],
        _ => &[],
    }
}

pub(in crate::template) fn type_constant(of: Type, name: &str) -> Option<Py> {
    let moment = match (of, name) {
        (Type::TimeZone, "utc") => Moment::Zone(0),
        (Type::Date, "min") => Moment::Date(NaiveDate::from_ymd_opt(1, 1, 1)?),
        (Type::Date, "max") => Moment::Date(NaiveDate::from_ymd_opt(9_999, 12, 31)?),
        (Type::DateTime, "min") => {
            Moment::DateTime(NaiveDate::from_ymd_opt(1, 1, 1)?.and_time(NaiveTime::MIN), None)
        }
        (Type::DateTime, "max") => Moment::DateTime(
            NaiveDate::from_ymd_opt(9_999, 12, 31)?.and_hms_micro_opt(23, 59, 59, 999_999)?,
            None,
        ),
        _ => return None,
    };
    Some(Py::Moment(Rc::new(moment)))
}

fn value(moment: Moment) -> Py {
    Py::Moment(Rc::new(moment))
}

fn zone_of(zone: Option<Py>) -> R<Option<i32>> {
    match zone {
        None | Some(Py::None) => Ok(None),
        Some(Py::Moment(moment)) => match &*moment {
            Moment::Zone(seconds) => Ok(Some(*seconds)),
            _ => Err(PyError::type_error("tzinfo argument must be None or of a tzinfo subclass")),
        },
        Some(_) => Err(PyError::type_error("tzinfo argument must be None or of a tzinfo subclass")),
    }
}

/// `datetime.date(..)` and the like.
pub(in crate::template) fn construct(of: Type, args: Args) -> R {
    let part = |value: Option<Py>, default: u32| -> R<u32> {
        let Some(value) = value else { return Ok(default) };
        u32::try_from(index(&value)?).map_err(|_| PyError::value_error("year, month or day is out of range"))
    };
    match of {
        Type::Date => {
            let [year, month, day] = args.take("date", ["year", "month", "day"], 3)?;
            Ok(value(Moment::Date(date(part(year, 0)?, part(month, 0)?, part(day, 0)?)?)))
        }
        Type::DateTime => {
            let names = ["year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo"];
            let [year, month, day, hour, minute, second, micro, zone] = args.take("datetime", names, 3)?;
            let date = date(part(year, 0)?, part(month, 0)?, part(day, 0)?)?;
            let time = clock(part(hour, 0)?, part(minute, 0)?, part(second, 0)?, part(micro, 0)?)?;
            Ok(value(Moment::DateTime(date.and_time(time), zone_of(zone)?)))
        }
        Type::Time => {
            let [hour, minute, second, micro] =
                args.take("time", ["hour", "minute", "second", "microsecond"], 0)?;
            Ok(value(Moment::Time(clock(
                part(hour, 0)?,
                part(minute, 0)?,
                part(second, 0)?,
                part(micro, 0)?,
            )?)))
        }
        Type::TimeDelta => {
            let names = ["days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks"];
            let parts = args.take("timedelta", names, 0)?;
            let units = [86_400e6, 1e6, 1.0, 1e3, 60e6, 3_600e6, 604_800e6];
            let mut micros = 0.0;
            for ((value, unit), name) in parts.into_iter().zip(units).zip(names) {
                let Some(value) = value else { continue };
                let number = as_float(&value)?.ok_or_else(|| {
                    PyError::type_error(format!(
                        "unsupported type for timedelta {name} component: {}",
                        value.type_name()
                    ))
                })?;
                micros += number * unit;
            }
            delta(micros)
        }
        _ => {
            let [distance, _] = args.take("timezone", ["offset", "name"], 1)?;
            match distance {
                Some(Py::Moment(moment)) => match &*moment {
                    Moment::Delta(delta) if micros(delta).abs() < 86_400_000_000 => {
                        Ok(value(Moment::Zone(i32::try_from(delta.num_seconds()).unwrap_or(0))))
                    }
                    _ => Err(PyError::value_error(
                        "offset must be a timedelta strictly between -24 and 24 hours",
                    )),
                },
                _ => Err(PyError::type_error("timezone() argument 1 must be datetime.timedelta")),
            }
        }
    }
}

fn date(year: u32, month: u32, day: u32) -> R<NaiveDate> {
    if !(1..=9_999).contains(&year) {
        return Err(PyError::value_error(format!("year {year} is out of range")));
    }
    if !(1..=12).contains(&month) {
        return Err(PyError::value_error("month must be in 1..12"));
    }
    NaiveDate::from_ymd_opt(i32::try_from(year).unwrap_or(0), month, day)
        .ok_or_else(|| PyError::value_error("day is out of range for month"))
}

fn clock(hour: u32, minute: u32, second: u32, micro: u32) -> R<NaiveTime> {
    NaiveTime::from_hms_micro_opt(hour, minute, second, micro).filter(|_| micro < 1_000_000).ok_or_else(
        || {
            PyError::value_error(match (hour, minute, second) {
                (24.., ..) => "hour must be in 0..23",
                (_, 60.., _) => "minute must be in 0..59",
                (_, _, 60..) => "second must be in 0..59",
                _ => "microsecond must be in 0..999999",
            })
        },
    )
}

/// The moment that is so many seconds after 1970, in UTC.
pub(super) fn of_timestamp(value: Option<Py>) -> R<NaiveDateTime> {
    let value = value.unwrap_or(Py::None);
    let seconds = as_float(&value)?.ok_or_else(|| {
        PyError::type_error(format!("'{}' object cannot be interpreted as an integer", value.type_name()))
    })?;
    let micros = (seconds * 1e6).round_ties_even();
    let moment =
        if micros.abs() < 9e18 { chrono::DateTime::from_timestamp_micros(micros as i64) } else { None };
    let moment = moment.ok_or_else(|| PyError::value_error("year is out of range"))?.naive_utc();
    checked(Some(moment.date())).map_err(|_| PyError::value_error("year is out of range"))?;
    Ok(moment)
}

fn needed(text: Option<Py>, function: &str) -> R<String> {
    match text {
        Some(Py::Str(text)) => Ok(text.to_string()),
        _ => Err(PyError::type_error(format!("{function}: argument must be str"))),
    }
}

/// `datetime.datetime.now()` and the like.
pub(in crate::template) fn type_method(_: &mut Interp<'_>, of: Type, name: &str, args: Args) -> R {
    let made = |time: NaiveDateTime, zone: Option<i32>| match of {
        Type::Date => value(Moment::Date(time.date())),
        _ => value(Moment::DateTime(time, zone)),
    };
    let local = |utc: NaiveDateTime| utc.and_utc().with_timezone(&Local).naive_local();
    let in_zone = |utc: NaiveDateTime, zone: Option<i32>| match zone {
        None => local(utc),
        Some(zone) => utc.checked_add_signed(TimeDelta::seconds(i64::from(zone))).unwrap_or(utc),
    };
    match name {
        "now" => {
            let [zone] = args.take(name, ["tz"], 0)?;
            let zone = zone_of(zone)?;
            Ok(made(in_zone(Utc::now().naive_utc(), zone), zone))
        }
        "today" | "utcnow" => {
            let [] = args.take(name, [], 0)?;
            let utc = Utc::now().naive_utc();
            Ok(made(if name == "today" { local(utc) } else { utc }, None))
        }
        "fromtimestamp" => {
            let [seconds, zone] = args.take(name, ["timestamp", "tz"], 1)?;
            let zone = zone_of(zone)?;
            Ok(made(in_zone(of_timestamp(seconds)?, zone), zone))
        }
        "utcfromtimestamp" => {
            let [seconds] = args.take(name, ["timestamp"], 1)?;
            Ok(made(of_timestamp(seconds)?, None))
        }
        "fromordinal" => {
            let [ordinal] = args.take(name, ["ordinal"], 1)?;
            let days = i32::try_from(index(&ordinal.unwrap_or(Py::None))?).unwrap_or(0);
            let date = checked(NaiveDate::from_num_days_from_ce_opt(days))
                .map_err(|_| PyError::value_error("ordinal must be >= 1"))?;
            Ok(made(date.and_time(NaiveTime::MIN), None))
        }
        "combine" => {
            let [date, time] = args.take(name, ["date", "time"], 2)?;
            match (date, time) {
                (Some(Py::Moment(date)), Some(Py::Moment(time))) => match (&*date, &*time) {
                    (Moment::Date(date), Moment::Time(time)) => Ok(made(date.and_time(*time), None)),
                    (Moment::DateTime(date, _), Moment::Time(time)) => {
                        Ok(made(date.date().and_time(*time), None))
                    }
                    _ => Err(PyError::type_error("combine() takes a date and a time")),
                },
                _ => Err(PyError::type_error("combine() takes a date and a time")),
            }
        }
        "strptime" => {
            let [text, format] = args.take(name, ["*string", "*format"], 2)?;
            let (text, format) = (needed(text, name)?, needed(format, name)?);
            parse(&text, &format.replace("%f", "%6f")).map(|time| made(time, None)).ok_or_else(|| {
                PyError::value_error(format!("time data '{text}' does not match format '{format}'"))
            })
        }
        _ => {
            let [text] = args.take(name, ["*string"], 1)?;
            let text = needed(text, name)?;
            from_iso(of, &text)
                .ok_or_else(|| PyError::value_error(format!("Invalid isoformat string: '{text}'")))
        }
    }
}

fn parse(text: &str, format: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text, format)
        .ok()
        .or_else(|| NaiveDate::parse_from_str(text, format).ok().map(|date| date.and_time(NaiveTime::MIN)))
        .or_else(|| {
            let time = NaiveTime::parse_from_str(text, format).ok()?;
            Some(NaiveDate::from_ymd_opt(1900, 1, 1)?.and_time(time))
        })
}

fn from_iso(of: Type, text: &str) -> Option<Py> {
    if of == Type::Date {
        return NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|date| value(Moment::Date(date)));
    }
    if of == Type::Time {
        let formats = ["%H:%M:%S%.f", "%H:%M", "%H"];
        let time = formats.iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok())?;
        return Some(value(Moment::Time(time)));
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(value(Moment::DateTime(date.and_time(NaiveTime::MIN), None)));
    }
    let (date, time) = (text.get(..10)?, text.get(11..)?);
    let zone_at = time.find(['+', '-', 'Z']).unwrap_or(time.len());
    let (time, zone) = time.split_at(zone_at);
    let zone = match zone {
        "" => None,
        "Z" => Some(0),
        zone => {
            let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
            let hours: i32 = digits.get(..2)?.parse().ok()?;
            let minutes: i32 = digits.get(2..4).map_or(Ok(0), str::parse).ok()?;
            let seconds = hours * 3_600 + minutes * 60;
            Some(if zone.starts_with('-') { -seconds } else { seconds })
        }
    };
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let formats = ["%H:%M:%S%.f", "%H:%M"];
    let time = formats.iter().find_map(|format| NaiveTime::parse_from_str(time, format).ok())?;
    Some(value(Moment::DateTime(date.and_time(time), zone)))
}

/// A method of a date, a time or a length of time.
pub(in crate::template) fn method(own: &Rc<Moment>, name: &str, args: Args) -> R {
    match (&**own, name) {
        (Moment::Delta(delta), _) => {
            let [] = args.take(name, [], 0)?;
            Ok(Py::Float(seconds(delta)))
        }
        (Moment::Zone(distance), _) => {
            let [_] = args.take(name, ["*dt"], 0)?;
            Ok(match name {
                "tzname" => Py::from(own.shown()),
                _ => value(Moment::Delta(TimeDelta::seconds(i64::from(*distance)))),
            })
        }
        (_, "strftime") => {
            let [format] = args.take(name, ["format"], 1)?;
            let format = needed(format, name)?;
            let text = match &**own {
                Moment::Date(date) => strftime(date.and_time(NaiveTime::MIN), None, &format),
                Moment::DateTime(time, zone) => strftime(*time, *zone, &format),
                Moment::Time(time) => strftime(NaiveDate::default().and_time(*time), None, &format),
                Moment::Delta(_) | Moment::Zone(_) => Ok(String::new()),
            };
            text.map(Py::from)
        }
        (_, "replace") => replace(own, args),
        (Moment::Time(time), _) => {
            let [_] = args.take(name, ["timespec"], 0)?;
            Ok(Py::from(iso_time(*time)))
        }
        (Moment::Date(date), "isoformat") => {
            let [] = args.take(name, [], 0)?;
            Ok(Py::from(Moment::Date(*date).shown()))
        }
        (Moment::Date(date), _) => of_date(date.and_time(NaiveTime::MIN), None, name, args),
        (Moment::DateTime(time, zone), _) => of_date(*time, *zone, name, args),
    }
}

fn of_date(time: NaiveDateTime, zone: Option<i32>, name: &str, args: Args) -> R {
    let int = |value: u32| Py::Int(i64::from(value));
    if name == "isoformat" {
        let [separator, spec] = args.take(name, ["sep", "timespec"], 0)?;
        let separator = separator.as_ref().and_then(Py::as_str).unwrap_or("T").to_owned();
        let clock = match spec.as_ref().and_then(Py::as_str) {
            Some("minutes") => "%H:%M",
            Some("seconds") => "%H:%M:%S",
            Some("microseconds") => "%H:%M:%S.%f",
            _ => return Ok(Py::from(iso(time, zone, &separator))),
        };
        let zone_text = zone.map_or(String::new(), offset);
        return Ok(Py::from(format!(
            "{}{zone_text}",
            strftime(time, zone, &format!("%Y-%m-%d{separator}{clock}"))?
        )));
    }
    if name == "astimezone" {
        let [to] = args.take(name, ["tz"], 0)?;
        let to = zone_of(to)?.unwrap_or(0);
        let moved = i64::from(to) - i64::from(zone.unwrap_or(0));
        let time = time.checked_add_signed(TimeDelta::seconds(moved)).unwrap_or(time);
        return Ok(value(Moment::DateTime(time, Some(to))));
    }
    let [] = args.take(name, [], 0)?;
    Ok(match name {
        "weekday" => int(time.weekday().num_days_from_monday()),
        "isoweekday" => int(time.weekday().number_from_monday()),
        "toordinal" => Py::Int(i64::from(time.num_days_from_ce())),
        "date" => value(Moment::Date(time.date())),
        "time" => value(Moment::Time(time.time())),
        "ctime" => Py::from(strftime(time, zone, "%a %b %e %H:%M:%S %Y")?),
        "isocalendar" => {
            let week = time.iso_week();
            let parts = [
                i64::from(week.year()),
                i64::from(week.week()),
                i64::from(time.weekday().number_from_monday()),
            ];
            Py::tuple(parts.into_iter().map(Py::Int).collect())
        }
        "timetuple" => struct_time(time, zone, -1),
        "timestamp" => {
            let utc = match zone {
                Some(zone) => time.and_utc().timestamp_micros() - i64::from(zone) * 1_000_000,
                // Without a zone it is local time.
                None => match time.and_local_timezone(Local).earliest() {
                    Some(local) => local.timestamp_micros(),
                    None => time.and_utc().timestamp_micros(),
                },
            };
            Py::Float(utc as f64 / 1e6)
        }
        "utcoffset" => {
            zone.map_or(Py::None, |zone| value(Moment::Delta(TimeDelta::seconds(i64::from(zone)))))
        }
        _ => zone.map_or(Py::None, |zone| Py::from(Moment::Zone(zone).shown())),
    })
}

fn replace(own: &Moment, args: Args) -> R {
    let names = ["year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo"];
    let part = |given: &Option<Py>, old: u32| -> R<u32> {
        let Some(given) = given else { return Ok(old) };
        u32::try_from(index(given)?).map_err(|_| PyError::new(Class::ValueError, "out of range"))
    };
    if let Moment::Time(time) = own {
        let [hour, minute, second, micro] =
            args.take("replace", ["hour", "minute", "second", "microsecond"], 0)?;
        return Ok(value(Moment::Time(clock(
            part(&hour, time.hour())?,
            part(&minute, time.minute())?,
            part(&second, time.second())?,
            part(&micro, time.nanosecond() / 1_000)?,
        )?)));
    }
    let [year, month, day, hour, minute, second, micro, zone] = args.take("replace", names, 0)?;
    let new_date = |old: NaiveDate| -> R<NaiveDate> {
        let year = part(&year, u32::try_from(old.year()).unwrap_or(0))?;
        date(year, part(&month, old.month())?, part(&day, old.day())?)
    };
    match own {
        Moment::Date(old) => Ok(value(Moment::Date(new_date(*old)?))),
        Moment::DateTime(old, old_zone) => {
            let time = clock(
                part(&hour, old.hour())?,
                part(&minute, old.minute())?,
                part(&second, old.second())?,
                part(&micro, old.nanosecond() / 1_000)?,
            )?;
            let zone = if zone.is_some() { zone_of(zone)? } else { *old_zone };
            Ok(value(Moment::DateTime(new_date(old.date())?.and_time(time), zone)))
        }
        _ => Err(PyError::type_error("replace() of this has no counterpart")),
    }
}
