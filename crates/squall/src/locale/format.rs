//! Dates, numbers and lists in a language.

use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};

use super::Locale;

/// How [`Locale::format_date`] writes a date.
///
/// ```
/// use squall::locale::DateFormat;
/// let format = DateFormat { gmt_offset: -60, shorter: true, ..DateFormat::default() };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateFormat {
    /// Minutes that the reader's clock is behind UTC, as JavaScript's `getTimezoneOffset()` tells. Default: 0.
    pub gmt_offset: i32,
    /// Whether "2 minutes ago" and "yesterday" may be written. Default: yes.
    pub relative: bool,
    /// Whether the time of day is left out of dates before today. Default: no.
    pub shorter: bool,
    /// Whether month, day and year are always written. Default: no.
    pub full_format: bool,
}

impl Default for DateFormat {
    fn default() -> Self {
        Self { gmt_offset: 0, relative: true, shorter: false, full_format: false }
    }
}

impl Locale {
    /// Writes a date as a reader would say it at `now`: "2 minutes ago", "yesterday at 6:35 pm", "April 28, 2013 at
    /// 6:35 pm".
    ///
    /// Dates in the future are written in full; one less than a minute ahead counts as now, since clocks differ. Times are
    /// in 12 hours in English and Chinese, else in 24.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use squall::locale::{DateFormat, Translations};
    ///
    /// let english = Translations::new().get_closest(["en_US"]);
    /// let date = UNIX_EPOCH + Duration::from_secs(1_367_174_100);
    /// let now = date + Duration::from_secs(120);
    /// assert_eq!(english.format_date(date, now, DateFormat::default()), "2 minutes ago");
    /// let full = DateFormat { full_format: true, ..DateFormat::default() };
    /// assert_eq!(english.format_date(date, now, full), "April 28, 2013 at 6:35 pm");
    /// ```
    pub fn format_date(&self, date: SystemTime, now: SystemTime, format: DateFormat) -> String {
        let (mut date, now) = (utc(date), utc(now));
        let mut full_format = format.full_format;
        if date > now {
            if format.relative && date - now < TimeDelta::minutes(1) {
                date = now;
            } else {
                full_format = true;
            }
        }
        let age = now - date;
        if !full_format && format.relative && age < TimeDelta::days(1) {
            return self.format_age(age.num_seconds());
        }
        let local_date = shifted(date, format.gmt_offset);
        let yesterday = shifted(now, format.gmt_offset) - TimeDelta::days(1);
        let is_yesterday = age.num_days() == 1 && format.relative && local_date.day() == yesterday.day();
        let pattern = match (age.num_days(), format.shorter) {
            _ if full_format => full_pattern(format.shorter),
            (0, _) => "%(time)s",
            (_, true) if is_yesterday => "yesterday",
            (_, false) if is_yesterday => "yesterday at %(time)s",
            (..5, true) => "%(weekday)s",
            (..5, false) => "%(weekday)s at %(time)s",
            (..334, true) => "%(month_name)s %(day)s",
            (..334, false) => "%(month_name)s %(day)s at %(time)s",
            (_, shorter) => full_pattern(shorter),
        };
        self.fill(pattern, local_date)
    }

    /// Writes a date as a day: "Sunday, April 28", without `dow` (the day of the week) "April 28". `gmt_offset` is in
    /// minutes, as in [`DateFormat`].
    pub fn format_day(&self, date: SystemTime, gmt_offset: i32, dow: bool) -> String {
        let pattern = if dow { "%(weekday)s, %(month_name)s %(day)s" } else { "%(month_name)s %(day)s" };
        self.fill(pattern, shifted(utc(date), gmt_offset))
    }

    /// Joins the parts of a list: "A, B and C", "A and B", "A", or nothing.
    pub fn list<S: AsRef<str>>(&self, parts: &[S]) -> String {
        match parts {
            [] => String::new(),
            [part] => part.as_ref().to_owned(),
            [first @ .., last] => {
                let comma = if self.code().starts_with("fa") { " \u{648} " } else { ", " };
                let commas = first.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(comma);
                let message = self.translate("%(commas)s and %(last)s");
                interpolate(message, &[("commas", &commas), ("last", &last.as_ref())])
            }
        }
    }

    /// A number with a comma between the thousands in English, plain in other languages.
    pub fn friendly_number(&self, value: i64) -> String {
        if !matches!(self.code(), "en" | "en_US") {
            return value.to_string();
        }
        let digits = value.unsigned_abs().to_string();
        let mut text = String::from(if value < 0 { "-" } else { "" });
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    }

    /// How long ago something was that was today.
    fn format_age(&self, seconds: i64) -> String {
        // Half to even, as Python's round.
        let round = |unit: f64| (seconds as f64 / unit).round_ties_even() as i64;
        let (count, name, one, many) = if seconds < 50 {
            (seconds, "seconds", "1 second ago", "%(seconds)d seconds ago")
        } else if seconds < 50 * 60 {
            (round(60.0), "minutes", "1 minute ago", "%(minutes)d minutes ago")
        } else {
            (round(3600.0), "hours", "1 hour ago", "%(hours)d hours ago")
        };
        interpolate(self.translate_plural(one, many, count), &[(name, &count)])
    }

    /// Translates a pattern and fills it in.
    fn fill(&self, pattern: &str, date: DateTime<Utc>) -> String {
        let month = MONTHS.get(date.month0() as usize).copied().unwrap_or_default();
        let weekday =
            WEEKDAYS.get(date.weekday().num_days_from_monday() as usize).copied().unwrap_or_default();
        interpolate(
            self.translate(pattern),
            &[
                ("month_name", &self.translate(month)),
                ("weekday", &self.translate(weekday)),
                ("day", &date.day()),
                ("year", &date.year()),
                ("time", &Time { code: self.code(), date }),
            ],
        )
    }
}

/// Puts values into a translated text: `%(name)s` and `%(name)d` become the value of that name, `%%` a percent sign.
///
/// Anything else stays as it is, so that a mistake in a translation is seen and breaks nothing.
///
/// ```
/// use squall::locale::interpolate;
/// assert_eq!(interpolate("%(n)d of %(all)s, 100%%", &[("n", &1), ("all", &"2")]), "1 of 2, 100%");
/// ```
pub fn interpolate(message: &str, values: &[(&str, &dyn fmt::Display)]) -> String {
    let mut text = String::with_capacity(message.len() + 16);
    let mut rest = message;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        rest = match placeholder(after, values) {
            Some((value, left)) => {
                // Writing to a string fails only if the value's own Display does; then it is cut short.
                let _ = write!(text, "{value}");
                left
            }
            None => {
                text.push('%');
                after
            }
        };
    }
    text.push_str(rest);
    text
}

/// What stands for the placeholder that a `%` begins, and what is left after it.
fn placeholder<'a, 'v>(
    after: &'a str,
    values: &[(&str, &'v dyn fmt::Display)],
) -> Option<(&'v dyn fmt::Display, &'a str)> {
    if let Some(left) = after.strip_prefix('%') {
        return Some((&'%', left));
    }
    let named = after.strip_prefix('(')?;
    values.iter().find_map(|(name, value)| {
        let left = named.strip_prefix(name)?.strip_prefix(')')?;
        Some((*value, left.strip_prefix(['s', 'd', 'i'])?))
    })
}

/// The time of day.
struct Time<'a> {
    code: &'a str,
    date: DateTime<Utc>,
}

impl fmt::Display for Time<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute) = (self.date.hour(), self.date.minute());
        let (afternoon, hour12) = self.date.hour12();
        match self.code {
            "en" | "en_US" => write!(f, "{hour12}:{minute:02} {}", if afternoon { "pm" } else { "am" }),
            "zh_CN" => write!(f, "{}{hour12}:{minute:02}", if afternoon { "下午" } else { "上午" }),
            _ => write!(f, "{hour}:{minute:02}"),
        }
    }
}

/// In English, as msgids and as C's locale has them.
pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From Monday on, in English.
pub(crate) const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn full_pattern(shorter: bool) -> &'static str {
    if shorter { "%(month_name)s %(day)s, %(year)s" } else { "%(month_name)s %(day)s, %(year)s at %(time)s" }
}

/// A moment in the calendar, which ends some 260,000 years from now: what lies beyond becomes its first or last one.
fn utc(time: SystemTime) -> DateTime<Utc> {
    let (length, sign) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (after, 1),
        Err(error) => (error.duration(), -1),
    };
    let limit = if sign > 0 { DateTime::<Utc>::MAX_UTC } else { DateTime::<Utc>::MIN_UTC };
    let length = TimeDelta::from_std(length).ok();
    length.and_then(|length| DateTime::UNIX_EPOCH.checked_add_signed(length * sign)).unwrap_or(limit)
}

fn shifted(date: DateTime<Utc>, gmt_offset: i32) -> DateTime<Utc> {
    // A day is kept free at the start of the calendar, for yesterday.
    let earliest = DateTime::<Utc>::MIN_UTC + TimeDelta::days(1);
    date.checked_sub_signed(TimeDelta::minutes(gmt_offset.into())).unwrap_or(date).max(earliest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Translations;
    use super::*;

    #[test]
    fn placeholders() {
        let fill = |message| interpolate(message, &[("n", &3), ("name", &"%(n)s")]);
        assert_eq!(fill("%(n)d|%(n)s|%(n)i|%(name)s|%%"), "3|3|3|%(n)s|%");
        for message in ["%", "100%", "%(n)", "%(n", "%(x)s", "%(n)x", "% (n)s", "%s", "%(N)s"] {
            assert_eq!(fill(message), message);
        }
        assert_eq!(fill("%(%(n)s%)s%%%(n)d"), "%(3%)s%3");
    }

    #[test]
    fn moments_beyond_the_calendar() {
        let locale = Translations::new().fallback().clone();
        let moments: Vec<SystemTime> = [0, 1, 1 << 40, 1 << 50, 1 << 62]
            .map(Duration::from_secs)
            .into_iter()
            .flat_map(|length| [UNIX_EPOCH.checked_add(length), UNIX_EPOCH.checked_sub(length)])
            .flatten()
            .collect();
        for (date, now) in moments.iter().flat_map(|date| moments.iter().map(move |now| (*date, *now))) {
            for gmt_offset in [0, i32::MIN, i32::MAX] {
                let format = DateFormat { gmt_offset, ..DateFormat::default() };
                assert!(!locale.format_date(date, now, format).is_empty());
                assert!(!locale.format_day(date, gmt_offset, true).is_empty());
            }
        }
    }

    #[test]
    fn negative_numbers() {
        let locale = Translations::new().fallback().clone();
        let numbers = [0, 7, 999, 1000, -999, -123_456, i64::MIN];
        let written = numbers.map(|n| locale.friendly_number(n)).join(" ");
        assert_eq!(written, "0 7 999 1,000 -999 -123,456 -9,223,372,036,854,775,808");
    }
}
