//! Tornado's own format of translations.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{escape, log};

/// The encoding of CSV files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// UTF-8, with or without a byte-order mark.
    Utf8,
    /// UTF-16 in the order that its byte-order mark says; little-endian without one.
    Utf16,
    /// ISO 8859-1.
    Latin1,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16 => "UTF-16",
            Self::Latin1 => "ISO 8859-1",
        })
    }
}

type Messages = HashMap<Box<str>, Box<str>>;

/// The rows of a file.
#[derive(Default)]
pub(super) struct CsvCatalog {
    unknown: Messages,
    singular: Messages,
    plural: Messages,
    warned_of_contexts: AtomicBool,
}

impl CsvCatalog {
    /// Reads a file; the error is the encoding that it is not in. `file` is for the log.
    pub(super) fn parse(data: &[u8], encoding: Option<Encoding>, file: &str) -> Result<Self, Encoding> {
        let encoding = encoding.unwrap_or_else(|| guess_encoding(data));
        let text = decode(data, encoding).ok_or(encoding)?;
        let mut catalog = Self::default();
        let mut reader = csv::ReaderBuilder::new();
        let mut reader = reader.has_headers(false).flexible(true).from_reader(text.as_bytes());
        // Text in memory neither fails to be read nor to be UTF-8.
        for record in reader.records().filter_map(Result::ok) {
            let (Some(message), Some(translation)) = (record.get(0), record.get(1)) else { continue };
            let messages = match escape::trim(record.get(2).unwrap_or_default()) {
                "" | "unknown" => &mut catalog.unknown,
                "singular" => &mut catalog.singular,
                "plural" => &mut catalog.plural,
                other => {
                    let line = record.position().map_or(0, csv::Position::line);
                    tracing::error!(
                        target: log::GENERAL,
                        "Unrecognized plural indicator {other:?} in {file} line {line}"
                    );
                    continue;
                }
            };
            messages.insert(escape::trim(message).into(), escape::trim(translation).into());
        }
        Ok(catalog)
    }

    pub(super) fn find(&self, message: &str) -> Option<&str> {
        self.unknown.get(message).map(|found| &**found)
    }

    pub(super) fn find_plural(&self, message: &str, plural_message: &str, count: i64) -> Option<&str> {
        let found = match count {
            1 => self.singular.get(message),
            _ => self.plural.get(plural_message),
        };
        found.map(|found| &**found)
    }

    /// Says once in the log that contexts are ignored; where nothing is translated they do not matter.
    pub(super) fn warn_of_contexts(&self) {
        let untranslated = self.unknown.is_empty() && self.singular.is_empty() && self.plural.is_empty();
        if !untranslated && !self.warned_of_contexts.swap(true, Ordering::Relaxed) {
            tracing::warn!(target: log::GENERAL, "pgettext is not supported by CSV translations");
        }
    }
}

fn guess_encoding(data: &[u8]) -> Encoding {
    match data {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Encoding::Utf16,
        _ => Encoding::Utf8,
    }
}

/// The text, its line ends made `\n` as Python does, in quoted cells too.
fn decode(data: &[u8], encoding: Encoding) -> Option<Cow<'_, str>> {
    let text = match encoding {
        Encoding::Utf8 => {
            Cow::Borrowed(str::from_utf8(data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data)).ok()?)
        }
        Encoding::Utf16 => Cow::Owned(decode_utf16(data)?),
        Encoding::Latin1 => Cow::Owned(data.iter().map(|&b| char::from(b)).collect()),
    };
    Some(if text.contains('\r') { Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")) } else { text })
}

fn decode_utf16(data: &[u8]) -> Option<String> {
    let (data, big_endian) = match data {
        [0xfe, 0xff, rest @ ..] => (rest, true),
        [0xff, 0xfe, rest @ ..] => (rest, false),
        _ => (data, false),
    };
    let (units, rest) = data.as_chunks::<2>();
    let read =
        |unit: &[u8; 2]| if big_endian { u16::from_be_bytes(*unit) } else { u16::from_le_bytes(*unit) };
    let text = char::decode_utf16(units.iter().map(read)).collect::<Result<String, _>>().ok()?;
    rest.is_empty().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> CsvCatalog {
        CsvCatalog::parse(text.as_bytes(), None, "x.csv").unwrap()
    }

    #[test]
    fn rows() {
        let csv = parse(
            "a, A ,\n\"b, \"\"c\"\"\",\"B\r\nC\"\n\nlonely\nd,D,plural,more\nd,d,singular\ne,E,dual\na,Z\nf,F,unknown",
        );
        assert_eq!(csv.find("a"), Some("Z"), "the last row wins");
        assert_eq!(csv.find("b, \"c\""), Some("B\nC"));
        assert_eq!(csv.find("lonely"), None);
        assert_eq!(csv.find("d"), None, "singular and plural do not stand for the text by itself");
        assert_eq!((csv.find_plural("d", "d", 1), csv.find_plural("d", "d", 0)), (Some("d"), Some("D")));
        assert_eq!(csv.find_plural("d", "no", 2), None);
        assert_eq!((csv.find("e"), csv.find("f")), (None, Some("F")));
    }

    #[test]
    fn encodings() {
        let text = "school,école 😀";
        let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(bytes).collect()
        };
        let bom = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        for data in [text.as_bytes().to_vec(), bom, utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)] {
            let csv = CsvCatalog::parse(&data, None, "x.csv").unwrap();
            assert_eq!(csv.find("school"), Some("école 😀"));
        }
        let latin = b"school,\xe9cole";
        assert_eq!(CsvCatalog::parse(latin, None, "x.csv").err(), Some(Encoding::Utf8));
        let csv = CsvCatalog::parse(latin, Some(Encoding::Latin1), "x.csv").unwrap();
        assert_eq!(csv.find("school"), Some("école"));
        for broken in [&b"\xff\xfea"[..], b"\xff\xfe\x00\xd8"] {
            assert_eq!(CsvCatalog::parse(broken, None, "x.csv").err(), Some(Encoding::Utf16));
        }
    }
}
