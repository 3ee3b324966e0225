//! Types that an option can have, and how they are read from text.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{Local, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};

/// A value that an option can have: `bool`, all integers, `f32` and `f64`, [`String`], [`PathBuf`], [`Duration`]
/// (`1h30m`, `45s`, `500ms`; a number alone is seconds), [`SystemTime`] (`2026-04-28 05:16`, local time, in any of Tornado's
/// formats; a time alone is of today), and what an application makes one.
///
/// ```
/// use squall::options::{OptionParser, OptionValue};
///
/// #[derive(Clone, Debug, PartialEq)]
/// enum Storage { Memory, Disk }
///
/// impl OptionValue for Storage {
///     const KIND: &'static str = "a storage";
///     const CHOICES: &'static [&'static str] = &["memory", "disk"];
///
///     fn parse(text: &str) -> Result<Self, String> {
///         match text {
///             "memory" => Ok(Self::Memory),
///             "disk" => Ok(Self::Disk),
///             _ => Err(format!("'{text}'")),
///         }
///     }
///
///     fn render(&self) -> String {
///         format!("{self:?}").to_lowercase()
///     }
/// }
///
/// let options = OptionParser::new();
/// let storage = options.define("storage", Storage::Memory);
/// options.parse_command_line_from(["main", "--storage=disk"], true).unwrap();
/// assert_eq!(storage.get(), Storage::Disk);
/// ```
pub trait OptionValue: Clone + Send + Sync + Sized + 'static {
    /// With its article, for "is required to be …".
    const KIND: &'static str;

    /// All there are, for the help, if they are few.
    const CHOICES: &'static [&'static str] = &[];

    /// Whether the option may stand without a value, which is then `true`.
    const IS_FLAG: bool = false;

    /// Whether a file has to give it in quotes.
    const IS_TEXT: bool = false;

    /// Reads it.
    ///
    /// # Errors
    /// What was given, or what is wrong with it, for "(… given)".
    fn parse(text: &str) -> Result<Self, String>;

    /// Writes it, as [`parse`](Self::parse) reads it.
    fn render(&self) -> String;

    /// All values that one element of a list stands for, if it is a range (`1:3`).
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    fn parse_range(_text: &str) -> Option<Result<Vec<Self>, String>> {
        None
    }
}

/// A longer range is a mistake.
const LONGEST_RANGE: u128 = 1_000_000;

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl OptionValue for $type {
            const KIND: &'static str = "an integer";

            fn parse(text: &str) -> Result<Self, String> {
                let trimmed = text.trim();
                trimmed.parse().map_err(|_| match trimmed.parse::<i128>() {
                    Ok(_) => format!("{trimmed}, which is not within {} and {}", <$type>::MIN, <$type>::MAX),
                    Err(_) => format!("'{text}'"),
                })
            }

            fn render(&self) -> String {
                self.to_string()
            }

            fn parse_range(text: &str) -> Option<Result<Vec<Self>, String>> {
                let (low, high) = text.split_once(':')?;
                let ends = <Self as OptionValue>::parse(low)
                    .and_then(|low| Ok((low, <Self as OptionValue>::parse(high)?)));
                Some(ends.and_then(|(low, high)| {
                    let length = (high as i128).saturating_sub(low as i128);
                    if u128::try_from(length).is_ok_and(|length| length >= LONGEST_RANGE) {
                        return Err(format!("'{text}', a range of more than {LONGEST_RANGE},"));
                    }
                    Ok((low..=high).collect())
                }))
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

macro_rules! floats {
    ($($type:ty),*) => {$(
        impl OptionValue for $type {
            const KIND: &'static str = "a number";

            fn parse(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| format!("'{text}'"))
            }

            fn render(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

floats!(f32, f64);

impl OptionValue for bool {
    const KIND: &'static str = "true or false";
    const IS_FLAG: bool = true;

    /// Tornado takes everything but `false`, `f` and `0` for true; this refuses what is neither.
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" | "yes" | "y" | "on" => Ok(true),
            "false" | "f" | "0" | "no" | "n" | "off" => Ok(false),
            _ => Err(format!("'{text}'")),
        }
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

impl OptionValue for String {
    const KIND: &'static str = "a string";
    const IS_TEXT: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn render(&self) -> String {
        self.clone()
    }
}

impl OptionValue for PathBuf {
    const KIND: &'static str = "a path";
    const IS_TEXT: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self::from(text))
    }

    fn render(&self) -> String {
        self.display().to_string()
    }
}

impl OptionValue for Duration {
    const KIND: &'static str = "a duration such as 1h30m";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}'");
        let mut total = Self::ZERO;
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let end = number_length(rest);
            let number: f64 = rest[..end].parse().map_err(|_| wrong())?;
            let end = rest.len() - rest[end..].trim_start().len();
            let unit_end =
                end + rest[end..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len() - end);
            let seconds = number * seconds_in(rest[end..unit_end].trim()).ok_or_else(wrong)?;
            let part = Self::try_from_secs_f64(seconds).map_err(|_| wrong())?;
            total = total.checked_add(part).ok_or_else(wrong)?;
            rest = rest[unit_end..].trim_start();
        }
        Ok(total)
    }

    fn render(&self) -> String {
        let mut text = String::new();
        let (seconds, millis) = (self.as_secs(), self.subsec_millis());
        for (count, unit) in
            [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (u64::from(millis), "ms")]
        {
            if count > 0 {
                text.push_str(&format!("{count}{unit}"));
            }
        }
        if text.is_empty() { "0s".to_owned() } else { text }
    }
}

/// The length of a number at the start, and of spaces between it and its unit.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    while bytes.get(at).is_some_and(|b| b.is_ascii_digit() || *b == b'.') {
        at += 1;
    }
    // `1e3`, but `1e` is no exponent.
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let digits = bytes[at + 1 + sign..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits > 0 {
            at += 1 + sign + digits;
        }
    }
    at
}

fn seconds_in(unit: &str) -> Option<f64> {
    Some(match unit {
        "w" | "weeks" => 604_800.0,
        "d" | "days" => 86_400.0,
        "h" | "hours" => 3_600.0,
        "m" | "min" | "minutes" => 60.0,
        "" | "s" | "sec" | "seconds" => 1.0,
        "ms" | "milliseconds" => 1e-3,
        "us" | "microseconds" => 1e-6,
        _ => return None,
    })
}

/// Tornado's, in its order.
const DATE_TIMES: &[&str] = &[
    "%a %b %d %H:%M:%S %Y",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M",
    "%Y%m%d %H:%M:%S",
    "%Y%m%d %H:%M",
];
const DATES: &[&str] = &["%Y-%m-%d", "%Y%m%d"];
const TIMES: &[&str] = &["%H:%M:%S", "%H:%M"];

impl OptionValue for SystemTime {
    const KIND: &'static str = "a date and time";

    fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let full = DATE_TIMES.iter().find_map(|format| NaiveDateTime::parse_from_str(trimmed, format).ok());
        let date = || DATES.iter().find_map(|format| NaiveDate::parse_from_str(trimmed, format).ok());
        let time = || TIMES.iter().find_map(|format| NaiveTime::parse_from_str(trimmed, format).ok());
        full.or_else(|| Some(date()?.and_time(NaiveTime::MIN)))
            .or_else(|| Some(Local::now().date_naive().and_time(time()?)))
            .and_then(|moment| Local.from_local_datetime(&moment).earliest())
            .map(Self::from)
            .ok_or_else(|| format!("'{text}'"))
    }

    fn render(&self) -> String {
        chrono::DateTime::<Local>::from(*self).format("%Y-%m-%d %H:%M:%S").to_string()
    }
}

/// A value of whatever type.
pub(super) type Value = Arc<dyn Any + Send + Sync>;

/// A type of options, apart from the type.
pub(super) trait Kind: Send + Sync {
    fn parse(&self, text: &str) -> Result<Value, String>;
    /// Of an element that stands in a list of a file.
    fn parse_list(&self, elements: &[String]) -> Result<Value, String>;
    fn render(&self, value: &Value) -> String;
    /// For "is required to be …".
    fn wanted(&self) -> String;
    fn choices(&self) -> &'static [&'static str];
    fn is_flag(&self) -> bool;
    fn is_text(&self) -> bool;
    fn is_list(&self) -> bool;
    /// Whether its values are of this type.
    fn is(&self, type_id: TypeId) -> bool;
}

pub(super) struct One<T>(pub(super) PhantomData<fn() -> T>);
pub(super) struct Many<T>(pub(super) PhantomData<fn() -> T>);

impl<T: OptionValue> Kind for One<T> {
    fn parse(&self, text: &str) -> Result<Value, String> {
        Ok(Arc::new(T::parse(text)?))
    }

    fn parse_list(&self, _elements: &[String]) -> Result<Value, String> {
        Err("a list".to_owned())
    }

    fn render(&self, value: &Value) -> String {
        value.downcast_ref().map_or_else(String::new, T::render)
    }

    fn wanted(&self) -> String {
        wanted::<T>()
    }

    fn choices(&self) -> &'static [&'static str] {
        T::CHOICES
    }

    fn is_flag(&self) -> bool {
        T::IS_FLAG
    }

    fn is_text(&self) -> bool {
        T::IS_TEXT
    }

    fn is_list(&self) -> bool {
        false
    }

    fn is(&self, type_id: TypeId) -> bool {
        type_id == TypeId::of::<T>()
    }
}

impl<T: OptionValue> Kind for Many<T> {
    fn parse(&self, text: &str) -> Result<Value, String> {
        let mut values: Vec<T> = Vec::new();
        for element in text.split(',') {
            match T::parse_range(element) {
                Some(range) => values.extend(range?),
                None => values.push(T::parse(element)?),
            }
        }
        Ok(Arc::new(values))
    }

    fn parse_list(&self, elements: &[String]) -> Result<Value, String> {
        let values: Result<Vec<T>, String> = elements.iter().map(|element| T::parse(element)).collect();
        Ok(Arc::new(values?))
    }

    fn render(&self, value: &Value) -> String {
        let values = value.downcast_ref::<Vec<T>>();
        values.map_or_else(String::new, |values| values.iter().map(T::render).collect::<Vec<_>>().join(","))
    }

    fn wanted(&self) -> String {
        format!("a comma-separated list, each {}", wanted::<T>())
    }

    fn choices(&self) -> &'static [&'static str] {
        T::CHOICES
    }

    fn is_flag(&self) -> bool {
        false
    }

    fn is_text(&self) -> bool {
        T::IS_TEXT
    }

    fn is_list(&self) -> bool {
        true
    }

    fn is(&self, type_id: TypeId) -> bool {
        type_id == TypeId::of::<Vec<T>>()
    }
}

fn wanted<T: OptionValue>() -> String {
    match T::CHOICES {
        [] => T::KIND.to_owned(),
        choices => format!("one of {}", choices.join(", ")),
    }
}
