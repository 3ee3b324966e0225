//! Translations and the formats of a language (Tornado's `tornado.locale`). With the feature `locale`, a default one.
//!
//! [`Translations`] are read once, at start-up, from CSV files or gettext's `.mo` files; a [`Locale`] is one language of
//! them. Both are cheap to clone, do not change, and may go to other threads. Nothing here is global: an application is
//! given its translations with [`Application::load_translations`](crate::Application::load_translations) and a handler
//! asks for its [`Context::locale`](crate::Context::locale).
//!
//! ```
//! use squall::locale::{Translations, interpolate};
//!
//! let spanish = "Sign out,Cerrar sesión\n%(n)d item,%(n)d artículo,singular\n%(n)d items,%(n)d artículos,plural\n";
//! let translations = Translations::new().csv("es", spanish.as_bytes())?;
//! let locale = translations.get_closest(["es-MX", "fr"]);
//! assert_eq!(locale.code(), "es");
//! assert_eq!(locale.translate("Sign out"), "Cerrar sesión");
//! let items = locale.translate_plural("%(n)d item", "%(n)d items", 3);
//! assert_eq!(interpolate(items, &[("n", &3)]), "3 artículos");
//! # Ok::<(), squall::locale::LoadError>(())
//! ```

mod csv;
mod format;
mod gettext;
mod names;
mod plural;
mod translations;

use std::fmt;
use std::sync::Arc;

pub use csv::Encoding;
pub use format::{DateFormat, interpolate};
#[cfg(feature = "templates")]
pub(crate) use format::{MONTHS, WEEKDAYS};
pub use gettext::MoError;
pub use names::{LOCALE_NAMES, LocaleName};
pub use translations::{LoadError, Translations};

use self::csv::CsvCatalog;
use self::gettext::MoCatalog;

/// A language: translations into it, and how it writes dates, numbers and lists.
///
/// From [`Translations::get_closest`] or [`Context::locale`](crate::Context::locale). A text without translation is given
/// back as it is.
#[derive(Clone)]
pub struct Locale(Arc<Data>);

struct Data {
    code: Box<str>,
    catalog: Arc<Catalog>,
    /// The language's own, for one of a country; gettext only.
    fallback: Option<Arc<Catalog>>,
}

/// The translations into one language.
enum Catalog {
    Csv(CsvCatalog),
    Gettext(MoCatalog),
}

impl Locale {
    fn new(code: &str, catalog: Arc<Catalog>, fallback: Option<Arc<Catalog>>) -> Self {
        Self(Arc::new(Data { code: code.into(), catalog, fallback }))
    }

    /// The code, such as `pt_BR`.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The language's name in the language itself, `Unknown` when it does not stand in [`LOCALE_NAMES`].
    pub fn name(&self) -> &'static str {
        names::find(self.code()).map_or("Unknown", |names| names.name)
    }

    /// Whether it is written from right to left: Persian, Arabic, Hebrew.
    pub fn rtl(&self) -> bool {
        ["fa", "ar", "he"].iter().any(|language| self.code().starts_with(language))
    }

    /// The translation of a text.
    #[doc(alias = "gettext")]
    pub fn translate<'a>(&'a self, message: &'a str) -> &'a str {
        self.find(|catalog| match catalog {
            Catalog::Csv(csv) => csv.find(message),
            Catalog::Gettext(mo) => mo.find(message),
        })
        .unwrap_or(message)
    }

    /// The translation of a text that depends on a number (Tornado's `translate` with a plural).
    ///
    /// CSV files have one plural, for every count but 1; those of gettext say themselves which form a number takes. The
    /// number is not put in; [`interpolate`] does that.
    #[doc(alias = "ngettext")]
    pub fn translate_plural<'a>(&'a self, message: &'a str, plural_message: &'a str, count: i64) -> &'a str {
        self.find(|catalog| match catalog {
            Catalog::Csv(csv) => csv.find_plural(message, plural_message, count),
            Catalog::Gettext(mo) => mo.find_plural(message, count),
        })
        .unwrap_or(if count == 1 { message } else { plural_message })
    }

    /// The translation of a text that means different things in different places, such as `right` in `law`.
    ///
    /// CSV files know no contexts: there a warning is logged once per language and the context is ignored.
    pub fn pgettext<'a>(&'a self, context: &str, message: &'a str) -> &'a str {
        if self.ignores_contexts() {
            return self.translate(message);
        }
        let key = in_context(context, message);
        self.find_gettext(|mo| mo.find(&key)).unwrap_or(message)
    }

    /// [`pgettext`](Self::pgettext) for a text that depends on a number. What the context has no translation for is
    /// looked up without it.
    #[doc(alias = "pgettext")]
    pub fn npgettext<'a>(
        &'a self,
        context: &str,
        message: &'a str,
        plural_message: &'a str,
        count: i64,
    ) -> &'a str {
        if !self.ignores_contexts() {
            let key = in_context(context, message);
            if let Some(found) = self.find_gettext(|mo| mo.find_plural(&key, count)) {
                return found;
            }
        }
        self.translate_plural(message, plural_message, count)
    }

    fn find<'a>(&'a self, find: impl Fn(&'a Catalog) -> Option<&'a str>) -> Option<&'a str> {
        find(&self.0.catalog).or_else(|| find(self.0.fallback.as_deref()?))
    }

    fn find_gettext<'a>(&'a self, find: impl Fn(&'a MoCatalog) -> Option<&'a str>) -> Option<&'a str> {
        self.find(|catalog| match catalog {
            Catalog::Csv(_) => None,
            Catalog::Gettext(mo) => find(mo),
        })
    }

    fn ignores_contexts(&self) -> bool {
        match &*self.0.catalog {
            Catalog::Csv(csv) => {
                csv.warn_of_contexts();
                true
            }
            Catalog::Gettext(_) => false,
        }
    }
}

impl fmt::Debug for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Locale").field(&self.0.code).finish()
    }
}

/// The key of a message with a context in a `.mo` file.
fn in_context(context: &str, message: &str) -> String {
    format!("{context}\u{4}{message}")
}
