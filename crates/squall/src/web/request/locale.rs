//! The language of a request.

use std::cell::Cell;
use std::future::Future;
use std::panic::Location;
use std::path::Path;
use std::pin::pin;
use std::task::{Poll, Waker};

use crate::ioloop::catch_panic;
use crate::locale::{LoadError, Locale, Translations};
use crate::log;
use crate::web::application::{Application, Core};
use crate::web::context::Context;
use crate::web::debug::take_panic_location;
use crate::web::error::{Error, HttpError, Result};
use crate::web::site::{Boxed, Site, Sites};

/// An application's languages.
#[derive(Default)]
pub(in crate::web) struct LocaleSettings {
    translations: Translations,
    /// Kept for translations that are set later.
    default_code: Option<String>,
    /// Why translations could not be loaded.
    problems: Vec<String>,
}

impl LocaleSettings {
    pub(in crate::web) fn take_problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }

    fn set(&mut self, translations: Translations) {
        self.translations = match &self.default_code {
            Some(code) => translations.default_locale(code),
            None => translations,
        };
    }

    fn set_loaded(&mut self, loaded: Result<Translations, LoadError>, at: &Location<'_>) {
        match loaded {
            Ok(translations) => self.set(translations),
            Err(error) => {
                self.problems.push(format!("{}:{}: translations: {error}", at.file(), at.line()));
            }
        }
    }
}

/// With the feature `locale`, a default one.
impl Application {
    /// Reads the translations of a directory of CSV files, as [`Translations::load_translations`] does, instead of those
    /// set before. What is wrong with them is reported when the application starts.
    #[must_use]
    #[track_caller]
    pub fn load_translations(mut self, directory: impl AsRef<Path>) -> Self {
        self.settings.locale.set_loaded(Translations::load_translations(directory), Location::caller());
        self
    }

    /// Reads translations of gettext's format, as [`Translations::load_gettext_translations`] does, instead of those set
    /// before. What is wrong with them is reported when the application starts.
    #[must_use]
    #[track_caller]
    pub fn load_gettext_translations(mut self, directory: impl AsRef<Path>, domain: &str) -> Self {
        let loaded = Translations::load_gettext_translations(directory, domain);
        self.settings.locale.set_loaded(loaded, Location::caller());
        self
    }

    /// Translations from elsewhere, such as ones that are part of the program. Default: none.
    #[must_use]
    pub fn translations(mut self, translations: Translations) -> Self {
        self.settings.locale.set(translations);
        self
    }

    /// The language that the texts in the program are in, for those who want one that there is not. Default: that of the
    /// translations, which is `en_US` unless they say otherwise.
    #[doc(alias = "set_default_locale")]
    #[must_use]
    pub fn default_locale(mut self, code: &str) -> Self {
        let settings = &mut self.settings.locale;
        settings.translations = settings.translations.clone().default_locale(code);
        settings.default_code = Some(code.to_owned());
        self
    }
}

/// With the feature `locale`, a default one.
impl Context {
    /// The language of this request: what [`set_locale`](Self::set_locale) set, else the user's
    /// ([`Site::user_locale`](crate::web::Site::user_locale)), else the [browser's](Self::browser_locale). Found out once per
    /// request.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// What `user_locale` returns.
    pub async fn locale(&self) -> Result<Locale> {
        if let Some(locale) = self.rare().locale.get() {
            return Ok(locale);
        }
        let users = self.sites().user_locale(self).await?;
        // It may have been set while the site was asked.
        let locale = self.rare().locale.get().or(users).unwrap_or_else(|| self.browser_locale());
        self.set_locale(locale.clone());
        Ok(locale)
    }

    /// [`locale`](Self::locale) where nothing can be awaited, as inside a template.
    ///
    /// A `Site` whose `user_locale` never waits, or that calls `ctx.locale().await` in its `prepare`, can rely on it.
    ///
    /// # Errors
    /// What `user_locale` returns; 500 when it waits.
    pub fn locale_now(&self) -> Result<Locale> {
        match pin!(self.locale()).poll(&mut std::task::Context::from_waker(Waker::noop())) {
            Poll::Ready(locale) => locale,
            Poll::Pending => Err(HttpError::new(500)
                .log_message(
                    "Site::user_locale waits here: await Context::locale beforehand, as in Site::prepare",
                )
                .into()),
        }
    }

    /// Sets the language of this request, as Tornado users do in `prepare`.
    pub fn set_locale(&self, locale: Locale) {
        self.rare().locale.set(locale);
    }

    /// The language that the browser asks for with `Accept-Language`, as far as there is one.
    #[doc(alias = "get_browser_locale")]
    pub fn browser_locale(&self) -> Locale {
        let header = self.request().headers().joined("Accept-Language");
        self.translations().browser_locale(header.as_deref(), "en_US")
    }

    /// Has the language known before an error page is written, which cannot wait for it.
    pub(in crate::web) async fn know_locale(&self) {
        if let Some(error) = catch_panic(self.locale())
            .await
            .map_or_else(|payload| Some(Error::panic(&*payload, take_panic_location())), Result::err)
        {
            tracing::error!(target: log::APPLICATION, "user_locale, for an error page: {error}");
            self.set_locale(self.browser_locale());
        }
    }

    /// The application's languages.
    pub fn translations(&self) -> &Translations {
        self.core().translations()
    }
}

impl Core {
    fn translations(&self) -> &Translations {
        &self.settings.locale.translations
    }
}

/// What of a [`Site`] concerns languages.
pub(in crate::web) trait SiteLanguage {
    fn user_locale<'a>(&'a self, ctx: &'a Context) -> Boxed<'a, Result<Option<Locale>>>;
}

impl<S: Site> SiteLanguage for S {
    fn user_locale<'a>(&'a self, ctx: &'a Context) -> Boxed<'a, Result<Option<Locale>>> {
        Box::pin(Site::user_locale(self, ctx))
    }
}

impl Sites {
    /// That of the first site that defines it.
    async fn user_locale(&self, ctx: &Context) -> Result<Option<Locale>> {
        for site in self.0.iter() {
            match site.user_locale(ctx).await {
                Err(error) if error.is_not_defined() => {}
                answer => return answer,
            }
        }
        Ok(None)
    }
}

/// The language of one request, once it is known.
#[derive(Default)]
pub(in crate::web) struct LocaleCell(Cell<Option<Locale>>);

impl LocaleCell {
    fn get(&self) -> Option<Locale> {
        let locale = self.0.take();
        self.0.set(locale.clone());
        locale
    }

    fn set(&self, locale: Locale) {
        self.0.set(Some(locale));
    }
}
