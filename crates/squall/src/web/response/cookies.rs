//! Cookies of a request and its response, plain and signed.

use std::cell::{OnceCell, RefCell};
use std::collections::HashSet;
use std::panic::Location;
use std::time::{Duration, SystemTime};

use crate::httputil::{Cookie, HttpHeaders, InvalidCookie, is_cookie_name, parse_cookie};
use crate::web::application::Application;
use crate::web::context::Context;
use crate::web::error::{Error, Result};
use crate::web::signed_value::{
    CookieSecret, SignedVersion, create_signed_value, decode_signed_value, signature_key_version,
};
use crate::web::xsrf::XsrfState;

const DAY: u64 = 24 * 3600;
/// How long cookies last that are to outlast the browser.
pub(in crate::web) const THIRTY_DAYS: Duration = Duration::from_secs(30 * DAY);

/// How an application signs.
#[derive(Default)]
pub(in crate::web) struct CookieSettings {
    secret: Option<CookieSecret>,
    key_version: Option<u64>,
}

impl CookieSettings {
    /// Puts the settings together and tells what is wrong with them.
    pub(in crate::web) fn finish(&mut self, problems: &mut Vec<String>) {
        let Some(mut secret) = self.secret.take() else { return };
        if let Some(version) = self.key_version {
            secret = secret.key_version(version);
        }
        if secret.has_empty_key() {
            problems.push("cookie_secret: a secret is empty".to_owned());
        } else if let Err(error) = secret.current() {
            problems.push(format!("cookie_secret: {error}"));
        }
        self.secret = Some(secret);
    }
}

/// The cookies of a request that has to do with some.
#[derive(Default)]
pub(in crate::web) struct CookieState {
    pub(in crate::web) xsrf: XsrfState,
    sent: OnceCell<Vec<(String, String)>>,
    /// Name and header line, in the order they were set.
    new: RefCell<Vec<(String, String)>>,
}

impl CookieState {
    /// Adds the `Set-Cookie` lines.
    pub(in crate::web) fn write_to(&self, headers: &mut HttpHeaders) -> Result {
        for (_, line) in &*self.new.borrow() {
            headers.add("Set-Cookie", line.as_str())?;
        }
        Ok(())
    }
}

impl Application {
    /// The secret of signed cookies, long and random; several with [`CookieSecret::keys`]. Default: none.
    #[must_use]
    pub fn cookie_secret(mut self, secret: impl Into<CookieSecret>) -> Self {
        self.settings.cookies.secret = Some(secret.into());
        self
    }

    /// Which of several secrets signs. Default: none, which is a mistake if there are several.
    #[must_use]
    pub fn key_version(mut self, version: u64) -> Self {
        self.settings.cookies.key_version = Some(version);
        self
    }
}

impl Context {
    /// A cookie of the request. One that is set now is not seen before the next request.
    #[doc(alias = "get_cookie")]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The cookies of the request: name and value. Those with names that could not be set are left out.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        let sent = self.cookie_state().sent.get_or_init(|| {
            // RFC 9113 §8.2.3: several lines are one list, with semicolons.
            let lines: Vec<&str> = self.request().headers().list("Cookie").collect();
            let mut cookies = Vec::new();
            for (name, value) in parse_cookie(&lines.join("; ")) {
                if is_cookie_name(name) {
                    cookies.push((name.to_owned(), value.into_owned()));
                }
            }
            cookies
        });
        sent.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Sets a cookie for all paths of this host and the browser's session.
    ///
    /// # Errors
    /// When the cookie could not be sent as it is.
    pub fn set_cookie(&self, name: &str, value: &str) -> Result<(), InvalidCookie> {
        self.set_cookie_with(&Cookie::new(name, value))
    }

    /// Sets a cookie, instead of one of that name that was set before. It goes out with the head, also with that of an
    /// error page: [`clear`](Self::clear) leaves it.
    ///
    /// # Errors
    /// When the cookie could not be sent as it is.
    pub fn set_cookie_with(&self, cookie: &Cookie) -> Result<(), InvalidCookie> {
        let line = cookie.header_value(SystemTime::now())?;
        let mut new = self.cookie_state().new.borrow_mut();
        new.retain(|(name, _)| name != cookie.name());
        new.push((cookie.name().to_owned(), line));
        Ok(())
    }

    /// Has the browser drop a cookie that was set for the path `/` and no domain; for others,
    /// [`set_cookie_with`](Self::set_cookie_with) and [`expires`](Cookie::expires).
    ///
    /// # Errors
    /// When the name is none.
    pub fn clear_cookie(&self, name: &str) -> Result<(), InvalidCookie> {
        self.set_cookie_with(&expired(name))
    }

    /// [`clear_cookie`](Self::clear_cookie) for every cookie of the request. A cookie with another path or domain stays,
    /// as does a `__Host-` or `__Secure-` one.
    pub fn clear_all_cookies(&self) {
        let (mut seen, now) = (HashSet::new(), SystemTime::now());
        // Each name once. Only prefixes are refused here.
        let cleared: Vec<_> = self
            .cookies()
            .filter(|(name, _)| seen.insert(*name))
            .filter_map(|(name, _)| Some((name.to_owned(), expired(name).header_value(now).ok()?)))
            .collect();
        // All at once: one after the other each would have to be looked for among all others.
        let names: HashSet<&str> = cleared.iter().map(|(name, _)| name.as_str()).collect();
        let mut new = self.cookie_state().new.borrow_mut();
        new.retain(|(name, _)| !names.contains(name.as_str()));
        drop(names);
        new.extend(cleared);
    }

    /// The value of a signed cookie; `None` when there is none, its signature is wrong, it was signed more than 31 days
    /// ago, or it is not UTF-8.
    ///
    /// # Panics
    /// Without the setting `cookie_secret`, which is answered with a 500.
    #[doc(alias = "get_signed_cookie")]
    #[doc(alias = "get_secure_cookie")]
    #[track_caller]
    pub fn signed_cookie(&self, name: &str) -> Option<String> {
        String::from_utf8(self.signed_cookie_with(name, Duration::from_secs(31 * DAY), SignedVersion::V1)?)
            .ok()
    }

    /// The bytes of a signed cookie that is at most so old, in this format or a later one.
    ///
    /// # Panics
    /// As [`signed_cookie`](Self::signed_cookie).
    #[track_caller]
    pub fn signed_cookie_with(
        &self,
        name: &str,
        max_age: Duration,
        min_version: SignedVersion,
    ) -> Option<Vec<u8>> {
        let secret = self.cookie_secret();
        decode_signed_value(secret, name, self.cookie(name)?, max_age, min_version, SystemTime::now())
    }

    /// The key version that a signed cookie says it was signed with; nothing is verified.
    #[doc(alias = "get_signed_cookie_key_version")]
    pub fn signed_cookie_key_version(&self, name: &str) -> Option<u64> {
        signature_key_version(self.cookie(name)?)
    }

    /// Sets a signed cookie that lasts 30 days. If the request came by https, the cookie is
    /// [`secure`](Cookie::secure), which Tornado leaves to its users.
    ///
    /// # Errors
    /// When the cookie could not be sent.
    ///
    /// # Panics
    /// As [`signed_cookie`](Self::signed_cookie).
    #[doc(alias = "set_secure_cookie")]
    #[track_caller]
    pub fn set_signed_cookie(&self, name: &str, value: impl AsRef<[u8]>) -> Result {
        self.set_signed_cookie_with(Cookie::new(name, ""), value)
    }

    /// Sets a signed cookie with the name and attributes of `cookie`. It lasts 30 days unless the cookie says otherwise,
    /// as with [`Cookie::session`], and is [`secure`](Cookie::secure) if the request came by https unless it says
    /// otherwise.
    ///
    /// # Errors
    /// As [`set_signed_cookie`](Self::set_signed_cookie).
    ///
    /// # Panics
    /// As [`signed_cookie`](Self::signed_cookie).
    #[track_caller]
    pub fn set_signed_cookie_with(&self, cookie: Cookie, value: impl AsRef<[u8]>) -> Result {
        let caller = Location::caller();
        let signed = self.create_signed_value(cookie.name(), value, SignedVersion::V2)?;
        let cookie = cookie.or_expires_in(THIRTY_DAYS).or_secure(self.is_https());
        let set = self.set_cookie_with(&cookie.with_value(signed));
        set.map_err(|error| Error::from(error).blame(caller))
    }

    /// A signed value for other places than cookies.
    ///
    /// # Errors
    /// 500 when several secrets are to sign in the first format.
    ///
    /// # Panics
    /// As [`signed_cookie`](Self::signed_cookie).
    #[track_caller]
    pub fn create_signed_value(
        &self,
        name: &str,
        value: impl AsRef<[u8]>,
        version: SignedVersion,
    ) -> Result<String> {
        let caller = Location::caller();
        create_signed_value(self.cookie_secret(), name, value, version, SystemTime::now())
            .map_err(|error| Error::from(error).blame(caller))
    }

    /// # Panics
    /// When there is none: with the message that says so, as all that needs it.
    #[track_caller]
    pub(crate) fn cookie_secret(&self) -> &CookieSecret {
        let secret = self.core().settings.cookies.secret.as_ref();
        secret.expect("signed cookies need the setting Application::cookie_secret")
    }

    pub(in crate::web) fn cookie_state(&self) -> &CookieState {
        self.rare().cookies.get_or_init(CookieState::default)
    }
}

fn expired(name: &str) -> Cookie {
    // As Tornado.
    let long_ago = SystemTime::now().checked_sub(Duration::from_secs(365 * DAY));
    Cookie::new(name, "").expires(long_ago.unwrap_or(SystemTime::UNIX_EPOCH))
}
