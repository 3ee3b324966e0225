//! gettext's `.mo` files.
//!
//! The only library for them that is of age has not been touched since 2019 and brings an abandoned one for encodings.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;

use super::plural::PluralRule;
use crate::escape;

/// The messages of a file.
pub(super) struct MoCatalog {
    messages: HashMap<Box<str>, Box<str>>,
    /// By the singular.
    plurals: HashMap<Box<str>, Box<[Box<str>]>>,
    rule: PluralRule,
}

impl MoCatalog {
    /// Reads a file. Takes memory in proportion to its length, whatever is in it.
    pub(super) fn parse(data: &[u8]) -> Result<Self, MoError> {
        let file = File::open(data)?;
        let header = file.entries().find_map(|entry| entry.ok().filter(|(key, _)| key.is_empty()));
        let header = Header::parse(header.map_or(&[][..], |(_, text)| text))?;
        let mut catalog = Self { messages: HashMap::new(), plurals: HashMap::new(), rule: header.rule };
        let mut length = 0;
        for entry in file.entries() {
            let (key, text) = entry?;
            // A file whose strings overlap would need far more memory than it has bytes.
            length += key.len() + text.len();
            if length > data.len() {
                return Err(MoError::Corrupt("its strings overlap"));
            }
            if key.is_empty() {
                continue;
            }
            match memchr::memchr(0, key) {
                Some(end) => {
                    let forms: Result<_, _> =
                        text.split(|b| *b == 0).map(|t| header.charset.decode(t)).collect();
                    catalog.plurals.insert(header.charset.decode(&key[..end])?, forms?);
                }
                None => {
                    catalog.messages.insert(header.charset.decode(key)?, header.charset.decode(text)?);
                }
            }
        }
        Ok(catalog)
    }

    /// The translation of a message; for one with forms, the form for 1.
    pub(super) fn find(&self, message: &str) -> Option<&str> {
        match self.messages.get(message) {
            Some(found) => Some(found),
            None => self.find_plural(message, 1),
        }
    }

    pub(super) fn find_plural(&self, message: &str, count: i64) -> Option<&str> {
        let forms = self.plurals.get(message)?;
        forms.get(self.rule.index(count)?).map(|form| &**form)
    }
}

/// What is wrong with a `.mo` file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MoError {
    /// It does not begin as such a file.
    NotMo,
    /// Its format has a newer version, this one.
    Version(u16),
    /// Its parts do not fit together.
    Corrupt(&'static str),
    /// Its text is in an encoding other than UTF-8, ASCII and ISO 8859-1.
    Charset(String),
    /// Its text is not in its encoding.
    Text,
    /// Its rule for plurals is no expression.
    PluralForms(String),
}

impl fmt::Display for MoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMo => f.write_str("not a .mo file"),
            Self::Version(version) => write!(f, "unknown version {version} of the .mo format"),
            Self::Corrupt(what) => write!(f, "the file is corrupt: {what}"),
            Self::Charset(charset) => write!(f, "unknown charset {charset:?}"),
            Self::Text => f.write_str("a text is not in the charset of the file"),
            Self::PluralForms(what) => write!(f, "Plural-Forms: {what}"),
        }
    }
}

impl StdError for MoError {}

/// The tables of a file.
struct File<'a> {
    data: &'a [u8],
    big_endian: bool,
    count: usize,
    keys: usize,
    texts: usize,
}

impl<'a> File<'a> {
    fn open(data: &'a [u8]) -> Result<Self, MoError> {
        let big_endian = match data {
            [0xde, 0x12, 0x04, 0x95, ..] => false,
            [0x95, 0x04, 0x12, 0xde, ..] => true,
            _ => return Err(MoError::NotMo),
        };
        let mut file = Self { data, big_endian, count: 0, keys: 0, texts: 0 };
        let version = file.word(4)? >> 16;
        if version > 1 {
            return Err(MoError::Version(u16::try_from(version).unwrap_or(u16::MAX)));
        }
        file.count = file.word(8)?;
        file.keys = file.word(12)?;
        file.texts = file.word(16)?;
        if file.count > data.len() / 16 {
            return Err(MoError::Corrupt("it is cut off"));
        }
        Ok(file)
    }

    /// Keys and texts.
    fn entries(&self) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8]), MoError>> {
        (0..self.count).map(|i| Ok((self.string(self.keys, i)?, self.string(self.texts, i)?)))
    }

    fn string(&self, table: usize, index: usize) -> Result<&'a [u8], MoError> {
        let at = table.saturating_add(index * 8);
        let (length, start) = (self.word(at)?, self.word(at.saturating_add(4))?);
        let end = start.saturating_add(length);
        self.data.get(start..end).ok_or(MoError::Corrupt("a string lies outside"))
    }

    fn word(&self, at: usize) -> Result<usize, MoError> {
        let bytes = self.data.get(at..).and_then(<[u8]>::first_chunk);
        let bytes = *bytes.ok_or(MoError::Corrupt("it is cut off"))?;
        let word = if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        Ok(usize::try_from(word).unwrap_or(usize::MAX))
    }
}

/// What the translation of the empty text says.
struct Header {
    charset: Charset,
    rule: PluralRule,
}

impl Header {
    fn parse(text: &[u8]) -> Result<Self, MoError> {
        let mut header = Self { charset: Charset::Utf8, rule: PluralRule::Germanic };
        let text = String::from_utf8_lossy(text);
        for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
            match escape::trim(name).to_ascii_lowercase().as_str() {
                "content-type" => {
                    if let Some((_, name)) = value.split_once("charset=") {
                        header.charset = Charset::find(escape::trim(name))?;
                    }
                }
                "plural-forms" => {
                    let rule = value.split(';').find_map(|part| escape::trim(part).strip_prefix("plural="));
                    let rule = rule.ok_or_else(|| MoError::PluralForms("the rule is missing".to_owned()))?;
                    header.rule = PluralRule::parse(rule)
                        .map_err(|error| MoError::PluralForms(format!("{rule:?}: {error}")))?;
                }
                _ => {}
            }
        }
        Ok(header)
    }
}

#[derive(Clone, Copy)]
enum Charset {
    /// Of which ASCII is a part.
    Utf8,
    Latin1,
}

impl Charset {
    fn find(name: &str) -> Result<Self, MoError> {
        let plain = name.to_ascii_lowercase().replace(['-', '_'], "");
        match plain.as_str() {
            "utf8" | "usascii" | "ascii" => Ok(Self::Utf8),
            "iso88591" | "latin1" => Ok(Self::Latin1),
            _ => Err(MoError::Charset(name.to_owned())),
        }
    }

    fn decode(self, text: &[u8]) -> Result<Box<str>, MoError> {
        match self {
            Self::Utf8 => str::from_utf8(text).map(Into::into).map_err(|_| MoError::Text),
            Self::Latin1 => Ok(text.iter().map(|&b| char::from(b)).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `.mo` file with these entries.
    fn mo(big_endian: bool, entries: &[(&[u8], &[u8])]) -> Vec<u8> {
        let word = |n: usize| {
            let n = u32::try_from(n).unwrap();
            if big_endian { n.to_be_bytes() } else { n.to_le_bytes() }
        };
        let tables = 28;
        let mut at = tables + entries.len() * 16;
        let (mut table, mut strings) = ([Vec::new(), Vec::new()], Vec::new());
        for (key, text) in entries {
            for (i, string) in [key, text].into_iter().enumerate() {
                table[i].extend([word(string.len()), word(at)].concat());
                strings.extend_from_slice(string);
                strings.push(0);
                at += string.len() + 1;
            }
        }
        let head =
            [word(0x9504_12de), word(0), word(entries.len()), word(tables), word(tables + entries.len() * 8)];
        [head.concat(), [word(0), word(0)].concat(), table.concat(), strings].concat()
    }

    const HEADER: &[u8] =
        b"Language: pl\nContent-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=n > 1;\n";

    #[test]
    fn reads_both_byte_orders() {
        for big_endian in [false, true] {
            let file = mo(
                big_endian,
                &[
                    (b"", HEADER),
                    (b"a\0as", "á\0ás".as_bytes()),
                    (b"c\x04right", b"droit"),
                    (b"school", "école".as_bytes()),
                ],
            );
            let catalog = MoCatalog::parse(&file).unwrap();
            assert_eq!(catalog.find("school"), Some("école"));
            assert_eq!(catalog.find("c\u{4}right"), Some("droit"));
            assert_eq!((catalog.find("right"), catalog.find("")), (None, None));
            assert_eq!([0, 1, 2].map(|n| catalog.find_plural("a", n)), [Some("á"), Some("á"), Some("ás")]);
            assert_eq!(catalog.find("a"), Some("á"));
            assert_eq!(catalog.find_plural("as", 2), None);
        }
    }

    #[test]
    fn a_form_that_is_missing_is_no_translation() {
        let file = mo(false, &[(b"", b"Plural-Forms: nplurals=3; plural=n"), (b"a\0as", b"x\0y")]);
        let catalog = MoCatalog::parse(&file).unwrap();
        assert_eq!([0, 1, 2, -1].map(|n| catalog.find_plural("a", n)), [Some("x"), Some("y"), None, None]);
    }

    #[test]
    fn charsets() {
        let with = |charset: &str, text: &[u8]| {
            let header = format!("Content-Type: text/plain; charset={charset}");
            MoCatalog::parse(&mo(false, &[(b"", header.as_bytes()), (b"a", text)]))
        };
        for (charset, text) in [("UTF-8", "é".as_bytes()), ("utf8", "é".as_bytes()), ("ISO-8859-1", b"\xe9")]
        {
            assert_eq!(with(charset, text).unwrap().find("a"), Some("é"));
        }
        assert_eq!(with("UTF-8", b"\xe9").err(), Some(MoError::Text));
        assert_eq!(with("KOI8-R", b"x").err(), Some(MoError::Charset("KOI8-R".to_owned())));
    }

    #[test]
    fn damaged_files_are_refused() {
        assert_eq!(MoCatalog::parse(b"").err(), Some(MoError::NotMo));
        assert_eq!(MoCatalog::parse(b"\xde\x12\x04\x95").err(), Some(MoError::Corrupt("it is cut off")));
        let good = mo(false, &[(b"", HEADER), (b"a", b"b")]);
        for end in 0..good.len() - 2 {
            assert!(MoCatalog::parse(&good[..end]).is_err(), "{end}");
        }
        let mut newer = good.clone();
        newer[6] = 2;
        assert_eq!(MoCatalog::parse(&newer).err(), Some(MoError::Version(2)));
        let broken = mo(false, &[(b"", b"Plural-Forms: nplurals=2; plural=n >;")]);
        assert!(matches!(MoCatalog::parse(&broken), Err(MoError::PluralForms(_))));
        let broken = mo(false, &[(b"", b"Plural-Forms: nplurals=2")]);
        assert!(matches!(MoCatalog::parse(&broken), Err(MoError::PluralForms(_))));
    }

    #[test]
    fn strings_that_overlap_are_refused() {
        let long = [b'x'; 1000];
        let mut file = mo(false, &[(b"a", &long), (b"b", b"")]);
        let (first, second) = (28 + 16, 28 + 24);
        file.copy_within(first..first + 8, second);
        assert_eq!(MoCatalog::parse(&file).err(), Some(MoError::Corrupt("its strings overlap")));
    }
}
