//! The set of an application's languages: loading it, and choosing from it.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::csv::{CsvCatalog, Encoding};
use super::gettext::{MoCatalog, MoError};
use super::{Catalog, Locale};
use crate::{escape, log};

/// The languages an application speaks.
///
/// There is always the default one, `en_US` unless [set](Self::default_locale), which the texts in the program are
/// in, so that it needs no translations.
#[derive(Clone)]
pub struct Translations(Arc<Set>);

struct Set {
    default_code: Box<str>,
    catalogs: BTreeMap<Box<str>, Arc<Catalog>>,
    /// One for each catalog and for the default.
    locales: BTreeMap<Box<str>, Locale>,
    default: Locale,
}

impl Translations {
    /// The default language alone.
    #[must_use]
    pub fn new() -> Self {
        Self::of("en_US".into(), BTreeMap::new())
    }

    /// Reads the CSV files of a directory, named after their languages: `es.csv`, `pt_BR.csv`.
    ///
    /// A row is a text, its translation, and perhaps `singular` or `plural` when the text depends on a number; nothing or
    /// `unknown` when not. Files are UTF-8, or UTF-16 with a byte-order mark. Files of other names, and rows with another
    /// third column, are logged and skipped.
    ///
    /// # Errors
    /// When the directory or a file cannot be read or is no text.
    pub fn load_translations(directory: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::load_csv(directory.as_ref(), None)
    }

    /// [`load_translations`](Self::load_translations) from files in this encoding.
    ///
    /// # Errors
    /// As [`load_translations`](Self::load_translations).
    pub fn load_translations_as(directory: impl AsRef<Path>, encoding: Encoding) -> Result<Self, LoadError> {
        Self::load_csv(directory.as_ref(), Some(encoding))
    }

    /// Reads gettext's files of a domain: `{directory}/{language}/LC_MESSAGES/{domain}.mo`.
    ///
    /// What a country's file lacks (`pt_BR`) is looked up in the language's (`pt`). A file that is damaged is logged and
    /// its language left out; that there is none at all is logged too.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn load_gettext_translations(directory: impl AsRef<Path>, domain: &str) -> Result<Self, LoadError> {
        let directory = directory.as_ref();
        let mut catalogs = BTreeMap::new();
        for (path, language) in entries(directory)? {
            let file = path.join("LC_MESSAGES").join(format!("{domain}.mo"));
            let data = match fs::read(&file) {
                Ok(data) => data,
                Err(error) if is_absence(&error) => continue,
                Err(error) => {
                    tracing::error!(target: log::GENERAL, "Cannot load translation for {language:?}: {error}");
                    continue;
                }
            };
            match MoCatalog::parse(&data) {
                Ok(mo) => {
                    catalogs.insert(language.into(), Arc::new(Catalog::Gettext(mo)));
                }
                Err(error) => {
                    let file = file.display();
                    tracing::error!(target: log::GENERAL, "Cannot load translation for {language:?}: {file}: {error}");
                }
            }
        }
        if catalogs.is_empty() {
            let directory = directory.display();
            tracing::warn!(target: log::GENERAL, "No translations: {directory}/*/LC_MESSAGES/{domain}.mo");
        }
        Ok(Self::of("en_US".into(), catalogs).logged())
    }

    /// Adds a language from the contents of a CSV file, such as one that is part of the program.
    ///
    /// # Errors
    /// When it is neither UTF-8 nor UTF-16 with a byte-order mark.
    pub fn csv(self, code: &str, data: &[u8]) -> Result<Self, LoadError> {
        let file = format!("{code}.csv");
        let csv = parse_csv(data, None, &file)?;
        Ok(self.with(code, Catalog::Csv(csv)))
    }

    /// Adds a language from the contents of a `.mo` file, such as one that is part of the program.
    ///
    /// # Errors
    /// When it is no such file, or damaged.
    pub fn mo(self, code: &str, data: &[u8]) -> Result<Self, LoadError> {
        let mo = MoCatalog::parse(data).map_err(|error| LoadError::Mo { code: code.to_owned(), error })?;
        Ok(self.with(code, Catalog::Gettext(mo)))
    }

    /// Sets the language that the texts in the program are in, which those get who want one that there is not.
    /// Default: `en_US`.
    #[doc(alias = "set_default_locale")]
    #[must_use]
    pub fn default_locale(self, code: &str) -> Self {
        Self::of(code.into(), self.0.catalogs.clone())
    }

    /// The codes of all languages, the default one's included, in alphabetical order.
    #[doc(alias = "get_supported_locales")]
    pub fn supported_locales(&self) -> impl Iterator<Item = &str> {
        self.0.locales.keys().map(|code| &**code)
    }

    /// The default language, which those get who want one that there is not.
    pub fn fallback(&self) -> &Locale {
        &self.0.default
    }

    /// The language of exactly this code.
    pub fn get(&self, code: &str) -> Option<Locale> {
        self.0.locales.get(code).cloned()
    }

    /// The first of these codes that there is a language for, else the default.
    ///
    /// Each is tried as it is, with `-` read as `_` and letters in the usual case, then without its country. Codes of more
    /// than two parts are passed over, as in Tornado.
    pub fn get_closest<'a>(&self, codes: impl IntoIterator<Item = &'a str>) -> Locale {
        codes.into_iter().find_map(|code| self.close_to(code)).unwrap_or_else(|| self.0.default.clone())
    }

    /// The language for the value of an `Accept-Language` header.
    ///
    /// The languages are tried by weight; what has a weight that is zero or no number is left out. Without any (or without
    /// a header) it is the one closest to `default`, which is `en_US` in Tornado.
    #[doc(alias = "get_browser_locale")]
    pub fn browser_locale(&self, accept_language: Option<&str>, default: &str) -> Locale {
        let mut wanted: Vec<(&str, f64)> =
            accept_language.into_iter().flat_map(|header| header.split(',')).filter_map(weighed).collect();
        if wanted.is_empty() {
            return self.get_closest([default]);
        }
        wanted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        self.get_closest(wanted.into_iter().map(|(code, _)| code))
    }

    fn close_to(&self, code: &str) -> Option<Locale> {
        let mut parts = code.split(['-', '_']);
        let (language, country) = (parts.next()?, parts.next());
        if language.is_empty() || parts.next().is_some() {
            return None;
        }
        let lower = language.to_ascii_lowercase();
        let exact = match country {
            Some(country) => self.get(&format!("{lower}_{}", country.to_ascii_uppercase())),
            None => self.get(language),
        };
        exact.or_else(|| self.get(&lower))
    }

    fn load_csv(directory: &Path, encoding: Option<Encoding>) -> Result<Self, LoadError> {
        let mut catalogs = BTreeMap::new();
        for (path, name) in entries(directory)? {
            let Some(code) = name.strip_suffix(".csv") else { continue };
            if !is_locale_code(code) {
                let path = path.display();
                tracing::error!(target: log::GENERAL, "Unrecognized locale {code:?} (path: {path})");
                continue;
            }
            let data = fs::read(&path).map_err(|source| LoadError::Read { path: path.clone(), source })?;
            let csv = parse_csv(&data, encoding, &path.display().to_string())?;
            catalogs.insert(code.into(), Arc::new(Catalog::Csv(csv)));
        }
        Ok(Self::of("en_US".into(), catalogs).logged())
    }

    fn with(self, code: &str, catalog: Catalog) -> Self {
        let mut catalogs = self.0.catalogs.clone();
        catalogs.insert(code.into(), Arc::new(catalog));
        Self::of(self.0.default_code.clone(), catalogs)
    }

    fn of(default_code: Box<str>, catalogs: BTreeMap<Box<str>, Arc<Catalog>>) -> Self {
        let mut locales: BTreeMap<Box<str>, Locale> = BTreeMap::new();
        for (code, catalog) in &catalogs {
            let fallback = code.split_once('_').and_then(|(language, _)| catalogs.get(language));
            let fallback = fallback.filter(|_| matches!(**catalog, Catalog::Gettext(_))).cloned();
            locales.insert(code.clone(), Locale::new(code, Arc::clone(catalog), fallback));
        }
        let untranslated = || Locale::new(&default_code, Arc::new(Catalog::Csv(CsvCatalog::default())), None);
        let default = locales.entry(default_code.clone()).or_insert_with(untranslated).clone();
        Self(Arc::new(Set { default_code, catalogs, locales, default }))
    }

    fn logged(self) -> Self {
        let codes: Vec<&str> = self.supported_locales().collect();
        tracing::debug!(target: log::GENERAL, "Supported locales: {codes:?}");
        self
    }
}

impl Default for Translations {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Translations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Translations").field(&self.supported_locales().collect::<Vec<_>>()).finish()
    }
}

/// Why translations could not be loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// A directory or file cannot be read.
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A CSV file is not in its encoding.
    Text {
        /// Which file.
        file: String,
        /// The encoding given or guessed.
        encoding: Encoding,
    },
    /// The contents of a `.mo` file are damaged.
    Mo {
        /// The code they were given for.
        code: String,
        /// What is wrong.
        error: MoError,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Text { file, encoding } => write!(f, "{file} is not in {encoding}"),
            Self::Mo { code, error } => write!(f, "the translations for {code}: {error}"),
        }
    }
}

impl StdError for LoadError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Text { .. } => None,
            Self::Mo { error, .. } => Some(error),
        }
    }
}

/// The paths in a directory with their names; one that is no text is logged and left out.
fn entries(directory: &Path) -> Result<Vec<(PathBuf, String)>, LoadError> {
    let failed = |source| LoadError::Read { path: directory.to_owned(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        match entry.file_name().into_string() {
            Ok(name) => entries.push((entry.path(), name)),
            Err(_) => {
                let path = entry.path();
                tracing::error!(target: log::GENERAL, "Unrecognized locale (path: {})", path.display());
            }
        }
    }
    Ok(entries)
}

fn parse_csv(data: &[u8], encoding: Option<Encoding>, file: &str) -> Result<CsvCatalog, LoadError> {
    CsvCatalog::parse(data, encoding, file)
        .map_err(|encoding| LoadError::Text { file: file.to_owned(), encoding })
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// `[a-z]+(_[A-Z]+)?`
fn is_locale_code(code: &str) -> bool {
    let (language, country) = code.split_once('_').map_or((code, None), |(l, c)| (l, Some(c)));
    let filled = |text: &str, wanted: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|b| wanted(&b));
    filled(language, u8::is_ascii_lowercase) && country.is_none_or(|c| filled(c, u8::is_ascii_uppercase))
}

/// One element of `Accept-Language`, unless it is not wanted at all.
fn weighed(element: &str) -> Option<(&str, f64)> {
    let mut parts = element.split(';');
    let code = escape::trim(parts.next()?);
    let weight = match parts.next().map(escape::trim).and_then(|part| part.strip_prefix("q=")) {
        Some(weight) => weight.trim().parse().unwrap_or(0.0),
        None => 1.0,
    };
    (weight > 0.0).then_some((code, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Translations {
        let empty = |t: Translations, code| t.csv(code, b"").unwrap();
        ["es", "fr_FR", "pt", "pt_BR"].into_iter().fold(Translations::new(), empty)
    }

    #[test]
    fn the_closest_language() {
        let closest = |codes: &[&str]| some().get_closest(codes.iter().copied()).code().to_owned();
        assert_eq!(closest(&["es"]), "es");
        assert_eq!(closest(&["ES-mx"]), "es");
        assert_eq!(closest(&["FR-fr"]), "fr_FR");
        assert_eq!(closest(&["fr"]), "en_US", "a country's is not the language's");
        assert_eq!(closest(&["de", "", "fr_CA", "pt-br", "es"]), "pt_BR");
        assert_eq!(closest(&["pt_PT"]), "pt");
        assert_eq!(closest(&["es_MX_x", "zz"]), "en_US", "more than two parts are passed over");
        assert_eq!(closest(&[]), "en_US");
        assert_eq!(some().default_locale("de").get_closest(["zz"]).code(), "de");
        assert_eq!(some().default_locale("de").get_closest(["en_US"]).code(), "de");
    }

    #[test]
    fn what_a_browser_wants() {
        let wanted = |header| some().browser_locale(Some(header), "en_US").code().to_owned();
        assert_eq!(wanted("es-MX,es;q=0.8,fr;q=0.5"), "es");
        assert_eq!(wanted("de,fr-FR;q=0.4,es;q=0.1"), "fr_FR");
        assert_eq!(wanted("xx, *;q=0.1"), "en_US");
        assert_eq!(wanted("es;q=abc,fr_FR;q=0.9"), "fr_FR");
        assert_eq!(wanted("es;q=0, pt ; q=0.1"), "pt");
        assert_eq!(wanted("es;q=-1,fr_FR;q=nan,pt;q=inf"), "pt");
        assert_eq!(wanted("es;q=0.5,pt;q=0.5"), "es", "the first of two equals");
        assert_eq!(wanted("es;level=1"), "es");
        assert_eq!(wanted(""), "en_US");
        assert_eq!(some().browser_locale(None, "es_MX").code(), "es");
        assert_eq!(some().browser_locale(Some("es;q=0"), "pt").code(), "pt");
    }

    #[test]
    fn supported_locales_include_the_default() {
        assert_eq!(Translations::new().supported_locales().collect::<Vec<_>>(), ["en_US"]);
        let translations = some().default_locale("es");
        assert_eq!(translations.supported_locales().collect::<Vec<_>>(), ["es", "fr_FR", "pt", "pt_BR"]);
        assert!(translations.get("en_US").is_none());
        assert_eq!(format!("{translations:?}"), r#"Translations(["es", "fr_FR", "pt", "pt_BR"])"#);
    }

    #[test]
    fn codes_of_files() {
        assert!(["es", "pt_BR", "fil"].into_iter().all(is_locale_code));
        assert!(!["", "ES", "pt_", "_BR", "pt_br", "pt_B1", "a.b", "a_B_C"].into_iter().any(is_locale_code));
    }

    #[test]
    fn they_may_go_to_other_threads() {
        fn check<T: Send + Sync + 'static>(_: &T) {}
        check(&some());
        check(some().fallback());
    }
}
