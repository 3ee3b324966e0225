//! `strftime` as the C library of Linux has it in the C locale.

use std::fmt::Write;

use chrono::{Datelike, NaiveDateTime, Timelike};

use super::moment::offset;
use crate::locale::{MONTHS, WEEKDAYS};
use crate::template::budget;
use crate::template::value::R;

/// The moment in this format. What is no directive stays as it is.
pub(in crate::template) fn strftime(time: NaiveDateTime, zone: Option<i32>, format: &str) -> R<String> {
    budget::pay_bytes(format.len())?;
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let flag = after.chars().next().filter(|c| matches!(c, '-' | '_' | '0' | '^' | '#'));
        let after_flag = &after[flag.map_or(0, char::len_utf8)..];
        let Some(directive) = after_flag.chars().next() else {
            out.push_str(&rest[at..]);
            return Ok(out);
        };
        match shown(time, zone, directive, flag) {
            Some(text) if flag == Some('^') => out.push_str(&text.to_uppercase()),
            Some(text) => out.push_str(&text),
            None => {
                out.push('%');
                out.extend(flag);
                out.push(directive);
            }
        }
        rest = &after_flag[directive.len_utf8()..];
    }
    out.push_str(rest);
    Ok(out)
}

fn shown(time: NaiveDateTime, zone: Option<i32>, directive: char, flag: Option<char>) -> Option<String> {
    let mut out = String::new();
    let mut number = |value: i64, width: usize, pad: char| {
        let pad = match flag {
            Some('-') => None,
            Some('_') => Some(' '),
            Some('0') => Some('0'),
            _ => Some(pad),
        };
        let _ = match pad {
            None => write!(out, "{value}"),
            Some(' ') => write!(out, "{value:width$}"),
            Some(_) => write!(out, "{value:0width$}"),
        };
    };
    let weekday = time.weekday();
    let from_monday = i64::from(weekday.num_days_from_monday());
    let from_sunday = i64::from(weekday.num_days_from_sunday());
    let of_year = i64::from(time.ordinal0());
    let hour = i64::from(time.hour());
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let year = i64::from(time.year());
    let part = |format: &str| strftime(time, zone, format).ok();
    match directive {
        'Y' => number(year, 1, '0'),
        'y' => number(year % 100, 2, '0'),
        'C' => number(year / 100, 2, '0'),
        'm' => number(i64::from(time.month()), 2, '0'),
        'd' => number(i64::from(time.day()), 2, '0'),
        'e' => number(i64::from(time.day()), 2, ' '),
        'j' => number(of_year + 1, 3, '0'),
        'H' => number(hour, 2, '0'),
        'k' => number(hour, 2, ' '),
        'I' => number(twelve, 2, '0'),
        'l' => number(twelve, 2, ' '),
        'M' => number(i64::from(time.minute()), 2, '0'),
        'S' => number(i64::from(time.second()), 2, '0'),
        'f' => number(i64::from(time.nanosecond() / 1_000), 6, '0'),
        'u' => number(from_monday + 1, 1, '0'),
        'w' => number(from_sunday, 1, '0'),
        'U' => number((of_year + 7 - from_sunday) / 7, 2, '0'),
        'W' => number((of_year + 7 - from_monday) / 7, 2, '0'),
        'V' => number(i64::from(time.iso_week().week()), 2, '0'),
        'G' => number(i64::from(time.iso_week().year()), 1, '0'),
        'g' => number(i64::from(time.iso_week().year() % 100), 2, '0'),
        's' => number(time.and_utc().timestamp() - i64::from(zone.unwrap_or(0)), 1, '0'),
        'p' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
        'P' => out.push_str(if hour < 12 { "am" } else { "pm" }),
        'A' => out.push_str(WEEKDAYS[weekday.num_days_from_monday() as usize]),
        'a' => out.push_str(&WEEKDAYS[weekday.num_days_from_monday() as usize][..3]),
        'B' => out.push_str(MONTHS[time.month0() as usize]),
        'b' | 'h' => out.push_str(&MONTHS[time.month0() as usize][..3]),
        'n' => out.push('\n'),
        't' => out.push('\t'),
        '%' => out.push('%'),
        'D' | 'x' => return part("%m/%d/%y"),
        'F' => return part("%Y-%m-%d"),
        'T' | 'X' => return part("%H:%M:%S"),
        'R' => return part("%H:%M"),
        'r' => return part("%I:%M:%S %p"),
        'c' => return part("%a %b %e %H:%M:%S %Y"),
        'z' => out.push_str(&zone.map_or(String::new(), |zone| offset(zone).replace(':', ""))),
        'Z' => out.push_str(&zone.map_or(String::new(), |zone| {
            if zone == 0 { "UTC".to_owned() } else { format!("UTC{}", offset(zone)) }
        })),
        _ => return None,
    }
    Some(out)
}
